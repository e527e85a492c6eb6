"""The environments of all workers as one collector: timesteps in the order in which local environments give them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from kagent.distributed.blocks import Rollout
from kagent.distributed.fleet import Call, Fleet
from kagent.distributed.worker import Streams
from kagent.environments.stream import NextSeed
from kagent.exploration import Exploration
from kagent.schedules import Clock
from kagent.training.collector import Episode, Timestep

LONGEST = 1024  # timesteps of a worker's environments in one call


class RemoteEnvironments(NamedTuple):
    """What a trainer reads of environments that are in workers.

    Attributes:
        num_envs: How many they are.
        observation_space, action_space: Of one of them.
        mask: True where they give action masks; None: they do not, or have not begun.
        replayable: True: they are single environments.
    """

    num_envs: int
    observation_space: Any
    action_space: Any
    mask: bool | None = None
    replayable: bool = True


class SharedWeights:
    """The actor's weights where workers read them. Weights that are the same are not sent again.

    Args:
        fleet: The workers.
        weights: Returns the weights, float32 `(size,)`, and a number that changes where they may have changed.

    Attributes:
        broadcasts: How often weights were shared.
    """

    def __init__(self, fleet: Fleet, weights: Callable[[], tuple[np.ndarray, int]]):
        self._fleet, self._weights, self.broadcasts = fleet, weights, 0
        self._last: Any = None  # their number, a copy, and what workers read them from

    def latest(self) -> tuple[int, Any]:
        """A number for the present weights, and what workers read them from."""
        weights, version = self._weights()
        if self._last is None or self._last[0] != version:
            if self._last is not None and np.array_equal(self._last[1], weights):
                self._last = (version, *self._last[1:])
            else:
                self.broadcasts += 1
                kept = weights.copy()
                self._last = version, kept, self._fleet.share(kept)
        return self.broadcasts, self._last[2]


class Arrivals(Protocol):
    """What the agent's preprocessing does with timesteps that arrive; `kagent.preprocessing.remote.Arrivals` is one."""

    @property
    def works(self) -> bool:
        """Whether timesteps have to be taken in: statistics of observations are learned, or rewards processed."""

    def statistics(self) -> Any:
        """What workers process observations by."""

    def begin(self, rows: Sequence[int], raw: Sequence[np.ndarray] | None) -> None:
        """Episodes begin in these environments."""

    def take(self, rows: slice, reward: Any, successor: Any, ended: Sequence[int], raw: Any) -> np.ndarray:
        """Takes in a timestep. Returns its processed rewards."""

    def state(self, workers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """What is remembered of the open episodes."""

    def restore(self, state: dict[str, Any]) -> None:
        """Takes what `state` gave."""

    def share(self, state: dict[str, Any], rows: slice) -> dict[str, Any]:
        """The part of it that a worker restores."""


def taken(arrivals: Arrivals, rollout: Rollout, t: int, timestep: Timestep, rows: slice) -> np.ndarray:
    """Has the agent's preprocessing take in timestep `t` of a rollout, of the environments `rows`. Returns the processed rewards."""
    outcome = timestep.outcome
    return arrivals.take(rows, outcome.reward, outcome.next_observation, outcome.ended, rollout.raw(t))


class RemoteCollector:
    """A `Collector` whose environments are in workers.

    Each call of the workers brings as many timesteps as are planned; `step` hands out one at a time. Every worker computes the
    actions of all environments, with zeros for the observations of others, and takes those of its own. So all draw the same random
    numbers, and the timesteps are those of one `Collector` with all environments. Workers whose jobs are `alone` compute those of
    their own environments, each with a stream of its own.

    Args:
        fleet: The workers.
        weights: Returns the actor's weights, float32 `(size,)`, and a number that changes where they may have changed.
        spawn: Gives that many new streams of actions, for workers whose jobs are `alone`. It is called where episodes begin.
        reset: The agent's stream of seeds, for the case of a single environment.
        leaves: How many leaves an observation and an action have.
        give_up: Called with the rows of environments whose open episodes a worker has taken with it.
        clock: Gives the time at which episodes begin.
        arrivals: The agent's preprocessing; None: there is none.

    Attributes:
        environments: What is known of them.
        exploration: Chooses actions. It is the one that the workers have.
        returns, lengths: Of the open episodes at the timestep that was handed out last, `(N,)`.
        records_returns: Whether environments show that they record returns.
    """

    in_program = False

    def __init__(
        self,
        fleet: Fleet,
        weights: Callable[[], tuple[np.ndarray, int]],
        spawn: Callable[[int], list[np.random.Generator]],
        reset: np.random.Generator,
        leaves: tuple[int, int],
        give_up: Callable[[list[int]], None],
        clock: Callable[[], Clock] = Clock,
        arrivals: Arrivals | None = None,
    ):
        self.fleet = fleet
        self._clock, self._arrivals = clock, arrivals
        self._spawn, self._reset, self._leaves, self._give_up = spawn, reset, leaves, give_up
        self._generators: list[np.random.Generator] = []  # of each worker that is alone
        job, about = fleet.jobs[0], fleet.about[0]
        self.environments = RemoteEnvironments(job.total, about["observation_space"], about["action_space"])
        self.exploration: Exploration = job.exploration
        self.records_returns = any(about["records_returns"] for about in fleet.about)
        self.returns, self.lengths = np.zeros(job.total), np.zeros(job.total, np.int64)
        self._next_seed: NextSeed | None = None
        self._planned: Iterator[Clock] = iter(())
        self._rollout: Rollout | None = None
        self._given = 0  # timesteps of the rollout that were handed out
        self._ended: list[tuple[int, Episode]] = []
        self._weights = SharedWeights(fleet, weights)
        self._lost: list[int] = []

    @property
    def broadcasts(self) -> int:
        """How often weights were shared."""
        return self._weights.broadcasts

    def plan(self, clocks: Iterable[Clock]) -> None:
        """Says at which times the next timesteps are. Without a plan each `step` is a call of the workers."""
        self._planned = iter(clocks)

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> list[int]:
        """As `Collector.start`."""
        self._next_seed = next_seed
        jobs, total = self.fleet.jobs, self.environments.num_envs
        self._rollout, self._lost = None, []
        self._generators = self._spawn(len(jobs)) if jobs[0].alone else []
        if state is not None and len(state["lengths"]) != total:
            state = None
        if state is None or len(state["environments"]["episodes"]) != total:
            found = self._call("start", [self._begun(index) for index in range(len(jobs))])
            lost = [] if state is None else list(range(total))
        else:
            parts = [self._slice(state, job.rows) for job in jobs]
            found = self._call("start", [self._starting([], part) for part in parts])
            lost = sorted({first + row for first, one in zip(self._firsts, found) for row in one["lost"]})
            if lost:  # their new episodes get seeds in the order of the environments, as if they were all here
                seeds = [[next_seed() for row in lost if row in range(total)[job.rows]] for job in jobs]
                found = self._call("start", [self._starting(*each) for each in zip(seeds, parts)])
        self.returns[:], self.lengths[:] = (0, 0) if state is None else (state["returns"], state["lengths"])
        self.returns[lost], self.lengths[lost] = 0.0, 0
        if self._arrivals is not None and state is not None and len(lost) < total:
            self._arrivals.restore(state["environments"]["preprocessing"])
        self._leave_lost()
        if self._arrivals is not None:
            begun = list(range(total)) if state is None else lost
            raw = None
            if found[0]["raw"] is not None:
                raw = [np.concatenate(parts)[begun] for parts in zip(*(one["raw"] for one in found))]
            self._arrivals.begin(begun, raw)
        masked = {bool(one["masked"]) for one in found}
        if len(masked) > 1:
            raise ValueError("All environments must give action masks, or none. Received: those of some workers do")
        self.environments = self.environments._replace(mask=True if masked == {True} else None)
        return lost

    def state(self) -> dict[str, Any] | None:
        """As `Collector.state`. None in the middle of a call's timesteps, where the workers' environments are ahead of the agent."""
        if not self.fleet.usable or self._next_seed is None or self._rollout is not None:
            return None
        found = self._call("state", [() for _ in self.fleet.jobs])
        self._leave_lost()
        if any(one is None for one in found):
            return None
        episodes = [episode for one in found for episode in one["environments"]["episodes"]]
        state: dict[str, Any] = {
            "environments": {"episodes": episodes},
            "returns": np.concatenate([one["returns"] for one in found]),
            "lengths": np.concatenate([one["lengths"] for one in found]),
        }
        if self._arrivals is not None:
            parts = [one["environments"]["preprocessing"] for one in found]
            state["environments"]["preprocessing"] = self._arrivals.state(parts)
        if all("actor" in one for one in found):
            state["actor"] = [np.concatenate(parts) for parts in zip(*(one["actor"] for one in found))]
        return state

    def step(self, clock: Clock, rng: np.random.Generator) -> Timestep:
        """As `Collector.step`."""
        if self._rollout is None:
            self._collect(clock, rng)
        assert self._rollout is not None
        rollout = self._rollout
        timestep, self._ended = rollout.timestep(self._given)
        self.returns += timestep.outcome.reward
        if self._arrivals is not None and self._arrivals.works:
            timestep.outcome.reward = taken(self._arrivals, rollout, self._given, timestep, slice(None))
        self.lengths += 1
        self._given += 1
        if self._given == rollout.steps:
            self._rollout = None
        return timestep

    def settle(self) -> Sequence[tuple[int, Episode]]:
        """As `Collector.settle`."""
        ended, self._ended = self._ended, []
        for row, _ in ended:
            self.returns[row], self.lengths[row] = 0.0, 0
        return ended

    def _collect(self, clock: Clock, rng: np.random.Generator) -> None:
        clocks = list(itertools.islice(self._planned, LONGEST)) or [clock]
        times = [tuple(one) for one in clocks]
        single = self.environments.num_envs == 1
        reset = dict(self._reset.bit_generator.state) if single else None
        streams = [Streams(dict(each.bit_generator.state), reset) for each in self._generators or [rng]]
        if not self._generators:
            streams *= len(self.fleet.jobs)  # the same object, which is sent as one
        version, shared = self._weights.latest()
        learned = None if self._arrivals is None else self._arrivals.statistics()
        found = self._call("collect", [(shared, version, times, own, learned) for own in streams])
        blocks, after = zip(*found)
        if not self._generators and any(not _equal(one.act, after[0].act) for one in after):
            raise RuntimeError(
                "The workers drew different numbers of random numbers, and their actions are not those of one process: "
                f"{type(self.exploration).__name__} draws numbers by what it observes"
            )
        for generator, one in zip(self._generators or [rng], after):
            generator.bit_generator.state = one.act
        if single:
            self._reset.bit_generator.state = after[0].reset
        self._leave_lost()
        self._rollout, self._given = Rollout(blocks, self._leaves, self._firsts), 0

    @property
    def _firsts(self) -> list[int]:
        # What is added to the rows of each worker: those that are alone count their own from 0.
        return [job.first if job.alone else 0 for job in self.fleet.jobs]

    def _call(self, method: str, arguments: Sequence[Call]) -> list[Any]:
        return self.fleet.call(method, arguments, self._fresh)

    def _begun(self, index: int) -> Call:
        assert self._next_seed is not None
        return self._starting([self._next_seed() for _ in range(self.fleet.jobs[index].count)], None)

    def _starting(self, seeds: Sequence[int], state: dict[str, Any] | None) -> Call:
        learned = None if self._arrivals is None else self._arrivals.statistics()
        return seeds, state, learned, tuple(self._clock())

    def _slice(self, state: dict[str, Any], rows: slice) -> dict[str, Any]:
        environments = {"episodes": state["environments"]["episodes"][rows]}
        if self._arrivals is not None:
            environments["preprocessing"] = self._arrivals.share(state["environments"]["preprocessing"], rows)
        part = {"environments": environments, "returns": state["returns"][rows], "lengths": state["lengths"][rows]}
        return {**part, "actor": [x[rows] for x in state["actor"]]} if "actor" in state else part

    def _fresh(self, index: int) -> Call:
        rows = self.fleet.jobs[index].rows
        self._lost += range(self.environments.num_envs)[rows]
        return self._begun(index)

    def _leave_lost(self) -> None:
        lost, self._lost = sorted(set(self._lost)), []
        if lost:
            self.returns[lost], self.lengths[lost] = 0.0, 0
            self._give_up(lost)
            if self._arrivals is not None:
                self._arrivals.begin(lost, None)


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    # Two states of a Philox generator.
    plain = all(one[name] == other[name] for name in ("buffer_pos", "has_uint32", "uinteger"))
    inner = all(np.array_equal(one["state"][name], other["state"][name]) for name in ("counter", "key"))
    return plain and inner and np.array_equal(one["buffer"], other["buffer"])
