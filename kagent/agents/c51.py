"""Categorical deep Q-network.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        b      = the action of the largest mean of p_target(s', .), z being the `atoms` numbers from `low` to `high`
        target = probabilities p_target(s', b) of the returns r + discount * z, projected onto z
        loss   = mean of the cross-entropy of p(s, a) to the target
        p moves by Adam along its gradient
    every `target_update_period` timesteps: p_target = tau * p + (1 - tau) * p_target

Algorithm 1 of Bellemare et al. 2017 (arXiv:1707.06887). The loss is in `kagent/objectives/distributional.py`, with the projection
in `kagent/ops/distributional.py`; p in `kagent/policies/distributional.py`; the replay memory in `kagent/memories/replay.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.epsilon import unless_noisy
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import EpsilonGreedy, Exploration
from kagent.memories import Memory
from kagent.objectives import CategoricalReturnObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update

_EPSILON = 0.01 / 32  # of Adam: large, so that rare gradients do not make large steps


@register_agent("c51", summary="DQN of the probabilities of returns; discrete actions")
class C51(Agent):
    """Categorical DQN (Bellemare et al. 2017, "A Distributional Perspective on Reinforcement Learning", arXiv:1707.06887).

    Of each action it learns the probabilities of `atoms` returns from `low` to `high` in place of the mean return, and acts
    by the mean. Choose `low` and `high` so that discounted returns lie between: those beyond count as the nearer bound.
    (`QRDQN` needs no bounds.) `examples/c51.py` shows how such an algorithm is added.

    For discrete actions: `Discrete`, `MultiDiscrete`, `MultiBinary` or a nesting of these (branching heads).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 ReLU, or convolutions for images), a dict such as
            `{"type": "mlp", "units": [256, 256]}`, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255.
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
        exploration: Epsilon over time: `EpsilonGreedy`, a dict of it, or a constant. By default it falls to 0.01, and
            with `noisy` it is 0.
        atoms: How many returns have a probability, at least 2.
        low, high: The first and the last of them, in units of the discounted return; the paper's are for rewards cut to
            [-1, 1].
        double: Whether the online network picks the target's action (double DQN).
        dueling: Whether logits come from two streams, a state's and the advantages of actions.
        noisy: Whether noise on the weights of the heads explores in place of random actions (Fortunato et al. 2018,
            arXiv:1706.10295): True, or a number in place of the initial `sigma` of 0.5; see `kagent.networks.NoisyDense`.
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

    >>> agent = kagent.C51("CartPole-v1", low=0.0, high=100.0, learning_rate=1e-3, seed=0)
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
    atoms = FromPart("policy.atoms")
    low = FromPart("policy.low")
    high = FromPart("policy.high")
    double = FromPart("objective.double")
    dueling = FromPart("policy.dueling")
    noisy = FromPart("policy.noisy")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 2.5e-4,
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
        atoms: int = 51,
        low: float = -10.0,
        high: float = 10.0,
        double: bool = False,
        dueling: bool = False,
        noisy: bool | float = False,
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
                "type": "CategoricalReturnPolicy",
                "network": network,
                "atoms": atoms,
                "low": low,
                "high": high,
                "dueling": dueling,
                "noisy": noisy,
            },
            "objective": CategoricalReturnObjective(double=double),
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(horizon=horizon, discount=discount, estimate_horizon="late"),
            "exploration": unless_noisy(exploration, EpsilonGreedy(final=0.01), noisy),
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
