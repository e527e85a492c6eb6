"""What every memory is: rows of transitions of an agent's spaces."""

from __future__ import annotations

import copy
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.arguments import MOST_ENVS
from kagent.memories.storage import Column, Storage, check_plan
from kagent.registry import Part, Registry
from kagent.spaces import Structure

MEMORIES = Registry("memory")
Leaves = Sequence[np.ndarray]


class Memory(Part):
    """Base of all memories.

    A memory is made with its size and built for spaces by its agent, or by hand with `build`.

    Args:
        saved: Whether weights files carry its content, so that training resumes exactly.

    Attributes:
        unit: The unit of update rules it suits, `"timesteps"` or `"episodes"`.
        used_once: Whether it says itself when an update is due, and is cleared by it.
        serves: Names of memory classes in whose place objectives take it, beside those it derives from.
        prioritized: Whether it wants to hear how large the errors of what was learned from were.
        consecutive: Whether an update gets consecutive timesteps, time-major `(T, N, ...)` with `valid`, and not single
            ones.
        lacking: What there must be in it to learn from, in words.
    """

    unit = "timesteps"
    used_once = False
    serves: tuple[str, ...] = ()
    prioritized = False
    consecutive = False
    lacking = "a memory with experience"

    def __init__(self, saved: bool = True):
        self.saved = bool(saved)
        self.built = False
        self.size, self.num_envs = 0, 1

    def build(
        self,
        observation_space: gymnasium.Space | Structure,
        action_space: gymnasium.Space | Structure,
        *,
        masked: bool = False,
        num_envs: int = 1,
    ) -> None:
        """Allocates the rows.

        Args:
            observation_space, action_space: Spaces of one environment.
            masked: Whether action masks are stored.
            num_envs: Environments whose steps arrive together.

        Raises:
            ValueError: It does not fit into free memory.
        """
        self.observation = _structure(observation_space, "observation_space")
        self.action = _structure(action_space, "action_space")
        if not 1 <= num_envs <= MOST_ENVS:  # a file may ask for any number
            raise ValueError(f"`num_envs` must be from 1 to {MOST_ENVS}. Received: {num_envs}")
        self.masked, self.num_envs = bool(masked), int(num_envs)
        self.storage = Storage(self._columns(), self._rows())
        self._bind(self.storage.views)
        self.built = True
        self.clear()

    def check_room(self, observation: Structure, action: Structure, num_envs: int = 1, drawn: int = 0) -> bool:
        """Whether, before it is built for these spaces, it and `drawn` transitions fit into free memory.

        Raises:
            ValueError: They do not. Where an agent is loaded, this is put off, and False.
        """
        planned = copy.copy(self)  # building writes into it
        planned.observation, planned.action, planned.masked, planned.num_envs = observation, action, False, num_envs
        return check_plan(planned._columns(), planned._rows(), drawn)

    def _rows(self) -> int:
        raise NotImplementedError

    def _bind(self, views: Mapping[str, np.ndarray]) -> None:
        # Where `_write` writes.
        self._observations = [views[f"observation.{i}"] for i in range(len(self.observation.leaves))]
        self._successors = [views[f"next_observation.{i}"] for i in range(len(self.observation.leaves))]
        self._actions = [views[f"action.{i}"] for i in range(len(self.action.leaves))]
        self._masks = [(i, views[f"action_mask.{i}"]) for i in self._masked_leaves()]
        self._next_masks = [(i, views[f"next_action_mask.{i}"]) for i in self._masked_leaves()]
        self._rewards = views["reward"]
        self._flags = (views["terminated"], views["truncated"])

    # What its agent asks of it ---------------------------------------------------------------------------------

    def adopt(self, rule: Any, estimation: Any, clock: Callable[[], Any]) -> None:
        """Tells it what it is for; before it is built.

        Args:
            rule: The agent's `Update`.
            estimation: The agent's `RewardEstimation`.
            clock: Says what time it is.

        Raises:
            ValueError: It does not suit the rule or the estimation.
        """
        if rule.unit != self.unit:
            raise ValueError(
                f"`memory` {type(self).__name__} counts {self.unit} and needs update.unit={self.unit!r}. "
                f"Received: update.unit={rule.unit!r}"
            )

    def hold(self, executions: int) -> None:
        """Says how many due updates are made in one compiled call (`steps_per_execution`)."""

    def fits(self, num_envs: int) -> bool:
        """Whether it can take the steps of so many environments as it is built."""
        return True

    def attach(self, num_envs: int) -> None:
        """Says how many environments' steps arrive from now on. `interrupt` those before first."""
        self.num_envs = int(num_envs)

    def interrupt(self, environments: Any) -> None:
        """Says that what these environments' next steps belong to does not follow their last ones."""

    def check(self, batch_size: int) -> None:
        """Raises:
        ValueError: `batch_size` is not an integer from 1 to what the memory can hold.
        """
        raise NotImplementedError

    @property
    def has_any(self) -> bool:
        """Whether there is anything to learn from."""
        return len(self) > 0

    def is_ready(self, rule: Any) -> bool:
        """Whether there is enough for an update that is due by `rule`."""
        return self.has_any

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> Any:
        """Iterator of packed elements, each for one call of the learner, from number `start` on.

        Args:
            rule: The agent's `Update`.
            executions: Due updates made in one call.
            seed: Seed of what is drawn; element n depends on (seed, n) and the memory's content only.
            start: Number of the first element.
        """
        raise NotImplementedError

    def prioritize(self, errors: np.ndarray) -> None:
        """Takes the absolute errors of the transitions of the last element, `(K * B,)`."""

    def __len__(self) -> int:
        return self.size

    def clear(self) -> None:
        """Forgets everything."""
        raise NotImplementedError

    def publish(self) -> None:
        """Tells datasets that were made earlier how many rows there are now."""

    def _masked_leaves(self) -> list[int]:
        return [i for i, leaf in enumerate(self.action.leaves) if leaf.is_discrete] if self.masked else []

    def _columns(self) -> list[Column]:
        columns = []
        for name in ("observation", "next_observation"):
            for i, leaf in enumerate(self.observation.leaves):
                limit = None if leaf.nvec is None else int(leaf.nvec.max())
                columns.append(Column(f"{name}.{i}", leaf.shape, leaf.stored_dtype, limit))
        for i, leaf in enumerate(self.action.leaves):
            if leaf.nvec is None:
                columns.append(Column(f"action.{i}", leaf.shape, np.dtype(np.float32)))
            else:
                columns.append(Column(f"action.{i}", leaf.shape, np.dtype(np.int32), int(leaf.nvec.max())))
        columns.append(Column("reward", (), np.dtype(np.float32)))
        columns += [Column(name, (), np.dtype(np.bool_)) for name in ("terminated", "truncated", *self._extra_flags)]
        for name in ("action_mask", "next_action_mask"):
            for i in self._masked_leaves():
                columns.append(Column(f"{name}.{i}", (self.action.leaves[i].num_values,), np.dtype(np.bool_)))
        return columns

    _extra_flags: tuple[str, ...] = ()

    def nest(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Flat columns as transitions: `observation`, `next_observation` and `action` nested as their spaces.

        `action_mask` and `next_action_mask`, where stored, are lists with one entry per action leaf (None: no mask).
        """
        flat = dict(columns)
        observations = range(len(self.observation.leaves))
        nested: dict[str, Any] = {
            "observation": self.observation.unflatten([flat.pop(f"observation.{i}") for i in observations]),
            "action": self.action.unflatten([flat.pop(f"action.{i}") for i in range(len(self.action.leaves))]),
            "next_observation": self.observation.unflatten([flat.pop(f"next_observation.{i}") for i in observations]),
        }
        if self.masked:
            for name in ("action_mask", "next_action_mask"):
                nested[name] = [flat.pop(f"{name}.{i}", None) for i in range(len(self.action.leaves))]
        return {**nested, **flat}

    def _portable(self, nested: dict[str, Any]) -> dict[str, Any]:
        # tf.data stacks lists and has no place for None: tuples, and a mask of width 0 for a leaf without.
        none = tf.ones_like(nested["reward"], tf.bool)[..., tf.newaxis][..., :0]
        masks = {name: value for name, value in nested.items() if name.endswith("mask")}
        return {**nested, **{name: tuple(none if m is None else m for m in mask) for name, mask in masks.items()}}

    def append(
        self,
        observation: Any,
        action: Any,
        reward: float,
        terminated: bool,
        truncated: bool,
        next_observation: Any,
        action_mask: Any = None,
        next_action_mask: Any = None,
    ) -> None:
        """One transition, as the environment speaks (boxes' actions canonical: see the policy).

        Masks are lists with one flat bool array `(sum(nvec),)` per action leaf.
        """
        self.append_leaves(
            [a[None] for a in self.observation.encode(observation)],
            [
                (np.asarray(part, np.float32) if leaf.nvec is None else leaf.encode(part))[None]
                for leaf, part in zip(self.action.leaves, self.action.flatten(action))
            ],
            np.asarray([reward], np.float32),
            np.asarray([terminated]),
            np.asarray([truncated]),
            [a[None] for a in self.observation.encode(next_observation)],
            None,
            None if action_mask is None else [None if m is None else np.asarray(m, bool)[None] for m in action_mask],
            None
            if next_action_mask is None
            else [None if m is None else np.asarray(m, bool)[None] for m in next_action_mask],
        )

    def append_leaves(
        self,
        observation: Leaves,
        action: Leaves,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_observation: Leaves,
        valid: np.ndarray | None = None,
        mask: Sequence[Any] | None = None,
        next_mask: Sequence[Any] | None = None,
    ) -> None:
        """One step of every environment, as stored leaves `(N, ...)`; rows where `valid` is False are dropped."""
        raise NotImplementedError

    def append_sequence(self, *sequence: Any) -> None:
        """Consecutive timesteps of its one environment.

        Args:
            *sequence: What `append_leaves` takes but `valid`, in its order, as stored leaves `(T, ...)`.
        """
        self._append_parts(1, sequence)

    def _append_parts(self, size: int, sequence: Sequence[Any]) -> None:
        # So many timesteps at a time.
        *steps, mask, next_mask = sequence
        for begin in range(0, len(steps[2]), size):
            rows = slice(begin, begin + size)
            cut = [part_of(column, rows) for column in (*steps, None, mask, next_mask)]
            self.append_leaves(*cut)

    def _write(
        self,
        rows: Any,
        observation: Leaves,
        action: Leaves,
        reward: Any,
        terminated: Any,
        truncated: Any,
        next_observation: Leaves,
        mask: Sequence[Any] | None,
        next_mask: Sequence[Any] | None,
        pick: Any = None,
    ) -> None:
        # `rows` is a slice or an index array; `pick` chooses environments.
        for target, source in zip(self._observations, observation):
            target[rows] = source if pick is None else source[pick]
        for target, source in zip(self._successors, next_observation):
            target[rows] = source if pick is None else source[pick]
        for target, source in zip(self._actions, action):
            target[rows] = source if pick is None else source[pick]
        self._rewards[rows] = reward if pick is None else reward[pick]
        self._flags[0][rows] = terminated if pick is None else terminated[pick]
        self._flags[1][rows] = truncated if pick is None else truncated[pick]
        if self.masked:
            for targets, given in ((self._masks, mask), (self._next_masks, next_mask)):
                for i, target in targets:
                    allowed = None if given is None else given[i]
                    target[rows] = True if allowed is None else allowed if pick is None else allowed[pick]

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything to continue from: the filled rows as arrays (views, not copies) and counters."""
        raise NotImplementedError

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`. Each value is an array, or an iterable of the slices of one.

        Raises:
            ValueError: Rows of another shape or dtype, or more of them than this memory holds.
        """
        raise NotImplementedError

    def _read_block(self, name: str, source: Any, rows: int) -> None:
        target, begin = self.storage.blocks[name], 0
        for part in [source] if isinstance(source, np.ndarray) else source:
            end = begin + len(part)
            if part.shape[1:] != target.shape[1:] or part.dtype != target.dtype or end > rows:
                raise ValueError(
                    f"Saved memory does not fit: block {name!r} must be ({rows}, {target.shape[1]}) {target.dtype}. "
                    f"Received: {(end, *part.shape[1:])} {part.dtype}"
                )
            target[begin:end] = part
            begin = end
        if begin != rows:
            raise ValueError(f"Saved memory lacks rows: block {name!r} must have {rows}. Received: {begin}")


def counters(source: Any, names: tuple[str, ...]) -> list[int]:
    """The counters in a memory's state.

    Raises:
        ValueError: Not so many integers.
    """
    array = source if isinstance(source, np.ndarray) else np.concatenate(list(source))
    if array.shape != (len(names),) or array.dtype.kind not in "iu":
        raise ValueError(f"Saved memory must have the counters {names}. Received: {array!r}")
    return array.tolist()


def part_of(column: Any, rows: slice) -> Any:
    """Some timesteps of an array `(T, ...)`, of each in a list or tuple, or of None."""
    if isinstance(column, list | tuple):
        return [part_of(leaf, rows) for leaf in column]
    return None if column is None else column[rows]


def pipeline(dataset: tf.data.Dataset, function: Any = None) -> tf.data.Dataset:
    """One element at a time, made when it is asked for: nothing reads ahead, so no batch is stale.

    Args:
        function: What is made of each element, in TensorFlow's words (no Python that AutoGraph would translate).
    """
    if function is not None:
        dataset = dataset.map(tf.autograph.experimental.do_not_convert(function))
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_optimization.inject_prefetch = False
    return dataset.with_options(options)


def whole(value: Any) -> Any:
    """1e6 as 1000000; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _structure(space: gymnasium.Space | Structure, role: str) -> Structure:
    return space if isinstance(space, Structure) else Structure(space, role)


def get(identifier: Any, unit: str | None = None) -> Memory:
    """A memory from an object, a name, a dict, or an int: the capacity of a replay memory.

    Args:
        identifier: What stands for it.
        unit: Unit of the update rule it is for. "Replay" and "Recent", and an int, then name the memory of timesteps
            or the memory of episodes.
    """
    if isinstance(identifier, Memory):
        return identifier
    identifier = whole(identifier)
    if isinstance(identifier, numbers.Integral) and not isinstance(identifier, bool):
        identifier = {"type": "Replay", "capacity": int(identifier)}
    if isinstance(identifier, str):
        identifier = {"type": identifier}
    if unit == "episodes" and isinstance(identifier, dict) and MEMORIES.knows(identifier.get("type")):
        episodic = _EPISODIC.get(MEMORIES.name_of(identifier["type"]))
        identifier = {**identifier, "type": episodic} if episodic else identifier
    return MEMORIES.get(identifier, "memory")


_EPISODIC = {"Replay": "ReplayEpisodes", "Recent": "RecentEpisodes"}
