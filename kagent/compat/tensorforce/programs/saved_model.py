"""A policy as a SavedModel that acts as Tensorforce's do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.files.atomic_files import errors_of_tensorflow, replacing_folder
from kagent.policies import StochasticPolicy
from kagent.policies.greedy_actions import as_declared
from kagent.saving import exporting
from kagent.spaces import Leaf


def write(model: Any, place: Path) -> None:
    """Writes the policy of an agent of kagent's.

    A program without kagent has, from `tf.saved_model.load(place)`, `serve(states)` as `kagent.Agent.export` says, and
    `act(states, auxiliaries, deterministic)`: of a batch of states the actions. `auxiliaries` are the masks of actions of type int,
    bools `{"mask": (N, *shape, num_values)}`, by the names of several actions; without actions of this type there are none. With
    `deterministic` False the actions of a policy of probabilities are drawn.

    Raises:
        ValueError: The policy is recurrent, or has no best action; or the folder holds something else.
        OSError: As `kagent.Agent.export`.
    """
    exporting.check_policy(model, "saved-model")
    acting = _Acting(model)
    states = exporting.signature(model)
    masks = {leaf.path: _mask_spec(leaf) for leaf in model._action.leaves if _is_masked(leaf)}
    deterministic = tf.TensorSpec((), tf.bool, "deterministic")
    archive = keras.export.ExportArchive()
    archive.track(acting)
    archive.add_endpoint("serve", acting.call, states)
    if masks:
        archive.add_endpoint("act", acting.act, [*states, _nested(masks), deterministic])
    else:
        archive.add_endpoint(
            "act", lambda states, deterministic: acting.act(states, {}, deterministic), [*states, deterministic]
        )
    with replacing_folder(place, exporting.SAVED_MODEL) as temporary, errors_of_tensorflow():
        archive.write_out(str(temporary), verbose=False)


class _Acting(exporting.GreedyPolicy):
    """A greedy policy that samples, too, and takes masks."""

    def __init__(self, agent: Any):
        super().__init__(agent)
        action = agent._action
        self._to_env = lambda chosen: action.unflatten(
            [as_declared(leaf, one) for leaf, one in zip(action.leaves, self.policy.joint.to_env(chosen))]
        )
        self._masked = lambda: [leaf if _is_masked(leaf) else None for leaf in action.leaves]

    def act(self, states: Any, auxiliaries: Any, deterministic: tf.Tensor) -> Any:
        """Actions for a batch of states."""
        masks = [None if leaf is None else _mask_of(leaf, auxiliaries) for leaf in self._masked()]
        joint, heads = self.policy.joint, self.policy.heads(self._leaves(states))
        heads = heads if all(mask is None for mask in masks) else joint.mask(heads, masks)
        chosen = joint.mode(heads)
        if isinstance(self.policy, StochasticPolicy):
            drawn = joint.sample(heads, tf.random.uniform((2,), maxval=tf.int32.max, dtype=tf.int32))
            chosen = [tf.where(deterministic, best, one) for best, one in zip(chosen, drawn)]
        return self._to_env(chosen)


def _is_masked(leaf: Leaf) -> bool:
    return leaf.is_discrete and leaf.type == "int"


def _mask_spec(leaf: Leaf) -> tf.TensorSpec:
    assert leaf.nvec is not None
    nvec = np.ravel(leaf.nvec)
    shape = (*leaf.shape, int(nvec[0])) if (nvec == nvec[0]).all() else (leaf.num_values,)
    return tf.TensorSpec((None, *shape), tf.bool, "_".join((*map(str, leaf.path), "mask")))


def _mask_of(leaf: Leaf, auxiliaries: Any) -> tf.Tensor:
    for name in leaf.path:
        auxiliaries = auxiliaries[name]
    return tf.reshape(auxiliaries["mask"], (-1, leaf.num_values))


def _nested(specs: dict[tuple[str | int, ...], tf.TensorSpec]) -> dict[str | int, Any]:
    """The specs of masks by the names of their actions."""
    nested: dict[str | int, Any] = {}
    for path, spec in specs.items():
        inner = nested
        for name in path:
            inner = inner.setdefault(name, {})
        inner["mask"] = spec
    return nested
