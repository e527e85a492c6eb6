"""Action and observation components that their bounds fix, and random actions of integers."""

import numpy as np
import pytest
from gymnasium import spaces
from variants import with_few

import kagent
from kagent.schedules import Clock

FIXED = spaces.Box(np.float32([1, 0]), np.float32([1, 2]))
TINY = spaces.Box(np.float32([0, 0]), np.float32([1e-45, 2]))
FINE = spaces.Box(np.float64([0.1, 0]), np.float64([0.1, 2]), dtype=np.float64)  # no float32 is 0.1
SIZES = {"memory": 50, "start": 8, "batch_size": 4, "frequency": 4, "network": {"units": [8]}}
ROLLOUT = {"n_steps": 8, "batch_size": 8, "epochs": 1}
AGENTS = {
    "dpg": (kagent.DPG, {**SIZES, "exploration": "ornstein_uhlenbeck"}),
    "dpg with normal noise": (kagent.DPG, {**SIZES, "exploration": 0.3}),
    "td3": (kagent.TD3, {**SIZES, "start": 4}),
    "sac": (kagent.SAC, {**SIZES, "exploration": {"type": "sampling", "random_steps": 4}}),
    "ppo": (kagent.PPO, {**ROLLOUT, "network": {"units": [8]}}),
    "ppo beta": (
        kagent.PPO,
        {**ROLLOUT, "policy": {"type": "stochastic", "distribution": "beta", "network": {"units": [8]}}},
    ),
}  # fmt: skip


@pytest.mark.eager
@pytest.mark.parametrize(
    ("name", "space"),
    with_few(
        [*((name, FIXED) for name in AGENTS), ("dpg", TINY), ("sac", FINE), ("ppo beta", FINE)],
        [("td3", FIXED), ("ppo", FIXED), ("dpg", TINY), ("sac", FINE), ("ppo beta", FINE)],
    ),
)
def test_agents_act_and_learn_with_a_fixed_component(name, space):
    preset, arguments = AGENTS[name]
    observation = spaces.Box(np.float32([1, -1]), np.float32([1, 1]))
    processing = {"float": ["linear_normalization", "running_normalization"]}
    agent = preset(observation_space=observation, action_space=space, seed=0, preprocessing=processing, **arguments)
    agent.compile(run_eagerly=True)
    for _ in range(20):
        action = agent.act(np.float32([1, 0.5]))
        assert space.contains(action), action
        agent.observe(float(action[1]), False, False, np.float32([1, 0.5]))
    assert agent.updates > 0
    assert all(np.isfinite(variable).all() for variable in agent.variables)


WAYS = {
    "random": lambda space: kagent.Random(observation_space=FIXED, action_space=space, seed=0),
    "start steps": lambda space: kagent.SAC(
        observation_space=FIXED, action_space=space, seed=0, memory=50, batch_size=4, network={"units": [4]},
        exploration={"type": "sampling", "random_steps": 10_000},
    ),
    "epsilon": lambda space: kagent.DPG(
        observation_space=FIXED, action_space=space, seed=0, memory=50, batch_size=4, network={"units": [4]},
        exploration={"type": "epsilon_greedy", "initial": 1.0, "final": 1.0},
    ),
}  # fmt: skip


@pytest.mark.sensitive
@pytest.mark.parametrize("way", WAYS)
def test_random_integers_come_a_third_each(way):
    agent = WAYS[way](spaces.Box(0, 2, (1,), np.int32))
    leaves = [np.zeros((9000, 2), np.float32)]
    drawn = agent.explorer.decide(agent.actor, leaves, None, Clock(), np.random.default_rng(0))
    counts = np.bincount(agent.actor.to_env(drawn)[0].ravel(), minlength=3)
    assert counts.sum() == 9000 and abs(counts - 3000).max() < 6 * np.sqrt(9000 * 2 / 9)  # six deviations
