"""The records of the parts of one run, as the record of the whole."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from kagent.diagnosis.record import Entries, Episodes, Record, Rewards

KEPT = 100  # returns at the beginning, and at the end
LATEST = 1000  # samples of rewards and actions


def joined(earlier: Record, later: Record) -> Record:
    """What a record says that was collected from the beginning of a run on.

    Args:
        earlier: Of the first part.
        later: Of the part behind it. Its numbers of timesteps and gradient steps, its progress and its settings are those of
            the run, as a resumed agent has them.

    Example:

    >>> first = Record(timesteps=100, history={"loss": [2.0]}, episodes=Episodes(count=3, longest=50))
    >>> whole = joined(first, Record(timesteps=150, history={"loss": [1.0]}, episodes=Episodes(count=1, longest=40)))
    >>> whole.timesteps, whole.history, whole.episodes.count, whole.episodes.longest
    (150, {'loss': [2.0, 1.0]}, 4, 50)
    """
    grown = {**earlier.growth}
    for role, growth in later.growth.items():
        grown[role] = growth * grown.get(role, 1.0)
    return dataclasses.replace(
        later,
        history=_history(earlier.history, later.history),
        settings={**earlier.settings, **later.settings},
        movement=_lists(earlier.movement, later.movement),
        gradients=_lists(earlier.gradients, later.gradients),
        growth=grown,
        baseline=earlier.baseline or later.baseline,
        recorded=later.recorded or earlier.recorded,
        episodes=_episodes(earlier.episodes, later.episodes),
        rewards=Rewards(
            (earlier.rewards.raw + later.rewards.raw)[-LATEST:], (earlier.rewards.seen + later.rewards.seen)[-LATEST:]
        ),
        observations=_entries(earlier.observations, later.observations),
        inputs=_entries(earlier.inputs, later.inputs),
        actions=_entries(earlier.actions, later.actions),
        single_choice=_mean(
            earlier.single_choice, earlier.timesteps, later.single_choice, later.timesteps - earlier.timesteps
        ),
    )


def _lists(earlier: Mapping[str, Sequence[float]], later: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [*earlier.get(name, ()), *later.get(name, ())] for name in dict.fromkeys([*earlier, *later])}


def _history(earlier: Mapping[str, Sequence[float]], later: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    before, behind = (max(map(len, part.values()), default=0) for part in (earlier, later))
    found = {}
    for name in dict.fromkeys([*earlier, *later]):
        first, second = list(earlier.get(name, ())), list(later.get(name, ()))
        # A column that is shorter than others has its values at their beginning.
        first += [math.nan] * (before - len(first))
        found[name] = first + (second or [math.nan] * behind)
    return found


def _episodes(earlier: Episodes, later: Episodes) -> Episodes:
    if not earlier.count:
        return later
    # The first and the last ones are at most half of all of them each, so that none is in both.
    count = earlier.count + later.count
    returns = (*earlier.first, *earlier.last, *later.first, *later.last)
    most = min(KEPT, count // 2, len(returns) // 2)
    known = earlier.truncated is not None and later.truncated is not None
    return Episodes(
        returns[:most],
        returns[-most:] if most else (),
        count,
        (earlier.truncated or 0) + (later.truncated or 0) if known else None,
        max(earlier.longest, later.longest),
        max(earlier.magnitude, later.magnitude),
    )


def _entries(earlier: tuple[Entries, ...], later: tuple[Entries, ...]) -> tuple[Entries, ...]:
    if [(leaf.name, len(leaf.low)) for leaf in earlier] != [(leaf.name, len(leaf.low)) for leaf in later]:
        return later or earlier  # one part has seen nothing
    return tuple(_leaf(*pair) for pair in zip(earlier, later))


def _leaf(earlier: Entries, later: Entries) -> Entries:
    # Shares at bounds are those of the latest samples.
    old = max(min(earlier.samples, LATEST - later.samples), 0) if earlier.at_low else 0

    def share(before: Sequence[float], now: Sequence[float]) -> tuple[float, ...]:
        return tuple((old * one + later.samples * other) / (old + later.samples) for one, other in zip(before, now))

    return dataclasses.replace(
        later,
        low=tuple(map(min, earlier.low, later.low)),
        high=tuple(map(max, earlier.high, later.high)),
        samples=old + later.samples if earlier.at_low else earlier.samples + later.samples,
        at_low=share(earlier.at_low, later.at_low),
        at_high=share(earlier.at_high, later.at_high),
        still=earlier.still and later.still and (earlier.low, earlier.high) == (later.low, later.high),
    )


def _mean(one: float | None, times: float, other: float | None, further: float) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return (one * times + other * max(further, 0)) / max(times + max(further, 0), 1)
