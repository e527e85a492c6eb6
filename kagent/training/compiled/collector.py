"""The collector of a compiled environment: timesteps as a function of tensors."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent.distributions.distribution import uniform
from kagent.environments.compiled import CompiledEnv
from kagent.environments.compiled.environment import chosen
from kagent.memories import Recent
from kagent.memories.columns import nested
from kagent.policies.greedy_actions import as_declared
from kagent.policies.role import observed_masks
from kagent.schedules import Clock
from kagent.training.collector import Episode, NextSeed
from kagent.training.compiled.actor import CompiledActor

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
        lengths, returns: Of the open episodes, int32 and float32 `(N,)`.
        row: Timesteps of each environment in this call, int32.
        episodes: That have ended in this call, float64.
        ends: By timestep of this call and environment, `(rows, 2, N)`: length and return of the episode that ended there, else 0.
        experience: What a memory of the program holds, or `()`.
    """

    parts: Any
    lengths: tf.Tensor
    returns: tf.Tensor
    row: tf.Tensor
    episodes: tf.Tensor
    ends: tf.Tensor
    experience: Any = ()


class CompiledCollector:
    """Walks the environments of a program with an agent's policy. It holds the environments' states, on the agent's device.

    Args:
        agent: Whose policy acts.
        env: The environments.

    Attributes:
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

    def __init__(self, agent: Any, env: CompiledEnv):
        self.env, self.count, self._agent = env, env.num_envs, agent
        self.steps = collected_steps(agent, self.count)
        self.timesteps = self.steps * self.count
        self.gradient_steps, self.rows = 1, self.steps * agent.steps_per_execution
        limits = [limit for limit in (agent.max_episode_timesteps, env.max_episode_steps) if limit is not None]
        self._limit = min(limits, default=None)
        self._actor = CompiledActor(agent)
        self._nest: Any = None  # of a state
        self._variables: list[tf.Variable] = []  # the state's parts, lengths and returns
        self._ends: Any = None  # of the last call
        self._moved: Any = None  # timesteps when target networks moved last

    # On the host -----------------------------------------------------------------------------------------------

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> Sequence[int]:
        """Begins new episodes, or goes on with those of `state`, as `Collector.start` does."""
        fresh = self.env.initial(tf.constant([0 if state else next_seed(), 0], tf.int64), self.count)
        zeros = [np.zeros(self.count, np.int32), np.zeros(self.count, np.float32)]
        if not self._variables:
            self._open(fresh, zeros)
        lost: list[int] = []
        values = [*tf.nest.flatten(fresh), *zeros]
        if state is not None:
            saved = [*state["program"], state["lengths"], state["returns"]]
            if self._fits(saved):
                values = [tf.constant(value) for value in saved]
            else:
                lost = list(range(self.count))
                begun = self.env.initial(tf.constant([next_seed(), 0], tf.int64), self.count)
                values = [*tf.nest.flatten(begun), *zeros]
        for variable, value in zip(self._variables, values):
            variable.assign(value)
        return lost

    def _open(self, state: Any, others: list[np.ndarray]) -> None:
        self._nest = state
        with tf.device(self._agent.device):
            self._variables = [tf.Variable(part, trainable=False) for part in [*tf.nest.flatten(state), *others]]
            self._ends = tf.Variable(tf.zeros((self.rows, 2, self.count)), trainable=False)
            self._moved = tf.Variable(tf.constant(0, tf.int64), trainable=False)

    def _fits(self, arrays: list[np.ndarray]) -> bool:
        if len(arrays) != len(self._variables):
            return False
        return all(
            array.shape == tuple(variable.shape) and array.dtype == variable.dtype.as_numpy_dtype
            for array, variable in zip(arrays, self._variables)
        )

    def state(self) -> dict[str, Any] | None:
        """The open episodes, for `start`; None before the first."""
        if not self._variables:
            return None
        *program, lengths, returns = (variable.numpy() for variable in self._variables)
        return {"program": program, "lengths": lengths, "returns": returns}

    @property
    def lengths(self) -> np.ndarray:
        return self._variables[-2].numpy()  # type: ignore[no-any-return]

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
        *parts, lengths, returns = (variable.read_value() for variable in self._variables)
        ends = tf.zeros((self.rows, 2, self.count))
        return Carried(parts, lengths, returns, tf.constant(0), tf.constant(0.0, tf.float64), ends)

    def keep_moved(self, moved: tf.Tensor) -> None:
        """Keeps when target networks moved last, at the end of a call."""
        self._moved.assign(moved)

    def finish(self, carried: Carried) -> None:
        """Keeps what is carried, at the end of a call."""
        for variable, value in zip(self._variables, [*carried.parts, carried.lengths, carried.returns]):
            variable.assign(value)
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

    def skip(self, carried: Carried, steps: Any, seed: tf.Tensor, time: Time) -> Carried:
        """As `collect`, of timesteps from which nothing is learned in this call. A rollout has none."""
        return carried

    def after_call(self, plan: Plan) -> None:
        """Called when a call is over."""

    def advance(self, carried: Carried, seed: tf.Tensor, time: Time) -> tuple[Carried, dict[str, tf.Tensor]]:
        """One timestep of all environments: what is carried further, but for its `ends`, and the timestep as columns of memories; with
        them `ends`, as a row of `Carried.ends`."""
        agent, env, n = self._agent, self.env, self.count
        clock = time(carried)
        draw = tf.cast(clock.timesteps, tf.int64)
        seeds = [tf.stack([seed + purpose, draw]) for purpose in (1, 2, 3)]  # `seed` itself is that of samples
        state = tf.nest.pack_sequence_as(self._nest, carried.parts)
        seen = agent._adapter.stored(env.observation(state))
        masks = observed_masks(agent._observation, agent._action, seen)
        canonical = self._actor.decide(seen, masks, clock, seeds[0])
        declared = zip(agent._action.leaves, agent.policy.joint.to_env(canonical))
        action = agent._action.unflatten([tf.cast(as_declared(leaf, part), leaf.dtype) for leaf, part in declared])
        following = env.transition(state, action, seeds[1])
        reward, terminated = env.reward(state, action, following), env.terminal(following)
        then = agent._adapter.stored(env.observation(following))
        lengths, returns = carried.lengths + 1, carried.returns + reward
        truncated = tf.zeros((n,), tf.bool) if self._limit is None else lengths >= self._limit
        ended = terminated | truncated
        ends = tf.where(ended, tf.stack([tf.cast(lengths, tf.float32), returns]), 0.0)
        columns = {"reward": reward, "terminated": terminated, "truncated": truncated, "ends": ends}
        for group, leaves in (("observation", seen), ("next_observation", then), ("action", canonical)):
            columns |= {f"{group}.{i}": leaf for i, leaf in enumerate(leaves)}
        if masks is not None:
            later = observed_masks(agent._observation, agent._action, then) or []
            # Behind a terminal state all is allowed, as everywhere.
            allowed = [None if mask is None else mask | terminated[:, tf.newaxis] for mask in later]
            for group, given in (("action_mask", masks), ("next_action_mask", allowed)):
                columns |= {f"{group}.{i}": mask for i, mask in enumerate(given) if mask is not None}
        after = carried._replace(
            parts=tf.nest.flatten(chosen(ended, env.initial(seeds[2], n), following)),
            lengths=tf.where(ended, 0, lengths),
            returns=tf.where(ended, 0.0, returns),
            row=carried.row + 1,
            episodes=carried.episodes + tf.cast(tf.math.count_nonzero(ended), tf.float64),
        )
        return after, columns

    def masked(self) -> list[Any]:
        """Shapes of the masks of each action leaf, None where there is none; empty: there are no masks."""
        agent = self._agent
        seen = [tf.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
        masks = observed_masks(agent._observation, agent._action, seen) or []
        return [None if mask is None else mask.shape[1] for mask in masks]


class RolloutCollector(CompiledCollector):
    """Of agents that learn from all timesteps since the last update, once.

    Args:
        agent, env: As of `CompiledCollector`.
    """

    def __init__(self, agent: Any, env: CompiledEnv):
        super().__init__(agent, env)
        rule, self._recent = agent.update_rule, isinstance(agent.memory, Recent)
        passes = rule.epochs or 1
        self.gradient_steps = passes * (1 if self._recent else -(-self.timesteps // rule.batch_size))

    def collect(self, carried: Carried, steps: Any, seeds: tf.Tensor, time: Time) -> tuple[Carried, dict[str, Any]]:
        specs = self._specs()
        arrays = [tf.TensorArray(dtype, self.steps, element_shape=shape) for shape, dtype in specs.values()]
        begin, ends = carried.row, carried.ends

        def step(t: Any, carried: Carried, arrays: Any) -> tuple[Any, ...]:
            carried, columns = self.advance(carried, seeds[0], time)
            written = [array.write(t, tf.cast(columns[name], array.dtype)) for name, array in zip(specs, arrays)]
            return t + 1, carried, written

        variables = 0, carried._replace(ends=()), arrays
        _, carried, arrays = tf.while_loop(lambda t, *_: t < self.steps, step, variables, maximum_iterations=self.steps)
        columns = {name: array.stack() for name, array in zip(specs, arrays)}
        rows = (begin + tf.range(self.steps))[:, tf.newaxis]
        carried = carried._replace(ends=tf.tensor_scatter_nd_update(ends, rows, columns.pop("ends")))
        agent = self._agent
        found = nested(
            columns, agent._observation, agent._action, any(name.startswith("action_mask") for name in specs)
        )
        valid = tf.ones((self.steps, self.count), tf.bool)
        return carried, {"experience": {**found, "valid": valid}, "indices": self._indices(seeds)}

    def _specs(self) -> dict[str, tuple[tuple[int, ...], tf.DType]]:
        # Shape and dtype of each column of a timestep.
        agent, n = self._agent, self.count
        specs: dict[str, tuple[tuple[int, ...], tf.DType]] = {}
        for group in ("observation", "next_observation"):
            for i, leaf in enumerate(agent._observation.leaves):
                specs[f"{group}.{i}"] = (n, *leaf.shape), tf.as_dtype(leaf.stored_dtype)
        for i, leaf in enumerate(agent._action.leaves):
            specs[f"action.{i}"] = (n, *leaf.shape), tf.int32 if leaf.is_discrete else tf.float32
        for group in ("action_mask", "next_action_mask"):
            widths = enumerate(self.masked())
            specs |= {f"{group}.{i}": ((n, width), tf.bool) for i, width in widths if width is not None}
        specs |= {"reward": ((n,), tf.float32), "terminated": ((n,), tf.bool), "truncated": ((n,), tf.bool)}
        return {**specs, "ends": ((2, n), tf.float32)}

    def _indices(self, seeds: tf.Tensor) -> tf.Tensor:
        rule, memory = self._agent.update_rule, self._agent.memory
        if self._recent:
            return tf.tile(tf.range(self.timesteps)[tf.newaxis], (rule.epochs or 1, 1))
        draw = functools.partial(uniform, seed=seeds)
        found: tf.Tensor = memory.draw_indices(draw, rule.batch_size, rule.epochs or 1, self.count)
        return found


def collected_steps(agent: Any, count: int) -> int:
    """Timesteps of each of `count` environments from one update of an agent to the next."""
    rule, memory = agent.update_rule, agent.memory
    if memory.on_policy:
        return int(memory.steps)
    return -(-rule.batch_size // count) if isinstance(memory, Recent) else int(rule.period) // count
