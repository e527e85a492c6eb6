"""What kagent's callbacks get of the timesteps and episodes of a `fit`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kagent.callbacks.callback import Callback
from kagent.training.collector import Episode, Timestep


class EpisodeEvents:
    """Calls `on_timestep_end`, `on_episode_end` and `on_episode_begin`.

    Args:
        hooks: kagent's callbacks of the `fit`.
        deferred: Whether ends and begins of episodes wait until `call_ends` and `call_begins`, of a `fit` whose epochs are
            episodes; else callbacks are called where they happen.

    Attributes:
        watched: Whether a callback overrides `on_timestep_end`.
    """

    def __init__(self, hooks: Iterable[Callback], deferred: bool):
        hooks = list(hooks)
        self._timestep_hooks = [hook for hook in hooks if hook.overrides("on_timestep_end")]
        self._begin_hooks = [hook for hook in hooks if hook.overrides("on_episode_begin")]
        self._end_hooks = [hook for hook in hooks if hook.overrides("on_episode_end")]
        self.watched = bool(self._timestep_hooks)
        self._deferred = deferred
        self._begun: list[tuple[int, int]] = []  # number and environment
        self._ended: list[tuple[int, dict[str, Any]]] = []

    def start(self, number: int, environments: Iterable[int]) -> None:
        """The training begins with new episodes, the next of which has this number, in these environments."""
        self._begun = [(number, int(index)) for index in environments]
        if not self._deferred:
            self.call_begins()

    def begun_anew(self, number: int, environments: Iterable[int]) -> None:
        """Open episodes of these environments were given up, and others began, the next of which has this number."""
        self._begun += [(number, int(index)) for index in environments]
        if not self._deferred:
            self.call_begins()

    def timestep_end(self, timesteps: int, timestep: Timestep) -> None:
        """The event of one step of all environments; `timesteps` counts it."""
        outcome = timestep.outcome
        logs = {
            "observation": timestep.observation, "action": timestep.taken, "next_observation": outcome.next_observation,
            "reward": outcome.reward.copy(), "terminated": outcome.terminated.copy(),
            "truncated": outcome.truncated.copy(), "valid": outcome.valid.copy(),
            "action_mask": timestep.mask, "next_action_mask": outcome.next_mask,
            "raw_observation": timestep.raw_observation, "raw_next_observation": outcome.raw_next_observation,
            "raw_reward": outcome.raw_reward.copy(),
        }  # fmt: skip
        for hook in self._timestep_hooks:
            hook.on_timestep_end(timesteps, logs)

    def episodes_ended(self, first: int, ended: Iterable[tuple[int, Episode]]) -> None:
        """Episodes ended, and others began in their environments.

        Args:
            first: Number of the first of them.
            ended: The environment of each, and the episode.
        """
        for number, (index, episode) in enumerate(ended, first):
            self._ended.append((number, {**episode.logs(), "env": index}))
            self._begun.append((number + 1, index))
            if not self._deferred:
                self.call_ends()
                self.call_begins()

    def call_ends(self) -> None:
        """Calls `on_episode_end` for the episodes that have ended since."""
        ended, self._ended = self._ended, []
        for number, logs in ended:
            for hook in self._end_hooks:
                hook.on_episode_end(number, dict(logs))

    def call_begins(self) -> None:
        """Calls `on_episode_begin` for the episodes that have begun since."""
        begun, self._begun = self._begun, []
        for hook in self._begin_hooks:
            for number, index in begun:
                hook.on_episode_begin(number, {"env": index})
