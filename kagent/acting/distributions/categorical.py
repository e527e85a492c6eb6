"""Choices among values."""

from __future__ import annotations

import bisect
import itertools
import math
from typing import Any

import numpy as np

from kagent.acting import spaces
from kagent.acting.distributions.decision import Decision

_SHORT = 32  # up to so many logits Python's own arithmetic is faster than a handful of NumPy calls


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
        if nvec.sum() > spaces.MAX_SIZE or leaf.nvec.size * int(nvec.max()) > spaces.MAX_SIZE:
            raise ValueError(f"Too many values for a categorical decision. Received: {nvec.sum()} of {nvec.size}")
        self.widths = (int(nvec.sum()),)
        self._values = self.widths[0]
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

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
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

    def _choose(
        self, logits: np.ndarray, rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None
    ) -> np.ndarray:
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

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        rows = self._padded(heads[0], -np.inf).astype(np.float64)
        if mask is not None:
            rows = np.where(self._padded(mask, False), rows, -np.inf)
        rows = rows - rows.max(-1, keepdims=True)
        taken = np.take_along_axis(rows, canonical.reshape((*rows.shape[:2], 1)), -1)[..., 0]
        result: np.ndarray = (taken - np.log(np.exp(rows).sum(-1))).sum(-1)
        return result

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        return [heads[0] * np.float32(1.0 / temperature)]

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        if mask is not None:
            return Categorical._choose(self, np.zeros((count, self._values), np.float32), rng, False, mask)
        if self._single and count == 1:
            return self._one(int(rng.random() * self._values))
        return self._shaped((rng.random((count, len(self._nvec))) * self._nvec).astype(np.int32))

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        at_random = rng.random(canonical.shape) < amount
        if not at_random.any():
            return canonical.copy()
        return np.where(at_random, self.random(len(canonical), rng, mask), canonical)

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        if self._start is not None:
            canonical = canonical + self._start
        return canonical.astype(self.leaf.dtype)

    def from_env(self, taken: np.ndarray) -> np.ndarray:
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


def refuse_empty(allowed: np.ndarray) -> None:
    """Refuses masks `(N, components, values)` with a component that has no allowed value."""
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
    refuse_empty(allowed)
    return np.where(good, index, allowed.argmax(-1))


class Bernoulli(Categorical):
    """Independent choices between 0 and 1 from one head: a logit per component, `(N, size)`.

    The mode is 1 where its probability `sigmoid(logit)` is at least a half. A masked value is never chosen; masks are those
    of a `Categorical`, two flags per component.
    """

    kind = "bernoulli"

    def __init__(self, leaf: Any):
        if leaf.nvec is None or leaf.nvec.size == 0 or (leaf.nvec != 2).any():
            values = None if leaf.nvec is None else leaf.nvec.tolist()
            raise ValueError(
                "A Bernoulli decision needs a leaf of two values per component, as MultiBinary. "
                f"Received: {leaf.kind} of shape {leaf.shape} with {values} values"
            )
        super().__init__(leaf)
        self.widths = (leaf.nvec.size,)

    def choose(
        self, heads: list[np.ndarray], rng: np.random.Generator, deterministic: bool, mask: np.ndarray | None = None
    ) -> np.ndarray:
        logits = heads[0]
        if deterministic:
            ones = logits >= 0.0
        else:
            # tanh, because the exponential in the sigmoid's own form overflows
            ones = rng.random(logits.shape) < 0.5 + 0.5 * np.tanh(0.5 * logits.astype(np.float64))
        if mask is not None:
            allowed = mask.reshape(len(mask), -1, 2)
            refuse_empty(allowed)
            ones = (ones & allowed[..., 1]) | ~allowed[..., 0]
        return self._shaped(ones)

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        logits = heads[0].astype(np.float64)
        each = -np.logaddexp(0.0, np.where(canonical.reshape(logits.shape) == 0, logits, -logits))
        if mask is not None:
            each = np.where(mask.reshape((*logits.shape, 2)).all(-1), each, 0.0)  # else there is no choice
        result: np.ndarray = each.sum(-1)
        return result
