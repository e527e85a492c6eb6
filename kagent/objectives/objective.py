"""What an objective is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from kagent import ops, schedules
from kagent.config.checks import check_positive
from kagent.config.registry import Part, Registry

OBJECTIVES = Registry("objective")


class Term(NamedTuple):
    """One role's loss in an objective.

    Attributes:
        role: Whose variables it trains: `"policy"` or `"critic"`.
        loss: From a batch to the loss and a dict of scalars to log.
        batch: The batch, nested tensors `(B, ...)`.
        errors: From the batch to the absolute errors of its samples, `(B,)`, which a prioritized memory draws by; None:
            the term gives none.
    """

    role: str
    loss: Callable[[dict[str, Any]], tuple[tf.Tensor, dict[str, tf.Tensor]]]
    batch: dict[str, Any]
    errors: Callable[[dict[str, Any]], tf.Tensor] | None = None


class Objective(Part):
    """Turns a minibatch into losses and has the agent minimize them, role by role.

    Attributes:
        policies: Names of the policy classes it works with.
        critic: Name of the critic class it needs, or None.
        critic_optional: Whether it does without one, too.
        targets: Roles that need a target copy.
        memory: Name of the memory class it reads.
        gives_errors: Whether its update gives the errors of the samples, which a prioritized memory draws by: by a term's
            `errors`, or by `agent.report_errors`. An agent with a prioritized memory is refused otherwise.
        learns: Whether it moves weights at all.
    """

    policies: tuple[str, ...] = ()
    critic: str | None = None
    critic_optional: bool = False
    targets: tuple[str, ...] = ()
    memory: str = "Replay"
    gives_errors: bool = False
    learns: bool = True

    def critic_for(self, estimation: Any) -> str | None:
        """Name of the critic class that it needs with such a `reward_estimation`, or None."""
        return self.critic

    def check(self, agent: Any) -> None:
        """Raises:
        ValueError: The agent's spaces or parts do not suit the objective.
        """

    def next_values(self, agent: Any, batch: dict[str, Any], seed: Any = None) -> tf.Tensor:
        """Estimates of what follows the transitions of a minibatch, `(B,)`, of objectives that learn from such."""
        raise NotImplementedError

    @property
    def estimating(self) -> list[Objective]:
        """What of it has `next_values` of its own: itself, or of added objectives each that does."""
        return [self] if type(self).next_values is not Objective.next_values else []

    def prepare(self, agent: Any, experience: dict[str, Any]) -> dict[str, Any]:
        """Runs once per update, on all of its experience; what it returns is cut into minibatches."""
        return experience

    def terms(self, agent: Any, batch: dict[str, Any]) -> list[Term]:
        """The losses on one minibatch, at most one for each role; none of them may need that another one's step is done."""
        raise NotImplementedError

    def update(self, agent: Any, batch: dict[str, Any]) -> dict[str, tf.Tensor]:
        """One gradient step of every role on one minibatch `(B, ...)`. Returns scalars to log, `loss` among them."""
        return descend(agent, self.terms(agent, batch))


def descend(agent: Any, terms: list[Term]) -> dict[str, tf.Tensor]:
    """Minimizes losses: together where roles share an optimizer, else the critic's first, then the policy's.

    Args:
        agent: The agent.
        terms: One for each role that is trained.

    Returns:
        What they log, and `loss`, their sum with what regularizes them.
    """
    if agent.memory.prioritized:
        # Of all the batch and before the step: an optimizer may look at parts of it, several times.
        found = [term.errors(term.batch) for term in terms if term.errors is not None]
        if found:
            agent.report_errors(tf.add_n(found))
    by_role = {term.role: term for term in terms}
    policy, critic = by_role.get("policy"), by_role.get("critic")
    if policy is not None and critic is not None and agent.shares_optimizer("critic"):

        def both(batches):
            value, logs = policy.loss(batches["policy"])
            other, found = critic.loss(batches["critic"])
            return value + other, {**logs, **found}

        # One batch where it is one: what draws a part of it then draws it once.
        if policy.batch is critic.batch:
            value, logs = agent.minimize(
                ("policy", "critic"), lambda batch: both({"policy": batch, "critic": batch}), policy.batch
            )
        else:
            value, logs = agent.minimize(("policy", "critic"), both, {"policy": policy.batch, "critic": critic.batch})
        return {"loss": value, **logs}
    value, logs = 0.0, {}
    for role in ("critic", "policy"):
        if role in by_role:
            one, found = agent.minimize(role, by_role[role].loss, by_role[role].batch)
            value, logs = one + value, {**found, **logs}
    return {"loss": value, **logs}


def estimated_next_values(objective: Any, agent: Any, batch: dict[str, Any]) -> tf.Tensor:
    """Estimates of what follows the transitions of a minibatch, `(B,)`, of the time that `estimate_horizon` says.

    They are those stored with the transitions, the objective's own now, or 0 where they are not asked for.
    """
    when = agent.reward_estimation.estimate_horizon
    if when is False:
        return tf.zeros_like(batch["reward"])
    return batch["next_value"] if when == "early" else objective.next_values(agent, batch)


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
    return OBJECTIVES.get(identifier, argument)
