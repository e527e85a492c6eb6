"""What the learner needs of workers, wherever they are; and what their answers and errors are."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np


class WorkerError(RuntimeError):
    """A worker cannot go on: it ends again and again, or it raised an exception whose class the learner does not know."""


class Answer(NamedTuple):
    """How a call of a worker ended.

    Attributes:
        worker: Its index.
        kind: "done"; "raised" by an exception; "hung", an environment did not answer in time; or "died", its process ended.
        value: The result; the `Fault`; or a message.
    """

    worker: int
    kind: str
    value: Any


DIED = "died"


@runtime_checkable
class Workers(Protocol):
    """Processes with a `kagent.distributed.worker.Servant` each, and the way to them."""

    def start(self, worker: int) -> None:
        """Starts a worker, or a new process in the place of the one that it has, which is ended first."""

    def share(self, weights: np.ndarray) -> Any:
        """Puts weights, float32 `(size,)`, where all workers read them. Returns what `submit` takes as an argument for them."""

    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        """Begins a call of `Servant.run`. A worker has one call at a time."""

    def wait(self) -> Answer:
        """Waits until a call ends. Each is returned once."""

    def close(self) -> None:
        """Ends all processes."""


@runtime_checkable
class WorkerSource(Protocol):
    """What `fit` takes as `workers`; `Ray` is one."""

    @property
    def num_workers(self) -> int:
        """How many workers there are."""

    @property
    def envs_per_worker(self) -> int:
        """How many environments each of them has."""

    @property
    def asynchronous(self) -> bool | None:
        """Whether workers go on while the agent learns; None: as suits the agent."""

    def connect(self) -> Workers:
        """Reaches the machines. No worker is started yet.

        Raises:
            ConnectionError, ModuleNotFoundError, ValueError: It cannot.
        """
