"""Environments of every kind as one stream of true transitions.

`make` takes an id, an environment, a vector environment or a callable and returns `Environments`: the only
thing that the rest of kagent knows of gymnasium's step and reset. Whatever the source, its `Transition`s hold
the true successor of each action, flags, rewards and masks that were checked, and in `valid` which rows are
transitions at all.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium
from gymnasium.vector import AutoresetMode, VectorEnv

from kagent.config import moved
from kagent.config.checks import MOST_ENVS, check_count, check_positive
from kagent.environments import atari, checks

from .checks import check_spaces
from .claims import claim
from .single import SingleEnvs
from .stream import Environments, NextSeed, Transition
from .vector import VectorEnvs

if TYPE_CHECKING:
    from . import compiled as compiled

__all__ = ["Environments", "SingleEnvs", "Transition", "VectorEnvs", "check_spaces", "claim", "compiled", "make"]

__getattr__ = moved.attributes(
    __name__, {"compiled": "kagent.environments.compiled"}
)  # when used: it imports TensorFlow

Source: TypeAlias = "str | gymnasium.Env | VectorEnv | compiled.CompiledEnv | Callable[[], Any] | Environments"


def make(
    env: Source,
    n_envs: int | None = None,
    *,
    next_seed: NextSeed | None = None,
    max_episode_timesteps: int | None = None,
    reset_options: dict[str, Any] | None = None,
    step_timeout: float | None = None,
) -> Environments:
    """Turns any source of environments into `Environments`.

    Args:
        env: An id that `gymnasium.make` knows (one of an Atari game comes with the usual preprocessing, see `atari.make`); an
            environment; a vector environment; a callable without arguments that returns one of these two, a new one at each
            call; a `compiled.CompiledEnv`, stepped as a vector environment; or `Environments`, returned as they are.
        n_envs: How many environments to make of an id or of a callable that returns single ones. 1 by
            default.
        next_seed: Gives the seed of each reset; see `Environments.reset`.
        max_episode_timesteps: Truncate episodes that are so long. Not of vector environments, which begin new
            episodes by themselves: they must say that they do it.
        reset_options: Given to every `reset` of an environment as `options`: numbers, strings, bools, None and numeric
            arrays, in lists and dicts. A vector environment must have autoreset mode DISABLED for it: in the others it
            resets by itself, without options.
        step_timeout: Seconds that one `step` or `reset` may take. Where it takes longer, a `TimeoutError` says which
            environment it was. An `AsyncVectorEnv` gets that timeout; others are then stepped in a thread of
            their own. A call that hangs cannot be stopped, so its environment is not closed. None: no bound, and no cost.

    Returns:
        `SingleEnvs` or `VectorEnvs`. Environments made here are `owned`: `close` closes them.

    Raises:
        TypeError: `env` is nothing of this, or `reset_options` no dict.
        ValueError: Unknown id, unsupported spaces, an unknown autoreset mode, an `n_envs` that does not fit, a
            `max_episode_timesteps` that the environment does not keep or is shorter than, or `reset_options` that are not
            plain values or that the environment does not pass on.
        RuntimeError: An environment that hangs in an earlier call, or a vector environment whose workers are gone.

    Example:

    >>> environments = make("CartPole-v1", n_envs=3)
    >>> environments.reset()
    >>> environments.observation[0].shape
    (3, 4)
    >>> environments.close()
    """
    if n_envs is not None:
        n_envs = check_count(n_envs, "n_envs", most=MOST_ENVS)
    options = checks.reset_options(reset_options)
    check_positive(step_timeout, "step_timeout")
    made = _make(env, n_envs, next_seed)
    try:
        if max_episode_timesteps is not None:
            made.limit(max_episode_timesteps)
        made.configure(options, step_timeout)
    except Exception:
        if made is not env:
            made.close()
        raise
    return made


def is_compiled(env: Any) -> bool:
    """Whether `env` is a `compiled.CompiledEnv`. Imports no TensorFlow: whoever has made one has."""
    package: Any = sys.modules.get("kagent.environments.compiled")
    return package is not None and isinstance(env, package.CompiledEnv)


def _make(env: Source, n_envs: int | None, next_seed: NextSeed | None) -> Environments:
    if is_compiled(env):
        _check_count(n_envs, env.num_envs)  # type: ignore[union-attr]
        vector = sys.modules["kagent.environments.compiled"].as_gymnasium(env, autoreset_mode=AutoresetMode.DISABLED)
        return VectorEnvs(vector, owned=True, next_seed=next_seed)
    if isinstance(env, Environments | gymnasium.Env | VectorEnv):
        # EnvPool's are both: a VectorEnv, whose actions and observations are batches, before all.
        count = env.num_envs if isinstance(env, Environments | VectorEnv) else 1
        _check_count(n_envs, count)
        if isinstance(env, Environments):
            return env
        if isinstance(env, VectorEnv):
            return VectorEnvs(env, next_seed=next_seed)
        if getattr(env, "is_vector_env", False) is True:
            raise TypeError(
                "`env` says that it is a vector environment, and must then be a gymnasium.vector.VectorEnv (those of newer "
                f"EnvPool are). Received: {type(env).__name__}, a gymnasium.Env of {getattr(env, 'num_envs', 'several')}"
            )
        return SingleEnvs([env], next_seed=next_seed)
    if isinstance(env, str):
        env_id = env
        return _own([make_id(env_id)], lambda: make_id(env_id), n_envs, next_seed)
    if not callable(env):
        raise TypeError(
            "`env` must be an id, a gymnasium.Env, a gymnasium.vector.VectorEnv, or a callable that returns "
            "one. "
            f"Received: {env!r} ({type(env).__name__})"
        )
    first = env()
    if isinstance(first, VectorEnv):
        try:
            _check_count(n_envs, first.num_envs)
            return VectorEnvs(first, owned=True, next_seed=next_seed)
        except Exception:
            first.close()
            raise
    if not isinstance(first, gymnasium.Env):
        raise TypeError(
            f"`env` is a callable that must return a gymnasium.Env or VectorEnv. Received: {first!r} "
            f"({type(first).__name__})"
        )
    return _own([first], env, n_envs, next_seed)


def _own(envs: list[Any], build: Callable[[], Any], n_envs: int | None, next_seed: NextSeed | None) -> SingleEnvs:
    try:
        while len(envs) < (n_envs or 1):
            envs.append(build())
        return SingleEnvs(envs, owned=True, next_seed=next_seed)
    except Exception:
        for env in envs:
            if isinstance(env, gymnasium.Env):
                env.close()
        raise


def make_id(env_id: str, **kwargs: Any) -> gymnasium.Env:
    """One environment of an id, with further arguments of `gymnasium.make`; of an Atari game, see `atari.make`.

    Raises:
        ValueError: Unknown id.
        gymnasium.error.DependencyNotInstalled: The simulator that the environment needs is missing, with the line that installs it.
    """
    errors = gymnasium.error
    try:
        # What gymnasium's checker looks for is checked here, without its cost at every step.
        build = atari.make if atari.is_atari(env_id) else gymnasium.make
        return build(env_id, **{"disable_env_checker": True, **kwargs})
    except (errors.UnregisteredEnv, errors.DeprecatedEnv) as error:
        raise checks.unknown_id(env_id, error) from error
    except ModuleNotFoundError as error:
        if ":" in env_id and error.name is None:  # gymnasium's own error, not one of the environment's imports
            raise checks.unknown_id(env_id, error) from error
        raise
    except errors.DependencyNotInstalled as error:
        raise checks.missing_extra(env_id, error) from error
    except errors.Error as error:
        if type(error) is not errors.Error:
            raise
        raise checks.unknown_id(env_id, error) from error


def _check_count(n_envs: int | None, count: int) -> None:
    if n_envs not in (None, count):
        raise ValueError(
            f"`n_envs` must agree with the given `env`. Received: n_envs={n_envs} for an env of {count}. "
            "Pass an id or a callable to have several made"
        )
