"""The estimator that trains a Q model in an environment."""

from __future__ import annotations

import contextlib
import copy
import math
import secrets
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kagent
from kagent import environments as envs
from kagent.callbacks import Checkpoint, EpisodeLog, EpisodeStatistics
from kagent.callbacks.callback import listed
from kagent.config.checks import check_count
from kagent.config.run_length import check_bounds
from kagent.config.signatures import check_known
from kagent.estimators.config import RunConfig
from kagent.estimators.descriptions import Descriptions
from kagent.estimators.episode_summaries import EpisodeSummaries
from kagent.estimators.function import ModelFunction
from kagent.estimators.function_objective import ModelObjective
from kagent.estimators.function_policy import ModelPolicy
from kagent.estimators.memories import Memory
from kagent.estimators.records import Records
from kagent.estimators.spec import Bootstrap, EstimatorSpec, Modes
from kagent.optimizers import Target
from kagent.spaces import Structure
from kagent.update import Update

_FIRST_UPDATE = 35


class Agent:
    """Trains and evaluates a Q model that a function describes.

    Around it is a `kagent.Agent`, `agent.model`, which is made when an environment or a checkpoint says the spaces. The
    function is called once for each mode: for TRAIN then; for EVAL by the first `evaluate`, which takes `evaluation_hooks`
    from it; for PREDICT, with labels of None, by the first `predict`. What it predicts there is computed with the weights
    of the layers that it made for TRAIN (see `kagent.estimators.branches.Branch`); acting is always by TRAIN's "results".

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
        history: Keras's `History` of the last `train`, or None.

    Raises:
        ValueError, TypeError: `model_fn` is None or takes other arguments, `params` that it does not take, a `config` that
            is none, two different directories, a memory that is none.

    Example:

    >>> agent = Agent(models.DQN(num_actions=2), memory=Memory(size=50_000, batch_size=32), model_dir="runs/cartpole")
    >>> found = agent.train("CartPole-v1", episodes=200).evaluate("CartPole-v1", episodes=10)
    """

    memories: type = Memory
    columns: tuple[str, ...] = ("next_observation", "target")  # labels beside those of all, by kagent's names
    sampled = False  # whether actions are samples where the predictions say of what

    def __init__(
        self,
        model_fn: Any,
        memory: Any,
        model_dir: Any = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
    ):
        function = ModelFunction(model_fn, params)
        if config is None:
            config = RunConfig()
        if not isinstance(config, RunConfig):
            raise ValueError(f"`config` must be a RunConfig or None. Received: {config!r} ({type(config).__name__})")
        self._config = config if model_dir is None else config.replace(model_dir=model_dir)
        if config.model_dir not in (None, self._config.model_dir):
            raise ValueError(
                "`model_dir` and `config.model_dir` must agree. "
                f"Received: {self._config.model_dir!r} and {config.model_dir!r}"
            )
        if not isinstance(memory, self.memories):
            kind = ValueError if isinstance(memory, Records) else TypeError
            raise kind(f"`memory` of {type(self).__name__} must be a {self.memories.__name__}. Received: {memory!r}")
        self.memory: Any = memory
        self._params = copy.deepcopy(dict(params or {}))
        self._seed = secrets.randbits(31) if config.seed is None else int(config.seed)
        self._descriptions = Descriptions(function, self.columns, self._config, self._seed)
        self._saver = None if self.model_dir is None else Checkpoint(
            self.model_dir, "ckpt", frequency=config.save_episodes or 2**62, unit="episodes",
            max_checkpoints=config.keep_checkpoint_max,
        )  # fmt: skip
        self.model: Any = None
        self.history: keras.callbacks.History | None = None

    # What it is ------------------------------------------------------------------------------------------------

    model_dir = property(lambda self: self._config.model_dir, doc="Where its files are, or None.")
    config = property(lambda self: self._config, doc="The configuration, `model_dir` included.")
    params = property(lambda self: copy.deepcopy(self._params), doc="A copy of the hyper-parameters.")
    global_step = property(lambda self: self._counted("updates"), doc="Updates so far.")
    global_timestep = property(lambda self: self._counted("timesteps"), doc="Actions in training so far.")
    global_episode = property(lambda self: self._counted("episodes"), doc="Episodes finished in training so far.")

    def _counted(self, name: str) -> int:
        self._restore()
        return 0 if self.model is None else getattr(self.model, name)

    # Training --------------------------------------------------------------------------------------------------

    def train(
        self,
        env: Any,
        first_update: int | None = None,
        update_frequency: int = 10,
        episodes: int | None = None,
        steps: int | None = None,
        hooks: Any = None,
        max_steps: int | None = None,
        max_episodes: int | None = None,
        verbose: str | int = "auto",
    ) -> Any:
        """Trains in an environment: `fit`, for chaining.

        `steps` counts updates, not timesteps. Without any bound it trains until a hook sets `model.stop_training`. The
        environment is reset first; an episode that is cut off by the end of a call is not counted.

        Args:
            env: An environment id, a `gymnasium.Env` (such as `GymEnvironment`), a vector environment, or a callable that
                returns one.
            first_update: No update before this timestep (`global_timestep`); at least the memory's batch size. None: 35, or
                the batch size where that is larger.
            update_frequency: Updates are made at multiples of so many timesteps, and at the ends of episodes, where the
                memory can sample.
            episodes: Episodes to train for. Two calls with 10 train for 20.
            steps: Updates to make, likewise.
            hooks: `keras.callbacks.Callback`s. An epoch is an episode and a batch is an update; a
                `kagent.callbacks.Callback` also has events of episodes and timesteps. Their `model` is `agent.model`.
            max_steps: Updates in total. Where they have been made (by this agent or by another one, in `model_dir`) the
                environment is not touched.
            max_episodes: Episodes in total, likewise.
            verbose: 0 silent, 1 a progress bar over all episodes, 2 a line per episode, "auto" 1.

        Returns:
            The agent.

        Raises:
            ValueError, TypeError: Bad arguments, before the environment is touched; a `model_fn` that returns something
                else than an `EstimatorSpec`.
            RuntimeError: The loss is not finite.
        """
        frequency, batch_size = check_count(update_frequency, "update_frequency"), self.memory.batch_size
        try:
            start = max(_FIRST_UPDATE, batch_size) if first_update is None else first_update
            start = check_count(start, "first_update", batch_size)
        except ValueError as error:
            message = "Cannot update the model before gathering enough data, the memory's batch_size="
            raise ValueError(f"{message}{batch_size}: {error}") from None
        rule = Update(batch_size=batch_size, frequency=frequency, start=start, episode_ends=True)
        bounds = {"steps": steps, "max_steps": max_steps, "episodes": episodes, "max_episodes": max_episodes}
        return self._train(env, rule, hooks, verbose, **bounds)

    def fit(self, env: Any, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains as `train` does, with the same arguments.

        Returns:
            Keras's `History`, with an entry per episode: `loss`, `episode_return`, `timesteps`, `episodes`, `updates` ...
        """
        return self.train(env, *args, **kwargs).history

    def run_episode(
        self,
        env: Any,
        sess: None = None,
        features: None = None,
        labels: None = None,
        no_run_hooks: None = None,
        global_step: None = None,
        update_episode_op: None = None,
        update_timestep_op: None = None,
        first_update: int | None = None,
        update_frequency: int | None = None,
        estimator_spec: EstimatorSpec | None = None,
        *,
        hooks: Any = None,
    ) -> dict[str, float]:
        """Trains for one episode.

        Args:
            env, hooks: As for `train`.
            sess, features, labels, no_run_hooks, global_step, update_episode_op, update_timestep_op: None: parts of a graph
                of TensorFlow 1, in whose place the agent has its own.
            first_update, update_frequency: As for `train`, where that has them; None: its defaults.
            estimator_spec: None, or what `model_fn` has returned for TRAIN.

        Returns:
            Statistics of the episode: `total_reward`, `max_reward`, `min_reward`, `avg_reward`, `length` (timesteps),
            `loss` (mean over its updates; NaN without any) and `updates`.

        Raises:
            ValueError: Something else than None for a part of a graph, or another specification.
            TypeError: `first_update` or `update_frequency`, of an agent whose memory says when it learns.
            RuntimeError: A hook stopped training before the episode ended.
            Others: As `train`.
        """
        graph = {
            "sess": sess, "features": features, "labels": labels, "no_run_hooks": no_run_hooks, "global_step": global_step,
            "update_episode_op": update_episode_op, "update_timestep_op": update_timestep_op,
        }  # fmt: skip
        for name, value in graph.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` must be None: there is no graph and no session in TensorFlow 2, and the agent counts and "
                    f"feeds its function itself. Received: {value!r}. `first_update` and `update_frequency` go by name"
                )
        if estimator_spec is not None and estimator_spec is not self._descriptions.training:
            raise ValueError(
                f"`estimator_spec` must be None, or what `model_fn` returned. Received: {estimator_spec!r}"
            )
        given = {"first_update": first_update, "update_frequency": update_frequency}
        statistics = EpisodeStatistics()
        self.train(
            env,
            episodes=1,
            hooks=[*listed(hooks, "hooks"), statistics],
            verbose=0,
            **{name: value for name, value in given.items() if value is not None},
        )
        if statistics.last is None:
            raise RuntimeError("The episode did not end: a hook stopped training before")
        return statistics.last

    def _train(self, env: Any, rule: Update, hooks: Any, verbose: str | int, **given: Any) -> Any:
        check_bounds(**given)
        bounds = {name.replace("steps", "updates"): value for name, value in given.items()}
        if all(value is None for value in bounds.values()):
            bounds["max_updates"] = math.inf
        config, hooks, summaries = self._config, listed(hooks, "hooks"), []
        if config.model_dir is not None and config.summaries:
            summaries = [EpisodeSummaries(config.model_dir, config.summaries, config.summary_episodes)]
        log = [] if config.log_episodes is None else [EpisodeLog(config.log_episodes, "kagent.estimators")]
        with contextlib.closing(envs.make(env, next_seed=lambda: self.model.next_seed())) as environments:
            model = self._prepare(environments, rule)
            hooks += [*listed(self._descriptions.training.training_hooks, "training_hooks"), *log, *summaries]
            self.history = model.fit(
                environments, callbacks=[*hooks, *([self._saver] if self._saver else [])], verbose=verbose,
                steps_per_epoch="episode", initial_epoch=model.episodes, **bounds,
            )  # fmt: skip
        return self

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
        check_count(episodes, "episodes")
        callbacks = listed(hooks, "hooks")
        self._trained()
        spec, _ = self._descriptions.of(Modes.EVAL, self.model.policy, self._params)
        callbacks += listed(spec.evaluation_hooks, "evaluation_hooks")
        found = self.model.evaluate(env, episodes, callbacks=callbacks)
        counted = {"global_step": self.global_step, "global_timestep": self.global_timestep}
        return {**found, **counted, "global_episode": self.global_episode}

    def predict(self, states: Any, predict_keys: Any = None) -> Any:
        """Greedy actions for a batch of states, or predictions by name.

        Args:
            states: `(N, ...)`, nested as the observation space, as the environment gives them.
            predict_keys: Names of predictions, such as `["q"]`, of what `model_fn` returns for PREDICT, or else for TRAIN;
                None: the actions.

        Returns:
            Actions `(N, ...)` as the environment takes them, or a dict of arrays.

        Raises:
            ValueError: The agent has not been trained, and there is no checkpoint in `model_dir`; states of another shape;
                unknown names.
        """
        self._trained()
        observation = Structure(self.model.observation_space, "states")
        parts = observation.batch(states)
        _, branch = self._descriptions.of(Modes.PREDICT, self.model.policy, self._params)
        if predict_keys is None:
            return np.asarray(self.model(observation.unflatten(parts)))
        names = [predict_keys] if isinstance(predict_keys, str) else list(predict_keys)
        leaves = [tf.convert_to_tensor(leaf.encode(x)) for leaf, x in zip(observation.leaves, parts)]
        found = {**self.model.policy.predictions(leaves), **(branch(leaves) if branch is not None else {})}
        check_known(names, sorted(found), "`predict_keys`")
        return {name: found[name].numpy() for name in names}

    def _trained(self) -> None:
        self._restore()
        if self.model is None:
            raise ValueError(f"Could not find a trained model: `train` first. Its model_dir: {self.model_dir!r}")

    # Making ----------------------------------------------------------------------------------------------------

    def _restore(self) -> None:
        if self.model is None and self._saver is not None:
            spaces = self._saver.spaces()
            if spaces is not None:
                self._make(*spaces)

    def _prepare(self, environments: envs.Environments, rule: Update) -> Any:
        if self.model is None:
            self._make(environments.observation_space, environments.action_space, rule)
        model = self.model
        envs.check_spaces(model.observation_space, model.action_space, environments)
        if self._saver is not None:
            self._saver.resume(model)
        model.reschedule(rule)
        # A run that goes on in another process begins the episode that the former one would have begun.
        model._run.leave_episodes(begun=self.history is None)
        return model

    def _make(self, observation_space: Any, action_space: Any, rule: Update | None = None) -> None:
        observation, action = Structure(observation_space, "observation_space"), Structure(action_space, "action_space")
        traced, spec = self._descriptions.trace(observation, action, self._params), self._descriptions.training
        policy = ModelPolicy(traced, self.sampled, name="policy")
        model = kagent.Agent(
            observation_space=observation_space,
            action_space=action_space,
            policy=policy,
            memory=self.memory,
            update=rule or Update(batch_size=self.memory.batch_size, frequency="never"),
            execution={"jit_compile": self._config.jit_compile},
            seed=self._seed,
            name="agent",
            **{"optimizer": spec.train_op, **self._parts(spec, policy)},
        )
        if self._saver is not None:
            self._saver.resume(model)
        self.model = model

    def _parts(self, spec: EstimatorSpec, policy: ModelPolicy) -> dict[str, Any]:
        """What of the `kagent.Agent` depends on how it learns."""
        exploration = 0.0 if spec.exploration is None else spec.exploration
        bootstrap = spec.bootstrap or (Bootstrap() if "q" in policy.trace.predictions else None)
        if bootstrap is None:  # targets are the rewards
            return {"objective": ModelObjective(), "reward_estimation": {"discount": 0.0}, "exploration": exploration}
        return {
            "objective": ModelObjective(bootstrap.value, bootstrap.double),
            "reward_estimation": {"discount": bootstrap.discount},
            "exploration": exploration,
            "target": Target(period=bootstrap.target_update_frequency),
        }
