"""Every layer, against numbers worked out by hand."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from layers import FREE, episode, make, one

import kagent
from kagent import preprocessing
from kagent.schedules import Clock
from kagent.spaces import Structure

F32 = np.float32


def box(low, high, shape=(), dtype=np.float32):
    return spaces.Box(low, high, shape, dtype)


# Each number alone -----------------------------------------------------------------------------------------


def test_linear_normalization_by_the_spaces_bounds():
    space = spaces.Box(np.array([0, -1, -np.inf], F32), np.array([10, 3, np.inf], F32))
    made = make("linear_normalization", space)
    assert episode(made, [[2.5, 3.0, 7.0]]) == [[-1.0, 2.0, 7.0]]
    assert made.space.low.tolist() == [-2.0, -2.0, -np.inf] and made.space.high.tolist() == [2.0, 2.0, np.inf]
    # Beyond the bounds it goes on.
    assert episode(made, [[20.0, -2.0, 0.0]]) == [[6.0, -3.0, 0.0]]


def test_linear_normalization_by_given_bounds():
    given = {"type": "linear_normalization", "min_value": [0, -4], "max_value": 4}
    assert one(given, [1.0, 0.0]).tolist() == [-1.0, 0.0]


def test_linear_normalization_of_integers():
    assert one("linear_normalization", [0, 51, 255], box(0, 255, (3,), np.uint8)).tolist() == [-2.0, F32(-1.2), 2.0]


def test_linear_normalization_of_a_fixed_component_is_the_middle():
    made = make("linear_normalization", spaces.Box(np.asarray([1, 0], F32), np.asarray([1, 2], F32)))
    assert episode(made, [[1.0, 2.0]]) == [[0.0, 2.0]]
    assert made.space.low.tolist() == [0.0, -2.0] and made.space.high.tolist() == [0.0, 2.0]


def test_a_decay_that_is_scheduled_to_be_1_learns_nothing():
    made = make({"type": "exponential_normalization", "decay": {"type": "linear", "unit": "timesteps", "num_steps": 10,
                 "initial_value": 1.0, "final_value": 0.5}})  # fmt: skip
    assert episode(made, [[3.0, -4.0]]) == [[3.0, -4.0]]


def test_clipping_uses_both_of_its_bounds():
    given = {"type": "clipping", "lower": -1.0, "upper": 3.0}
    assert episode(make(given), [[-5.0, 5.0], [0.5, 2.5]]) == [[-1.0, 3.0], [0.5, 2.5]]
    assert one({"type": "clipping", "upper": 3.0}, [-5.0, 5.0]).tolist() == [-5.0, 3.0]
    assert one({"type": "clipping", "lower": 0}, [-5.0, 5.0]).tolist() == [0.0, 5.0]
    assert make(given, box(0.0, 2.0, (2,))).space == box(0.0, 2.0, (2,))
    assert make(given, box(-2.0, 2.0, (2,))).space == box(-1.0, 2.0, (2,))


def test_bounds_of_clipping_may_be_schedules(small):
    time = [0]
    falling = {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 4.0, "final_value": 1.0}
    given = {"type": "clipping", "lower": -2, "upper": falling}
    made = preprocessing.get(given, Structure(box(-3.0, 9.0, (2,))), lambda: Clock(timesteps=time[0]))
    assert made.space == box(-2.0, 4.0, (2,))
    for now, upper in ((0, 4.0), (5, 2.5), (10, 1.0), (20, 1.0)):
        time[0] = now
        assert episode(made, [[-5.0, 5.0], [0.5, 0.75]]) == [[-2.0, upper], [0.5, 0.75]]
    with pytest.raises(ValueError, match=r"`clipping.lower` must be less than `upper`"):
        make({**given, "lower": 4.0})
    # Of an agent it is the agent's time.
    agent = small("dqn", preprocessing={"float": {"type": "clipping", "upper": falling}, "reward": given})
    agent.fit("CartPole-v1", steps=12, verbose=0)
    expected = np.minimum(1.0, 4.0 - 0.3 * np.minimum(np.arange(12), 10))
    np.testing.assert_allclose(agent.memory.storage.views["reward"][:12], expected, rtol=1e-6)
    config = json.loads(json.dumps(agent.get_config()))
    assert kagent.Agent.create(config).get_config() == agent.get_config()


def test_the_decay_of_exponential_normalization_may_be_a_schedule():
    step = {"type": "piecewise_constant", "unit": "timesteps", "boundaries": [3], "values": [0.5, 0.9]}
    for now, decay in ((0, 0.5), (7, 0.9)):
        given = {"type": "exponential_normalization", "decay": step}
        scheduled = preprocessing.get(given, Structure(FREE), lambda now=now: Clock(timesteps=now))
        values = [[1.0, 2.0], [0.0, 1.5], [3.0, -1.0]]
        assert episode(scheduled, values) == episode(make({**given, "decay": decay}), values)


def test_rescaling():
    made = make({"type": "rescaling", "scale": [2.0, -0.5], "offset": 1}, box(0.0, 4.0, (2,)))
    assert episode(made, [[1.0, 4.0]]) == [[3.0, -1.0]]
    assert made.space.low.tolist() == [1.0, -1.0] and made.space.high.tolist() == [9.0, 1.0]


@pytest.mark.parametrize(
    "name", ["elu", "leaky-relu", "none", "relu", "selu", "sigmoid", "softmax", "softplus", "softsign", "swish", "tanh"]
)
def test_activations_are_keras_own(name):
    x = np.array([-2.0, 0.5], F32)
    keras_name = {"leaky-relu": "leaky_relu", "none": "linear"}.get(name, name)
    expected = keras.activations.get(keras_name)(tf.constant(x[None]))[0]
    np.testing.assert_allclose(one({"type": "activation", "nonlinearity": name}, x), expected, atol=1e-6)


# Statistics ------------------------------------------------------------------------------------------------


def statistics(made):
    found = made.statistics()[0][0]
    return float(found["weight"]), found["mean"].tolist(), found["variance"].tolist()


def test_exponential_normalization_is_not_drawn_to_where_it_began():
    made = make({"type": "exponential_normalization", "decay": 0.5})
    # The first value is the mean; there is no variance yet, so the least one is divided by.
    assert episode(made, [[4.0, 0.0]]) == [[0.0, 0.0]]
    assert statistics(made) == (0.5, [4.0, 0.0], [0.0, 0.0])
    # Weights 1/4 and 1/2: mean (4 + 2 * 7) / 3 = 6, variance (4 + 2) / 3 = 2.
    found = episode(made, [[7.0, 0.0]], first=False)
    weight, mean, variance = statistics(made)
    assert weight == 0.75
    np.testing.assert_allclose([mean, variance], [[6.0, 0.0], [2.0, 0.0]], atol=1e-14)
    np.testing.assert_allclose(found, [[1 / np.sqrt(2), 0.0]])


def test_exponential_normalization_weighs_environments_of_a_step_alike():
    made = make({"type": "exponential_normalization", "decay": 0.5})
    x = np.array([[0.0, 1.0], [4.0, 1.0]], F32)
    (y,) = made.observation([x], made.begin(2), slice(None), np.ones(2, bool), True)
    assert statistics(made) == (0.75, [2.0, 1.0], [4.0, 0.0])
    assert y.tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_exponential_normalization_with_the_mean_alone_and_the_least_variance():
    made = make({"type": "exponential_normalization", "decay": 0.5, "only_mean": True})
    episode(made, [[4.0, 0.0]])
    assert episode(made, [[10.0, 3.0]], learn=False) == [[6.0, 3.0]]
    made = make({"type": "exponential_normalization", "decay": 0.5, "min_variance": 0.25})
    episode(made, [[4.0, 0.0]])
    assert episode(made, [[5.0, 0.0]], learn=False) == [[2.0, 0.0]]


def test_axes_share_mean_and_variance():
    space = box(-np.inf, np.inf, (2, 2))
    made = make("running_normalization", space)  # all axes but the last
    episode(made, [[[1.0, 5.0], [3.0, 9.0]]])
    assert statistics(made) == (2.0, [[2.0, 7.0]], [[1.0, 4.0]])
    made = make({"type": "running_normalization", "axes": [0, 1]}, space)
    episode(made, [[[1.0, 5.0], [3.0, 9.0]]])
    assert statistics(made) == (4.0, [[4.5]], [[8.75]])
    made = make({"type": "running_normalization", "axes": []}, space)
    episode(made, [[[1.0, 5.0], [3.0, 9.0]]])
    assert statistics(made) == (1.0, [[1.0, 5.0], [3.0, 9.0]], [[0.0, 0.0], [0.0, 0.0]])


def test_running_normalization_by_hand():
    made = make({"type": "running_normalization", "epsilon": 1e-12, "clip": 1.5})
    assert episode(made, [[7.0, 7.0]], learn=False) == [[1.5, 1.5]]  # nothing is known yet: as it is, clipped
    found = episode(made, [[1.0, 0.0], [5.0, 0.0], [0.0, 0.0]])
    assert statistics(made)[0] == 3.0
    np.testing.assert_allclose(statistics(made)[1:], [[2.0, 0.0], [14 / 3, 0.0]])
    np.testing.assert_allclose(found, [[0.0, 0.0], [1.0, 0.0], [-2 / np.sqrt(14 / 3), 0.0]], atol=1e-6)
    assert episode(made, [[100.0, -100.0]], learn=False) == [[1.5, -1.5]]
    assert made.space == box(-1.5, 1.5, (2,))


def test_running_statistics_are_those_of_all_values_however_they_come():
    x = np.random.default_rng(0).normal(3.0, 2.0, (60, 2)).astype(F32)
    made = make("running_normalization")
    for rows in (x[:1], x[1:8], x[8:10], x[10:60]):
        made.observation([rows], made.begin(len(rows)), slice(None), np.ones(len(rows), bool), True)
    _, mean, variance = statistics(made)
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(variance, x.var(0, dtype=np.float64), rtol=1e-12)


def test_instance_normalization():
    assert one("instance_normalization", [1.0, 5.0]).tolist() == [-1.0, 1.0]
    assert one({"type": "instance_normalization", "only_mean": True}, [1.0, 5.0]).tolist() == [-2.0, 2.0]
    assert one("instance_normalization", [3.0, 3.0]).tolist() == [0.0, 0.0]
    given = {"type": "instance_normalization", "axes": 0}
    found = one(given, [[1.0, 0.0], [5.0, 4.0]], box(-9, 9, (2, 2)))
    assert found.tolist() == [[-1.0, -1.0], [1.0, 1.0]]


# The episode -----------------------------------------------------------------------------------------------


def test_deltafier():
    made = make("deltafier", box(-1.0, 8.0, (2,)))
    assert episode(made, [[1.0, 2.0], [4.0, 1.0], [4.0, 8.0]]) == [[0.0, 0.0], [3.0, -1.0], [0.0, 7.0]]
    assert made.space == box(-9.0, 9.0, (2,))
    made = make({"type": "deltafier", "concatenate": 0}, box(-1.0, 8.0, (2,)))
    assert episode(made, [[1.0, 2.0], [4.0, 1.0]]) == [[1.0, 2.0, 0.0, 0.0], [4.0, 1.0, 3.0, -1.0]]
    assert made.space.low.tolist() == [-1.0, -1.0, -9.0, -9.0]


def test_sequence():
    made = make({"type": "sequence", "length": 3})
    assert episode(made, [[1, 2], [3, 4], [5, 6], [7, 8]]) == [
        [1, 2, 1, 2, 1, 2], [1, 2, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7, 8],
    ]  # fmt: skip
    made = make({"type": "frame_stack", "length": 2, "axis": 0, "concatenate": False})
    assert episode(made, [[1, 2], [3, 4]]) == [[[1, 2], [1, 2]], [[1, 2], [3, 4]]]
    made = make({"type": "sequence", "length": 2, "concatenate": False})
    assert episode(made, [[1, 2], [3, 4]]) == [[[1, 1], [2, 2]], [[1, 3], [2, 4]]]


def test_sequence_keeps_images_and_indices_what_they_are():
    made = make({"type": "sequence", "length": 2}, box(0, 255, (4, 4, 1), np.uint8))
    assert made.space == box(0, 255, (4, 4, 2), np.uint8) and made.processed.leaves[0].is_image
    made = make({"type": "sequence", "length": 2}, box(0, 255, (1, 4, 4), np.uint8))  # channels first
    assert made.space == box(0, 255, (2, 4, 4), np.uint8)
    made = make({"type": "sequence", "length": 2, "axis": -1}, box(0, 255, (1, 4, 4), np.uint8))
    assert made.space == box(0, 255, (1, 4, 8), np.uint8)
    made = make({"int": {"type": "sequence", "length": 2, "concatenate": False}}, spaces.Discrete(5, start=3))
    assert made.space == spaces.MultiDiscrete([5, 5], start=[3, 3])
    assert episode(made, [4, 0]) == [[4, 4], [4, 0]]
    made = make({"bool": {"type": "sequence", "length": 2}}, spaces.MultiBinary(3))
    assert made.space == spaces.MultiBinary(6)


# Images and Keras ------------------------------------------------------------------------------------------


def test_image_grayscale_by_hand():
    x = np.zeros((1, 2, 3), np.uint8)
    x[0, 0], x[0, 1] = (100, 0, 0), (10, 20, 30)
    found = one({"type": "image", "grayscale": True}, x, box(0, 255, (1, 2, 3), np.uint8))
    assert found.dtype == np.uint8 and found.tolist() == [[[30], [18]]]  # 29.89 and 2.989 + 11.74 + 3.42 = 18.149
    found = one({"type": "image", "grayscale": [1, 2, 0.5]}, x.astype(F32), box(0, 255, (1, 2, 3)))
    assert found.tolist() == [[[100.0], [65.0]]]


def test_image_is_tensorflows():
    x = np.random.default_rng(1).integers(0, 256, (210, 160, 3)).astype(np.uint8)
    found = one({"type": "image", "height": 84, "width": 84}, x, box(0, 255, x.shape, np.uint8))
    expected = tf.image.resize(x, (84, 84)).numpy()
    # To the nearest integer; positions in the image are float32, in TensorFlow too.
    assert found.shape == (84, 84, 3) and np.abs(found - expected).max() <= 0.51
    found = one({"type": "image", "height": 84, "width": 84, "grayscale": True}, x, box(0, 255, x.shape, np.uint8))
    expected = tf.image.rgb_to_grayscale(tf.image.resize(x, (84, 84))).numpy()
    assert found.shape == (84, 84, 1) and np.abs(found - expected).max() <= 0.515


def test_an_image_with_channels_first_stays_so():
    x = np.random.default_rng(1).integers(0, 256, (21, 16, 3)).astype(np.uint8)
    first = np.ascontiguousarray(x.transpose(2, 0, 1))
    for given in ({"height": 7, "width": 8}, {"width": 8, "grayscale": True}):
        given = {"type": "image", **given}
        last = one(given, x, box(0, 255, x.shape, np.uint8))
        made = make(given, box(0, 255, first.shape, np.uint8))
        found = one(given, first, box(0, 255, first.shape, np.uint8))
        np.testing.assert_array_equal(found, last.transpose(2, 0, 1))
        assert made.space == box(0, 255, found.shape, np.uint8)
    given = {"type": "image", "height": 3, "width": 2}
    assert make(given, box(0, 1, (6, 5, 7))).space.shape == (3, 2, 7)  # not plain: channels are last
    assert make({**given, "data_format": "channels_first"}, box(0, 1, (6, 5, 7))).space.shape == (6, 3, 2)
    with pytest.raises(ValueError, match=r"`image.data_format` must be one of"):
        make({**given, "data_format": "last"}, box(0, 1, (6, 5, 7)))


def test_one_side_keeps_the_other_in_proportion():
    space = box(0.0, 1.0, (20, 40, 3))
    assert make({"type": "image", "height": 10}, space).space.shape == (10, 20, 3)
    assert make({"type": "image", "width": 10}, space).space.shape == (5, 10, 3)
    assert make({"type": "image", "height": 5}, box(0.0, 1.0, (20, 40))).space.shape == (5, 10)


def test_keras_layers():
    made = make(keras.layers.Rescaling(2.0, offset=1.0))
    assert episode(made, [[1.0, 2.0]]) == [[3.0, 5.0]]
    config = keras.saving.serialize_keras_object(keras.layers.Reshape((2, 1)))
    assert make({"state": [config, "deltafier"]}).space.shape == (2, 1)
    coding = keras.layers.CategoryEncoding(3, output_mode="one_hot")
    made = make({"int": coding}, spaces.Discrete(3, start=7))
    assert episode(made, [2, 0]) == [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]


# In a row, and by key --------------------------------------------------------------------------------------


def test_layers_are_applied_in_order():
    double = {"type": "rescaling", "scale": 2.0}
    clipped = {"type": "clipping", "upper": 3.0}
    assert one([double, clipped], [1.0, 2.0]).tolist() == [2.0, 3.0]
    assert one([clipped, double], [1.0, 2.0]).tolist() == [2.0, 4.0]
    made = make([{"type": "sequence", "length": 2}, "deltafier"])
    assert episode(made, [[1, 2], [4, 8]]) == [[0, 0, 0, 0], [0, 0, 3, 6]]


def test_names_go_before_types():
    space = spaces.Dict(a=FREE, b=FREE, c=spaces.Dict(d=FREE, e=spaces.Discrete(2)), action_mask=spaces.MultiBinary(2))
    made = make({"float": "deltafier", "b": [], "c/d": {"type": "clipping", "lower": 5.0}, "bool": []}, _with(space))
    leaves = [np.full((1, *leaf.shape), 1, leaf.stored_dtype) for leaf in made.raw.leaves]
    found = dict(zip((leaf.name for leaf in made.raw.leaves), made.first(leaves)))
    assert found["a"].tolist() == [[0.0, 0.0]] and found["b"].tolist() == [[1.0, 1.0]]
    assert found["c/d"].tolist() == [[5.0, 5.0]] and found["c/e"].tolist() == [1]
    assert made.space["action_mask"] == space["action_mask"]


def _with(space):
    return spaces.Dict([*space.spaces.items(), ("bits", spaces.MultiBinary(1))])


def test_configurations_come_back():
    spec = {
        "float": [
            {"type": "linear_normalization", "min_value": [0, 1], "max_value": 2}, {"type": "clipping", "lower": -1},
            {"type": "exponential_normalization", "decay": 0.9, "axes": [0]}, {"type": "activation", "nonlinearity": "tanh"},
            "running_normalization", "deltafier", {"type": "sequence", "length": 2}, preprocessing.Rescaling(2.0),
            {"type": "instance_normalization", "axes": [0]}, keras.layers.Rescaling(0.5),
        ],
        "reward": {"type": "clipping", "upper": 1},
    }  # fmt: skip
    made = make(spec)
    config = json.loads(json.dumps(made.get_config()))
    assert list(config) == ["float", "reward"] and len(config["float"]) == 10
    again = make(config)
    assert again.get_config() == config
    assert again.space == made.space
    values = [[1.0, 2.0], [0.0, 1.5], [3.0, -1.0]]
    assert episode(again, values) == episode(made, values)


@pytest.mark.parametrize("nothing", [None, {}, [], {"float": None}, {"reward": []}])
def test_nothing_is_nothing(nothing):
    assert make(nothing) is None


# The reward by its discounted sums -------------------------------------------------------------------------


def rewards_of(made, rewards, past, fresh, learn=True):
    return made.reward(np.asarray(rewards, np.float64), past, slice(None), np.asarray(fresh), learn).tolist()


def test_return_normalization_divides_by_the_spread_of_discounted_sums():
    """Of two environments: sums 2 and 0, then 1 + 3 = 4 and 2; the variance of 2, 0, 4 and 2 is 2, of 2 and 0 it is 1.

    A third step begins an episode in the first environment: its sum is 6, not 8.
    """
    layers = {"reward": {"type": "return_normalization", "discount": 0.5, "epsilon": 1e-12, "clip": None}}
    made = preprocessing.get(layers, Structure(FREE))
    past = made.begin(2)
    np.testing.assert_allclose(rewards_of(made, [2.0, 0.0], past, [True, True]), [2.0, 0.0])
    np.testing.assert_allclose(rewards_of(made, [3.0, 2.0], past, [False, False]), [3.0 / 2**0.5, 2.0 / 2**0.5])
    assert past[-1][0]["return"].tolist() == [4.0, 2.0]
    before = made.statistics()[-1][0]
    assert float(before["weight"]) == 4.0 and float(before["mean"]) == 2.0 and float(before["variance"]) == 2.0
    frozen = rewards_of(made, [6.0, 1.0], past, [True, False], learn=False)
    np.testing.assert_allclose(frozen, [6.0 / 2**0.5, 1.0 / 2**0.5])
    assert past[-1][0]["return"].tolist() == [6.0, 2.0]
    assert made.statistics()[-1][0] == before


def test_return_normalization_clips_and_its_discount_may_be_a_schedule():
    time = [0]
    falling = {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 1.0, "final_value": 0.0}
    layers = {"reward": {"type": "return_normalization", "discount": falling, "clip": 3.0}}
    made = preprocessing.get(layers, Structure(FREE), lambda: Clock(timesteps=time[0]))
    past = made.begin(1)
    assert rewards_of(made, [1.0], past, [True]) == [3.0]  # one sum has no variance yet
    time[0] = 5
    rewards_of(made, [1.0], past, [False])
    assert past[-1][0]["return"].tolist() == [1.5]


def test_return_normalization_is_for_the_reward():
    with pytest.raises(ValueError, match="ReturnNormalization needs the reward, one number"):
        make("return_normalization")
    for given, error in (
        ({"discount": 1.5}, "discount.*<= 1"),
        ({"epsilon": 0.0}, "epsilon.*> 0"),
        ({"clip": -1}, "clip"),
    ):
        with pytest.raises(ValueError, match=f"`return_normalization.{error}"):
            preprocessing.get({"reward": {"type": "return_normalization", **given}}, Structure(FREE))
