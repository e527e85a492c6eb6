"""Tensorforce's environments: classes with `states`, `actions`, `reset` and `execute`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from kagent.compat.tensorforce.programs.environment_base import EnvironmentBase
from kagent.compat.tensorforce.programs.gym_environment import GymEnvironment
from kagent.compat.tensorforce.translation.context import from_file

_GYM = ("gym", "openai_gym", "openaigym", "default")
_GONE = (
    "ale", "arcade_learning_environment", "retro", "openai_retro", "ple", "pygame_learning_environment", "vizdoom", "osim",
    "open_sim", "carla", "carla_environment", "custom_cartpole", "remote", "socket", "multiprocessing",
)  # fmt: skip


class Environment(EnvironmentBase):
    """Base of environments.

    A class of your own says `states` and `actions`, and has `reset` and `execute`; `max_episode_timesteps` and `close` where it
    needs them.

    Example:

    >>> class Corridor(kagent.compat.tensorforce.Environment):
    ...     def states(self):
    ...         return {"type": "float", "shape": (1,), "min_value": 0.0, "max_value": 5.0}
    ...
    ...     def actions(self):
    ...         return {"type": "int", "num_values": 2}
    ...
    ...     def reset(self):
    ...         self.place = 0.0
    ...         return np.array([self.place])
    ...
    ...     def execute(self, actions):
    ...         self.place = max(0.0, self.place + (1.0 if actions else -1.0))
    ...         return np.array([self.place]), self.place >= 5.0, -1.0
    >>> environment = kagent.compat.tensorforce.Environment.create(Corridor, max_episode_timesteps=50)
    >>> environment.max_episode_timesteps()
    50
    """

    @staticmethod
    def create(
        environment: Any = None,
        max_episode_timesteps: int | None = None,
        reward_shaping: Callable[..., Any] | None = None,
        remote: str | None = None,
        blocking: bool = False,
        host: str | None = None,
        port: int | None = None,
        **kwargs: Any,
    ) -> Environment:
        """Makes an environment from a specification.

        Args:
            environment: "gym" (with `level`), an id of gymnasium's with or without its version, a `gymnasium.Env` or a class of
                these, a class derived from `Environment` or an object of it, a dict `{"environment": ..., **arguments}`, or the
                path of a `.json` file that holds one.
            max_episode_timesteps: Timesteps at which an episode is cut off, at most the environment's own.
            reward_shaping: Function of states, actions, terminal, reward and next states to a reward, or to a reward and a
                terminal.
            remote, blocking, host, port: "multiprocessing" is taken with a warning: environments run in this process. Sockets are refused.
            **kwargs: Of the class, or of `gymnasium.make`.

        Returns:
            An environment that counts timesteps, whose `execute` returns states, terminal (0, 1, 2) and reward.

        Raises:
            ValueError, TypeError: An unknown environment, or arguments that it refuses.
        """
        if isinstance(environment, Mapping) or (isinstance(environment, str) and environment.endswith(".json")):
            given = {**from_file(environment, "environment"), **kwargs}
            limits = given.pop("max_episode_timesteps", None)
            shaping = given.pop("reward_shaping", None)
            kind = given.pop("environment", given.pop("type", "gym"))
            return Environment.create(
                kind,
                limits if max_episode_timesteps is None else max_episode_timesteps,
                reward_shaping or shaping,
                **given,
            )
        check_remote(remote, blocking, host, port)
        if isinstance(environment, Bounded):
            if max_episode_timesteps is None and reward_shaping is None:
                return environment
            environment = environment.environment
        return Bounded(_made(environment, kwargs), max_episode_timesteps, reward_shaping)


class Bounded(Environment):
    """What `Environment.create` returns: another environment with a bound and checks.

    Args:
        environment: The other one.
        limit: Timesteps at which episodes are cut off, or None.
        shaping: As of `Environment.create`.

    Raises:
        ValueError: The bound is beyond the environment's own.
        TypeError: `shaping` is no function: texts are not run as code.
    """

    def __init__(
        self, environment: EnvironmentBase, limit: int | None = None, shaping: Callable[..., Any] | None = None
    ):
        own = environment.max_episode_timesteps()
        if limit is not None and own is not None and limit > own:
            raise ValueError(f"`max_episode_timesteps` must be at most the environment's own, {own}. Received: {limit}")
        if shaping is not None and not callable(shaping):
            raise TypeError(
                f"`reward_shaping` must be a function: texts are not run as code. Received: {shaping!r}. Allowed: "
                "lambda states, actions, terminal, reward, next_states: ..."
            )
        self.environment, self._limit, self._shaping = environment, own if limit is None else limit, shaping
        self._timestep: int | None = None
        self._parallel: int | None = None  # episodes at once; None: one
        self._before: Any = None

    def states(self) -> dict[str, Any]:
        return self.environment.states()

    def actions(self) -> dict[str, Any]:
        return self.environment.actions()

    def max_episode_timesteps(self) -> int | None:
        return self._limit

    def is_vectorizable(self) -> bool:
        return self.environment.is_vectorizable()

    def num_actors(self) -> int:
        return self.environment.num_actors()

    def episode_return(self, parallel: int | None = None) -> float | None:
        return self.environment.episode_return()

    def close(self) -> None:
        self.environment.close()

    def reset(self, num_parallel: int | None = None) -> Any:
        """Begins an episode, or several at once, then with the indices of those in front of the states.

        Raises:
            ValueError: `num_parallel` of an environment that is not vectorizable.
        """
        if num_parallel is not None and not self.is_vectorizable():
            raise ValueError(
                f"`num_parallel` is for environments whose `is_vectorizable` is True. Received: {num_parallel} for {self}"
            )
        self._parallel = self.num_actors() if self.num_actors() > 1 else num_parallel
        if self._parallel is not None and self._shaping is not None:
            raise ValueError("`reward_shaping` is for one episode at a time: shape the rewards in the environment")
        given = {} if num_parallel is None else {"num_parallel": num_parallel}
        self._timestep, self._before = 0, self.environment.reset(**given)
        return self._before

    def execute(self, actions: Any) -> Any:
        """One timestep: states, terminal and reward; of several episodes the indices of the open ones, the states of these, and
        terminals and rewards of all that acted."""
        if self._timestep is None:
            raise RuntimeError("`execute` follows `reset`: no episode is under way")
        self._timestep += 1
        is_last = self._limit is not None and self._timestep >= self._limit
        if self._parallel is not None:
            return self._execute_several(actions, is_last)
        states, terminal, reward = self.environment.execute(actions)
        if self._shaping is not None:
            reward = self._shaping(self._before, actions, terminal, reward, states)
            if isinstance(reward, tuple):
                reward, terminal = reward
        terminal, reward, self._before = _terminal(terminal), float(reward), states
        if terminal == 0 and is_last:
            terminal = 2
        if terminal:
            self._timestep = None
        return states, terminal, reward

    def _execute_several(self, actions: Any, is_last: bool) -> tuple[Any, Any, np.ndarray, Any]:
        found: Any = self.environment.execute(actions)
        parallel, states, terminal, reward = found
        ends = np.asarray([_terminal(one) for one in terminal], np.int64)
        if is_last and (ends == 0).any():
            ends, parallel, states = np.where(ends == 0, 2, ends), parallel[:0], None
        if ends.all():
            self._timestep = None
        return parallel, states, ends, reward

    def __str__(self) -> str:
        return str(self.environment)

    def __getattr__(self, name: str) -> Any:
        if name == "environment":
            raise AttributeError(name)
        return getattr(self.environment, name)


def check_remote(remote: Any, blocking: Any, host: Any, port: Any) -> None:
    """Warns of words about other processes, in which no environment runs here, and refuses those about other machines.

    Raises:
        ValueError: A socket.
    """
    if host is not None or port is not None or remote not in (None, "multiprocessing"):
        raise ValueError(
            "Environments run in this process, not behind sockets: give `environment` here, without `host` and `port`. "
            f"Received: remote={remote!r}, host={host!r}, port={port!r}. Allowed: None, 'multiprocessing'"
        )
    if remote is not None or blocking:
        warnings.warn(
            f"`remote` and `blocking` have no meaning in kagent: environments run in this process. Received: remote={remote!r}",
            stacklevel=3,
        )


def _terminal(value: Any) -> int:
    found = np.asarray(value)
    if found.shape != () or found.dtype.kind not in "biu" or not 0 <= int(found) <= 2:
        raise ValueError(f"`execute` must return a terminal of False, True, 0, 1 or 2. Received: {value!r}")
    return int(found)


def _made(environment: Any, kwargs: dict[str, Any]) -> EnvironmentBase:
    if isinstance(environment, type) and issubclass(environment, Environment):
        return environment(**kwargs)
    gym = isinstance(environment, gymnasium.Env) or (
        isinstance(environment, type) and issubclass(environment, gymnasium.Env)
    )
    if gym:
        return GymEnvironment(environment, **kwargs)
    if isinstance(environment, Environment):
        if kwargs:
            raise TypeError(f"An environment that is made already takes no arguments. Received: {sorted(kwargs)}")
        return environment
    if not isinstance(environment, str):
        raise TypeError(
            "`environment` must be 'gym', an id, a class or object of `Environment` or `gymnasium.Env`, a dict or a .json file. "
            f"Received: {environment!r}"
        )
    if environment.lower() in _GYM:
        return GymEnvironment(**kwargs)
    if environment.lower() in _GONE:
        raise ValueError(
            f"`environment` {environment!r} is gone: gymnasium has such environments by id, once their package is installed. "
            "Allowed: 'gym' with `level`, an id of gymnasium's, or a class of your own"
        )
    if "." in environment:
        raise ValueError(
            f"`environment` names a module, and nothing is imported by a name. Received: {environment!r}. Allowed: import the "
            "class and give it"
        )
    return GymEnvironment(environment, **kwargs)
