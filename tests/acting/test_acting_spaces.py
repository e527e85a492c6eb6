"""Spaces without gymnasium: the same leaves as `kagent.spaces`, checked observations and masks."""

import json

import gymnasium
import numpy as np
import pytest

from kagent import spaces
from kagent.acting import spaces as layout
from kagent.acting.spaces import Layout

S = gymnasium.spaces
NESTED = S.Dict(
    camera=S.Box(0, 255, (4, 4, 3), np.uint8),
    body=S.Tuple((S.Box(-1.0, np.inf, (2,)), S.Discrete(3, start=-1), S.Box(-5, 5, (2,), np.int64))),
    switches=S.MultiBinary((2, 2)),
    gears=S.MultiDiscrete([[2, 3]], start=[[1, 0]]),
    scalar=S.Box(-1.0, 1.0, (), np.float64),
)
SPACES = {
    "nested": NESTED,
    "box": S.Box(np.float32([-1.0, -np.inf]), np.float32([1.0, 2.0])),
    "discrete": S.Discrete(5, start=2),
    "bools": S.Box(0, 1, (2,), np.bool_),
    "tuple": S.Tuple((S.Discrete(2), S.Tuple((S.Discrete(3), S.Dict(a=S.MultiBinary(2)))))),
}


def read(space):
    return Layout(json.loads(json.dumps(spaces.to_config(space), allow_nan=False)))


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_same_leaves_and_values_as_the_gymnasium_side(name):
    space = SPACES[name]
    ours, theirs = read(space), spaces.Structure(space)
    assert ours.is_nested == theirs.is_nested and len(ours.leaves) == len(theirs.leaves)
    for one, other in zip(ours.leaves, theirs.leaves):
        assert (one.path, one.kind, one.shape, one.dtype) == (other.path, other.kind, other.shape, other.dtype)
        assert layout.stored_dtype(one) == other.stored_dtype and layout.name(one) == other.name
        for key in ("low", "high", "nvec", "start"):
            np.testing.assert_array_equal(getattr(one, key), getattr(other, key))
        assert Layout(layout.describe(other)).leaves[0].kind == one.kind
    space.seed(0)
    for _ in range(5):
        value = space.sample()
        flat = ours.flatten(value)
        for leaf, part, expected in zip(ours.leaves, flat, theirs.encode(value)):
            encoded = layout.encode(leaf, part)
            assert encoded.dtype == expected.dtype and encoded.shape == leaf.shape
            np.testing.assert_array_equal(encoded, expected)
        again = ours.unflatten(flat)
        assert type(again) is type(theirs.unflatten(flat))
        assert all(a is b for a, b in zip(ours.flatten(again), flat))


def replaced(path, value):
    observation = {key: child for key, child in NESTED.sample().items()}
    if path[0] == "body" and len(path) > 1:
        body = list(observation["body"])
        body[path[1]] = value
        value = tuple(body)
    observation[path[0]] = value
    return observation


WRONG = {
    "shape": (("camera",), np.zeros((4, 4), np.uint8), "camera.*shape"),
    "batched": (("camera",), np.zeros((1, 4, 4, 3), np.uint8), "without a batch axis"),
    "text": (("body", 0), ["a", "b"], "body/0.*numbers"),
    "objects": (("body", 0), [None, None], "body/0.*numbers"),
    "ragged": (("body", 0), [[1.0], 2.0], "body/0"),
    "nan": (("body", 0), [np.nan, 0.0], "body/0.*finite"),
    "inf": (("body", 0), [0.0, -np.inf], "body/0.*finite"),
    "too large for float32": (("scalar",), 1e300, "scalar.*finite"),
    "below": (("body", 1), -2, "body/1.*from -1 to 1"),
    "above": (("body", 1), 2, "body/1.*from -1 to 1"),
    "fraction": (("body", 1), 0.5, "body/1.*integers"),
    "components": (("gears",), [[0, 0]], "gears.*from"),
    "fraction of a pixel": (("camera",), np.full((4, 4, 3), 0.5), "camera.*integers"),
    "no pixel": (("camera",), np.full((4, 4, 3), 300), "camera.*within"),
    "tuple too short": (("body",), (np.zeros(2), 0), "tuple of 3 entries"),
    "not a tuple": (("body",), 3, "tuple of 3 entries"),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_wrong_observations(name):
    path, value, message = WRONG[name]
    ours = read(NESTED)
    with pytest.raises(ValueError, match=message):
        for leaf, part in zip(ours.leaves, ours.flatten(replaced(path, value))):
            layout.encode(leaf, part)


def test_wrong_nesting():
    ours, value = read(NESTED), NESTED.sample()
    for bad in (3, [1, 2], {key: value[key] for key in ("body", "camera")}, {**value, "more": 1}):
        with pytest.raises(ValueError, match="dict with keys"):
            ours.flatten(bad)


def test_values_that_are_as_good():
    ours = read(NESTED)
    leaves = {layout.name(leaf): leaf for leaf in ours.leaves}
    pixels = layout.encode(leaves["camera"], np.full((4, 4, 3), 255.0).tolist())
    assert pixels.dtype == np.uint8 and pixels.max() == 255
    assert layout.encode(leaves["body/1"], np.int8(1)) == 2
    assert layout.encode(leaves["scalar"], True).dtype == np.float32


MASKED = {
    "discrete": (S.Discrete(3, start=5), np.array([1, 0, 1], np.int8), [1, 0, 1]),
    "list": (S.Discrete(3), [True, False, False], [1, 0, 0]),
    "floats": (S.Discrete(3), np.array([1.0, 0.0, 0.0]), [1, 0, 0]),
    "multi": (S.MultiDiscrete([2, 3]), (np.array([1, 0]), np.array([0, 1, 1])), [1, 0, 0, 1, 1]),
    "multi_flat": (S.MultiDiscrete([2, 3]), np.array([1, 0, 0, 1, 1], bool), [1, 0, 0, 1, 1]),
    "multi_rank_2": (S.MultiDiscrete([[2, 3]]), ((np.array([1, 0]), np.array([0, 1, 1])),), [1, 0, 0, 1, 1]),
    "binary": (S.MultiBinary(3), np.array([0, 1, 2], np.int8), [1, 0, 0, 1, 1, 1]),
    "binary_flat": (S.MultiBinary(2), np.array([1, 0, 1, 1]), [1, 0, 1, 1]),
}


@pytest.mark.parametrize("name", sorted(MASKED))
def test_masks(name):
    space, mask, expected = MASKED[name]
    (flat,) = read(space).flatten_masks(mask)
    assert flat.dtype == np.bool_ and flat.tolist() == [bool(v) for v in expected]


def test_nested_masks():
    ours = read(S.Dict(a=S.Discrete(2), b=S.Tuple((S.MultiBinary(1), S.Box(0.0, 1.0))), c=S.Discrete(3)))
    assert ours.flatten_masks(None) is None
    flat = ours.flatten_masks({"a": [1, 0], "b": None})
    assert [None if part is None else part.tolist() for part in flat] == [[True, False], None, None, None]
    for bad in ({"d": [1]}, [1, 0], {"b": (None,)}):
        with pytest.raises(ValueError, match="mask"):
            ours.flatten_masks(bad)
    with pytest.raises(ValueError, match="'b/1' must be None"):
        ours.flatten_masks({"b": (None, [1])})


@pytest.mark.parametrize(
    "space, mask, message",
    [
        (S.Discrete(3), [0, 0, 0], "allows no value"),
        (S.Discrete(3), [1, 1], "3 booleans"),
        (S.Discrete(3), [1, 2, 0], "3 booleans"),
        (S.Discrete(3), np.array([np.nan, 1.0, 1.0]), "3 booleans"),
        (S.Discrete(3), "yes", "3 booleans"),
        (S.Discrete(3), np.array(["a", "b", "c"]), "3 booleans"),
        (S.MultiDiscrete([2, 3]), ([1, 0], [0, 0, 0]), "component 1"),
        (S.MultiDiscrete([2, 3]), (np.ones(3), np.ones(2)), r"\[3, 2\]"),
        (S.MultiBinary(2), [0, 3], "booleans"),
        (S.MultiDiscrete([2, 3]), (), "booleans"),
    ],
)
def test_wrong_masks(space, mask, message):
    with pytest.raises(ValueError, match=message):
        read(space).flatten_masks(mask)


def deep(levels):
    config = {"type": "Discrete", "n": 2, "start": 0}
    for _ in range(levels):
        config = {"type": "Tuple", "spaces": [config]}
    return config


BOX = {"type": "Box", "shape": [2], "dtype": "float32", "low": -1.0, "high": 1.0}


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {"type": "Text"},
        {"type": ["Box"]},
        deep(1000),
        {"type": "Dict", "spaces": []},
        {"type": "Dict", "spaces": 3},
        {"type": "Dict", "spaces": [["a"]]},
        {"type": "Dict", "spaces": [[[], BOX]]},
        {**BOX, "shape": [1 << 40]},
        {**BOX, "shape": [1 << 20, 1 << 20]},
        {**BOX, "shape": [-1]},
        {**BOX, "shape": [0]},
        {**BOX, "shape": [True]},
        {**BOX, "shape": "2"},
        {**BOX, "dtype": "O"},
        {**BOX, "dtype": "f4,f4"},
        {**BOX, "dtype": None},
        {**BOX, "low": {}},
        {**BOX, "low": "lower"},
        {**BOX, "low": [1.0, 2.0, 3.0]},
        {key: value for key, value in BOX.items() if key != "high"},
        {"type": "Discrete", "n": 0, "start": 0},
        {"type": "Discrete", "n": 2.5, "start": 0},
        {"type": "Discrete", "n": 1 << 70, "start": 0},
        {"type": "MultiDiscrete", "nvec": [2, 0], "start": [0, 0], "dtype": "int64"},
        {"type": "MultiDiscrete", "nvec": [2, 2], "start": [0], "dtype": "int64"},
        {"type": "MultiDiscrete", "nvec": [], "start": [], "dtype": "int64"},
        {"type": "MultiBinary", "n": [1 << 40]},
        {"type": "MultiBinary", "n": 3},
    ],
)
def test_bad_configs(config):
    with pytest.raises(ValueError):
        Layout(config)


def test_a_few_bytes_of_json_do_not_fill_memory():
    ours = Layout({**BOX, "shape": [1 << 26], "low": "-inf", "high": "inf"})
    assert ours.leaves[0].low.strides == (0,)
    assert Layout({"type": "MultiBinary", "n": [1 << 26]}).leaves[0].nvec.strides == (0,)
