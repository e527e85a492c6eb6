"""Tensorforce's Runner: an agent and its environments, episode by episode."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kagent.compat.tensorforce.programs.actors import Actors
from kagent.compat.tensorforce.programs.agent import Agent
from kagent.compat.tensorforce.programs.environment import Environment, check_remote
from kagent.compat.tensorforce.programs.progress import Progress


class _Stream:
    """One environment's episode, or that of one of several actors.

    Attributes:
        ended: Whether it is over: the next timestep begins another one.
        is_begun: Whether the environment was given something to do, whose outcome is still to be received.
    """

    def __init__(self, environment: Any, index: int, evaluates: bool):
        self.environment, self.index, self.evaluates = environment, index, evaluates
        self.states: Any = None
        self.internals: Any = {}
        self.ended, self.is_begun = True, False
        self.began = self.agent_seconds = 0.0

    def begin(self, internals: Any) -> None:
        self.internals, self.ended, self.is_begun = internals, False, True
        self.began, self.agent_seconds = time.perf_counter(), 0.0


class Runner:
    """Runs an agent in environments.

    Args:
        agent: An `Agent`, a specification of one, or the arguments of `Agent.load` in a dict with `directory`. One that the runner
            makes is closed by `close`.
        environment: An `Environment` or a specification of one.
        max_episode_timesteps: As of `Environment.create`.
        num_parallel: How many environments there are, each with a stream of the agent's. Of a vectorizable one: how many episodes
            it has at once, unless there is a `remote` or an `evaluation`.
        environments: One for each stream, in place of `environment`.
        evaluation: Whether the last of several is there to evaluate: its acts are independent and the best ones.
        remote: "multiprocessing": each environment runs in a process of its own, while the agent acts for the others. Those that
            are ready are served first, whichever that is, unless `run` is synchronized.
        blocking: Whether all of those are waited for.
        host, port: Refused: of sockets.

    An environment of several actors has a stream for each of them.

    Attributes:
        episodes, timesteps, updates: Of the present run.
        episode_returns (or episode_rewards), episode_timesteps, episode_seconds, episode_agent_seconds: Lists, one entry for
            each episode of the present run.
        evaluation_returns, evaluation_timesteps, evaluation_seconds, evaluation_agent_seconds: Of those that evaluate.
        episode_return, episode_timestep: Of the open episode of each stream.

    Raises:
        ValueError, TypeError: Environments given twice or not at all, or what `Agent.create` and `Environment.create` refuse.

    Example:

    >>> from kagent.compat import tensorforce
    >>> ppo = {"agent": "ppo", "batch_size": 2, "multi_step": 2}
    >>> runner = tensorforce.Runner(agent=ppo, environment={"environment": "gym", "level": "CartPole-v1"})
    >>> runner.run(num_episodes=4, use_tqdm=False)
    >>> len(runner.episode_returns), runner.updates
    (4, 2)
    >>> runner.close()
    """

    def __init__(
        self,
        agent: Any,
        environment: Any = None,
        max_episode_timesteps: int | None = None,
        num_parallel: int | None = None,
        environments: Sequence[Any] | None = None,
        evaluation: bool = False,
        remote: str | None = None,
        blocking: bool = False,
        host: Any = None,
        port: Any = None,
    ):
        check_remote(remote, blocking, host, port)
        given = _environments(environment, num_parallel, environments)
        if evaluation and len(given) == 1:
            raise ValueError("`evaluation` of a Runner is for several environments: give it to `run`. Received: True")
        words: dict[str, Any] = {"max_episode_timesteps": max_episode_timesteps, "remote": remote, "blocking": blocking}
        made = [Environment.create(given[0], **words)]
        self._owned = [] if isinstance(given[0], Environment) else [*made]
        try:
            self._actors = _actors(made[0], num_parallel, evaluation, remote)
            for one in given[1:] if self._actors is None else []:
                made.append(Environment.create(one, **words))
                self._owned += [] if isinstance(one, Environment) else [made[-1]]
            self.evaluation, self.environments = evaluation, made
            views = made if self._actors is None else self._actors.views
            self._streams = [
                _Stream(one, index, evaluation and index == len(views) - 1) for index, one in enumerate(views)
            ]
            self._waits = blocking
            self._owns_agent = not isinstance(agent, Agent)
            self.agent = _agent(agent, made[0], len(views) - evaluation)
            if self.agent.parallel_interactions < len(views) - evaluation:
                raise ValueError(
                    f"`agent` has fewer streams than there are environments. Received: parallel_interactions="
                    f"{self.agent.parallel_interactions} and {len(views)} environments"
                )
        except BaseException:
            for one in self._owned:
                one.close()
            raise
        self._clear()

    def _clear(self) -> None:
        self.episodes = self.timesteps = self.updates = 0
        self.episode_returns: list[float] = []
        self.episode_timesteps: list[int] = []
        self.episode_seconds: list[float] = []
        self.episode_agent_seconds: list[float] = []
        self.evaluation_returns: list[float] = []
        self.evaluation_timesteps: list[int] = []
        self.evaluation_seconds: list[float] = []
        self.evaluation_agent_seconds: list[float] = []
        self.episode_return = [0.0] * len(self._streams)
        self.episode_timestep = [0] * len(self._streams)

    @property
    def episode_rewards(self) -> list[float]:
        """`episode_returns`, by its name of before."""
        return self.episode_returns

    def run(
        self,
        num_episodes: int | None = None,
        num_timesteps: int | None = None,
        num_updates: int | None = None,
        batch_agent_calls: bool = False,
        sync_timesteps: bool = False,
        sync_episodes: bool = False,
        num_sleep_secs: float = 0.001,
        callback: Any = None,
        callback_episode_frequency: int | None = None,
        callback_timestep_frequency: int | None = None,
        use_tqdm: bool = True,
        mean_horizon: int = 1,
        evaluation: bool = False,
        save_best_agent: str | None = None,
        evaluation_callback: Callable[[Runner], Any] | None = None,
    ) -> None:
        """Runs episodes until one of the bounds is reached; at least one is given.

        Args:
            num_episodes, num_timesteps, num_updates: Bounds, over all streams. At that of episodes the other streams end theirs. At that
                of timesteps the open episodes are cut off after the timestep that is under way; where all act together, it is of all. At
                that of updates the open episodes are given up.
            batch_agent_calls: Whether the agent observes all streams, and then acts for all: for each in turn, if not. It implies
                `sync_timesteps`.
            sync_timesteps: Whether all streams are waited for before the next timestep. Those of this process are never late.
            sync_episodes: Whether a stream whose episode ended waits for the others'.
            num_sleep_secs: Seconds from one look to the next, where no remote environment is ready.
            callback: Function of the runner and the stream's index, or a list of these. One that returns False ends the run.
            callback_episode_frequency: Episodes from one call to the next; by default 1.
            callback_timestep_frequency: Timesteps of an episode from one call to the next, in place of the other.
            use_tqdm: Whether a progress bar is shown.
            mean_horizon: Episodes over which the progress bar and the evaluation score take means.
            evaluation: Whether the only environment is there to evaluate.
            save_best_agent: Directory to save the agent in, as "best-model", where an evaluation's score is the best so far.
            evaluation_callback: Function of the runner after each evaluation, whose result is its score; None: the mean return.

        Raises:
            ValueError: No bound, both frequencies, or an evaluation that has no environment.
        """
        bounds = (num_episodes, num_timesteps, num_updates)
        if all(bound is None for bound in bounds):
            raise ValueError(
                "One of `num_episodes`, `num_timesteps` and `num_updates` is required. Received: None for all"
            )
        if callback_episode_frequency is not None and callback_timestep_frequency is not None:
            raise ValueError(
                "`callback_episode_frequency` and `callback_timestep_frequency` exclude each other. Received: "
                f"{callback_episode_frequency} and {callback_timestep_frequency}"
            )
        if evaluation and (self.evaluation or len(self._streams) > 1):
            raise ValueError("`evaluation` of `run` is for a single environment. Received: True")
        if save_best_agent is not None and not (evaluation or self.evaluation):
            raise ValueError(f"`save_best_agent` needs an evaluation. Received: {save_best_agent!r}")
        self._bounds = tuple(math.inf if bound is None else bound for bound in bounds)
        every = 1 if callback_timestep_frequency is None else None
        self._every = (callback_episode_frequency or every or 0, callback_timestep_frequency or 0)
        self._callbacks = [] if callback is None else list(callback) if isinstance(callback, Sequence) else [callback]
        self._score, self._best = (save_best_agent, evaluation_callback, mean_horizon), -math.inf
        self._over = self._ending = self._cutting = False
        self._joint = batch_agent_calls or self._actors is not None
        self._together = sync_timesteps or self._joint or self._waits
        self._pause = num_sleep_secs
        self._clear()
        self.agent.reset()
        if len(self._streams) == 1:
            self._streams[0].evaluates = evaluation
        self._progress = Progress(self, num_episodes, num_timesteps, mean_horizon) if use_tqdm else None
        for stream in self._streams:
            stream.ended, stream.is_begun = True, False
        while not (self._over or (self._is_last and not any(stream.is_begun for stream in self._streams))):
            self._begin(sync_episodes or self._actors is not None)
            if not self._round():
                time.sleep(self._pause)
        if any(not stream.ended for stream in self._streams):
            self.agent.reset()  # an update was the last: it gives up the episodes that are still open
        if self._progress is not None:
            self._progress.end()

    @property
    def _is_last(self) -> bool:
        """Whether no episode begins any more."""
        return self._ending or self._cutting

    def _begin(self, together: bool) -> None:
        """Begins episodes of the streams without one; `together` only where all of them have none, and not more than are left."""
        idle = [stream for stream in self._streams if stream.ended]
        if self._is_last or (together and len(idle) < len(self._streams)):
            return
        if together:
            left = self._bounds[0] - self.episodes
            idle = [stream for stream in idle if stream.evaluates or stream.index < left]
        if self._actors is not None:
            idle = [self._streams[index] for index in self._actors.begin(len(idle))]
        for stream in idle:
            if self._actors is None:
                stream.environment.start_reset()
            stream.begin(self.agent.initial_internals())

    def _round(self) -> bool:
        """The next timestep of every stream that is ready. Returns whether there was one."""
        begun = [stream for stream in self._streams if stream.is_begun]
        ready = begun if self._together else [stream for stream in begun if stream.environment.is_ready()]
        going_on = []
        for stream in ready:
            if self._over:
                return True
            self._receive(stream)
            if stream.ended or self._over:
                continue
            if self._joint:
                going_on.append(stream)
            elif not self._is_cut(stream):
                self._act(stream)
        for stream in going_on if not self._over else []:
            self._act(stream)  # of several actors all, also where a bound is reached on the way
        return bool(ready)

    def _act(self, stream: _Stream) -> None:
        n, begin = stream.index, time.perf_counter()
        if stream.evaluates:
            actions, stream.internals = self.agent.act(
                states=stream.states, internals=stream.internals, independent=True, deterministic=True
            )
        else:
            actions = self.agent.act(states=stream.states, parallel=n)
        stream.agent_seconds += time.perf_counter() - begin
        stream.environment.start_execute(actions)
        stream.is_begun = True
        self.episode_timestep[n] += 1
        if stream.evaluates and len(self._streams) > 1:
            return
        self.timesteps += 1
        if self._every[1] and self.episode_timestep[n] % self._every[1] == 0:
            self._cutting |= not self._call(n)
        self._cutting |= self.timesteps >= self._bounds[1]

    def _receive(self, stream: _Stream) -> None:
        """Takes what came of a stream's last action, or its first states."""
        n, stream.is_begun = stream.index, False
        while not stream.environment.is_ready():
            time.sleep(self._pause)
        stream.states, terminal, reward = stream.environment.receive_execute()
        if terminal < 0:
            stream.ended = self._is_cut(stream)  # nothing was done in it
            return
        self.episode_return[n] += reward
        terminal = 2 if terminal == 0 and self._is_cut(stream) else terminal
        if not stream.evaluates:
            begin = time.perf_counter()
            self.updates += self.agent.observe(terminal=terminal, reward=reward, parallel=n, states=stream.states)
            stream.agent_seconds += time.perf_counter() - begin
            self._over |= self.updates >= self._bounds[2]
        if terminal:
            self._end(stream)

    def _is_cut(self, stream: _Stream) -> bool:
        """Whether the open episode of a stream ends with the outcome of its last action. One of an evaluation is played on."""
        return self._cutting and not (stream.evaluates and len(self._streams) > 1)

    def _end(self, stream: _Stream) -> None:
        n, stream.ended = stream.index, True
        own = stream.environment.episode_return()
        found = (
            self.episode_return[n] if own is None else own, self.episode_timestep[n],
            time.perf_counter() - stream.began, stream.agent_seconds,
        )  # fmt: skip
        single = len(self._streams) == 1
        kinds = ("evaluation",) if stream.evaluates and not single else ("episode",)
        for kind in (*kinds, "evaluation") if stream.evaluates and single else kinds:
            for name, value in zip(("returns", "timesteps", "seconds", "agent_seconds"), found):
                getattr(self, f"{kind}_{name}").append(value)
        if stream.evaluates:
            self._evaluated()
        if not stream.evaluates or single:
            self.episodes += 1
            if self._every[0] and not (self._over or self._is_last) and self.episodes % self._every[0] == 0:
                self._ending |= not self._call(n)
            self._ending |= self.episodes >= self._bounds[0]
        self.episode_return[n], self.episode_timestep[n] = 0.0, 0
        if self._progress is not None:
            self._progress.update()

    def _evaluated(self) -> None:
        directory, score, horizon = self._score
        latest = self.evaluation_returns[-horizon:]
        found = sum(latest) / len(latest) if score is None else score(self)
        if directory is not None and float(found) > self._best:
            self._best = float(found)
            self.agent.save(directory, filename="best-model")

    def _call(self, n: int) -> bool:
        results = [callback(self, n) for callback in self._callbacks]
        return not any(result is False for result in results)

    def close(self) -> None:
        """Closes the agent and the environments that the runner has made itself."""
        if self._owns_agent:
            self.agent.close()
        for environment in self._owned:
            environment.close()


def _environments(environment: Any, num_parallel: int | None, environments: Sequence[Any] | None) -> list[Any]:
    if (environment is None) == (environments is None):
        raise ValueError(
            "Give either `environment` or `environments`. Received: "
            f"environment={environment!r}, environments={environments!r}"
        )
    if environments is not None:
        if num_parallel not in (None, len(environments)):
            raise ValueError(
                f"`num_parallel` must be the number of `environments`. Received: {num_parallel}, {len(environments)}"
            )
        return list(environments)
    if num_parallel is None:
        return [environment]
    if isinstance(num_parallel, bool) or not isinstance(num_parallel, int) or num_parallel < 2:
        raise ValueError(f"`num_parallel` must be an integer of at least 2, or None. Received: {num_parallel!r}")
    if isinstance(environment, Environment):
        raise ValueError(
            "`environment` as an object is one: give a specification, or `environments`, with `num_parallel`"
        )
    return [environment] * num_parallel


def _agent(agent: Any, environment: Environment, streams: int) -> Agent:
    if isinstance(agent, Agent):
        return agent
    further = {"parallel_interactions": streams} if streams > 1 else {}
    if isinstance(agent, Mapping) and "directory" in agent:
        return Agent.load(**{**agent, **further}, environment=environment)
    return Agent.create(agent, environment, **further)


def _actors(environment: Environment, num_parallel: int | None, evaluation: bool, remote: str | None) -> Actors | None:
    """Several actors of the first environment, which is then the only one; None: there is one in each."""
    count = environment.num_actors()
    if count > 1:
        if num_parallel is not None:
            raise ValueError(
                f"`num_parallel` is for environments of one actor. Received: {num_parallel} of {environment} with {count} of them"
            )
        return Actors(environment, count)
    parallel = num_parallel is not None and num_parallel > 1 and environment.is_vectorizable()
    return (
        Actors(environment, num_parallel) if parallel and num_parallel and not evaluation and remote is None else None
    )
