"""Q-learning from rollouts, without a replay memory and without a target network."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from kagent import ops
from kagent.objectives.objective import OBJECTIVES, Found, LearningContext, Objective, Term, positive, squared_or_huber


@OBJECTIVES.register("q_lambda", "pqn")
@dataclasses.dataclass(frozen=True)
class QLambdaObjective(Objective):
    """Squared error of the taken action's value against the lambda-return of greedy values (Gallici et al. 2024,
    arXiv:2407.04811, algorithm 1; the return is that of Peng and Williams 1996).

        G_t = reward_t + discount * ((1 - lambda) * max over a of Q(s_{t+1}, a) + lambda * G_{t+1})

    In the last row of a rollout, and where an episode was cut off, it is `reward_t + discount * max over a of Q(s_{t+1}, a)`; where an
    episode terminated, `reward_t`. Returns are computed once per update, by the network of before its first gradient
    step; no other network holds still. lambda is `reward_estimation.return_lambda`. With `reward_estimation.horizon` in its place
    they are n-step returns.

    Rewards of later timesteps are those of the actions that were taken, also where these were not greedy.

    Several components (branches) share one return, by the mean over their next values, and the loss is the mean over
    components, as of `ActionValueObjective`.

    Args:
        huber: Where the loss turns from quadratic (half the square) to linear in the error; None: quadratic everywhere. May
            be a schedule.
    """

    huber: Any = None

    policies = ("ValuePolicy",)
    memory = "Rollout"
    gives_errors = False
    takes_temperature = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "huber", positive(self.huber, "objective.huber", optional=True))

    def check(self, agent: Any) -> None:
        estimation, kind = agent.reward_estimation, type(self).__name__
        if not agent.memory.consecutive:
            raise ValueError(
                f"`objective` {kind} needs a memory of consecutive timesteps. Received: {type(agent.memory).__name__}. "
                "Allowed: 'rollout' or 'recent'"
            )
        for name, allowed in (("estimate_actions", False), ("estimate_advantage", False), ("gae_lambda", None)):
            if getattr(estimation, name) is not allowed:
                raise ValueError(
                    f"`objective` {kind} needs reward_estimation.{name}={allowed}: it learns returns, by one network. "
                    f"Received: {getattr(estimation, name)!r}"
                )

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """What the network says that the next observations are worth, `(B,)`."""
        policy = context.policy
        mask = policy.join_masks(batch.get("next_action_mask"))
        return tf.reduce_mean(
            ops.greedy_value(policy.values(batch["next_observation"]), policy.components, mask), axis=-1
        )

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        """A rollout, time-major `(T, N, ...)`, as transitions `(T * N, ...)` with `return`."""
        shape = experience["reward"].shape
        flat = lambda x: None if x is None else tf.reshape(x, (-1, *x.shape[2:]))  # noqa: E731
        following: dict[str, Any] = {
            name: tf.nest.map_structure(flat, experience[name])
            for name in ("next_observation", "next_action_mask")
            if name in experience
        }
        returns = context.reward_estimation.returns(
            *(experience[name] for name in ("reward", "terminated", "truncated")),
            tf.reshape(self.next_values(context, following), shape),
            weight=tf.cast(experience["valid"], tf.float32),
            clock=context.clock,
        )
        rows = super().prepare(context, experience)
        return {**rows, "return": tf.stop_gradient(flat(returns))}

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        policy = context.policy

        def loss(batch: dict[str, Any]) -> Found:
            values, weight = policy.values(batch["observation"], training=True), batch.get("weight")
            q = ops.select(values, policy.indices(batch["action"]), policy.components)
            per_sample = squared_or_huber(batch["return"][:, None] - q, context.now(self.huber))
            logs = {"q_mean": ops.weighted_mean(tf.reduce_mean(q, axis=-1), weight)}
            return ops.weighted_mean(tf.reduce_mean(per_sample, axis=-1), weight), logs

        return [Term("policy", loss, batch)]
