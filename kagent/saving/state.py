"""The state of an agent, on its way into files and back."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kagent import networks, spaces
from kagent.acting import archive
from kagent.arguments import check_count
from kagent.bounds import ENDLESS
from kagent.config import allowed, packed
from kagent.environments import open_episodes
from kagent.files import beside, replacing_folder
from kagent.mixin import Mixin
from kagent.saving import checked_file, compile_config, json_arrays
from kagent.saving.agent_state import COUNTERS, SEEDS, AgentState
from kagent.saving.headers import FORMAT, algorithm_of, check_images, other_algorithm, read_state, read_text
from kagent.signatures import answering

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5", "assets")  # of an archive of Keras
_SLICE = 64 << 20  # bytes of memory content in one entry: Keras copies entries on their way in and out


class Saving(Mixin):
    """The part of an agent that goes to files and comes back. A mixin of `Agent`.

    A `.keras` file holds structure, weights, targets, optimizers, counters, random streams and the open episodes'
    seeds and actions; the memory only with `include_memory=True`. A `.weights.h5` file holds the same state without
    the structure and with the memory, so that Keras's stock `BackupAndRestore` resumes exactly. None of this is in
    `get_weights()`.
    """

    _with_memory = False

    def _begin_saving(self: Any) -> None:
        self._built_weights = tuple(_signatures(self))

    @answering()
    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, include_memory: bool = False, **kwargs: Any
    ):
        """Saves the agent to a `.keras` file. Written beside it, flushed, then renamed: never half a file.

        Args:
            filepath: Where to; the name ends in `.keras`.
            overwrite: Whether a file that is there is replaced without a question.
            zipped: False makes a folder of the archive's members; its name may then be any but that of a file.
            include_memory: Whether the memory goes along. Without it, training goes on with an empty one.
            **kwargs: Passed on to Keras.

        Raises:
            ValueError: The name ends otherwise; layers were changed since the agent was made (`quantize`); a folder that
                holds something else is there.
            OSError: The file cannot be written, for instance because the disk is full; the error names the path and what
                is free. A file that was there is as it was.

        Example:

        >>> agent.save("agent.keras")
        >>> same = kagent.load("agent.keras")
        """
        path = str(filepath)
        _check_name(path, zipped)
        self._check_structure()
        with self._carrying(include_memory):
            if "://" in path:
                return super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            if not overwrite and os.path.exists(path) and not _agreed(path):
                return None
            if zipped is False:
                self._save_folder(Path(path), kwargs)
                return None
            with beside(path, ".keras") as temporary, _checked(temporary) as file:
                super().save(file, **kwargs)
        return None

    def _save_folder(self, folder: Path, kwargs: dict[str, Any]) -> None:
        # Keras's own way would have HDF5 write to the disk, and would lose the assets.
        with replacing_folder(folder, _MEMBERS) as new:
            whole = new / "a.keras"
            whole.touch()
            with _checked(str(whole)) as file:
                super().save(file, **kwargs)
            with zipfile.ZipFile(whole) as archived:
                archived.extractall(new)
            whole.unlink()

    @answering()
    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: Any = None, **kwargs: Any):
        """Saves state and memory to a `.weights.h5` file. Written beside it, flushed, then renamed.

        The file ends in a checksum, which `load_weights` compares.

        Raises:
            ValueError: The name ends otherwise; `max_shard_size` is given; layers were changed since the agent was made
                (`quantize`).
            OSError: As for `save`.
        """
        path = str(filepath)
        if max_shard_size is not None:
            raise ValueError(f"An agent is saved in one file, without `max_shard_size`. Received: {max_shard_size!r}")
        if not path.endswith(".weights.h5"):
            raise ValueError(f"`filepath` of save_weights must end in '.weights.h5'. Received: {path!r}")
        self._check_structure()
        with self._carrying(True):
            if "://" in path:
                return super().save_weights(filepath, overwrite=overwrite, **kwargs)
            if not overwrite and os.path.exists(path) and not _agreed(path):
                return None
            with beside(path, ".weights.h5") as temporary:
                with _checked(temporary) as file:
                    super().save_weights(file, **kwargs)
                checked_file.seal(temporary)
        return None

    @answering("skip_mismatch", "objects_to_skip", "by_name")
    def load_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Loads state, and the memory where the file has it, into an agent with the same spaces and parts.

        Raises:
            ValueError: The file's agent has other spaces (they are shown side by side), another algorithm or other parts;
                its weights, counters, seeds or open episodes are impossible. The agent is then as it was before.
            OSError: The file cannot be read, or is damaged (then it is a ValueError, too).
            RuntimeError: The agent's `fit` is between its first and its last timestep, where a file's counters, memory
                and open episodes have no place. `set_weights` may be called there.
        """
        self.occupation.refuse("load_weights")
        if os.path.isfile(filepath):
            checked_file.check(filepath)
        undo = self._remember()
        try:
            with warnings.catch_warnings():
                # Keras goes on where an optimizer's state does not fit; training would not.
                warnings.filterwarnings("error", "Skipping variable loading for optimizer")
                with packed.reading(filepath):
                    super().load_weights(filepath, **kwargs)
            check_weights(self)
        except BaseException:
            undo()
            raise
        finally:
            self.actor.expire()

    def quantize(self, mode: Any = None, *args: Any, **kwargs: Any) -> None:
        """Not of agents.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            "An agent cannot be quantized: it could be neither trained nor loaded afterwards. "
            f"Received: quantize({mode!r}). Serve it by `kagent.acting.load`, or `export` it and quantize what was exported"
        )

    def _check_structure(self: Any) -> None:
        # A file that could not be loaded is not written: its weights would be other ones than those of a new agent.
        missing = Counter(self._built_weights) - Counter(_signatures(self))
        if missing:
            names = sorted(path for path, _, _ in missing)
            raise ValueError(
                "The layers of this agent were changed since it was made (as by `quantize`), so that no file of it could be "
                f"loaded. Changed: {names[:4]}{' ...' if len(names) > 4 else ''}"
            )

    def _remember(self: Any) -> Callable[[], None]:
        # What brings back all that `load_own_variables` and Keras may have changed before they found a fault.
        variables = [*self.variables, *self.optimizer.variables]
        values = [variable.numpy() for variable in variables]
        names = (*(f"_{name}_seed" for name in SEEDS), "_open", "_known", "_bounds")
        attributes = {name: getattr(self, name) for name in names}
        counters = {name: getattr(self.counters, name) for name in COUNTERS}
        streams = {name: generator.bit_generator.state for name, generator in self._streams.items()}
        undo_preprocessing = self._remember_preprocessing()
        memory = dict(vars(self.memory))  # loading allocates rows anew, so these stay as they are

        def undo() -> None:
            for variable, value in zip(variables, values):
                variable.assign(value)
            seed = self._graph_seed
            vars(self).update(attributes)
            self._count(counters)
            undo_preprocessing()
            for name, generator in self._streams.items():
                generator.bit_generator.state = streams[name]
            vars(self.memory).clear()  # what was never built is unbuilt again
            vars(self.memory).update(memory)
            if self.memory.built:
                self.memory.publish()
            self._recompile(seed)

        return undo

    def set_weights(self, weights: Any) -> None:
        super().set_weights(weights)
        self.actor.expire()

    @contextlib.contextmanager
    def _carrying(self, memory: bool) -> Iterator[None]:
        before, self._with_memory = self._with_memory, memory
        try:
            yield
        finally:
            self._with_memory = before

    # Keras's hooks ---------------------------------------------------------------------------------------------

    def save_own_variables(self: Any, store: Any) -> None:
        super().save_own_variables(store)
        store["counters"] = np.asarray([getattr(self.counters, name) for name in COUNTERS], np.int64)
        state = {
            "format": FORMAT,
            "algorithm": algorithm_of(self),
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
            "seeds": {name: getattr(self, f"_{name}_seed") for name in SEEDS},
            "streams": {name: generator.bit_generator.state for name, generator in self._streams.items()},
            "bounds": [float(bound) for bound in self._bounds],
            "open": self._runner.state() if self._runner is not None else self._open,
            "known": self._known,
            "images": self.image_readings(),
            "preprocessing": self._preprocessing_state(),
        }
        large: list[np.ndarray] = []
        store["state"] = np.frombuffer(json_arrays.dump(state, large), np.uint8)
        for number, array in enumerate(large):
            store[f"state.{number}"] = array
        memory = self.memory
        if self._with_memory and memory.saved and memory.built:
            slices = {name: _slices(value) for name, value in memory.state().items()}
            counts = {name: len(parts) for name, parts in slices.items()}
            about = {"masked": memory.masked, "num_envs": memory.num_envs, "slices": counts}
            store["memory"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
            for name, parts in slices.items():
                for number, part in enumerate(parts):
                    store[f"memory.{name}.{number}"] = part

    def load_own_variables(self: Any, store: Any) -> None:
        keys = set(store.keys())
        packed.check_store(store)
        if "state" not in keys or "counters" not in keys:
            raise ValueError(f"The file holds no kagent agent. Received entries: {sorted(keys)[:8]}")
        found = read_state(store)
        self._refuse_another(found)
        state = self._checked_state(found, np.asarray(store["counters"]))
        self._load_preprocessing(found.get("preprocessing"))
        super().load_own_variables({key: store[key] for key in keys if key.isdigit()})
        self._count(state.counters)
        seed = self._graph_seed
        for name, value in state.seeds.items():
            setattr(self, f"_{name}_seed", value)
        for name, stream in state.streams.items():
            self._streams[name].bit_generator.state = stream
        self._open, self._known = state.open, state.known
        if self._bounds == ENDLESS:  # where a fit is under way, it knows its own
            self._bounds = state.bounds
        self._recompile(seed)
        self._load_memory(store, keys)

    def _refuse_another(self: Any, found: dict[str, Any]) -> None:
        for role in ("observation_space", "action_space"):
            difference = spaces.difference(getattr(self, role), spaces.from_config(found[role]))
            if difference:
                raise ValueError(f"The file's {role} is not the agent's. Received (env: the file):\n{difference}")
        other = other_algorithm(self, found.get("algorithm"))
        if other is not None:
            raise ValueError(
                f"The file's agent is of another algorithm: {other}. To take its networks' weights alone, load it by "
                "kagent.load and use get_weights and set_weights"
            )
        check_images(self, found.get("images"))

    def _checked_state(self: Any, found: dict[str, Any], counters: np.ndarray) -> AgentState:
        checked_open = self._checked_open(found.get("open"))
        return AgentState.read(found, counters, list(self._streams), checked_open)

    def _checked_open(self: Any, state: Any) -> dict[str, Any] | None:
        checked = open_episodes.check(state, self._raw_observation, self._action)
        if checked is not None and self.preprocessing is not None and checked["environments"]["episodes"]:
            self._check_preprocessed(checked["environments"].get("preprocessing"), len(checked["lengths"]))
        return checked

    def _count(self: Any, counters: dict[str, int]) -> None:
        for name, value in counters.items():
            setattr(self.counters, name, value)

    def _recompile(self: Any, seed: int) -> None:
        # Networks are read after this. The seed is part of the compiled program, and so is what layers hold beside their
        # variables; another program also gets another pipeline.
        self._estimate = None
        self.actor.expire()
        models = [model for role in (self.policy, self.critic) if role is not None for model in role.inner_models()]
        constants = any(map(networks.holds_constants, models))
        if constants:
            self.actor.retrace()
        if (constants or seed != self._graph_seed) and getattr(self, "train_function", None) is not None:
            self.make_train_function(force=True)

    def _load_memory(self: Any, store: Any, keys: set[str]) -> None:
        if "memory" not in keys:
            if self.memory.built:
                self.memory.clear()
            return
        about = json.loads(read_text(store, "memory"))
        num_envs = check_count(about["num_envs"], "num_envs")
        if not self.memory.check_room(self._observation, self._action, num_envs):
            return  # `kagent.load` warns
        self.memory.build(self._observation, self._action, masked=bool(about["masked"]), num_envs=num_envs)

        def read(name: str) -> Iterator[np.ndarray]:
            return (store[f"memory.{name}.{number}"] for number in range(int(about["slices"][name])))

        self.memory.restore({name: read(name) for name in about["slices"]})

    def save_assets(self: Any, directory: str) -> None:
        """The NumPy program of the policy, for `kagent.acting.load`; not of an agent with preprocessing."""
        if self.preprocessing is not None:
            archive.refuse(Path(directory))
        elif self.actor.is_numpy:
            self.actor.refresh()
            self.actor.set_time(self.host_clock)
            self.actor.save(directory)

    def load_assets(self, directory: str) -> None:
        """Nothing to do: the actor is made from the policy."""

    def get_compile_config(self: Any) -> dict[str, Any]:
        return compile_config.written(self, super().get_compile_config())

    def compile_from_config(self: Any, config: dict[str, Any]) -> None:
        allowed.check_settings(config)
        try:
            self.compile(**keras.saving.deserialize_keras_object(compile_config.read(self, config)))
        except TypeError as error:
            raise ValueError(f"The file's settings of `compile` cannot be used: {error}") from error


@contextlib.contextmanager
def _checked(path: str) -> Iterator[checked_file.CheckedFile]:
    # What Keras writes into; raises what went wrong on the disk, in the place of what that led to.
    file = checked_file.CheckedFile(path)
    try:
        yield file
    finally:
        file.finish()


def _check_name(path: str, zipped: Any) -> None:
    name = os.path.basename(path)
    stem = name
    for ending in (".weights.h5", ".hdf5", ".h5", ".keras"):
        stem = stem.removesuffix(ending)
    is_file = name != stem
    if zipped is False:
        if is_file:
            raise ValueError(f"`filepath` of a folder (zipped=False) must not end as a file's. Received: {path!r}")
    elif not name.endswith(".keras") and ("://" not in path or is_file):
        weights = " (save_weights writes '.weights.h5')" if name.endswith(".h5") else ""
        raise ValueError(
            f"`filepath` of save must end in '.keras', as {stem + '.keras'!r}{weights}. Received: {path!r}"
        )


def _agreed(path: str) -> bool:
    return input(f"{path!r} already exists. Overwrite it? [y/n] ").strip().lower() in ("y", "yes")


def _signatures(agent: Any) -> list[tuple[str, tuple[int, ...], str]]:
    return [(weight.path, tuple(weight.shape), str(weight.dtype)) for weight in agent.weights]


def check_weights(agent: Any) -> None:
    """Raises:
    ValueError: A trained weight is not finite, or another variable of the agent or its optimizer is not a number.
    """
    trained = {id(variable) for variable in agent.trainable_variables}
    for variable in [*agent.variables, *agent.optimizer.variables]:
        value = variable.numpy()
        if value.dtype.kind not in "fV":
            continue
        value = value.astype(np.float32, copy=False) if value.dtype.kind == "V" else value
        if not np.isfinite(value).all() and (id(variable) in trained or np.isnan(value).any()):
            raise ValueError(
                f"The file's weights are not finite: {variable.path!r} {tuple(value.shape)} holds "
                f"{int(np.isnan(value).sum())} nan and {int(np.isinf(value).sum())} infinite numbers. Training diverged "
                "before it was saved; go on from an earlier file"
            )


def _slices(array: np.ndarray) -> list[np.ndarray]:
    rows = max(1, _SLICE // max(1, array[:1].nbytes))
    return [array[begin : begin + rows] for begin in range(0, max(1, len(array)), rows)]
