"""The learning curve of one run: what is recorded while it trains, and what its file keeps of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kagent.callbacks import Callback

PARTS = 100  # of a run: a file keeps one mean of each
Points = list[tuple[int, float]]


class EpisodeReturns(Callback):
    """Notes the return of every training episode.

    Attributes:
        points: For each episode the agent's timesteps at its end, and its return, undiscounted, of the exploring agent.
    """

    def __init__(self, points: Points | None = None):
        super().__init__()
        self.points: Points = [] if points is None else points

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self.points.append((self.model.timesteps, float(logs["episode_return"])))


def means(points: Sequence[tuple[int, float]], steps: int, parts: int = PARTS) -> dict[str, list[Any]]:
    """The mean return of the episodes that ended in each of so many equal parts of a run.

    Args:
        points: Timesteps at the end of each episode, and its return. Timesteps beyond `steps` count to the last part.
        steps: Timesteps of the run.
        parts: How many.

    Returns:
        `"timesteps"`, where each part ends, and `"returns"`; parts in which no episode ended are left out.

    Example:

    >>> means([(3, 1.0), (5, 3.0), (10, 4.0)], steps=10, parts=5)
    {'timesteps': [4, 6, 10], 'returns': [1.0, 3.0, 4.0]}
    """
    found: dict[int, list[float]] = {}
    for timesteps, value in points:
        # Part k ends at steps * (k + 1) / parts, and has the episodes that ended at or before that.
        found.setdefault(min(-(-timesteps * parts // steps) - 1, parts - 1), []).append(value)
    ends = {part: -(-steps * (part + 1) // parts) for part in sorted(found)}
    return {
        "timesteps": list(ends.values()),
        "returns": [round(sum(found[part]) / len(found[part]), 4) for part in ends],
    }
