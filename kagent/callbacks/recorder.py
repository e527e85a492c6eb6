"""Whole episodes of training as files, to look at or to learn from."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from kagent.callbacks.callback import Callback
from kagent.config.checks import check_count
from kagent.spaces import Structure
from kagent.traces import array_name, save_trace

_NAME = re.compile(r"trace-\d{9,}\.npz")
_ARGUMENTS = ("directory", "frequency", "start", "max_traces")


class Recorder(Callback):
    """Writes the episodes of training to `trace-000000009.npz` and so on; `agent.pretrain` learns from them.

    A file holds `frequency` whole episodes, one behind the other, in the order in which they ended, and is named after
    the number of the last one. Episodes are numbered from 0 over the agent's life, as `on_episode_end` numbers them. What
    is not written: episodes whose beginning the recorder did not see, those still open when training ends, and finished
    ones that do not fill a file. Used again in the next `fit`, a recorder goes on with the episodes that go on.

    The arrays of a file, of T timesteps and E = `frequency` episodes, in the environment's own values and dtypes, as
    they were before `preprocessing`, are
    `observation`, `action` `(T, *shape)`, `action_mask` `(T, sum(nvec))` where there are masks, `reward`, `terminated`,
    `truncated` `(T,)`, `episode_length` `(E,)`, and `final_observation` `(E, *shape)` and `final_action_mask` for what
    each episode ended in. Of a nested space there is one per leaf, `observation/camera/left`. `kagent.traces` says all of
    it, and reads them back: `kagent.traces.load_trace(path)`. So does NumPy: `np.load(path, allow_pickle=False)`.

    Args:
        directory: Where to; made when training begins, if need be.
        frequency: Episodes in a file. Writing one takes about 10 ms (it is flushed to disk): let it hold many, where they are
            short.
        start: The first so many episodes of the agent's life are not recorded.
        max_traces: How many files of this naming the directory may hold, those of earlier runs included: the longest
            unchanged are deleted. None: all are kept.

    Raises:
        TypeError: A `directory` that is no path.
        ValueError: A count that is not an integer in its range; a nested space two of whose leaves have one name.

    Example:

    >>> history = agent.fit("CartPole-v1", steps=20_000, callbacks=[kagent.callbacks.Recorder("traces", frequency=10)])
    >>> trace = kagent.traces.load_trace(kagent.traces.trace_files("traces")[0])
    >>> bool(trace["observation"].shape[0] == trace["episode_length"].sum())
    True
    """

    needs_episodes = True

    def __init__(
        self,
        directory: str | os.PathLike[str],
        frequency: int = 1,
        start: int = 0,
        max_traces: int | None = None,
    ):
        super().__init__()
        if not isinstance(directory, str | os.PathLike):
            raise TypeError(
                f"`recorder.directory` must be a path. Received: {directory!r} ({type(directory).__name__})"
            )
        if isinstance(start, bool) or not isinstance(start, int | np.integer) or start < 0:
            raise ValueError(f"`recorder.start` must be an integer >= 0. Received: {start!r}")
        self.directory, self.start = Path(directory), int(start)
        self.frequency = check_count(frequency, "recorder.frequency")
        self.max_traces = None if max_traces is None else check_count(max_traces, "recorder.max_traces")
        self._spaces: tuple[Structure, Structure] | None = None
        self._open: dict[int, _Episode] = {}
        self._left: tuple[Any, int] | None = None  # the agent, and its timesteps, of the last fit
        self._unseen = self._recorded = 0
        self._finished: list[dict[str, np.ndarray]] = []

    @classmethod
    def from_spec(cls, spec: Any) -> Recorder:
        """A recorder from a path, from a dict of its arguments (`max-traces` or `max_traces`), or as it is.

        Raises:
            TypeError: Nothing of these.
            ValueError: An unknown argument, or no directory.

        Example:

        >>> Recorder.from_spec({"directory": "traces", "max-traces": 3}).max_traces
        3
        """
        if isinstance(spec, cls):
            return spec
        if isinstance(spec, str | os.PathLike):
            return cls(spec)
        if not isinstance(spec, dict):
            raise TypeError(
                f"`recorder` must be a path, a dict or a Recorder. Received: {spec!r} ({type(spec).__name__})"
            )
        arguments = {"max_traces" if name == "max-traces" else name: value for name, value in spec.items()}
        unknown = [name for name in arguments if name not in _ARGUMENTS]
        if unknown or len(arguments) < len(spec):
            raise ValueError(f"`recorder` has arguments {list(_ARGUMENTS)}, each once. Received: {list(spec)}")
        if "directory" not in arguments:
            raise ValueError(f"`recorder` needs a 'directory'. Received: {list(spec)}")
        return cls(**arguments)

    # What happens ----------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        observation = Structure(self.model.observation_space, "observation_space")
        action = Structure(self.model.action_space, "action_space")
        for group, structure in (("observation", observation), ("action", action)):
            names = [array_name(group, leaf) for leaf in structure.leaves]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"`{structure.role}` has leaves that a trace cannot tell apart. Received: {twice}")
        if self._spaces is not None and [s.space for s in self._spaces] != [observation.space, action.space]:
            self._finished = []
        self._spaces = observation, action
        if self._left is None or self._left[0] is not self.model or self._left[1] != self.model.timesteps:
            self._open = {}  # its episodes went on elsewhere
        self._left = None
        self._unseen = self._recorded = 0  # episodes that ended
        self.directory.mkdir(parents=True, exist_ok=True)

    def on_episode_begin(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self._open[logs["env"]] = _Episode()

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None and self._spaces is not None
        observation, action = self._spaces
        rows: dict[str, np.ndarray] = {
            **_named("observation", observation, logs["raw_observation"]),
            **_named("action", action, logs["action"]),
            **_named("action_mask", action, logs["action_mask"]),
            "reward": logs["raw_reward"],
            **{name: logs[name] for name in ("terminated", "truncated")},
        }
        valid = logs["valid"]
        recorded = [(env, episode) for env, episode in self._open.items() if env < len(valid) and valid[env]]
        for name, array in rows.items():
            data, size = array.tobytes(), array.nbytes // len(array)
            for env, episode in recorded:
                episode.columns.setdefault(name, bytearray()).extend(data[env * size : (env + 1) * size])
        over = logs["terminated"] | logs["truncated"]
        for env, episode in recorded:
            episode.length += 1
            if over[env]:
                self._end(episode, env, rows, logs)

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        ended = self._open.pop(logs["env"], None)
        # Shorter than it was: another callback loaded an agent in the middle of an episode.
        if episode < self.start:
            return
        if ended is None or ended.length != logs["episode_length"]:
            self._unseen += 1
            return
        self._recorded += 1
        self._finished.append(ended.arrays)
        if len(self._finished) == self.frequency:
            finished, self._finished = self._finished, []
            path = self.directory / f"trace-{episode:09d}.npz"
            save_trace(path, _joined(finished))
            self._trim(path)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._left = self.model, self.model.timesteps
        if self._unseen and not self._recorded:
            warnings.warn(
                f"The Recorder wrote nothing into {str(self.directory)!r}: it did not see the beginning of any of the {self._unseen} "
                "episodes that ended. They were open where the agent was saved, or where its last `fit` ended. It records those that "
                "begin in a longer `fit`.",
                stacklevel=2,
            )

    # How -------------------------------------------------------------------------------------------------------

    def _end(self, episode: _Episode, env: int, rows: dict[str, np.ndarray], logs: dict[str, Any]) -> None:
        assert self._spaces is not None
        observation, action = self._spaces
        leaves = {array_name("observation", leaf): leaf for leaf in observation.leaves}
        finals = {
            **_named("final_observation", observation, logs["raw_next_observation"]),
            **_named("final_action_mask", action, logs["next_action_mask"]),
        }
        for name, data in episode.columns.items():
            like = rows[name]
            episode.arrays[name] = np.frombuffer(data, like.dtype).reshape(-1, *like.shape[1:])
        episode.arrays |= {name: array[env : env + 1].copy() for name, array in finals.items()}
        for name, array in episode.arrays.items():
            leaf = leaves.get(name.removeprefix("final_"))
            episode.arrays[name] = array if leaf is None else leaf.decode(array)
        episode.arrays["episode_length"] = np.asarray([episode.length], np.int64)
        observed = logs.get("next_observed")
        episode.arrays["end_observed"] = np.asarray([observed is None or bool(observed[env])])
        episode.columns = {}

    def _trim(self, newest: Path) -> None:
        if self.max_traces is None:
            return
        # By age: the numbers of another run in the same directory may be higher.
        others = [path for path in self.directory.iterdir() if _NAME.fullmatch(path.name) and path != newest]
        others.sort(key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in others[: max(0, len(others) + 1 - self.max_traces)]:
            path.unlink(missing_ok=True)


class _Episode:
    """What was recorded of one episode.

    Attributes:
        columns: The timesteps' rows by array name, as bytes.
        length: Timesteps.
        arrays: All of it as arrays, once it has ended.
    """

    def __init__(self) -> None:
        self.columns: dict[str, bytearray] = {}
        self.length = 0
        self.arrays: dict[str, np.ndarray] = {}


def _named(group: str, structure: Structure, arrays: list[Any] | None) -> dict[str, np.ndarray]:
    found = zip(structure.leaves, arrays or ())
    return {array_name(group, leaf): array for leaf, array in found if array is not None}


def _joined(episodes: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    trace = {}
    for name in dict.fromkeys(name for episode in episodes for name in episode):
        like = next(episode[name] for episode in episodes if name in episode)
        # Only masks are in some episodes and not in others: where an environment gives none, all is allowed.
        counts = [1 if name.startswith("final_") else len(episode["reward"]) for episode in episodes]
        parts = [
            episode[name] if name in episode else np.ones((count, *like.shape[1:]), bool)
            for episode, count in zip(episodes, counts)
        ]
        trace[name] = np.concatenate(parts)
    if trace["end_observed"].all():
        del trace["end_observed"]
    return trace
