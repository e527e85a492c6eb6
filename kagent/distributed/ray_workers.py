"""Workers as actors of Ray."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import socket
import warnings
from typing import Any

import numpy as np

from kagent.config.checks import check_count, check_flag, check_positive
from kagent.distributed.worker import RAISED, Fault, Servant
from kagent.distributed.workers import DIED, Answer

_WITH_CALLS = 1 << 19  # bytes of weights for all workers that cost less in their calls than in the object store
_PATIENCE = 5.0  # seconds for an address to accept a connection


@dataclasses.dataclass(frozen=True)
class Ray:
    """Workers of a Ray cluster, for `agent.fit(env, workers=...)`. It needs `pip install 'kagent[ray]'`.

    Each worker is a Ray actor in a process of its own, which imports no TensorFlow. It makes its environments itself, from an id or
    a callable; packages that register ids, and modules of callables, must be installed on its machine.

    A worker that ends at any time costs its open episodes: another one begins new ones, and a warning says so. So does one whose
    environment does not answer within `step_timeout` of `fit`. A worker that ends five times in one call is an error.

    Args:
        num_workers: How many workers.
        envs_per_worker: Environments of each, which it steps one after the other.
        address: Of a cluster: "auto" for the one that this machine belongs to, or "host:port" of its head. None: where the program has
            called `ray.init`, its cluster; else a local one, which `fit` starts and ends.
        cpus_per_worker: Processors that Ray counts for each worker on a cluster, a number >= 0.
        asynchronous: Whether workers go on with somewhat older weights while the agent learns. True is for agents with a replay memory
            and for `IMPALA`, False for agents that learn from what their present policy did, and for `IMPALA`. None: True where it may
            be.
        exact: Whether workers that wait draw the random numbers of all environments, so that training is that of local environments
            bit for bit. It costs each worker a forward pass of all environments' rows. False: each draws for its own. Beta
            distributions, state-dependent noise and explorations of your own are drawn so in any case. It has no meaning for one
            worker, and for workers that go on.

    Raises:
        ValueError: Numbers outside of their range, or an address of another form.

    Example:

    >>> workers = kagent.distributed.Ray(num_workers=8, envs_per_worker=4)
    >>> workers.num_workers * workers.envs_per_worker  # environments
    32
    """

    num_workers: int
    envs_per_worker: int = 1
    address: str | None = None
    cpus_per_worker: float = 1.0
    asynchronous: bool | None = None
    exact: bool = True

    def __post_init__(self) -> None:
        check_count(self.num_workers, "num_workers")
        check_count(self.envs_per_worker, "envs_per_worker")
        if self.cpus_per_worker != 0:
            check_positive(self.cpus_per_worker, "cpus_per_worker")
        if self.asynchronous is not None:
            check_flag(self.asynchronous, "asynchronous")
        check_flag(self.exact, "exact")
        if self.address is not None and self.address != "auto":
            self._host_and_port()

    def connect(self) -> RayWorkers:
        """Joins the cluster, or starts a local one.

        Raises:
            ModuleNotFoundError: Ray is not installed.
            ConnectionError: The cluster cannot be reached.
            ValueError: It has fewer processors than the workers need.
        """
        try:
            import ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise ModuleNotFoundError(
                "kagent.distributed.Ray needs Ray: pip install 'kagent[ray]'", name="ray"
            ) from None
        own = not ray.is_initialized()
        if own:
            self._join(ray)
        elif self.address is not None:
            raise ValueError(
                f"`address` must be None where the program has called ray.init already. Received: {self.address!r}"
            )
        workers = RayWorkers(ray, self.num_workers, self.cpus_per_worker, own)
        if lacking := workers.lacking():
            workers.close()
            raise ValueError(
                f"`num_workers` times `cpus_per_worker` are too many for the Ray cluster. Received: {lacking}"
            )
        return workers

    def _join(self, ray: Any) -> None:
        options: dict[str, Any] = {"address": self.address}
        if self.address is None:  # "local" also where the environment variable RAY_ADDRESS names a cluster
            counted = max(1, math.ceil(self.num_workers * self.cpus_per_worker))  # not taken
            options = {"address": "local", "include_dashboard": False, "num_cpus": counted}
        elif self.address != "auto":
            try:
                check_answering(*self._host_and_port())
            except OSError as error:
                raise ConnectionError(f"No Ray cluster can be reached at {self.address!r}: {error}") from None
        try:
            ray.init(**options, log_to_driver=True, logging_level=logging.ERROR)
        except Exception as error:  # of Ray's many classes
            where = "started here" if self.address is None else f"reached at {self.address!r}"
            first = str(error).strip().partition("\n")[0]
            raise ConnectionError(f"No Ray cluster can be {where}: {type(error).__name__}: {first}") from error

    def _host_and_port(self) -> tuple[str, int]:
        host, _, port = str(self.address).rpartition(":")
        if not isinstance(self.address, str) or not host or "/" in host or not port.isdigit():
            raise ValueError(
                f"`address` must be None, 'auto' or 'host:port' of a Ray cluster. Received: {self.address!r}"
            )
        return host, int(port)


def check_answering(host: str, port: int) -> None:
    """Looks whether there is a server of the kind that a Ray cluster's head is: Ray itself waits for minutes.

    Raises:
        OSError: There is none, or another program listens there.
    """
    with socket.create_connection((host, port), _PATIENCE) as connection:
        if os.environ.get("RAY_USE_TLS") == "1":
            return  # it answers to who has a certificate
        # The beginning of HTTP/2, which gRPC speaks: a server answers with a frame of its settings, of kind 4.
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        answer = connection.recv(9)
    if len(answer) < 4 or answer[3] != 4:
        raise ConnectionError("another program listens there")


class RayServant(Servant):
    """A `Servant` that is given a call as one argument: Ray serializes each by itself, which takes it a while."""

    def call(self, call: tuple[str, tuple[Any, ...]], *shared: np.ndarray) -> Any:
        """As `run`.

        Args:
            call: The method and its arguments, behind those of `shared`.
            shared: What was put into the object store, the first argument; or nothing.
        """
        method, arguments = call
        return self.run(method, *shared, *arguments)


class RayWorkers:
    """The way to Ray actors, as `Workers` has it.

    Args:
        ray: The module.
        count: How many there are to be.
        cpus: Processors that are counted for each.
        own: Whether `close` leaves the cluster, and ends a local one.
    """

    def __init__(self, ray: Any, count: int, cpus: float, own: bool):
        self._ray, self._own, self._needed, self._warned = ray, own, count * cpus, False
        self._kind = ray.remote(RayServant).options(num_cpus=cpus, max_restarts=0, max_task_retries=0)
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, int] = {}  # by reference, the worker

    def lacking(self) -> str:
        """What the cluster has too little of, in words; empty: it has enough."""
        there = self._ray.cluster_resources().get("CPU", 0)
        return f"a cluster of {there:g} CPUs, where the workers need {self._needed:g}" if self._needed > there else ""

    def start(self, worker: int) -> None:
        """As `Workers.start`."""
        if worker in self._actors:
            self._ray.kill(self._actors[worker])
        self._actors[worker] = self._kind.remote()

    def share(self, weights: np.ndarray) -> Any:
        """As `Workers.share`: once into the object store, from which each machine reads it once. A few bytes go with each call."""
        return weights if weights.nbytes * len(self._actors) <= _WITH_CALLS else self._ray.put(weights)

    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        """As `Workers.submit`."""
        shared = arguments[:1] if arguments and isinstance(arguments[0], self._ray.ObjectRef) else ()
        call = method, arguments[len(shared) :]
        try:
            self._calls[self._actors[worker].call.remote(call, *shared)] = worker
        except TypeError as error:
            reason = error.__cause__ or error
            raise TypeError(f"`env` must be a callable that can be sent to another process: {reason}") from None

    def wait(self) -> Answer:
        """As `Workers.wait`."""
        ended: list[Any] = []
        while not ended:
            ended, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=_PATIENCE)
            if not ended and not self._warned and (lacking := self.lacking()):
                self._warned = True
                warnings.warn(f"A machine has left: training waits for one more, in {lacking}", stacklevel=6)
        worker = self._calls.pop(ended[0])
        try:
            return Answer(worker, *self._ray.get(ended[0]))
        except self._ray.exceptions.RayTaskError as error:  # `Servant` was not reached
            kind, _, reason = str(error).strip().splitlines()[-1].partition(": ")
            message = f"Worker {worker} cannot read what it was sent: {reason}. Its machine needs the modules of `env`"
            return Answer(worker, RAISED, Fault(kind, message, str(error)))
        except self._ray.exceptions.RayError as error:  # the process, its machine or what it sent is lost
            return Answer(worker, DIED, str(error).strip().partition("\n")[0])

    def close(self) -> None:
        """As `Workers.close`."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors, self._calls = {}, {}
        if self._own:
            self._ray.shutdown()
