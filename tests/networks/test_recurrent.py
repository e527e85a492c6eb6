"""Recurrent layers one timestep at a time and in sequences, in Keras and in NumPy."""

import gymnasium
import keras
import numpy as np
import pytest

import kagent
from kagent.acting import Program, compile_model
from kagent.networks.recurrent import NoBegins, Recurrence, Recurrent

layers = keras.layers
STOCK = {
    "lstm": lambda: layers.LSTM(5),
    "lstm without bias": lambda: layers.LSTM(5, activation="relu", use_bias=False, unit_forget_bias=False),
    "gru": lambda: layers.GRU(5),
    "gru reset before": lambda: layers.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid"),
    "gru without bias": lambda: layers.GRU(5, use_bias=False),
    "simple": lambda: layers.SimpleRNN(5),
    "stacked": lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3), layers.SimpleRNNCell(2)]),
}


@keras.saving.register_keras_serializable("kagent_tests")
class Sum(keras.layers.Layer):
    """A cell of a user's own: the sum of all inputs so far."""

    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def call(self, inputs, states):
        total = states[0] + inputs[:, : self.units]
        return total, [total]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("kagent_tests")
class FromOne(Sum):
    def get_initial_state(self, batch_size=None):
        return [keras.ops.ones((batch_size, self.units))]


def model_of(layer, width=3):
    recurrence, x = Recurrence(), keras.Input((width,))
    features = recurrence.through(layer, x, "network[0]")
    model = keras.Model([x, *recurrence.inputs], [features, *recurrence.outputs])
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.standard_normal(weight.shape) * 0.5)
    return model, recurrence.sizes


def test_a_sequence_carries_its_state_and_begins_where_it_is_said():
    """Sums worked out by hand: two columns of four timesteps; the second column's third begins with 100 beside it."""
    model, sizes = model_of(layers.RNN(Sum(1)), width=1)
    assert sizes == [1]
    x = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.float32).reshape(8, 1)
    state = np.array([[5, 0], [7, 7], [7, 100], [7, 7]], np.float32).reshape(8, 1)  # 7: never taken
    begins = np.zeros((1, 4, 2), np.float32)
    begins[0, 2, 1] = 1.0
    output, after = model([x, state, begins])
    expected = [[6, 10], [8, 30], [11, 130], [15, 170]]
    assert np.array_equal(output.numpy().reshape(4, 2), expected) and np.array_equal(after, output)


def test_groups_of_sequences_lie_one_behind_the_other():
    """The same rows as two groups of two timesteps: each begins with the state beside its first row."""
    model, _ = model_of(layers.RNN(Sum(1)), width=1)
    x = np.array([[1, 10], [2, 20], [3, 30], [4, 40]], np.float32).reshape(8, 1)
    state = np.array([[5, 0], [7, 7], [1000, 2000], [7, 7]], np.float32).reshape(8, 1)
    output, _ = model([x, state, np.zeros((2, 2, 2), np.float32)])
    assert np.array_equal(output.numpy().reshape(4, 2), [[6, 10], [8, 30], [1003, 2030], [1007, 2070]])


@pytest.mark.parametrize("kind", STOCK)
def test_numpy_timestep_by_timestep_is_keras_in_sequence(kind):
    model, sizes = model_of(STOCK[kind]())
    rng, (steps, columns) = np.random.default_rng(1), (4, 3)
    x = rng.standard_normal((steps, columns, 3)).astype(np.float32)
    states = [rng.standard_normal((steps * columns, size)).astype(np.float32) for size in sizes]
    expected = model([x.reshape(-1, 3), *states, np.zeros((1, steps, columns), np.float32)])
    inputs = [keras.Input((3,)), *(keras.Input((size,)) for size in sizes)]
    outputs = [layers.Identity()(y) for y in model([*inputs, NoBegins()(inputs[1])])]
    config, variables = compile_model(keras.Model(inputs, outputs))
    program = Program(config, [variable.numpy() for variable in variables])
    for count in (columns, 1):  # one row goes another way
        carried = [state[:count] for state in states]
        for t in range(steps):
            output, *carried = program([x[t, :count], *carried])
            for found, whole in zip((output, *carried), expected):
                rows = whole.numpy().reshape(steps, columns, -1)[t, :count]
                np.testing.assert_allclose(found, rows, atol=1e-5, rtol=0)


def test_the_layer_comes_back_from_its_configuration():
    layer = Recurrent(layers.GRU(4, reset_after=False), name="memory")
    again = Recurrent.from_config(layer.get_config())
    assert again.name == "memory" and again.layer.get_config() == layer.layer.get_config()


REFUSED = {
    "bidirectional": (lambda: layers.Bidirectional(layers.LSTM(4)), "must not be bidirectional"),
    "convolutions": (lambda: layers.ConvLSTM1D(4, 2), "must have a state of vectors.*Received: ConvLSTM1D"),
    "stateful": (lambda: layers.LSTM(4, stateful=True), "stateful=False"),
    "backwards": (lambda: layers.GRU(4, go_backwards=True), "go_backwards=False"),
    "state given": (lambda: layers.LSTM(4, return_state=True), "return_state=False"),
    "dropout": (lambda: layers.LSTM(4, recurrent_dropout=0.1), "recurrent_dropout=0"),
    "dropout inside": (lambda: layers.RNN([layers.LSTMCell(4, dropout=0.1)]), "dropout=0"),
    "another beginning": (lambda: layers.RNN(FromOne(4)), "begin an episode with zeros"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_cannot_carry_a_state_are_refused(kind):
    make, words = REFUSED[kind]
    with pytest.raises(ValueError, match=words):
        kagent.PPO("CartPole-v1", network=[layers.Dense(4), make()], n_steps=8, batch_size=8)


def test_over_an_axis_of_one_observation_a_recurrent_layer_is_keras_own():
    space = gymnasium.spaces.Box(-1.0, 1.0, (6, 3), np.float32)
    agent = kagent.PPO(
        observation_space=space,
        action_space=gymnasium.spaces.Discrete(2),
        network=[layers.LSTM(4)],
        n_steps=8,
        batch_size=8,
    )
    assert agent.policy.state_sizes == () and agent.actor.initial_state(2) == ()


def test_a_model_with_recurrent_layers_is_refused_with_the_words_to_write():
    with pytest.raises(ValueError, match=r"network=model\.layers"):
        kagent.PPO("CartPole-v1", network=keras.Sequential([layers.Dense(4), layers.LSTM(4)]), n_steps=8, batch_size=8)


@pytest.mark.parametrize(
    "network, sizes",
    [
        ([{"type": "dense", "size": 4}, {"type": "internal_lstm", "size": 3}], (3, 3)),
        ([{"type": "internal_gru", "size": 3}, {"type": "internal_rnn", "size": 5, "bias": False}], (3, 5)),
        ({"units": [4], "rnn": 3}, (3, 3)),
        (layers.GRU(3), (3,)),
    ],
)
def test_networks_by_name(network, sizes):
    agent = kagent.PPO("CartPole-v1", network=network, n_steps=8, batch_size=8)
    assert agent.policy.state_sizes == agent.critic.state_sizes == sizes and agent.actor.is_numpy


@pytest.mark.parametrize(
    "network",
    [
        [{"type": "internal_lstm", "size": 30_000}],
        {"rnn": 30_000},
        [layers.RNN([layers.GRUCell(4), layers.GRUCell(30_000)])],
    ],
)
def test_a_layer_with_too_many_weights_is_refused_before_it_is_made(network):
    with pytest.raises(ValueError, match=r"weights\. At most"):
        kagent.PPO("CartPole-v1", network=network, n_steps=8, batch_size=8)
