"""What an agent is doing, and what cannot be done meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kagent.training.episode_streams import OrderError

_WHERE_IT_STANDS = ("close", "load_weights")  # fine in a fit that has not begun to walk, or has ended to


class Occupation:
    """The methods of an agent that are running. Whoever else changes the agent, or would walk with it, must wait.

    A callback, an environment or another thread may call an agent in the middle of its `fit`. What only looks
    (`act(deterministic=True)`, `act(independent=True)`, `evaluate` of another environment, `save`) may go on there;
    what explores, counts, remembers or compiles is refused, before anything has changed. `update` is made for callbacks
    of `fit`. `load_weights` and `close` are for its beginning and its end.

    Attributes:
        walking: Whether a `fit` is between the first reset and the last step of its environments.
    """

    def __init__(self) -> None:
        self._running: dict[object, str] = {}  # in order; by tokens, as threads need not end in the order they began
        self.walking = False

    @property
    def running(self) -> str | None:
        """The innermost method that is running."""
        return next(reversed(self._running.values()), None)

    def refuse(self, method: str) -> None:
        """Checks that a method can run now.

        Raises:
            OrderError: It cannot.
        """
        if self._running:
            self._refuse(method)

    def _refuse(self, method: str) -> None:
        running = list(self._running.values())
        only_fit = running == ["fit"]
        if only_fit and (method == "update" or (method in _WHERE_IT_STANDS and not self.walking)):
            return
        when = " between its first and its last timestep" if only_fit and method in _WHERE_IT_STANDS else ""
        raise OrderError(
            f"`{method}` of an agent cannot be called while its `{running[-1]}` is running{when}, by a callback, by the "
            "environment or in another thread: it would change what is being done. Allowed meanwhile: `act` with "
            "deterministic=True or independent=True, `evaluate` of another environment, `save`, `set_weights`, and "
            "`update` in callbacks of `fit`"
        )

    @contextlib.contextmanager
    def of(self, method: str) -> Iterator[None]:
        """Within it, `method` is running.

        Raises:
            OrderError: It cannot run now.
        """
        if method != "evaluate":  # environments say themselves whether somebody is in them
            self.refuse(method)
        token = object()
        self._running[token] = method
        try:
            yield
        finally:
            del self._running[token]

    @contextlib.contextmanager
    def walk(self) -> Iterator[None]:
        """Within it, the running `fit` walks its environments."""
        self.walking = True
        try:
            yield
        finally:
            self.walking = False
