"""The estimator that trains a Q model in an environment."""

from __future__ import annotations

import copy
import math
import numbers
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import kagent
from kagent import environments as envs
from kagent.callbacks import Checkpoint
from kagent.estimators.config import RunConfig, path_of
from kagent.estimators.function import ModelFunction, Trace, trace
from kagent.estimators.hooks import EpisodeLog, EpisodeStatistics, EpisodeSummaries, NanGuard
from kagent.estimators.policy import ModelObjective, ModelPolicy, check_bootstrap
from kagent.estimators.spec import Modes
from kagent.memories import Memory, Replay
from kagent.optimizers import Target
from kagent.saving import spaces_of
from kagent.spaces import Structure
from kagent.update import Update


class Agent:
    """Trains and evaluates a Q model that a function describes.

    Around it is a `kagent.Agent`, `agent.model`, which is made when an environment or a checkpoint says the spaces. The
    function is called once, for TRAIN; acting, evaluation and prediction use the same layers.

    Three counters are kept, and all of them survive in `model_dir`: `global_step` counts updates, and learning rates and
    the target network's period follow it; `global_timestep` counts the agent's actions, and exploration, `first_update`
    and `update_frequency` follow it; `global_episode` counts finished episodes, and summaries and checkpoints follow it.

    Args:
        model_fn: Takes `features` and `labels`, and of `mode`, `params`, `config` and `model_dir` what it likes, by these
            names and in any order; returns an `EstimatorSpec`, which says what they are.
        memory: What is learned from: a `kagent.estimators.Memory`.
        model_dir: Where checkpoints and summaries go, and where training goes on from: weights, optimizer, counters and
            random streams. None: that of `config`, or no files at all.
        config: A `RunConfig`; None: `RunConfig()`.
        params: Hyper-parameters for `model_fn`. Copied.

    Attributes:
        model: The `kagent.Agent`, or None before there are spaces. Hooks have it as their `model`.
        memory: The argument.

    Raises:
        ValueError, TypeError: `model_fn` is None or takes other arguments, `params` that it does not take, a `config` that
            is none, two different directories, a memory that is none.

    Example:

    >>> agent = Agent(model_fn, memory=Memory(size=50_000, batch_size=32), model_dir="runs/cartpole")
    >>> agent.train("CartPole-v1", episodes=200).evaluate("CartPole-v1", episodes=10)
    """

    memories: tuple[type, ...] = (Replay,)
    labels: tuple[str, ...] = ("next_state", "target")
    sampled = False  # whether actions are samples where the predictions say of what

    def __init__(
        self,
        model_fn: Any,
        memory: Any,
        model_dir: Any = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
    ):
        self._function = ModelFunction(model_fn, params)
        if config is None:
            config = RunConfig()
        if not isinstance(config, RunConfig):
            raise ValueError(f"`config` must be a RunConfig or None. Received: {config!r} ({type(config).__name__})")
        directory = path_of(model_dir)
        if directory is not None and config.model_dir is not None and Path(directory) != Path(config.model_dir):
            raise ValueError(
                f"`model_dir` and `config.model_dir` must agree. Received: {directory!r} and {config.model_dir!r}"
            )
        self._config = config.replace(model_dir=config.model_dir if directory is None else directory)
        self._check_memory(memory)
        self.memory = memory
        self._params = copy.deepcopy(dict(params or {}))
        self._seed = secrets.randbits(31) if config.seed is None else int(config.seed)
        self._trace: Trace | None = None
        self._saver = None if self.model_dir is None else self._make_saver()
        self._statistics = EpisodeStatistics()
        self.model: Any = None

    def _check_memory(self, memory: Any) -> None:
        if not isinstance(memory, Memory) or not hasattr(memory, "batch_size"):
            raise TypeError(f"`memory` must be a kagent.estimators.Memory. Received: {memory!r}")
        if not isinstance(memory, self.memories):
            kinds = " or ".join(kind.__name__ for kind in self.memories)
            raise ValueError(f"`memory` of {type(self).__name__} must be a {kinds}. Received: {type(memory).__name__}")

    def _make_saver(self) -> Checkpoint:
        config = self._config
        # Without a period of its own there is one checkpoint, when training ends.
        frequency = 2**62 if config.save_episodes is None else config.save_episodes
        return Checkpoint(
            config.model_dir, "ckpt", frequency=frequency, unit="episodes", max_checkpoints=config.keep_checkpoint_max
        )

    # What it is ------------------------------------------------------------------------------------------------

    @property
    def model_dir(self) -> str | None:
        """Where its files are, or None."""
        return self._config.model_dir

    @property
    def config(self) -> RunConfig:
        """The configuration, `model_dir` included."""
        return self._config

    @property
    def params(self) -> dict[str, Any]:
        """A copy of the hyper-parameters."""
        return copy.deepcopy(self._params)

    @property
    def global_step(self) -> int:
        """Updates so far."""
        return self._counted("updates")

    @property
    def global_timestep(self) -> int:
        """Actions in training so far."""
        return self._counted("timesteps")

    @property
    def global_episode(self) -> int:
        """Episodes finished in training so far."""
        return self._counted("episodes")

    def _counted(self, name: str) -> int:
        if self.model is None and self._checkpoints:
            self._restore()
        return 0 if self.model is None else getattr(self.model, name)

    # Training --------------------------------------------------------------------------------------------------

    def train(
        self,
        env: Any,
        first_update: int = 35,
        update_frequency: int = 10,
        episodes: int | None = None,
        steps: int | None = None,
        hooks: Any = None,
        max_steps: int | None = None,
        max_episodes: int | None = None,
    ) -> Any:
        """Trains in an environment: `fit`, for chaining.

        `steps` counts updates, not timesteps. Without any bound it trains until a hook sets `model.stop_training`. The
        environment is reset first; an episode that is cut off by the end of a call is not counted.

        Args:
            env: An environment id, a `gymnasium.Env` (such as `GymEnvironment`), a vector environment, or a callable that
                returns one.
            first_update: No update before this timestep (`global_timestep`); at least the memory's batch size.
            update_frequency: Updates are made at multiples of so many timesteps, and at the ends of episodes, where the
                memory can sample.
            episodes: Episodes to train for. Two calls with 10 train for 20.
            steps: Updates to make, likewise.
            hooks: `keras.callbacks.Callback`s. An epoch is an episode and a batch is an update; a
                `kagent.callbacks.Callback` also hears of episodes and timesteps. Their `model` is `agent.model`.
            max_steps: Updates in total. Where they have been made (by this agent or by another one, in `model_dir`) the
                environment is not touched.
            max_episodes: Episodes in total, likewise.

        Returns:
            The agent.

        Raises:
            ValueError, TypeError: Bad arguments, before the environment is touched; a `model_fn` that returns something
                else than an `EstimatorSpec`.
            RuntimeError: The loss is not finite.
        """
        self.fit(env, first_update, update_frequency, episodes, steps, hooks, max_steps, max_episodes)
        return self

    def fit(
        self,
        env: Any,
        first_update: int = 35,
        update_frequency: int = 10,
        episodes: int | None = None,
        steps: int | None = None,
        hooks: Any = None,
        max_steps: int | None = None,
        max_episodes: int | None = None,
    ) -> keras.callbacks.History:
        """Trains as `train` does.

        Returns:
            Keras's `History`, with an entry per episode: `loss`, `episode_return`, `timesteps`, `episodes`, `updates` ...
        """
        rule = self._rule(first_update, update_frequency)
        return self._fit(env, rule, hooks, {
            "episodes": episodes, "updates": steps, "max_updates": max_steps, "max_episodes": max_episodes
        })  # fmt: skip

    def _rule(self, first_update: int, update_frequency: int) -> Update:
        first = _count(first_update, "first_update", 0)
        frequency = _count(update_frequency, "update_frequency", 1)
        if first < self.memory.batch_size:
            raise ValueError(
                "Cannot update the model before gathering enough data: `first_update` must be at least the memory's "
                f"batch_size={self.memory.batch_size}. Received: {first_update}"
            )
        return Update(batch_size=self.memory.batch_size, frequency=frequency, start=first, episode_ends=True)

    def _fit(self, env: Any, rule: Update, hooks: Any, bounds: dict[str, Any], *more: Any) -> keras.callbacks.History:
        names = {"updates": "steps", "max_updates": "max_steps"}  # what they are called here
        for name, value in bounds.items():
            if value is not None and not (name.startswith("max_") and value == math.inf):
                _count(value, names.get(name, name), 1)
        for one in ("updates", "episodes"):
            if bounds[one] is not None and bounds[f"max_{one}"] is not None:
                called = names.get(one, one)
                raise ValueError(
                    f"`{called}` (to add) and `max_{called}` (absolute) exclude each other. "
                    f"Received: {bounds[one]} and {bounds[f'max_{one}']}"
                )
        if all(value is None for value in bounds.values()):
            bounds = {"max_updates": math.inf}
        given = _hooks(hooks)
        environments = self._environments(env)
        try:
            model = self._prepare(environments, rule)
            done = model.updates >= _or_endless(bounds.get("max_updates")) or model.episodes >= _or_endless(
                bounds.get("max_episodes")
            )
            if done:
                history = keras.callbacks.History()
                history.set_model(model)
                history.on_train_begin()
                return history
            model.reschedule(rule)
            model.leave_episodes()
            assert self._trace is not None
            callbacks = [NanGuard(), *given, *_hooks(self._trace.spec.training_hooks, "training_hooks"), *more]
            automatic, summaries = self._automatic(more)
            try:
                return model.fit(
                    environments, callbacks=[*callbacks, *automatic], verbose=0, steps_per_epoch="episode",
                    initial_epoch=model.episodes, **bounds,
                )  # fmt: skip
            finally:
                if summaries is not None:
                    summaries.close()
        finally:
            environments.close()

    def _automatic(self, known: Sequence[Any]) -> tuple[list[Any], EpisodeSummaries | None]:
        config, summaries = self._config, None
        found: list[Any] = [] if config.log_episodes is None else [EpisodeLog(config.log_episodes)]
        if config.model_dir is not None and config.summaries:
            summaries = EpisodeSummaries(config.model_dir, config.summaries, config.summary_episodes, self._statistics)
            found += [*([] if self._statistics in known else [self._statistics]), summaries]
        return [*found, *([] if self._saver is None else [self._saver])], summaries

    def run_episode(
        self, env: Any, first_update: int = 35, update_frequency: int = 10, hooks: Any = None
    ) -> dict[str, float]:
        """Trains for one episode.

        Args:
            env, first_update, update_frequency, hooks: As for `train`.

        Returns:
            Statistics of the episode: `total_reward`, `max_reward`, `min_reward`, `avg_reward`, `length` (timesteps),
            `loss` (mean over its updates; NaN without any) and `updates`.

        Raises:
            RuntimeError: A hook stopped training before the episode ended.
            Others: As `train`.
        """
        return self._run_episode(env, self._rule(first_update, update_frequency), hooks)

    def _run_episode(self, env: Any, rule: Update, hooks: Any) -> dict[str, float]:
        self._statistics.last = None
        bounds = {"episodes": 1, "updates": None, "max_updates": None, "max_episodes": None}
        self._fit(env, rule, hooks, bounds, self._statistics)
        if self._statistics.last is None:
            raise RuntimeError("The episode did not end: a hook stopped training before")
        return dict(self._statistics.last)

    # Evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, env: Any, episodes: int = 10, hooks: Any = None) -> dict[str, Any]:
        """Plays whole episodes greedily; nothing is learned and nothing is counted.

        Args:
            env: As for `train`.
            episodes: How many.
            hooks: Keras callbacks; a test batch is an episode.

        Returns:
            `episode_return` (mean), `episode_return_std`, `episode_length` (mean), `episodes`, the lists `episode_returns`
            and `episode_lengths`, and the counters `global_step`, `global_timestep` and `global_episode`.

        Raises:
            ValueError: The agent has not been trained, and there is no checkpoint in `model_dir`; others as `train`.
        """
        episodes = _count(episodes, "episodes", 1)
        given = _hooks(hooks)
        environments = self._environments(env)
        try:
            self._trained()
            envs.check_spaces(self.model.observation_space, self.model.action_space, environments)
            assert self._trace is not None
            callbacks = [*given, *_hooks(self._trace.spec.evaluation_hooks, "evaluation_hooks")]
            found = self.model.evaluate(environments, episodes, callbacks=callbacks)
        finally:
            environments.close()
        counters = ("global_step", "global_timestep", "global_episode")
        return {**found, **{name: getattr(self, name) for name in counters}}

    def predict(self, states: Any, predict_keys: Any = None) -> Any:
        """Greedy actions for a batch of states, or predictions by name.

        Args:
            states: `(N, ...)`, nested as the observation space, as the environment gives them.
            predict_keys: Names of predictions, such as `["q"]`; None: the actions.

        Returns:
            Actions `(N, ...)` as the environment takes them, or a dict of arrays.

        Raises:
            ValueError: The agent has not been trained, and there is no checkpoint in `model_dir`; states of another shape;
                unknown names.
        """
        self._trained()
        observation = Structure(self.model.observation_space, "states")
        parts = [np.asarray(part) for part in observation.flatten(states)]
        for leaf, array in zip(observation.leaves, parts):
            if array.shape[1:] != leaf.shape or array.ndim != len(leaf.shape) + 1:
                where = f" at {leaf.name!r}" if leaf.name else ""
                raise ValueError(f"`states`{where} must be {('N', *leaf.shape)}. Received: {array.shape}")
        if predict_keys is None:
            return np.asarray(self.model(observation.unflatten(parts)))
        names = [predict_keys] if isinstance(predict_keys, str) else list(predict_keys)
        found = self.model.policy.predictions([leaf.encode(x) for leaf, x in zip(observation.leaves, parts)])
        unknown = [name for name in names if name not in found]
        if unknown:
            raise ValueError(f"`predict_keys` has no {unknown}. Known: {sorted(found)}")
        return {name: found[name].numpy() for name in names}

    def _trained(self) -> None:
        if self.model is None:
            if not self._checkpoints:
                where = "the agent has no `model_dir`" if self.model_dir is None else f"{self.model_dir!r}"
                raise ValueError(
                    f"Could not find a trained model: `train` first, or give a `model_dir` with one ({where})"
                )
            self._restore()

    # Making ----------------------------------------------------------------------------------------------------

    @property
    def _checkpoints(self) -> list[Path]:
        return [] if self._saver is None else self._saver.files

    def _environments(self, env: Any) -> envs.Environments:
        return envs.make(env, next_seed=lambda: self.model.next_seed())

    def _restore(self) -> None:
        # From the newest checkpoint that says its spaces; loading it says whether it is whole.
        error: Exception | None = None
        for path in reversed(self._checkpoints):
            try:
                spaces = spaces_of(path)
            except ValueError as found:
                error = error or found
                continue
            self._make(*spaces)
            return
        raise ValueError(f"None of the checkpoints in {self.model_dir!r} can be read: {error}")

    def _prepare(self, environments: envs.Environments, rule: Update) -> Any:
        if self.model is None:
            self._make(environments.observation_space, environments.action_space, rule)
        envs.check_spaces(self.model.observation_space, self.model.action_space, environments)
        if self._saver is not None:
            self._saver.resume(self.model)
        return self.model

    def _make(self, observation_space: Any, action_space: Any, rule: Update | None = None) -> None:
        observation, action = Structure(observation_space, "observation_space"), Structure(action_space, "action_space")
        given = {"params": self.params, "config": self._config, "model_dir": self.model_dir}
        made = self._trace = self._trace or trace(
            lambda features, labels: self._function(features, labels, Modes.TRAIN, **given),
            observation, action, self.labels, self._seed,
        )  # fmt: skip
        rule = rule or Update(batch_size=self.memory.batch_size, frequency="never")
        model = kagent.Agent(
            observation_space=observation_space,
            action_space=action_space,
            policy=ModelPolicy(made, self.sampled, name="policy"),
            memory=self.memory,
            update=rule,
            execution={"jit_compile": self._config.jit_compile},
            seed=self._seed,
            name="agent",
            **{"optimizer": made.spec.train_op, **self._parts(made)},
        )
        if self._saver is not None:
            self._saver.resume(model)
        self.model = model

    def _parts(self, made: Trace) -> dict[str, Any]:
        """What of the `kagent.Agent` depends on how it learns."""
        bootstrap = check_bootstrap(made)
        exploration = made.spec.exploration
        return {
            "objective": ModelObjective(bootstrap),
            "reward_estimation": {"discount": 0.0 if bootstrap is None else bootstrap.discount},
            "exploration": 0.0 if exploration is None else exploration,
            "target": Target(period=1 if bootstrap is None else bootstrap.target_update_frequency),
        }


def _count(value: Any, argument: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{argument}` must be an integer >= {least}. Received: {value!r}")
    return int(value)


def _or_endless(bound: Any) -> float:
    return math.inf if bound is None else bound


def _hooks(hooks: Any, argument: str = "hooks") -> list[Any]:
    """Keras callbacks as a list.

    Raises:
        TypeError: Something else.
    """
    given = [] if hooks is None else list(hooks) if isinstance(hooks, list | tuple) else [hooks]
    for hook in given:
        if not isinstance(hook, keras.callbacks.Callback):
            raise TypeError(f"`{argument}` must be keras.callbacks.Callback objects. Received: {hook!r}")
    return given
