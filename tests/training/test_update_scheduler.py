"""When updates are due, counted by hand, without an agent."""

import math
from types import SimpleNamespace

from kagent.training.counters import Counters, TrainingClock
from kagent.training.random_streams import RandomStreams
from kagent.training.update_scheduler import UpdateScheduler
from kagent.update import Update


class Ready:
    """A memory that is learned from again and again."""

    on_policy, ready = False, True

    def is_ready(self, rule):
        return self.ready


def scheduler(**rule):
    counters, parts = Counters(), SimpleNamespace(update_rule=Update(batch_size=2, **rule), memory=Ready())
    return UpdateScheduler(parts, counters, TrainingClock(counters, RandomStreams(0))), counters, parts


def due(found, counters, timesteps, executions=1):
    """Updates that are due up to each of these timesteps."""
    made = []
    for counters.timesteps in timesteps:
        number = 0
        while found.is_due(executions):
            found.pass_on(executions)
            number += 1
        made.append(number)
    return made


def test_every_so_many_timesteps_from_the_first():
    found, counters, _ = scheduler(frequency=3, start=6)
    assert found.due_at(1) == 6 and found.due_at(1, "episodes") == math.inf
    assert due(found, counters, range(13)) == [0] * 6 + [1, 0, 0, 1, 0, 0, 1]
    assert found.due_at(1) == 15 and due(found, counters, [21]) == [3]


def test_several_updates_in_one_call():
    found, counters, _ = scheduler(frequency=2, start=2)
    assert found.due_at(3) == 6 and due(found, counters, range(13), 3) == [0] * 6 + [1] + [0] * 5 + [1]
    assert counters.due_updates_done == 6


def test_an_update_without_enough_to_learn_from_is_passed_over():
    found, counters, parts = scheduler(frequency=2, start=2)
    parts.memory.ready = False
    assert due(found, counters, range(7)) == [0] * 7 and counters.due_updates_done == 3
    parts.memory.ready = True
    assert due(found, counters, [7, 8]) == [0, 1]


def test_another_rule_leaves_the_past_and_the_same_one_does_not():
    found, counters, parts = scheduler(frequency=2, start=2)
    counters.timesteps = 10
    found.take(Update(batch_size=2, frequency=5, start=5))
    assert parts.update_rule.period == 5 and not found.is_due(1) and found.due_at(1) == 15


def test_never_is_for_the_user():
    found, counters, _ = scheduler(frequency="never")
    assert found.due_at(1) == math.inf and due(found, counters, [10, 10_000]) == [0, 0]
