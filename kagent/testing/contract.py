"""Says which rule of a part is broken: what was expected, and what was received."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 300
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12


class BrokenRuleError(AssertionError):
    """A part breaks a rule of its kind."""


class Contract:
    """The rules of one part.

    Args:
        part: Name of the part, for messages.

    Example:

    >>> contract = Contract("Backwards")
    >>> with contract.rule("Equal seeds give equal numbers"):
    ...     contract.equal([2, 1], [1, 2])
    Traceback (most recent call last):
    kagent.testing.contract.BrokenRuleError: Backwards breaks a rule: Equal seeds give equal numbers.
      Expected: [1, 2]
      Received: [2, 1]
    """

    def __init__(self, part: str):
        self.part = part
        self._rule = self._case = ""

    @contextlib.contextmanager
    def rule(self, rule: str, case: str = "") -> Iterator[None]:
        """Within it, `rule` is checked; an error of the part breaks it too.

        Args:
            rule: A sentence without its full stop.
            case: Where it is checked, such as a space.
        """
        before = self._rule, self._case
        self._rule, self._case = rule, case
        try:
            yield
        except BrokenRuleError:
            raise
        except Exception as error:
            raise self._broken("no error", f"{type(error).__name__}: {error}") from error
        finally:
            self._rule, self._case = before

    def expect(self, holds: Any, expected: Any, received: Any) -> None:
        """Checks one rule.

        Raises:
            BrokenRuleError: `holds` is false.
        """
        if not holds:
            raise self._broken(expected, received)

    def equal(self, received: Any, expected: Any, about: str = "", tolerance: float | None = None) -> None:
        """Compares nested values (dicts, sequences, arrays, tensors, numbers, None).

        Args:
            received, expected: The values.
            about: Their name.
            tolerance: Largest difference of floats, beside so much of their size; None: equal to the bit, dtypes too.

        Raises:
            BrokenRuleError: They differ; the message says where.
        """
        found, wanted = _flat(received, about), _flat(expected, about)
        if found.keys() != wanted.keys():
            lacking = [name for name in wanted if name not in found]
            surplus = [name for name in found if name not in wanted]
            raise self._broken(
                f"{len(wanted)} values" + (f", {_SHORT.repr(lacking)} among them" if lacking else ""),
                f"{len(found)} values" + (f", {_SHORT.repr(surplus)} among them" if surplus else ""),
            )
        for name, one in wanted.items():
            other = found[name]
            if not _equal(other, one, tolerance):
                more = "" if not name else f"{name} = "
                raise self._broken(more + _words(one), more + _words(other))

    def refused(self, call: Callable[[], Any], doing: str, kinds: Any = ValueError) -> None:
        """Checks that a call is refused.

        Raises:
            BrokenRuleError: `call()` raises no error of `kinds`, or one without a message.
        """
        try:
            result = call()
        except kinds as error:
            self.expect(str(error), "an error that says why", f"{type(error).__name__} without a message, {doing}")
            return
        self.expect(False, f"ValueError, {doing}", result)

    def _broken(self, expected: Any, received: Any) -> BrokenRuleError:
        case = f"\n  Case: {self._case}" if self._case else ""
        return BrokenRuleError(
            f"{self.part} breaks a rule: {self._rule}.{case}\n  Expected: {_words(expected)}\n  Received: {_words(received)}"
        )


def name_of(part: Any) -> str:
    """A part's, a class's or a factory's name, for messages."""
    part = getattr(part, "func", part)  # of a partial
    return getattr(part, "__name__", None) or type(part).__name__


def _flat(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{path}[{key!r}]").items()}
    if isinstance(value, tuple | list) and not all(isinstance(part, int | float | str | None) for part in value):
        return {k: v for i, part in enumerate(value) for k, v in _flat(part, f"{path}[{i}]").items()}
    return {path: value}


def _equal(one: Any, other: Any, tolerance: float | None) -> bool:
    if one is None or other is None or isinstance(one, str) or isinstance(other, str):
        return one is other if one is None or other is None else bool(one == other)
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape or (tolerance is None and a.dtype != b.dtype):
        return False
    if a.dtype.kind not in "biufc" or b.dtype.kind not in "biufc":
        return bool(np.array_equal(a, b))
    if tolerance is None:
        return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))
    return bool(np.allclose(a, b, tolerance, tolerance, equal_nan=True))


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    array = np.asarray(value) if hasattr(value, "dtype") and hasattr(value, "shape") else None
    if array is None:
        return _SHORT.repr(value)
    return f"{array.dtype} {array.shape} {_SHORT.repr(array.tolist())}"
