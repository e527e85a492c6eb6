"""How likely actions are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def log_prob(
    actor: Any,
    leaves: list[np.ndarray],
    actions: Sequence[np.ndarray],
    masks: Any = None,
    state: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Log-probabilities of actions by the policy's distributions, at temperature 1. Several threads may call it; they take turns.

    Args:
        leaves, masks: As for `decide`.
        actions: Canonical actions that the masks allow, an array `(N, *shape)` for each leaf.
        state: What was acted from, as for `decide_from`; nothing of an actor without a recurrent network.

    Returns:
        Log-probabilities, log-densities of boxes, of canonical actions, float32 `(N,)`. Noise that stays for some timesteps counts as if it
        were drawn at each.

    Raises:
        NotImplementedError: The policy chooses without probabilities.
    """
    parts = len(actor._network_state)
    with actor._lock:
        heads = actor._following([*leaves, *state[:parts]])[:-parts] if parts else actor.forward(leaves)
        masks = [None] * len(actor.decisions) if masks is None else masks
        each = [
            decision.log_prob(heads[where], action, mask)
            for decision, where, action, mask in zip(actor.decisions, actor._heads, actions, masks)
        ]
    result: np.ndarray = np.sum(each, axis=0).astype(np.float32)
    return result
