"""Implicit quantile network.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        u, v   = `samples` and `target_samples` fractions of each transition, uniform between 0 and 1
        b      = the action of the largest mean of Z_target(s', .) over `policy_samples` fractions
        target = r + discount * Z_target(s', b) at the fractions v          the second term is 0 where s' is terminal
        loss   = sum over i, mean over j of |u_i - 1{e < 0}| * huber(e), e = target_j - Z(s, a) at u_i
        Z moves by Adam along its gradient
    every `target_update_period` timesteps: Z_target = tau * Z + (1 - tau) * Z_target

Algorithm 1 of Dabney et al. 2018 (arXiv:1806.06923). The loss is in `kagent/objectives/implicit_quantiles.py`, with its equations in
`kagent/ops/distributional.py`; Z in `kagent/policies/implicit_quantile.py`; the replay memory in `kagent/memories/replay.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import EpsilonGreedy, Exploration
from kagent.memories import Memory
from kagent.objectives import ImplicitQuantilesObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update

_EPSILON = 0.01 / 32  # of Adam: large, so that rare gradients do not make large steps


@register_agent("iqn", summary="DQN of all quantiles of returns, by a network of the fraction; discrete actions")
class IQN(Agent):
    """Implicit quantile network (Dabney et al. 2018, "Implicit Quantile Networks for Distributional Reinforcement Learning",
    arXiv:1806.06923).

    Of each action it learns the quantile of the return at any fraction between 0 and 1: the fraction is an input of the network.
    `QRDQN` learns a fixed number of them. It acts by the mean over `policy_samples` evenly spaced fractions. (The paper draws
    them; without random numbers the greedy action is a function of the observation.)

    For discrete actions: `Discrete`, `MultiDiscrete`, `MultiBinary` or a nesting of these (branching heads).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 ReLU, or convolutions for images), a dict such as
            `{"type": "mlp", "units": [256, 256]}`, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. Features are
            multiplied with those of a fraction, one by one.
        learning_rate: Of Adam. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps collected before the first update, which takes at least `batch_size`.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        discount: Weight of a reward one timestep later.
        horizon: How many further rewards join the present one before the target network's estimate; 0 is plain Q-learning.
            A few make it learn faster, though those rewards are of the actions that were taken then (Hessel et al. 2018,
            "Rainbow", arXiv:1710.02298). May be a schedule, whose value at a timestep stays with it in the memory.
        target_update_period: Timesteps between moves of the target network.
        tau: How far the target moves each time; 1 copies.
        exploration: Epsilon over time: `EpsilonGreedy`, a dict of it, or a constant. By default it falls to 0.01 in the first
            0.5 % of the run, which is for long runs.
        policy_samples: Fractions in the mean by which it acts, and by which the best next action is found; K in the paper.
        samples: Fractions of the taken action in the loss of a transition; N in the paper.
        target_samples: Fractions of the next action in it; N' in the paper.
        cosines: Cosines that a fraction is given by; n in the paper.
        head_units: Widths of the dense ReLU layers behind the product of features. (The paper has 512, for images.)
        kappa: Error beyond which the loss is linear, a number >= 0; 0: linear everywhere.
        double: Whether the online network picks the target's action (double DQN).
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only. `gradient_steps` is how many were
    taken, as of every agent; those per update are `gradient_steps_per_update`.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.IQN("CartPole-v1", learning_rate=1e-3, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=10_000)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    network = FromPart("policy.network")
    tau = FromPart("target.tau")
    horizon = FromPart("reward_estimation.horizon")
    target_update_period = FromPart("target.period")
    policy_samples = FromPart("policy.samples")
    samples = FromPart("objective.samples")
    target_samples = FromPart("objective.target_samples")
    cosines = FromPart("policy.cosines")
    head_units = FromPart("policy.head_units")
    kappa = FromPart("objective.kappa")
    double = FromPart("objective.double")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 5e-5,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 32,
        start: int = 100,
        frequency: int | float | str = 4,
        gradient_steps: int = 1,
        discount: Scheduled = 0.99,
        horizon: int | Schedule | dict[str, Any] = 0,
        target_update_period: int = 10_000,
        tau: float = 1.0,
        exploration: Exploration | Scheduled | str | None = None,
        policy_samples: int = 32,
        samples: int = 8,
        target_samples: int = 8,
        cosines: int = 64,
        head_units: Sequence[int] = (64,),
        kappa: float = 1.0,
        double: bool = False,
        max_grad_norm: float | None = None,
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
                "type": "ImplicitQuantilePolicy",
                "network": network,
                "samples": policy_samples,
                "cosines": cosines,
                "head_units": head_units,
            },
            "objective": ImplicitQuantilesObjective(
                samples=samples, target_samples=target_samples, kappa=kappa, double=double
            ),
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(horizon=horizon, discount=discount, estimate_horizon="late"),
            "exploration": EpsilonGreedy(fraction=0.005, final=0.01) if exploration is None else exploration,
            "target": Target(tau=tau, period=target_update_period, unit="timesteps"),
            "optimizer": {
                "type": "Adam",
                "learning_rate": learning_rate,
                "epsilon": _EPSILON,
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
