"""keras.callbacks.Callback, with the events that only agents have."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from kagent.config.creation import is_agent_class

_MONITORS = (keras.callbacks.EarlyStopping, keras.callbacks.ModelCheckpoint, keras.callbacks.ReduceLROnPlateau)


_RATES = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
_RENAMED = {"on_asked_update_end": "on_requested_update_end", "watches": "overrides"}


class Callback(keras.callbacks.Callback):
    """A Keras callback with events for episodes, timesteps and updates too.

    Override what you need: an agent calls only what is overridden, so an unused event costs nothing.

    Example:

    >>> class Best(Callback):
    ...     def on_episode_end(self, episode, logs=None):
    ...         print(episode, logs["episode_return"])
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _refuse_renamed(cls, cls.__name__)

    def on_episode_begin(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        """An episode begins.

        Args:
            episode: Episodes finished before it.
            logs: `env`, the environment's index.
        """

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        """An episode has ended.

        Args:
            episode: Its number, from 0.
            logs: `episode_return` (undiscounted), `episode_length` (timesteps), `env`. Where the environment recorded the
                return itself (`info["episode"]["r"]`), `episode_return` is that, and `episode_wrapped_return` the sum of
                the rewards that it gave.
        """

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        """Every environment has taken a step. Called thousands of times a second: keep it short.

        Args:
            timestep: `agent.timesteps` now.
            logs: `reward`, `terminated`, `truncated` and `valid` (False where a vector environment only reset), arrays
                `(N,)`; `observation`, `action` and `next_observation`, lists with one array `(N, *shape)` per leaf of
                the space, in stored form (the action in the environment's), which the next step overwrites: copy what
                you keep; `action_mask` and `next_action_mask`, lists with one bool array `(N, sum(nvec))` per action
                leaf, or None for a leaf without, and None in place of a list where the environments give no masks.
                Observations and rewards are those the agent sees; `raw_observation`, `raw_next_observation` and
                `raw_reward` are those before `preprocessing`, the same where there is none. In loops of the user's own
                also `next_observed`, bool `(N,)`: False where an episode ended without a next observation; that of the
                logs then repeats `observation`.
        """

    def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
        """The agent is about to learn, because an update is due, or a program called `agent.update()`. Not called by `fit(dataset)`.

        Args:
            update: `agent.updates` now.
            logs: Empty.
        """

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        """The agent has learned, and is whole: it may be saved. Not called by `fit(dataset)`.

        Keras's `on_train_batch_end` comes before it, and costs more: returns and pace are worked out for that.

        Args:
            update: `agent.updates` now.
            logs: What the update logged.
        """

    def on_requested_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        """The agent has learned because a callback of `fit` called `agent.update()`.

        The event in which that callback was called is not over: the agent should not be saved here.

        Args:
            update: `agent.updates` now.
            logs: What the update logged.
        """

    def on_train_abort(self) -> None:
        """An error has ended training, or a second Ctrl-C; `on_train_end` does not follow. Close your files.

        Every callback of the `fit` gets this call, also one whose `on_train_begin` was not reached. Then the error is raised.
        """

    needs_episodes = False
    """Whether it has nothing to do without episodes of an environment; offline training then warns."""

    def overrides(self, event: str) -> bool:
        """Whether this callback overrides `event`, in its class or with an attribute of its own."""
        return event in vars(self) or getattr(type(self), event) is not getattr(Callback, event)


_EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


def _refuse_renamed(owner: Any, kind: str) -> None:
    for name, now in _RENAMED.items():
        if callable(getattr(owner, name, None)):
            raise TypeError(f"{kind}.{name} would not be called: its name is {now!r} now")


def check_events(callbacks: Iterable[Any]) -> None:
    """Checks that no callback waits for an event that it does not get.

    Raises:
        TypeError: A callback of Keras has a method for an event that only agents have; one of kagent's has a method under a
            former name.
    """
    for callback in callbacks:
        kind = type(callback).__name__
        if isinstance(callback, Callback):
            _refuse_renamed(callback, kind)
            continue
        own = [
            name for name in (*_EVENTS, *_RENAMED) if name.startswith("on_") and callable(getattr(callback, name, None))
        ]
        if own:
            raise TypeError(
                f"{kind}.{own[0]} would not be called: only a kagent.callbacks.Callback has that event, and {kind} is none. "
                "Derive a class from it"
            )


def check_of_keras(callbacks: Iterable[Any], scheduled: Sequence[str], metrics: Iterable[Any]) -> None:
    """Checks that Keras's callbacks can do what they are for, which they would say at an epoch's end or never.

    Args:
        callbacks: The callbacks.
        scheduled: The roles whose learning rate is a schedule.
        metrics: Of the agent. Of some Keras knows which direction is the better one.

    Raises:
        ValueError: A `LearningRateScheduler` or `ReduceLROnPlateau`, and a role is among `scheduled`: at the next update the
            schedule would take the place of the rate that the callback has set. A monitor with `mode="auto"` of a log of
            which Keras does not know whether more is better.
    """
    directed = {"loss", *(metric.name for metric in metrics)}
    for callback in callbacks:
        _check_mode(callback, directed)
        if scheduled and isinstance(callback, _RATES):
            raise ValueError(
                f"{type(callback).__name__} sets learning rates, which must be numbers. Received: a schedule as the learning "
                f"rate of {', '.join(scheduled)}, which would replace them at each update. Give a number, or leave the callback out"
            )


def _check_mode(callback: Any, directed: set[str]) -> None:
    if not isinstance(callback, _MONITORS) or not getattr(callback, "save_best_only", True):
        return
    known = callback.monitor.removeprefix("val_") in directed
    if known or getattr(callback, "mode", None) != "auto" or getattr(callback, "monitor_op", True) is not None:
        return
    modes = "mode='max'" if callback.monitor.endswith("return") else "mode='max' or mode='min'"
    raise ValueError(
        f"{type(callback).__name__}(monitor={callback.monitor!r}) needs {modes}: Keras does not know whether more of it is better. "
        "Received: mode='auto'"
    )


def listed(callbacks: Any, argument: str = "callbacks") -> list[Any]:
    """One Keras callback, several or None as a list.

    Raises:
        TypeError: Something else, or a callback with an event that it does not get; see `check_events`.
    """
    given = [] if callbacks is None else list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for callback in given:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(f"`{argument}` must be keras.callbacks.Callback objects. Received: {callback!r}")
    check_events(given)
    return given


def hooks_of(callbacks: Any) -> list[Callback]:
    """kagent's own callbacks in a list, or a `CallbackList`, of Keras callbacks."""
    return [callback for callback in getattr(callbacks, "callbacks", callbacks) if isinstance(callback, Callback)]


def warn_without_episodes(callbacks: Any) -> None:
    """Warns of the callbacks in a list, or in a `CallbackList`, that have nothing to do in offline training."""
    idle = sorted({type(hook).__name__ for hook in hooks_of(callbacks) if hook.needs_episodes})
    if idle:
        warnings.warn(
            f"Offline training plays no episodes, and {', '.join(idle)} will have nothing to write. Results of `validation_env` are in "
            "the logs of epochs, for which keras.callbacks.CSVLogger has a file",
            stacklevel=5,
        )


@contextlib.contextmanager
def abortable(callbacks: Any) -> Iterator[None]:
    """Calls `on_train_abort` of the callbacks in a list, or in a `CallbackList`, where the block raises an error."""
    try:
        yield
    except BaseException:
        for hook in hooks_of(callbacks):
            hook.on_train_abort()
        raise


def overrides_batch_events(callbacks: keras.callbacks.CallbackList) -> bool:
    """Whether a callback in the list overrides an event of training batches; calls without effect cost as much as a small
    update."""
    if type(callbacks) is not keras.callbacks.CallbackList:
        return True
    events = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(
        event in vars(callback) or getattr(type(callback), event) is not getattr(keras.callbacks.Callback, event)
        for callback in callbacks.callbacks
        for event in events
    )


def forget_unknown(callbacks: keras.callbacks.CallbackList) -> None:
    """Lets Keras's monitors begin anew where what they have taken for the best value so far is NaN.

    Before the first episode or update ends there is no value. A monitor takes the first one that it sees, and nothing is
    better than NaN.
    """
    for callback in callbacks.callbacks:
        if isinstance(callback, _MONITORS) and isinstance(callback.best, float) and math.isnan(callback.best):
            callback.best = None


def agent_of(callback: keras.callbacks.Callback) -> Any:
    """The agent that a callback was given to.

    Raises:
        TypeError: Its model is no agent of kagent.
    """
    if not is_agent_class(type(callback.model)):
        raise TypeError(f"{type(callback).__name__} needs a kagent agent. Received: a {type(callback.model).__name__}")
    return callback.model
