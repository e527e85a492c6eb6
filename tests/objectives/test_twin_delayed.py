"""Smoothed targets and a delayed policy: one gradient step against NumPy, and what moves when."""

import numpy as np
import pytest
import tensorflow as tf
from gradient_steps import LINEAR, RATE, SGD, heads, randomize, tensors
from gymnasium import spaces

import kagent
from kagent.distributions.distribution import normal
from kagent.objectives import TwinDelayedObjective

pytestmark = pytest.mark.eager

GENERATOR = np.random.default_rng(7)
SIZE = 4
BATCH = {
    "observation": GENERATOR.normal(size=(SIZE, 2)),
    "next_observation": GENERATOR.normal(size=(SIZE, 2)),
    "action": GENERATOR.uniform(-0.9, 0.9, (SIZE, 2)),
    "reward": np.array([1.0, -2.0, 0.5, 4.0]),
    "terminated": np.array([False, True, False, False]),
    "truncated": np.array([False, False, True, False]),
}


def agent_of(**changes):
    # Bounds of another size for each component, of which the last is fixed where it says so.
    box = changes.pop("box", spaces.Box(np.float32([-3, 10]), np.float32([3, 50])))
    agent = kagent.TD3(
        observation_space=spaces.Box(-5, 5, (2,)), action_space=box, network=LINEAR, discount=0.9, memory=20, batch_size=4,
        optimizer=SGD, critic_optimizer=SGD, seed=4, **changes,
    )  # fmt: skip
    for number, role in enumerate((agent.policy, agent.critic, agent.target_policy, agent.target_critic)):
        randomize(role, number + 1, 0.5)
    agent.compile(run_eagerly=True)
    return agent


def mu(policy, observation):
    return np.tanh(observation @ policy[0] + policy[1])


def values(critic, observation, action):
    inputs = np.concatenate([observation, action], axis=1)
    return [(inputs @ critic[2 * i] + critic[2 * i + 1])[:, 0] for i in range(len(critic) // 2)]


def noise_of(agent):
    """The standard normal numbers that the step at the agent's present time draws."""
    (seed,) = tf.unstack(tf.random.split(agent.step_seed(), 1, alg="philox"))
    return normal((SIZE, 2), seed).numpy().astype(np.float64)


@pytest.mark.parametrize("fixed", [False, True])
def test_one_gradient_step_of_the_critics(fixed):
    box = spaces.Box(np.float32([-3, 10]), np.float32([3, 10 if fixed else 50]))
    agent = agent_of(box=box, target_noise=0.5, target_noise_clip=0.4)
    critic, leader, judge = heads(agent.critic), heads(agent.target_policy), heads(agent.target_critic)
    draw = noise_of(agent) * np.array([1, 0 if fixed else 1])
    logs = agent.train_step(tensors(BATCH))
    noise = np.clip(0.5 * draw, -0.4, 0.4)
    assert (abs(noise) == 0.4).any() and ((0 < abs(noise)) & (abs(noise) < 0.4)).any()  # or nothing is tested
    following = np.clip(mu(leader, BATCH["next_observation"]) + noise, -1, 1)
    lowest = np.min(values(judge, BATCH["next_observation"], following), axis=0)
    target = BATCH["reward"] + 0.9 * ~BATCH["terminated"] * lowest
    errors = [target - value for value in values(critic, BATCH["observation"], BATCH["action"])]
    assert float(logs["critic_loss"]) == pytest.approx(sum(0.5 * np.mean(e**2) for e in errors), rel=1e-4)
    inputs = np.concatenate([BATCH["observation"], BATCH["action"]], axis=1)
    after = heads(agent.critic)
    for i, error in enumerate(errors):
        kernel = critic[2 * i] + RATE * (inputs * error[:, None]).mean(0)[:, None]
        np.testing.assert_allclose(after[2 * i], kernel, atol=1e-5)
        np.testing.assert_allclose(after[2 * i + 1], critic[2 * i + 1] + RATE * error.mean(), atol=1e-5)


def test_policy_and_targets_move_every_other_step():
    agent = agent_of(tau=0.25)
    roles = {name: getattr(agent, name) for name in ("policy", "critic", "target_policy", "target_critic")}
    moved = []
    for number in range(4):
        before = {name: heads(role) for name, role in roles.items()}
        clock = agent.clock._replace(updates=number)
        agent._clock.program = clock
        agent.train_step(tensors(BATCH))
        agent.target_networks.after_step(clock)
        agent._clock.program = None
        after = {name: heads(role) for name, role in roles.items()}
        moved.append([name for name in roles if any((a != b).any() for a, b in zip(before[name], after[name]))])
        if number % 2:  # the targets follow the networks of after the step
            for online, target in (("policy", "target_policy"), ("critic", "target_critic")):
                for new, old, leader in zip(after[target], before[target], after[online], strict=True):
                    np.testing.assert_allclose(new, 0.25 * leader + 0.75 * old, atol=1e-6)
    assert moved == [["critic"], [*roles]] * 2


def test_the_policy_delay_is_that_of_the_targets():
    agent = agent_of(policy_delay=3)
    assert (agent.objective.policy_delay, agent.target.period, agent.target.unit) == (3, 3, "updates")


def test_the_noise_of_exploration_is_in_half_ranges():
    agent = agent_of(start=7)
    assert agent.exploration == kagent.ActionNoise(0.1, sample=False, relative=True, random_steps=7)
    assert agent_of(exploration={"action": 0.3}).exploration.relative
    assert agent_of(exploration=kagent.ActionNoise(0.3)).exploration == kagent.ActionNoise(0.3)
    linear = {"type": "linear", "initial": 0.5, "final": 0.0}
    assert agent_of(exploration=linear).exploration.relative


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy_delay": 0}, r"`objective.policy_delay` must be an integer >= 1. Received: 0"),
        ({"policy_delay": 1.5}, r"`objective.policy_delay` must be an integer >= 1. Received: 1.5"),
        ({"target_noise": -0.1}, r"`objective.target_noise`.*Received: -0.1"),
        ({"target_noise_clip": float("nan")}, r"`objective.target_noise_clip`.*Received: nan"),
    ],
)
def test_arguments_outside_their_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        agent_of(**arguments)
    with pytest.raises(ValueError, match=message):
        TwinDelayedObjective(**arguments)
