"""Tensorforce's `update` as kagent's."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

from kagent.compat.tensorforce.translation.context import Context, check_taken
from kagent.compat.tensorforce.translation.parameters import parameter
from kagent.update import UPDATES, Update


@UPDATES.register()
@dataclasses.dataclass(frozen=True)
class GrowingUpdate(Update):
    """The update rule of Tensorforce 0.6: first at `max(start, frequency)` units, from as many units as there are by then.

    Batches grow with the memory until they have `batch_size` units. A replay memory of timesteps, which draws with
    replacement, gives whole batches from the beginning.

    Args: as of `kagent.Update`.

    Example:

    >>> rule = GrowingUpdate(unit="episodes", batch_size=12, frequency=1)
    >>> rule.first, kagent.Update(unit="episodes", batch_size=12, frequency=1).first
    (1, 12)
    """

    @functools.cached_property
    def first(self) -> int:
        return max(self.start, 1 if self.period == math.inf else int(self.period))


def update(value: Any, context: Context) -> Any:
    """The update rule that a specification describes; numbers and objects of kagent's as they are.

    Raises:
        ValueError: Unknown arguments.
    """
    if not isinstance(value, Mapping):
        return value
    check_taken(value, ("unit", "batch_size", "frequency", "start"), "update")
    made = {name: one for name, one in value.items() if one is not None}
    if "frequency" not in made:
        return made
    frequency = made["frequency"] = parameter(made["frequency"], "update.frequency")
    share = isinstance(frequency, float)  # of a batch, where 1 is one unit
    whole = frequency == "never" or frequency == (1.0 if share else made.get("batch_size"))
    return made if context.older or whole else {"type": "GrowingUpdate", **made}
