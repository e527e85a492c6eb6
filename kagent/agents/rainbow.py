"""Rainbow.

    every `frequency` timesteps, `gradient_steps` times, each time with new noise on the weights:
        (s, a, R, s') = `batch_size` transitions over `horizon + 1` timesteps, drawn in proportion to their priorities
        b      = the action of the largest mean of p(s', .), z being the `atoms` numbers from `low` to `high`
        target = probabilities p_target(s', b) of the returns R + discount**(horizon + 1) * z, projected onto z
        loss   = weighted mean of the cross-entropy of p(s, a) to the target; priorities: its distance to the target
        p moves by Adam along its gradient; p = softmax(V(s) + A(s, a) - mean of A(s, .)) of two noisy streams
    every `target_update_period` timesteps: p_target = tau * p + (1 - tau) * p_target

Section "The Integrated Agent" of Hessel et al. 2018 (arXiv:1710.02298). The loss is in `kagent/objectives/distributional.py`; the
priorities in `kagent/memories/prioritized.py`; the streams in `kagent/policies/distributional.py`; the noise in
`kagent/networks/noisy.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.epsilon import unless_noisy
from kagent.agents.horizon import unless_shorter
from kagent.agents.normalization import Normalize, normalized
from kagent.agents.prioritized import Replayed, replay
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import EpsilonGreedy, Exploration
from kagent.objectives import CategoricalReturnObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update


@register_agent("rainbow", summary="DQN with its six improvements together; discrete actions")
class Rainbow(Agent):
    """Rainbow (Hessel et al. 2018, "Rainbow: Combining Improvements in Deep Reinforcement Learning", arXiv:1710.02298): DQN with
    double choice, prioritized replay, dueling streams, returns over several timesteps, distributions of returns, and noisy layers.

    Each of the six is an argument, so that one can be left out: `double=False`, `prioritized=False`, `dueling=False`, `horizon=0`,
    `noisy=False`; without distributions it is `DQN` with these arguments.

    Choose `low` and `high` so that discounted returns lie between: those beyond count as the nearer bound.

    For discrete actions: `Discrete`, `MultiDiscrete`, `MultiBinary` or a nesting of these (branching heads).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 ReLU, or convolutions for images), a dict such as
            `{"type": "mlp", "units": [256, 256]}`, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. Its layers have no noise.
        stream_units: Widths of noisy ReLU layers that each of the two streams has of its own; 512 in the paper.
        learning_rate: Of Adam. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Prioritized` or `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps collected before the first update, which takes at least `batch_size`.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        discount: Weight of a reward one timestep later.
        horizon: How many further rewards join the present one before the target network's estimate. May be a schedule, whose
            value at a timestep stays with it in the memory. None: 2, the paper's three timesteps, or `max_episode_timesteps`
            where that is less.
        target_update_period: Timesteps between moves of the target network.
        tau: How far the target moves each time; 1 copies.
        exploration: Epsilon over time: `EpsilonGreedy`, a dict of it, or a constant. By default 0; without `noisy` it falls to
            0.01.
        atoms: How many returns have a probability, at least 2.
        low, high: The first and the last of them, in units of the discounted return; the paper's are for rewards cut to
            [-1, 1].
        double: Whether the online network picks the target's action.
        dueling: Whether logits come from two streams, a state's and the advantages of actions.
        noisy: Whether streams and heads have noise on their weights: True, or a number in place of the initial `sigma` of 0.5; see
            `kagent.networks.NoisyDense`.
        prioritized: Whether transitions are drawn by their losses: True, a dict of arguments of
            `kagent.memories.Prioritized`, or False. None: as `memory` says, a number being the capacity of a `Prioritized`.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only. `gradient_steps` is how many were
    taken, as of every agent; those per update are `gradient_steps_per_update`. `prioritized` is True or False.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.Rainbow("CartPole-v1", low=0.0, high=100.0, learning_rate=1e-3, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=10_000)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    network = FromPart("policy.network")
    stream_units = FromPart("policy.stream_units")
    tau = FromPart("target.tau")
    horizon = FromPart("reward_estimation.horizon")
    target_update_period = FromPart("target.period")
    atoms = FromPart("policy.atoms")
    low = FromPart("policy.low")
    high = FromPart("policy.high")
    double = FromPart("objective.double")
    dueling = FromPart("policy.dueling")
    noisy = FromPart("policy.noisy")
    prioritized = FromPart("memory.prioritized")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        stream_units: Sequence[int] = (),
        learning_rate: Scheduled = 6.25e-5,
        memory: Replayed = 1_000_000,
        batch_size: int = 32,
        start: int = 100,
        frequency: int | float | str = 4,
        gradient_steps: int = 1,
        discount: Scheduled = 0.99,
        horizon: int | Schedule | dict[str, Any] | None = None,
        target_update_period: int = 10_000,
        tau: float = 1.0,
        exploration: Exploration | Scheduled | str | None = None,
        atoms: int = 51,
        low: float = -10.0,
        high: float = 10.0,
        double: bool = True,
        dueling: bool = True,
        noisy: bool | float = True,
        prioritized: bool | dict[str, Any] | None = None,
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
        limit = parts.get("max_episode_timesteps")
        defaults = {
            "policy": {
                "type": "CategoricalReturnPolicy",
                "network": network,
                "atoms": atoms,
                "low": low,
                "high": high,
                "dueling": dueling,
                "stream_units": stream_units,
                "noisy": noisy,
            },
            "objective": CategoricalReturnObjective(double=double),
            "memory": replay(memory, prioritized, default=True),
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(
                horizon=unless_shorter(horizon, 2, limit), discount=discount, estimate_horizon="late"
            ),
            "exploration": unless_noisy(exploration, EpsilonGreedy(final=0.01), noisy),
            "target": Target(tau=tau, period=target_update_period, unit="timesteps"),
            "optimizer": {
                "type": "Adam",
                "learning_rate": learning_rate,
                "epsilon": 1.5e-4,
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
