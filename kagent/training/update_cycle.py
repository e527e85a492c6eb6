"""What an agent does around its updates: elements to learn from, errors of samples, targets that follow.

These are methods of `Agent`, which takes them as they are; the agent is their first argument.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from kagent import update
from kagent.learning.learner import Learner

if TYPE_CHECKING:
    from kagent.agent import Agent


def report_errors(agent: Agent, errors: Any) -> None:
    """Gives a prioritized memory the errors of a minibatch's samples, by which it draws them from then on.

    Call it in a `train_step` of your own, once in a step, and set `gives_errors = True` in the class. Objectives of
    kagent that give errors call it themselves, so `super().train_step(batch)` does too. Other memories ignore them.

    Args:
        errors: `(B,)`, one for each sample; their absolute values count.

    Example:

    >>> class Agent(kagent.DQN):
    ...     gives_errors = True
    ...     def train_step(self, batch):
    ...         value, logs = self.minimize("policy", self.my_loss, batch)
    ...         self.report_errors(logs.pop("error_of_each_sample"))
    ...         return {"loss": value, **logs}
    """
    agent._errors = tf.abs(tf.stop_gradient(tf.cast(errors, tf.float32)))


def take_errors(agent: Agent) -> Any:
    """The errors that were reported since the last call, `(B,)`, or None."""
    errors, agent._errors = agent._errors, None
    return errors


def reschedule(agent: Agent, rule: Any) -> None:
    """Takes an update rule from now on. What was due by another one is past; what is due by the same one, or was left
    to the user ("never"), is not.

    Args:
        rule: As `update` of the constructor.

    Raises:
        ValueError, TypeError: The memory does not suit it.
        RuntimeError: The agent is in the middle of `fit` or another method.
    """
    agent.occupation.refuse("reschedule")
    rule = update.get(rule)
    agent.memory.configure(rule, agent.reward_estimation, agent._clock.training)
    agent._scheduler.take(rule)


def elements(agent: Agent) -> Any:
    """The memory's packed elements, from the next one to be learned from."""
    return agent.memory.elements(
        agent.update_rule, agent.steps_per_execution, agent._random.sample_seed, agent.counters.drawn
    )


def fresh_iterator(agent: Agent) -> Any:
    """`elements`, which the learner is made ready for."""
    iterator = agent.elements()
    if isinstance(agent.train_function, Learner):
        agent.train_function.bind(iterator)
    return iterator


def iterator(agent: Agent) -> Any:
    """The iterator of the last call where it stands at the next element still, else a fresh one.

    For a new one TensorFlow makes its program ready once more, which takes a tenth of a second and more. Where the
    train function is not kagent's own, what it has drawn is not known, and each is fresh.
    """
    learner = agent.train_function
    if not isinstance(learner, Learner):
        return agent.elements()
    # Drawn and pulled go up together, but not where an update failed, or the agent was loaded.
    drawn = agent.counters.drawn - learner.pulls
    made = learner, agent.memory.storage, agent.update_rule, agent.steps_per_execution, agent._random.sample_seed, drawn
    if agent._iterating is None or agent._iterating[0] != made:
        agent._iterating = made, agent.fresh_iterator()
    return agent._iterating[1]


def due_at(agent: Agent, unit: str = "timesteps") -> float:
    """Count of `unit` at which the next call of the learner is due."""
    return agent._scheduler.due_at(agent.steps_per_execution, unit)


def is_full(agent: Agent) -> Any:
    """The memory's test of being full, where it is learned from as a whole; else None."""
    return agent.memory.filled if agent.memory.on_policy else None


def is_due(agent: Agent) -> bool:
    """Whether an update is due now."""
    return agent._scheduler.is_due(agent.steps_per_execution)


def before_update(agent: Agent) -> None:
    """What an update needs to be done first: early estimates, and targets that follow by timesteps."""
    agent.estimate_early()
    if agent.target_networks.is_due(agent.timesteps, agent.counters.targets_moved, agent._clock.training()):
        follow_now(agent)
        agent.counters.targets_moved = agent.timesteps


def estimate_early(agent: Agent) -> None:
    """Has the memory's new rows say what follows them, where that is to be estimated when they are stored."""
    agent._early_estimates.write(agent)


def follow(agent: Agent, steps: int) -> None:
    """Called by the learner after so many offline gradient steps.

    Without timesteps, targets move as often per gradient step as they would while playing.
    """
    if agent.objective.targets and agent.target.unit == "timesteps":
        frequency = agent.update_rule.period_at(agent._clock.training())
        frequency = 1 if frequency == math.inf else int(frequency)
        if agent.update_rule.unit == "episodes":
            frequency *= max(1, agent.timesteps // max(1, agent.episodes))
        period = max(1, agent.target.period_at(agent._clock.training()) * (agent.update_rule.steps or 1) // frequency)
        if agent.updates // period > (agent.updates - steps) // period:
            follow_now(agent)


def follow_now(agent: Agent) -> None:
    """Moves the targets now."""
    if not agent.trainable:
        return
    agent.target_networks.move_now(agent._clock.training(), bool(agent.jit_compile), agent.run_eagerly)


def after_update(agent: Agent, due: bool = True) -> None:
    """Counts an update, and clears a memory that is learned from once."""
    agent.counters.drawn += 1
    if agent.memory.on_policy:
        agent.memory.clear()
    elif due:
        agent._scheduler.pass_on(agent.steps_per_execution)


def learned(agent: Agent, steps: int, weights: list[np.ndarray]) -> None:
    """Called by the learner: so many gradient steps were taken, and these are the actor's new weights."""
    agent.counters.gradient_steps += steps
    if weights:
        agent.actor.set_weights(*weights)
    elif agent.run_eagerly:
        agent.actor.expire()
