"""Proximal policy optimization.

    each of `n_envs` environments takes `n_steps` timesteps, actions sampled from the policy pi
    A = generalized advantages by the critic V, R = A + V(s), p_old = pi(a | s)
    `epochs` times, in minibatches of `batch_size` timesteps in a new order (as long as `target_kl`, if there is one, allows):
        ratio  = pi(a | s) / p_old
        policy = mean of -min(ratio * A, clip(ratio, 1 - clip_range, 1 + clip_range) * A)
        loss   = policy + value_coefficient * mean of (R - V(s))^2 - entropy_coefficient * mean entropy of pi
        pi and V move by one Adam along the gradient, cut to the length `max_grad_norm`

Equations 7 and 9 of Schulman et al. 2017 (arXiv:1707.06347); advantages by equation 16 of Schulman et al. 2016
(arXiv:1506.02438). The loss is in `kagent/objectives/clipped_policy.py` and `kagent/objectives/rollouts.py`, with its
equations in `kagent/ops/policy_gradient.py`; advantages are in `kagent/ops/returns.py`; the rollout in
`kagent/memories/rollout.py`.
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
from kagent.exploration import Sampling
from kagent.objectives import ClippedPolicyObjective
from kagent.parts import Network, Scheduled
from kagent.policies import state_dependent_noise as noises
from kagent.policies.state_dependent_noise import Noise
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
            to 255. The critic gets a network of the same configuration with its own weights; where the network sees images it is a
            head on the policy's own (`critic="StateValue"` has it by itself). Recurrent layers carry their
            state through episodes, as in `[keras.layers.Dense(64), keras.layers.LSTM(64)]` or `{"rnn": 64}`.
        n_steps: Timesteps of each environment in one rollout.
        sequence_length: Of recurrent networks, timesteps in a sequence, through which gradients flow; `n_steps` and
            `batch_size` are multiples of it. None: the largest such number up to 32. Other networks take none.
        batch_size: Transitions per gradient step.
        epochs: Passes over each rollout.
        learning_rate: Of Adam. May be a schedule.
        discount: Weight of a reward one timestep later.
        gae_lambda: Weight of longer horizons in the advantage; 0 trusts the critic, 1 the rewards.
        clip_range: How far an action's probability ratio may move in one update. May be a schedule.
        entropy_coefficient: Weight of entropy in the loss. May be a schedule.
        value_coefficient: Weight of the critic's loss.
        value_clip_range: How far a value may move from that of before the update until its error counts as if it had not moved
            further, where that is larger. May be a schedule. None: values are free.
        target_kl: An update ends with the gradient step on whose minibatch the KL divergence from the old policy, before the
            step, is above 1.5 times this, in nats. None: all gradient steps are taken.
        normalize_advantage: Whether advantages are standardized in each minibatch.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        log_std: Initial log standard deviation of Gaussian actions.
        head_gain: Scale of the initial (orthogonal) weights of the policy's head, "fan_in" or "auto" (0.01); see
            `kagent.policies.StochasticPolicy`.
        state_dependent_noise: Noise that stays for some timesteps in place of independent noise at each one: timesteps of an
            environment from one draw to the next, "episode", "rollout" (`n_steps`), or a `kagent.policies.StateDependentNoise` or its
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

    >>> agent = kagent.PPO("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=50_000)
    """

    network = FromPart("policy.network")
    n_steps = FromPart("memory.steps")
    sequence_length = FromPart("memory.sequence_length")
    batch_size = FromPart("update.batch_size")
    epochs = FromPart("update.epochs")
    learning_rate = FromPart("optimizer.learning_rate")
    discount = FromPart("reward_estimation.discount")
    gae_lambda = FromPart("reward_estimation.gae_lambda")
    clip_range = FromPart("objective.clip_range")
    entropy_coefficient = FromPart("objective.entropy_coefficient")
    value_coefficient = FromPart("objective.value_coefficient")
    value_clip_range = FromPart("objective.value_clip_range")
    target_kl = FromPart("objective.target_kl")
    normalize_advantage = FromPart("objective.normalize_advantage")
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
        n_steps: int = 2048,
        sequence_length: int | None = None,
        batch_size: int = 64,
        epochs: int = 10,
        learning_rate: Scheduled = 3e-4,
        discount: Scheduled = 0.99,
        gae_lambda: float = 0.95,
        clip_range: Scheduled = 0.2,
        entropy_coefficient: Scheduled = 0.0,
        value_coefficient: Scheduled = 0.5,
        value_clip_range: Scheduled | None = None,
        target_kl: float | None = None,
        normalize_advantage: bool = True,
        max_grad_norm: float | None = 0.5,
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
        objective = ClippedPolicyObjective(
            clip_range=clip_range,
            value_coefficient=value_coefficient,
            entropy_coefficient=entropy_coefficient,
            normalize_advantage=normalize_advantage,
            value_clip_range=value_clip_range,
            target_kl=target_kl,
        )
        check_positive(max_grad_norm, "max_grad_norm")
        defaults = {
            "policy": {
                "type": "StochasticPolicy",
                "network": network,
                "log_std": log_std,
                "head_gain": head_gain,
                "state_dependent_noise": noises.get(state_dependent_noise, rollout=n_steps),
            },
            "critic": {"type": "auto", "network": networks.clone(network)},
            "objective": objective,
            "memory": {"type": "Rollout", "steps": check_count(n_steps, "n_steps"), "sequence_length": sequence_length},
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
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **normalized(normalize, {**defaults, **parts}),
        )
