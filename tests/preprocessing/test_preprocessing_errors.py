"""What cannot be is refused by name, when the agent is made."""

import keras
import numpy as np
import pytest
from gymnasium import spaces
from layers import FREE, make

import kagent

NESTED = spaces.Dict(eye=spaces.Box(0, 255, (8, 8, 3), np.uint8), gear=spaces.Discrete(3), speed=FREE)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"wheel": "deltafier"}, r"'wheel', for which there is no state. Known: states \['eye', 'gear', 'speed'\]"),
        ({"bool": "deltafier"}, r"'bool', for which there is no state.*types \['float', 'int'\]"),
        ({"state": "deltafier"}, "'state', for which there is no state"),
        ({3: "deltafier"}, "keys. Received: 3"),
        ({"speed": "deltafire"}, r"Unknown `preprocessing\['speed'\]`. Received: 'deltafire'.*Did you mean 'Deltafier'"),
        ({"speed": ["deltafier", {"length": 2}]}, r"`preprocessing\['speed'\]\[1\]` as a dict needs a 'type'"),
        ({"speed": 3}, r"`preprocessing\['speed'\]` must be a name"),
        ({"speed": {"type": "sequence"}}, r"`preprocessing\['speed'\]` Sequence needs \['length'\]"),
        ({"speed": {"type": "sequence", "size": 2}}, r"Sequence has no argument \['size'\]"),
        ({"speed": {"type": "sequence", "length": 1}}, r"`sequence.length` must be at least 2. Received: 1 \(in `preproc"),
        ({"speed": {"type": "sequence", "length": 2.0}}, "`sequence.length` must be an integer"),
        ({"speed": {"type": "sequence", "length": 2, "axis": 1}}, "among the 1 axes that there are. Received: 1"),
        ({"gear": {"type": "sequence", "length": 2}}, r"preprocessing\['gear'\]\[0\]`: Sequence needs a state with at least one"),
        ({"gear": "deltafier"}, r"`preprocessing\['gear'\]\[0\]`: Deltafier needs a state of type float.*Discrete\(3\)"),
        ({"int": "running_normalization"}, r"`preprocessing\['int'\]\[0\]` of state 'gear': RunningNormalization needs a state"),
        ({"speed": "linear_normalization"}, "LinearNormalization needs `min_value` and `max_value`, or a space with both"),
        ({"speed": {"type": "linear_normalization", "min_value": 0}}, "needs `min_value` and `max_value`"),
        ({"speed": {"type": "linear_normalization", "min_value": [0, 1], "max_value": 1}}, r"Received: 1.0 and 1.0 in component \[1\]"),
        ({"speed": {"type": "linear_normalization", "min_value": 2, "max_value": 1}}, "needs `min_value` < `max_value`"),
        ({"speed": {"type": "linear_normalization", "min_value": [0, 1, 2]}}, r"of the state's shape \(2,\)"),
        ({"speed": {"type": "linear_normalization", "min_value": "low"}}, "`linear_normalization.min_value` must be a number"),
        ({"speed": {"type": "clipping"}}, "`clipping` needs `lower`, `upper` or both"),
        ({"speed": {"type": "clipping", "lower": 1, "upper": 1}}, "`clipping.lower` must be less than `upper`"),
        ({"speed": {"type": "clipping", "lower": float("nan")}}, "`clipping.lower` must be finite"),
        ({"speed": "exponential_normalization"}, r"needs \['decay'\]"),
        ({"speed": {"type": "exponential_normalization", "decay": 1.0}}, "decay` must be less than 1"),
        ({"speed": {"type": "exponential_normalization", "decay": 0.9, "min_variance": 0}}, "min_variance` must be finite and > 0"),
        ({"speed": {"type": "exponential_normalization", "decay": 0.9, "axes": 1}}, "needs `axes` among the 1 axes"),
        ({"speed": {"type": "running_normalization", "only_mean": 1}}, "only_mean` must be True or False"),
        ({"speed": {"type": "image", "height": 4}}, "Image needs an image of shape"),
        ({"eye": {"type": "image", "height": 0}}, "`image.height` must be at least 1"),
        ({"eye": {"type": "image", "grayscale": [0.5, 0.5]}}, "needs an image of 2 channels for `grayscale`. Received: 3 channels"),
        ({"eye": [{"type": "image", "grayscale": True}] * 2}, r"\[1\]`: Image needs an image of 3 channels"),
        ({"speed": {"type": "activation", "nonlinearity": "cosine"}}, "`activation.nonlinearity` must name an activation"),
        ({"speed": {"type": "deltafier", "concatenate": True}}, "`deltafier.concatenate` must be an integer"),
        ({"reward": {"type": "sequence", "length": 2, "concatenate": False}}, r"`preprocessing\['reward'\]` must give one number"),
        ({"reward": {"type": "image", "height": 2}}, r"`preprocessing\['reward'\]\[0\]`: Image needs an image"),
        ({"reward": "linear_normalization"}, r"`preprocessing\['reward'\]\[0\]`: LinearNormalization needs `min_value`"),
        ({"reward": "instance_normalization"}, "needs a state with at least one axis"),
        ({"reward": {"type": "activation", "nonlinearity": "softmax"}}, "at least one axis"),
        ({"speed": keras.layers.Dense(3)}, "needs a layer without weights"),
        ({"speed": keras.layers.Conv2D(3, 3)}, "needs a layer for values like"),
        ({"speed": {"class_name": "Nonesuch", "config": {}}}, "must not name 'Nonesuch'"),
        ({"speed": {"class_name": "Lambda", "config": {}}}, "must not name 'Lambda'"),
        ({"speed": {"type": "keras_layer", "layer": 3}}, "must be a Keras layer or its configuration"),
    ],
)  # fmt: skip
def test_refused(spec, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(spec, NESTED)


def test_one_spec_is_for_floats_alone():
    with pytest.raises(ValueError, match="'float', for which there is no state"):
        make("deltafier", spaces.Discrete(3))


def test_masks_are_no_states():
    space = spaces.Dict(action_mask=spaces.MultiBinary(2), x=FREE)
    for key in ("bool", "action_mask"):
        with pytest.raises(ValueError, match=r"no state. Known: states \['x'\]"):
            make({key: {"type": "sequence", "length": 2}}, space)


def test_agents_say_the_same():
    with pytest.raises(ValueError, match=r"`preprocessing` has 'position'"):
        kagent.DQN("CartPole-v1", preprocessing={"position": "deltafier"})


class Unregistered(keras.layers.Layer):
    def call(self, x):
        return x


def test_a_layer_that_no_file_could_name_is_refused_by_get_config():
    made = make({"state": Unregistered()})
    with pytest.raises(ValueError, match="Unregistered is not registered"):
        made.get_config()


def test_what_becomes_infinite_is_refused():
    made = make({"type": "rescaling", "scale": 1e30})
    with pytest.raises(ValueError, match="`preprocessing` made state 'state' infinite or NaN"):
        made.first([np.full((1, 2), 1e30, np.float32)])
    made = make({"reward": {"type": "rescaling", "scale": 1e300}})
    with pytest.raises(ValueError, match=r"`preprocessing\['reward'\]` made inf of the reward 1e\+30"):
        made.reward(np.array([1e30]), made.begin(1), slice(None), np.ones(1, bool), True)
