"""The episodes that a program plays by itself with `act` and `observe`, and the way of their timesteps into the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kagent.acting.episode_states import EpisodeStates, states_of
from kagent.memories.compatibility import is_made_for
from kagent.specifications import mask_name
from kagent.training.episode_streams import Acted, EpisodeStreams, OrderError
from kagent.training.update_cycle import update_once

if TYPE_CHECKING:
    from kagent.agent import Agent
    from kagent.spaces import Structure


class InteractionLoop:
    """The episode streams of `act` and `observe`, and the way of their timesteps into the memory.

    Args:
        count: Streams.
        observation: Leaves of the environment's observations.
        action: Leaves of its actions.

    Attributes:
        streams: The open episodes.
        continued: Whether the next timestep follows those in the memory; False after a `fit`, which left its own there.
    """

    def __init__(self, count: int, observation: Structure, action: Structure):
        self.streams = EpisodeStreams(count)
        self.continued = False
        self._action = action
        self._keys = {leaf.path[0] for leaf in observation.leaves if leaf.path}
        self._mask_names = [mask_name(leaf.name) for leaf in action.leaves if leaf.is_discrete]

    def leave(self) -> bool:
        """Gives the open episodes up, because a `fit` begins. Returns `continued` as it was."""
        before, self.continued = self.continued, False
        self.streams = EpisodeStreams(len(self.streams))
        return before

    def follow(self, memory: Any) -> None:
        """The next timestep in `memory` is of these streams: where others were before, their episodes are cut off."""
        if not self.continued:
            memory.cut_episodes(range(memory.num_envs))
            memory.set_num_envs(len(self.streams))
            self.continued = True

    def split_masks(self, observation: dict[str, Any], mask: Any) -> tuple[Any, Any]:
        """The observation without Tensorforce's masks, and the mask."""
        found = [name for name in self._mask_names if name in observation and name not in self._keys]
        if not found:
            return observation, mask
        rest = {key: value for key, value in observation.items() if key not in found}
        if mask is not None:
            raise ValueError(f"`mask` is given twice: in `observation` as {found}, and by itself")
        parts = [observation.get(mask_name(leaf.name)) if leaf.is_discrete else None for leaf in self._action.leaves]
        return rest["state"] if not self._keys else rest, self._action.unflatten(parts)

    def explore(self, agent: Agent, raw: list[np.ndarray], masks: Any, index: int) -> Any:
        """The exploring action of a stream, whose outcome `observe` will give."""
        agent._occupation.refuse("act")
        stream = self.streams.streams[index]
        if stream.acted is not None:
            raise OrderError(
                "`act` was called twice without `observe`: observe first where the last action led, or act with "
                "independent=True, which is not remembered"
            )
        agent._own_callbacks.begin(agent)
        if stream.waiting is not None:
            acted, reward = stream.waiting
            stream.waiting = None
            self.remember(agent, index, acted, reward, (False, False), raw, masks)
            self.learn(agent)
        leaves = agent._adapter.see(raw, True, index)
        states = self.states(agent, index)
        actor = agent.actor if states is None else states
        action = agent.explorer.decide(actor, leaves, masks, agent._clock.training(), agent._random["act"])
        if states is not None:
            states.see(leaves, masks)
        # Copies: some environments change the arrays they gave in place.
        kept = None if masks is None else [None if m is None else m.copy() for m in masks]
        seen = [leaf.copy() for leaf in leaves]
        known = () if states is None else states.state
        stream.acted = Acted(seen, action, kept, seen if raw is leaves else [leaf.copy() for leaf in raw], known)
        return agent.actor.release(action)

    def states(self, agent: Agent, index: int) -> EpisodeStates | None:
        """The agent's actor with its state in a stream; None where it has none."""
        stream = self.streams.streams[index]
        if stream.states is None:
            stream.states = states_of(agent.actor, 1)
        return stream.states

    def remember(
        self,
        agent: Agent,
        index: int,
        acted: Acted,
        raw_reward: float,
        ends: tuple[bool, bool],
        raw_successor: list[np.ndarray] | None,
        next_mask: Any,
    ) -> None:
        """Hands a timestep of a stream to the memory and the agent's own callbacks.

        `raw_successor` None: an end whose observation is not known. It is worth nothing, so any will do in its place.
        """
        reward, successor = agent._adapter.advance(raw_reward, raw_successor, any(ends), index)
        if successor is None:
            successor = acted.observation
        count, masked, memory = len(self.streams), acted.mask is not None, agent.memory
        if not is_made_for(memory, count, masked):
            memory.build(agent._observation, agent._action, masked=masked, num_envs=count)
        self.follow(memory)
        flags = (np.asarray([flag]) for flag in ends)
        row = (
            acted.observation,
            acted.action,
            np.asarray([reward]),
            *flags,
            successor,
            acted.mask,
            next_mask,
            None,
            acted.state,
        )
        self.streams.put(index, memory, row)
        if agent._own_callbacks:
            known = raw_successor is not None
            raw = (acted.raw, np.asarray([raw_reward]), raw_successor if known else acted.raw)
            agent._own_callbacks.timestep_end(agent, index, row, raw, known)

    def learn(self, agent: Agent) -> dict[str, float] | None:
        """Makes the updates that are due. Returns the logs of the last one, or None."""
        logs = None
        while True:
            moved = self.streams.drain(agent.memory)
            if agent._update_cycle.is_due(agent):
                logs = update_once(agent, due=True)
            elif not moved:
                return logs
