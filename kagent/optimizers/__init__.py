"""Optimizers by role, what modifies their steps, and how targets follow."""

from .evolutionary import Evolutionary
from .flat_adam import FlatAdam
from .modifiers import (
    MODIFIERS,
    ClippingStep,
    DoublecheckStep,
    LinesearchStep,
    Modifier,
    MultiStep,
    SubsamplingStep,
)
from .natural_gradient import NaturalGradient
from .problem import Problem, values_of
from .roles import RoleMap, RoleOptimizer
from .specification import get, modifiers_of, serialize
from .steps import apply, step_of, takes_own_steps
from .target import TARGETS, Target, synchronization

__all__ = [
    "MODIFIERS",
    "TARGETS",
    "ClippingStep",
    "DoublecheckStep",
    "Evolutionary",
    "FlatAdam",
    "LinesearchStep",
    "Modifier",
    "MultiStep",
    "NaturalGradient",
    "Problem",
    "RoleMap",
    "RoleOptimizer",
    "SubsamplingStep",
    "Target",
    "apply",
    "get",
    "modifiers_of",
    "serialize",
    "step_of",
    "synchronization",
    "takes_own_steps",
    "values_of",
]
