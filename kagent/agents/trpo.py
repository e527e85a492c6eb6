"""Trust region policy optimization.

    each of `n_envs` environments takes `n_steps` timesteps, actions sampled from the policy pi
    A = generalized advantages by the critic V, R = A + V(s), p_old = pi(a | s)
    L = mean of -A * pi(a | s) / p_old, g = its gradient, F = Hessian of the mean KL divergence from the old pi to the new
    x solves (F + cg_damping) x = -g, by `cg_iterations` conjugate gradient steps
    pi moves by sqrt(2 * max_kl / x'Fx) * x, shortened by a quarter until L is lower and the divergence at most `max_kl`
    `critic_steps` times: V moves by Adam to lower the mean of (R - V(s))^2 / 2

Appendix C of Schulman et al. 2015 (arXiv:1502.05477); advantages by equation 16 of Schulman et al. 2016 (arXiv:1506.02438).
The losses are in `kagent/objectives/policy_gradient.py` and `kagent/objectives/rollouts.py`; the step is in
`kagent/optimizers/natural_gradient.py`, with its equations in `kagent/ops/trust_region.py`; advantages are in
`kagent/ops/returns.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_count
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.objectives import PolicyGradientObjective
from kagent.parts import Network, Scheduled
from kagent.policies import state_dependent_noise as noises
from kagent.policies.state_dependent_noise import Noise
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("trpo", summary="policy steps within a trust region; any actions")
class TRPO(Agent):
    """Trust region policy optimization (Schulman et al. 2015, arXiv:1502.05477), with generalized advantages (Schulman
    et al. 2016, arXiv:1506.02438).

    The policy takes one natural gradient step per rollout, on all of it: in the direction of
    `kagent.optimizers.NaturalGradient`, and as far as the mean KL divergence from the old policy to the new is at most
    `max_kl` and the surrogate loss becomes smaller. If there is no such step, it stays. The critic learns by Adam.

    For every action space: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, and any nesting of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict, or a Keras layer or model from
            observation to features, which gets the observation as the space declares it: a uint8 image as floats from 0
            to 255. The critic gets a network of the same configuration with its own weights.
        n_steps: Timesteps of each environment in one rollout.
        discount: Weight of a reward one timestep later.
        gae_lambda: Weight of longer horizons in the advantage; 0 trusts the critic, 1 the rewards.
        max_kl: Largest mean KL divergence of an update, in nats. May be a schedule.
        cg_iterations: Products with the Fisher information in the search of a direction.
        cg_damping: Added to its diagonal. Larger steps are shorter and surer.
        linesearch_iterations: How often a step may be shrunk, by a quarter each time.
        critic_learning_rate: Of the critic's Adam. May be a schedule.
        critic_steps: Gradient steps of the critic per update, each on `critic_batch_size` transitions. May be a schedule.
        critic_batch_size: Transitions of the rollout in each, drawn anew; None: all.
        entropy_coefficient: Weight of entropy in the policy's loss. May be a schedule.
        normalize_advantage: Whether advantages are standardized.
        log_std: Initial log standard deviation of Gaussian actions.
        head_gain: Scale of the initial (orthogonal) weights of the policy's head, "fan_in" or "auto" (0.01); see
            `kagent.policies.StochasticPolicy`.
        state_dependent_noise: Noise that stays for some timesteps in place of independent noise at each one: timesteps of an
            environment from one draw to the next, "episode", "rollout" (`n_steps`), or a `kagent.policies.StateDependentNoise` or its
            arguments in a dict (Raffin et al. 2021, arXiv:2005.05719). For Box actions. None: independent noise.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable. The rollout of all of them is one batch; `fit` in
            more environments than that takes a step for every so many transitions.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.TRPO("CartPole-v1", n_envs=4, n_steps=256, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=50_000)
    """

    network = FromPart("policy.network")
    n_steps = FromPart("memory.steps")
    discount = FromPart("reward_estimation.discount")
    gae_lambda = FromPart("reward_estimation.gae_lambda")
    max_kl = FromPart("optimizer.learning_rate")
    cg_iterations = FromPart("optimizer.cg_max_iterations")
    cg_damping = FromPart("optimizer.cg_damping")
    linesearch_iterations = FromPart("optimizer.linesearch_iterations")
    critic_learning_rate = FromPart("critic_optimizer.learning_rate")
    critic_steps = FromPart("critic_optimizer.multi_step", 1)
    critic_batch_size = FromPart("critic_optimizer.subsampling_fraction", None)
    entropy_coefficient = FromPart("objective.entropy_coefficient")
    normalize_advantage = FromPart("objective.normalize_advantage")
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
        discount: Scheduled = 0.99,
        gae_lambda: float = 0.95,
        max_kl: Scheduled = 0.01,
        cg_iterations: int = 10,
        cg_damping: float = 0.1,
        linesearch_iterations: int = 10,
        critic_learning_rate: Scheduled = 1e-3,
        critic_steps: Scheduled = 80,
        critic_batch_size: int | None = None,
        entropy_coefficient: Scheduled = 0.0,
        normalize_advantage: bool = True,
        log_std: float = 0.0,
        head_gain: float | str = "auto",
        state_dependent_noise: Noise = None,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int = 1,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        envs = env.num_envs if isinstance(env, gymnasium.vector.VectorEnv) else check_count(n_envs, "n_envs")
        critic_optimizer = {"type": "Adam", "learning_rate": critic_learning_rate, "multi_step": critic_steps}
        if critic_batch_size is not None:
            critic_optimizer["subsampling_fraction"] = check_count(critic_batch_size, "critic_batch_size")
        defaults = {
            "policy": {
                "type": "StochasticPolicy",
                "network": network,
                "log_std": log_std,
                "head_gain": head_gain,
                "state_dependent_noise": noises.get(state_dependent_noise, rollout=n_steps),
            },
            "critic": {"type": "StateValue", "network": networks.clone(network)},
            "objective": PolicyGradientObjective(
                importance_sampling=True,
                entropy_coefficient=entropy_coefficient,
                normalize_advantage=normalize_advantage,
            ),
            "memory": {"type": "Rollout", "steps": n_steps},
            "update": Update(batch_size=check_count(n_steps, "n_steps") * envs, epochs=1),
            "reward_estimation": RewardEstimation(discount=discount, gae_lambda=gae_lambda, estimate_horizon="late"),
            "exploration": Sampling(),
            "optimizer": {
                "type": "natural_gradient",
                "learning_rate": max_kl,
                "cg_max_iterations": cg_iterations,
                "cg_damping": cg_damping,
                "linesearch_iterations": linesearch_iterations,
            },
            "critic_optimizer": critic_optimizer,
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
