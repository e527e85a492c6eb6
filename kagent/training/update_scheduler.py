"""When updates are due, and what is done around them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import update
from kagent.learning.learner import Learner
from kagent.mixin import Mixin
from kagent.training.counters import Counters, TrainingClock


class UpdateScheduler:
    """When the next update is due, by a rule and by how far the agent has come.

    `executions`, the updates in one call of the learner, is `steps_per_execution` of `compile`.

    Args:
        parts: Of the agent. Rule and memory are read there.
        counters: Of the agent. Those of updates (`performed`, `waited`, `ended`) are written here alone.
        clock: The time, for frequencies that are schedules.
    """

    def __init__(self, parts: Any, counters: Counters, clock: TrainingClock):
        self._parts, self._counters, self._clock = parts, counters, clock

    @property
    def rule(self) -> update.Update:
        """The rule that holds now."""
        rule: update.Update = self._parts.update_rule
        return rule

    def take(self, rule: update.Update) -> None:
        """Takes another rule from now on. What was due by the one before is past, unless that left updates to the user; what
        is due by the same rule is not."""
        counters, before = self._counters, self.rule
        self._parts.update_rule = rule
        passed = rule.passed(getattr(counters, rule.unit))
        # A file may come from a run with another rule: then it is more than one behind, or ahead.
        if (rule != before and before.period != math.inf) or not 0 <= passed - counters.performed <= 1:
            counters.performed, counters.ended = passed, counters.episodes
            counters.waited = int(passed * rule.period) if rule.is_scheduled else 0

    def due_at(self, executions: int, unit: str = "timesteps") -> float:
        """Count of `unit` at which the next call of the learner is due; infinite where another unit, the memory or the user
        decides.

        Args:
            executions: Updates in one call of the learner.
            unit: "timesteps" or "episodes".
        """
        rule, memory = self.rule, self._parts.memory
        if rule.episode_ends and unit == "episodes" and not memory.on_policy:
            return self._counters.ended + 1
        if memory.on_policy or rule.unit != unit or rule.period == math.inf:
            return math.inf
        if rule.is_scheduled:
            period = rule.period_at(self._clock.training())
            found: float = rule.first + self._counters.waited + (executions - 1) * period
            return found
        at: float = rule.origin + (self._counters.performed + executions - 1) * rule.period
        return at

    def is_due(self, executions: int) -> bool:
        """Whether an update is due now. One for which the memory has too little is passed over."""
        memory = self._parts.memory
        if memory.on_policy:
            return bool(memory.is_full)
        if not (self._is_late(executions) or self._is_at_end()):
            return False
        if not memory.is_ready(self.rule):
            # A loaded agent whose memory was not saved collects again before it learns from next to nothing. And of
            # returns over whole episodes there may be none yet.
            self.pass_on(executions)
            return False
        return True

    def pass_on(self, executions: int) -> None:
        """The update that is due is done, or passed over."""
        # One update is all that a timestep gets, whether it is due by frequency, by an episode's end, or by both.
        rule, counters = self.rule, self._counters
        if self._is_late(executions) or not rule.episode_ends:
            counters.performed += executions
            if rule.is_scheduled:
                counters.waited += executions * int(rule.period_at(self._clock.training()))
        counters.ended = counters.episodes

    def _is_late(self, executions: int) -> bool:
        unit = self.rule.unit
        return bool(getattr(self._counters, unit) >= self.due_at(executions, unit))

    def _is_at_end(self) -> bool:
        rule, counters = self.rule, self._counters
        if rule.episode_ends and counters.timesteps < rule.first:
            counters.ended = counters.episodes
        return bool(rule.episode_ends and counters.episodes > counters.ended)


class Updating(Mixin):
    """The part of an agent that knows when to learn from its memory. A mixin of `Agent`."""

    _errors: Any = None  # those of the samples of the gradient step that runs

    def report_errors(self, errors: Any) -> None:
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
        self._errors = tf.abs(tf.stop_gradient(tf.cast(errors, tf.float32)))

    def take_errors(self) -> Any:
        """The errors that were reported since the last call, `(B,)`, or None."""
        errors, self._errors = self._errors, None
        return errors

    def reschedule(self, rule: Any) -> None:
        """Takes an update rule from now on. What was due by another one is past; what is due by the same one, or was left
        to the user ("never"), is not.

        Args:
            rule: As `update` of the constructor.

        Raises:
            ValueError, TypeError: The memory does not suit it.
            RuntimeError: The agent is in the middle of `fit` or another method.
        """
        self.occupation.refuse("reschedule")
        rule = update.get(rule)
        self.memory.configure(rule, self.reward_estimation, self._clock.training)
        self._scheduler.take(rule)

    def elements(self) -> Any:
        """The memory's packed elements, from the next one to be learned from."""
        return self.memory.elements(
            self.update_rule, self.steps_per_execution, self._random.sample_seed, self.counters.drawn
        )

    def fresh_iterator(self) -> Any:
        """`elements`, which the learner is made ready for."""
        iterator = self.elements()
        if isinstance(self.train_function, Learner):
            self.train_function.bind(iterator)
        return iterator

    def iterator(self) -> Any:
        """The iterator of the last call where it stands at the next element still, else a fresh one.

        For a new one TensorFlow makes its program ready once more, which takes a tenth of a second and more. Where the
        train function is not kagent's own, what it has drawn is not known, and each is fresh.
        """
        learner = self.train_function
        if not isinstance(learner, Learner):
            return self.elements()
        # Drawn and pulled go up together, but not where an update failed, or the agent was loaded.
        drawn = self.counters.drawn - learner.pulls
        made = learner, self.memory.storage, self.update_rule, self.steps_per_execution, self._random.sample_seed, drawn
        if self._iterating is None or self._iterating[0] != made:
            self._iterating = made, self.fresh_iterator()
        return self._iterating[1]

    def _due_at(self, unit: str = "timesteps") -> float:
        return self._scheduler.due_at(self.steps_per_execution, unit)

    @property
    def _is_full(self) -> Any:
        return self.memory.filled if self.memory.on_policy else None

    def _is_due(self) -> bool:
        return self._scheduler.is_due(self.steps_per_execution)

    def _before_update(self) -> None:
        self.estimate_early()
        if self.target_networks.is_due(self.timesteps, self.counters.targets_moved, self._clock.training()):
            self._follow()
            self.counters.targets_moved = self.timesteps

    def estimate_early(self) -> None:
        """Has the memory's new rows say what follows them, where that is to be estimated when they are stored."""
        self._early_estimates.write(self)

    def follow(self, steps: int) -> None:
        """Called by the learner after so many offline gradient steps.

        Without timesteps, targets move as often per gradient step as they would while playing.
        """
        if self.objective.targets and self.target.unit == "timesteps":
            frequency = self.update_rule.period_at(self._clock.training())
            frequency = 1 if frequency == math.inf else int(frequency)
            if self.update_rule.unit == "episodes":
                frequency *= max(1, self.timesteps // max(1, self.episodes))
            period = max(1, self.target.period_at(self._clock.training()) * (self.update_rule.steps or 1) // frequency)
            if self.updates // period > (self.updates - steps) // period:
                self._follow()

    def _follow(self) -> None:
        if not self.trainable:
            return
        self.target_networks.move_now(self._clock.training(), bool(self.jit_compile), self.run_eagerly)

    def _after_update(self, due: bool = True) -> None:
        self.counters.drawn += 1
        if self.memory.on_policy:
            self.memory.clear()
        elif due:
            self._scheduler.pass_on(self.steps_per_execution)

    def learned(self, steps: int, weights: list[np.ndarray]) -> None:
        """Called by the learner: so many gradient steps were taken, and these are the actor's new weights."""
        self.counters.gradient_steps += steps
        if weights:
            self.actor.set_weights(*weights)
        elif self.run_eagerly:
            self.actor.expire()
