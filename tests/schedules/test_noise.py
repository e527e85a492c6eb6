"""The random numbers: published ones, the same everywhere, and random."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from kagent.schedules import noise

ONES = 2**64 - 1


@pytest.mark.parametrize(
    "seed, count, words",
    [
        # From Random123's kat_vectors (threefry2x32, 20 rounds).
        (0, 0, (0x6B200159, 0x99BA4EFE)),
        (ONES, ONES, (0x1CB996FC, 0xBB002BE7)),
        (0x0370734413198A2E, 0x85A308D3243F6A88, (0xC4923A9C, 0x483DF7A0)),
        # From Boost.Compute's test of consecutive counters.
        (0, 1, (0x508EFB2C, 0xC0DE3F32)),
        (0, 2, (0x64A626EC, 0xFC15E573)),
        (0, 3, (0xB8ABC4D1, 0x0537EB86)),
        (0, 9, (0x2D1FA53A, 0xDFE8514C)),
    ],
)
def test_published_words(seed, count, words):
    assert noise.threefry(seed, count) == words


@pytest.mark.parametrize("seed", [0, 7, 2**32, ONES])
def test_numpy_and_tensorflow_make_the_same(seed):
    counts = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53]
    numbers = [noise.threefry(seed, count) for count in counts]
    arrays = noise.threefry(seed, np.asarray(counts, np.int64))
    assert np.transpose(arrays).tolist() == [list(pair) for pair in numbers]
    eager = noise.threefry(seed, tf.constant(counts, tf.int64))
    assert np.transpose([word.numpy() for word in eager]).tolist() == [list(pair) for pair in numbers]


def test_normal_and_uniform_by_hand():
    # From the published words: 0x6b200159 / 2**32, and sqrt(-2 ln u) cos(2 pi v).
    uniform = [0.418457112, 0.314681719, 0.393160279, 0.721370984]
    normal = [-1.065452424, 0.032399102, 1.360108359, 0.801589988]
    for count in range(4):
        assert math.isclose(noise.uniform(0, count), uniform[count], abs_tol=1e-9)
        assert math.isclose(noise.normal(0, count, math), normal[count], abs_tol=1e-9)


@pytest.mark.sensitive
def test_they_are_random(seed_shift):
    count = 100_000
    uniform = noise.uniform(5 + seed_shift, np.arange(count, dtype=np.int64))
    normal = noise.normal(5 + seed_shift, np.arange(count, dtype=np.int64), np)
    # Standard errors of mean, variance and correlation with the neighbour: 0.0009, 0.0032, 0.0045, 0.0032; bounds are six of them.
    assert 0.0 <= uniform.min() and uniform.max() < 1.0
    assert abs(uniform.mean() - 0.5) < 0.0055 and abs(uniform.var() - 1 / 12) < 0.0015
    assert abs(normal.mean()) < 0.019 and abs(normal.var() - 1.0) < 0.027
    assert abs(np.mean(normal[1:] * normal[:-1])) < 0.019
    assert abs(np.mean(normal > 1.0) - 0.158655) < 0.007 and abs(np.mean(normal < -2.0) - 0.02275) < 0.003
    other = noise.normal(6 + seed_shift, np.arange(count, dtype=np.int64), np)
    assert abs(np.mean(normal * other)) < 0.019


def test_weights_reach_as_far_as_float32():
    assert noise.weights(0.0).tolist() == [1.0]
    assert noise.weights(0.5).tolist() == [2.0**-n for n in range(23, -1, -1)]
    long = noise.weights(0.85)
    assert len(long) == 103  # ln(2**-24) / ln(0.85) = 102.4
    assert long[-1] == 1.0 and math.isclose(long[-3], 0.7225)
    with pytest.raises(ValueError, match="read-only"):
        long[0] = 1.0
