"""Programs in Tensorforce's words: agents, environments, runners."""

import errno
import json
import os
import pathlib

import gymnasium
import h5py
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.compat import tensorforce
from kagent.compat.tensorforce.programs import files, saved_model


class Corridor(tensorforce.Environment):
    """Ends at place 3; a step to the right (1) gives 1."""

    def __init__(self, masked=False):
        self.masked, self.closed = masked, False

    def states(self):
        return {"type": "float", "shape": (2,), "min_value": -1.0, "max_value": 3.0}

    def actions(self):
        return {"type": int, "num_values": 2}

    def reset(self):
        self.place = 0.0
        return self.seen()

    def execute(self, actions):
        assert isinstance(actions, int) and not (self.masked and actions == 0)
        self.place = max(self.place + (1.0 if actions else -1.0), -1.0)
        return self.seen(), self.place == 3.0, float(actions)

    def seen(self):
        state = np.array([self.place, 1.0])
        return {"state": state, "action_mask": [False, True]} if self.masked else state

    def close(self):
        self.closed = True


NETWORK = [{"type": "dense", "size": 4}]
VPG = {"agent": "vpg", "network": NETWORK, "batch_size": 1, "config": {"seed": 0, "eager_mode": True}}


def corridor(limit=6, **arguments):
    return tensorforce.Environment.create(Corridor, max_episode_timesteps=limit, **arguments)


def vpg(environment=None, **changes):
    return tensorforce.Agent.create({**VPG, **changes}, corridor() if environment is None else environment)


# Environments ----------------------------------------------------------------------------------------------------


def test_an_environment_counts_and_cuts_off():
    environment = corridor(limit=2)
    with pytest.raises(RuntimeError, match="follows `reset`"):
        environment.execute(1)
    environment.reset()
    found = [environment.execute(1)[1:] for _ in range(2)]
    assert found == [(0, 1.0), (2, 1.0)] and environment.max_episode_timesteps() == 2
    environment = corridor()
    environment.reset()
    environment.place = 1.0  # the environment's own attributes are there, and can be set
    assert [environment.execute(1)[1] for _ in range(2)] == [0, 1]
    environment.close()
    assert environment.closed


def test_rewards_are_shaped():
    def shaping(states, actions, terminal, reward, next_states):
        return 10.0 * states[0] + next_states[0], 1 if next_states[0] == 2.0 else terminal

    environment = corridor(reward_shaping=shaping)
    environment.reset()
    assert [environment.execute(1)[1:] for _ in range(2)] == [(0, 1.0), (1, 12.0)]
    with pytest.raises(TypeError, match="texts are not run as code"):
        corridor(reward_shaping="reward * 2")


@pytest.mark.parametrize("source", ["CartPole", "CartPole-v1", {"environment": "gym", "level": "CartPole"}])
def test_environments_of_gymnasium(source):
    environment = tensorforce.Environment.create(source, max_episode_timesteps=50)
    spec = environment.states()
    assert spec["shape"] == [4] and spec["min_value"][1] is None and spec["max_value"][0] == pytest.approx(4.8)
    assert environment.actions()["num_values"] == 2 and environment.max_episode_timesteps() == 50
    assert environment.reset().shape == (4,)


def test_a_file_and_bounds(tmp_path):
    given = {
        "environment": "gym",
        "level": "CartPole-v1",
        "min_value": -3.0,
        "max_value": 3.0,
        "drop_states_indices": [0],
    }
    (tmp_path / "environment.json").write_text(json.dumps(given))
    environment = tensorforce.Environment.create(str(tmp_path / "environment.json"))
    assert environment.states()["shape"] == [3] and environment.states()["max_value"][0] == 3.0
    environment.reset()
    environment.environment.gym.unwrapped.state = np.array([0.0, 50.0, 0.0, 0.0])
    assert environment.execute(0)[0][0] == 3.0


def test_the_import_paths_of_tensorforce():
    from kagent.compat.tensorforce.agents import Agent
    from kagent.compat.tensorforce.environments import Environment
    from kagent.compat.tensorforce.execution import Runner

    assert (Agent, Environment) == (tensorforce.Agent, tensorforce.environments.Environment)
    assert Runner is tensorforce.Runner is tensorforce.execution.Runner


def test_truncation_of_gymnasium_is_two():
    environment = tensorforce.Environment.create(gymnasium.make("CartPole-v1", max_episode_steps=3))
    environment.reset()
    assert [environment.execute(i % 2)[1] for i in range(3)] == [0, 0, 2]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"environment": "vizdoom"}, "is gone"),
        ({"environment": "my.module"}, "nothing is imported by a name"),
        ({"environment": "gym", "level": "NoSuchLevel"}, "no id of gymnasium"),
        ({"environment": Corridor, "max_episode_timesteps": 0}, None),
        (
            {"environment": "gym", "level": "CartPole-v1", "max_episode_timesteps": 501},
            "at most the environment's own, 500",
        ),
        ({"environment": "gym", "level": "CartPole-v1", "min_value": 1.0}, "given both or not"),
        ({"environment": "gym", "level": "CartPole-v1", "reward_threshold": 1.0}, "no meaning here"),
    ],
)
def test_environments_that_are_refused(given, error):
    if error is None:
        given, error = {"environment": Corridor(), "masked": True}, "takes no arguments"
    with pytest.raises((ValueError, TypeError), match=error):
        tensorforce.Environment.create(**given)


# Agents ----------------------------------------------------------------------------------------------------------


def test_a_loop_of_act_and_observe():
    environment, agent = corridor(), vpg()
    assert isinstance(agent.model, kagent.Agent) and agent.get_specification()["agent"] == "vpg"
    updates = 0
    for _ in range(3):
        states, terminal = environment.reset(), 0
        while not terminal:
            actions = agent.act(states=states)
            states, terminal, reward = environment.execute(actions=actions)
            updates += agent.observe(terminal=terminal, reward=reward)
    assert (agent.episodes, updates, agent.updates) == (3, 3, 3)
    assert "dense" in agent.get_architecture()
    agent.close()


def test_the_first_updates_are_made_of_the_episodes_that_there_are():
    environment, agent = corridor(), vpg(batch_size=3, update_frequency=1)
    runner, seen = tensorforce.Runner(agent, environment), []
    runner.run(num_episodes=4, callback=lambda r, p: seen.append((r.episodes, r.updates)), use_tqdm=False)
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4)]


def test_a_cut_off_episode_is_bootstrapped_from_what_it_led_to():
    learned = []
    for states in (None, np.array([2.0, 1.0])):
        spec = {
            "agent": "tensorforce", "policy": NETWORK, "update": 1, "objective": "policy_gradient", "baseline": NETWORK,
            "optimizer": {"type": "sgd", "learning_rate": 0.1}, "baseline_objective": "state_value",
            "reward_estimation": {"horizon": 1, "discount": 0.9, "predict_horizon_values": "late"}, "config": VPG["config"],
        }  # fmt: skip
        agent = tensorforce.Agent.create(spec, corridor())
        agent.act(np.array([1.0, 1.0]))
        assert agent.observe(1.0, 2, states=states) == 1
        learned.append(agent.model.critic.get_theta())
    assert not np.array_equal(*learned)


def test_several_streams():
    agent = vpg(parallel_interactions=2)
    states = [np.array([0.0, 1.0]), np.array([1.0, 1.0])]
    actions = agent.act(states, parallel=[0, 1])
    assert len(actions) == 2 and all(isinstance(action, int) for action in actions)
    with pytest.raises(RuntimeError, match="without `observe`"):
        agent.act(states[0], parallel=1)
    assert agent.observe([1.0, 0.0], [1, 0], [0, 1], states=states) == 1
    assert (agent.timesteps, agent.episodes) == (2, 1)
    agent.reset()
    agent.act(states[0], parallel=1)


def test_batches_keep_the_form_of_their_states():
    """Lists for lists, arrays for arrays, and dicts of arrays for these; without `parallel` all streams."""
    agent = vpg(parallel_interactions=3)
    rows = np.ones((3, 2))
    found = [agent.act(states, independent=True) for states in ([*rows], rows, {"state": rows})]
    assert isinstance(found[0], list) and all(isinstance(part, np.ndarray) and part.shape == (3,) for part in found[1:])
    assert all(list(part) == found[0] for part in found)
    actions, internals = agent.act(rows, internals=[{}, {}, {}], independent=True)
    assert actions.shape == (3,) and internals == [{}, {}, {}]
    assert agent.act(rows).shape == (3,)
    assert agent.observe(reward=np.ones(3), terminal=np.array([True, False, False])) == 1
    assert agent.act(rows[:2], parallel=np.array([2, 0])).shape == (2,)
    assert agent.observe(reward=1.0, terminal=[1, 2], parallel=np.array([2, 0])) == 2
    assert (agent.timesteps, agent.episodes) == (5, 3)
    with pytest.raises(ValueError, match="`terminal` must be one number, or 3 of them"):
        agent.observe(reward=np.ones(3), terminal=[0, 1])
    with pytest.raises(ValueError, match="an index for each of `states`"):
        agent.act(rows[:2])
    with pytest.raises(ValueError, match="for a batch of states"):
        agent.act(rows[0], parallel=[0, 1])


class Sides(tensorforce.Environment):
    """Episodes of three timesteps, any number of them at once; the first one ends after two."""

    def states(self):
        return {"type": "int", "num_values": 4}

    def actions(self):
        return {"type": "int", "num_values": 2}

    def is_vectorizable(self):
        return True

    def reset(self, num_parallel=None):
        self.open, self.time = np.arange(num_parallel or 1), 0
        return (self.open.copy(), self.open % 4) if num_parallel else 0

    def execute(self, actions):
        self.time += 1
        ended = (self.time == 3) | (self.open == 0) & (self.time == 2)
        rewards, self.open = (actions == self.open % 2) * 1.0, self.open[~ended]
        return self.open.copy(), self.open % 4, ended, rewards


def test_a_loop_of_a_vectorized_environment():
    environment = tensorforce.Environment.create(Sides, max_episode_timesteps=3)
    agent = vpg(environment, network=[{"type": "flatten"}], parallel_interactions=3)
    parallel, states = environment.reset(num_parallel=3)
    terminal, played, updates = np.zeros(3), [], 0
    while not terminal.all():
        actions = agent.act(states=states, parallel=parallel)
        following, states, terminal, reward = environment.execute(actions=actions)
        updates += agent.observe(terminal=terminal, reward=reward, parallel=parallel)
        played.append(len(parallel))
        parallel = following
    assert played == [3, 3, 2] and (agent.timesteps, agent.episodes, updates) == (8, 3, 3)
    with pytest.raises(ValueError, match="whose `is_vectorizable` is True"):
        corridor().reset(num_parallel=2)


def test_a_function_is_recorded_and_learned_from(tmp_path):
    """Its traces are what another agent learns from; it learns nothing itself."""
    recorder = {"directory": str(tmp_path), "start": 1}
    runner = tensorforce.Runner({"agent": lambda states: 1, "recorder": recorder}, Corridor, max_episode_timesteps=6)
    runner.run(num_episodes=3, use_tqdm=False)
    runner.run(num_episodes=1, evaluation=True, use_tqdm=False)
    assert runner.agent.episodes == 3 and runner.agent.timesteps == 9 and runner.evaluation_returns == [3.0]
    runner.close()
    files = sorted(tmp_path.iterdir())
    traces = [np.load(path) for path in files]
    assert [path.name for path in files] == ["trace-000000001.npz", "trace-000000002.npz"]
    assert all(trace["action"].tolist() == [1, 1, 1] and trace["reward"].tolist() == [1.0] * 3 for trace in traces)
    learner = vpg(batch_size=2)
    learner.pretrain(tmp_path, num_iterations=2, num_traces=2)
    assert learner.updates == 2
    wrong = tensorforce.Agent.create(lambda states: 2, corridor())
    with pytest.raises(ValueError, match=r"`action`.*Received: 2"):
        wrong.act(np.zeros(2))
    with pytest.raises(RuntimeError, match="learns nothing"):
        wrong.update()
    with pytest.raises(ValueError, match="agent of a function"):
        tensorforce.Agent.create(lambda states: 0, corridor(), batch_size=2)
    with pytest.raises(TypeError, match="a Keras model takes batches"):
        tensorforce.Agent.create(learner.model, corridor())


def test_independent_acts_leave_nothing_behind():
    agent = vpg()
    states = np.array([0.5, 1.0])
    best = agent.act(states, independent=True)
    assert best == agent.act(states, evaluation=True) == agent.act([states], independent=True)[0]
    internals = agent.initial_internals()
    assert agent.act(states, internals=internals, independent=True, deterministic=True) == (best, {})
    drawn = {agent.act(states, independent=True, deterministic=False) for _ in range(40)}
    assert drawn == {0, 1} and agent.timesteps == 0
    with pytest.raises(ValueError, match="give independent=True"):
        agent.act(states, deterministic=True)
    with pytest.raises(TypeError, match="query"):
        agent.act(states, query=["loss"])


def test_masks_are_kept_to():
    environment = corridor(masked=True)
    agent = vpg(environment)
    runner = tensorforce.Runner(agent, environment)
    runner.run(num_episodes=2, use_tqdm=False)
    assert runner.episode_returns == [3.0, 3.0]
    episode = [environment.reset()]
    actions, terminal, reward = [], [], []
    while not (terminal and terminal[-1]):
        actions.append(agent.act(episode[-1], independent=True))
        states, end, gained = environment.execute(actions[-1])
        terminal.append(end), reward.append(gained), episode.append(states)
    agent.experience(states=episode[:-1], actions=actions, terminal=terminal, reward=reward, internals=[{}] * 3)
    assert agent.update() == 1 and agent.episodes == 3


def test_pretraining_reads_traces_of_tensorforce(tmp_path):
    for number in range(2):
        steps = np.arange(4.0)
        arrays = {
            "states": np.stack([steps, np.ones(4)], axis=1), "actions": np.array([1, 1, 0, number]),
            "terminal": np.array([0, 1, 0, 1]), "reward": steps.astype(np.float32),
        }  # fmt: skip
        np.savez(tmp_path / f"trace-00000000{number}.npz", **arrays)
    agent = vpg(batch_size=2)
    before = agent.model.policy.get_theta()
    agent.pretrain(tmp_path, num_iterations=3, num_traces=2, num_updates=1)
    assert (agent.updates, agent.episodes) == (3, 12)
    assert not np.array_equal(before, agent.model.policy.get_theta())
    with pytest.raises(ValueError, match="from 1 to 2"):
        agent.pretrain(tmp_path, num_iterations=1, num_traces=3)


@pytest.mark.parametrize("format", ["checkpoint", "numpy", "hdf5"])
def test_files(format, tmp_path):
    environment, agent = corridor(), vpg(state_preprocessing={"type": "exponential_normalization", "decay": 0.9})
    tensorforce.Runner(agent, environment).run(num_episodes=2, use_tqdm=False)
    path = agent.save(tmp_path, format=format, append="episodes")
    assert path.startswith(str(tmp_path / "agent-2."))
    again = tensorforce.Agent.load(tmp_path)
    assert (again.timesteps, again.episodes, again.updates) == (agent.timesteps, 2, 2)
    np.testing.assert_array_equal(again.model.policy.get_theta(), agent.model.policy.get_theta())
    statistics = [part for one in (agent, again) for part in one.model.preprocessing.statistics()[0]]
    np.testing.assert_equal(*statistics)
    tensorforce.Runner(again, environment).run(num_episodes=1, use_tqdm=False)
    assert again.updates == 3
    with pytest.raises(ValueError, match="no file of 'other'"):
        tensorforce.Agent.load(tmp_path, filename="other")


def test_functions_are_given_to_load_again(tmp_path):
    network = [lambda x: 2.0 * x, {"type": "dense", "size": 3}]
    agent = vpg(network=network)
    with pytest.warns(UserWarning, match="left out"):
        agent.save(tmp_path, format="numpy")
    with pytest.raises(ValueError, match=r"\['network'\], which no file holds"):
        tensorforce.Agent.load(tmp_path)
    again = tensorforce.Agent.load(tmp_path, network=network)
    np.testing.assert_array_equal(again.model.policy.get_theta(), agent.model.policy.get_theta())


def test_both_of_two_optimizers_are_in_files(tmp_path):
    optimizer = {"type": "plus", "optimizer1": "adam", "optimizer2": {"type": "rmsprop", "learning_rate": 0.01}}
    update = {"unit": "episodes", "batch_size": 1}
    spec = {
        "agent": "tensorforce",
        "policy": NETWORK,
        "objective": "policy_gradient",
        "update": update,
        "optimizer": optimizer,
    }
    spec |= {"reward_estimation": {"horizon": "episode"}, "config": VPG["config"]}
    agent = tensorforce.Agent.create(spec, corridor())
    tensorforce.Runner(agent, corridor()).run(num_episodes=2, use_tqdm=False)
    agent.save(tmp_path)
    agent.model.save(tmp_path / "agent.keras")
    for again in (tensorforce.Agent.load(tmp_path).model, kagent.load(tmp_path / "agent.keras")):
        kept = [np.asarray(variable) for variable in agent.model.optimizer.variables]
        assert len(kept) > 10 and all(map(np.array_equal, kept, map(np.asarray, again.optimizer.variables)))


def test_a_saver_and_its_files(tmp_path):
    saver = {"directory": str(tmp_path), "unit": "episodes", "frequency": 1}
    agent = tensorforce.Agent.create({"agent": {**VPG, "saver": saver}}, corridor())  # a specification within another
    tensorforce.Runner(agent, corridor()).run(num_episodes=2, use_tqdm=False)
    agent.close()
    again = tensorforce.Agent.load(tmp_path, format="checkpoint", environment=corridor())
    assert (again.episodes, again.updates) == (2, 2)
    np.testing.assert_array_equal(again.model.policy.get_theta(), agent.model.policy.get_theta())


def test_a_saved_model_is_the_directory_or_has_a_name_in_it(tmp_path, monkeypatch):
    agent, places = vpg(), []
    monkeypatch.setattr(saved_model, "write", lambda model, place: places.append(str(place)))
    for filename in (None, "served"):
        places.append(agent.save(tmp_path, filename=filename, format="saved-model"))
    assert places == [str(tmp_path)] * 2 + [str(tmp_path / "served")] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["served.json"]


@pytest.mark.thorough
def test_a_saved_model_acts_on_batches(tmp_path):
    actions = {
        "turn": {"type": "int", "shape": (2,), "num_values": 3},
        "push": {"type": "float", "shape": (), "min_value": 0, "max_value": 1},
    }
    spec = {**VPG, "network": [{"type": "flatten"}]}
    agent = tensorforce.Agent.create(
        spec, states={"type": "float", "shape": (2,)}, actions=actions, max_episode_timesteps=9
    )
    agent.save(tmp_path / "served", format="saved-model")
    served, states = tf.saved_model.load(tmp_path / "served"), np.array([[0.1, -2.0], [1.0, 0.5]], np.float32)
    mask = np.array([[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 1, 0]]], bool)
    everything = {"turn": {"mask": np.ones_like(mask)}}
    best = served.act(states, everything, True)
    for i, state in enumerate(states):
        own = agent.act(state, independent=True, deterministic=True)
        np.testing.assert_array_equal(best["turn"][i], own["turn"])
        np.testing.assert_allclose(best["push"][i], own["push"], atol=1e-6)
    for deterministic in (True, False):
        np.testing.assert_array_equal(
            served.act(states, {"turn": {"mask": mask}}, deterministic)["turn"], [[0, 2], [1, 1]]
        )
    drawn = [served.act(states, everything, False)["push"].numpy() for _ in range(2)]
    assert (drawn[0] != drawn[1]).all() and set(served.serve(states)) == {"turn", "push"}


@pytest.mark.thorough
def test_a_saved_model_without_masks_and_one_that_cannot_be(tmp_path):
    floats = {
        "states": {"type": "float", "shape": (2,)},
        "actions": {"type": "float", "shape": ()},
        "max_episode_timesteps": 9,
    }
    agent = tensorforce.Agent.create({**VPG, "network": [{"type": "flatten"}]}, **floats)
    agent.save(tmp_path / "served", format="saved-model")
    served, state = tf.saved_model.load(tmp_path / "served"), np.array([[0.1, -2.0]], np.float32)
    np.testing.assert_allclose(
        served.act(state, True)[0], agent.act(state[0], independent=True, deterministic=True), atol=1e-6
    )
    agent = tensorforce.Agent.create({**VPG, "network": [{"type": "lstm", "size": 2, "horizon": 2}]}, **floats)
    with pytest.raises(ValueError, match="recurrent layers"):
        agent.save(tmp_path / "other", format="saved-model")
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


@pytest.mark.parametrize(("words", "files"), [({"frequency": 2}, 2), ({"frequency": 9, "unit": "timesteps"}, 1)])
def test_a_saver_counts_updates_or_timesteps(tmp_path, words, files):
    """Five episodes of three timesteps, of which each is an update."""
    agent = vpg(corridor(masked=True), saver={"directory": str(tmp_path), **words})
    runner = tensorforce.Runner(agent, corridor(masked=True))
    runner.run(num_episodes=5, use_tqdm=False)
    assert (runner.updates, runner.timesteps) == (5, 15) and len(list(tmp_path.glob("*.weights.h5"))) == files
    agent.close()
    assert len(list(tmp_path.glob("*.weights.h5"))) == files + 1


# Runners ---------------------------------------------------------------------------------------------------------


def test_a_run_of_episodes_and_its_callbacks():
    agent, seen = vpg(), []
    runner = tensorforce.Runner(agent, corridor())
    runner.run(
        num_episodes=5, callback=lambda r, p: seen.append((r.episodes, p)), callback_episode_frequency=2, use_tqdm=False
    )
    assert seen == [(2, 0), (4, 0)] and runner.episodes == len(runner.episode_returns) == 5
    assert runner.timesteps == sum(runner.episode_timesteps) == agent.timesteps and runner.updates == 5
    runner.run(num_episodes=9, callback=[lambda r, p: None, lambda r, p: r.episodes < 3], use_tqdm=False)
    assert runner.episodes == 3 and agent.episodes == 8


def test_a_run_of_timesteps_cuts_off(capsys):
    agent = vpg()
    runner = tensorforce.Runner(agent, corridor())
    runner.run(num_timesteps=2)
    assert (runner.timesteps, agent.timesteps, agent.episodes) == (2, 2, 1)
    assert "return" in capsys.readouterr().out
    runner.run(num_updates=1, use_tqdm=False)
    assert runner.updates == 1


def test_evaluation_and_the_best_agent(tmp_path):
    agent = vpg()
    runner = tensorforce.Runner(agent, corridor())
    runner.run(num_episodes=2, evaluation=True, save_best_agent=str(tmp_path), use_tqdm=False)
    assert agent.timesteps == 0 and len(runner.evaluation_returns) == 2
    assert (tmp_path / "best-model.json").exists()
    with pytest.raises(ValueError, match="needs an evaluation"):
        runner.run(num_episodes=1, save_best_agent=str(tmp_path), use_tqdm=False)


def test_parallel_environments_and_one_that_evaluates():
    runner = tensorforce.Runner(
        VPG, environments=[Corridor, Corridor, Corridor], max_episode_timesteps=6, evaluation=True
    )
    scores = []
    runner.run(
        num_episodes=4, sync_episodes=True, evaluation_callback=lambda r: scores.append(r.episodes), use_tqdm=False
    )
    assert runner.episodes == 4 and len(scores) == len(runner.evaluation_returns) == 2
    runner.run(num_episodes=1, use_tqdm=False)
    assert (
        runner.episodes in (1, 2)
        and len(runner.evaluation_returns) >= 1
        and runner.agent.episodes == 4 + runner.episodes
    )
    assert runner.agent.parallel_interactions == 2
    runner.close()
    assert all(environment.closed for environment in runner.environments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "either `environment` or"),
        ({"environment": Corridor, "num_parallel": 1}, "at least 2"),
        ({"environment": Corridor, "evaluation": True}, "several environments"),
    ],
)
def test_runners_that_are_refused(arguments, error):
    with pytest.raises(ValueError, match=error):
        tensorforce.Runner(VPG, **arguments)
    runner = tensorforce.Runner(vpg(), corridor())
    with pytest.raises(ValueError, match="is required"):
        runner.run()


@pytest.mark.parametrize(("format", "ending"), [("numpy", ".npz"), ("hdf5", ".hdf5")])
def test_files_of_strangers_and_damaged_ones(tmp_path, format, ending):
    """Each with what is wrong: cut off, of other variables, much larger than they are, not finite."""
    agent = tensorforce.Agent.create(
        "vpg", "CartPole-v1", batch_size=2, network={"type": "auto", "size": 4, "depth": 1}
    )
    path = tmp_path / f"agent{ending}"
    assert agent.save(tmp_path, format=format) == str(path)
    assert {each.name for each in tmp_path.iterdir()} == {"agent.json", f"agent{ending}"}
    found = files.find(tmp_path, None, format)
    whole = path.read_bytes()
    arrays = {name: np.array(array) for name, array in files._variables(agent.model).items()}

    def written(changed):
        if format == "numpy":
            np.savez(path, **changed)
            return
        with h5py.File(path, "w") as file:
            for name, array in changed.items():
                file[name] = array

    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="The file is damaged"):
        files.restore(agent.model, found)
    name = "variables/000"
    for changed in ({**arrays, "more": np.zeros(3)}, {**arrays, name: np.zeros((1 << 20,))}, {name: arrays[name]}):
        written(changed)
        with pytest.raises(ValueError, match="other variables"):
            files.restore(agent.model, found)
    written({**arrays, name: np.full_like(arrays[name], np.nan)})
    with pytest.raises(ValueError, match=r"not finite.*variables/000"):
        files.restore(agent.model, found)
    path.write_bytes(whole)
    files.restore(agent.model, found)


def test_a_disk_that_cannot_take_a_file_leaves_those_of_before(tmp_path, monkeypatch):
    agent = tensorforce.Agent.create(
        "vpg", "CartPole-v1", batch_size=2, network={"type": "auto", "size": 4, "depth": 1}
    )
    for format in ("numpy", "hdf5"):
        agent.save(tmp_path, format=format)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    for format in ("numpy", "hdf5"):
        with pytest.raises(OSError, match=r"could not be written.*bytes are free"):
            agent.save(tmp_path, format=format)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
