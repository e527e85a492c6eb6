"""Exported policies do what the agent does: observation in, greedy action out."""

import errno
import itertools
import json
import resource
import subprocess
import sys

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from variants import thorough, with_few

import kagent
from kagent.preprocessing.graph import operations_of

NESTED = spaces.Dict(
    eye=spaces.Box(0, 255, (8, 8, 3), np.uint8), gear=spaces.Discrete(4, start=2), pair=spaces.Tuple(
        (spaces.Box(-5, 5, (3,)), spaces.MultiBinary(2))),
)  # fmt: skip
ACTIONS = spaces.Dict(arm=spaces.Box(-1.0, 2.0, (2,)), go=spaces.Discrete(3, start=1))
VECTOR = spaces.Box(-5, 5, (4,))


def batch(space, count=5):
    space.seed(0)
    empty = gymnasium.vector.utils.create_empty_array(space, count)
    return gymnasium.vector.utils.concatenate(space, [space.sample() for _ in range(count)], empty)


def saved_model(agent, path, x):
    agent.export(path / "served")
    served = tf.saved_model.load(str(path / "served"))
    return served.serve(x)


def onnx(agent, path, x):
    import onnxruntime

    agent.export(path / "a.onnx", format="onnx")
    session = onnxruntime.InferenceSession(str(path / "a.onnx"))
    inputs = sorted(put.name for put in session.get_inputs())
    leaves = dict(zip(sorted(names_of(agent.observation_space)), inputs))
    given = {leaves[name]: value for name, value in zip(names_of(agent.observation_space), tf.nest.flatten(x))}
    found = session.run(None, given)
    names = [put.name for put in session.get_outputs()]
    return found[0] if len(found) == 1 else dict(zip(names, found))


def litert(agent, path, x):
    from ai_edge_litert.interpreter import Interpreter

    agent.export(path / "a.tflite", format="litert")
    run = Interpreter(model_path=str(path / "a.tflite")).get_signature_runner()
    names = sorted(run.get_input_details())
    leaves = dict(zip(sorted(names_of(agent.observation_space)), names))
    found = run(**{leaves[n]: value for n, value in zip(names_of(agent.observation_space), tf.nest.flatten(x))})
    return next(iter(found.values())) if len(found) == 1 else found


def names_of(space):
    """Names of leaves in the order of `tf.nest`, which sorts keys as gymnasium's own Dict of keyword arguments does."""
    from kagent.spaces import Structure

    return [leaf.name.replace("/", "_") or "observation" for leaf in Structure(space).leaves]


def agents():
    small = {"network": {"units": [8]}, "seed": 0}
    yield "dqn", kagent.DQN(observation_space=VECTOR, action_space=spaces.Discrete(3), **small)
    float64 = spaces.Box(-5, 5, (4,), np.float64)
    yield "sac", kagent.SAC(observation_space=float64, action_space=spaces.Box(-2, 3, (2,)), **small)
    yield "nested", kagent.PPO(observation_space=NESTED, action_space=ACTIONS, seed=0)
    layers = ["running_normalization", {"type": "clipping", "lower": -0.5, "upper": 1.0}, keras.layers.Rescaling(2.0)]
    made = kagent.PPO(observation_space=VECTOR, action_space=spaces.Discrete(3), preprocessing=layers, **small)
    learned = {"weight": np.asarray(5.0), "mean": np.full(4, 0.5), "variance": np.full(4, 4.0)}
    made.preprocessing.pipelines[0].bounds[0].statistics = learned
    yield "preprocessed", made


AGENTS = dict(agents())


FAST = [("nested", saved_model), ("dqn", onnx), ("sac", onnx)]


@pytest.mark.parametrize("name, form", with_few(itertools.product(AGENTS, (saved_model, onnx, litert)), FAST))
def test_exported_actions_are_the_agents(tmp_path, name, form):
    agent = AGENTS[name]
    x = batch(agent.observation_space)
    expected, found = agent(x), form(agent, tmp_path, x)
    tf.nest.assert_same_structure(dict(found) if isinstance(found, dict) else found, expected)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-5)
    if name == "dqn":
        assert np.asarray(found).tolist() == [agent.act(row, deterministic=True) for row in x]


@pytest.mark.parametrize(
    ("layers", "space"),
    [
        ("linear_normalization", spaces.Box(np.float32([-1, 0]), np.float32([3, np.inf]))),
        ({"type": "rescaling", "scale": [2.0, -1.0], "offset": 0.5}, spaces.Box(-9, 9, (2,))),
        ({"type": "clipping", "upper": 1.5}, spaces.Box(-9, 9, (2,))),
        ({"type": "activation", "nonlinearity": "softmax"}, spaces.Box(-9, 9, (3,))),
        ({"type": "exponential_normalization", "decay": 0.9}, spaces.Box(-9, 9, (2,))),
        ({"type": "running_normalization", "only_mean": True, "clip": None}, spaces.Box(-9, 9, (2, 3))),
        ({"type": "instance_normalization", "axes": 0}, spaces.Box(-9, 9, (4, 3))),
        ({"type": "image", "height": 5, "width": 4, "grayscale": True}, spaces.Box(0, 255, (9, 7, 3), np.uint8)),
        ({"type": "image", "height": 3}, spaces.Box(0, 1, (6, 4))),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_layer_has_an_equal_form_in_tensorflow(layers, space, dtype):
    agent = kagent.PPO(observation_space=space, action_space=spaces.Discrete(2), preprocessing=layers, seed=0)
    (bound,) = agent.preprocessing.pipelines[0].bounds
    draw = np.random.default_rng(0)
    if bound.statistics:
        shape = bound.statistics["mean"].shape
        bound.statistics = {
            "weight": np.asarray(3.0),
            "mean": draw.normal(size=shape),
            "variance": draw.uniform(1, 4, shape),
        }
    leaves = [agent._raw_observation.leaves[0].encode(batch(space))]
    (right,) = agent.preprocessing.first(leaves)
    (found,) = operations_of(agent.preprocessing, dtype)([tf.constant(x) for x in leaves])
    assert found.dtype.as_numpy_dtype == right.dtype
    # Between two integers float32 may round a grey the other way.
    np.testing.assert_allclose(np.asarray(found), right, rtol=1e-5, atol=1.0 if right.dtype.kind == "u" else 1e-5)


def test_what_cannot_be_exported_is_refused_by_name(tmp_path):
    def agent(**parts):
        return kagent.PPO(observation_space=VECTOR, action_space=spaces.Discrete(2), seed=0, **parts)

    with pytest.raises(ValueError, match=r"`format` must be one of .* Received: 'pdf'"):
        agent().export(tmp_path / "a", format="pdf")
    with pytest.raises(ValueError, match=r"`filepath` must end in '\.onnx' for format='onnx'"):
        agent().export(tmp_path / "a", format="onnx")
    with pytest.raises(ValueError, match="preprocessing layer Deltafier needs those before it"):
        agent(preprocessing="deltafier").export(tmp_path / "a")
    random = kagent.Random(observation_space=VECTOR, action_space=spaces.Discrete(2))
    with pytest.raises(ValueError, match=r"`export` needs a policy with a best action. Received: RandomPolicy"):
        random.export(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_integers_of_a_box_and_masks_are_exported(tmp_path):
    integers = spaces.Box(-3, 5, (2,), np.int32)
    agent = kagent.PPO(observation_space=VECTOR, action_space=integers, seed=0, network={"units": [8]})
    weights = agent.policy.get_weights()
    agent.policy.set_weights([50 * weight for weight in weights])
    x = batch(VECTOR)
    found = np.asarray(saved_model(agent, tmp_path, x))
    assert found.dtype == np.int32 and found.tolist() == [agent.act(row, deterministic=True).tolist() for row in x]
    assert len({*found.ravel().tolist()}) > 2
    masked = spaces.Dict(action_mask=spaces.MultiBinary(4), seen=VECTOR)
    agent = kagent.PPO(observation_space=masked, action_space=spaces.Discrete(4), seed=0, network={"units": [8]})
    allowed = np.eye(4, dtype=np.int8)[[2, 0, 3, 1, 1]]
    agent.export(tmp_path / "masked")
    served = tf.saved_model.load(str(tmp_path / "masked"))
    assert np.asarray(served.serve({"action_mask": allowed, "seen": x})).tolist() == [2, 0, 3, 1, 1]


@pytest.mark.thorough  # the actions that are served are those above
def test_a_saved_model_serves_without_kagent(tmp_path):
    agent = AGENTS["dqn"]
    AGENTS["sac"].export(tmp_path / "served")
    agent.export(tmp_path / "served")  # in the place of the one before
    program = (
        "import sys, json, tensorflow as tf; served = tf.saved_model.load(sys.argv[1]); "
        "print(json.dumps([served.serve(tf.ones((1, 4))).numpy().tolist(), 'kagent' in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "served")], capture_output=True, text=True, check=True
    )
    action, imported = json.loads(done.stdout.splitlines()[-1])
    assert action == np.asarray(agent(np.ones((1, 4), np.float32))).tolist() and not imported


def test_names_say_what_is_written(tmp_path):
    agent = kagent.DQN("CartPole-v1", memory=100, network={"units": [4]}, seed=0)
    for name in ("x.h5", "x.weights.h5", "x.keras", "x.onnx", "x.TFLITE", "x.pb", "x.zip", "x.pt"):
        with pytest.raises(ValueError, match=rf"must be the name of a folder.*format='onnx'.*'\.keras'.*/{name}'"):
            agent.export(tmp_path / name)
    for name in ("a.keras", "a", "a.tflite"):
        with pytest.raises(ValueError, match=r"`filepath` must end in '\.onnx' for format='onnx'. Received"):
            agent.export(tmp_path / name, format="onnx")
    for wrong, error in ((None, TypeError), (3, TypeError), ("gs://bucket/served", ValueError), ("", ValueError)):
        for kind in ("tf_saved_model", "litert"):
            with pytest.raises(error, match=r"`filepath` must be a path.*Received"):
                agent.export(wrong, format=kind)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ValueError, match="must be the name of a file for format='onnx', not a folder"):
        agent.export(tmp_path / "folder.onnx", format="onnx")
    with pytest.raises(
        TypeError, match=r"^export\(format='tf_saved_model'\) got an unexpected.*'opset_version'.*Known"
    ):
        agent.export(tmp_path / "a", opset_version=15)  # which Keras takes and leaves unused
    with pytest.raises(TypeError, match=r"^export\(format='onnx'\).*Did you mean 'opset_version'"):
        agent.export(tmp_path / "a.onnx", format="onnx", opset_verison=15)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.onnx"]
    agent.export(tmp_path / "served.v2")  # a suffix of no file
    assert (tmp_path / "served.v2" / "saved_model.pb").is_file()


@pytest.mark.parametrize(
    "kind, name", [("tf_saved_model", "served"), *map(thorough, (("onnx", "a.onnx"), ("litert", "a.tflite")))]
)
def test_a_full_disk_is_an_error_with_the_path_and_leaves_what_was_there(tmp_path, kind, name):
    agent = kagent.DQN("CartPole-v1", memory=100, network={"units": [64]}, seed=0)
    agent.export(tmp_path / name, format=kind)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may be larger
    try:
        with pytest.raises(OSError, match=rf"File too large.*\d+ bytes are free there.*{name}") as raised:
            agent.export(tmp_path / name, format=kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(tmp_path / name) and raised.value.errno == errno.EFBIG
    assert "function_node" not in str(raised.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == [name]
