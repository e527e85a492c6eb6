"""Training that has diverged: losses and weights that are not finite."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from kagent.optimizers.role_optimizer import ROLES


class DivergenceError(RuntimeError):
    """A loss or a weight is NaN or infinite: from here on nothing can be learned.

    The update that made it so has been taken. A file that was saved before is where training can go on from, with a smaller
    learning rate, clipped gradients (`global_clipnorm`), or rewards and observations of a smaller scale.
    """


def check_losses(logs: dict[str, float], update: int, optimizer: Any) -> None:
    """Refuses what an update logged if `loss`, or a role's or another part's `*_loss`, is not finite.

    Args:
        logs: Scalars by name.
        update: Gradient steps taken, these included.
        optimizer: The agent's, for the message.

    Raises:
        DivergenceError: Names the gradient step, the role, and the first log that is not finite.
    """
    if all(math.isfinite(value) for name, value in logs.items() if name.endswith("loss")):
        return
    wrong = {name: value for name, value in logs.items() if not math.isfinite(value)}
    loss = next(name for name in sorted(wrong, key=lambda name: name == "loss") if name.endswith("loss"))
    role = next((role for role in ROLES if loss.startswith(role)), ROLES[0])
    first = next((name for name in wrong if name != "loss"), "loss")
    hint = ""
    if any(isinstance(one, keras.optimizers.Adafactor) for one in (optimizer, *getattr(optimizer, "optimizers", ()))):
        hint = ". Keras's Adafactor gives NaN where a row and a column of a gradient are zero: take another optimizer"
    raise DivergenceError(
        f"Training has diverged: the loss of role {role!r} is not finite after gradient step {update}. The first log that is "
        f"not: {first}={wrong[first]}{hint}"
    )


def check_weights(agent: Any) -> None:
    """Refuses weights that are not finite.

    Raises:
        DivergenceError: Names the role, the variable and the gradient step.
    """
    for role in ROLES:
        part = getattr(agent, role)
        for variable in () if part is None else part.weights:
            if keras.backend.is_float_dtype(variable.dtype) and not np.isfinite(variable.numpy()).all():
                raise DivergenceError(
                    f"Training has diverged: {variable.path!r} of role {role!r} is not finite after gradient step {agent.updates}"
                )
