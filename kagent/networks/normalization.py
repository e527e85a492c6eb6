"""Normalization between the layers of networks by name."""

from __future__ import annotations

from typing import Any

import keras

from kagent.config.signatures import check_known
from kagent.networks.batch_renormalization import BatchRenormalization

LAYER_NORMALIZATION, BATCH_RENORMALIZATION = "layer_normalization", "batch_renormalization"
ARGUMENTS = ("momentum", "epsilon", "r_max", "d_max", "warmup_steps")  # of `BatchRenormalization`


def check(normalization: Any) -> None:
    """Looks at a network's `normalization`.

    Raises:
        ValueError, TypeError: It is none of what `backbones.MLP` takes, or has arguments outside their range.
    """
    if normalization is not None and normalization != LAYER_NORMALIZATION:
        _renormalization(normalization)


def in_front(x: Any, normalization: Any, name: str) -> Any:
    """What a network's first dense layer gets."""
    return x if normalization in (None, LAYER_NORMALIZATION) else _renormalization(normalization, name)(x)


def behind(x: Any, normalization: Any, activation: str, name: str) -> Any:
    """What follows a layer: with layer normalization the layer is linear, and its activation comes here.

    Args:
        x: What the layer gave, `(N, width)` or `(N, height, width, channels)`.
        normalization: The network's.
        activation: The network's.
        name: Of the layer that normalizes.
    """
    if normalization == LAYER_NORMALIZATION:
        # All numbers of one observation together, also behind a convolution.
        x = keras.layers.LayerNormalization(axis=list(range(1, len(x.shape))), name=name)(x)
        return keras.layers.Activation(activation, name=f"{name}_activation")(x)
    return in_front(x, normalization, name)


def _renormalization(normalization: Any, name: str | None = None) -> Any:
    options = {"type": normalization} if isinstance(normalization, str) else normalization
    if not isinstance(options, dict) or options.get("type") != BATCH_RENORMALIZATION:
        raise ValueError(
            f"`network.normalization` must be None, {LAYER_NORMALIZATION!r}, {BATCH_RENORMALIZATION!r}, or a dict with the latter "
            f"as its 'type' and arguments of kagent.networks.BatchRenormalization. Received: {normalization!r}"
        )
    arguments = {key: value for key, value in options.items() if key != "type"}
    check_known(arguments, ARGUMENTS, "`network.normalization`", "argument")
    return BatchRenormalization(**arguments, name=name)
