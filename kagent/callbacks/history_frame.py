"""The history of a training as a table."""

from __future__ import annotations

import importlib
import importlib.util
import math
from typing import Any

from kagent.config import run_length

LIBRARIES = ("pandas", "polars")
_COUNTERS = ("timesteps", "episodes", "updates")  # the logs have them as floats


def history_frame(history: Any, library: str | None = None) -> Any:
    """What `fit` returns as a frame of pandas or polars: one row for each epoch, one column for each log.

    The first column, `epoch`, is the number of the epoch. Values that there are not are NaN, as in the history itself: before
    the first episode has ended or the first update is made, and in epochs without a validation. Counters are integers.

    Args:
        history: The `keras.callbacks.History` that `fit` returned.
        library: "pandas" or "polars". None: the one that is installed, pandas if both are.

    Returns:
        A `pandas.DataFrame` or a `polars.DataFrame`.

    Raises:
        ValueError: Another library; a history whose columns cannot be brought to one length.
        TypeError: `history` is no `History`.
        ImportError: The library is not installed; the message is the line that installs it.

    Example:

    ```python
    history = agent.fit("CartPole-v1", steps=10_000)
    frame = kagent.history_frame(history)
    frame.plot(x="timesteps", y="episode_return")
    ```
    """
    if library is not None and library not in LIBRARIES:
        raise ValueError(f"`library` must be None or one of {LIBRARIES}. Received: {library!r}")
    if not isinstance(getattr(history, "history", None), dict) or not isinstance(getattr(history, "epoch", None), list):
        raise TypeError(f"`history` must be the History that `fit` returns. Received: {type(history).__name__}")
    found = _found(library)
    return found.DataFrame(columns(history))


def columns(history: Any) -> dict[str, list[Any]]:
    """The columns of `history_frame`, each as long as there are epochs.

    Raises:
        ValueError: A column is shorter, and nothing says of which epochs its values are.
    """
    epochs = [int(epoch) for epoch in history.epoch]
    made: dict[str, list[Any]] = {"epoch": epochs}
    validated = _validated(history, epochs)
    for name, values in history.history.items():
        if len(values) == len(epochs):
            made[name] = [int(value) for value in values] if name in _COUNTERS else _of_one_type(values)
            continue
        if not name.startswith("val_") or len(values) != len(validated):
            raise ValueError(
                f"`history` has {len(epochs)} epochs and {len(values)} values of {name!r}: of which epochs they are is not known"
            )
        known = dict(zip(validated, values))
        made[name] = _of_one_type([known.get(epoch, math.nan) for epoch in epochs])
    return made


def _of_one_type(values: list[Any]) -> list[Any]:
    # polars takes the type of the first number, and refuses others.
    return [float(value) for value in values] if any(isinstance(value, float) for value in values) else list(values)


def _validated(history: Any, epochs: list[int]) -> list[int]:
    frequency = (history.params or {}).get("validation_freq")
    return [] if frequency is None else [epoch for epoch in epochs if run_length.is_among(epoch, frequency)]


def _found(library: str | None) -> Any:
    wanted = LIBRARIES if library is None else (library,)
    for name in wanted:
        if importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    raise ImportError(f"A frame needs {' or '.join(wanted)}: pip install {wanted[0]}")
