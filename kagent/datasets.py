"""Recorded episodes as data sets, which `agent.fit` learns from offline.

A data set is a sequence of traces, dicts of arrays in the format of `kagent.traces`: whole episodes with observations, actions, rewards
and ends, as the environment had them. They are read one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent import traces
from kagent.spaces import Structure

Trace = Mapping[str, np.ndarray]


class Episodes(Sequence[Trace]):
    """Recorded episodes, trace by trace.

    Args:
        readers: One function for each trace, without arguments, which reads it; or the traces themselves.
        source: What they come from, for messages.

    Raises:
        ValueError: There is none.

    Example:

    >>> trace = {
    ...     "observation": np.zeros((2, 3), np.float32), "final_observation": np.ones((1, 3), np.float32),
    ...     "action": np.array([0, 1]), "reward": np.array([0.5, 1.0]), "episode_length": np.array([2]),
    ...     "terminated": np.array([False, True]), "truncated": np.array([False, False]),
    ... }
    >>> episodes = Episodes([trace, trace])
    >>> len(episodes), episodes.timesteps
    (2, 4)
    """

    def __init__(self, readers: Sequence[Trace | Callable[[], Trace]], source: str = "episodes"):
        if not readers:
            raise ValueError(f"A data set must have an episode. Received: {source}, with none")
        self._readers, self.source = list(readers), source

    def __len__(self) -> int:
        return len(self._readers)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Episodes(self._readers[index], self.source)
        reader = self._readers[index]
        return reader() if callable(reader) else reader

    def checked(self, observation: Structure, action: Structure) -> Iterator[dict[str, np.ndarray]]:
        """The traces one after the other, each checked against the spaces.

        Args:
            observation, action: Of the agent that is to learn from them.

        Raises:
            ValueError: One is not a trace of these spaces. The message names it.
        """
        for number in range(len(self)):
            trace = dict(self[number])
            try:
                traces.check_trace(trace, observation, action)
            except ValueError as error:
                raise ValueError(f"Trace {number} of {self.source}: {error}") from error
            yield trace

    @property
    def timesteps(self) -> int:
        """Timesteps of all traces together; each of them is read."""
        return sum(len(self[number]["reward"]) for number in range(len(self)))


def from_traces(directory: str | os.PathLike[str]) -> Episodes:
    """The traces of a directory, files as `kagent.callbacks.Recorder` writes them.

    Raises:
        ValueError: No such directory, or no trace in it.

    Example:

    >>> history = agent.fit("CartPole-v1", episodes=3, callbacks=[kagent.callbacks.Recorder("recorded")])
    >>> len(from_traces("recorded"))
    3
    """
    files = traces.trace_files(directory)
    return Episodes([lambda path=path: traces.load_trace(path) for path in files], f"{os.fspath(directory)!r}")  # type: ignore[misc]


def as_episodes(data: Any) -> Episodes | None:
    """What `fit` takes for recorded episodes; None where it is something else.

    Args:
        data: `Episodes`, or a directory of traces: a path object, or a string that is a directory and no registered environment.
    """
    if isinstance(data, Episodes):
        return data
    if isinstance(data, os.PathLike):
        return from_traces(data)
    if isinstance(data, str) and data not in gymnasium.registry and os.path.isdir(data):
        return from_traces(data)
    return None
