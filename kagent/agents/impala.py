"""IMPALA: an actor-critic that learns from the timesteps of older policies by V-trace.

    each of `n_envs` environments takes `n_steps` timesteps, actions sampled from the policy mu, which is pi of that time
    `epochs` times, in minibatches of `batch_size` timesteps, which are sequences of `sequence_length`, in a new order:
        ratio = pi(a | s) / mu(a | s),  rho = min(rho_clip, ratio),  c = return_lambda * min(c_clip, ratio)
        v  = V(s) + rho * (r + discount * V(s') - V(s)) + discount * c * (v' - V(s')), from the sequence's last timestep to its first
        A  = rho * (r + discount * v' - V(s)), for a return_lambda of 1; v' is V(s') in the last timestep, and of an episode cut off
        loss = mean of -A * log pi(a | s) + value_coefficient * mean of (v - V(s))^2 - entropy_coefficient * mean entropy of pi
        pi and V move by one Adam along the gradient, cut to the length `max_grad_norm`

Equation 1 and section 4.2 of Espeholt et al. 2018 (arXiv:1802.01561). The loss is in `kagent/objectives/vtrace.py` and
`kagent/objectives/rollouts.py`, with its equation in `kagent/ops/vtrace.py`; the rollout in `kagent/memories/rollout.py`.
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
from kagent.objectives import VTraceObjective
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("impala", summary="actor-critic corrected for older policies by V-trace; any actions")
class IMPALA(Agent):
    """Importance weighted actor-learner architecture (Espeholt et al. 2018, arXiv:1802.01561).

    V-trace corrects for timesteps in which an older policy acted: those of a rollout that is learned from for several epochs, and those of
    workers that do not wait for the learner (`fit(..., workers=kagent.distributed.Ray(8))`).

    For every action space: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, and any nesting of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict, or a Keras layer or model from
            observation to features, which gets the observation as the space declares it: a uint8 image as floats from 0
            to 255. The critic gets a network of the same configuration with its own weights; where the network sees images it is a
            head on the policy's own. Recurrent layers carry their state through episodes, as in `{"rnn": 64}`.
        n_steps: Timesteps of each environment in one rollout.
        sequence_length: Timesteps in a sequence, within which V-trace looks ahead; `n_steps` and `batch_size` are multiples of it.
            None: the largest such number up to 32.
        batch_size: Transitions per gradient step.
        epochs: Passes over each rollout.
        learning_rate: Of Adam (the paper: of RMSProp). May be a schedule.
        discount: Weight of a reward one timestep later.
        return_lambda: Weight of longer horizons; 0 trusts the critic, 1 the rewards to the sequence's end. May be a schedule.
        rho_clip: The largest importance weight of a timestep; None: 1e6. Values are those of the policy that learns (None), or of
            one between it and the policy that acted. May be a schedule.
        c_clip: The largest importance weight of what follows a timestep, 0 to 1 and at most `rho_clip`. May be a schedule.
        entropy_coefficient: Weight of entropy in the loss. May be a schedule.
        value_coefficient: Weight of the critic's loss.
        normalize_advantage: Whether advantages are standardized in each minibatch.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        log_std: Initial log standard deviation of Gaussian actions.
        head_gain: Scale of the initial (orthogonal) weights of the policy's head, "fan_in" or "auto" (0.01); see
            `kagent.policies.StochasticPolicy`.
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

    >>> agent = kagent.IMPALA("CartPole-v1", n_envs=8, n_steps=32, batch_size=256, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=50_000)
    """

    network = FromPart("policy.network")
    n_steps = FromPart("memory.steps")
    sequence_length = FromPart("memory.sequence_length")
    batch_size = FromPart("update.batch_size")
    epochs = FromPart("update.epochs")
    learning_rate = FromPart("optimizer.learning_rate")
    discount = FromPart("reward_estimation.discount")
    return_lambda = FromPart("reward_estimation.return_lambda")
    rho_clip = FromPart("objective.rho_clip")
    c_clip = FromPart("objective.c_clip")
    entropy_coefficient = FromPart("objective.entropy_coefficient")
    value_coefficient = FromPart("objective.value_coefficient")
    normalize_advantage = FromPart("objective.normalize_advantage")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    log_std = FromPart("policy.log_std")
    head_gain = FromPart("policy.head_gain")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        n_steps: int = 128,
        sequence_length: int | None = None,
        batch_size: int = 128,
        epochs: int = 2,
        learning_rate: Scheduled = 5e-4,
        discount: Scheduled = 0.99,
        return_lambda: Scheduled = 1.0,
        rho_clip: Scheduled | None = 1.0,
        c_clip: Scheduled = 1.0,
        entropy_coefficient: Scheduled = 0.01,
        value_coefficient: Scheduled = 0.5,
        normalize_advantage: bool = False,
        max_grad_norm: float | None = 0.5,
        log_std: float = 0.0,
        head_gain: float | str = "auto",
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        objective = VTraceObjective(
            rho_clip=rho_clip,
            c_clip=c_clip,
            value_coefficient=value_coefficient,
            entropy_coefficient=entropy_coefficient,
            normalize_advantage=normalize_advantage,
        )
        check_positive(max_grad_norm, "max_grad_norm")
        defaults = {
            "policy": {"type": "StochasticPolicy", "network": network, "log_std": log_std, "head_gain": head_gain},
            "critic": {"type": "auto", "network": networks.clone(network)},
            "objective": objective,
            "memory": {"type": "Rollout", "steps": check_count(n_steps, "n_steps"), "sequence_length": sequence_length},
            "update": Update(batch_size=batch_size, epochs=epochs),
            "reward_estimation": RewardEstimation(
                discount=discount, return_lambda=return_lambda, estimate_horizon="late"
            ),
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
