"""The short way from one observation to one action, of the spaces that most services have."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from kagent.acting import distributions as decisions
from kagent.acting import spaces as layout

GREEDY = 1e-6  # temperatures below are none
_SHORT = 32  # up to so many numbers a Python list is checked faster than an array


def single_decision(
    actor: Any, observation: layout.Layout, action: layout.Layout, lock: threading.Lock
) -> Callable[[Any, bool, np.random.Generator], int | None] | None:
    """`act` for one float Box and one Discrete, without detours; None: the actor is of other spaces.

    Args:
        actor: Whose.
        observation, action: Its spaces.
        lock: Held while the arrays of its program are in use.

    Returns:
        From an observation, `deterministic` and a stream to the action; None from it: go the general way.
    """
    leaf = observation.leaves[0]
    decision = actor.decisions[0]
    if observation.is_nested or leaf.kind != "box" or leaf.dtype.kind != "f":
        return None
    if action.is_nested or type(decision) is not decisions.Categorical or decision.leaf.kind != "discrete":
        return None
    if decision.widths[0] > _SHORT:
        return None
    assert actor.program is not None
    program, kernel = actor.program, actor.program.kernel(1)
    pick = decision.pick
    x, head = kernel.inputs[0][0, ...], kernel.outputs[0][0]
    flat, steps, refresh = x.reshape(-1), kernel.steps, program.refresh
    shape, start, short = leaf.shape, int(decision.leaf.start), flat.size <= _SHORT
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    isfinite, is_finite, array = math.isfinite, layout.is_finite, np.ndarray

    def act(given: Any, deterministic: bool, rng: np.random.Generator) -> int | None:
        if type(given) is not array or given.shape != shape:
            return None
        if given.dtype is not single and given.dtype is not double:
            return None
        with lock:
            if kernel.version != program.version:
                refresh(kernel)
            x[...] = given
            # A sum is finite only if all its terms are; the general way then says which is not.
            if not (isfinite(sum(flat.tolist())) if short else is_finite(flat)):
                return None
            for step in steps:
                step()
            logits = head.tolist()
            if not isfinite(sum(logits)):
                return None
            temperature = actor.temperature
            if deterministic or temperature < GREEDY:
                result: int | None = start + logits.index(max(logits))
                return result
            if temperature != 1.0:
                logits = [value / temperature for value in logits]
            return start + pick(logits, rng, False)

    return act
