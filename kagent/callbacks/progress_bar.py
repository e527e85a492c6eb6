"""The progress of `fit` and `evaluate`, in one line."""

from __future__ import annotations

import math
import shutil
import sys
import time
from typing import Any

import keras
from absl import logging

from kagent.callbacks.callback import Callback, listed

_COLUMNS = 79
_COUNTERS = ("episodes", "updates")
_BAR = 20
_INTERVAL = 0.1  # seconds between two drawings
_VALUE = 8  # columns that a value needs at most, for all but runs of a million episodes
_RETURNS = ("episode_return", "val_episode_return", "episode_length")


class ProgressBar(keras.callbacks.ProgbarLogger, Callback):
    """A line per epoch, drawn again and again while it goes on: timesteps, time, and the same metrics from first to last. Of
    recorded episodes it counts gradient steps.

    The metrics are those of the epoch's logs, by their names there: as many of `episode_return`, `val_episode_return` (where
    a validation is asked for), `loss`, `episodes`, `updates`, `steps_per_second` as the terminal has room for, which is taken
    to have 80 columns where there is none. Counters are integers. A value that there is not yet, because no episode has ended
    and no update was made, is a question mark. The time is that which is left; at the epoch's end, that which it took.

    Args:
        validated: Whether epochs have `val_episode_return`.
        by_episode: Whether an epoch is an episode: then it is one line for all of them, of episodes in the place of timesteps.
        offline: Whether an epoch is one of gradient steps on recorded episodes.
    """

    def __init__(self, validated: bool = False, by_episode: bool = False, offline: bool = False):
        super().__init__()
        self._by_episode, self._offline = by_episode, offline
        of_validation = ["val_episode_return"] * validated
        self._wanted = ["episode_return", *of_validation, "loss", *_COUNTERS, "steps_per_second"]
        if offline:
            self._wanted = [*of_validation, "loss", "updates"]
        self._shown: dict[str, float] = {}
        self._last_drawn, self._drawn_width, self._open = 0.0, 0, False
        self._updates: int | None = None  # the agent's, when the first epoch began

    # Training --------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._shown, self._open, self._over, self._updates = {}, False, 0, None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._updates is None:
            self._updates = self.model.updates  # not when training begins: a checkpoint may be loaded then
        if self._by_episode and self.verbose == 1:
            if self._open:
                return
            self._open, self.target = True, self.epochs if self.epochs > 1 else None
            self._begin([name for name in self._wanted if name != "episodes"], self.model.episodes - epoch)
        else:
            if self.epochs > 1:
                _print(f"Epoch {epoch + 1}/{self.epochs}\n")
            self._begin(self._wanted, self._steps - self._over)
        self.seen = self._first = self._count()
        if self.verbose == 1:
            self._draw()

    def _count(self) -> int:
        whole = self._by_episode and self.verbose == 1
        result: int = (self.model.episodes if whole else self._steps) - self._origin
        return result

    @property
    def _steps(self) -> int:
        result: int = self.model.gradient_steps if self._offline else self.model.timesteps
        return result

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.verbose != 1 or time.perf_counter() - self._last_drawn < _INTERVAL:
            return
        self.seen = self._count()
        self._shown |= logs or {}
        self._draw()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seen = self._count()
        self._shown |= logs or {}
        if not self._open:
            # Several environments step together: of their last step this part is the next epoch's.
            self._over = max(self.seen - self.target, 0) if self.target else 0
            self._draw(ended=True)
        elif time.perf_counter() - self._last_drawn >= _INTERVAL:
            self._draw()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._open:
            self._draw(ended=True)
            self._open = False

    def on_train_abort(self) -> None:
        if self._drawn_width:  # the error's message begins on a line of its own
            _print("\n")
            self._drawn_width = 0

    # Evaluation ------------------------------------------------------------------------------------------------

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._called_in_fit:
            self._shown, self._sums = {}, [0.0, 0.0]
            self._begin(["episode_return", "episode_length"], 0)

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self._called_in_fit:
            return
        assert logs is not None
        self.seen = batch + 1
        self._sums = [total + logs[name] for total, name in zip(self._sums, self._names)]
        self._shown = {name: total / self.seen for name, total in zip(self._names, self._sums)}
        if self.verbose == 1 and time.perf_counter() - self._last_drawn >= _INTERVAL:
            self._draw()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        if not self._called_in_fit:
            self._shown |= logs or {}
            self._draw(ended=True)

    # The line --------------------------------------------------------------------------------------------------

    def _begin(self, names: list[str], origin: int) -> None:
        self.seen, self._first, self._origin, self._began = 0, 0, origin, time.perf_counter()
        self._drawn_width = 0
        self._columns = _columns()
        # What it takes with the longest values, so that it is the same from first to last.
        room = self._columns - len(f"{self.target or 10_000}") * 2 - len(" 00:00 ")
        self._names = []
        for name in names:
            needed = len(f" - {name}: ") + (5 if name in _COUNTERS else _VALUE)
            if needed <= room:
                room -= needed
                self._names.append(name)

    def _draw(self, ended: bool = False) -> None:
        if not (ended or _is_live()):
            return
        self._last_drawn = now = time.perf_counter()
        seconds = now - self._began
        if not ended and self.target and self.seen > self._first:
            seconds *= max(self.target - self.seen, 0) / (self.seen - self._first)
        metrics = "".join(f" - {name}: {self._value(name)}" for name in self._names)
        time_ = f"{_time(seconds)}{metrics}"
        unit = "episodes" if self._open else "gradient steps" if self._offline else "timesteps"
        seen = min(self.seen, self.target) if self.target else self.seen
        count = f"{seen:>{len(str(self.target))}}/{self.target}" if self.target else f"{seen} {unit}"
        width = min(_BAR, self._columns - len(count) - len(time_) - 2)
        if self.verbose == 1 and self.target and width > 0:
            done, left = _marks()
            full = width * seen // self.target
            count += f" {done * full}{left * (width - full)}"
        line = f"{count} {'- ' if self.verbose == 2 else ''}{time_}"[: self._columns]
        again = f"\r{line.ljust(self._drawn_width)}" if self.verbose == 1 and _is_live() else line
        self._drawn_width = 0 if ended else len(line)
        _print(again + "\n" * ended)

    def _value(self, name: str) -> str:
        if name in _COUNTERS:
            return str(int(getattr(self.model, name)))
        value = self._shown.get(name, math.nan)
        if math.isnan(value) and (name in _RETURNS or name not in self._shown or self.model.updates == self._updates):
            return "?"
        if name == "steps_per_second":
            return f"{value:.0f}"
        size = abs(value)
        if size and not 1e-3 <= size < 1e5:
            return f"{value:.1e}"
        return f"{value:.4f}" if size < 10 else f"{value:.2f}" if size < 1000 else f"{value:.1f}"


def with_bar(callbacks: Any, verbose: str | int, **arguments: bool) -> list[Any]:
    """Callbacks, one, several or None, as a list with a `ProgressBar`, unless it has one or `verbose` is 0.

    Raises:
        ValueError: `verbose` is not 0, 1 or 2.
        TypeError: Not callbacks.
    """
    if verbose not in (0, 1, 2):
        raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2. Received: {verbose!r}")
    given = listed(callbacks)
    if not verbose or any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in given):
        return given
    return [*given, ProgressBar(**arguments)]


def _columns() -> int:
    # A line that fills the last column wraps in some terminals.
    return shutil.get_terminal_size().columns - 1 if _is_terminal() else _COLUMNS


def _is_terminal() -> bool:
    # What takes the place of stdout in notebooks and log collectors may have `write` alone; without a console it is None.
    isatty = getattr(sys.stdout, "isatty", None)
    return isatty is not None and isatty()


def _is_live() -> bool:
    """Whether a line can be drawn over."""
    return keras.config.is_interactive_logging_enabled() and (_is_terminal() or "ipykernel" in sys.modules)


def _marks() -> tuple[str, str]:
    try:
        "━─".encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return "=", "."
    return "━", "─"


def _time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}" if minutes else f"{seconds}s"


def _print(text: str) -> None:
    if not keras.config.is_interactive_logging_enabled():
        if text.strip():
            logging.info(text.strip())
        return
    if sys.stdout is not None:
        sys.stdout.write(text)
        if hasattr(sys.stdout, "flush"):
            sys.stdout.flush()
