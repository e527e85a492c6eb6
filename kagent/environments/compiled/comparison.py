"""A compiled environment beside the one of gymnasium that it stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.config.checks import check_count
from kagent.environments.compiled.environment import CompiledEnv, check_functions, chosen
from kagent.spaces import Structure, difference

_ROWS = 100  # side by side


def set_state(env: gymnasium.Env, state: np.ndarray) -> None:
    """Puts an environment of gymnasium's classic control into a state, as `check_compiled` does by default."""
    inner: Any = env.unwrapped
    inner.state = np.array(state)
    if hasattr(inner, "steps_beyond_terminated"):
        inner.steps_beyond_terminated = None


_set_state = set_state


def check_compiled(
    env: CompiledEnv,
    gym_env: gymnasium.Env,
    *,
    steps: int = 1000,
    seed: int = 0,
    set_state: Callable[[gymnasium.Env, Any], None] = set_state,
    tolerance: float = 1e-5,
) -> None:
    """Compares a compiled environment, step by step and from the same states, with the one that it stands for.

    Both take the same random actions from the states of 100 walks of the compiled one. Random numbers differ, so that
    transitions must be deterministic. `max_episode_steps` is compared with that of the other one's `spec`, where it has one.

    Args:
        env: The compiled environment.
        gym_env: The other one, with its wrappers. It is left in some state.
        steps: Timesteps.
        seed: Of states and actions.
        set_state: `set_state(gym_env, state)` puts it into the state of one environment: arrays, nested as the compiled
            one's states are. Default: that of gymnasium's classic control, whose `state` is an array.
        tolerance: By how much observations and rewards may differ, relative to their size, or to 1 where they are smaller.

    Raises:
        AssertionError: Spaces, the limit of timesteps, an observation, a reward or an end differ; the message has the state, the action
            and both.
        TypeError, ValueError: `env` breaks its word; an own `set_state` is needed.

    Example:

    >>> check_compiled(kagent.environments.compiled.CartPole(), gymnasium.make("CartPole-v1"), steps=100)
    """
    steps = check_count(steps, "steps")
    check_functions(env)
    for name in ("observation_space", "action_space"):
        rows = difference(getattr(gym_env, name), getattr(env, name))
        if rows:
            raise AssertionError(f"`{name}` differs. Received:\n{rows}")
    if gym_env.spec is not None and gym_env.spec.max_episode_steps != env.max_episode_steps:
        raise AssertionError(
            f"`max_episode_steps` differs. Expected: {gym_env.spec.max_episode_steps}. Received: {env.max_episode_steps}"
        )
    gym_env.reset(seed=seed)
    if set_state is _set_state and not hasattr(gym_env.unwrapped, "state"):
        raise ValueError(
            f"`set_state` must be a function that puts {type(gym_env.unwrapped).__name__} into a state: it has no attribute `state`. "
            "Received: the default"
        )
    actions, seen = Structure(env.action_space, "action_space"), Structure(env.observation_space, "observation_space")
    env.action_space.seed(seed)
    seeds = (tf.constant([seed, number], tf.int64) for number in range(2**31))
    state = env.initial(next(seeds), _ROWS)
    walk = tf.function(lambda *given: _walked(env, *given), autograph=False)
    done = 0
    while done < steps:
        taken = [env.action_space.sample() for _ in range(_ROWS)]
        parts = zip(actions.leaves, *[actions.flatten(one) for one in taken])
        action = actions.unflatten([tf.constant(np.stack(rows).astype(leaf.dtype)) for leaf, *rows in parts])
        found = walk(state, action, next(seeds))
        following, observation, reward, terminal = tf.nest.map_structure(np.asarray, found)
        before = tf.nest.map_structure(np.asarray, state)
        count = min(_ROWS, steps - done)
        at = [tf.nest.map_structure(lambda array, row=row: array[row], before) for row in range(count)]
        expected = []
        for one, choice in zip(at, taken):
            set_state(gym_env, one)
            expected.append(gym_env.step(choice))
        where = [f"state {one}, action {choice}" for one, choice in zip(at, taken)]
        theirs = zip(*[seen.flatten(one[0]) for one in expected])
        for leaf, ours, other in zip(seen.leaves, seen.flatten(observation), theirs):
            _compare(ours[:count], other, tolerance, f"observation {leaf.name}".strip(), where)
        _compare(reward[:count], [one[1] for one in expected], tolerance, "reward", where)
        _compare(terminal[:count], [one[2] for one in expected], 0.0, "end of the episode", where)
        done += _ROWS
        fresh = env.initial(next(seeds), _ROWS)
        state = chosen(tf.constant(terminal), fresh, tf.nest.map_structure(tf.constant, following))


def _walked(env: CompiledEnv, state: Any, action: Any, seed: tf.Tensor) -> tuple[Any, ...]:
    following = env.transition(state, action, seed)
    return following, env.observation(following), env.reward(state, action, following), env.terminal(following)


def _compare(ours: Any, theirs: Any, tolerance: float, what: str, where: list[str]) -> None:
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    fine = np.abs(ours - theirs) <= tolerance * np.maximum(1.0, np.abs(theirs))
    if not fine.all():
        row = int(np.argmin(fine.reshape(len(fine), -1).all(axis=1)))
        raise AssertionError(
            f"The {what} differs: {where[row]}. Expected: {theirs[row].tolist()}. Received: {ours[row].tolist()}"
        )
