"""Discrete soft actor-critic.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        V(s')  = sum over a' of pi(a' | s') * (min over critics of Q_target(s', a') - temperature * log pi(a' | s'))
        target = r + discount * V(s')
        each critic Q moves by Adam to lower the mean of (target - Q(s, a))^2 / 2
        pi moves by Adam to lower the mean of sum over b of pi(b | s) * (temperature * log pi(b | s) - min of Q(s, b))
        the temperature moves by Adam so that the mean entropy of pi(. | s) becomes `target_entropy`
        Q_target = tau * Q + (1 - tau) * Q_target

Algorithm 1 of Christodoulou 2019 (arXiv:1910.07207), after soft actor-critic (Haarnoja et al. 2018). The losses are in
`kagent/objectives/discrete_soft_actor_critic.py`, with their equations in `kagent/ops/discrete_soft.py`; the critics in
`kagent/policies/further_critics.py`; Q_target follows by `kagent/optimizers/target.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.agents.temperature import initial_temperature
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.memories import Memory
from kagent.objectives import DiscreteSoftActorCriticObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.policies import ActionValue, Role
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("discretesac", summary="SAC for one Discrete action, with exact expectations")
class DiscreteSAC(Agent):
    """Soft actor-critic for discrete actions (Christodoulou 2019, "Soft Actor-Critic for Discrete Action Settings",
    arXiv:1910.07207).

    For a `Discrete` action space; action masks are respected, in acting and in all sums over actions.

    Critics have a value for each action, and the policy a probability, so that expectations over actions are sums and no
    action is sampled in a loss. The policy samples in training and takes the most likely action otherwise. With the
    default `target_entropy` it stays close to uniform: the most likely action is what it has learned.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. The critics
            get networks of the same configuration, over the observation, with their own weights.
        learning_rate: Of Adam for policy, critics and temperature. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps of uniformly random actions; the first update follows them, and at least `batch_size` timesteps.
        frequency: Timesteps between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        tau: How far the target critics move at each gradient step. (The paper copies them every 8,000 timesteps, as DQN:
            `target=Target(period=8_000, unit="timesteps")`.)
        discount: Weight of a reward one timestep later.
        temperature: Weight of entropy: "auto" learns it from 1 on, "auto_0.1" from 0.1 on, a number fixes it.
        target_entropy: Entropy the learned temperature holds the policy at, in nats. "auto": 0.98 times the logarithm of the
            number of actions that are allowed in a state, which is the entropy of uniform choice. "auto_0.5": another share
            of it, in (0, 1]; less explores less.
        members: Number of critics.
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

    >>> agent = kagent.DiscreteSAC("CartPole-v1", learning_rate=1e-3, seed=0)
    >>> history = agent.fit("CartPole-v1", steps=5_000)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    network = FromPart("policy.network")
    tau = FromPart("target.tau")
    target_entropy = FromPart("objective.target_entropy")
    members = FromPart("critic.members")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 3e-4,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 64,
        start: int = 100,
        frequency: int | float | str = 4,
        gradient_steps: int = 1,
        tau: float = 0.005,
        discount: Scheduled = 0.99,
        temperature: Role | float | str | dict[str, Any] = "auto",
        target_entropy: float | str = "auto",
        members: int = 2,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        initial, learned = initial_temperature(temperature, target_entropy, parts)
        objective = DiscreteSoftActorCriticObjective(target_entropy=target_entropy, learn_temperature=learned)
        adam = {"type": "Adam", "learning_rate": learning_rate, "epsilon": 1e-8}
        defaults = {
            "policy": {
                "type": "StochasticPolicy",
                "network": networks.get(network, ActionValue.default_network),
            },
            "critic": {"type": "DiscreteActionValue", "network": networks.clone(network), "members": members},
            "temperature": initial,
            "objective": objective,
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": Sampling(random_steps=start),
            "target": Target(tau=tau),
            "optimizer": adam,
            "critic_optimizer": adam,
            "temperature_optimizer": adam if learned else None,
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
