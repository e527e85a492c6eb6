"""What a reward is worth: how rewards to come are summed into the quantity that is learned."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.registry import Part, Registry
from kagent.ops import timesteps
from kagent.ops.timesteps import Timesteps
from kagent.schedules import Clock

_WHEN = (None, False, "early", "late")
_ALIASES = {
    "predict_horizon_values": "estimate_horizon",
    "predict_action_values": "estimate_actions",
    "predict_terminal_values": "estimate_terminal",
    "trace_decay": "return_lambda",
    "gae_decay": "gae_lambda",
}
REWARD_ESTIMATIONS = Registry("reward_estimation", _ALIASES)


@REWARD_ESTIMATIONS.register()
@dataclasses.dataclass(frozen=True)
class RewardEstimation(Part):
    """Discounted rewards up to a horizon, and there an estimate of what follows.

    With `m = min(horizon + 1, T - t)` rewards left in an episode of T steps,

        return_t = reward_t + discount * reward_{t+1} + ... + discount**(m - 1) * reward_{t+m-1} + bootstrap_t
        bootstrap_t = discount**m * value(observation_{t+m})

    where the bootstrap is added only if the horizon is estimated and the episode goes on behind it, was truncated there,
    or terminal states are estimated too (Sutton and Barto 2018, eq. 7.1).

    Args:
        horizon: How many further rewards join the present one, an integer >= 0 (0: one-step temporal difference) or a
            schedule of such; or "episode": all that follow. Larger trusts the rewards more and the estimate less.
        discount: Weight of a reward one timestep later, 0 to 1. May be a schedule. Larger looks further ahead and
            learns more slowly. Of a schedule, here or as `horizon`, a replay memory of timesteps keeps the values of the
            time of storing: its sums are made then. Every other memory, and one with a horizon of 0 as to the discount,
            has those of the time of the update.
        estimate_horizon: Whether the bootstrap is added: False; "early", with the estimate of the time when the
            experience was stored; "late", with that of the time when it is learned from. None: of an agent "late" if a
            baseline is given (one of `baseline_*`, or `critic` or `target`, which are other names of it) or a lambda
            needs it, else False; here alone, where `next_values` are given. With horizon "episode" only truncation
            leaves something to estimate. Objectives that learn from rollouts estimate once per update, whatever the
            word, but from a replay memory of timesteps.
        estimate_actions: Whether values of actions take the place of values of states. Of Q-learning: the online network
            picks the next action and the target network values it (van Hasselt et al. 2016, arXiv:1509.06461, eq. 4). Of
            a policy gradient: the critic values actions, and a state is worth what the policy's most likely action is.
        estimate_terminal: Whether terminal states are estimated as well, instead of being worth 0.
        estimate_advantage: Whether the present estimate is subtracted. Of a critic with an optimizer of its own, which
            learns before the policy, it is the estimate after that.
        gae_lambda: Weight of longer horizons in generalized advantage estimation, 0 to 1 (Schulman et al. 2016,
            arXiv:1506.02438, eq. 16): 0 trusts the critic after one step, 1 trusts the observed rewards. Takes the
            place of `horizon` (which must be 0) in advantages. May be a schedule.
        return_lambda: The same for returns (Sutton and Barto 2018, eq. 12.18); excludes `gae_lambda`.
        normalize_returns, normalize_advantages: Whether they get mean 0 and standard deviation 1 within an update. A critic
            learns the normalized returns, and advantages are those minus its values.

    Raises:
        ValueError: A value outside its range, or a combination that means nothing.

    Example:

    >>> estimation = RewardEstimation(horizon=1, discount=0.5)
    >>> estimation.returns([1, 2, 3, 4], [False, False, False, True], [False] * 4).tolist()
    [2.0, 3.5, 5.0, 4.0]
    """

    horizon: Any = 0
    discount: Any = 1.0
    estimate_horizon: Any = None
    estimate_actions: bool = False
    estimate_terminal: bool = False
    estimate_advantage: bool = False
    gae_lambda: Any = None
    return_lambda: Any = None
    normalize_returns: bool = False
    normalize_advantages: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizon", _horizon(self.horizon))
        for name in ("discount", "gae_lambda", "return_lambda"):
            value = getattr(self, name)
            if value is not None or name == "discount":
                object.__setattr__(self, name, schedules.get(value, f"reward_estimation.{name}", 0.0, 1.0))
        for field in dataclasses.fields(self):
            if field.type == "bool" and not isinstance(getattr(self, field.name), bool):
                raise TypeError(
                    f"`reward_estimation.{field.name}` must be True or False. Received: {getattr(self, field.name)!r}"
                )
        if not any(self.estimate_horizon is when for when in _WHEN[:2]) and self.estimate_horizon not in _WHEN[2:]:
            raise ValueError(
                f"`reward_estimation.estimate_horizon` must be False, 'early', 'late' or None. "
                f"Received: {self.estimate_horizon!r}"
            )
        self._check_together()

    def _check_together(self) -> None:
        if self.estimate_terminal and self.estimate_horizon is False:
            raise ValueError(
                "`reward_estimation.estimate_terminal` needs estimate_horizon='early', 'late' or None. Received: False"
            )
        if self.gae_lambda is not None and self.return_lambda is not None:
            raise ValueError(
                "`reward_estimation` takes gae_lambda or return_lambda, not both. "
                f"Received: {self.gae_lambda}, {self.return_lambda}"
            )
        if self.normalize_advantages and not self.estimate_advantage and self.gae_lambda is None:
            raise ValueError(
                "`reward_estimation.normalize_advantages` needs estimate_advantage=True or gae_lambda: there are no "
                "advantages to normalize. Received: True"
            )
        for name in ("gae_lambda", "return_lambda"):
            if getattr(self, name) is None:
                continue
            if self.horizon != 0:
                raise ValueError(
                    f"`reward_estimation.{name}` mixes all horizons and needs horizon=0. Received: horizon={self.horizon!r}"
                )
            if self.estimate_horizon is False:
                raise ValueError(
                    f"`reward_estimation.{name}` needs estimate_horizon='early', 'late' or None. Received: False"
                )

    @property
    def asks_for_values(self) -> bool:
        """Whether returns or advantages need estimates."""
        mixes = self.gae_lambda is not None or self.return_lambda is not None
        return mixes or self.estimate_advantage or self.estimate_horizon in ("early", "late")

    def returns(
        self,
        rewards: Any,
        terminated: Any,
        truncated: Any,
        next_values: Any = None,
        *,
        weight: Any = None,
        clock: Clock | None = None,
    ) -> Any:
        """Returns of consecutive timesteps.

        The last row is cut as if truncated: its episode goes on elsewhere.

        Args:
            rewards: `(T,)` of one environment or `(T, N)` of N side by side.
            terminated, truncated: Bools of that shape: where the episode ended with the step.
            next_values: Values of the true successors, of that shape: `next_values[t]` is the value of what step t led
                to, of the final observation where it ended an episode.
            weight: 0 for padding, which then does not enter `normalize_returns`; of that shape.
            clock: What time it is, for schedules. Default: the beginning.

        Returns:
            float32 of that shape; a tensor if one was given, else a NumPy array.

        Raises:
            ValueError: Different shapes, entries that are not finite, no `next_values` where the horizon is estimated.
        """
        steps = self._read(rewards, terminated, truncated, next_values, weight=weight)
        return steps.release(self.processed_returns(self._returns(steps, clock or Clock()), steps.weight))

    def advantages(
        self,
        rewards: Any,
        terminated: Any,
        truncated: Any,
        next_values: Any = None,
        values: Any = None,
        *,
        weight: Any = None,
        clock: Clock | None = None,
    ) -> Any:
        """Advantages of consecutive timesteps: by `gae_lambda`, or returns minus values.

        Args:
            rewards, terminated, truncated, next_values, weight, clock: As for `returns`.
            values: Values of the observations acted on, of the same shape.

        Returns:
            As `returns`.

        Raises:
            ValueError: As `returns`; no `values`.
        """
        rollout = (rewards, terminated, truncated, next_values, values)
        return self.estimates(*rollout, weight=weight, clock=clock)[1]

    def estimates(self, *rollout: Any, weight: Any = None, clock: Clock | None = None) -> tuple[Any, Any]:
        """What a critic learns, and advantages. Arguments as for `advantages`.

        Returns:
            `returns`, or with `gae_lambda` advantages plus values; and `advantages`.
        """
        steps = self._read(*rollout, weight=weight)
        if steps.values is None:
            raise ValueError("`values` is needed for advantages: the values of the observations. Received: None")
        learned, advantages = self._estimates(steps, clock or Clock())
        return steps.release(learned), steps.release(advantages)

    def processed_returns(self, returns: tf.Tensor, weight: Any = None) -> tf.Tensor:
        """Returns as a critic learns them, of all timesteps of an update: normalized, or as they are."""
        return ops.normalize_advantage(returns, weight) if self.normalize_returns else returns

    def processed_advantages(self, advantages: tf.Tensor, weight: Any = None) -> tf.Tensor:
        """Advantages as the policy learns by them, of all timesteps of an update or of one minibatch."""
        return ops.normalize_advantage(advantages, weight) if self.normalize_advantages else advantages

    def discounts(self, terminated: Any, clock: Clock) -> tf.Tensor:
        """Weight of what follows each step, `(...)` like `terminated`: 0 where nothing does."""
        discount = schedules.evaluate(self.discount, clock)
        ignored = tf.zeros_like(terminated, tf.bool) if self.estimate_terminal else terminated
        return ops.discount_factor(discount, ignored)

    def transitions(self, experience: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
        """Consecutive timesteps as transitions, each over the window that begins there.

        Args:
            experience: Of a memory, time-major `(T, N, ...)`, with `valid`, and with `weight` where draws are weighted.
            clock: What time it is, for schedules.

        Returns:
            `(T * N, ...)` each: `observation`, `action` and `actor_state`, where it is kept, of the window's first timestep;
            `reward`, the discounted sum over its `m` timesteps; `next_observation`, `terminated` and `truncated` of its last
            one; `discount`, the `m`-th power of the discount; `weight`, that of the draw, 0 for padding; and masks, where there are any.
        """
        reward, terminated = experience["reward"], experience["terminated"]
        steps, columns = reward.shape
        further = steps if self.horizon == "episode" else schedules.evaluate(self.horizon, clock)
        discount = tf.cast(schedules.evaluate(self.discount, clock), tf.float32)

        def flat(x: Any) -> Any:
            return None if x is None else tf.reshape(x, (steps * columns, *x.shape[2:]))

        last = flat
        if isinstance(further, int) and further == 0:  # a window is a timestep; its general form takes 0.1 s to compile
            summed, factor = reward, tf.fill(reward.shape, discount)
        else:
            further = further if isinstance(further, int) else tf.cast(further, tf.int32)
            ended = tf.logical_or(terminated, experience["truncated"])
            ends = ops.window_ends(ended, further)
            places = tf.reshape(ends * columns + tf.range(columns), (-1,))
            summed = ops.n_step_return(
                reward, self.discounts(terminated, clock), tf.zeros_like(reward), ended, further + 1
            )
            factor = tf.pow(discount, tf.cast(ends - tf.range(steps)[:, tf.newaxis] + 1, tf.float32))

            def last(x: Any) -> Any:
                return None if x is None else tf.gather(flat(x), places)

        first = [name for name in ("observation", "action", "actor_state") if name in experience]
        found = {name: tf.nest.map_structure(flat, experience[name]) for name in first}
        found |= {name: last(experience[name]) for name in ("terminated", "truncated")}
        found["next_observation"] = tf.nest.map_structure(last, experience["next_observation"])
        if "action_mask" in experience:
            found["action_mask"] = [flat(m) for m in experience["action_mask"]]
            found["next_action_mask"] = [last(m) for m in experience["next_action_mask"]]
        weight = experience["weight"] if "weight" in experience else tf.cast(experience["valid"], tf.float32)
        return {**found, "reward": flat(summed), "discount": flat(factor), "weight": flat(weight)}

    def completed(self, batch: Mapping[str, Any], clock: Clock) -> dict[str, Any]:
        """Transitions with the two columns that every batch has: what objectives and a `train_step` learn from.

        Args:
            batch: Transitions `(..., )` of a memory or a dataset, with `terminated`; or what is complete already.
            clock: What time it is, for schedules.

        Returns:
            The batch, with `discount`: the weight of the estimate of what follows, float32, so that a target is
            `reward + discount * value(next_observation)`; it is the power of the discount that the horizon makes, and 0 where
            no estimate is added, as behind a terminal state. And with `weight`, float32: 1 where the batch has none.
        """
        discount = self.bootstrap_discounts(batch, clock)
        weight = batch["weight"] if "weight" in batch else tf.ones(discount.shape)
        return {**batch, "discount": discount, "weight": weight}

    def bootstrap_discounts(self, batch: Mapping[str, Any], clock: Clock) -> tf.Tensor:
        """Weight of the estimate of what follows each transition of a minibatch, `(B,)`: 0 where none is added.

        Args:
            batch: Transitions, with `discount` where they are over several timesteps.
            clock: What time it is, for schedules.
        """
        terminated = batch["terminated"]
        if self.estimate_horizon is False:
            return tf.zeros_like(terminated, tf.float32)
        if "discount" not in batch:
            return self.discounts(terminated, clock)
        return batch["discount"] if self.estimate_terminal else ops.discount_factor(batch["discount"], terminated)

    def check_transitions(self, objective: str, memory: Any) -> None:
        """Checks it against an objective that learns from transitions.

        Raises:
            ValueError: More is asked for than such objectives give.
        """
        if self.estimate_horizon == "early" and not hasattr(memory, "early"):
            raise ValueError(
                f"`objective` {objective} needs reward_estimation.estimate_horizon=False, 'late' or None with a "
                f"{type(memory).__name__} memory, which keeps no estimates. Received: 'early'"
            )
        for name, allowed in (
            ("estimate_advantage", False),
            ("gae_lambda", None),
            ("return_lambda", None),
            ("normalize_returns", False),
            ("normalize_advantages", False),
        ):
            value = getattr(self, name)
            if value is not allowed:
                raise ValueError(
                    f"`objective` {objective} needs reward_estimation.{name}={allowed}. Received: {value!r}"
                )

    # On tensors (T, N) -----------------------------------------------------------------------------------------

    def _estimates(self, steps: Timesteps, clock: Clock) -> tuple[tf.Tensor, tf.Tensor]:
        """`estimates` of timesteps whose values are known."""
        if self.gae_lambda is None:
            returns = self._returns(steps, clock)
            advantages = returns - steps.values
        else:
            gae_lambda = schedules.evaluate(self.gae_lambda, clock)
            discount = self.discounts(steps.terminated, clock)
            advantages = ops.gae(steps.rewards, discount, steps.values, steps.next_values, steps.ended, gae_lambda)
            returns = advantages + steps.values
        learned = self.processed_returns(returns, steps.weight)
        if learned is not returns:  # the values are those of a critic that learns these
            advantages = learned - steps.values
        return learned, self.processed_advantages(advantages, steps.weight)

    def _returns(self, steps: Timesteps, clock: Clock) -> tf.Tensor:
        next_values = steps.next_values
        if self.estimate_horizon is False or next_values is None:
            next_values = tf.zeros_like(steps.rewards)
        rollout = (steps.rewards, self.discounts(steps.terminated, clock), next_values, steps.ended)
        if self.return_lambda is not None:
            return ops.lambda_return(*rollout, schedules.evaluate(self.return_lambda, clock))
        if self.horizon == "episode":
            return ops.lambda_return(*rollout, 1.0)
        further = schedules.evaluate(self.horizon, clock)
        return ops.n_step_return(*rollout, further + 1 if isinstance(further, int) else tf.cast(further, tf.int32) + 1)

    def _read(
        self,
        rewards: Any,
        terminated: Any,
        truncated: Any,
        next_values: Any = None,
        values: Any = None,
        *,
        weight: Any = None,
    ) -> Timesteps:
        mixes = self.gae_lambda is not None or self.return_lambda is not None
        if next_values is None and (mixes or self.estimate_horizon in ("early", "late")):
            raise ValueError(
                "`next_values` is needed: the horizon is estimated. Received: None, with "
                f"estimate_horizon={self.estimate_horizon!r}, gae_lambda={self.gae_lambda}, "
                f"return_lambda={self.return_lambda}"
            )
        return timesteps.read(
            rewards=rewards, terminated=terminated, truncated=truncated, next_values=next_values, values=values, weight=weight
        )  # fmt: skip


def _horizon(value: Any) -> Any:
    if value == "episode" and isinstance(value, str):
        return value
    if isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    if isinstance(value, str | numbers.Real) or value is None:
        raise ValueError(
            f"`reward_estimation.horizon` must be an integer >= 0, a schedule or 'episode'. Received: {value!r}"
        )
    return schedules.get(value, "reward_estimation.horizon", 0.0)


def get(identifier: Any) -> RewardEstimation:
    """A `RewardEstimation` from an object or a dict of its arguments.

    Names of later Tensorforce versions (`predict_horizon_values`, `trace_decay`, `gae_decay` ...) are understood; its
    `horizon` is not: there 1 is what is 0 here.
    """
    if isinstance(identifier, dict):
        identifier = {"type": "RewardEstimation", **identifier}
    result: RewardEstimation = REWARD_ESTIMATIONS.get(identifier, "reward_estimation")
    return result
