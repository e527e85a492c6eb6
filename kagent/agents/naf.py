"""Normalized advantage functions.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        Q(s, a) = V(s) - (a - mu(s))' L(s) L(s)' (a - mu(s)) / 2        which is largest at a = mu(s), where it is V(s)
        target  = r + discount * V_target(s')                           the second term is 0 where s' is terminal
        V, mu and L move by Adam to lower the mean of (target - Q(s, a))^2 / 2
        V_target = tau * V + (1 - tau) * V_target
    actions in training are mu(s) with noise

Algorithm 1 of Gu et al. 2016 (arXiv:1603.00748). The loss is in `kagent/objectives/normalized_advantage.py`, with its equations
in `kagent/ops/naf.py`; the heads of V, mu and L in `kagent/policies/normalized_advantage.py`; the noise in
`kagent/exploration/noise.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.agents.prioritized import Replayed, replay
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Exploration
from kagent.objectives import NormalizedAdvantageObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.schedules import Schedule
from kagent.update import Update


@register_agent("naf", summary="Q-learning of continuous actions by a quadratic advantage")
class NAF(Agent):
    """Normalized advantage functions (Gu et al. 2016, "Continuous Deep Q-Learning with Model-based Acceleration",
    arXiv:1603.00748): DQN for continuous actions, without an actor of its own.

    The value of an action falls with the square of its distance from the best one, which a head of the network gives. So the
    best action and its value are known without a search. That is a good picture of an environment in which one action is
    best and others are worse the further away they are; where two far actions are best, it is not.

    For `Box` actions with finite bounds, and nestings of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, a list of layers, or a Keras layer or model from observation to
            features, which gets the observation as the space declares it: a uint8 image as floats from 0 to 255.
        learning_rate: Of Adam. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Replay` or `Prioritized`.
        batch_size: Transitions per gradient step.
        start: Timesteps before the first update, which takes at least `batch_size`.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        discount: Weight of a reward one timestep later.
        horizon: How many further rewards join the present one before the target network's estimate; see `DQN`.
        tau: How far the target network moves at each gradient step.
        exploration: Standard deviation of Gaussian noise on actions in training, in the environment's units; may be a
            schedule, a dict by action, or an exploration such as `OrnsteinUhlenbeckNoise`, which the paper has.
        prioritized: As for `DQN`.
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
    taken, as of every agent; those per update are `gradient_steps_per_update`. `prioritized` is True or False.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.NAF("Pendulum-v1", exploration=0.2, seed=0)
    >>> history = agent.fit("Pendulum-v1", steps=10_000)
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
    prioritized = FromPart("memory.prioritized")
    huber = FromPart("objective.huber")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 1e-3,
        memory: Replayed = 1_000_000,
        batch_size: int = 256,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        discount: Scheduled = 0.99,
        horizon: int | Schedule | dict[str, Any] = 0,
        tau: float = 0.005,
        exploration: Exploration | Scheduled | str = 0.1,
        prioritized: bool | dict[str, Any] | None = None,
        huber: float | None = None,
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
            "policy": {"type": "NormalizedAdvantagePolicy", "network": network},
            "objective": NormalizedAdvantageObjective(huber=huber),
            "memory": replay(memory, prioritized),
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(horizon=horizon, discount=discount, estimate_horizon="late"),
            "exploration": exploration,
            "target": Target(tau=tau),
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
