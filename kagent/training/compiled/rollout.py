"""The collector of agents with a rollout: what was collected is handed out, once."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import tensorflow as tf

from kagent.distributions.distribution import uniform
from kagent.environments.compiled import CompiledEnv
from kagent.memories.columns import nested
from kagent.training.compiled.collector import Carried, CompiledCollector, Plan, Time


class RolloutCollector(CompiledCollector):
    """Of agents that learn from all timesteps since the last update, once.

    Args:
        agent, env: As of `CompiledCollector`.
    """

    whole_episodes = False  # whether each environment plays one episode, and waits for the longest

    def __init__(self, agent: Any, env: CompiledEnv):
        super().__init__(agent, env)
        rule, self._recent = agent.update_rule, not agent.memory.on_policy
        passes = rule.epochs or 1
        self.gradient_steps = passes * (1 if self._recent else -(-self.timesteps // rule.batch_size))
        # Statistics of observations move between acting and learning, and what the policy would do with them.
        self.keeps_log_prob = self._actor.knows_log_prob and self._preprocessing is None

    def collect(self, carried: Carried, steps: Any, seeds: tf.Tensor, time: Time) -> tuple[Carried, dict[str, Any]]:
        agent, specs, whole = self._agent, self._specs(), self.whole_episodes
        arrays = [tf.TensorArray(dtype, self.steps, element_shape=shape) for shape, dtype in specs.values()]
        begin, ends = carried.row, carried.ends

        def step(t: Any, carried: Carried, going: tf.Tensor, arrays: Any) -> tuple[Any, ...]:
            carried, columns = self.advance(carried, seeds[0], time, going if whole else None)
            columns["valid"] = going
            written = [array.write(t, tf.cast(columns[name], array.dtype)) for name, array in zip(specs, arrays)]
            if whole:
                going &= ~(columns["terminated"] | columns["truncated"])
            return t + 1, carried, going, written

        def goes_on(t: Any, _: Carried, going: tf.Tensor, __: Any) -> Any:
            return (t < self.steps) & tf.reduce_any(going) if whole else t < self.steps

        variables = 0, carried._replace(ends=()), tf.ones((self.count,), tf.bool), arrays
        _, carried, _, arrays = tf.while_loop(goes_on, step, variables, maximum_iterations=self.steps)
        columns = {name: array.stack() for name, array in zip(specs, arrays)}
        rows = (begin + tf.range(self.steps))[:, tf.newaxis]
        ends = tf.tensor_scatter_nd_update(ends, rows, columns.pop("ends"))
        carried = carried._replace(row=begin + self.steps, ends=ends)
        masked = [name for name in specs if "action_mask" in name]
        for name in masked if whole else ():  # where nothing is allowed, nothing has a probability
            columns[name] |= ~columns["valid"][..., tf.newaxis]
        columns.setdefault("valid", tf.ones((self.steps, self.count), tf.bool))
        found = nested(columns, agent._observation, agent._action, bool(masked), len(self._actor.sizes))
        if not whole and (bootstraps := self._bootstraps(columns["truncated"])) is not None:
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
        found: list[tf.Tensor] = []
        for _ in range(cuts):  # where there are fewer it is timestep 0, of which the critic is called in vain
            found.append(tf.argmax(truncated, axis=0, output_type=tf.int32))
            truncated &= tf.range(self.steps)[:, tf.newaxis] > found[-1]
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
        specs |= {"valid": ((n,), tf.bool)} if self.whole_episodes else {}
        return {**specs, "ends": ((2, n), tf.float32)}

    def _indices(self, seeds: tf.Tensor) -> tf.Tensor:
        rule, memory = self._agent.update_rule, self._agent.memory
        if self._recent:  # of recurrent networks whole sequences
            shape = (self.steps, self.count) if self._actor.sizes else (self.timesteps,)
            return tf.tile(tf.reshape(tf.range(self.timesteps), (1, *shape)), (rule.epochs or 1, *[1] * len(shape)))
        draw = functools.partial(uniform, seed=seeds)
        found: tf.Tensor = memory.draw_indices(draw, rule.batch_size, rule.epochs or 1, self.count)
        return found


class EpisodeCollector(RolloutCollector):
    """Of agents with a `RecentEpisodes`: for an update each environment plays one episode.

    What an update learns from has room for an episode as long as the environments allow. What lies behind the end of one does not
    count, as in that memory.

    Args:
        agent, env: As of `CompiledCollector`.
    """

    whole_episodes = True

    def taken(self, plan: Plan) -> int:
        """Timesteps of all environments in the last call, whose episodes have ended."""
        return int(self._ends.numpy()[:, 0].astype(np.int64).sum())
