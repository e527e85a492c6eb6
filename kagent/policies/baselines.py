"""Policies that do not look at what they are shown, and learn nothing: what others are compared with."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import distributions, networks
from kagent.distributions.selection import BARE
from kagent.networks.backbones import MLP, Seeds
from kagent.networks.layers import StateIndependent
from kagent.policies.role import ROLES, Role, observed_masks
from kagent.spaces import Leaf, Structure


class _Fixed(Role):
    """Heads that are the same for every observation; its number of rows is all that is taken from it."""

    def __init__(self, **kwargs: Any):
        super().__init__(MLP(units=()), **kwargs)

    def get_part(self) -> dict[str, Any]:
        return {"type": type(self).__name__}

    def _make(self, observation: Structure, values: list[np.ndarray], seeds: Seeds, skip: tuple[int, ...]) -> None:
        def heads(features: Any) -> list[Any]:
            layers = [StateIndependent(value.size, trainable=False, name=f"head_{i}") for i, value in enumerate(values)]
            made = [layer(features) for layer in layers]
            for layer, value in zip(layers, values):
                layer.value.assign(value.ravel())
            return made

        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip)


@ROLES.register("random")
@keras.saving.register_keras_serializable("kagent")
class RandomPolicy(_Fixed):
    """Uniformly random actions, among those that the mask allows and between the bounds.

    A Box's component with a single bound is the bound plus or minus an exponential variable of mean 1, one without bounds
    is standard normal. Acting deterministically is as random: there is no best action.
    """

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return "random"

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        self.joint = distributions.Joint([distributions.for_leaf(leaf) for leaf in action.leaves])
        self._make(observation, [np.zeros(1) for _ in action.leaves], seeds, skip)

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """Refuses: a random policy has no best action.

        Raises:
            NotImplementedError: No action is the best.
        """
        raise NotImplementedError("A random policy has no best action; `agent.act(observation)` gives a random one")


@ROLES.register("constant")
@keras.saving.register_keras_serializable("kagent")
class ConstantPolicy(_Fixed):
    """The same action always.

    Where no value is given: of discrete actions the first that the mask allows; of a Box's components the middle of the
    bounds, or the only bound, or 0. Where the mask forbids the given value, the first allowed one is taken.

    Args:
        action_values: The action by the names of its leaves, in the environment's units; one that is not nested is
            named "action", or given as it is. A number stands for all components. Names may be left out.

    Raises:
        ValueError: At the agent's making: names that no action has, and values outside the action space.
        TypeError: Values that are not numbers.

    Example:

    >>> policy = ConstantPolicy({"steer": 0.0, "gear": 2})
    """

    temperature = 0.0  # the first of equal logits, never a sample

    def __init__(self, action_values: Any = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.action_values: dict[str, Any] | None
        if isinstance(action_values, Mapping):
            self.action_values = {str(name): _plain(value, str(name)) for name, value in action_values.items()}
        else:
            self.action_values = None if action_values is None else {BARE: _plain(action_values, BARE)}

    def get_part(self) -> dict[str, Any]:
        values = None if self.action_values is None else dict(self.action_values)
        return {**super().get_part(), "action_values": values}

    def decision(self, leaf: Leaf) -> str:
        """Name of the actor's decision for an action leaf."""
        return "categorical" if leaf.is_discrete else "direct"

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        given = dict(self.action_values or {})
        names = [leaf.name or BARE for leaf in action.leaves]
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise ValueError(f"`action_values` names no such action. Received: {unknown}. Known: {sorted(names)}")
        self.joint = distributions.Joint([distributions.for_leaf(leaf, self.decision(leaf)) for leaf in action.leaves])
        values = [
            (_logits if leaf.is_discrete else _component)(leaf, given.get(name), name)
            for name, leaf in zip(names, action.leaves)
        ]
        self._make(observation, values, seeds, skip)

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The action, one canonical array `(N, *leaf.shape)` per leaf."""
        leaves = self.leaves(observation)
        mask = observed_masks(self.observation, self.action, leaves)
        return self.joint.mode(self.joint.mask(self.heads(leaves), mask))


def _plain(value: Any, name: str) -> Any:
    """Numbers, nested in lists."""
    listed = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(listed, list | tuple):
        return [_plain(item, name) for item in listed]
    if not isinstance(listed, numbers.Real):
        raise TypeError(f"`action_values[{name!r}]` must be numbers. Received: {value!r}")
    return listed if isinstance(listed, bool | int | float) else float(listed)


def _logits(leaf: Leaf, value: Any, name: str) -> np.ndarray:
    """1 at the given values, else 0: of equal logits the first allowed one is taken."""
    assert leaf.nvec is not None and leaf.start is not None
    logits = np.zeros(leaf.num_values)
    if value is not None:
        index = _spread(leaf, value, name) - leaf.start
        if not ((index >= 0) & (index < leaf.nvec) & (index == np.floor(index))).all():
            low, high = leaf.start.tolist(), (leaf.start + leaf.nvec - 1).tolist()
            raise ValueError(f"`action_values[{name!r}]` must be integers from {low} to {high}. Received: {value!r}")
        starts = np.cumsum([0, *leaf.nvec.ravel()[:-1]])
        logits[starts + index.ravel().astype(np.int64)] = 1.0
    return logits


def _component(leaf: Leaf, value: Any, name: str) -> np.ndarray:
    assert leaf.low is not None and leaf.high is not None
    low, high = leaf.low.astype(np.float64), leaf.high.astype(np.float64)
    if value is None:
        below, above = np.isfinite(low), np.isfinite(high)
        middle = np.where(below, low, 0.0) / 2 + np.where(above, high, 0.0) / 2
        return np.where(below & above, middle, 2.0 * middle)
    values = _spread(leaf, value, name)
    whole = np.issubdtype(leaf.dtype, np.floating) or (values == np.floor(values)).all()
    if not (np.isfinite(values).all() and (low <= values).all() and (values <= high).all() and whole):
        kind = "finite numbers" if np.issubdtype(leaf.dtype, np.floating) else "integers"
        raise ValueError(
            f"`action_values[{name!r}]` must be {kind} from {leaf.low.tolist()} to {leaf.high.tolist()}. "
            f"Received: {value!r}"
        )
    return values


def _spread(leaf: Leaf, value: Any, name: str) -> np.ndarray:
    try:
        return np.broadcast_to(np.asarray(value, np.float64), leaf.shape)
    except ValueError as error:
        raise ValueError(
            f"`action_values[{name!r}]` must be of shape {leaf.shape}, or one number. Received: {value!r}"
        ) from error
