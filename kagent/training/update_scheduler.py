"""When updates are due, and what is done around them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import update
from kagent.learning.learner import Learner
from kagent.mixin import Mixin
from kagent.schedules import Clock, evaluate

_ESTIMATED = 1024  # rows whose next values are computed in one call, at most


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
        rule, before = update.get(rule), self.update_rule
        self.memory.configure(rule, self.reward_estimation, lambda: self.training_clock)
        self.update_rule = rule
        passed = rule.passed(getattr(self.counters, rule.unit))
        # A file may come from a run with another rule: then it is more than one behind, or ahead.
        if (rule != before and before.period != math.inf) or not 0 <= passed - self.counters.performed <= 1:
            self.counters.performed, self.counters.ended = passed, self.episodes
            self.counters.waited = int(passed * rule.period) if rule.is_scheduled else 0

    def elements(self) -> Any:
        """The memory's packed elements, from the next one to be learned from."""
        return self.memory.elements(self.update_rule, self.steps_per_execution, self._sample_seed, self.counters.drawn)

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
        made = learner, self.memory.storage, self.update_rule, self.steps_per_execution, self._sample_seed, drawn
        if self._iterating is None or self._iterating[0] != made:
            self._iterating = made, self.fresh_iterator()
        return self._iterating[1]

    def _due_at(self, unit: str = "timesteps") -> float:
        """Count of `unit` at which the next call of the learner is due; infinite where another unit, the memory or the
        user decides."""
        rule = self.update_rule
        if rule.episode_ends and unit == "episodes" and not self.memory.on_policy:
            return self.counters.ended + 1
        if self.memory.on_policy or rule.unit != unit or rule.period == math.inf:
            return math.inf
        if rule.is_scheduled:
            return (
                rule.first + self.counters.waited + (self.steps_per_execution - 1) * rule.period_at(self.training_clock)
            )
        return rule.origin + (self.counters.performed + self.steps_per_execution - 1) * rule.period

    @property
    def _is_full(self) -> Any:
        return self.memory.filled if self.memory.on_policy else None

    def _is_due(self) -> bool:
        if self.memory.on_policy:
            return self.memory.is_full
        if not (self._is_late() or self._is_at_end()):
            return False
        if not self.memory.is_ready(self.update_rule):
            # A loaded agent whose memory was not saved collects again before it learns from next to nothing. And of
            # returns over whole episodes there may be none yet.
            self._tick_off()
            return False
        return True

    def _is_late(self) -> bool:
        unit = self.update_rule.unit
        return getattr(self.counters, unit) >= self._due_at(unit)

    def _is_at_end(self) -> bool:
        rule, counters = self.update_rule, self.counters
        if rule.episode_ends and counters.timesteps < rule.first:
            counters.ended = counters.episodes
        return rule.episode_ends and counters.episodes > counters.ended

    def _tick_off(self) -> None:
        # One update is all that a timestep gets, whether it is due by frequency, by an episode's end, or by both.
        rule, counters = self.update_rule, self.counters
        if self._is_late() or not rule.episode_ends:
            counters.performed += self.steps_per_execution
            if rule.is_scheduled:
                counters.waited += self.steps_per_execution * int(rule.period_at(self.training_clock))
        counters.ended = counters.episodes

    def _before_update(self) -> None:
        self.estimate_early()
        if self.objective.targets and self.target.unit == "timesteps":
            period = self.target.period
            if callable(period):
                period = self.target.period_at(self.training_clock)
            if self.timesteps // period > self.counters.targets_moved // period:
                self._follow()
                self.counters.targets_moved = self.timesteps

    def estimate_early(self) -> None:
        """Has the memory's new rows say what follows them, where that is to be estimated when they are stored."""
        if not getattr(self.memory, "unestimated", 0):
            return
        if self._estimate is None:
            function = self._next_values
            self._estimate = function if self.run_eagerly else tf.function(function, autograph=False)
        memory, clock = self.memory, np.asarray(self.host_clock, np.float64)
        rows = memory.take_unestimated()
        for number, begin in enumerate(range(0, len(rows), _ESTIMATED)):
            part = rows[begin : begin + _ESTIMATED]
            # Few sizes, each of which is traced once: the next power of two.
            padded = np.resize(part, 1 << (len(part) - 1).bit_length())
            blocks = {name: tf.constant(array.take(padded, axis=0)) for name, array in memory.storage.blocks.items()}
            values = self._estimate(blocks, tf.constant(clock), tf.constant(number))
            memory.storage.views["next_value"][part] = values.numpy()[: len(part)]

    def _next_values(self, blocks: dict[str, tf.Tensor], clock: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        agent: Any = self
        agent.program_clock = Clock(*tf.unstack(clock))
        try:
            batch, _ = agent.memory.experience(blocks)
            # Not the numbers that the gradient step after it draws.
            seed = tf.random.fold_in(agent.step_seed(), number + 1)
            return agent.objective.next_values(agent, batch, seed)
        finally:
            agent.program_clock = None

    def follow(self, steps: int) -> None:
        """Called by the learner after so many offline gradient steps.

        Without timesteps, targets move as often per gradient step as they would while playing.
        """
        if self.objective.targets and self.target.unit == "timesteps":
            frequency = self.update_rule.period_at(self.training_clock)
            frequency = 1 if frequency == math.inf else int(frequency)
            if self.update_rule.unit == "episodes":
                frequency *= max(1, self.timesteps // max(1, self.episodes))
            period = max(1, self.target.period_at(self.training_clock) * (self.update_rule.steps or 1) // frequency)
            if self.updates // period > (self.updates - steps) // period:
                self._follow()

    def _follow(self) -> None:
        if not self.trainable:
            return
        if self._move_targets is None:
            jit, scheduled = bool(self.jit_compile), callable(self.target.tau)
            move: Any = (lambda tau: self.move_targets(tau=tau)) if scheduled else self.move_targets
            # Concrete: TensorFlow would take the functions of several agents for one that is traced again and again.
            compiled = tf.function(move, jit_compile=jit, autograph=False)
            given = [tf.TensorSpec((), tf.float32)] if scheduled else []
            self._move_targets = move if self.run_eagerly else compiled.get_concrete_function(*given)
        if callable(self.target.tau):
            self._move_targets(tf.constant(evaluate(self.target.tau, self.training_clock), tf.float32))
        else:
            self._move_targets()

    def _after_update(self, due: bool = True) -> None:
        self.counters.drawn += 1
        if self.memory.on_policy:
            self.memory.clear()
        elif due:
            self._tick_off()

    def learned(self, steps: int, weights: list[np.ndarray]) -> None:
        """Called by the learner: so many gradient steps were taken, and these are the actor's new weights."""
        self.counters.updates += steps
        if weights:
            self.actor.set_weights(*weights)
        elif self.run_eagerly:
            self.actor.expire()
