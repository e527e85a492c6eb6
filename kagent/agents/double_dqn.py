"""Double deep Q-network.

    as `kagent/agents/dqn.py`, but
        target = r + discount * Q_target(s', argmax over a' of Q(s', a'))

Equation 4 of van Hasselt et al. 2016 (arXiv:1509.06461). The choice and its value are `next_values` in
`kagent/objectives/action_value.py` and `greedy_value` in `kagent/ops/td.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.dqn import DQN
from kagent.config.creation import register_agent
from kagent.environments import Source


@register_agent("doubledqn", "ddqn", summary="DQN whose target network values the learning one's choice")
class DoubleDQN(DQN):
    """DQN whose online network picks the next action and whose target network values it (van Hasselt et al. 2016,
    arXiv:1509.06461), so that the largest of many overestimated values is not taken for the value.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        double: As for `DQN`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `DQN`, with its defaults.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `DQN`.

    Example:

    >>> agent = kagent.DoubleDQN("CartPole-v1", learning_rate=1e-3, seed=0)
    """

    def __init__(
        self,
        env: Source | None = None,
        *,
        double: bool = True,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            double=double,
            **arguments,
        )
