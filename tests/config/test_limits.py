"""Configurations that would not end, or would take memory: refused by the name of their argument."""

import json
import random

import keras
import pytest

import kagent
from kagent.config import limits, rehearsal, settings_file

CARTPOLE = "CartPole-v1"


def nested(depth, inner=0):
    for _ in range(depth):
        inner = [inner]
    return inner


def test_limits_are_exact():
    limits.check(nested(limits.DEPTH), "a")
    with pytest.raises(ValueError, match=f"`a` is nested more than {limits.DEPTH} deep"):
        limits.check(nested(limits.DEPTH + 1), "a")
    limits.check([0] * (limits.NODES - 1), "a")
    with pytest.raises(ValueError, match=f"`a` has more than {limits.NODES} values. Received: at least 250001"):
        limits.check([0] * limits.NODES, "a")
    limits.check([2**64 - 1, 1 - 2**64, "x" * limits.STRING, True, None, 1e308], "a")
    for wrong in (2**64, -(2**64), "x" * (limits.STRING + 1), {"x" * 257: 1}):
        with pytest.raises(ValueError, match="`a` has a"):
            limits.check({"b": (wrong,)}, "a")
    for key in (3, None, b"b", (1,)):
        with pytest.raises(TypeError, match=r"`a` has a key that is no string. Received"):
            limits.check([{key: 1}], "a")
    shared = [0] * 1000  # counted wherever it is: 251 times a thousand
    with pytest.raises(ValueError, match="more than 250000 values"):
        limits.check([shared] * 251, "a")


def endless(kind):
    made = kind()
    made.append(made) if kind is list else made.update(type=made)
    return made


DENSE = {"class_name": "Dense", "module": "keras.layers", "registered_name": None, "config": {"units": 8}}
ENDLESS = {
    "units": ({"network": {"units": [1] * 100_000}}, r"`network.units` must be at most 256 layers. Received: 100000"),
    "weights": ({"network": {"units": [2**15] * 3}}, r"`network.units` would have 2147483648 weights"),
    "layers": ({"network": ["flatten"] * 3000}, r"`network.layers` must be at most 256 layers. Received: 3000"),
    "layers of weights": ({"network": [{"type": "dense", "size": 2**15}] * 3}, r"`network.layers` would have \d+ weights"),
    "Keras layers": (
        {"network": {**DENSE, "class_name": "Sequential", "config": {"name": "s", "layers": [DENSE] * 3000}}},
        r"`network` is too large. At most 1500 layers",
    ),
    "no number of Keras units": (
        {"network": {**DENSE, "config": {"units": float("nan")}}}, r"Dense.units must be at most 32768. Received: nan"
    ),
    "infinite Keras units": ({"network": {**DENSE, "config": {"units": float("inf")}}}, r"Dense.units must be at most 32768"),
    "Keras units": ({"network": {**DENSE, "config": {"units": 2**40}}}, r"`network`: Dense.units must be at most 32768"),
    "Keras weights": (
        {"network": [{**DENSE, "class_name": "Sequential", "config": {
            "name": "s", "layers": [{**DENSE, "config": {"units": 2**15}}] * 3}}]}, r"`network.*` is too large"
    ),
    "Keras table": (
        {"network": {**DENSE, "class_name": "Embedding", "config": {"input_dim": 2**20, "output_dim": 2**10}}},
        r"`network`: Embedding needs 1073741824 weights",
    ),
    "Keras shape": (
        {"network": {**DENSE, "class_name": "RepeatVector", "config": {"n": 2**30}}}, r"`network`: RepeatVector.n must be"
    ),
    "streams": ({"parallel_interactions": 10**9}, r"`parallel_interactions` must be at most 65536. Received: 1000000000"),
    "float streams": ({"parallel_interactions": 1e9}, r"`parallel_interactions` must be an integer >= 1"),
    "environments": ({"n_envs": 10**9}, r"`n_envs` must be at most 65536"),
    "sequence": ({"preprocessing": {"type": "sequence", "length": 10**9}}, r"`sequence.length` must be at most 4096"),
    "memory": ({"memory": 10**15}, r"`memory` would need [\d.]+ GiB for 10{15} transitions.*capacity of at most [1-9]\d*\."),
    "float memory": ({"memory": 1e15}, r"`memory` would need.*capacity of at most [1-9]\d*\."),
    "prioritized": ({"memory": {"type": "prioritized", "capacity": 10**15}}, r"`memory` would need"),
    "executions": ({"execution": {"steps_per_execution": 10**12}}, r"`steps_per_execution` must be at most 65536"),
    "draws": (
        {"execution": {"steps_per_execution": 2**16}, "update_steps": 2**20, "memory": 10**5},
        r"`batch_size` times the `steps` of an `update` times `steps_per_execution` must be at most \d+",
    ),
    "eagerly": ({"execution": {"run_eagerly": "yes"}}, r"`run_eagerly` must be True or False. Received: 'yes'"),
    "jit": ({"execution": {"jit_compile": 1}}, r"`jit_compile` must be 'auto', True or False. Received: 1"),
    "batch": ({"batch_size": 10**12}, r"`update.batch_size` must be at most 2147483648"),
    "key": ({"network": {"units": [8], 3: 4}}, r"`network` has a key that is no string. Received: 3"),
    "key of a memory": ({"memory": {"type": "replay", 3: 4, "x": 1}}, r"`memory` has a key that is no string"),
    "key of a rate": ({"learning_rate": {"type": "linear", None: 2}}, r"`learning_rate` has a key that is no string"),
    "list in itself": ({"network": endless(list)}, r"`network` is nested more than 100 deep, or contains itself"),
    "dict in itself": ({"optimizer": endless(dict)}, r"`optimizer` is nested more than 100 deep, or contains itself"),
    "integer": ({"memory": 10**400}, r"`memory` has an integer of 1329 bits"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDLESS)
def test_arguments_that_ask_for_too_much(name):
    given, message = ENDLESS[name]
    given = dict(given)
    steps = given.pop("update_steps", None)
    if steps is not None:
        given["update"] = {"unit": "timesteps", "batch_size": 32, "steps": steps}
    for make in (kagent.DQN, lambda env, **given: kagent.Agent.create({"agent": "dqn", **given}, env)):
        with pytest.raises((ValueError, TypeError), match=message):
            make(CARTPOLE, **given)


def test_members_and_steps_of_presets():
    for preset in (kagent.SAC, kagent.DPG):
        with pytest.raises(ValueError, match=r"`critic.members` must be at most 256. Received: 100000"):
            preset("Pendulum-v1", members=10**5)
    with pytest.raises(ValueError, match=r"`memory` would need"):
        kagent.PPO(CARTPOLE, n_steps=10**12)
    with pytest.raises(ValueError, match=r"`update.epochs` must be at most 1048576"):
        kagent.PPO(CARTPOLE, epochs=10**12)
    with pytest.raises(TypeError, match=r"`run_eagerly` must be True or False"):
        kagent.DQN(CARTPOLE, network={"units": [4]}).compile(run_eagerly="yes")


def keras_layer(name, **config):
    return {"module": "keras.layers", "class_name": name, "registered_name": None, "config": config}


SQUARE = keras_layer("Reshape", target_shape=[2, 2])
PIXELS = keras_layer("Reshape", target_shape=[2, 2, 1])
BUILT = {"class_name": "Sequential", "module": "keras", "registered_name": None}
HEAVY = {  # behind 4 numbers of an observation
    # two gates' kernels of (2 + 20000) x 80000, and biases
    "gates": ([SQUARE, keras_layer("LSTM", units=20000)], 20002 * 80000 + 80000),
    "gates in a wrapper": (
        [SQUARE, keras_layer("Bidirectional", layer=keras_layer("SimpleRNN", units=20000))], 2 * (20002 * 20000 + 20000)
    ),
    "kernel": ([PIXELS, keras_layer("Conv2D", filters=30000, kernel_size=[170, 170], padding="same")], 30000 * 28901),
    "shape of an equation": ([keras_layer("EinsumDense", equation="ab,bc->ac", output_shape=[2**24]), keras_layer(
        "Dense", units=32)], 2**24 * 32 + 32),
    "shape built for": ({**BUILT, "config": {"name": "s", "layers": [keras_layer("Dense", units=64)], "build_input_shape": [None, 2**33]}},
                        64 * 2**33 + 64),
    "build config": ({**keras_layer("Dense", units=64), "build_config": {"shapes_dict": {"input_shape": [None, 2**33]}}},
                     64 * 2**33 + 64),
    "window": ([{"type": "reshape", "shape": [2, 2, 1]}, {"type": "conv2d", "size": 30000, "window": 170}], 30000 * 28900),
}  # fmt: skip


@pytest.mark.parametrize("name", HEAVY)
def test_weights_are_counted_before_they_are_made(name):
    network, weights = HEAVY[name]
    with pytest.raises(ValueError, match=rf"would have {weights} weights. At most 268435456 are taken"):
        kagent.DQN(CARTPOLE, network=network)


def test_what_a_layer_makes_of_one_observation_is_counted():
    network = [PIXELS, keras_layer("UpSampling2D", size=[4000, 4000])]
    with pytest.raises(ValueError, match=r"`network\[1\]` makes 64000000 numbers of one observation"):
        kagent.DQN(CARTPOLE, network=network)
    layers = [{"type": "keras", "layer": keras_layer("RepeatVector", n=2**23)}]
    with pytest.raises(ValueError, match=r"`keras_layer\.layer` makes 33554432 numbers of one observation"):
        kagent.DQN(CARTPOLE, preprocessing=layers)


WIDE = [PIXELS, keras_layer("UpSampling2D", size=[1000, 1000])]
RELUS = [keras_layer("Activation", activation="relu")] * 33
MEAN = keras_layer("GlobalAveragePooling2D")


def graph():
    x = inputs = keras.Input((4,))
    for layer in (*WIDE, *RELUS, MEAN):
        x = rehearsal.made(layer)(x)
    return json.loads(json.dumps(keras.saving.serialize_keras_object(keras.Model(inputs, x))))


def sequential(*layers):
    return {**BUILT, "config": {"name": "s", "layers": list(layers)}}


@pytest.mark.parametrize(
    "make",
    [lambda: sequential(*WIDE, *RELUS, MEAN), lambda: [WIDE[0], sequential(sequential(WIDE[1], *RELUS), MEAN)], graph],
    ids=["sequential", "nested", "functional"],
)
def test_what_the_layers_inside_a_model_make_is_counted_together(make):
    """4 million numbers are taken of a layer; here are 34 such layers, in front of a single feature."""
    with pytest.raises(ValueError, match=r"The layers of `network(\[1\])?` make 1[34]\d{7} numbers of one observation"):
        kagent.DQN(CARTPOLE, network=make())


def test_counting_draws_no_seeds():
    config = keras_layer("Dense", units=3)  # its initializer takes a seed from Python's generator
    before = random.getstate()
    rehearsal.check(config, "network")
    layer = rehearsal.made(config)
    after = random.getstate()
    rehearsal.watch(layer, config, "network")
    rehearsal.before_call(layer, keras.KerasTensor((None, 4)))
    assert random.getstate() == after != before
    assert not layer.built and not hasattr(layer, "kagent_config")


# Settings --------------------------------------------------------------------------------------------------


def ladder(rung):
    first = {"[": "[x, x, x, x, x, x, x, x, x, x]", "{": "{x: 1}"}[rung[0]]
    lines = [f"a: &a {first}"]
    lines += [f"{c}: &{c} {rung.format(', '.join([f'*{before}'] * 10))}" for before, c in zip("abcdefgh", "bcdefghi")]
    return "\n".join(lines)


YAML = {
    "laughs": (ladder("[{}]"), "250000 values, those of aliases included"),
    "merged laughs": (ladder("{{<<: [{}]}}"), "250000 values, those of aliases included"),
    "list in itself": ("x: &a [*a]", "more than 100 levels"),
    "mapping in itself": ("x: &a {y: *a}", "more than 100 levels"),
    "deep": ("x: " + "[" * 100_000, "more than 100 levels"),
    "long": ("x: [" + "1, " * 20_000 + "]", "10000 values; give it as .json"),
    "base 60": ("x: " + ":".join(["1"] * 30_000), "at most 64 are taken"),
    "digits": ("x: " + "9" * 5000, "at most 64 are taken"),
    "date": ("x: 2001-99-99", "a value of type"),
    "no bool": ("x: !!bool y1", "not YAML"),
    "no time": ("x: !!timestamp y", "a value of type"),
    "object": ("x: !!python/object/apply:os.system [true]", "a value of type"),
    "set": ("x: !!set {a}", "a value of type"),
    "integer key": ("3: 4\nx: 5", "`agent` has a key that is no string. Received: 3"),
    "list as a key": ("? [a]\n: 3", "not YAML"),
    "integer": ("x: 0x" + "f" * 20, "`agent` has an integer of 80 bits"),
}


@pytest.mark.parametrize("name", YAML)
def test_yaml_that_does_not_end(name, tmp_path):
    text, message = YAML[name]
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"`agent`.*a\.yaml.*{message}"):
        settings_file.read(path, "`agent`")


def test_yaml_with_aliases_is_yaml(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &b [1, 1e-3]\nc: *b\nd: {<<: {e: 0x10}, f: no}\ng: ~")
    assert settings_file.read(path, "`agent`") == {
        "a": [1, 0.001], "c": [1, 0.001], "d": {"e": 16, "f": False}, "g": None
    }  # fmt: skip


def test_json_that_does_not_end(tmp_path):
    path = tmp_path / "a.json"
    for text, message in (
        ("[" * 100_000, "not JSON"),
        ('{"a": ' + "[" * 101 + "]" * 101 + "}", "nested more than 100 deep"),
        ('{"a": [' + "0," * 250_000 + "0]}", "more than 250000 values"),
        ('{"a": ' + "9" * 30 + "}", "an integer of 100 bits"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"`agent`.*a\.json.*{message}"):
            settings_file.read(path, "`agent`")
