"""Whole episodes, observation by observation, that nothing is learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.acting.episode_states import states_of


class Player:
    """Acts through episodes in a loop of the user's own, with an episode's preprocessing and the actor's state in it, and leaves
    the agent as it is.

    Args:
        agent: Who acts; its weights and statistics as they are at each act.

    Example:

    >>> player = agent.player()
    >>> player.reset()
    >>> action = player.act(observation)
    """

    def __init__(self, agent: Any):
        self._agent = agent
        self.reset()

    def reset(self) -> None:
        """What comes next is an episode's first observation."""
        made = self._agent.preprocessing
        self._past, self._fresh = [] if made is None else made.begin(1), np.ones(1, bool)
        self._states = states_of(self._agent.actor, 1)

    def act(self, observation: Any, deterministic: bool = True, mask: Any = None) -> Any:
        """The action for the episode's next observation.

        Args:
            observation, mask: As for `agent.act`.
            deterministic: The best action instead of a sample. Exploration (epsilon) is never applied.

        Raises:
            ValueError: As `agent.act`.
        """
        agent, made = self._agent, self._agent.preprocessing
        leaves, masks = agent._adapter.read(agent.actor, observation, mask)
        if made is not None:
            leaves = made.stored(made.observation(leaves, self._past, slice(None), self._fresh, False))
            self._fresh = np.zeros(1, bool)
        if self._states is None:
            return agent.actor.answer(leaves, masks, deterministic)
        action = self._states.decide(leaves, masks, deterministic)
        self._states.advance()
        return agent.actor.release(action)


def player(agent: Any) -> Player:
    """Acts through whole episodes one observation at a time, where nothing is to be learned.

    With `preprocessing` that remembers an episode, it takes the place of deterministic acts: `player.reset()` says that one
    begins.
    """
    return Player(agent)
