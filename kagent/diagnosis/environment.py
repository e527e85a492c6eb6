"""Checks an environment: what it returns, whether it repeats itself, and what makes it hard to learn."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from kagent import environments
from kagent.acting import distributions
from kagent.config.checks import check_count
from kagent.diagnosis import experience_rules, gymnasium_checker, observed, vector_environment
from kagent.diagnosis.environment_spaces import spaces_advice
from kagent.diagnosis.experience import Experience
from kagent.diagnosis.finding import Finding, ordered
from kagent.diagnosis.goal_rewards import GoalRewards
from kagent.diagnosis.record import Record
from kagent.environments import checks
from kagent.environments.masks import Masks
from kagent.spaces import Structure

_REPEATED = 100  # steps that are taken twice
_LARGE = 1e3  # absolute rewards

Step = tuple[list[Any], float, bool, bool]


def check_environment(env: Any, *, steps: int = 1000, seed: int = 0) -> list[Finding]:
    """Acts at random in an environment and looks at all that it gives.

    Args:
        env: An environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a callable that returns one. Yours is reset
            and stepped, and not closed.
        steps: Timesteps to take.
        seed: Seed of the first reset and of the actions.

    Returns:
        Findings, the most severe first. Severe: it breaks gymnasium's rules or kagent's. Others are advice. After a finding that
        makes it impossible to go on there may be others behind.

    Raises:
        TypeError: `env` is nothing of these.
        ValueError: An unknown id, or a number of steps below 1.

    Example:

    >>> [finding.name for finding in check_environment("CartPole-v1", steps=100)]
    ['observations_unbounded']
    """
    steps = check_count(steps, "steps")
    made = _made(env)
    try:
        if isinstance(made, VectorEnv):
            return ordered(vector_environment.check(made, steps, seed))
        examination = _Examination(made, steps, seed)
        with contextlib.suppress(_Stop):
            examination.run()
        return ordered(examination.found)
    finally:
        if made is not env:
            made.close()


def _made(env: Any) -> Any:
    made = environments.make_id(env) if isinstance(env, str) else env
    if not isinstance(made, gymnasium.Env | VectorEnv) and callable(made):
        made = made()
    if not isinstance(made, gymnasium.Env | VectorEnv):
        given = "" if made is env else ", from the callable"
        raise TypeError(
            "`env` must be an id, a gymnasium.Env, a gymnasium.vector.VectorEnv, or a callable that returns one. "
            f"Received: {type(made).__name__}{given}"
        )
    return made


class _Stop(Exception):
    """Nothing can be said of what follows."""


class _Examination:
    """The examination of one environment.

    Args:
        env: The environment.
        steps, seed: As of `check_environment`.
    """

    def __init__(self, env: gymnasium.Env, steps: int, seed: int):
        self.env, self.steps, self.seed = env, steps, seed
        self.found: list[Finding] = []
        self._said: set[str] = set()
        self._mask_given: bool | None = None

    def run(self) -> None:
        """Fills `found`."""
        self._spaces()
        self._signature()
        first = self._walk(self.seed, self.steps)
        if not any(finding.severity == "severe" for finding in self.found):
            self._repeat(first)
            self._experience()
            self.found += self._goals.findings()
            if not self._mask_given:  # it takes actions that masks forbid
                self.found += gymnasium_checker.check(self.env)

    def _say(self, name: str, severity: str, evidence: str, *advice: str, **numbers: float) -> None:
        if name not in self._said:  # the first case of each kind
            self._said.add(name)
            self.found.append(Finding(name, severity, evidence, advice, numbers))

    def _stop(self, name: str, evidence: str, *advice: str) -> _Stop:
        self._say(name, "severe", evidence, *advice)
        return _Stop()

    def _spaces(self) -> None:
        try:
            self.observation = Structure(getattr(self.env, "observation_space", None), "observation_space")
            self.action = Structure(getattr(self.env, "action_space", None), "action_space")
            self._masks = Masks(self.observation, self.action)
        except (TypeError, ValueError) as error:
            raise self._stop(
                "spaces", str(error), "Set both spaces in `__init__`, of the kinds that are allowed."
            ) from None
        self.found += spaces_advice(self.observation, self.action)
        self._seen = Experience(self.observation, self.observation, self.action)
        self._goals = GoalRewards(self.env, self.observation)
        self._chances = [distributions.make("random", leaf) for leaf in self.action.leaves]

    def _signature(self) -> None:
        parameters = inspect.signature(self.env.unwrapped.reset).parameters
        anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
        lacking = [name for name in ("seed", "options") if name not in parameters and not anything]
        if lacking:
            raise self._stop(
                "reset_arguments",
                f"`reset` does not take {' and '.join(lacking)}.",
                "def reset(self, *, seed=None, options=None): super().reset(seed=seed)",
            )

    # Walking ---------------------------------------------------------------------------------------------------

    def _walk(self, seed: int, steps: int, repeated: bool = False) -> list[Step]:
        """Acts at random; the first steps."""
        rng = np.random.default_rng(self.seed)
        observation, info = self._reset(seed)
        mask = self._mask(observation, info, False)
        taken: list[Step] = [(observed.copied(self.observation, observation), 0.0, False, False)]
        total, length = 0.0, 0
        for step in range(steps):
            drawn = [chance.random(1, rng, m if m is None else m[None]) for chance, m in zip(self._chances, mask)]
            arrays = [chance.to_env(array) for chance, array in zip(self._chances, drawn)]
            before = observed.copied(self.observation, observation)
            previous, (observation, reward, terminated, truncated, info) = observation, self._step(arrays, step)
            if not observed.equal(observed.copied(self.observation, previous), before):
                self._say(
                    "observations_reused",
                    "warning",
                    f"Step {step} changed the observation that was returned before it: both are the same array.",
                    "Return a copy: kagent makes its own, other programs keep what they are given.",
                )
            if not repeated:
                self._look(before, arrays, reward, mask)
                self._goals.see(observation, reward, step)
            total, length, ended = total + reward, length + 1, terminated or truncated
            if len(taken) <= _REPEATED:
                taken.append((observed.copied(self.observation, observation), reward, terminated, truncated))
            if repeated and len(taken) > _REPEATED:
                break
            mask = self._mask(observation, info, terminated)
            if ended:
                if not repeated:
                    self._seen.episode(total, length, truncated and not terminated)
                total, length = 0.0, 0
                observation, info = self._reset(None)
                mask = self._mask(observation, info, False)
        return taken

    def _reset(self, seed: int | None) -> tuple[Any, dict[str, Any]]:
        try:
            result = self.env.reset(seed=seed)
        except Exception as error:
            raise self._stop("reset_fails", f"`reset(seed={seed})` raised {type(error).__name__}: {error}") from error
        try:
            observation, info = checks.reset_result(result)
        except ValueError as error:
            raise self._stop("reset_result", str(error), "return observation, {}") from None
        self._check_observation(observation, f"`reset(seed={seed})`")
        return observation, info

    def _step(self, arrays: list[np.ndarray], number: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        action = self._action(arrays)
        given = copy.deepcopy(action)
        try:
            result = self.env.step(action)
        except Exception as error:
            if isinstance(error, ValueError) and "to unpack" in str(error) and _is_of_gymnasium(error):
                raise self._stop("step_result", f"{checks.STEP}. A wrapper of gymnasium says: {error}") from None
            raise self._stop(
                "step_fails", f"`step({given!r})`, step {number}, raised {type(error).__name__}: {error}"
            ) from error
        if not isinstance(result, tuple | list) or len(result) != 5:
            raise self._stop("step_result", str(checks.step_result(result)))
        observation, reward, terminated, truncated, info = result
        if not observed.equal(self.action.flatten(action), self.action.flatten(given)):
            self._say(
                "action_changed",
                "warning",
                f"Step {number} changed the action that it was given.",
                "Work on a copy of it.",
            )
        self._check_observation(observation, f"step {number}")
        if not isinstance(info, dict):
            raise self._stop("step_result", f"{checks.STEP}, info a dict. Received: {type(info).__name__}")
        flags = [
            self._flag(value, name, number) for value, name in ((terminated, "terminated"), (truncated, "truncated"))
        ]
        return observation, self._reward(reward, number), flags[0], flags[1], info

    def _action(self, arrays: list[np.ndarray]) -> Any:
        """The only action of a batch, as `fit` gives it: a Discrete one is a number."""
        parts: list[Any] = [array[0].copy() for array in arrays]
        if self.action.is_nested:
            return self.action.unflatten(parts)
        return int(parts[0]) if self.action.leaves[0].kind == "discrete" else parts[0]

    def _reward(self, value: Any, number: int) -> float:
        try:
            reward = checks.reward(value)
        except (TypeError, ValueError) as error:
            raise self._stop("reward", f"{error} (step {number})") from None
        if not -checks.INFINITE < reward < checks.INFINITE:
            raise self._stop(
                "reward", f"{checks.not_finite_reward(reward)} (step {number})", "Look for a division by zero."
            )
        if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
            self._say(
                "reward_type",
                "warning",
                f"The reward of step {number} is a {type(value).__name__}, not a number.",
                "float(reward)",
            )
        return reward

    def _flag(self, value: Any, name: str, number: int) -> bool:
        try:
            flag = checks.flag(value, name)
        except TypeError as error:
            raise self._stop("flags", f"{error} (step {number})") from None
        if not isinstance(value, bool | np.bool_):
            self._say(
                "flags", "warning", f"`{name}` of step {number} is {value!r} ({type(value).__name__}), not a bool.",
                f"bool({name})",
            )  # fmt: skip
        return flag

    def _check_observation(self, value: Any, where: str) -> None:
        fault = observed.fault(self.observation, value)
        if fault is None:
            return
        if fault.fatal:
            raise self._stop("observation_outside", f"{fault.text} ({where})", fault.advice)
        self._say(fault.name, fault.severity, f"{fault.text} ({where})", fault.advice)

    def _mask(self, observation: Any, info: dict[str, Any], final: bool) -> list[np.ndarray | None]:
        value = info.get("action_mask")
        if value is None and self._masks.in_observation:
            value = observation["action_mask"]
        given = value is not None
        none: list[np.ndarray | None] = [None] * len(self._chances)
        if final and not given:
            return none
        if self._mask_given not in (None, given):
            raise self._stop(
                "masks", "The action mask comes and goes.", "Give it always or never, at `reset` and at every `step`."
            )
        self._mask_given = given
        if not given or not self._masks.applicable:
            return none
        try:
            masks = self._masks.read(value)
            rows = self._masks.allocate(1, masks)
            self._masks.write(rows, 0, masks, final)
        except ValueError as error:
            raise self._stop("masks", str(error), "True is allowed; every component needs a value.") from None
        return [row if row is None else row[0] for row in rows]

    # Afterwards ------------------------------------------------------------------------------------------------

    def _look(self, leaves: list[Any], arrays: list[np.ndarray], reward: float, mask: list[np.ndarray | None]) -> None:
        encoded = [leaf.encode(value)[None] for leaf, value in zip(self.observation.leaves, leaves)]
        masks = None if all(m is None for m in mask) else [m if m is None else m[None] for m in mask]
        self._seen.timestep(
            encoded, encoded, arrays, np.array([reward]), np.array([reward]), masks, np.ones(1, bool)
        )  # fmt: skip

    def _repeat(self, first: list[Step]) -> None:
        count = len(first) - 1
        again = self._walk(self.seed, count, repeated=True)
        differing = next((n for n, (one, other) in enumerate(zip(first, again)) if not _same(one, other)), None)
        spec = getattr(self.env, "spec", None)
        if differing is not None:
            self._say(
                "not_reproducible",
                "advice" if getattr(spec, "nondeterministic", False) else "severe",
                f"The same seed and actions gave something else {'at reset' if differing == 0 else f'at step {differing - 1}'}.",
                "Draw from self.np_random alone, which super().reset(seed=seed) seeds.",
                "Reset all that an episode changes.",
                step=float(differing),
            )
            return
        other = self._walk(self.seed + 1, count, repeated=True)
        if all(_same(one, two) for one, two in zip(first, other)):
            self._say(
                "seed_without_effect",
                "advice",
                f"Another seed gave the same {count} steps. Every episode begins alike: an agent may learn it by heart.",
                "Where the task is to be random, draw from self.np_random.",
            )

    def _experience(self) -> None:
        seen, spec = self._seen, getattr(self.env, "spec", None)
        record = Record(
            timesteps=self.steps,
            progress=0.0,
            episodes=seen.episodes(),
            rewards=seen.rewards(),
            observations=seen.observations.entries(),
            inputs=seen.inputs.entries(),
            single_choice=seen.choices.share(),
        )
        rules = (
            experience_rules.observations_unscaled, experience_rules.observations_constant, experience_rules.rewards_absent,
            experience_rules.rewards_hidden, experience_rules.masks_leave_one_action,
        )  # fmt: skip
        for rule in rules:
            if (finding := rule(record)) is not None:
                # Of a run it may be the end; of random play it is a hint, and no broken rule.
                severity = "warning" if finding.severity == "severe" else finding.severity
                self.found.append(dataclasses.replace(finding, severity=severity))
        if not record.episodes.count and checks.time_limit(spec) is None:
            self._say(
                "episodes_never_end",
                "advice",
                f"No episode ended within {self.steps:,} random steps, and no limit is declared.",
                "Limit them: gymnasium.make(..., max_episode_steps=1000), or Agent(max_episode_timesteps=1000).",
                steps=float(self.steps),
            )
        largest = max(map(abs, record.rewards.raw), default=0.0)
        if largest > _LARGE:
            self._say(
                "rewards_large",
                "advice",
                f"Rewards reach {largest:.3g}: values and their losses become as large, and steps are hard to choose.",
                "Scale rewards to about 1: normalize='reward'.",
                largest=largest,
            )


def _is_of_gymnasium(error: Exception) -> bool:
    """Whether a wrapper of gymnasium raised it, and not the environment."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and str(trace.tb_frame.f_globals.get("__name__")).split(".")[0] == "gymnasium"


def _same(one: Step, other: Step) -> bool:
    return observed.equal(one[0], other[0]) and one[1:] == other[1:]
