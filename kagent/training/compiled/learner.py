"""The learner of a compiled environment: the program that also acts and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent.learning.learner import SLOTS, Learner
from kagent.schedules import Clock
from kagent.training.compiled.collector import CompiledCollector
from kagent.training.update_cycle import UpdateTask

if TYPE_CHECKING:
    from kagent.agent import Agent


class Elements:
    """What the program is called with: the number of the first rollout, how many there are, and where the run ends.

    Args:
        agent: Whose counters are read.

    Attributes:
        iterations: Rollouts of the next call.
    """

    element_spec = {"draw": tf.TensorSpec((3,), tf.int64), "bounds": tf.TensorSpec((3,), tf.float64)}

    def __init__(self, agent: Agent):
        self._agent, self.iterations = agent, 1

    def __iter__(self) -> Elements:
        return self

    def __next__(self) -> dict[str, tf.Tensor]:
        agent = self._agent
        draw = (agent._random.sample_seed, agent.counters.batches_drawn, self.iterations)
        return {"draw": tf.constant(draw, tf.int64), "bounds": tf.constant(tuple(agent._clock.bounds), tf.float64)}


class CompiledTask(UpdateTask):
    """Training on the rollouts of a program: they are handed to `prepare` as they are."""

    prioritized = False

    @property
    def memory(self) -> Any:
        """Itself: elements are experience already."""
        return self

    def experience(self, element: Any) -> tuple[dict[str, Any], tf.Tensor]:
        """The rollout of an element, and its minibatch indices."""
        return element["rollout"], element["indices"]


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
        collector, most = self.collector, self.agent.steps_per_execution
        seed, number, iterations = tf.unstack(element["draw"])

        def iteration(i: Any, sums: tf.Tensor, _: tf.Tensor, ends: tf.Tensor) -> tuple[Any, ...]:
            rollout, indices, found = collector.collect(seed, number + tf.cast(i, tf.int64))
            ends = tf.tensor_scatter_nd_update(ends, [[i]], found[tf.newaxis])
            passed = (
                (tf.cast(i, tf.float64) + 1.0) * collector.timesteps,
                tf.math.count_nonzero(ends[:, 0]),
                sums[SLOTS],
            )
            clock = _later(start, passed, element["bounds"])
            steps, latest = self._steps({"rollout": rollout, "indices": indices}, clock)
            return i + 1, sums + steps, latest, ends

        zeros = tf.zeros((SLOTS + 2,))
        variables = 0, zeros, zeros, tf.zeros((most, 2, collector.steps, collector.count))
        if most == 1:
            _, sums, latest, ends = iteration(*variables)
        else:
            going = lambda i, *_: tf.cast(i, tf.int64) < iterations  # noqa: E731
            _, sums, latest, ends = tf.while_loop(going, iteration, variables, maximum_iterations=most)
        collector.keep_ends(ends)
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
