"""Optimizers by role, what modifies their steps, and how targets follow."""

from kagent.config import moved
from kagent.optimizers.get import argument_of, get, modifiers_of, serialize
from kagent.optimizers.minimizer import Minimizer, Problem, values_of
from kagent.optimizers.role_optimizer import ROLES, RoleMap, RoleOptimizer
from kagent.optimizers.step import apply, minimize, step_of, uses_closure

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
from .target import TARGETS, Target, synchronization

__all__ = [
    "MODIFIERS",
    "ROLES",
    "TARGETS",
    "ClippingStep",
    "DoublecheckStep",
    "Evolutionary",
    "FlatAdam",
    "LinesearchStep",
    "Minimizer",
    "Modifier",
    "MultiStep",
    "NaturalGradient",
    "Problem",
    "RoleMap",
    "RoleOptimizer",
    "SubsamplingStep",
    "Target",
    "apply",
    "argument_of",
    "get",
    "minimize",
    "modifiers_of",
    "serialize",
    "step_of",
    "synchronization",
    "uses_closure",
    "values_of",
]

__getattr__ = moved.attributes(__name__, {})
