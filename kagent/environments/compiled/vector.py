"""A compiled environment as an ordinary vector environment of gymnasium."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from kagent.environments.compiled.environment import CompiledEnv, check_functions, chosen
from kagent.spaces import Structure


class CompiledVectorEnv(VectorEnv):
    """What `as_gymnasium` returns.

    Args:
        env: The environment, whose `num_envs` are side by side.
        autoreset_mode: When ended environments are reset; see `gymnasium.vector.AutoresetMode`.
        render_mode: `"rgb_array"` or None.
    """

    def __init__(self, env: CompiledEnv, autoreset_mode: AutoresetMode, render_mode: str | None):
        check_functions(env)
        self.env, self.num_envs, self.render_mode = env, env.num_envs, render_mode
        if render_mode is not None and not (render_mode == "rgb_array" and env.renders):
            allowed = "'rgb_array' or None" if env.renders else f"None: {type(env).__name__} has no `render_frame`"
            raise ValueError(f"`render_mode` must be {allowed}. Received: {render_mode!r}")
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {"autoreset_mode": self.autoreset_mode, "render_modes": ["rgb_array"] * env.renders}
        name = re.sub(r"\W", "_", type(env).__name__)
        self.spec = EnvSpec(f"kagent/{name}-v0", max_episode_steps=env.max_episode_steps)
        self.single_observation_space, self.single_action_space = env.observation_space, env.action_space
        self.observation_space = batch_space(env.observation_space, env.num_envs)
        self.action_space = batch_space(env.action_space, env.num_envs)
        self._actions = Structure(env.action_space, "action_space")
        self._state: Any = None
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._pending = np.zeros(self.num_envs, bool)  # what the next step resets, in mode NEXT_STEP
        self._seed, self._draws = 0, 0
        self._program = tf.function(self._advance, autograph=False)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins new episodes.

        Args:
            seed: Of all environments, or of each one; None: the random numbers go on.
            options: `{"reset_mask": bool (num_envs,)}` resets the environments where it is True; None: all.

        Raises:
            ValueError: Other options, a mask of another shape, or one before the first reset.
        """
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, bool)))
        if options:
            raise ValueError(f"`options` of {type(self.env).__name__} are {{'reset_mask': ...}}. Received: {options}")
        if mask.shape != (self.num_envs,) or mask.dtype != bool or (self._state is None and not mask.all()):
            raise ValueError(
                f"`reset_mask` must be bool ({self.num_envs},), True everywhere at the first reset. Received: {mask!r}"
            )
        if seed is None or isinstance(seed, int | np.integer):
            if seed is not None or self._state is None:
                super().reset(seed=None if seed is None else int(seed))
                self._seed, self._draws = int(self.np_random.integers(2**31)), 0
            fresh = self.env.initial(self._next_seed(), self.num_envs)
        else:
            fresh = self._initial_of(list(seed))
        self._state = fresh if self._state is None else chosen(tf.constant(mask), fresh, self._state)
        self._lengths[mask], self._pending[mask] = 0, False
        return self._arrays(self.env.observation(self._state)), {}

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One timestep of all environments; see `gymnasium.vector.VectorEnv.step`.

        Raises:
            RuntimeError: Before the first `reset`.
            ValueError: Actions of another nesting or shape.
        """
        if self._state is None:
            raise RuntimeError("`step` needs `reset` first")
        parts = self._actions.batch(actions)
        action = self._actions.unflatten(
            [tf.constant(p.astype(leaf.dtype)) for p, leaf in zip(parts, self._actions.leaves)]
        )
        pending = self._pending
        found = self._program(self._state, action, tf.constant(pending), self._next_seed())
        self._state, observation, reward, terminal = found
        self._lengths = np.where(pending, 0, self._lengths + 1)
        terminated = terminal.numpy() & ~pending
        limit = self.env.max_episode_steps
        truncated = np.zeros(self.num_envs, bool) if limit is None else self._lengths >= limit
        ended = terminated | truncated
        infos: dict[str, Any] = {}
        seen = self._arrays(observation)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._pending = ended
        elif self.autoreset_mode is AutoresetMode.SAME_STEP and ended.any():
            for row in np.flatnonzero(ended).tolist():
                final = {"final_obs": _row(seen, row), "final_info": {}}
                infos = self._add_info(infos, final, row)
            self._state = chosen(tf.constant(ended), self.env.initial(self._next_seed(), self.num_envs), self._state)
            self._lengths[ended] = 0
            seen = self._arrays(self.env.observation(self._state))
        return seen, np.where(pending, 0.0, reward.numpy()), terminated, truncated, infos

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of every environment, uint8 `(height, width, 3)` each; None without a `render_mode`."""
        if self.render_mode is None or self._state is None:
            return None
        state = self._arrays(self._state)
        return tuple(self.env.render_frame(_row(state, row)) for row in range(self.num_envs))

    def _advance(self, state: Any, action: Any, pending: tf.Tensor, seed: tf.Tensor) -> tuple[Any, ...]:
        env = self.env
        following = env.transition(state, action, seed)
        reward = env.reward(state, action, following)
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            following = chosen(pending, env.initial(seed + [1, 0], self.num_envs), following)
        return following, env.observation(following), reward, env.terminal(following)

    def _next_seed(self) -> tf.Tensor:
        self._draws += 1
        return tf.constant(
            [2 * self._seed, self._draws], tf.int64
        )  # of two words, the odd ones are for resets in a step

    def _initial_of(self, seeds: list[int | None]) -> Any:
        if len(seeds) != self.num_envs:
            raise ValueError(f"`seed` must be an integer or {self.num_envs} of them. Received: {seeds}")
        own = self._next_seed()
        each = [
            self.env.initial(own + [0, i << 32] if seed is None else tf.constant([2 * seed, 0], tf.int64), 1)
            for i, seed in enumerate(seeds)
        ]
        return tf.nest.map_structure(lambda *rows: tf.concat(rows, axis=0), *each)

    @staticmethod
    def _arrays(tensors: Any) -> Any:
        return tf.nest.map_structure(lambda x: np.array(x), tensors)  # copies: a tensor's array cannot be written


def as_gymnasium(
    env: CompiledEnv, *, autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP, render_mode: str | None = None
) -> VectorEnv:
    """A compiled environment as a `gymnasium.vector.VectorEnv`: for evaluation, recording, tests and other libraries.

    Args:
        env: The environment; its `num_envs` are side by side.
        autoreset_mode: When ended environments are reset: in the next step, in the same one, or by `reset` alone.
        render_mode: `"rgb_array"`, where the environment has a `render_frame`, or None.

    Raises:
        TypeError, ValueError: `env` is no `CompiledEnv`, or breaks its word; an unknown mode.

    Example:

    >>> vector = as_gymnasium(kagent.environments.compiled.CartPole(num_envs=3))
    >>> observations, _ = vector.reset(seed=0)
    >>> observations, rewards, terminated, truncated, infos = vector.step(np.array([0, 1, 1]))
    >>> rewards.tolist()
    [1.0, 1.0, 1.0]
    """
    return CompiledVectorEnv(env, autoreset_mode, render_mode)


def _row(batch: Any, row: int) -> Any:
    return tf.nest.map_structure(lambda array: array[row].copy(), batch)
