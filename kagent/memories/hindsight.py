"""Hindsight experience replay: transitions learned from as if the goal had been one that was achieved later."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import schedules
from kagent.config.checks import check_count
from kagent.environments.checks import INFINITE
from kagent.environments.goals import REWARD, TERMINATED, GoalFunction, goal_leaves, method_of
from kagent.memories.columns import portable
from kagent.memories.episodes import EpisodeMemory
from kagent.memories.host_iterator import HostBatches, generator_of
from kagent.memories.memory import MEMORIES
from kagent.memories.pipeline import pipeline
from kagent.memories.transition import Transition
from kagent.schedules import Clock

STRATEGIES = ("future", "final", "episode")
_ENDS = ("terminated", "truncated")
_MISMATCHES = 0.1  # part of an episode's rewards that may differ from `compute_reward`, by rounding at a threshold


@MEMORIES.register("her", "hindsight_replay", "hindsight_experience_replay")
class Hindsight(EpisodeMemory):
    """A ring of the latest complete episodes, of which single transitions are drawn, most of them with another goal
    (Andrychowicz et al. 2017, "Hindsight Experience Replay", arXiv:1707.01495).

    For observations that are a `Dict` with `achieved_goal` and `desired_goal`, and environments with
    `compute_reward(achieved_goal, desired_goal, info)`. Of `n_sampled_goals + 1` transitions all but one get, on average, a goal
    that was achieved in their episode in place of the one that was desired, and the reward of that goal; the others are as they
    were. An agent thus learns from episodes that failed.

    Goals are exchanged when transitions are drawn, not when they are stored: each draw takes another goal, a transition takes
    one row, and `capacity` counts timesteps of the environment. The price is a call of `compute_reward` in each draw, with all
    rows together where the environment's takes them (`kagent.environments.goals.GoalFunction` decides that once).

    An episode is drawn from once it has ended. One that is interrupted (another `fit` begins a new one), or is longer than the
    capacity, is kept in parts: goals come from the same part.

    Where the reward estimation has a horizon, a window goes on for so many timesteps of the episode, or to the first one that
    ends under the goal of the draw, all of whose rewards are of that goal. A horizon or discount that is a schedule has the value
    of the time of the draw.

    A timestep ends under another goal where `compute_terminated` says so; without that method, where it ended. `truncated` stays
    as it was. Infos are not kept: `info` is an empty dict. Goals are those that the environment gives, rounded to float32:
    `preprocessing` may have layers for other states, whose statistics take in what came and not what is drawn, and for rewards
    functions of single ones, which the rewards of other goals go through, too.

    Args:
        capacity: Timesteps kept in complete episodes. None: its agent infers it; see `required_capacity`.
        strategy: Where a goal was achieved: "future": by a uniformly drawn timestep of the episode, this one or later;
            "final": by its last one; "episode": by any one of it.
        n_sampled_goals: Transitions with another goal for each one with its own, an integer >= 0; 0: none.
        saved: Whether weights files carry its content, open episodes included, so that training resumes exactly.
        compute_reward, compute_terminated: Functions `(achieved_goal, desired_goal, info)` in place of the environment's own:
            for environments out of reach, as in an `AsyncVectorEnv`, and for updates without `fit`. Not part of the
            configuration: a loaded agent takes those of the environment of its `fit`, or gets them as attributes again.
        directory: Where complete episodes are in files, as of `Replay`; None: they are in memory.

    Raises:
        ValueError, TypeError: An argument outside its range; later, observations without goals, or preprocessing of goals, by the
            agent's constructor; an environment without `compute_reward`, by `fit` before its first timestep.

    Example:

    >>> from gymnasium import spaces
    >>> place = spaces.Box(-1, 1, (1,))
    >>> memory = Hindsight(100, strategy="final", compute_reward=lambda achieved, goal, info: (achieved == goal).all(-1))
    >>> memory.build(spaces.Dict(achieved_goal=place, desired_goal=place), spaces.Discrete(2))
    >>> before, after = ({"achieved_goal": [x], "desired_goal": [1.0]} for x in (0.0, 0.5))
    >>> memory.append(before, 0, 0.0, False, True, after)
    >>> batch = next(iter(memory.dataset(batch_size=64)))
    >>> set(zip(batch["observation"]["desired_goal"].numpy()[:, 0].tolist(), batch["reward"].numpy().tolist())) == {
    ...     (1.0, 0.0), (0.5, 1.0)}
    True
    """

    unit = "timesteps"
    consecutive = False
    substitutes = ("Replay",)

    def __init__(
        self,
        capacity: int | None = None,
        strategy: str = "future",
        n_sampled_goals: int = 4,
        saved: bool = True,
        compute_reward: Callable[..., Any] | None = None,
        compute_terminated: Callable[..., Any] | None = None,
        directory: str | os.PathLike[str] | None = None,
    ):
        super().__init__(capacity, saved, directory)
        if strategy not in STRATEGIES:
            raise ValueError(f"`memory.strategy` must be one of {', '.join(STRATEGIES)}. Received: {strategy!r}")
        self.strategy = strategy
        self.n_sampled_goals = check_count(n_sampled_goals, "memory.n_sampled_goals", least=0)
        self._functions: dict[str, GoalFunction | None] = {REWARD: None, TERMINATED: None}  # given as arguments
        self._found: dict[str, GoalFunction | None] = {REWARD: None, TERMINATED: None}  # of the environment
        self.compute_reward, self.compute_terminated = compute_reward, compute_terminated
        self._estimation: Any = None
        self._clock: Any = None
        self._preprocessing: Any = None
        self._compared = False

    def get_part(self) -> dict[str, Any]:
        return {
            "type": "Hindsight", "capacity": self.capacity, "strategy": self.strategy,
            "n_sampled_goals": self.n_sampled_goals, "saved": self.saved,
        }  # fmt: skip

    @property
    def compute_reward(self) -> Callable[..., Any] | None:
        """The function that takes the place of the environment's, or None."""
        return self._given(REWARD)

    @compute_reward.setter
    def compute_reward(self, function: Callable[..., Any] | None) -> None:
        self._functions[REWARD] = None if function is None else GoalFunction(function, f"memory.{REWARD}")

    @property
    def compute_terminated(self) -> Callable[..., Any] | None:
        """The function that takes the place of the environment's, or None."""
        return self._given(TERMINATED)

    @compute_terminated.setter
    def compute_terminated(self, function: Callable[..., Any] | None) -> None:
        self._functions[TERMINATED] = None if function is None else GoalFunction(function, f"memory.{TERMINATED}")

    def _given(self, name: str) -> Callable[..., Any] | None:
        found = self._functions[name]
        return None if found is None else found.function

    # What its agent calls -------------------------------------------------------------------------------------------

    def check_agent(self, agent: Any) -> None:
        goals, made = goal_leaves(agent._observation), agent.preprocessing
        self._preprocessing = made
        if made is None:
            return
        changed = [agent._observation.leaves[i].name for i in goals if made.pipelines[i] is not None]
        if changed:
            raise ValueError(
                f"`preprocessing` (and `normalize` of observations) must leave goals as they are, because `memory` Hindsight computes "
                f"the rewards of goals as the environment has them. Received: {made.get_config()}, which changes "
                f"{' and '.join(map(str, changed))}. Allowed: layers for other states by name, such as "
                "preprocessing={'observation': 'running_normalization'}; layers of the networks may scale goals"
            )
        if not made.maps_rewards:
            raise ValueError(
                "`preprocessing['reward']` (and `normalize` of rewards) must be a function of single rewards with `memory` Hindsight, "
                "which computes the rewards of other goals when it draws them. "
                f"Received: {made.get_config()['reward']}. Allowed: layers that learn and remember nothing, such as 'clipping'"
            )

    def configure(self, rule: Any, estimation: Any, clock: Any) -> None:
        super().configure(rule, estimation, clock)
        self.check(rule.batch_size)
        if rule.steps is None:
            raise ValueError(f"A replay memory needs update.steps. Received: {rule}")
        if estimation.estimate_horizon == "early":
            raise ValueError(
                "`reward_estimation.estimate_horizon` must be False, 'late' or None with a Hindsight memory: values of when the "
                "experience was stored are those of another goal. Received: 'early'"
            )
        self._estimation, self._clock = estimation, clock

    def use_environments(self, environments: Any) -> None:
        self._compared = False
        for name in (REWARD, TERMINATED):
            own = method_of(environments, name)
            self._found[name] = None if own is None else GoalFunction(own, name)
        if self.n_sampled_goals and self._function(REWARD) is None:
            raise ValueError(
                f"`memory` Hindsight needs the environment's `{REWARD}(achieved_goal, desired_goal, info)`, a method of "
                "`env.unwrapped`, for the rewards of other goals (one in the workers of an AsyncVectorEnv is out of reach: give "
                f"`memory.{REWARD}`). Received: {environments.sources[0] if environments.sources else environments}"
            )

    def _function(self, name: str) -> GoalFunction | None:
        # A reward of one's own and an end of the environment's would not go together.
        return self._functions[name] if self._functions[REWARD] is not None else self._found[name]

    # Episodes -------------------------------------------------------------------------------------------------------

    def build(self, *args: Any, **kwargs: Any) -> None:
        super().build(*args, **kwargs)
        self._achieved, self._desired = goal_leaves(self.observation)

    def clear(self) -> None:
        super().clear()
        rows = self.known_capacity
        self._later, self._before = np.zeros(rows, np.int32), np.zeros(rows, np.int32)  # timesteps of the same episode

    def cut_episodes(self, environments: Any) -> None:
        """Ends the open episodes of these environments here; see `Memory.cut_episodes`."""
        for index in environments:
            if self.positions[index]:
                self._finish(int(index))

    def append_step(self, step: Transition) -> None:
        """One timestep of every environment; rows where `valid` is False are dropped."""
        if self.positions.max() >= self.known_capacity:
            self.cut_episodes(np.flatnonzero(self.positions >= self.known_capacity))
        super().append_step(step)

    def _finish(self, index: int) -> None:
        begin, length = self.total, int(self.positions[index])
        super()._finish(index)
        self._note(begin, length)
        if not self._compared and self._function(REWARD) is not None:
            self._compare(np.arange(begin, begin + length) % self.known_capacity)

    def _note(self, begin: int, length: int) -> None:
        rows = np.arange(begin, begin + length) % self.known_capacity
        self._before[rows] = np.arange(length)
        self._later[rows] = np.arange(length)[::-1]

    def _compare(self, rows: np.ndarray) -> None:
        # Once in a run: whether the rewards that came are those of the function.
        self._compared = True
        views = self.storage.views
        desired = self.observation.leaves[self._desired].decode(views[f"next_observation.{self._desired}"][rows])
        computed = self._learned(self._function(REWARD)(self._goals(rows), desired))  # type: ignore[misc]
        reward = views["reward"][rows]
        wrong = ~np.isclose(computed, reward, rtol=1e-4, atol=1e-4)
        if wrong.mean() > _MISMATCHES:
            first = int(np.argmax(wrong))
            warnings.warn(
                f"The rewards that the environment gives are not those of its `{REWARD}`: {reward[first]:g} came where that gives "
                f"{computed[first]:g}. A wrapper changes rewards, or the function needs more than goals. `memory` Hindsight "
                "mixes both kinds",
                stacklevel=6,
            )

    @property
    def _stored(self) -> int:
        return self.total - self.episodes[0][0] if self.episodes else 0

    def __len__(self) -> int:
        return self._stored if self.built else 0

    def is_ready(self, rule: Any) -> bool:
        arrived = self.total + int(self.positions.sum())
        return self.has_any and arrived >= min(int(rule.first), self.known_capacity)

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        for begin, length in self.episodes:
            self._note(begin, length)

    # Draws ----------------------------------------------------------------------------------------------------------

    @property
    def _is_windowed(self) -> bool:
        return self._estimation is not None and self._estimation.horizon != 0

    def _goals(self, rows: np.ndarray) -> np.ndarray:
        # What was achieved by these timesteps, as the environment had it.
        leaf = self.observation.leaves[self._achieved]
        return leaf.decode(self.storage.views[f"next_observation.{self._achieved}"][rows])

    def _element(self, batch_size: int, steps: int, seed: int, number: int) -> dict[str, np.ndarray]:
        generator, count = generator_of(seed, number), batch_size * steps
        begin = self.episodes[0][0]
        first = begin + generator.integers(self._stored, size=count)
        exchanged = generator.random(count) < self.n_sampled_goals / (self.n_sampled_goals + 1)
        goals = self._goals(self._achieved_at(first, generator) % self.known_capacity)
        rows, limit = self._windows(first)
        reward = self.storage.views["reward"][rows].astype(np.float64)
        ended = self.storage.views["terminated"][rows] != 0
        if exchanged.any():
            self._exchange(rows[exchanged], limit[exchanged], goals[exchanged], exchanged, reward, ended)
        offsets = np.arange(rows.shape[1])
        ended &= offsets <= limit[:, None]
        length = np.where(ended.any(1), ended.argmax(1), limit) + 1  # of each window
        last = rows[np.arange(count), length - 1]
        blocks = self._merged(rows[:, 0], last)
        self.storage.put(blocks, "terminated", ended[np.arange(count), length - 1])
        found = {}
        if self._is_windowed:
            discount = float(self._now(self._estimation.discount))
            weights = np.where(offsets < length[:, None], discount**offsets, 0.0)
            reward = (weights * reward).sum(1)
            found["discount"] = (discount**length).astype(np.float32).reshape(steps, batch_size)
            if not (np.abs(reward) < INFINITE).all():
                raise ValueError(
                    "The discounted sum of rewards over reward_estimation.horizon is not finite as float32. "
                    f"Received: {reward[np.argmax(np.abs(reward))]}"
                )
        self.storage.put(blocks, "reward", reward.reshape(count, -1)[:, 0])
        encoded = self.observation.leaves[self._desired].encode(goals[exchanged])
        for column in ("observation", "next_observation"):
            self.storage.put(blocks, f"{column}.{self._desired}", encoded, exchanged)
        return {n: b.reshape(steps, batch_size, *b.shape[1:]) for n, b in blocks.items()} | found

    def _achieved_at(self, first: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        # Numbers of the timesteps that achieved the goals.
        rows = first % self.known_capacity
        ahead, behind = self._later[rows].astype(np.int64), self._before[rows].astype(np.int64)
        least = {"future": first, "final": first + ahead, "episode": first - behind}[self.strategy]
        numbers: np.ndarray = generator.integers(least, first + ahead + 1)
        return numbers

    def _windows(self, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Rows of the timesteps from each one on, the last one of its episode again and again; and how many follow it.
        ahead = self._later[first % self.known_capacity].astype(np.int64)
        horizon = self._now(self._estimation.horizon) if self._is_windowed else 0
        limit = ahead if horizon == "episode" else np.minimum(ahead, int(horizon))
        offsets = np.arange(int(limit.max()) + 1)
        return (first[:, None] + np.minimum(offsets, limit[:, None])) % self.known_capacity, limit

    def _exchange(
        self, rows: np.ndarray, limit: np.ndarray, goals: np.ndarray, exchanged: np.ndarray, reward: Any, ended: Any
    ) -> None:
        # Writes rewards and ends of other goals.
        compute, terminated = self._function(REWARD), self._function(TERMINATED)
        if compute is None:
            raise ValueError(
                f"`memory.{REWARD}` is needed, a function (achieved_goal, desired_goal, info): the agent was in no environment yet "
                "from whose `compute_reward` the rewards of other goals could come. Received: None"
            )
        kept = np.arange(rows.shape[1]) <= limit[:, None]
        achieved = self._goals(rows[kept])
        desired = np.repeat(goals, kept.sum(1), axis=0)
        place = np.flatnonzero(exchanged)[:, None] * rows.shape[1] + np.arange(rows.shape[1])
        reward.reshape(-1)[place[kept]] = self._learned(compute(achieved, desired))
        if terminated is not None:
            ended.reshape(-1)[place[kept]] = terminated(achieved, desired) != 0

    def _learned(self, reward: np.ndarray) -> np.ndarray:
        # As the agent sees it.
        return reward if self._preprocessing is None else self._preprocessing.mapped_rewards(reward)

    def _merged(self, first: np.ndarray, last: np.ndarray) -> dict[str, np.ndarray]:
        # Packed rows from the first timestep of each window to where its last one led.
        blocks = self.storage.take(first)
        if self._is_windowed:
            columns = [c.name for c in self._columns() if c.name.startswith("next_") or c.name in _ENDS]
            self.storage.join_ends(blocks, self.storage.take(last), columns)
        return blocks

    def _now(self, value: Any) -> Any:
        if not isinstance(value, schedules.Schedule):
            return value
        return schedules.evaluate(value, Clock() if self._clock is None else self._clock())

    def _element_spec(self, batch_size: int, steps: int) -> dict[str, tf.TensorSpec]:
        more = {"discount": tf.TensorSpec((steps, batch_size), tf.float32)} if self._is_windowed else {}
        return {**self.storage.specs((steps, batch_size)), **more}

    def elements(self, rule: Any, executions: int, seed: int, start: int) -> HostBatches:
        size, steps = rule.batch_size, rule.steps * executions
        return HostBatches(
            lambda number: self._element(size, steps, seed, number), start, self._element_spec(size, steps)
        )

    def experience(self, blocks: Mapping[str, tf.Tensor]) -> tuple[dict[str, Any], None]:
        """Packed element to `(K, B, ...)` transitions, each row of axis 0 one minibatch. Pure; runs in the learner."""
        found = self.nest(self.storage.unpack(blocks))
        return ({**found, "discount": blocks["discount"]} if "discount" in blocks else found), None

    def dataset(  # type: ignore[override]
        self, batch_size: int, steps: int | None = None, seed: int = 0, start: int = 0
    ) -> tf.data.Dataset:
        """An endless dataset of drawn transitions, read from the memory as it is at each draw.

        Arguments and elements are those of `Replay.dataset`.

        Raises:
            ValueError: `batch_size` is larger than the capacity, no episode has ended, or there is no `compute_reward`.
        """
        self.check(batch_size)
        if not self.has_any:
            raise ValueError(f"There must be {self.missing} before anything is drawn")

        def elements() -> Iterator[dict[str, np.ndarray]]:
            number = start
            while True:
                yield self._element(batch_size, steps or 1, seed, number)
                number += 1

        packed = tf.data.Dataset.from_generator(elements, output_signature=self._element_spec(batch_size, steps or 1))

        def unpack(blocks: Mapping[str, tf.Tensor]) -> dict[str, Any]:
            batch = portable(self.experience(blocks)[0])
            return batch if steps is not None else tf.nest.map_structure(lambda x: x[0], batch)

        return pipeline(packed, unpack)
