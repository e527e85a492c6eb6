"""What runs in the process of a worker: a collector. It imports neither TensorFlow nor Keras."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

import kagent
from kagent import environments
from kagent.acting.actor import Actor
from kagent.acting.loading import from_config
from kagent.distributed.blocks import Block, BlockWriter
from kagent.distributed.job import Job
from kagent.environments.episode_seeds import draw_seed, following_seed
from kagent.environments.share import Share, placed
from kagent.environments.watchdog import StepTimeoutError
from kagent.schedules import Clock
from kagent.training.collector import Collector

DONE, RAISED, HUNG = "done", "raised", "hung"


class Fault(NamedTuple):
    """An exception, as it is sent.

    Attributes:
        kind: Name of its class.
        message: Its text.
        traceback: All that Python prints of it.
        arguments: What it was raised with, where these are plain values; None: they are not.
    """

    kind: str
    message: str
    traceback: str
    arguments: tuple[Any, ...] | None = None

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """As it is sent."""
        plain = all(type(value) in (str, bytes, int, float, bool, type(None)) for value in error.args)
        text = "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), text, error.args if plain else None)


class Streams(NamedTuple):
    """States of the agent's random generators, as they are sent: a worker goes on from them, and sends back where it came to.

    Attributes:
        act: Of actions.
        reset: Of the seeds of episodes, where there is only one environment; else None.
    """

    act: dict[str, Any]
    reset: dict[str, Any] | None


class Servant:
    """Does the calls of one worker, one after the other. What transports hold in the worker's process.

    Example:

    >>> Servant().run("about")[0]
    'raised'
    """

    def __init__(self) -> None:
        self._worker: Worker | None = None

    def run(self, method: str, *arguments: Any) -> tuple[str, Any]:
        """Calls a method of the worker, or `open` with the `Job` first.

        Returns:
            `("done", result)`; `("raised", Fault)`; or `("hung", message)`, of an environment that did not answer in time.
        """
        try:
            if method == "open":
                self._worker = Worker(*arguments)
                return DONE, self._worker.about()
            if self._worker is None:
                raise RuntimeError(f"A worker must be opened first. Received: {method}")
            return DONE, getattr(self._worker, method)(*arguments)
        except StepTimeoutError as error:
            return HUNG, str(error)
        except Exception as error:
            return RAISED, Fault.of(error)


class Worker:
    """Some of the environments of a run, and an actor that walks them.

    Args:
        job: What it is made of.

    Raises:
        RuntimeError: Another version of kagent than the agent's.
        TypeError: The callable does not return single environments.
    """

    def __init__(self, job: Job):
        if job.version != kagent.__version__:
            raise RuntimeError(
                f"The agent has kagent {job.version}, and its worker on {socket.gethostname()} has kagent {kagent.__version__}: "
                "install the same version"
            )
        made = environments.make(job.env, job.count, **job.limits)
        if not isinstance(made, environments.SingleEnvs):
            made.close()
            raise TypeError(
                "`env` must be an id or a callable that returns a gymnasium.Env: workers step single environments. "
                f"Received: a callable that returns {type(made.sources[0]).__name__}"
            )
        made.limit_replay(job.replay_limit)
        self._job, self._environments = job, made
        self._rows, self._total = job.seen
        self._prepared = None if job.preparation is None else job.preparation.around(made)
        seen = made if self._prepared is None else self._prepared
        own = seen if job.count == self._total else Share(seen, self._rows.start, self._total)
        self._actor = from_config(job.actor)
        self._collector = Collector(self._actor, job.exploration, own)
        self._version = -1  # of the weights
        self._seeds = _Seeds(job.total > 1)

    def about(self) -> dict[str, Any]:
        """What the learner needs to know of its environments and of its process."""
        made = self._environments
        return {
            "observation_space": made.observation_space,
            "action_space": made.action_space,
            "records_returns": made.records_returns,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "heavy": sorted({"keras", "tensorflow"} & set(sys.modules)),
        }

    def start(
        self,
        seeds: Sequence[int],
        state: dict[str, Any] | None = None,
        learned: Any = None,
        clock: tuple[Any, ...] = (),
    ) -> dict[str, Any]:
        """Begins new episodes, or goes on with the open ones of `state`.

        Args:
            seeds: Of the episodes that begin, in the order of the environments.
            state: What `state()` gave.
            learned: Statistics of the agent's preprocessing, where there is one.
            clock: The time, as a `Clock`.

        Returns:
            `lost`: rows of environments whose episode could not be brought back; `masked`: whether there are action masks; `raw`: the
            environments' own observations, where the agent needs them, else None.
        """
        self._seeds.given = list(seeds)
        if self._prepared is not None:
            self._prepared.set_statistics(learned)
            self._prepared.now = Clock(*clock)
        lost = self._collector.start(self._seeds, None if state is None else self._placed(state))
        own = [row for row in lost if self._rows.start <= row < self._rows.stop]
        raw = [x.copy() for x in self._environments.observation] if self._sends_raw else None
        return {"lost": own, "masked": self._environments.mask is not None, "raw": raw}

    def collect(
        self,
        weights: np.ndarray,
        version: int,
        clocks: Sequence[tuple[Any, ...]],
        streams: Streams,
        learned: Any = None,
    ) -> tuple[Block, Streams]:
        """Takes a timestep for each time.

        Args:
            weights: Of the actor, float32 `(size,)`.
            version: Their number.
            clocks: The time of each timestep, as a `Clock`.
            streams: Where the random numbers are taken from.
            learned: Statistics of the agent's preprocessing, where there is one; they go on from these during the call.

        Returns:
            The timesteps, and where the streams are then.
        """
        collector, rng = self._collector, _generator(streams.act)
        self._seeds.stream = None if streams.reset is None else _generator(streams.reset)
        if version != self._version:
            self._actor.program.set_weights(weights)  # type: ignore[union-attr]
            self._version = version
        prepared = self._prepared
        sender = prepared if self._sends_raw else None
        if prepared is not None:
            prepared.set_statistics(learned)
        writer = BlockWriter(len(clocks), self._rows)
        for t, clock in enumerate(clocks):
            now = Clock(*clock)
            if prepared is not None:
                prepared.now = now
            timestep = collector.step(now, rng)
            if sender is not None:
                writer.write_raw(t, sender.acted_on, sender.led_to, timestep.outcome.ended)
            writer.write(t, timestep, collector.settle())
        block = writer.finish(
            collector.environments.observation,
            collector.environments.mask,
            () if sender is None else self._environments.observation,
        )
        if self._job.log_prob:
            block["columns"]["log_prob.0"] = log_prob(self._actor, block["columns"])
        reset = None if self._seeds.stream is None else dict(self._seeds.stream.bit_generator.state)
        return block, Streams(dict(rng.bit_generator.state), reset)

    def state(self) -> dict[str, Any] | None:
        """The open episodes of its environments, as `Collector.state` has those of all."""
        state, rows = self._collector.state(), self._rows
        if state is not None:
            if len(episodes := state["environments"]["episodes"]) > self._job.count:
                state["environments"]["episodes"] = episodes[rows]
            state["returns"], state["lengths"] = state["returns"][rows], state["lengths"][rows]
            if "actor" in state:
                state["actor"] = [part[rows] for part in state["actor"]]
        return state

    @property
    def _sends_raw(self) -> bool:
        return self._job.preparation is not None and self._job.preparation.learns

    def close(self) -> None:
        """Closes the environments."""
        self._environments.close()

    def _placed(self, state: dict[str, Any]) -> dict[str, Any]:
        # The state of its rows among all rows.
        total, rows = self._total, self._rows
        returns, lengths = np.zeros(total), np.zeros(total, np.int64)
        returns[rows], lengths[rows] = state["returns"], state["lengths"]
        found = {**state, "returns": returns, "lengths": lengths}
        if total > self._job.count:
            episodes = placed(state["environments"]["episodes"], rows, total)
            found["environments"] = {**state["environments"], "episodes": episodes}
        if "actor" in state:
            parts = [np.array(part) for part in self._actor.initial_state(total)]
            given = [np.asarray(part) for part in state["actor"]]
            if [(x.shape[1:], x.dtype) for x in parts] == [(x.shape[1:], x.dtype) for x in given]:
                for into, part in zip(parts, given):
                    into[rows] = part
                found["actor"] = parts
        return found


class _Seeds:
    """Seeds of a worker's episodes: the given ones first. Of several environments, those that follow come from the seed before."""

    def __init__(self, several: bool):
        self.given: list[int] = []
        self.stream: np.random.Generator | None = None
        self.following = following_seed if several else None

    def __call__(self) -> int:
        if self.given:
            return self.given.pop(0)
        return 0 if self.stream is None else draw_seed(self.stream)


def log_prob(actor: Actor, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Log-probabilities of the actions of a block by the policy that acted, `(T, N)`.

    Args:
        actor: With the weights that the actions were chosen by.
        columns: Of the block.
    """
    shape = columns["outcome.0"].shape

    def group(name: str) -> list[np.ndarray | None]:
        count = 1 + max((int(key.rpartition(".")[2]) for key in columns if key.startswith(f"{name}.")), default=-1)
        found = [columns.get(f"{name}.{i}") for i in range(count)]
        return [None if x is None else x[: shape[0]].reshape((shape[0] * shape[1], *x.shape[2:])) for x in found]

    masks: Any = group("mask")
    if masks:
        masks += [None] * (len(actor.decisions) - len(masks))
    leaves: Any = group("observation"), group("action"), group("actor_state")
    found: np.ndarray = actor.log_prob(leaves[0], leaves[1], masks or None, leaves[2]).reshape(shape)
    return found


def _generator(state: dict[str, Any]) -> np.random.Generator:
    generator = np.random.Generator(np.random.Philox())
    generator.bit_generator.state = state
    return generator
