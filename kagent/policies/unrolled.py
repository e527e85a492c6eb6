"""Sequences of observations with the states that recurrent networks begin them in, and the model that an actor computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kagent.networks.recurrent import NoBegins
from kagent.spaces import Structure


class Unrolled(NamedTuple):
    """Observations in sequences, in place of single ones: the argument `observation` of policies and critics.

    Rows are timesteps, as `kagent.networks.recurrent.Recurrent` takes them: `C` groups one behind the other, each of `L`
    timesteps of `B` columns.

    Attributes:
        leaves: Observation leaves in stored form, `(C * L * B, *leaf.shape)`.
        states: The state beside each row, `(C * L * B, size)` for each part that the agent's networks carry together; where a
            sequence begins, it begins with it. A role reads its own parts, `Role.carried`, and the others may be None.
        begins: float32 `(C, L, B)`: 1 where a sequence begins. At the first row of each group it does anyway.
    """

    leaves: list[Any]
    states: tuple[Any, ...]
    begins: Any

    @classmethod
    def of_single(cls, leaves: list[Any], states: Iterable[Any]) -> Unrolled:
        """Sequences of one timestep, each in the state beside it."""
        leaves = [tf.convert_to_tensor(leaf) for leaf in leaves]  # Keras takes no arrays beside tensors
        return cls(leaves, tuple(states), tf.zeros((1, 1, leaves[0].shape[0] or tf.shape(leaves[0])[0])))


def carried_sizes(policy: Any, critic: Any) -> tuple[int, ...]:
    """Numbers in each part of the state that the networks of an agent carry together; `()`: none is recurrent.

    The policy's parts come first. Those of a critic of its own network follow, and a shared one reads the policy's.
    """
    own: tuple[int, ...] = getattr(policy, "state_sizes", ())
    other: tuple[int, ...] = () if critic is None else critic.state_sizes
    return own + other[: max(0, _end_of(critic) - len(own))]


def _end_of(critic: Any) -> int:
    return 0 if critic is None else critic.carried.stop


def acting_model(policy: Any, critic: Any, observation: Structure) -> keras.Model:
    """What an actor computes at one timestep.

    Args:
        policy: The policy.
        critic: The critic, whose state the actor carries too, because learning begins with it; or None.
        observation: Leaves of the observations.

    Returns:
        A model from the observation's leaves and the carried states to the policy's heads and the states that follow.
    """
    seen = [
        keras.Input(leaf.shape, dtype=leaf.stored_dtype.name, name=f"seen_{i}")
        for i, leaf in enumerate(observation.leaves)
    ]
    sizes = carried_sizes(policy, critic)
    states = [keras.Input((size,), name=f"carried_{i}") for i, size in enumerate(sizes)]
    begins = NoBegins()(states[0])
    after: list[Any] = list(states)
    heads: list[Any] = []
    for role in (policy, critic):
        parts = () if role is None else role.state_sizes
        if role is policy or (parts and role.carried.stop > len(policy.state_sizes)):
            model = role.model if role is policy else keras.Model(role.model.inputs, role.model.outputs[-len(parts) :])
            found = keras.tree.flatten(model([*seen, *states[role.carried], *([begins] if parts else [])]))
            if parts:
                after[role.carried] = found[-len(parts) :]
            heads += found[: len(found) - len(parts)]
    # Keras counts the calls of a model from another number than the program's compiler, but not where a layer follows.
    return keras.Model([*seen, *states], [keras.layers.Identity()(x) for x in (*heads, *after)], name="acting")
