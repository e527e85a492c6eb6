"""Polyaxon's environment: a gymnasium environment that keeps to its words."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np

from kagent import environments


class EnvSpec(NamedTuple):
    """What `GymEnvironment.reset` and `step` return: a transition, `action` and `state` None after a reset.

    `done` says that the episode ended, `terminated` that it did so by itself: a time limit is no such end.
    """

    action: Any
    state: Any
    reward: float
    done: bool
    next_state: Any
    terminated: bool = False

    def items(self) -> Any:
        """Pairs of names and values."""
        return self._asdict().items()

    def to_dict(self) -> dict[str, Any]:
        """As a dict."""
        return self._asdict()


class GymEnvironment(gymnasium.Wrapper):
    """A gymnasium environment under Polyaxon's names. Agents take it, and as well the id or the environment itself.

    Args:
        env_id: An id that `gymnasium.make` knows, or a `gymnasium.Env`.
        **kwargs: For `gymnasium.make`.

    Attributes:
        num_states: Numbers in one observation.
        num_actions: Choices of a Discrete action, or numbers in one of a Box.
        is_continuous: Whether actions are a Box.

    Raises:
        TypeError, ValueError: Neither id nor environment; an unknown id; a nested space.

    Example:

    >>> env = GymEnvironment("CartPole-v1")
    >>> env.num_states, env.num_actions, env.is_continuous
    (4, 2, False)
    >>> first = env.reset(return_spec=True, seed=0)
    >>> env.step(1, first.next_state).reward
    1.0
    >>> env.close()
    """

    def __init__(self, env_id: Any, **kwargs: Any):
        if not isinstance(env_id, str | gymnasium.Env):
            raise TypeError(f"`env_id` must be an id or a gymnasium.Env. Received: {env_id!r}")
        if kwargs and not isinstance(env_id, str):
            raise ValueError(f"Arguments are for an id, not for an environment. Received: {sorted(kwargs)}")
        super().__init__(environments.make_id(env_id, **kwargs) if isinstance(env_id, str) else env_id)
        self.env_id = env_id if isinstance(env_id, str) else getattr(self.env.spec, "id", None)
        self.num_states, self.num_actions = _size(self.observation_space), _size(self.action_space)
        self.is_continuous = isinstance(self.action_space, gymnasium.spaces.Box)
        self._closed = False

    def reset(self, *, return_spec: bool = False, **kwargs: Any) -> Any:
        """Begins an episode: gymnasium's `(observation, info)`, or an `EnvSpec`."""
        observation, info = self.env.reset(**kwargs)
        return EnvSpec(None, None, 0.0, False, observation) if return_spec else (observation, info)

    def step(self, action: Any, state: Any = None, return_spec: bool | None = None) -> Any:
        """Takes a step.

        Args:
            action: What to do. That of a batch of one counts as its only one.
            state: Where: the last `next_state`.
            return_spec: Whether to return an `EnvSpec`, not gymnasium's tuple; None: where `state` is given.
        """
        if np.shape(action) == (1, *(self.action_space.shape or ())):
            action = action[0]
        observation, reward, terminated, truncated, info = self.env.step(action)
        if not (state is not None if return_spec is None else return_spec):
            return observation, reward, terminated, truncated, info
        ended = bool(terminated or truncated)
        return EnvSpec(action, state, float(reward), ended, observation, bool(terminated))

    def close(self) -> None:
        """Ends the environment; more than once does no harm."""
        if not self._closed:
            self._closed = True
            self.env.close()


def _size(space: gymnasium.Space) -> int:
    if space.shape is None:
        raise ValueError(f"A nested space has no size. Received: {space}")
    return int(space.n) if isinstance(space, gymnasium.spaces.Discrete) else int(np.prod(space.shape))
