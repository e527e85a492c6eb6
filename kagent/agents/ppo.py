"""Proximal policy optimization."""

from __future__ import annotations

from typing import Any

from kagent import networks
from kagent.agent import Agent
from kagent.config.checks import check_count, check_positive
from kagent.config.creation import register_agent
from kagent.exploration import Sampling
from kagent.objectives import ClippedPolicyObjective
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("ppo", summary="small clipped policy steps from fresh experience; any actions")
class PPO(Agent):
    """Proximal policy optimization (Schulman et al. 2017, arXiv:1707.06347).

    For every action space: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, and any nesting of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict, or a Keras layer or model from
            observation to features, which gets the observation as the space declares it: a uint8 image as floats from 0
            to 255. The critic gets a network of the same configuration with its own weights.
        n_steps: Timesteps of each environment in one rollout.
        batch_size: Transitions per gradient step.
        epochs: Passes over each rollout.
        learning_rate: Of Adam. May be a schedule.
        discount: Weight of a reward one timestep later.
        gae_lambda: Weight of longer horizons in the advantage; 0 trusts the critic, 1 the rewards.
        clip_range: How far an action's probability ratio may move in one update. May be a schedule.
        entropy_coefficient: Weight of entropy in the loss. May be a schedule.
        value_coefficient: Weight of the critic's loss.
        normalize_advantage: Whether advantages are standardized in each minibatch.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        log_std: Initial log standard deviation of Gaussian actions.
        n_envs: Environments that `fit` makes of an id or a callable.
        **parts: Parts in place of the defaults, and `seed`, `name`, `observation_space`, `action_space`; see
            `kagent.Agent`.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.PPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, seed=0)
    >>> agent.fit("CartPole-v1", steps=50_000)
    """

    def __init__(
        self,
        env: Any = None,
        *,
        network: Any = "auto",
        n_steps: int = 2048,
        batch_size: int = 64,
        epochs: int = 10,
        learning_rate: Any = 3e-4,
        discount: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Any = 0.2,
        entropy_coefficient: Any = 0.0,
        value_coefficient: float = 0.5,
        normalize_advantage: bool = True,
        max_grad_norm: float | None = 0.5,
        log_std: float = 0.0,
        **parts: Any,
    ):
        objective = ClippedPolicyObjective(
            clip_range=clip_range,
            value_coefficient=value_coefficient,
            entropy_coefficient=entropy_coefficient,
            normalize_advantage=normalize_advantage,
        )
        check_positive(max_grad_norm, "max_grad_norm")
        defaults = {
            "policy": {"type": "StochasticPolicy", "network": network, "log_std": log_std},
            "critic": {"type": "StateValue", "network": networks.clone(network)},
            "objective": objective,
            "memory": {"type": "Rollout", "steps": check_count(n_steps, "n_steps")},
            "update": Update(batch_size=batch_size, epochs=epochs),
            "reward_estimation": RewardEstimation(discount=discount, gae_lambda=gae_lambda, estimate_horizon="late"),
            "exploration": Sampling(),
            "optimizer": {
                "type": "Adam",
                "learning_rate": learning_rate,
                "epsilon": 1e-5,
                "global_clipnorm": max_grad_norm,
            },
        }
        super().__init__(env, **{**defaults, **parts})
