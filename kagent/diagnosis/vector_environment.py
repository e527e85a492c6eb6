"""Checks a vector environment: its spaces, its batches, and its stream of transitions."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from gymnasium.vector import VectorEnv

from kagent import environments
from kagent.acting import distributions
from kagent.diagnosis.environment_spaces import spaces_advice
from kagent.diagnosis.finding import Finding
from kagent.environments import checks


def check(env: VectorEnv, steps: int, seed: int) -> list[Finding]:
    """What is wrong with a vector environment.

    Args:
        env: It is reset and stepped.
        steps, seed: As of `check_environment`.
    """
    found: list[Finding] = []
    try:
        made = environments.make(env)
    except (TypeError, ValueError) as error:
        return [Finding("spaces", "severe", str(error))]
    found += spaces_advice(made.observation_structure, made.action_structure)
    found += _batches(env, seed)
    if any(finding.severity == "severe" for finding in found):
        return found
    rng = np.random.default_rng(seed)
    seeds: Iterator[int] = iter(lambda: int(rng.integers(2**31 - 1)), None)
    chances = [distributions.make("random", leaf) for leaf in made.action_structure.leaves]
    try:
        made.reset(lambda: next(seeds))
        for _ in range(-(-steps // made.num_envs)):
            masks = [None] * len(chances) if made.mask is None else made.mask
            drawn = [chance.random(made.num_envs, rng, mask) for chance, mask in zip(chances, masks)]
            made.step([chance.to_env(array) for chance, array in zip(chances, drawn)])
    except Exception as error:
        found.append(Finding("step_fails", "severe", f"{type(error).__name__}: {error}"))
    return found


def _batches(env: VectorEnv, seed: int) -> Iterator[Finding]:
    """What is wrong with the batches of a reset and a step."""
    count = env.num_envs
    try:
        observation, _ = checks.reset_result(env.reset(seed=seed))
        result = env.step(env.action_space.sample())
    except Exception as error:
        yield Finding("step_fails", "severe", f"{type(error).__name__}: {error}")
        return
    if not isinstance(result, tuple | list) or len(result) != 5:
        yield Finding("step_result", "severe", str(checks.step_result(result)))
        return
    after, reward, terminated, truncated, _ = result
    for value, where in ((observation, "reset"), (after, "step")):
        if not env.observation_space.contains(value):
            yield Finding(
                "observation_outside",
                "severe",
                f"The batch of observations of `{where}` is not in `observation_space`, {env.observation_space}.",
                ("Look at its shape, dtype and bounds: one row for each environment.",),
            )
            break
    array = np.asarray(reward)
    if array.shape != (count,) or array.dtype.kind not in "biuf" or not all(map(math.isfinite, array.tolist())):
        yield Finding(
            "reward",
            "severe",
            f"Rewards must be {count} finite numbers. Received: {array.dtype} of shape {array.shape}",
        )
    for value, name in ((terminated, "terminations"), (truncated, "truncations")):
        flags = np.asarray(value)
        if flags.shape != (count,) or flags.dtype != np.bool_:
            yield Finding(
                "flags",
                "severe",
                f"`{name}` must be bools of shape ({count},). Received: {flags.dtype} of shape {flags.shape}",
            )
