"""Environments in processes of their own: `remote="multiprocessing"`."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import random
import signal
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from kagent.compat.tensorforce.programs.environment_base import EnvironmentBase

_PATIENCE = 5.0  # seconds for a process to end by itself
_KNOWN = ("states", "actions", "max_episode_timesteps", "num_actors", "__str__")


class RemoteEnvironment(EnvironmentBase):
    """An environment that is made, and runs, in another process.

    Args:
        make: Function that makes it, called there. NumPy's and Python's global generators are seeded there before, from NumPy's
            here: processes draw other numbers each, and the same ones after `numpy.random.seed`.

    Raises:
        RuntimeError: It cannot be made, with the reason.
    """

    def __init__(self, make: Callable[[], EnvironmentBase]):
        context = multiprocessing.get_context()
        self._connection, other = context.Pipe()
        seed = int(np.random.randint(1 << 31))
        self._process: Any = context.Process(
            target=_serve, args=(other, CloudpickleWrapper(make), seed), daemon=True, name="kagent environment"
        )
        self._process.start()
        other.close()
        self._end = weakref.finalize(self, _ended, self._process, self._connection, os.getpid())
        self._under_way = True
        self._known: dict[str, Any] = self.receive()

    def states(self) -> dict[str, Any]:
        found: dict[str, Any] = self._known["states"]
        return found

    def actions(self) -> dict[str, Any]:
        found: dict[str, Any] = self._known["actions"]
        return found

    def max_episode_timesteps(self) -> int | None:
        found: int | None = self._known["max_episode_timesteps"]
        return found

    def num_actors(self) -> int:
        return int(self._known["num_actors"])

    def reset(self) -> Any:
        self.start("reset")
        return self.receive()

    def execute(self, actions: Any) -> Any:
        self.start("execute", actions)
        return self.receive()

    def episode_return(self, parallel: int | None = None) -> float | None:
        self.start("episode_return", *([] if parallel is None else [parallel]))
        found: float | None = self.receive()
        return found

    def start(self, method: str, *arguments: Any) -> None:
        """Begins a call there. One that is still under way is waited for, and its result is lost."""
        if self._under_way:
            self.receive()
        with self._explained():
            self._connection.send((method, arguments))
        self._under_way = True

    def is_ready(self) -> bool:
        """Whether `receive` returns at once."""
        with self._explained():
            return bool(self._connection.poll())

    def receive(self) -> Any:
        """Waits for the call that is under way. Returns its result.

        Raises:
            RuntimeError: The environment raised an exception, or its process ended.
        """
        with self._explained():
            is_done, result = self._connection.recv()
        self._under_way = False
        if is_done:
            return result
        message, trace = result
        error = RuntimeError(f"An environment in another process raised {message}")
        error.add_note(trace)
        raise error

    def close(self) -> None:
        self._end()

    @contextlib.contextmanager
    def _explained(self) -> Any:
        try:
            yield
        except (EOFError, OSError) as error:
            self._process.join(_PATIENCE)
            raise RuntimeError(
                f"The process of an environment has ended (exit code {self._process.exitcode}): make a new environment"
            ) from error

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._known['__str__']})"


def _ended(process: Any, connection: Any, owner: int) -> None:
    """Has the environment's process close it and end; by force if it does not. A process that only has a copy leaves it alone."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        connection.send(("close", ()))
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        process.join()
    connection.close()


def _serve(connection: Any, make: Any, seed: int) -> None:
    """The other process: makes the environment, and answers calls until it is closed or its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this one
    np.random.seed(seed)
    random.seed(seed)
    parent: Any = multiprocessing.parent_process()
    environment: Any = None

    def made() -> dict[str, Any]:
        nonlocal environment
        environment = make()
        return {name: getattr(environment, name)() for name in _KNOWN}

    call: Callable[..., Any] | None = made
    arguments: tuple[Any, ...] = ()
    while call is not None:
        try:
            answer = True, call(*arguments)
        except Exception as error:
            answer = False, (f"{type(error).__name__}: {error}", traceback.format_exc())
        with contextlib.suppress(OSError):
            connection.send(answer)
        call, arguments = _next_call(connection, parent, environment)
    if environment is not None:
        environment.close()


def _next_call(connection: Any, parent: Any, environment: Any) -> tuple[Callable[..., Any] | None, tuple[Any, ...]]:
    """The method that is called next, and its arguments; no method: the end."""
    if connection not in multiprocessing.connection.wait([connection, parent.sentinel]):
        return None, ()
    try:
        method, arguments = connection.recv()
    except (EOFError, OSError):
        return None, ()
    return (None, ()) if method == "close" else (getattr(environment, method), arguments)
