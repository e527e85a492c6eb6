"""The random agent, and what agents without learning share."""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.objectives.null import NullObjective
from kagent.update import Update

_LEARNING = ("optimizer", "update", "reward_estimation", "l2_regularization", "variable_noise")
_WHOLE = {"objective", "memory", "exploration", "target", *_LEARNING}  # of a configuration, which says all parts


class Fixed(Agent):
    """An agent that acts, is evaluated, counts and is saved like any other, and learns nothing.

    Args:
        env: As for `Agent`.
        policy: What acts.
        **parts: As for `Agent`, but for those of learning.

    Raises:
        ValueError: A part of learning.
    """

    def __init__(self, env: Any = None, *, policy: Any, **parts: Any):
        defaults = {
            "policy": policy,
            "objective": NullObjective(),
            "update": Update(batch_size=1, frequency="never"),
            "reward_estimation": {"type": "RewardEstimation"},
            "exploration": Sampling(),
        }
        given = [name for name in _LEARNING if parts.get(name) is not None]
        if given and not _WHOLE <= set(parts):
            raise ValueError(
                f"`{given[0]}` is of learning, and {type(self).__name__} learns nothing. Received: "
                f"{', '.join(f'{name}={parts[name]!r}' for name in given)}. Leave it out"
            )
        super().__init__(env, **{**defaults, **parts})

    def update(self) -> dict[str, float]:
        """Not of this agent, which has nothing to learn.

        Raises:
            RuntimeError: Always.
        """
        raise RuntimeError(f"{type(self).__name__} learns nothing: there is no update to make")


@register_agent("random")
class Random(Fixed):
    """Random actions: what a policy has to be better than.

    Uniform among the values that a mask allows and between finite bounds. A component with a single bound is the bound
    plus or minus an exponential variable of mean 1; one without bounds is standard normal. `deterministic=True` changes
    nothing. `fit` counts timesteps and episodes, and learns nothing.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: As for `kagent.Agent`.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.Random("CartPole-v1", seed=0)
    >>> found = agent.evaluate("CartPole-v1", episodes=20)["episode_return"]
    """

    def __init__(
        self,
        env: Source | None = None,
        *,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **{"policy": {"type": "RandomPolicy"}, **parts},
        )
        self.actor.rng = self._random["act"]  # acting deterministically draws, too
