"""What is known of a run, as plain numbers: whoever has them can be examined, an agent is not needed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

_FEWEST = 5  # episodes that a mean return is taken of
_MARGIN = 2.0  # standard errors
_COLLAPSED = 0.02  # part of the entropy of uniform discrete actions
_NARROW = 5.0  # nats below uniform, for each continuous component: a deviation of 0.2 % of the range


@dataclasses.dataclass(frozen=True)
class Entries:
    """What was seen of one leaf of observations or of actions, entry by entry.

    Attributes:
        name: The leaf's name; `""` of a space that is not nested.
        low, high: Smallest and largest value seen, one number for each entry. Of an image, and of a leaf of more than 4,096
            entries, one number for all.
        declared_low, declared_high: Bounds that the space declares for them, perhaps infinite.
        samples: How many values of each entry were looked at.
        at_low, at_high: Parts of the latest samples that lie at the lower and at the upper bound; empty where that is not
            counted.
        image: Whether it is an image.
        discrete: Whether it has values without order: then `low` and `high` only say whether it varies.
        still: Whether all samples were equal, of an image and of a leaf of more than 4,096 entries.
    """

    name: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    declared_low: tuple[float, ...]
    declared_high: tuple[float, ...]
    samples: int
    at_low: tuple[float, ...] = ()
    at_high: tuple[float, ...] = ()
    image: bool = False
    discrete: bool = False
    still: bool = False

    @property
    def title(self) -> str:
        """The leaf's name in a sentence."""
        return f" of leaf {self.name!r}" if self.name else ""


@dataclasses.dataclass(frozen=True)
class Rewards:
    """The latest rewards that were looked at.

    Attributes:
        raw: As the environment gave them.
        seen: As the agent sees them, after preprocessing; as long as `raw`.
    """

    raw: tuple[float, ...] = ()
    seen: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Episodes:
    """The episodes that have ended.

    Attributes:
        first, last: Returns of the earliest and of the latest episodes: at most 100 each, and none in both.
        count: How many have ended.
        truncated: How many of them by truncation alone; None: unknown.
        longest: Timesteps of the longest one; 0: unknown.
        magnitude: The largest absolute return.
    """

    first: tuple[float, ...] = ()
    last: tuple[float, ...] = ()
    count: int = 0
    truncated: int | None = None
    longest: int = 0
    magnitude: float = 0.0


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The recorded episodes that an agent learns from offline, as far as they were looked at.

    Attributes:
        timesteps: Of them together.
        returns: Of the episodes, by rewards as they were recorded: at most 1,000.
        longest: Timesteps of the longest episode.
        values: The smallest and the largest discounted sum of rewards from a timestep on, of rewards as the agent sees them.
            Where an episode was cut off, as if it went on by its mean reward. Empty: unknown.
        actions: Leaves of the actions as the environment takes them.
        choices: Leaves of the actions in stored form, of discrete ones, too.
    """

    timesteps: int = 0
    returns: tuple[float, ...] = ()
    longest: int = 0
    values: tuple[float, ...] = ()
    actions: tuple[Entries, ...] = ()
    choices: tuple[Entries, ...] = ()


@dataclasses.dataclass(frozen=True)
class Record:
    """Statistics of a run. What is not known is left out, and rules that need it find nothing.

    Attributes:
        timesteps, gradient_steps: How far it has come.
        progress: Part of the run that is done, 0 to 1.
        history: What each epoch logged, by name, as `History` and `log.csv` have it; NaN: no value yet.
        settings: Numbers of the agent by name: `learns` (0: never), `discount`, `batch_size` and `start` (timesteps), `huber`,
            `epsilon` (now), `noise` (now, on the actions of a deterministic policy), `noisy` (1: its layers explore), `on_policy` (0:
            it replays), `bonus` (1: values hold entropy), `steps_per_update` (gradient steps), `most_entropy` (nats, of uniform
            actions), `box_components`, `max_grad_norm` and `critic_max_grad_norm` (where gradients are clipped by their norm),
            `reads_rewards` (0: learns by actions alone).
        movement: By role how far a gradient step moves the weights, relative to their size: a mean for each time that it was
            measured.
        growth: By role the size of the weights, relative to that at the beginning.
        gradients: By role the norm of the gradients that its optimizer has taken lately, clipped where it clips: for each time
            that it was measured. Norms before clipping are in `history`: `gradient_norm`, `critic_gradient_norm`.
        baseline: Returns of random play.
        episodes, rewards: See there.
        observations: Leaves as the environment gives them.
        inputs: Leaves as the agent sees them, after preprocessing.
        actions: Leaves of the agent's actions as the environment takes them.
        single_choice: Part of the looked-at decisions in which masks left one value; None: no masks.
        recorded: Of offline learning the recorded episodes, None elsewhere. `rewards`, `observations`, `inputs` and `single_choice`
            are then theirs, and `actions` the greedy ones at observations of theirs.

    Example:

    >>> record = Record(timesteps=20_000, gradient_steps=0, settings={"start": 50_000})
    """

    timesteps: int = 0
    gradient_steps: int = 0
    progress: float = 1.0
    history: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    movement: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    growth: Mapping[str, float] = dataclasses.field(default_factory=dict)
    gradients: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    baseline: tuple[float, ...] = ()
    episodes: Episodes = Episodes()
    rewards: Rewards = Rewards()
    observations: tuple[Entries, ...] = ()
    inputs: tuple[Entries, ...] = ()
    actions: tuple[Entries, ...] = ()
    single_choice: float | None = None
    recorded: Recorded | None = None

    def logged(self, name: str) -> list[float]:
        """The values of an epoch's log that there are."""
        return [value for value in self.history.get(name, ()) if math.isfinite(value)]

    def late(self, name: str) -> list[float]:
        """Of `logged` the later two thirds; empty where there are fewer than three."""
        values = self.logged(name)
        return values[len(values) // 3 :] if len(values) >= 3 else []

    def gradient_norms(self, role: str) -> list[float]:
        """Norms of a role's gradients over the run: before clipping where they are logged, else as its optimizer took them."""
        logged = self.logged(f"{'' if role == 'policy' else role + '_'}gradient_norm")
        return logged or [value for value in self.gradients.get(role, ()) if math.isfinite(value)]

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.progress >= 1.0

    @property
    def learned(self) -> bool | None:
        """Whether the latest returns are better than those of random play, or where that is not known than the first
        ones, by two standard errors; None: too few episodes to say."""
        compared = self.baseline or self.episodes.first
        if min(len(compared), len(self.episodes.last)) < _FEWEST:
            return None
        return is_better(self.episodes.last, compared)


def has_collapsed(record: Record) -> bool:
    """Whether the policy's entropy is next to nothing."""
    late, most = record.late("entropy"), record.settings.get("most_entropy")
    if not late or not most:
        return False
    boxes = record.settings.get("box_components", 0.0)
    least = most - _NARROW * boxes if boxes else _COLLAPSED * most
    return statistics.fmean(late[-3:]) < least


def is_better(values: Sequence[float], others: Sequence[float]) -> bool:
    """Whether the mean of the values is above that of the others by two standard errors.

    Example:

    >>> is_better([3.0, 5.0], [1.0, 3.0])  # 4 and 2; the standard error is sqrt(2 / 2 + 2 / 2), 1.41
    False
    >>> is_better([3.0, 3.0], [1.0, 1.0])
    True
    """
    error = math.sqrt(sum(_variance(each) / len(each) for each in (values, others) if len(each) > 1))
    # Returns that are equal everywhere have no error: rounding is no progress.
    tiny = 1e-6 * max(abs(statistics.fmean(values)), abs(statistics.fmean(others)))
    return statistics.fmean(values) - statistics.fmean(others) > max(_MARGIN * error, tiny)


def _variance(values: Sequence[float]) -> float:
    # A hundred times as fast as that of `statistics`, which is exact.
    mean = statistics.fmean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def to_json(record: Record) -> dict[str, Any]:
    """A record as plain values; `from_json` is the inverse."""
    return dataclasses.asdict(record)


def from_json(found: Mapping[str, Any]) -> Record:
    """The record that `to_json` wrote.

    Raises:
        ValueError: It is none.
    """
    try:
        nested: dict[str, Any] = {
            "episodes": _made(Episodes, found["episodes"]), "rewards": _made(Rewards, found["rewards"]),
            **{name: _leaves(found[name]) for name in ("observations", "inputs", "actions")},
        }  # fmt: skip
        if (recorded := found.get("recorded")) is not None:
            leaves = {name: _leaves(recorded[name]) for name in ("actions", "choices")}
            nested["recorded"] = _made(Recorded, {**recorded, **leaves})
        record: Record = _made(Record, {**found, **nested})
        return record
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no record of a run: {type(error).__name__}: {error}") from error


def _leaves(found: Any) -> tuple[Entries, ...]:
    return tuple(_made(Entries, leaf) for leaf in found)


def _made(cls: Any, values: Mapping[str, Any]) -> Any:
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
