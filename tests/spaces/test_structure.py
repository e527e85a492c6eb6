"""Spaces as leaves and as JSON: nothing is lost, and differences are shown."""

from __future__ import annotations

import json
from collections import OrderedDict

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.spaces import Structure, difference, from_config, to_config

INTEGERS = ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64", "uint64"]
shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
nvecs = st.one_of(
    st.lists(st.integers(1, 5), min_size=1, max_size=3),
    st.lists(st.lists(st.integers(1, 5), min_size=2, max_size=2), min_size=1, max_size=2),
)


@st.composite
def boxes(draw):
    dtype, shape = np.dtype(draw(st.sampled_from([*INTEGERS, "float16", "float32", "float64", "bool"]))), draw(shapes)
    if dtype.kind == "f":
        bound = st.one_of(st.integers(-100, 100).map(lambda n: n / 8), st.sampled_from([-np.inf, np.inf]))
    elif dtype.kind == "b":
        bound = st.integers(0, 1)
    else:
        limits = np.iinfo(dtype)
        # gymnasium cannot sample from all of 64 bits
        bound = st.integers(max(int(limits.min), -(2**62)), min(int(limits.max), 2**62))
    size = int(np.prod(shape)) if draw(st.booleans()) else 1
    pairs = [sorted(draw(st.tuples(bound, bound))) for _ in range(size)]
    if dtype.kind == "f":
        pairs = [(min(low, 99.0), max(high, -99.0)) for low, high in pairs]
    low, high = (np.broadcast_to(np.array(side, dtype), (size,)) for side in zip(*pairs))
    expand = (lambda a: a.reshape(shape)) if size == np.prod(shape) else lambda a: np.full(shape, a[0])
    return spaces.Box(expand(low), expand(high), shape=shape, dtype=dtype.type)


@st.composite
def multi_discretes(draw):
    nvec = np.array(draw(nvecs))
    start = np.array(draw(st.lists(st.integers(-5, 5), min_size=nvec.size, max_size=nvec.size))).reshape(nvec.shape)
    return spaces.MultiDiscrete(nvec, start=start, dtype=draw(st.sampled_from([np.int64, np.int32])))


leaf_spaces = st.one_of(
    boxes(),
    st.builds(
        lambda n, start, dtype: spaces.Discrete(n, start=start, dtype=dtype),
        st.integers(1, 9),
        st.integers(-20, 20),
        st.sampled_from([np.int64, np.int32, np.int8]),
    ),
    multi_discretes(),
    st.builds(spaces.MultiBinary, st.one_of(st.integers(1, 4), shapes.filter(lambda shape: len(shape) > 1).map(list))),
)
keys = st.text("abcxyz_/.0 ü", min_size=1, max_size=4)


def nested(children):
    pairs = st.lists(st.tuples(keys, children), min_size=1, max_size=3, unique_by=lambda pair: pair[0])
    return st.one_of(
        pairs.map(lambda found: spaces.Dict(dict(found))),
        pairs.map(lambda found: spaces.Dict(OrderedDict(found))),  # keeps its order; a dict's keys are sorted
        st.lists(children, min_size=1, max_size=3).map(spaces.Tuple),
    )


any_spaces = st.recursive(leaf_spaces, nested, max_leaves=6)


def equal(space, one, other):
    if isinstance(space, spaces.Dict):
        return list(one) == list(other) and all(equal(s, one[k], other[k]) for k, s in space.spaces.items())
    if isinstance(space, spaces.Tuple):
        return all(equal(s, a, b) for s, a, b in zip(space.spaces, one, other, strict=True))
    return np.array_equal(one, other)


@settings(max_examples=50, deadline=None)
@given(space=any_spaces, seed=st.integers(0, 2**31))
def test_values_come_back_from_leaves(space, seed):
    structure = Structure(space)
    space.seed(seed)
    value = space.sample()
    leaves = structure.flatten(value)
    assert len(leaves) == len(structure.leaves) == len({leaf.path for leaf in structure.leaves})
    assert equal(space, structure.unflatten(leaves), value)
    encoded = structure.encode(value)
    for leaf, array in zip(structure.leaves, encoded):
        assert array.shape == leaf.shape and array.dtype == leaf.stored_dtype and leaf.size == array.size
        if leaf.is_discrete:
            assert (array >= 0).all() and (array < leaf.nvec).all() and leaf.num_values == leaf.nvec.sum()
        else:
            assert leaf.num_values == 0 and leaf.is_bounded == bool(np.isfinite([leaf.low, leaf.high]).all())
    decoded = structure.decode(encoded)
    for leaf, array, original in zip(structure.leaves, structure.flatten(decoded), leaves):
        assert array.dtype == leaf.dtype
        np.testing.assert_array_equal(
            array, np.asarray(original).astype(leaf.stored_dtype if leaf.dtype.kind == "f" else leaf.dtype)
        )


@settings(max_examples=50, deadline=None)
@given(space=any_spaces, seed=st.integers(0, 2**31))
def test_batches_are_flattened_and_decoded_alike(space, seed):
    structure = Structure(space)
    space.seed(seed)
    samples = [space.sample() for _ in range(3)]
    batch = structure.unflatten([np.stack(parts) for parts in zip(*(structure.flatten(s) for s in samples))])
    for leaf, rows in zip(structure.leaves, structure.encode(batch)):
        singles = [structure.encode(s)[structure.leaves.index(leaf)] for s in samples]
        np.testing.assert_array_equal(rows, np.stack(singles))
        np.testing.assert_array_equal(leaf.decode(rows), np.stack([leaf.decode(single) for single in singles]))


@settings(max_examples=50, deadline=None)
@given(space=any_spaces)
def test_spaces_come_back_from_json(space):
    text = json.dumps(to_config(space), allow_nan=False)
    back = from_config(json.loads(text))
    assert back == space and type(back) is type(space)
    assert json.dumps(to_config(back), allow_nan=False) == text
    assert [leaf.path for leaf in Structure(back).leaves] == [leaf.path for leaf in Structure(space).leaves]
    assert [leaf.dtype for leaf in Structure(back).leaves] == [leaf.dtype for leaf in Structure(space).leaves]
    assert difference(space, back) == ""


@settings(max_examples=50, deadline=None)
@given(one=any_spaces, other=any_spaces)
def test_only_equal_spaces_do_not_differ(one, other):
    # A space that reads the same leaf by leaf is the same.
    table = difference(one, other)
    ours, theirs = (json.dumps(to_config(space)) for space in (one, other))
    if ours == theirs:
        assert table == ""
    else:  # dtypes of discrete spaces may differ: values are the same
        assert (table != "") == (without_dtypes(to_config(one)) != without_dtypes(to_config(other)))


def without_dtypes(config):
    if config["type"] == "Dict":
        return [[key, without_dtypes(child)] for key, child in config["spaces"]]
    if config["type"] == "Tuple":
        return [without_dtypes(child) for child in config["spaces"]]
    return {key: value for key, value in config.items() if key != "dtype" or config["type"] == "Box"}


def test_a_config_holds_one_number_for_equal_bounds():
    assert to_config(spaces.Box(0, 255, (84, 84, 4), np.uint8))["low"] == 0
    assert to_config(spaces.Box(-np.inf, np.inf, (3,)))["high"] == "inf"
    assert to_config(spaces.Box(np.array([0, -np.inf]), np.array([1, 5.5])))["low"] == [0.0, "-inf"]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5), spaces.Sequence(spaces.Discrete(2)), spaces.OneOf([spaces.Discrete(2)]),
        spaces.Graph(spaces.Box(-1, 1, (2,)), spaces.Discrete(3)),
    ],
)  # fmt: skip
def test_unsupported_spaces_are_named(space):
    name = type(space).__name__
    with pytest.raises(ValueError, match=rf"`action_space` is not supported. Received: {name}. Allowed: Box, Discrete"):
        Structure(space, "action_space")
    with pytest.raises(ValueError, match=rf"`role` at 'a/1' is not supported. Received: {name}"):
        Structure(spaces.Dict(a=spaces.Tuple((spaces.Discrete(2), space))), "role")
    with pytest.raises(ValueError, match=name):
        to_config(space)


@pytest.mark.parametrize("space", [spaces.Dict(), spaces.Tuple(()), spaces.Dict(a=spaces.Tuple(()))])
def test_spaces_without_leaves_are_refused(space):
    with pytest.raises(ValueError, match="has no leaves"):
        Structure(space)


def test_boxes_without_elements_are_refused():
    with pytest.raises(ValueError, match=r"at 'a' is a Box without elements. Received: shape=\(2, 0\)"):
        Structure(spaces.Dict(a=spaces.Box(0, 1, (2, 0))))


@pytest.mark.parametrize("wrong", [4, "Box", None, spaces.Box, [spaces.Discrete(2)]])
def test_only_spaces_are_spaces(wrong):
    with pytest.raises(TypeError, match=r"`space` must be a gymnasium.Space. Received: "):
        Structure(wrong)


NESTED = spaces.Dict(
    camera=spaces.Dict(left=spaces.Box(0, 255, (4, 4, 3), np.uint8), right=spaces.Box(0, 1, (2,), np.float32)),
    pair=spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(2))),
)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda v: v.pop("pair"),
            r"`observation` must be a dict with keys \['camera', 'pair'\]. Received: \['camera'\]",
        ),
        (lambda v: v.update(more=1), r"Received: \['camera', 'more', 'pair'\]"),
        (lambda v: v.update(camera=np.zeros(3)), r"at 'camera' must be a dict with keys.*Received: ndarray"),
        (lambda v: v.update(pair=(1,)), r"at 'pair' must be a tuple of 2 entries. Received: 1 entries"),
        (lambda v: v.update(pair=3), r"at 'pair' must be a tuple of 2 entries. Received: int"),
    ],
)
def test_other_nestings_are_refused_with_their_path(change, message):
    structure, value = Structure(NESTED, "observation"), NESTED.sample()
    change(value)
    with pytest.raises(ValueError, match=message):
        structure.flatten(value)


def test_leaves_know_what_they_are():
    leaves = {leaf.name: leaf for leaf in Structure(NESTED).leaves}
    assert list(leaves) == ["camera/left", "camera/right", "pair/0", "pair/1"]
    assert leaves["camera/left"].is_image and not leaves["camera/right"].is_image
    assert leaves["pair/0"].nvec == 3 and leaves["pair/0"].start == 1 and leaves["pair/1"].nvec.tolist() == [2, 2]
    assert [leaf.kind for leaf in leaves.values()] == ["box", "box", "discrete", "multi_binary"]
    big = Structure(spaces.MultiDiscrete([2**33, 2])).leaves[0]
    assert big.stored_dtype == np.int64 and big.encode([2**33 - 1, 0]).tolist() == [2**33 - 1, 0]
    assert Structure(spaces.Box(0, 1, (2,), np.bool_)).leaves[0].stored_dtype == np.uint8
    assert Structure(spaces.Box(-1, 1, (2,), np.float64)).leaves[0].stored_dtype == np.float32


def test_the_table_shows_both_sides():
    box, other = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 2, (3,), np.float32)
    one = spaces.Dict(a=box, b=spaces.Discrete(3), c=spaces.MultiBinary(2))
    two = spaces.Dict(a=other, b=spaces.Discrete(3), d=spaces.Discrete(4, start=2))
    rows = difference(one, two).splitlines()
    assert [row.split()[0] for row in rows] == ["a", "c", "d"]
    assert "agent: Box(shape=(3,), float32, low=-1.0, high=1.0)" in rows[0] and "env: Box(" in rows[0]
    assert "high=2.0" in rows[0].split("env:")[1]
    assert "agent: multi_binary(n=[2, 2], start=[0, 0])" in rows[1] and rows[1].endswith("env: -")
    assert "agent: -" in rows[2] and rows[2].endswith("env: discrete(n=4, start=2)")
    assert difference(box, spaces.Text(3)).count("(the space)") == 1 and "Text" in difference(box, spaces.Text(3))


@pytest.mark.parametrize(
    "one, other",
    [
        (spaces.Box(0, 1, (3,), np.float32), spaces.Box(0, 1, (3,), np.float64)),
        (spaces.Box(0, 1, (3,)), spaces.Box(0, 1, (4,))),
        (spaces.Box(0, 1, (3,)), spaces.Box(0, 1, (3, 1))),
        (spaces.Discrete(3), spaces.Discrete(4)),
        (spaces.Discrete(3), spaces.Discrete(3, start=1)),
        (spaces.MultiDiscrete([2, 2]), spaces.MultiBinary(2)),
        (spaces.Discrete(3), spaces.Dict(a=spaces.Discrete(3))),
        (spaces.Dict({"0": spaces.Discrete(3)}), spaces.Tuple((spaces.Discrete(3),))),
    ],
)
def test_small_differences_are_differences(one, other):
    assert difference(one, other) and difference(other, one) and not difference(one, one)


def test_the_order_of_keys_is_a_difference():
    # Leaves are told apart by their place.
    a, b = spaces.Discrete(3), spaces.Discrete(4)
    one, other = spaces.Dict([("a", a), ("b", b)]), spaces.Dict([("b", b), ("a", a)])
    assert "(order of the leaves)" in difference(one, other) and "b, a" in difference(one, other)


@pytest.mark.parametrize(
    "config",
    [
        {}, [], None, "Box", 3, {"type": "Text"}, {"type": "Box"}, {"type": "Discrete", "n": 0, "start": 0},
        {"type": "Box", "shape": [2], "dtype": "float32", "low": [0], "high": 1},
        {"type": "Box", "shape": [2], "dtype": "float32", "low": 1, "high": 0},
        {"type": "Box", "shape": [2], "dtype": "no", "low": 0, "high": 1},
        {"type": "Box", "shape": "two", "dtype": "float32", "low": 0, "high": 1},
        {"type": "Tuple", "spaces": [3]}, {"type": "Dict", "spaces": {"a": 1}}, {"type": "MultiBinary", "n": [0]},
    ],
    ids=str,
)  # fmt: skip
def test_malformed_configs_are_refused(config):
    with pytest.raises(ValueError):
        from_config(config)


def test_sizes_a_file_may_ask_for_are_bounded():
    assert from_config({"type": "Discrete", "n": 2**26, "start": 0}).n == 2**26
    for config in (
        {"type": "Discrete", "n": 2**26 + 1, "start": 0},
        {"type": "MultiDiscrete", "nvec": [2**26, 1], "start": [0, 0], "dtype": "int64"},
        {"type": "MultiBinary", "n": [2**13, 2**13 + 1]},
        {"type": "Box", "shape": [2**26 + 1], "dtype": "uint8", "low": 0, "high": 1},
    ):
        with pytest.raises(ValueError, match="Refusing"):
            from_config(config)


def test_batches_of_values():
    structure = Structure(spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Discrete(3)), "states")
    found = structure.batch({"a": [[0.5, 1.0]] * 4, "b": [0, 1, 2, 0]})
    assert [part.shape for part in found] == [(4, 2), (4,)]
    assert structure.batch({"a": np.zeros((0, 2)), "b": []})[1].shape == (0,)
    with pytest.raises(ValueError, match=r"`states` at 'a' must be \('N', 2\). Received: \(2,\)"):
        structure.batch({"a": [0.5, 1.0], "b": [0]})
    with pytest.raises(ValueError, match=r"`states` at 'b' must be \('N',\). Received: \(\)"):
        structure.batch({"a": [[0.5, 1.0]], "b": 1})
