"""fit and evaluate: the one loop, in Keras's words."""

from __future__ import annotations

import contextlib
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from inspect import signature
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import bounds
from kagent import environments as envs
from kagent.arguments import check_count, check_source, from_environment
from kagent.attachments import Counts
from kagent.callbacks.backups import mend_backups
from kagent.callbacks.callback import abortable, forget_unknown, hears_batches, hooks_of, listed
from kagent.callbacks.csv_columns import with_columns
from kagent.callbacks.progress_bar import with_bar
from kagent.divergence import check_weights
from kagent.episode_streams import EpisodeStreams
from kagent.epoch_length import EpochLength
from kagent.metrics import EpisodeMetrics, UpdateMetrics, validation_logs
from kagent.mixin import Mixin
from kagent.occupation import Occupation
from kagent.runner import Runner
from kagent.vocabulary import hints


class Training(Mixin):
    """The part of an agent that trains and evaluates. A mixin of `Agent`."""

    def _begin_training_state(self) -> None:
        self._begin_counting()
        self.occupation = Occupation()
        self._open: dict[str, Any] | None = None  # open episodes of the last fit, or of a file
        self._known: dict[str, Any] | None = None  # what the last epoch knew of returns and losses
        self._runner: Runner | None = None
        self.refuses_divergence = True
        self.fit_origin = Counts()
        self._move_targets: Any = None
        self._estimate: Any = None
        self._iterating: tuple[Any, Any] | None = None
        self._begin_interaction()

    def next_seed(self) -> int:
        """Seed of the next episode, from the agent's own stream."""
        return int(self._streams["reset"].integers(2**31 - 1))

    @property
    def act_generator(self) -> np.random.Generator:
        """The stream that actions are drawn from in training."""
        return self._streams["act"]

    # Fit -------------------------------------------------------------------------------------------------------

    def fit(
        self,
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
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains in an environment, or offline from a `tf.data.Dataset` of transitions.

        Args:
            env: An environment id, a `gymnasium.Env`, a `gymnasium.vector.VectorEnv`, or a callable that returns one.
                Or a dataset of dicts as `memory.dataset` gives them; then `epochs` (1), `steps_per_epoch` and `shuffle`
                mean what they mean in `keras.Model.fit`.
            steps: Timesteps (environment steps, over all environments) to add to those taken before.
            episodes: Finished episodes to add. Bounds on different things may be combined; the first one reached ends it.
            updates: Gradient steps to add. Where one update takes several, it is finished. Progress, by which schedules
                move, is the largest part used of any bound.
            max_steps, max_episodes, max_updates: The same as absolute bounds; nothing is done where they are reached
                already. `steps` excludes `max_steps`, and so on. `max_updates=math.inf` trains until a callback says stop.
            steps_per_epoch: Timesteps of one epoch, a reporting unit: metrics, validation and epoch callbacks. Default:
                a tenth of the bound on steps, else 1,000. "episode": an epoch is an episode (of several environments,
                what they do until one or more of them end). `kagent.callbacks.Callback`s are then told of an episode's
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
        if isinstance(env, tf.data.Dataset):
            others = {
                **given, "n_envs": n_envs, "validation_env": validation_env,
                "reset_options": reset_options, "step_timeout": step_timeout,
            }  # fmt: skip
            refused = [name for name, value in others.items() if value is not None]
            refused += [name for name in kwargs if name not in ("shuffle",)]
            if refused:
                raise ValueError(f"A dataset is trained on for `epochs`. Received: {', '.join(refused)}")
            if not isinstance(env.element_spec, dict) or "reward" not in env.element_spec:
                raise from_environment("fit", f"a dataset of {env.element_spec}")
            with self.occupation.of("fit"):
                return self._fit_dataset(env, steps_per_epoch, epochs, initial_epoch, callbacks, verbose, kwargs)
        check_source("fit", env, kwargs)
        if kwargs:
            takes = [name for name in signature(Training.fit).parameters if name not in ("self", "kwargs")]
            raise TypeError(
                f"fit(env) does not know {[*kwargs]}.{hints([*kwargs], takes)} Say how long with steps=, episodes=, max_steps=, "
                "max_episodes= or epochs= and steps_per_epoch="
            )
        bounds.check_epochs(initial_epoch, env, validation_env, validation_episodes, validation_freq)
        rules = {"reset_options": reset_options, "step_timeout": step_timeout}
        if replay_limit not in (None, "auto"):
            replay_limit = check_count(replay_limit, "replay_limit")
        origin = self._counted_from or self._counts()
        begin = origin.timesteps
        if not self.memory.built:
            self._check_room(self.steps_per_execution)  # which loading puts off
        end, steps_per_epoch, epochs = bounds.of_fit(origin, given, steps_per_epoch, epochs, initial_epoch)
        with self.occupation.of("fit"), contextlib.ExitStack() as opened:
            environments = self._opened(opened, env, self._envs_for(env, n_envs), self.next_seed, rules)
            environments.limit_replay(replay_limit)
            opened.enter_context(envs.claim(environments, "fit"))
            validation = None
            if validation_env is not None:
                count = self._evaluation_envs(validation_env, validation_episodes)
                validation = self._opened(opened, validation_env, count, None, rules)
                with envs.claim(validation, "validation"):
                    pass  # that they are others than those of training is better known now
            callbacks = self._with_attached(callbacks)
            if not isinstance(callbacks, keras.callbacks.CallbackList):
                verbose = 1 if verbose == "auto" else verbose
                validated, by_episode = validation is not None, bounds.is_episode(steps_per_epoch)
                columns = [] if validation is None else validation_logs(validation.records_returns)
                callbacks = with_columns(
                    with_bar(callbacks, verbose, validated=validated, by_episode=by_episode), columns
                )
                callbacks = keras.callbacks.CallbackList(
                    callbacks, add_history=True, verbose=verbose,
                    epochs=initial_epoch + epochs, steps=None if by_episode else steps_per_epoch, model=self,
                )  # fmt: skip
            self._bounds = end
            self.fit_origin, self._counted_from = origin, None
            try:
                with abortable(callbacks), self._watching(callbacks):
                    self._loop(environments, validation, callbacks, begin, steps_per_epoch, initial_epoch,
                               validation_episodes, validation_freq)  # fmt: skip
            finally:
                self._runner = None
        return self.history

    def _opened(
        self, opened: contextlib.ExitStack, env: Any, count: int | None, next_seed: Any, rules: dict[str, Any]
    ) -> envs.Environments:
        limit = self.max_episode_timesteps
        environments = envs.make(env, count, next_seed=next_seed, max_episode_timesteps=limit, **rules)
        opened.callback(environments.close)
        envs.check_spaces(self.observation_space, self.action_space, environments)
        return environments

    def _fit_dataset(self, dataset, steps_per_epoch, epochs, initial_epoch, callbacks, verbose, kwargs) -> Any:
        epochs = 1 if epochs is None else check_count(epochs, "epochs")
        check_count(initial_epoch, "initial_epoch", least=0)
        if steps_per_epoch is not None:
            check_count(steps_per_epoch, "steps_per_epoch")
        told = callbacks if isinstance(callbacks, keras.callbacks.CallbackList) else listed(callbacks)
        mend_backups(told)
        size = dataset.cardinality().numpy() if steps_per_epoch is None else steps_per_epoch
        length = EpochLength(self, epochs - initial_epoch, size)
        told.append(length)
        try:
            with abortable(told), self._watching(told):
                return keras.Model.fit(
                    self, dataset, steps_per_epoch=steps_per_epoch, callbacks=told, verbose=verbose, epochs=epochs,
                    initial_epoch=initial_epoch, **{"shuffle": False, **kwargs},
                )  # fmt: skip
        finally:
            if isinstance(told, keras.callbacks.CallbackList):
                told.callbacks.remove(length)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Not of an agent: it learns from an environment, by `fit`, or `act`, `observe` and `update`.

        Raises:
            TypeError: Always.
        """
        raise from_environment("train_on_batch")

    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """Not of an agent: it is measured in an environment, by `evaluate`.

        Raises:
            TypeError: Always.
        """
        raise from_environment("test_on_batch")

    def _loop(
        self, environments, validation, callbacks, begin, steps_per_epoch, initial_epoch, episodes, frequency
    ) -> None:
        step_bound, episode_bound, update_bound = self._bounds
        by_episode, finished = bounds.is_episode(steps_per_epoch), self.fit_origin.episodes
        self.make_train_function()
        self.stop_training = False
        self._initial_epoch = self._known = None  # BackupAndRestore sets both where a run goes on
        before = (self.timesteps, self.episodes, self.updates)
        callbacks.on_train_begin()
        # Who loads a checkpoint there need not know epochs: those that it has behind it follow from its counters.
        passed = self.episodes - finished if by_episode else (self.timesteps - begin) // steps_per_epoch
        epoch = self._initial_epoch or initial_epoch + max(0, passed)
        if self.timesteps >= step_bound or self.episodes >= episode_bound or self.updates >= update_bound:
            callbacks.on_train_end(None)  # there is nothing to do, for environments neither
            self._warn_of_reached_bound(before)
            return
        with self.occupation.walk():
            logs = self._walk(environments, validation, callbacks, begin, epoch, by_episode, steps_per_epoch,
                              initial_epoch, episodes, frequency)  # fmt: skip
        callbacks.on_train_end(logs)
        self.actor.expire()

    def _walk(
        self, environments, validation, callbacks, begin, epoch, by_episode, steps_per_epoch, initial_epoch, episodes,
        frequency,
    ) -> Any:  # fmt: skip
        step_bound, episode_bound, update_bound = self._bounds
        runner = self._start(environments, callbacks, by_episode)
        metrics, losses = EpisodeMetrics(environments.records_returns), UpdateMetrics()
        if self._known is not None:
            metrics.last, losses.last = self._known["episode"], self._known["update"]
        iterator, logs, heard = self.iterator(), None, hears_batches(callbacks)
        runner.iterator = iterator
        update_hooks = [hook for hook in hooks_of(callbacks) if hook.watches("on_update_end")]
        last = keras.config.max_epochs() or math.inf

        def goes_on(steps: float) -> bool:
            return self.timesteps < steps and self.episodes < episode_bound and learns_on()

        def learns_on() -> bool:
            return self.updates < update_bound and not self.stop_training

        while epoch < last and goes_on(step_bound):
            self.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            if by_episode:
                runner.tell_begins()
            self.actor.expire()  # callbacks may have exchanged weights
            epoch_begin, clock = self.timesteps, time.perf_counter()
            end, end_episodes = step_bound, episode_bound
            if by_episode:
                end_episodes = self.episodes + 1
            else:
                end = min(begin + (epoch - initial_epoch + 1) * steps_per_epoch, step_bound)
            while goes_on(end) and self.episodes < end_episodes:
                due, due_episodes = self._due_at(), self._due_at("episodes")
                runner.collect(min(due, end), min(due_episodes, end_episodes), self._is_full)
                while learns_on() and self._is_due():
                    # Several updates may have come due in one step of many environments: each at its own time.
                    batch = max(min(self.timesteps, self._due_at()) - epoch_begin - 1, 0)
                    if heard:
                        callbacks.on_train_batch_begin(batch)
                    for hook in runner.update_hooks:
                        hook.on_update_begin(self.updates, {})
                    self._before_update()
                    step_logs = self.train_function(iterator)
                    self._after_update()
                    losses.update(step_logs)
                    if heard:
                        metrics.update(runner.take_finished())
                        live = metrics.live(self.timesteps - epoch_begin, time.perf_counter() - clock)
                        callbacks.on_train_batch_end(batch, {**step_logs, **live})
                    for hook in update_hooks:
                        hook.on_update_end(self.updates, dict(step_logs))
            if by_episode:
                runner.tell_ends()
            metrics.update(runner.take_finished())
            for step_logs in runner.take_asked():
                losses.update(step_logs)
            logs = losses.epoch(self.train_function)
            logs |= metrics.epoch(self, self.timesteps - epoch_begin, time.perf_counter() - clock)
            self._known = {"episode": metrics.last, "update": losses.last}
            if self.refuses_divergence:
                check_weights(self)  # before a callback saves them
            if validation is not None and bounds.is_among(epoch, frequency):
                found = self._evaluate(validation, episodes, True, None, callbacks)
                logs |= {f"val_{name}": value for name, value in found.items() if not isinstance(value, list)}
            callbacks.on_epoch_end(epoch, logs)
            forget_unknown(callbacks)
            epoch += 1
        if hasattr(self.optimizer, "finalize_variable_values") and epoch > initial_epoch:
            self.optimizer.finalize_variable_values(self.trainable_variables)
        self.estimate_early()
        self._open = runner.state()
        return logs

    @contextlib.contextmanager
    def _watching(self, callbacks: Any) -> Iterator[None]:
        # Keras's callback ends training by itself, without an error unless it is to raise one.
        terminates = any(
            isinstance(one, keras.callbacks.TerminateOnNaN) for one in getattr(callbacks, "callbacks", callbacks)
        )
        self.refuses_divergence = not terminates
        try:
            yield
        finally:
            self.refuses_divergence = True

    def _warn_of_reached_bound(self, before: tuple[int, int, int]) -> None:
        now = (self.timesteps, self.episodes, self.updates)
        names = ("timesteps", "episodes", "updates")
        said = [f"{n:,} of {m:,.0f} {name}" for n, m, name in zip(now, self._bounds, names) if n >= m]
        loaded = " A checkpoint was loaded which has them." if now != before else ""
        warnings.warn(
            f"fit trains 0 steps: its bound is reached. The agent has {' and '.join(said)}.{loaded} To train on, give larger "
            "bounds, or, for a new run, another directory of checkpoints.",
            stacklevel=4,
        )

    def leave_episodes(self, begun: bool = False) -> None:
        """Leaves the open episodes of the last `fit`: the next one resets its environments, and they are not counted.

        Args:
            begun: Whether to stay with them where none has had a timestep yet.
        """
        if not begun or self._open is None or np.any(self._open["lengths"]):
            self._open = None

    def _start(self, environments: envs.Environments, callbacks: Any, by_episode: bool) -> Runner:
        environments = self._preprocessed(environments, learn=True)
        runner = self._runner = Runner(self, environments, hooks_of(callbacks), deferred=by_episode)
        state, self._open = self._open, None
        own_loop, self._own_loop = self._own_loop, False
        self._episodes = EpisodeStreams(self.parallel_interactions)  # episodes of an own loop end here
        for interacting in self._interacting:
            interacting.restart()
        lost = runner.start(state)
        if lost:
            warnings.warn(
                f"The open episodes of environment(s) {lost} could not be brought back: replaying their seed and actions "
                "gave another observation, or their actions were not kept. The environment is another one or not "
                "deterministic, or the episode is longer than `replay_limit`; new episodes begin.",
                stacklevel=4,
            )
        masked = environments.mask is not None
        if not self._fits_memory(environments.num_envs, masked):
            self.memory.build(self._observation, self._action, masked=masked, num_envs=environments.num_envs)
        else:
            # What follows an open episode's last timestep in the memory is another episode.
            count = environments.num_envs
            restored = state is not None and environments.replayable and not own_loop and len(state["lengths"]) == count
            self.memory.interrupt(lost if restored else range(self.memory.num_envs))
            self.memory.attach(count)
        self.memory.check(self.update_rule.batch_size)
        self.actor.expire()
        return runner

    def _fits_memory(self, num_envs: int, masked: bool, source: str = "the environment gives") -> bool:
        memory = self.memory
        if not memory.built or not memory.fits(num_envs):
            return False
        if memory.masked != masked and len(memory):
            raise ValueError(
                f"The memory holds transitions {'with' if memory.masked else 'without'} action masks and "
                f"{source} {'them' if masked else 'none'}: `agent.memory.clear()` it, or train where masks are alike"
            )
        return memory.masked == masked

    def _envs_for(self, env: Any, n_envs: int | None) -> int | None:
        if n_envs is not None:
            return n_envs
        return self.n_envs if isinstance(env, str) or (callable(env) and self.n_envs > 1) else None
