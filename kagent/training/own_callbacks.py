"""Callbacks that belong to an agent, given with its other arguments: saver, summarizer and recorder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from kagent import callbacks
from kagent.callbacks.backups import mend_backups, weights_of_backups
from kagent.callbacks.callback import check_events, check_of_keras, listed
from kagent.memories.transition import each_array

_CLASSES = {"saver": "Checkpoint", "summarizer": "Summarizer", "recorder": "Recorder"}


class Counts(NamedTuple):
    """How far an agent was: `timesteps`, `episodes`, and `updates` in gradient steps."""

    timesteps: int = 0
    episodes: int = 0
    updates: int = 0


def counts_of(agent: Any) -> Counts:
    """How far an agent is now."""
    return Counts(agent.timesteps, agent.episodes, agent.updates)


class OwnCallbacks:
    """Saver, summarizer and recorder of one agent, in its `fit` and in loops of the user's own.

    `fit` calls them as it calls the callbacks that are given to it. A loop of the user's own has the events of timesteps,
    episodes and updates: training begins there with the first exploring `act`, `experience` or `update`, and ends with
    `close()`, or with a `fit`. Episodes that `experience` takes were played elsewhere, and are not recorded again.

    Args:
        saver, summarizer, recorder: As of `Agent`; None: there is none.

    Attributes:
        by_name: The callbacks that there are, by the names of these arguments.
        in_loop: Whether they are in the training of a loop of the user's own.
        counted_from: How far the agent was before its saver restored it, until the next `fit`, which counts from there; or
            None.
    """

    def __init__(self, saver: Any = None, summarizer: Any = None, recorder: Any = None):
        given = {"saver": saver, "summarizer": summarizer, "recorder": recorder}
        self.by_name: dict[str, Any] = {}
        for name, value in given.items():
            kind = getattr(callbacks, _CLASSES[name])
            if value is not None:
                self.by_name[name] = value if isinstance(value, kind) else kind.from_spec(value)
        self.in_loop = False
        self.counted_from: Counts | None = None

    def __len__(self) -> int:
        return len(self.by_name)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.by_name.values())

    def restore(self, agent: Any) -> None:
        """Loads what the saver's `load` names into a new agent."""
        saver = self.by_name.get("saver")
        if saver is None:
            return
        before, newest = counts_of(agent), saver.newest
        saver.restore(agent)
        if saver.newest is not newest:
            self.counted_from = before

    def joined(self, agent: Any, given: Any) -> Any:
        """These callbacks before those given to `fit`, in a list; or within the `CallbackList` that was given."""
        mend_backups(given)
        agent._files.folders.use_for(weights_of_backups(given))
        if not isinstance(given, keras.callbacks.CallbackList):
            own = listed(given)
            check_of_keras(own, agent.minimizer.scheduled, agent.metrics)
            return [*self, *own]
        check_events(given.callbacks)
        check_of_keras(given.callbacks, agent.minimizer.scheduled, agent.metrics)
        for callback in self:
            if callback not in given.callbacks:
                callback.set_model(agent)
                callback.set_params(given.params)
                given.append(callback)
        return given

    # Loops of the user's own -----------------------------------------------------------------------------------

    def begin(self, agent: Any) -> None:
        """Begins training, unless it has begun."""
        if self.in_loop or not self.by_name:
            return
        self.in_loop, self.counted_from = True, None
        for callback in self:
            callback.set_model(agent)
            callback.set_params({"steps": None, "epochs": 1, "verbose": 0})
            callback.on_train_begin()
            callback.on_epoch_begin(0)
            for index in range(agent.parallel_interactions):
                callback.on_episode_begin(agent.episodes, {"env": index})

    def end(self) -> None:
        """Ends training, if it has begun."""
        if self.in_loop:
            self.in_loop = False
            for callback in self:
                callback.on_train_end()

    def timestep_end(
        self,
        agent: Any,
        index: int,
        row: Sequence[Any],
        raw: Sequence[Any],
        next_observed: bool = True,
        played: bool = False,
    ) -> None:
        """The event of one timestep.

        Args:
            agent: Whose.
            index: Of the stream.
            row: The transition as `EpisodeStreams.put` takes it, `(1, ...)` each.
            raw: Observation, reward and next observation before preprocessing, `(1, ...)` each.
            next_observed: Whether the next observation is known.
            played: Whether the timestep was played elsewhere.
        """
        watching = [callback for callback in self._called(played) if callback.overrides("on_timestep_end")]
        if not watching:
            return
        count = agent.parallel_interactions
        if count > 1:  # as of so many environments, of which the others did nothing
            row, raw = (tuple(each_array(p, lambda x: np.repeat(x, count, axis=0)) for p in ps) for ps in (row, raw))
        observation, action, reward, terminated, truncated, successor, mask, next_mask = row[:8]
        valid = np.arange(count) == index
        logs = {
            "observation": observation, "action": agent.actor.to_env(action), "next_observation": successor,
            "reward": reward * valid, "terminated": terminated & valid, "truncated": truncated & valid, "valid": valid,
            "action_mask": mask, "next_action_mask": next_mask, "raw_observation": raw[0],
            "raw_reward": raw[1] * valid, "raw_next_observation": raw[2], "next_observed": valid & next_observed,
        }  # fmt: skip
        for callback in watching:
            callback.on_timestep_end(agent.timesteps, logs)

    def episode_end(self, agent: Any, outcome: dict[str, Any], played: bool = False) -> None:
        """The events of the end of an episode and of the beginning of the next.

        Args:
            agent: Whose.
            outcome: `episode_return`, `episode_length` and `env`.
            played: Whether the episode was played elsewhere.
        """
        for callback in self._called(played):
            callback.on_episode_end(agent.episodes - 1, dict(outcome))
            callback.on_episode_begin(agent.episodes, {"env": outcome["env"]})

    def update_begin(self, agent: Any) -> None:
        """The event before an update."""
        for callback in self:
            callback.on_update_begin(agent.updates, {})

    def update_end(self, agent: Any, logs: dict[str, float]) -> None:
        """The event after an update with these logs."""
        for callback in self:
            callback.on_update_end(agent.updates, dict(logs))

    def _called(self, played: bool) -> Iterable[Any]:
        return [callback for name, callback in self.by_name.items() if not (played and name == "recorder")]


def close(agent: Any) -> None:
    """Ends the training that the agent's own saver, summarizer and recorder are in, in a loop of the user's own.

    A last checkpoint is saved and event files are closed. Nothing happens where there is none, or twice; the agent
    goes on if it is used again.

    Raises:
        RuntimeError: A `fit` of the agent is under way.
    """
    agent._occupation.refuse("close")
    agent._own_callbacks.end()
