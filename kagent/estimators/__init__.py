"""A door for Polyaxon's users: agents made of a model function. See `Agent`."""

from kagent.estimators.agent import Agent
from kagent.estimators.config import RunConfig, SummaryOptions
from kagent.estimators.spec import Bootstrap, EstimatorSpec, Modes

__all__ = ["Agent", "Bootstrap", "EstimatorSpec", "Modes", "RunConfig", "SummaryOptions"]
