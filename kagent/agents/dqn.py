"""Deep Q-network.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, R, s') = `batch_size` transitions over `horizon + 1` timesteps, drawn uniformly from the replay memory
        R      = the sum of their rewards, each discounted to the first
        target = R + discount**(horizon + 1) * max over a' of Q_target(s', a')        the second term is 0 where s' is terminal
        loss   = mean of huber(target - Q(s, a))
        Q moves by Adam along its gradient, cut to the length `max_grad_norm`
    every `target_update_period` timesteps:
        Q_target = tau * Q + (1 - tau) * Q_target

With a `horizon` of 0 algorithm 1 of Mnih et al. 2015 (Nature 518); several timesteps as in section 3 of Hessel et al. 2018
(arXiv:1710.02298). The loss is in `kagent/objectives/action_value.py`, with its equations in `kagent/ops/td.py`; the replay
memory in `kagent/memories/replay.py`; Q_target follows by `kagent/optimizers/target.py`.
"""

from __future__ import annotations

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
from kagent.objectives import ActionValueObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update


@register_agent("dqn", summary="values of actions from replayed experience; discrete actions")
class DQN(Agent):
    """Deep Q-network (Mnih et al. 2015, "Human-level control through deep reinforcement learning", Nature 518).

    For discrete actions: `Discrete`, `MultiDiscrete`, `MultiBinary` or a nesting of these (branching heads).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 ReLU, or convolutions for images), a dict such as
            `{"type": "mlp", "units": [256, 256]}`, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255.
        learning_rate: Of Adam. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Replay` or `Prioritized`.
        batch_size: Transitions per gradient step.
        start: Timesteps collected before the first update, which takes at least `batch_size`.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        discount: Weight of a reward one timestep later.
        horizon: How many further rewards join the present one before the target network's estimate; 0 is the paper's plain
            Q-learning. A few make it learn faster, though those rewards are of the actions that were taken then (Hessel et al.
            2018, "Rainbow", arXiv:1710.02298). May be a schedule, whose value at a timestep stays with it in the memory. None:
            4, or `max_episode_timesteps` where that is less.
        target_update_period: Timesteps between moves of the target network.
        tau: How far the target moves each time; 1 copies.
        exploration: Epsilon over time: `EpsilonGreedy`, a dict of it, or a constant. With `noisy` it is 0 by default.
        double: Whether the online network picks the target's action (van Hasselt et al. 2016, arXiv:1509.06461).
        dueling: Whether values come from two streams, a state's and the advantages of actions (Wang et al. 2016,
            arXiv:1511.06581).
        noisy: Whether noise on the weights of the heads explores in place of random actions (Fortunato et al. 2018,
            arXiv:1706.10295): True, or a number in place of the initial `sigma` of 0.5; see `kagent.networks.NoisyDense`.
        prioritized: Whether transitions are drawn by their errors (Schaul et al. 2016, arXiv:1511.05952): True, or a dict
            of arguments of `kagent.memories.Prioritized`. `memory` is its capacity. None: as `memory` says, a number being
            a `Replay`.
        huber: Error beyond which the loss is linear; None: squared.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only. `gradient_steps` is how many were
    taken, as of every agent; those per update are `gradient_steps_per_update`. `prioritized` is True or False; what a dict
    said is in `agent.memory`.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.DQN("CartPole-v1", learning_rate=1e-3, seed=0)
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
    double = FromPart("objective.double")
    dueling = FromPart("policy.dueling")
    noisy = FromPart("policy.noisy")
    prioritized = FromPart("memory.prioritized")
    huber = FromPart("objective.huber")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 5e-4,
        memory: Replayed = 1_000_000,
        batch_size: int = 64,
        start: int = 100,
        frequency: int | float | str = 4,
        gradient_steps: int = 1,
        discount: Scheduled = 0.99,
        horizon: int | Schedule | dict[str, Any] | None = None,
        target_update_period: int = 1_000,
        tau: float = 1.0,
        exploration: Exploration | Scheduled | str | None = None,
        double: bool = False,
        dueling: bool = False,
        noisy: bool | float = False,
        prioritized: bool | dict[str, Any] | None = None,
        huber: float | None = 1.0,
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
            "policy": {"type": "ValuePolicy", "network": network, "dueling": dueling, "noisy": noisy},
            "objective": ActionValueObjective(huber=huber, double=double),
            "memory": replay(memory, prioritized),
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(
                horizon=unless_shorter(horizon, 4, limit), discount=discount, estimate_horizon="late"
            ),
            "exploration": unless_noisy(exploration, EpsilonGreedy(), noisy),
            "target": Target(tau=tau, period=target_update_period, unit="timesteps"),
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
