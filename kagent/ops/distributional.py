"""Distributions of returns: quantiles (Dabney et al. 2017, arXiv:1710.10044), implicit quantiles (Dabney et al. 2018,
arXiv:1806.06923), atoms with probabilities (Bellemare et al. 2017, arXiv:1707.06887), and truncated mixtures of quantiles
(Kuznetsov et al. 2020, arXiv:2005.04269)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .td import by_component, huber, mask_values

__all__ = ["fraction_cosines", "greedy_index", "project", "quantile_huber", "select_atoms", "truncate"]


def greedy_index(values: Any, nvec: Sequence[int], mask: Any = None) -> tf.Tensor:
    """The best allowed choice of each component.

    Args:
        values: float32 `(B, sum(nvec))`.
        nvec: Number of values of each component.
        mask: bool `(B, sum(nvec))`, True = allowed; None allows all. Of a row that allows nothing it is 0.

    Returns:
        int32 `(B, len(nvec))`, the lowest index of equal values.

    Example:

    >>> greedy_index([[1.0, 5.0, 2.0, 9.0, 4.0]], nvec=[2, 3], mask=[[True, True, True, False, True]]).numpy().tolist()
    [[1, 2]]
    """
    return tf.argmax(by_component(mask_values(values, mask), nvec), axis=-1, output_type=tf.int32)


def select_atoms(table: Any, action: Any, nvec: Sequence[int]) -> tf.Tensor:
    """The atoms of the chosen values.

    Args:
        table: float32 `(B, sum(nvec), atoms)`.
        action: Integer indices `(B, *shape)` with `prod(shape) == len(nvec)`.
        nvec: Number of values of each component.

    Returns:
        float32 `(B, len(nvec), atoms)`.

    Example:

    >>> select_atoms([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]], [[1]], nvec=[3]).numpy().tolist()
    [[[3.0, 4.0]]]
    """
    table = tf.cast(table, tf.float32)
    sizes = [int(n) for n in nvec]
    starts = tf.constant([sum(sizes[:i]) for i in range(len(sizes))], tf.int32)
    index = tf.reshape(tf.cast(action, tf.int32), (-1, len(sizes))) + starts
    # A product with one-hot codes: a gather's gradient is a serial scatter under XLA.
    return tf.matmul(tf.one_hot(index, sum(sizes), dtype=tf.float32), table)


def fraction_cosines(fractions: Any, count: int) -> tf.Tensor:
    """The cosines of which an implicit quantile network makes features of a fraction: `cos(pi * i * tau)` for i from 0 to
    `count - 1`, in eq. 4 of Dabney et al. 2018.

    Args:
        fractions: float32 `(...)`, tau, from 0 to 1.
        count: How many, at least 1.

    Returns:
        float32 `(..., count)`. The first is 1.

    Example:

    >>> fraction_cosines([0.0, 0.5, 1.0], 3).numpy().round(6).tolist()
    [[1.0, 1.0, 1.0], [1.0, -0.0, -1.0], [1.0, -1.0, 1.0]]
    """
    return tf.cos(tf.cast(fractions, tf.float32)[..., None] * (math.pi * tf.range(count, dtype=tf.float32)))


def quantile_huber(quantiles: Any, targets: Any, kappa: float = 1.0, fractions: Any = None) -> tf.Tensor:
    """The loss of each quantile, its mean over the targets.

    `mean over j of |tau_i - 1{u < 0}| * huber(u, kappa)` with `u = targets_j - quantiles_i`: eq. 9 and 10 of Dabney et al. 2017,
    where tau are the midpoints `tau_i = (i - 1/2) / N`. Their algorithm 1 takes the sum over i of it, TQC the mean. With random
    `fractions` it is eq. 3 of Dabney et al. 2018, times `kappa`.

    Args:
        quantiles: float32 `(..., N)`.
        targets: float32 `(..., M)`, samples of what is to be the distribution, each as likely.
        kappa: Where the loss turns from quadratic to linear, a number >= 0. 0: linear everywhere, the quantiles proper.
        fractions: float32 `(..., N)`, tau of each quantile, from 0 to 1; None: the midpoints.

    Returns:
        float32 `(..., N)`. Gradients flow through `quantiles` and `targets`.

    Example:

    >>> quantile_huber([0.0, 2.0], [1.0, 4.0]).numpy().tolist()
    [0.5, 0.625]
    >>> quantile_huber([0.0, 2.0], [1.0, 4.0], fractions=[0.5, 0.0]).numpy().tolist()
    [1.0, 0.25]
    """
    quantiles, targets = tf.cast(quantiles, tf.float32), tf.cast(targets, tf.float32)
    if fractions is None:
        count = quantiles.shape[-1]
        fractions = (tf.range(count, dtype=tf.float32) + 0.5) / count
    tau = tf.cast(fractions, tf.float32)[..., None]
    error = targets[..., None, :] - quantiles[..., None]
    weight = tf.where(error < 0.0, 1.0 - tau, tau)  # |tau - 1{u < 0}|, in fewer passes over the N x M errors
    size = tf.abs(error) if kappa == 0 else huber(error, kappa)
    return tf.reduce_mean(weight * size, axis=-1)


def project(returns: Any, probabilities: Any, low: float, high: float) -> tf.Tensor:
    """Probabilities of any returns as probabilities of evenly spaced atoms: each return is shared by the two atoms around it.

    Eq. 7 of Bellemare et al. 2017.

    Args:
        returns: float32 `(B, atoms)`; beyond `low` and `high` they count as these.
        probabilities: float32 `(B, atoms)`.
        low, high: The first and the last atom, of as many as there are returns.

    Returns:
        float32 `(B, atoms)`, of the same sums.

    Example:

    >>> project([[0.5, 1.0, 3.0]], [[0.5, 0.25, 0.25]], low=0.0, high=2.0).numpy().tolist()
    [[0.25, 0.5, 0.25]]
    """
    returns, probabilities = tf.cast(returns, tf.float32), tf.cast(probabilities, tf.float32)
    last = returns.shape[-1] - 1
    place = (tf.clip_by_value(returns, low, high) - low) / (high - low) * last
    share = tf.maximum(1.0 - tf.abs(place[:, :, None] - tf.range(last + 1, dtype=tf.float32)), 0.0)
    return tf.einsum("bi,bij->bj", probabilities, share)


def truncate(atoms: Any, drop: int) -> tf.Tensor:
    """The pooled atoms of several critics without the largest ones, which overestimate: eq. 8 of Kuznetsov et al. 2020.

    Args:
        atoms: float32 `(B, n)`, of all critics side by side.
        drop: How many to leave out, from 0 to `n - 1`.

    Returns:
        float32 `(B, n - drop)`, in ascending order.

    Example:

    >>> truncate([[3.0, 9.0, 1.0, 4.0]], drop=1).numpy().tolist()
    [[1.0, 3.0, 4.0]]
    """
    atoms = tf.sort(tf.cast(atoms, tf.float32), axis=-1)
    return atoms[:, : atoms.shape[-1] - drop]
