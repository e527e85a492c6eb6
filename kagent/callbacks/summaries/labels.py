"""The labels of summaries, the groups they come in, and the time by which each is counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kagent.config.checks import check_count

# Label: the function it belongs to, by which `frequency` selects. None: written once.
LABELS = {
    "bernoulli": "act",
    "categorical": "act",
    "gaussian": "act",
    "beta": "act",
    "dropout": "act",
    "relu": "act",
    "timestep-reward": "act",
    "raw-reward": "act",
    "episode-reward": "observe",
    "empirical-reward": "experience",
    "entropy": "update",
    "action-entropies": "update",
    "kl-divergence": "update",
    "action-kl-divergences": "update",
    "loss": "update",
    "objective-loss": "update",
    "regularization-loss": "update",
    "baseline-loss": "update",
    "baseline-objective-loss": "update",
    "baseline-regularization-loss": "update",
    "estimated-reward": "update",
    "parameters": "update",
    "update-norm": "update",
    "updates": "update",
    "updates-histogram": "update",
    "variables": "variables",
    "variables-histogram": "variables",
    "graph": None,
}
DISTRIBUTIONS = ("bernoulli", "categorical", "gaussian", "beta")
ENTROPIES = ("entropy", "action-entropies")
DIVERGENCES = ("kl-divergence", "action-kl-divergences")
LOSSES = (
    "loss", "objective-loss", "regularization-loss",
    "baseline-loss", "baseline-objective-loss", "baseline-regularization-loss",
)  # fmt: skip
REWARDS = ("timestep-reward", "episode-reward", "raw-reward", "empirical-reward", "estimated-reward")
GROUPS = {
    "all": tuple(label for label in LABELS if not label.endswith("-histogram")),
    "distributions": DISTRIBUTIONS,
    "entropies": ENTROPIES,
    "kl-divergences": DIVERGENCES,
    "losses": LOSSES,
    "rewards": REWARDS,
}
FUNCTIONS = ("act", "observe", "experience", "update", "variables")


def expand(labels: Any) -> frozenset[str]:
    """Labels as a set: of "all", or of labels and groups of labels.

    Raises:
        TypeError: Neither "all" nor an iterable of strings.
        ValueError: An unknown label.
    """
    if isinstance(labels, str) and labels == "all":
        return frozenset(GROUPS["all"])
    known = ", ".join(sorted({*LABELS, *GROUPS}))
    if isinstance(labels, str | Mapping) or not isinstance(labels, Iterable):
        raise TypeError(f"`summarizer.labels` must be 'all' or a list of labels. Received: {labels!r}. Known: {known}")
    given = list(labels)
    unknown = [label for label in given if not isinstance(label, str) or label not in {*LABELS, *GROUPS}]
    if unknown:
        raise ValueError(f"`summarizer.labels` knows no {unknown}. Known: {known}")
    return frozenset(member for label in given for member in GROUPS.get(label, (label,)))


def periods(frequency: Any) -> dict[str, int | None]:
    """`frequency` as a period per function, in its own unit; None: never.

    Raises:
        ValueError: A period that is not an integer >= 1, an unknown function.
    """
    if frequency is None:
        return dict.fromkeys(FUNCTIONS, 1)
    if not isinstance(frequency, Mapping):
        return {**dict.fromkeys(FUNCTIONS, 1), "act": check_count(frequency, "summarizer.frequency")}
    unknown = [key for key in frequency if key not in FUNCTIONS]
    if unknown:
        raise ValueError(f"`summarizer.frequency` has no key {unknown}. Allowed: {', '.join(FUNCTIONS)}")
    given = {key: check_count(value, f"summarizer.frequency[{key!r}]") for key, value in frequency.items()}
    return {function: given.get(function) for function in FUNCTIONS}


class Pace:
    """Tells at which counts something is due: whenever a multiple of the period has been reached or passed.

    Args:
        period: Every so many; None: never.
    """

    def __init__(self, period: int | None):
        self.period = period
        self._passed = 0

    def begin(self, count: int) -> None:
        """Counting goes on from here."""
        self._passed = count // (self.period or 1)

    def is_due(self, count: int) -> bool:
        """Asked once per count."""
        if self.period is None:
            return False
        before, self._passed = self._passed, count // self.period
        return self._passed > before
