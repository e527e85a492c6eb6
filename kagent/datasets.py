"""Recorded episodes as data sets, which `agent.fit` learns from offline.

A data set is a sequence of traces, dicts of arrays in the format of `kagent.traces`: whole episodes with observations, actions, rewards
and ends, as the environment had them. They are read one at a time.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent import traces
from kagent.spaces import Structure

_MINARI = "minari:"
Trace = Mapping[str, np.ndarray]


class Episodes(Sequence[Trace]):
    """Recorded episodes, trace by trace.

    Args:
        readers: One function for each trace, without arguments, which reads it; or the traces themselves.
        source: What they come from, for messages.

    Raises:
        TypeError: One trace or a name, in place of a list.
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
        if isinstance(readers, str | Mapping) or not isinstance(readers, Iterable):
            raise TypeError(
                f"`readers` must be a list of traces, or of functions that read one. Received: {type(readers).__name__}. "
                "kagent.datasets.from_traces reads a directory"
            )
        self._readers, self.source = list(readers), source
        if not self._readers:
            raise ValueError(f"A data set must have an episode. Received: {source}, with none")

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
            trace = self[number]
            if not isinstance(trace, Mapping):
                raise ValueError(
                    f"Trace {number} of {self.source} must be a dict of arrays. Received: {type(trace).__name__}"
                )
            trace = dict(trace)
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

    >>> history = agent.fit("CartPole-v1", episodes=2, callbacks=[kagent.callbacks.Recorder("recorded")])
    >>> len(from_traces("recorded"))
    2
    """
    files = traces.trace_files(directory)
    return Episodes([lambda path=path: traces.load_trace(path) for path in files], f"{os.fspath(directory)!r}")  # type: ignore[misc]


def from_minari(dataset: Any) -> Episodes:
    """The episodes of a Minari data set (https://minari.farama.org), in its own order. `pip install 'kagent[minari]'`.

    Nothing is downloaded: `minari download NAME` does that. Infos are not read. An episode that was recorded without its end is
    taken as truncated there.

    Args:
        dataset: Its name, as `minari.load_dataset` takes it, or a `minari.MinariDataset`.

    Raises:
        ModuleNotFoundError: Minari is not installed.
        ValueError: An episode lacks an observation behind its last timestep.
    """
    if isinstance(dataset, str):
        dataset = _minari().load_dataset(dataset)
    observation = Structure(dataset.observation_space, "observation_space")
    action = Structure(dataset.action_space, "action_space")

    def read(index: Any) -> Trace:
        (episode,) = dataset.iterate_episodes([index])
        return _of_minari(episode, observation, action)

    indices = dataset.episode_indices
    return Episodes([functools.partial(read, index) for index in indices], f"Minari data set {dataset.id!r}")


def _of_minari(episode: Any, observation: Structure, action: Structure) -> Trace:
    count = len(episode.rewards)
    trace: dict[str, np.ndarray] = {
        "reward": np.asarray(episode.rewards, np.float64),
        "terminated": np.asarray(episode.terminations, np.bool_),
        "truncated": np.asarray(episode.truncations, np.bool_).copy(),
        "episode_length": np.array([count], np.int64),
    }
    if count and not trace["terminated"][-1]:
        trace["truncated"][-1] = True
    for leaf, values in zip(observation.leaves, observation.flatten(episode.observations)):
        array, name = np.asarray(values, leaf.dtype), traces.array_name("observation", leaf)
        if len(array) != count + 1:
            raise ValueError(
                f"Episode {episode.id} must have an observation behind its last timestep, {count + 1} together. Received: {len(array)}"
            )
        trace[name], trace[f"final_{name}"] = array[:-1], array[-1:]
    for leaf, values in zip(action.leaves, action.flatten(episode.actions)):
        trace[traces.array_name("action", leaf)] = np.asarray(values, leaf.dtype)
    return trace


def to_minari(
    episodes: Episodes, name: str, observation_space: gymnasium.Space, action_space: gymnasium.Space, **about: Any
) -> Any:
    """Writes episodes as a Minari data set, into the folder where Minari keeps its own. `pip install 'kagent[minari]'`.

    Action masks are not written: Minari has no place for them.

    Args:
        episodes: What to write.
        name: Of the data set, such as `"cartpole/clumsy-v0"`.
        observation_space, action_space: Of the environment.
        **about: Further arguments of `minari.create_dataset_from_buffers`, such as `author`.

    Returns:
        The `minari.MinariDataset`.

    Raises:
        ModuleNotFoundError: Minari is not installed.
        ValueError: A trace that is not of these spaces.
    """
    minari = _minari()
    from minari.data_collector import EpisodeBuffer

    observation = Structure(observation_space, "observation_space")
    action = Structure(action_space, "action_space")
    buffers: list[Any] = []
    for trace in episodes.checked(observation, action):
        ends = np.cumsum(trace["episode_length"])
        for number, (begin, end) in enumerate(zip(ends - trace["episode_length"], ends)):
            rows = slice(int(begin), int(end))

            def leaves(group: str, structure: Structure, rows: slice = rows, number: int = number) -> Any:
                parts = []
                for leaf in structure.leaves:
                    array = trace[traces.array_name(group, leaf)][rows]  # noqa: B023
                    if group == "observation":
                        final = trace[f"final_{traces.array_name(group, leaf)}"][number]  # noqa: B023
                        array = np.concatenate([array, final[None]])
                    parts.append(array)
                return structure.unflatten(parts)

            buffers.append(
                EpisodeBuffer(
                    id=len(buffers),
                    observations=leaves("observation", observation),
                    actions=leaves("action", action),
                    rewards=trace["reward"][rows].tolist(),
                    terminations=trace["terminated"][rows].tolist(),
                    truncations=trace["truncated"][rows].tolist(),
                )
            )
    return minari.create_dataset_from_buffers(
        name, buffer=buffers, observation_space=observation_space, action_space=action_space, **about
    )


def _minari() -> Any:
    try:
        import minari
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Minari is needed for data sets of its own: pip install 'kagent[minari]'. Received: no module 'minari'",
            name="minari",
        ) from error
    return minari


def as_episodes(data: Any) -> Episodes | None:
    """What `fit` takes for recorded episodes; None where it is something else.

    Args:
        data: `Episodes`; a directory of traces: a path object, or a string that is a directory and no registered environment;
            `"minari:NAME"`, or a `minari.MinariDataset`.
    """
    if isinstance(data, Episodes):
        return data
    if isinstance(data, str) and data.startswith(_MINARI):
        return from_minari(data.removeprefix(_MINARI))
    if hasattr(data, "iterate_episodes") and hasattr(data, "episode_indices"):
        return from_minari(data)
    if isinstance(data, os.PathLike):
        return from_traces(data)
    if isinstance(data, str) and data not in gymnasium.registry and os.path.isdir(data):
        return from_traces(data)
    return None
