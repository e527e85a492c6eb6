"""TD3 with behaviour cloning, for recorded experience.

    `gradient_steps` times an update:
        (s, a, r, s') = `batch_size` transitions, drawn uniformly from the replay memory
        the critics move as those of TD3
        every `policy_delay` of these gradient steps:
            factor = alpha / mean of |Q(s, mu(s))|, Q of the first critic
            mu moves by Adam to lower the mean of (mu(s) - a)^2 - factor * Q(s, mu(s))
            Q_target = tau * Q + (1 - tau) * Q_target, and mu_target likewise

Equation 5 of Fujimoto & Gu 2021 (arXiv:2106.06860). The losses are in `kagent/objectives/regularized_policy.py`, with the equation in
`kagent/ops/offline.py`; the rest is TD3's, `kagent/agents/td3.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agents.arguments import FromPart
from kagent.agents.td3 import TD3
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.objectives import RegularizedPolicyObjective
from kagent.optimizers import Target
from kagent.parts import Scheduled


@register_agent("td3bc", summary="TD3 near recorded actions: offline learning; continuous actions")
class TD3BC(TD3):
    """TD3 whose policy stays near the actions of a data set (Fujimoto & Gu 2021, "A Minimalist Approach to Offline Reinforcement
    Learning", arXiv:2106.06860).

    For `Box` actions with finite bounds, and nestings of these. It is made for `fit` of recorded episodes, in which nothing is tried
    out: TD3 alone then climbs to actions that its critics know nothing of. In an environment it learns as TD3 does, near what it did
    itself.

    Observations are standardized by the data set's statistics. The paper adds 1e-3 to deviations, and kagent 1e-8 to variances.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        alpha: Weight of the critic's values in the policy's loss, > 0; more trusts the critic more. May be a schedule.
        learning_rate: As for `TD3`.
        tau, policy_delay, target_noise, target_noise_clip, huber: As for `TD3`.
        normalize: As for `TD3`. Observations without floats, such as images, need False.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **arguments: Those of `TD3`, with its defaults.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: As `TD3`.

    Example:

    >>> recorder = kagent.callbacks.Recorder("swings")
    >>> history = kagent.Random("Pendulum-v1", seed=0).fit("Pendulum-v1", episodes=50, callbacks=[recorder])
    >>> offline = kagent.TD3BC("Pendulum-v1", seed=0)
    >>> history = offline.fit("swings", updates=5_000)
    """

    alpha = FromPart("objective.alpha")

    def __init__(
        self,
        env: Source | None = None,
        *,
        alpha: Scheduled = 2.5,
        learning_rate: Scheduled = 3e-4,
        tau: float = 0.005,
        policy_delay: int = 2,
        target_noise: Scheduled = 0.2,
        target_noise_clip: Scheduled = 0.5,
        huber: float | None = None,
        normalize: bool | str | None = "observation",
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **arguments: Any,
    ):
        objective = RegularizedPolicyObjective(
            huber=huber,
            policy_delay=policy_delay,
            target_noise=target_noise,
            target_noise_clip=target_noise_clip,
            alpha=alpha,
        )
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **{
                "learning_rate": learning_rate,
                "objective": objective,
                "normalize": normalize,
                "target": Target(tau=tau, period=policy_delay),
                **arguments,
            },
        )
