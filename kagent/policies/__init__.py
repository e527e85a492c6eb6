"""Policies decide, critics judge: Keras layers around one functional model each."""

from kagent import distributions
from kagent.config import moved
from kagent.policies.baselines import ConstantPolicy, RandomPolicy
from kagent.policies.critics import ActionValue, SharedStateValue, StateValue, Temperature
from kagent.policies.deterministic import DeterministicPolicy
from kagent.policies.distributional import CategoricalReturnPolicy, QuantilePolicy
from kagent.policies.further_critics import ActionAndStateValue, DiscreteActionValue, QuantileActionValue
from kagent.policies.implicit_quantile import ImplicitQuantilePolicy
from kagent.policies.normalized_advantage import NormalizedAdvantagePolicy
from kagent.policies.role import ROLES, Role, get, outputs
from kagent.policies.state_dependent_noise import StateDependentNoise
from kagent.policies.stochastic import StochasticPolicy
from kagent.policies.value import ValuePolicy

__all__ = [
    "ROLES",
    "ActionAndStateValue",
    "ActionValue",
    "CategoricalReturnPolicy",
    "ConstantPolicy",
    "DeterministicPolicy",
    "DiscreteActionValue",
    "ImplicitQuantilePolicy",
    "NormalizedAdvantagePolicy",
    "QuantileActionValue",
    "QuantilePolicy",
    "RandomPolicy",
    "Role",
    "SharedStateValue",
    "StateDependentNoise",
    "StateValue",
    "StochasticPolicy",
    "Temperature",
    "ValuePolicy",
    "distributions",
    "get",
    "outputs",
]

__getattr__ = moved.attributes(
    __name__,
    {
        "LogProb": "kagent.estimators.log_prob:LogProb",
        "ModelPolicy": "kagent.estimators.function_policy:ModelPolicy",
        "heads": "kagent.estimators.heads",
    },
)
