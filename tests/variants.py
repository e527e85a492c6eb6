"""Which of many alike parameters the fast tests take."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def with_few(names: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """Values for `pytest.mark.parametrize`, all but the fast ones marked `thorough`.

    Args:
        names: All of them.
        fast: Which of them the fast tests take; each must be there.
    """
    names = list(names)
    assert set(fast) <= set(names), set(fast) - set(names)
    return [name if name in fast else pytest.param(name, marks=pytest.mark.thorough) for name in names]
