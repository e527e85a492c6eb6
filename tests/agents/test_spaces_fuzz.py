"""Any nesting of spaces with any preset that takes it: construct, train, act, save, load."""

import tempfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import kagent

SHAPES = st.sampled_from([(), (1,), (3,), (2, 2), (1, 2, 2)])
FLOATS = [np.float32, np.float64, np.float16]
INTEGERS = [np.uint8, np.int16, np.int32, np.int64]
KEYS = st.sampled_from(["a", "b", "position", "a/b", "ü", "0"])


@st.composite
def boxes(draw, dtypes, bounded):
    shape, dtype = draw(SHAPES), draw(st.sampled_from(dtypes))
    if np.issubdtype(dtype, np.integer):
        return spaces.Box(0, draw(st.sampled_from([1, 100])), shape, dtype)
    if not bounded and draw(st.booleans()):
        return spaces.Box(-np.inf, draw(st.sampled_from([np.inf, 1.0])), shape, dtype)
    low = draw(st.sampled_from([-1.0, -3.5, 0.0]))
    return spaces.Box(low, low + draw(st.sampled_from([0.5, 2.0])), shape, dtype)


discretes = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 4), start=st.integers(-3, 3)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 3), min_size=1, max_size=3)),
    st.just(spaces.MultiDiscrete([[2, 3], [1, 2]], start=[[0, -1], [5, 2]])),
    st.builds(spaces.MultiBinary, st.sampled_from([1, 3, (2, 2)])),
)
image = st.just(spaces.Box(0, 255, (9, 9, 1), np.uint8))


def nested(leaves):
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.dictionaries(KEYS, inner, min_size=1, max_size=2).map(spaces.Dict),
            st.lists(inner, min_size=1, max_size=2).map(spaces.Tuple),
        ),
        max_leaves=4,
    )


observations = nested(st.one_of(discretes, boxes(FLOATS + INTEGERS, bounded=False), image))
actions = {
    "dqn": nested(discretes),
    "ppo": nested(st.one_of(discretes, boxes([np.float32, np.float64], bounded=False))),
    "sac": nested(boxes([np.float32, np.float64], bounded=True)),
}
ARGUMENTS = {
    "dqn": {"memory": 30, "start": 4, "batch_size": 4, "frequency": 4},
    "ppo": {"n_steps": 4, "batch_size": 5, "epochs": 1},
    "sac": {"memory": 30, "start": 4, "batch_size": 4, "frequency": 4},
}


class Anything(gymnasium.Env):
    """Random observations, episodes of 1 to 4 steps, and an action space that is kept to."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(1, 5))
        return self.observation_space.sample(), {}

    def step(self, action):
        if not self.action_space.contains(action):
            raise AssertionError(f"{action!r} is not in {self.action_space}")
        self.left -= 1
        return self.observation_space.sample(), 1.0, False, self.left == 0, {}


def equal(left, right):
    for one, other in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        np.testing.assert_array_equal(one, other)


def tried(examples):
    """A failing case is not made smaller: at a second per try that takes minutes."""
    return settings(
        max_examples=examples,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.thorough
@tried(3)
@given(data=st.data())
def test_any_space_trains_acts_and_comes_back_from_a_file(data):
    comes_back(data, run_eagerly=True)


@pytest.mark.thorough
@tried(12)
@given(data=st.data())
def test_any_space_trains_by_a_program(data):
    comes_back(data, jit_compile=False)


def comes_back(data, **compiled):
    kind = data.draw(st.sampled_from(sorted(actions)))
    observation, action = data.draw(observations), data.draw(actions[kind])
    preset = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}[kind]
    agent = preset(Anything(observation, action), network={"type": "mlp", "units": [4]}, seed=0, **ARGUMENTS[kind])
    agent.compile(**compiled)
    agent.fit(lambda: Anything(observation, action), steps=16, n_envs=2, verbose=0)
    assert agent.updates > 0
    assert all(np.isfinite(v).all() for v in agent.variables)

    seen = [observation.sample() for _ in range(3)]
    for one in seen:
        for deterministic in (True, False):
            assert action.contains(agent.act(one, deterministic, independent=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.keras"
        agent.save(path)
        loaded = kagent.load(path)
        assert (loaded.observation_space, loaded.action_space) == (observation, action)
        for one in seen:
            equal(loaded.act(one, deterministic=True), agent.act(one, deterministic=True))
        actor = kagent.acting.load(path)
        for one in seen:
            equal(actor.act(one), agent.act(one, deterministic=True))


def test_actions_and_observations_without_an_axis():
    scalar = spaces.Box(-1, 1, ())
    for preset, arguments in ((kagent.SAC, ARGUMENTS["sac"]), (kagent.PPO, ARGUMENTS["ppo"])):
        agent = preset(Anything(scalar, scalar), network={"type": "mlp", "units": [4]}, seed=0, **arguments)
        agent.compile(run_eagerly=True)
        agent.fit(lambda: Anything(scalar, scalar), steps=16, n_envs=2, verbose=0)
        assert agent.updates > 0 and scalar.contains(agent.act(np.float32(0.5)))
