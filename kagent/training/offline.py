"""Offline training: gradient steps on recorded episodes, without an environment."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from kagent import traces
from kagent.callbacks.callback import forget_unknown, hooks_of, listed, overrides_batch_events
from kagent.callbacks.csv_columns import with_columns
from kagent.config import run_length
from kagent.config.checks import check_count
from kagent.config.run_length import Bounds
from kagent.datasets import Episodes
from kagent.diagnosis.recorded import RecordedSteps
from kagent.learning.divergence import check_weights
from kagent.memories.sequences import RecentSequences
from kagent.policies.unrolled import carried_sizes
from kagent.training import evaluator, experience
from kagent.training.episode_streams import OrderError
from kagent.training.metrics import UpdateMetrics, validation_logs
from kagent.training.own_callbacks import Counts

_LOOKED_AT = 50_000  # timesteps that the doctor sees


def fill_memory(agent: Any, episodes: Episodes) -> int:
    """Puts recorded episodes into an agent's memory, in place of what an earlier call put there.

    Statistics of `preprocessing` that have seen nothing yet become those of all the episodes first; others stay.

    Args:
        agent: Whose memory it is.
        episodes: What is put there.

    Returns:
        The timesteps of the episodes.

    Raises:
        ValueError: A recurrent network. The memory holds other experience, or is too small; or it is one that offline training
            has no use for. A trace is not of the agent's spaces. Nothing has changed then.
    """
    memory = agent.memory
    if carried_sizes(agent.policy, agent.critic):
        raise ValueError(
            "`fit` of recorded episodes is for networks without recurrent layers: a trace holds no states, in which sequences begin. "
            f"Received: {type(agent).__name__} with recurrent layers"
        )
    if memory.on_policy or isinstance(memory, RecentSequences):
        raise ValueError(
            f"`fit` of recorded episodes needs a replay memory, from which they are drawn again and again. Received: an agent with "
            f"a {type(memory).__name__}. It learns from recorded episodes by `agent.pretrain(directory, num_iterations)`"
        )
    held = len(memory) if memory.built else 0
    # A full memory has overwritten what was recorded, and is as long as before.
    arrived = max(held, getattr(memory, "total", 0)) if held else 0
    if arrived and arrived != agent._run.recorded:
        raise ValueError(
            f"The memory holds {held} transitions that are not of recorded episodes, and `fit` of such would replace them. "
            "`agent.memory.clear()` it first, or add the episodes by `agent.pretrain`"
        )
    timesteps, masked = _survey(agent, episodes)
    capacity = getattr(memory, "capacity", None)
    if capacity is not None and timesteps > capacity:
        raise ValueError(
            f"`memory` must have room for all {timesteps} timesteps of the recorded episodes. Received: capacity={capacity}"
        )
    before = None if agent.preprocessing is None else copy.deepcopy(agent.preprocessing.statistics())
    other = copy.copy(memory)  # building allocates anew
    try:
        other.build(agent._observation, agent._action, masked=masked, num_envs=1)
        if before is not None and not _has_learned(before):
            for trace in episodes.checked(agent._raw_observation, agent._action):
                experience.transitions_of(agent, trace, masked)
        for trace in episodes.checked(agent._raw_observation, agent._action):
            other.append_sequence(experience.transitions_of(agent, trace, masked, learn=False))
    except BaseException:
        if before is not None:
            agent.preprocessing.set_statistics(before)
        raise
    memory.take(other)
    agent._run.recorded = len(memory)
    return timesteps


def _survey(agent: Any, episodes: Episodes) -> tuple[int, bool]:
    # Timesteps, and whether there are masks.
    timesteps, masked = 0, set()
    for trace in episodes.checked(agent._raw_observation, agent._action):
        timesteps += len(trace["reward"])
        masked.add(any(name.partition("/")[0] == "action_mask" for name in trace))
        ends = trace.get("end_observed", np.True_)
        if agent.reward_estimation.estimate_terminal and not ends.all():
            raise ValueError(
                "'end_observed' of recorded episodes must be True everywhere, because reward_estimation.estimate_terminal=True "
                f"estimates what the end is worth. Received: {episodes.source}, with an end that was not observed"
            )
    if len(masked) > 1:
        raise ValueError(f"Recorded episodes must have action masks always or never. Received: {episodes.source}")
    return timesteps, masked.pop()


def recorded_steps(agent: Any, episodes: Episodes) -> Iterator[RecordedSteps]:
    """Recorded episodes as an agent sees them, trace by trace: of many every n-th, about 50,000 timesteps together."""
    stride = 1
    for number in range(len(episodes)):
        if number % stride:
            continue
        (trace,) = episodes[number : number + 1].checked(agent._raw_observation, agent._action)
        masked = any(name.partition("/")[0] == "action_mask" for name in trace)
        observation, raw_reward, _ = experience.raw_steps(agent, trace)
        seen = experience.transitions_of(agent, trace, masked, learn=False)
        taken = [trace[traces.array_name("action", leaf)] for leaf in agent._action.leaves]
        yield RecordedSteps(
            observation, seen.observation, taken, seen.action, np.asarray(raw_reward), seen.reward, trace["terminated"],
            trace["truncated"], seen.mask,
        )  # fmt: skip
        if number == 0:
            stride = max(1, len(episodes) * len(raw_reward) // _LOOKED_AT)


def _has_learned(statistics: list[list[dict[str, np.ndarray]]]) -> bool:
    return any(float(np.max(part["weight"])) > 0 for parts in statistics for part in parts if "weight" in part)


class OfflineTrainer:
    """Learns from what is in the memory, epoch by epoch, with the events of Keras's training.

    Args:
        agent: The agent that learns.
        callbacks: Of Keras and of kagent.
        origin: From where the run counts.
        steps_per_epoch: Gradient steps of an epoch.
        initial_epoch, epochs: Number of the first epoch, and of the one behind the last.
        updates: Gradient steps at which it ends, absolute.
        validation: As of `Trainer`, or None.
    """

    def __init__(
        self,
        agent: Any,
        callbacks: keras.callbacks.CallbackList,
        origin: Counts,
        steps_per_epoch: int,
        initial_epoch: int,
        epochs: int,
        updates: float,
        validation: Any,
    ):
        self.agent, self.callbacks, self.validation = agent, callbacks, validation
        self._origin, self._steps, self._initial, self._epochs = origin, steps_per_epoch, initial_epoch, epochs
        self._until = min(updates, origin.updates + (epochs - initial_epoch) * steps_per_epoch)
        self._losses = UpdateMetrics()

    def train(self) -> None:
        """Trains until a bound is reached, or a callback sets `stop_training`."""
        agent, callbacks = self.agent, self.callbacks
        agent.make_train_function()
        agent.stop_training = False
        agent._initial_epoch = agent._run.known = None  # BackupAndRestore sets both where a run goes on
        agent._clock.bounds = Bounds(updates=self._until)
        callbacks.on_train_begin()
        agent._clock.bounds = Bounds(updates=self._until)  # a checkpoint has its own
        agent._update_cycle.until = self._until
        try:
            logs = self._walk()
        finally:
            agent._update_cycle.until = math.inf
        callbacks.on_train_end(logs)
        agent.actor.expire()

    def _walk(self) -> Any:
        agent, callbacks = self.agent, self.callbacks
        passed = (agent.updates - self._origin.updates) // self._steps
        epoch, logs = agent._initial_epoch or self._initial + max(0, passed), None
        if agent._run.known is not None:
            self._losses.last = agent._run.known["update"]
        agent.memory.check(agent.update_rule.batch_size)
        hooks = hooks_of(callbacks)
        self._begin_hooks = [hook for hook in hooks if hook.overrides("on_update_begin")]
        self._end_hooks = [hook for hook in hooks if hook.overrides("on_update_end")]
        self._calls_batches = overrides_batch_events(callbacks)
        self._iterator = agent._update_cycle.iterator(agent)
        if not (epoch < self._epochs and agent.updates < self._until):
            warnings.warn(
                f"fit takes 0 gradient steps: its bound is reached. The agent has {agent.updates:,}. To train on, give larger bounds, "
                "or, for a new run, another directory of checkpoints.",
                stacklevel=6,
            )
        while epoch < self._epochs and self._goes_on(self._until):
            logs = self._epoch(epoch)
            epoch += 1
        if hasattr(agent.optimizer, "finalize_variable_values") and logs is not None:
            agent.optimizer.finalize_variable_values(agent.trainable_variables)
        return logs

    def _goes_on(self, until: float) -> bool:
        return self.agent.updates < until and not self.agent.stop_training

    def _epoch(self, epoch: int) -> dict[str, Any]:
        agent, callbacks = self.agent, self.callbacks
        agent.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        agent.actor.expire()  # callbacks may have exchanged weights
        begin = self._origin.updates + (epoch - self._initial) * self._steps
        while self._goes_on(min(begin + self._steps, self._until)):
            self._update(begin)
        logs: dict[str, Any] = self._losses.epoch(agent.train_function)
        logs["updates"] = agent.updates
        agent._run.known = {"episode": (math.nan,) * 3, "update": self._losses.last}
        if agent._run.refuses_divergence:
            check_weights(agent)  # before a callback saves them
        validation = self.validation
        if validation is not None and run_length.is_among(epoch, validation.frequency):
            logs |= _evaluated(agent, validation, callbacks)
        callbacks.on_epoch_end(epoch, logs)
        forget_unknown(callbacks)
        return logs

    def _update(self, begin: int) -> None:
        agent, cycle = self.agent, self.agent._update_cycle
        if not agent.memory.has_any:
            raise OrderError("The recorded episodes are gone: `memory` was cleared while `fit` learned from them")
        if self._calls_batches:
            self.callbacks.on_train_batch_begin(agent.updates - begin)
        for hook in self._begin_hooks:
            hook.on_update_begin(agent.updates, {})
        cycle.early_estimates.write(agent)
        before = agent.gradient_steps
        logs = cycle.learn(agent, self._iterator, cycle.executions(agent))
        agent.counters.batches_drawn += 1
        cycle.after_offline(agent, agent.gradient_steps - before)
        self._losses.update(logs)
        if self._calls_batches:
            self.callbacks.on_train_batch_end(max(agent.updates - begin - 1, 0), dict(logs))
        for hook in self._end_hooks:
            hook.on_update_end(agent.updates, dict(logs))


class Validating(keras.callbacks.Callback):
    """Evaluates at the ends of epochs of Keras's own `fit`, and adds the results to the logs of the callbacks behind it.

    Args:
        agent: The agent that learns.
        validation: As of `Trainer`.
    """

    def __init__(self, agent: Any, validation: Any):
        super().__init__()
        self.agent, self.validation = agent, validation

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Evaluates, where the epoch is one of those for it."""
        if logs is not None and run_length.is_among(epoch, self.validation.frequency):
            logs |= _evaluated(self.agent, self.validation, keras.callbacks.CallbackList([], model=self.agent))


def validating(agent: Any, validation: Any, callbacks: Any) -> Any:
    """Callbacks of `fit`, in a new list with a `Validating` before them, where there is a validation.

    Raises:
        TypeError: A `CallbackList`, into which none is put, beside a validation.
    """
    if validation is None:
        return callbacks
    if isinstance(callbacks, keras.callbacks.CallbackList):
        raise TypeError("`callbacks` must be a list beside `validation_env` and a dataset. Received: a CallbackList")
    names = validation_logs(validation.environments.records_returns)
    return [Validating(agent, validation), *with_columns(listed(callbacks), names)]


def _evaluated(agent: Any, validation: Any, callbacks: Any) -> dict[str, Any]:
    found = evaluator.evaluate_in(agent, validation.environments, validation.episodes, True, None, callbacks)
    return {f"val_{name}": value for name, value in found.items() if not isinstance(value, list)}


class Length(NamedTuple):
    """Arguments of `fit` about how long offline training is.

    Attributes:
        steps_per_epoch, epochs, initial_epoch, updates, max_updates: As of `fit`.
    """

    steps_per_epoch: Any
    epochs: Any
    initial_epoch: int
    updates: Any
    max_updates: Any

    def divide(self, agent: Any, timesteps: int, origin: Counts) -> tuple[int, int, float]:
        """How training is divided, and where it ends.

        Args:
            agent: The agent that learns.
            timesteps: Of the recorded episodes.
            origin: How far the agent is.

        Returns:
            Gradient steps of an epoch, the number of the epoch behind the last, and the absolute bound on gradient steps.

        Raises:
            ValueError: An argument outside its range.
        """
        given = self.steps_per_epoch
        a_pass = -(-timesteps // agent.update_rule.batch_size)
        steps, until = check_count(a_pass if given is None else given, "steps_per_epoch"), math.inf
        if self.updates is not None or self.max_updates is not None:
            until = run_length.of_run("fit", origin, updates=self.updates, max_updates=self.max_updates).updates
        if self.epochs is not None:
            return steps, check_count(self.epochs, "epochs"), until
        if until == math.inf:  # one pass, or with `max_updates=math.inf` for ever
            return steps, self.initial_epoch + 1 if self.max_updates is None else 2**31, until
        return steps, self.initial_epoch + max(0, math.ceil((until - origin.updates) / steps)), until
