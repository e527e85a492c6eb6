"""Files from strangers: refused before they run, import, fetch, write or allocate anything."""

from __future__ import annotations

import ast
import copy
import io
import json
import pickle
import re
import shutil
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from agent_states import differences, state_of
from variants import with_few

import kagent
import kagent.saving.agent_config as config_module
from kagent import optimizers, saving
from kagent.files import json_arrays

REFUSALS = (ValueError, TypeError)  # kagent's and Keras's


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A trained agent's `.keras` file, with memory."""
    network = {"type": "mlp", "units": [8, 8]}
    agent = kagent.DQN("CartPole-v1", network=network, memory=100, batch_size=8, start=16, seed=0)
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=30, verbose=0)
    path = tmp_path_factory.mktemp("honest") / "agent.keras"
    agent.save(path, include_memory=True)
    agent.save_weights(path.with_name("agent.weights.h5"))
    return path


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that, imported, leaves a file behind; nothing else may appear in the folder either."""
    folder = tmp_path / "modules"
    folder.mkdir()
    trace = tmp_path / "trace"
    (folder / "canary_module.py").write_text(
        f"open({str(trace)!r}, 'w').close()\ndef canary(*a, **k): open({str(trace)!r}, 'w')\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    yield trace
    imported = sys.modules.pop("canary_module", None)
    assert not trace.exists() and imported is None


def with_config(honest, path, change):
    """A copy of a `.keras` file with `change` applied to its config.json."""
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            target.writestr(name, content)
    return path


def refused(path, message=None, errors=REFUSALS):
    with pytest.raises(errors, match=message) as raised:
        kagent.load(path)
    with pytest.raises(errors):
        keras.saving.load_model(path)
    return raised.value


def change(*keys, value):
    def apply(config):
        for key in keys[:-1]:
            config = config[key]
        config[keys[-1]] = value

    return apply


# Configs ---------------------------------------------------------------------------------------------------

LAMBDA = {
    "module": "keras.layers", "class_name": "Lambda", "registered_name": None,
    "config": {
        "name": "lambda", "function": {
            "class_name": "__lambda__", "config": {"code": "4wEAAAAA", "defaults": None, "closure": None}
        },
    },
}  # fmt: skip
MODULE = {"module": "canary_module", "class_name": "canary", "config": {}, "registered_name": "canary"}
FUNCTION = {"module": "canary_module", "class_name": "function", "config": "canary", "registered_name": "canary"}


@pytest.mark.parametrize(
    "part", ["policy", "objective", "memory", "update", "reward_estimation", "exploration", "target", "optimizer"]
)
@pytest.mark.parametrize(
    "value",
    [
        {"type": "canary_module.canary"}, {"type": "os.system", "command": "true"}, {"type": "Lambda"}, {"type": ["Replay"]},
        {"type": "__class__"}, {"type": ""}, {"type": "DQN", "env": "canary_module:X-v0"}, "kagent>DQN", MODULE, FUNCTION,
    ],
)  # fmt: skip
def test_parts_are_registered_names_only(part, value, honest, canary, tmp_path):
    refused(with_config(honest, tmp_path / "a.keras", change("config", part, value=value)))


@pytest.mark.parametrize(
    "name", ["kagent>DQN", "kagent>ValuePolicy", "DQN", "Dense", "Lambda", "TFSMLayer", "LossScaleOptimizer"]
)
def test_an_optimizer_is_an_optimizer(name, canary):
    for extra in ({}, {"env": "canary_module:X-v0"}, {"filepath": "/etc"}):
        with pytest.raises(ValueError, match=r"Unknown `optimizer`.*Known: .*Adam"):
            optimizers.get({"type": name, **extra}, "policy")


@pytest.mark.parametrize("network", [LAMBDA, MODULE, FUNCTION])
@pytest.mark.parametrize("wrapped", [False, True])
def test_networks_run_no_code(network, wrapped, honest, canary, tmp_path):
    if wrapped:
        layers = [network]
        network = {
            "module": "keras",
            "class_name": "Sequential",
            "config": {"name": "s", "layers": layers},
            "registered_name": None,
        }
    refused(with_config(honest, tmp_path / "a.keras", change("config", "policy", "network", value=network)))


def test_real_lambda_bytecode_does_not_run(honest, canary, tmp_path):
    trace = str(canary)
    layer = keras.layers.Lambda(lambda x: (open(trace, "w"), x)[1], output_shape=(4,))
    network = keras.saving.serialize_keras_object(keras.Sequential([keras.Input((4,)), layer]))
    path = with_config(honest, tmp_path / "a.keras", change("config", "policy", "network", value=network))
    canary.unlink(missing_ok=True)  # building the layer above has called it
    refused(path, "(?i)lambda")


@pytest.mark.parametrize(
    "layer",
    [
        {"class_name": "TFSMLayer", "config": {"filepath": "/canary", "name": "x"}},
        {"class_name": "TorchModuleWrapper", "config": {"module": "AAAA", "name": "x"}},
        {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd", "name": "x"}},
    ],
)
def test_layers_that_read_other_files_are_refused(layer, honest, tmp_path):
    network = {"module": "keras.layers", "registered_name": None, **layer}
    path = with_config(honest, tmp_path / "a.keras", change("config", "policy", "network", value=network))
    refused(path, errors=(*REFUSALS, ImportError))


@pytest.mark.parametrize(
    "env", ["canary_module:X-v0", "CartPole-v1", {"class_name": "function", "module": "os", "config": "getcwd"}]
)
@pytest.mark.parametrize("spaces", [True, False])
def test_a_file_makes_no_environment(env, spaces, honest, canary, tmp_path):
    # gymnasium imports the module before the colon.
    def apply(config):
        config["config"]["env"] = env
        if not spaces:
            config["config"].pop("observation_space"), config["config"].pop("action_space")

    refused(with_config(honest, tmp_path / "a.keras", apply), "env")


@pytest.mark.parametrize(
    "space",
    [
        {"type": "Box", "shape": [10**6, 10**6], "dtype": "float32", "low": 0, "high": 1},
        {"type": "Box", "shape": [2**30], "dtype": "uint8", "low": 0, "high": 1},
        {"type": "Box", "shape": [-4, -(10**12)], "dtype": "float32", "low": 0, "high": 1},
        {"type": "Box", "shape": [1] * 100, "dtype": "float32", "low": 0, "high": 1},
        {"type": "Box", "shape": [4], "dtype": "object", "low": 0, "high": 1},
        {"type": "Box", "shape": [4], "dtype": "V1000000", "low": 0, "high": 1},
        {"type": "Box", "shape": [4], "dtype": "(1000000,)f8", "low": 0, "high": 1},
        {"type": "Discrete", "n": 10**12, "start": 0},
        {"type": "MultiDiscrete", "nvec": [10**12] * 3, "start": [0] * 3, "dtype": "int64"},
        {"type": "MultiBinary", "n": [10**12]},
        {"type": "Tuple", "spaces": [{"type": "MultiBinary", "n": [10**5, 10**5]}]},
        {"type": "Dict", "spaces": [["a", {"type": "Discrete", "n": 10**12, "start": 0}]]},
        {"type": "Graph", "node_space": {"type": "Discrete", "n": 2, "start": 0}},
        {"type": "Text"},
        {"class_name": "Box", "module": "gymnasium.spaces", "config": {}},
        "CartPole-v1",
        ["Box"],
        None,
        {"type": "Box"},
        {"type": "Dict", "spaces": 3},
        {"type": "Dict", "spaces": [["a"]]},
    ],
    ids=str,
)
@pytest.mark.parametrize("role", ["observation_space", "action_space"])
def test_spaces_are_small_and_known(space, role, honest, tmp_path):
    refused(with_config(honest, tmp_path / "a.keras", change("config", role, value=space)))


def test_a_memory_beyond_the_machine_is_not_allocated(honest, tmp_path):
    def apply(config):
        config["config"]["memory"]["capacity"] = 10**12

    path = with_config(honest, tmp_path / "a.keras", apply)
    with pytest.raises(ValueError, match=r"capacity of at most \d+"):
        keras.saving.load_model(path)
    with pytest.warns(UserWarning, match=r"capacity of at most \d+"):
        loaded = kagent.load(path)
    with pytest.raises(ValueError, match=r"capacity of at most \d+"):
        loaded.fit("CartPole-v1", steps=10)
    assert not loaded.memory.built


def test_variables_are_no_more_than_the_file_holds(honest, tmp_path):
    """Two layers of 16,000 are below the bound of one network, and take 4 GB with their target and their optimizer."""

    def apply(config):
        config["config"]["policy"]["network"] = {"type": "MLP", "units": [16_000, 16_000]}

    path = with_config(honest, tmp_path / "a.keras", apply)
    with pytest.raises(ValueError, match=r"variables of 10\d{8} bytes and more, and the file holds fewer weights"):
        kagent.load(path)


def test_a_config_makes_no_more_than_the_memory_that_is_free(monkeypatch):
    config = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [4]}, seed=0, memory=100).get_config()
    monkeypatch.setattr(config_module, "free_memory", lambda: 100)
    # The first kernel is 4 x 4, its bias 4, and the head's kernel 4 x 2: 64 + 16 + 32 bytes.
    with pytest.raises(ValueError, match="variables of 112 bytes and more, and no more memory is free"):
        kagent.Agent.create(config)
    monkeypatch.setattr(config_module, "free_memory", lambda: None)
    assert kagent.Agent.create(config).get_config() == config


@pytest.mark.parametrize("key", ["module", "class_name", "registered_name"])
def test_another_class_at_the_top_is_no_agent(key, honest, canary, tmp_path):
    def apply(config):
        config.update({"module": "canary_module", "class_name": "canary", "registered_name": "canary"})
        if key == "registered_name":  # a class of ours that is no agent
            config.update({"registered_name": "kagent>StateValue", "class_name": "StateValue"})

    refused(with_config(honest, tmp_path / "a.keras", apply))


@pytest.mark.parametrize("setting", ["optimizer", "loss", "metrics"])
@pytest.mark.parametrize("value", [MODULE, FUNCTION, LAMBDA["config"]["function"]])
def test_compile_settings_run_no_code(setting, value, honest, canary, tmp_path):
    refused(with_config(honest, tmp_path / "a.keras", change("compile_config", setting, value=value)))


def test_safe_mode_cannot_be_turned_off_from_within(honest, canary, tmp_path):
    flip = {
        "module": "keras.config",
        "class_name": "function",
        "config": "enable_unsafe_deserialization",
        "registered_name": None,
    }

    def apply(config):
        config["config"]["exploration"] = flip
        config["config"]["policy"]["network"] = LAMBDA

    refused(with_config(honest, tmp_path / "a.keras", apply))
    assert keras.saving.serialize_keras_object(1) == 1
    refused(with_config(honest, tmp_path / "b.keras", change("config", "policy", "network", value=LAMBDA)))


# Archives --------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return exec, ("import canary_module",)


def test_members_outside_the_folder_are_not_written(honest, tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    path = inside / "a.keras"
    shutil.copy(honest, path)
    with zipfile.ZipFile(path, "a") as archive:
        for name in ("../escaped", "../../escaped", "assets/../../../escaped", "/tmp/kagent_escaped"):
            archive.writestr(name, "x")
    try:
        kagent.load(path)
    except REFUSALS:
        pass
    assert not list(tmp_path.rglob("escaped")) and not Path("/tmp/kagent_escaped").exists()


@pytest.mark.parametrize("kind", ["object", "pickle"])
def test_pickles_among_the_assets_stay_closed(kind, honest, canary, tmp_path):
    payload = io.BytesIO()
    if kind == "object":
        np.savez(payload, weights=np.array([Bomb()], object))
    else:
        payload.write(pickle.dumps(Bomb()))
    path = tmp_path / "a.keras"
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, payload.getvalue() if name.endswith(".npz") else source.read(name))
    kagent.load(path)  # its actor is made from the policy: the assets are not read
    with pytest.raises(ValueError, match=r"actor\.npz|readable|float32"):
        kagent.acting.load(path)


def test_a_truncated_file_is_refused(honest, tmp_path):
    content = honest.read_bytes()
    path = tmp_path / "a.keras"
    for size in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises((*REFUSALS, OSError, zipfile.BadZipFile)):
            kagent.load(path)


# HDF5 ------------------------------------------------------------------------------------------------------


def with_weights(honest, path, apply):
    """A copy of the `.weights.h5` file, changed in place by `apply(file["vars"])`."""
    shutil.copy(honest.with_name("agent.weights.h5"), path)
    with h5py.File(path, "r+") as file:
        apply(file["vars"])
    return path


def replace(name, value, **kwargs):
    def apply(entries):
        del entries[name]
        entries.create_dataset(name, data=value, **kwargs)

    return apply


def edit_state(function):
    def apply(entries):
        state = json.loads(entries["state"][()].tobytes())
        function(state)
        replace("state", np.frombuffer(json.dumps(state).encode(), np.uint8))(entries)

    return apply


def set_state(*keys, value):
    return edit_state(change(*keys, value=value))


def soft(entries):
    del entries["counters"]
    entries["counters"] = h5py.SoftLink("/vars/state")


def external(entries):
    del entries["counters"]
    entries["counters"] = h5py.ExternalLink("other.h5", "/vars/counters")


def external_storage(entries):
    name = "memory.block.float32.0"
    shape = entries[name].shape
    del entries[name]
    entries.create_dataset(name, shape, np.float32, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual(entries):
    del entries["counters"]
    layout = h5py.VirtualLayout((6,), np.int64)
    layout[:] = h5py.VirtualSource("other.h5", "vars/counters", (6,))
    entries.create_virtual_dataset("counters", layout)


def shape_bomb(name, shape=(10**7, 10**5), dtype=np.float32):
    def apply(entries):
        del entries[name]
        entries.create_dataset(name, shape, dtype, chunks=(1,) * (len(shape) - 1) + (1000,), compression="gzip")

    return apply


def group(entries):
    del entries["state"]
    entries.create_group("state")


def memory_about(**about):
    def apply(entries):
        known = json.loads(entries["memory"][()].tobytes())
        replace("memory", np.frombuffer(json.dumps({**known, **about}).encode(), np.uint8))(entries)

    return apply


STREAM = ("streams", "act")
HOSTILE = {
    "soft link": soft,
    "external link": external,
    "external storage": external_storage,
    "virtual": virtual,
    "shape bomb in the memory": shape_bomb("memory.block.float32.0"),
    "shape bomb in the state": shape_bomb("state", (10**12,), np.uint8),
    "group": group,
    "newer format": set_state("format", value=saving.FORMAT + 1),
    "no format": edit_state(lambda state: state.pop("format")),
    "text format": set_state("format", value="1"),
    "no json": replace("state", np.frombuffer(b"{", np.uint8)),
    "pickled state": replace("state", np.frombuffer(pickle.dumps(Bomb()), np.uint8)),
    "negative counters": replace("counters", np.full(6, -5)),
    "few counters": replace("counters", np.zeros(2, np.int64)),
    "wild counters": replace("counters", np.full(6, np.nan)),
    "text counters": replace("counters", np.array([b"a"] * 6)),
    "no stream": edit_state(lambda state: state["streams"].pop("act")),
    "stream position": set_state(*STREAM, "buffer_pos", value=-(10**9)),
    "stream position beyond": set_state(*STREAM, "buffer_pos", value=10**9),
    "stream half": set_state(*STREAM, "has_uint32", value=7),
    "stream buffer": set_state(*STREAM, "buffer", value={"array": [1], "dtype": "uint64", "shape": [1]}),
    "stream key": set_state(*STREAM, "state", "key", value=[1, 2]),
    "stream dtype": set_state(*STREAM, "buffer", value={"array": [1] * 4, "dtype": "float64", "shape": [4]}),
    "object array": set_state("open", value={"array": [1], "dtype": "object", "shape": [1]}),
    "giant array": set_state("open", value={"array": [1], "dtype": "uint8", "shape": [10**15]}),
    "other space": set_state("observation_space", value={"type": "Discrete", "n": 3, "start": 0}),
    "giant space": set_state("action_space", value={"type": "Discrete", "n": 10**15, "start": 0}),
    "memory of no environment": memory_about(num_envs=-1),
    "memory of text": memory_about(num_envs="many"),
    "memory lacks": memory_about(slices={}),
    "memory endless": memory_about(slices={"counters": 1, "block.float32": 10**9}),
    "memory counters": replace("memory.counters.0", np.array([10**15, 0])),
    "memory counters negative": replace("memory.counters.0", np.array([-1, -1])),
    "memory dtype": lambda entries: replace(
        "memory.block.float32.0", entries["memory.block.float32.0"][()].astype("f8")
    )(entries),
    "memory not finite": lambda entries: replace(
        "memory.block.float32.0", np.full_like(entries["memory.block.float32.0"][()], np.nan)
    )(entries),
    "memory rows": lambda entries: replace("memory.block.float32.0", entries["memory.block.float32.0"][:-1])(entries),
}


@pytest.fixture(scope="module")
def agent(honest):
    """Offered every file; each must leave it as it was."""
    return kagent.load(honest)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_weights_are_refused_and_change_nothing(name, honest, agent, canary, tmp_path):
    path = with_weights(honest, tmp_path / "a.weights.h5", HOSTILE[name])
    before = state_of(agent)
    with pytest.raises(ValueError):
        agent.load_weights(path)
    assert differences(state_of(agent), before) == []


@pytest.mark.parametrize("name", with_few(HOSTILE, ("no format", "stream key", "memory rows")))
def test_hostile_weights_are_refused_inside_a_keras_file(name, honest, canary, tmp_path):
    path = with_weights(honest, tmp_path / "a.weights.h5", HOSTILE[name])
    inside = tmp_path / "a.keras"
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(inside, "w") as target:
        for member in source.namelist():
            target.writestr(member, path.read_bytes() if member == "model.weights.h5" else source.read(member))
    with pytest.raises(ValueError):
        kagent.load(inside)


def test_the_honest_file_is_taken(honest, tmp_path):
    # What is done to files above leaves them readable where nothing hostile is in them.
    agent = kagent.load(with_config(honest, tmp_path / "a.keras", lambda config: None))
    before = state_of(agent)
    agent.load_weights(with_weights(honest, tmp_path / "a.weights.h5", edit_state(lambda state: None)))
    assert differences(state_of(agent), before) == [] and agent.timesteps == 30


EPISODES = {
    "seed of text": lambda episode: episode.update(seed="os.system"),
    "negative seed": lambda episode: episode.update(seed=-1),
    "giant seed": lambda episode: episode.update(seed=10**30),
    "length": lambda episode: episode.update(length=10**15),
    "length of text": lambda episode: episode.update(length="7"),
    "return": lambda episode: episode.update({"return": float("nan")}),
    "no observation": lambda episode: episode.update(observation=[]),
    "observation": lambda episode: episode["observation"][0].update(array=[float("nan")] * 4),
    "giant action": lambda episode: episode.update(actions=[{"array": [10**9], "dtype": "int64", "shape": [1]}]),
    "outside": lambda episode: episode["actions"][0]["array"].__setitem__(0, 2),  # of 0 and 1
    "no actions": lambda episode: episode.pop("actions"),
    "actions of text": lambda episode: episode.update(actions="abc"),
    "nothing": lambda episode: episode.clear(),
}
STATES = {
    "episodes": set_state("open", "environments", "episodes", value={}),
    "no episodes": set_state("open", "environments", value=3),
    "open of text": set_state("open", value="open"),
    "lengths": set_state("open", "lengths", value={"array": [-1], "dtype": "int64", "shape": [1]}),
    "other lengths": set_state("open", "lengths", value={"array": [1], "dtype": "int64", "shape": [1]}),
    "more returns": set_state("open", "returns", value={"array": [1.0] * 2, "dtype": "float64", "shape": [2]}),
    "nan returns": set_state("open", "returns", value={"array": [float("nan")], "dtype": "float64", "shape": [1]}),
    "seeds": set_state("seeds", value=[1, 2, 3]),
    "sample seed": set_state("seeds", "sample", value=-1),
    "graph seed": set_state("seeds", "graph", value=2**31),
    "evaluation seed": set_state("seeds", "evaluation", value="1"),
    "bounds": set_state("bounds", value=[float("nan"), 1.0]),
    "one bound": set_state("bounds", value=[1.0]),
    "known": set_state("known", value={"episode": [1.0, 2.0], "update": {"loss": "x"}}),
    "algorithm": set_state("algorithm", value="dqn"),
    **{
        f"episode: {name}": edit_state(
            lambda state, change_=change_: change_(state["open"]["environments"]["episodes"][0])
        )
        for name, change_ in EPISODES.items()
    },
}


@pytest.mark.parametrize("name", STATES)
def test_impossible_states_are_refused_at_load_and_change_nothing(name, honest, agent, tmp_path):
    before = state_of(agent)
    with pytest.raises(ValueError):
        agent.load_weights(with_weights(honest, tmp_path / "a.weights.h5", STATES[name]))
    assert differences(state_of(agent), before) == []


def test_runner_states_hold_numbers_only():
    for dtype in ("object", "V8", "U4", "M8[s]"):
        with pytest.raises(ValueError, match="Refusing an array"):
            json_arrays.load(json.dumps({"array": [1], "dtype": dtype, "shape": [1]}).encode())
    with pytest.raises(TypeError, match="Cannot save"):
        json_arrays.dump({"env": Bomb()})
    state = {
        "a": np.array([[1, 2**63]], np.uint64),
        "b": np.float32(0.1),
        "c": [True, None, np.inf],
        "d": np.zeros((0, 3)),
    }
    back = json_arrays.load(json_arrays.dump(copy.deepcopy(state)))
    assert back["a"].dtype == np.uint64 and back["a"].tolist() == [[1, 2**63]] and back["b"] == float(np.float32(0.1))
    assert back["c"] == [True, None, np.inf] and back["d"].shape == (0, 3)


# The source ------------------------------------------------------------------------------------------------

FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def sources():
    return sorted(Path(kagent.__path__[0]).rglob("*.py"))


def findings(text):
    """What in a module's source must not be there."""
    found = [
        private for private in ("keras.src", "tensorflow.python") if re.search(rf"(?<!\w){re.escape(private)}\b", text)
    ]
    for node in ast.walk(ast.parse(text)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found += [m for m in modules if m.split(".")[0] in FORBIDDEN_MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else None
        found += [name] if name in FORBIDDEN_CALLS else []
        called = ast.unparse(node.func)
        allowed = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in ("np.load", "numpy.load", "np.lib.format.read_array") and allowed.get("allow_pickle") != "False":
            found.append(called)
        if allowed.get("allow_pickle", "False") != "False" or allowed.get("safe_mode", "True") != "True":
            found.append(f"{called}({allowed})")
        if called.endswith("enable_unsafe_deserialization") or allowed.get("shell") == "True":
            found.append(called)
    return found


def test_the_package_unpickles_and_evaluates_nothing():
    assert len(sources()) > 40
    assert {str(path): findings(path.read_text()) for path in sources() if findings(path.read_text())} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle", "from cloudpickle import loads", "eval('1')", "exec('1')", "compile('1', '', 'eval')", "__import__('os')",
        "np.load(path)", "np.load(path, allow_pickle=True)", "f(allow_pickle=flag)", "import keras.src.layers",
        "from tensorflow.python import ops", "load_model(path, safe_mode=False)", "run(x, shell=True)",
        "keras.config.enable_unsafe_deserialization()",
    ],
)  # fmt: skip
def test_the_test_above_finds(text):
    assert findings(text)
    assert not findings("agent.evaluate(env); agent.compile(); np.load(path, allow_pickle=False); tensorflow.keras")
