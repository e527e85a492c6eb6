"""`network=` as whatever Keras calls a network."""

import keras
import numpy as np
import pytest
from gymnasium import spaces
from keras import layers
from variants import with_few

import kagent

BOX = spaces.Box(-1, 1, (3,))
PAIR = spaces.Dict(a=BOX, b=spaces.Discrete(4, start=2))
DISCRETE, TORQUE = spaces.Discrete(2), spaces.Box(-1, 1, (2,))


@keras.saving.register_keras_serializable("networks_test")
class Twice(layers.Layer):
    """A subclass with a layer of its own inside."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units, "relu")

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(2 * inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("networks_test")
class Subclassed(keras.Model):
    def __init__(self, units=6, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first, self.second = layers.Dense(units, "tanh"), layers.Dense(units)

    def call(self, inputs):
        return self.second(self.first(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Unregistered(layers.Layer):
    def __init__(self, function, **kwargs):  # a callable is nothing that a config could hold
        super().__init__(**kwargs)
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def sequential():
    return keras.Sequential([layers.Dense(7, "relu"), layers.Dense(5)])


def built():
    return keras.Sequential([keras.Input((3,)), layers.Dense(7, "relu"), layers.Dense(5)])


def functional():
    x = keras.Input((3,))
    return keras.Model(x, layers.Dense(5, "relu")(layers.Dropout(0.1)(x)))


def by_key():
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    return keras.Model({"a": a, "b": b}, layers.Dense(5)(layers.Concatenate()([a, layers.Dense(3)(b)])))


KINDS = {
    "sequential": sequential,
    "built": built,
    "functional": functional,
    "layer": lambda: layers.Dense(6, "relu"),
    "subclass": lambda: Twice(6),
    "model_subclass": Subclassed,
}


def agent_of(kind, network, observation=BOX, **changes):
    preset, action = {
        "dqn": (kagent.DQN, DISCRETE), "ppo": (kagent.PPO, DISCRETE), "sac": (kagent.SAC, TORQUE)
    }[kind]  # fmt: skip
    agent = preset(observation_space=observation, action_space=action, network=network, seed=0, **changes)
    agent.compile(jit_compile=False)
    return agent


def roles(agent):
    names = ("policy", "critic", "target_policy", "target_critic")
    return {name: getattr(agent, name) for name in names if getattr(agent, name, None) is not None}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("kind", with_few(["dqn", "ppo", "sac"], ["sac"]))
def test_each_role_gets_weights_of_its_own(kind, name):
    network = KINDS[name]()
    agent = agent_of(kind, network)
    found = roles(agent)
    identities = [id(variable) for role in found.values() for variable in role.variables]
    assert len(identities) == len(set(identities))
    assert len(agent.policy.trainable_variables) > 2  # the user's and the head's
    observation = np.array([0.1, -0.5, 0.9], np.float32)
    assert agent.action_space.contains(agent.act(observation, deterministic=True))
    # The user's object itself is in the policy: what it did before (pretraining) counts.
    assert any(part is network for part in agent.policy.model.layers)
    if kind == "ppo":
        kernels = [role.trainable_variables[0] for role in found.values()]
        assert kernels[0].shape == kernels[1].shape and kernels[0] is not kernels[1]


def test_targets_start_equal_in_separate_variables():
    agent = agent_of("dqn", sequential())
    for online, target in zip(agent.policy.variables, agent.target_policy.variables, strict=True):
        assert online is not target
        np.testing.assert_array_equal(online, target)
    agent.policy.variables[0].assign(agent.policy.variables[0] + 1)
    assert not np.array_equal(agent.policy.variables[0], agent.target_policy.variables[0])


def test_the_twin_critics_differ():
    agent = agent_of("sac", layers.Dense(6))
    one, other = (model.trainable_variables[0].numpy() for model in agent.critic.models)
    assert not np.array_equal(one, other)


def test_a_functional_model_over_a_dict_of_inputs():
    for kind in ("dqn", "ppo"):
        agent = agent_of(kind, by_key(), PAIR)
        observation = {"a": np.zeros(3, np.float32), "b": 3}
        action = agent.act(observation, deterministic=True)
        assert agent.action_space.contains(action)
        batch = {"a": np.zeros((2, 3), np.float32), "b": np.array([3, 3])}
        assert np.asarray(agent(batch)).tolist() == [action, action]


@pytest.mark.parametrize(("network", "observation"), [(functional, BOX), (built, BOX), (by_key, PAIR)])
def test_a_model_of_observations_as_critic_of_observation_and_action(network, observation):
    agent = agent_of("sac", network(), observation)
    seen = [leaf.encode(part)[None] for leaf, part in zip(agent._observation.leaves, agent._observation.flatten(
        observation.sample()))]  # fmt: skip
    one, other = (agent.critic.values(seen, np.full((1, 2), x, np.float32)) for x in (-0.9, 0.9))
    middle = agent.critic.values(seen, np.zeros((1, 2), np.float32))
    assert len(one) == 2
    for low, high, between in zip(one, other, middle):
        assert low != high and between != (low + high) / 2  # it depends on the action, and not in a straight line
    same = kagent.SAC.from_config(agent.get_config())
    assert [v.shape for v in same.variables] == [v.shape for v in agent.variables]


@pytest.mark.parametrize("kind", ["dqn", "ppo", "sac"])
def test_a_network_that_cannot_be_made_again_says_what_to_do(kind):
    with pytest.raises(ValueError, match=r"(?s)`network`.*register_keras_serializable.*get_config.*Received"):
        agent_of(kind, Unregistered(lambda x: x))


@pytest.mark.parametrize("network", [layers.Dense(3), keras.Sequential([layers.Dense(3)])], ids=["layer", "model"])
def test_one_input_is_not_several(network):
    shapes = r"shapes \{'a': \(None, 3\), 'b': \(None, 4\)\}\."
    with pytest.raises(ValueError, match=shapes + r" Received: \w+ '\w+', which does not take them\. Allowed: a keras"):
        agent_of("dqn", network, PAIR)


def test_features_must_be_vectors():
    with pytest.raises(ValueError, match=r"`network` must map .* shape \(batch, n\)\. Received: \(None, 3, 1\)"):
        agent_of("dqn", layers.Reshape((3, 1)))


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (3, TypeError, r"`network` must be .*a Keras layer or model, a list of layers, .* Received: 3"),
        (layers.Dense, TypeError, r"Received: <class.*Dense.*A class is no object of it: write Dense\(\.\.\.\)"),
        (keras.applications.MobileNetV2, TypeError, r"A function is no object of it: write MobileNetV2\(\.\.\.\)"),
        ("lstn", ValueError, r"Unknown `network`. Received: 'lstn'. Known: .*MLP"),
        ({"unit": [3]}, ValueError, r"`network` Auto has no argument \['unit'\]"),
        ({"type": "mlp", "unit": [3]}, ValueError, r"`network` MLP has no argument \['unit'\]. Known: \['units'"),
        ({"type": "mlp", "units": [0]}, ValueError, r"`network.units` must be .* Received: \[0\]"),
        ({"type": "mlp", "units": 2.5}, ValueError, r"`network.units` must be .* Received: 2.5"),
        ({"type": "mlp", "activation": 3}, TypeError, r"`network.activation` must be the name"),
        ({"type": "mlp", "activation": "rellu"}, ValueError, r"rellu"),
        ({"type": "cnn", "kernels": [3]}, ValueError, r"must be equally long"),
    ],
)
@pytest.mark.parametrize("kind", ["dqn", "ppo", "sac"])
def test_bad_networks_are_refused_by_name(kind, network, error, message):
    with pytest.raises(error, match=message):
        agent_of(kind, network)


def test_images_get_convolutions_and_vectors_do_not():
    image = spaces.Dict(eye=spaces.Box(0, 255, (36, 40, 3), np.uint8), speed=BOX)
    agent = agent_of("dqn", "auto", image)
    kinds = [type(layer).__name__ for layer in agent.policy.model.layers]
    assert kinds.count("Conv2D") == 3
    small = agent_of("dqn", "auto")
    assert not any(isinstance(layer, layers.Conv2D) for layer in small.policy.model.layers)
    assert [layer.units for layer in small.policy.model.layers if isinstance(layer, layers.Dense)] == [64, 64, 2]


OWN = {"dqn": ("relu", "fan_in"), "ppo": ("tanh", "orthogonal"), "sac": ("relu", "fan_in")}


@pytest.mark.parametrize("name", OWN)
def test_a_dict_without_a_type_changes_some_of_the_presets_own_network(name):
    units = (256, 256) if name == "sac" else (64, 64)
    for given, expected in (({"units": [6]}, (6,)), ({"type": "auto", "data_format": "channels_last"}, units)):
        agent = agent_of(name, given)
        for role in (agent.policy, agent.critic):
            if role is not None:
                network = role.network
                assert (network.units, network.activation, network.initialization) == (expected, *OWN[name])


def test_components_have_subnetworks_of_their_own():
    space = spaces.Dict(
        eye=spaces.Box(0, 255, (36, 40, 3), np.uint8),
        gear=spaces.Discrete(5),
        speed=BOX,
        action_mask=spaces.MultiBinary(2),
    )
    model = agent_of("dqn", {"units": [6, 4]}, space).policy.model
    sizes = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if isinstance(layer, layers.Dense)}
    assert sizes["dense_1_0"] == (5, 6) and sizes["dense_2_0"] == (3, 6) and sizes["dense_0_0"][1] == 512
    assert sizes["dense_common_0"] == (512 + 6 + 6, 4) and len(sizes) == 5  # and the head
    assert sum(isinstance(layer, layers.Conv2D) for layer in model.layers) == 3
    # What one component says of another's features is nothing: they meet in the common layer.
    agent = agent_of("dqn", {"units": [6, 4]}, PAIR)
    assert agent.actor.is_numpy
    observation = {"a": np.asarray([0.3, -0.2, 0.9], np.float32), "b": 3}
    values = {
        layer.name: [v.numpy() for v in layer.variables] for layer in agent.policy.model.layers if layer.variables
    }

    def through(x, name):
        kernel, bias = values[name]
        return np.maximum(x @ kernel + bias, 0.0)

    own = [through(observation["a"], "dense_0_0"), through(np.eye(4)[1], "dense_1_0")]
    features = through(np.concatenate(own), "dense_common_0")
    kernel, bias = next(v for name, v in values.items() if not name.startswith("dense"))
    expected = features @ kernel + bias
    leaves = [np.stack([x]) for x in agent._observation.encode(observation)]
    np.testing.assert_allclose(agent.policy.values(leaves)[0], expected, rtol=1e-5, atol=1e-6)
    assert agent.act(observation, deterministic=True) == expected.argmax()


def test_a_critics_actions_are_a_component_beside_several():
    agent = agent_of("sac", {"units": [6, 4]}, PAIR)
    sizes = [v.shape for v in agent.critic.trainable_variables if v.name == "kernel"]
    assert sizes[:4] == [(3, 6), (4, 6), (2, 6), (18, 4)]
    alone = agent_of("sac", {"units": [6, 4]})
    assert [v.shape for v in alone.critic.trainable_variables if v.name == "kernel"][:2] == [(5, 6), (6, 4)]


def test_initial_weights_are_those_of_the_field():
    ppo = agent_of("ppo", {"type": "mlp", "units": [32], "activation": "tanh", "initialization": "orthogonal"})
    hidden = next(layer for layer in ppo.policy.model.layers if layer.name.startswith("dense"))
    kernel, bias = (v.numpy() for v in hidden.variables)
    np.testing.assert_allclose(kernel @ kernel.T, 2 * np.eye(3), atol=1e-5)  # gain sqrt(2)
    assert not bias.any()
    head = ppo.policy.model.layers[-1].kernel.numpy()
    np.testing.assert_allclose(head.T @ head, 1e-4 * np.eye(2), atol=1e-7)  # gain 0.01
    dqn = agent_of("dqn", "auto")
    for layer in dqn.policy.model.layers:
        if isinstance(layer, layers.Dense):
            limit = layer.kernel.shape[0] ** -0.5
            for weights in (layer.kernel.numpy(), layer.bias.numpy()):
                assert np.abs(weights).max() <= limit
                assert np.abs(weights).max() > 0.5 * limit


def test_a_seed_makes_the_weights():
    def weights(seed):
        agent = kagent.SAC(observation_space=BOX, action_space=TORQUE, seed=seed)
        return np.concatenate([np.ravel(v) for v in agent.trainable_variables])

    np.testing.assert_array_equal(weights(3), weights(3))
    assert not np.array_equal(weights(3), weights(4))
