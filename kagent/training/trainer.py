"""The trainer: one `fit`, from its first reset to its last update."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from kagent.callbacks.callback import forget_unknown, hooks_of, overrides_batch_events
from kagent.config import run_length
from kagent.environments import Environments
from kagent.environments.episode_seeds import EpisodeSeeds
from kagent.environments.stream import NextSeed
from kagent.learning.divergence import check_weights
from kagent.memories.compatibility import is_made_for
from kagent.training import evaluator
from kagent.training.collector import Collector, Episode
from kagent.training.episode_events import EpisodeEvents
from kagent.training.metrics import EpisodeMetrics, UpdateMetrics
from kagent.training.own_callbacks import Counts, counts_of


class Validation(NamedTuple):
    """What is evaluated at the ends of epochs: in which environments, how many episodes, and of which epochs."""

    environments: Environments
    episodes: int
    frequency: int | Sequence[int]


class Trainer:
    """Collects, learns and calls callbacks, epoch by epoch, until a bound is reached.

    Args:
        agent: The agent that is trained.
        environments: Where.
        callbacks: Of Keras and of kagent.
        bounds: Absolute ones, in timesteps, episodes and gradient steps.
        origin: From where the run counts.
        steps_per_epoch: Timesteps of an epoch, or "episode".
        initial_epoch: Number of the first epoch.
        validation: What is evaluated at the ends of epochs; None: nothing.

    Attributes:
        collector: Who walks the environments.
        iterator: The memory's elements that this run learns from.
        requested: Logs of the updates that callbacks requested in this epoch.
        update_hooks, requested_hooks: The callbacks that override `on_update_begin`, and `on_requested_update_end`.
    """

    def __init__(
        self,
        agent: Any,
        environments: Any,
        callbacks: keras.callbacks.CallbackList,
        bounds: run_length.Bounds,
        origin: Counts,
        steps_per_epoch: Any,
        initial_epoch: int,
        validation: Validation | None,
    ):
        self.agent, self.callbacks, self.bounds, self.validation = agent, callbacks, bounds, validation
        self._origin, self._initial_epoch = origin, initial_epoch
        self._steps_per_epoch, self._by_episode = steps_per_epoch, run_length.is_episode(steps_per_epoch)
        self.collector: Any = self._make_collector(environments)
        self.metrics, self.losses = EpisodeMetrics(self.collector.records_returns), UpdateMetrics()
        self.iterator: Any = None
        self.requested: list[dict[str, float]] = []
        self._finished: list[Episode] = []
        self._events = EpisodeEvents((), self._by_episode)
        self.update_hooks: list[Any] = []
        self.requested_hooks: list[Any] = []
        self._end_hooks: list[Any] = []
        self._calls_batches = False

    def _make_collector(self, environments: Any) -> Any:
        agent = self.agent
        agent.memory.use_environments(environments)
        return Collector(agent.actor, agent.explorer, agent._adapter.environments(environments, learn=True))

    @property
    def learner(self) -> Any:
        """What learns: `learner(iterator)` is one call."""
        return self.agent.train_function

    # The run ---------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Trains until a bound is reached, with the events of Keras's training."""
        agent, callbacks = self.agent, self.callbacks
        agent.make_train_function()
        agent.stop_training = False
        agent._initial_epoch = agent._run.known = None  # BackupAndRestore sets both where a run goes on
        before = counts_of(agent)
        callbacks.on_train_begin()
        # Who loads a checkpoint there need not know epochs: those that it has behind it follow from its counters.
        passed = (
            agent.episodes - self._origin.episodes
            if self._by_episode
            else (agent.timesteps - self._origin.timesteps) // self._steps_per_epoch
        )
        epoch = agent._initial_epoch or self._initial_epoch + max(0, passed)
        now = counts_of(agent)
        if any(count >= bound for count, bound in zip(now, self.bounds)):
            callbacks.on_train_end(None)  # there is nothing to do, for environments neither
            self._warn_of_reached_bound(before)
            return
        agent._update_cycle.until = self.bounds.updates
        try:
            with agent._occupation.walk():
                logs = self._walk(epoch)
        finally:
            agent._update_cycle.until = math.inf
        callbacks.on_train_end(logs)
        agent.actor.expire()

    def _walk(self, epoch: int) -> Any:
        agent = self.agent
        self._start()
        if agent._run.known is not None:
            self.metrics.last, self.losses.last = agent._run.known["episode"], agent._run.known["update"]
        self._make_ready()
        logs, self._calls_batches = None, overrides_batch_events(self.callbacks)
        last = keras.config.max_epochs() or math.inf
        while epoch < last and self._goes_on(self.bounds.timesteps):
            logs = self._epoch(epoch)
            epoch += 1
        if hasattr(agent.optimizer, "finalize_variable_values") and epoch > self._initial_epoch:
            agent.optimizer.finalize_variable_values(agent.trainable_variables)
        agent._update_cycle.early_estimates.write(agent)
        agent._run.open_episodes = self.collector.state()
        return logs

    def _start(self) -> None:
        agent, collector = self.agent, self.collector
        hooks = hooks_of(self.callbacks)
        self._events = EpisodeEvents(hooks, self._by_episode)
        self.update_hooks = [hook for hook in hooks if hook.overrides("on_update_begin")]
        self.requested_hooks = [hook for hook in hooks if hook.overrides("on_requested_update_end")]
        self._end_hooks = [hook for hook in hooks if hook.overrides("on_update_end")]
        agent._run.trainer = self
        state = agent._run.take_episodes(collector.in_program)
        own_loop = agent._interaction.leave()  # its episodes end here
        agent._adapter.restart()
        lost = collector.start(self._seeds(), state)
        self._events.start(agent.episodes, np.flatnonzero(collector.lengths == 0))
        if lost:
            warnings.warn(
                f"The open episodes of environment(s) {lost} could not be brought back: replaying their seed and actions "
                "gave another observation, or their actions were not kept. The environment is another one or not "
                "deterministic, or the episode is longer than `replay_limit`; new episodes begin.",
                stacklevel=5,
            )
        self._open_memory(None if own_loop else state, lost)
        agent.actor.expire()

    def _seeds(self) -> NextSeed:
        # Those of several environments do not depend on each other, so that workers which share them get the same ones.
        agent, collector = self.agent, self.collector
        draw: NextSeed = agent.next_seed
        return draw if collector.in_program or len(collector.lengths) == 1 else EpisodeSeeds(draw)

    def _open_memory(self, state: dict[str, Any] | None, lost: Sequence[int]) -> None:
        agent, environments = self.agent, self.collector.environments
        count, masked, memory = environments.num_envs, environments.mask is not None, agent.memory
        if not is_made_for(memory, count, masked):
            memory.build(agent._observation, agent._action, masked=masked, num_envs=count)
        else:
            # What follows an open episode's last timestep in the memory is another episode.
            restored = state is not None and environments.replayable and len(state["lengths"]) == count
            memory.cut_episodes(lost if restored else range(memory.num_envs))
            memory.set_num_envs(count)
        memory.check(agent.update_rule.batch_size)

    def _make_ready(self) -> None:
        self.iterator = self.agent._update_cycle.iterator(self.agent)

    def _goes_on(self, steps: float) -> bool:
        agent = self.agent
        return agent.timesteps < steps and agent.episodes < self.bounds.episodes and self._learns_on()

    def _learns_on(self) -> bool:
        return self.agent.updates < self.bounds.updates and not self.agent.stop_training

    def _epoch(self, epoch: int) -> dict[str, Any]:
        agent, callbacks = self.agent, self.callbacks
        agent.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        if self._by_episode:
            self._events.call_begins()
        agent.actor.expire()  # callbacks may have exchanged weights
        begin, clock = agent.timesteps, time.perf_counter()
        end, end_episodes = self.bounds.timesteps, self.bounds.episodes
        if self._by_episode:
            end_episodes = agent.episodes + 1
        else:
            passed = (epoch - self._initial_epoch + 1) * self._steps_per_epoch
            end = min(self._origin.timesteps + passed, end)
        while self._goes_on(end) and agent.episodes < end_episodes:
            self._advance(end, end_episodes, begin, clock)
        if self._by_episode:
            self._events.call_ends()
        self._note_episodes()
        requested, self.requested = self.requested, []
        for step_logs in requested:
            self.losses.update(step_logs)
        logs: dict[str, Any] = self.losses.epoch(self.learner)
        logs |= self.metrics.epoch(agent, agent.timesteps - begin, time.perf_counter() - clock)
        agent._run.known = {"episode": self.metrics.last, "update": self.losses.last}
        if agent._run.refuses_divergence:
            check_weights(agent)  # before a callback saves them
        validation = self.validation
        if validation is not None and run_length.is_among(epoch, validation.frequency):
            found = evaluator.evaluate_in(agent, validation.environments, validation.episodes, True, None, callbacks)
            logs |= {f"val_{name}": value for name, value in found.items() if not isinstance(value, list)}
        callbacks.on_epoch_end(epoch, logs)
        forget_unknown(callbacks)
        return logs

    def _advance(self, end: float, end_episodes: float, begin: int, clock: float) -> None:
        # Collects until an update is due, and makes those that are.
        agent, cycle = self.agent, self.agent._update_cycle
        full = agent.memory.filled if agent.memory.on_policy else None
        due, due_episodes = cycle.due_at(agent), cycle.due_at(agent, "episodes")
        self._collect(min(due, end), min(due_episodes, end_episodes), full)
        while self._learns_on() and cycle.is_due(agent):
            self._update(begin, clock)

    def _collect(self, until: float, episodes: float, full: Any) -> None:
        """Takes steps until the agent's counters reach a bound, `full()` is true, or `stop_training` is set.

        Args:
            until: Bound in timesteps; the last step of N environments may go beyond it.
            episodes: Bound in finished episodes.
            full: Further condition, evaluated first and after each step; or None.
        """
        agent, collector, events = self.agent, self.collector, self._events
        counters = agent.counters
        if (full is not None and full()) or counters.episodes >= episodes:
            return  # the agent was stopped, and perhaps saved, before it learned from this
        collector.exploration = agent.explorer
        step, settle, clock_at, rng = collector.step, collector.settle, agent._clock.at, agent._random["act"]
        append, count, watched = agent.memory.append_leaves, collector.environments.num_envs, events.watched
        timesteps = counters.timesteps
        while timesteps < until:
            taken = step(clock_at(timesteps), rng)
            outcome = taken.outcome
            valid = None if outcome.all_valid else outcome.valid
            append(
                taken.observation, taken.action, outcome.reward, outcome.terminated, outcome.truncated,
                outcome.next_observation, valid, taken.mask, outcome.next_mask, taken.actor_state,
            )  # fmt: skip
            timesteps += count if valid is None else int(valid.sum())
            counters.timesteps = timesteps
            # Before a callback is called for the step, so that an agent saved by one is whole.
            ended = settle()
            if ended:
                counters.episodes += len(ended)
                self._finished += [episode for _, episode in ended]
            if watched:
                events.timestep_end(timesteps, taken)
            if ended:
                events.episodes_ended(counters.episodes - len(ended), ended)
                if counters.episodes >= episodes:
                    return
            if (full is not None and full()) or agent.stop_training:
                return

    def _update(self, epoch_begin: int, clock: float) -> None:
        agent, callbacks, cycle = self.agent, self.callbacks, self.agent._update_cycle
        # Several updates may have come due in one step of many environments: each at its own time.
        before = agent.timesteps
        batch = min(before, cycle.due_at(agent)) - epoch_begin - 1
        if self._calls_batches:
            callbacks.on_train_batch_begin(max(batch, 0))
        for hook in self.update_hooks:
            hook.on_update_begin(agent.updates, {})
        logs = self._learn()
        self.losses.update(logs)
        batch += agent.timesteps - before  # a program may have taken them
        if self._calls_batches:
            self._note_episodes()
            live = self.metrics.live(agent.timesteps - epoch_begin, time.perf_counter() - clock)
            callbacks.on_train_batch_end(max(batch, 0), {**logs, **live})
        for hook in self._end_hooks:
            hook.on_update_end(agent.updates, dict(logs))

    def _learn(self) -> dict[str, float]:
        agent, cycle = self.agent, self.agent._update_cycle
        cycle.before(agent)
        executions = cycle.executions(agent)
        logs: dict[str, float] = cycle.learn(agent, self.iterator, executions)
        cycle.after(agent, executions)
        return logs

    def _note_episodes(self) -> None:
        finished, self._finished = self._finished, []
        self.metrics.update(finished)

    def _warn_of_reached_bound(self, before: Counts) -> None:
        now = counts_of(self.agent)
        said = [f"{n:,} of {m:,.0f} {name}" for n, m, name in zip(now, self.bounds, now._fields) if n >= m]
        loaded = " A checkpoint was loaded which has them." if now != before else ""
        warnings.warn(
            f"fit trains 0 steps: its bound is reached. The agent has {' and '.join(said)}.{loaded} To train on, give larger "
            "bounds, or, for a new run, another directory of checkpoints.",
            stacklevel=4,
        )


@contextlib.contextmanager
def divergence_refused(agent: Any, callbacks: Any) -> Iterator[None]:
    """Within it, a loss that is not finite is an error, but for Keras's callback that ends training by itself."""
    given = getattr(callbacks, "callbacks", callbacks)
    agent._run.refuses_divergence = not any(isinstance(one, keras.callbacks.TerminateOnNaN) for one in given)
    try:
        yield
    finally:
        agent._run.refuses_divergence = True
