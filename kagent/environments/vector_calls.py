"""`step` and `reset` of a vector environment: how long they may take, and where their errors are from."""

from __future__ import annotations

from typing import Any, NoReturn

from gymnasium.vector import AsyncVectorEnv, VectorEnv

from kagent.environments import checks, workers

from .copies import Copies
from .watchdog import StepTimeoutError, Watchdog


class VectorCalls:
    """Calls `step` and `reset` of one vector environment.

    Errors that are raised in it get a note with the call; those of dead or silent workers are explained. Observations that
    gymnasium would lose are copied.

    Args:
        env: The vector environment, with its wrappers.

    Attributes:
        name: Words for messages.

    Raises:
        BrokenWorkersError: A worker has ended.
        StepTimeoutError: A call took longer than `limit` allows.
        TypeError, ValueError: It returned something that is no result of `step` or `reset`.

    Example:

    >>> calls = VectorCalls(gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    >>> observation, infos = calls.reset(seed=0)
    >>> observation.shape
    (2, 4)
    """

    def __init__(self, env: VectorEnv):
        self._env, self._base = env, env.unwrapped
        self.name = f"vector env {type(self._base).__name__}"
        self._copies = Copies(self._base)
        self._seconds: float | None = None
        self._watchdog: Watchdog | None = None

    def limit(self, seconds: float | None) -> None:
        """Bounds the time of each call from now on; None: as long as it takes."""
        self.stop()
        needed = seconds is not None and not isinstance(self._base, AsyncVectorEnv)  # whose workers have a timeout
        self._seconds, self._watchdog = seconds, Watchdog(seconds) if needed and seconds is not None else None

    def stop(self) -> None:
        """Ends the thread of bounded calls, if there is one."""
        if self._watchdog is not None:
            self._watchdog.stop()

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """One timestep of all environments.

        Args:
            actions: As its action space has them.
        """
        try:
            with self._copies.of_step():
                result = self._env.step(actions) if self._seconds is None else self._in_time("step", actions)
        except BaseException as error:
            self._raise(error, f"kagent: raised by `step` of {self.name}, actions {actions!r}")
        try:
            observation, reward, terminated, truncated, infos = result
        except (TypeError, ValueError):
            raise checks.located(checks.step_result(result), self.name) from None
        if type(infos) is not dict:
            self._check_infos(infos)
        return observation, reward, terminated, truncated, infos

    def reset(self, seed: Any, **given: Any) -> tuple[Any, dict[str, Any]]:
        """Resets the environments, all of them or those that `options` choose.

        Args:
            seed: An integer, or a list with one for each environment.
            **given: `options`, or nothing.
        """
        try:
            with self._copies.of_reset():
                if self._seconds is None:
                    result = self._env.reset(seed=seed, **given)
                else:
                    result = self._in_time("reset", seed=seed, **given)
        except BaseException as error:
            self._raise(error, f"kagent: raised by `reset` of {self.name}, seed {seed}")
        if isinstance(result, tuple | list) and len(result) == 2 and isinstance(result[1], list):
            self._check_infos(result[1])
        try:
            return checks.reset_result(result)
        except ValueError as error:
            raise checks.located(error, self.name) from None

    def _in_time(self, name: str, *args: Any, **kwargs: Any) -> Any:
        function, seconds = getattr(self._env, name), self._seconds
        assert seconds is not None
        if self._watchdog is None:
            with workers.answering_within(self._base, seconds):
                return function(*args, **kwargs)
        try:
            return self._watchdog.call(self._env, name, function, *args, **kwargs)
        except StepTimeoutError as error:
            raise StepTimeoutError(f"{self.name}: {error}. It cannot be stopped: make a new one") from None

    def _raise(self, error: BaseException, note: str) -> NoReturn:
        explained = workers.explained(self._base, error)
        explained.add_note(note)
        if explained is error:
            raise error
        raise explained from error

    def _check_infos(self, infos: Any) -> None:
        if infos is not None and not isinstance(infos, dict):
            raise TypeError(
                "`infos` of a vector env must be a dict of batched values, as gymnasium's vector environments give it. "
                f"Received: {type(infos).__name__}. gymnasium's wrapper DictInfoToList makes a list of it: leave it out "
                f"({self.name})"
            )
