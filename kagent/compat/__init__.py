"""Words of other libraries, translated into kagent's own."""

from kagent.config import moved

__all__ = ["tensorforce"]

__getattr__ = moved.attributes(__name__, {"tensorforce": "kagent.compat.tensorforce"})
