"""Polyaxon's environment: a gymnasium environment that keeps to its words."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np

from kagent import environments


class EnvSpec(NamedTuple):
    """What `GymEnvironment.reset` and `step` return.

    Attributes:
        action: What was done, None after a reset.
        state: Where, None after a reset.
        reward: What it gave.
        done: Whether the episode ended, terminated or truncated.
        next_state: Where it led.
        terminated: Whether it came to its own end: no reward follows. A time limit is none.
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

    As an environment of gymnasium's it steps with an action alone; given the state, too, or `return_spec`, it returns an
    `EnvSpec` as Polyaxon's did.

    Args:
        env_id: An id that `gymnasium.make` knows, or a `gymnasium.Env`.
        **kwargs: For `gymnasium.make`.

    Raises:
        TypeError: Neither id nor environment.
        ValueError: An unknown id.

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
        if isinstance(env_id, gymnasium.Env):
            if kwargs:
                raise ValueError(f"Arguments are for an id, not for an environment. Received: {sorted(kwargs)}")
            env = env_id
        elif isinstance(env_id, str):
            env = environments.make_id(env_id, **kwargs)
        else:
            raise TypeError(f"`env_id` must be an id or a gymnasium.Env. Received: {env_id!r}")
        super().__init__(env)
        self.env_id = env_id if isinstance(env_id, str) else getattr(env.spec, "id", None)
        self._closed = False

    @property
    def num_states(self) -> int:
        """Numbers in one observation.

        Raises:
            ValueError: The observation space is nested.
        """
        return _size(self.observation_space, "observation")

    @property
    def num_actions(self) -> int:
        """Choices of a Discrete action, or numbers in one of a Box.

        Raises:
            ValueError: The action space is nested.
        """
        return _size(self.action_space, "action")

    @property
    def is_continuous(self) -> bool:
        """Whether actions are a Box."""
        return isinstance(self.action_space, gymnasium.spaces.Box)

    def reset(self, *, return_spec: bool = False, seed: int | None = None, options: Any = None) -> Any:
        """Begins an episode: gymnasium's `(observation, info)`, or an `EnvSpec`."""
        observation, info = self.env.reset(seed=seed, options=options)
        return EnvSpec(None, None, 0.0, False, observation) if return_spec else (observation, info)

    def step(self, action: Any, state: Any = None, return_spec: bool | None = None) -> Any:
        """Takes a step.

        Args:
            action: What to do. That of a batch of one counts as its only one.
            state: Where: the last `next_state`.
            return_spec: Whether to return an `EnvSpec`; None: where `state` is given.

        Returns:
            Gymnasium's `(observation, reward, terminated, truncated, info)`, or an `EnvSpec`.
        """
        shape = np.shape(action) if self.action_space.shape is not None else None
        if shape is not None and shape == (1, *self.action_space.shape):
            action = action[0]
        observation, reward, terminated, truncated, info = self.env.step(action)
        if return_spec is None:
            return_spec = state is not None
        if not return_spec:
            return observation, reward, terminated, truncated, info
        ended = bool(terminated or truncated)
        return EnvSpec(action, state, float(reward), ended, observation, bool(terminated))

    def close(self) -> None:
        """Ends the environment; more than once does no harm."""
        if not self._closed:
            self._closed = True
            self.env.close()


def _size(space: gymnasium.Space, role: str) -> int:
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(space.n)
    if space.shape is None:
        raise ValueError(f"An {role} space that is nested has no number. Received: {space}")
    return int(np.prod(space.shape))
