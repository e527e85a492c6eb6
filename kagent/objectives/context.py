"""What an objective sees of an agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kagent.schedules import Clock


@dataclasses.dataclass(frozen=True)
class LearningContext:
    """The networks and settings that losses are made of, at one time. An objective sees this, not the agent.

    Attributes:
        policy: The policy that learns.
        critic, temperature: The other roles that learn, or None.
        target_policy, target_critic: Target networks, or None where the objective has none.
        reward_estimation: The agent's `RewardEstimation`.
        critic_objective: What the critic of a policy gradient learns, or None; see `Agent`.
        entropy_regularization: Weight of the policy's entropy beside the objective's own, a number or a schedule.
        num_action_components: Scalars in one action, over all leaves.
        clock: The time now, for schedules: tensors in a compiled learner, else numbers.
        step_seed: Function that returns the seed `(2,)` of this gradient step, for `tf.random.stateless_*`.
        shares_optimizer: Function from a role's name to whether it has no optimizer of its own beside the policy's.
    """

    policy: Any
    critic: Any
    temperature: Any
    target_policy: Any
    target_critic: Any
    reward_estimation: Any
    critic_objective: Any
    entropy_regularization: Any
    num_action_components: int
    clock: Clock
    step_seed: Callable[[], tf.Tensor]
    shares_optimizer: Callable[[str], bool]

    @classmethod
    def of(cls, agent: Any) -> LearningContext:
        """The context of an agent, now."""
        return cls(
            policy=agent.policy,
            critic=agent.critic,
            temperature=agent.temperature,
            target_policy=getattr(agent, "target_policy", None),
            target_critic=getattr(agent, "target_critic", None),
            reward_estimation=agent.reward_estimation,
            critic_objective=agent.critic_objective,
            entropy_regularization=agent.entropy_regularization,
            num_action_components=sum(leaf.size for leaf in agent._action.leaves),
            clock=agent.clock,
            step_seed=agent.step_seed,
            shares_optimizer=agent.minimizer.shares_optimizer,
        )

    def __getattr__(self, name: str) -> Any:
        known = [field.name for field in dataclasses.fields(self)]
        raise AttributeError(
            f"An objective sees a LearningContext in place of the agent, which has no {name!r}. It has: {', '.join(known)}"
        )
