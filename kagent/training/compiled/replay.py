"""The collector of agents with a replay memory: the program holds its rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent.environments.compiled import CompiledEnv
from kagent.learning.device import device_scope
from kagent.memories.storage import Storage
from kagent.training.compiled.collector import Carried, CompiledCollector, Plan, Time
from kagent.training.compiled.priorities import CompiledPriorities
from kagent.training.compiled.schedules import evaluated
from kagent.training.compiled.variables import ProgramVariable
from kagent.training.compiled.windows import CompiledWindows


class Ring(NamedTuple):
    """What the program carries of a replay memory.

    Attributes:
        blocks: Packed rows by dtype, as `Storage.blocks`. They are whole, in whatever form the memory keeps observations.
        cursor, size: The next row, and how many hold a transition, int64.
        windows: The open windows of n-step returns; `{}` without a horizon.
        priorities: A `Priorities`; `()` where rows are drawn uniformly.
    """

    blocks: dict[str, tf.Tensor]
    cursor: tf.Tensor
    size: tf.Tensor
    windows: Any
    priorities: Any


class ReplayCollector(CompiledCollector):
    """Of agents that draw from a `Replay`. During a `fit` its rows are variables on the agent's device; `give_back` brings them into
    the memory again, which has them in files and between fits.

    Args:
        agent, env: As of `CompiledCollector`.
    """

    learns_always = False

    def __init__(self, agent: Any, env: CompiledEnv):
        super().__init__(agent, env)
        rule, horizon = agent.update_rule, agent.reward_estimation.horizon
        self.gradient_steps = rule.steps or 1
        self._windows = CompiledWindows(horizon, self.count) if horizon else None
        self._priorities = CompiledPriorities(agent.memory) if agent.memory.prioritized else None
        # Timesteps of all environments before there is something to learn from. With windows each environment has a whole one.
        self._first = max(min(rule.first, agent.memory.capacity), (horizon + 1) * self.count if horizon else 0)
        self._most = math.ceil(max(self._first, rule.period) / self.count) + 1  # before the first update of a call
        self.rows += 2 * self._most  # and behind the last
        self._form: Any = None  # says how a row is packed
        self._blocks: dict[str, ProgramVariable] = {}
        self._place: Any = None  # `cursor` and `size` of the ring
        self._new = 0  # timesteps that the memory does not have yet

    # On the host -----------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Takes the memory's rows.

        Raises:
            ValueError: Whole rows do not fit into the machine's free memory.
        """
        memory = self._agent.memory
        if self._windows is not None and not self._windows.has_room(memory.windows):
            memory.cut_episodes(range(self.count))
        rows = memory.storage if type(memory.storage) is Storage else self._whole_rows()
        place = tf.constant([memory.cursor, memory.size], tf.int64)
        with device_scope(self.device):
            if self._place is None:
                self._form = Storage(memory._columns(), 1)
                self._blocks = {name: ProgramVariable(block) for name, block in rows.blocks.items()}
                self._place = ProgramVariable(place)
            if self._windows is not None:
                self._windows.load(memory.windows)
            if self._priorities is not None:
                self._priorities.load()
        for name, block in rows.blocks.items():
            self._blocks[name].assign(block)
        self._place.assign(place)
        self._new = 0

    def _whole_rows(self) -> Storage:
        # Of a memory that stores each observation, or the frames of stacks, once.
        memory = self._agent.memory
        found = Storage(memory._columns(), memory.capacity)
        for name, view in found.views.items():
            view[: memory.size] = memory.storage.views[name][np.arange(memory.size)]
        return found

    def give_back(self) -> None:
        """Brings the memory up to date."""
        memory = self._agent.memory
        if not self._new:
            return
        cursor, size = self._place.numpy().tolist()
        if self._windows is not None:
            self._windows.give_back(memory.windows)
        # The memory reads whole rows as those of a file, in whatever form it stores them.
        state = {"counters": np.asarray([size, cursor], np.int64)}
        state |= {f"block.{name}": block.numpy()[:size] for name, block in self._blocks.items()}
        state |= {} if self._windows is None else memory.windows.state()
        state |= {} if self._priorities is None else self._priorities.state(size)
        memory.restore(state)
        self._new = 0

    def state(self) -> dict[str, Any] | None:
        """As of `CompiledCollector`. The memory, which is saved after it, is brought up to date."""
        self.give_back()
        return super().state()

    def plan(self, end: float, gradient_steps: float) -> Plan:
        agent, n = self._agent, self.count
        memory, now = agent.memory, agent.timesteps
        due = agent._update_cycle.scheduler.due_at(1) - now
        opened = 0 if memory.windows is None else len(memory.windows)
        lacking = self._first - min(memory.size + opened + self._new, memory.capacity)
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
        super().after_call(plan)
        self._new += self.taken(plan)

    # In the program --------------------------------------------------------------------------------------------

    def begin(self) -> Carried:
        place = self._place.read_value()
        blocks = {name: block.read_value() for name, block in self._blocks.items()}
        windows = {} if self._windows is None else self._windows.begin()
        priorities = () if self._priorities is None else self._priorities.begin()
        ring = Ring(blocks, place[0], place[1], windows, priorities)
        return super().begin()._replace(experience=ring)

    def finish(self, carried: Carried) -> None:
        super().finish(carried)
        ring = carried.experience
        for name, block in ring.blocks.items():
            self._blocks[name].assign(block)
        self._place.assign(tf.stack([ring.cursor, ring.size]))
        if self._windows is not None:
            self._windows.finish(ring.windows)
        if self._priorities is not None:
            self._priorities.finish(ring.priorities)

    def collect(self, carried: Carried, steps: Any, seeds: tf.Tensor, time: Time) -> tuple[Carried, dict[str, Any]]:
        carried = self.skip(carried, steps, seeds[0], time)
        rule, memory, ring = self._agent.update_rule, self._agent.memory, carried.experience
        shape, weights = (rule.steps or 1, rule.batch_size), {}
        if self._priorities is None:
            count = shape[0] * shape[1]
            picks = tf.random.stateless_uniform((count,), seeds, 0, ring.size, tf.int64, alg="philox")
        else:
            picks, weight = self._priorities.draw(ring.priorities, ring.size, shape, seeds, time(carried))
            weights = {"weight": weight}
        drawn = {
            name: tf.reshape(tf.gather(block, picks), (*shape, block.shape[1])) for name, block in ring.blocks.items()
        }
        experience = {**memory.nest(self._form.unpack(drawn)), **weights}
        return carried, {"experience": experience, "indices": None, "rows": picks}

    def learned(self, carried: Carried, found: dict[str, Any], errors: tf.Tensor) -> Carried:
        if self._priorities is None:
            return carried
        ring = carried.experience
        priorities = self._priorities.learned(ring.priorities, found["rows"], errors)
        return carried._replace(experience=ring._replace(priorities=priorities))

    def skip(self, carried: Carried, steps: Any, seed: tf.Tensor, time: Time) -> Carried:
        def step(t: Any, carried: Carried) -> tuple[Any, Carried]:
            row, clock = carried.row, time(carried)
            carried, columns = self.advance(carried, seed, time)
            for leaf in self._agent.memory._masked_leaves():  # some of which may have no mask
                every = tf.ones((self.count, self._agent._action.leaves[leaf].num_values), tf.bool)
                columns = {f"action_mask.{leaf}": every, f"next_action_mask.{leaf}": every, **columns}
            ends = tf.tensor_scatter_nd_update(carried.ends, [[row]], columns.pop("ends")[tf.newaxis])
            return t + 1, carried._replace(ends=ends, experience=self._appended(carried.experience, columns, clock))

        return tf.while_loop(lambda t, _: t < steps, step, (tf.constant(0), carried))[1]  # type: ignore[no-any-return]

    def _appended(self, ring: Ring, columns: dict[str, tf.Tensor], clock: Any) -> Ring:
        # The ring with a timestep of all environments, or with the windows that it closes.
        capacity, count, windows = self._agent.memory.capacity, self.count, ring.windows
        added: Any = count
        rows = (ring.cursor + tf.range(count, dtype=tf.int64)) % capacity
        valid = tf.ones((count,), tf.bool)
        if self._windows is not None:
            discount = evaluated(self._agent.reward_estimation.discount, clock)
            windows, columns, valid = self._windows.append(windows, columns, discount)
            closed = tf.cast(valid, tf.int64)
            added = tf.reduce_sum(closed)
            # Windows that stay open have places behind those that close, whose content is written back.
            places = tf.where(valid, tf.cumsum(closed), added + tf.cumsum(1 - closed)) - 1
            rows = (ring.cursor + places) % capacity
        blocks = {}
        for name, block in ring.blocks.items():
            packed = self._packed(name, columns)
            if self._windows is not None:
                packed = tf.where(valid[:, tf.newaxis], packed, tf.gather(block, rows))
            blocks[name] = tf.tensor_scatter_nd_update(block, rows[:, tf.newaxis], packed)
        priorities = ring.priorities
        if self._priorities is not None:
            priorities = self._priorities.append(priorities, rows, valid)
        cursor, size = (ring.cursor + added) % capacity, tf.minimum(ring.size + added, capacity)
        return Ring(blocks, cursor, size, windows, priorities)

    def _packed(self, block: str, columns: dict[str, tf.Tensor]) -> tf.Tensor:
        # The rows of a block: what `Storage.unpack` takes apart.
        parts = [
            tf.cast(tf.reshape(columns[column.name], (-1, column.size)), block)
            for column in self._form.columns
            if column.block == block
        ]
        return tf.concat(parts, axis=1) if len(parts) > 1 else parts[0]
