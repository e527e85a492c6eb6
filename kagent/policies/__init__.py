"""Policies decide, critics judge: Keras layers around one functional model each."""

from kagent.policies import distributions, heads
from kagent.policies.critics import ActionValue, SharedStateValue, StateValue, Temperature
from kagent.policies.deterministic import DeterministicPolicy
from kagent.policies.fixed import ConstantPolicy, RandomPolicy
from kagent.policies.log_prob import LogProb
from kagent.policies.model import ModelPolicy
from kagent.policies.roles import ROLES, Role, get
from kagent.policies.stochastic import StochasticPolicy
from kagent.policies.value import ValuePolicy

__all__ = [
    "ROLES",
    "ActionValue",
    "ConstantPolicy",
    "DeterministicPolicy",
    "LogProb",
    "ModelPolicy",
    "RandomPolicy",
    "Role",
    "SharedStateValue",
    "StateValue",
    "StochasticPolicy",
    "Temperature",
    "ValuePolicy",
    "distributions",
    "get",
    "heads",
]
