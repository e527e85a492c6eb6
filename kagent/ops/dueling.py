"""Action values of two streams: a state value, and an advantage for every action.

Written with `keras.ops`: symbolic tensors of a model's functional graph are taken too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

AGGREGATORS = ("mean", "max", "naive")


def dueling(value: Any, advantage: Any, nvec: Sequence[int] | None = None, aggregator: str = "mean") -> Any:
    """Joins the two streams (Wang et al. 2016, arXiv:1511.06581).

    "mean": `V + A - mean(A)`, eq. 9, which the paper and everyone use; "max": `V + A - max(A)`, eq. 8, so that the best
    action is worth V; "naive": `V + A`, eq. 7, which leaves open what is V and what is A.

    Args:
        value: float32 `(..., 1)`.
        advantage: float32 `(..., sum(nvec))`.
        nvec: Number of values of each component, over each of which mean or maximum is taken; None: there is one.
        aggregator: One of the above.

    Returns:
        float32 `(..., sum(nvec))`.

    Raises:
        ValueError: Another aggregator.

    Example:

    >>> dueling([[10.0]], [[1.0, 2.0, 3.0]]).numpy().tolist()
    [[9.0, 10.0, 11.0]]
    >>> dueling([[10.0]], [[1.0, 2.0, 3.0]], aggregator="max").numpy().tolist()
    [[8.0, 9.0, 10.0]]
    """
    check_aggregator(aggregator, "aggregator")
    value, advantage = (x if keras.backend.is_keras_tensor(x) else ops.convert_to_tensor(x) for x in (value, advantage))
    if aggregator == "naive":
        return value + advantage
    baseline = ops.mean if aggregator == "mean" else ops.max
    parts, start = [], 0
    for n in [advantage.shape[-1]] if nvec is None else nvec:
        part = advantage[..., start : start + n]
        parts.append(part - baseline(part, axis=-1, keepdims=True))
        start += n
    return value + (parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1))


def check_aggregator(aggregator: Any, argument: str) -> str:
    """The name of an aggregator, checked.

    Raises:
        ValueError: None of the aggregators.
    """
    if not isinstance(aggregator, str) or aggregator not in AGGREGATORS:
        raise ValueError(f"`{argument}` must be one of {AGGREGATORS}. Received: {aggregator!r}")
    return aggregator
