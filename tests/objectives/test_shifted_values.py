"""Values of next observations over a rollout of images: those that are in it are not computed again."""

from __future__ import annotations

import dataclasses

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

import kagent
from kagent.memories import Transition
from kagent.objectives import LearningContext, rollouts

STEPS, ENVS = 5, 2
IMAGE = gymnasium.spaces.Box(0, 255, (23, 23, 1), np.uint8)
SMALL = {"type": "cnn", "filters": [2], "kernels": [5], "strides": [4], "units": [4]}


def picture(number):
    return np.random.default_rng(number).integers(0, 255, IMAGE.shape, np.uint8)


def filled(critic, nested):
    """An agent whose rollout has an end, a cut, and an episode that goes on elsewhere unannounced."""
    space = gymnasium.spaces.Dict(image=IMAGE, place=gymnasium.spaces.Discrete(9)) if nested else IMAGE
    agent = kagent.PPO(
        observation_space=space, action_space=gymnasium.spaces.Discrete(3), n_steps=STEPS, n_envs=ENVS, batch_size=5, seed=0,
        critic=critic, network=None if nested else SMALL,
    )  # fmt: skip
    agent.compile(jit_compile=False)
    memory = agent.memory
    memory.build(agent._observation, agent._action, masked=True, num_envs=ENVS)
    number, here = 100, [1, 2]
    for step in range(STEPS):
        after = [here[0] + 10, here[1] + 10]
        terminated, truncated = np.array([step == 1, False]), np.array([False, step == 2])
        mask = [np.array([[True, True, step % 2 == 0]] * ENVS)]
        other = [np.array([[True, True, step % 2 == (1 if step != 3 else 0)]] * ENVS)]
        leaves = [[np.stack([picture(n) for n in numbers])] for numbers in (here, after)]
        if nested:
            leaves = [[*leaf, np.array(numbers) % 9] for leaf, numbers in zip(leaves, (here, after))]
        reward = np.arange(ENVS) + 10.0 * step
        memory.append_step(
            Transition(leaves[0], [np.array([0, 1])], reward, terminated, truncated, leaves[1], mask, other)
        )
        here = list(after)
        for env in np.flatnonzero(terminated | truncated):
            number += 1
            here[env] = number
        if step == 0:
            here[1] = 77  # nobody said so
    return agent


def experience_of(agent):
    rows = STEPS * ENVS
    packed = agent.memory.storage.gather(tf.range(rows), (rows,))
    return agent.memory.experience({**packed, "indices": tf.zeros((1, 1), tf.int32)})[0]


@pytest.mark.parametrize("critic, nested", [("SharedStateValue", False), ("StateValue", True)])
def test_values_are_those_of_a_pass_over_the_next_observations(critic, nested, monkeypatch):
    agent = filled(critic, nested)
    experience = experience_of(agent)
    asked, values = [], rollouts.state_values

    def counted(context, observation, *rest):
        asked.append(tf.nest.flatten(observation)[0].shape[0])
        return values(context, observation, *rest)

    monkeypatch.setattr(rollouts, "state_values", counted)
    context = LearningContext.of(agent)
    assert context.any_size
    shifted = agent.objective.prepare(context, experience)
    # The last two rows; the end and the cut; the one that led elsewhere; and of timestep 3 both, whose masks were others.
    assert asked == [STEPS * ENVS, 2 + 2 + 1 + 2]
    whole = agent.objective.prepare(dataclasses.replace(context, any_size=False), experience)
    assert asked[2:] == [STEPS * ENVS] * 2
    for name in ("advantage", "return", "old_log_prob"):
        np.testing.assert_allclose(shifted[name], whole[name], rtol=1e-5, atol=1e-5)
    assert np.ptp(shifted["advantage"]) > 1.0
    compiled = tf.function(lambda: agent.objective.prepare(context, experience)["return"], autograph=False)
    np.testing.assert_allclose(compiled(), whole["return"], rtol=1e-5, atol=1e-5)


def test_where_the_rows_are_known_no_others_are_looked_for():
    """All but the end's: both last rows and both of timestep 3, in environment 1 the cut and the one that led elsewhere."""
    agent = filled("StateValue", False)
    experience = experience_of(agent)
    context = dataclasses.replace(LearningContext.of(agent), any_size=False)
    whole = agent.objective.prepare(context, experience)
    given = tf.constant([[4, 4], [3, 3], [3, 2], [3, 0]], tf.int64)
    acted = tf.reshape(tf.range(STEPS * ENVS, dtype=tf.float32), (STEPS, ENVS))
    known = agent.objective.prepare(context, {**experience, "bootstraps": given, "log_prob": acted})
    np.testing.assert_allclose(known["return"], whole["return"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(known["advantage"], whole["advantage"], rtol=1e-5, atol=1e-5)
    assert known["old_log_prob"].numpy().tolist() == list(range(STEPS * ENVS))
    too_few = agent.objective.prepare(context, {**experience, "bootstraps": given[:2]})
    assert np.abs(too_few["return"] - whole["return"]).max() > 1e-3


def test_small_observations_and_programs_of_xla_have_a_pass_of_their_own():
    small, large = (tf.zeros((3, 2, n), tf.float32) for n in (127, 128))
    assert (
        not rollouts._is_large((small,))
        and rollouts._is_large((large,))
        and rollouts._is_large([small, small[..., :1]])
    )
    agent = kagent.PPO("CartPole-v1", n_steps=4, batch_size=4, network={"type": "mlp", "units": [4]})
    agent.compile(jit_compile=True)
    assert not LearningContext.of(agent).any_size
