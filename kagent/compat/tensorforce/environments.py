"""`from tensorforce.environments import Environment`, as Tensorforce's programs have it."""

from kagent.config import moved

_PLACES = {"Environment": "kagent.compat.tensorforce.programs:Environment"}
__all__ = [*_PLACES]
__getattr__ = moved.attributes(__name__, _PLACES)
