"""act and observe, for programs that own their loop: robots, simulators, services."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.memories import Rollout
from kagent.mixin import Mixin


class Interaction(Mixin):
    """The part of an agent that acts one observation at a time. A mixin of `Agent`."""

    def _begin_interaction(self) -> None:
        self._pending: tuple[list, list, Any] | None = None
        self._own_loop = False  # whether what is observed follows what was observed before
        self._iterating: tuple[Any, Any, int, Any] | None = None

    def act(self, observation: Any, deterministic: bool = False, mask: Any = None) -> Any:
        """The action for one observation.

        Args:
            observation: One observation, not a batch, as the environment gives it.
            deterministic: True: the best action; nothing is remembered. False: an exploring action, as in training;
                `observe` then tells what came of it. With `preprocessing`, a deterministic act is about the open episode of
                the exploring ones, without one about an episode's first observation; see `player`.
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
        if deterministic and self.preprocessing is None:
            return self.actor.act(observation, True, mask)
        leaves, masks = self._read(observation, mask)
        leaves = self._see(leaves, learn=not deterministic)
        if deterministic:
            return self.actor.answer(leaves, masks, True)
        action = self.explorer.decide(self.actor, leaves, masks, self.host_clock, self.act_generator)
        # Copies: some environments change the arrays they gave in place.
        kept = None if masks is None else [None if m is None else m.copy() for m in masks]
        self._pending = ([leaf.copy() for leaf in leaves], action, kept)
        return self.actor.release(action)

    def observe(
        self, reward: float, terminated: bool, truncated: bool, next_observation: Any, mask: Any = None
    ) -> dict[str, float] | None:
        """Tells what the last exploring action led to, and learns where an update is due.

        There is no bound here that schedules could measure progress by: give those of exploration and learning rates
        their length in timesteps or updates.

        Args:
            reward: The reward, finite.
            terminated: Whether the episode came to its end; no reward follows.
            truncated: Whether it was cut off; rewards would have followed.
            next_observation: The observation the action led to, also at an end.
            mask: What is allowed there; not read where `terminated` is true.

        Returns:
            The logs of the update, or None if none was due.

        Raises:
            RuntimeError: There was no `act(..., deterministic=False)` before it.
            ValueError: A reward or observation that is not finite or unlike the space; a mask here and none in `act`,
                or the other way round.
        """
        if self._pending is None:
            raise RuntimeError("`observe` follows `act(observation)`; there is no action to observe the outcome of")
        reward = float(reward)
        if not np.isfinite(reward):
            raise ValueError(f"`reward` must be finite. Received: {reward}")
        successor, next_mask = self._read(next_observation, mask, last=bool(terminated))
        observation, action, masks = self._pending
        if (masks is None) != (next_mask is None) and not terminated:
            given = ("without", "with") if masks is None else ("with", "without")
            raise ValueError(
                f"`mask` must be given always or never. Received: `act` {given[0]} and `observe` {given[1]} it"
            )
        reward, successor = self._advance(reward, successor, bool(terminated or truncated))
        self._pending = None
        if not self._fits_memory(1, masks is not None):
            self.memory.build(self._observation, self._action, masked=masks is not None, num_envs=1)
        elif not self._own_loop and isinstance(self.memory, Rollout):
            self.memory.interrupt([0])  # what `fit` left there is of another episode
        self._own_loop = True
        flags = np.asarray([bool(terminated)]), np.asarray([bool(truncated)])
        self.memory.append_leaves(
            observation, action, np.asarray([reward]), *flags, successor, None, masks, next_mask
        )  # fmt: skip
        self.counters.timesteps += 1
        if terminated or truncated:
            self.counters.episodes += 1
        if not self._is_due():
            return None
        return self._learn_once(due=True)

    def update(self) -> dict[str, float]:
        """Makes one update now, due or not: the only ones there are with `update.frequency="never"`.

        In a callback of `fit` too. The updates that are due by themselves stay where they are.

        Returns:
            The logs of the update.

        Raises:
            RuntimeError: There is nothing to learn from yet: an empty replay memory, a rollout that is not full.

        Example:

        >>> agent = kagent.DQN("CartPole-v1", frequency="never")
        >>> history = agent.fit("CartPole-v1", steps=100, verbose=0)
        >>> logs = agent.update()
        """
        memory = self.memory
        ready = memory.built and (memory.is_full if isinstance(memory, Rollout) else len(memory) > 0)
        if not ready:
            lacking = "a full rollout" if isinstance(memory, Rollout) else "a memory with experience"
            raise RuntimeError(f"`update` needs {lacking}; let the agent collect first. Received: {memory!r}")
        return self._learn_once(due=False)

    def _learn_once(self, due: bool) -> dict[str, float]:
        self.make_train_function()
        runner = self._runner
        iterator = self._own_iterator() if runner is None else runner.iterator
        self._before_update()
        logs = self.train_function(iterator)
        self._after_update(due)
        if runner is None:
            self._iterating = (self.train_function, self.memory.storage, self.counters.drawn, iterator)
        else:
            runner.asked.append(logs)
        return logs

    def _own_iterator(self) -> Any:
        # The last one serves again, unless the agent was compiled, loaded or trained in between.
        if self._iterating is not None:
            learner, storage, drawn, iterator = self._iterating
            if learner is self.train_function and storage is self.memory.storage and drawn == self.counters.drawn:
                return iterator
        return self.fresh_iterator()
