"""Tensorforce's `Agent`, `Environment` and `Runner`, around agents of kagent's."""

from kagent.compat.tensorforce.programs.agent import Agent
from kagent.compat.tensorforce.programs.environment import Environment
from kagent.compat.tensorforce.programs.runner import Runner

__all__ = ["Agent", "Environment", "Runner"]
