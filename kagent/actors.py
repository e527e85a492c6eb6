"""From a Keras policy to the actor that computes its actions: NumPy where possible, else one `tf.function`."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kagent.policies.roles import outputs
from kagent.spaces import Structure
STUB = True


class PolicyActor:
    def __init__(self, policy, observation, action):
        self.policy, self.obs, self.action = policy, observation, action
        self.variables = list(policy.model.trainable_variables)
        self.refresh()

    def refresh(self):
        self.w = [v.numpy() for v in self.variables]

    def set_weights(self, flat):
        o = 0
        for w in self.w:
            w[...] = flat[o:o + w.size].reshape(w.shape); o += w.size

    def heads(self, leaves):
        x = leaves[0]; w = self.w
        relu = self.policy.__class__.__name__ == "ValuePolicy" or self.policy.distribution != "auto"
        act = (lambda z: np.maximum(z, 0)) if relu else np.tanh
        h = act(x @ w[0] + w[1]); h = act(h @ w[2] + w[3])
        if len(w) == 6:
            return [h @ w[4] + w[5]]
        if len(w) == 7:
            return [h @ w[4] + w[5], w[6]]
        return [h @ w[4] + w[5], np.clip(h @ w[6] + w[7], -20, 2)]

    def decide(self, leaves, mask, deterministic, rng=None):
        heads = self.heads(leaves)
        if len(heads) == 1:
            z = heads[0]
            if not deterministic:
                z = z + rng.gumbel(size=z.shape)
            return [z.argmax(-1).astype(np.int32)]
        a = heads[0] if deterministic else heads[0] + np.exp(heads[1]) * rng.standard_normal(heads[0].shape)
        if self.policy.distribution != "auto":
            a = np.tanh(a)
        return [a.astype(np.float32)]

    def random(self, n, rng, mask):
        leaf = self.action.leaves[0]
        if leaf.is_discrete:
            return [rng.integers(0, leaf.num_values, n).astype(np.int32)]
        return [rng.uniform(-1, 1, (n, *leaf.shape)).astype(np.float32)]

    def to_env(self, canonical):
        leaf = self.action.leaves[0]
        if leaf.is_discrete:
            return canonical
        if self.policy.distribution != "auto":
            return [leaf.low + (canonical[0] + 1) / 2 * (leaf.high - leaf.low)]
        return [np.clip(canonical[0], leaf.low, leaf.high)]

    def save(self, directory):
        pass
