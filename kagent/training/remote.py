"""`fit` with workers: what it refuses before anything starts, and its trainer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv

from kagent import environments as envs
from kagent.callbacks.callback import Callback
from kagent.config import run_length
from kagent.config.checks import MOST_ENVS
from kagent.distributed.collector import RemoteCollector, RemoteEnvironments
from kagent.distributed.fleet import Fleet
from kagent.distributed.job import Job
from kagent.distributed.workers import WorkerSource
from kagent.exploration import ActionNoise, EpsilonGreedy, OrnsteinUhlenbeckNoise, Sampling
from kagent.memories import Memory
from kagent.preprocessing import KerasLayer
from kagent.preprocessing.preprocessing import REWARD, Preprocessing
from kagent.preprocessing.remote import Arrivals, for_worker
from kagent.schedules import Clock
from kagent.training.counters import Unbounded
from kagent.training.trainer import Trainer

# How many random numbers they draw follows from the number of rows, and is the same in all workers.
_BY_ROWS = (ActionNoise, EpsilonGreedy, OrnsteinUhlenbeckNoise, Sampling)


def check_fit(agent: Any, env: Any, workers: Any, given: Mapping[str, Any]) -> None:
    """Checks a `fit` with workers, before one is started.

    Args:
        agent: Who learns.
        env: Where.
        workers: As given.
        given: `n_envs` and `validation_env` of `fit`.

    Raises:
        TypeError, ValueError: An argument or a part that does not go with workers, by name.
    """
    if not isinstance(workers, WorkerSource):
        raise TypeError(f"`workers` must be a kagent.distributed.Ray, or None. Received: {workers!r}")
    total = workers.num_workers * workers.envs_per_worker
    if total > MOST_ENVS:
        raise ValueError(
            f"`workers` may have {MOST_ENVS} environments at most. Received: {workers!r}, which are {total}"
        )
    for name, value in (("env", env), ("validation_env", given["validation_env"])):
        if _is_instance(value):
            raise TypeError(
                f"`{name}` must be an id or a callable that returns a gymnasium.Env where `workers` are given: an environment cannot "
                f"be moved to another process. Received: {type(value).__name__}"
            )
    if not (isinstance(env, str) or callable(env)):
        raise TypeError(
            f"`env` must be an id or a callable that returns a gymnasium.Env where `workers` are given. Received: {env!r}"
        )
    if given["n_envs"] not in (None, total):
        raise ValueError(
            f"`n_envs` must agree with `workers`, whose environments are {total}. Received: {given['n_envs']}"
        )
    is_asynchronous(agent, workers)
    for name, received, allowed in _of_parts(agent):
        raise ValueError(f"`{name}` does not go with `workers`. Received: {received}. Allowed: {allowed}")


def check_hooks(hooks: Iterable[Callback]) -> None:
    """Checks kagent's callbacks.

    Raises:
        ValueError: One of them has `on_timestep_end`.
    """
    for hook in hooks:
        if hook.overrides("on_timestep_end"):
            raise ValueError(
                f"{type(hook).__name__}.on_timestep_end would be called when a worker has taken further timesteps already: with "
                "`workers`, timesteps arrive many at a time. Use on_episode_end or on_update_end, or train without `workers`"
            )


def _is_instance(env: Any) -> bool:
    return isinstance(env, gymnasium.Env | VectorEnv | envs.Environments) or envs.is_compiled(env)


def is_asynchronous(agent: Any, workers: WorkerSource) -> bool:
    """Whether workers go on while the agent learns.

    Raises:
        ValueError: They are told to, and the agent learns from what its present policy did; or not to, and it has a replay memory.
    """
    given, replayed = workers.asynchronous, agent.objective.memory == "Replay"
    if replayed and given is False:
        raise ValueError(
            f"`asynchronous` of workers must be True or None for {type(agent).__name__}, which learns from what older policies did. "
            "Received: False"
        )
    if given and not replayed and not agent.objective.needs_log_prob:
        raise ValueError(
            f"`asynchronous` of workers must be False or None for {type(agent).__name__}, which learns from what its present policy did. "
            "Received: True. Allowed for an actor-critic: kagent.IMPALA, which corrects for older policies"
        )
    return bool(replayed or (agent.objective.needs_log_prob if given is None else given))


def _of_parts(agent: Any) -> list[tuple[str, Any, str]]:
    # Name, received value and allowed values of each part that workers cannot have.
    found: list[tuple[str, Any, str]] = []
    actor, memory = agent.actor, type(agent.memory)
    if memory.use_environments is not Memory.use_environments:
        found.append(("memory", memory.__name__, "a memory that calls no method of environments, which are elsewhere"))
    for key, layers in ({} if agent.preprocessing is None else agent.preprocessing.parts).items():
        if key != REWARD and any(isinstance(layer, KerasLayer) for layer in layers):
            found.append(("preprocessing", f"a Keras layer for {key!r}", "layers in NumPy: workers have no TensorFlow"))
    if not actor.is_servable:
        found.append(("policy", actor.unsupported, "layers that the NumPy actor has: workers have no TensorFlow"))
    if agent.explorer is not agent.exploration:
        changed = "a policy with noise on its variables or layers, or with a temperature that changes"
        found.append(("policy", changed, "a policy that stays the same between updates"))
    return found


def draws_alone(agent: Any, workers: WorkerSource) -> bool:
    """Whether each worker draws random numbers for its own environments, from a stream of its own; else all draw the same ones, each
    for all environments, which makes training that of local environments.
    """
    if is_asynchronous(agent, workers):
        return True
    # This noise draws no random numbers of a stream: all workers make the same one, for all environments.
    if workers.num_workers == 1 or type(agent.exploration) is OrnsteinUhlenbeckNoise:
        return False
    if not getattr(workers, "exact", True) or type(agent.exploration) not in _BY_ROWS:
        return True
    return any(decision.kind == "beta" or decision.parts for decision in agent.actor.decisions)


def _check_clock(agent: Any, bounds: run_length.Bounds) -> None:
    """Refuses an exploration, or a preprocessing of observations, that changes with the number of episodes, which a worker does not
    know, and warns of an exploration that measures the progress of a run without a bound.

    Raises:
        ValueError: It reads it.
    """
    read: set[str] = set()
    leaves = [np.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in agent._observation.leaves]
    now = agent._clock.host()
    clock = _Watched(*now._replace(timesteps=max(now.timesteps, getattr(agent.exploration, "random_steps", 0))))
    clock.read = read
    agent.exploration.decide(agent.actor, leaves, None, clock, np.random.Generator(np.random.Philox(0)))
    if "episodes" in read or ("progress" in read and bounds.episodes != math.inf):
        raise ValueError(
            "`exploration` does not go with `workers`: it changes with the number of finished episodes, of which a worker knows its "
            f"own. Received: {agent.exploration}. Allowed: schedules by timesteps or updates, or by progress without a bound on episodes"
        )
    if "progress" in read and bounds == run_length.ENDLESS:
        Unbounded().warn()
    if agent.preprocessing is not None:
        read.clear()
        found = for_worker(agent.preprocessing)
        made = Preprocessing(found.parts, agent.preprocessing.raw, lambda: clock)
        made.observation(made.zeros(raw=True), made.begin(1), slice(None), np.ones(1, bool), True)
        if "episodes" in read or ("progress" in read and bounds.episodes != math.inf):
            raise ValueError(
                "`preprocessing` of observations does not go with `workers`: it changes with the number of finished episodes, of which a "
                "worker knows its own. Allowed: schedules by timesteps or updates, or by progress without a bound on episodes"
            )


class _Watched(Clock):
    """A time that notes what is read of it."""

    read: set[str]

    @property
    def episodes(self) -> Any:
        self.read.add("episodes")
        return self[Clock._fields.index("episodes")]

    @property
    def progress(self) -> Any:
        self.read.add("progress")
        return self[Clock._fields.index("progress")]


@contextlib.contextmanager
def opened(
    agent: Any, env: Any, workers: WorkerSource, bounds: run_length.Bounds, rules: Mapping[str, Any], replay_limit: Any
) -> Iterator[Fleet]:
    """Starts workers, and ends them behind the block.

    Args:
        agent: Who learns.
        env: An id or a callable.
        workers: Where they are.
        bounds: Of the run.
        rules: `reset_options` and `step_timeout` of `fit`.
        replay_limit: As of `fit`.

    Raises:
        ValueError, TypeError: The environments have other spaces than the agent, or cannot be made.
        ConnectionError: The machines cannot be reached.
    """
    _check_clock(agent, bounds)
    count = workers.envs_per_worker
    total = workers.num_workers * count
    limits = {"max_episode_timesteps": agent.max_episode_timesteps, **rules}
    config, alone = agent.actor.served().to_config(), draws_alone(agent, workers)
    likely = is_asynchronous(agent, workers) and agent.objective.needs_log_prob
    prepared = None if agent.preprocessing is None else for_worker(agent.preprocessing)
    jobs = [
        Job(env, index * count, count, total, config, agent.exploration, limits, replay_limit, prepared, alone, likely)
        for index in range(workers.num_workers)
    ]
    reached = workers.connect()
    try:
        fleet = Fleet(reached, jobs)
        for about in fleet.about:
            found = RemoteEnvironments(total, about["observation_space"], about["action_space"])
            envs.check_spaces(agent.observation_space, agent.action_space, found)
        yield fleet
    finally:
        reached.close()


class RemoteTrainer(Trainer):
    """As `Trainer`, with environments in workers, a `Fleet` as `environments`.

    Timesteps between two updates are collected in one call of the workers. Where episodes decide when something is due, a call
    is of one timestep.
    """

    def _make_collector(self, environments: Any) -> Any:
        agent = self.agent
        leaves = len(agent._observation.leaves), len(agent._action.leaves)
        reset, clock, arrivals = agent._random["reset"], agent._clock.host, self._arrivals(environments)
        return RemoteCollector(
            environments, self._weights, self._spawned, reset, leaves, self._give_up, clock, arrivals
        )

    def _spawned(self, count: int) -> list[np.random.Generator]:
        # Streams of their own, one for each worker.
        seeds = self.agent._random["act"].integers(2**63, size=count)
        return [np.random.Generator(np.random.Philox(seed)) for seed in seeds]

    def _arrivals(self, fleet: Fleet) -> Arrivals | None:
        made = self.agent.preprocessing
        return None if made is None else Arrivals(made, fleet.jobs[0].total)

    def _weights(self) -> tuple[np.ndarray, int]:
        weights, version = self.agent.actor.served_weights()
        return weights, version

    def _give_up(self, rows: list[int]) -> None:
        # What the memory gets next of these environments is of other episodes.
        memory = self.agent.memory
        if memory.built and memory.num_envs == self.collector.environments.num_envs:
            memory.cut_episodes(rows)
        self._events.begun_anew(self.agent.episodes, rows)

    def _collect(self, until: float, episodes: float, full: Any) -> None:
        agent, memory, collector = self.agent, self.agent.memory, self.collector
        count, now = collector.environments.num_envs, agent.timesteps
        steps = math.ceil((until - now) / count) if until != math.inf else math.inf
        if full is not None:
            steps = min(steps, memory.steps * memory.rollouts - memory.size)
        if episodes == math.inf and steps != math.inf:
            collector.plan(agent._clock.at(now + step * count) for step in range(max(0, int(steps))))
        super()._collect(until, episodes, full)
        collector.plan(())
