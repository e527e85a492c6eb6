"""Random numbers over time. Seeded: the same at the same time, however often and wherever they are read.

A schedule without a seed of its own has that of the clock, which an agent derives from its own seed.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
from typing import Any, cast

from kagent.config.checks import check_flag
from kagent.schedules import noise
from kagent.schedules.clock import UNITS
from kagent.schedules.schedule import SCHEDULES, Schedule, check_number, check_unit

COUNTS = tuple(unit for unit in UNITS if unit != "progress")
SMALLEST_THETA = 1e-4


class _Process(Schedule):
    # Shared by the schedules that have a seed and may be held between two values.
    seed: int | None
    minval: float | None
    maxval: float | None

    def _check(self) -> None:
        check_unit(self.unit, COUNTS)
        object.__setattr__(self, "seed", check_seed(self.seed))
        for name in ("minval", "maxval"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_number(getattr(self, name), name))
        low, high = self._limits
        if not low < high:
            raise ValueError(f"`minval` must be < `maxval`. Received: {self.minval!r}, {self.maxval!r}")

    def seeded(self, seed: int) -> Schedule:
        return self if self.seed is not None else _with_seed(self, seed)

    @property
    def _limits(self) -> tuple[float, float]:
        low = -math.inf if self.minval is None else self.minval
        return low, math.inf if self.maxval is None else self.maxval

    def _held(self, value: Any, numerics: Any) -> Any:
        if self.minval is not None:
            value = numerics.maximum(value, float(self.minval))
        if self.maxval is not None:
            value = numerics.minimum(value, float(self.maxval))
        return value


@functools.lru_cache(maxsize=64)
def _with_seed(schedule: Any, seed: int) -> Any:
    return dataclasses.replace(schedule, seed=seed)


def check_seed(seed: Any) -> int | None:
    """The seed of random numbers over time: an integer from 0 to 2**64 - 1, or None.

    Raises:
        TypeError, ValueError: Anything else.
    """
    if seed is None:
        return None
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise TypeError(f"`seed` must be an integer or None. Received: {seed!r}")
    number = int(seed)
    if not 0 <= number < 2**64:
        raise ValueError(f"`seed` must be in [0, 2**64). Received: {seed!r}")
    return number


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class Random(_Process):
    """A new random number at every step of time, independent of the others.

    A normal distribution has no ends: where an argument's values must lie in a range, `minval` and `maxval` must hold
    it there.

    Args:
        distribution: `"normal"` or `"uniform"`.
        mean, stddev: Of the normal distribution; default 0 and 1. Half of its values are below the mean, two thirds
            within one standard deviation of it.
        minval, maxval: Ends of the uniform distribution, [minval, maxval); default 0 and 1. Of the normal one: values
            beyond are set to them; default None: none are.
        unit: What a step is: `"timesteps"`, `"episodes"` or `"updates"` (gradient steps).
        seed: Integer from 0 to 2**64 - 1; None: one derived from the agent's seed, which is 0 on a bare `Clock`. Schedules
            with the same seed and unit have the same noise.

    Raises:
        TypeError, ValueError: Arguments of the wrong type, outside their range, or of the other distribution.

    Example:

    >>> schedule = Random("uniform", minval=1e-4, maxval=1e-3, unit="episodes", seed=7)
    >>> schedule(Clock(episodes=3)) == schedule(Clock(episodes=3)) != schedule(Clock(episodes=4))
    True
    """

    distribution: str = "normal"
    mean: float | None = None
    stddev: float | None = None
    minval: float | None = None
    maxval: float | None = None
    unit: str = "timesteps"
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.distribution not in ("normal", "uniform"):
            raise ValueError(f"`distribution` must be 'normal' or 'uniform'. Received: {self.distribution!r}")
        normal = self.distribution == "normal"
        for name, default in (("mean", 0.0), ("stddev", 1.0)) if normal else (("minval", 0.0), ("maxval", 1.0)):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if normal:
            object.__setattr__(self, "mean", check_number(self.mean, "mean"))
            object.__setattr__(self, "stddev", check_number(self.stddev, "stddev", above=0))
        elif self.mean is not None or self.stddev is not None:
            raise ValueError(
                "`mean` and `stddev` belong to distribution='normal', `minval` and `maxval` to 'uniform'. "
                f"Received: mean={self.mean!r}, stddev={self.stddev!r} with 'uniform'"
            )
        self._check()

    @property
    def bounds(self) -> tuple[float, float]:
        return self._limits

    def at(self, time: Any, numerics: Any) -> Any:
        step = numerics.step(time)
        if self.distribution == "uniform":
            low, high = self._limits
            return low + (high - low) * noise.uniform(cast(int, self.seed), step)
        return self._held(self.mean + self.stddev * noise.normal(cast(int, self.seed), step, numerics), numerics)


@SCHEDULES.register()
@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeck(_Process):
    """Random numbers that wander around `mu`, each near the one before.

    `x_0 = mu` and `x_k = x_{k-1} + theta * (mu - x_{k-1}) + sigma * noise_k` with standard normal noise (Uhlenbeck and
    Ornstein 1930, "On the theory of the Brownian motion"; in this form the exploration noise of Lillicrap et al. 2016,
    arXiv:1509.02971). It is not computed step by step but, without any state, as
    `x_k = mu + sigma * sum_j (1 - theta)**j * noise_{k-j}`, of which float32 sees only the latest terms.

    In the long run the values are normal around `mu` with standard deviation
    `sigma / sqrt(1 - (1 - theta)**2)`, which has no ends: where an argument's values must lie in a range, `minval` and
    `maxval` (or `absolute`, for >= 0) must hold them there.

    Args:
        theta: How strongly it returns to `mu`, from 0.0001 to 1: values `1 / theta` steps apart are nearly
            independent; at 1 all are. A reading takes time in proportion to `1 / theta`.
        sigma: How far the noise moves it per step, >= 0.
        mu: Where it starts, and what it wanders around.
        absolute: Take the absolute values.
        unit: What a step is: `"timesteps"`, `"episodes"` or `"updates"` (gradient steps).
        seed: Integer from 0 to 2**64 - 1; None: one derived from the agent's seed, which is 0 on a bare `Clock`. Schedules
            with the same seed and unit have the same noise.
        minval, maxval: Values beyond are set to them. None: none are.

    Raises:
        TypeError, ValueError: Arguments of the wrong type or outside their range.

    Example:

    >>> schedule = OrnsteinUhlenbeck(mu=0.1, sigma=0.02, minval=0.0, maxval=0.2, seed=7)
    >>> schedule(Clock(timesteps=0))
    0.1
    >>> all(0.0 <= schedule(Clock(timesteps=timesteps)) <= 0.2 for timesteps in range(1000))
    True
    """

    theta: float = 0.15
    sigma: float = 0.3
    mu: float = 0.0
    absolute: bool = False
    unit: str = "timesteps"
    seed: int | None = None
    minval: float | None = None
    maxval: float | None = None

    def __post_init__(self) -> None:
        for name in ("theta", "sigma", "mu"):
            object.__setattr__(self, name, check_number(getattr(self, name), name))
        # Below, a reading would sum up hundreds of thousands of terms.
        if not SMALLEST_THETA <= self.theta <= 1:
            raise ValueError(f"`theta` must be in [{SMALLEST_THETA}, 1]. Received: {self.theta!r}")
        if not self.sigma >= 0:
            raise ValueError(f"`sigma` must be >= 0. Received: {self.sigma!r}")
        check_flag(self.absolute, "absolute")
        self._check()

    @property
    def bounds(self) -> tuple[float, float]:
        low, high = self._limits
        return (min(max(low, 0.0), high) if self.absolute else low), high

    def at(self, time: Any, numerics: Any) -> Any:
        wandered = numerics.discounted_noise(cast(int, self.seed), numerics.step(time), 1.0 - self.theta)
        value = self.mu + self.sigma * wandered
        return self._held(abs(value) if self.absolute else value, numerics)
