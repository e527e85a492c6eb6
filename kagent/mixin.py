"""What the parts of the agent's class derive from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Mixin = Any  # each part uses attributes of the others and of keras.Model
else:
    Mixin = object
