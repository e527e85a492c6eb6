"""Callbacks that belong to an agent, given with its other arguments: saver, summarizer and recorder."""

from __future__ import annotations

import functools
import warnings
from typing import Any, NamedTuple

import keras
import numpy as np

from kagent import callbacks
from kagent.callbacks.backups import mend_backups
from kagent.callbacks.callback import listed
from kagent.learning.minimizer import Optimization
from kagent.memories.transition import each_array
from kagent.mixin import Mixin

_as_documented: Any = functools.wraps(Optimization.compile)  # its signature and its docstring


class Counts(NamedTuple):
    """How far an agent was: `timesteps`, `episodes`, and `updates` in gradient steps."""

    timesteps: int = 0
    episodes: int = 0
    updates: int = 0


class Attachments(Mixin):
    """The part of an agent that has callbacks of its own. A mixin of `Agent`.

    They hear what callbacks given to `fit` hear, in every `fit`. In loops of the user's own they hear timesteps, episodes
    and updates; their training begins there with the first exploring `act`, `experience` or `update`, and ends with
    `close()`, or with a `fit`. What `experience` takes in was played elsewhere, and is not recorded once more.
    """

    def _attach(self, saver: Any, summarizer: Any, recorder: Any) -> None:
        kinds = {
            "saver": (saver, "Checkpoint"),
            "summarizer": (summarizer, "Summarizer"),
            "recorder": (recorder, "Recorder"),
        }
        # In a dict: Keras goes through lists that are attributes of models.
        self._attached = {
            name: given if isinstance(given, getattr(callbacks, kind)) else getattr(callbacks, kind).from_spec(given)
            for name, (given, kind) in kinds.items()
            if given is not None
        }
        self._hearing = False
        self._counted_from: Counts | None = None

    def _restore_attached(self) -> None:
        """Has a new agent begin with what its saver's `load` says."""
        saver = self._attached.get("saver")
        if saver is None:
            return
        before, newest = self._counts(), saver.newest
        saver.restore(self)
        if saver.newest is not newest:
            self._counted_from = before

    def _counts(self) -> Counts:
        return Counts(self.timesteps, self.episodes, self.updates)

    @_as_documented
    def compile(self, *args: Any, **kwargs: Any) -> None:
        # The optimizer of an agent whose saver has just restored it begins with the restored state.
        restored = self.optimizer if vars(self).get("_counted_from") is not None else None
        super().compile(*args, **kwargs)
        if restored is None:
            return
        pairs = list(zip(restored.variables, self.optimizer.variables))
        if len(restored.variables) == len(self.optimizer.variables) and all(a.shape == b.shape for a, b in pairs):
            for old, new in pairs:
                new.assign(old)
        else:
            warnings.warn(
                "The optimizer given to `compile` is of another kind than that of the checkpoint which the saver restored: "
                "its state begins anew",
                stacklevel=2,
            )

    def _with_attached(self, callbacks: Any) -> Any:
        """What is given to `fit`, with the agent's own."""
        self.close()
        mend_backups(callbacks)
        own = list(self._attached.values())
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for callback in own:
                if callback not in callbacks.callbacks:
                    callback.set_model(self)
                    callback.set_params(callbacks.params)
                    callbacks.append(callback)
            return callbacks
        return [*own, *listed(callbacks)]

    def close(self) -> None:
        """Ends what the agent's own saver, summarizer and recorder began in a loop of the user's own.

        A last checkpoint is saved and event files are closed. Nothing happens where there is none, or twice; the agent
        goes on if it is used again.

        Raises:
            RuntimeError: A `fit` of the agent is under way.
        """
        self.occupation.refuse("close")
        if self._hearing:
            self._hearing = False
            for callback in self._attached.values():
                callback.on_train_end()

    def _begin_attached(self) -> None:
        if self._hearing or not self._attached:
            return
        self._hearing = True
        self._counted_from = None
        for callback in self._attached.values():
            callback.set_model(self)
            callback.set_params({"steps": None, "epochs": 1, "verbose": 0})
            callback.on_train_begin()
            callback.on_epoch_begin(0)
            for index in range(self.parallel_interactions):
                callback.on_episode_begin(self.episodes, {"env": index})

    def _hooks(self, played: bool) -> list[Any]:
        # Of a step of the agent's own, or of one that was played elsewhere.
        return [hook for name, hook in self._attached.items() if not (played and name == "recorder")]

    def _tell_step(self, index: int, row: tuple, raw: tuple, next_observed: bool = True, played: bool = False) -> None:
        hooks = [hook for hook in self._hooks(played) if hook.watches("on_timestep_end")]
        if not hooks:
            return
        count = self.parallel_interactions
        if count > 1:  # as of so many environments, of which the others did nothing
            row, raw = (tuple(each_array(p, lambda x: np.repeat(x, count, axis=0)) for p in ps) for ps in (row, raw))
        observation, action, reward, terminated, truncated, successor, mask, next_mask = row[:8]
        valid = np.arange(count) == index
        logs = {
            "observation": observation, "action": self.actor.to_env(action), "next_observation": successor,
            "reward": reward * valid, "terminated": terminated & valid, "truncated": truncated & valid, "valid": valid,
            "action_mask": mask, "next_action_mask": next_mask, "raw_observation": raw[0],
            "raw_reward": raw[1] * valid, "raw_next_observation": raw[2], "next_observed": valid & next_observed,
        }  # fmt: skip
        for hook in hooks:
            hook.on_timestep_end(self.timesteps, logs)

    def _tell_episode(self, outcome: dict[str, Any], played: bool = False) -> None:
        for hook in self._hooks(played):
            hook.on_episode_end(self.episodes - 1, dict(outcome))
            hook.on_episode_begin(self.episodes, {"env": outcome["env"]})

    def _tell_update(self, logs: dict[str, float]) -> None:
        for hook in self._attached.values():
            hook.on_update_end(self.updates, dict(logs))
