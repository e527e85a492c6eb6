"""A door for Polyaxon's users: agents made of a model function. See `Agent`."""

from kagent.estimators import explorations, models
from kagent.estimators.agent import Agent
from kagent.estimators.config import RunConfig, SummaryOptions
from kagent.estimators.environments import GymEnvironment
from kagent.estimators.memories import BatchMemory, Memory
from kagent.estimators.policy_gradient import PGAgent, TRPOAgent
from kagent.estimators.spec import Bootstrap, EstimatorSpec, Modes

__all__ = [
    "Agent",
    "BatchMemory",
    "Bootstrap",
    "EstimatorSpec",
    "GymEnvironment",
    "Memory",
    "Modes",
    "PGAgent",
    "RunConfig",
    "SummaryOptions",
    "TRPOAgent",
    "explorations",
    "models",
]
