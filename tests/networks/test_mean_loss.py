"""Keras losses in functional graphs."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kagent.networks.layers import MeanLoss

TARGET, VALUE = np.asarray([1.0, 2.0, 6.0], np.float32), np.asarray([1.5, 2.0, 3.0], np.float32)


@pytest.mark.parametrize("loss, expected", [("mse", (0.25 + 9.0) / 3), ("huber", (0.125 + 2.5) / 3), ("mae", 3.5 / 3)])
def test_means_by_hand(loss, expected):
    assert float(MeanLoss(loss)([TARGET, VALUE])) == pytest.approx(expected)
    inputs = [keras.Input(()), keras.Input(())]
    model = keras.Model(inputs, MeanLoss(loss)(inputs))
    assert model.output.shape == () and float(model([TARGET, VALUE])) == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["huber", keras.losses.LogCosh()])
def test_it_is_serialized(loss):
    layer = MeanLoss(loss)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert float(again([TARGET, VALUE])) == float(layer([TARGET, VALUE]))


def test_it_is_of_a_loss():
    for wrong in ("hubble", 3):
        with pytest.raises(ValueError, match=str(wrong)):
            MeanLoss(wrong)
    with pytest.raises(ValueError, match=r"`loss` must be a loss of Keras's. Received: None"):
        MeanLoss(None)
