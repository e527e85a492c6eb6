"""Saver and recorder as arguments of the agent, in fit and in loops of one's own."""

import shutil

import numpy as np
import pytest
from agent_states import differences, state_of
from event_files import curves
from runs import equal
from toy_envs import Counter

import kagent
from kagent import Agent, RewardEstimation, callbacks, traces
from kagent.training.own_callbacks import OwnCallbacks


def loop(agent, episodes, length=4, streams=1):
    env = Counter(lengths=(length,))
    for _ in range(episodes):
        for stream in range(streams):
            state, _ = env.reset()
            over = False
            while not over:
                state, reward, over, _, _ = env.step(agent.act(state, parallel=stream))
                agent.observe(reward, over, False, state, parallel=stream)


def test_a_saver_of_the_agent_goes_along_in_fit(small, tmp_path):
    saver = {"directory": tmp_path / "saved", "frequency": 1e-6, "max-checkpoints": 2}
    agent = small("dqn", env=Counter(), start=4, frequency=4, saver=saver)
    agent.fit(Counter(), steps=12, verbose=0)
    names = sorted(path.name for path in (tmp_path / "saved").iterdir())
    assert names == ["dqn-10.weights.h5", "dqn-12.weights.h5"]
    again = small("dqn", env=Counter(), start=4, frequency=4, saver=saver)
    with pytest.warns(
        UserWarning, match=r"fit trains 0 steps: its bound is reached. The agent has 12 of 12 timesteps\."
    ):
        again.fit(Counter(), max_steps=12, verbose=0)
    assert again.timesteps == 12 and equal(again.get_weights(), agent.get_weights())


def test_a_saver_saves_in_a_loop_of_ones_own(small, tmp_path):
    saver = callbacks.Checkpoint(tmp_path, frequency=1e-6)
    agent = small("dqn", env=Counter(), start=4, frequency=4, saver=saver)
    loop(agent, 3)
    assert {path.name for path in tmp_path.iterdir()} == {f"dqn-{n}.weights.h5" for n in (8, 12)}
    agent.close()
    agent.close()
    again = small("dqn", env=Counter(), start=4, frequency=4, saver={"directory": str(tmp_path)})
    assert again.timesteps == 12 and equal(again.get_weights(), agent.get_weights())


@pytest.mark.parametrize("streams", [1, 2])
def test_a_recorder_records_a_loop_of_ones_own(small, tmp_path, streams):
    agent = small(
        "dqn", env=Counter(), start=100, parallel_interactions=streams, recorder={"directory": tmp_path, "start": 1}
    )
    loop(agent, 2, streams=streams)
    agent.close()
    files = traces.trace_files(tmp_path)
    assert len(files) == 2 * streams - 1
    trace = traces.load_trace(files[-1], agent.observation_space, agent.action_space)
    assert trace["observation"][:, 2].tolist() == [0, 1, 2, 3] and trace["final_observation"][0, 2] == 4
    assert trace["terminated"].tolist() == [False, False, False, True]


@pytest.mark.eager
def test_an_end_that_nobody_saw_is_recorded_as_such(small, tmp_path):
    """The first episode of a trace ends without an observation, the second is cut off with one."""
    recorder = {"directory": tmp_path, "frequency": 2, "start": 0}
    agent = small("dqn", env=Counter(), start=100, recorder=recorder)
    for number, state in enumerate(np.arange(12, dtype=np.float32).reshape(4, 3)):
        agent.act(state)
        if number % 2 == 0:
            agent.observe(1.0)
        else:
            agent.observe(1.0, 1) if number == 1 else agent.observe(1.0, 2, next_observation=np.full(3, 50))
    agent.close()
    (path,) = traces.trace_files(tmp_path)
    trace = traces.load_trace(path, agent.observation_space, agent.action_space)
    assert trace["end_observed"].tolist() == [False, True] and trace["episode_length"].tolist() == [2, 2]
    assert trace["final_observation"].tolist() == [[3, 4, 5], [50, 50, 50]]
    other = small("dqn", env=Counter(), reward_estimation=RewardEstimation(estimate_terminal=True))
    with pytest.raises(ValueError, match=r"trace-000000001.npz.*'end_observed' must be True.*estimate_terminal=True"):
        other.pretrain(tmp_path, 1)
    assert not len(other.memory)
    other.pretrain(tmp_path, 1, objective="behavior_cloning")  # which has no use for it
    other = small("dqn", env=Counter(), batch_size=2)
    other.pretrain(tmp_path, 1)
    assert other.memory.storage.views["terminated"][:4].tolist() == [0, 1, 0, 0]
    trace["end_observed"][1] = False
    with pytest.raises(ValueError, match="'end_observed' must be True where an episode was truncated"):
        traces.check_trace(trace)


@pytest.mark.eager
def test_traces_of_known_ends_have_no_further_array(small, tmp_path):
    agent = small("dqn", env=Counter(), start=100, recorder={"directory": tmp_path, "start": 0})
    loop(agent, 1)
    agent.close()
    assert "end_observed" not in traces.load_trace(traces.trace_files(tmp_path)[0])


def test_a_summarizer_hears_a_loop_of_ones_own(small, tmp_path):
    summarizer = {"directory": tmp_path, "labels": ["episode-reward", "update-norm", "loss", "timestep-reward"]}
    agent = small("dqn", env=Counter(), start=4, frequency=4, summarizer=summarizer)
    loop(agent, 3)
    agent.close()
    (run,) = tmp_path.iterdir()
    found = curves(run)
    assert found["episode-reward"][0] == [1, 2, 3]
    assert found["update-norm"][0] == found["loss"][0] == [1, 2]
    assert found["timestep-reward"][0] == list(range(1, 13))
    assert all(value > 0 for value in found["update-norm"][1])


def test_fit_after_a_loop_of_ones_own(small, tmp_path):
    agent = small("dqn", env=Counter(), start=4, saver={"directory": tmp_path, "frequency": 1e-6})
    loop(agent, 1)
    agent.fit(Counter(lengths=(4,)), steps=4, verbose=0)
    assert agent.timesteps == 8 and (tmp_path / "dqn-8.weights.h5").is_file()


def test_nothing_of_places_is_in_configs_or_files(small, tmp_path):
    agent = small("dqn", env=Counter(), saver={"directory": tmp_path / "a"}, recorder=tmp_path / "b")
    config = agent.get_config()
    assert not {"saver", "recorder", "summarizer"} & set(config)
    agent.save(tmp_path / "agent.keras")
    with pytest.raises(ValueError, match=r"says nothing of places on this machine. Received: \['saver'\]"):
        type(agent).from_config({**config, "saver": {"directory": "/tmp/x"}})
    other = Agent.create({**config, "saver": {"directory": tmp_path / "c"}})
    assert list(other._own_callbacks.by_name) == ["saver"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"saver": {}}, ValueError, "`saver` needs a 'directory'"),
        ({"saver": "here"}, TypeError, "`saver` must be a dict"),
        ({"saver": {"directory": "x", "unit": "updates"}}, ValueError, r"`saver` has no key \['unit'\]. Known"),
        ({"saver": {"directory": "x", "frequency": -1}}, ValueError, "`frequency` must be"),
        ({"summarizer": {}}, ValueError, "directory"),
        ({"summarizer": {"directory": "x", "labels": ["everything"]}}, ValueError, "everything"),
        ({"summarizer": {"directory": "x", "frequency": {"reset": 1}}}, ValueError, "reset"),
        ({"recorder": {}}, ValueError, "`recorder` needs a 'directory'"),
        ({"recorder": 3}, TypeError, "`recorder` must be a path, a dict or a Recorder"),
        ({"recorder": {"directory": "x", "stop": 3}}, ValueError, "`recorder` has arguments"),
    ],
)
def test_mistakes_are_named(small, arguments, error, message):
    with pytest.raises(error, match=message):
        small("dqn", env=Counter(), **arguments)


def test_without_them_nothing_is_told(small):
    agent = small("dqn", env=Counter(), start=4)
    loop(agent, 2)
    agent.close()
    assert not agent._own_callbacks and np.isfinite(agent.timesteps)


class Listening(callbacks.Recorder):
    """A recorder that lists its events in place of writing."""

    def __init__(self, seen):
        self.seen = seen

    def set_model(self, model):
        self.seen.append("model")

    def on_train_begin(self, logs=None):
        self.seen.append("train begins")

    def on_train_end(self, logs=None):
        self.seen.append("train ends")

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(f"epoch {epoch}")

    def on_episode_begin(self, episode, logs=None):
        self.seen.append(f"episode {episode} begins in {logs['env']}")

    def on_episode_end(self, episode, logs=None):
        self.seen.append(f"episode {episode} ends in {logs['env']}")

    def on_timestep_end(self, timestep, logs=None):
        self.seen.append(f"timestep {timestep}")

    def on_update_begin(self, update, logs=None):
        self.seen.append(f"update begins at {update}")

    def on_update_end(self, update, logs=None):
        self.seen.append(f"update ends at {update}: {logs}")


class Counted:
    """What an agent's own callbacks need of it."""

    parallel_interactions, timesteps, episodes, updates = 2, 7, 3, 5


def test_events_come_once_and_in_their_order():
    seen = []
    own, agent = OwnCallbacks(recorder=Listening(seen)), Counted()
    own.end()
    assert seen == [] and len(own) == 1
    own.begin(agent)
    own.begin(agent)
    assert seen == ["model", "train begins", "epoch 0", "episode 3 begins in 0", "episode 3 begins in 1"]
    seen.clear()
    agent.episodes = 4
    own.episode_end(agent, {"episode_return": 1.0, "episode_length": 2, "env": 1}, played=True)  # not the recorder's
    assert seen == []
    own.episode_end(agent, {"episode_return": 1.0, "episode_length": 2, "env": 1})
    own.update_begin(agent)
    own.update_end(agent, {"loss": 2.0})
    own.end()
    own.end()
    assert seen == [
        "episode 3 ends in 1", "episode 4 begins in 1", "update begins at 5", "update ends at 5: {'loss': 2.0}", "train ends"
    ]  # fmt: skip


# The saver's `load` ----------------------------------------------------------------------------------------


@pytest.fixture
def saved(small, tmp_path):
    """A folder with checkpoints of an agent after 10 and 12 timesteps, and the agent."""
    saver = {"directory": tmp_path, "frequency": 1e-6, "max_checkpoints": 2}
    agent = small("dqn", env=Counter(lengths=(4,)), start=4, frequency=4, compiled={"run_eagerly": True}, saver=saver)
    agent.fit(Counter(lengths=(4,)), steps=12, verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dqn-10.weights.h5", "dqn-12.weights.h5"]
    return agent


def restored(small, tmp_path, load=True, filename=None):
    saver = {"directory": tmp_path, "load": load, "filename": filename}
    return small(
        "dqn",
        env=Counter(lengths=(4,)),
        start=4,
        frequency=4,
        compiled={"run_eagerly": True},
        saver=saver,
        seed=9,
    )


@pytest.mark.thorough
def test_a_saver_restores_at_construction_and_compile_keeps_what_it_restored(small, saved, tmp_path):
    shutil.copytree(tmp_path, tmp_path / "copy")
    agent = restored(small, tmp_path / "copy")  # which compiles after its construction
    assert (
        differences(state_of(agent), state_of(saved)) == [] and agent.optimizer.iterations == saved.optimizer.iterations
    )
    agent.save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras").timesteps == 12
    for each in (agent, saved):
        each.fit(Counter(lengths=(4,)), max_steps=20, verbose=0)
    assert differences(state_of(agent), state_of(saved)) == []
    with pytest.warns(UserWarning, match="optimizer given to `compile` is of another kind"):
        restored(small, tmp_path / "copy").compile(optimizer="sgd")


def test_steps_count_from_before_the_checkpoint_once(small, saved, tmp_path):
    agent = restored(small, tmp_path)
    history = agent.fit(Counter(lengths=(4,)), steps=20, steps_per_epoch=8, verbose=0)
    assert agent.timesteps == 20 and history.epoch == [1, 2]
    agent.fit(Counter(lengths=(4,)), steps=20, verbose=0)
    assert agent.timesteps == 40


def test_a_saver_loads_the_file_of_that_name(small, saved, tmp_path):
    with pytest.raises(ValueError, match=r"'dqn-10.weights.h5' is 10 timesteps old.*dqn-12"):
        restored(small, tmp_path, load="dqn-10")
    assert restored(small, tmp_path, load="dqn-10", filename="branch").timesteps == 10
    with pytest.raises(ValueError, match="`load` must name a file"):
        restored(small, tmp_path / "elsewhere", load="dqn-10")
    assert not (tmp_path / "elsewhere").exists()


def test_a_saver_without_load_begins_anew_and_says_where_the_old_files_go(small, saved, tmp_path):
    with pytest.warns(
        UserWarning, match=r"load=False begins a new run. When it is trained, the 2 checkpoint.*'dqn-before-1'"
    ):
        agent = restored(small, tmp_path, load=False)
    assert agent.timesteps == 0 and (tmp_path / "dqn-12.weights.h5").is_file()
    with pytest.warns(UserWarning, match="were moved to"):
        agent.fit(Counter(lengths=(4,)), steps=4, verbose=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dqn-4.weights.h5", "dqn-before-1"]


def test_nothing_is_loaded_later(small, saved, tmp_path):
    agent = restored(small, tmp_path)
    rows = len(agent.memory)
    loop(agent, 1)
    agent.update()
    assert len(agent.memory) == rows + 4 and agent.timesteps == 16
    pretrained = restored(small, tmp_path)
    weights = [np.full_like(weight, 0.5) for weight in pretrained.get_weights()]
    pretrained.set_weights(weights)  # as pretraining does
    pretrained.fit(Counter(lengths=(4,)), max_steps=13, verbose=0)
    assert equal(pretrained.get_weights(), weights) and pretrained.timesteps == 13


def test_what_is_saved_after_the_construction_is_loaded_when_training_begins(small, tmp_path):
    one, other = (restored(small, tmp_path) for _ in range(2))
    one.fit(Counter(lengths=(4,)), steps=8, verbose=0)
    other.fit(Counter(lengths=(4,)), steps=8, verbose=0)
    assert other.timesteps == 8 and differences(state_of(one), state_of(other)) == []


def test_an_agent_of_other_spaces_is_refused_at_construction(small, saved, tmp_path):
    with pytest.raises(ValueError, match="of another agent"):
        small("dqn", saver={"directory": tmp_path})
