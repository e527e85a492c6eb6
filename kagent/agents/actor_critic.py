"""Actor-critic, and with advantages.

    after every `frequency` timesteps, from the last `batch_size` of them:
        G = r + discount * (r of the next timestep) + ... over `horizon` + 1 rewards, then + discount^n * V(s_n)
        AC: A = G;  A2C: A = G - V(s)
        loss = mean of -A * log pi(a | s) - entropy_coefficient * mean entropy of pi
               + critic_weight * mean of (G - V(s))^2 / 2
        pi and V move by one Adam along the gradient, cut to the length `max_grad_norm`

Section 13.5 of Sutton and Barto 2018; with advantages algorithm S3 of Mnih et al. 2016 (arXiv:1602.01783). The policy's loss is
in `kagent/objectives/policy_gradient.py` and `kagent/objectives/rollouts.py`, the critic's in
`kagent/objectives/state_value.py`; returns are in `kagent/ops/returns.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.objectives import PolicyGradientObjective
from kagent.parts import Network, Scheduled
from kagent.policies import Role
from kagent.policies.state_dependent_noise import Noise
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update


@register_agent("ac", summary="policy gradient with a critic's estimates; any actions")
class AC(Agent):
    """Actor-critic (Sutton and Barto 2018, section 13.5): rewards up to a horizon and the critic's value of what follows
    weigh the log-probabilities.

    For every action space: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, and any nesting of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict, a list of layers, or a Keras layer or
            model from observation to features, which gets the observation as the space declares it: a uint8 image as
            floats from 0 to 255. The critic gets one of the same configuration unless `critic` says otherwise.
        batch_size: Timesteps, over all environments, in one update.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        start: Timesteps before the first update, which takes at least `batch_size`.
        learning_rate: Of Adam. May be a schedule.
        horizon: How many further rewards join the present one before the critic's estimate.
        discount: Weight of a reward one timestep later.
        entropy_coefficient: Weight of entropy in the loss. May be a schedule.
        critic: The critic's network, or a `StateValue`; None: as `network`, and where that sees images "shared": a head on the
            policy's own.
        critic_weight: Weight of half the critic's squared error beside the policy's loss.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        log_std: Initial log standard deviation of Gaussian actions.
        head_gain: Scale of the initial (orthogonal) weights of the policy's head, "fan_in" or "auto" (0.01); see
            `kagent.policies.StochasticPolicy`.
        state_dependent_noise: Noise that stays for some timesteps in place of independent noise at each one: timesteps of an
            environment from one draw to the next, "episode", or a `kagent.policies.StateDependentNoise` or its
            arguments in a dict (Raffin et al. 2021, arXiv:2005.05719). For Box actions. None: independent noise.
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

    >>> agent = kagent.A2C("CartPole-v1", n_envs=8, batch_size=64, horizon=7, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=50_000)
    """

    estimate_advantage = False

    network = FromPart("policy.network")
    batch_size = FromPart("update.batch_size")
    frequency = FromPart("update.frequency")
    start = FromPart("update.start")
    learning_rate = FromPart("optimizer.learning_rate")
    horizon = FromPart("reward_estimation.horizon")
    discount = FromPart("reward_estimation.discount")
    entropy_coefficient = FromPart("objective.entropy_coefficient")
    critic_weight = FromPart("critic_objective.weight")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    log_std = FromPart("policy.log_std")
    head_gain = FromPart("policy.head_gain")
    state_dependent_noise = FromPart("policy.state_dependent_noise")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        batch_size: int = 64,
        frequency: int | float | str | None = None,
        start: int = 0,
        learning_rate: Scheduled = 1e-3,
        horizon: int | Schedule | dict[str, Any] = 0,
        discount: Scheduled = 0.99,
        entropy_coefficient: Scheduled = 0.0,
        critic: Role | Network | None = None,
        critic_weight: Scheduled = 1.0,
        max_grad_norm: float | None = None,
        log_std: float = 0.0,
        head_gain: float | str = "auto",
        state_dependent_noise: Noise = None,
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
            "policy": {
                "type": "StochasticPolicy",
                "network": network,
                "log_std": log_std,
                "head_gain": head_gain,
                "state_dependent_noise": state_dependent_noise,
            },
            "critic": {"type": "auto", "network": networks.clone(network)} if critic is None else critic,
            "critic_objective": {"type": "StateValueObjective", "weight": critic_weight},
            "objective": PolicyGradientObjective(entropy_coefficient=entropy_coefficient),
            "memory": "recent",
            "update": Update(batch_size=batch_size, frequency=frequency, start=start),
            "reward_estimation": RewardEstimation(
                horizon=horizon,
                discount=discount,
                estimate_horizon="late",
                estimate_advantage=self.estimate_advantage,
            ),
            "exploration": Sampling(),
            "optimizer": {"type": "Adam", "learning_rate": learning_rate, "global_clipnorm": max_grad_norm},
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


@register_agent("a2c", summary="policy gradient with advantages over a critic; any actions")
class A2C(AC):
    """Advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3, with all actors in step): as `AC`, but the
    critic's value of the present state is subtracted.

    It takes the arguments of `AC`.
    """

    estimate_advantage = True
