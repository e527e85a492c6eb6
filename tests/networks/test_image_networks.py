"""Images in automatic networks, in lists of layers and in networks of the user's own."""

import json
import warnings

import keras
import numpy as np
import pytest
from gymnasium import spaces
from keras import layers
from variants import with_few

import kagent
from kagent import networks
from kagent.acting import load
from kagent.networks import backbones
from kagent.saving.headers import check_images
from kagent.spaces import Structure, images

DISCRETE, TORQUE = spaces.Discrete(3), spaces.Box(-1, 1, (2,))


def pixels(*shape, high=255):
    return spaces.Box(0, high, shape, np.uint8)


def dqn(space, network="auto", **changes):
    agent = kagent.DQN(
        observation_space=space, action_space=DISCRETE, network=network, seed=0, memory=40, batch_size=4, **changes
    )
    agent.compile(run_eagerly=True)
    return agent


def kernels(agent):
    return [tuple(layer.kernel.shape) for layer in agent.policy.model.layers if hasattr(layer, "kernel")]


def some(space, count=3):
    rng = np.random.default_rng(0)
    if space.dtype == np.uint8:
        return rng.integers(0, int(space.high.max()) + 1, (count, *space.shape)).astype(np.uint8)
    return rng.normal(size=(count, *space.shape)).astype(np.float32)


def feature_model(agent):
    """From observation leaves to what the head sees."""
    model = agent.policy.model
    return keras.Model(model.inputs, networks.features_of(model))


MNIH = [(8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)]
NETWORKS = {
    "frames first": (pixels(4, 84, 84), [*MNIH, (3136, 512)]),
    "frames last": (pixels(84, 84, 4), [*MNIH, (3136, 512)]),
    "floats": (spaces.Box(-np.inf, np.inf, (2, 12, 12), np.float32), [(4, 4, 2, 64), (3, 3, 64, 64), (576, 512)]),
    "stack": (pixels(4, 64, 64, 3), [(8, 8, 12, 32), *MNIH[1:], (1024, 512)]),
    "stack first": (pixels(4, 3, 64, 64), [(8, 8, 12, 32), *MNIH[1:], (1024, 512)]),
    "gray": (pixels(84, 84), [(8, 8, 1, 32), *MNIH[1:], (3136, 512)]),
    "minigrid": (pixels(7, 7, 3), [(3, 3, 3, 64), (1600, 512)]),
    "minatar": (spaces.Box(0, 1, (10, 10, 4), np.bool_), [(4, 4, 4, 64), (3, 3, 64, 64), (256, 512)]),
    "of 20 pixels": (pixels(20, 24, 3), [(4, 4, 3, 32), (4, 4, 32, 64), (3, 3, 64, 64), (2 * 64, 512)]),
    "one pixel high": (pixels(1, 20, 3), [(60, 64), (64, 64)]),
    "rows of memory": (pixels(4, 128), [(512, 64), (64, 64)]),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", with_few(NETWORKS, ("stack first", "minigrid", "minatar", "one pixel high", "rows of memory"))
)
def test_every_image_gets_a_network_that_fits(name):
    space, expected = NETWORKS[name]
    agent = dqn(space)
    assert kernels(agent)[:-1] == expected
    assert all(x.padding == "valid" for x in agent.policy.model.layers if isinstance(x, layers.Conv2D))
    x = some(space) if space.dtype != np.bool_ else some(pixels(10, 10, 4, high=1)).astype(np.bool_)
    assert [agent.act(one, deterministic=True) for one in x] == np.asarray(agent(x)).tolist()


@pytest.mark.parametrize("least", [3, 8, 18, 36])
def test_the_smallest_image_of_each_size_is_not_padded(least):
    x = keras.Input((least, least, 2))
    features = networks.Auto().features([x], lambda: 0)
    assert features.shape == (None, 512)
    assert networks.Auto().features([keras.Input((least + 1, 99, 2))], lambda: 0).shape == (None, 512)


@pytest.mark.parametrize(
    ("shape", "places", "pool"),
    [
        ((84, 84, 4), 7 * 7, None), ((210, 160, 3), 22 * 16, None), ((1, 64, 64), 4 * 4, None), ((64, 64, 2), 4 * 4, None),
        ((3, 3, 1), 1, None), ((36, 2000, 3), 246, None), ((7, 200, 3), 5 * 25, (1, 8)), ((200, 7, 3), 25 * 5, (8, 1)),
        ((17, 300, 1), 5 * 25, (1, 6)), ((512, 512, 2), 12 * 12, (5, 5)),
    ],
)  # fmt: skip
def test_no_image_gets_tens_of_millions_of_weights(shape, places, pool, monkeypatch):
    """Behind the convolutions there are 64 numbers at each place, and a dense layer of 512."""
    monkeypatch.setattr(backbones, "initializers", lambda *_: lambda fan_in: ("zeros", "zeros"))
    height, width, channels = images.read(shape).size
    x = keras.Input((height, width, channels))
    model = keras.Model(x, networks.Auto().features([x], lambda: 0))
    kernel = next(layer.kernel.shape for layer in model.layers if isinstance(layer, layers.Dense))
    assert kernel == (64 * places, 512) and model.count_params() < 12_000_000
    pools = [layer.pool_size for layer in model.layers if isinstance(layer, layers.MaxPooling2D)]
    assert pools == ([] if pool is None else [pool])


def test_a_pooled_image_is_served_and_may_be_beside_others(tmp_path):
    space = spaces.Dict(wide=pixels(7, 200, 3), place=spaces.Box(-1, 1, (2,)))
    agent = dqn(space, {"units": [4]})
    assert (64 * 5 * 25, 512) in kernels(agent)
    x = {"wide": some(pixels(7, 200, 3), 2), "place": np.zeros((2, 2), np.float32)}
    leaves = [x[leaf.name] for leaf in agent._observation.leaves]
    agent.actor.save(tmp_path)
    found = load(tmp_path).forward(leaves)[0]
    np.testing.assert_allclose(found, agent.policy.values(leaves), rtol=1e-4, atol=1e-4)


def test_channels_are_put_last_and_frames_beside_each_other():
    first, last = dqn(pixels(4, 20, 24)), dqn(pixels(20, 24, 4))
    last.policy.set_weights(first.policy.get_weights())
    x = some(first.observation_space)
    np.testing.assert_allclose(
        first.policy.values([x]), last.policy.values([x.transpose(0, 2, 3, 1)]), rtol=1e-5, atol=1e-6
    )
    stack, side_by_side = dqn(pixels(2, 20, 24, 3)), dqn(pixels(20, 24, 6))
    side_by_side.policy.set_weights(stack.policy.get_weights())
    x = some(stack.observation_space)
    joined = np.concatenate([x[:, 0], x[:, 1]], -1)
    np.testing.assert_allclose(stack.policy.values([x]), side_by_side.policy.values([joined]), rtol=1e-5, atol=1e-6)


def test_the_data_format_can_be_said_and_is_kept(tmp_path):
    with pytest.raises(ValueError, match=r"^`network.data_format` .* shape \(8, 5, 7\).*'mlp'} takes it for a vector"):
        dqn(pixels(8, 5, 7))
    with pytest.raises(ValueError, match=r"^Observation 'eye': `network.data_format` .* shape \(8, 5, 7\)"):
        dqn(spaces.Dict(eye=pixels(8, 5, 7)))
    assert kernels(dqn(pixels(8, 5, 7), {"type": "mlp", "units": [4]})) == [(280, 4), (4, 3)]
    agent = dqn(pixels(8, 5, 7), {"data_format": "channels_first"})
    assert kernels(agent)[0] == (3, 3, 8, 64)
    assert kernels(dqn(pixels(8, 5, 7), {"data_format": "channels_last"}))[0] == (3, 3, 7, 64)
    agent.save(tmp_path / "a.keras")
    same = kagent.load(tmp_path / "a.keras")
    assert same.policy.network == agent.policy.network == networks.Auto(data_format="channels_first")
    x = some(agent.observation_space)
    np.testing.assert_array_equal(same.policy.values([x]), agent.policy.values([x]))
    with pytest.raises(ValueError, match=r"`network.data_format` must be one of .* Received: 'first'"):
        dqn(pixels(8, 5, 7), {"data_format": "first"})


def test_an_explicit_network_is_not_padded_in_silence():
    with pytest.raises(
        ValueError, match=r"`network.kernels` .* height 7, width 7 and 3 channels: the window 8 x 8 is larger"
    ):
        dqn(pixels(7, 7, 3), "cnn")
    for network in ("cnn", "impala"):  # a network of convolutions had none, and nothing said so
        for space in (pixels(10, 10), spaces.Dict(place=spaces.Box(-1, 1, (4,)))):
            with pytest.raises(ValueError, match=r"is for images, and sees none.*Received: .*Allowed: 'auto', 'mlp'"):
                dqn(space, network)
    small = {"type": "cnn", "filters": [4], "kernels": [3], "strides": [1], "units": [8]}
    assert kernels(dqn(pixels(3, 7, 7), small)) == [(3, 3, 3, 4), (100, 8), (8, 3)]


@pytest.mark.eager
def test_targets_and_critics_read_the_same_axes():
    space = spaces.Dict(eye=pixels(3, 20, 20), speed=spaces.Box(-1, 1, (2,)))
    agent = kagent.SAC(observation_space=space, action_space=TORQUE, seed=0, memory=40, batch_size=4)
    models = [agent.policy.model, *agent.critic.models, *agent.target_critic.models]
    assert len(models) == 5
    for model in models:
        (permute,) = [layer for layer in model.layers if isinstance(layer, layers.Permute)]
        assert permute.dims == (2, 3, 1)
    assert next(v.shape for v in agent.critic.trainable_variables) == (4, 4, 3, 32)


@pytest.mark.parametrize("kind", ["model", "list", "flat"])
def test_what_scales_pixels_does_not_scale_actions(kind):
    space = pixels(6, 6, 3)
    body = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(8, "relu"),
    ]
    made = {
        "model": keras.Sequential(body),
        "list": body,
        "flat": [{"type": "flatten"}, layers.Rescaling(1 / 255), layers.Dense(8, "relu")],
    }
    agent = kagent.SAC(
        observation_space=space, action_space=TORQUE, network=made[kind], seed=0, memory=40, batch_size=4
    )
    agent.compile(run_eagerly=True)
    for model in agent.critic.models:
        (joint,) = [layer for layer in model.layers if layer.name == "joint"]
        assert joint.kernel.shape == (8 + 2, 256)
    x = [some(space)]
    low, high = (agent.critic.values(x, np.full((3, 2), a, np.float32))[0].numpy() for a in (-1, 1))
    assert (high != low).all()
    same = kagent.SAC.from_config(agent.get_config())
    assert [v.shape for v in same.variables] == [v.shape for v in agent.variables]


def printed(agent):
    lines = []
    agent.summary(print_fn=lambda text, line_break=None: lines.append(text))
    return "\n".join(lines)


def test_the_summary_says_what_was_read():
    assert "Image of policy: (4, 20, 24) read as height 20 x width 24 x channels 4, divided by 255" in printed(
        dqn(pixels(4, 20, 24))
    )
    assert "Image of policy: (1, 20, 3) as a vector of 60, divided by 255" in printed(dqn(pixels(1, 20, 3)))
    space = spaces.Dict(eye=pixels(2, 20, 24, 3), speed=spaces.Box(-1, 1, (2,)))
    text = printed(kagent.PPO(observation_space=space, action_space=DISCRETE, critic="StateValue"))
    for role in ("policy", "critic"):
        assert (
            f"Image 'eye' of {role}: (2, 20, 24, 3) read as height 20 x width 24 x channels 6, divided by 255" in text
        )
    own = dqn(pixels(4, 6, 6), keras.Sequential([layers.Flatten(), layers.Dense(8)]))
    assert "Image of policy: (4, 6, 6) as the space declares it\n" in printed(own) + "\n"
    assert "Image" not in printed(dqn(spaces.Box(-1, 1, (4,))))
    depth = printed(dqn(SCALES["depth beside colours"][0]))
    assert "channels 4, divided by 255 and 10, each number by its own bound" in depth


def identity():
    return keras.Sequential([layers.Flatten(), layers.Dense(12 * 3, use_bias=False, kernel_initializer="identity")])


def begins_with_rescaling():
    return keras.Sequential([layers.Rescaling(1 / 255), *identity().layers])


def permuting():
    return keras.Sequential([layers.Permute((2, 3, 1)), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(5)])


@pytest.mark.parametrize("kind", ["model", "layer", "list", "flat list"])
def test_a_network_of_the_users_own_sees_what_the_space_declares(kind):
    space = pixels(3, 4, 3)
    x = some(space)
    flat = x.reshape(3, -1).astype(np.float32)
    made = {
        "model": (identity(), flat),
        "layer": (begins_with_rescaling(), flat / 255),
        "list": ([layers.Rescaling(1 / 255), "flatten"], flat / 255),
        "flat list": (["flatten", layers.Rescaling(1 / 255)], flat / 255),
    }
    network, expected = made[kind]
    agent = dqn(space, network)
    np.testing.assert_allclose(feature_model(agent)([x]), expected, rtol=1e-6)
    assert agent.actor.is_numpy
    leaves = [x]
    np.testing.assert_allclose(agent.actor.forward(leaves)[0], agent.policy.values(leaves), rtol=1e-5, atol=1e-5)


def test_layers_by_name_see_images_from_0_to_1():
    x = some(pixels(4, 6, 6))
    scaled = x.astype(np.float32) / 255
    for network in (["flatten"], [], [{"type": "reshape", "shape": [144]}]):
        np.testing.assert_allclose(feature_model(dqn(pixels(4, 6, 6), network))([x]), scaled.reshape(3, -1), rtol=1e-6)
    agent = dqn(pixels(4, 6, 6), [{"type": "pool2d", "window": 6, "stride": 6}])  # over rows and columns
    np.testing.assert_allclose(feature_model(agent)([x]), scaled.max((2, 3)), rtol=1e-6)
    agent = dqn(pixels(6, 6, 4), [{"type": "pool2d", "window": 6, "stride": 6}])
    np.testing.assert_allclose(feature_model(agent)([x.transpose(0, 2, 3, 1)]), scaled.max((2, 3)), rtol=1e-6)


def test_branches_of_a_list_are_told_apart():
    space = spaces.Dict(eye=pixels(2, 2, 1), far=pixels(2, 2, 1))
    network = [
        {"type": "retrieve", "tensors": "far"}, {"type": "activation", "nonlinearity": "relu"}, "flatten",
        {"type": "register", "tensor": "seen"},
        {"type": "retrieve", "tensors": "eye"}, "flatten", layers.Rescaling(1 / 255),
        {"type": "register", "tensor": "own"},
        {"type": "retrieve", "tensors": ["seen", "own"]},
    ]  # fmt: skip
    eye, far = some(pixels(2, 2, 1)), some(pixels(2, 2, 1))[::-1]
    found = feature_model(dqn(space, network))([eye, far])
    expected = np.concatenate([part.reshape(3, 4) / 255 for part in (far, eye)], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_an_image_is_divided_by_its_own_bound():
    x = some(pixels(4, 4, 3, high=10))
    agent = dqn(pixels(4, 4, 3, high=10), {"type": "mlp", "units": []})
    np.testing.assert_allclose(feature_model(agent)([x]), x.reshape(3, -1) / 10, rtol=1e-6)
    bits = some(pixels(4, 4, 3, high=1))
    agent = dqn(pixels(4, 4, 3, high=1), {"type": "mlp", "units": []})
    np.testing.assert_array_equal(feature_model(agent)([bits]), bits.reshape(3, -1))


SCALES = {
    # Bounds, dtype and shape; what the numbers are divided by.
    "floats of pixels": (spaces.Box(0, 255, (12, 12, 3), np.float32), 255.0),
    "float64": (spaces.Box(0, 1, (12, 12, 3), np.float64), 1.0),
    "both signs": (spaces.Box(-1, 1, (12, 12, 3), np.float32), 1.0),
    "not symmetric": (spaces.Box(-2, 8, (12, 12, 3), np.float16), 8.0),
    "dark": (spaces.Box(0, 0.25, (12, 12, 3), np.float32), 0.25),
    "int16": (spaces.Box(-32768, 32767, (1, 12, 12), np.int16), 32768.0),
    "uint16": (spaces.Box(0, 65535, (12, 12, 1), np.uint16), 65535.0),
    "int64": (spaces.Box(0, 10, (12, 12, 1), np.int64), 10.0),
    "bounds of a dtype": (spaces.Box(-(2**31), 2**31 - 1, (12, 12, 1), np.int32), 1.0),
    "the largest float": (spaces.Box(-3e38, 3e38, (12, 12, 1), np.float32), 1.0),
    "no bounds": (spaces.Box(-np.inf, np.inf, (12, 12, 3), np.float32), 1.0),
    "half bounds": (spaces.Box(0, np.inf, (12, 12, 3), np.float32), 1.0),
    "nothing to see": (spaces.Box(0, 0, (12, 12, 3), np.float32), 1.0),
    "stack": (spaces.Box(0, 100, (4, 12, 12, 3), np.float32), 100.0),
    "vector": (spaces.Box(0, 100, (12, 12), np.float32), 1.0),
    "depth beside colours": (
        spaces.Box(0, np.broadcast_to(np.float32([255, 255, 255, 10]), (12, 12, 4)), dtype=np.float32),
        np.reshape([255.0, 255.0, 255.0, 10.0], (1, 1, 4)),
    ),
    "depth without bounds": (
        spaces.Box(0, np.broadcast_to(np.float32([255, np.inf]).reshape(2, 1, 1), (2, 12, 12)), dtype=np.float32),
        np.reshape([255.0, 1.0], (2, 1, 1)),
    ),
}  # fmt: skip


def seen(network, space):
    """What the head of a network gets of two samples, the least and the most that is declared where there is that; and the samples."""
    agent = dqn(space, network)
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    x = np.stack([np.where(bounded, space.low, 3.0), np.where(bounded, space.high, 7.0)]).astype(space.dtype)
    leaves = agent._observation.encode(x)
    np.testing.assert_allclose(agent.actor.forward(leaves)[0], agent.policy.values(leaves), rtol=1e-4, atol=1e-4)
    return feature_model(agent)(leaves).numpy(), x.astype(np.float32)


def test_images_of_all_dtypes_are_divided_by_their_bounds():
    for name, (space, divisor) in SCALES.items():
        (leaf,) = Structure(space).leaves
        assert np.array_equal(leaf.divisor, divisor) and np.shape(leaf.divisor) == np.shape(divisor), name


@pytest.mark.parametrize("name", ["floats of pixels", "int16", "stack", "depth beside colours", "depth without bounds"])
def test_networks_get_images_divided_by_their_bounds(name):
    space, divisor = SCALES[name]
    for network in ({"type": "mlp", "units": []}, ["flatten"]):
        found, x = seen(network, space)
        np.testing.assert_allclose(found, (x / divisor).reshape(2, -1), rtol=1e-6)
    own = keras.Sequential([layers.Flatten()])
    np.testing.assert_array_equal(seen(own, space)[0], x.reshape(2, -1))  # as the space declares it


def test_any_box_of_bounds_is_seen_from_minus_one_to_one():
    """Boxes drawn at random: what is declared to be the most is 1, or as it is where there is no bound."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = tuple(rng.integers(1, 5, rng.integers(3, 5)))
        dtype = rng.choice([np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.uint8, np.uint16])
        sides = rng.choice([1, 2], len(shape)) == 1  # axes along which the bounds are the same
        part = tuple(1 if same else n for same, n in zip(sides, shape))
        most = 100 if dtype == np.int8 else 200
        high = np.broadcast_to(rng.integers(1, most, part), shape).astype(dtype)
        low = np.broadcast_to(-rng.integers(0, most, part) * (np.dtype(dtype).kind != "u"), shape).astype(dtype)
        open_ = np.broadcast_to(rng.random(part) < 0.2, shape) & (np.dtype(dtype).kind == "f")
        high = np.where(open_, np.inf, high).astype(dtype)
        (leaf,) = Structure(spaces.Box(low, high, dtype=dtype)).leaves
        assert np.ndim(leaf.divisor) == 0 or all(n in (1, m) for n, m in zip(leaf.divisor.shape, part, strict=True))
        wide = np.broadcast_to(leaf.divisor, shape)
        size = np.maximum(np.abs(low.astype(np.float64)), np.abs(high.astype(np.float64)))
        np.testing.assert_allclose((size / wide)[~open_], 1.0)
        assert np.all(wide[open_] == 1.0)


@pytest.mark.parametrize("network", ["auto", permuting, [layers.Permute((2, 1, 3)), "flatten"], ["flatten", "linear"]])
def test_the_numpy_actor_reads_the_same(network, tmp_path):
    space = pixels(1, 20, 3)
    given = network() if callable(network) else network
    if given == ["flatten", "linear"]:
        given = ["flatten", {"type": "linear", "size": 7}]
    agent = dqn(space, given)
    assert agent.actor.is_numpy
    x = some(space, 9)
    np.testing.assert_allclose(agent.actor.forward([x])[0], agent.policy.values([x]), rtol=1e-5, atol=1e-5)
    agent.save(tmp_path / "a.keras")
    alone = load(tmp_path / "a.keras")
    assert [alone.act(one) for one in x] == np.asarray(agent(x)).tolist()


def count_warnings(make):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    return [str(one.message) for one in caught if "`network` ends in" in str(one.message)]


def test_a_network_that_ends_in_the_actions_values_warns_once():
    vector = spaces.Box(-1, 1, (4,))

    def ppo(*own, actions=2):
        return lambda: kagent.PPO(
            observation_space=vector, action_space=spaces.Discrete(actions), network=keras.Sequential(list(own))
        )

    (text,) = count_warnings(ppo(layers.Dense(16, "relu"), layers.Dense(2)))
    assert text.startswith(
        "`network` ends in 2 features, and the policy puts heads of [2] outputs behind them: leave out"
    )
    assert len(count_warnings(ppo(layers.Dense(16, "relu"), layers.Dense(5), actions=5))) == 1
    assert len(count_warnings(lambda: dqn(vector, [{"type": "linear", "size": 3}]))) == 1
    assert count_warnings(ppo(layers.Dense(16, "relu"))) == []
    assert count_warnings(ppo(layers.Dense(64, "relu"), actions=64)) == []
    assert count_warnings(lambda: dqn(vector)) == []


# Files of before ----------------------------------------------------------------------------------------------------


def older(agent):
    """The config that this agent would have had before its networks said how they take images."""
    config = json.loads(json.dumps(agent.get_config()))
    del config["images"]
    for role in ("policy", "critic"):
        if config[role] is not None:
            config[role]["network"] = config[role]["network"].pop("network")  # of the Legacy
            config[role]["network"].pop("data_format", None)
    return config


def convolutions():
    return keras.Sequential([keras.Input((6, 6, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(8)])


LEGACY = {
    # kernels of the policy as they were, without the head
    "padded": (pixels(12, 12, 3), "auto", [(8, 8, 3, 32), (4, 4, 32, 64), (3, 3, 64, 64), (64, 512)]),
    "channels last": (pixels(4, 40, 40), "auto", [(8, 8, 40, 32), (4, 4, 32, 64), (3, 3, 64, 64), (5 * 64, 512)]),
    "vector": (pixels(2, 6, 6, 3), "auto", [(216, 64), (64, 64)]),
    "own": (pixels(6, 6, 3), convolutions, None),
    "list": (pixels(6, 6, 3), lambda: [layers.Rescaling(1.0), "flatten"], []),
}


@pytest.mark.parametrize("name", with_few(LEGACY, ("vector", "own", "list")))
def test_a_file_of_before_acts_as_it_did(name, tmp_path):
    space, network, expected = LEGACY[name]
    written = dqn(space, networks.Legacy(network() if callable(network) else network))
    assert expected is None or kernels(written)[:-1] == expected
    agent = kagent.Agent.create(older(written))
    assert isinstance(agent.policy.network, networks.Legacy) and isinstance(
        agent.target_policy.network, networks.Legacy
    )
    agent.policy.set_weights(written.policy.get_weights())
    x = some(space)
    np.testing.assert_array_equal(agent.policy.values([x]), written.policy.values([x]))
    if name in ("own", "list"):  # what the user's layers see is divided by 255, once
        inner = agent.policy.network.network
        scaled = x.astype(np.float32) / 255
        features = inner(scaled) if name == "own" else scaled.reshape(3, -1)
        np.testing.assert_allclose(feature_model(agent)([x]), features, rtol=1e-5, atol=1e-6)
    agent.save(tmp_path / "a.keras")
    again = kagent.load(tmp_path / "a.keras")
    assert again.get_config()["images"] == 4
    np.testing.assert_array_equal(again.policy.values([x]), written.policy.values([x]))


@pytest.mark.thorough  # 13 million weights, three times
def test_a_file_without_pools_has_the_network_that_it_was_written_with():
    written = dqn(pixels(5, 136, 3), networks.Auto(pool=False))
    config = {**written.get_config(), "images": 2}
    assert config["policy"]["network"].pop("pool") is False  # which it did not know
    agent = kagent.Agent.create(config)
    assert kernels(agent) == kernels(written) == [(3, 3, 3, 64), (3 * 134 * 64, 512), (512, 3)]
    config["images"] = 4
    assert kernels(kagent.Agent.create(config))[1] == (3 * 45 * 64, 512)


OTHER_WAYS = [("auto", 2), ("auto", 3), (convolutions, 2)]


@pytest.mark.parametrize(
    ("network", "images"),
    [([{"type": "conv2d", "size": 2, "window": 3}, "flatten"], 3)]
    + [pytest.param(*way, marks=pytest.mark.thorough) for way in OTHER_WAYS],
)
def test_a_file_of_before_takes_floats_as_they_are(network, images, tmp_path):
    space = spaces.Box(0, 255, (6, 6, 3), np.float32)
    given = network() if callable(network) else network
    written = dqn(space, given if callable(network) else networks.Legacy(given, images=3))
    config = {**json.loads(json.dumps(written.get_config())), "images": images}
    for role in ("policy", "critic"):
        if config[role] is not None and not callable(network):
            config[role]["network"] = config[role]["network"].pop("network")  # of the Legacy
    agent = kagent.Agent.create(config)
    assert isinstance(agent.policy.network, networks.Legacy) == (not callable(network))
    agent.policy.set_weights(written.policy.get_weights())
    x = some(pixels(6, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(agent.policy.values([x]), written.policy.values([x]))
    agent.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(kagent.load(tmp_path / "a.keras").policy.values([x]), agent.policy.values([x]))
    np.testing.assert_allclose(agent.actor.forward([x])[0], agent.policy.values([x]), rtol=1e-4, atol=1e-4)
    if not callable(network):
        today = dqn(space, given)
        today.policy.set_weights(written.policy.get_weights())
        np.testing.assert_allclose(today.policy.values([x * 255]), agent.policy.values([x]), rtol=1e-4, atol=1e-4)
        agent.save_weights(tmp_path / "a.weights.h5")
        with pytest.raises(ValueError, match=r"divided by 255.*As the file's does .*Legacy\(network, images=3\)"):
            today.load_weights(tmp_path / "a.weights.h5")


def test_files_of_before_whose_images_are_read_as_today_have_no_legacy():
    for space in (pixels(6, 6, 3), spaces.Box(-1, 1, (6, 6, 3)), spaces.Box(0, 9, (4,))):
        agent = dqn(space, ["flatten"])
        assert kagent.Agent.create({**agent.get_config(), "images": 3}).get_config() == agent.get_config()
    floats = spaces.Box(0, 255, (6, 6, 3), np.float32)
    made = dqn(floats, ["flatten"], normalize="observation")
    assert kagent.Agent.create({**made.get_config(), "images": 3}).get_config() == made.get_config()
    first = dqn(pixels(6, 6, 3), networks.Legacy(["flatten"]))
    assert kagent.Agent.create({**first.get_config(), "images": 3}).get_config() == first.get_config()


def test_standardized_images_keep_their_scale():
    """They are clipped to 10 deviations, which are bounds of no picture."""
    space = spaces.Box(0, 255, (6, 6, 3), np.float32)
    agent = dqn(space, ["flatten"], normalize="observation")
    assert agent.processed_space.high.max() == 10.0
    x = np.full((1, 6, 6, 3), 4.0, np.float32)
    np.testing.assert_array_equal(feature_model(agent)([x]), x.reshape(1, -1))


def test_vectors_need_nothing_of_before():
    agent = kagent.PPO(observation_space=spaces.Box(-1, 1, (4,)), action_space=DISCRETE)
    config = agent.get_config()
    del config["images"]
    assert kagent.Agent.create(config).get_config() == agent.get_config()
    by_hand = {"agent": "dqn", "observation_space": {"type": "Box", "shape": [4, 20, 20], "dtype": "uint8", "low": 0,
               "high": 255}, "action_space": {"type": "Discrete", "n": 2, "start": 0}, "memory": 100}  # fmt: skip
    assert kernels(kagent.Agent.create(by_hand))[0] == (4, 4, 4, 32)


def test_weights_of_another_reading_are_refused(tmp_path):
    model = convolutions
    written = dqn(pixels(6, 6, 3), model())
    written.save_weights(tmp_path / "a.weights.h5")
    dqn(pixels(6, 6, 3), model()).load_weights(tmp_path / "a.weights.h5")
    with pytest.raises(ValueError, match=r"networks take images otherwise"):
        dqn(pixels(6, 6, 3), networks.Legacy(model())).load_weights(tmp_path / "a.weights.h5")


def test_weights_of_before_are_for_a_legacy_network():
    with pytest.raises(ValueError, match=r"As then does network=kagent.networks.Legacy\(network\)"):
        check_images(dqn(pixels(6, 6, 3), convolutions()), None)
    with pytest.raises(ValueError, match="images otherwise"):
        check_images(dqn(pixels(7, 7, 3)), None)  # its convolutions were others, and padded
    for agent in (
        dqn(pixels(6, 6, 3), networks.Legacy(convolutions())),
        dqn(pixels(40, 40, 3)),
        dqn(spaces.Box(-1, 1, (4,))),
    ):
        assert check_images(agent, None) is None


def test_a_legacy_holds_a_network():
    with pytest.raises(ValueError, match="Legacy must hold another network"):
        networks.Legacy({"type": "Legacy", "network": "auto"})
    with pytest.raises(ValueError, match=r"`network.images` must be 1 or 3. Received: 2"):
        networks.Legacy("auto", images=2)


def test_impala_has_the_weights_of_its_figure():
    """Each stage: a convolution and two blocks of two; the last one leaves 11 x 11 places of 84 x 84."""
    agent = dqn(pixels(4, 84, 84), "impala")
    stages = [(9 * before + 1) * now + 4 * (9 * now + 1) * now for before, now in ((4, 16), (16, 32), (32, 32))]
    assert stages == [9872, 41632, 46240]
    assert agent.policy.model.count_params() == sum(stages) + (11 * 11 * 32 + 1) * 256 + 257 * 3


def test_a_residual_block_adds_what_two_convolutions_make():
    space = pixels(5, 5, 2)
    agent = dqn(space, {"type": "impala", "filters": [3], "blocks": 1, "units": [4]})
    layers = {layer.name: layer for layer in agent.policy.model.layers}
    x = some(space) / 255.0
    pooled = layers["stage_0_0_pool"](layers["stage_0_0_conv"](x.astype(np.float32)))
    inside = layers["stage_0_0_0_conv_0"](keras.ops.relu(pooled))
    summed = pooled + layers["stage_0_0_0_conv_1"](keras.ops.relu(inside))
    flat = keras.ops.reshape(keras.ops.relu(summed), (3, 3 * 3 * 3))
    np.testing.assert_allclose(layers["dense_0"](flat), feature_model(agent)([some(space)]), atol=1e-6)


def test_impala_takes_what_is_beside_an_image_and_small_images():
    space = spaces.Dict(view=pixels(7, 7, 3), place=spaces.Box(-1, 1, (2,)))
    agent = dqn(space, {"type": "impala", "filters": [4, 4], "blocks": 1, "units": [8]})
    assert agent.policy.model.get_layer("dense_0").kernel.shape == (2 * 2 * 4 + 2, 8)
    again = kagent.Agent.create(json.loads(json.dumps(agent.get_config())))
    assert again.policy.network == agent.policy.network
    with pytest.raises(ValueError, match=r"`network.blocks` must be an integer"):
        dqn(space, {"type": "impala", "blocks": 0})
    with pytest.raises(ValueError, match=r"`network.normalization` of Impala"):
        dqn(space, {"type": "impala", "normalization": "batch"})
