"""`from tensorforce.agents import Agent`, as Tensorforce's programs have it."""

from kagent.config import moved

_PLACES = {"Agent": "kagent.compat.tensorforce.programs:Agent"}
__all__ = [*_PLACES]
__getattr__ = moved.attributes(__name__, _PLACES)
