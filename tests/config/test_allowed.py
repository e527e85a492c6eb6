"""What a configuration may name: every door refuses the rest before anything is made, opened or imported."""

import json
import re
import sys
import zipfile

import forked
import keras
import numpy as np
import pytest

import kagent
import kagent.schedules.keras_schedule  # which a schedule of Keras imports
from kagent.config import allowed

CARTPOLE = "CartPole-v1"


def layer(name, module="keras.layers", registered=None, /, **config):
    return {"module": module, "class_name": name, "registered_name": registered, "config": config}


def function(name, module):
    return {"class_name": "function", "config": name, "module": module, "registered_name": name}


LAMBDA = layer("Lambda", function=function("any", "keras.ops"), arguments={})
FETCH = layer(
    "Lambda", function=function("cond", "keras.ops"),
    arguments={"true_fn": function("load_data", "keras.datasets.cifar10")},
)  # fmt: skip
PIPELINE = layer("Pipeline", layers=[LAMBDA, FETCH])
CODE = {"class_name": "__lambda__", "config": {"value": "4wEAAAAA"}}
HOSTILE = {
    "lambda": LAMBDA,
    "lambda by its file": layer("Lambda", "keras.src.layers.core.lambda_layer"),
    "lambda without module": {"class_name": "Lambda", "config": {}},
    "pipeline": PIPELINE,
    "sequential": layer("Sequential", "keras", name="s", layers=[layer("Sequential", "keras", layers=[PIPELINE])]),
    "wrapper": layer("TimeDistributed", layer=LAMBDA),
    "function of Keras as an activation": layer(
        "Dense", units=3, activation=function("disable_traceback_filtering", "keras.config")
    ),
    "operation as an activation": layer("Dense", units=3, activation=function("cond", "keras.ops")),
    "another name behind an activation's": layer(
        "Dense", units=3, activation={**function("relu", "keras.activations"), "registered_name": "load_data"}
    ),
    "activation of another module": layer("Dense", units=3, activation=function("relu", "keras.datasets.cifar10")),
    "code as an activation": layer("Dense", units=3, activation=CODE),
    "activation as an initializer": layer("Dense", units=3, kernel_initializer=function("relu", "keras.activations")),
    "layer as an initializer": layer("Dense", units=3, kernel_initializer=layer("Dense", units=3)),
    "function as a layer": function("get_file", "keras.utils"),
    "function as a class": layer("get_file", "keras.utils", fname="x", origin="http://localhost/"),
    "lookup function as a class": layer("deserialize", config=LAMBDA),
    "saved model": layer("TFSMLayer", filepath="/canary"),
    "torch": layer("TorchModuleWrapper", module="AAAA"),
    "flax": layer("FlaxLayer"),
    "jax": layer("JaxLayer"),
    "vocabulary in a file": layer("StringLookup", vocabulary="/etc/passwd"),
    "text in a file": layer("TextVectorization", vocabulary="/etc/passwd"),
    "code of a text": layer("TextVectorization", standardize=function("any", "keras.ops")),
    "callback": layer("RemoteMonitor", "keras.callbacks"),
    "application": layer("MobileNetV2", "keras.applications"),
    "model to load": layer("load_model", "keras.saving", filepath="http://localhost/a.keras"),
    "operation with a function": layer("Map", "keras.src.ops.core"),
    "any class": {"class_name": "__typespec__", "spec_name": "RaggedTensorSpec", "module": "tensorflow", "config": []},
    "tensor of objects": {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}},
    "unknown module": layer("canary", "canary_module"),
    "agent": layer("DQN", "kagent", "kagent>DQN", env=CARTPOLE),
    "class that is no name": {"class_name": ["Dense"], "config": {}},
    "registered name that is none": {**layer("Dense", units=3), "registered_name": {"a": 1}},
    "nested compile config": {**layer("Dense", units=3), "compile_config": {"optimizer": function("any", "keras.ops")}},
    "nested build config": {**layer("Dense", units=3), "build_config": {"input_shape": LAMBDA}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_configuration_may_name(name):
    for around in (HOSTILE[name], [HOSTILE[name]], {"type": "Layered", "layers": [[HOSTILE[name]]]}):
        with pytest.raises(ValueError, match=r"`network` must (not )?(name|hold)"):
            allowed.check(around, "network")


@keras.saving.register_keras_serializable("config_test")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("config_test")
def halved(x):
    return x / 2


def functional():
    x = keras.Input((4,))
    y = keras.layers.Dense(4, "gelu", kernel_regularizer="l2", bias_constraint="non_neg", dtype="mixed_bfloat16")(x)
    return keras.Model(x, keras.ops.mean(y, axis=-1, keepdims=True) + keras.ops.abs(x))


HONEST = {
    "functional with operations": functional,
    "sequential": lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, halved), Doubled()]),
    "recurrent": lambda: keras.layers.Bidirectional(keras.layers.GRU(3)),
    "normalization": lambda: keras.layers.Normalization(mean=np.zeros(3), variance=np.ones(3)),
    "seed": lambda: keras.layers.Dropout(0.1, seed=3),
    "pipeline": lambda: keras.layers.Pipeline([keras.layers.Rescaling(2.0)]),
    "initializers": lambda: keras.layers.MultiHeadAttention(
        2, 2, kernel_initializer=keras.initializers.HeNormal(3), activity_regularizer=keras.regularizers.L1(0.1)
    ),
    "words": lambda: keras.layers.StringLookup(vocabulary=["a", "b"]),
    "activation layer": lambda: keras.layers.Dense(3, activation=keras.layers.LeakyReLU()),
}


@pytest.mark.parametrize("name", HONEST)
def test_what_keras_writes_of_its_own_layers_is_taken(name):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(HONEST[name]())))
    allowed.check(config, "network")
    assert isinstance(allowed.made(config, "network"), keras.layers.Layer)


def test_optimizers_and_schedules_have_their_places():
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 100)
    both = kagent.optimizers.RoleOptimizer(policy=keras.optimizers.Adam(rate), critic=keras.optimizers.SGD())
    config = keras.saving.serialize_keras_object(both)
    allowed.check(config, "optimizer")
    with pytest.raises(ValueError, match="`network` must not name 'Adam'"):
        allowed.check(config["config"]["policy"], "network")
    with pytest.raises(ValueError, match="`optimizer` must not name 'Dense'"):
        allowed.check({"type": "adam", "beta_1": layer("Dense", units=2)}, "optimizer")


# Doors -----------------------------------------------------------------------------------------------------

SEEN = []
LISTENING = []
WATCHED = ("open", "import", "socket.connect", "socket.getaddrinfo", "os.mkdir", "subprocess.Popen", "exec")


def listen(event, arguments):
    if LISTENING and event in WATCHED:
        SEEN.append((event, str(arguments[0])))


@pytest.fixture
def watched():
    """Calls a function that is to raise, and gives back what it opened, imported, connected to and made."""
    if listen not in vars(sys.modules[__name__]).get("_hooks", []):
        sys.addaudithook(listen)  # which nothing removes
        sys.modules[__name__]._hooks = [listen]

    def watch(call):
        SEEN.clear()
        LISTENING.append(True)
        try:
            with pytest.raises(ValueError) as raised:
                call()
        finally:
            LISTENING.clear()
        assert re.search("must not name|Unknown Keras schedule", str(raised.value)), raised.value
        return [seen for seen in SEEN if seen != ("open", "/proc/meminfo")]

    return watch


CLIPPING = {"type": "clipping", "lower": -1, "upper": 1}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    path = tmp_path_factory.mktemp("allowed") / "a.keras"
    agent = kagent.DQN(CARTPOLE, network=[{"type": "dense", "size": 8}], preprocessing=CLIPPING, seed=0)
    agent.save(path)
    kagent.load(path)  # modules that reading imports are there now
    return path


def changed(honest, path, *keys, value):
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = inner = json.loads(content)
                for key in keys[:-1]:
                    inner = inner[key]
                inner[keys[-1]] = value
                content = json.dumps(config)
            target.writestr(name, content)
    return path


PLACES = {
    "preprocessing": (
        ("config", "preprocessing"),
        lambda hostile: {"float": [{"type": "KerasLayer", "layer": hostile}]},
    ),
    "network": (("config", "policy", "network"), lambda hostile: {"type": "Layered", "layers": [hostile]}),
    "Keras network": (("config", "policy", "network"), lambda hostile: hostile),
    "optimizer": (("config", "optimizer"), lambda hostile: {"type": "Adam", "learning_rate": hostile}),
    "schedule": (("config", "l2_regularization"), lambda hostile: hostile),
    "compile": (("compile_config", "optimizer"), lambda hostile: hostile),
    "metric": (("compile_config", "metrics"), lambda hostile: [[hostile]]),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["pipeline", "function of Keras as an activation", "unknown module"])
def test_a_file_opens_nothing_but_itself(name, place, honest, watched, tmp_path):
    keys, around = PLACES[place]
    path = changed(honest, tmp_path / "a.keras", *keys, value=around(HOSTILE[name]))
    own = ("open", str(path))
    for load in (kagent.load, keras.saving.load_model):
        assert set(watched(lambda load=load: load(path))) == {own}


@pytest.mark.parametrize("name", ["pipeline", "function of Keras as an activation", "unknown module"])
def test_data_runs_nothing(name, watched, tmp_path):
    hostile = HOSTILE[name]
    for arguments in ({"network": [hostile]}, {"network": hostile}, {"preprocessing": hostile}, {"optimizer": hostile}):
        path = tmp_path / "a.json"
        path.write_text(json.dumps({"agent": "dqn", **arguments}))
        assert set(watched(lambda: kagent.Agent.create(path, CARTPOLE))) == {("open", str(path))}  # noqa: B023
        spaces = {"states": {"shape": 4}, "actions": {"type": "int", "num_values": 2}}
        assert watched(lambda: kagent.DQN(**spaces, **arguments)) == []  # noqa: B023
    assert watched(lambda: kagent.schedules.get(hostile)) == []


def test_the_users_own_lambda_needs_the_users_word(tmp_path):
    # The file is then taken as Keras takes it.
    program = """
import keras, kagent
keras.config.enable_unsafe_deserialization()
layer = keras.layers.Lambda(lambda x: 2 * x, output_shape=(4,))
agent = kagent.DQN("CartPole-v1", network=[layer, {"type": "dense", "size": 4}])
agent.save("a.keras")
print(kagent.load("a.keras").policy.network.layers[0].name)
"""
    done = forked.run(["-c", program], cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith("lambda"), done.stderr
    with pytest.raises(ValueError, match=r"`policy` must not name 'Lambda'.*safe_mode=False"):
        kagent.load(tmp_path / "a.keras")
    with pytest.raises(ValueError, match=r"`policy` must not name 'Lambda'"):
        keras.saving.load_model(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras", safe_mode=False).policy.network.layers[0].name == "lambda"


@keras.saving.register_keras_serializable("test_allowed")
def doubled(x):
    return 2.0 * keras.ops.tanh(x)


@keras.saving.register_keras_serializable("test_allowed")
class Applied(keras.layers.Layer):
    """Applies a function, as it is given or in a dict."""

    def __init__(self, function=None, parts=None, **kwargs):
        super().__init__(**kwargs)
        self.function, self.parts = function, parts

    def call(self, x):
        return self.function(x)

    def get_config(self):
        written = keras.saving.serialize_keras_object
        return {**super().get_config(), "function": written(self.function), "parts": written(self.parts)}

    @classmethod
    def from_config(cls, config):
        read = keras.saving.deserialize_keras_object
        return cls(**{**config, "function": read(config["function"]), "parts": read(config["parts"])})


def test_functions_that_the_user_registered_are_arguments_of_the_users_layers(tmp_path):
    for made in (Applied(doubled, {"second": [doubled]}), keras.Sequential([Applied(doubled), keras.layers.ReLU()])):
        agent = kagent.DQN(CARTPOLE, network=[made, {"type": "dense", "size": 4}], memory=100, seed=0)
        agent.save(tmp_path / "a.keras")
        loaded = kagent.load(tmp_path / "a.keras")
        layer = loaded.policy.network.layers[0]
        layer = layer.layers[0] if isinstance(layer, keras.Sequential) else layer
        assert layer.function is doubled
        x = np.linspace(-1, 1, 4).astype("float32")
        np.testing.assert_array_equal(*(one.policy.heads([x[None]])[0].numpy() for one in (agent, loaded)))
    agent = kagent.DQN(CARTPOLE, network=[Applied(keras.activations.relu), keras.layers.Dense(4)], memory=100)
    assert kagent.Agent.create(agent.get_config()).policy.network.layers[0].function is keras.activations.relu


def argument(value, **around):
    config = {"name": "applied", "trainable": True, "dtype": "float32", "parts": None, "function": value, **around}
    return {"module": None, "class_name": "Applied", "registered_name": "test_allowed>Applied", "config": config}


REGISTERED = {**function("test_allowed>doubled", "builtins"), "registered_name": "function"}
WRONG = {
    "operation": argument(function("cond", "keras.ops")),
    "operation without a module": argument({**function("any", None), "registered_name": "function"}),
    "data set": argument(function("load_data", "keras.datasets.cifar10")),
    "setting": argument(function("disable_traceback_filtering", "keras.config")),
    "deep": argument(REGISTERED, parts={"a": [function("get_file", "keras.utils")]}),
    "another name": argument({**function("load_data", "keras.datasets.cifar10"), "registered_name": "test_allowed>doubled"}),
    "Lambda": argument(REGISTERED, parts=LAMBDA),
    "a registered function in a layer of Keras in a layer of the user's": argument(
        REGISTERED, parts=layer("RNN", cell=REGISTERED)),
    "a registered function in a layer of Keras": layer("RNN", cell=REGISTERED),
    "kagent": argument(function("kagent>load", "kagent")),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_other_functions_are_no_arguments_of_the_users_layers(name, watched):
    with pytest.raises(ValueError, match=r"`network` must not name"):
        allowed.check(WRONG[name], "network")
    assert set(watched(lambda: kagent.DQN(CARTPOLE, network=WRONG[name]))) == set()
    allowed.check(argument(REGISTERED), "network")
