"""The learner of a compiled environment: the program that also acts and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent.learning.learner import SLOTS, Learner
from kagent.schedules import Clock
from kagent.training.compiled.collector import Carried, CompiledCollector, Plan
from kagent.training.update_cycle import UpdateTask

if TYPE_CHECKING:
    from kagent.agent import Agent


class Elements:
    """What the program is called with: the number of the first update's element, what the call does, and where the run ends.

    Args:
        agent: Whose counters are read.

    Attributes:
        plan: Of the next call.
    """

    element_spec = {"draw": tf.TensorSpec((6,), tf.int64), "bounds": tf.TensorSpec((3,), tf.float64)}

    def __init__(self, agent: Agent):
        self._agent, self.plan = agent, Plan(1, 1, 0)

    def __iter__(self) -> Elements:
        return self

    def __next__(self) -> dict[str, tf.Tensor]:
        agent = self._agent
        counters = agent.counters
        draw = (agent._random.sample_seed, counters.batches_drawn, *self.plan, counters.targets_moved)
        return {"draw": tf.constant(draw, tf.int64), "bounds": tf.constant(tuple(agent._clock.bounds), tf.float64)}


class CompiledTask(UpdateTask):
    """Training on what a program has collected: it is handed to `prepare` as it is."""

    @property
    def prioritized(self) -> bool:
        """Whether the agent's memory needs the errors of samples, which stay in the program."""
        return bool(self.agent.memory.prioritized)

    @property
    def memory(self) -> Any:
        """Itself: elements are experience already."""
        return self

    def experience(self, element: Any) -> tuple[dict[str, Any], tf.Tensor]:
        """What an element holds: experience and minibatch indices."""
        return element["experience"], element["indices"]


class CompiledLearner(Learner):
    """The train function of an agent in a compiled environment: one call is `iterations` rollouts and the gradient steps on each.

    Args:
        agent: The agent that learns.
        collector: Of the environments.
        jit, eager: As of `Learner`.
    """

    def __init__(self, agent: Agent, collector: CompiledCollector, jit: bool, eager: bool):
        super().__init__(agent, CompiledTask(agent), jit, eager)
        self.collector = collector

    def _learn(self, element: Any, start: Clock) -> tuple[tf.Tensor, list[tf.Tensor]]:
        collector, agent = self.collector, self.agent
        seed, number, iterations, first, rest, moved = tf.unstack(element["draw"])

        def at(carried: Carried, sums: tf.Tensor) -> Clock:
            counts = carried.timesteps, carried.episodes, sums[SLOTS]
            return _later(start, counts, element["bounds"])

        def iteration(i: Any, sums: tf.Tensor, _: tf.Tensor, carried: Carried, moved: tf.Tensor) -> tuple[Any, ...]:
            steps = tf.cast(tf.where(tf.equal(i, 0), first, collector.steps), tf.int32)
            seeds = tf.stack([seed, number + tf.cast(i, tf.int64)])
            carried, found = collector.collect(carried, steps, seeds, lambda carried: at(carried, sums))
            clock = at(carried, sums)
            if agent.trainable:
                moved = agent.target_networks.follow(clock, moved)
            learned, latest, *errors = self._steps(found, clock)
            carried = collector.learned(carried, found, *errors) if errors else carried
            return i + 1, sums + learned, latest, carried, moved

        zeros = tf.zeros((SLOTS + 2,))
        variables = tf.constant(0), zeros, zeros, collector.begin(), moved
        if collector.learns_always and agent.steps_per_execution == 1:
            _, sums, latest, carried, moved = iteration(*variables)
        else:
            _, sums, latest, carried, moved = tf.while_loop(
                lambda i, *_: tf.cast(i, tf.int64) < iterations, iteration, variables
            )
        carried = collector.skip(carried, tf.cast(rest, tf.int32), seed, lambda carried: at(carried, sums))
        collector.finish(carried)
        collector.keep_moved(moved)
        return self._results(sums, latest)

    def _do_without_xla(self, error: Exception) -> None:
        raise ValueError(
            "XLA does not compile this agent together with its compiled environment: a layer, a function of the environment or a "
            "part of the agent runs on the host (tf.py_function, tf.numpy_function), or has no XLA kernel. "
            "`compile(jit_compile=False)` runs the same program as TensorFlow's kernels, more slowly; "
            "kagent.environments.compiled.as_gymnasium(env) is stepped from the host. "
            f"The compiler's reason: {str(error).splitlines()[0][:300]}"
        ) from error


def _later(start: Clock, passed: Any, bounds: tf.Tensor) -> Clock:
    # The time after so many timesteps, episodes and gradient steps; `bounds` as `Bounds.used` has them.
    counts = [now + tf.cast(more, tf.float64) for now, more in zip(start[:3], passed)]
    parts = tf.where(bounds > 0.0, tf.minimum(tf.stack(counts) / bounds, 1.0), 1.0)
    return start._replace(timesteps=counts[0], episodes=counts[1], updates=counts[2], progress=tf.reduce_max(parts))
