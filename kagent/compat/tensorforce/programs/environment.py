"""Tensorforce's environments: classes with `states`, `actions`, `reset` and `execute`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np

from kagent.compat.tensorforce.programs.environment_base import EnvironmentBase
from kagent.compat.tensorforce.programs.gym_environment import GymEnvironment
from kagent.compat.tensorforce.programs.remote_environment import RemoteEnvironment
from kagent.compat.tensorforce.translation.context import from_file

_GYM = ("gym", "openai_gym", "openaigym", "default")
_GONE = (
    "ale", "arcade_learning_environment", "retro", "openai_retro", "ple", "pygame_learning_environment", "vizdoom", "osim",
    "open_sim", "carla", "carla_environment", "custom_cartpole", "remote", "socket", "multiprocessing",
)  # fmt: skip

_CREATED = "`start_reset`, `start_execute` and `receive_execute` are those of an environment that `Environment.create` returned"


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
            remote: "multiprocessing": it is made, and runs, in a process of its own. None: in this one. Sockets are refused.
            blocking: Whether `receive_execute` of a remote environment waits.
            host, port: Refused: of sockets.
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
            said = {"remote": remote, "blocking": blocking, "host": host, "port": port}
            return Environment.create(
                kind,
                limits if max_episode_timesteps is None else max_episode_timesteps,
                reward_shaping or shaping,
                **given | {name: value for name, value in said.items() if value},
            )
        check_remote(remote, blocking, host, port)
        if remote is not None:
            if isinstance(environment, Environment | gymnasium.Env):
                raise TypeError(
                    f"`remote` is for environments that are still to be made. Received: {environment!r}. Allowed: its class, a name, "
                    "a dict"
                )
            made = RemoteEnvironment(functools.partial(_made, environment, kwargs))
            return Bounded(made, max_episode_timesteps, reward_shaping, blocking)
        if isinstance(environment, Bounded):
            if max_episode_timesteps is None and reward_shaping is None:
                return environment
            environment = environment.environment
        return Bounded(_made(environment, kwargs), max_episode_timesteps, reward_shaping)

    def start_reset(self, num_parallel: int | None = None) -> None:
        """Begins an episode, which `receive_execute` shows. Of what `Environment.create` returned."""
        raise NotImplementedError(_CREATED)

    def start_execute(self, actions: Any) -> None:
        """Begins a timestep, which `receive_execute` shows. Of what `Environment.create` returned."""
        raise NotImplementedError(_CREATED)

    def receive_execute(self) -> Any:
        """What came of `start_reset` or `start_execute`. Of what `Environment.create` returned."""
        raise NotImplementedError(_CREATED)


class Bounded(Environment):
    """What `Environment.create` returns: another environment with a bound and checks. Its further attributes are the other one's.

    Args:
        environment: The other one.
        limit: Timesteps at which episodes are cut off, or None.
        shaping, blocking: As of `Environment.create`.

    Raises:
        ValueError: The bound is beyond the environment's own.
        TypeError: `shaping` is no function: texts are not run as code.
    """

    _OWN = ("environment", "_limit", "_shaping", "_timestep", "_parallel", "_before", "_blocking", "_begun")

    def __init__(
        self,
        environment: EnvironmentBase,
        limit: int | None = None,
        shaping: Callable[..., Any] | None = None,
        blocking: bool = False,
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
        self._blocking = blocking
        self._begun: tuple[str, tuple[Any, ...], dict[str, Any]] | None = None  # a method, and its arguments

    def states(self) -> dict[str, Any]:
        return self.environment.states()

    def actions(self) -> dict[str, Any]:
        return self.environment.actions()

    def max_episode_timesteps(self) -> int | None:
        return self._limit

    def is_vectorizable(self) -> bool:
        return self.environment.is_vectorizable() and self._shaping is None

    def num_actors(self) -> int:
        return self.environment.num_actors()

    def episode_return(self, parallel: int | None = None) -> float | None:
        return self.environment.episode_return(*([] if parallel is None else [parallel]))

    def close(self) -> None:
        self.environment.close()

    def reset(self, num_parallel: int | None = None) -> Any:
        """Begins an episode, or several at once, then with the indices of those in front of the states.

        Raises:
            ValueError: `num_parallel` of an environment that is not vectorizable.
        """
        self.start_reset(num_parallel)
        *found, _, _ = self._received()
        return found[0] if self._parallel is None else tuple(found)

    def execute(self, actions: Any) -> Any:
        """One timestep: states, terminal and reward; of several episodes the indices of the open ones, the states of these, and
        terminals and rewards of all that acted."""
        self.start_execute(actions)
        return self._received()

    def start_reset(self, num_parallel: int | None = None) -> None:
        """As `reset`, whose result `receive_execute` returns. What is under way is given up.

        Raises:
            ValueError: `num_parallel` of an environment that is not vectorizable.
        """
        parallel = self.num_actors() if self.num_actors() > 1 else num_parallel
        if parallel is not None and self._shaping is not None:
            raise ValueError("`reward_shaping` is for one episode at a time: shape the rewards in the environment")
        if num_parallel is not None and not self.is_vectorizable():
            raise ValueError(
                f"`num_parallel` is for environments whose `is_vectorizable` is True. Received: {num_parallel} for {self}"
            )
        self._parallel = parallel
        self._timestep = 0
        self._begin("reset", **({} if num_parallel is None else {"num_parallel": num_parallel}))

    def start_execute(self, actions: Any) -> None:
        """As `execute`, whose result `receive_execute` returns.

        Raises:
            RuntimeError: No episode is under way, or a timestep is.
        """
        if self._timestep is None:
            raise RuntimeError("`execute` follows `reset`: no episode is under way")
        if self._begun is not None:
            raise RuntimeError(
                "`receive_execute` follows `start_reset` and `start_execute`: what was begun is under way"
            )
        self._timestep += 1
        self._begin("execute", actions)

    def _begin(self, method: str, *arguments: Any, **named: Any) -> None:
        self._begun = method, arguments, named
        if isinstance(self.environment, RemoteEnvironment):
            self.environment.start(method, *arguments)

    def is_ready(self) -> bool:
        """Whether `receive_execute` has something to return at once. What runs in this process runs when it is received."""
        return not isinstance(self.environment, RemoteEnvironment) or self.environment.is_ready()

    def receive_execute(self) -> Any:
        """What `execute` returns; after `start_reset` the first states, -1 and None, of several episodes behind their indices.

        Returns:
            None where the environment is remote, not `blocking`, and not ready.

        Raises:
            RuntimeError: Nothing was begun; or the process of a remote environment has ended.
        """
        return self._received() if self._begun is None or self._blocking or self.is_ready() else None

    def _received(self) -> Any:
        if self._begun is None:
            raise RuntimeError("`receive_execute` follows `start_reset` or `start_execute`: nothing is under way")
        (method, arguments, named), self._begun = self._begun, None
        if isinstance(self.environment, RemoteEnvironment):
            found = self.environment.receive()
        else:
            found = getattr(self.environment, method)(*arguments, **named)
        if method == "reset":
            self._before = found
            return (found, -1, None) if self._parallel is None else (*found, -1, None)
        is_last = self._limit is not None and self._timestep is not None and self._timestep >= self._limit
        if self._parallel is not None:
            return self._of_several(found, is_last)
        states, terminal, reward = found
        if self._shaping is not None:
            reward = self._shaping(self._before, *arguments, terminal, reward, states)
            if isinstance(reward, tuple):
                reward, terminal = reward
        terminal, reward, self._before = _terminal(terminal), float(reward), states
        if terminal == 0 and is_last:
            terminal = 2
        if terminal:
            self._timestep = None
        return states, terminal, reward

    def _of_several(self, found: Any, is_last: bool) -> tuple[Any, Any, np.ndarray, Any]:
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

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            super().__setattr__(name, value)
        elif isinstance(self.environment, RemoteEnvironment):
            raise AttributeError(
                f"`{name}` cannot be set: the environment is in another process. Allowed: an argument of its class, given to "
                "Environment.create"
            )
        else:
            setattr(self.environment, name, value)


def check_remote(remote: Any, blocking: Any, host: Any, port: Any) -> None:
    """Refuses words about sockets, and `blocking` of environments in this process.

    Raises:
        ValueError: One of these.
    """
    if host is not None or port is not None or remote not in (None, "multiprocessing"):
        raise ValueError(
            "Environments are not behind sockets: those of other machines are workers of kagent's, agent.model.fit(env, steps=..., "
            f"workers=kagent.distributed.Ray(num_workers=...)). Received: remote={remote!r}, host={host!r}, port={port!r}. "
            "Allowed: None, 'multiprocessing'"
        )
    if blocking and remote is None:
        raise ValueError("`blocking` is for remote='multiprocessing'. Received: True, with remote=None")


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
