"""The constant agent."""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.arguments import FromPart
from kagent.agents.random import Fixed
from kagent.config.creation import register_agent
from kagent.environments import Source


@register_agent("constant")
class Constant(Fixed):
    """The same action always: what a policy has to be better than, and a way to drive a known one.

    `fit` counts timesteps and episodes, and learns nothing.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        action_values: The action by the names of its leaves, in the environment's units; one that is not nested is
            named "action", or given as it is. A number stands for all components. Where a name is left out: of discrete
            actions the first that the mask allows; of a Box's components the middle of the bounds, or the only bound,
            or 0. Where the mask forbids the given value, the first allowed one is taken.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: As for `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: Unsupported spaces; names that no action has; values that are not in the action space.

    Example:

    >>> agent = kagent.Constant("Pendulum-v1", action_values=0.5)
    >>> found = agent.evaluate("Pendulum-v1", episodes=3)["episode_return"]
    """

    action_values = FromPart("policy.action_values")

    def __init__(
        self,
        env: Source | None = None,
        *,
        action_values: Any = None,
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
            **{"policy": {"type": "ConstantPolicy", "action_values": action_values}, **parts},
        )
