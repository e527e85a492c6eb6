"""All workers of a run: calls of all of them, and new workers in the place of those that end."""

from __future__ import annotations

import builtins
import collections
import os
import socket
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kagent.distributed.job import Job
from kagent.distributed.worker import DONE, HUNG, RAISED, Fault
from kagent.distributed.workers import DIED, Answer, WorkerError, Workers

ATTEMPTS = 5  # of one call, before a worker that ends in each of them is an error

Call = tuple[Any, ...]


class Fleet:
    """Workers with their jobs.

    A worker whose process ends, or whose environment hangs, gets a new process with new environments, and the call is made
    again. That is warned of.

    Args:
        workers: The way to them.
        jobs: Of each of them.

    Attributes:
        about: What each worker said of itself when it was opened.
        restarts: How many workers were started again.
        usable: Whether all workers wait for calls: not after an exception.

    Raises:
        Exception: What a worker raises; see `call`.
    """

    def __init__(self, workers: Workers, jobs: Sequence[Job]):
        self.workers, self.jobs = workers, jobs
        self.restarts, self.usable = 0, False
        self.about: list[dict[str, Any]] = [{} for _ in jobs]
        self._warned = False  # of what a worker has imported
        for index in range(len(jobs)):
            workers.start(index)
        self._queues: dict[int, collections.deque[Call]] = {}  # calls of each worker, the present one first
        self._attempts: dict[int, int] = {}
        self.usable = True
        self._run([("open", job) for job in jobs], None)

    def share(self, weights: np.ndarray) -> Any:
        """Puts weights where all workers read them; see `Workers.share`."""
        return self.workers.share(weights)

    def call(self, method: str, arguments: Sequence[Call], fresh: Callable[[int], Call]) -> list[Any]:
        """Calls a method of every worker.

        Args:
            method: Of `Worker`.
            arguments: Of each worker.
            fresh: From the index of a worker that was started again to the arguments of its `start`.

        Returns:
            The result of each.

        Raises:
            Exception: A worker raised it: one of Python's own classes as itself, others as a `WorkerError`. A note has the worker's
                index and the traceback.
            TimeoutError, WorkerError: A worker hung or ended in each of some attempts.
        """
        return self._run([(method, *given) for given in arguments], fresh)

    def begin(self, index: int, method: str, *arguments: Any) -> None:
        """Begins a call of one worker, which has none. `next` returns its result."""
        self._begin(index, (method, *arguments))

    def next(self, fresh: Callable[[int], Call] | None) -> tuple[int, Any]:
        """Waits until the call of any worker is done.

        Args:
            fresh: As for `call`.

        Returns:
            The worker's index, and the result.

        Raises:
            Exception: As `call`.
        """
        self._check()
        self.usable = False  # an exception leaves it so
        while True:
            answer = self.workers.wait()
            index, queue = answer.worker, self._queues[answer.worker]
            if answer.kind == DONE:
                name, *_ = queue.popleft()
                if name == "open":
                    self._open(index, answer.value)
                if not queue:
                    self.usable = True
                    return index, answer.value
            elif answer.kind == RAISED:
                raise self._error(index, answer.value)
            else:
                self._attempts[index] += 1
                self._replace(answer, self._attempts[index], queue, fresh)
            self.workers.submit(index, *queue[0])

    def close(self) -> None:
        """Ends all workers."""
        self.usable = False
        self.workers.close()

    def _check(self) -> None:
        if not self.usable:
            raise RuntimeError(
                "The workers cannot be used any more: there was an exception in them, or they are closed"
            )

    def _begin(self, index: int, call: Call) -> None:
        self._check()
        self._queues[index], self._attempts[index] = collections.deque([call]), 1
        self.workers.submit(index, *call)

    def _run(self, calls: Sequence[Call], fresh: Callable[[int], Call] | None) -> list[Any]:
        for index, call in enumerate(calls):
            self._begin(index, call)
        found = dict(self.next(fresh) for _ in calls)
        return [found[index] for index in range(len(calls))]

    def _replace(
        self, answer: Answer, attempt: int, queue: collections.deque[Call], fresh: Callable[[int], Call] | None
    ) -> None:
        index, last = answer.worker, queue[-1]
        where = f"Worker {index} ({self._described(index)})"
        what = {DIED: "has ended", HUNG: "hangs"}[answer.kind]
        if attempt > ATTEMPTS:
            kind = TimeoutError if answer.kind == HUNG else WorkerError
            raise kind(f"{where} {what} in each of {ATTEMPTS} attempts: {answer.value}")
        warnings.warn(
            f"{where} {what}: {answer.value}. Its open episodes are given up; a new worker begins others.", stacklevel=6
        )
        self.restarts += 1
        self.workers.start(index)
        queue.clear()
        queue.append(("open", self.jobs[index]))
        if fresh is not None:
            queue.append(("start", *fresh(index)))
        if last[0] not in ("open", "start"):
            queue.append(last)

    def _error(self, index: int, fault: Fault) -> Exception:
        error: Exception = WorkerError(f"{fault.kind}: {fault.message}")
        known = getattr(builtins, fault.kind, None)
        if isinstance(known, type) and issubclass(known, Exception):
            as_text = (fault.message,)
            for arguments in (as_text,) if fault.arguments is None else (fault.arguments, as_text):
                try:
                    found = known(*arguments)
                except TypeError:  # it takes other arguments
                    continue
                if arguments == as_text or str(found) == fault.message:  # a file's name is in the message alone
                    error = found
                    break
        error.add_note(f"kagent: raised in worker {index} ({self._described(index)}):\n{fault.traceback}")
        return error

    def _open(self, index: int, about: dict[str, Any]) -> None:
        self.about[index] = about
        here = os.getpid(), socket.gethostname()
        if about["heavy"] and (about["pid"], about["host"]) != here and not self._warned:
            self._warned = True
            warnings.warn(
                f"Worker {index} ({self._described(index)}) has imported {' and '.join(about['heavy'])} with its environments, which "
                "costs each worker seconds and hundreds of megabytes: make environments in a module that does not import it",
                stacklevel=6,
            )

    def _described(self, index: int) -> str:
        about = self.about[index]
        process = f"process {about['pid']} on {about['host']}" if about else "a new process"
        return f"{self.jobs[index].described}, {process}"
