import numpy as np
import pytest
import tensorflow as tf
from modes import VARIANTS
from problems import minimized

from kagent import optimizers
from kagent.optimizers import Evolutionary

MODE = pytest.mark.parametrize("mode", VARIANTS)
SPEC = {"type": "evolutionary", "learning_rate": 0.01}


@pytest.mark.sensitive
@MODE
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_steps_go_where_the_loss_is_smaller(mode, sign, seed_shift):
    (x,), value = minimized(lambda x, _: sign * tf.reduce_sum(x[0]), [np.ones(200)], SPEC, mode, seed=(seed_shift, 0))
    change = x - 1
    assert sign * change.sum() < 0 and change.std() == pytest.approx(0.01, rel=0.3)
    (other,), _ = minimized(lambda x, _: -sign * tf.reduce_sum(x[0]), [np.ones(200)], SPEC, mode, seed=(seed_shift, 0))
    np.testing.assert_allclose(other - 1, -change, atol=1e-6)  # the same draw, turned round
    assert value == 200.0 * sign


@pytest.mark.sensitive
def test_changes_are_means_over_samples(seed_shift):
    def changed(number, seed):
        spec = {**SPEC, "num_samples": number}
        (x,), _ = minimized(lambda x, _: tf.reduce_sum(x[0]), [np.zeros(2000)], spec, seed=(seed + seed_shift, 0))
        return x

    assert changed(1, 0).std() == pytest.approx(0.01, rel=0.1)
    assert changed(16, 0).std() == pytest.approx(0.0025, rel=0.1)
    assert (changed(1, 0) != changed(1, 1)).any()


@MODE
def test_a_loss_that_does_not_care_moves_nothing(mode):
    for loss in (lambda x, _: tf.constant(1.0), lambda x, _: tf.reduce_sum(x[0]) * np.nan):
        (x,), _ = minimized(loss, [np.ones(3)], SPEC, mode)
        np.testing.assert_array_equal(x, np.ones(3))


@pytest.mark.sensitive
@MODE
def test_it_needs_no_gradient(mode, seed_shift):
    spec = {**SPEC, "multi_step": 200, "doublecheck_update": True}
    loss = lambda x, _: tf.reduce_sum(tf.round(100 * x[0] ** 2))  # noqa: E731
    (x,), _ = minimized(loss, [np.ones(2)], spec, mode, seed=(seed_shift, 0))
    assert np.abs(x).max() < 0.5  # from 1; ten seeds end between 0.15 and 0.28


def test_its_config_comes_back():
    made, _ = optimizers.get({**SPEC, "num_samples": 3}, "critic")
    again, _ = optimizers.get(optimizers.serialize(made), "critic")
    assert type(again) is Evolutionary and again.num_samples == 3 and again.name == "critic"
    assert again.get_config() == made.get_config()
    with pytest.raises(ValueError, match=r"num_samples` must be an integer >= 1. Received: 0"):
        optimizers.get({**SPEC, "num_samples": 0}, "policy")
    with pytest.raises(ValueError, match="Evolutionary steps by the loss"):
        Evolutionary().update_step(None, None, None)
