"""An objective, the terms that it returns, and the context that it makes them of."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_count, check_positive
from kagent.config.registry import Part, Registry
from kagent.optimizers.role_optimizer import ROLES
from kagent.schedules import Clock

OBJECTIVES = Registry("objective")
Found = tuple[tf.Tensor, dict[str, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class Term:
    """One role's loss on a minibatch. An objective returns terms, and `kagent.optimizers.Minimizer` takes the steps.

    Args:
        role: Whose variables the loss trains: `"policy"`, `"critic"` or `"temperature"`.
        loss: `loss(batch)` or `loss(batch, found)`. It returns the loss, a float32 scalar, and a dict of further values. The
            dict's scalars are logged, but for names that begin with `_`: these are for later terms alone. `found` holds the
            dicts of the terms before this one, by role.
        batch: The batch, nested tensors `(B, ...)`; None: the loss reads no batch.
        every: Gradient steps from one step of this role to the next, an integer >= 1. With 2 it steps in the second, the
            fourth ... gradient step, as TD3's policy does (Fujimoto et al. 2018, arXiv:1802.09477, algorithm 1). Between
            them the loss is computed and logged, and nothing of the role moves.
        errors: From the batch to the absolute errors of its samples, `(B,)`, by which a prioritized memory draws; None: the
            term gives none.

    Raises:
        ValueError, TypeError: An unknown role, `every` that is no integer >= 1, a loss that is no function.

    Example:

    >>> def loss(batch):
    ...     return tf.reduce_mean(tf.square(batch["reward"])), {}
    >>> term = Term("policy", loss, {"reward": tf.constant([1.0, 3.0])})
    >>> float(term.evaluate(term.batch, {})[0])
    5.0
    """

    role: str
    loss: Callable[..., Found]
    batch: Any = None
    every: int = 1
    errors: Callable[[Any], tf.Tensor] | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"`role` of a term must be one of {ROLES}. Received: {self.role!r}")
        for name, value in (("loss", self.loss), ("errors", self.errors)):
            if not callable(value) and (name == "loss" or value is not None):
                raise TypeError(f"`{name}` of a term must be a function. Received: {value!r}")
        if type(self.every) is not int or self.every < 1:
            self._check_every()

    def _check_every(self) -> None:
        if callable(self.every):
            raise TypeError(
                "`every` of a term must be an integer >= 1. `errors` is given by its name: "
                f"Term(role, loss, batch, errors=...). Received: {self.every!r}"
            )
        check_count(self.every, "every")

    def evaluate(self, batch: Any, found: dict[str, dict[str, tf.Tensor]]) -> Found:
        """The loss and its further values.

        Args:
            batch: The term's batch, or a part of it.
            found: Further values of the terms before, by role.
        """
        try:
            inspect.signature(self.loss).bind(batch, found)
        except TypeError:
            return self.loss(batch)
        return self.loss(batch, found)


@dataclasses.dataclass(frozen=True)
class LearningContext:
    """The networks and settings that losses are made of, at one time. An objective sees this, not the agent.

    Attributes:
        policy: The policy that learns.
        critic, temperature: The other roles that learn, or None.
        target_policy, target_critic: Target networks, or None where the objective has none.
        reward_estimation: The agent's `RewardEstimation`.
        critic_objective: What the critic of a policy gradient learns, or None; see `Agent`.
        entropy_regularization: Weight of the policy's entropy beside the objective's own, a number or a schedule.
        num_action_components: Scalars in one action, over all leaves.
        clock: The time now, for schedules: tensors in a compiled learner, else numbers.
        step_seed: Function that returns the seed `(2,)` of this gradient step, for `tf.random.stateless_*`.
        shares_optimizer: Function from a role's name to whether it has no optimizer of its own beside the policy's.
        sequence_length: Timesteps of the sequences that recurrent networks learn from; None: as many as an update gets.
        burn_in: Timesteps in front of them, from which a network finds its state without learning.
        any_size: Whether sizes of tensors may depend on values, which XLA's programs forbid.
    """

    policy: Any
    critic: Any
    temperature: Any
    target_policy: Any
    target_critic: Any
    reward_estimation: Any
    critic_objective: Any
    entropy_regularization: Any
    num_action_components: int
    clock: Clock
    step_seed: Callable[[], tf.Tensor]
    shares_optimizer: Callable[[str], bool]
    sequence_length: int | None = None
    burn_in: int = 0
    any_size: bool = False

    @classmethod
    def of(cls, agent: Any) -> LearningContext:
        """The context of an agent, now."""
        return cls(
            policy=agent.policy,
            critic=agent.critic,
            temperature=agent.temperature,
            target_policy=getattr(agent, "target_policy", None),
            target_critic=getattr(agent, "target_critic", None),
            reward_estimation=agent.reward_estimation,
            critic_objective=agent.critic_objective,
            entropy_regularization=agent.entropy_regularization,
            num_action_components=agent._action.size,
            clock=agent.clock,
            step_seed=agent.step_seed,
            shares_optimizer=agent.minimizer.shares_optimizer,
            sequence_length=getattr(agent.memory, "sequence_length", None),
            burn_in=getattr(agent.memory, "burn_in", 0),
            any_size=not agent.jit_compile,
        )

    def now(self, value: Any) -> Any:
        """A number as it is, or the value of a schedule at `clock`."""
        return value(self.clock) if callable(value) else value

    def __getattr__(self, name: str) -> Any:
        known = [field.name for field in dataclasses.fields(self)]
        raise AttributeError(
            f"An objective sees a LearningContext in place of the agent, which has no {name!r}. It has: {', '.join(known)}"
        )


class Objective(Part):
    """Turns a minibatch into losses, a term for each role that learns. The agent's minimizer takes the steps.

    Attributes:
        policies: Names of the policy classes it works with.
        critic: Name of the critic class it needs, or None.
        critic_optional: Whether it does without one, too.
        targets: Roles that need a target copy.
        memory: Name of the memory class it reads.
        in_turn: Whether each role steps before the loss of the next term is computed, in the order of `terms`, also where roles
            share an optimizer. Else roles that share one step together, and of two optimizers the critic's steps first.
        gives_errors: Whether a term gives the errors of the samples (`Term.errors`), by which a prioritized memory draws.
            None: the terms say it, which the constructor of an agent with such a memory looks at. False: none does. Without
            errors that constructor refuses the memory. A class with `terms` of its own begins at None, whatever its base
            declares.
        takes_temperature: Whether the agent's `temperature` weighs anything in its terms. False: the constructor refuses one.
            None: the terms know. A class with `terms` of its own begins at None.
        takes_sequences: Whether its terms learn recurrent networks, from sequences; see `kagent.objectives.sequences`. A class with
            `terms` of its own begins at False.
        needs_sequences: Whether minibatches are whole sequences for every network, and not for recurrent ones alone.
        needs_log_prob: Whether it learns by log-probabilities of the policy that acted, which the memory keeps then.
        learns: Whether it moves weights at all.
    """

    policies: tuple[str, ...] = ()
    critic: str | None = None
    critic_optional: bool = False
    targets: tuple[str, ...] = ()
    memory: str = "Replay"
    in_turn: bool = False
    gives_errors: bool | None = None
    takes_temperature: bool | None = None
    takes_sequences: bool = False
    needs_sequences: bool = False
    needs_log_prob: bool = False
    learns: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if {"terms", "update"} & vars(cls).keys():
            for name in {"gives_errors", "takes_temperature"} - vars(cls).keys():
                setattr(cls, name, None)
            if "takes_sequences" not in vars(cls):
                cls.takes_sequences = False

    def critic_for(self, estimation: Any) -> str | None:
        """Name of the critic class that it needs with such a `reward_estimation`, or None."""
        return self.critic

    def check(self, agent: Any) -> None:
        """Looks at the agent's spaces and parts, before its networks are made.

        Raises:
            ValueError: They do not suit the objective.
        """

    def next_values(self, context: LearningContext, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """Estimates of what follows the transitions of a minibatch, `(B,)`, of objectives that learn from such."""
        raise NotImplementedError

    @property
    def estimating(self) -> list[Objective]:
        """What of it has `next_values` of its own: itself, or of added objectives each that does."""
        return [self] if type(self).next_values is not Objective.next_values else []

    def prepare(self, context: LearningContext, experience: dict[str, Any]) -> dict[str, Any]:
        """Runs once per update, on all of its experience; what it returns is cut into minibatches.

        Consecutive timesteps become transitions. Every minibatch gets `discount` and `weight` afterwards, see
        `RewardEstimation.completed`.
        """
        if "valid" not in experience:
            return experience
        transitions: dict[str, Any] = context.reward_estimation.transitions(experience, context.clock)
        return transitions

    def terms(self, context: LearningContext, batch: dict[str, Any]) -> list[Term]:
        """The losses on one minibatch `(B, ...)`, at most one for each role."""
        raise NotImplementedError

    @property
    def ends_updates(self) -> bool:
        """Whether an update may end before all its gradient steps are taken: `is_last` then says when."""
        return False

    def is_last(self, logs: dict[str, Any]) -> tf.Tensor:
        """Whether the gradient step that logged this is its update's last, a bool scalar."""
        raise NotImplementedError

    def update(self, agent: Any, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        """One gradient step of every role on one minibatch `(B, ...)`. Returns scalars to log, `loss` among them.

        `terms` is the form in which an objective is written. One of before that has an `update` instead, and takes its own
        steps by `agent.minimize`, goes on working.
        """
        now = agent.learning_context
        report = agent.report_errors if agent.memory.prioritized else None
        logs: dict[str, tf.Tensor] = agent.minimizer.take(self.terms(now, batch), now, self.in_turn, report)
        return logs


def estimated_next_values(objective: Any, context: LearningContext, batch: dict[str, Any]) -> tf.Tensor:
    """Estimates of what follows the transitions of a minibatch, `(B,)`, of the time that `estimate_horizon` says.

    They are those stored with the transitions, the objective's own now, or 0 where they are not asked for.
    """
    when = context.reward_estimation.estimate_horizon
    if when is False:
        return tf.zeros_like(batch["reward"])
    return batch["next_value"] if when == "early" else objective.next_values(context, batch)


def positive(value: Any, argument: str, optional: bool = False) -> Any:
    """A finite number > 0 as it is, or what `schedules.get` makes of a schedule, of values >= 0.

    Args:
        value: What was received.
        argument: Its name.
        optional: Whether it may be None.

    Raises:
        ValueError, TypeError: Something else.
    """
    if schedules.is_schedule(value):
        return schedules.get(value, argument, 0.0)
    if value is None and not optional:
        raise ValueError(f"`{argument}` must be a number > 0 or a schedule. Received: None")
    check_positive(value, argument)
    return value


def squared_or_huber(error: tf.Tensor, huber: Any) -> tf.Tensor:
    """Half the square of errors of any shape, or where `huber` is a number, Huber's loss with that delta."""
    return 0.5 * tf.square(error) if huber is None else ops.huber(error, huber)


def get(identifier: Any, argument: str = "objective") -> Objective:
    """An objective from a name, a dict or an object."""
    found: Objective = OBJECTIVES.get(identifier, argument)
    return found
