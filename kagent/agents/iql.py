"""Implicit Q-learning, for recorded experience.

    `gradient_steps` times an update:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        A = min over critics of Q_target(s, a) - V(s)
        V moves by Adam to lower the mean of |expectile - 1{A < 0}| * A^2
        each critic Q moves by Adam to lower the mean of (r + discount * V(s') - Q(s, a))^2
        pi moves by Adam to raise the mean of min(exp(inverse_temperature * A), max_weight) * log pi(a | s)
        Q_target = tau * Q + (1 - tau) * Q_target

Algorithm 1 of Kostrikov et al. 2021 (arXiv:2110.06169). The losses are in `kagent/objectives/implicit_q_learning.py`, with their
equations in `kagent/ops/offline.py`; Q and V in `kagent/policies/further_critics.py`.
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
from kagent.exploration import Sampling
from kagent.memories import Memory
from kagent.objectives import ImplicitQLearningObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.policies import ActionValue
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent(
    "iql", summary="values of the better recorded actions, and a policy of these: offline learning; every action space"
)
class IQL(Agent):
    """Implicit Q-learning (Kostrikov et al. 2021, "Offline Reinforcement Learning with Implicit Q-Learning", arXiv:2110.06169).

    For all action spaces. It is made for `fit` of recorded episodes: its values and its policy are of actions that were taken there,
    and of no others. It goes on with `fit` of an environment, in which the policy samples.

    The defaults are those of the paper, but for networks (there dropout for some tasks) and the cosine schedule of the policy's
    learning rate, which `learning_rate` may have.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. The critics
            get networks of the same configuration, with their own weights.
        critic_network: Of the critics and of V, in the same forms; None: as `network`.
        learning_rate, critic_learning_rate: Of Adam for the policy, and for critics and V; None: the policy's. May be schedules.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps collected in an environment before the first update there.
        frequency: Timesteps between updates in an environment; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        tau: How far the target critics move at each gradient step.
        discount: Weight of a reward one timestep later.
        expectile: Which of the recorded actions' values V is, in (0, 1): at 1/2 their mean, nearer to 1 nearer to the largest.
        inverse_temperature: How much better actions count in the policy's loss, >= 0; 0 clones all. May be a schedule.
        max_weight: The most that an action counts there.
        members: Number of critics, of which the smallest value counts.
        log_std: Initial log standard deviation of Gaussian actions. Other actions take none.
        normalize: Statistics standardize what the agent sees: True, "observation" or "reward" alone, False. Of recorded episodes
            they are those of all of them. See `kagent.agents.normalization`.
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

    >>> history = agent.fit("CartPole-v1", episodes=5, callbacks=[kagent.callbacks.Recorder("played")])
    >>> offline = kagent.IQL("CartPole-v1", expectile=0.8, seed=0)
    >>> history = offline.fit("played", updates=5_000)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    critic_learning_rate = FromPart("critic_optimizer.learning_rate", None, otherwise="optimizer.learning_rate")
    network = FromPart("policy.network")
    critic_network = FromPart("critic.network")
    tau = FromPart("target.tau")
    expectile = FromPart("objective.expectile")
    inverse_temperature = FromPart("objective.inverse_temperature")
    max_weight = FromPart("objective.max_weight")
    members = FromPart("critic.members")
    log_std = FromPart("policy.log_std")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        critic_network: Network | None = None,
        learning_rate: Scheduled = 3e-4,
        critic_learning_rate: Scheduled | None = None,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 256,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        tau: float = 0.005,
        discount: Scheduled = 0.99,
        expectile: float = 0.7,
        inverse_temperature: Scheduled = 3.0,
        max_weight: float = 100.0,
        members: int = 2,
        log_std: float = 0.0,
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
            "policy": {
                "type": "StochasticPolicy",
                "network": networks.get(network, ActionValue.default_network),
                "log_std": log_std,
            },
            "critic": {"type": "ActionAndStateValue", "network": of_critics, "members": members},
            "objective": ImplicitQLearningObjective(
                expectile=expectile, inverse_temperature=inverse_temperature, max_weight=max_weight
            ),
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": Sampling(),
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
