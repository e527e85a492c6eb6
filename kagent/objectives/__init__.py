"""Losses by role, from a batch."""

from kagent.objectives.action_value import ActionValueObjective
from kagent.objectives.behavior_cloning import BehaviorCloningObjective
from kagent.objectives.clipped_policy import ClippedPolicyObjective
from kagent.objectives.objective import OBJECTIVES, get
from kagent.objectives.policy_gradient import PolicyGradientObjective
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective

__all__ = [
    "OBJECTIVES",
    "ActionValueObjective",
    "BehaviorCloningObjective",
    "ClippedPolicyObjective",
    "PolicyGradientObjective",
    "SoftActorCriticObjective",
    "get",
]
