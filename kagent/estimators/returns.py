"""What agents of a model function learn that learn from returns: whole batches of consecutive timesteps."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent.objectives.objective import OBJECTIVES, Objective, Term

LABELS = ("discount_reward", "log_prob")


@OBJECTIVES.register()
@dataclasses.dataclass(frozen=True)
class ModelReturnsObjective(Objective):
    """The loss of a model function, on consecutive timesteps and their returns.

    Labels beside those of all estimators: `discount_reward` `(B,)`, the discounted sum of rewards to the end of the
    episode, or to the last timestep there is; and `log_prob` `(B,)`, that of the action under the policy before the
    update, 0 where the policy samples from nothing.
    """

    policies = ("ModelPolicy",)
    memory = "Rollout"

    def prepare(self, agent: Any, experience: dict[str, Any]) -> dict[str, Any]:
        steps, envs = experience["reward"].shape
        flat = lambda x: tf.reshape(x, (steps * envs, *x.shape[2:]))  # noqa: E731
        rows = {
            name: tf.nest.map_structure(flat, experience[name])
            for name in ("observation", "action", "reward", "terminated", "truncated")
        }
        rollout = tuple(experience[name] for name in ("reward", "terminated", "truncated"))
        weight = tf.cast(experience["valid"], tf.float32)
        returns = agent.reward_estimation.returns(*rollout, weight=weight, clock=agent.clock)
        masks = experience.get("action_mask")
        mask = None if masks is None else [None if m is None else flat(m) for m in masks]
        return {**rows, "discount_reward": flat(returns), "log_prob": _log_prob(agent.policy, rows, mask)}

    def terms(self, agent: Any, batch: dict[str, Any]) -> list[Term]:
        from kagent.estimators.policy import loss_of

        return [Term("policy", lambda part: loss_of(agent, part), batch)]


def _log_prob(policy: Any, rows: dict[str, Any], mask: Any) -> tf.Tensor:
    if policy.kind == "direct":
        return tf.zeros_like(rows["reward"])
    parameters = policy.parameters_of(rows["observation"], mask)
    return tf.stop_gradient(policy.joint.log_prob(parameters, policy.action.flatten(rows["action"])))
