"""Environments as functions of tensors, beside gymnasium's and as vector environments."""

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium.vector import AutoresetMode

import kagent
from kagent.environments import compiled
from kagent.testing import check_environments


class NumPyCatch(gymnasium.Env):
    """The rules of `Catch` once more, in NumPy."""

    observation_space = gymnasium.spaces.Box(0, 255, (10, 5, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = [0, int(self.np_random.integers(5)), 2]
        return self.picture(), {}

    def step(self, action):
        row, column, paddle = self.state
        self.state = [row + 1, column, min(max(paddle + int(action) - 1, 0), 4)]
        done = row + 1 == 9
        return self.picture(), float((1 if column == self.state[2] else -1) if done else 0), done, False, {}

    def picture(self):
        row, column, paddle = self.state
        found = np.zeros((10, 5, 1), np.uint8)
        found[row, column] = found[9, paddle] = 255
        return found


KNOWN = {
    "CartPole-v1": compiled.CartPole(),
    "Pendulum-v1": compiled.Pendulum(),
    "Acrobot-v1": compiled.Acrobot(),
    "MountainCar-v0": compiled.MountainCar(),
    "MountainCarContinuous-v0": compiled.MountainCarContinuous(),
}


@pytest.mark.parametrize("name", KNOWN)
def test_equal_to_gymnasium(name):
    known = gymnasium.make(name, disable_env_checker=True)
    compiled.check_compiled(KNOWN[name], known, steps=500)
    assert KNOWN[name].max_episode_steps == known.spec.max_episode_steps


@pytest.mark.thorough
@pytest.mark.parametrize("name", KNOWN)
def test_equal_to_gymnasium_over_ten_thousand_steps(name):
    compiled.check_compiled(KNOWN[name], gymnasium.make(name, disable_env_checker=True), steps=10_000, seed=1)


def test_catch_is_the_game_of_its_rules():
    def set_state(env, state):
        env.state = [int(part) for part in state]

    compiled.check_compiled(compiled.Catch(), NumPyCatch(), steps=2_000, set_state=set_state)


def test_rare_states_are_equal_to_gymnasium_too():
    """Random play reaches neither the goal of a mountain car, nor the top speed of a pendulum or an acrobot."""
    for env, other, states in (
        (compiled.MountainCarContinuous(), "MountainCarContinuous-v0", [[0.44, 0.03], [-1.19, -0.05], [0.6, 0.07]]),
        (compiled.MountainCar(), "MountainCar-v0", [[0.49, 0.03], [-1.2, -0.07], [0.5, -0.01]]),
        (compiled.Pendulum(), "Pendulum-v1", [[1.5, 8.0], [-1.5, -8.0], [70.0, 1.0]]),
        (compiled.Acrobot(), "Acrobot-v1", [[3.0, 0.1, 12.5, 28.2], [-3.1, 3.1, -12.5, -28.2]]),
    ):
        env.initial = lambda seed, n, states=states: tf.constant(np.resize(states, (n, len(states[0]))), tf.float32)
        compiled.check_compiled(env, gymnasium.make(other, disable_env_checker=True), steps=100, tolerance=1e-4)


def test_a_difference_is_found():
    class Heavier(compiled.CartPole):
        def transition(self, state, action, seed):
            return super().transition(state, action, seed) * 1.001

    with pytest.raises(AssertionError, match=r"The observation differs: state .* action"):
        compiled.check_compiled(Heavier(), gymnasium.make("CartPole-v1", disable_env_checker=True), steps=100)
    with pytest.raises(AssertionError, match="`observation_space` differs"):
        compiled.check_compiled(compiled.CartPole(), gymnasium.make("Acrobot-v1", disable_env_checker=True))


def test_a_planted_fault_is_found():
    """A reward of one rare timestep, a limit that is one more, an end a little late, another dtype, what a wrapper does."""

    class Paid(compiled.CartPole):
        def reward(self, state, action, next_state):
            return tf.where(self.terminal(next_state), 0.0, 1.0)

    class Longer(compiled.CartPole):
        max_episode_steps = 501

    class Late(compiled.CartPole):
        def terminal(self, state):
            return tf.abs(state[:, 2]) > 13 * np.pi / 180

    class Wide(compiled.CartPole):
        observation_space = gymnasium.spaces.Box(
            *(
                np.asarray(end, np.float64)
                for end in (KNOWN["CartPole-v1"].observation_space.low, KNOWN["CartPole-v1"].observation_space.high)
            ),
            dtype=np.float64,
        )

        def observation(self, state):
            return tf.cast(state, tf.float64)

    known = gymnasium.make("CartPole-v1", disable_env_checker=True)
    scaled = gymnasium.wrappers.TransformReward(known, lambda reward: reward / 2)
    for env, other, message in (
        (Paid(), known, r"The reward differs: state .* Expected: 1.0. Received: 0.0"),
        (Longer(), known, "`max_episode_steps` differs. Expected: 500. Received: 501"),
        (Late(), known, r"The end of the episode differs: state .* Expected: 1.0. Received: 0.0"),
        (Wide(), known, "(?s)`observation_space` differs.*float64"),
        (compiled.CartPole(), scaled, r"The reward differs: state .* Expected: 0.5. Received: 1.0"),
    ):
        with pytest.raises(AssertionError, match=message):
            compiled.check_compiled(env, other, steps=2_000)


def test_an_environment_that_has_no_state_needs_a_function():
    class Drawn(NumPyCatch):
        def reset(self, *, seed=None, options=None):
            found = super().reset(seed=seed)
            self.place = self.__dict__.pop("state")
            return found

    with pytest.raises(ValueError, match="`set_state` must be a function that puts Drawn into a state"):
        compiled.check_compiled(compiled.Catch(), Drawn())


class Count(compiled.CompiledEnv):
    """The state is the timesteps of the episode, plus 100 times the number of the environment; it ends at 3."""

    observation_space = gymnasium.spaces.Box(0, 1000, (1,))
    action_space = gymnasium.spaces.Discrete(2, start=1)

    def initial(self, seed, n):
        return 100.0 * tf.range(n, dtype=tf.float32)

    def transition(self, state, action, seed):
        return state + tf.cast(action, tf.float32)

    def observation(self, state):
        return state[:, tf.newaxis]

    def reward(self, state, action, next_state):
        return tf.cast(action, tf.float32)

    def terminal(self, state):
        return tf.math.floormod(state, 100.0) >= 3.0


def walked(mode, actions, limit=None):
    env = Count(2)
    env.max_episode_steps = limit
    vector = compiled.as_gymnasium(env, autoreset_mode=mode)
    rows = [vector.reset(seed=0)[0][:, 0].tolist()]
    for action in actions:
        observation, reward, terminated, truncated, infos = vector.step(np.array([action, 1]))
        rows.append((observation[:, 0].tolist(), reward.tolist(), terminated.tolist(), truncated.tolist()))
        if "final_obs" in infos:
            rows.append([None if final is None else final.tolist() for final in infos["final_obs"]])
    return rows, vector


def test_next_step_mode_resets_in_the_step_after_the_end():
    rows, _ = walked(AutoresetMode.NEXT_STEP, [2, 2, 2, 2])
    assert rows[2] == ([4.0, 102.0], [2.0, 1.0], [True, False], [False, False])
    assert rows[3] == ([0.0, 103.0], [0.0, 1.0], [False, True], [False, False])
    assert rows[4] == ([2.0, 100.0], [2.0, 0.0], [False, False], [False, False])


def test_same_step_mode_gives_the_final_observation():
    rows, _ = walked(AutoresetMode.SAME_STEP, [2, 2, 1])
    assert rows[2] == ([0.0, 102.0], [2.0, 1.0], [True, False], [False, False])
    assert rows[3] == [[4.0], None]
    assert rows[4:] == [([1.0, 100.0], [1.0, 1.0], [False, True], [False, False]), [None, [103.0]]]


def test_disabled_mode_resets_what_the_mask_says():
    rows, vector = walked(AutoresetMode.DISABLED, [2, 2])
    assert rows[2] == ([4.0, 102.0], [2.0, 1.0], [True, False], [False, False])
    observation, _ = vector.reset(seed=3, options={"reset_mask": np.array([True, False])})
    assert observation[:, 0].tolist() == [0.0, 102.0]
    with pytest.raises(ValueError, match="reset_mask"):
        vector.reset(options={"reset_mask": [True]})
    with pytest.raises(ValueError, match=r"Received: \{'speed': 2\}"):
        vector.reset(options={"speed": 2})


def test_episodes_are_truncated_at_the_limit():
    rows, _ = walked(AutoresetMode.NEXT_STEP, [1, 1, 1, 1], limit=2)
    assert [row[3] for row in rows[1:]] == [[False, False], [True, True], [False, False], [False, False]]


@pytest.mark.parametrize("mode", AutoresetMode)
def test_as_gymnasium_keeps_the_rules_of_environments(mode):
    check_environments(compiled.as_gymnasium(compiled.Catch(3, rows=4), autoreset_mode=mode), steps=30)


def test_seeds_decide_on_episodes():
    vector = compiled.as_gymnasium(compiled.CartPole(3))
    first = vector.reset(seed=1)[0]
    np.testing.assert_array_equal(vector.reset(seed=1)[0], first)
    assert not np.array_equal(vector.reset(seed=2)[0], first)
    assert not np.array_equal(vector.reset()[0], vector.reset()[0])
    listed = vector.reset(seed=[5, 5, None])[0]
    np.testing.assert_array_equal(listed[0], listed[1])
    np.testing.assert_array_equal(vector.reset(seed=[7, 5, 6])[0][1], listed[1])
    with pytest.raises(ValueError, match="an integer or 3 of them"):
        vector.reset(seed=[1, 2])


def test_frames_are_those_of_the_environment():
    vector = compiled.as_gymnasium(compiled.Catch(2), render_mode="rgb_array")
    assert vector.render() is None
    vector.reset(seed=0)
    assert [frame.shape for frame in vector.render()] == [(160, 80, 3)] * 2
    with pytest.raises(ValueError, match="CartPole has no `render_frame`"):
        compiled.as_gymnasium(compiled.CartPole(), render_mode="rgb_array")


def test_evaluate_steps_it_as_a_vector_environment():
    agent = kagent.PPO(compiled.CartPole(num_envs=2), n_steps=8, batch_size=8, network={"units": [4]}, seed=0)
    assert agent.observation_space == compiled.CartPole.observation_space
    found = agent.evaluate(compiled.CartPole(num_envs=3), episodes=4, seed=1)
    assert found["episodes"] == 4


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("initial", lambda seed, n: tf.zeros((1,)), r"initial` must return tensors \(2, ...\), .* Received: \(1,\)"),
        ("initial", lambda seed, n: tf.zeros((2,)), r"initial` must return tensors \(3, ...\), .* Received: \(2,\)"),
        ("initial", lambda seed, n: (), r"initial` must return tensors \(2, ...\), .* Received: \(\)"),
        ("initial", lambda seed, n: tf.random.normal((n,)), "initial` must be pure"),
        ("transition", lambda s, a, seed: s + np.random.uniform(), "transition` must be pure"),
        (
            "transition",
            lambda s, a, seed: s if s[0] < 9 else -s,
            r"transition` cannot be part of a program: Op.*`bool`",
        ),
        ("reward", lambda s, a, n: tf.constant(s.numpy()), "reward` cannot be part of a program: Attr.* 'numpy'"),
        ("observation", lambda s: tf.reshape(s, (int(s[0]) + 2, 1)), "observation` cannot be part of a program"),
        ("transition", lambda s, a, seed: (s,), "nested as those of `initial`"),
        ("transition", lambda s, a, seed: tf.cast(s, tf.int32), r"float32 tensor \(2,\). Received: int32"),
        ("observation", lambda s: s, r"observation` must return a float32 tensor \(2, 1\)"),
        ("reward", lambda s, a, n: np.ones(2), "reward` must return a float32 tensor"),
        ("terminal", lambda s: s, "terminal` must return a bool tensor"),
        ("num_envs", None, "Count.num_envs` must be an integer"),
        ("max_episode_steps", 0, "max_episode_steps` must be an integer >= 1"),
        ("action_space", 2, "action_space` must be a gymnasium.Space"),
    ],
)
def test_what_a_class_returns_is_checked(name, wrong, message):
    env = Count(2)
    setattr(env, name, wrong)
    with pytest.raises(ValueError, match=message):
        compiled.as_gymnasium(env)


def test_others_are_refused():
    with pytest.raises(TypeError, match=r"must be a kagent.environments.compiled.CompiledEnv"):
        compiled.as_gymnasium(gymnasium.make("CartPole-v1"))
    with pytest.raises(ValueError, match="num_envs"):
        compiled.CartPole(num_envs=0)
