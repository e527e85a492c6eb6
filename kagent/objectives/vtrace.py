"""The actor-critic of IMPALA: a policy gradient that is corrected for the policy that acted."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.exploration import Sampling
from kagent.objectives import sequences
from kagent.objectives.baseline_values import state_values
from kagent.objectives.objective import OBJECTIVES, LearningContext, positive
from kagent.objectives.rollouts import THROUGH_ADVANTAGE, RolloutObjective, acted_rows


@OBJECTIVES.register("vtrace", "impala")
@dataclasses.dataclass(frozen=True)
class VTraceObjective(RolloutObjective):
    """The policy gradient with V-trace (Espeholt et al. 2018, arXiv:1802.01561, section 4).

        A, v = V-trace of a sequence: `ops.vtrace`, by the networks of now
        policy = mean of -A * log pi(a | s)
        loss   = policy + value_coefficient * mean of (v - V(s))^2 - entropy_coefficient * mean entropy of pi

    Each minibatch consists of whole sequences of consecutive timesteps, the memory's `sequence_length` long, and each gradient step
    computes V-trace anew. So timesteps of an older policy are learned from as they should be: those of a rollout in its second
    epoch, and those that came from far away. The log-probabilities of the policy that acted are the ones stored with the timesteps, or
    else those of before the update. With a `reward_estimation.return_lambda` horizons are mixed; None is 1.

    Args:
        rho_clip: The largest importance weight of a timestep, > 0; None: 1e6. It decides whose values are learned: those of the
            policy that learns (None), or of one between the two. May be a schedule.
        c_clip: The largest importance weight of what follows a timestep, 0 to 1 and at most `rho_clip`: less has less variance and
            learns values more slowly. May be a schedule.
        value_coefficient: Weight of the critic's squared error beside the policy's loss. May be a schedule.
        entropy_coefficient: Weight of the policy's entropy: larger keeps it exploring. May be a schedule.
        normalize_advantage: Whether advantages are standardized within each minibatch.
    """

    rho_clip: Any = 1.0
    c_clip: Any = 1.0
    value_coefficient: Any = 0.5
    entropy_coefficient: Any = 0.0
    normalize_advantage: bool = False

    needs_sequences = True
    needs_log_prob = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "rho_clip", positive(self.rho_clip, "objective.rho_clip", optional=True))
        object.__setattr__(self, "c_clip", schedules.get(self.c_clip, "objective.c_clip", 0.0, 1.0))
        numbers = [value for value in (self.c_clip, self.rho_clip) if isinstance(value, int | float)]
        if len(numbers) == 2 and numbers[0] > numbers[1]:
            raise ValueError(
                f"`objective.c_clip` must be at most `objective.rho_clip`. Received: {self.c_clip} and {self.rho_clip}"
            )

    def critic_for(self, estimation: Any) -> str | None:
        return "StateValue"

    def check(self, agent: Any) -> None:
        kind = type(self).__name__
        if not agent.memory.on_policy:
            raise ValueError(
                f"`objective` {kind} needs a memory whose timesteps are learned from by the update that follows them: of older ones "
                f"it is not known how likely their actions were. Received: {type(agent.memory).__name__}. Allowed: 'rollout'"
            )
        if agent.critic_objective == THROUGH_ADVANTAGE:
            raise ValueError(
                f"`objective` {kind} needs a critic that learns V-trace targets. Received: "
                f"critic_objective={agent.critic_objective!r}. Allowed: None, or an objective of values"
            )
        if type(agent.exploration) is not Sampling or agent.exploration.random_steps:
            raise ValueError(
                f"`objective` {kind} needs actions that are sampled from the policy, else it is not known how likely they were. "
                f"Received: exploration={agent.exploration}. Allowed: Sampling()"
            )
        if agent.policy.temperature != 1.0:
            raise ValueError(
                f"`objective` {kind} needs `policy.temperature` 1, else it is not known how likely actions were. "
                f"Received: {agent.policy.temperature}"
            )
        _check_estimation(agent.reward_estimation, kind)

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        return acted_rows(context, experience)[0]

    def rows(self, context: LearningContext, batch: dict[str, Any]) -> dict[str, Any]:
        if batch["reward"].shape.rank != 2:
            raise ValueError(
                "V-trace learns from sequences of consecutive timesteps, which `fit`, `act` and `observe` gather: minibatches "
                f"(timesteps, sequences). Received: rewards of shape {batch['reward'].shape}"
            )
        shape = batch["reward"].shape
        rows = sequences.flattened(context, batch) if sequences.is_recurrent(context) else sequences.as_rows(batch)
        observation, successor = rows["observation"], rows["next_observation"]
        if sequences.is_recurrent(context):
            successor = sequences.following(context, observation, successor)
        log_prob = context.policy.log_prob(
            context.policy.parameters_of(observation, rows.get("action_mask")), rows["action"]
        )
        whole = lambda x: tf.reshape(x, shape)  # noqa: E731
        going = tf.cast(batch["weight"] > 0.0, tf.float32)
        followed = tf.concat([going[1:], tf.zeros_like(going[:1])], axis=0)  # padding is no timestep to look ahead to
        ended = tf.logical_or(tf.logical_or(batch["terminated"], batch["truncated"]), followed == 0.0)
        trace_lambda = context.reward_estimation.return_lambda
        found = ops.vtrace(
            whole(log_prob - rows["old_log_prob"]),
            batch["reward"],
            batch["discount"],
            whole(state_values(context, observation)),
            whole(state_values(context, successor)),
            ended,
            math.inf if self.rho_clip is None else context.now(self.rho_clip),
            context.now(self.c_clip),
            1.0 if trace_lambda is None else context.now(trace_lambda),
        )
        flat = lambda x: tf.reshape(x, (-1,))  # noqa: E731
        return {**rows, "advantage": flat(found.advantage), "return": flat(found.target)}

    def surrogate(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, advantage: tf.Tensor, clock: Any) -> tf.Tensor:
        return ops.policy_gradient(log_prob, old_log_prob, advantage)

    def watch(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, weight: Any, clock: Any) -> dict[str, tf.Tensor]:
        clip = math.inf if self.rho_clip is None else schedules.evaluate(self.rho_clip, clock)
        used = ops.weighted_mean(ops.importance_weight(log_prob - old_log_prob, clip), weight)
        return {**super().watch(log_prob, old_log_prob, weight, clock), "importance_weight": used}


def _check_estimation(estimation: Any, kind: str) -> None:
    for name, allowed in (
        ("horizon", 0),
        ("estimate_actions", False),
        ("estimate_advantage", False),
        ("gae_lambda", None),
        ("normalize_returns", False),
        ("normalize_advantages", False),
    ):
        if getattr(estimation, name) != allowed:
            raise ValueError(
                f"`objective` {kind} needs reward_estimation.{name}={allowed}: V-trace makes returns and advantages. "
                f"Received: {getattr(estimation, name)!r}"
            )
    if estimation.estimate_horizon is False:
        raise ValueError(
            f"`objective` {kind} needs reward_estimation.estimate_horizon='late': sequences end before episodes do. "
            "Received: False"
        )
