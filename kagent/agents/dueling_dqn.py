"""Dueling deep Q-network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kagent.agents.double_dqn import DoubleDQN
from kagent.config.creation import register_agent


@register_agent("duelingdqn", summary="DQN with one head for states and one for actions")
class DuelingDQN(DoubleDQN):
    """Double DQN whose network tells the value of a state from the advantages of actions (Wang et al. 2016,
    arXiv:1511.06581): what is learned of a state from one action serves all of them.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: As for `DQN`; what both streams share.
        stream_units: Widths of dense ReLU layers that each stream has of its own; 512 in the paper, on convolutions.
        **arguments: Those of `DQN`, with its defaults, but `double=True`. A `policy` takes the place of `network` and
            `stream_units`.

    Raises:
        ValueError, TypeError: As `DQN`.

    Example:

    >>> agent = kagent.DuelingDQN("CartPole-v1", learning_rate=1e-3, seed=0)
    """

    def __init__(self, env: Any = None, *, network: Any = "auto", stream_units: Sequence[int] = (), **arguments: Any):
        policy = {"type": "ValuePolicy", "network": network, "dueling": True, "stream_units": stream_units}
        super().__init__(env, **{"policy": policy, **arguments})
