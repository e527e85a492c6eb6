"""The worker processes of gymnasium's `AsyncVectorEnv`: which one died, which one does not answer, how they end."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import weakref
from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium.vector import AsyncVectorEnv

from .watchdog import StepTimeoutError

_NEW = "Make a new vector environment: this one cannot be used any more"
_PATIENCE = 5.0  # seconds for a process to end by itself

# By vector environment: what happened to it in a call that its workers may not have answered.
_broken: weakref.WeakKeyDictionary[AsyncVectorEnv, str] = weakref.WeakKeyDictionary()


class BrokenWorkersError(ConnectionError, RuntimeError):
    """A vector environment whose workers are gone, or may answer an earlier request than the last one."""


def check(base: Any) -> None:
    """Refuses a vector environment whose workers cannot be trusted.

    Raises:
        BrokenWorkersError: A worker of this `AsyncVectorEnv` has ended, or a call was left in the middle. Other environments
            have no workers.
    """
    if not isinstance(base, AsyncVectorEnv):
        return
    reason = _broken.get(base) or ("" if base.closed else ", ".join(_ended(base)))
    if reason:
        raise BrokenWorkersError(f"{reason}. {_NEW}")


def explained(base: Any, error: BaseException) -> BaseException:
    """The error to raise for `error`, which `step` or `reset` of `base` raised."""
    if not isinstance(base, AsyncVectorEnv):
        return error
    if isinstance(error, gymnasium.error.AlreadyPendingCallError):
        _broken[base] = f"It still waits for the answer to an interrupted call ({error})"
    elif isinstance(error, EOFError | ConnectionError):
        # The exit code of one that has just died comes a moment after its pipes break.
        processes = {process.sentinel: process for process in base.processes}
        for sentinel in multiprocessing.connection.wait(list(processes), _PATIENCE):
            processes[sentinel].join(_PATIENCE)
        _broken[base] = ", ".join(_ended(base)) or f"The connection to a worker broke ({type(error).__name__})"
    elif isinstance(error, StepTimeoutError) or not isinstance(error, Exception):
        _broken[base] = f"A call of it was left in the middle by {type(error).__name__}"
        return error
    else:  # of an environment, which ended its worker, or of a wrapper, which did not
        if ended := _ended(base):
            _broken[base] = f"{type(error).__name__} was raised in it, and {', '.join(ended)}"
        return error
    return BrokenWorkersError(f"{_broken[base]}. {_NEW}")


@contextlib.contextmanager
def answering_within(base: AsyncVectorEnv, seconds: float) -> Iterator[None]:
    """Inside, `step` and `reset` of `base`, also from wrappers around it, wait so long for their workers.

    `step_wait` and `reset_wait` take a timeout, `step` and `reset` do not: for one call the instance gets versions of the
    former with it.

    Raises:
        StepTimeoutError: They did not answer; the message gives their indices.
    """
    names = ("step_wait", "reset_wait")
    for name in names:
        setattr(base, name, functools.partial(getattr(base, name), timeout=seconds))
    try:
        yield
    except multiprocessing.TimeoutError:
        silent = [index for index, pipe in enumerate(base.parent_pipes) if pipe is None or not pipe.poll(0)]
        raise StepTimeoutError(
            f"env {', '.join(map(str, silent)) or '?'} of {base} has not answered for step_timeout={seconds:g} seconds. "
            f"{_NEW}; close it by `close(terminate=True)`"
        ) from None
    finally:
        for name in names:
            delattr(base, name)


def close(env: Any) -> None:
    """Closes a vector environment, by force where its workers do not answer any more."""
    base = env.unwrapped
    if not isinstance(base, AsyncVectorEnv):
        env.close()
        return
    if base not in _broken:
        try:
            env.close()
            return
        except (EOFError, ConnectionError):
            pass  # gymnasium gives up at the pipe of one that died, and would leave the others running
    for process in base.processes:
        process.terminate()
        process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
    for pipe in base.parent_pipes:
        if pipe is not None:
            pipe.close()
    base.closed = True


def _ended(base: AsyncVectorEnv) -> list[str]:
    found = []
    for index, (process, pipe) in enumerate(zip(base.processes, base.parent_pipes)):
        if not process.is_alive():
            found.append(f"worker {index} has ended (exit code {process.exitcode})")
        elif pipe is None:
            found.append(f"worker {index} has ended after an error")
    return found
