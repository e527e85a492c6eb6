"""How a target follows that is given as an optimizer called synchronization."""

import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Identity

import kagent
from kagent.callbacks import Callback


class Watch(Callback):
    """Updates, the target's and the policy's first kernel after every update."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        kernels = [getattr(self.model, role).variables[0].numpy() for role in ("target_policy", "policy")]
        self.seen.append((self.model.updates, *kernels))


@pytest.mark.parametrize("weight, frequency", [(1.0, 1), (0.01, 1), (1.0, 3), (0.25, 2)])
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
