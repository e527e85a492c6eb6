"""Vanilla policy gradient.

    after every `frequency` episodes, from the last `batch_size` of them:
        G = r + discount * (r of the next timestep) + ... to the episode's end; of a truncated one, with V at its last observation
        with a baseline V: V moves by Adam to lower the mean of (G - V(s))^2 / 2; then A = G - V(s), else A = G
        pi moves by Adam to lower the mean of -A * log pi(a | s)

Sections 13.3 and 13.4 of Sutton and Barto 2018. The policy's loss is in `kagent/objectives/policy_gradient.py` and
`kagent/objectives/rollouts.py`, with its equation in `kagent/ops/policy_gradient.py`; the baseline's in
`kagent/objectives/state_value.py`; returns are in `kagent/ops/returns.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import Normalize, normalized
from kagent.config.checks import check_positive
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.objectives import PolicyGradientObjective
from kagent.parts import Network, Optimizer, Scheduled
from kagent.policies import Role
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("vpg", "reinforce", summary="the plain policy gradient on whole episodes; any actions")
class VPG(Agent):
    """Vanilla policy gradient, REINFORCE (Williams 1992; Sutton and Barto 2018, sections 13.3 and 13.4), from whole episodes.

    For every action space: `Discrete`, `MultiDiscrete`, `MultiBinary`, `Box`, and any nesting of these.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict, a list of layers, or a Keras layer or
            model from observation to features, which gets the observation as the space declares it: a uint8 image as
            floats from 0 to 255.
        batch_size: Episodes in one update.
        frequency: Episodes between updates; a float is a part of the batch size, "never" leaves it to `update()`.
        start: Episodes before the first update, which takes at least `batch_size`.
        learning_rate: Of Adam. May be a schedule.
        discount: Weight of a reward one timestep later.
        baseline: A critic of states whose values are subtracted from the returns: a network ("auto", a dict, a list of
            layers ...), a `StateValue`; None: returns as they are.
        baseline_optimizer: Of the baseline; a float: it shares the policy's, with so large a weight of its loss. None:
            Adam with the policy's learning rate.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Running statistics standardize what the agent sees: True, "observation" or "reward" alone, False. See
            `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults, and `max_episode_timesteps` (by which, or by the environment's own limit,
            the memory is sized; where there is neither, give `memory={"type": "recent", "capacity": ...}`); see
            `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range.

    Example:

    >>> agent = kagent.VPG("CartPole-v1", batch_size=5, baseline="auto", seed=0)
    >>> history = agent.fit("CartPole-v1", episodes=100)
    """

    network = FromPart("policy.network")
    batch_size = FromPart("update.batch_size")
    frequency = FromPart("update.frequency")
    start = FromPart("update.start")
    learning_rate = FromPart("optimizer.learning_rate")
    discount = FromPart("reward_estimation.discount")
    baseline = FromPart("critic")
    baseline_optimizer = FromPart("critic_optimizer", None, otherwise="critic_objective.weight")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        batch_size: int = 10,
        frequency: int | float | str | None = None,
        start: int = 0,
        learning_rate: Scheduled = 1e-3,
        discount: Scheduled = 0.99,
        baseline: Role | Network | None = None,
        baseline_optimizer: Optimizer | None = None,
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
        if parts.get("baseline_policy") is not None:
            raise ValueError(
                "`baseline_policy` is `baseline` here: give that alone. "
                f"Received: baseline={baseline!r} and baseline_policy={parts['baseline_policy']!r}"
            )
        adam = {"type": "Adam", "learning_rate": learning_rate, "global_clipnorm": max_grad_norm}
        defaults = {
            "policy": {"type": "StochasticPolicy", "network": network},
            "objective": PolicyGradientObjective(),
            "memory": "recent",
            "update": Update(unit="episodes", batch_size=batch_size, frequency=frequency, start=start),
            "reward_estimation": RewardEstimation(
                horizon="episode",
                discount=discount,
                estimate_horizon=False if baseline is None else "late",
                estimate_advantage=baseline is not None,
            ),
            "exploration": Sampling(),
            "optimizer": adam,
        }
        if baseline is not None:
            defaults["baseline_policy"] = {"network": baseline} if isinstance(baseline, str) else baseline
            defaults["baseline_optimizer"] = adam if baseline_optimizer is None else baseline_optimizer
            defaults["baseline_objective"] = "state_value"
        elif baseline_optimizer is not None:
            raise ValueError(f"`baseline_optimizer` needs a baseline. Received: {baseline_optimizer!r}, baseline=None")
        super().__init__(
            env,
            observation_space=observation_space,
            action_space=action_space,
            n_envs=n_envs,
            seed=seed,
            name=name,
            **normalized(normalize, {**defaults, **parts}),
        )
