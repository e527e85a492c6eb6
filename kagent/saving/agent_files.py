"""Agents on their way into files and back.

A `.keras` file holds structure, weights, targets, optimizers, counters, random streams and the open episodes' seeds and
actions; the memory only with `include_memory=True`. A `.weights.h5` file holds the same state without the structure and
with the memory, so that Keras's stock `BackupAndRestore` resumes exactly. None of this is in `get_weights()`. The files of periodic
savers have large memories in a folder beside them, see `kagent.saving.memory_folders`.

`load_weights` checks all of a file first, and only then gives the agent its state. Variables of Keras are the exception:
Keras assigns them as it reads, so they are put back where anything is refused.
"""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kagent import networks
from kagent.config.signatures import answering
from kagent.files import checked_file, packed
from kagent.files.atomic_files import beside, replacing_folder
from kagent.files.segments import Segments
from kagent.saving import entries, headers, serving
from kagent.saving.memory_folders import MemoryFolders
from kagent.saving.state import AgentState

if TYPE_CHECKING:
    from kagent.agent import Agent

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5", "assets")  # of an archive of Keras
_OF_OTHERS = (".zip", ".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".npz")  # endings of files of other libraries
_Signature = tuple[str, tuple[int, ...], str]


class AgentFiles:
    """What passes between the methods of an agent that write and read files and the hooks that Keras calls meanwhile.

    Args:
        agent: The agent, with all its weights. It is not kept.

    Attributes:
        with_memory: Whether the file that is being written takes the memory along.
        folders: Where periodic savers put large memories.
        segments: Where a large memory goes of the file that is being written; None: into the file.
        read_from: The folder of the file that `load_weights` is reading; None elsewhere.
        held: While `load_weights` reads a file, the state that was found in it: one, or none. None elsewhere.
    """

    def __init__(self, agent: Agent):
        self._built = Counter(_signatures(agent))
        self.with_memory = False
        self.folders = MemoryFolders()
        self.segments: Segments | None = None
        self.read_from: Path | None = None
        self.held: list[AgentState] | None = None

    def check_structure(self, agent: Agent) -> None:
        """Checks that the layers are those that the agent was made with.

        Raises:
            ValueError: Layers were changed since. A file could not be loaded: its weights would be other ones than those of a
                new agent.
        """
        now, layers = Counter(_signatures(agent)), {_layer_of(signature) for signature in self._built}
        changed = self._built - now
        changed += Counter(
            added for added in now - self._built if _layer_of(added) in layers
        )  # other layers may be new
        if changed:
            names = sorted({path for path, _, _ in changed})
            raise ValueError(
                "The layers of this agent were changed since it was made (as by `quantize` or `enable_lora`), so that no file of it "
                f"could be loaded. Changed: {names[:4]}{' ...' if len(names) > 4 else ''}"
            )

    @contextlib.contextmanager
    def carrying(self, memory: bool, segments: Segments | None = None) -> Iterator[None]:
        """What is written inside takes the memory along, or not; a large one perhaps in segments."""
        before = self.with_memory, self.segments
        self.with_memory, self.segments = memory, segments
        try:
            yield
        finally:
            self.with_memory, self.segments = before

    @contextlib.contextmanager
    def holding(self, folder: Path | None) -> Iterator[list[AgentState]]:
        """The state that is loaded inside, from a file in a folder, is held back, in the list that it gives."""
        held: list[AgentState] = []
        self.held, self.read_from = held, folder
        try:
            yield held
        finally:
            self.held = self.read_from = None


# Methods of an agent -----------------------------------------------------------------------------------------------


@answering()
def save(
    agent: Agent,
    filepath: Any,
    overwrite: bool = True,
    zipped: bool | None = None,
    include_memory: bool = False,
    servable: bool = False,
    **kwargs: Any,
) -> None:
    """Saves the agent to a `.keras` file. Written beside it, flushed, then renamed: never half a file.

    Args:
        filepath: Where to; the name ends in `.keras`.
        overwrite: Whether a file that is there is replaced without a question.
        zipped: False makes a folder of the archive's members; its name may then be any but that of a file.
        include_memory: Whether the memory goes along. Without it, training goes on with an empty one.
        servable: Whether `kagent.acting.load` must be able to serve the file without TensorFlow. False: the file says
            which layer is against it, where one is (`kagent.inspect`).
        **kwargs: Passed on to Keras.

    Raises:
        ValueError: The name ends otherwise; layers were changed since the agent was made (`quantize`); a folder that
            holds something else is there; `servable=True` of an agent that has a layer without a NumPy form, or
            preprocessing other than one normalization. The message names it, and nothing was written.
        OSError: The file cannot be written, for instance because the disk is full; the error names the path and what
            is free. A file that was there is as it was.

    Example:

    >>> agent.save("agent.keras")
    >>> same = kagent.load("agent.keras")
    """
    path = str(filepath)
    _check_name(path, zipped)
    agent._files.check_structure(agent)
    if servable:
        serving.check(agent)
    with agent._files.carrying(include_memory):
        if "://" in path:
            keras.Model.save(agent, filepath, overwrite=overwrite, zipped=zipped, **kwargs)
        elif not overwrite and os.path.exists(path) and not _agreed(path):
            return
        elif zipped is False:
            _save_folder(agent, Path(path), kwargs)
        else:
            with beside(path, ".keras") as temporary, _checked(temporary) as file:
                keras.Model.save(agent, file, **kwargs)


def _save_folder(agent: Agent, folder: Path, kwargs: dict[str, Any]) -> None:
    # Keras's own way would have HDF5 write to the disk, and would lose the assets.
    with replacing_folder(folder, _MEMBERS) as new:
        whole = new / "a.keras"
        whole.touch()
        with _checked(str(whole)) as file:
            keras.Model.save(agent, file, **kwargs)
        with zipfile.ZipFile(whole) as archived:
            archived.extractall(new)
        whole.unlink()


@answering()
def save_weights(
    agent: Agent, filepath: Any, overwrite: bool = True, max_shard_size: None = None, **kwargs: Any
) -> None:
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
    agent._files.check_structure(agent)
    segments = None if "://" in path else agent._files.folders.of(path)
    try:
        with agent._files.carrying(True, segments):
            if "://" in path:
                keras.Model.save_weights(agent, filepath, overwrite=overwrite, **kwargs)
            elif overwrite or not os.path.exists(path) or _agreed(path):
                with beside(path, ".weights.h5") as temporary:
                    with _checked(temporary) as file:
                        keras.Model.save_weights(agent, file, **kwargs)
                    checked_file.seal(temporary)
    finally:
        if segments is not None:
            agent._files.folders.end(path)


@answering("skip_mismatch", "objects_to_skip", "by_name")
def load_weights(agent: Agent, filepath: Any, **kwargs: Any) -> None:
    """Loads state, and the memory where the file has it, into an agent with the same spaces and parts.

    Raises:
        ValueError: The file's agent has other spaces (they are shown side by side), another algorithm or other parts;
            its weights, counters, seeds or open episodes are impossible. The agent is then as it was before.
        OSError: The file cannot be read, or is damaged (then it is a ValueError, too).
        RuntimeError: The agent's `fit` is between its first and its last timestep, where a file's counters, memory
            and open episodes have no place. `set_weights` may be called there.
    """
    agent._occupation.refuse("load_weights")
    folder = None
    if os.path.isfile(filepath):
        checked_file.check(filepath)
        folder = None if str(filepath).endswith(".keras") else Path(filepath).parent
    with agent._files.holding(folder) as held, _weights_kept(agent):
        with warnings.catch_warnings():
            # Keras goes on where an optimizer's state does not fit; training would not.
            warnings.filterwarnings("error", "Skipping variable loading for optimizer")
            with packed.reading(filepath):
                keras.Model.load_weights(agent, filepath, **kwargs)
        check_weights(agent)
    for state in held:
        state.apply(agent)
    agent.actor.expire()


def set_weights(agent: Agent, weights: Any) -> None:
    """As `keras.Model.set_weights`."""
    keras.Model.set_weights(agent, weights)
    agent.actor.expire()


def quantize(agent: Agent, mode: Any = None, *args: Any, **kwargs: Any) -> None:
    """Not of agents.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        "An agent cannot be quantized: it could be neither trained nor loaded afterwards. "
        f"Received: quantize({mode!r}). Serve it by `kagent.acting.load`, or `export` it and quantize what was exported"
    )


# Keras's hooks -----------------------------------------------------------------------------------------------------


def save_own_variables(agent: Agent, store: Any) -> None:
    """Keras's hook: the agent's own variables, and its state."""
    keras.Model.save_own_variables(agent, store)
    state = headers.collect(agent) | AgentState.collect(agent, agent._files.with_memory)
    entries.write(store, state, agent._files.segments)


def load_own_variables(agent: Agent, store: Any) -> None:
    """Keras's hook: all of the state is checked before the first of it is applied. In `load_weights` it is held back."""
    packed.check_store(store)
    found = entries.read(store, agent._files.read_from)
    headers.check(agent, found)
    state = AgentState.check(agent, found)
    keras.Model.load_own_variables(agent, {key: store[key] for key in store.keys() if key.isdigit()})
    if agent._files.held is None:
        state.apply(agent)
    else:
        agent._files.held.append(state)


def save_assets(agent: Agent, directory: str) -> None:
    """Keras's hook: the actor for `kagent.acting.load`, or why there is none."""
    serving.write_or_refuse(agent, directory)


def load_assets(agent: Agent, directory: str) -> None:
    """Keras's hook. There is nothing to do: the actor is made from the policy."""


def check_weights(agent: Agent) -> None:
    """Checks the numbers that were loaded.

    Raises:
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


@contextlib.contextmanager
def _weights_kept(agent: Agent) -> Iterator[None]:
    # Keras assigns each variable as it reads it, and after one that does not fit it goes on with the others before it raises.
    # `keras.StatelessScope` cannot hold that back: Keras makes an optimizer of its own on its way, which is an error there.
    variables = [*agent.variables, *agent.optimizer.variables]
    values = [variable.numpy() for variable in variables]
    roles = [getattr(agent, name, None) for name in ("policy", "critic", "target_policy", "target_critic")]
    with networks.unchanged_by_errors([model for role in roles if role is not None for model in role.inner_models()]):
        try:
            yield
        except BaseException:
            for variable, value in zip(variables, values):
                variable.assign(value)
            raise


def _layer_of(signature: _Signature) -> str:
    return signature[0].rpartition("/")[0]


def _signatures(agent: Agent) -> list[_Signature]:
    return [(weight.path, tuple(weight.shape), str(weight.dtype)) for weight in agent.weights]


@contextlib.contextmanager
def _checked(path: str) -> Iterator[checked_file.CheckedFile]:
    # What Keras writes into; raises what went wrong on the disk, in the place of what that led to.
    file = checked_file.CheckedFile(path)
    try:
        yield file
    finally:
        file.finish()


def _check_name(path: str, zipped: bool | None) -> None:
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
        bare, ending = os.path.splitext(stem)
        stem = bare if ending in _OF_OTHERS else stem
        raise ValueError(
            f"`filepath` of save must end in '.keras', as {stem + '.keras'!r}{weights}. Received: {path!r}"
        )


def _agreed(path: str) -> bool:
    return input(f"{path!r} already exists. Overwrite it? [y/n] ").strip().lower() in ("y", "yes")
