"""Everything an agent is, in one file, and nothing in it that runs.

`.keras` ships an agent, `.weights.h5` resumes one; see `Saving`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kagent import runner, spaces
from kagent.acting import archive
from kagent.arguments import check_count
from kagent.config import allowed, packed
from kagent.files import beside
from kagent.mixin import Mixin

FORMAT = 1
_COUNTERS = ("timesteps", "episodes", "updates", "performed", "drawn", "targets_moved", "waited", "ended")
_LATER_STREAMS = ("pretrain",)
_SEEDS = ("_sample_seed", "_graph_seed", "_evaluation_seed")
_LARGEST_TEXT = 1 << 30  # bytes of JSON in one entry of a file
_SLICE = 64 << 20  # bytes of memory content in one entry: Keras copies entries on their way in and out
_NOWHERE = (math.inf, math.inf)


class Saving(Mixin):
    """The part of an agent that goes to files and comes back. A mixin of `Agent`.

    A `.keras` file holds structure, weights, targets, optimizers, counters, random streams and the open episodes'
    seeds and actions; the memory only with `include_memory=True`. A `.weights.h5` file holds the same state without
    the structure and with the memory, so that Keras's stock `BackupAndRestore` resumes exactly. None of this is in
    `get_weights()`.
    """

    _with_memory = False

    def save(
        self, filepath: Any, overwrite: bool = True, zipped: Any = None, include_memory: bool = False, **kwargs: Any
    ):
        """Saves the agent to a `.keras` file. Written beside it, flushed, then renamed: never half a file.

        Args:
            filepath: Where to; the name ends in `.keras`.
            overwrite: As in Keras.
            zipped: As in Keras.
            include_memory: Whether the memory goes along. Without it, training goes on with an empty one.
            **kwargs: Passed on to Keras.

        Example:

        >>> agent.save("agent.keras")
        >>> same = kagent.load("agent.keras")
        """
        with self._carrying(include_memory):
            if zipped is False or not _replaceable(filepath, ".keras", overwrite):
                return super().save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            with beside(filepath, ".keras") as temporary:
                super().save(temporary, overwrite=True, zipped=zipped, **kwargs)
        return None

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any):
        """Saves state and memory to a `.weights.h5` file. Written beside it, flushed, then renamed."""
        with self._carrying(True):
            if not _replaceable(filepath, ".weights.h5", overwrite):
                return super().save_weights(filepath, overwrite=overwrite, **kwargs)
            with beside(filepath, ".weights.h5") as temporary:
                super().save_weights(temporary, overwrite=True, **kwargs)
        return None

    def load_weights(self, filepath: Any, **kwargs: Any) -> None:
        """Loads state, and the memory where the file has it, into an agent with the same spaces and parts.

        Raises:
            ValueError: The file's agent has other spaces (they are shown side by side) or other parts. The agent is
                then as it was before.
        """
        undo = self._remember()
        try:
            with warnings.catch_warnings():
                # Keras goes on where an optimizer's state does not fit; training would not.
                warnings.filterwarnings("error", "Skipping variable loading for optimizer")
                with packed.reading(filepath):
                    super().load_weights(filepath, **kwargs)
        except BaseException:
            undo()
            raise
        finally:
            self.actor.expire()

    def _remember(self: Any) -> Callable[[], None]:
        # What brings back all that `load_own_variables` and Keras may have changed before they found a fault.
        variables = [*self.variables, *self.optimizer.variables]
        values = [variable.numpy() for variable in variables]
        attributes = {name: getattr(self, name) for name in (*_SEEDS, "_open", "_known", "_bounds")}
        counters = {name: getattr(self.counters, name) for name in _COUNTERS}
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
        store["counters"] = np.asarray([getattr(self.counters, name) for name in _COUNTERS], np.int64)
        state = {
            "format": FORMAT,
            "observation_space": spaces.to_config(self.observation_space),
            "action_space": spaces.to_config(self.action_space),
            "seeds": {"sample": self._sample_seed, "graph": self._graph_seed, "evaluation": self._evaluation_seed},
            "streams": {name: generator.bit_generator.state for name, generator in self._streams.items()},
            "bounds": [float(bound) for bound in self._bounds],
            "open": self._runner.state() if self._runner is not None else self._open,
            "known": self._known,
            "preprocessing": self._preprocessing_state(),
        }
        store["state"] = np.frombuffer(runner.dump(state), np.uint8)
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
        state = runner.load(_text(store, "state"))
        form = state.get("format")
        if not isinstance(form, int) or form > FORMAT:
            raise ValueError(f"The file was written by a newer kagent: its format is {form!r}, this one's is {FORMAT}")
        for role in ("observation_space", "action_space"):
            difference = spaces.difference(getattr(self, role), spaces.from_config(state[role]))
            if difference:
                raise ValueError(f"The file's {role} is not the agent's. Received (env: the file):\n{difference}")
        self._load_preprocessing(state.get("preprocessing"))
        super().load_own_variables({key: store[key] for key in keys if key.isdigit()})
        counters = [int(value) for value in np.asarray(store["counters"])]
        if (
            len(counters) == len(_COUNTERS) - 2
        ):  # of before frequencies could be schedules, and updates at episodes' ends
            counters += [0, counters[_COUNTERS.index("episodes")]]
        if len(counters) != len(_COUNTERS) or min(counters) < 0:
            raise ValueError(f"The file's counters must be {len(_COUNTERS)} integers >= 0. Received: {counters}")
        # Files of before there were traces lack the last stream: the agent's own, which had no use, stays.
        wanted = [name for name in self._streams if name in state["streams"] or name not in _LATER_STREAMS]
        streams = {name: _stream(state["streams"][name]) for name in wanted}
        self._count(dict(zip(_COUNTERS, counters)))
        seed, seeds = self._graph_seed, state["seeds"]
        self._sample_seed, self._graph_seed = int(seeds["sample"]), int(seeds["graph"])
        self._evaluation_seed = int(seeds["evaluation"])
        for name, found in streams.items():
            self._streams[name].bit_generator.state = found
        self._open, self._known = state["open"], _known(state.get("known"))
        self.actor.expire()  # the policy is read after this
        if self._bounds == _NOWHERE:  # where a fit is under way, it knows its own
            self._bounds = tuple(float(bound) for bound in state["bounds"])
        self._recompile(seed)
        self._load_memory(store, keys)

    def _count(self: Any, counters: dict[str, int]) -> None:
        for name, value in counters.items():
            setattr(self.counters, name, value)

    def _recompile(self: Any, seed: int) -> None:
        # The seed is part of the compiled program; another program also gets another pipeline.
        self._estimate = None
        if seed != self._graph_seed and getattr(self, "train_function", None) is not None:
            self.make_train_function(force=True)

    def _load_memory(self: Any, store: Any, keys: set[str]) -> None:
        if "memory" not in keys:
            if self.memory.built:
                self.memory.clear()
            return
        about = json.loads(_text(store, "memory"))
        num_envs = check_count(about["num_envs"], "num_envs")
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
        config = super().get_compile_config()
        config.pop("jit_compile", None)  # whether XLA suits is the machine's affair, not the file's
        return {**config, "optimizer": "auto"} if self._auto_optimizer else config

    def compile_from_config(self: Any, config: dict[str, Any]) -> None:
        allowed.check_settings(config)
        config = {key: value for key, value in config.items() if key != "jit_compile"}
        try:
            self.compile(**keras.saving.deserialize_keras_object(config))
        except TypeError as error:
            raise ValueError(f"The file's settings of `compile` cannot be used: {error}") from error


def _replaceable(filepath: Any, suffix: str, overwrite: bool) -> bool:
    # Whether this is Keras's usual way of saving, on this machine, for which `beside` can stand in.
    path = str(filepath)
    return path.endswith(suffix) and "://" not in path and (overwrite or not os.path.exists(path))


def _slices(array: np.ndarray) -> list[np.ndarray]:
    rows = max(1, _SLICE // max(1, array[:1].nbytes))
    return [array[begin : begin + rows] for begin in range(0, max(1, len(array)), rows)]


def _known(state: Any) -> dict[str, Any] | None:
    """What the last epoch knew, as read from a file, checked."""
    if state is None:
        return None
    mean_return, mean_length = (float(value) for value in state["episode"])
    update = {str(name): float(value) for name, value in state["update"].items()}
    return {"episode": (mean_return, mean_length), "update": update}


def _stream(state: Any) -> dict[str, Any]:
    """A Philox generator's state as read from a file, checked: NumPy believes any position in its buffer."""
    inner = state["state"]
    arrays = {"counter": inner["counter"], "key": inner["key"], "buffer": state["buffer"]}
    for name, size in (("counter", 4), ("key", 2), ("buffer", 4)):
        if not isinstance(arrays[name], np.ndarray) or (arrays[name].shape, arrays[name].dtype) != ((size,), np.uint64):
            raise ValueError(f"A random stream's {name} must be {size} uint64 numbers. Received: {arrays[name]!r}")
    position, has, half = (int(state[name]) for name in ("buffer_pos", "has_uint32", "uinteger"))
    if not (0 <= position <= 4 and has in (0, 1) and 0 <= half < 2**32):
        raise ValueError(f"A random stream's position is impossible. Received: {position}, {has}, {half}")
    key = {"counter": arrays["counter"], "key": arrays["key"]}
    about = {"buffer_pos": position, "has_uint32": has, "uinteger": half}
    return {"bit_generator": "Philox", "state": key, "buffer": arrays["buffer"], **about}


def is_of_another(agent: Any, filepath: Any) -> bool:
    """Whether a `.weights.h5` file which was refused is of an agent with other spaces or preprocessing, or of a newer
    kagent.

    A damaged file is neither: it cannot say whose it is.
    """
    try:
        with h5py.File(filepath, "r") as file:
            state = runner.load(_text(file["vars"], "state"))
        roles = ("observation_space", "action_space")
        return (
            state["format"] > FORMAT
            or any(spaces.difference(getattr(agent, role), spaces.from_config(state[role])) for role in roles)
            or agent._preprocesses_otherwise(state.get("preprocessing"))
        )
    except Exception:  # a damaged file raises whatever HDF5 does
        return False


def spaces_of(filepath: Any) -> tuple[Any, Any]:
    """The observation space and the action space of the agent in a `.weights.h5` file.

    Raises:
        ValueError: The file is damaged, or of no kagent agent.
        PermissionError: It may not be read.
    """
    try:
        with h5py.File(filepath, "r") as file:
            packed.check_hdf5(file)
            state = runner.load(_text(file["vars"], "state"))
        observation, action = (spaces.from_config(state[role]) for role in ("observation_space", "action_space"))
    except PermissionError:
        raise
    except Exception as error:  # a damaged file raises whatever HDF5 does
        raise ValueError(f"{str(filepath)!r} holds no agent that can be read: {error}") from error
    return observation, action


def _text(store: Any, key: str) -> bytes:
    entry = store[key]
    if getattr(entry, "size", 0) > _LARGEST_TEXT:
        raise ValueError(f"Refusing to read {key!r}: {entry.size} bytes, more than {_LARGEST_TEXT}")
    return np.asarray(entry, np.uint8).tobytes()


def load(filepath: Any, env: Any = None, **kwargs: Any) -> Any:
    """Loads an agent from a `.keras` file.

    Args:
        filepath: A file written by `agent.save`.
        env: Where given, its spaces must be the agent's.
        **kwargs: Passed on to `keras.saving.load_model` (`custom_objects`, `compile`, `safe_mode`).

    Returns:
        The agent, which goes on as the saved one would have.

    Raises:
        OSError: It cannot be read.
        ValueError: Not an agent's file, a damaged one, or one that names what may run code or read other files; spaces
            unlike the environment's (shown side by side).
    """
    from kagent import environments
    from kagent.agent import Agent

    with packed.reading(filepath), keras.saving.custom_object_scope(kwargs.get("custom_objects") or {}):
        if "://" not in str(filepath):
            config = packed.read_config(filepath)
            name = config.get("registered_name") or config.get("class_name")
            found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
            if not (isinstance(found, type) and issubclass(found, Agent)):
                raise ValueError(
                    f"{str(filepath)!r} holds a {name}, not a kagent agent. A class of your own must be registered with "
                    "keras.saving.register_keras_serializable before, or be given in `custom_objects`"
                )
            settings = [config.get(key) or {} for key in ("config", "build_config", "compile_config")]
            for part in settings if kwargs.get("safe_mode", True) else []:
                allowed.check_settings(part)
        agent = keras.saving.load_model(filepath, **kwargs)
    if not isinstance(agent, Agent):
        raise ValueError(f"{str(filepath)!r} holds a {type(agent).__name__}, not a kagent agent")
    if env is not None:
        made = environments.make(env)
        try:
            environments.check_spaces(agent.observation_space, agent.action_space, made)
        finally:
            if made.owned:
                made.close()
    return agent
