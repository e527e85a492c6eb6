"""The objective of agents that learn nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

from kagent.objectives.objective import OBJECTIVES, LearningContext, Objective, Term


@OBJECTIVES.register("null")
@dataclasses.dataclass(frozen=True)
class NullObjective(Objective):
    """Nothing is learned; the loss is 0. For policies that have nothing to learn: `RandomPolicy`, `ConstantPolicy`."""

    policies = ("RandomPolicy", "ConstantPolicy")
    gives_errors = False
    takes_temperature = False
    learns = False

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        return []
