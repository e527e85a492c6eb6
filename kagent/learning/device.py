"""Where an agent's variables and its learner live."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf


def check_device(device: Any) -> str | None:
    """The name of a device, or None for TensorFlow's choice.

    Raises:
        TypeError: Neither None nor a string.
        ValueError: This machine has no such device.
    """
    if device is None:
        return None
    if not isinstance(device, str):
        raise TypeError(f"`device` must be None or the name of a device. Received: {device!r}")
    known = [found.name for found in tf.config.list_logical_devices()]
    kind, _, index = device.upper().removeprefix("/").removeprefix("DEVICE:").partition(":")
    if f"/device:{kind}:{index or 0}" not in known:
        raise ValueError(f"`device` is not on this machine. Received: {device!r}. Known: {', '.join(known)}")
    return device


def device_of(agent: Any) -> str | None:
    """The device that an agent's policy is on; of a policy without variables, the agent's own."""
    variables = agent.policy.variables
    found: str | None = variables[0].value.device if variables else agent.device
    return found


def device_scope(device: str | None) -> contextlib.AbstractContextManager[Any]:
    """The scope of a device. None: the one that is open, which `tf.device(None)` would leave."""
    found: contextlib.AbstractContextManager[Any] = contextlib.nullcontext() if device is None else tf.device(device)
    return found
