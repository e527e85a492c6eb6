"""Returns of random play: what an agent has to be better than."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from kagent import environments
from kagent.acting import distributions
from kagent.environments import Environments

EPISODES, TIMESTEPS = 10, 5000
_OF_VECTORS = ("num_envs", "vectorization_mode", "vector_kwargs")  # arguments of `gymnasium.make_vec` in a spec


def random_returns(
    env: Any, episodes: int = EPISODES, timesteps: int = TIMESTEPS, seed: int = 0, **made: Any
) -> list[float]:
    """Plays whole episodes with uniformly random allowed actions.

    Args:
        env: As `kagent.environments.make` takes it. An environment of your own is reset and stepped, and not closed.
        episodes: How many.
        timesteps: After so many nothing more is played: there may then be fewer episodes, or none.
        seed: Of the actions, and of the first reset; no other generator is touched.
        **made: Further arguments of `kagent.environments.make`.

    Returns:
        Undiscounted returns, those that the environment records itself where it does.

    Example:

    >>> returns = random_returns("CartPole-v1", episodes=3)
    >>> len(returns), max(returns) < 200
    (3, True)
    """
    rng, found = np.random.default_rng(seed), environments.make(env, **made)
    try:
        return _played(found, episodes, timesteps, rng, lambda: int(rng.integers(2**31 - 1)))
    finally:
        if found is not env:
            found.close()


def fresh(made: Environments) -> Callable[[], Any] | None:
    """What makes another environment like these, or None where they do not say how they were made.

    It is `gymnasium.make` of their spec, which has the wrappers that gymnasium can make again. Those around or inside a vector
    environment it has not; they may change rewards.
    """
    source = made.sources[0] if made.sources else None
    spec: Any = getattr(source, "spec", None)
    if not isinstance(spec, gymnasium.envs.registration.EnvSpec) or "wrappers" in spec.kwargs:
        return None
    if isinstance(source, gymnasium.vector.VectorWrapper):
        return None
    single = copy.deepcopy(spec)
    for name in _OF_VECTORS:
        single.kwargs.pop(name, None)
    return lambda: gymnasium.make(single, disable_env_checker=True)


def _played(
    made: Environments, episodes: int, timesteps: int, rng: np.random.Generator, next_seed: Callable[[], int]
) -> list[float]:
    chances = [distributions.make("random", leaf) for leaf in made.action_structure.leaves]
    returns: list[float] = []
    totals = np.zeros(made.num_envs)
    # Every environment plays its share, so that short episodes do not crowd out long ones.
    shares = [episodes // made.num_envs + (index < episodes % made.num_envs) for index in range(made.num_envs)]
    made.reset(next_seed)
    for _ in range(-(-timesteps // made.num_envs)):
        masks = [None] * len(chances) if made.mask is None else made.mask
        drawn = [chance.random(made.num_envs, rng, mask) for chance, mask in zip(chances, masks)]
        step = made.step([chance.to_env(array) for chance, array in zip(chances, drawn)])
        totals += step.raw_reward
        for index in map(int, step.ended):
            if shares[index]:
                shares[index] -= 1
                returns.append(step.recorded.get(index, float(totals[index])))
            totals[index] = 0.0
        if len(returns) == episodes:
            break
    return returns
