"""When updates are due, and what is done around them."""

from __future__ import annotations

import math
from typing import Any

from kagent import update
from kagent.training.counters import Counters, TrainingClock


class UpdateScheduler:
    """When the next update is due, by a rule and by how far the agent has come.

    `executions`, the updates in one call of the learner, is `steps_per_execution` of `compile`.

    Args:
        parts: Of the agent. Rule and memory are read there.
        counters: Of the agent. Those of updates (`due_updates_done`, `units_waited`, `episodes_handled`) are written here alone.
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
        if (rule != before and before.period != math.inf) or not 0 <= passed - counters.due_updates_done <= 1:
            counters.due_updates_done, counters.episodes_handled = passed, counters.episodes
            counters.units_waited = int(passed * rule.period) if rule.is_scheduled else 0

    def due_at(self, executions: int, unit: str = "timesteps") -> float:
        """Count of `unit` at which the next call of the learner is due; infinite where another unit, the memory or the user
        decides.

        Args:
            executions: Updates in one call of the learner.
            unit: "timesteps" or "episodes".
        """
        rule, memory = self.rule, self._parts.memory
        if rule.episode_ends and unit == "episodes" and not memory.on_policy:
            return self._counters.episodes_handled + 1
        if memory.on_policy or rule.unit != unit or rule.period == math.inf:
            return math.inf
        if rule.is_scheduled:
            period = rule.period_at(self._clock.training())
            found: float = rule.first + self._counters.units_waited + (executions - 1) * period
            return found
        at: float = rule.origin + (self._counters.due_updates_done + executions - 1) * rule.period
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
            counters.due_updates_done += executions
            if rule.is_scheduled:
                counters.units_waited += executions * int(rule.period_at(self._clock.training()))
        counters.episodes_handled = counters.episodes

    def _is_late(self, executions: int) -> bool:
        unit = self.rule.unit
        return bool(getattr(self._counters, unit) >= self.due_at(executions, unit))

    def _is_at_end(self) -> bool:
        rule, counters = self.rule, self._counters
        if rule.episode_ends and counters.timesteps < rule.first:
            counters.episodes_handled = counters.episodes
        return bool(rule.episode_ends and counters.episodes > counters.episodes_handled)
