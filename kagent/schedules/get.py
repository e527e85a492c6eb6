"""Numbers, dicts and objects in the place of numbers: how an argument that may be a schedule is read."""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any

from kagent.schedules.clock import Clock
from kagent.schedules.schedule import SCHEDULES, Schedule


def get(value: Any, argument: str = "schedule", minimum: float | None = None, maximum: float | None = None) -> Any:
    """A number as float, a dict as the schedule it describes, a schedule as it is, a Keras schedule as one of kagent's.

    Args:
        value: A finite number, a `Schedule`, a dict `{"type": name, **arguments}` of one, a
            `keras.optimizers.schedules.LearningRateSchedule`, or a dict `{"class_name": name, "config": ...}` of one.
            Names are not case-sensitive, and Tensorforce's are known too: `piecewise_constant`, `decaying` with the
            kind of decay in `decay`, and the arguments `num_steps` or `decay_steps`, `initial_value`, `final_value`.
        argument: What errors call it.
        minimum, maximum: Range of the number, ends included; None: no end.

    Raises:
        TypeError: Neither number nor schedule.
        ValueError: Arguments that a schedule refuses, or a value outside the range at any time (the `bounds` of the
            schedule; of `Random` and `OrnsteinUhlenbeck` their `minval` and `maxval`; a Keras schedule is read at many
            updates).

    Example:

    >>> get(1, "learning_rate", minimum=0.0)
    1.0
    >>> get({"type": "linear", "initial_value": 1, "final_value": 0})
    Linear(initial=1, final=0, steps=None, unit='progress')
    >>> get(-1, "learning_rate", minimum=0.0)
    Traceback (most recent call last):
        ...
    ValueError: `learning_rate` must be in [0.0, inf). Received: -1
    """
    made = _float(value) if _is_number(value) else _schedule(value, argument)
    if isinstance(made, float):
        low, high, said = made, made, repr(value)
    else:
        low, high = _named(argument, lambda: made.bounds)
        said = f"{value if isinstance(value, dict) else made!r}, with values in [{low}, {high}]"
    least, most = -math.inf if minimum is None else minimum, math.inf if maximum is None else maximum
    if not (least <= low and high <= most) or (isinstance(made, float) and math.isinf(made)):
        allowed = ("(-inf" if minimum is None else f"[{minimum}") + (", inf)" if maximum is None else f", {maximum}]")
        raise ValueError(f"`{argument}` must be in {allowed}. Received: {said}")
    return made


def evaluate(value: Any, clock: Clock) -> Any:
    """The number itself, or the schedule's value at `clock`."""
    return value(clock) if callable(value) else value


def start_of(value: Any) -> float:
    """The value before the first step."""
    result: float = evaluate(value, Clock())
    return result


def is_schedule(value: Any) -> bool:
    """Whether `get` would look for a schedule in `value`, where a part of another kind is possible too."""
    if isinstance(value, dict) and "class_name" in value:
        keras = sys.modules.get("keras")
        return keras is not None and hasattr(keras.optimizers.schedules, str(value["class_name"]))
    if isinstance(value, dict):
        kind = value.get("type")
        return SCHEDULES.knows(kind) or (isinstance(kind, str) and kind.lower() == "decaying")
    return isinstance(value, Schedule) or _is_keras_schedule(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf


def _schedule(value: Any, argument: str) -> Schedule:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, dict) and "class_name" in value:
        from kagent.schedules import keras_schedule  # the host needs no Keras

        result: Schedule = _named(argument, lambda: keras_schedule.from_config(value))
        return result
    if isinstance(value, dict):
        specification = _of_decay(value, argument)
        result = _named(argument, lambda: SCHEDULES.get(specification, argument))
        return result
    if _is_keras_schedule(value):
        from kagent.schedules.keras_schedule import KerasSchedule

        return KerasSchedule(value)
    names = ", ".join(SCHEDULES.names)
    raise TypeError(
        f"`{argument}` must be a number or a schedule ({names}, or one of keras.optimizers.schedules). "
        f"Received: {value!r}"
    )


def _is_keras_schedule(value: Any) -> bool:
    keras = sys.modules.get("keras")  # nobody has an object of Keras's without it
    return keras is not None and isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def _of_decay(value: dict[str, Any], argument: str) -> dict[str, Any]:
    # Tensorforce's "decaying" names the kind of decay in a further argument.
    if not (isinstance(value.get("type"), str) and value["type"].lower() == "decaying"):
        return value
    if not isinstance(value.get("decay"), str):
        raise ValueError(f"`{argument}` of type 'decaying' needs `decay`, the name of a schedule. Received: {value}")
    return {"type": value["decay"], **{k: v for k, v in value.items() if k not in ("type", "decay")}}


def _named(argument: str, call: Any) -> Any:
    # A schedule's constructor does not know which argument of what it is for.
    try:
        return call()
    except (TypeError, ValueError) as error:
        if f"`{argument}`" in str(error):
            raise
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"`{argument}`: {error}") from error
