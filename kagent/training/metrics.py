"""What an epoch logs.

The rule: an epoch logs the same metrics from the first to the last, so that columns and lists stay whole. A metric that has no
value yet, because no episode has ended and no update was made, is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.training.collector import Episode


def returned(episodes: Sequence[Episode]) -> Sequence[Episode]:
    """The episodes that a mean return is of: those with a recorded one where some have, because a mean over both kinds would
    be of two different quantities; else all."""
    return [episode for episode in episodes if episode.wrapped_return is not None] or episodes


def episode_means(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean `episode_return`, `episode_wrapped_return` where environments recorded returns, and `episode_length`."""
    chosen = returned(episodes)
    means = {"episode_return": float(np.mean([episode.episode_return for episode in chosen]))}
    wrapped = [episode.wrapped_return for episode in chosen if episode.wrapped_return is not None]
    if wrapped:
        means["episode_wrapped_return"] = float(np.mean(wrapped))
    return {**means, "episode_length": float(np.mean([episode.length for episode in episodes]))}


def validation_logs(recorded: bool) -> list[str]:
    """Names of what an epoch with a validation logs of it, where environments record returns (`recorded`), or do not."""
    names = ["episode_return", "episode_return_std", "episode_length", "episodes"]
    return [f"val_{name}" for name in (*names, *["episode_wrapped_return"] * recorded)]


class EpisodeMetrics:
    """Return and length of the episodes that ended in an epoch, the counters, and the pace.

    Where no episode ended in an epoch, the last known mean stands again. Before the first end there is none: NaN.

    Args:
        recorded: Whether environments are expected to record returns: `episode_wrapped_return` is logged from the start.

    Attributes:
        last: Mean return and length of the last epoch in which an episode ended, and the mean wrapped return of the last one
            in which returns were recorded. May be set: a resumed run has them.
    """

    def __init__(self, recorded: bool = False) -> None:
        self._ended: list[Episode] = []
        self._recorded = recorded
        self.last = (math.nan, math.nan, math.nan)

    def update(self, finished: list[Episode]) -> None:
        """Takes note of finished episodes."""
        self._ended += finished

    def _means(self) -> tuple[float, float, float]:
        if self._ended:
            means = episode_means(self._ended)
            last, _, wrapped = self.last
            # Where returns are recorded, one that is not, of an episode cut off from outside, is another quantity.
            lacks = not math.isnan(wrapped) and "episode_wrapped_return" not in means
            value = last if lacks else means["episode_return"]
            self.last = (value, means["episode_length"], means.get("episode_wrapped_return", wrapped))
        return self.last

    def live(self, steps: int, seconds: float) -> dict[str, float]:
        """What the progress bar shows in the middle of an epoch."""
        recent = self._ended[-100:]
        value = episode_means(recent)["episode_return"] if recent else self.last[0]
        shown = {"episode_return": value} if math.isfinite(value) else {}
        return {**shown, "steps_per_second": steps / max(seconds, 1e-9)}

    def epoch(self, agent: Any, steps: int, seconds: float) -> dict[str, float]:
        """The epoch's entries; begins the next one."""
        mean_return, mean_length, wrapped = self._means()
        self._ended = []
        return {
            "episode_return": mean_return,
            **({"episode_wrapped_return": wrapped} if self._recorded or not math.isnan(wrapped) else {}),
            "episode_length": mean_length,
            "episodes": agent.episodes,
            "timesteps": agent.timesteps,
            "updates": agent.updates,
            "steps_per_second": steps / max(seconds, 1e-9),
        }


class UpdateMetrics:
    """What the updates of an epoch logged: means, and the latest results of running Keras metrics.

    Where no update was made in an epoch the last known values stand again. Before the first update there are none: NaN.

    Attributes:
        last: The entries of the last epoch in which an update was made. May be set, as above.
    """

    def __init__(self) -> None:
        self._logs: list[dict[str, float]] = []
        self.last: dict[str, float] = {}

    def update(self, logs: dict[str, float]) -> None:
        """Takes note of one update's logs."""
        self._logs.append(logs)

    def epoch(self, learner: Any) -> dict[str, float]:
        """The epoch's entries; begins the next one.

        Args:
            learner: Says in `names` what is logged, and in `running` what is a metric's result.
        """
        if self._logs:
            running = getattr(learner, "running", ())
            self.last = {
                name: value if name in running else float(np.mean([logs[name] for logs in self._logs]))
                for name, value in self._logs[-1].items()
            }
            self._logs = []
        return {**dict.fromkeys(getattr(learner, "names", ()), math.nan), **self.last}
