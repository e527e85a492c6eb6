"""Which of many alike parameters the fast tests take."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def thorough(name: Any) -> Any:
    """One value of `pytest.mark.parametrize`, or the tuple of several, marked `thorough`."""
    return pytest.param(*(name if isinstance(name, tuple) else (name,)), marks=pytest.mark.thorough)


def with_few(names: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """Values for `pytest.mark.parametrize`, all but the fast ones marked `thorough`.

    Args:
        names: All of them; tuples where a test takes several arguments.
        fast: Which of them the fast tests take; each must be there.
    """
    names = list(names)
    absent = [name for name in fast if name not in names]
    assert not absent, absent
    return [name if name in fast else thorough(name) for name in names]
