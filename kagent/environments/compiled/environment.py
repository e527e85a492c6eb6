"""Environments as pure functions of tensors: the interface, and the check of what a class of one's own returns."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.config.checks import MOST_ENVS, check_count
from kagent.spaces import Structure


class CompiledEnv(abc.ABC):
    """An environment as functions of batches of states, which a program on any device contains.

    `agent.fit` takes it as it is: acting, stepping and learning are then one program. `as_gymnasium` makes an ordinary vector
    environment of it. The functions are pure: what they return depends on their arguments alone. They are written in
    TensorFlow, without functions of the host (`tf.py_function`, `tf.numpy_function`, `print`). A state is one tensor or a nesting
    of tensors, `(n, ...)` each, whose shapes and dtypes stay the same.

    A class of one's own sets `observation_space` and `action_space`, the `gymnasium.Space`s of one environment, and implements
    the abstract methods. A `Dict` observation's key `"action_mask"` masks actions, as it does elsewhere.

    Args:
        num_envs: Environments side by side.

    Attributes:
        max_episode_steps: Timesteps at which an episode is truncated; None: it is not.

    Example:

    >>> class Drift(CompiledEnv):
    ...     '''A point drifts on a line; an action pushes it left or right, and a reward is its nearness to 0.'''
    ...     observation_space = gymnasium.spaces.Box(-10.0, 10.0, (1,))
    ...     action_space = gymnasium.spaces.Discrete(2)
    ...     max_episode_steps = 50
    ...     def initial(self, seed, n):
    ...         return tf.random.stateless_uniform((n, 1), seed, -1.0, 1.0, alg="philox")
    ...     def transition(self, state, action, seed):
    ...         noise = tf.random.stateless_uniform(tf.shape(state), seed, -0.1, 0.1, alg="philox")
    ...         return state + tf.where(action == 1, 0.2, -0.2)[:, tf.newaxis] + noise
    ...     def observation(self, state):
    ...         return state
    ...     def reward(self, state, action, next_state):
    ...         return -tf.abs(next_state[:, 0])
    ...     def terminal(self, state):
    ...         return tf.abs(state[:, 0]) > 3.0
    >>> vector = kagent.environments.compiled.as_gymnasium(Drift(num_envs=4))
    >>> vector.reset(seed=0)[0].shape
    (4, 1)
    """

    observation_space: gymnasium.Space
    action_space: gymnasium.Space
    max_episode_steps: int | None = None

    def __init__(self, num_envs: int = 1):
        self.num_envs = check_count(num_envs, "num_envs", most=MOST_ENVS)

    @abc.abstractmethod
    def initial(self, seed: tf.Tensor, n: int) -> Any:
        """States in which `n` episodes begin.

        Args:
            seed: int64 `(2,)`, for `tf.random.stateless_*`. (`alg="philox"` is the fast generator under XLA.)
            n: How many.
        """

    @abc.abstractmethod
    def transition(self, state: Any, action: Any, seed: tf.Tensor) -> Any:
        """The states that follow.

        Args:
            state: Of each environment, `(n, ...)`.
            action: As the space has it, nested as the space: tensors `(n, *shape)` of the space's dtypes.
            seed: As for `initial`.
        """

    @abc.abstractmethod
    def observation(self, state: Any) -> Any:
        """What is seen of states: tensors `(n, *shape)`, nested as the observation space."""

    @abc.abstractmethod
    def reward(self, state: Any, action: Any, next_state: Any) -> tf.Tensor:
        """Rewards of transitions, float32 `(n,)`."""

    @abc.abstractmethod
    def terminal(self, state: Any) -> tf.Tensor:
        """Whether states end an episode, bool `(n,)`."""

    def render_frame(self, state: Any) -> np.ndarray:
        """A picture of one state, in NumPy: uint8 `(height, width, 3)`. Without it the environment is not rendered.

        Args:
            state: Of one environment: arrays `(...)`, nested as states are.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `render_frame`")

    @property
    def renders(self) -> bool:
        """Whether there is a `render_frame`."""
        return type(self).render_frame is not CompiledEnv.render_frame


def chosen(rows: tf.Tensor, first: Any, second: Any) -> Any:
    """Row by row one nesting of tensors `(n, ...)` or another: the first where the bool `rows` `(n,)` is True."""

    def choose(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.where(tf.reshape(rows, (-1, *[1] * (len(a.shape) - 1))), a, b)

    return tf.nest.map_structure(choose, first, second)


def check_functions(env: CompiledEnv) -> None:
    """Calls the functions of an environment a few times, once in a program, and checks what they return.

    Raises:
        TypeError: `env` is no `CompiledEnv`.
        ValueError: Spaces that are not supported; a result of another shape, dtype or nesting; results that differ between two equal
            calls; or a function that no program can contain. The message names the method.
    """
    if not isinstance(env, CompiledEnv):
        raise TypeError(f"`env` must be a kagent.environments.compiled.CompiledEnv. Received: {type(env).__name__}")
    name, n = type(env).__name__, check_count(getattr(env, "num_envs", None), f"{type(env).__name__}.num_envs")
    for space in ("observation_space", "action_space"):
        if not isinstance(getattr(env, space, None), gymnasium.Space):
            raise ValueError(f"`{name}.{space}` must be a gymnasium.Space. Received: {getattr(env, space, None)!r}")
    if env.max_episode_steps is not None:
        check_count(env.max_episode_steps, f"{name}.max_episode_steps")
    seed = tf.constant([0, 0], tf.int64)
    actions = Structure(env.action_space, "action_space")
    action = actions.unflatten([tf.constant(_some(leaf, n)) for leaf in actions.leaves])
    first = _called(env, seed, action, n)
    for method, one, other in zip(first._fields, first, _called(env, seed, action, n)):
        if not all(map(_equal, tf.nest.flatten(one), tf.nest.flatten(other))):
            raise ValueError(
                f"`{name}.{method}` must be pure, so that equal arguments give equal results. Received: two results that differ. Random "
                "numbers are functions of `seed`: tf.random.stateless_uniform(shape, seed) and its like"
            )
    # Others than `fit` need other numbers of them: `reset` with a seed for each environment, and `check_compiled`.
    _initial(env, seed, n + 1)
    reached: list[str] = []

    def traced(seed: tf.Tensor, action: Any) -> tuple[Any, ...]:
        return tuple(_called(env, seed, action, n, reached))

    try:
        tf.function(traced, autograph=False).get_concrete_function(seed, action)
    except Exception as error:
        text, _, _ = str(error).partition("You can attempt")  # TensorFlow's advice is not for pure functions
        reason = " ".join(text.split())[:300].rstrip(".")
        raise ValueError(
            f"`{name}.{reached[-1]}` cannot be part of a program: {type(error).__name__}: {reason}. A program is written in functions of "
            "tensors: tf.where for `if`, and neither NumPy nor numbers of tensors"
        ) from error


class _Results(NamedTuple):
    # What the methods returned, by their names.
    initial: Any
    transition: Any
    observation: Any
    reward: Any
    terminal: Any


def _initial(env: CompiledEnv, seed: tf.Tensor, n: int) -> Any:
    state = env.initial(seed, n)
    parts = tf.nest.flatten(state)
    if not parts:
        raise ValueError(
            f"`{type(env).__name__}.initial` must return tensors ({n}, ...), of `n` rows. Received: {state!r}"
        )
    for part in parts:
        if not tf.is_tensor(part) or part.shape[:1] != (n,):
            received = part.shape if tf.is_tensor(part) else repr(part)
            raise ValueError(
                f"`{type(env).__name__}.initial` must return tensors ({n}, ...), of `n` rows. Received: {received}"
            )
    return state


def _called(env: CompiledEnv, seed: tf.Tensor, action: Any, n: int, reached: list[str] | None = None) -> _Results:
    # Each method once. `reached` takes the name of each before it is called.
    name, reached = type(env).__name__, [] if reached is None else reached
    reached.append("initial")
    state = _initial(env, seed, n)
    reached.append("transition")
    following = env.transition(state, action, seed)
    try:
        tf.nest.assert_same_structure(state, following)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}.transition` must return states nested as those of `initial`: {error}") from error
    for before, after in zip(tf.nest.flatten(state), tf.nest.flatten(following)):
        _check(f"{name}.transition", after, before.shape, before.dtype)
    reached.append("observation")
    seen, observation = Structure(env.observation_space, "observation_space"), env.observation(state)
    for leaf, part in zip(seen.leaves, seen.flatten(observation)):
        _check(f"{name}.observation", part, (n, *leaf.shape), tf.as_dtype(leaf.dtype), leaf.name)
    reached.append("reward")
    reward = env.reward(state, action, following)
    _check(f"{name}.reward", reward, (n,), tf.float32)
    reached.append("terminal")
    terminal = env.terminal(following)
    _check(f"{name}.terminal", terminal, (n,), tf.bool)
    return _Results(state, following, observation, reward, terminal)


def _equal(one: tf.Tensor, other: tf.Tensor) -> bool:
    a, b = one.numpy(), other.numpy()
    return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def _some(leaf: Any, n: int) -> np.ndarray:
    # An action of every environment: the first value, or what is nearest to 0.
    one = leaf.start if leaf.is_discrete else np.clip(np.zeros(leaf.shape), leaf.low, leaf.high)
    return np.repeat(np.asarray(one)[np.newaxis], n, axis=0).astype(leaf.dtype)


def _check(method: str, found: Any, shape: Any, dtype: tf.DType, leaf: str = "") -> None:
    if not tf.is_tensor(found) or tuple(found.shape) != tuple(shape) or found.dtype != dtype:
        received = f"{found.dtype.name} {tuple(found.shape)}" if tf.is_tensor(found) else repr(found)
        where = f" of {leaf!r}" if leaf else ""
        raise ValueError(f"`{method}` must return a {dtype.name} tensor {tuple(shape)}{where}. Received: {received}")
