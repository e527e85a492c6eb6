"""Specifications become the spaces they describe, and spaces come back from their specifications."""

import json
import pathlib
import subprocess
import sys
from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.spaces import Bool, Structure, from_config, to_config
from kagent.specifications import check_names, to_space, to_spec

ROOT = pathlib.Path(__file__).parents[2]
INF = float("inf")
BOX = spaces.Box


def exactly(space):
    """All that makes a space: gymnasium compares bounds of a box only approximately."""
    if isinstance(space, spaces.Dict):
        return {name: exactly(part) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return [exactly(part) for part in space.spaces]
    flags = [space.bounded_below.tolist(), space.bounded_above.tolist()] if isinstance(space, BOX) else []
    return type(space), np.dtype(space.dtype), to_config(space), flags


def test_neither_keras_nor_tensorflow_is_loaded():
    code = "import sys, kagent.specifications; sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# Specifications to spaces


@pytest.mark.parametrize(
    "spec, space",
    [
        # bool
        ({"type": "bool", "shape": ()}, Bool()),
        ({"type": "bool", "shape": 3}, spaces.MultiBinary(3)),
        ({"type": "bool", "shape": (3,)}, spaces.MultiBinary(3)),
        ({"type": "bool", "shape": [2, 3]}, spaces.MultiBinary([2, 3])),
        # int
        ({"type": "int", "shape": (), "num_values": 4}, spaces.Discrete(4)),
        ({"type": "long", "shape": [], "num_values": 4}, spaces.Discrete(4)),
        ({"type": "int", "shape": (), "num_values": np.int64(4), "start": -2}, spaces.Discrete(4, start=-2)),
        ({"type": "int", "shape": 2, "num_values": 4}, spaces.MultiDiscrete([4, 4])),
        ({"type": "int", "shape": (1, 2), "num_values": 4}, spaces.MultiDiscrete([[4, 4]])),
        ({"type": "int", "shape": 2, "num_values": [4, 3]}, spaces.MultiDiscrete([4, 3])),
        ({"type": "int", "shape": (2, 1), "num_values": ((4,), (3,))}, spaces.MultiDiscrete([[4], [3]])),
        (
            {"type": "int", "shape": 2, "num_values": 4, "start": np.array([1, -5])},
            spaces.MultiDiscrete([4, 4], start=[1, -5]),
        ),
        (
            {"type": "int", "shape": 2, "num_values": [4, 3], "start": 1, "dtype": "uint8"},
            spaces.MultiDiscrete([4, 3], start=[1, 1], dtype=np.uint8),
        ),
        ({"type": "int", "shape": 1, "num_values": 127, "dtype": "int8"}, spaces.MultiDiscrete([127], dtype=np.int8)),
        # float
        ({"shape": ()}, BOX(-INF, INF, ())),
        ({"shape": 3}, BOX(-INF, INF, (3,))),
        ({"shape": range(2, 4)}, BOX(-INF, INF, (2, 3))),
        ({"shape": np.array([2, 3])}, BOX(-INF, INF, (2, 3))),
        ({"shape": (n for n in (2, 3))}, BOX(-INF, INF, (2, 3))),
        ({"type": "float", "shape": 2, "min_value": -1, "max_value": 0.5}, BOX(-1, 0.5, (2,))),
        ({"type": "float", "shape": 2, "min_value": -1, "max_value": None}, BOX(-1, INF, (2,))),
        ({"type": None, "shape": 2, "max_value": np.float32(0.1)}, BOX(-INF, np.float32(0.1), (2,))),
        ({"shape": 2, "max_value": np.array(3)}, BOX(-INF, 3, (2,))),
        (
            {"shape": 2, "min_value": [0, -1.5], "max_value": np.array([1.0, 2.0])},
            BOX(np.array([0, -1.5], np.float32), np.array([1, 2], np.float32)),
        ),
        (
            {"shape": (1, 2), "min_value": [[None, 0]], "max_value": 5},
            BOX(np.array([[-INF, 0]], np.float32), np.array([[5, 5]], np.float32)),
        ),
        ({"shape": 2, "min_value": -INF, "max_value": [INF, 2]}, BOX(-INF, np.array([INF, 2], np.float32), (2,))),
        ({"shape": 2, "min_value": 0.1, "max_value": 0.2, "dtype": "float64"}, BOX(0.1, 0.2, (2,), np.float64)),
        ({"shape": (4, 5, 3), "min_value": 0, "max_value": 255.0, "dtype": "uint8"}, BOX(0, 255, (4, 5, 3), np.uint8)),
        ({"shape": (4, 5, 3), "dtype": "uint8"}, BOX(0, 255, (4, 5, 3), np.uint8)),
        ({"shape": 2, "dtype": "int32"}, BOX(-INF, INF, (2,), np.int32)),
        ({"shape": 2, "max_value": 2**63 - 2, "dtype": "int64"}, BOX(-INF, 2**63 - 2, (2,), np.int64)),
        ({"shape": 1, "min_value": 2**64 - 2, "dtype": "uint64"}, BOX(2**64 - 2, 2**64 - 1, (1,), np.uint64)),
        ({"shape": 2, "dtype": "bool"}, BOX(0, 1, (2,), np.bool_)),
        # nested
        ({"a": {"shape": 2}}, spaces.Dict(a=BOX(-INF, INF, (2,)))),
        (
            OrderedDict(shape={"type": {"type": "bool", "shape": 2}}, a=MappingProxyType({"shape": 1})),
            spaces.Dict(a=BOX(-INF, INF, (1,)), shape=spaces.Dict(type=spaces.MultiBinary(2))),
        ),
        (
            {"gymtpl1": {"shape": 1}, "gymtpl0": {"type": "bool", "shape": ()}},
            spaces.Tuple([Bool(), BOX(-INF, INF, (1,))]),
        ),
        ({"gymtpl1": {"shape": 1}}, spaces.Dict(gymtpl1=BOX(-INF, INF, (1,)))),
    ],
)  # fmt: skip
def test_what_becomes_of_a_specification(spec, space):
    built = to_space(spec)
    assert built == space and exactly(built) == exactly(space)


def test_an_action_is_a_scalar_unless_it_says_otherwise():
    assert to_space({"type": "bool"}, "actions") == spaces.Discrete(2)
    assert to_space({"type": "int", "num_values": 3}, "actions") == spaces.Discrete(3)
    assert to_space({"type": "float"}, "actions") == BOX(-INF, INF, ())
    assert to_space({"type": "float", "shape": 2, "min_value": [None, 0]}, "actions") == BOX(
        np.array([-INF, 0], np.float32), INF, (2,)
    )


def test_names_are_sorted_and_a_tuples_entries_counted():
    assert list(to_space({"b": {"shape": 1}, "a": {"shape": 1}}).spaces) == ["a", "b"]
    many = {f"gymtpl{n}": {"shape": n + 1} for n in (10, *range(10))}
    assert [part.shape for part in to_space(many)] == [(n + 1,) for n in range(11)]


def test_what_is_described_can_be_loaded():
    largest = to_space({"type": "bool", "shape": 2**26})
    assert from_config(to_config(largest)) == largest
    for shape in ([2**26 + 1], [2**13, 2**13 + 1], [10**30], [2**40] * 32):
        for description in ({"type": "bool"}, {"type": "int", "num_values": 2}, {"type": "float"}):
            with pytest.raises(ValueError, match=r"`states.shape` must have at most 67108864 elements"):
                to_space({"shape": shape, **description})


# Spaces to specifications


@pytest.mark.parametrize(
    "space, spec",
    [
        (spaces.Discrete(2), {"type": "int", "shape": [], "num_values": 2}),
        (spaces.Discrete(3, start=-1), {"type": "int", "shape": [], "num_values": 3, "start": -1}),
        (spaces.MultiBinary(3), {"type": "bool", "shape": [3]}),
        (spaces.MultiBinary([2, 3]), {"type": "bool", "shape": [2, 3]}),
        (spaces.MultiDiscrete([4, 4]), {"type": "int", "shape": [2], "num_values": 4}),
        (spaces.MultiDiscrete([4, 3]), {"type": "int", "shape": [2], "num_values": [4, 3]}),
        (
            spaces.MultiDiscrete([[4], [3]], start=[[0], [2]], dtype=np.int32),
            {"type": "int", "shape": [2, 1], "num_values": [[4], [3]], "start": [[0], [2]], "dtype": "int32"},
        ),
        (spaces.MultiDiscrete([4], start=[7]), {"type": "int", "shape": [1], "num_values": 4, "start": 7}),
        (BOX(-INF, INF, (3,)), {"type": "float", "shape": [3]}),
        (BOX(-1, INF, ()), {"type": "float", "shape": [], "min_value": -1.0}),
        (BOX(0.5, 2, (2,), np.float64), {"type": "float", "shape": [2], "min_value": 0.5, "max_value": 2.0, "dtype": "float64"}),
        (BOX(0, 255, (4, 4, 3), np.uint8), {"type": "float", "shape": [4, 4, 3], "min_value": 0, "max_value": 255, "dtype": "uint8"}),
        (BOX(0, 1, (2,), np.bool_), {"type": "float", "shape": [2], "min_value": 0, "max_value": 1, "dtype": "bool"}),
        (BOX(-INF, 5, (2,), np.int32), {"type": "float", "shape": [2], "max_value": 5, "dtype": "int32"}),
        (
            BOX(np.array([-INF, 0], np.float32), np.array([1, 2], np.float32)),
            {"type": "float", "shape": [2], "min_value": [None, 0.0], "max_value": [1.0, 2.0]},
        ),
        (
            spaces.Dict({"b": spaces.MultiBinary(2), "a": spaces.MultiBinary(1)}),
            {"a": {"type": "bool", "shape": [1]}, "b": {"type": "bool", "shape": [2]}},
        ),
        (spaces.Dict(a=spaces.Tuple([spaces.MultiBinary(1)])), {"a": {"gymtpl0": {"type": "bool", "shape": [1]}}}),
    ],
)  # fmt: skip
def test_how_a_space_is_described(space, spec):
    described = to_spec(space)
    # As text: 1 is neither True nor 1.0.
    assert json.dumps(described) == json.dumps(spec)
    assert exactly(to_space(described)) == exactly(space)


def test_an_order_of_its_own_is_kept_by_ordered_dicts():
    # Keyword arguments are not sorted by gymnasium.
    ordered = spaces.Dict(c=spaces.MultiBinary(1), a=spaces.Dict(z=spaces.MultiBinary(2), y=spaces.MultiBinary(3)))
    spec = to_spec(ordered)
    text = '{"c": {"type": "bool", "shape": [1]}, "a": {"z": {"type": "bool", "shape": [2]}, "y": {"type": "bool", "shape": [3]}}}'
    assert json.dumps(spec) == text
    paths = [("c",), ("a", "z"), ("a", "y")]
    assert [leaf.path for leaf in Structure(to_space(spec)).leaves] == paths
    loaded = json.loads(text, object_pairs_hook=OrderedDict)
    assert [leaf.path for leaf in Structure(to_space(loaded)).leaves] == paths
    assert [leaf.path for leaf in Structure(to_space(json.loads(text))).leaves] == [("a", "y"), ("a", "z"), ("c",)]
    assert type(to_spec(spaces.Dict(a=spaces.MultiBinary(1), b=spaces.MultiBinary(1)))) is dict


def test_what_is_lost_equals_what_comes_back():
    partly = BOX(np.array([-INF, 0]), np.array([1, 1]), dtype=np.int32)
    assert to_spec(partly)["min_value"] == [-(2**31), 0]
    assert to_space(to_spec(partly)) == partly and to_space(to_spec(partly)).bounded_below.all()
    listed = spaces.MultiBinary([3])
    assert to_spec(listed) == to_spec(spaces.MultiBinary(3)) and to_space(to_spec(listed)) != listed


class Other(spaces.Space):
    pass


@pytest.mark.parametrize(
    "space, message",
    [
        (spaces.Text(5), r"`space` has no specification. Received: Text. Allowed: Box, Discrete"),
        (spaces.Graph(BOX(-1, 1, (2,)), None), "`space` has no specification. Received: Graph"),
        (spaces.Sequence(spaces.Discrete(2)), "`space` has no specification. Received: Sequence"),
        (spaces.OneOf([spaces.Discrete(2)]), "`space` has no specification. Received: OneOf"),
        (Other((), np.float32), "`space` has no specification. Received: Other"),
        (
            spaces.Dict(a=spaces.Tuple([spaces.Discrete(2), spaces.Text(5)])),
            r"`space\['a'\]\[1\]` has no specification. Received: Text",
        ),
        (spaces.Dict(), "`space` is empty"),
        (spaces.Dict(a=spaces.Tuple([])), r"`space\['a'\]` is empty"),
        (spaces.Dict({"a/b": spaces.Discrete(2)}), "Names in `space` must be identifiers. Received: 'a/b'"),
        (
            spaces.Dict(a=spaces.Dict(gymtpl0=spaces.Discrete(2))),
            r"`space\['a'\]` is named as a Tuple's entries are.*\['gymtpl0'\]",
        ),
        (spaces.Discrete(1), r"`space.num_values` is out of range. Received: 1. Allowed: 2 to 9223372036854775807"),
        (spaces.MultiDiscrete([2, 1]), r"`space.num_values\[1\]` is out of range. Received: 1"),
        (spaces.MultiDiscrete(np.array(3)), "`space` has no dimension"),
        (spaces.MultiBinary([]), "`space` has no dimension"),
        (spaces.MultiDiscrete([]), r"`space.shape` must consist of integers > 0. Received: \(0,\)"),
        (BOX(0, 1, (2, 0)), r"`space.shape` must consist of integers > 0. Received: \(2, 0\)"),
        (
            BOX(np.array([0, 1], np.float32), np.array([1, 1], np.float32)),
            r"min_value` must be less than.* 1.0 and 1.0 .* component \[1\]",
        ),
        (BOX(INF, INF, (2,)), "`space.min_value` leaves no number"),
        (BOX(np.array([0, -INF], np.float32), np.array([1, -INF], np.float32)), "`space.max_value` leaves no number"),
        (BOX(0, 1, (2,), np.dtype(">f4")), "`space` must be of native byte order. Received: >f4"),
        (BOX(0, 1, (2,), np.longdouble), "`space.dtype` is no dtype of type 'float'. Received: 'float128'"),
        (spaces.MultiBinary(2**26 + 1), "`space.shape` must have at most 67108864 elements"),
        (spaces.MultiBinary([1] * 33), "`space.shape` must have at most 32 dimensions. Received: 33 or more"),
    ],
)
def test_spaces_without_a_specification_are_named(space, message):
    with pytest.raises(ValueError, match=message):
        to_spec(space)


@pytest.mark.parametrize("wrong", [None, "CartPole-v1", {"shape": 3}, spaces.Box])
def test_only_spaces_are_described(wrong):
    with pytest.raises(TypeError, match=r"`space` must be a gymnasium.Space. Received: "):
        to_spec(wrong)


def test_a_space_nested_too_deeply_is_refused_as_its_specification_would_be():
    space = spaces.Discrete(2)
    for _ in range(32):
        space = spaces.Dict(a=space)
    assert to_space(to_spec(space)) == space
    with pytest.raises(ValueError, match=r"`space` has more than 32 levels of names. Received: space\[0\]\['a'\]"):
        to_spec(spaces.Tuple([space]))


# Both ways, of what is drawn


shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


def nested_lists(draw, shape, values):
    if not shape:
        return draw(values)
    return [nested_lists(draw, shape[1:], values) for _ in range(shape[0])]


@st.composite
def bools(draw):
    shape = draw(shapes)
    description = {"type": "bool", "shape": list(shape)}
    if not shape:
        return description, Bool(), description
    return description, spaces.MultiBinary(shape if len(shape) > 1 else shape[0]), description


@st.composite
def ints(draw):
    shape, dtype = draw(shapes), draw(st.sampled_from(["int8", "uint8", "int32", "uint64", "int64"]))
    inner = draw(st.sampled_from([(), shape]))
    counts = nested_lists(draw, inner, st.integers(2, 60))
    starts = nested_lists(draw, inner, st.integers(0 if dtype.startswith("u") else -70, 60))
    description = {"type": "int", "shape": list(shape), "num_values": counts}
    if np.any(starts) or draw(st.booleans()):
        description["start"] = starts
    if dtype != "int64" or draw(st.booleans()):
        description["dtype"] = dtype
    if not shape:
        return description, spaces.Discrete(counts, start=starts, dtype=np.dtype(dtype).type), None
    nvec, start = np.broadcast_to(counts, shape), np.broadcast_to(starts, shape)
    return description, spaces.MultiDiscrete(nvec, start=start, dtype=np.dtype(dtype).type), None


@st.composite
def floats(draw):
    shape, dtype = (
        draw(shapes),
        np.dtype(draw(st.sampled_from(["float16", "float32", "float64", "int8", "uint8", "int64"]))),
    )
    inner = draw(st.sampled_from([(), shape]))
    if dtype.kind == "f":
        half = st.floats(0, 60000, width=dtype.itemsize * 8)
        lows = nested_lists(draw, inner, half.map(lambda x: -x)) if draw(st.booleans()) else None
        highs = nested_lists(draw, inner, half.filter(bool)) if draw(st.booleans()) else None
    else:
        limits = np.iinfo(dtype)
        middle = int(limits.max) // 2
        lows = nested_lists(draw, inner, st.integers(int(limits.min), middle - 1)) if draw(st.booleans()) else None
        highs = nested_lists(draw, inner, st.integers(middle, int(limits.max))) if draw(st.booleans()) else None
    description = {"type": "float", "shape": list(shape), "dtype": dtype.name}
    low, high = (-INF, INF) if dtype.kind != "u" else (0, 255)
    if lows is not None:
        description["min_value"] = lows
        low = np.broadcast_to(np.array(lows, dtype), shape)
    if highs is not None:
        description["max_value"] = highs
        high = np.broadcast_to(np.array(highs, dtype), shape)
    if description["dtype"] == "float32" and draw(st.booleans()):
        del description["dtype"]
    return description, BOX(low, high, shape, dtype.type), None


# Each a specification, its space, and None or how that space is described
leaves = st.one_of(bools(), ints(), floats())
names = st.sampled_from(["a", "b", "state", "type", "shape", "min_value", "gymtpl0", "gymtpl1", "ü_1"])


def nested(children):
    def as_dict(parts, kind=dict):
        if set(parts) in ({"gymtpl0"}, {"gymtpl0", "gymtpl1"}):
            return as_tuple([parts[name] for name in sorted(parts)])
        spec, built = (kind((name, part[i]) for name, part in parts.items()) for i in (0, 1))
        return spec, spaces.Dict(built), None

    def as_tuple(parts):
        spec = {f"gymtpl{n}": spec for n, (spec, _, _) in enumerate(parts)}
        return spec, spaces.Tuple([space for _, space, _ in parts]), None

    return st.one_of(
        st.builds(
            as_dict, st.dictionaries(names, children, min_size=1, max_size=3), st.sampled_from([dict, OrderedDict])
        ),
        st.lists(children, min_size=1, max_size=3).map(as_tuple),
    )


@settings(max_examples=40, deadline=None)
@given(drawn=st.recursive(leaves, nested, max_leaves=6), argument=st.sampled_from(["states", "actions"]))
def test_specifications_and_spaces_come_back_from_each_other(drawn, argument):
    spec, space, described = drawn
    paths = [leaf.path for leaf in Structure(space).leaves]
    built = to_space(spec, argument)
    assert exactly(built) == exactly(space) and [leaf.path for leaf in Structure(built).leaves] == paths
    back = to_spec(space)
    if described is not None:
        assert back == described
    text = json.dumps(back, allow_nan=False)
    again = to_space(json.loads(text, object_pairs_hook=OrderedDict), argument)
    assert again == space and exactly(again) == exactly(space)
    assert json.dumps(to_spec(again)) == text
    assert [leaf.path for leaf in Structure(again).leaves] == paths
    check_names({"seen": back}, {"done": spec})
