"""What all objectives share that learn action values from transitions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.objectives.objective import Objective


class TransitionObjective(Objective):
    """Learns from a memory of transitions, or from one of sequences, which become transitions first."""


def lowest(values: list[tf.Tensor]) -> tf.Tensor:
    """The smallest of an ensemble's values, `(B,)`."""
    return values[0] if len(values) == 1 else tf.reduce_min(tf.stack(values), axis=0)


def critic_errors(critic: Any, batch: dict[str, Any]) -> tf.Tensor:
    """The mean absolute error of the critics against `batch["target"]`, of every sample, `(B,)`."""
    errors = [tf.abs(batch["target"] - value) for value in critic.values(batch["observation"], batch["action"])]
    return tf.add_n(errors) / len(errors)
