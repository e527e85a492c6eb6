"""Deterministic policy gradient.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        target = r + discount * min over critics of Q_target(s', mu_target(s'))
        each critic Q moves by Adam to lower the mean of (target - Q(s, a))^2 / 2
        mu moves by Adam to lower the mean of -Q(s, mu(s)), Q of the first critic
        Q_target = tau * Q + (1 - tau) * Q_target, and mu_target likewise

Algorithm 1 of Lillicrap et al. 2016 (arXiv:1509.02971). The two losses are in
`kagent/objectives/deterministic_policy_gradient.py`; the noise on actions in `kagent/exploration/noise.py`; the replay memory
in `kagent/memories/replay.py`; the target networks follow by `kagent/optimizers/target.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Exploration
from kagent.memories import Memory
from kagent.objectives import DeterministicPolicyGradientObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("dpg", "ddpg", summary="off-policy actor-critic, deterministic; continuous actions")
class DPG(Agent):
    """Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv:1509.02971).

    For `Box` actions with finite bounds, and nestings of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, a list of layers, or a Keras layer or model from observation to
            features, which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. The
            critic gets one of the same configuration, over observation and action, with its own weights.
        critic_network: Of the critic, over observation and action, in the same forms; None: as `network`.
        learning_rate, critic_learning_rate: Of Adam for policy and critic; None: the critic's is the policy's. May be
            schedules.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps before the first update, which takes at least `batch_size`. Until then the policy acts, with noise.
        frequency: Timesteps between updates, over all environments; a float is a part of the batch size, "never" leaves it to
            `update()`.
        gradient_steps: Gradient steps per update. As many as `frequency` are one for each timestep, for any `n_envs`.
        tau: How far the target networks move at each gradient step.
        discount: Weight of a reward one timestep later.
        exploration: Standard deviation of Gaussian noise on actions in training, in the environment's units; may be a
            schedule, or a dict by action. Stable-Baselines3's DDPG begins with random actions, and its noise is in half ranges:
            `{"type": "ActionNoise", "amount": 0.1, "relative": True, "random_steps": 100}`. "ornstein_uhlenbeck" is the
            paper's.
        members: Number of critics; of several, the smallest value is the target.
        huber: Error beyond which the critic's loss is linear; None: squared.
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

    >>> agent = kagent.DPG("Pendulum-v1", exploration=0.2, seed=0)
    >>> history = agent.fit("Pendulum-v1", steps=10_000)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    network = FromPart("policy.network")
    critic_network = FromPart("critic.network")
    tau = FromPart("target.tau")
    critic_learning_rate = FromPart("critic_optimizer.learning_rate", None, otherwise="optimizer.learning_rate")
    members = FromPart("critic.members")
    huber = FromPart("objective.huber")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        critic_network: Network | None = None,
        learning_rate: Scheduled = 1e-3,
        critic_learning_rate: Scheduled | None = None,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 256,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        tau: float = 0.005,
        discount: Scheduled = 0.99,
        exploration: Exploration | Scheduled | str = 0.1,
        members: int = 1,
        huber: float | None = None,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        rates = learning_rate, learning_rate if critic_learning_rate is None else critic_learning_rate
        policy_adam, critic_adam = ({"type": "Adam", "learning_rate": rate, "epsilon": 1e-8} for rate in rates)
        of_critics = networks.clone(network) if critic_network is None else critic_network
        defaults = {
            "policy": {"type": "DeterministicPolicy", "network": network},
            "critic": {"type": "ActionValue", "network": of_critics, "members": members},
            "objective": DeterministicPolicyGradientObjective(huber=huber),
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": exploration,
            "target": Target(tau=tau),
            "optimizer": policy_adam,
            "critic_optimizer": critic_adam,
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
