"""When targets move, and how far."""

import gymnasium
import numpy as np
import pytest
from gradient_steps import heads, randomize, tensors

from kagent.callbacks import Callback
from kagent.learning.learner import gradient_step
from kagent.training.update_cycle import UpdateTask

pytestmark = pytest.mark.eager


class Watch(Callback):
    """After every learner call: timesteps, updates, and the target's and the policy's first kernel."""

    def __init__(self, role):
        super().__init__()
        self.role, self.seen = role, []

    def on_train_batch_end(self, batch, logs=None):
        agent = self.model
        kernels = [getattr(agent, name).variables[0].numpy().copy() for name in (f"target_{self.role}", self.role)]
        self.seen.append((agent.timesteps, agent.updates, *kernels))


def test_targets_begin_as_copies(small):
    for kind, role in (("dqn", "policy"), ("sac", "critic")):
        agent = small(kind)
        for target, online in zip(heads(getattr(agent, f"target_{role}")), heads(getattr(agent, role)), strict=True):
            np.testing.assert_array_equal(target, online)


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_a_move_goes_the_part_tau(small, tau):
    agent = small("dqn", tau=tau)
    randomize(agent.policy, 1)
    before, leader = heads(agent.target_policy), heads(agent.policy)
    agent.target_networks.move(agent.clock)
    for moved, old, new in zip(heads(agent.target_policy), before, leader, strict=True):
        np.testing.assert_allclose(moved, (1 - tau) * old + tau * new, rtol=1e-5, atol=1e-6)
    for now, new in zip(heads(agent.policy), leader, strict=True):
        np.testing.assert_array_equal(now, new)


def test_a_period_in_timesteps(small):
    # Updates at 16, 20, 24 ...; a move before the first update at or after each multiple of 10.
    agent = small("dqn", frequency=4, target_update_period=10, learning_rate=1e-2)
    watch = Watch("policy")
    start = agent.policy.variables[0].numpy().copy()
    agent.fit(gymnasium.make("CartPole-v1"), steps=48, callbacks=[watch], verbose=0)
    assert [entry[0] for entry in watch.seen] == list(range(16, 49, 4))
    followed = start
    for (timesteps, _, target, policy), leader in zip(watch.seen, [start, *(entry[3] for entry in watch.seen)]):
        if timesteps // 10 > (timesteps - 4 if timesteps > 16 else 0) // 10:
            followed = leader  # the network as it was before this update
        np.testing.assert_array_equal(target, followed, err_msg=f"{timesteps}")
        assert not np.array_equal(target, policy)


def test_a_period_in_gradient_steps(small):
    target = {"type": "Target", "tau": 1.0, "period": 3, "unit": "updates"}
    agent = small("dqn", frequency=4, gradient_steps=1, target=target, learning_rate=1e-2)
    watch = Watch("policy")
    agent.fit(gymnasium.make("CartPole-v1"), steps=60, callbacks=[watch], verbose=0)
    followed = None
    for _, updates, target, policy in watch.seen:
        if updates % 3 == 0:
            followed = policy
            np.testing.assert_array_equal(target, policy)
        elif followed is not None:
            np.testing.assert_array_equal(target, followed)
    assert len(watch.seen) > 6


def test_targets_follow_what_the_step_has_just_made(small):
    agent = small("sac", tau=0.5)
    randomize(agent.critic, 1)
    before = heads(agent.target_critic)
    batch = {
        "observation": np.ones((8, 3), np.float32), "next_observation": np.ones((8, 3), np.float32),
        "action": np.zeros((8, 1), np.float32), "reward": np.ones(8, np.float32),
        "terminated": np.zeros(8, bool), "truncated": np.zeros(8, bool),
    }  # fmt: skip
    gradient_step(agent, UpdateTask(agent), tensors(batch))
    expected = [0.5 * old + 0.5 * new for old, new in zip(before, heads(agent.critic))]
    for moved, value in zip(heads(agent.target_critic), expected, strict=True):
        np.testing.assert_allclose(moved, value, rtol=1e-5, atol=1e-6)


def test_the_polyak_average_of_sac_moves_at_every_gradient_step(small):
    agent = small("sac", tau=0.5, gradient_steps=3, frequency=3, start=18)
    watch = Watch("critic")
    agent.fit(gymnasium.make("Pendulum-v1"), steps=18, callbacks=[watch], verbose=0)
    ((timesteps, updates, target, online),) = watch.seen
    assert (timesteps, updates) == (18, 3)
    one = small("sac", tau=0.5, gradient_steps=1, frequency=18, start=18)
    single = Watch("critic")
    one.fit(gymnasium.make("Pendulum-v1"), steps=18, callbacks=[single], verbose=0)
    assert not np.allclose(target, single.seen[0][2])
    assert not np.allclose(target, online)
