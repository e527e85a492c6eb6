"""The collector of a compiled environment: timesteps as a function of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent.environments.compiled import CompiledEnv
from kagent.environments.compiled.environment import chosen
from kagent.learning.device import device_of, device_scope
from kagent.memories import Recent, RecentEpisodes
from kagent.policies.greedy_actions import as_declared
from kagent.policies.role import observed_masks
from kagent.schedules import Clock
from kagent.training.collector import Episode, NextSeed
from kagent.training.compiled.actor import CompiledActor
from kagent.training.compiled.preprocessing import CompiledPreprocessing
from kagent.training.compiled.variables import ProgramVariable

_ROWS = ("lengths", "returns")  # of `state()`: a number of each environment
_GROUPS = ("program", "actor", "seen", "sums", *_ROWS)
Time = Callable[[Any], Clock]


class Plan(NamedTuple):
    """What one call of the program does.

    Attributes:
        iterations: Times that it collects and learns.
        first: Timesteps of each environment that it collects in the first of them.
        rest: Such timesteps that it collects behind the last of them.
    """

    iterations: int
    first: int
    rest: int


class Carried(NamedTuple):
    """What the program carries from timestep to timestep.

    Attributes:
        parts: Of the environments' states.
        actor_state: States of the agent's recurrent networks, and noise that stays, float32 `(N, size)` each; see `CompiledActor`.
        seen: Observations as `preprocessing` has made them; none without one.
        sums: Discounted sums of rewards that `preprocessing` keeps, float64 `(N,)` each.
        statistics: Of `preprocessing`.
        lengths, returns: Of the open episodes, int32 and float32 `(N,)`.
        row: Steps of the environments side by side in this call, int32.
        timesteps: Of all of them in this call, float64.
        episodes: That have ended in this call, float64.
        ends: By timestep of this call and environment, `(rows, 2, N)`: length and return of the episode that ended there, else 0.
        experience: What a memory of the program holds, or `()`.
    """

    parts: Any
    actor_state: Any
    seen: Any
    sums: Any
    statistics: Any
    lengths: tf.Tensor
    returns: tf.Tensor
    row: tf.Tensor
    timesteps: tf.Tensor
    episodes: tf.Tensor
    ends: tf.Tensor
    experience: Any = ()


class CompiledCollector:
    """Walks the environments of a program with an agent's policy. It holds the environments' states, on the agent's device.

    Args:
        agent: Whose policy acts.
        env: The environments.

    Attributes:
        device: Where the program runs: where the policy is.
        count: Environments side by side.
        steps: Timesteps of each of them from one update to the next.
        timesteps: Those of all of them.
        gradient_steps: Of an update.
        rows: Timesteps of each environment in one call, at most.
        lengths: Timesteps of every open episode, `(N,)`.
    """

    in_program = True
    records_returns = False
    learns_always = True  # in every call
    keeps_log_prob = False  # of the actions

    def __init__(self, agent: Any, env: CompiledEnv):
        self.env, self.count, self._agent = env, env.num_envs, agent
        self.device = device_of(agent)
        self.steps = collected_steps(agent, env)
        self.timesteps = self.steps * self.count
        self.gradient_steps, self.rows = 1, self.steps * agent.steps_per_execution
        self._limit = limit_of(agent, env)
        self._actor = CompiledActor(agent)
        made = agent.preprocessing
        self._preprocessing = None if made is None else CompiledPreprocessing(made)
        self._nest: Any = None  # of a state
        self._variables: dict[str, list[ProgramVariable]] = {}  # of open episodes, by what they are in `state()`
        self._ends: Any = None  # of the last call
        self._moved: Any = None  # timesteps when target networks moved last

    # On the host -----------------------------------------------------------------------------------------------

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> Sequence[int]:
        """Begins new episodes, or goes on with those of `state`, as `Collector.start` does."""
        lost: list[int] = []
        if state is None:
            values = self._begun(next_seed())
        else:
            values = {name: [state[name]] if name in _ROWS else state.get(name, []) for name in _GROUPS}
            self._nest = self.env.initial(tf.constant([0, 0], tf.int64), self.count)
            if not self._fits(values):
                lost, values = list(range(self.count)), self._begun(next_seed())
        if not self._variables:
            with device_scope(self.device):
                self._variables = {name: [ProgramVariable(value) for value in group] for name, group in values.items()}
                self._ends = ProgramVariable(tf.zeros((self.rows, 2, self.count)))
                self._moved = ProgramVariable(tf.constant(0, tf.int64))
        for name, group in values.items():
            for variable, value in zip(self._variables[name], group):
                variable.assign(value)
        if self._preprocessing is not None:
            with device_scope(self.device):
                self._preprocessing.load()
        return lost

    def _begun(self, seed: int) -> dict[str, list[np.ndarray]]:
        # New episodes.
        self._nest = state = self.env.initial(tf.constant([seed, 0], tf.int64), self.count)
        made, seen, sums = self._preprocessing, [], 0
        if made is not None:
            seen, sums = made.first(self._agent._adapter.stored(self.env.observation(state))), made.sums
        return {
            "program": [part.numpy() for part in tf.nest.flatten(state)],
            "actor": [np.zeros((self.count, size), np.float32) for size in self._actor.carried],
            "seen": seen,
            "sums": [np.zeros(self.count) for _ in range(sums)],
            "lengths": [np.zeros(self.count, np.int32)],
            "returns": [np.zeros(self.count, np.float32)],
        }

    def _fits(self, values: dict[str, list[Any]]) -> bool:
        # Whether open episodes are those of such environments and such an agent.
        made, count = self._preprocessing, self.count
        signature: dict[str, list[tuple[tuple[int, ...], Any]]] = {
            "program": [(tuple(part.shape), part.dtype.as_numpy_dtype) for part in tf.nest.flatten(self._nest)],
            "actor": [((count, size), np.float32) for size in self._actor.carried],
            "seen": [],
            "sums": [],
            "lengths": [((count,), np.int32)],
            "returns": [((count,), np.float32)],
        }
        if made is not None:
            leaves = self._agent._observation.leaves
            signature["seen"] = [((count, *leaf.shape), leaf.stored_dtype) for leaf in leaves]
            signature["sums"] = [((count,), np.float64)] * made.sums
        return all(
            len(values[name]) == len(expected)
            and all(
                array.shape == shape and array.dtype == dtype for array, (shape, dtype) in zip(values[name], expected)
            )
            for name, expected in signature.items()
        )

    def state(self) -> dict[str, Any] | None:
        """The open episodes, for `start`; None before the first."""
        if not self._variables:
            return None
        found = {name: [variable.numpy() for variable in group] for name, group in self._variables.items()}
        return {name: group[0] if name in _ROWS else group for name, group in found.items() if group}

    @property
    def lengths(self) -> np.ndarray:
        return self._variables["lengths"][0].numpy()  # type: ignore[no-any-return]

    def ended(self) -> list[tuple[int, Episode]]:
        """Of every episode that the last call of the program ended, in order, the index of its environment, and what it was.

        Raises:
            ValueError: A reward was not finite.
        """
        lengths, returns = np.moveaxis(self._ends.numpy(), 1, 0)
        places = np.nonzero(lengths)
        if not np.isfinite(returns).all():
            raise ValueError(
                f"`{type(self.env).__name__}.reward` must return finite numbers. Received: {returns[places]}"
            )
        found = lengths[places].astype(np.int64).tolist(), returns[places].tolist()
        return [(env, Episode(total, length)) for env, length, total in zip(places[-1].tolist(), *found)]

    @property
    def targets_moved(self) -> int:
        """Timesteps when target networks moved last, where they go by timesteps."""
        return int(self._moved.numpy())

    def load(self) -> None:
        """Takes what the agent's memory holds. Of a rollout, it is what the environments before have left: nothing."""

    def give_back(self) -> None:
        """Brings the agent's memory up to date."""

    def taken(self, plan: Plan) -> int:
        """Timesteps of all environments in a call."""
        collected = plan.first + (plan.iterations - 1) * self.steps if plan.iterations else 0
        return (collected + plan.rest) * self.count

    def plan(self, end: float, gradient_steps: float) -> Plan:
        """What the next call does, up to these bounds or beyond them by less than an update.

        Args:
            end: Timesteps at which it ends.
            gradient_steps: To take at most.
        """
        most = min((end - self._agent.timesteps) / self.timesteps, gradient_steps / self.gradient_steps)
        return Plan(max(1, math.ceil(min(most, self._agent.steps_per_execution))), self.steps, 0)

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> Carried:
        """What is carried, at the beginning of a call."""
        groups = {name: [variable.read_value() for variable in group] for name, group in self._variables.items()}
        nothing = tf.constant(0.0, tf.float64)
        return Carried(
            groups["program"], groups["actor"], groups["seen"], groups["sums"],
            () if self._preprocessing is None else self._preprocessing.begin(), groups["lengths"][0], groups["returns"][0],
            tf.constant(0), nothing, nothing, tf.zeros((self.rows, 2, self.count)),
        )  # fmt: skip

    def keep_moved(self, moved: tf.Tensor) -> None:
        """Keeps when target networks moved last, at the end of a call."""
        self._moved.assign(moved)

    def finish(self, carried: Carried) -> None:
        """Keeps what is carried, at the end of a call."""
        groups = {
            "program": carried.parts, "actor": carried.actor_state, "seen": carried.seen, "sums": carried.sums,
            "lengths": [carried.lengths], "returns": [carried.returns],
        }  # fmt: skip
        for name, group in groups.items():
            for variable, value in zip(self._variables[name], group):
                variable.assign(value)
        if self._preprocessing is not None:
            self._preprocessing.finish(carried.statistics)
        self._ends.assign(carried.ends)

    def collect(self, carried: Carried, steps: Any, seeds: tf.Tensor, time: Time) -> tuple[Carried, dict[str, Any]]:
        """Timesteps of all environments, up to the next update.

        Args:
            carried: What is carried.
            steps: How many, an int32 scalar. Here it is always `self.steps`.
            seeds: int64 `(2,)`: of all draws, and the number of this update's element.
            time: From what is carried to the time. What is drawn at a timestep is a function of the seed and of its time.

        Returns:
            What is carried further, and what the update learns from: `experience` and `indices` as memories have them.
        """
        raise NotImplementedError

    def learned(self, carried: Carried, found: dict[str, Any], errors: tf.Tensor) -> Carried:
        """Takes the absolute errors of the samples, float32 `(K, B)`, that `collect` found for a prioritized memory."""
        return carried

    def skip(self, carried: Carried, steps: Any, seed: tf.Tensor, time: Time) -> Carried:
        """As `collect`, of timesteps from which nothing is learned in this call. A rollout has none."""
        return carried

    def after_call(self, plan: Plan) -> None:
        """Called when a call is over."""
        if self._preprocessing is not None:
            self._preprocessing.give_back()

    def advance(
        self, carried: Carried, seed: tf.Tensor, time: Time, going: tf.Tensor | None = None
    ) -> tuple[Carried, dict[str, tf.Tensor]]:
        """One timestep of all environments: what is carried further, but for its `ends`, and the timestep as columns of memories; with
        them `ends`, as a row of `Carried.ends`.

        Args:
            carried, seed, time: As of `collect`.
            going: bool `(N,)`: environments that make a timestep; the others stay as they are. None: all do.
        """
        agent, env, n = self._agent, self.env, self.count
        every = tf.ones((n,), tf.bool) if going is None else going
        clock = time(carried)
        draw = tf.cast(clock.timesteps, tf.int64)
        seeds = [tf.stack([seed + purpose, draw]) for purpose in (1, 2, 3)]  # `seed` itself is that of samples
        state = tf.nest.pack_sequence_as(self._nest, carried.parts)
        made, statistics = self._preprocessing, carried.statistics
        seen = agent._adapter.stored(env.observation(state)) if made is None else carried.seen
        masks = observed_masks(agent._observation, agent._action, seen)
        canonical, actor_state = self._actor.decide(seen, masks, clock, seeds[0], carried.actor_state)
        declared = zip(agent._action.leaves, agent.policy.joint.to_env(canonical))
        action = agent._action.unflatten([tf.cast(as_declared(leaf, part), leaf.dtype) for leaf, part in declared])
        following = env.transition(state, action, seeds[1])
        reward, terminated = env.reward(state, action, following), env.terminal(following)
        then = agent._adapter.stored(env.observation(following))
        lengths, returns = carried.lengths + 1, carried.returns + reward
        truncated = tf.zeros((n,), tf.bool) if self._limit is None else lengths >= self._limit
        ended = (terminated | truncated) & every
        ends = tf.where(ended, tf.stack([tf.cast(lengths, tf.float32), returns]), 0.0)
        begun = chosen(ended, env.initial(seeds[2], n), following)
        sums, shown = carried.sums, carried.seen
        if made is not None:
            # Observations and rewards are taken in when they come, and then those that new episodes begin with.
            statistics, then = made.observe(statistics, then, every, clock)
            statistics, sums, reward = made.reward(statistics, sums, reward, every, clock)
            first = agent._adapter.stored(env.observation(begun))
            statistics, first = made.observe(statistics, first, ended, clock)
            shown, sums = chosen(ended, first, then), [tf.where(ended, tf.zeros_like(part), part) for part in sums]
        columns = {"reward": reward, "terminated": terminated, "truncated": truncated, "ends": ends}
        if self.keeps_log_prob:
            columns["log_prob"] = self._actor.log_prob(seen, masks, canonical)
        groups = {
            "observation": seen,
            "next_observation": then,
            "action": canonical,
            "actor_state": carried.actor_state[: len(self._actor.sizes)],  # what losses need
        }
        for group, leaves in groups.items():
            columns |= {f"{group}.{i}": leaf for i, leaf in enumerate(leaves)}
        if masks is not None:
            later = observed_masks(agent._observation, agent._action, then) or []
            # Behind a terminal state all is allowed, as everywhere.
            allowed = [None if mask is None else mask | terminated[:, tf.newaxis] for mask in later]
            for group, given in (("action_mask", masks), ("next_action_mask", allowed)):
                columns |= {f"{group}.{i}": mask for i, mask in enumerate(given) if mask is not None}
        after = carried._replace(
            parts=tf.nest.flatten(begun),
            seen=shown,
            sums=sums,
            statistics=statistics,
            actor_state=[tf.where(ended[:, tf.newaxis], 0.0, part) for part in actor_state],
            lengths=tf.where(ended, 0, lengths),
            returns=tf.where(ended, 0.0, returns),
            row=carried.row + 1,
            timesteps=carried.timesteps + tf.cast(tf.math.count_nonzero(every), tf.float64),
            episodes=carried.episodes + tf.cast(tf.math.count_nonzero(ended), tf.float64),
        )
        if going is not None:
            fields = ("parts", "actor_state", "seen", "sums", "lengths", "returns")
            kept = {name: chosen(going, getattr(after, name), getattr(carried, name)) for name in fields}
            after = after._replace(**kept)
        return after, columns

    def masked(self) -> list[Any]:
        """Shapes of the masks of each action leaf, None where there is none; empty: there are no masks."""
        agent = self._agent
        seen = [tf.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
        masks = observed_masks(agent._observation, agent._action, seen) or []
        return [None if mask is None else mask.shape[1] for mask in masks]


def limit_of(agent: Any, env: CompiledEnv) -> int | None:
    """Timesteps at which an episode is truncated; None: it is not."""
    limits = [limit for limit in (agent.max_episode_timesteps, env.max_episode_steps) if limit is not None]
    return min(limits, default=None)


def collected_steps(agent: Any, env: CompiledEnv) -> int:
    """Timesteps of each environment from one update of an agent to the next; of agents that learn from episodes, at most."""
    rule, memory, count = agent.update_rule, agent.memory, env.num_envs
    if memory.on_policy:
        return int(memory.steps)
    if isinstance(memory, RecentEpisodes):
        return limit_of(agent, env) or 1
    return -(-rule.batch_size // count) if isinstance(memory, Recent) else int(rule.period) // count
