"""Behaviour cloning.

    `gradient_steps` times an update:
        (s, a) = `batch_size` timesteps, drawn uniformly from the replay memory
        pi moves by Adam to raise the mean of log pi(a | s)

Section 2 of Torabi et al. 2018 (arXiv:1805.01954) has it beside what was learned from it since; it is of Pomerleau 1991. The loss is
in `kagent/objectives/behavior_cloning.py`, with its equation for discrete actions in `kagent/ops/imitation.py`; distributions of
actions are in `kagent/policies/stochastic.py`.
"""

from __future__ import annotations

from typing import Any

import gymnasium

from kagent.agent import Agent
from kagent.agents.arguments import FromPart
from kagent.agents.normalization import REWARD, Normalize, normalized
from kagent.config.creation import register_agent
from kagent.environments import Source
from kagent.exploration import Sampling
from kagent.memories import Memory
from kagent.objectives import BehaviorCloningObjective
from kagent.parts import Network, Scheduled
from kagent.reward_estimation import RewardEstimation
from kagent.update import Update


@register_agent("bc", summary="behaviour cloning: does what recorded episodes did; every action space")
class BC(Agent):
    """Behaviour cloning (Pomerleau 1991, "Efficient Training of Artificial Neural Networks for Autonomous Navigation"): supervised
    learning of the actions in recorded episodes.

    For all action spaces. Rewards are not looked at: the policy is as good as those whose episodes it learns from. It is made for `fit`
    of recorded episodes; in an environment it would learn to do what it does itself.

    Args:
        env: Environment id, env, vector env or callable, for its spaces; or give `observation_space` and
            `action_space`.
        network: "auto" (dense 64-64 tanh, or convolutions for images), a dict such as
            `{"type": "mlp", "units": [256, 256]}`, or a Keras layer or model from observation to features,
            which gets the observation as the space declares it: a uint8 image as floats from 0 to 255.
        learning_rate: Of Adam. May be a schedule.
        memory: Capacity of the replay memory in transitions, or a `Replay`.
        batch_size: Timesteps per gradient step.
        start: Timesteps collected in an environment before the first update there.
        frequency: Timesteps between updates in an environment; a float is a part of the batch size, "never" leaves it to `update()`.
        gradient_steps: Gradient steps per update.
        log_std: Initial log standard deviation of Gaussian actions. Other actions take none.
        max_grad_norm: Gradients longer than this are scaled to it; None: never.
        normalize: Statistics standardize what the agent sees: True or "observation", False. Of recorded episodes they are those of
            all of them. See `kagent.agents.normalization`.
        observation_space, action_space: The spaces themselves, in place of `env`.
        n_envs: Environments that `fit` makes of an id or a callable.
        seed: Of every random stream of the agent, an integer >= 0; None takes one from Keras's global generator.
        name: The model's name.
        **parts: Parts in place of the defaults; see `kagent.Agent`.

    Attributes: the arguments by their names, as the agent's parts have them; read-only. `gradient_steps` is how many were
    taken, as of every agent; those per update are `gradient_steps_per_update`.

    Raises:
        ValueError, TypeError: Unsupported spaces, or arguments outside their range; `normalize="reward"`: no reward is learned from.

    Example:

    >>> history = agent.fit("CartPole-v1", episodes=5, callbacks=[kagent.callbacks.Recorder("shown")])
    >>> clone = kagent.BC("CartPole-v1", seed=0)
    >>> history = clone.fit("shown", epochs=10)
    """

    batch_size = FromPart("update.batch_size")
    start = FromPart("update.start")
    frequency = FromPart("update.frequency")
    gradient_steps_per_update = FromPart("update.steps", argument="gradient_steps")
    learning_rate = FromPart("optimizer.learning_rate")
    network = FromPart("policy.network")
    log_std = FromPart("policy.log_std")
    max_grad_norm = FromPart("optimizer.global_clipnorm")
    normalize = Normalize()

    def __init__(
        self,
        env: Source | None = None,
        *,
        network: Network = "auto",
        learning_rate: Scheduled = 1e-3,
        memory: Memory | int | str | dict[str, Any] = 1_000_000,
        batch_size: int = 64,
        start: int = 100,
        frequency: int | float | str = 1,
        gradient_steps: int = 1,
        log_std: float = 0.0,
        max_grad_norm: float | None = None,
        normalize: bool | str | None = False,
        observation_space: gymnasium.Space | None = None,
        action_space: gymnasium.Space | None = None,
        n_envs: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **parts: Any,
    ):
        if normalize == REWARD:
            raise ValueError(
                "`normalize` of BC must be True, 'observation', False or None: it learns from no rewards, and standardized ones would "
                "change nothing. Received: 'reward'"
            )
        defaults = {
            "policy": {"type": "StochasticPolicy", "network": network, "log_std": log_std},
            "objective": BehaviorCloningObjective(),
            "memory": memory,
            "update": Update(batch_size=batch_size, frequency=frequency, start=start, steps=gradient_steps),
            "reward_estimation": RewardEstimation(),
            "exploration": Sampling(),
            "optimizer": {"type": "Adam", "learning_rate": learning_rate, "global_clipnorm": max_grad_norm},
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
