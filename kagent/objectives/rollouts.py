"""What all objectives share that learn a stochastic policy from its own rollouts."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_flag
from kagent.objectives import sequences
from kagent.objectives.baseline_values import explained, explained_rollout, learned_values, state_values
from kagent.objectives.objective import Found, LearningContext, Objective, Term
from kagent.objectives.replayed import check_replayed, prepare_replayed
from kagent.policies.one_pass import once

_LARGE = 512  # bytes of an observation
THROUGH_ADVANTAGE = "advantage"  # a critic objective: the critic learns from the policy's loss


class RolloutObjective(Objective):
    """Loss of the policy, plus squared error of the critic where there is one, minus entropy.

    A subclass has the fields `value_coefficient`, `entropy_coefficient` and `normalize_advantage`, and says its
    `surrogate`. Advantages are those of the agent's `reward_estimation`; where that asks for none, returns.
    """

    policies = ("StochasticPolicy",)
    critic = "StateValue"
    memory = "Rollout"
    gives_errors = False
    takes_temperature = False
    takes_sequences = True
    value_coefficient: Any
    entropy_coefficient: Any
    normalize_advantage: bool

    def __post_init__(self) -> None:
        for name in ("entropy_coefficient", "value_coefficient"):
            object.__setattr__(self, name, schedules.get(getattr(self, name), f"objective.{name}", 0.0))
        check_flag(self.normalize_advantage, "objective.normalize_advantage")

    def surrogate(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, advantage: tf.Tensor, clock: Any) -> tf.Tensor:
        """Loss per sample `(B,)` of actions with these log-probabilities and advantages, all `(B,)`."""
        raise NotImplementedError

    def watch(self, log_prob: tf.Tensor, old_log_prob: tf.Tensor, weight: Any, clock: Any) -> dict[str, tf.Tensor]:
        """Further scalars to log."""
        return {"approx_kl": ops.approx_kl(log_prob, old_log_prob, weight)}

    def critic_for(self, estimation: Any) -> str | None:
        return "ActionValue" if estimation.estimate_actions else "StateValue"

    def check(self, agent: Any) -> None:
        if not agent.memory.consecutive:
            check_replayed(agent.reward_estimation, type(self).__name__, agent.memory)

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """The critic's values of the next observations, `(B,)`."""
        return state_values(context, batch["next_observation"], batch.get("next_action_mask"))

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        if "valid" in experience:
            with once(context.critic):
                return prepare_rollout(context, experience)
        return prepare_replayed(self, context, experience)

    def rows(self, context: LearningContext, batch: dict[str, Any]) -> dict[str, Any]:
        """A minibatch as rows of timesteps `(B, ...)`, with `advantage` and `return`: those of `prepare`."""
        return sequences.flattened(context, batch)

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        clock, batch = context.clock, self.rows(context, batch)
        coefficients = (self.entropy_coefficient, context.entropy_regularization)
        entropy_coefficient = sum(map(context.now, coefficients))
        through_advantage, late = self._is_through_advantage(context), self._is_late(context)

        def policy_loss(batch: dict[str, Any]) -> Found:
            weight, advantage = batch.get("weight"), batch["advantage"]
            if through_advantage:
                values = state_values(context, batch["observation"], batch.get("action_mask"), training=True)
                advantage = batch["return"] - values
            if late:
                values = state_values(context, batch["observation"], batch.get("action_mask"))
                advantage = batch["return"] - tf.stop_gradient(values)
                advantage = context.reward_estimation.processed_advantages(advantage, weight)
            if self.normalize_advantage:
                advantage = ops.normalize_advantage(advantage, weight)
            parameters = context.policy.parameters_of(batch["observation"], batch.get("action_mask"), training=True)
            log_prob, old = context.policy.log_prob(parameters, batch["action"]), batch["old_log_prob"]
            if through_advantage:
                # A surrogate is proportional to its advantage's size, through which it lets no gradient by itself.
                losses = tf.abs(advantage) * self.surrogate(log_prob, old, tf.sign(advantage), clock)
            else:
                losses = self.surrogate(log_prob, old, advantage, clock)
            value = ops.weighted_mean(losses, weight)
            entropy = ops.weighted_mean(context.policy.entropy(parameters, context.step_seed), weight)
            logs = {"policy_loss": value, "entropy": entropy, **self.watch(log_prob, old, weight, clock)}
            return value - entropy_coefficient * entropy, logs

        terms = [Term("policy", policy_loss, batch)]
        if context.critic is not None:
            # What a critic learns through the advantage is in the policy's loss.
            loss = _nothing if through_advantage else self.critic_loss(context)
            terms.append(Term("critic", loss, batch))
        return terms

    def _is_through_advantage(self, context: LearningContext) -> bool:
        return bool(context.critic_objective == THROUGH_ADVANTAGE)

    def _is_late(self, context: LearningContext) -> bool:
        """Whether advantages are those of the critic after its step: where it steps by itself, which it does first."""
        estimation = context.reward_estimation
        asked = estimation.estimate_advantage and estimation.gae_lambda is None
        return asked and context.critic is not None and not context.shares_optimizer("critic")

    def critic_loss(self, context: LearningContext) -> Any:
        """The loss of the critic, a function of a batch."""
        objective = context.critic_objective
        if objective is not None:
            return objective.loss_of(context)

        def loss(batch: dict[str, Any]) -> Found:
            values = learned_values(context, batch)
            errors = [tf.square(batch["return"] - each) for each in values]
            value = ops.weighted_mean(tf.add_n(errors), batch.get("weight"))
            return context.now(self.value_coefficient) * value, {"critic_loss": value, **explained(values, batch)}

        return loss


def acted_rows(context: LearningContext, experience: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """A rollout, time-major `(T, N, ...)`, as transitions `(T * N, ...)` with `old_log_prob`, the log-probability of the action by the
    policy that acted: the stored one where it is known, else that of now.

    See `RewardEstimation.transitions`; `weight` is 0 of padding. For recurrent networks they have `begins`, too: 1 where an
    episode begins. `log_prob` `(T, N)` of the experience are the stored ones; `log_prob_known` `(T, N)` says of which rows, without it all.

    Returns:
        The transitions, and their observations as policy and critic take them: sequences of recurrent networks.
    """
    rows = context.reward_estimation.transitions(experience, context.clock)
    observation = rows["observation"]
    if sequences.is_recurrent(context):
        rows[sequences.BEGINS] = tf.reshape(sequences.begins_of(experience), (-1,))
        observation = sequences.of_experience(context, experience)
    stored, known = (
        None if name not in experience else tf.reshape(experience[name], (-1,))
        for name in ("log_prob", "log_prob_known")
    )
    log_prob = stored
    if stored is None or known is not None:
        parameters = context.policy.parameters_of(observation, rows.get("action_mask"))
        log_prob = context.policy.log_prob(parameters, rows["action"])
        log_prob = log_prob if known is None else tf.where(known, stored, log_prob)
    rows["old_log_prob"] = tf.stop_gradient(log_prob)
    return rows, observation


def prepare_rollout(context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
    """`acted_rows` with the values that the policy learns by: `advantage` and `return`; of a critic of states also with
    `explained_variance`, the same number in each row.

    `bootstraps` of the experience, timesteps `(K, N)`, are all whose next observation is not the observation of the next timestep, but
    for terminal ones, and may be others: the critic is called for these alone."""
    estimation, recurrent = context.reward_estimation, sequences.is_recurrent(context)
    steps, envs = experience["reward"].shape
    rows, observation = acted_rows(context, experience)
    flat = lambda x: tf.reshape(x, (steps * envs, *x.shape[2:]))  # noqa: E731
    mask = rows.get("action_mask")
    rollout = tuple(experience[key] for key in ("reward", "terminated", "truncated"))
    time = {"weight": tf.cast(experience["valid"], tf.float32), "clock": context.clock}
    if context.critic is None:
        advantage = returns = estimation.returns(*rollout, **time)
    else:
        successor = tf.nest.map_structure(flat, experience["next_observation"])  # of one timestep, not of the window
        next_mask = [m if m is None else flat(m) for m in experience["next_action_mask"]] if mask is not None else None
        if recurrent:
            successor = sequences.following(context, observation, successor)
        values = tf.reshape(state_values(context, observation, mask), (steps, envs))
        if "bootstraps" in experience and not recurrent:
            rows_of_them = _rows(experience["bootstraps"], envs)
            next_values = _shifted_values(context, values, successor, next_mask, rows_of_them)
        elif context.any_size and not recurrent and _is_large(experience["observation"]):
            others = _not_following(experience, next_mask is not None)
            next_values = _shifted_values(context, values, successor, next_mask, others)
        else:
            next_values = tf.reshape(state_values(context, successor, next_mask), (steps, envs))
        returns, advantage = estimation.estimates(*rollout, next_values, values, **time)
        if not estimation.estimate_advantage and estimation.gae_lambda is None:
            advantage = returns
        rows |= explained_rollout(context, flat(values), flat(returns), flat(time["weight"]))
    return {
        **rows,
        "advantage": tf.stop_gradient(flat(advantage)),
        "return": tf.stop_gradient(flat(returns)),
    }


def _is_large(observation: Any) -> bool:
    # Whether a pass over the next observations takes longer than to find out which of them are in the rollout.
    return bool(sum(math.prod(leaf.shape[2:]) * leaf.dtype.size for leaf in tf.nest.flatten(observation)) >= _LARGE)


def _not_following(experience: dict[str, Any], masked: bool) -> tf.Tensor:
    """The rows `(M, 1)` of `(T * N,)` whose next observation is not the observation of the next timestep.

    Whether one is, its bytes say, and those of its masks.

    Args:
        experience: The rollout, time-major.
        masked: Whether its actions have masks.
    """
    pairs = [(experience["next_observation"], experience["observation"])]
    if masked:
        masks = zip(experience["next_action_mask"], experience["action_mask"])
        pairs += [pair for pair in masks if pair[0] is not None]
    steps, envs = experience["reward"].shape
    known = tf.ones((steps - 1, envs), tf.bool)
    for following, own in zip(*map(tf.nest.flatten, zip(*pairs))):
        known &= tf.reduce_all(following[:-1] == own[1:], axis=list(range(2, following.shape.rank)))
    return tf.where(tf.reshape(tf.pad(~known, [[0, 1], [0, 0]], constant_values=True), (-1,)))


def _rows(times: tf.Tensor, envs: int) -> tf.Tensor:
    # Of timesteps `(K, N)` the rows `(K * N, 1)` of `(T * N,)`.
    return tf.reshape(tf.cast(times, tf.int32) * envs + tf.range(envs), (-1, 1))


def _shifted_values(
    context: LearningContext, values: tf.Tensor, successor: Any, next_mask: Any, others: tf.Tensor
) -> tf.Tensor:
    """Values of the next observations `(T, N)`, of which most are the observations of the next timestep, whose values are known.

    Args:
        context: The critic is in it.
        values: Of the observations, `(T, N)`.
        successor, next_mask: The next observations and their masks, `(T * N, ...)`.
        others: The rows `(M, 1)` of which the critic has to say the value.
    """
    pick = lambda x: tf.gather(x, others[:, 0])  # noqa: E731
    mask = None if next_mask is None else [m if m is None else pick(m) for m in next_mask]
    found = state_values(context, tf.nest.map_structure(pick, successor), mask)
    shifted = tf.reshape(tf.concat([values[1:], values[-1:]], axis=0), (-1,))
    return tf.reshape(tf.tensor_scatter_nd_update(shifted, others, found), values.shape)


def _nothing(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    return tf.zeros(()), {}
