"""`from tensorforce.execution import Runner`, as Tensorforce's programs have it."""

from kagent.config import moved

_PLACES = {"Runner": "kagent.compat.tensorforce.programs:Runner"}
__all__ = [*_PLACES]
__getattr__ = moved.attributes(__name__, _PLACES)
