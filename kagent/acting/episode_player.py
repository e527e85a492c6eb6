"""Whole episodes, observation by observation, with the state that an actor carries through them."""

from __future__ import annotations

from typing import Any

from kagent.acting.episode_states import states_of


class EpisodePlayer:
    """Acts through episodes with an actor's state in them: that of a recurrent network, or noise that stays for some timesteps.

    Of an actor without a state it does what `Actor.act` does. One player belongs to one episode at a time, and to one thread;
    several of them may share an actor.

    Args:
        actor: A `kagent.acting.Actor`.

    Example:

    >>> actor = kagent.acting.load("agent.keras")
    >>> player = actor.player()
    >>> observation, info = env.reset()
    >>> player.reset()
    >>> action = player.act(observation)
    """

    def __init__(self, actor: Any):
        self._actor = actor
        self.reset()

    def reset(self) -> None:
        """What comes next is an episode's first observation."""
        self._states = states_of(self._actor, 1)

    def act(self, observation: Any, deterministic: bool = True, mask: Any = None) -> Any:
        """The action for the episode's next observation.

        Args:
            observation, deterministic, mask: As for `Actor.act`.

        Raises:
            ValueError: As `Actor.act`. The state is then as it was before.
        """
        if self._states is None:
            return self._actor.act(observation, deterministic, mask)
        leaves, masks = self._actor.read(observation, mask)
        action = self._states.decide(leaves, masks, deterministic)
        self._states.advance()
        return self._actor.release(action)
