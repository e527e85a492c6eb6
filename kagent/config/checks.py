"""Arguments of the plainest kinds, checked."""

from __future__ import annotations

import math
import numbers
from typing import Any

_DATA = (
    "x", "y", "batch_size", "validation_split", "validation_data", "shuffle", "class_weight", "sample_weight",
    "validation_steps", "validation_batch_size", "return_dict",
)  # fmt: skip

MOST_ENVS = 1 << 16  # environments side by side
MOST_ITERATIONS = 1 << 20  # of a loop within one gradient step


def check_count(value: Any, argument: str, least: int = 1, most: int = 2**63 - 1) -> int:
    """An integer from `least` to `most`, as Python's.

    Raises:
        ValueError: Anything else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{argument}` must be an integer >= {least}. Received: {value!r}")
    count = int(value)
    if count > most:
        raise ValueError(f"`{argument}` must be at most {most}. Received: {value!r}")
    return count


def check_count_or_none(value: Any, argument: str) -> int | None:
    """`check_count` of a value that may be None.

    Raises:
        ValueError: Neither None nor an integer >= 1.
    """
    return None if value is None else check_count(value, argument)


def check_flag(value: Any, argument: str) -> None:
    """Refuses every value but True and False.

    Raises:
        TypeError: Neither True nor False.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{argument}` must be True or False. Received: {value!r}")


def check_positive(value: Any, argument: str) -> None:
    """Refuses every value but None and finite numbers > 0.

    Raises:
        ValueError: Neither None nor a finite number > 0.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < math.inf):
        raise ValueError(f"`{argument}` must be a number > 0 or None. Received: {value!r}")


def check_source(method: str, env: Any, others: Any) -> None:
    """Checks what is trained or measured in, where Keras's models take data.

    Raises:
        TypeError: `env` is data or a number, or among the names of `others` is one of Keras's for data.
    """
    if isinstance(env, numbers.Number):
        raise TypeError(f"`{method}` takes the environment first: agent.{method}(env, ...). Received: {env!r}")
    names = [name for name in others if name in _DATA]
    is_data = isinstance(env, list | tuple | dict) or hasattr(env, "__array__")
    if is_data or names:
        raise from_environment(method, type(env).__name__ if is_data else ", ".join(names))


def from_environment(method: str, received: str | None = None) -> TypeError:
    """The error of a method of Keras's that was called as that of a model which learns from data."""
    said = "" if received is None else f" Received: {received}."
    return TypeError(
        f"`{method}` has no inputs and targets to take: an agent learns from an environment and is measured in one.{said} "
        'Write agent.fit("CartPole-v1", steps=10_000) and agent.evaluate("CartPole-v1"); for recorded experience there are '
        "`fit` of a directory of traces, of kagent.datasets.Episodes([trace, ...]) or of a tf.data.Dataset of transitions, `pretrain` and "
        "`experience`"
    )
