"""The arguments of `kagent.Agent` that its signature does not list, and the parts that they stand for.

They are those of Tensorforce 0.5.4 that are not kagent's own. Every agent's constructor takes them by name, in kagent's meanings
and with kagent's defaults. Programs and specifications in Tensorforce's own meanings are for `kagent.compat.tensorforce`.
"""

from kagent.arguments.words import DEFAULTS, Words, read, translate

__all__ = ["DEFAULTS", "Words", "read", "translate"]
