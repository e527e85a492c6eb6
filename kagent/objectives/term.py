"""One role's loss in an objective."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kagent.config.checks import check_count

ROLES = ("policy", "critic", "temperature")
Found = tuple[tf.Tensor, dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Term:
    """One role's loss on a minibatch. An objective returns terms, and `kagent.learning.minimizer.Minimizer` takes the steps.

    Args:
        role: Whose variables the loss trains: `"policy"`, `"critic"` or `"temperature"`.
        loss: `loss(batch)` or `loss(batch, found)`. It returns the loss, a float32 scalar, and a dict of further values. The
            dict's scalars are logged, but for names that begin with `_`: these are for later terms alone. `found` holds the
            dicts of the terms before this one, by role.
        batch: The batch, nested tensors `(B, ...)`; None: the loss reads no batch.
        every: Gradient steps from one step of this role to the next, an integer >= 1. With 2 it steps in the second, the
            fourth ... gradient step, as TD3's policy does (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1). Between
            them the loss is computed and logged, and nothing of the role moves.
        errors: From the batch to the absolute errors of its samples, `(B,)`, by which a prioritized memory draws; None: the
            term gives none.

    Raises:
        ValueError, TypeError: An unknown role, `every` that is no integer >= 1, a loss that is no function.

    Example:

    >>> def loss(batch):
    ...     return tf.reduce_mean(tf.square(batch["reward"])), {}
    >>> term = Term("policy", loss, {"reward": tf.constant([1.0, 3.0])})
    >>> float(term.evaluate(term.batch, {})[0])
    5.0
    """

    role: str
    loss: Callable[..., Found]
    batch: Any = None
    every: int = 1
    errors: Callable[[Any], tf.Tensor] | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"`role` of a term must be one of {ROLES}. Received: {self.role!r}")
        for name, value in (("loss", self.loss), ("errors", self.errors)):
            if not callable(value) and (name == "loss" or value is not None):
                raise TypeError(f"`{name}` of a term must be a function. Received: {value!r}")
        if callable(self.every):
            raise TypeError(
                "`every` of a term must be an integer >= 1. `errors` is given by its name: "
                f"Term(role, loss, batch, errors=...). Received: {self.every!r}"
            )
        check_count(self.every, "every")

    def evaluate(self, batch: Any, found: dict[str, dict[str, tf.Tensor]]) -> Found:
        """The loss and its further values.

        Args:
            batch: The term's batch, or a part of it.
            found: Further values of the terms before, by role.
        """
        try:
            inspect.signature(self.loss).bind(batch, found)
        except TypeError:
            return self.loss(batch)
        return self.loss(batch, found)
