"""The objective of agents that learn nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent.objectives.objective import OBJECTIVES, Objective


@OBJECTIVES.register("null")
@dataclasses.dataclass(frozen=True)
class NullObjective(Objective):
    """Nothing is learned; the loss is 0. For policies that have nothing to learn: `RandomPolicy`, `ConstantPolicy`."""

    policies = ("RandomPolicy", "ConstantPolicy")
    learns = False

    def update(self, agent: Any, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        return {"loss": tf.zeros(())}
