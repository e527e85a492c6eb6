"""From a network's heads to actions, in NumPy: one decision per action leaf.

A decision works on *canonical* actions, the form that memories store: int32 indices from 0 of discrete
leaves, the unbounded float32 sample of a Gaussian, a float32 in [-1, 1] of a squashed Gaussian. `to_env`
gives what the environment takes.
"""

from __future__ import annotations

import bisect
import itertools
import math
import reprlib
from typing import Any

import numpy as np

from kagent.acting import layout

_SHORT = 32  # up to so many logits Python's own arithmetic is faster than a handful of NumPy calls
_EXACT = 2.0**53  # integers beyond have no exact float64


class Decision:
    """What all decisions have.

    Args:
        leaf: The action leaf, of `kagent.spaces` or `kagent.acting.layout`.

    Attributes:
        kind: The decision's name in configs.
        heads: How many of the network's outputs it reads.
        widths: Their widths: head i is `(N, widths[i])`.

    Raises:
        ValueError: A leaf it cannot decide on.
    """

    kind: str
    heads: int
    widths: tuple[int, ...]

    def __init__(self, leaf: Any):
        self.leaf = leaf

    def choose(
        self,
        heads: list[np.ndarray],
        rng: np.random.Generator,
        deterministic: bool,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Canonical actions `(N, *leaf.shape)`, a new array: the most likely ones, or samples.

        Args:
            heads: `self.heads` float arrays `(N, width)`.
            rng: Source of the samples; not touched if `deterministic`.
            deterministic: Take the mode instead of a sample.
            mask: Bool `(N, sum(nvec))`, True = allowed, for discrete leaves; None: all are.

        Raises:
            ValueError: A row of the mask allows nothing, or there is a mask on a leaf that is not discrete.
        """
        raise NotImplementedError

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        """`count` canonical actions, uniform over what is allowed, or normal where unbounded."""
        raise NotImplementedError

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Canonical actions with noise; a new array.

        Args:
            canonical: `(N, *leaf.shape)`.
            amount: Of a discrete leaf the probability, for each component, that a uniformly random allowed value takes
                the place of the chosen one; of a Box the standard deviation, in the environment's units, of Gaussian
                noise that is added.
            rng, mask: As for `choose`.
        """
        raise NotImplementedError

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical actions `(N, *leaf.shape)` as the environment takes them, in its dtype; a new array."""
        raise NotImplementedError

    def from_env(self, taken: np.ndarray) -> np.ndarray:
        """Canonical actions of what the environment took, `(N, *leaf.shape)`: the inverse of `to_env`.

        What `to_env` clipped or rounded stays so.
        """
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `from_config` is the inverse."""
        return {"kind": self.kind, "space": layout.describe(self.leaf)}


class Categorical(Decision):
    """Independent choices, one per component, from one head of logits or action values `(N, sum(nvec))`.

    The mode is the largest entry, the lowest index of equal ones. Samples follow softmax(logits). A masked
    value is never chosen, whatever the logits are.
    """

    kind = "categorical"
    heads = 1

    def __init__(self, leaf: Any):
        if leaf.nvec is None or leaf.nvec.size == 0:
            raise ValueError(
                f"A categorical decision needs a discrete leaf. Received: {leaf.kind} of shape {leaf.shape}"
            )
        super().__init__(leaf)
        nvec = leaf.nvec.ravel()
        if nvec.sum() > layout.MAX_SIZE or leaf.nvec.size * int(nvec.max()) > layout.MAX_SIZE:
            raise ValueError(f"Too many values for a categorical decision. Received: {nvec.sum()} of {nvec.size}")
        self.widths = (int(nvec.sum()),)
        self._nvec = nvec
        self._single = nvec.size == 1
        self._uniform = bool((nvec == nvec[0]).all())
        self._start = leaf.start if leaf.start.any() else None
        longest = int(nvec.max())
        self._rows = (len(nvec), longest)
        # Components of different lengths are laid out as rows of the longest; where each logit goes, and
        # where one is.
        self._slots = np.concatenate([k * longest + np.arange(n) for k, n in enumerate(nvec)])
        self._exists = None if self._uniform else np.arange(longest) < nvec[:, None]

    def choose(self, heads, rng, deterministic, mask=None):
        logits = heads[0]
        if self._single and len(logits) == 1 and self.widths[0] <= _SHORT:
            allowed = None if mask is None else mask[0].tolist()
            return self._one(self.pick(logits[0].tolist(), rng, deterministic, allowed))
        return self._choose(logits, rng, deterministic, mask)

    def pick(
        self,
        logits: list[float],
        rng: np.random.Generator,
        deterministic: bool,
        allowed: list[bool] | None = None,
    ) -> int:
        """`choose` for one component and one row, on Python lists: as fast as it gets for a few values."""
        masked = logits if allowed is None else [x if ok else -math.inf for x, ok in zip(logits, allowed)]
        top = max(masked)
        if not math.isfinite(top) or math.isnan(sum(masked)):
            mask = None if allowed is None else np.array([allowed], np.bool_)
            return int(self._choose(np.array([logits], np.float32), rng, deterministic, mask).item())
        if deterministic:
            return masked.index(top)
        # Inversion. As u <= 1 - 2**-53, u * total stays below the total: an entry of weight 0 is never hit.
        exp = math.exp
        cumulated = list(itertools.accumulate([exp(value - top) for value in masked]))
        return bisect.bisect_right(cumulated, rng.random() * cumulated[-1])

    def _choose(self, logits, rng, deterministic, mask):
        rows = self._padded(logits, -np.inf)
        allowed = None
        if mask is not None:
            allowed = self._padded(mask, False)
            rows = np.where(allowed, rows, -np.inf)
        elif self._exists is not None:
            allowed = np.broadcast_to(self._exists, rows.shape)
        if not deterministic:
            # The largest of logit + Gumbel noise is a sample of the softmax: Maddison et al. 2014,
            # arXiv:1411.0030.
            rows = rows - np.log(rng.standard_exponential(rows.shape))
        index = rows.argmax(-1)
        return self._shaped(index if allowed is None else _repair(index, allowed))

    def random(self, count, rng, mask=None):
        if mask is not None:
            return self._choose(np.zeros((count, *self.widths), np.float32), rng, False, mask)
        if self._single and count == 1:
            return self._one(int(rng.random() * self.widths[0]))
        return self._shaped((rng.random((count, len(self._nvec))) * self._nvec).astype(np.int32))

    def perturb(self, canonical, amount, rng, mask=None):
        at_random = rng.random(canonical.shape) < amount
        if not at_random.any():
            return canonical.copy()
        return np.where(at_random, self.random(len(canonical), rng, mask), canonical)

    def to_env(self, canonical):
        if self._start is not None:
            canonical = canonical + self._start
        return canonical.astype(self.leaf.dtype)

    def from_env(self, taken):
        return (taken if self._start is None else taken - self._start).astype(np.int32)

    def _one(self, index: int) -> np.ndarray:
        made = np.array([index], np.int32)
        return made if self.leaf.shape == () else made.reshape((1, *self.leaf.shape))

    def _shaped(self, index: np.ndarray) -> np.ndarray:
        return index.astype(np.int32, copy=False).reshape((len(index), *self.leaf.shape))

    def _padded(self, flat: np.ndarray, fill: Any) -> np.ndarray:
        # (N, sum(nvec)) -> (N, components, longest)
        if self._uniform:
            return flat.reshape((len(flat), *self._rows))
        padded = np.full((len(flat), self._rows[0] * self._rows[1]), fill, flat.dtype)
        padded[:, self._slots] = flat
        return padded.reshape((len(flat), *self._rows))


def _refuse_empty(allowed: np.ndarray) -> None:
    some = allowed.any(-1)
    if not some.all():
        row, component = (int(i) for i in np.argwhere(~some)[0])
        where = f"row {row}" + (f", component {component}" if allowed.shape[1] > 1 else "")
        raise ValueError(f"`mask` allows no value in {where}: at least one must be True. Received: all False")


def _repair(index: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    # The best of a row is a forbidden one only if all allowed logits are -inf, or nothing is allowed.
    good = allowed.reshape(-1, allowed.shape[-1])[np.arange(index.size), index.ravel()].reshape(index.shape)
    if good.all():
        return index
    _refuse_empty(allowed)
    return np.where(good, index, allowed.argmax(-1))


class Gaussian(Decision):
    """An unbounded Gaussian, clipped to the bounds for the environment. Heads: mean, log deviation."""

    kind = "gaussian"
    heads = 2

    def __init__(self, leaf: Any):
        if leaf.kind != "box":
            raise ValueError(f"A {self.kind} decision needs a Box. Received: {leaf.kind}")
        super().__init__(leaf)
        size = math.prod(leaf.shape)
        self.widths = (size, size)
        dtype = np.dtype(leaf.dtype)
        self._integral = dtype.kind != "f"
        # float32 holds the bounds of float32 exactly; other dtypes are clipped in float64
        self._work = np.dtype(np.float32 if dtype.itemsize <= 4 and not self._integral else np.float64)
        self._low, self._high = leaf.low.astype(self._work), leaf.high.astype(self._work)
        if self._integral:
            self._low, self._high = np.maximum(self._low, -_EXACT), np.minimum(self._high, _EXACT)
        self._clipped = bool(np.isfinite(self._low).any() or np.isfinite(self._high).any())

    def choose(self, heads, rng, deterministic, mask=None):
        _refuse_mask(mask)
        mean, log_std = heads
        if deterministic:
            sample = mean.astype(np.float32)
        else:
            sample = rng.standard_normal(mean.shape, np.float32)
            sample *= np.exp(log_std)
            sample += mean
        return sample.reshape((len(sample), *self.leaf.shape))

    def random(self, count, rng, mask=None):
        _refuse_mask(mask)
        shape = (count, *self.leaf.shape)
        low, high = self._low.astype(np.float64), self._high.astype(np.float64)
        bounded = np.isfinite(low) & np.isfinite(high)
        normal = rng.standard_normal(shape, np.float32)
        if not bounded.any():
            return normal
        low, high = np.where(bounded, low, 0.0), np.where(bounded, high, 0.0)
        share = rng.random(shape)
        return np.where(bounded, low * (1.0 - share) + high * share, normal).astype(np.float32)

    def perturb(self, canonical, amount, rng, mask=None):
        _refuse_mask(mask)
        # Not clipped here: the environment gets what is within its bounds, the memory what was drawn.
        return canonical + np.float32(amount) * rng.standard_normal(canonical.shape, np.float32)

    def to_env(self, canonical):
        return self._cast(canonical.astype(self._work))

    def from_env(self, taken):
        return taken.astype(np.float32)

    def _cast(self, values: np.ndarray) -> np.ndarray:
        if self._integral:
            np.rint(values, values)
        if self._clipped:
            np.maximum(values, self._low, out=values)
            np.minimum(values, self._high, out=values)
        return values.astype(self.leaf.dtype, copy=False)


class SquashedGaussian(Gaussian):
    """tanh of a Gaussian, in [-1, 1], scaled to the bounds for the environment. Heads: mean, log deviation.

    Haarnoja et al. 2018, arXiv:1812.05905, appendix C.
    """

    kind = "squashed_gaussian"

    def __init__(self, leaf: Any):
        super().__init__(leaf)
        if not (np.isfinite(leaf.low).all() and np.isfinite(leaf.high).all()):
            raise ValueError(f"A squashed Gaussian needs finite bounds. Received: low={leaf.low}, high={leaf.high}")
        # Halves first: the difference of the bounds may be more than the dtype holds.
        self._middle, self._half = self._high / 2 + self._low / 2, self._high / 2 - self._low / 2

    def choose(self, heads, rng, deterministic, mask=None):
        sample = super().choose(heads, rng, deterministic, mask)
        return np.tanh(sample, sample)

    def random(self, count, rng, mask=None):
        _refuse_mask(mask)
        return rng.random((count, *self.leaf.shape), np.float32) * np.float32(2.0) - np.float32(1.0)

    def perturb(self, canonical, amount, rng, mask=None):
        _refuse_mask(mask)
        noise = rng.standard_normal(canonical.shape) * (amount / np.maximum(self._half, np.finfo(np.float64).tiny))
        return np.clip(canonical + noise, -1.0, 1.0).astype(np.float32)

    def to_env(self, canonical):
        values = canonical.astype(self._work)
        values *= self._half
        values += self._middle
        return self._cast(values)

    def from_env(self, taken):
        values = taken.astype(self._work) - self._middle
        np.divide(values, self._half, out=values, where=self._half > 0)  # else low == high: the middle
        return np.clip(values, -1.0, 1.0).astype(np.float32)


def _refuse_mask(mask: np.ndarray | None) -> None:
    if mask is not None:
        raise ValueError(f"`mask` must be None for a Box action: only discrete actions are masked. Received: {mask!r}")


KINDS: dict[str, type[Decision]] = {cls.kind: cls for cls in (Categorical, Gaussian, SquashedGaussian)}


def make(kind: str, leaf: Any) -> Decision:
    """A decision by name: `"categorical"`, `"gaussian"` or `"squashed_gaussian"`.

    Raises:
        ValueError: Unknown name, or a leaf it cannot decide on.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"Unknown kind of decision. Received: {kind!r}. Allowed: {', '.join(KINDS)}")
    return KINDS[kind](leaf)


def from_config(config: dict[str, Any]) -> Decision:
    """The inverse of `Decision.to_config`. The dict may come from an untrusted file.

    Raises:
        ValueError: Not such a dict.
    """
    if not isinstance(config, dict):
        raise ValueError(f"A decision must be a dict. Received: {reprlib.repr(config)}")
    space = layout.Layout(config.get("space"), "action")  # type: ignore[arg-type]
    if space.is_nested:
        raise ValueError(f"A decision is on one leaf. Received: {reprlib.repr(config)}")
    return make(config.get("kind"), space.leaves[0])  # type: ignore[arg-type]
