"""From a network's heads to actions, in NumPy: one decision per action leaf.

A decision works on *canonical* actions, the form that memories store: int32 indices from 0 of discrete
leaves, the unbounded float32 sample of a Gaussian, a float32 in [-1, 1] of a squashed Gaussian or a Beta. `to_env`
gives what the environment takes.
"""

from __future__ import annotations

import reprlib
from typing import Any

from kagent.acting import spaces
from kagent.acting.distributions.beta import Beta
from kagent.acting.distributions.categorical import Bernoulli, Categorical
from kagent.acting.distributions.decision import Decision
from kagent.acting.distributions.fixed import Deterministic, Direct, Random
from kagent.acting.distributions.gaussian import Gaussian, SquashedGaussian
from kagent.acting.distributions.state_dependent import StateDependentGaussian, StateDependentSquashedGaussian

__all__ = [
    "KINDS",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Decision",
    "Deterministic",
    "Direct",
    "Gaussian",
    "Random",
    "SquashedGaussian",
    "StateDependentGaussian",
    "StateDependentSquashedGaussian",
    "from_config",
    "make",
]

_CLASSES = (
    Categorical, Bernoulli, Gaussian, SquashedGaussian, Beta, Deterministic, Direct, Random, StateDependentGaussian,
    StateDependentSquashedGaussian,
)  # fmt: skip
KINDS: dict[str, type[Decision]] = {cls.kind: cls for cls in _CLASSES}


def make(kind: str, leaf: Any, **options: Any) -> Decision:
    """A decision by name, one of `KINDS`.

    Args:
        kind: The name.
        leaf: The action leaf.
        **options: Its further arguments.

    Raises:
        ValueError, TypeError: Unknown name, a leaf it cannot decide on, or options that it does not take.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"Unknown kind of decision. Received: {kind!r}. Allowed: {', '.join(KINDS)}")
    return KINDS[kind](leaf, **options)


def from_config(config: dict[str, Any]) -> Decision:
    """The inverse of `Decision.to_config`. The dict may come from an untrusted file.

    Raises:
        ValueError: Not such a dict.
    """
    if not isinstance(config, dict):
        raise ValueError(f"A decision must be a dict. Received: {reprlib.repr(config)}")
    space = spaces.Layout(config.get("space"), "action")  # type: ignore[arg-type]
    if space.is_nested:
        raise ValueError(f"A decision is on one leaf. Received: {reprlib.repr(config)}")
    kind, options = config.get("kind"), {name: value for name, value in config.items() if name not in ("kind", "space")}
    known = KINDS[kind].options if isinstance(kind, str) and kind in KINDS else ()
    if sorted(options) != sorted(known):
        raise ValueError(f"A decision {kind!r} must have {list(known)}. Received: {reprlib.repr(sorted(options))}")
    try:
        return make(kind, space.leaves[0], **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"Not a decision: {error}") from error
