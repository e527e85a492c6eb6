"""FlatAdam: Keras's Adam to rounding, with two variables of moments for all that are small."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import kagent
from kagent import ops, optimizers
from kagent.optimizers import FlatAdam, flat_adam

SHAPES = [(3, 2), (2,), (), (1, 4)]


def variables(seed=0, dtype="float32", **arguments):
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=shape), dtype=dtype, name=f"v{i}", **arguments) for i, shape in enumerate(SHAPES)
    ]


def gradients(seed):
    rng = np.random.default_rng(seed)
    return [tf.constant(rng.normal(size=shape), tf.float32) for shape in SHAPES]


def values(of):
    return [v.numpy().copy() for v in of]


def both(steps, **arguments):
    """Variables after the same steps of FlatAdam and of Keras's Adam; a step is the list of its gradients."""
    found = []
    for kind in (FlatAdam, keras.optimizers.Adam):
        trained, optimizer = variables(), kind(**arguments)
        optimizer.build(trained)
        for step in steps:
            optimizer.apply(step, trained)
        assert int(optimizer.iterations.numpy()) == len(steps)
        found.append(values(trained))
    return found


@settings(max_examples=10, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=5),
    rate=st.floats(1e-4, 0.5),
    beta_1=st.floats(0.0, 0.95),
    beta_2=st.floats(0.5, 0.999),
    clip=st.one_of(st.none(), st.floats(0.1, 3.0)),
)
def test_steps_are_those_of_keras(seeds, rate, beta_1, beta_2, clip):
    arguments = {"learning_rate": rate, "beta_1": beta_1, "beta_2": beta_2, "global_clipnorm": clip}
    for one, other in zip(*both([gradients(seed) for seed in seeds], **arguments), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5 * max(rate, 0.05))


def test_what_it_holds():
    trained, optimizer = variables(), FlatAdam(0.1, name="policy")
    optimizer.build(trained)
    held = {v.path: tuple(v.shape) for v in optimizer.variables}
    assert sorted(held.values()) == [(), (), (13,), (13,)] and len(held) == 4
    assert all(path.startswith("policy/") for path in held)
    optimizer.build(trained)  # once more changes nothing
    assert len(optimizer.variables) == 4
    optimizer.apply(gradients(0))  # of all variables
    expected = np.concatenate([np.ravel(gradient) for gradient in gradients(0)])
    momentum, velocity = (v.numpy() for v in optimizer.variables[2:])
    np.testing.assert_allclose(momentum, 0.1 * expected, rtol=1e-5)
    np.testing.assert_allclose(velocity, 1e-3 * expected**2, rtol=1e-3)


def test_large_variables_are_on_their_own(monkeypatch):
    """Their moments are not copied together with the others'; the steps are the same."""
    together = both([gradients(s) for s in range(3)], learning_rate=0.1, global_clipnorm=0.5)[0]
    monkeypatch.setattr(flat_adam, "LARGE", 3)
    trained, optimizer = variables(), FlatAdam(0.1, global_clipnorm=0.5)
    optimizer.build(trained)
    assert [tuple(v.shape) for v in optimizer.variables[2:]] == [(3,), (3,), (3, 2), (3, 2), (1, 4), (1, 4)]
    for s in range(3):
        optimizer.apply(gradients(s), trained)
    for a, b in zip(values(trained), together, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)  # TensorFlow's 1 - beta is a float32's
    before = values(trained)
    optimizer.apply([gradients(9)[0], None, None, None], trained)  # a group without any gradient, and one with
    assert [(a != b).any() for a, b in zip(values(trained), before, strict=True)] == [True, False, False, False]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_large_variable_by_the_equation(jit, dtype):
    """TensorFlow's kernel, and what other dtypes get, against `ops.adam`."""
    rng, shape = np.random.default_rng(0), (128, flat_adam.LARGE // 128)
    start = rng.normal(size=shape).astype(dtype)
    variable, optimizer = keras.Variable(start, dtype=dtype), FlatAdam(0.05, 0.8, 0.9, 1e-3)
    optimizer.build([variable])
    slopes = [tf.constant(rng.normal(size=shape), tf.float32) for _ in range(3)]
    step = tf.function(lambda slope: optimizer.apply([slope], [variable]), jit_compile=jit)
    momentum, velocity, expected = 0.0 * slopes[0], 0.0 * slopes[0], start.astype(np.float32)
    for time, slope in enumerate(slopes, 1):
        step(slope)
        momentum, velocity, change = ops.adam(slope, momentum, velocity, time, 0.05, 0.8, 0.9, 1e-3)
        expected = (expected - change.numpy()).astype(dtype).astype(np.float32)
    close = {"float32": 1e-5, "float16": 2e-3}[dtype]
    np.testing.assert_allclose(variable.numpy().astype(np.float32), expected, rtol=close, atol=close)
    for held, right in zip(optimizer.variables[2:], (momentum, velocity), strict=True):
        assert tuple(held.shape) == (shape if dtype == "float32" else (flat_adam.LARGE,))
        np.testing.assert_allclose(held.numpy().reshape(shape), right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("missing", [[1], [0, 2], [0, 1, 2]])
def test_what_has_no_gradient_stays(missing):
    """As with Keras: neither the variable nor its moments, whether it has none or is not named."""
    steps = [gradients(0), [None if i in missing else g for i, g in enumerate(gradients(1))], gradients(2)]
    with pytest.warns(UserWarning):
        one, other = both(steps, learning_rate=0.1)
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    trained, optimizer = variables(), FlatAdam(0.1)
    optimizer.build(trained)
    for step in steps:
        some = [(g, v) for g, v in zip(step, trained) if g is not None]
        optimizer.apply([g for g, _ in some], [v for _, v in some])
    for a, b in zip(values(trained), one, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sparse_gradients_and_constraints():
    table = keras.Variable(np.ones((4, 2)))
    table.constraint = keras.constraints.NonNeg()
    optimizer = FlatAdam(0.75)
    for _ in range(2):
        optimizer.apply([tf.IndexedSlices(tf.ones((1, 2)), tf.constant([2]), tf.constant([4, 2]))], [table])
    found = table.numpy()
    np.testing.assert_allclose(found[[0, 1, 3]], 1.0)
    np.testing.assert_array_equal(found[2], 0.0)  # 1 - 0.75 - 0.75, held at 0


def test_other_dtypes():
    trained, optimizer = variables(dtype="float16"), FlatAdam(0.1)
    optimizer.apply([tf.cast(g, tf.float16) for g in gradients(0)], trained)
    assert {str(v.dtype) for v in trained} == {"float16"} and {v.dtype for v in optimizer.variables[2:]} == {"float32"}
    expected = both([gradients(0)], learning_rate=0.1)[0]
    for a, b in zip(values(trained), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=3e-3)


def test_schedules_and_compiled_steps():
    rate = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    trained, optimizer = variables(), FlatAdam(rate)
    optimizer.build(trained)
    tf.function(lambda: [optimizer.apply(gradients(s), trained) for s in range(3)] and None, jit_compile=True)()
    expected = both([gradients(s) for s in range(3)], learning_rate=rate)[1]
    for a, b in zip(values(trained), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_it_is_saved_as_others_are():
    optimizer = FlatAdam(0.25, 0.5, 0.75, 1e-3, 2.0, "mine")
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is FlatAdam and again.get_config() == optimizer.get_config()
    assert again.get_config() == {
        "name": "mine", "learning_rate": 0.25, "beta_1": 0.5, "beta_2": 0.75, "epsilon": 1e-3, "global_clipnorm": 2.0,
    }  # fmt: skip
    trained, store = variables(), {}
    optimizer.apply(gradients(0), trained)
    optimizer.save_own_variables(store)
    others = variables()
    for v, value in zip(others, values(trained)):
        v.assign(value)
    again.build(others)
    again.load_own_variables(store)
    optimizer.apply(gradients(1), trained)
    again.apply(gradients(1), others)
    for a, b in zip(values(trained), values(others), strict=True):
        np.testing.assert_array_equal(a, b)


def test_who_is_one():
    for adam in ("adam", 1e-3, {"type": "Adam", "epsilon": 1e-8}, {"type": "adam", "gradient_norm_clipping": 1.0}):
        assert type(optimizers.get(adam, "policy")[0]) is FlatAdam
    for adam in (
        {"type": "Adam", "use_ema": True},
        {"type": "adam", "weight_decay": 0.1},
        {"type": "Adam", "amsgrad": True},
    ):
        assert type(optimizers.get(adam, "policy")[0]) is keras.optimizers.Adam
    mine = keras.optimizers.Adam(1e-3)
    assert optimizers.get(mine, "policy")[0] is mine
    agent = kagent.SAC("Pendulum-v1", network={"type": "mlp", "units": [8]}, seed=0)
    for role in ("policy", "critic", "temperature"):
        assert len(agent.optimizer.role_map.of(role).variables) == 4  # iterations, rate, and the moments
    with pytest.raises(ValueError, match=r"it has no \['beta_3'\]. Known: .*'use_ema'"):
        optimizers.get({"type": "adam", "beta_3": 0.1}, "policy")


def test_errors():
    optimizer, trained = FlatAdam(0.1), variables()
    with pytest.raises(ValueError, match="does not know its variables"):
        optimizer.apply(gradients(0))
    optimizer.build(trained)
    with pytest.raises(ValueError, match=r"No gradient for any variable.*v0"):
        optimizer.apply([None] * 4, trained)
    with pytest.raises(ValueError, match=r"one for each variable, 4. Received: 3"):
        optimizer.apply(gradients(0)[:3], trained)
    with pytest.raises(ValueError, match=r"built for other variables. Received: .*'v0'"):
        optimizer.apply(gradients(0), variables())
    assert int(optimizer.iterations.numpy()) == 0 and not optimizer.variables[3].numpy().any()
