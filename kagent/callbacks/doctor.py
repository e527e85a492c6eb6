"""The doctor: watches a training and says what goes wrong."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.callbacks import doctor_records
from kagent.callbacks.callback import Callback, agent_of
from kagent.callbacks.checkpoint import Checkpoint
from kagent.callbacks.vital_signs import Movement, settings_of
from kagent.config.checks import check_count
from kagent.diagnosis import random_play
from kagent.diagnosis.experience import Experience
from kagent.diagnosis.finding import Finding, report
from kagent.diagnosis.joined import joined
from kagent.diagnosis.record import Record
from kagent.diagnosis.recorded import Survey, about
from kagent.diagnosis.rules import diagnose
from kagent.schedules import evaluate

_PERIOD = 5000  # timesteps between two examinations
_STEPS = 1000  # gradient steps between two of offline learning
_FEWEST = 5  # episodes before random play is worth its time


class Doctor(Callback):
    """Watches a `fit` and says in words what goes wrong, with numbers and what to try.

    The rules are those of `kagent.diagnosis`; the guide on the doctor has a section for each. Severe findings are warnings,
    once each, while training goes on; at its end there is a report of at most 80 columns. The doctor draws from no random
    stream of the agent and touches none of its environments: the agent learns the same with it and without.

    It looks at every n-th timestep, and every 5,000 timesteps at an epoch's end. A step of all environments takes 3 microseconds
    longer with it, and such a look 2 milliseconds (small networks, one core): 1 to 2 % of what DQN, or PPO with 8 environments,
    takes on CartPole. Random play is at most 5,000 timesteps of an environment of its own, once.

    With `checkpoint` its record is kept beside each of the checkpoints, and in a resumed run it goes on with the record of the
    checkpoint that the agent goes on from. Without, it watches from there on. The same object in a further `fit` of the same
    agent goes on.

    Of a `fit` of recorded episodes it looks at these once (about 50,000 timesteps) and every 1,000 gradient steps at the agent: rewards,
    scales, constant entries, actions; whether values exceed the returns that were recorded, whether the policy leaves the data, and
    with a `validation_env` whether it is worse than they are.

    Args:
        baseline: What agents have to be better than. "auto": ten episodes of random play in another environment made as those
            of `fit` are, where these say how (those of an id, or of `gymnasium.make`, do). An id or a callable:
            environments for it. Numbers: returns that are known. None: there is none, and the first episodes of training take
            its place.
        checkpoint: The `Checkpoint` of the run, before this one in the list of callbacks. The records are files
            `<checkpoint>.doctor.json` in its directory; they are deleted with the checkpoints.
        every: Timesteps (of all environments together one) from one that is looked at to the next.
        verbose: 1: warnings and the report. 0: neither; read `findings`.

    Attributes:
        findings: `kagent.diagnosis.Finding` objects, the most severe first: of the end, or of the last look.
        record: The `kagent.diagnosis.Record` that they are of.

    Raises:
        TypeError, ValueError: A bad argument, at once; no agent, when training begins.

    Example:

    >>> agent = kagent.PPO("CartPole-v1", learning_rate=0.1, seed=0)
    >>> doctor = Doctor(verbose=0)
    >>> history = agent.fit("CartPole-v1", steps=20_000, callbacks=[doctor], verbose=0)
    >>> for finding in doctor.findings:
    ...     name, try_first = finding.name, finding.advice[0]
    """

    def __init__(
        self, baseline: Any = "auto", *, checkpoint: Checkpoint | None = None, every: int = 10, verbose: int = 1
    ):
        super().__init__()
        if checkpoint is not None and not isinstance(checkpoint, Checkpoint):
            raise TypeError(f"`checkpoint` must be a kagent.callbacks.Checkpoint or None. Received: {checkpoint!r}")
        self.checkpoint = checkpoint
        self.baseline = _checked(baseline)
        self.every = check_count(every, "every")
        if verbose not in (0, 1):
            raise ValueError(f"`verbose` must be 0 or 1. Received: {verbose!r}")
        self.verbose = int(verbose)
        self.findings: list[Finding] = []
        self.record = Record()
        self._agent: Any = None
        self._counts: tuple[int, int, int] | None = None  # the agent's, when the last fit ended

    def overrides(self, event: str) -> bool:
        if event == "on_update_end" and self.checkpoint is None:
            return False  # the logs of each update would be fetched for nothing
        return super().overrides(event)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        agent = agent_of(self)
        if agent is self._agent and self._counts == _counts(agent):
            return
        self._agent, self.findings, self.record = agent, [], Record()
        self._experience = Experience(agent._raw_observation, agent._observation, agent._action)
        self._movement = Movement(agent)
        self._history: dict[str, list[float]] = {}
        self._returns: tuple[float, ...] | None = None  # of random play
        self._unplayed = ""  # why there are none
        self._warned: set[str] = set()
        self._earlier: Record | None = None  # what was seen before a checkpoint
        self._kept: Any = None  # the checkpoint beside which the newest record is
        self._begun = False
        self._survey: Survey | None = None  # of recorded episodes
        self._steps, self._examined, self._examined_steps = 0, agent.timesteps, agent.gradient_steps
        self._ends: tuple[Any, Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Not in on_train_begin: a callback behind this one may load a checkpoint there.
        self._movement.begin()
        if not self._begun and self.checkpoint is not None:
            self._kept = self.checkpoint.newest
            self._earlier = doctor_records.read(self._kept, self.model.timesteps + self.model.gradient_steps)
            self._returns = (self._earlier and self._earlier.baseline) or None
        if not self._begun and self.model._run.recorded_steps is not None:
            agent = self.model
            discount = float(evaluate(agent.reward_estimation.discount, agent.clock))
            self._survey = Survey(self._experience, agent._action, discount)
            for steps in agent._run.recorded_steps():
                self._survey.add(steps)
        self._begun = True

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._keep()

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self._ends = logs["terminated"], logs["truncated"]
        self._steps += 1
        if self._steps % self.every == 0:
            self._experience.timestep(
                logs["raw_observation"], logs["observation"], logs["action"], logs["raw_reward"], logs["reward"],
                logs["action_mask"], logs["valid"],
            )  # fmt: skip

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        env, cut = logs["env"], None
        if self._ends is not None:
            terminated, truncated = self._ends
            cut = bool(truncated[env]) and not bool(terminated[env])
        self._experience.episode(float(logs["episode_return"]), int(logs["episode_length"]), cut)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        epochs = max(map(len, self._history.values()), default=0)
        for name, value in (logs or {}).items():
            if isinstance(value, numbers.Real):
                column = self._history.setdefault(name, [math.nan] * epochs)
                column += [math.nan] * (epochs - len(column))
                column.append(float(value))
        agent = self.model
        offline = agent._run.trainer is None
        if agent.timesteps - self._examined >= _PERIOD or (
            offline and agent.gradient_steps - self._examined_steps >= _STEPS
        ):
            self._examined, self._examined_steps = agent.timesteps, agent.gradient_steps
            self._movement.measure()
            self._examine(min(agent.clock.progress, 0.999))
            self._warn()
        self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        agent = self.model
        self._counts = _counts(agent)
        if not self._history:
            return  # there was nothing to do
        self._movement.measure()
        done = agent.clock.progress
        # Stopped in its first half, as by Ctrl-C: what the plan has for later, such as the end of exploration, is not missed yet.
        self._examine(done if 0.0 < done < 0.5 else 1.0)  # 0: the run had no bounds
        self._keep()
        if self.verbose:
            print(self.report())

    def on_train_abort(self) -> None:
        self._counts = None
        if self._agent is not None and self._history:
            self._examine(min(self._agent.clock.progress, 0.999))
            self._keep()

    def report(self) -> str:
        """The findings as text of at most 80 columns."""
        record = self.record
        if record.recorded is not None:
            return report(self.findings, about(record))
        text = f"{record.timesteps:,} timesteps, {record.episodes.count:,} episodes, {record.gradient_steps:,} gradient steps."
        if record.baseline:
            text += f" Random play returns {np.mean(record.baseline):.4g}"
            last = record.episodes.last
            text += f", the last {len(last)} episodes {np.mean(last):.4g}." if last else "."
        elif self._agent is not None and self._unplayed:
            text += f" {self._unplayed}"
        return report(self.findings, text)

    def _keep(self) -> None:
        """Keeps the record beside the checkpoint that was saved since the last time, if one was."""
        if self.checkpoint is not None and self.checkpoint.newest is not self._kept:
            self._kept = self.checkpoint.newest
            doctor_records.write(self._kept, self._seen(min(self._agent.clock.progress, 0.999)), self.checkpoint.files)

    def _examine(self, progress: float) -> None:
        self.record = self._seen(progress)
        self.findings = diagnose(self.record)

    def _seen(self, progress: float) -> Record:
        agent, seen = self._agent, self._experience
        survey = self._survey if agent._run.trainer is None else None  # an environment, after recorded episodes
        record = Record(
            timesteps=agent.timesteps,
            gradient_steps=agent.gradient_steps,
            progress=progress,
            history={name: list(values) for name, values in self._history.items()},
            settings=settings_of(agent),
            movement=self._movement.steps(),
            growth=self._movement.growth(),
            gradients=self._movement.gradients(),
            baseline=self._random_returns(),
            episodes=seen.episodes(),
            rewards=seen.rewards(),
            observations=seen.observations.entries(),
            inputs=seen.inputs.entries(),
            actions=seen.actions.entries() if survey is None else survey.greedy(agent.actor),
            single_choice=seen.choices.share(),
            recorded=None if survey is None else survey.recorded(),
        )
        return record if self._earlier is None else joined(self._earlier, record)

    def _warn(self) -> None:
        for finding in self.findings:
            if self.verbose and finding.severity == "severe" and finding.name not in self._warned:
                self._warned.add(finding.name)
                warnings.warn(f"Doctor: {finding.name}: {finding.evidence} Try: {finding.advice[0]}", stacklevel=8)

    def _random_returns(self) -> tuple[float, ...]:
        if self._returns is None and self._experience.episodes().count >= _FEWEST:
            self._returns = self._played()
        return self._returns or ()

    def _played(self) -> tuple[float, ...]:
        baseline, agent = self.baseline, self._agent
        if baseline is None or isinstance(baseline, tuple):
            return baseline or ()
        given: dict[str, Any] = {"max_episode_timesteps": agent.max_episode_timesteps}
        trainer = agent._run.trainer
        if trainer is not None:
            environments = trainer.collector.environments
            given["reset_options"] = environments.reset_options
            if baseline == "auto":
                baseline = random_play.fresh(environments)
        if baseline is None or baseline == "auto":
            self._unplayed = "No baseline: the environments do not say how to make another. Give Doctor(baseline=...)."
            return ()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what gymnasium says of an environment was said when `fit` made it
                found = tuple(random_play.random_returns(baseline, **given))
        except Exception as error:
            if self.baseline != "auto":
                raise
            self._unplayed = f"No baseline: {type(error).__name__} in random play. Give Doctor(baseline=...)."
            return ()
        if not found:
            self._unplayed = f"No baseline: no random episode ended within {random_play.TIMESTEPS:,} timesteps."
        return found


def _counts(agent: Any) -> tuple[int, int, int]:
    return agent.timesteps, agent.episodes, agent.gradient_steps


def _checked(baseline: Any) -> Any:
    """The baseline as given; returns as a tuple."""
    if isinstance(baseline, Sequence | np.ndarray) and not isinstance(baseline, str):
        values = list(baseline)
        good = all(isinstance(value, numbers.Real) and math.isfinite(value) for value in values)
        if not values or not good:
            raise ValueError(f"`baseline` must be finite returns, at least one. Received: {baseline!r}")
        return tuple(map(float, values))
    if baseline is None or isinstance(baseline, str) or callable(baseline):
        return baseline
    raise TypeError(
        '`baseline` must be "auto", None, an environment id, a callable that returns an environment, or returns. '
        f"Received: {baseline!r} ({type(baseline).__name__})"
    )
