"""Parallelised Q-network.

    each of `n_envs` environments takes `n_steps` timesteps, epsilon-greedy by Q
    G_t = r_t + discount * ((1 - return_lambda) * max over a of Q(s_{t+1}, a) + return_lambda * G_{t+1})
          without G_{t+1} in the last timestep and where an episode was cut off; r_t alone where it terminated
    `epochs` times, in minibatches of `batch_size` timesteps in a new order:
        loss = mean of (G - Q(s, a))^2 / 2
        Q moves by Adam along its gradient, cut to the length `max_grad_norm`
    there is no replay memory and no target network: layers of Q are normalized instead

Algorithm 1 of Gallici et al. 2024 (arXiv:2407.04811). The loss is in `kagent/objectives/q_lambda.py`, with its equation
`lambda_return` in `kagent/ops/returns.py`; the rollout in `kagent/memories/rollout.py`; the layers in
`kagent/networks/backbones.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_count, check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import EpsilonGreedy, Exploration
from kagent.networks import LAYER_NORMALIZATION, Auto
from kagent.objectives import QLambdaObjective
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update

_NETWORK = Auto(units=(64, 64), activation="relu", normalization=LAYER_NORMALIZATION)


@register_agent("pqn", summary="Q-learning from rollouts, without replay and target; discrete actions")
class PQN(Agent):
    """Parallelised Q-network (Gallici et al. 2024, "Simplifying Deep Temporal Difference Learning", arXiv:2407.04811).

    It learns from what its environments just gave, in PPO's way: `n_steps` timesteps of each, used for some epochs and
    forgotten. Give it several environments, `n_envs=8`. Nothing but normalized layers keeps its values from growing without end:
    a network of your own should have them, too.

    For discrete actions: `Discrete`, `MultiDiscrete`, `MultiBinary` or a nesting of these (branching heads).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 ReLU, or convolutions for images, with layer normalization before each ReLU), a dict of
            changes such as `{"units": [256, 256]}`, or a Keras layer or model from observation to features, which gets
            the observation as the space declares it: a uint8 image as floats from 0 to 255.
        n_steps: Timesteps of each environment in one rollout.
        batch_size: Transitions per gradient step.
        epochs: Passes over each rollout.
        learning_rate: Of Adam (the paper: of RAdam). May be a schedule.
        discount: Weight of a reward one timestep later.
        return_lambda: Weight of longer horizons in the return; 0 trusts the values after one timestep, 1 the rewards to the
            rollout's end. May be a schedule.
        exploration: Epsilon over time: `EpsilonGreedy`, a dict of it, or a constant. By default it falls to 0.05 over half
            the run.
        huber: Error beyond which the loss is linear; None: squared.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.PQN("CartPole-v1", n_envs=4, learning_rate=1e-3, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=20_000)
    """

    network = FromPart("policy.network")
    n_steps = FromPart("memory.steps")
    batch_size = FromPart("update.batch_size")
    epochs = FromPart("update.epochs")
    learning_rate = FromPart("optimizer.learning_rate")
    discount = FromPart("reward_estimation.discount")
    return_lambda = FromPart("reward_estimation.return_lambda")
    huber = FromPart("objective.huber")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        n_steps: int = 128,
        batch_size: int = 128,
        epochs: int = 4,
        learning_rate: Scheduled = 2.5e-4,
        discount: Scheduled = 0.99,
        return_lambda: Scheduled = 0.65,
        exploration: Exploration | Scheduled | str | None = None,
        huber: float | None = None,
        max_grad_norm: float | None = 10.0,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        check_positive(max_grad_norm, "max_grad_norm")
        defaults = {
            "policy": {"type": "ValuePolicy", "network": networks.get(network, _NETWORK)},
            "objective": QLambdaObjective(huber=huber),
            "memory": {"type": "Rollout", "steps": check_count(n_steps, "n_steps")},
            "update": Update(batch_size=batch_size, epochs=epochs),
            "reward_estimation": RewardEstimation(
                discount=discount, return_lambda=return_lambda, estimate_horizon="late"
            ),
            "exploration": EpsilonGreedy(fraction=0.5) if exploration is None else exploration,
            "optimizer": {
                "type": "Adam",
                "learning_rate": learning_rate,
                "epsilon": 1e-8,
                "global_clipnorm": max_grad_norm,
            },
        }
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **normalized(normalize, {**defaults, **parts}),
        )
