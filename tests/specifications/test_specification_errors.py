"""What is refused, with the path of the attribute, what was received and what is allowed."""

import decimal
import fractions

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.specifications import check_names, to_space, to_spec

INF, NAN = float("inf"), float("nan")
INT, FLOAT = {"type": "int", "num_values": 3}, {"type": "float"}


def loop():
    spec = {}
    spec["a"] = spec
    return spec


@pytest.mark.parametrize(
    "spec, error, message",
    [
        # the nesting
        (None, TypeError, r"`actions` must be a dict: .*Received: None \(NoneType\)"),
        ("float", TypeError, "`actions` must be a dict: a description with type, shape, num_values"),
        ([FLOAT], TypeError, r"Received: \[\{'type': 'float'\}\] \(list\)"),
        (spaces.Discrete(2), TypeError, r"Received: Discrete\(2\) \(Discrete\)"),
        ({}, ValueError, r"`actions` is empty. Received: \{\}. Allowed: type"),
        ({"arm": {"x": {}}}, ValueError, r"`actions\['arm'\]\['x'\]` is empty"),
        ({"arm": FLOAT, "leg": 3}, TypeError, r"`actions\['leg'\]` must be a dict.*Received: 3 \(int\)"),
        ({"arm": FLOAT, "leg": None}, TypeError, r"`actions\['leg'\]` must be a dict.*Received: None"),
        ({"arm": FLOAT, "shape": 3}, ValueError, r"`actions` mixes the attribute 'shape' with names.*\['arm', 'shape'\]"),
        ({"arm/x": FLOAT}, ValueError, r"Names in `actions` must be identifiers. Received: 'arm/x'. Allowed: letters"),
        ({"": FLOAT}, ValueError, "identifiers. Received: ''"),
        ({"arm": {"2": FLOAT}}, ValueError, r"Names in `actions\['arm'\]` must be identifiers. Received: '2'"),
        ({2: FLOAT}, TypeError, r"Names in `actions` must be strings. Received: 2 \(int\)"),
        (loop(), ValueError, r"`actions` has more than 32 levels of names. Received: actions\['a'\]\['a'\]"),
        # attributes
        ({**INT, "num_value": 3}, ValueError, "`actions` has an unknown .*'num_value'. Known: type, .*Did you mean 'num_values'"),
        ({**INT, "zzz": None}, ValueError, "Received: 'zzz'. Known: type, shape, num_values, start, dtype, min_value, max_value$"),
        ({"arm": {1: 2}}, ValueError, r"`actions\['arm'\]` has an unknown attribute. Received: 1"),
        ({"shape": 3}, ValueError, r"`actions.type` is required. Received: only \['shape'\]. Allowed: 'bool', 'int', 'float'"),
        ({"type": None}, ValueError, "`actions.type` is required"),
        ({"type": "flaot"}, ValueError, "`actions.type` is unknown. Received: 'flaot'. Known: bool, int, float. Did you mean 'float'?"),
        ({"type": ""}, ValueError, "`actions.type` is unknown. Received: ''. Known: bool, int, float$"),
        ({"type": float}, TypeError, r"`actions.type` must be a string. Received: <class 'float'> \(type\). Allowed: 'bool'"),
        ({"type": "bool", "num_values": 2}, ValueError, "`actions.num_values` is for type 'int' .* with it: type, shape$"),
        ({"type": "bool", "min_value": 0}, ValueError, "`actions.min_value` is for type 'float' only. Received: type 'bool'"),
        ({"type": "bool", "dtype": "int8"}, ValueError, "`actions.dtype` is for type 'int' or 'float' only"),
        ({**INT, "max_value": 2}, ValueError, "`actions.max_value` is for type 'float' only. Received: type 'int'"),
        ({**FLOAT, "num_values": 2}, ValueError, "`actions.num_values` is for type 'int' only. Received: type 'float'"),
        ({**FLOAT, "start": 2}, ValueError, "`actions.start` is for type 'int' only"),
        # shape
        ({**FLOAT, "shape": 0}, ValueError, r"`actions.shape` must consist of integers > 0. Received: \(0,\)"),
        ({**FLOAT, "shape": (2, -1)}, ValueError, r"`actions.shape` must consist of integers > 0. Received: \(2, -1\)"),
        ({**FLOAT, "shape": 2.0}, TypeError, r"`actions.shape` must be an integer > 0 or an iterable of such. Received: 2.0 \(float\)"),
        ({**FLOAT, "shape": True}, TypeError, r"`actions.shape` must be an integer .*Received: True \(bool\)"),
        ({**FLOAT, "shape": "3"}, TypeError, "`actions.shape` must be an integer .*Received: '3'"),
        ({**FLOAT, "shape": {2, 3}}, TypeError, "`actions.shape` must be an integer .*Received: {2, 3}"),
        ({**FLOAT, "shape": np.array(2.5)}, TypeError, "`actions.shape` must be an integer .*Received: 2.5"),
        ({**FLOAT, "shape": (2, None)}, TypeError, r"`actions.shape` must consist of integers > 0. Received: None .* in \(2, None\)"),
        ({**FLOAT, "shape": (2, True)}, TypeError, r"Received: True \(bool\)"),
        ({**FLOAT, "shape": np.ones(2)}, TypeError, r"Received: 1.0 \(float\)"),
        ({**FLOAT, "shape": [[2, 3]]}, TypeError, r"Received: \[2, 3\] \(list\)"),
        ({**FLOAT, "shape": (1 for _ in iter(int, 1))}, ValueError, "`actions.shape` must have at most 32 dimensions"),
        # num_values, start and dtype
        ({"type": "int"}, ValueError, r"`actions.num_values` is required for type 'int'. Received: only \['type'\]. Allowed: integers > 1"),
        ({"type": "int", "num_values": None}, ValueError, "`actions.num_values` is required"),
        ({"type": "int", "num_values": 1}, ValueError, "`actions.num_values` is out of range. Received: 1. Allowed: 2 to 92233720"),
        ({"type": "int", "num_values": -3}, ValueError, "Received: -3. Allowed: 2 to"),
        ({"type": "int", "num_values": 2**63}, ValueError, "Received: 9223372036854775808. Allowed: 2 to"),
        ({"type": "int", "num_values": 3.0}, TypeError, r"`actions.num_values` must be an integer. Received: 3.0 \(float\)"),
        ({"type": "int", "num_values": "3"}, TypeError, r"`actions.num_values` must be an integer. Received: '3' \(str\)"),
        ({"type": "int", "num_values": True}, TypeError, r"`actions.num_values` must be an integer. Received: True \(bool\)"),
        ({"type": "int", "num_values": [3]}, TypeError, r"`actions.num_values` must be an integer. Received: \[3\] \(list\)"),
        ({**INT, "shape": 2, "num_values": [3, 1]}, ValueError, r"`actions.num_values\[1\]` is out of range. Received: 1"),
        ({**INT, "shape": 2, "num_values": [3, np.True_]}, TypeError, r"`actions.num_values\[1\]` must be an integer"),
        ({**INT, "shape": 2, "num_values": [3]}, ValueError, r"`actions.num_values` must be of shape \(2,\). .*: \[3\] .*an array"),
        ({**INT, "shape": (2, 2), "num_values": [3, [3, 4]]}, ValueError, r"`actions.num_values\[0\]` must be of shape \(2,\). .*: 3 "),
        ({**INT, "start": 0.5}, TypeError, r"`actions.start` must be an integer. Received: 0.5 \(float\)"),
        ({**INT, "start": -1, "dtype": "uint8"}, ValueError, "`actions.start` is out of range. Received: -1. Allowed: 0 to 255"),
        ({**INT, "start": 254, "dtype": "uint8"}, ValueError, "`actions` has values that its dtype lacks. Received: 256 as uint8"),
        ({**INT, "shape": 2, "start": [0, 126], "dtype": "int8"}, ValueError, "dtype lacks. Received: 128 as int8"),
        ({**INT, "shape": 2, "num_values": [3, 200], "start": 100, "dtype": "uint8"}, ValueError, "Received: 299 as uint8"),
        ({**INT, "dtype": "float32"}, ValueError, "`actions.dtype` is no dtype of type 'int'. Received: 'float32'. Known: int8, "),
        ({**FLOAT, "dtype": "float23"}, ValueError, "`actions.dtype` is no dtype of type 'float'. .*'float23'.*Did you mean 'float"),
        ({**FLOAT, "dtype": np.float64}, TypeError, "`actions.dtype` must be a string. Received: <class 'numpy.float64'>"),
        # bounds
        ({"arm": {"angle": {**FLOAT, "min_value": "0"}}}, TypeError, r"`actions\['arm'\]\['angle'\].min_value` must be a number. .*'0'"),
        ({**FLOAT, "min_value": False}, TypeError, r"`actions.min_value` must be a number. Received: False \(bool\)"),
        ({**FLOAT, "min_value": 1j}, TypeError, "`actions.min_value` must be a number. Received: 1j"),
        ({**FLOAT, "min_value": decimal.Decimal(1)}, TypeError, "must be a number"),
        ({**FLOAT, "min_value": fractions.Fraction(1, 2)}, TypeError, "must be a number"),
        ({**FLOAT, "min_value": [0.0]}, TypeError, r"`actions.min_value` must be a number. Received: \[0.0\] \(list\)"),
        ({**FLOAT, "min_value": NAN}, ValueError, "`actions.min_value` must be finite. Received: nan"),
        ({**FLOAT, "min_value": -INF}, ValueError, "`actions.min_value` must be finite. Received: -inf. .*leave a bound out"),
        ({**FLOAT, "shape": 2, "max_value": [1, INF]}, ValueError, r"`actions.max_value\[1\]` must be finite. Received: inf. .*None in an"),
        ({**FLOAT, "max_value": -INF}, ValueError, "`actions.max_value` must be finite. Received: -inf"),
        ({**FLOAT, "max_value": 1e39}, ValueError, r"`actions.max_value` is out of float32's range. Received: 1e\+39. Allowed: -3.4028"),
        ({**FLOAT, "max_value": 10**400}, ValueError, "`actions.max_value` is out of float32's range"),
        ({**FLOAT, "max_value": 256, "dtype": "uint8"}, ValueError, "out of uint8's range. Received: 256. Allowed: 0 to 255"),
        ({**FLOAT, "max_value": 2.5, "dtype": "uint8"}, ValueError, "`actions.max_value` must be whole, as uint8 is. Received: 2.5"),
        ({**FLOAT, "max_value": 2, "dtype": "bool"}, ValueError, "out of bool's range. Received: 2. Allowed: 0 to 1"),
        ({**FLOAT, "min_value": 1, "max_value": 1}, ValueError, "`actions.min_value` must be less .*: 1.0 and 1.0 as float32$"),
        ({**FLOAT, "min_value": 1, "max_value": 0}, ValueError, "Received: 1.0 and 0.0 as float32"),
        ({**FLOAT, "min_value": 1, "max_value": 1 + 1e-9}, ValueError, "Received: 1.0 and 1.0 as float32"),
        ({**FLOAT, "min_value": 255, "dtype": "uint8"}, ValueError, "Received: 255 and 255 as uint8"),
        ({**FLOAT, "shape": (1, 2), "min_value": [[0, 3]], "max_value": 2}, ValueError, r"3.0 and 2.0 as float32, in component \[0, 1\]"),
        ({**FLOAT, "shape": 2, "min_value": [0, 0, 0]}, ValueError, r"`actions.min_value` must be of shape \(2,\). Received: \[0, 0, 0\]"),
        ({**FLOAT, "shape": 2, "min_value": np.zeros((2, 1))}, TypeError, r"`actions.min_value\[0\]` must be a number. Received: \[0.0\]"),
        ({**FLOAT, "shape": (2, 2), "min_value": np.zeros(2)}, ValueError, r"`actions.min_value\[0\]` must be of shape \(2,\)"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_refused_actions(spec, error, message):
    with pytest.raises(error, match=message) as caught:
        to_space(spec, "actions")
    assert type(caught.value) is error  # and not some accident's subclass


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"type": "int", "num_values": 3}, r"`states.shape` is required. Received: only \['type', 'num_values'\]. Allowed: integers > 0"),
        ({"arm": {"shape": None}}, r"`states\['arm'\].shape` is required. Received: only \[\]"),
        ({"shape": 2, "num_values": 3}, "`states.num_values` is for type 'int' only. Received: type 'float'"),
        ({"shape": 2, "min_value": INF}, "`states.min_value` must be finite. Received: inf. Allowed: .* or -inf"),
        ({"shape": 2, "max_value": [0, -INF]}, r"`states.max_value\[1\]` must be finite. Received: -inf. .* or inf"),
        ({"shape": 2, "max_value": NAN}, "`states.max_value` must be finite. Received: nan"),
    ],
    ids=str,
)  # fmt: skip
def test_refused_states(spec, message):
    with pytest.raises(ValueError, match=message):
        to_space(spec, "states")


@pytest.mark.parametrize("argument", ["state", "", None, ["states"]])
def test_refused_arguments(argument):
    with pytest.raises(ValueError, match=r"`argument` must be 'states' or 'actions'. Received: "):
        to_space({"type": "float", "shape": 1}, argument)


def test_messages_stay_short():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for wrong in (deep, "x" * 10**6, list(range(10**5)), 10**5000, np.zeros(10**5)):
        with pytest.raises((TypeError, ValueError)) as caught:
            to_space({"type": "float", "shape": 3, "min_value": wrong})
        assert str(caught.value).startswith("`states.min_value") and len(str(caught.value)) < 500


ATTRIBUTES = ["type", "shape", "num_values", "min_value", "max_value", "start", "dtype", "other"]
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 5), st.integers(), st.floats(), st.text(max_size=2),
        st.sampled_from(["bool", "int", "float", "uint8", "int64", "float16", 2**63, 2**64, b"2", 1j, np.int8(2), np.float16(2)]),
        st.sampled_from([np.ones(2), np.ones((1, 2), int), np.array(3), np.array(None), np.array("x"), np.array([], object)]),
    ),
    lambda part: st.one_of(st.lists(part, max_size=3), st.lists(part, max_size=2).map(tuple)),
    max_leaves=3,
)  # fmt: skip
descriptions = st.one_of(
    values,
    st.dictionaries(st.sampled_from(ATTRIBUTES), values, max_size=4),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["bool", "int", "float"])},
        optional={name: values for name in ATTRIBUTES[1:-1]},
    ),
)
anything = st.recursive(
    descriptions,
    lambda part: st.dictionaries(st.sampled_from(["arm", "gymtpl0", "shape", "a b", 3, None]), part, max_size=2),
    max_leaves=3,
)


@pytest.mark.thorough
@settings(max_examples=25, deadline=None)
@given(spec=anything, argument=st.sampled_from(["states", "actions"]))
def test_whatever_is_received_is_built_or_refused_by_its_path(spec, argument):
    try:
        space = to_space(spec, argument)
    except (TypeError, ValueError) as error:
        assert type(error) in (TypeError, ValueError)
        assert str(error).startswith((f"`{argument}", f"Names in `{argument}")) and "Received: " in str(error)
    else:
        assert to_space(to_spec(space), argument) == space
        check_names({"seen": spec}, {"done": to_spec(space)})
