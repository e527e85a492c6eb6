"""The model functions: numbers by hand, shapes, gradients, and the original's defects that they do not have."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kagent.estimators import explorations, models
from kagent.estimators.spec import EstimatorSpec, Modes

STATES = np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)


def traced(model, mode=Modes.TRAIN, width=4):
    """The specification, and what it predicts as a Keras model."""
    features = {"state": keras.Input((width,), name="state")}
    spec = model(features=features, labels=None if mode == Modes.PREDICT else {}, mode=mode)
    assert isinstance(spec, EstimatorSpec) and spec.mode == mode
    return spec, keras.Model(features, dict(spec.predictions))


def set_head(predict, name, bias):
    layer = predict.get_layer(name)
    layer.set_weights([np.zeros_like(layer.get_weights()[0]), np.asarray(bias, np.float32)])


def loss_of(spec, labels, predictions):
    return spec.loss({name: tf.constant(value) for name, value in labels.items()}, predictions)


def test_what_they_say_of_targets():
    for kind, double in ((models.DQN, False), (models.DDQN, True)):
        spec, _ = traced(kind(2, discount=0.9, target_update_frequency=7))
        bootstrap = spec.bootstrap
        assert (bootstrap.value, bootstrap.discount, bootstrap.double) == ("q", 0.9, double)
        assert bootstrap.target_update_frequency == 7
    spec, _ = traced(models.NAF(2))
    assert (spec.bootstrap.value, spec.bootstrap.discount, spec.bootstrap.target_update_frequency) == ("v", 0.97, 5)
    assert traced(models.VPG(2))[0].bootstrap is None
    spec, _ = traced(models.DQN(2, exploration="decay"))
    assert spec.exploration == explorations.decay() and traced(models.DQN(2))[0].exploration == 0.0


def test_defect_d3_the_loss_is_hubers():
    """Half the square up to 1, then a line: not the plain square without the half."""
    spec, predict = traced(models.DQN(2, dueling=None))
    set_head(predict, "a", [1.0, 5.0])
    labels = {"action": np.asarray([0, 1, 1, 0, 0], np.int32)}
    for target, expected in (
        ([1.5, 5.0, 5.0, 1.0, 1.0], 0.125 / 5),
        ([1.0, 8.0, 5.0, 1.0, 1.0], 2.5 / 5),
        ([1.5, 8.0, 5.0, 1.0, -1.0], (0.125 + 2.5 + 1.5) / 5),
    ):
        found = loss_of(spec, {**labels, "target": np.asarray(target, np.float32)}, predict({"state": STATES}))
        assert found.shape == () and float(found) == pytest.approx(expected)
    spec, _ = traced(models.DQN(2, dueling=None, loss="mean_squared_error"))
    found = loss_of(
        spec, {**labels, "target": np.asarray([1.0, 8.0, 5.0, 1.0, 1.0], np.float32)}, predict({"state": STATES})
    )
    assert float(found) == pytest.approx(9.0 / 5)


def test_defect_d1_shuffled_rows_have_the_same_loss_and_gradients():
    """No row of a batch is another one's successor."""
    spec, predict = traced(models.DQN(3))
    rng = np.random.default_rng(0)
    labels = {"action": np.asarray([0, 2, 1, 1, 0], np.int32), "target": rng.normal(size=5).astype(np.float32)}
    order = np.asarray([3, 0, 4, 1, 2])

    def learned(rows):
        with tf.GradientTape() as tape:
            loss = loss_of(spec, {k: v[rows] for k, v in labels.items()}, predict({"state": STATES[rows]}))
        return loss, tape.gradient(loss, predict.trainable_variables)

    (loss, gradients), (other, others) = learned(np.arange(5)), learned(order)
    assert float(loss) == pytest.approx(float(other), rel=1e-5)
    for one, two in zip(gradients, others):
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert one is not None


def test_only_the_action_taken_learns():
    spec, predict = traced(models.DQN(3, dueling=None))
    labels = {"action": np.full(5, 1, np.int32), "target": np.full(5, 9.0, np.float32)}
    with tf.GradientTape() as tape:
        loss = loss_of(spec, labels, predict({"state": STATES}))
    kernel, bias = tape.gradient(loss, predict.get_layer("a").trainable_variables)
    assert (bias.numpy() != 0).tolist() == [False, True, False] and not kernel.numpy()[:, [0, 2]].any()


def test_defect_d4_only_the_diagonal_is_exponentiated():
    _, predict = traced(models.NAF(2))
    set_head(predict, "l", [0.0, 2.0, math.log(3.0)])
    lower = predict({"state": STATES})["lower"]
    np.testing.assert_allclose(lower, [[[1.0, 0.0], [2.0, 3.0]]] * 5, rtol=1e-6)


def test_bounded_means():
    _, predict = traced(models.NAF(2, action_bound=2.0))
    layer = predict.get_layer("mu")
    layer.set_weights([1e3 * np.ones_like(layer.get_weights()[0]), np.zeros(2, np.float32)])
    found = predict({"state": STATES})["results"].numpy()
    assert np.abs(found).max() == pytest.approx(2.0) and (np.abs(found) <= 2.0).all()


def test_the_policy_gradient():
    spec, predict = traced(models.VPG(2))
    set_head(predict, "logits", [0.0, 0.0])
    labels = {"action": np.asarray([0, 1], np.int32), "discount_reward": np.asarray([1.0, 3.0], np.float32)}
    found = loss_of(spec, labels, predict({"state": STATES[:2]}))
    assert found.shape == () and float(found) == pytest.approx(1.386294, abs=1e-6)  # log 2 * (1 + 3) / 2
    set_head(predict, "logits", [0.0, math.log(3.0)])
    found = loss_of(spec, labels, predict({"state": STATES[:2]}))
    assert float(found) == pytest.approx((math.log(4.0) + 3 * math.log(4 / 3)) / 2, rel=1e-6)
    np.testing.assert_array_equal(predict({"state": STATES})["results"], [1] * 5)


@pytest.mark.parametrize("size", [1, 3])
def test_defect_d5_mean_and_scale_lie_side_by_side(size):
    """Each row of a batch has both, and a log-density."""
    model = models.VPG(size, is_continuous=True, log_std=math.log(2.0))
    spec, predict = traced(model)
    set_head(predict, "loc", np.arange(size))
    layer = predict.get_layer("scale")
    assert layer.bias.numpy().tolist() == pytest.approx([math.log(2.0)] * size)
    set_head(predict, "scale", [math.log(2.0)] * size)
    found = predict({"state": STATES})
    assert found["loc"].shape == found["scale"].shape == found["results"].shape == (5, size)
    np.testing.assert_array_equal(found["loc"], [np.arange(size)] * 5)
    np.testing.assert_allclose(found["scale"], np.full((5, size), 2.0), rtol=1e-6)
    action = np.tile(np.arange(size, dtype=np.float32) + 2.0, (5, 1))  # one standard deviation above
    log_prob = model.head.log_prob(tf.constant(action), found)
    expected = size * (-0.5 - math.log(2.0) - 0.5 * math.log(2 * math.pi))
    np.testing.assert_allclose(log_prob, [expected] * 5, rtol=1e-5)
    returns = np.arange(5, dtype=np.float32)
    loss = loss_of(spec, {"action": action, "discount_reward": returns}, found)
    assert float(loss) == pytest.approx(-expected * 2.0, rel=1e-5)


def test_the_surrogate_of_trust_regions():
    spec, predict = traced(models.TRPO(2))
    set_head(predict, "logits", [0.0, 0.0])
    before = tf.math.log([0.25, 0.75])
    labels = {"action": tf.constant([0, 1]), "discount_reward": tf.constant([1.0, 3.0]), "log_prob": before}
    found = spec.loss(labels, predict({"state": STATES[:2]}))  # ratios 0.5 / 0.25 and 0.5 / 0.75
    assert float(found) == pytest.approx(-(2.0 * 1.0 + 2 / 3 * 3.0) / 2, rel=1e-6)
    # Where nothing has changed the gradient is the plain one's, and the loss the mean return.
    plain, _ = traced(models.VPG(2))
    with tf.GradientTape(persistent=True) as tape:
        now = predict({"state": STATES[:2]})
        first = spec.loss({**labels, "log_prob": tf.math.log([0.5, 0.5])}, now)
        second = plain.loss(labels, now)
    assert float(first) == pytest.approx(-2.0)
    variables = predict.get_layer("logits").trainable_variables
    for one, two in zip(tape.gradient(first, variables), tape.gradient(second, variables)):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)


def test_defect_d6_the_default_torso_is_not_linear():
    _, predict = traced(models.DQN(2, dueling=None))
    q = [predict({"state": np.full((1, 4), x, np.float32)})["q"].numpy() for x in (-2.0, 0.0, 2.0)]
    assert np.abs(q[0] + q[2] - 2 * q[1]).max() > 1e-4
    for layer in predict.layers:
        if isinstance(layer, keras.layers.Dense) and layer.name not in ("a", "v"):
            assert layer.activation is keras.activations.relu


def test_torsos_of_their_own():
    """Seen by one head alone, a torso gets no gradient of another one."""
    for shared, dense in ((True, 2 + 3), (False, 3 * 2 + 3)):
        _, predict = traced(models.NAF(2, models.mlp([8, 8]), shared_torso=shared))
        assert sum(isinstance(layer, keras.layers.Dense) for layer in predict.layers) == dense
        below = [v for v in predict.trainable_variables if v.shape[0] == 4]
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(predict({"state": STATES})["v"])
        assert sum(g is not None for g in tape.gradient(value, below)) == 1 == len(below) - (0 if shared else 2)


@pytest.mark.parametrize("mode", [Modes.TRAIN, Modes.EVAL, Modes.PREDICT])
@pytest.mark.parametrize(
    "make", [lambda g: models.DDQN(2, g), lambda g: models.NAF(2, g), lambda g: models.VPG(2, g), lambda g: models.TRPO(2, g)]
)  # fmt: skip
def test_a_torso_of_ones_own(make, mode):
    seen = []

    def graph_fn(features, mode):
        seen.append((sorted(features), mode))
        return keras.layers.Dense(7, activation="tanh", name="torso")(features["state"])

    spec, predict = traced(make(graph_fn), mode)
    assert seen == [(["state"], mode)] and predict.get_layer("torso").units == 7
    assert "results" in spec.predictions and callable(spec.loss)


def test_several_features_and_images():
    features = {"image": keras.Input((4, 4, 1), name="image"), "speed": keras.Input((2,), name="speed")}
    spec = models.DQN(3)(features=features, labels={}, mode=Modes.TRAIN)
    predict = keras.Model(features, dict(spec.predictions))
    assert predict({"image": np.zeros((2, 4, 4, 1)), "speed": np.zeros((2, 2))})["q"].shape == (2, 3)


def test_every_call_builds_layers_anew():
    model = models.DQN(2)
    one, two = traced(model)[1], traced(model)[1]
    assert not {id(v) for v in one.variables} & {id(v) for v in two.variables}


def test_optimizers():
    adam = traced(models.DQN(2))[0].train_op
    assert adam == {"type": "Adam", "learning_rate": 1e-3, "global_clipnorm": 0.5}
    assert traced(models.VPG(2))[0].train_op["learning_rate"] == 4e-3
    assert traced(models.DQN(2, clip_gradients=0))[0].train_op["global_clipnorm"] is None
    mine = keras.optimizers.SGD(0.1)
    assert traced(models.DQN(2, optimizer=mine))[0].train_op is mine


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: models.DQN(0), ValueError, "`num_actions` must be"),
        (lambda: models.DQN(2, lambda features: features), ValueError, "`graph_fn` must take `mode`"),
        (lambda: models.DQN(2, lambda mode: mode), ValueError, "`graph_fn` must take `features`"),
        (lambda: models.DQN(2, "mlp"), TypeError, "`graph_fn` must be a function"),
        (lambda: models.DQN(2, discount=1.5), ValueError, "discount"),
        (lambda: models.DQN(2, target_update_frequency=0), ValueError, "target_update_frequency"),
        (lambda: models.DQN(2, exploration="gredy"), ValueError, "Unknown `exploration`"),
        (lambda: models.DQN(2, loss="hubble"), ValueError, "hubble"),
        (lambda: models.DQN(2, clip_gradients=-1), ValueError, "`clip_gradients`"),
        (lambda: models.NAF(1, action_bound=0.0), ValueError, "`action_bound`"),
        (lambda: models.NAF(1, shared_torso=1), TypeError, "`shared_torso`"),
        (lambda: models.VPG(1, is_continuous=1), TypeError, "`is_continuous`"),
        (lambda: models.VPG(1, log_std=math.inf), ValueError, "`log_std`"),
        (lambda: models.mlp([0]), ValueError, "`units` must be a list of integers"),
        (lambda: models.DQN(2, duelling="mean"), TypeError, "duelling"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", ["DDQN", "NAF", "VPG", "TRPO", "continuous VPG"])
def test_symbolic_losses(kind):
    """An agent calls the loss with symbolic tensors; the graph computes the same."""
    kinds = {"continuous VPG": lambda: models.VPG(2, is_continuous=True)}
    model = kinds.get(kind, lambda: getattr(models, kind)(2))()
    spec, predict = traced(model)
    continuous = kind in ("NAF", "continuous VPG")
    labels = {
        "action": keras.Input((2,) if continuous else (), dtype="float32" if continuous else "int32"),
        **{name: keras.Input(()) for name in ("target", "discount_reward", "log_prob")},
    }
    loss = spec.loss(labels, spec.predictions)
    assert tuple(loss.shape) == ()
    program = keras.Model([*predict.inputs, *labels.values()], loss)
    rng = np.random.default_rng(0)
    action = rng.normal(size=(5, 2)).astype(np.float32) if continuous else np.asarray([0, 1, 1, 0, 1], np.int32)
    given = {"action": action, **{name: rng.normal(size=5).astype(np.float32) for name in list(labels)[1:]}}
    compiled = tf.function(lambda *parts: program(list(parts)), jit_compile=True)
    found = compiled(STATES, *given.values())
    assert found.shape == ()
    assert float(found) == pytest.approx(float(loss_of(spec, given, predict({"state": STATES}))), rel=1e-4)
