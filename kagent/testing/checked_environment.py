"""A checker of environments of one's own."""

from __future__ import annotations

import warnings
from typing import Any

from kagent.config.checks import check_flag
from kagent.diagnosis.environment import check_environment
from kagent.testing.contract import BrokenRuleError


def check_env(env: Any, *, steps: int = 1000, seed: int = 0, warn: bool = True) -> None:
    """Checks an environment of your own: acts in it at random and looks at all that it gives.

    It raises where the environment breaks a rule of gymnasium or of kagent: spaces, arguments and results of `reset` and
    `step`, observations inside their space, finite rewards, flags, masks, and episodes that seed and actions repeat. It warns
    of what makes learning hard: entries without bounds, unscaled or constant, observation arrays that are used again, actions
    that do not suit Gaussian policies, images whose layout or scale is not clear, episodes without an end, rewards too large or
    absent. gymnasium's own checker runs too. `check_environments` goes on where this ends: the same environment in vector
    environments.

    Args:
        env: An environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a callable that returns one. Yours is reset
            and stepped, and not closed.
        steps: Timesteps to take.
        seed: Seed of the first reset and of the actions.
        warn: Whether to warn.

    Raises:
        AssertionError: It breaks rules; the message has all that were found.
        TypeError: `env` is nothing of these.
        ValueError: An unknown id, or a number of steps below 1.

    Example:

    >>> check_env("CartPole-v1", steps=100, warn=False)
    """
    check_flag(warn, "warn")
    found = check_environment(env, steps=steps, seed=seed)
    severe = [finding for finding in found if finding.severity == "severe"]
    for finding in found if warn else []:
        if finding.severity != "severe":
            warnings.warn(f"check_env: {finding}", stacklevel=2)
    if severe:
        raise BrokenRuleError("The environment breaks rules.\n" + "\n".join(map(str, severe)))
