"""Losses by role, from a batch."""

from kagent.config import moved
from kagent.objectives.action_value import ActionValueObjective
from kagent.objectives.behavior_cloning import BehaviorCloningObjective
from kagent.objectives.clipped_policy import ClippedPolicyObjective
from kagent.objectives.conservative import ConservativeActionValueObjective, ConservativeSoftActorCriticObjective
from kagent.objectives.crossq import CrossQObjective
from kagent.objectives.deterministic_policy_gradient import DeterministicPolicyGradientObjective
from kagent.objectives.discrete_soft_actor_critic import DiscreteSoftActorCriticObjective
from kagent.objectives.distributional import (
    CategoricalReturnObjective,
    DistributionalObjective,
    QuantileRegressionObjective,
)
from kagent.objectives.implicit_q_learning import ImplicitQLearningObjective
from kagent.objectives.implicit_quantiles import ImplicitQuantilesObjective
from kagent.objectives.normalized_advantage import NormalizedAdvantageObjective
from kagent.objectives.objective import OBJECTIVES, LearningContext, Objective, Term, get
from kagent.objectives.plus import PlusObjective
from kagent.objectives.policy_gradient import PolicyGradientObjective
from kagent.objectives.q_lambda import QLambdaObjective
from kagent.objectives.regularized_policy import RegularizedPolicyObjective
from kagent.objectives.rollouts import THROUGH_ADVANTAGE, RolloutObjective
from kagent.objectives.soft_actor_critic import SoftActorCriticObjective
from kagent.objectives.state_value import StateValueObjective
from kagent.objectives.transitions import TransitionObjective
from kagent.objectives.truncated_quantiles import TruncatedQuantilesObjective
from kagent.objectives.twin_delayed import TwinDelayedObjective
from kagent.objectives.vtrace import VTraceObjective

__all__ = [
    "OBJECTIVES",
    "THROUGH_ADVANTAGE",
    "ActionValueObjective",
    "BehaviorCloningObjective",
    "CategoricalReturnObjective",
    "ClippedPolicyObjective",
    "ConservativeActionValueObjective",
    "ConservativeSoftActorCriticObjective",
    "CrossQObjective",
    "DeterministicPolicyGradientObjective",
    "DiscreteSoftActorCriticObjective",
    "DistributionalObjective",
    "ImplicitQLearningObjective",
    "ImplicitQuantilesObjective",
    "LearningContext",
    "NormalizedAdvantageObjective",
    "Objective",
    "PlusObjective",
    "PolicyGradientObjective",
    "QLambdaObjective",
    "QuantileRegressionObjective",
    "RegularizedPolicyObjective",
    "RolloutObjective",
    "SoftActorCriticObjective",
    "StateValueObjective",
    "Term",
    "TransitionObjective",
    "TruncatedQuantilesObjective",
    "TwinDelayedObjective",
    "VTraceObjective",
    "get",
]

__getattr__ = moved.attributes(
    __name__,
    {
        "ModelObjective": "kagent.estimators.function_objective:ModelObjective",
        "ModelReturnsObjective": "kagent.estimators.function_objective:ModelReturnsObjective",
    },
)
