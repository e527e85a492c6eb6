"""What a reward is worth: how rewards to come are summed into the quantity that is learned."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from kagent.registry import Registry

REWARD_ESTIMATIONS = Registry("reward_estimation")


@REWARD_ESTIMATIONS.register()
@dataclasses.dataclass(frozen=True)
class RewardEstimation:
    """Discounted reward with a bootstrap at the horizon.

    Args:
        horizon: Rewards that are summed before the estimate takes over. 1: reward plus discounted estimate of the
            next state.
        discount: Weight of a reward one timestep later, 0 to 1. Larger looks further ahead and learns more slowly.
        gae_lambda: Weight of longer horizons in generalized advantage estimation, 0 to 1 (Schulman et al. 2016,
            arXiv:1506.02438, eq. 16): 0 trusts the critic after one step, 1 trusts the observed rewards.
            None for objectives that estimate no advantage.

    Raises:
        ValueError: A value outside its range; `horizon` other than 1.
    """

    horizon: int = 1
    discount: float = 0.99
    gae_lambda: float | None = None

    def __post_init__(self):
        if self.horizon != 1:
            raise ValueError(f"`reward_estimation.horizon` must be 1. Received: {self.horizon!r}")
        for name in ("discount", "gae_lambda"):
            value = getattr(self, name)
            if value is None and name == "gae_lambda":
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value <= 1:
                raise ValueError(f"`reward_estimation.{name}` must be a number in [0, 1]. Received: {value!r}")
            object.__setattr__(self, name, float(value))


def get(identifier: Any) -> RewardEstimation:
    """A `RewardEstimation` from an object or a dict of its arguments."""
    if isinstance(identifier, dict):
        identifier = {"type": "RewardEstimation", **identifier}
    return REWARD_ESTIMATIONS.get(identifier, "reward_estimation")
