"""CrossQ: soft actor-critic with batch normalization in place of target networks.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory; a' sampled from pi(. | s')
        each critic reads (s, a) and (s', a') in one batch, normalized together: Q(s, a) and Q(s', a')
        target = r + discount * (min over critics of Q(s', a') - temperature * log pi(a' | s')), without a gradient
        each critic moves by Adam to lower the mean of (target - Q(s, a))^2 / 2; moving statistics follow the batch
        every `policy_delay` of these gradient steps:
            pi moves by Adam to lower the mean of temperature * log pi(b | s) - min over critics of Q(s, b), b from pi(. | s),
            and the temperature so that the mean of -log pi(b | s) becomes `target_entropy`

Section 4 of Bhatt et al. 2024 (arXiv:1902.05605). The critics' loss is in `kagent/objectives/crossq.py`, the others in
`kagent/objectives/soft_actor_critic.py`; the layer is in `kagent/networks/batch_renormalization.py`, its equation in
`kagent/ops/batch_renormalization.py`.
"""

from __future__ import annotations

import dataclasses
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
from kagent.objectives import CrossQObjective
from kagent.parts import Network, Scheduled
from kagent.policies import Role
from kagent.policies import state_dependent_noise as noises
from kagent.policies.state_dependent_noise import Noise
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update

_RENORMALIZED = "batch_renormalization"
_POLICY = networks.Auto(units=(256, 256), activation="relu", initialization="fan_in")
_CRITIC = networks.Auto(units=(1024, 1024), activation="relu", initialization="fan_in")


@register_agent("crossq", summary="SAC without target networks, by batch normalization; continuous actions")
class CrossQ(Agent):
    """CrossQ (Bhatt et al. 2024, "CrossQ: Batch Normalization in Deep Reinforcement Learning for Greater Sample Efficiency and
    Simplicity", ICLR, arXiv:1902.05605).

    For `Box` actions with finite bounds, and nestings of these.

    It learns as much from a transition as algorithms that take twenty gradient steps for one, with one. The critics are wide
    and have batch normalization, which speeds up their learning; it only works where the values of now and of next have the
    same statistics, hence one pass for both, and no target networks. The layers are `kagent.networks.BatchRenormalization`, as in
    the authors' program: batch normalization in the first 100,000 gradient steps, batch renormalization after.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: Of the policy: "auto" (dense 256-256 ReLU), a dict, a list of layers, or a Keras layer or model from observation
            to features. Dense networks ("auto", "mlp", dicts of their arguments) have batch renormalization in front of the
            first layer and behind each, with the arguments that `normalization` says (see `kagent.networks.MLP`). A list of layers
            and a Keras model stay as they are: put the layers in. So images need a network of your own.
        critic_network: Of the critics, over observation and action, in the same forms. None: as `network`, but dense
            1024-1024 ReLU where that is "auto".
        learning_rate, critic_learning_rate, temperature_learning_rate: Of Adam for policy, critics and temperature; None: the
            policy's. May be schedules. Adam's `beta_1` is 0.5 for policy and critics.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps of uniformly random actions; the first update follows them, and at least `batch_size` timesteps.
        frequency: Timesteps between updates, over all environments; a float is a part of the batch size, "never" leaves it to
            `update()`.
        gradient_steps: Gradient steps per update. As many as `frequency` are one for each timestep, for any `n_envs`.
        discount: Weight of a reward one timestep later.
        temperature: Weight of entropy: "auto" learns it from 1 on, "auto_0.1" from 0.1 on, a number fixes it.
        target_entropy: Entropy the learned temperature holds the policy at; "auto": minus the number of components.
        policy_delay: Gradient steps of the critics from one step of policy and temperature to the next.
        members: Number of critics.
        subset: How many of the critics have a say in a target; see `SAC`. None: all.
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

    >>> agent = kagent.CrossQ("Pendulum-v1", critic_network={"units": [256, 256]}, policy_delay=2, seed=0)
    >>> history = agent.fit("Pendulum-v1", steps=5_000)
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
    target_entropy = FromPart("objective.target_entropy")
    policy_delay = FromPart("objective.policy_delay")
    members = FromPart("critic.members")
    subset = FromPart("objective.subset")
    log_std = FromPart("policy.log_std")
    state_dependent_noise = FromPart("policy.state_dependent_noise")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        critic_network: Network | None = None,
        learning_rate: Scheduled = 1e-3,
        critic_learning_rate: Scheduled | None = None,
        temperature_learning_rate: Scheduled | None = None,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 256,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        discount: Scheduled = 0.99,
        temperature: Role | float | str | dict[str, Any] = "auto",
        target_entropy: float | str = "auto",
        policy_delay: int = 3,
        members: int = 2,
        subset: int | None = None,
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
        objective = CrossQObjective(
            target_entropy=target_entropy, learn_temperature=learned, subset=subset, policy_delay=policy_delay
        )
        rates = learning_rate, learning_rate if critic_learning_rate is None else critic_learning_rate
        policy_adam, critic_adam = (
            {"type": "Adam", "learning_rate": rate, "epsilon": 1e-8, "beta_1": 0.5} for rate in rates
        )
        of_critics = networks.clone(network) if critic_network is None else critic_network
        defaults = {
            "policy": {
                "type": "StochasticPolicy",
                "network": _renormalized(network, _POLICY),
                "distribution": "squashed_gaussian",
                "log_std": noises.log_std_before_tanh(log_std, state_dependent_noise),
                "state_dependent_noise": state_dependent_noise,
            },
            "critic": {"type": "ActionValue", "network": _renormalized(of_critics, _CRITIC), "members": members},
            "temperature": initial,
            "objective": objective,
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": Sampling(random_steps=start),
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


def _renormalized(network: Network, default: networks.Auto) -> Any:
    """A dense network with batch renormalization, if it says no normalization itself; every other as it is."""
    found = networks.get(network, default)
    if isinstance(found, networks.Auto | networks.MLP) and found.normalization is None:
        return dataclasses.replace(found, normalization=_RENORMALIZED)
    return found
