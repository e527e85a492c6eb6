"""Calls of environments that may not take longer than so many seconds."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from . import checks


class StepTimeoutError(TimeoutError):
    """An environment did not answer `step` or `reset` within `step_timeout`."""


class Watchdog:
    """Calls functions in a thread of its own and waits so long for each.

    A call that hangs cannot be stopped from Python: it is left behind in its thread, which does not keep the process alive,
    and the environment must not be used before it has returned. `check_idle` refuses that.

    Args:
        seconds: How long a call may take.

    Example:

    >>> watchdog = Watchdog(5.0)
    >>> watchdog.call(None, "step", max, 1, 2)
    2
    >>> watchdog.stop()
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._calls: queue.SimpleQueue[Any] | None = None

    def call(self, env: Any, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `function` returns or raises.

        Args:
            env: The environment that it is a method of.
            name: The method's name, for messages.
            function: What to call.
            *args, **kwargs: Its arguments.

        Raises:
            StepTimeoutError: It has not returned in time.
        """
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._calls,), name="kagent-environments", daemon=True).start()
        call = _Call(env, name, function, args, kwargs)
        self._calls.put(call)
        try:
            if not call.done.wait(self.seconds):
                raise StepTimeoutError(f"`{name}` has not returned for step_timeout={self.seconds:g} seconds")
        except BaseException:  # Ctrl-C too
            _hanging.append(call)
            self.stop()
            raise
        if call.error is not None:
            raise call.error
        return call.result

    def stop(self) -> None:
        """Ends the thread, once the call that it is in has returned."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


class Watched:
    """`step` and `reset` of one environment, under a watchdog.

    Args:
        env: The environment.
        index: Its number, for messages.
        watchdog: Who waits.
    """

    def __init__(self, env: Any, index: int, watchdog: Watchdog):
        self.env, self.index, self.watchdog = env, index, watchdog

    def step(self, action: Any) -> Any:
        return self._call("step", self.env.step, action)

    def reset(self, **kwargs: Any) -> Any:
        return self._call("reset", self.env.reset, **kwargs)

    def _call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return self.watchdog.call(self.env, name, function, *args, **kwargs)
        except StepTimeoutError as error:
            raise StepTimeoutError(
                f"env {self.index}, {checks.described(self.env)}: {error}. It cannot be stopped: make a new one"
            ) from None


def is_hanging(env: Any) -> bool:
    """Whether a call that was left behind has not returned yet."""
    _hanging[:] = [call for call in _hanging if not call.done.is_set()]
    return any(call.env is env for call in _hanging)


def check_idle(env: Any, what: str) -> None:
    """Refuses an environment that is still in an earlier call.

    Raises:
        RuntimeError: The environment has not returned from a call that timed out or was interrupted.
    """
    if is_hanging(env):
        raise RuntimeError(
            f"{what} has not returned from an earlier `step` or `reset`, which timed out or was interrupted: make a new one"
        )


class _Call:
    def __init__(
        self, env: Any, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ):
        self.env, self.name, self.function, self.args, self.kwargs = env, name, function, args, kwargs
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None


_hanging: list[_Call] = []  # calls that nobody waits for any more


def _serve(calls: queue.SimpleQueue[Any]) -> None:
    while (call := calls.get()) is not None:
        try:
            call.result = call.function(*call.args, **call.kwargs)
        except BaseException as error:
            call.error = error
        call.done.set()
        del call  # while it waits for the next one, nothing keeps this one's environment
