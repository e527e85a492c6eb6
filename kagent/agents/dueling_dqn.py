"""Dueling deep Q-network.

    as `kagent/agents/double_dqn.py`, but with
        x       = network(s)
        Q(s, a) = V(x) + A(x, a) - mean over a' of A(x, a')

Equation 9 of Wang et al. 2016 (arXiv:1511.06581). It is in `kagent/ops/dueling.py`; the two streams V and A are built in
`kagent/policies/value.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from kagent.agents.arguments import FromPart
from kagent.agents.double_dqn import DoubleDQN
from kagent.agents.epsilon import unless_noisy
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import EpsilonGreedy
from kagent.parts import Network


@register_agent("duelingdqn", summary="DQN with one head for states and one for actions")
class DuelingDQN(DoubleDQN):
    """Double DQN whose network tells the value of a state from the advantages of actions (Wang et al. 2016,
    arXiv:1511.06581): what is learned of a state from one action serves all of them.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: As for `DQN`; what both streams share.
        noisy: As for `DQN`; the streams are noisy, too.
        dueling: As for `DQN`; False leaves Double DQN.
        stream_units: Widths of dense ReLU layers that each stream has of its own; 512 in the paper, on convolutions.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `DQN`, with its defaults, but `double=True`. A `policy` takes the place of `network`, `noisy`, `dueling`
            and `stream_units`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `DQN`.

    Example:

    >>> agent = kagent.DuelingDQN("CartPole-v1", learning_rate=1e-3, seed=0)
    """

    stream_units = FromPart("policy.stream_units")

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        noisy: bool | float = False,
        dueling: bool = True,
        stream_units: Sequence[int] = (),
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        policy = {
            "type": "ValuePolicy", "network": network, "dueling": dueling, "stream_units": stream_units, "noisy": noisy,
        }  # fmt: skip
        exploration = unless_noisy(arguments.pop("exploration", None), EpsilonGreedy(), noisy)
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **{"policy": policy, "exploration": exploration, **arguments},
        )
