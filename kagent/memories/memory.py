"""What every memory is: rows of transitions of an agent's spaces."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.config.checks import MOST_ENVS
from kagent.config.registry import Part, Registry
from kagent.environments.checks import INFINITE, not_finite_reward
from kagent.memories.columns import StateSpec, columns_of, nested, structure_of
from kagent.memories.row_writer import RowWriter
from kagent.memories.storage import Column, Storage, check_plan
from kagent.memories.transition import Leaves, Masks, Transition
from kagent.spaces import Structure

MEMORIES = Registry("memory")


class Memory(Part):
    """Base of all memories, and the whole protocol between an agent and its memory.

    A memory is made with its size; its agent calls `configure`, `check_room`, `build` and `reserve` before the first
    timestep. Then `append_step` takes one timestep of every environment, and `elements` gives what an update learns from:
    packed arrays, which `experience` unpacks inside the learner's program. `state` and `restore` carry the content in
    files. A memory of one's own implements `get_part`, `check`, `append_step`, `elements`, `experience`, `clear`, `state`,
    `restore` and `_rows`; the other methods have defaults.

    An `on_policy` memory has also `steps`, the timesteps of each environment in a rollout, and `rollouts`, the rollouts in
    it; `size` counts timesteps of each environment there. A memory that keeps the values of what follows from the time of
    storing has `early` (whether it does), `unestimated` (how many of the newest rows lack the value) and
    `take_unestimated()` (their indices).

    Args:
        saved: Whether weights files carry its content, so that training resumes exactly.

    Attributes:
        unit: The unit of update rules it takes, `"timesteps"` or `"episodes"`.
        on_policy: Whether an update is due when it is full, and empties it.
        substitutes: Names of memory classes in whose place objectives take it, beside those it derives from.
        prioritized: Whether it draws by the errors of the samples, which `prioritize` takes after every update.
        consecutive: Whether an update gets consecutive timesteps, time-major `(T, N, ...)` with `valid`, and not single
            ones.
        missing: A noun for messages where it is empty: `"a full rollout"`.
        built: Whether it has rows.
        observation, action: `Structure`s of the spaces it is built for.
        masked: Whether it stores action masks.
        num_envs: Environments whose timesteps arrive together.
        actor_state: Shape and dtype of each part of the actor's state that it keeps beside a timestep; see `keep_state`.
        size: Transitions in it.
        storage: The rows. Another object after every `build`: iterators of `elements` read the one they were made with.
    """

    unit = "timesteps"
    on_policy = False
    substitutes: tuple[str, ...] = ()
    prioritized = False
    consecutive = False
    missing = "a memory with experience"
    actor_state: tuple[StateSpec, ...] = ()
    directory: Any = None  # where rows are in files

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
        self.observation = structure_of(observation_space, "observation_space")
        self.action = structure_of(action_space, "action_space")
        if not 1 <= num_envs <= MOST_ENVS:  # a file may ask for any number
            raise ValueError(f"`num_envs` must be from 1 to {MOST_ENVS}. Received: {num_envs}")
        self.masked, self.num_envs = bool(masked), int(num_envs)
        self.storage = self._make_storage()
        self._bind(self.storage)
        self.built = True
        self.clear()

    def check_room(self, observation: Structure, action: Structure, num_envs: int = 1, drawn: int = 0) -> bool:
        """Whether, before it is built for these spaces, it and `drawn` transitions fit into free memory.

        Raises:
            ValueError: They do not. Where an agent is loaded, this is put off, and False.
        """
        planned = copy.copy(self)  # building writes into it
        planned.observation, planned.action, planned.masked, planned.num_envs = observation, action, False, num_envs
        return check_plan(planned._stored_columns(), planned._rows(), drawn, planned.directory)

    def _make_storage(self) -> Storage:
        return Storage(self._columns(), self._rows(), directory=self.directory)

    def _stored_columns(self) -> list[Column]:
        # Of which every row has its own.
        return self._columns()

    def _rows(self) -> int:
        raise NotImplementedError

    def _bind(self, storage: Storage) -> None:
        # Where `_write` writes.
        self._writer = RowWriter(storage, self.observation, self.action, self._masked_leaves(), len(self.actor_state))

    # What its agent calls -------------------------------------------------------------------------------------------

    def configure(self, rule: Any, estimation: Any, clock: Callable[[], Any]) -> None:
        """Fits it to its agent. Before `build`, and again where the agent takes another update rule.

        Args:
            rule: The agent's `Update`.
            estimation: The agent's `RewardEstimation`.
            clock: Returns the agent's `Clock`, for schedules.

        Raises:
            ValueError: The rule or the estimation needs another memory.
        """
        if rule.unit != self.unit:
            raise ValueError(
                f"`memory` {type(self).__name__} counts {self.unit} and needs update.unit={self.unit!r}. "
                f"Received: update.unit={rule.unit!r}"
            )

    def check_agent(self, agent: Any) -> None:
        """Looks at the agent's spaces and preprocessing, before its networks are made.

        Raises:
            ValueError: It cannot keep such experience, or not learn from it.
        """

    def use_environments(self, environments: Any) -> None:
        """Takes what it needs of the environments that its agent is about to train in, `kagent.environments.Environments`.

        Raises:
            ValueError: They lack it.
        """

    def keep_state(self, specs: Sequence[StateSpec]) -> None:
        """Keeps from now on what the actor knew of an episode at each timestep, `actor_state` of transitions. Before `build`.

        Args:
            specs: Of each part of the actor's state.
        """
        self.actor_state = tuple((tuple(shape), np.dtype(dtype)) for shape, dtype in specs)

    def reserve(self, executions: int) -> None:
        """Makes room for the due updates of one compiled call.

        Args:
            executions: How many there are: `steps_per_execution`.

        Raises:
            ValueError: It serves one update at a time only.
        """

    def fits(self, num_envs: int) -> bool:
        """Whether it takes the timesteps of so many environments without being built anew."""
        return True

    def set_num_envs(self, num_envs: int) -> None:
        """Takes the timesteps of so many environments from now on. `cut_episodes` of the ones before comes first."""
        self.num_envs = int(num_envs)

    def cut_episodes(self, environments: Any) -> None:
        """Ends the open episodes of these environments here: their next timesteps do not follow their last ones.

        Args:
            environments: Indices, an iterable of integers from 0 to `num_envs - 1`.
        """

    def check(self, batch_size: int) -> None:
        """Refuses a batch that the memory cannot hold.

        Raises:
            ValueError: `batch_size` is not an integer from 1 to what the memory can hold, in its unit.
        """
        raise NotImplementedError

    @property
    def has_any(self) -> bool:
        """Whether there is anything to learn from."""
        return len(self) > 0

    @property
    def is_full(self) -> bool:
        """Whether an update is due, of an `on_policy` memory."""
        return self.filled()

    def filled(self) -> bool:
        """`is_full`, as a function: the condition at which collecting stops."""
        return False

    def is_ready(self, rule: Any) -> bool:
        """Whether there is enough for an update that is due by `rule`, an `Update`."""
        return self.has_any

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> Any:
        """Iterator of packed elements, each for one call of the learner, from number `start` on.

        Elements are dicts of arrays, read from the memory when they are drawn and never ahead. The iterator is one of
        `tf.data`, or has an `element_spec` as those have.

        Args:
            rule: The agent's `Update`.
            executions: Due updates made in one call.
            seed: Seed of what is drawn; element n depends on (seed, n) and the memory's content only.
            start: Number of the first element.
        """
        raise NotImplementedError

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], Any]:
        """Unpacks an element. Pure, safe in graphs and for XLA: it runs in the learner's program.

        Args:
            blocks: The element.

        Returns:
            Transitions nested as their spaces (see `nest`), and the minibatches: int32 `(K, B)` rows of the flattened
            transitions, -1 for padding; or None, where the transitions are `(K, B, ...)` already.
        """
        raise NotImplementedError

    def prioritize(self, errors: np.ndarray) -> None:
        """Takes the absolute errors of the transitions of the last element, float32 `(K * B,)`."""

    def __len__(self) -> int:
        return self.size

    def clear(self) -> None:
        """Forgets everything. The rows stay allocated."""
        raise NotImplementedError

    def publish(self) -> None:
        """Writes the number of rows where the datasets that were made earlier read it."""

    def _masked_leaves(self) -> list[int]:
        return [i for i, leaf in enumerate(self.action.leaves) if leaf.is_discrete] if self.masked else []

    def _columns(self) -> list[Column]:
        return columns_of(self.observation, self.action, self._masked_leaves(), self._extra_flags, self.actor_state)

    _extra_flags: tuple[str, ...] = ()

    def nest(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Flat columns as transitions: `observation`, `next_observation` and `action` nested as their spaces.

        `action_mask` and `next_action_mask`, where stored, are lists with one entry per action leaf (None: no mask);
        `actor_state`, where it is kept, is a tuple with one entry per part.
        """
        return nested(columns, self.observation, self.action, self.masked, len(self.actor_state))

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
        """Stores one transition by hand, values as the environment has them (but actions of boxes canonical: see the policy).

        Args:
            observation, next_observation: Values of the observation space.
            action: A value of the action space.
            reward: A number.
            terminated, truncated: Whether the episode ended, and whether it was cut off.
            action_mask, next_action_mask: Lists with a flat bool array `(sum(nvec),)` for each discrete action leaf and None
                for a box. None: everything is allowed.

        Raises:
            ValueError: `reward` is not finite as float32.
        """
        if not abs(reward) < INFINITE:  # NaN neither
            raise ValueError(not_finite_reward(reward))

        def allowed(masks: Any) -> Masks | None:
            return None if masks is None else [None if m is None else np.asarray(m, bool)[None] for m in masks]

        actions = [
            (np.asarray(part, np.float32) if leaf.nvec is None else leaf.encode(part))[None]
            for leaf, part in zip(self.action.leaves, self.action.flatten(action))
        ]
        before, after = ([x[None] for x in self.observation.encode(one)] for one in (observation, next_observation))
        self.append_leaves(
            before, actions, np.asarray([reward], np.float32), np.asarray([terminated]), np.asarray([truncated]), after,
            None, allowed(action_mask), allowed(next_action_mask),
        )  # fmt: skip

    def append_leaves(
        self,
        observation: Leaves,
        action: Leaves,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        next_observation: Leaves,
        valid: np.ndarray | None = None,
        mask: Masks | None = None,
        next_mask: Masks | None = None,
        actor_state: Leaves | None = None,
    ) -> None:
        """`append_step`, of the fields of the transition."""
        fields = (
            observation, action, reward, terminated, truncated, next_observation, mask, next_mask, valid, actor_state
        )  # fmt: skip
        self.append_step(tuple.__new__(Transition, fields))  # in half the time of `Transition(*fields)`

    def append_step(self, step: Transition) -> None:
        """Stores one timestep of every environment, `(N, ...)`, and copies its arrays.

        Rows where `valid` is False are dropped; a rollout, whose environments go in step, marks them.
        """
        raise NotImplementedError

    def append_sequence(self, sequence: Transition) -> None:
        """Stores consecutive timesteps of one environment, `(T, ...)`; `valid` is None."""
        self._append_parts(1, sequence)

    def _append_parts(self, size: int, sequence: Transition) -> None:
        # So many timesteps at a time.
        for begin in range(0, len(sequence.reward), size):
            self.append_step(sequence.take(slice(begin, begin + size)))

    def _write(self, rows: Any, step: Transition, pick: Any = None) -> None:
        # `rows` is a slice or an index array; `pick` chooses environments. This runs at every timestep.
        self._writer.write(rows, step, pick)

    def get_part(self) -> dict[str, Any]:
        """Its config: `{"type": name, **arguments}`, as JSON has it."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Everything to continue from, by name: the filled rows as arrays (views, not copies) and counters."""
        raise NotImplementedError

    def marks(self) -> dict[str, Any]:
        """Of arrays of `state`, by name: what says which of their rows are those of an earlier state. Others are read each time."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`. Each value is an array, or an iterable of the slices of one.

        Raises:
            ValueError: Rows of another shape or dtype, or more of them than this memory holds.
        """
        raise NotImplementedError

    def restored(
        self,
        state: Mapping[str, Any],
        observation: Structure,
        action: Structure,
        *,
        masked: bool = False,
        num_envs: int = 1,
    ) -> Memory:
        """A memory like this one with other content, for `take`. This one stays as it is.

        Args:
            state: As for `restore`.
            observation, action, masked, num_envs: As for `build`.

        Raises:
            ValueError: As `build` and `restore` do.
        """
        other = copy.copy(self)  # building allocates anew whatever is written into
        other.build(observation, action, masked=masked, num_envs=num_envs)
        other.restore(state)
        return other

    def take(self, restored: Memory) -> None:
        """Takes the content of a memory that `restored` made, which is of no use afterwards."""
        vars(self).update(vars(restored))
