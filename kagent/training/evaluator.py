"""evaluate: whole episodes, nothing learned, nothing counted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from inspect import signature
from typing import Any

import keras
import numpy as np

from kagent import environments as envs
from kagent.callbacks.progress_bar import with_bar
from kagent.config.checks import check_count, check_source
from kagent.config.vocabulary import unexpected
from kagent.exploration import Exploration
from kagent.schedules import Clock
from kagent.training.collector import Collector, Episode
from kagent.training.metrics import episode_means, returned

ENDLESS = 100_000  # timesteps; an episode of Atari has 27,000 at most
_ENDLESS = (
    "An evaluation has waited for the end of an episode for {:,} timesteps; {} of {} episodes have ended. Episodes without an end "
    "are limited by Agent(max_episode_timesteps=1000), or by gymnasium.wrappers.TimeLimit."
)


class Unexplored(Exploration):
    """The policy as it is.

    Args:
        deterministic: Its best actions, or samples.
    """

    def __init__(self, deterministic: bool):
        self.deterministic = deterministic

    def decide(self, actor: Any, leaves: list[Any], mask: Any, clock: Clock, rng: np.random.Generator) -> list[Any]:
        decided: list[Any] = actor.decide(leaves, mask, self.deterministic, rng)
        return decided


class Evaluator:
    """Plays whole episodes without learning and without touching counters or random streams.

    Args:
        actor: Who acts, see `Collector`.
        environments: Where.
        deterministic: The best actions, or samples.
        next_seed: Seed of each reset.
        rng: The stream that samples are drawn from.
    """

    def __init__(
        self,
        actor: Any,
        environments: envs.Environments,
        deterministic: bool,
        next_seed: Callable[[], int],
        rng: np.random.Generator,
    ):
        self.collector = Collector(actor, Unexplored(deterministic), environments)
        self._next_seed, self._rng, self._clock = next_seed, rng, Clock()

    def play(self, episodes: int, on_end: Callable[[int, Episode], None]) -> list[Episode]:
        """Plays so many episodes. Every environment plays its share, so that short ones do not crowd out long ones.

        Args:
            episodes: How many, over all environments.
            on_end: Called with the number of each episode and the `Episode`.

        Returns:
            The episodes, in the order of their ends.
        """
        collector, count = self.collector, self.collector.environments.num_envs
        shares = [episodes // count + (index < episodes % count) for index in range(count)]
        finished: list[Episode] = []
        waited = 0
        collector.start(self._next_seed)
        while len(finished) < episodes:
            collector.step(self._clock, self._rng)
            waited += 1
            if waited == ENDLESS:
                warnings.warn(_ENDLESS.format(ENDLESS, len(finished), episodes), stacklevel=2)
            for index, episode in collector.settle():
                if shares[index]:
                    shares[index] -= 1
                    finished.append(episode)
                    waited = 0
                    on_end(len(finished) - 1, episode)
        return finished


def evaluate(
    agent: Any,
    env: Any = None,
    episodes: int = 10,
    *,
    deterministic: bool = True,
    seed: int | None = None,
    n_envs: int | None = None,
    callbacks: Any = None,
    verbose: str | int = 0,
    reset_options: dict[str, Any] | None = None,
    step_timeout: float | None = None,
    **unknown: Any,
) -> dict[str, Any]:
    """Plays whole episodes with the policy as it is.

    Neither counters, memory, random streams nor preprocessing statistics of the agent move. Seeds of episodes come
    from `seed`, so that two evaluations play the same episodes.

    Args:
        env: As for `fit`.
        episodes: How many.
        deterministic: The most likely actions, or sampled ones. Exploration (epsilon) is never applied.
        seed: Seed of the episodes, an integer >= 0. None: one derived from the agent's, the same each time.
        n_envs: How many environments to make of an id or a callable. Default: up to 10.
        callbacks: Keras callbacks; a test batch is one episode.
        verbose: 0 silent, 1 progress bar.
        reset_options, step_timeout: As for `fit`.

    Returns:
        `episode_return` (mean, undiscounted), `episode_return_std`, `episode_length` (mean, timesteps),
        `episodes`, and the lists `episode_returns` and `episode_lengths`. Where environments record returns
        themselves (`info["episode"]`, see `fit`), `episode_return` is that of those records, and
        `episode_wrapped_return` and the list `episode_wrapped_returns` (None where nothing was recorded) are beside it.

    Raises:
        ValueError, TypeError: As `fit`; an environment in which a `fit` or an `evaluate` is under way, of this agent or
            another.
    """
    check_source("evaluate", env, unknown)
    if unknown:
        takes = [name for name in signature(evaluate).parameters if name not in ("agent", "unknown")]
        raise TypeError(unexpected("evaluate", unknown, takes))
    episodes = check_count(episodes, "episodes")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise ValueError(f"`seed` must be None or an integer >= 0. Received: {seed!r}")
    environments = envs.make(
        env, num_envs(env, episodes) if n_envs is None else n_envs, max_episode_timesteps=agent.max_episode_timesteps,
        reset_options=reset_options, step_timeout=step_timeout,
    )  # fmt: skip
    try:
        envs.check_spaces(agent.observation_space, agent.action_space, environments)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            verbose = 1 if verbose == "auto" else verbose
            callbacks = keras.callbacks.CallbackList(
                with_bar(callbacks, verbose), verbose=verbose, epochs=1, steps=episodes, model=agent
            )
        return evaluate_in(agent, environments, episodes, deterministic, seed, callbacks)
    finally:
        environments.close()


def num_envs(env: Any, episodes: int) -> int | None:
    """How many environments an evaluation makes of an id; None: of another `env` one, or those that there are."""
    return min(episodes, 10) if isinstance(env, str) else None


def evaluate_in(
    agent: Any,
    environments: envs.Environments,
    episodes: int,
    deterministic: bool,
    seed: int | None,
    callbacks: keras.callbacks.CallbackList,
) -> dict[str, Any]:
    """`evaluate` in environments that are made, with arguments that are checked."""
    with agent._occupation.of("evaluate"), envs.claim(environments, "evaluate"):
        sequence = np.random.SeedSequence(agent._random.evaluation_seed if seed is None else int(seed))
        seeds, draws = (np.random.Generator(np.random.Philox(s)) for s in sequence.spawn(2))
        callbacks.on_test_begin()
        agent.actor.expire()  # callbacks may have exchanged weights
        agent.actor.set_time(agent.clock)
        environments.limit_replay(None)  # no evaluation is resumed: of a long episode nothing is lost
        environments = agent._adapter.environments(environments, learn=False)
        evaluator = Evaluator(agent.actor, environments, deterministic, lambda: int(seeds.integers(2**31 - 1)), draws)

        def on_end(number: int, episode: Episode) -> None:
            callbacks.on_test_batch_begin(number)
            callbacks.on_test_batch_end(number, episode.logs())

        finished = evaluator.play(episodes, on_end)
        means = episode_means(finished)
        of_mean = [episode.episode_return for episode in returned(finished)]
        logs: dict[str, Any] = {
            "episode_return": means.pop("episode_return"), "episode_return_std": float(np.std(of_mean)), **means,
        }  # fmt: skip
        callbacks.on_test_end(dict(logs))
        agent.actor.expire()
        lists: dict[str, list[Any]] = {
            "episode_returns": [episode.episode_return for episode in finished],
            "episode_lengths": [episode.length for episode in finished],
        }
        if "episode_wrapped_return" in logs:
            lists["episode_wrapped_returns"] = [episode.wrapped_return for episode in finished]
        return {**logs, "episodes": len(finished), **lists}
