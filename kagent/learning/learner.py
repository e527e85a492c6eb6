"""The compiled learner: everything of one update, all its gradient steps, as one XLA program.

Keras's own train function compiles each gradient step on its own and loops around it uncompiled; what a call costs
beside its arithmetic is paid per step. Here one `tf.function(jit_compile=True)` holds `prepare` and the loop over `train_step`,
and returns few vectors: the logs, and the weights of the actor. Around it a second, plain function takes the next element from
the memory's pipeline, so that an update is a single call into TensorFlow: each costs a tenth of a millisecond.

Where `jit_compile` is False, as "auto" is for large gradient steps, the same program is a graph of TensorFlow's kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from kagent import ops, optimizers
from kagent.learning import malloc_trim
from kagent.learning.device import device_of, device_scope
from kagent.learning.divergence import check_losses
from kagent.memories.storage import shared_array, shared_tensor
from kagent.networks.contents import layers_of
from kagent.policies.role import xla
from kagent.schedules import Clock

if TYPE_CHECKING:
    from kagent.agent import Agent
    from kagent.training.protocols import LearningTask

SLOTS = 64  # logs per step at most
_REFUSALS = (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError, tf.errors.NotFoundError)


class Minibatches:
    """What an update learns from, prepared and cut. Runs in a program.

    Args:
        task: Its `memory` gives experience, and `prepare` makes it ready.
        element: Packed, as the memory's iterator gives it, or transitions `(K, B, ...)`.
        complete: Function that gives transitions `discount` and `weight`; see `RewardEstimation.completed`.

    Attributes:
        steps: How many minibatches there are.
        prepared: All of it.
        indices: Of every minibatch the places in `prepared`, or None where that is cut already.
    """

    def __init__(self, task: LearningTask, element: Any, complete: Callable[[dict[str, Any]], dict[str, Any]]):
        self.indices: Any
        self._memory = task.memory
        experience, self.indices = (element, None) if "reward" in element else task.memory.experience(element)
        self.prepared = task.prepare(experience)
        self._complete = complete
        if self.indices is not None:  # cut many times from one experience, which is completed once
            self.prepared = self._completed(self.prepared)
        whole = next(iter(tf.nest.flatten(self.prepared))) if self.indices is None else self.indices
        self.steps: int = whole.shape[0]
        self._size: int = whole.shape[1]

    @property
    def errors(self) -> tuple[int, int]:
        """Minibatches, and samples of each that a prioritized memory needs the errors of; of sequences they are those behind the
        burn-in."""
        if self.indices is None:
            return tuple(self.prepared["weight"].shape)
        burn_in: int = getattr(self._memory, "burn_in", 0)
        _, *places = self.indices.shape
        return self.steps, places[0] if len(places) == 1 else (places[0] - burn_in) * places[1]

    def __getitem__(self, i: Any) -> dict[str, Any]:
        batch = self._cut(i)
        if "weight" not in batch:
            batch["weight"] = tf.ones((self._size,))  # made here: as a constant it costs nothing
        return batch if self.indices is not None else self._completed(batch)

    def _completed(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._complete(batch) if "terminated" in batch else batch

    def _cut(self, i: Any) -> dict[str, Any]:
        if self.indices is None:
            # A slice would be four operations to trace.
            row = (lambda x: tf.squeeze(x, 0)) if self.steps == 1 else (lambda x: x[i])
            return dict(tf.nest.map_structure(lambda x: None if x is None else row(x), self.prepared))
        places = self.indices[i]
        rows = tf.maximum(places, 0)
        batch = tf.nest.map_structure(lambda x: None if x is None else tf.gather(x, rows), self.prepared)
        real = tf.cast(places >= 0, tf.float32)
        return {**batch, "weight": real * batch["weight"] if "weight" in batch else real}


class Learner:
    """The train function of one agent: `learner(iterator) -> logs`.

    Args:
        agent: The agent that learns.
        task: What it learns: the `memory` and `fresh_iterator` of elements, `prepare`, and a gradient `step`.
        jit: Whether to compile with XLA.
        eager: Whether to run without any compilation, for debugging.

    Attributes:
        traces: How often the program was traced; it should stay at one per shape of data.
        pulls: How often it was called.
        running: Those of its logs that are results of Keras metrics, which speak for the epoch so far.
    """

    def __init__(self, agent: Agent, task: LearningTask, jit: bool, eager: bool):
        self.agent, self.task, self.jit, self.eager = agent, task, jit, eager
        self.traces = self.pulls = 0
        self._names: list[str] = []
        self._element: Any = None  # that the program is not traced for yet
        self.running: frozenset[str] = frozenset()
        self._now = shared_array((len(agent._clock.times()),), "float64")  # where the program reads the time
        self._clock = shared_tensor(self._now)
        self._device = None if agent.minimizer.strategy.num_replicas_in_sync > 1 else device_of(agent)
        self._program = self._compile(jit)
        self._pull: Any = None  # pulls from the iterator it is bound to and learns
        self._bound: Any = None
        self._proven = False

    def _compile(self, jit: bool) -> Any:
        return self._run if self.eager else tf.function(self._run, jit_compile=jit, autograph=False)

    def __call__(self, iterator: Iterator[Any]) -> dict[str, float]:
        """Pulls one element and learns from it.

        Raises:
            StopIteration: The iterator has ended.
            DivergenceError: The loss is not finite.
        """
        self.pulls += 1
        self._now[:] = self.agent._clock.times()
        packed = iterator is self._bound
        if packed:
            if self._pull is None:
                self._trace()
            logs, weights = self._pull_from(iterator)
        else:
            element = next(iterator)
            packed = "reward" not in element
            if not packed:
                element = self._stacked(element, iterator)
            logs, weights = self._learn_from(element)
        found = logs.numpy()
        values = found.tolist()
        steps = int(values.pop())
        results = dict(zip(self._names, values))
        self._took(steps, [np.asarray(piece) for piece in weights])  # views; `numpy` copies
        if self.agent._run.refuses_divergence:
            check_losses(results, self.agent.gradient_steps, self.agent.optimizer)
        if len(values) > 2 * len(self._names):
            self.task.memory.prioritize(found[2 * len(self._names) : -1])
        if not packed:
            self.task.after_offline(steps)
        if self.running:
            latest = zip(self._names, values[len(self._names) :])
            results |= {name: value for name, value in latest if name in self.running}
        return results

    def weights(self) -> list[np.ndarray]:
        """The weights that the agent's actor acts by, float32 vectors for `set_weights` of an actor of the same policy."""
        return [piece.numpy() for piece in ops.pieces([variable.value for variable in self.agent.actor.variables])]

    def _took(self, steps: int, weights: list[np.ndarray]) -> None:
        agent = self.agent
        agent.counters.gradient_steps += steps
        if weights:
            agent.actor.set_weights(*weights)
        else:
            agent.actor.expire()

    @property
    def names(self) -> list[str]:
        """What `train_step` logs; empty where no update was made, and none can be foreseen.

        The first epoch without an update has the program traced for them. Where nothing is compiled this trace is never run, and
        not made where a part of the step is the user's: code that is debugged is called with values only.
        """
        if not self._names and self._element is not None:
            if not self.eager:
                self._trace()
            elif _is_all_of_kagent(self.agent):
                self._look()
        return self._names

    def _look(self) -> None:
        element, self._element = self._element, None
        self.eager = False  # a loop of steps is one body
        try:
            tf.function(self._run, autograph=False).get_concrete_function(element, self._clock_spec)
        except Exception:  # the first update will say what is wrong, if anything is
            self._names = []
        finally:
            self.eager = True
            self.agent.minimizer.take_errors()

    def bind(self, iterator: Any) -> None:
        """Makes ready for the elements of `iterator`, the next to be called with.

        The program is traced for them by the first call, or when names of logs are needed. Where users' code is part of it, it
        is traced here, so that mistakes show before the first timestep.
        """
        self._element, self._pull, self._bound = iterator.element_spec, None, None
        if not self.eager and isinstance(iterator, tf.data.Iterator):
            self._bound = iterator
        if not self.eager and _has_users_code(self.agent):
            self._trace()

    def _trace(self) -> None:
        element, self._element = self._element, None
        if self._bound is None:
            # Drawn on the host, each element is an argument; of another size, it is traced for that too.
            self._program.get_concrete_function(element, self._clock_spec)
            return
        iterator = self._bound

        # Iterator and time are captured: arguments are taken apart at every call.
        def pull() -> Any:
            return self._call(iterator.get_next())

        self._pull = tf.function(pull, autograph=False).get_concrete_function()

    @property
    def _clock_spec(self) -> tf.TensorSpec:
        return tf.TensorSpec(self._clock.shape, tf.float64)

    def _pull_from(self, iterator: Any) -> Any:
        if self._proven:
            return self._pull()
        # The element of a refused call is gone from the iterator; the same one is drawn again.
        return self._first(lambda: self._pull(), lambda: next(self.task.fresh_iterator()), iterator)

    def _learn_from(self, element: Any) -> Any:
        return self._call(element) if self._proven else self._first(lambda: self._call(element), lambda: element)

    def _call(self, element: Any) -> Any:
        with device_scope(self._device if self.jit else None):  # XLA reads no variables of another device
            return self._program(element, self._clock)

    def _stacked(self, element: Any, iterator: Iterator[Any]) -> Any:
        # Offline data: single minibatches, as many as one execution takes.
        elements = [element]
        for _ in range(self.agent.steps_per_execution - 1):
            try:
                elements.append(next(iterator))
            except StopIteration:
                break
        return tf.nest.map_structure(lambda *parts: tf.stack(parts), *elements)

    def _first(self, call: Callable[[], Any], element: Callable[[], Any], iterator: Any = None) -> Any:
        losses = self._loss_metrics()
        # Refusals come from the compiler, before anything has run.
        try:
            result = call()
        except _REFUSALS as error:
            if not self.jit or self.eager:
                raise
            self._do_without_xla(error)
            result = self._call(element())
            if iterator is not None:
                self.bind(iterator)
        self._proven = True
        if self.jit and not self.eager:
            malloc_trim.give_back()
        # Every Keras model has a metric "loss", whether its train_step feeds it or not.
        running = {metric.name for metric in self.agent.metrics if metric.name != "loss"}
        running |= {metric.name for metric in self.agent._step_metrics.all}
        if losses != self._loss_metrics():
            running.add("loss")
        self.running = frozenset(running & set(self._names))
        return result

    def _do_without_xla(self, error: Exception) -> None:
        text = f"says so beforehand. The compiler's reason: {str(error).splitlines()[0][:300]}"
        start = "XLA does not compile this model; it trains uncompiled, more slowly. compile(jit_compile=False) "
        warnings.warn(start + text, stacklevel=6)
        self.jit = False
        self._program = self._compile(False)

    def _loss_metrics(self) -> list[Any]:
        found = [metric for metric in self.agent.metrics if metric.name == "loss"]
        return [variable.numpy().tolist() for metric in found for variable in metric.variables]

    def _run(self, element: Any, clock: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
        self.traces += 1
        try:
            with optimizers.replicas.scope(self.agent.minimizer.strategy), xla(self.jit and not self.eager):
                return self._learn(element, self.agent._clock.of_times(clock))
        finally:
            self.agent._clock.leave()

    def _learn(self, element: Any, start: Clock) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return self._results(*self._steps(element, start))

    def _results(self, sums: tf.Tensor, latest: tf.Tensor, *errors: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        # From what `_steps` returns: means and latest values of the logs, errors, the number of steps; and the actor's weights.
        count = len(self._names)
        flat = [tf.reshape(each, (-1,)) for each in errors]
        logs = tf.concat([sums[:count] / tf.maximum(sums[-1], 1.0), latest[:count], *flat, sums[SLOTS:-1]], axis=0)
        return logs, ops.pieces([v.value for v in self.agent.actor.variables])

    def _steps(self, element: Any, start: Clock) -> tuple[tf.Tensor, ...]:
        # All gradient steps on one element: sums of what they log, with those of steps that count and of steps; what the last
        # one logged; and of a prioritized memory the errors of all samples.
        agent = self.agent
        agent._clock.enter(start)
        agent.minimizer.assign_learning_rates(agent.clock)
        cut = Minibatches(self.task, element, lambda batch: agent.reward_estimation.completed(batch, agent.clock))
        steps = cut.steps

        ending = agent.objective.ends_updates
        # Whether a step counts is for the optimizer to say, by its iterations. A critic has learned in any case.
        refusing = agent.critic is None and getattr(agent.optimizer, "may_refuse", False)

        def step(i: Any) -> tuple[tf.Tensor, Any]:
            agent._clock.enter(start._replace(updates=start.updates + tf.cast(i, tf.float64)))
            before = tf.identity(agent.optimizer.iterations.value) if refusing else None
            logs = gradient_step(agent, self.task, cut[i])
            taken = tf.cast(agent.optimizer.iterations.value > before, tf.float32) if refusing else tf.constant(1.0)
            self._names = list(logs)
            values = _scalars(logs)
            vector = tf.concat([values, tf.zeros((SLOTS - len(logs),)), [taken, 1.0]], axis=0)
            return vector, tf.where(agent.objective.is_last(logs), steps, i + 1) if ending else i + 1

        prioritized = "reward" not in element and self.task.memory.prioritized
        samples = cut.errors if prioritized else (0, 0)

        def another(i: Any, sums: tf.Tensor, _: tf.Tensor, *kept: tf.Tensor) -> tuple[Any, ...]:
            (found, following), errors = step(i), agent.minimizer.take_errors()
            if kept:
                _check_errors(errors, samples[1])
                kept = (tf.tensor_scatter_nd_update(kept[0], [[i]], errors[tf.newaxis]),)
            return following, sums + found, found, *kept

        sums = latest = tf.zeros((SLOTS + 2,))
        kept: Any = (tf.zeros(samples),) if prioritized else ()
        if steps == 1:
            _, sums, latest, *kept = another(0, sums, latest, *kept)
        elif self.eager:
            i: Any = 0
            while i < steps:
                i, sums, latest, *kept = another(i, sums, latest, *kept)
        else:
            # One body, traced and compiled once: the number of logs is known only when it has been traced, hence slots.
            _, sums, latest, *kept = tf.while_loop(
                lambda i, *_: i < steps, another, (0, sums, latest, *kept), maximum_iterations=steps
            )
        return sums, latest, *kept


def gradient_step(agent: Agent, task: LearningTask, batch: dict[str, Any]) -> dict[str, Any]:
    """One gradient step of a task on a minibatch, and what follows every step. Returns the logs. Runs in a program."""
    logs = dict(task.step(batch))
    if isinstance(agent.optimizer, optimizers.RoleOptimizer):
        agent.optimizer.iterations.assign_add(1)
    if agent.trainable:
        agent.target_networks.after_step(agent.clock)
    return logs


def _is_all_of_kagent(agent: Any) -> bool:
    parts = [getattr(agent, name) for name in ("prepare", "train_step", "minimize")]
    parts += [type(part) for part in (agent.objective, agent.critic_objective) if part is not None]
    return all(part.__module__.partition(".")[0] == "kagent" for part in parts)


def _has_users_code(agent: Any) -> bool:
    models = [model for role in (agent.policy, agent.critic) if role is not None for model in role.inner_models()]
    parts = [agent.optimizer, *(layer for model in models for layer in layers_of(model))]
    packages = {type(part).__module__.partition(".")[0] for part in parts}
    return not (_is_all_of_kagent(agent) and packages <= {"kagent", "keras"})


def _scalars(logs: dict[str, Any]) -> tf.Tensor:
    # What a step logs, `(number of logs,)`.
    if len(logs) > SLOTS:
        raise ValueError(f"`train_step` may return at most {SLOTS} logs. Received: {len(logs)}")
    values = {name: tf.cast(value, tf.float32) for name, value in logs.items()}
    for name, value in values.items():
        if value.shape.rank != 0:
            raise ValueError(
                f"`train_step` must return scalars to log. Received: {name!r} of shape {tuple(value.shape)}. Errors of "
                "samples for a prioritized memory go to `self.report_errors(errors)`"
            )
    return tf.stack(list(values.values()))


def _check_errors(errors: Any, samples: int) -> None:
    if errors is None:
        raise ValueError(
            "A prioritized memory needs the errors of the samples: a term of the objective gives them, Term(role, loss, batch, "
            "errors=...), or a `train_step` of your own. Received: no term with errors, and a `train_step` that did not call "
            "`agent.report_errors(errors)`"
        )
    if tuple(errors.shape) != (samples,):
        raise ValueError(
            f"`report_errors` needs one error per sample, ({samples},). Received: errors of shape {tuple(errors.shape)}"
        )
