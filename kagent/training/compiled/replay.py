"""The collector of agents with a replay memory: the program holds its rows."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from kagent.environments.compiled import CompiledEnv
from kagent.memories.storage import Storage
from kagent.training.compiled.collector import Carried, CompiledCollector, Plan, Time


class ReplayCollector(CompiledCollector):
    """Of agents that draw from a `Replay`. During a `fit` its rows are variables on the agent's device; `give_back` brings them into
    the memory again, which has them in files and between fits.

    Args:
        agent, env: As of `CompiledCollector`.
    """

    learns_always = False

    def __init__(self, agent: Any, env: CompiledEnv):
        super().__init__(agent, env)
        rule = agent.update_rule
        self.gradient_steps = rule.steps or 1
        self._most = math.ceil(max(rule.first, rule.period) / self.count) + 1  # before the first update of a call
        self.rows += 2 * self._most  # and behind the last
        self._blocks: dict[str, tf.Variable] = {}
        self._place: Any = None  # the next row, and how many hold a transition
        self._new = 0  # transitions that the memory does not have yet

    # On the host -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Takes the memory's rows.

        Raises:
            ValueError: It stores observations in a form that the program has not.
        """
        memory = self._agent.memory
        if type(memory.storage) is not Storage:
            raise ValueError(
                "`memory` cannot be part of the program of a compiled environment: its observations are so large, or stacks of frames, "
                f"that each is stored once. Received: {type(memory.storage).__name__}. Outside of the program the environment is stepped "
                "as kagent.environments.compiled.as_gymnasium(env)"
            )
        place = tf.constant([memory.cursor, memory.size], tf.int64)
        with tf.device(self._agent.device):
            if self._place is None:
                self._blocks = {
                    name: tf.Variable(block, trainable=False) for name, block in memory.storage.blocks.items()
                }
                self._place = tf.Variable(place, trainable=False)
        for name, block in memory.storage.blocks.items():
            self._blocks[name].assign(block)
        self._place.assign(place)
        self._new = 0

    def give_back(self) -> None:
        """Brings the memory up to date."""
        if self._new:
            self._agent.memory.take_rows({name: block.numpy() for name, block in self._blocks.items()}, self._new)
            self._new = 0

    def state(self) -> dict[str, Any] | None:
        """As of `CompiledCollector`. The memory, which is saved after it, is brought up to date."""
        self.give_back()
        return super().state()

    def plan(self, end: float, gradient_steps: float) -> Plan:
        agent, n = self._agent, self.count
        rule, memory, now = agent.update_rule, agent.memory, agent.timesteps
        due = agent._update_cycle.scheduler.due_at(1) - now
        lacking = min(rule.first, memory.capacity) - min(memory.size + self._new, memory.capacity)
        first = max(0, math.ceil(max(due, lacking) / n))
        iterations = math.ceil(min(agent.steps_per_execution, gradient_steps / self.gradient_steps))
        if end == math.inf:
            left = first + iterations * self.steps
        else:
            left = math.ceil((end - now) / n)
        if first > min(left, self._most):
            return Plan(0, 0, min(first, left, self._most))
        iterations = min(iterations, 1 + (left - first) // self.steps)
        behind = left - first - (iterations - 1) * self.steps
        return Plan(iterations, first, behind if behind < self.steps else 0)

    def after_call(self, plan: Plan) -> None:
        self._new += self.taken(plan)

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> Carried:
        place = self._place.read_value()
        blocks = {name: block.read_value() for name, block in self._blocks.items()}
        return super().begin()._replace(experience=(blocks, place[0], place[1]))

    def finish(self, carried: Carried) -> None:
        super().finish(carried)
        blocks, *place = carried.experience
        for name, block in blocks.items():
            self._blocks[name].assign(block)
        self._place.assign(tf.stack(place))

    def collect(self, carried: Carried, steps: Any, seeds: tf.Tensor, time: Time) -> tuple[Carried, dict[str, Any]]:
        carried = self.skip(carried, steps, seeds[0], time)
        rule, memory = self._agent.update_rule, self._agent.memory
        blocks, _, size = carried.experience
        shape = rule.steps or 1, rule.batch_size
        picks = tf.random.stateless_uniform((shape[0] * shape[1],), seeds, 0, size, tf.int64, alg="philox")
        drawn = {name: tf.reshape(tf.gather(block, picks), (*shape, block.shape[1])) for name, block in blocks.items()}
        return carried, {"experience": memory.experience(drawn)[0], "indices": None}

    def skip(self, carried: Carried, steps: Any, seed: tf.Tensor, time: Time) -> Carried:
        capacity, n = self._agent.memory.capacity, self.count

        def step(t: Any, carried: Carried) -> tuple[Any, Carried]:
            row = carried.row
            carried, columns = self.advance(carried, seed, time)
            ends = tf.tensor_scatter_nd_update(carried.ends, [[row]], columns["ends"][tf.newaxis])
            blocks, cursor, size = carried.experience
            rows = ((cursor + tf.range(n, dtype=tf.int64)) % capacity)[:, tf.newaxis]
            packed = self._packed(columns)
            blocks = {name: tf.tensor_scatter_nd_update(block, rows, packed[name]) for name, block in blocks.items()}
            place = (cursor + n) % capacity, tf.minimum(size + n, capacity)
            return t + 1, carried._replace(ends=ends, experience=(blocks, *place))

        return tf.while_loop(lambda t, _: t < steps, step, (tf.constant(0), carried))[1]  # type: ignore[no-any-return]

    def _packed(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        # The rows of a timestep, by block: what `Storage.unpack` takes apart.
        parts: dict[str, list[tf.Tensor]] = {}
        for column in self._agent.memory.storage.columns:
            flat = tf.reshape(columns[column.name], (self.count, column.size))
            parts.setdefault(column.block, []).append(tf.cast(flat, column.block))
        return {name: tf.concat(each, axis=1) if len(each) > 1 else each[0] for name, each in parts.items()}
