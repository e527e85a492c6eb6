"""The constant agent."""

from __future__ import annotations

from typing import Any

from kagent.agents.random import Fixed
from kagent.config.creation import register_agent


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
        **parts: `seed`, `n_envs`, `name`, `observation_space`, `action_space`; see `kagent.Agent`.

    Raises:
        ValueError, TypeError: Unsupported spaces; names that no action has; values that are not in the action space.

    Example:

    >>> agent = kagent.Constant("Pendulum-v1", action_values=0.5)
    >>> agent.evaluate("Pendulum-v1", episodes=3)["episode_return"]
    """

    def __init__(self, env: Any = None, *, action_values: Any = None, **parts: Any):
        super().__init__(env, **{"policy": {"type": "ConstantPolicy", "action_values": action_values}, **parts})
