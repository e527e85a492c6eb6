"""When a vector environment resets by itself, and which resets it still owes from an earlier use."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from ..spaces import Structure
from .masks import Mask

# By vector environment: which rows its next step will reset, as far as kagent has stepped it.
_pending: weakref.WeakKeyDictionary[VectorEnv, np.ndarray] = weakref.WeakKeyDictionary()


def mode_of(env: VectorEnv) -> AutoresetMode:
    """The mode in `metadata["autoreset_mode"]`.

    Raises:
        ValueError: There is none, or an unknown one.
    """
    modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise ValueError(
            "`env` must say when it resets, but metadata['autoreset_mode'] is missing or unknown. Received: "
            f"{mode!r} of {type(env).__name__}. Allowed: {modes}. If you know the mode, set it: "
            "`env.metadata = {**env.metadata, 'autoreset_mode': gymnasium.vector.AutoresetMode.NEXT_STEP}`"
        ) from None


def pending_rows(base: VectorEnv, count: int) -> np.ndarray:
    """Bool `(count,)`: the rows that the next step of this environment resets. One array for all uses of it."""
    return _pending.setdefault(base, np.zeros(count, bool))


def keeps_pending(base: VectorEnv) -> bool:
    """Whether a pending reset outlives `reset`: gymnasium's workers forget it only with shared memory (1.4)."""
    return isinstance(base, AsyncVectorEnv) and not (base.shared_memory and base.worker is None)


def clears_pending(base: VectorEnv) -> bool:
    """Whether `reset` is known to leave no reset pending."""
    return isinstance(base, SyncVectorEnv | AsyncVectorEnv) and not keeps_pending(base)


def first_allowed(structure: Structure, masks: Mask | None, count: int) -> list[np.ndarray]:
    """For every environment the first allowed action (of a box: the one closest to 0), per leaf `(count, *shape)`."""
    given: Sequence[np.ndarray | None] = [None] * len(structure.leaves) if masks is None else masks
    chosen = []
    for leaf, mask in zip(structure.leaves, given):
        if leaf.nvec is None:
            value = np.clip(np.zeros(leaf.shape), leaf.low, leaf.high)
            chosen.append(np.repeat(value[None], count, axis=0).astype(leaf.dtype))
            continue
        index = np.zeros((count, leaf.size), np.int64)
        if mask is not None:
            parts = np.split(mask, np.cumsum(leaf.nvec.ravel())[:-1], axis=1)
            index[:] = np.stack([part.argmax(axis=1) for part in parts], axis=1)
        chosen.append(leaf.decode(index.reshape(count, *leaf.shape)))
    return chosen
