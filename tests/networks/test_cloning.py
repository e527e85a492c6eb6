"""Twins of networks begin with the state that a given network has."""

import keras
import numpy as np
import pytest
from gymnasium import spaces
from variants import thorough, with_few

import kagent
from kagent import networks

BOX = spaces.Box(-np.inf, np.inf, (2,))
DATA = np.asarray([[1.0, 10.0], [3.0, 30.0]], np.float32)  # means 2 and 20, deviations 1 and 10
POINT = np.asarray([[4.0, 5.0]], np.float32)  # 2 and -1.5 of these
AGENTS = {"dqn": (kagent.DQN, spaces.Discrete(2)), "ppo": (kagent.PPO, spaces.Discrete(2)),
          "sac": (kagent.SAC, spaces.Box(-1, 1, (1,))), "dpg": (kagent.DPG, spaces.Box(-1, 1, (1,)))}  # fmt: skip


@keras.saving.register_keras_serializable("test_cloning")
class Shift(keras.layers.Layer):
    """State outside its variables, kept in files by a method of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = np.zeros(2, np.float32)

    def call(self, inputs):
        return inputs + self.shift

    def save_own_variables(self, store):
        store["shift"] = self.shift

    def load_own_variables(self, store):
        self.shift = store["shift"][()]


@keras.saving.register_keras_serializable("test_cloning")
class Pretrained(keras.Model):
    """A subclassed model, which has no `build` of its own and is built by its first call."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = keras.layers.Dense(3, "relu"), keras.layers.Dense(4)

    def call(self, inputs):
        return self.second(self.first(inputs))


def normalization():
    layer = keras.layers.Normalization()
    layer.adapt(DATA)
    return layer


def shift():
    layer = Shift()
    layer.shift = np.asarray([1.0, 2.0], np.float32)
    return layer


def discretization():
    layer = keras.layers.Discretization(num_bins=3, output_mode="int")
    layer.adapt(np.linspace(0.0, 9.0, 100)[:, None])
    return layer


def agent_of(name, network):
    cls, action = AGENTS[name]
    return cls(observation_space=BOX, action_space=action, network=network, seed=0)


def roles(agent):
    names = ("policy", "critic", "target_policy", "target_critic")
    return {name: getattr(agent, name) for name in names if getattr(agent, name, None) is not None}


def found(agent, kind):
    """Layers of a class in every network of every role."""
    layers = {}
    for name, role in roles(agent).items():
        for number, model in enumerate(role.inner_models()):
            inside = [layer for outer in model.layers for layer in getattr(outer, "layers", [outer])]
            layers[name, number] = next(layer for layer in inside if isinstance(layer, kind))
    return layers


@pytest.mark.parametrize("name", AGENTS)
def test_adapted_normalization_is_that_of_every_role(name):
    agent = agent_of(name, keras.Sequential([normalization(), keras.layers.Dense(3)]))
    layers = found(agent, keras.layers.Normalization)
    assert len(layers) == {"dqn": 2, "ppo": 2, "sac": 5, "dpg": 4}[name]
    for layer in layers.values():
        np.testing.assert_allclose(layer(POINT), [[2.0, -1.5]], rtol=1e-6)
    if name == "dqn":
        np.testing.assert_array_equal(agent.policy.values(POINT), agent.target_policy.values(POINT))
        values = agent.policy.values(POINT).numpy()
        np.testing.assert_allclose(agent.actor.forward([POINT])[0], values, rtol=1e-5, atol=1e-6)


def backbone():
    x = keras.Input((2,))
    model = keras.Model(x, keras.layers.Dense(3, "tanh", name="pretrained")(x))
    model.trainable = False
    return model


@pytest.mark.parametrize(
    "make", [
        lambda: keras.Sequential([normalization(), keras.layers.Dense(3)]),
        thorough(lambda: [normalization(), keras.layers.Dense(3)]),
        thorough(lambda: [backbone(), {"type": "dense", "size": 3}]),
    ], ids=["sequential", "list", "backbone"],
)  # fmt: skip
def test_layers_made_for_observations_see_them_alone_in_critics_of_actions(make, tmp_path):
    network = make()
    first = network.layers[0] if isinstance(network, keras.Sequential) else network[0]
    agent = agent_of("sac", network)
    seen = np.asarray(first(POINT))  # [[2, -1.5]] where they are normalized
    action = np.float32([[0.25]])
    values = agent.critic.values(POINT, action)
    for value, model in zip(values, agent.critic.models):
        weights = {weight.path: weight.numpy() for weight in model.trainable_weights}
        (kernel, bias), (joint, joint_bias), (last, last_bias) = zip(*[iter(weights.values())] * 2)
        features = seen @ kernel + bias
        features = np.maximum(features, 0) if isinstance(network, list) and isinstance(network[1], dict) else features
        hidden = np.maximum(np.concatenate([features, action], 1) @ joint + joint_bias, 0)
        np.testing.assert_allclose(value, (hidden @ last + last_bias)[:, 0], rtol=1e-4, atol=1e-6)
    agent.save(tmp_path / "a.keras")
    for value, loaded in zip(values, kagent.load(tmp_path / "a.keras").critic.values(POINT, action)):
        np.testing.assert_array_equal(value, loaded)


@pytest.mark.parametrize("make", [shift, normalization])
def test_layers_of_a_list_too(make):
    agent = agent_of("ppo", [make(), {"type": "dense", "size": 3}])
    right = make()(POINT)
    layers = found(agent, type(make()))
    assert len({id(layer) for layer in layers.values()}) == 2
    for layer in layers.values():
        np.testing.assert_array_equal(layer(POINT), right)


def test_layers_in_a_dict_are_of_one_role_each():
    agent = agent_of("ppo", {"type": "Layered", "layers": [shift(), {"type": "dense", "size": 3}]})
    policy, critic = found(agent, Shift).values()
    assert policy is not critic
    np.testing.assert_array_equal(critic(POINT), [[5.0, 7.0]])


def test_state_outside_of_variables():
    original = keras.Sequential([keras.Input((2,)), shift(), keras.layers.Dense(2, kernel_initializer="identity")])
    np.testing.assert_allclose(networks.clone(original)(POINT), [[5.0, 7.0]])
    bins = discretization()
    values = np.asarray([[0.5], [4.5], [8.5]], np.float32)
    np.testing.assert_array_equal(networks.clone(bins)(values), bins(values))
    lookup = keras.layers.IntegerLookup()
    lookup.adapt(np.asarray([7, 9, 9]))
    np.testing.assert_array_equal(networks.clone(lookup)(np.asarray([9, 7, 1])), lookup(np.asarray([9, 7, 1])))


@pytest.mark.parametrize("name", AGENTS)
def test_a_frozen_backbone_reaches_every_role(name):
    backbone = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(3)])
    backbone.trainable = False
    agent = agent_of(name, backbone)
    kernel = backbone.layers[0].get_weights()[0]
    layers = found(agent, keras.layers.Dense)
    for layer in layers.values():
        np.testing.assert_array_equal(layer.get_weights()[0], kernel)
        assert not layer.trainable_variables
    assert len({id(layer) for layer in layers.values()}) == len(layers)


def test_a_subclassed_model_that_was_built_by_a_call():
    model = Pretrained()
    right = model(POINT)
    for name in ("ppo", "sac"):
        agent = agent_of(name, networks.clone(model))
        for found_model in (m for role in roles(agent).values() for m in role.inner_models()):
            inside = next(layer for layer in found_model.layers if isinstance(layer, Pretrained))
            np.testing.assert_allclose(inside(POINT), right, rtol=1e-6)


@pytest.mark.parametrize("name", with_few(AGENTS, ("dqn", "dpg")))
def test_twins_are_apart_in_a_loaded_agent(name, tmp_path):
    """While it reads a file, Keras makes one object of configurations that are those of one object."""
    agent = agent_of(name, keras.Sequential([keras.layers.Dense(3), keras.layers.Dense(3)]))
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    layers = found(loaded, keras.layers.Dense)
    assert len({id(layer) for layer in layers.values()}) == len(layers)
    for one, other in zip(agent.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_networks_without_weights_get_their_own():
    one = keras.Sequential([keras.layers.Dense(3)])
    agent = agent_of("ppo", one)
    policy, critic = found(agent, keras.layers.Dense).values()
    assert not np.array_equal(policy.get_weights()[0], critic.get_weights()[0])


def test_targets_begin_where_their_networks_are():
    for name in ("dqn", "sac", "dpg"):
        agent = agent_of(name, keras.Sequential([keras.layers.Dense(3), keras.layers.BatchNormalization()]))
        for role in agent.objective.targets:
            online, target = getattr(agent, role), getattr(agent, f"target_{role}")
            for one, other in zip(online.weights, target.weights, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name, numpy", [("dqn", False), ("sac", True), thorough(("dqn", True)), thorough(("sac", False))]
)
def test_a_program_has_the_state_of_a_file_that_is_loaded_later(name, numpy, tmp_path):
    """What a traced program took for a constant before the file was loaded."""
    more = [] if numpy else [keras.layers.Reshape((4, 2)), keras.layers.Conv1D(3, 2), keras.layers.Flatten()]
    plain = keras.layers.Normalization()
    plain.adapt(np.asarray([[-1.0, -1.0], [1.0, 1.0]], np.float32))
    one, other = (agent_of(name, keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(8), *more]))
                  for layer in (normalization(), plain))  # fmt: skip
    before = other.actor.forward([POINT])[0].copy()
    one.save_weights(tmp_path / "one.weights.h5")
    other.load_weights(tmp_path / "one.weights.h5")
    assert other.actor.is_numpy == numpy
    heads = [agent.actor.forward([POINT])[0] for agent in (one, other)]
    assert not np.allclose(before, heads[1])
    np.testing.assert_allclose(*heads, rtol=1e-5, atol=1e-6)


def test_a_lambda_layer_is_cloned_with_its_function():
    scale = 3.0  # as the names of a module, code alone would not find it

    def tripled(x):
        return scale * keras.ops.abs(x)

    made = (keras.layers.Lambda(lambda x: keras.ops.square(x) / scale), keras.layers.Lambda(tripled))
    functions = [layer.function for layer in made]
    network = keras.Sequential([*made, keras.layers.Dense(3)])
    twin = networks.clone(network)
    x = np.float32([[1.0, -2.0]])
    # |x^2 / 3| * 3
    np.testing.assert_allclose(twin.layers[1](twin.layers[0](x)), [[1.0, 4.0]], rtol=1e-6)
    assert [layer.function for layer in made] == functions == [layer.function for layer in twin.layers[:2]]
