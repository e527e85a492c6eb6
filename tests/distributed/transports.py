"""Workers without Ray: in this process, and in processes of multiprocessing that can be killed."""

from __future__ import annotations

import collections
import dataclasses
import multiprocessing
import multiprocessing.connection
import pickle
from collections.abc import Callable
from typing import Any

from kagent.distributed.worker import Servant
from kagent.distributed.workers import DIED, Answer


def copied(value: Any) -> Any:
    """As another process gets it: nothing is shared."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


@dataclasses.dataclass
class InProcess:
    """Workers in this process.

    Args:
        num_workers, envs_per_worker: As of `Ray`.
        fate: From (number of the call, worker, method) to whether the worker ends in the call.
        latest_first: Whether the worker that was called last answers first.
        asynchronous: As of `Ray`.
    """

    num_workers: int
    envs_per_worker: int = 1
    fate: Callable[[int, int, str], bool] = lambda number, worker, method: False
    latest_first: bool = False
    asynchronous: bool | None = None

    def __post_init__(self):
        self.started, self.calls, self.shared, self.closed = [], [], [], 0

    def connect(self):
        self.servants = {}
        self.waiting = collections.deque()
        return self

    def start(self, worker):
        self.started.append(worker)
        self.servants[worker] = Servant()

    def share(self, weights):
        self.shared.append(weights.copy())
        return weights

    def submit(self, worker, method, *arguments):
        if method == "open":  # environments of tests are local functions, which Ray sends and pickle does not
            arguments = tuple(
                dataclasses.replace(copied(dataclasses.replace(job, env=None)), env=job.env) for job in arguments
            )
        else:
            arguments = copied(arguments)
        self.waiting.append((worker, method, arguments))

    def wait(self):
        worker, method, arguments = self.waiting.pop() if self.latest_first else self.waiting.popleft()
        self.calls.append((worker, method))
        if self.fate(len(self.calls), worker, method):
            self.servants[worker].run("close")
            return Answer(worker, DIED, "killed by the test")
        return Answer(worker, *copied(self.servants[worker].run(method, *arguments)))

    def close(self):
        self.closed += 1
        for servant in self.servants.values():
            servant.run("close")


def serve(pipe):
    servant = Servant()
    while True:
        pipe.send(servant.run(*pipe.recv()))


@dataclasses.dataclass
class Processes:
    """Workers in processes of their own. `pids` are those of the present ones."""

    num_workers: int
    envs_per_worker: int = 1
    asynchronous: bool | None = None

    def connect(self):
        self.context = multiprocessing.get_context("spawn")
        self.processes, self.pipes, self.busy = {}, {}, set()
        return self

    @property
    def pids(self):
        return [process.pid for process in self.processes.values()]

    def start(self, worker):
        if worker in self.processes:
            self.processes[worker].kill()
            self.processes[worker].join()
            self.pipes[worker].close()
        self.pipes[worker], theirs = self.context.Pipe()
        self.processes[worker] = self.context.Process(target=serve, args=(theirs,), daemon=True)
        self.processes[worker].start()
        theirs.close()

    def share(self, weights):
        return weights

    def submit(self, worker, method, *arguments):
        self.busy.add(worker)
        try:
            self.pipes[worker].send((method, *arguments))
        except OSError:
            pass  # it has ended, which `wait` finds

    def wait(self):
        pipes = {self.pipes[worker]: worker for worker in self.busy}
        pipe = multiprocessing.connection.wait(list(pipes))[0]
        self.busy.remove(worker := pipes[pipe])
        try:
            return Answer(worker, *pipe.recv())
        except (EOFError, OSError) as error:
            return Answer(worker, DIED, type(error).__name__)

    def close(self):
        for process in self.processes.values():
            process.kill()
            process.join()
