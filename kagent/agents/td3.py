"""Twin delayed deterministic policy gradient.

    every `frequency` timesteps, `gradient_steps` times:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        a' = clip(mu_target(s') + clip(noise, -`target_noise_clip`, `target_noise_clip`), -1, 1), noise of `target_noise`
        target = r + discount * min over critics of Q_target(s', a')
        each critic Q moves by Adam to lower the mean of (target - Q(s, a))^2 / 2
        every `policy_delay` of these gradient steps:
            mu moves by Adam to lower the mean of -Q(s, mu(s)), Q of the first critic
            Q_target = tau * Q + (1 - tau) * Q_target, and mu_target likewise

Algorithm 1 of Fujimoto et al. 2018 (arXiv:1802.09477). The losses are in `kagent/objectives/twin_delayed.py`, which takes them
from `kagent/objectives/deterministic_policy_gradient.py`; a' is in `kagent/ops/smoothing.py`; the noise on actions in
`kagent/exploration/noise.py`; the target networks follow by `kagent/optimizers/target.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent import networks, schedules
from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import ActionNoise, Exploration
from kagent.memories import Memory
from kagent.objectives import TwinDelayedObjective
from kagent.optimizers import Target
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update

_NOISE_CLIP = 0.5


@register_agent("td3", summary="DPG with twin critics, a delayed policy, smoothed targets")
class TD3(Agent):
    """Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018, "Addressing Function Approximation Error in
    Actor-Critic Methods", arXiv:1802.09477).

    For `Box` actions with finite bounds, and nestings of these.

    DPG believes its critic's errors: the policy climbs to where the critic overestimates. Three measures keep the estimates
    down. The smaller value of two critics is the target. The target is read at actions with some noise, so that similar
    actions have similar values. The policy and all target networks move only every other gradient step, on a critic that
    has settled.

    The defaults are those of Stable-Baselines3, but for networks (there 400-300) and noise on actions (there none).

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 256-256 ReLU), a dict, a list of layers, or a Keras layer or model from observation to
            features, which gets the observation as the space declares it: a uint8 image as floats from 0 to 255. The
            critics get networks of the same configuration, over observation and action, with their own weights.
        critic_network: Of the critics, over observation and action, in the same forms; None: as `network`.
        learning_rate, critic_learning_rate: Of Adam for policy and critics; None: the critics' is the policy's. May be
            schedules.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Transitions per gradient step.
        start: Timesteps of uniformly random actions; the first update follows them, and at least `batch_size` timesteps.
            The paper takes 1,000, and 10,000 where episodes are long.
        frequency: Timesteps between updates, over all environments; a float is a part of the batch size, "never" leaves it to
            `update()`.
        gradient_steps: Gradient steps per update. As many as `frequency` are one for each timestep, for any `n_envs`.
        tau: How far the target networks move, every `policy_delay` gradient steps.
        discount: Weight of a reward one timestep later.
        exploration: Standard deviation of Gaussian noise on actions in training, in half ranges: 0.1 is a twentieth of the
            distance between the bounds of each component. May be a schedule, or a dict of such by action. An `Exploration`
            or its name takes the place of the noise and of the random actions at the start.
        policy_delay: Gradient steps of the critics from one step of the policy, and one move of the target networks, to the
            next.
        target_noise: Standard deviation of the noise on the target's actions, in half ranges; 0: none. May be a schedule.
        target_noise_clip: The most that this noise moves a component of an action, in half ranges. May be a schedule.
        members: Number of critics, of which the smallest value is the target.
        huber: Error beyond which the critics' loss is linear; None: squared.
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

    >>> agent = kagent.TD3("Pendulum-v1", learning_rate=1e-3, start=1_000, seed=0)
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
    policy_delay = FromPart("objective.policy_delay")
    target_noise = FromPart("objective.target_noise")
    target_noise_clip = FromPart("objective.target_noise_clip")
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
        policy_delay: int = 2,
        target_noise: Scheduled = 0.2,
        target_noise_clip: Scheduled = _NOISE_CLIP,
        members: int = 2,
        huber: float | None = None,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        if target_noise == 0 and target_noise_clip != _NOISE_CLIP:
            raise ValueError(
                "`target_noise_clip` is the most that the noise moves an action, and target_noise=0 has none. "
                f"Received: target_noise_clip={target_noise_clip!r}. Leave it out"
            )
        rates = learning_rate, learning_rate if critic_learning_rate is None else critic_learning_rate
        policy_adam, critic_adam = ({"type": "Adam", "learning_rate": rate, "epsilon": 1e-8} for rate in rates)
        objective = TwinDelayedObjective(
            huber=huber, policy_delay=policy_delay, target_noise=target_noise, target_noise_clip=target_noise_clip
        )
        of_critics = networks.clone(network) if critic_network is None else critic_network
        defaults = {
            "policy": {"type": "DeterministicPolicy", "network": network},
            "critic": {"type": "ActionValue", "network": of_critics, "members": members},
            "objective": objective,
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(discount=discount, estimate_horizon="late"),
            "exploration": _noise(exploration, start),
            "target": Target(tau=tau, period=policy_delay),
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


def _noise(exploration: Any, start: int) -> Any:
    """An amount as noise in half ranges behind random actions; anything else as it is."""
    by_name = isinstance(exploration, dict) and "type" not in exploration
    number = isinstance(exploration, int | float) and not isinstance(exploration, bool)
    if number or by_name or schedules.is_schedule(exploration):
        return ActionNoise(exploration, sample=False, relative=True, random_steps=start)
    return exploration
