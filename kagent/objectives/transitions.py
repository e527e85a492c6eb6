"""What all objectives share that learn action values from transitions."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent.objectives.objective import Objective


class TransitionObjective(Objective):
    """Learns from a memory of transitions, or from one of sequences, which become transitions first."""

    gives_errors = True

    def prepare(self, agent: Any, experience: dict[str, Any]) -> dict[str, Any]:
        return agent.reward_estimation.transitions(experience, agent.clock) if "valid" in experience else experience


def lowest(values: list[tf.Tensor]) -> tf.Tensor:
    """The smallest of an ensemble's values, `(B,)`."""
    return values[0] if len(values) == 1 else tf.reduce_min(tf.stack(values), axis=0)


def report_critic_errors(agent: Any, batch: dict[str, Any], target: tf.Tensor) -> None:
    """Gives a prioritized memory the mean absolute error of the critics, of every sample: before a step."""
    if agent.memory.prioritized:
        errors = [tf.abs(target - value) for value in agent.critic.values(batch["observation"], batch["action"])]
        agent.report_errors(tf.add_n(errors) / len(errors))
