"""How a target follows that is given as an optimizer called synchronization."""

import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Identity
from variants import with_few

import kagent
from kagent.callbacks import Callback
from kagent.schedules import Linear


class Watch(Callback):
    """Updates, the target's and the policy's first kernel after every update."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        kernels = [getattr(self.model, role).variables[0].numpy() for role in ("target_policy", "policy")]
        self.seen.append((self.model.updates, *kernels))


@pytest.mark.parametrize(
    "weight, frequency", with_few([(1.0, 1), (0.01, 1), (1.0, 3), (0.25, 2)], [(1.0, 1), (0.25, 2)])
)
def test_every_kth_update_moves_it_by_its_weight(weight, frequency):
    spec = {"type": "synchronization", "update_weight": weight, "sync_frequency": frequency}
    agent = kagent.DQN(
        Identity(spaces.Discrete(3)),
        network={"type": "mlp", "units": [8]},
        memory=100, batch_size=8, start=8, frequency=1, gradient_steps=1, learning_rate=0.05, seed=0,
        target=kagent.optimizers.synchronization(spec),
    )  # fmt: skip
    agent.compile(jit_compile=False)
    watch, followed = Watch(), agent.target_policy.variables[0].numpy()
    agent.fit(Identity(spaces.Discrete(3)), steps=16, callbacks=[watch], verbose=0)
    assert [entry[0] for entry in watch.seen] == list(range(1, 10))
    for updates, target, online in watch.seen:
        if updates % frequency == 0:
            followed = online if weight == 1 else followed + np.float32(weight) * (online - followed)
        if weight == 1:
            np.testing.assert_array_equal(target, followed)
        np.testing.assert_allclose(target, followed, atol=1e-6)
        followed = target


def test_weight_and_frequency_may_be_schedules():
    weight, frequency = Linear(0.8, 0.2, 6, "updates"), {
        "type": "piecewise_constant", "unit": "updates", "boundaries": [4], "values": [1, 3]
    }  # fmt: skip
    agent = kagent.Agent(
        Identity(spaces.Discrete(3)), objective="action_value", memory=100, reward_estimation={"discount": 0.9},
        update={"unit": "timesteps", "batch_size": 4, "frequency": 1}, policy={"network": {"type": "mlp", "units": [4]}},
        baseline_optimizer={"type": "synchronization", "update_weight": weight, "sync_frequency": frequency},
        optimizer={"type": "sgd", "learning_rate": 0.5}, seed=0, execution={"jit_compile": False},
    )  # fmt: skip
    watch, followed = Watch(), agent.target_policy.variables[0].numpy()
    agent.fit(Identity(spaces.Discrete(3)), steps=13, callbacks=[watch], verbose=0)
    moves = []
    for updates, target, online in watch.seen:
        before = updates - 1  # what time it is in the step
        share = max(0.8 - 0.1 * before, 0.2) if before <= 4 or updates % 3 == 0 else 0.0
        moves.append(share > 0)
        np.testing.assert_allclose(target, followed + np.float32(share) * (online - followed), atol=1e-6)
        followed = target
    assert moves == [True] * 6 + [False, False, True, False]


def test_the_weight_of_targets_that_follow_timesteps_may_be_a_schedule(small):
    agent = small("dqn", tau=Linear(0.9, 0.1, 40, "timesteps"), target_update_period=8, frequency=8, learning_rate=0.01)
    watch, followed = Watch(), agent.target_policy.variables[0].numpy()
    leader = agent.policy.variables[0].numpy()
    agent.fit("CartPole-v1", steps=32, callbacks=[watch], verbose=0)
    for timesteps, (_, target, online) in zip((16, 24, 32), watch.seen, strict=True):
        followed = followed + np.float32(0.9 - 0.02 * timesteps) * (leader - followed)  # before the update
        np.testing.assert_allclose(target, followed, atol=1e-6)
        leader = online
