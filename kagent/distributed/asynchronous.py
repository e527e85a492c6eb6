"""The environments of workers that do not wait for each other, nor for the learner, as one collector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kagent.distributed.blocks import Block, Rollout
from kagent.distributed.collector import Arrivals, RemoteEnvironments, SharedWeights, taken
from kagent.distributed.fleet import Call, Fleet
from kagent.distributed.worker import Streams
from kagent.environments import Transition
from kagent.environments.stream import NextSeed
from kagent.exploration import Exploration
from kagent.schedules import Clock
from kagent.training.collector import Episode, Timestep


class _Arrived(NamedTuple):
    worker: int
    block: Block


class AsynchronousCollector:
    """A `Collector` whose environments are in workers, each of which goes on by itself.

    A worker collects a block of timesteps by the weights that it was given, and gets the newest ones with the next call. That call
    is made when its block arrives, and the block arrives when the agent has used what it has: a worker is one block ahead at most, and
    then waits. So nothing piles up, however slow the learner is.

    Without `together`, `step` hands out the timesteps of one worker at a time, in which the rows of others are not valid. Those of each
    environment are in their order. With it, as many blocks as there are workers are put side by side, from whichever workers
    they came first: one rollout. Its columns are then no environments: a fast worker may have two of them.

    Args:
        fleet: The workers, whose jobs are `alone`.
        weights: Returns the actor's weights, float32 `(size,)`, and a number that changes where they may have changed.
        spawn: Gives that many new streams of actions, one for each worker. It is called where episodes begin.
        reset: The agent's stream of seeds, for the case of a single environment.
        leaves: How many leaves an observation and an action have.
        steps: Timesteps of an environment in a block.
        together: Whether blocks are put side by side.
        clock_at: From a number of timesteps to that time.
        give_up: Called with the rows of environments whose open episodes a worker has taken with it.
        note: Called by `settle` with the log-probabilities of the timestep's actions by the policy that acted, `(N,)`, where workers
            send them.
        clock: Gives the time at which episodes begin.
        arrivals: The agent's preprocessing, which takes in a block as a whole when it arrives; None: there is none.

    Attributes:
        environments, exploration, records_returns: As of `RemoteCollector`.
        lengths: 0 of each environment: only its worker knows how long its open episode is.
        updates: Updates so far. Who learns counts them here.
        ages: Of each block that was taken since they were last emptied, the updates since its weights were given to its worker.
    """

    in_program = False

    def __init__(
        self,
        fleet: Fleet,
        weights: Callable[[], tuple[np.ndarray, int]],
        spawn: Callable[[int], list[np.random.Generator]],
        reset: np.random.Generator,
        leaves: tuple[int, int],
        steps: int,
        together: bool,
        clock_at: Callable[[int], Clock],
        give_up: Callable[[list[int]], None],
        note: Callable[[np.ndarray], None] | None = None,
        clock: Callable[[], Clock] = Clock,
        arrivals: Arrivals | None = None,
    ):
        self.fleet, self._clock, self._arrivals = fleet, clock, arrivals
        self.shared = SharedWeights(fleet, weights)
        self._spawn, self._reset, self._leaves, self._steps, self._together = spawn, reset, leaves, steps, together
        self._generators: list[np.random.Generator] = []  # of each worker
        self._clock_at, self._give_up, self._note = clock_at, give_up, note
        job, about = fleet.jobs[0], fleet.about[0]
        self.environments = RemoteEnvironments(
            job.total, about["observation_space"], about["action_space"], replayable=False
        )
        self.exploration: Exploration = job.exploration
        self.records_returns = any(about["records_returns"] for about in fleet.about)
        self.lengths = np.zeros(job.total, np.int64)
        self.updates = 0
        self.ages: list[int] = []
        self._log_prob: np.ndarray | None = None
        self._next_seed: NextSeed | None = None
        self._asked = 0  # timesteps that workers were or are called for
        self._begun = False  # whether they were called for any
        self._given: dict[int, int] = {}  # by worker, the updates behind the weights of its call
        self._rollout: Rollout | None = None
        self._workers: list[int] = []  # of the rollout's blocks
        self._time = 0
        self._ended: list[tuple[int, Episode]] = []
        self._wide: Timestep | None = None

    @property
    def broadcasts(self) -> int:
        """How often weights were shared."""
        return self.shared.broadcasts

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> list[int]:
        """Begins new episodes in all environments, whatever the state."""
        del state
        self._next_seed, self._begun, self._rollout = next_seed, False, None
        self._generators = self._spawn(len(self.fleet.jobs))
        found = self.fleet.call("start", [self._seeds(index) for index in range(len(self.fleet.jobs))], self._fresh)
        if self._arrivals is not None:
            for job, one in zip(self.fleet.jobs, found):
                self._arrivals.begin(range(job.total)[job.rows], one["raw"])
        masked = {bool(one["masked"]) for one in found}
        if len(masked) > 1:
            raise ValueError("All environments must give action masks, or none. Received: those of some workers do")
        self.environments = self.environments._replace(mask=True if masked == {True} else None)
        return []

    def state(self) -> dict[str, Any] | None:
        """None: the workers' environments are ahead of the agent, and their open episodes are not kept."""
        return None

    def step(self, clock: Clock, rng: np.random.Generator) -> Timestep:
        """The next timestep that has arrived, or that arrives first."""
        del rng  # workers have their own
        if not self._begun:
            self._begun, self._asked = True, int(clock.timesteps)
            for index in range(len(self.fleet.jobs)):
                self._ask(index)
        if self._rollout is None:
            self._take()
        rollout = self._rollout
        assert rollout is not None
        timestep, ended = rollout.timestep(self._time)
        self._log_prob = rollout.log_prob(self._time)
        self._time += 1
        count = self.fleet.jobs[0].count
        self._ended = [(self._workers[column // count] * count + column % count, episode) for column, episode in ended]
        if self._time == rollout.steps:
            self._rollout = None
        if not self._together:
            return self._among_all(timestep)
        if self._rollout is None:  # what follows in a column is another environment's
            timestep.outcome.truncated = timestep.outcome.truncated | ~timestep.outcome.terminated
        return timestep

    def settle(self) -> Sequence[tuple[int, Episode]]:
        """As `Collector.settle`."""
        if self._note is not None and self._log_prob is not None:
            self._note(self._log_prob)
        ended, self._ended = self._ended, []
        return ended

    def _take(self) -> None:
        arrived = []
        for _ in range(len(self.fleet.jobs) if self._together else 1):
            index, (block, streams) = self.fleet.next(self._fresh)
            self._generators[index].bit_generator.state = streams.act
            if streams.reset is not None:
                self._reset.bit_generator.state = streams.reset
            if self._arrivals is not None and self._arrivals.works:
                block = self._processed(self._arrivals, index, block)
            self.ages.append(self.updates - self._given[index])
            arrived.append(_Arrived(index, block))
            self._ask(index)
        self._workers = [one.worker for one in arrived]
        count = self.fleet.jobs[0].count
        firsts = [place * count for place in range(len(arrived))]
        self._rollout, self._time = Rollout([one.block for one in arrived], self._leaves, firsts), 0

    def _ask(self, index: int) -> None:
        # For the next block of a worker, by the newest weights.
        count = self.fleet.jobs[index].count
        clocks = [tuple(self._clock_at(self._asked + t * count)) for t in range(self._steps)]
        self._asked += self._steps * count
        act, reset = self._generators[index], self._reset
        alone = self.fleet.jobs[index].total == 1  # else the seeds of episodes follow from those before
        streams = Streams(dict(act.bit_generator.state), dict(reset.bit_generator.state) if alone else None)
        version, shared = self.shared.latest()
        self._given[index] = self.updates
        learned = None if self._arrivals is None else self._arrivals.statistics()
        self.fleet.begin(index, "collect", shared, version, clocks, streams, learned)

    def _processed(self, arrivals: Arrivals, index: int, block: Block) -> Block:
        # The block with processed rewards.
        rollout, rows = Rollout([block], self._leaves), self.fleet.jobs[index].rows
        columns = {name: column for name, column in block["columns"].items() if not name.startswith("raw.")}
        columns["outcome.0"] = np.stack(
            [taken(arrivals, rollout, t, rollout.timestep(t)[0], rows) for t in range(rollout.steps)]
        )
        return {**block, "columns": columns}

    def _among_all(self, timestep: Timestep) -> Timestep:
        # The rows of one worker among those of all.
        (worker,), job = self._workers, self.fleet.jobs[0]
        rows = slice(worker * job.count, (worker + 1) * job.count)
        if self._wide is None:
            self._wide = _widened(timestep, job.total)
        wide, outcome = self._wide, timestep.outcome
        into = wide.outcome
        into.valid[:] = False
        into.valid[rows] = True
        pairs: list[tuple[Any, Any]] = [
            *zip(wide.observation, timestep.observation),
            *zip(wide.action, timestep.action),
            *zip(wide.actor_state, timestep.actor_state),
            *zip(into.next_observation, outcome.next_observation),
            (into.reward, outcome.reward), (into.terminated, outcome.terminated), (into.truncated, outcome.truncated),
        ]  # fmt: skip
        if timestep.mask is not None:
            pairs += [*zip(wide.mask, timestep.mask), *zip(into.next_mask or (), outcome.next_mask or ())]
        for array, part in pairs:
            if array is not None:
                array[rows] = part
        into.all_valid = job.count == job.total
        into.ended = [rows.start + row for row in outcome.ended]
        return wide

    def _seeds(self, index: int) -> Call:
        assert self._next_seed is not None
        learned = None if self._arrivals is None else self._arrivals.statistics()
        seeds = [self._next_seed() for _ in range(self.fleet.jobs[index].count)]
        return seeds, None, learned, tuple(self._clock())

    def _fresh(self, index: int) -> Call:
        lost = list(range(self.environments.num_envs)[self.fleet.jobs[index].rows])
        self._give_up(lost)
        if self._arrivals is not None:
            self._arrivals.begin(lost, None)
        return self._seeds(index)


def _widened(timestep: Timestep, total: int) -> Timestep:
    """A timestep of `total` rows with arrays like those of this one."""

    def wide(parts: Sequence[Any] | None) -> Any:
        if parts is None:
            return None
        return [None if part is None else np.zeros((total, *part.shape[1:]), part.dtype) for part in parts]

    outcome = timestep.outcome
    reward, terminated, truncated = wide([outcome.reward, outcome.terminated, outcome.truncated])
    masks = wide(timestep.mask), wide(outcome.next_mask)
    for mask in (*(masks[0] or ()), *(masks[1] or ())):
        if mask is not None:
            mask[:] = True
    observation, action = wide(timestep.observation), wide(timestep.action)
    inner = Transition(
        reward, terminated, truncated, np.zeros(total, bool), False, wide(outcome.next_observation), masks[1], []
    )
    return Timestep(observation, masks[0], tuple(wide(timestep.actor_state)), action, action, observation, inner)
