"""What an objective is."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_positive
from kagent.config.registry import Part, Registry
from kagent.objectives.context import LearningContext
from kagent.objectives.term import Term

OBJECTIVES = Registry("objective")


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
    learns: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if {"terms", "update"} & vars(cls).keys():
            for name in {"gives_errors", "takes_temperature"} - vars(cls).keys():
                setattr(cls, name, None)

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


def squared_or_huber(error: tf.Tensor, huber: Any, clock: Any) -> tf.Tensor:
    """Half the square of errors of any shape, or where `huber` is not None, Huber's loss with that delta."""
    return 0.5 * tf.square(error) if huber is None else ops.huber(error, schedules.evaluate(huber, clock))


def get(identifier: Any, argument: str = "objective") -> Objective:
    """An objective from a name, a dict or an object."""
    found: Objective = OBJECTIVES.get(identifier, argument)
    return found
