"""The collector of agents with a rollout: what was collected is handed out, once."""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf

from kagent.distributions.distribution import uniform
from kagent.environments.compiled import CompiledEnv
from kagent.memories import Recent
from kagent.memories.columns import nested
from kagent.training.compiled.collector import Carried, CompiledCollector, Time


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
        # Statistics of observations move between acting and learning, and what the policy would do with them.
        self.keeps_log_prob = self._actor.knows_log_prob and self._preprocessing is None

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
        masked = any(name.startswith("action_mask") for name in specs)
        found = nested(columns, agent._observation, agent._action, masked, len(self._actor.sizes))
        found["valid"] = tf.ones((self.steps, self.count), tf.bool)
        if (bootstraps := self._bootstraps(columns["truncated"])) is not None:
            found["bootstraps"] = bootstraps
        return carried, {"experience": found, "indices": self._indices(seeds)}

    def _bootstraps(self, truncated: tf.Tensor) -> tf.Tensor | None:
        # Timesteps `(K, N)` behind which the next observation is another one: the last, and those of truncations, of which a limit of
        # timesteps has few in a rollout. None: they may be so many that all are as well.
        cuts = 0 if self._limit is None else -(-self.steps // self._limit)
        if 2 * (cuts + 1) > self.steps:
            return None
        last = tf.fill((1, self.count), self.steps - 1)
        if not cuts:
            return last
        counts = tf.cumsum(tf.cast(truncated, tf.int32))
        # Where there are fewer it is timestep 0, of which the critic is called in vain.
        found = [tf.argmax(counts > cut, axis=0, output_type=tf.int32) for cut in range(cuts)]
        return tf.concat([tf.stack(found), last], axis=0)

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
        specs |= {f"actor_state.{i}": ((n, size), tf.float32) for i, size in enumerate(self._actor.sizes)}
        specs |= {"reward": ((n,), tf.float32), "terminated": ((n,), tf.bool), "truncated": ((n,), tf.bool)}
        specs |= {"log_prob": ((n,), tf.float32)} if self.keeps_log_prob else {}
        return {**specs, "ends": ((2, n), tf.float32)}

    def _indices(self, seeds: tf.Tensor) -> tf.Tensor:
        rule, memory = self._agent.update_rule, self._agent.memory
        if self._recent:  # of recurrent networks whole sequences
            shape = (self.steps, self.count) if self._actor.sizes else (self.timesteps,)
            return tf.tile(tf.reshape(tf.range(self.timesteps), (1, *shape)), (rule.epochs or 1, *[1] * len(shape)))
        draw = functools.partial(uniform, seed=seeds)
        found: tf.Tensor = memory.draw_indices(draw, rule.batch_size, rule.epochs or 1, self.count)
        return found
