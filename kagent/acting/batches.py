"""Many observations of a service at once: checked, as leaves with a batch axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kagent.acting import spaces as layout

LARGEST = 1024  # rows that one program has arrays for; larger batches go in parts


def read_observations(observation: layout.Layout, values: Any) -> list[np.ndarray]:
    """Observation leaves `(N, *shape)` in stored form.

    Args:
        observation: The space.
        values: N observations, nested as the space, every leaf `(N, *shape)`.

    Raises:
        ValueError: Nested otherwise, other shapes, none at all, leaves of different N; or as `spaces.encode`.
    """
    parts = [_array(part) for part in observation.flatten(values)]
    counts = {len(part) if part.ndim else 0 for part in parts}
    if len(counts) != 1 or 0 in counts:
        expected = [f"(N, {', '.join(map(str, leaf.shape))})" if leaf.shape else "(N,)" for leaf in observation.leaves]
        raise ValueError(
            f"`observations` must be arrays of shapes {', '.join(expected)}, N >= 1. Received: {[part.shape for part in parts]}"
        )
    count = counts.pop()
    return [
        layout.encode(dataclasses.replace(leaf, shape=(count, *leaf.shape)), part, "observations")
        for leaf, part in zip(observation.leaves, parts)
    ]


def _array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:  # ragged nesting
        raise ValueError(f"`observations` must be arrays with a batch axis. Received: {value!r}") from error


def read_masks(action: layout.Layout, masks: Sequence[Any], count: int) -> list[np.ndarray | None] | None:
    """Masks of each action leaf, `(N, sum(nvec))`, or None for a leaf without; None where there is none at all.

    Args:
        action: The space.
        masks: N masks, each as an environment gives it, or None: all is allowed.
        count: N.

    Raises:
        ValueError: Another number of them; or as `spaces.allowed`.
    """
    if isinstance(masks, dict) or not hasattr(masks, "__len__") or len(masks) != count:
        received = len(masks) if hasattr(masks, "__len__") and not isinstance(masks, dict) else type(masks).__name__
        raise ValueError(f"`masks` must be {count} masks, one for each observation. Received: {received}")
    rows = [action.flatten_masks(mask) or [None] * len(action.leaves) for mask in masks]
    found: list[np.ndarray | None] = []
    for leaf, parts in zip(action.leaves, zip(*rows)):
        if leaf.nvec is None or all(part is None for part in parts):
            found.append(None)
            continue
        free = np.ones(int(leaf.nvec.sum()), np.bool_)
        found.append(np.stack([free if part is None else part for part in parts]))
    return None if all(part is None for part in found) else found
