"""Soft actor-critic.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory; a' sampled from pi(. | s')
        target = r + discount * (min over critics of Q_target(s', a') - temperature * log pi(a' | s'))
        each critic Q moves by Adam to lower the mean of (target - Q(s, a))^2 / 2
        pi moves by Adam to lower the mean of temperature * log pi(b | s) - min over critics of Q(s, b), b from pi(. | s)
        the temperature moves by Adam so that the mean of -log pi(b | s) becomes `target_entropy`
        Q_target = tau * Q + (1 - tau) * Q_target

Equations 5 to 9, 17 and 18 of Haarnoja et al. 2018 (arXiv:1812.05905). The three losses are in
`kagent/objectives/soft_actor_critic.py`, with their equations in `kagent/ops/actor_critic.py`; the replay memory in
`kagent/memories/replay.py`; Q_target follows by `kagent/optimizers/target.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.agents.temperature import initial_temperature, temperature_optimizer
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.memories import Memory
from kagent.objectives import SoftActorCriticObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.policies import ActionValue, Role
from kagent.policies import state_dependent_noise as noises
from kagent.policies.state_dependent_noise import Noise
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("sac", summary="off-policy actor-critic for return and entropy; continuous actions")
class SAC(Agent):
    """Soft actor-critic with twin critics and a learned temperature (Haarnoja et al. 2018, arXiv:1812.05905).

    For `Box` actions with finite bounds, and nestings of these.

    The defaults are those of Stable-Baselines3, initial weights and Adam's epsilon included.

    Two algorithms that take twenty gradient steps for each timestep are settings of this one. REDQ (Chen et al. 2021,
    arXiv:2101.05982, algorithm 1) has many critics, few of which make a target: `members=10, subset=2, gradient_steps=20,
    start=5000`. DroQ (Hiraoka et al. 2022, arXiv:2110.02034, algorithm 2) has two critics with dropout and layer normalization;
    it is the second example.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. The critics
            get networks of the same configuration, over observation and action, with their own weights; a model built for
            observations alone meets the action in one more dense layer of 256 ReLU.
        critic_network: Of the critics, over observation and action, in the same forms; None: as `network`.
        learning_rate, critic_learning_rate, temperature_learning_rate: Of Adam for policy, critics and temperature; None: the
            policy's. May be schedules.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps of uniformly random actions; the first update follows them, and at least `batch_size` timesteps.
        frequency: Timesteps between updates, over all environments; a float is a part of the batch size, "never" leaves it to
            `update()`.
        gradient_steps: Gradient steps per update. As many as `frequency` are one for each timestep, for any `n_envs`.
        tau: How far the target critics move at each gradient step.
        discount: Weight of a reward one timestep later.
        temperature: Weight of entropy: "auto" learns it from 1 on, "auto_0.1" from 0.1 on, a number fixes it.
        target_entropy: Entropy the learned temperature holds the policy at; "auto": minus the number of components.
        subset: How many of the critics have a say in a target: so many are drawn anew at each gradient step, and the policy climbs
            the mean of all critics. None: the smallest value of all critics, in targets and for the policy.
        stochastic_critics: Whether the critics' dropout also draws in targets and in the policy's loss. For critics with dropout.
        members: Number of critics.
        log_std: Initial log standard deviation of actions before tanh; of those with `state_dependent_noise` that of each
            feature's noise. None: -3 with `state_dependent_noise`, else 0.
        state_dependent_noise: Noise that stays for some timesteps in place of independent noise at each one: timesteps of an
            environment from one draw to the next, "episode", or a `kagent.policies.StateDependentNoise` or its
            arguments in a dict (Raffin et al. 2021, arXiv:2005.05719). For Box actions. None: independent noise.
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

    >>> agent = kagent.SAC("Pendulum-v1", learning_rate=1e-3, seed=0)
    >>> history = agent.fit("Pendulum-v1", steps=5_000)

    DroQ:

    >>> layer = [
    ...     {"type": "linear", "size": 256}, {"type": "dropout", "rate": 0.01}, "layer_normalization",
    ...     {"type": "activation", "nonlinearity": "relu"},
    ... ]
    >>> droq = kagent.SAC(
    ...     "Pendulum-v1", critic_network=[*layer, *layer], subset=2, stochastic_critics=True, gradient_steps=20, start=5_000,
    ... )
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    discount = FromPart("reward_estimation.discount")
    learning_rate = FromPart("optimizer.learning_rate")
    critic_learning_rate = FromPart("critic_optimizer.learning_rate", None, otherwise="optimizer.learning_rate")
    temperature_learning_rate = FromPart("temperature_optimizer.learning_rate", default=None)
    network = FromPart("policy.network")
    critic_network = FromPart("critic.network")
    tau = FromPart("target.tau")
    target_entropy = FromPart("objective.target_entropy")
    subset = FromPart("objective.subset")
    stochastic_critics = FromPart("objective.stochastic_critics")
    members = FromPart("critic.members")
    log_std = FromPart("policy.log_std")
    state_dependent_noise = FromPart("policy.state_dependent_noise")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        critic_network: Network | None = None,
        learning_rate: Scheduled = 3e-4,
        critic_learning_rate: Scheduled | None = None,
        temperature_learning_rate: Scheduled | None = None,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 256,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        tau: float = 0.005,
        discount: Scheduled = 0.99,
        temperature: Role | float | str | dict[str, Any] = "auto",
        target_entropy: float | str = "auto",
        subset: int | None = None,
        stochastic_critics: bool = False,
        members: int = 2,
        log_std: float | None = None,
        state_dependent_noise: Noise = None,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        initial, learned = initial_temperature(temperature, target_entropy, parts)
        objective = SoftActorCriticObjective(
            target_entropy=target_entropy,
            learn_temperature=learned,
            stochastic_critics=stochastic_critics,
            subset=subset,
        )
        rates = learning_rate, learning_rate if critic_learning_rate is None else critic_learning_rate
        policy_adam, critic_adam = ({"type": "Adam", "learning_rate": rate, "epsilon": 1e-8} for rate in rates)
        of_critics = networks.clone(network) if critic_network is None else critic_network
        defaults = {
            "policy": {
                "type": "StochasticPolicy",
                "network": networks.get(network, ActionValue.default_network),
                "distribution": "squashed_gaussian",
                "log_std": noises.log_std_before_tanh(log_std, state_dependent_noise),
                "state_dependent_noise": state_dependent_noise,
            },
            "critic": {"type": "ActionValue", "network": of_critics, "members": members},
            "temperature": initial,
            "objective": objective,
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": Sampling(random_steps=start),
            "target": Target(tau=tau),
            "optimizer": policy_adam,
            "critic_optimizer": critic_adam,
            "temperature_optimizer": temperature_optimizer(temperature_learning_rate, learning_rate, learned),
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
        check_dropout(self.critic, stochastic_critics)


def check_dropout(critic: Any, stochastic_critics: bool) -> None:
    """Refuses `stochastic_critics` of critics that draw nothing, which is known when the networks are there.

    Raises:
        ValueError: They have neither dropout nor moving statistics, which have another value in training mode, too.
    """
    if stochastic_critics and critic and not (critic.random_states() or critic.non_trainable_weights):
        raise ValueError(
            "`stochastic_critics` is dropout where critics are read, and these have none. Received: True. Allowed: False, or "
            '`critic_network` with layers of dropout, such as [{"type": "dense", "size": 256}, {"type": "dropout", "rate": 0.01}]'
        )
