"""Double deep Q-network."""

from __future__ import annotations

from typing import Any

from kagent.agents.dqn import DQN
from kagent.config.creation import register_agent


@register_agent("doubledqn", "ddqn", summary="DQN whose target network values the learning one's choice")
class DoubleDQN(DQN):
    """DQN whose online network picks the next action and whose target network values it (van Hasselt et al. 2016,
    arXiv:1509.06461), so that the largest of many overestimated values is not taken for the value.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        double: As for `DQN`.
        **arguments: Those of `DQN`, with its defaults.

    Raises:
        ValueError, TypeError: As `DQN`.

    Example:

    >>> agent = kagent.DoubleDQN("CartPole-v1", learning_rate=1e-3, seed=0)
    """

    def __init__(self, env: Any = None, *, double: bool = True, **arguments: Any):
        super().__init__(env, double=double, **arguments)
