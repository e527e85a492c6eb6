"""What every memory keeps."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from gymnasium import spaces

from kagent import memories
from kagent.memories import MEMORIES, Memory
from kagent.memories.episodes import EpisodeMemory
from kagent.testing.contract import Contract, name_of
from kagent.update import Update

_PLACE = spaces.Box(-np.inf, np.inf, (2,), np.float32)
# Goals, too, as memories that exchange them need.
OBSERVATION = spaces.Dict(
    [("place", _PLACE), ("gear", spaces.Discrete(5, start=2)), ("achieved_goal", _PLACE), ("desired_goal", _PLACE)]
)
ACTIONS = {"Discrete": spaces.Discrete(4, start=1), "Box": spaces.Box(-1, 1, (2,), np.float32)}
_TURNS = 400  # steps of all environments, to go round a small memory several times


def check_memory(make: Callable[[], Memory]) -> None:
    """Checks a memory with 3 environments, discrete actions and masks, and with 1 environment and continuous actions.

    Args:
        make: Returns a new memory that is not built, always of the same configuration and with room for 24 to 200
            timesteps of one environment, such as `lambda: Replay(capacity=50)`. It is called several times.

    Raises:
        AssertionError: It breaks a rule: what is drawn are whole transitions that were appended (with the actor's state where
            it is kept), the newest ones that it has
            room for, and none that were not valid; sequences are consecutive timesteps of one environment; element n
            depends on the seed, n and the content alone, and is made when it is asked for; `state` and `restore`
            bring everything back to the bit; `clear` forgets all; an empty memory, and a batch that is too large, are
            refused; the configuration comes back from JSON. The message has the rule, what was expected and what was
            received.

    Example:

    >>> check_memory(lambda: memories.Replay(capacity=50))
    """
    contract = Contract(name_of(make()))
    _check_config(contract, make)
    for name, count, masked in (("Discrete", 3, True), ("Box", 1, False)):
        case = f"{name} actions{', masked' if masked else ''}, {count} environment(s)"
        _Filled(contract, make, name, count, masked, case).check()
    _check_single(contract, make)


class _Filled:
    """A memory and what was appended to it.

    Timestep k of environment e has the number `1000 * e + k`: its place, its reward and its action say so.
    """

    def __init__(self, contract: Contract, make: Any, action: str, count: int, masked: bool, case: str):
        self.contract, self.make, self.action, self.count, self.case = contract, make, action, count, case
        self.masked = masked
        self.random = np.random.default_rng(count)
        self.times = np.zeros(count, np.int64)
        self.left = np.asarray([3 + e for e in range(count)])  # timesteps of the open episodes
        self.ends: dict[int, tuple[bool, bool]] = {}
        self.arrived: dict[int, int] = {}  # of each number, how many had arrived before
        self.total = 0
        with contract.rule("`build` allocates it for any spaces", case):
            self.memory = self.built()

    def built(self) -> Any:
        memory: Any = self.make()
        if self.masked:
            memory.keep_state([((2,), np.dtype(np.float32)), ((), np.dtype(np.int64))])
        memory.build(OBSERVATION, ACTIONS[self.action], masked=self.masked, num_envs=self.count)
        return memory

    def check(self) -> None:
        memory, contract, case = self.memory, self.contract, self.case
        with contract.rule("A new memory is empty", case):
            contract.equal([len(memory), memory.has_any], [0, False], "len and `has_any`")
        self.fill(_TURNS)
        latest = self.room()
        with contract.rule("A batch that it cannot hold is refused by a ValueError", case):
            contract.refused(lambda: memory.check(10**7), "by `check(10_000_000)`")
        with contract.rule("Its length is the number of timesteps in it", case):
            most = latest + self.count  # where each environment has as much room as the others
            contract.expect(0 < len(memory) <= most, f"1 to {most}", len(memory))
            contract.equal(memory.has_any, True, "`has_any`")
        self.check_elements(latest)
        self.check_restored()
        with contract.rule("Elements are made when they are asked for, of what is in the memory then", case):
            waiting = self.elements()
            next(waiting)
            self.fill(_TURNS)
            self.check_rows(next(waiting), latest)
        with contract.rule("`clear` forgets everything", case):
            memory.clear()
            contract.equal([len(memory), memory.has_any], [0, False], "len and `has_any`")
            self.fill(_TURNS)
            self.check_rows(next(self.elements()), latest)

    def fill(self, turns: int, memory: Any = None) -> None:
        """Appends so many steps of all environments, then until a rollout is complete; one in ten rows is not valid."""
        memory = self.memory if memory is None else memory
        with self.contract.rule("It takes steps of all environments, for ever", self.case):
            for turn in itertools.count():
                full = memory.on_policy and memory.is_full
                if turn >= turns and full == memory.on_policy:
                    return
                if full:
                    memory.clear()
                self.append(memory)

    def append(self, memory: Memory) -> None:
        valid = self.random.random(self.count) < 0.9
        number = 1000 * np.arange(self.count) + self.times % 1000
        over = valid & (self.left == 1)
        terminated = over & (self.random.random(self.count) < 0.5)
        truncated = over & ~terminated
        discrete = self.action == "Discrete"
        action = (number % 4).astype(np.int32) if discrete else np.stack([number, -number], 1).astype(np.float32)
        mask = [_allowed(number)] if self.masked else None
        after = [_allowed(number + 1)] if self.masked else None
        wrong = np.where(valid, 0, -5000)  # no row that is not valid may be seen again
        memory.append_leaves(
            _observation(number + wrong), [action], (number + wrong).astype(np.float64), terminated, truncated,
            _observation(number + 0.5), valid, mask, after, _state(number + wrong) if self.masked else None,
        )  # fmt: skip
        for e in np.flatnonzero(valid):
            self.ends[int(number[e])] = bool(terminated[e]), bool(truncated[e])
            self.arrived[int(number[e])] = self.total
            self.total += 1
        self.times += valid
        self.left = np.where(over, self.random.integers(2, 9, self.count), self.left - valid)

    def elements(self, memory: Any = None, start: int = 0) -> Iterator[dict[str, Any]]:
        """What updates learn from, unpacked, from element number `start` on."""
        memory = self.memory if memory is None else memory
        if memory.on_policy:
            rule = Update(batch_size=4, epochs=1)
        elif memory.unit == "episodes":
            rule = Update(unit="episodes", batch_size=2, frequency=1, steps=1)
        else:
            rule = Update(batch_size=4, frequency=1, steps=1)
        for element in memory.elements(rule, 1, 5, start):
            found: dict[str, Any] = _numpy(memory.experience(element)[0])
            yield found

    def room(self) -> int:
        """Timesteps that fit in, over all environments."""
        capacity = getattr(self.memory, "capacity", None)
        if capacity is None:
            return int(getattr(self.memory, "steps")) * self.count  # noqa: B009  (of a rollout)
        return int(capacity)

    def check_elements(self, latest: int) -> None:
        contract, case = self.contract, self.case
        with contract.rule("Element n depends on the seed, n and the content alone", case):
            elements = list(itertools.islice(self.elements(), 4))
            contract.equal(list(itertools.islice(self.elements(), 4)), elements, "the same elements")
            later = list(itertools.islice(self.elements(start=2), 2))
            contract.equal(later, elements[2:], "elements from number 2 on")
        for element in elements:
            self.check_rows(element, latest)

    def check_rows(self, rows: dict[str, Any], latest: int) -> None:
        contract, case = self.contract, self.case
        with contract.rule("An element has what was appended, by name", case):
            names = ["observation", "action", "reward", "terminated", "truncated", "next_observation"]
            names += ["action_mask", "next_action_mask", "actor_state"] if self.masked else []
            contract.expect(set(names) <= set(rows), f"at least {names}", sorted(rows))
        lead = rows["reward"].shape
        valid = np.asarray(rows.get("valid", np.ones(lead)), bool)
        number = np.rint(rows["reward"]).astype(int)
        with contract.rule("What is drawn are whole transitions, and none that were not valid", case):
            contract.expect(valid.any(), "some", valid)
            contract.expect((number[valid] >= 0).all(), "rows that were valid", rows["reward"][valid])
            self.compare(rows, number, valid)
        with contract.rule("What is drawn are the newest timesteps that there is room for", case):
            whole = self.memory.unit == "episodes" or isinstance(self.memory, EpisodeMemory)
            slack = 10 * self.count if whole else 0  # open episodes lie beside the ring
            for each in number[valid].tolist():
                age, own = self.total - self.arrived[each], (self.times[each // 1000] - each % 1000) % 1000
                fits = age <= latest + slack or own <= -(-latest // self.count)
                contract.expect(fits, f"one of the latest {latest + slack}", f"one from {age} timesteps ago")
        if "valid" in rows:
            with contract.rule("Sequences are consecutive timesteps of one environment", case):
                both = valid[:-1] & valid[1:]
                follows = (number[1:] // 1000 == number[:-1] // 1000) & ((number[1:] - number[:-1]) % 1000 == 1)
                ended = np.asarray([self.ends.get(n, (True, True)) for n in number[:-1].ravel()]).any(1)
                contract.expect((follows | ~both | ended.reshape(both.shape)).all(), "k, k + 1, k + 2 ...", number)

    def compare(self, rows: Any, number: np.ndarray, valid: np.ndarray) -> None:
        place, gear, _, goal = _observation(number)
        after = _observation(number + 0.5)
        self.contract.equal(rows["observation"]["place"][valid], place[valid], "observation, by the reward")
        self.contract.equal(rows["observation"]["gear"][valid], gear[valid], "observation, by the reward")
        self.contract.equal(rows["observation"]["desired_goal"][valid], goal[valid], "observation, by the reward")
        self.contract.equal(
            rows["next_observation"]["place"][valid], after[0][valid], "next_observation, by the reward"
        )
        wanted = number % 4 if self.action == "Discrete" else np.stack([number, -number], -1)
        self.contract.equal(rows["action"][valid], wanted[valid].astype(rows["action"].dtype), "action, by the reward")
        ends = np.asarray([self.ends.get(n, (False, False)) for n in number[valid].tolist()]).reshape(-1, 2)
        self.contract.equal(rows["terminated"][valid], ends[:, 0], "terminated, by the reward")
        truncated = rows["truncated"][valid]
        self.contract.expect(truncated[ends[:, 1]].all(), "True where it was appended so", truncated)
        if self.masked:
            self.contract.equal(rows["action_mask"][0][valid], _allowed(number)[valid], "action_mask, by the reward")
            self.contract.equal(rows["next_action_mask"][0][valid], _allowed(number + 1)[valid], "next_action_mask")
            for found, part in zip(rows["actor_state"], _state(number)):
                self.contract.equal(found[valid], part[valid].astype(found.dtype), "actor_state, by the reward")

    def check_restored(self) -> None:
        contract, case = self.contract, self.case
        with contract.rule("`state` and `restore` bring everything back to the bit", case):
            state = {name: np.array(value) for name, value in self.memory.state().items()}
            other = self.built()
            other.restore(state)
            contract.equal(dict(other.state()), state, "state")
            contract.equal(len(other), len(self.memory), "len")
            contract.equal(next(self.elements(other)), next(self.elements()), "what is drawn")
        with contract.rule("A restored memory goes on as the saved one", case):
            before = self.random.bit_generator.state, self.times.copy(), self.left.copy(), self.total
            self.fill(50)
            self.random.bit_generator.state, self.times, self.left, self.total = before
            self.fill(50, other)
            contract.equal(dict(other.state()), dict(self.memory.state()), "state after further steps")


def _check_config(contract: Contract, make: Any) -> None:
    with contract.rule("The configuration comes back from JSON"):
        memory = make()
        config = MEMORIES.serialize(memory)
        again = memories.get(json.loads(json.dumps(config)))
        contract.equal(type(again).__name__, type(memory).__name__, "its class")
        contract.equal(MEMORIES.serialize(again), config, "its configuration")


def _check_single(contract: Contract, make: Any) -> None:
    with contract.rule("`append` takes a transition as the environment has it"):
        one, other = make(), make()
        for memory in (one, other):
            memory.build(OBSERVATION, ACTIONS["Discrete"])
        for k in range(5):
            before, after = (_single(n) for n in (k, k + 0.5))
            one.append(before, 1 + k % 4, float(k), k == 4, False, after)
            number = np.asarray([k])
            flags = np.asarray([k == 4]), np.asarray([False])
            action = (number % 4).astype(np.int32)
            other.append_leaves(
                _observation(number), [action], number.astype(float), *flags, _observation(number + 0.5)
            )
        contract.equal(dict(one.state()), dict(other.state()), "state")


def _observation(number: np.ndarray) -> list[np.ndarray]:
    place = np.stack([number, -number], -1).astype(np.float32)
    return [place, (number.astype(int) % 5).astype(np.int32), place, -place]


def _single(number: float) -> dict[str, Any]:
    place = np.asarray([number, -number], np.float32)
    return {"place": place, "gear": 2 + int(number) % 5, "achieved_goal": place, "desired_goal": -place}


def _state(number: np.ndarray) -> list[np.ndarray]:
    return [np.stack([number + 0.25, -number], -1).astype(np.float32), number.astype(np.int64)]


def _allowed(number: np.ndarray) -> np.ndarray:
    values = np.arange(4)
    return np.asarray((values == number[..., None] % 4) | (values == number[..., None] // 4 % 4))


def _numpy(element: Any) -> Any:
    return tf.nest.map_structure(lambda x: x.numpy() if hasattr(x, "numpy") else x, element)
