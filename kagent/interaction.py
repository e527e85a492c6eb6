"""act and observe, for programs that own their loop: robots, simulators, services."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.mixin import Mixin


class Interaction(Mixin):
    """The part of an agent that acts one observation at a time. A mixin of `Agent`."""

    def _begin_interaction(self) -> None:
        self._pending: tuple[list, list, Any] | None = None
        self._iterating: Any = None

    def act(self, observation: Any, deterministic: bool = False, mask: Any = None) -> Any:
        """The action for one observation.

        Args:
            observation: One observation, not a batch, as the environment gives it.
            deterministic: True: the best action; nothing is remembered. False: an exploring action, as in training;
                `observe` then tells what came of it.
            mask: What is allowed, as the environment gives it (`info["action_mask"]`).

        Returns:
            One action, as the environment takes it.

        Raises:
            ValueError: An observation unlike the observation space, or not finite; a mask that allows nothing.

        Example:

        >>> action = agent.act(observation)
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> agent.observe(reward, terminated, truncated, observation)
        """
        if deterministic:
            return self.actor.act(observation, True, mask)
        leaves, masks = self.actor.read(observation, mask)
        action = self.exploration.decide(self.actor, leaves, masks, self.host_clock, self.act_generator)
        self._pending = (leaves, action, masks)
        return self.actor.release(action)

    def observe(
        self, reward: float, terminated: bool, truncated: bool, next_observation: Any, mask: Any = None
    ) -> dict[str, float] | None:
        """Tells what the last exploring action led to, and learns where an update is due.

        Args:
            reward: The reward, finite.
            terminated: Whether the episode came to its end; no reward follows.
            truncated: Whether it was cut off; rewards would have followed.
            next_observation: The observation the action led to, also at an end.
            mask: What is allowed there.

        Returns:
            The logs of the update, or None if none was due.

        Raises:
            RuntimeError: There was no `act(..., deterministic=False)` before it.
            ValueError: A reward or observation that is not finite or unlike the space.
        """
        if self._pending is None:
            raise RuntimeError("`observe` follows `act(observation)`; there is no action to observe the outcome of")
        reward = float(reward)
        if not np.isfinite(reward):
            raise ValueError(f"`reward` must be finite. Received: {reward}")
        successor, next_mask = self.actor.read(next_observation, mask)
        observation, action, masks = self._pending
        self._pending = None
        if not self._fits_memory(1, masks is not None):
            self.memory.build(self._observation, self._action, masked=masks is not None, num_envs=1)
        flags = np.asarray([bool(terminated)]), np.asarray([bool(truncated)])
        self.memory.append_leaves(
            observation, action, np.asarray([reward]), *flags, successor, None, masks, next_mask
        )  # fmt: skip
        self.counters.timesteps += 1
        if terminated or truncated:
            self.counters.episodes += 1
        if not self._is_due():
            return None
        self.make_train_function()
        if self._iterating is None or self._iterating[0] is not self.train_function:
            self._iterating = (self.train_function, self._iterator())
        self._before_update()
        logs = self.train_function(self._iterating[1])
        self._after_update()
        return logs
