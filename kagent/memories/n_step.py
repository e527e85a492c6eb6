"""Windows of several timesteps, summed up while experience arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kagent import schedules
from kagent.memories.saved_arrays import counters, saved_array
from kagent.memories.transition import Leaves, Masks, Transition, state_of

_ROOM = 8  # open windows of each environment for which there is room at first


class NStepTransition(NamedTuple):
    """Windows that are complete.

    Attributes:
        transition: From the first observation of each window to the one behind its last timestep; `reward` is float64, the
            discounted sum.
        discount: float64 `(N,)`: the power of the discount at the end of each window.
    """

    transition: Transition
    discount: np.ndarray


class NStepAccumulator:
    """The windows of every environment that are still open, each with the discounted sum of its rewards so far.

    A window begins at every timestep. It closes when `horizon` further timesteps have joined it, or its episode ends;
    then it is a transition, from its first observation to the one behind its last timestep. Whatever the memory holds is
    therefore complete: no window crosses the end of an episode, or reaches for rows that were overwritten meanwhile, or
    for those of another environment. The price is that the newest `horizon` timesteps of each environment wait. Where
    horizon or discount are schedules, they are those of the time when a timestep arrives.

    Args:
        memory: For whose spaces, and for how many environments.
        horizon: Further timesteps: an integer, a schedule, or "episode": all.
        discount: Weight of a reward one timestep later, a number or a schedule.
        clock: Says what time it is.
    """

    def __init__(self, memory: Any, horizon: Any, discount: Any, clock: Any):
        self.memory, self.horizon, self.discount, self.clock = memory, horizon, discount, clock
        self.begin(memory.num_envs)

    def begin(self, num_envs: int) -> None:
        """No window is open, and so many environments' steps follow."""
        self.num_envs, self.room = num_envs, _ROOM
        self.first = np.zeros(num_envs, np.int64)  # of each environment's open windows, by their numbers
        self.following = np.zeros(num_envs, np.int64)  # one behind the last
        self.columns = self._columns(_ROOM)
        # Where the newest timestep led, for windows that are cut there.
        self.newest = {name: array[0] for name, array in self._columns(1).items() if name.startswith("next")}

    def _columns(self, room: int) -> dict[str, np.ndarray]:
        memory, found = self.memory, {}
        for i, leaf in enumerate(memory.observation.leaves):
            found[f"observation.{i}"] = np.zeros((room, self.num_envs, *leaf.shape), leaf.stored_dtype)
            found[f"next_observation.{i}"] = found[f"observation.{i}"][:1].copy()
        for i, leaf in enumerate(memory.action.leaves):
            dtype = np.float32 if leaf.nvec is None else np.int32
            found[f"action.{i}"] = np.zeros((room, self.num_envs, *leaf.shape), dtype)
        for i in memory._masked_leaves():
            found[f"action_mask.{i}"] = np.ones((room, self.num_envs, memory.action.leaves[i].num_values), bool)
            found[f"next_action_mask.{i}"] = found[f"action_mask.{i}"][:1].copy()
        for i, (shape, dtype) in enumerate(memory.actor_state):
            found[f"actor_state.{i}"] = np.zeros((room, self.num_envs, *shape), dtype)
        # float64: rounded once, when a window closes. A factor of 0 keeps closed windows out of all sums.
        found["reward"] = np.zeros((room, self.num_envs))
        found["discount"] = np.zeros((room, self.num_envs))
        return found

    def _grow(self) -> None:
        before, room = self.columns, self.room
        self.columns = self._columns(2 * room)
        env = np.arange(self.num_envs)
        numbers = self.first + np.arange(room)[:, None]
        for name, array in before.items():
            if not name.startswith("next"):
                self.columns[name][numbers % (2 * room), env] = array[numbers % room, env]
        self.room = 2 * room

    def __len__(self) -> int:
        return int((self.following - self.first).sum())

    def append(self, step: Transition) -> NStepTransition | None:
        """Takes one step of every environment; returns the windows that close with it."""
        pick = step.picked()
        env = np.arange(self.num_envs) if pick is None else pick
        if (self.following[env] - self.first[env]).max(initial=0) >= self.room:
            self._grow()
        place, columns = self.following[env] % self.room, self.columns
        self._take("observation", columns, step.observation, (place, env), env)
        self._take("action", columns, step.action, (place, env), env)
        self._take_masks("action_mask", columns, step.mask, (place, env), env)
        if self.memory.actor_state:
            self._take("actor_state", columns, state_of(step, len(self.memory.actor_state)), (place, env), env)
        self._take("next_observation", self.newest, step.next_observation, env, env)
        self._take_masks("next_action_mask", self.newest, step.next_mask, env, env)
        columns["reward"][place, env], columns["discount"][place, env] = 0.0, 1.0
        self.following[env] += 1
        discount = self._now(self.discount)
        if pick is None:
            columns["reward"] += columns["discount"] * step.reward
            columns["discount"] *= discount
        else:
            columns["reward"][:, env] += columns["discount"][:, env] * step.reward[env]
            columns["discount"][:, env] *= discount
        ended = np.logical_or(step.terminated, step.truncated)[env]
        kept = 2**62 if self.horizon == "episode" else int(self._now(self.horizon))
        closing = np.where(ended, self.following[env], self.following[env] - kept)
        return self._close(env, closing, step.terminated, step.truncated)

    def cut(self, environments: Any) -> NStepTransition | None:
        """Closes all open windows of these environments as if their episodes were truncated."""
        env, never = np.asarray(list(environments), np.int64), np.zeros(self.num_envs, bool)
        return self._close(env, self.following[env], never, never)

    def _now(self, value: Any) -> Any:
        return schedules.evaluate(value, self.clock()) if isinstance(value, schedules.Schedule) else value

    def _take(self, group: str, target: dict[str, np.ndarray], leaves: Leaves, place: Any, env: np.ndarray) -> None:
        for i, leaf in enumerate(leaves):
            target[f"{group}.{i}"][place] = leaf[env]

    def _take_masks(
        self, group: str, target: dict[str, np.ndarray], masks: Masks | None, place: Any, env: np.ndarray
    ) -> None:
        for i in self.memory._masked_leaves():
            allowed = None if masks is None else masks[i]
            target[f"{group}.{i}"][place] = True if allowed is None else allowed[env]

    def _close(self, env: np.ndarray, until: np.ndarray, terminated: Any, truncated: Any) -> NStepTransition | None:
        # All windows of `env` with numbers below `until`, of each environment oldest first.
        counts = np.maximum(until - self.first[env], 0)
        total = int(counts.sum())
        if not total:
            return None
        env = np.repeat(env, counts)
        numbers = self.first[env] + np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        place, columns, memory = numbers % self.room, self.columns, self.memory
        masks = memory._masked_leaves()

        def leaves(group: str, source: Any, index: Any, numbers: Any) -> list[Any]:
            return [source[f"{group}.{i}"][index] for i in numbers]

        def allowed(group: str, source: Any, index: Any) -> list[Any] | None:
            if not masks:
                return None
            return [source[f"{group}.{i}"][index] if i in masks else None for i in range(len(memory.action.leaves))]

        observations, actions = range(len(memory.observation.leaves)), range(len(memory.action.leaves))
        closed = Transition(
            leaves("observation", columns, (place, env), observations),
            leaves("action", columns, (place, env), actions),
            columns["reward"][place, env],
            np.asarray(terminated)[env],
            np.asarray(truncated)[env],
            leaves("next_observation", self.newest, env, observations),
            allowed("action_mask", columns, (place, env)),
            allowed("next_action_mask", self.newest, env),
            actor_state=leaves("actor_state", columns, (place, env), range(len(memory.actor_state))),
        )
        discount = columns["discount"][place, env]
        columns["discount"][place, env] = columns["reward"][place, env] = 0.0
        np.add.at(self.first, env, 1)
        return NStepTransition(closed, discount)

    def state(self) -> dict[str, np.ndarray]:
        """Everything to continue from."""
        env = np.repeat(np.arange(self.num_envs), self.following - self.first)
        numbers = np.concatenate([np.arange(a, b) for a, b in zip(self.first, self.following)])
        place = numbers.astype(np.int64) % self.room
        found = {"windows.first": self.first.copy(), "windows.following": self.following.copy()}
        for name, array in self.columns.items():
            if not name.startswith("next"):
                found[f"windows.{name}"] = array[place, env]
        found |= {f"windows.{name}": array.copy() for name, array in self.newest.items()}
        return {**found, "windows.counters": np.asarray([self.num_envs], np.int64)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            ValueError: It is not that of windows like these.
        """
        (num_envs,) = counters(state["windows.counters"], ("num_envs",))
        if num_envs != self.memory.num_envs:
            raise ValueError(f"Saved windows must be of {self.memory.num_envs} environment(s). Received: {num_envs}")
        self.begin(num_envs)
        first, following = (
            saved_array(state[f"windows.{name}"], name, np.int64, (num_envs,)) for name in ("first", "following")
        )
        rows = saved_array(state["windows.reward"], "windows.reward", np.float64, (None,))
        if first.min() < 0 or (following < first).any() or (following - first).sum() != len(rows):
            raise ValueError(f"Saved windows have impossible numbers. Received: {first} to {following}")
        while self.room < (following - first).max():
            self._grow()
        self.first, self.following = first, following
        env = np.repeat(np.arange(num_envs), following - first)
        place = np.concatenate([np.arange(a, b) for a, b in zip(first, following)]).astype(np.int64) % self.room
        for name, array in self.columns.items():
            if name == "reward":
                array[place, env] = rows
            elif not name.startswith("next"):
                key = f"windows.{name}"
                array[place, env] = saved_array(state[key], key, array.dtype, (len(rows), *array.shape[2:]))
        for name, array in self.newest.items():
            self.newest[name] = saved_array(state[f"windows.{name}"], name, array.dtype, array.shape)
