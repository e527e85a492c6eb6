"""Atari games as results for them are published: four frames of 84 x 84 grey pixels, each after four of the game."""

from __future__ import annotations

import inspect
import re
from typing import Any

import gymnasium

FRAMES = 4
_ID = re.compile(r"ALE/[^/]+-v\d+|[A-Za-z]+NoFrameskip-v\d+")


def is_atari(env_id: str) -> bool:
    """Whether an id is one of ale-py whose frames no one has skipped yet.

    Example:

    >>> is_atari("ALE/Pong-v5"), is_atari("PongNoFrameskip-v4"), is_atari("CartPole-v1")
    (True, True, False)
    """
    return _ID.fullmatch(env_id) is not None


def make(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """A game behind `gymnasium.wrappers.AtariPreprocessing` and `FrameStackObservation` (Machado et al. 2018).

    Observations are uint8 `(4, 84, 84)`. Up to 30 timesteps pass at the start of an episode, each action is repeated for 4
    frames, and rewards are the game's. Where the observation space is no image, as with `obs_type="ram"`, there is no wrapper.

    Args:
        env_id: An id for which `is_atari`.
        **kwargs: `stack_size` (4); arguments of `AtariPreprocessing`, such as `terminal_on_life_loss=True`; the rest goes to
            `gymnasium.make`.

    Raises:
        gymnasium.error.DependencyNotInstalled: ale-py or OpenCV is missing.
        ValueError: `stack_size` is not an integer from 1.
    """
    try:
        import ale_py  # registers the ids
    except ImportError as error:
        raise gymnasium.error.DependencyNotInstalled(
            f"{env_id!r} needs a simulator that is not installed: pip install 'kagent[atari]'"
        ) from error
    gymnasium.register_envs(ale_py)
    stack = kwargs.pop("stack_size", FRAMES)
    if not isinstance(stack, int) or isinstance(stack, bool) or stack < 1:
        raise ValueError(f"`stack_size` must be an integer >= 1. Received: {stack!r}")
    names = list(inspect.signature(gymnasium.wrappers.AtariPreprocessing.__init__).parameters)[2:]
    given = {name: kwargs.pop(name) for name in names if name in kwargs}
    env = gymnasium.make(env_id, **{"frameskip": 1, **kwargs})
    try:
        if len(env.observation_space.shape or ()) < 2:
            return env
        env = gymnasium.wrappers.AtariPreprocessing(env, **given)
        return env if stack == 1 else gymnasium.wrappers.FrameStackObservation(env, stack)
    except Exception:
        env.close()
        raise
