"""fit: the arguments of training, in Keras's words."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Sequence
from inspect import signature
from typing import Any

import keras
import tensorflow as tf

from kagent import environments as envs
from kagent.callbacks.backups import mend_backups, weights_of_backups
from kagent.callbacks.callback import abortable, check_of_keras, hooks_of, listed, warn_without_episodes
from kagent.callbacks.csv_columns import with_columns
from kagent.callbacks.progress_bar import with_bar
from kagent.config import run_length
from kagent.config.checks import check_count, check_source, from_environment
from kagent.config.vocabulary import hints
from kagent.datasets import Episodes, as_episodes
from kagent.optimizers import replicas
from kagent.training import dataset_columns, evaluator, offline, remote
from kagent.training.asynchronous import AsynchronousTrainer
from kagent.training.compiled.checks import check_fit
from kagent.training.compiled.collector import collected_steps
from kagent.training.compiled.trainer import CompiledTrainer
from kagent.training.epoch_length import EpochLength
from kagent.training.metrics import validation_logs
from kagent.training.own_callbacks import Counts, counts_of
from kagent.training.trainer import Trainer, Validation, divergence_refused

_OF_ENVIRONMENTS = ("steps", "episodes", "max_steps", "max_episodes")


def fit(
    agent: Any,
    env: Any = None,
    steps: int | None = None,
    *,
    episodes: int | None = None,
    updates: int | None = None,
    max_steps: int | None = None,
    max_episodes: int | None = None,
    max_updates: float | None = None,
    steps_per_epoch: int | str | None = None,
    callbacks: Any = None,
    verbose: str | int = "auto",
    validation_env: Any = None,
    validation_episodes: int = 10,
    validation_freq: int | Sequence[int] = 1,
    initial_epoch: int = 0,
    n_envs: int | None = None,
    reset_options: dict[str, Any] | None = None,
    step_timeout: float | None = None,
    epochs: int | None = None,
    replay_limit: int | str | None = "auto",
    workers: Any = None,
    **kwargs: Any,
) -> keras.callbacks.History:
    """Trains in an environment, or offline: from recorded episodes, or from a `tf.data.Dataset` of transitions.

    Args:
        env: An environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a callable that returns one.
            Or a `kagent.environments.compiled.CompiledEnv`, which the program of an update contains.
            Or recorded episodes: a directory of traces as `kagent.callbacks.Recorder` writes them, `"minari:NAME"`, or
            `kagent.datasets.Episodes`. They go into the memory, in place of what an earlier `fit` of such put there, and
            gradient steps follow: `updates` of them, or `epochs` (1) of `steps_per_epoch` gradient steps each, by default
            as many as make one pass over the transitions. Statistics of `preprocessing` (`normalize`) that have seen
            nothing yet are those of the episodes. A `fit` of an environment goes on from there, with the same memory.
            Or a dataset of dicts as `memory.dataset` gives them, with actions in the policy's own form: boxes with bounds from -1
            to 1, discrete ones as indices from 0; then `epochs` (1), `steps_per_epoch` and `shuffle`
            mean what they mean in `keras.Model.fit`.
        steps: Timesteps (environment steps, over all environments) to add to those taken before.
        episodes: Finished episodes to add. Bounds on different things may be combined; the first one reached ends it.
        updates: Gradient steps to add. Where one update takes several, it is finished, and so are the rollouts of one call
            (`steps_per_execution` of `compile`); of a replay memory, the last call makes fewer updates where fewer are left.
            Progress, by which schedules move, is the largest part used of any bound.
        max_steps, max_episodes, max_updates: The same as absolute bounds; nothing is done where they are reached
            already. `steps` excludes `max_steps`, and so on. `max_updates=math.inf` trains until a callback says stop.
        steps_per_epoch: Timesteps of one epoch, a reporting unit: metrics, validation and epoch callbacks. Default:
            a tenth of the bound on steps, else 1,000. "episode": an epoch is an episode (of several environments,
            what they do until one or more of them end). `kagent.callbacks.Callback`s then get an episode's
            end when the updates that are due at it have been made, and of the next one's begin in the epoch that
            follows, if any does. With `epochs` and a bound on steps: that bound, divided by the epochs.
        epochs: Number of the last epoch, a further bound: `epochs=10, steps_per_epoch=1000` are 10,000 timesteps to
            add, less those of the epochs before `initial_epoch`. With "episode" that many episodes.
        callbacks: Keras callbacks. A batch, for them, is one call of the learner, and its index the timestep
            within the epoch.
        verbose: 0 silent, 1 progress bar, 2 a line per epoch, "auto" 1.
        validation_env: Where to evaluate at the end of an epoch; its results are logged as `val_*`.
        validation_episodes: Episodes of each such evaluation.
        validation_freq: Evaluate every so many epochs, or at the end of those listed.
        initial_epoch: Number of the first epoch.
        n_envs: How many environments to make, where `env` is an id or a callable. Default: the agent's.
        reset_options: A dict that every `reset` gets as `options`, also those of `validation_env`. Numbers, strings,
            bools, None and numeric arrays, in lists and dicts: it is saved with the open episodes, which are replayed
            with it. A vector environment must have autoreset mode DISABLED for it.
        step_timeout: Seconds that a `step` or `reset` of an environment, also of `validation_env`, may take. Where it
            takes longer, `fit` ends by a `TimeoutError` with the environment's name. What hangs cannot be stopped:
            it stays in a thread of its own, or in its worker process, and a new environment is needed. With it,
            environments that are no `AsyncVectorEnv` are stepped in another thread, which costs about 0.1 ms a step.
        replay_limit: Timesteps of an open episode whose actions are kept, and saved, so that training that is resumed
            from a file goes on in the middle of it by taking them again. A longer one is given up with a warning: a
            new episode begins in its place. None: no limit. "auto": 10,000, or what 16 MiB hold of all environments'
            actions, if that is less.
        workers: Where the environments are, if not here: a `kagent.distributed.Ray`. `env` is then an id or a callable, and each
            worker makes its own. The policy acts by NumPy. For agents that learn from what their present policy did (PPO, A2C,
            TRPO, VPG), timesteps and what is learned are those of as many environments here. For those with a replay memory and
            `IMPALA`, workers go on while the agent learns; an epoch then logs `weights_age` and `weights_age_max`, the updates
            since the weights that its timesteps were chosen by.

    Returns:
        Keras's `History`; `history.history["episode_return"]` and so on, one entry per epoch. Epochs all log the same:
        where no episode ended or no update was made in one, the last known values stand again, and before the first
        they are NaN, here as in `CSVLogger`. The progress bar then shows a question mark, and
        `kagent.callbacks.TensorBoard` has no point. There is `val_*` only with a `validation_env`. Where
        environments record returns themselves, as `info["episode"]["r"]` (gymnasium's `RecordEpisodeStatistics`),
        `episode_return` is that: the return below the wrappers that change rewards. `episode_wrapped_return` beside
        it is the sum of the rewards that the agent got before preprocessing, from the first epoch on where the recording
        wrapper is seen (in an `AsyncVectorEnv` it is not), else from the first record on. Episodes without a record, such
        as those cut off by a wrapper further out, do not enter these two means once there was one. With `run_eagerly`
        the names of losses are known from the first update on where `train_step`, `prepare` or the objective is your own.

    Raises:
        ValueError, TypeError: Bad arguments or spaces unlike the agent's, before any environment step; an
            environment that breaks its word, at the step where it does.
        TimeoutError: An environment did not answer within `step_timeout`.
        RuntimeError: The worker of a vector environment has died (a `ConnectionError` too), or `env` cannot be used
            after an earlier error.
        DivergenceError: A loss that is not finite, at the update, before a callback could save what it did; or weights
            that are not finite, at the epoch's end. With `keras.callbacks.TerminateOnNaN` among the callbacks training
            ends as Keras has it.

    Example:

    >>> agent = kagent.PPO("CartPole-v1", seed=0)
    >>> history = agent.fit("CartPole-v1", steps=20_000, verbose=0)
    """
    given = {
        "steps": steps, "episodes": episodes, "updates": updates,
        "max_steps": max_steps, "max_episodes": max_episodes, "max_updates": max_updates,
    }  # fmt: skip
    replicas.scope(agent.minimizer.strategy)  # refuses that of another one
    rules = {"reset_options": reset_options, "step_timeout": step_timeout}
    if isinstance(env, tf.data.Dataset):
        refused = [name for name, value in {**given, "n_envs": n_envs, "workers": workers}.items() if value is not None]
        refused += [name for name in kwargs if name not in ("shuffle",)]
        if refused:
            raise ValueError(f"A dataset is trained on for `epochs`. Received: {', '.join(refused)}")
        if not isinstance(env.element_spec, dict) or "reward" not in env.element_spec:
            raise from_environment("fit", f"a dataset of {env.element_spec}")
        run_length.check_epochs(initial_epoch, env, validation_env, validation_episodes, validation_freq)
        if validation_env is None:
            _refuse_rules(rules)
        with agent._occupation.of("fit"), contextlib.ExitStack() as opened:
            validation = _validation(agent, opened, validation_env, validation_episodes, validation_freq, rules)
            own = offline.validating(agent, validation, callbacks)
            return _fit_dataset(agent, env, steps_per_epoch, epochs, initial_epoch, own, verbose, kwargs)
    check_source("fit", env, kwargs)
    recorded = as_episodes(env)
    if kwargs:
        takes = [name for name in signature(fit).parameters if name not in ("agent", "kwargs")]
        raise TypeError(
            f"fit(env) does not know {[*kwargs]}.{hints([*kwargs], takes)} Say how long with steps=, episodes=, max_steps=, "
            "max_episodes= or epochs= and steps_per_epoch="
        )
    run_length.check_epochs(initial_epoch, env, validation_env, validation_episodes, validation_freq)
    if replay_limit not in (None, "auto"):
        replay_limit = check_count(replay_limit, "replay_limit")
    origin = agent._own_callbacks.counted_from or counts_of(agent)
    if recorded is not None:
        refused = [name for name in _OF_ENVIRONMENTS if given.get(name) is not None]
        others = {"n_envs": n_envs, "replay_limit": replay_limit, "workers": workers}
        refused += [name for name, value in others.items() if value not in (None, "auto")]
        if refused:
            raise ValueError(
                f"Recorded episodes are learned from for updates=, max_updates=, or epochs= and steps_per_epoch=, in gradient steps. "
                f"Received: {', '.join(refused)}"
            )
        if validation_env is None:
            _refuse_rules(rules)
        length = offline.Length(steps_per_epoch, epochs, initial_epoch, updates, max_updates)
        with agent._occupation.of("fit"), contextlib.ExitStack() as opened:
            validation = _validation(agent, opened, validation_env, validation_episodes, validation_freq, rules)
            return _fit_recorded(agent, recorded, length, origin, validation, callbacks, verbose)
    if not agent.memory.built:
        agent.parts.check_room(
            agent._observation, agent._action, agent.n_envs, agent.steps_per_execution
        )  # loading puts it off
    if workers is not None:
        remote.check_fit(agent, env, workers, {"n_envs": n_envs, "validation_env": validation_env})
    in_program, of_epoch, number = envs.is_compiled(env), steps_per_epoch, epochs
    bounds, steps_per_epoch, epochs = run_length.of_fit(origin, given, of_epoch, number, initial_epoch)
    if in_program:
        replayed = None if replay_limit == "auto" else replay_limit
        check_fit(agent, env, {**rules, "n_envs": n_envs, "replay_limit": replayed})
        if of_epoch is None:  # epochs of whole calls
            call = collected_steps(agent, env) * env.num_envs * agent.steps_per_execution
            of_epoch = math.ceil(float(steps_per_epoch) / call) * call
            bounds, steps_per_epoch, epochs = run_length.of_fit(origin, given, of_epoch, number, initial_epoch)
    with agent._occupation.of("fit"), contextlib.ExitStack() as opened:
        environments = env
        if not in_program and workers is None:
            environments = _opened(agent, opened, env, _num_envs(agent, env, n_envs), agent.next_seed, rules)
            environments.limit_replay(replay_limit)
            opened.enter_context(envs.claim(environments, "fit"))
        validation = _validation(agent, opened, validation_env, validation_episodes, validation_freq, rules)
        agent.close()
        callbacks = agent._own_callbacks.joined(agent, callbacks)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            verbose = 1 if verbose == "auto" else verbose
            by_episode = run_length.is_episode(steps_per_epoch)
            columns = [] if validation is None else validation_logs(validation.environments.records_returns)
            callbacks = with_columns(
                with_bar(callbacks, verbose, validated=validation is not None, by_episode=by_episode), columns
            )
            callbacks = keras.callbacks.CallbackList(
                callbacks, add_history=True, verbose=verbose,
                epochs=initial_epoch + epochs, steps=None if by_episode else steps_per_epoch,
                validation_freq=None if validation is None else validation_freq, model=agent,
            )  # fmt: skip
        of_kind: type[Trainer] = CompiledTrainer if in_program else Trainer
        if workers is not None:
            remote.check_hooks(hooks_of(callbacks))
            environments = opened.enter_context(remote.opened(agent, env, workers, bounds, rules, replay_limit))
            of_kind = AsynchronousTrainer if remote.is_asynchronous(agent, workers) else remote.RemoteTrainer
        agent._clock.bounds = bounds
        agent._run.origin, agent._own_callbacks.counted_from = origin, None
        trainer = of_kind(agent, environments, callbacks, bounds, origin, steps_per_epoch, initial_epoch, validation)
        try:
            with abortable(callbacks), divergence_refused(agent, callbacks):
                trainer.train()
        finally:
            agent._run.trainer = None
    return agent.history


def _refuse_rules(rules: dict[str, Any]) -> None:
    given = [f"{name}={value!r}" for name, value in rules.items() if value is not None]
    if given:
        raise ValueError(
            "Recorded experience is learned from without an environment, for which `reset_options` and `step_timeout` are; they "
            f"go with `validation_env`. Received: {', '.join(given)}"
        )


def _validation(
    agent: Any, opened: contextlib.ExitStack, env: Any, episodes: int, frequency: Any, rules: dict[str, Any]
) -> Validation | None:
    if env is None:
        return None
    where = _opened(agent, opened, env, evaluator.num_envs(env, episodes), None, rules)
    with envs.claim(where, "validation"):
        pass  # that they are others than those of training is better known now
    return Validation(where, episodes, frequency)


def _fit_recorded(
    agent: Any, episodes: Episodes, length: offline.Length, origin: Counts, validation: Validation | None, callbacks: Any,
    verbose: Any,
) -> keras.callbacks.History:  # fmt: skip
    verbose = 1 if verbose == "auto" else verbose
    if verbose not in (0, 1, 2):
        raise ValueError(f"`verbose` must be 'auto', 0, 1 or 2. Received: {verbose!r}")
    if validation is not None:
        agent.memory.use_environments(validation.environments)
    size = offline.fill_memory(agent, episodes)
    steps_per_epoch, epochs, updates = length.divide(agent, size, origin)
    agent.close()
    callbacks = agent._own_callbacks.joined(agent, callbacks)
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        columns = [] if validation is None else validation_logs(validation.environments.records_returns)
        bar = with_bar(callbacks, verbose, validated=validation is not None, offline=True)
        callbacks = keras.callbacks.CallbackList(
            with_columns(bar, columns),
            add_history=True,
            verbose=verbose,
            epochs=epochs,
            steps=steps_per_epoch,
            model=agent,
        )
    warn_without_episodes(callbacks)
    agent._run.origin, agent._own_callbacks.counted_from = origin, None
    trainer = offline.OfflineTrainer(
        agent, callbacks, origin, steps_per_epoch, length.initial_epoch, epochs, updates, validation
    )
    agent._run.recorded_steps = functools.partial(offline.recorded_steps, agent, episodes)
    try:
        with abortable(callbacks), divergence_refused(agent, callbacks):
            trainer.train()
    finally:
        agent._run.recorded_steps = None
    return agent.history


def _opened(
    agent: Any, opened: contextlib.ExitStack, env: Any, count: int | None, next_seed: Any, rules: dict[str, Any]
) -> envs.Environments:
    limit = agent.max_episode_timesteps
    environments = envs.make(env, count, next_seed=next_seed, max_episode_timesteps=limit, **rules)
    opened.callback(environments.close)
    envs.check_spaces(agent.observation_space, agent.action_space, environments)
    return environments


def _num_envs(agent: Any, env: Any, n_envs: int | None) -> int | None:
    if n_envs is not None:
        return n_envs
    made = isinstance(env, str) or (callable(env) and agent.n_envs > 1)
    count: int | None = agent.n_envs if made else None
    return count


def _fit_dataset(
    agent: Any,
    dataset: tf.data.Dataset,
    steps_per_epoch: Any,
    epochs: int | None,
    initial_epoch: int,
    callbacks: Any,
    verbose: Any,
    kwargs: dict[str, Any],
) -> keras.callbacks.History:
    dataset = dataset_columns.checked(agent, dataset)
    epochs = 1 if epochs is None else check_count(epochs, "epochs")
    check_count(initial_epoch, "initial_epoch", least=0)
    if steps_per_epoch is not None:
        check_count(steps_per_epoch, "steps_per_epoch")
    given_callbacks = callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else listed(callbacks)
    given = getattr(given_callbacks, "callbacks", given_callbacks)
    check_of_keras(given, agent.minimizer.scheduled, agent.metrics)
    warn_without_episodes(given)
    mend_backups(given_callbacks)
    agent._files.folders.use_for(weights_of_backups(given_callbacks))
    size = dataset.cardinality().numpy() if steps_per_epoch is None else steps_per_epoch
    length = EpochLength(agent, epochs - initial_epoch, size)
    given_callbacks.append(length)
    try:
        with abortable(given_callbacks), divergence_refused(agent, given_callbacks), dataset_columns.values_refused():
            return keras.Model.fit(
                agent, dataset, steps_per_epoch=steps_per_epoch, callbacks=given_callbacks, verbose=verbose, epochs=epochs,
                initial_epoch=initial_epoch, **{"shuffle": False, **kwargs},
            )  # fmt: skip
    finally:
        if isinstance(given_callbacks, keras.callbacks.CallbackList):
            given_callbacks.callbacks.remove(length)


def train_on_batch(agent: Any, *args: Any, **kwargs: Any) -> Any:
    """Not of an agent: it learns from an environment, by `fit`, or `act`, `observe` and `update`.

    Raises:
        TypeError: Always.
    """
    raise from_environment("train_on_batch")


def test_on_batch(agent: Any, *args: Any, **kwargs: Any) -> Any:
    """Not of an agent: it is measured in an environment, by `evaluate`.

    Raises:
        TypeError: Always.
    """
    raise from_environment("test_on_batch")
