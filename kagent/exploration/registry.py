"""The explorations that there are, by name."""

from __future__ import annotations

from kagent.config.registry import Registry

EXPLORATIONS = Registry("exploration")
