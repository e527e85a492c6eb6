"""Losses by role, from a batch."""

from kagent.objectives.action_value import ActionValueObjective
from kagent.objectives.clipped_policy import ClippedPolicyObjective
from kagent.objectives.objective import OBJECTIVES, get
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective

__all__ = ["OBJECTIVES", "ActionValueObjective", "ClippedPolicyObjective", "SoftActorCriticObjective", "get"]
