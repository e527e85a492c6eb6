"""Proximal policy optimization with a recurrent network.

    as `kagent/agents/ppo.py`, but pi and V are recurrent: pi(a | s, h), V(s, k), with the states h and k that the episode's timesteps
    before left, zeros at its beginning; a minibatch is `batch_size / sequence_length` sequences of consecutive timesteps, each from
    the states that its first timestep was acted in

Equations 7 and 9 of Schulman et al. 2017 (arXiv:1707.06347), over sequences from stored states as in section 3 of Kapturowski et
al. 2019 (ICLR), without their burn-in: a rollout is new. The layers are in `kagent/networks/recurrent.py`, sequences in
`kagent/objectives/sequences.py` and `kagent/memories/rollout.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.ppo import PPO
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.parts import Network


@register_agent("recurrentppo", "ppo_lstm", summary="PPO with an LSTM, for tasks that need memory; any actions")
class RecurrentPPO(PPO):
    """PPO with a recurrent network, by the name that other libraries have for it. `PPO` with recurrent layers in its `network` is the
    same; here such layers are the default, and a network without them is refused.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (that of `PPO` with an LSTM of 64 units behind it), a dict that changes some of its arguments, such as `"rnn"`,
            the units of the LSTM, or a list of layers, some of which are recurrent.
        n_steps: As for `PPO`.
        batch_size: As for `PPO`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `PPO`, with its defaults.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `PPO`; a network without recurrent layers.

    Example:

    >>> agent = kagent.RecurrentPPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, seed=0)
    >>> agent.sequence_length
    32
    """

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        n_steps: int = 128,
        batch_size: int = 128,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        super().__init__(
            env,
            network=_with_memory(network),
            n_steps=n_steps,
            batch_size=batch_size,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **arguments,
        )
        if not self.policy.state_sizes:
            raise ValueError(
                "`network` of RecurrentPPO must have recurrent layers, such as {'rnn': 64} or [keras.layers.LSTM(64)]. "
                f"Received: {network!r}. Allowed without: kagent.PPO"
            )


def _with_memory(network: Network) -> Network:
    """The automatic network with an LSTM of 64 units, and what a dict changes of it; other networks as they are."""
    if isinstance(network, str) and network.lower() == "auto":
        network = {}
    automatic = isinstance(network, dict) and "class_name" not in network and network.get("type", "auto") == "auto"
    return {"rnn": 64, **network} if isinstance(network, dict) and automatic else network
