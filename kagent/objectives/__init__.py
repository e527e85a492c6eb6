"""Losses by role, from a batch."""

from kagent.objectives.action_value import ActionValueObjective
from kagent.objectives.behavior_cloning import BehaviorCloningObjective
from kagent.objectives.clipped_policy import ClippedPolicyObjective
from kagent.objectives.deterministic_policy_gradient import DeterministicPolicyGradientObjective
from kagent.objectives.model import ModelObjective, ModelReturnsObjective
from kagent.objectives.objective import OBJECTIVES, get
from kagent.objectives.plus import PlusObjective
from kagent.objectives.policy_gradient import PolicyGradientObjective
from kagent.objectives.rollouts import THROUGH_ADVANTAGE
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective
from kagent.objectives.state_value import StateValueObjective

__all__ = [
    "OBJECTIVES",
    "THROUGH_ADVANTAGE",
    "ActionValueObjective",
    "BehaviorCloningObjective",
    "ClippedPolicyObjective",
    "DeterministicPolicyGradientObjective",
    "ModelObjective",
    "ModelReturnsObjective",
    "PlusObjective",
    "PolicyGradientObjective",
    "SoftActorCriticObjective",
    "StateValueObjective",
    "get",
]
