"""Spaces of observations and actions as flat leaves, as data, and as images."""

from kagent.spaces.structure import (
    SUPPORTED,
    Bool,
    Leaf,
    Path,
    Structure,
    difference,
    from_config,
    to_config,
)

__all__ = ["SUPPORTED", "Bool", "Leaf", "Path", "Structure", "difference", "from_config", "to_config"]
