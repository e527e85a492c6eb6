"""evaluate: whole episodes, nothing learned, nothing counted."""

from __future__ import annotations

from inspect import signature
from typing import Any

import keras
import numpy as np

from kagent import environments as envs
from kagent.callbacks.progress_bar import with_bar
from kagent.config.checks import check_count, check_source
from kagent.config.vocabulary import unexpected
from kagent.mixin import Mixin
from kagent.training.collector import Episode, play
from kagent.training.metrics import episode_means, returned


class Evaluation(Mixin):
    """The part of an agent that is measured. A mixin of `Agent`."""

    def evaluate(
        self,
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
            takes = [name for name in signature(Evaluation.evaluate).parameters if name not in ("self", "unknown")]
            raise TypeError(unexpected("evaluate", unknown, takes))
        episodes = check_count(episodes, "episodes")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
            raise ValueError(f"`seed` must be None or an integer >= 0. Received: {seed!r}")
        count = self._evaluation_envs(env, episodes) if n_envs is None else n_envs
        environments = envs.make(
            env, count, max_episode_timesteps=self.max_episode_timesteps,
            reset_options=reset_options, step_timeout=step_timeout,
        )  # fmt: skip
        try:
            envs.check_spaces(self.observation_space, self.action_space, environments)
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                verbose = 1 if verbose == "auto" else verbose
                callbacks = keras.callbacks.CallbackList(
                    with_bar(callbacks, verbose), verbose=verbose, epochs=1, steps=episodes, model=self
                )
            return self._evaluate(environments, episodes, deterministic, seed, callbacks)
        finally:
            environments.close()

    def _evaluation_envs(self, env: Any, episodes: int) -> int | None:
        return min(episodes, 10) if isinstance(env, str) else None

    def _evaluate(
        self, environments: envs.Environments, episodes: int, deterministic: bool, seed: int | None, callbacks: Any
    ) -> dict[str, Any]:
        with self.occupation.of("evaluate"), envs.claim(environments, "evaluate"):
            return self._play(environments, episodes, deterministic, seed, callbacks)

    def _play(
        self, environments: envs.Environments, episodes: int, deterministic: bool, seed: int | None, callbacks: Any
    ) -> dict[str, Any]:
        sequence = np.random.SeedSequence(self._random.evaluation_seed if seed is None else int(seed))
        seeds, draws = (np.random.Generator(np.random.Philox(s)) for s in sequence.spawn(2))
        callbacks.on_test_begin()
        self.actor.expire()  # callbacks may have exchanged weights
        self.actor.set_time(self.host_clock)
        environments = self._adapter.environments(environments, learn=False)
        environments.reset(lambda: int(seeds.integers(2**31 - 1)))

        def on_end(number: int, episode: Episode) -> None:
            callbacks.on_test_batch_begin(number)
            callbacks.on_test_batch_end(number, episode.logs())

        finished = play(self.actor, environments, episodes, deterministic, draws, on_end)
        means = episode_means(finished)
        of_mean = [episode.episode_return for episode in returned(finished)]
        logs: dict[str, Any] = {
            "episode_return": means.pop("episode_return"), "episode_return_std": float(np.std(of_mean)), **means,
        }  # fmt: skip
        callbacks.on_test_end(dict(logs))
        self.actor.expire()
        lists: dict[str, list] = {
            "episode_returns": [episode.episode_return for episode in finished],
            "episode_lengths": [episode.length for episode in finished],
        }
        if "episode_wrapped_return" in logs:
            lists["episode_wrapped_returns"] = [episode.wrapped_return for episode in finished]
        return {**logs, "episodes": len(finished), **lists}
