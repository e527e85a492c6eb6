"""Periodic checkpoints of a whole agent, and training that goes on from the newest of them."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kagent.callbacks.callback import Callback, agent_of
from kagent.callbacks.checkpoint_files import (
    SUFFIX,
    File,
    bare_name,
    count_between,
    described,
    file_names,
    find,
    seconds_between,
)
from kagent.callbacks.checkpoint_series import Series
from kagent.config.checks import check_count
from kagent.config.signatures import check_known
from kagent.files.atomic_files import local_directory, sweep
from kagent.saving.headers import is_of_another, spaces_of

_KEYS = ("directory", "filename", "frequency", "load", "max_checkpoints", "strict")
_UNITS = ("seconds", "episodes", "timesteps", "updates")
# What a file can raise that is not whole. Not among them: no permission to read it, not enough memory.
_DAMAGES = (OSError, ValueError, TypeError, KeyError, RuntimeError)


# By agent, and by folder and name: another Checkpoint of the same series goes on with its agent's run.
_RUNS: weakref.WeakKeyDictionary[Any, dict[tuple[str, str], Series]] = weakref.WeakKeyDictionary()


class Checkpoint(Callback):
    """Saves the agent now and then, keeps the newest files, and goes on from the newest when training starts again.

    A checkpoint is `agent.save_weights`: weights, optimizers, counters, random streams, memory and open episodes, in
    `<filename>-<timesteps>.weights.h5`. Large arrays of a memory are in the folder `<filename>.segments` beside it, of
    which each save writes the new parts only; a file that is moved needs it. A run that was killed at any moment and is
    started again by the same lines ends bit for bit where the uninterrupted one ends. Saved is where the agent is whole:
    after an update, at the end of an epoch, at the end of training, and where a `KeyboardInterrupt` ends it: then the open
    episodes are lost if it came within a step of an environment. A file is written beside, flushed to disk, then renamed;
    older ones are deleted only after that. What other callbacks remember is not in it. A save that fails before the end of
    training, for instance because the disk is full, is a warning: earlier files stay, and the next save is tried when it is
    due.

    `fit(max_steps=...)` goes on to the same absolute bound. `fit(steps=...)` counts from where the agent stood *before*
    the checkpoint was loaded, as with Keras's `BackupAndRestore`: a new agent that resumes takes what was left of
    `steps`, not as many again. Epochs that the checkpoint has behind it are not repeated; the one under way is logged
    by what is left of it.

    One run owns a series, the files of one `filename` in the directory: give every run, every seed, its own. Nothing
    else in there is touched, and where training would mix two runs in one series (it starts from another file where
    there are checkpoints, or from a point which some are beyond) it is refused. Two processes must not write to one
    series at a time. A further `fit` of the same agent goes on from the agent as it is, and loads nothing, also with
    another Checkpoint of the same series, as a notebook's cell makes one that runs again. In offline training
    (`fit(dataset)`) it saves at the ends of epochs, and as no timesteps pass, the series is one file.

    Args:
        directory: Where to, on this machine; made if need be.
        filename: Name of the series. None: the agent's name.
        frequency: Seconds of wall time from one save to the next, > 0. None: at the end of every epoch.
        load: What to begin with. True: the newest checkpoint that is whole; a new run where there is none. A string:
            the file of that name in the directory. False: a new run; checkpoints of another one in the same series are
            moved, with a warning, into the folder `<filename>-before-1` (or `-2` ...) of the directory.
        max_checkpoints: How many of the newest files are kept, >= 1. With 1 there is none to fall back on.
        unit: What `frequency` counts: "seconds" of wall time, finished "episodes", "timesteps" or "updates", gradient steps. But for
            seconds a save is due where their number has reached a multiple of it. With episodes files are named
            `<filename>-<episodes>.weights.h5`; where training ends within an episode, the file of that number is replaced.
        strict: Whether every save that fails is an error, not only the last one.

    Attributes:
        newest: Path of the checkpoint last loaded or saved, or None.

    Raises:
        ValueError, TypeError: A bad argument, at once. When training begins, the agent being left as it was: there are
            checkpoints, but none can be loaded; the file is of an agent with other spaces; the file named by `load` is
            missing; two runs would be mixed; the model is not an agent.
        OSError: The directory cannot be written to, when training begins; the last save failed, or any if `strict`.
            Earlier files are then intact.

    Example:

    >>> saver = kagent.callbacks.Checkpoint("checkpoints", frequency=60, max_checkpoints=3)
    >>> history = agent.fit("CartPole-v1", max_steps=300, callbacks=[saver], verbose=0)
    >>> saver.newest.name
    'dqn-300.weights.h5'
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        filename: str | None = None,
        frequency: float | None = 600,
        load: bool | str = True,
        max_checkpoints: int = 5,
        unit: str = "seconds",
        strict: bool = False,
    ):
        super().__init__()
        self.directory = local_directory(directory)
        self.filename = filename if filename is None else bare_name(filename, "filename")
        if unit not in _UNITS:
            raise ValueError(f"`unit` must be one of {_UNITS}. Received: {unit!r}")
        self.unit = unit
        self.frequency = seconds_between(frequency) if unit == "seconds" else count_between(frequency)
        self.load = load if isinstance(load, bool) else bare_name(load, "load", "True, False or ")
        self.max_checkpoints = check_count(max_checkpoints, "max_checkpoints")
        if not isinstance(strict, bool):
            raise TypeError(f"`strict` must be True or False. Received: {strict!r}")
        self.strict = strict
        self.newest: Path | None = None
        self._begun: Any = None  # the agent whose run this is
        self._series = Series(self.directory, self.filename or "", self.load)
        self._begin = self._epoch = 0
        self._saved = 0.0  # when: a time, or a number of what is counted
        self._trained = False

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Checkpoint:
        """A checkpoint from Tensorforce's `saver` dict.

        Args:
            spec: `directory`, and what is wanted of `filename`, `frequency` (seconds), `load`, `strict`, and
                `max_checkpoints`, which may also be written `max-checkpoints`.

        Raises:
            ValueError, TypeError: Not a dict, an unknown or missing key, a bad value.

        Example:

        >>> kagent.callbacks.Checkpoint.from_spec({"directory": "checkpoints", "max-checkpoints": 3}).max_checkpoints
        3
        """
        if not isinstance(spec, Mapping):
            raise TypeError(f"`saver` must be a dict with the keys {list(_KEYS)}. Received: {spec!r}")
        arguments = {"max_checkpoints" if key == "max-checkpoints" else key: value for key, value in spec.items()}
        check_known(sorted(map(str, spec)), [*_KEYS, "max-checkpoints"], "`saver`", "key")
        if len(arguments) < len(spec):
            raise ValueError(
                f"`saver` takes max_checkpoints or max-checkpoints, not both. Received: {sorted(map(str, spec))}"
            )
        if "directory" not in arguments:
            raise ValueError(f"`saver` needs a 'directory'. Received: {sorted(map(str, spec))}")
        return cls(**arguments)

    # Keras's events --------------------------------------------------------------------------------------------

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        agent = agent_of(self)
        self._begin = agent._run.origin.timesteps
        self.resume(agent)
        self._trained = False
        self._saved = self._now()

    def restore(self, agent: Any) -> None:
        """Has a new agent begin with what `load` says, before its training. Nothing is made or moved.

        Args:
            agent: The agent whose saver this is.

        Raises:
            As when training begins; see above.
        """
        if self.load is False:
            self._series = self._new_series(agent)
            if found := self.files:
                warnings.warn(
                    f"load=False begins a new run. When it is trained, the {len(found)} checkpoint(s) of another one in "
                    f"{str(self.directory)!r} are moved to {self._series.aside().name!r} in there",
                    stacklevel=6,  # the agent's constructor
                )
        elif isinstance(self.load, str) or find(self.directory, self.filename or agent.name):
            self._begin_run(agent)

    def resume(self, agent: Any) -> None:
        """Has an agent begin with what `load` says, now and not only when its training begins.

        Raises:
            As when training begins; see above.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.directory):
            pass  # that nothing can be written here is better known now than after the first ten minutes
        if agent is self._begun:
            self._series.refuse_mixing(self._count(agent), self._counted, "The agent")
        else:
            self._begin_run(agent)
        # What a process left that was killed while it saved.
        sweep(self.directory, f"{self._series.name}-", SUFFIX, series=True)

    def _begin_run(self, agent: Any) -> None:
        self.set_model(agent)
        self._series = self._new_series(agent)
        runs = _RUNS.setdefault(agent, {})
        place = os.path.realpath(self.directory), self._series.name
        run = runs.get(place)
        if run is not None and (self.load is True or run.load == self.load):
            self._series, self.newest = run, run.newest
            run.refuse_mixing(self._count(agent), self._counted, "The agent")
        else:
            self.newest = None
            self._load()
            runs[place] = self._series
        self._begun = agent

    def _new_series(self, agent: Any) -> Series:
        return Series(self.directory, self.filename or bare_name(agent.name, "filename"), self.load)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._trained = True
        self._epoch = self._epochs_at(self.model.timesteps)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        if self.unit == "episodes" and self.model._run.trainer is not None and not (self.params or {}).get("steps"):
            return  # an epoch is an episode, and ends when its updates have been made
        # Of an epoch that is over, but for its callbacks, a resumed run would not call them: it saves there.
        if self._is_due() and not self._is_over() and self._epochs_at(self.model.timesteps) == self._epoch:
            self._save()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (self.frequency is None or self._is_due()) and not self._is_over():
            self._save()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._trained:
            self._save(last=True)
        self._trained = False

    def on_train_abort(self) -> None:
        if self._trained and isinstance(sys.exc_info()[1], KeyboardInterrupt):
            self._trained = False
            try:
                self._save()
            except Exception as error:  # the interrupt is what ends training
                warnings.warn(
                    f"The agent could not be saved where it was interrupted. {described(error)}", stacklevel=2
                )

    def _is_due(self) -> bool:
        if self.frequency is None:
            return False
        if self.unit == "seconds":
            return time.monotonic() - self._saved >= self.frequency
        return bool(self._now() // self.frequency > self._saved // self.frequency)

    def _is_over(self) -> bool:
        # Whether `on_train_end` follows, which saves in any case. Offline, the bounds are those of another fit.
        agent = self.model
        used = 0.0 if agent._run.trainer is None else agent.clock.progress
        return used >= 1.0 or bool(agent.stop_training)

    def _epochs_at(self, timesteps: int) -> int:
        steps = (self.params or {}).get("steps")
        return (timesteps - self._begin) // steps if steps else 0

    # What is counted -------------------------------------------------------------------------------------------

    @property
    def _counted(self) -> str:
        return "episodes" if self.unit == "episodes" else "timesteps"

    def _count(self, agent: Any) -> int:
        result: int = getattr(agent, self._counted)
        return result

    def _now(self) -> float:
        now: float = time.monotonic() if self.unit == "seconds" else getattr(self.model, self.unit)
        return now

    @property
    def files(self) -> list[Path]:
        """The checkpoints that there are, the newest last. Of a series without `filename`, once training has begun."""
        return [file.path for file in self._series.files] if self._series.name else []

    def spaces(self) -> tuple[Any, Any] | None:
        """Observation and action space of the newest of `files` that says them; None where there are no files.

        Raises:
            ValueError: There are files, and none can be read.
        """
        errors = []
        for path in reversed(self.files):
            try:
                return spaces_of(path)
            except ValueError as error:
                errors.append(error)
        if errors:
            raise ValueError(f"None of the checkpoints in {str(self.directory)!r} can be read: {errors[0]}")
        return None

    # Saving ----------------------------------------------------------------------------------------------------

    def _save(self, last: bool = False) -> None:
        try:
            self._write()
        except FileExistsError:  # of another run
            raise
        except OSError as error:
            if last or self.strict:
                raise
            self._saved = self._now()
            newest = "there is none yet" if self.newest is None else f"the newest is {self.newest.name!r}"
            warnings.warn(
                f"A checkpoint could not be saved; {newest}, and the next is tried when it is due. {described(error)}",
                stacklevel=3,
            )

    def _write(self) -> None:
        age = self._count(self.model)
        path = self._series.place_of(age)
        with self.model._files.folders.using(self._series.memory_folder):
            self.model.save_weights(path)
            self.newest = path
            self._series.add(path, age, self.max_checkpoints)
        self._saved = self._now()  # a save that takes longer than `frequency` is not followed by the next at once

    # Loading ---------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        series = self._series.files
        if isinstance(self.load, str):
            self._load_named(self.load, series)
        elif self.load:
            self._load_newest(series)
        elif series:
            folder = self._series.set_aside()
            warnings.warn(
                f"load=False begins a new run. The checkpoints of another one, {file_names(series)}, were moved to "
                f"{str(folder)!r}. To go on from them, give load=True and that directory",
                stacklevel=8,  # the call of `fit`
            )

    def _load_named(self, name: str, series: list[File]) -> None:
        agent, path = self.model, self.directory / (name if name.endswith(SUFFIX) else name + SUFFIX)
        if not path.is_file() or path.is_symlink():
            there = sorted(p.name for p in self.directory.glob(f"*{SUFFIX}") if not p.name.startswith("."))
            raise ValueError(f"`load` must name a file in {str(self.directory)!r}: {there}. Received: {path.name!r}")
        begin = next((file.age for file in series if file.path == path), -1)
        if begin < 0 and series:
            raise ValueError(
                f"{path.name!r} begins another run than that of the checkpoints {file_names(series)} in "
                f"{str(self.directory)!r}: it would delete them in time. Give it another `filename`"
            )
        self._series.refuse_mixing(begin, self._counted, repr(path.name))
        try:
            agent.load_weights(path)
        except _DAMAGES as error:
            raise ValueError(f"The checkpoint {str(path)!r} cannot be loaded: {error}") from error
        self._went_on(path, series)

    def _load_newest(self, series: list[File]) -> None:
        agent, refused = self.model, []
        for age, path in reversed(series):
            if self._count(agent) > age:
                raise ValueError(
                    f"The agent has taken {self._count(agent)} {self._counted}, the checkpoint {str(path)!r} only {age}: "
                    "load=True would turn it back. Load that file by its name if this is meant, or keep the agent's "
                    "state and give it another `directory` or `filename`"
                )
            try:
                agent.load_weights(path)
            except PermissionError:
                raise
            except _DAMAGES as error:
                if is_of_another(agent, path):
                    raise ValueError(f"The checkpoint {str(path)!r} is of another agent: {error}") from error
                refused.append((path, described(error)))
                continue
            for other, reason in refused:
                self._series.damaged.add(other)
                warnings.warn(
                    f"The checkpoint {str(other)!r} is damaged; training goes on from {path.name!r}. {reason}",
                    stacklevel=8,  # the call of `fit`
                )
            self._went_on(path, [file for file in series if file.age <= age])
            return
        if refused:
            listed = "".join(f"\n  {str(path)!r}: {reason}" for path, reason in refused)
            raise ValueError(
                "None of the checkpoints can be loaded, and the agent is as it was. Move them away to begin a new run."
                + listed
            )

    def _went_on(self, path: Path, series: list[File]) -> None:
        self._series.own = {file.path: file.age for file in series}
        self.newest = path
