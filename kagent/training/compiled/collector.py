"""The collector of a compiled environment: a rollout as a function of tensors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.distributions.distribution import uniform
from kagent.environments.compiled import CompiledEnv
from kagent.environments.compiled.environment import chosen
from kagent.memories import Recent
from kagent.memories.columns import nested
from kagent.policies.greedy_actions import as_declared
from kagent.policies.role import observed_masks
from kagent.training.collector import Episode, NextSeed


def rollout_steps(agent: Any, count: int) -> int:
    """Timesteps of each of `count` environments in one rollout of an agent."""
    steps: int = -(-agent.update_rule.batch_size // count) if isinstance(agent.memory, Recent) else agent.memory.steps
    return steps


class CompiledCollector:
    """Walks the environments of a program with an agent's policy. It holds the environments' states, on the agent's device.

    Args:
        agent: Whose policy acts.
        env: The environments.

    Attributes:
        count: Environments side by side.
        steps: Timesteps of each of them in a rollout.
        timesteps: Those of all of them.
        gradient_steps: That are taken on a rollout.
        lengths: Timesteps of every open episode, `(N,)`.
    """

    in_program = True
    records_returns = False

    def __init__(self, agent: Any, env: CompiledEnv):
        self.env, self.count, self._agent = env, env.num_envs, agent
        rule = agent.update_rule
        self._recent = isinstance(agent.memory, Recent)
        self.steps = rollout_steps(agent, self.count)
        self.timesteps = self.steps * self.count
        passes = rule.epochs or 1
        self.gradient_steps = passes * (1 if self._recent else -(-self.timesteps // rule.batch_size))
        limits = [limit for limit in (agent.max_episode_timesteps, env.max_episode_steps) if limit is not None]
        self._limit = min(limits, default=None)
        self._nest: Any = None  # of a state
        self._variables: list[tf.Variable] = []  # the state's parts, lengths and returns
        self._ends: Any = (
            None  # of the last call: per iteration, timestep and environment length and return of what ended
        )

    # On the host -----------------------------------------------------------------------------------------------

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> Sequence[int]:
        """Begins new episodes, or goes on with those of `state`, as `Collector.start` does."""
        zeros = [np.zeros(self.count, np.int32), np.zeros(self.count, np.float32)]
        if state is not None and self._variables == []:
            self._open(self.env.initial(tf.constant([0, 0], tf.int64), self.count), zeros)
        if state is not None and self._fits(state):
            for variable, value in zip(self._variables, [*state["program"], state["lengths"], state["returns"]]):
                variable.assign(tf.constant(value, variable.dtype))
            return ()
        fresh = self.env.initial(tf.constant([next_seed(), 0], tf.int64), self.count)
        if self._variables:
            for variable, value in zip(self._variables, [*tf.nest.flatten(fresh), *zeros]):
                variable.assign(value)
        else:
            self._open(fresh, zeros)
        return () if state is None else list(range(self.count))

    def _open(self, state: Any, others: list[np.ndarray]) -> None:
        self._nest = state
        with tf.device(self._agent.device):
            self._variables = [tf.Variable(part, trainable=False) for part in [*tf.nest.flatten(state), *others]]
            shape = (self._agent.steps_per_execution, 2, self.steps, self.count)
            self._ends = tf.Variable(tf.zeros(shape), trainable=False)

    def _fits(self, state: dict[str, Any]) -> bool:
        arrays = [*state["program"], state["lengths"], state["returns"]]
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
        found = lengths[places].astype(np.int64).tolist(), returns[places].tolist()
        if not np.isfinite(returns).all():
            raise ValueError(
                f"`{type(self.env).__name__}.reward` must return finite numbers. Received: {returns[places]}"
            )
        return [(env, Episode(total, length)) for env, length, total in zip(places[-1].tolist(), *found)]

    # In the program --------------------------------------------------------------------------------------------

    def collect(self, seed: tf.Tensor, number: tf.Tensor) -> tuple[dict[str, Any], tf.Tensor, tf.Tensor]:
        """One rollout. The environments' states move on.

        Args:
            seed: Of all rollouts, an int64 scalar.
            number: Of this one, an int64 scalar. A rollout is a function of both, of the states and of the policy's weights.

        Returns:
            Experience, time-major `(T, N, ...)`, as memories have it; minibatch indices `(K, B)`; and of every timestep and
            environment, `(2, T, N)`, the length and the return of the episode that ended there, 0 where none did.
        """
        *parts, lengths, returns = (variable.read_value() for variable in self._variables)
        specs = self._specs()
        arrays = [tf.TensorArray(dtype, self.steps, element_shape=shape) for shape, dtype in specs.values()]

        def step(t: Any, parts: Any, lengths: tf.Tensor, returns: tf.Tensor, arrays: Any) -> tuple[Any, ...]:
            draw = number * self.steps + tf.cast(t, tf.int64)
            seeds = [tf.stack([seed + purpose, draw]) for purpose in (1, 2, 3)]  # `seed` itself is the indices'
            state = tf.nest.pack_sequence_as(self._nest, parts)
            columns, following = self._transition(state, seeds)
            lengths, returns = lengths + 1, returns + columns["reward"]
            if self._limit is not None:
                columns["truncated"] = lengths >= self._limit
            ended = columns["terminated"] | columns["truncated"]
            columns["ends"] = tf.where(ended, tf.stack([tf.cast(lengths, tf.float32), returns]), 0.0)
            arrays = [array.write(t, tf.cast(columns[name], array.dtype)) for name, array in zip(specs, arrays)]
            state = chosen(ended, self.env.initial(seeds[2], self.count), following)
            return t + 1, tf.nest.flatten(state), tf.where(ended, 0, lengths), tf.where(ended, 0.0, returns), arrays

        _, parts, lengths, returns, arrays = tf.while_loop(
            lambda t, *_: t < self.steps, step, (0, parts, lengths, returns, arrays), maximum_iterations=self.steps
        )
        for variable, value in zip(self._variables, [*parts, lengths, returns]):
            variable.assign(value)
        columns = {name: array.stack() for name, array in zip(specs, arrays)}
        ends = tf.transpose(columns.pop("ends"), (1, 0, 2))
        agent = self._agent
        found = nested(
            columns, agent._observation, agent._action, any(name.startswith("action_mask") for name in specs)
        )
        return {**found, "valid": tf.ones((self.steps, self.count), tf.bool)}, self._indices(seed, number), ends

    def keep_ends(self, ends: tf.Tensor) -> None:
        """Keeps what `collect` returned of each iteration, for `ended`."""
        self._ends.assign(ends)

    def _transition(self, state: Any, seeds: list[tf.Tensor]) -> tuple[dict[str, tf.Tensor], Any]:
        # One timestep of all environments as columns, and where it led.
        agent, env = self._agent, self.env
        seen = agent._adapter.stored(env.observation(state))
        masks = observed_masks(agent._observation, agent._action, seen)
        canonical = agent.policy.joint.sample(agent.policy.parameters_of(seen, masks), seeds[0])
        declared = zip(agent._action.leaves, agent.policy.joint.to_env(canonical))
        action = agent._action.unflatten([tf.cast(as_declared(leaf, part), leaf.dtype) for leaf, part in declared])
        following = env.transition(state, action, seeds[1])
        terminated = env.terminal(following)
        then = agent._adapter.stored(env.observation(following))
        flags = {"terminated": terminated, "truncated": tf.zeros_like(terminated)}
        columns = {"reward": env.reward(state, action, following), **flags}
        for group, leaves in (("observation", seen), ("next_observation", then), ("action", canonical)):
            columns |= {f"{group}.{i}": leaf for i, leaf in enumerate(leaves)}
        if masks is not None:
            later = observed_masks(agent._observation, agent._action, then) or []
            for group, given in (("action_mask", masks), ("next_action_mask", later)):
                for i, mask in enumerate(given):
                    if mask is not None:  # behind a terminal state all is allowed, as everywhere
                        allowed = mask | terminated[:, tf.newaxis] if group == "next_action_mask" else mask
                        columns[f"{group}.{i}"] = allowed
        return columns, following

    def _specs(self) -> dict[str, tuple[tuple[int, ...], tf.DType]]:
        # Shape and dtype of each column of a timestep.
        agent, n = self._agent, self.count
        specs: dict[str, tuple[tuple[int, ...], tf.DType]] = {}
        for group in ("observation", "next_observation"):
            for i, leaf in enumerate(agent._observation.leaves):
                specs[f"{group}.{i}"] = (n, *leaf.shape), tf.as_dtype(leaf.stored_dtype)
        for i, leaf in enumerate(agent._action.leaves):
            specs[f"action.{i}"] = (n, *leaf.shape), tf.int32 if leaf.is_discrete else tf.float32
        seen = [tf.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
        masks = observed_masks(agent._observation, agent._action, seen) or []
        for group in ("action_mask", "next_action_mask"):
            specs |= {f"{group}.{i}": ((n, mask.shape[1]), tf.bool) for i, mask in enumerate(masks) if mask is not None}
        specs |= {"reward": ((n,), tf.float32), "terminated": ((n,), tf.bool), "truncated": ((n,), tf.bool)}
        return {**specs, "ends": ((2, n), tf.float32)}

    def _indices(self, seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        rule = self._agent.update_rule
        if self._recent:
            return tf.tile(tf.range(self.timesteps)[tf.newaxis], (rule.epochs or 1, 1))
        draw = functools.partial(uniform, seed=tf.stack([seed, number]))
        found: tf.Tensor = self._agent.memory.draw_indices(draw, rule.batch_size, rule.epochs or 1, self.count)
        return found
