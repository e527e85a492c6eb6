"""Tensorforce's specifications as arguments of `kagent.Agent`: tables, and the little code that reads them."""

from kagent.compat.tensorforce.translation.agents import translate
from kagent.compat.tensorforce.translation.context import Context

__all__ = ["Context", "translate"]
