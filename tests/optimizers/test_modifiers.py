"""What modifies steps, with numbers worked out by hand."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from modes import MODES, VARIANTS
from problems import minimized
from variants import with_few

from kagent import optimizers
from kagent.schedules import Clock

SCHEDULE = {"type": "linear", "initial": 1, "final": 5, "steps": 4, "unit": "updates"}
MODE = pytest.mark.parametrize("mode", VARIANTS)


def sgd(rate, **modifiers):
    return {"type": "SGD", "learning_rate": rate, **modifiers}


def square(x, _):
    return tf.reduce_sum(x[0] ** 2)


# Multi-step ------------------------------------------------------------------------------------------------


@MODE
def test_steps_on_the_same_batch(mode):
    # x <- x - 0.25 * 2x = x / 2, five times; the loss returned is that before the first.
    (x,), loss = minimized(square, [[8.0]], sgd(0.25, multi_step=5), mode)
    assert x.tolist() == [0.25] and loss == 64.0


@MODE
@pytest.mark.parametrize("updates, expected", [(0, 4.0), (1, 2.0), (4, 0.25), (9, 0.25)])
def test_their_number_may_be_scheduled(mode, updates, expected):
    clock = Clock(updates=tf.constant(updates, tf.float64))
    (x,), _ = minimized(square, [[8.0]], sgd(0.25, multi_step=SCHEDULE), mode, clock=clock)
    assert x.tolist() == [expected]


# Line search -----------------------------------------------------------------------------------------------


@MODE
@pytest.mark.parametrize(
    "rate, iterations, expected, why",
    [
        (0.5, 3, 0.0, "the full step improves"),
        (0.75, 3, -0.5, "so does one across the valley"),
        (1.0, 3, -0.5, "to -1 it does not become smaller; 0.75 of it goes to -0.5"),
        (1.5, 1, 1.0, "to -2, then to -1.25: none improves within one shrinking"),
        (1.5, 2, -0.6875, "the second shrinking does: 1 - 0.5625 * 3"),
        (2.0, 0, -3.0, "off"),
    ],
)  # fmt: skip
def test_backtracking_decisions(mode, rate, iterations, expected, why):
    (x,), loss = minimized(square, [[1.0]], sgd(rate, linesearch_iterations=iterations), mode)
    assert x.tolist() == [expected], why
    assert loss == 1.0


@MODE
def test_the_factor_is_an_argument(mode):
    (x,), _ = minimized(square, [[1.0]], sgd(1.5, linesearch_iterations=1, linesearch_backtracking=0.5), mode)
    assert x.tolist() == [-0.5]


@MODE
@pytest.mark.parametrize("updates, expected", [(0, -2.0), (2, -0.6875)])
def test_a_search_may_be_scheduled(mode, updates, expected):
    rising = {"type": "linear", "initial": 0, "final": 4, "steps": 4, "unit": "updates"}
    clock = Clock(updates=tf.constant(updates, tf.float64))
    (x,), _ = minimized(square, [[1.0]], sgd(1.5, linesearch_iterations=rising), mode, clock=clock)
    assert x.tolist() == [expected]


def steep(x, _):
    return tf.reduce_sum(tf.where(x[0] > 0.1, x[0], np.inf))  # whatever is not above 0.1 is infinitely bad


@MODE
@pytest.mark.parametrize("modifiers", [{"linesearch_iterations": 2}, {"doublecheck_update": True}])
def test_steps_that_never_help_are_taken_back_to_the_bit(mode, modifiers):
    start = np.array([0.3, 1 / 3, 0.123456789], np.float32)
    (x,), _ = minimized(steep, [start], sgd(1e3, **modifiers), mode)
    np.testing.assert_array_equal(x, start)
    (x,), _ = minimized(lambda x, _: tf.reduce_sum(x[0]) * np.nan, [start], sgd(1.0, **modifiers), mode)
    np.testing.assert_array_equal(x, start)


@MODE
def test_a_double_check_keeps_what_helps(mode):
    (x,), _ = minimized(square, [[1.0]], sgd(0.75, doublecheck_update=True), mode)
    assert x.tolist() == [-0.5]


# Clipping --------------------------------------------------------------------------------------------------


def slope(x, _):  # its gradient is (3, 4) and 12
    return tf.reduce_sum(x[0] * [3.0, 4.0]) + 12.0 * x[1]


@MODE
@pytest.mark.parametrize(
    "threshold, clipping, first, second",
    [
        (6.5, "global_norm", [-1.5, -2.0], -6.0),
        (13.0, "global_norm", [-3.0, -4.0], -12.0),
        (2.5, "norm", [-1.5, -2.0], -2.5),
        (6.0, "norm", [-3.0, -4.0], -6.0),
        (3.5, "value", [-3.0, -3.5], -3.5),
        ({**SCHEDULE, "initial": 13, "final": 5.2}, "global_norm", [-1.2, -1.6], -4.8),
    ],
)  # fmt: skip
def test_changes_are_clipped(mode, threshold, clipping, first, second):
    optimizer = sgd(1.0, clipping_threshold=threshold, clipping_mode=clipping)
    clock = Clock(updates=tf.constant(4, tf.float64))
    (x, y), _ = minimized(slope, [[0.0, 0.0], 0.0], optimizer, mode, clock=clock)
    np.testing.assert_allclose(x, first, rtol=1e-6)
    np.testing.assert_allclose(y, second, rtol=1e-6)


def test_the_change_of_all_steps_together_is_clipped_not_the_gradient():
    (x, _), _ = minimized(slope, [[0.0, 0.0], 0.0], sgd(1.0, clipping_threshold=6.5, multi_step=10))
    np.testing.assert_allclose(x, [-1.5, -2.0], rtol=1e-6)
    each = {"type": "multi_step", "num_steps": 10, "optimizer": sgd(1.0, clipping_threshold=6.5)}
    (x, _), _ = minimized(slope, [[0.0, 0.0], 0.0], each)
    np.testing.assert_allclose(x, [-15.0, -20.0], rtol=1e-6)


@MODE
def test_changes_within_the_threshold_are_left_alone(mode):
    # Two programs: a compiler may round a product and a sum once in the one and twice in the other.
    start = [np.array([1e4, 1 / 3], np.float32), np.float32(0.1)]
    plain, _ = minimized(slope, start, sgd(1e-3), mode)
    for clipping in optimizers.modifiers.CLIPPING_MODES:
        optimizer = sgd(1e-3, clipping_threshold=1.0, clipping_mode=clipping)
        for a, b in zip(plain, minimized(slope, start, optimizer, mode)[0], strict=True):
            np.testing.assert_array_max_ulp(a, b, maxulp=1)


# Subsampling -----------------------------------------------------------------------------------------------


def rows_of(loss_batch, fraction, mode="eager", **changes):
    """Which rows a step saw, by the gradient of `sum(x * one_hot(rows))`."""
    count = loss_batch["row"].shape[0]

    def loss(x, batch):
        weight = batch.get("weight", tf.ones_like(batch["row"], tf.float32))
        return tf.reduce_sum(weight[:, None] * tf.one_hot(batch["row"], count) * x[0])

    optimizer = sgd(1.0, subsampling_fraction=fraction)
    (x,), value = minimized(loss, [np.zeros(count)], optimizer, mode, batch=loss_batch, **changes)
    return -x, value


@MODE
@pytest.mark.parametrize("fraction, drawn", [(3, 3), (0.5, 5), (0.33, 3), (0.01, 1), (99, 10), (1.0, 10)])
def test_rows_are_drawn_without_replacement(mode, fraction, drawn):
    seen, _ = rows_of({"row": tf.range(10)}, fraction, mode)
    assert sorted(set(seen.tolist())) in ([0.0, 1.0], [1.0]) and seen.sum() == drawn


@MODE
@pytest.mark.parametrize("share, drawn", [(0.5, 5), (0.3, 3), (0.01, 1), (1.0, 10)])
def test_a_scheduled_share_weighs_rows(mode, share, drawn):
    schedule = {"type": "linear", "initial": 1.0, "final": share, "steps": 1, "unit": "updates"}
    weight = tf.fill((10,), 2.0)
    seen, _ = rows_of(
        {"row": tf.range(10), "weight": weight}, schedule, mode, clock=Clock(updates=tf.constant(1, tf.float64))
    )
    assert set(seen.tolist()) <= {0.0, 2.0} and seen.sum() == 2.0 * drawn
    seen, _ = rows_of({"row": tf.range(10)}, schedule, mode, clock=Clock(updates=tf.constant(1, tf.float64)))
    assert set(seen.tolist()) <= {0.0, 1.0} and seen.sum() == drawn


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 99))
def test_padding_is_drawn_last(rows, count, real, seed):
    weight = np.array(real[:rows], np.float32)
    seen, _ = rows_of({"row": tf.range(rows), "weight": tf.constant(weight)}, count, seed=(seed, 1))
    assert set(seen.tolist()) <= {0.0, 1.0} and seen.sum() == min(count, weight.sum())


@pytest.mark.sensitive
def test_every_step_draws_anew_and_every_row_is_as_likely(seed_shift):
    counts = np.zeros(10)
    seen = []
    for seed in range(200):
        drawn, _ = rows_of({"row": tf.range(10)}, 3, seed=(7 + seed_shift, seed))
        seen.append(tuple(np.flatnonzero(drawn)))
        counts += drawn
    assert len(set(seen)) > 60  # of 120
    assert counts.sum() == 600 and 20 < counts.min() and counts.max() < 100  # 60 +- 6.5
    again, _ = rows_of({"row": tf.range(10)}, 3, seed=(7 + seed_shift, 3))
    assert tuple(np.flatnonzero(again)) == seen[3]


@MODE
def test_steps_of_one_update_draw_differently(mode):
    def loss(x, batch):
        return tf.reduce_sum(tf.one_hot(batch["row"], 100) * x[0])

    optimizer = sgd(1.0, subsampling_fraction=0.5, multi_step=8)
    (x,), _ = minimized(loss, [np.zeros(100)], optimizer, mode, batch={"row": tf.range(100)})
    # Binomial, not always the same 50: of the rows, all but 0.8 of 100 are expected to be neither in all nor in none.
    assert -x.sum() == 400 and np.count_nonzero((x == 0) | (x == -8)) < 8


@MODE
def test_the_loss_returned_is_that_of_the_whole_batch_before_the_step(mode):
    def loss(x, batch):
        return tf.reduce_sum(batch["row"]) * x[0]

    for modifiers in ({}, {"multi_step": 3}, {"linesearch_iterations": 2}, {"clipping_threshold": 1.0}):
        optimizer = sgd(0.1, subsampling_fraction=2, **modifiers)
        _, value = minimized(loss, [1.0], optimizer, mode, batch={"row": tf.range(5.0)})
        assert value == 10.0


def test_a_line_search_within_a_subsample_sees_the_subsample():
    losses = []

    def loss(x, batch):
        losses.append(batch["row"].shape[0])
        return tf.reduce_mean(batch["row"]) * tf.reduce_sum(x[0] ** 2)

    optimizer = sgd(0.1, subsampling_fraction=2, linesearch_iterations=3)
    minimized(loss, [1.0], optimizer, batch={"row": tf.range(1.0, 6.0)})
    assert losses == [5, 2, 2]  # what is returned; the gradient; the step


def test_losses_of_no_batch_are_not_subsampled():
    (x,), _ = minimized(square, [[8.0]], sgd(0.25, subsampling_fraction=0.5))
    assert x.tolist() == [4.0]


def test_a_schedule_needs_weights():
    schedule = {"type": "linear", "initial": 1.0, "final": 0.5, "steps": 1}
    with pytest.raises(TypeError, match=r"subsampling_fraction` needs a batch that is a dict.*Received: "):
        minimized(
            lambda x, batch: tf.reduce_sum(x[0]), [[8.0]], sgd(0.25, subsampling_fraction=schedule), batch=tf.ones((3,))
        )


# All together ----------------------------------------------------------------------------------------------

CHOICES = {
    "clipping_threshold": [None, 0.5],
    "multi_step": [1, 3],
    "subsampling_fraction": [1.0, 2],
    "linesearch_iterations": [0, 4],
    "doublecheck_update": [False, True],
}


# Half of all combinations; among any four of the choices every combination of theirs is there.
HALF = [
    [options[i] for options, i in zip(CHOICES.values(), places)]
    for places in itertools.product((0, 1), repeat=len(CHOICES))
    if sum(places) % 2 == 1
]


@pytest.mark.parametrize("values", with_few(HALF, HALF[::3]))
def test_any_of_them_go_together(values):
    def loss(x, batch):
        return tf.reduce_mean((batch["row"] - x[0]) ** 2) + tf.reduce_sum(x[1] ** 2)

    modifiers = dict(zip(CHOICES, values))
    results = [
        minimized(loss, [0.3, [1.0, -1.0]], sgd(0.1, **modifiers), mode, batch={"row": tf.range(4.0)}, times=2)
        for mode in MODES
    ]
    for variables, value in results[1:]:
        assert value == pytest.approx(results[0][1], rel=1e-5)
        for a, b in zip(variables, results[0][0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    moved = np.concatenate([np.ravel(a) for a in results[0][0]]) - [0.3, 1.0, -1.0]
    assert 0 < np.linalg.norm(moved) <= (1.0 + 1e-5 if modifiers["clipping_threshold"] else np.inf)
