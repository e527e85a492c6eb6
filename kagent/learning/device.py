"""Where an agent's variables and its learner live."""

from __future__ import annotations

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
