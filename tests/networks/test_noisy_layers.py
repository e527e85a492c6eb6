"""Noisy layers: when they draw, what of, where actors have the noise, and that runs resume."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

import kagent
from kagent import networks, ops, testing
from kagent.acting import Program, compile_model
from kagent.acting.noisy import LayerNoise
from kagent.distributions.distribution import normal
from kagent.networks import NoisyDense

pytestmark = pytest.mark.eager

SEEN = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
SMALL = {"network": {"type": "mlp", "units": [4]}, "memory": 100, "batch_size": 4, "start": 8}
PRESETS = {
    "dqn": (kagent.DQN, {"noisy": True}),
    "dueling": (kagent.DuelingDQN, {"noisy": 0.25, "stream_units": [4]}),
    "qrdqn": (kagent.QRDQN, {"noisy": True, "quantiles": 3}),
    "c51": (kagent.C51, {"noisy": True, "dueling": True, "atoms": 3}),
}


def agent_of(name="dqn", **changes):
    cls, arguments = PRESETS[name]
    given = {**SMALL, **arguments, "seed": 1, **changes}
    return cls(observation_space=spaces.Box(-9, 9, (3,)), action_space=spaces.Discrete(3), **given)


def layer_of(units=2):
    layer = NoisyDense(units, seed=3)
    layer(SEEN)
    return layer


def test_a_layer_begins_as_the_paper_says():
    layer = NoisyDense(1000, sigma=0.7, seed=3)
    layer(SEEN)
    kernel, bias, *deviations = [weight.numpy() for weight in layer.weights]
    for means in (kernel, bias):
        assert np.abs(means).max() <= 3**-0.5 < 1.02 * np.abs(means).max()
    for deviation in deviations:
        np.testing.assert_allclose(deviation, 0.7 * 3**-0.5, rtol=1e-6)


def test_it_draws_in_training_and_within_noise_alone():
    layer = layer_of()
    mean = SEEN @ layer.kernel.numpy() + layer.bias.numpy()
    np.testing.assert_allclose(layer(SEEN), mean, rtol=1e-5)
    first, second = layer(SEEN, training=True).numpy(), layer(SEEN, training=True).numpy()
    with networks.noise():
        third = layer(SEEN).numpy()
    different = [first, second, third, mean]
    assert all(np.abs(a - b).min() > 1e-6 for i, a in enumerate(different) for b in different[:i])
    np.testing.assert_allclose(layer(SEEN), mean, rtol=1e-5)


def test_its_noise_is_the_equation_s():
    layer = layer_of()
    state = layer.seed_generator.state.numpy()
    found = layer(SEEN, training=True)
    layer.seed_generator.state.assign(state)
    factors = ops.scaled_noise(normal((5,), layer.seed_generator.next()))
    drawn = factors[:3], factors[3:]
    np.testing.assert_allclose(found, ops.noisy_linear(SEEN, *layer.weights, *drawn), rtol=1e-6)


@pytest.mark.xla
def test_its_numbers_are_the_same_under_xla():
    layer, other = layer_of(), layer_of()
    compiled = tf.function(lambda x: layer(x, training=True), jit_compile=True, autograph=False)
    for _ in range(2):  # drawn anew each time
        np.testing.assert_allclose(compiled(SEEN), other(SEEN, training=True), rtol=1e-5)


def test_noise_on_a_program_is_the_equation_s_and_goes_away():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), NoisyDense(2, seed=3)])
    config, variables = compile_model(model)
    program = Program(config, [variable.numpy() for variable in variables])
    before = program.weights.copy()
    rng = np.random.default_rng(5)
    drawn = [
        ops.scaled_noise(np.random.default_rng(5).standard_normal(6, np.float32)[part])
        for part in (slice(4), slice(4, 6))
    ]
    with LayerNoise(program).drawn(rng):
        found = [program([SEEN])[0], program([SEEN[:1]])[0]]
    expected = ops.noisy_linear(model.layers[0](SEEN), *model.layers[1].weights, *drawn)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found[1], expected[:1], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(program.weights, before)
    np.testing.assert_allclose(program([SEEN])[0], model(SEEN), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [[[3, 2], [2], [3, 2]], [[3, 2], [2], [2, 3], [2]], [[3, 2], [3], [3, 2], [3]], [[4, 2], [2], [4, 2], [2]]],
)
def test_programs_that_do_not_fit(weights):
    node = {"op": "noisy_dense", "inputs": [0], "weights": list(range(len(weights)))}
    with pytest.raises(ValueError, match="noisy_dense"):
        Program({"inputs": [{"shape": [3], "dtype": "float32"}], "weights": weights, "nodes": [node], "outputs": [1]})


@pytest.mark.parametrize("name", PRESETS)
def test_heads_and_streams_of_presets_are_noisy(name):
    agent = agent_of(name)
    layers = [layer for layer in agent.policy.model.layers if isinstance(layer, NoisyDense)]
    dense = [layer.name for layer in agent.policy.model.layers if isinstance(layer, keras.layers.Dense)]
    assert dense == ["dense_0"] and len(layers) == {"dqn": 1, "dueling": 4, "qrdqn": 1, "c51": 2}[name]
    assert {layer.sigma for layer in layers} == {0.25 if name == "dueling" else 0.5}
    assert agent.exploration == kagent.EpsilonGreedy(initial=0.0, final=0.0)
    assert agent_of(name, exploration=0.5).exploration.final == 0.5
    clock, rng = agent.clock, np.random.default_rng(0)
    values = agent.actor.forward([SEEN])[0]
    acted = [agent.explorer.decide(agent.actor, [SEEN], None, clock, rng)[0] for _ in range(40)]
    assert len({tuple(row) for row in np.asarray(acted).tolist()}) > 1  # noise explores
    np.testing.assert_array_equal(agent.actor.forward([SEEN])[0], values)
    np.testing.assert_array_equal(agent.actor.decide([SEEN], deterministic=True)[0], values.argmax(-1))


def test_online_and_target_network_draw_in_every_gradient_step():
    agent = agent_of("c51", double=True)
    agent.compile(run_eagerly=True)
    batch = {
        "observation": SEEN[:4], "next_observation": SEEN[1:], "action": np.int32([0, 1, 2, 0]), "reward": np.ones(4, np.float32),
        "terminated": np.zeros(4, bool), "truncated": np.zeros(4, bool),
    }  # fmt: skip
    batch = {name: tf.constant(value) for name, value in batch.items()}
    states = []
    for _ in range(2):
        states.append([state.numpy() for role in (agent.policy, agent.target_policy) for state in role.random_states()])
        agent.train_step(batch)
    assert len(states[0]) == 4 and all((a != b).any() for a, b in zip(*states))


def test_targets_have_the_noise_and_priorities_have_not():
    agent = agent_of(prioritized=True)
    values = [agent.objective.next_values(agent.learning_context, {"next_observation": SEEN}).numpy() for _ in range(2)]
    assert (values[0] != values[1]).all()
    batch = {
        "observation": SEEN,
        "action": np.zeros(5, np.int32),
        "best": tf.zeros(5),
        "reward": tf.ones(5),
        "discount": tf.ones(5),
    }
    errors = [agent.objective._errors(agent.policy, batch)[1].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*errors)


def test_a_network_of_ones_own_explores_through_tensorflow_too():
    def network():
        kernel = keras.initializers.GlorotUniform(seed=2)
        return keras.Sequential(
            [
                keras.layers.Reshape((3, 1)),
                keras.layers.Conv1D(4, 2, kernel_initializer=kernel),
                keras.layers.Flatten(),
                NoisyDense(4, seed=2),
            ]
        )

    drawn = []
    for _ in range(2):
        agent = agent_of(noisy=False, exploration="greedy", network=network())
        assert not agent.actor.is_numpy
        with agent.actor.noisy(np.random.default_rng(0)):
            drawn.append([agent.actor.forward([SEEN])[0] for _ in range(2)])
        np.testing.assert_allclose(agent.actor.forward([SEEN])[0], agent.policy.values(SEEN), rtol=1e-5)
    assert (drawn[0][0] != drawn[0][1]).all()
    np.testing.assert_array_equal(drawn[0], drawn[1])  # by the agent's seed


def test_a_run_that_stops_and_goes_on_is_the_same(tmp_path):
    env = testing.Toy()
    whole, first = (kagent.DQN(env, noisy=True, **SMALL, seed=4) for _ in range(2))
    for agent in (whole, first):
        agent.compile(run_eagerly=True)
    whole.fit(env, steps=32, verbose=0)
    first.fit(env, steps=16, verbose=0)
    first.save_weights(tmp_path / "a.weights.h5")
    again = kagent.DQN(env, noisy=True, **SMALL, seed=9)
    again.compile(run_eagerly=True)
    again.load_weights(tmp_path / "a.weights.h5")
    again.fit(env, steps=16, verbose=0)
    assert again.timesteps == whole.timesteps and again.updates == whole.updates > 0
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_comes_back_from_its_config():
    layer = NoisyDense(2, sigma=0.25, kernel_initializer="ones", name="mine")
    again = NoisyDense.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again(SEEN)
    np.testing.assert_array_equal(again.kernel, np.ones((3, 2)))


@pytest.mark.parametrize("noisy", [0.0, -1.0, float("nan"), "yes", None])
def test_what_is_no_noise_is_refused(noisy):
    with pytest.raises(ValueError, match=r"`policy.noisy` must be.*Received"):
        agent_of(noisy=noisy)


@pytest.mark.parametrize("arguments", [{"units": 0}, {"units": 2.5}, {"units": 1 << 40}, {"units": 2, "sigma": 0.0}])
def test_sizes_and_deviations_that_are_none(arguments):
    with pytest.raises(ValueError, match=r"`(units|sigma)` must be.*Received"):
        NoisyDense(**arguments)


def test_noise_is_found_wherever_a_network_has_it():
    @keras.saving.register_keras_serializable("noisy_tests")
    class Two(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.both = [keras.layers.Dense(4), NoisyDense(4)]

        def call(self, inputs):
            return self.both[1](self.both[0](inputs))

    for layer in (NoisyDense(2), Two(), keras.layers.TimeDistributed(NoisyDense(2)), keras.Sequential([Two()])):
        assert networks.holds_noise(layer)
    inputs, circle = keras.Input((3,)), [keras.layers.Dense(2), keras.layers.Dense(2)]
    circle[0].other, circle[1].other = circle[1], circle[0]
    for layer in (circle[0], keras.layers.Dense(2), keras.Model(inputs, keras.layers.Dense(2)(inputs))):
        assert not networks.holds_noise(layer)
    assert isinstance(agent_of(noisy=False, network=Two()).explorer, kagent.exploration.WithNoisyLayers)
