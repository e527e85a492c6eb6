"""Agents with preprocessing: what they act on, remember, report, save and go on with."""

import json

import gymnasium
import keras
import numpy as np
import pytest
from agent_states import differences, state_of
from gymnasium import spaces
from toy_envs import Counter, Identity
from variants import thorough

import kagent
from kagent.callbacks import Callback, Recorder
from kagent.environments import rendering
from kagent.traces import load_trace, trace_files

pytestmark = pytest.mark.eager(seldom=True)

FULL = {
    "float": ["running_normalization", {"type": "sequence", "length": 3}, {"type": "deltafier", "concatenate": -1}],
    "reward": ["deltafier", {"type": "exponential_normalization", "decay": 0.9}],
}
STACK = {"float": {"type": "sequence", "length": 4}}


def statistics(agent):
    return kagent.files.json_arrays.dump({"all": agent.preprocessing.statistics()})


def views(agent, count):
    found = agent.memory.storage.views
    return {name: found[name][:count] for name in ("observation.0", "next_observation.0", "reward")}


def play(agent, env, steps):
    observation, _ = env.reset(seed=agent.next_seed())
    for _ in range(steps):
        action = agent.act(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated, observation)
        if terminated or truncated:
            observation, _ = env.reset(seed=agent.next_seed())
    return observation


# What is remembered and reported ---------------------------------------------------------------------------


def test_networks_and_memories_get_the_processed_space_and_users_the_environments(small):
    agent = small("dqn", preprocessing=STACK)
    assert agent.observation_space == gymnasium.make("CartPole-v1").observation_space
    assert agent.processed_space.shape == (16,) and agent.policy.model.inputs[0].shape == (None, 16)
    assert small("dqn").processed_space == agent.observation_space and small("dqn").preprocessing is None


@pytest.mark.parametrize("n_envs", [1, 3])
def test_fit_remembers_processed_and_reports_raw(small, n_envs):
    lengths = (3, 2)
    make = lambda: Counter(lengths=lengths)  # noqa: E731
    spec = {**STACK, "reward": [{"type": "clipping", "upper": 1.0}, {"type": "scale", "scale": 10.0}]}
    agent = small("dqn", env=Counter(), start=1000, preprocessing=spec)
    seen = []

    class Watch(Callback):
        def on_timestep_end(self, timestep, logs=None):
            stacked, raw = logs["next_observation"][0], logs["raw_next_observation"][0]
            np.testing.assert_array_equal(stacked[:, -3:], raw)
            np.testing.assert_array_equal(logs["observation"][0][:, -3:], logs["raw_observation"][0])
            np.testing.assert_array_equal(logs["reward"], 10.0 * np.minimum(logs["raw_reward"], 1.0))

        def on_episode_end(self, episode, logs=None):
            seen.append((logs["episode_return"], logs["episode_length"]))

    history = agent.fit(make, steps=5 * n_envs, n_envs=n_envs, callbacks=[Watch()], verbose=0)
    got = views(agent, 5 * n_envs)
    times = got["observation.0"].reshape(-1, 4, 3)[:, :, 2].reshape(5, n_envs, 4)
    for env in range(n_envs):
        assert times[:, env].tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 0, 0], [0, 0, 0, 1]]
    times = got["next_observation.0"].reshape(-1, 4, 3)[:, :, 2].reshape(5, n_envs, 4)
    assert times[:, 0].tolist() == [[0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 1, 2]]
    assert got["reward"].max() == 10.0
    # Two whole episodes each: the second one's rewards are 100 and more.
    assert [length for _, length in seen] == [3] * n_envs + [2] * n_envs
    assert all(total >= 201 for total, _ in seen[n_envs:])
    assert np.nanmax(history.history["episode_return"]) > 100


def test_evaluation_reports_raw_returns(small):
    spec = {"reward": {"type": "scale", "scale": 0.0}}
    plain, agent = small("dqn"), small("dqn", preprocessing=spec)
    assert agent.evaluate("CartPole-v1", episodes=3) == plain.evaluate("CartPole-v1", episodes=3)


def test_neutral_preprocessing_changes_nothing(small):
    spec = {"float": [{"type": "scale", "scale": 1.0}], "reward": {"type": "clipping", "upper": 1e6}}
    plain, agent = small("dqn"), small("dqn", preprocessing=spec)
    for each in (plain, agent):
        each.fit("CartPole-v1", steps=60, n_envs=2, verbose=0)
    one, other = state_of(plain), state_of(agent)
    # The open episodes hold what was remembered of them.
    assert set(differences(one, other)) <= {"preprocessing", "open episodes"}
    assert plain.evaluate("CartPole-v1", 3) == agent.evaluate("CartPole-v1", 3)


# act and observe -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "changes"), [("dqn", {"exploration": 0.3}), ("ppo", {})])
def test_an_own_loop_learns_what_fit_learns(small, kind, changes):
    fitted, played = (small(kind, preprocessing=FULL, **changes) for _ in range(2))
    fitted.fit("CartPole-v1", steps=48, verbose=0)
    observation = play(played, gymnasium.make("CartPole-v1"), 48)
    assert played.updates == fitted.updates > 0 and played.episodes > 0
    played.act(observation)  # `fit` has seen it, where an episode has just ended
    assert statistics(played) == statistics(fitted)
    ours, theirs = played.memory.state(), fitted.memory.state()
    assert all(np.array_equal(ours[k], theirs[k]) for k in ours)
    assert all((a == b).all() for a, b in zip(played.get_weights(), fitted.get_weights()))


def test_independent_acts_and_evaluation_leave_everything_as_it_is(small):
    agent = small("dqn", preprocessing=FULL)
    play(agent, gymnasium.make("CartPole-v1"), 30)
    before = state_of(agent)
    agent.evaluate("CartPole-v1", episodes=2)
    agent.evaluate("CartPole-v1", episodes=2, deterministic=False)
    for seed in range(3):
        observation = np.random.default_rng(seed).normal(size=4).astype(np.float32)
        agent.act(observation, deterministic=True)
        agent(observation[None])
        agent.predict(observation[None], verbose=0)
    assert differences(before, state_of(agent)) == []


def test_one_observation_counts_once(small):
    agent = small("dqn", preprocessing={"float": "running_normalization"}, start=1000)
    x = np.eye(4, dtype=np.float32)
    weight = lambda: float(agent.preprocessing.statistics()[0][0]["weight"])  # noqa: E731
    agent.act(x[0])
    agent.act(x[0], independent=True)
    assert weight() == 1
    agent.observe(1.0, False, False, x[1])
    agent.act(x[1])
    assert weight() == 2
    agent.observe(1.0, False, False, x[1])
    agent.act(x[2])  # another one in its place
    assert weight() == 4
    agent.observe(1.0, True, False, x[3])
    agent.act(x[3])  # an episode's first observation, though it looks like the last one's end
    assert weight() == 6


def test_a_deterministic_act_is_about_the_open_episode(small):
    agent = small("dqn", env=Counter(), preprocessing=STACK, start=1000)
    given = []
    answer = agent.actor.answer
    agent.actor.answer = lambda leaves, masks, deterministic: (
        given.append(leaves[0].reshape(4, 3)[:, 2].tolist()), answer(leaves, masks, deterministic)
    )[1]  # fmt: skip
    at = lambda time: np.float32([0, 0, time])  # noqa: E731
    agent.act(at(3), deterministic=True)
    agent.act(at(0))
    agent.observe(0.0, False, False, at(1))
    agent.act(at(1), deterministic=True)
    agent.act(at(7), deterministic=True)
    agent.act(at(1))
    agent.observe(0.0, True, False, at(2))
    agent.act(at(2), deterministic=True)
    assert given == [[3, 3, 3, 3], [0, 0, 0, 1], [0, 0, 0, 7], [2, 2, 2, 2]]


class Seen(Counter):
    """Shows a black image."""

    metadata = {"render_fps": 30}
    render_mode = "rgb_array"

    def render(self):
        return np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize("by", ["player", "rendering"])
def test_a_player_goes_through_episodes_and_changes_nothing(small, by):
    spec = {"float": ["running_normalization", STACK["float"]]}
    agent, env = small("dqn", env=Seen(), preprocessing=spec, start=1000), Seen(lengths=(3, 2))
    given = []
    answer = agent.actor.answer
    agent.actor.answer = lambda leaves, masks, deterministic: (
        given.append(leaves[0].reshape(4, 3)[:, 2].tolist()), answer(leaves, masks, deterministic)
    )[1]  # fmt: skip
    before = state_of(agent)
    if by == "rendering":
        list(rendering._play(agent, env, 2, None, True, 0, [], [], rendering._image))
    else:
        player = agent.player()
        for length in (3, 2):
            player.reset()
            for time in range(length):
                player.act(np.float32([0, 0, time]), deterministic=False)
    assert given == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 2], [0, 0, 0, 0], [0, 0, 0, 1]]
    assert differences(before, state_of(agent)) == []


def test_a_fit_in_between_ends_the_open_episode(small):
    agent = small("dqn", env=Counter(), preprocessing=STACK, start=1000)
    agent.act(np.float32([0, 0, 5]))
    agent.observe(0.0, False, False, np.float32([0, 0, 6]))
    agent.fit(Counter(), steps=3, verbose=0)
    agent.act(np.float32([0, 0, 9]))
    agent.observe(0.0, False, False, np.float32([0, 0, 10]))
    assert agent.memory.storage.views["observation.0"][4].tolist() == [0, 0, 9] * 4


def test_batches_take_each_row_for_a_first_observation(small):
    agent = small("dqn", env=Counter(), preprocessing=STACK)
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    expected = agent.actor.decide([np.tile(x, 4)], None, True)[0]
    np.testing.assert_array_equal(agent(x), expected)
    np.testing.assert_array_equal(agent.predict(x, batch_size=4, verbose=0), expected)
    agent.compile(jit_compile=True)
    np.testing.assert_array_equal(agent.predict(x, batch_size=4, verbose=0), expected)
    assert agent.jit_compile


def test_observations_with_masks(small):
    env = Identity(spaces.Discrete(4), masks="observation", legal=0.5)
    spec = {"int": {"type": "sequence", "length": 2, "concatenate": False}}
    agent = small("dqn", env=env, exploration=0.5, start=4, preprocessing=spec)
    assert agent.processed_space["target"].shape == (2,)
    assert agent.processed_space["action_mask"] == env.observation_space["action_mask"]
    observation, _ = env.reset(seed=1)
    for _ in range(12):
        action = agent.act(observation)
        assert np.asarray(observation["action_mask"])[action]
        observation, reward, terminated, truncated, _ = env.step(action)
        agent.observe(reward, terminated, truncated, observation)
        if terminated or truncated:
            observation, _ = env.reset()
    agent.fit(env, steps=12, verbose=0)
    assert agent.memory.masked


# Files -----------------------------------------------------------------------------------------------------


def test_configurations_make_the_same_agent(small):
    agent = small("dqn", preprocessing=FULL)
    config = json.loads(json.dumps(agent.get_config()))
    again = kagent.Agent.from_config({**config})
    assert again.get_config()["preprocessing"] == config["preprocessing"]
    assert again.processed_space == agent.processed_space
    assert small("dqn").get_config()["preprocessing"] is None
    made = kagent.Agent.create({"agent": "dqn", "preprocessing": FULL, "memory": 100}, "CartPole-v1")
    assert made.processed_space == agent.processed_space


@pytest.mark.parametrize(
    "how, loop", [("keras", "own"), ("weights", "fit"), *map(thorough, [("keras", "fit"), ("weights", "own")])]
)
def test_a_loaded_agent_goes_on_as_the_saved_one(small, tmp_path, how, loop):
    def go(agent, env, steps):
        if loop == "fit":
            agent.fit("CartPole-v1", steps=steps, n_envs=2, verbose=0)
        else:
            play_on(agent, env, steps)

    def play_on(agent, env, steps):
        for step in range(steps):
            action = agent.act(np.full(4, step % 7, np.float32))
            assert action in (0, 1)
            agent.observe(1.0, step % 7 == 6, False, np.full(4, step % 7 + 1, np.float32))

    agent = small("dqn", preprocessing=FULL)
    go(agent, None, 38)  # in mid-episode
    if how == "keras":
        agent.save(tmp_path / "a.keras", include_memory=True)
        twin = kagent.load(tmp_path / "a.keras")
        twin.jit_compile = False
    else:
        agent.save_weights(tmp_path / "a.weights.h5")
        twin = small("dqn", preprocessing=FULL, seed=5)
        twin.load_weights(tmp_path / "a.weights.h5")
    assert differences(state_of(agent), state_of(twin)) == []
    for each in (agent, twin):
        go(each, None, 30)
    assert differences(state_of(agent), state_of(twin)) == []


def test_a_file_of_other_preprocessing_is_refused_and_changes_nothing(small, tmp_path):
    agent, path = small("dqn", preprocessing="running_normalization"), tmp_path / "a.weights.h5"
    agent.fit("CartPole-v1", steps=10, verbose=0)
    agent.save_weights(path)
    other = small("dqn", preprocessing={"type": "running_normalization", "clip": 5.0})
    other.fit("CartPole-v1", steps=5, verbose=0)
    before = state_of(other)
    with pytest.raises(ValueError, match="The file's `preprocessing` is not the agent's"):
        other.load_weights(path)
    assert differences(before, state_of(other)) == []
    with pytest.raises(ValueError, match="The file's `preprocessing` is not the agent's"):
        small("dqn").load_weights(path)


def test_an_undone_load_brings_statistics_back(small, tmp_path):
    # The networks differ: what is found after the statistics were read.
    agent, path = small("dqn", preprocessing="running_normalization"), tmp_path / "a.weights.h5"
    agent.fit("CartPole-v1", steps=10, verbose=0)
    agent.save_weights(path)
    other = small("dqn", preprocessing="running_normalization", network={"type": "mlp", "units": [5]})
    other.fit("CartPole-v1", steps=7, verbose=0)
    before = state_of(other)
    with pytest.raises((ValueError, UserWarning)):
        other.load_weights(path)
    assert differences(before, state_of(other)) == []


@pytest.mark.parametrize(
    "change", [{"weight": np.array(-1.0)}, {"mean": np.zeros(3)}, {"variance": np.full(4, -1.0)}, {"mean": np.full(4, np.inf)},
               {"mean": np.zeros(4, np.float32)}, {"more": np.zeros(4)}],
    ids=["weight", "shape", "variance", "infinite", "dtype", "more"],
)  # fmt: skip
def test_damaged_statistics_are_refused(small, change):
    agent = small("dqn", preprocessing="running_normalization")
    before = agent.preprocessing.statistics()
    (first, *_), *others = before
    with pytest.raises(ValueError, match="The statistics of `preprocessing`"):
        agent.preprocessing.set_statistics([[{**first, **change}], *others])
    assert kagent.files.json_arrays.dump({"all": before}) == statistics(agent)


def test_the_fast_actor_of_a_file_is_refused_by_name(small, tmp_path):
    agent = small("dqn", preprocessing=STACK)
    agent.save(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"cannot compute.*processed by.*Sequence.*kagent\.load"):
        kagent.acting.load(tmp_path / "a.keras")
    with pytest.raises(ValueError, match="The actor of an agent with `preprocessing` cannot be saved"):
        agent.actor.save(tmp_path / "actor")


class Killed(Exception):
    pass


def test_killed_and_resumed_is_uninterrupted(small, tmp_path):
    def fit(agent, *callbacks):
        arguments = {"steps": 90, "steps_per_epoch": 29, "n_envs": 2, "verbose": 0}
        agent.fit("CartPole-v1", callbacks=list(callbacks), **arguments)
        return agent

    def kill(epoch, logs):
        if epoch == 1:
            raise Killed

    whole = fit(small("dqn", preprocessing=FULL))
    with pytest.raises(Killed):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        fit(small("dqn", preprocessing=FULL), backup, keras.callbacks.LambdaCallback(on_epoch_end=kill))
    resumed = fit(small("dqn", preprocessing=FULL, seed=9), keras.callbacks.BackupAndRestore(tmp_path / "backup"))
    assert differences(state_of(resumed), state_of(whole)) == []


# Traces ----------------------------------------------------------------------------------------------------


def test_traces_are_raw_and_pretraining_processes_them_as_fit_did(small, tmp_path):
    """Also of an agent with other preprocessing: a trace does not know any."""
    recording = small("dqn", env=Counter(), start=10_000, preprocessing=FULL)
    recording.fit(Counter(lengths=(3, 5)), episodes=2, callbacks=[Recorder(tmp_path, frequency=2)], verbose=0)
    trace = load_trace(trace_files(tmp_path)[0], Counter().observation_space, Counter().action_space)
    assert trace["observation"][:, 2].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]
    assert trace["final_observation"][:, 2].tolist() == [3, 5]
    assert (trace["reward"] // 100).tolist() == [0] * 3 + [1] * 5
    other = small("dqn", env=Counter(), preprocessing=FULL, batch_size=2)
    other.pretrain(tmp_path, num_iterations=1)
    for name, array in views(recording, 8).items():
        np.testing.assert_array_equal(array, views(other, 8)[name])
    # `fit` has seen one more: the first observation of an episode that goes on.
    weights = [float(agent.preprocessing.statistics()[0][0]["weight"]) for agent in (recording, other)]
    assert weights == [11.0, 10.0]
    plain = small("dqn", env=Counter(), batch_size=2)
    plain.pretrain(tmp_path, num_iterations=1)
    assert plain.memory.storage.views["observation.0"][:8, 2].tolist() == [0, 1, 2, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["ppo", "sac"])
def test_other_agents_train_with_it(small, kind):
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    agent = small(kind, preprocessing={"float": ["running_normalization", {"type": "sequence", "length": 2}],
                                       "reward": "running_normalization"})  # fmt: skip
    agent.fit(env, steps=40, n_envs=2, validation_env=env, validation_episodes=2, verbose=0)
    assert agent.updates > 0 and np.isfinite(agent.get_weights()[0]).all()


def test_images_stay_images(small):
    space = spaces.Box(0, 255, (20, 24, 3), np.uint8)
    spec = [{"type": "image", "height": 12, "width": 12, "grayscale": True}, {"type": "sequence", "length": 4}]
    agent = small("dqn", env=None, network="auto", observation_space=space, action_space=spaces.Discrete(2), preprocessing=spec,
                  memory=20)  # fmt: skip
    assert agent.processed_space == spaces.Box(0, 255, (12, 12, 4), np.uint8)
    assert agent.act(space.sample()) in (0, 1)
