"""The updates of an agent: when they are due, the elements that they learn from, and the work before and after each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from kagent import update
from kagent.config import vocabulary
from kagent.learning.early_estimates import EarlyEstimates
from kagent.learning.learner import Learner
from kagent.training.counters import Counters, TrainingClock
from kagent.training.update_scheduler import UpdateScheduler

if TYPE_CHECKING:
    from kagent.agent import Agent
    from kagent.parts import AgentParts


class UpdateCycle:
    """What happens around the updates of one agent, which every method is given.

    Args:
        parts: Of the agent.
        counters: Of the agent.
        clock: Of the agent.

    Attributes:
        scheduler: When updates are due.
        early_estimates: Writes the values of next observations into new rows of the memory, where the reward estimation is early.
        until: Gradient steps at which the run ends; infinite where no run has such a bound.
    """

    def __init__(self, parts: AgentParts, counters: Counters, clock: TrainingClock):
        self.scheduler, self.early_estimates = UpdateScheduler(parts, counters, clock), EarlyEstimates()
        self.until = math.inf
        self._iterating: tuple[Any, Any] | None = None  # an iterator, and what it was made of

    # Elements --------------------------------------------------------------------------------------------------

    def executions(self, agent: Agent) -> int:
        """Updates in the next call of the learner: `steps_per_execution`, or fewer where the run ends before. A call of rollouts,
        whose memory has room for all of them, is never shorter."""
        most: int = agent.steps_per_execution
        if most == 1 or self.until == math.inf or agent.memory.on_policy:  # this runs at every timestep
            return most
        steps: int = agent.update_rule.steps or 1
        return max(1, min(most, math.ceil((self.until - agent.gradient_steps) / steps)))

    def elements(self, agent: Agent, executions: int | None = None) -> Any:
        """A new iterator of the memory's packed elements, from the next one to be learned from.

        Args:
            agent: Whose memory it is.
            executions: Updates that an element is for; None: `steps_per_execution`.
        """
        executions = agent.steps_per_execution if executions is None else executions
        return agent.memory.elements(
            agent.update_rule, executions, agent._random.sample_seed, agent.counters.batches_drawn
        )

    def learn(self, agent: Agent, iterator: Any, executions: int) -> dict[str, float]:
        """One call of the learner. Returns its logs.

        Args:
            agent: The agent that learns.
            iterator: Of elements for `steps_per_execution` updates.
            executions: How many updates it makes.
        """
        if executions != agent.steps_per_execution:
            iterator, self._iterating = self.elements(agent, executions), None  # the other one falls behind
        logs: dict[str, float] = agent.train_function(iterator)
        return logs

    def fresh_iterator(self, agent: Agent) -> Any:
        """`elements`, which the learner is made ready for."""
        iterator = self.elements(agent)
        if isinstance(agent.train_function, Learner):
            agent.train_function.bind(iterator)
        return iterator

    def iterator(self, agent: Agent) -> Any:
        """The iterator of the last call where it stands at the next element still, else a fresh one.

        For a new one TensorFlow makes its program ready once more, which takes a tenth of a second and more. Where the
        train function is not kagent's own, its position is not known, and each iterator is fresh.
        """
        learner = agent.train_function
        if not isinstance(learner, Learner):
            return self.elements(agent)
        # Both counts go up together, but not where an update failed, or the agent was loaded.
        drawn = agent.counters.batches_drawn - learner.pulls
        seed = agent._random.sample_seed
        made = learner, agent.memory.storage, agent.update_rule, agent.steps_per_execution, seed, drawn
        if self._iterating is None or self._iterating[0] != made:
            self._iterating = made, self.fresh_iterator(agent)
        return self._iterating[1]

    # When ------------------------------------------------------------------------------------------------------

    def due_at(self, agent: Agent, unit: str = "timesteps") -> float:
        """Count of `unit` at which the next call of the learner is due."""
        return self.scheduler.due_at(self.executions(agent), unit)

    def is_due(self, agent: Agent) -> bool:
        """Whether an update is due now."""
        return self.scheduler.is_due(self.executions(agent))

    # Around each -----------------------------------------------------------------------------------------------

    def before(self, agent: Agent) -> None:
        """What an update needs to be done first: early estimates, and targets that follow by timesteps."""
        self.early_estimates.write(agent)
        now = agent._clock.training()
        if agent.target_networks.is_due(agent.timesteps, agent.counters.targets_moved, now):
            _move_targets(agent)
            agent.counters.targets_moved = agent.timesteps

    def after(self, agent: Agent, executions: int) -> None:
        """Counts a call of the learner, and clears a memory that is learned from once.

        Args:
            agent: The agent that learned.
            executions: How many due updates the call made; 0: none that was due.
        """
        agent.counters.batches_drawn += 1
        if agent.memory.on_policy:
            agent.memory.clear()
        elif executions:
            self.scheduler.pass_on(executions)

    def after_program(self, agent: Agent, updates: int) -> None:
        """Counts updates whose program has collected what it learned from."""
        agent.counters.batches_drawn += updates
        if not agent.memory.on_policy:
            self.scheduler.pass_on(updates)

    def after_offline(self, agent: Agent, steps: int) -> None:
        """Moves the targets after so many gradient steps without timesteps, as often as they would move while playing."""
        if agent.objective.targets and agent.target.unit == "timesteps":
            rule, now = agent.update_rule, agent._clock.training()
            frequency: Any = rule.period_at(now)
            frequency = 1 if frequency == math.inf else int(frequency)
            if rule.unit == "episodes":
                frequency *= max(1, agent.timesteps // max(1, agent.episodes))
            period = max(1, agent.target.period_at(now) * (rule.steps or 1) // frequency)
            if agent.gradient_steps // period > (agent.gradient_steps - steps) // period:
                _move_targets(agent)


class UpdateTask:
    """The learner's task in training: the agent's own memory, `prepare` and `train_step`.

    Args:
        agent: The agent that learns.
    """

    def __init__(self, agent: Agent):
        self.agent = agent

    @property
    def memory(self) -> Any:
        """Where elements come from."""
        return self.agent.memory

    def fresh_iterator(self) -> Any:
        """An iterator of elements, which the learner is made ready for."""
        return self.agent._update_cycle.fresh_iterator(self.agent)

    def prepare(self, experience: dict[str, Any]) -> dict[str, Any]:
        """`Agent.prepare`."""
        return self.agent.prepare(experience)

    def step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One gradient step, with the user's metrics of its logs.

        Raises:
            TypeError: A `train_step` of the user's returns something else than a dict.
            KeyError: It reads what the batch does not have; a note to the error says what there is.
        """
        try:
            given = self.agent.train_step(batch)
        except KeyError as error:
            if error.args and isinstance(error.args[0], str) and error.args[0] not in batch:
                hint = vocabulary.hints([error.args[0]], list(batch))
                error.add_note(
                    f"The batch of `train_step` has no {error.args[0]!r}.{hint} It has: {', '.join(sorted(batch))}"
                )
            raise
        if not isinstance(given, dict):
            raise TypeError(
                f"`train_step` must return a dict of scalars to log. Received: {given!r} ({type(given).__name__})"
            )
        logs: dict[str, Any] = self.agent._step_metrics.take(given)
        return logs

    def after_offline(self, steps: int) -> None:
        """Called after gradient steps on data that are not of the memory."""
        self.agent._update_cycle.after_offline(self.agent, steps)


def make_train_function(agent: Agent, force: bool = False) -> Any:
    """Keras's seam: `train_function(iterator)` is the compiled learner."""
    if agent._trainability.has_changed() or agent.train_function is None or force:
        jit, eager = bool(agent.jit_compile), bool(agent.run_eagerly)
        agent.train_function = Learner(agent, UpdateTask(agent), jit=jit, eager=eager)
    return agent.train_function


def update_once(agent: Agent, due: bool) -> dict[str, float]:
    """One update of an agent, due or requested, and its events. Returns its logs."""
    trainer = agent._run.trainer
    own = trainer is None and agent._occupation.running is None  # else a callback of `fit` requested it
    if own:
        agent._own_callbacks.begin(agent)
    with agent._occupation.of("update"):
        agent.make_train_function()
        iterator = agent._update_cycle.iterator(agent) if trainer is None else trainer.iterator
        if own:
            agent._own_callbacks.update_begin(agent)
        for hook in trainer.update_hooks if trainer is not None else ():
            hook.on_update_begin(agent.updates, {})
        agent._update_cycle.before(agent)
        logs: dict[str, float] = agent.train_function(iterator)
        agent._update_cycle.after(agent, agent.steps_per_execution if due else 0)
        if trainer is not None:
            trainer.requested.append(logs)
            for hook in trainer.requested_hooks:
                hook.on_requested_update_end(agent.updates, dict(logs))
        elif own:
            agent._own_callbacks.update_end(agent, logs)
    return logs


def _move_targets(agent: Agent) -> None:
    if agent.trainable:
        agent.target_networks.move_now(agent._clock.training(), bool(agent.jit_compile), agent.run_eagerly)


def report_errors(agent: Agent, errors: Any) -> None:
    """Gives a prioritized memory the errors of a minibatch's samples, by which it draws them from then on.

    Call it in a `train_step` of your own, once in a step, and set `gives_errors = True` in the class. Objectives of
    kagent that give errors call it themselves, so `super().train_step(batch)` does too. Other memories ignore them.

    Args:
        errors: `(B,)`, one for each sample; their absolute values count.

    Example:

    >>> class Agent(kagent.DQN):
    ...     gives_errors = True
    ...     def train_step(self, batch):
    ...         value, logs = self.minimize("policy", self.my_loss, batch)
    ...         self.report_errors(logs.pop("error_of_each_sample"))
    ...         return {"loss": value, **logs}
    """
    agent.minimizer.errors = tf.abs(tf.stop_gradient(tf.cast(errors, tf.float32)))


def reschedule(agent: Agent, rule: Any) -> None:
    """Takes an update rule from now on. What was due by another one is past; what is due by the same one, or was left
    to the user ("never"), is not.

    Args:
        rule: As `update` of the constructor.

    Raises:
        ValueError, TypeError: The memory does not suit it.
        RuntimeError: The agent is in the middle of `fit` or another method.
    """
    agent._occupation.refuse("reschedule")
    rule = update.get(rule)
    agent.memory.configure(rule, agent.reward_estimation, agent._clock.training)
    agent._update_cycle.scheduler.take(rule)
