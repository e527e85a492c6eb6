"""What users' functions take, and what names are known."""

from __future__ import annotations

import functools

import pytest

from kagent.config.signatures import check_function, check_known, constructor_parameters


def bounded(features, rate, *, mode):
    return features


class Callable:
    def __call__(self, mode, features):
        return features


def of_anything(*parts, **named):
    return parts


def after_features(features, /, mode):
    return features


def of_all_that_come(features, mode, *more):
    return features


TWO = ("features", "mode")


@pytest.mark.parametrize(
    "function, takes",
    [
        (lambda mode, features: features, ["mode", "features"]),
        (Callable(), ["mode", "features"]),
        (lambda features, mode, units=3: features, ["features", "mode", "units"]),
        (functools.partial(bounded, rate=1), ["features", "mode"]),
        (lambda mode, **more: mode, ["mode", "features"]),
        (of_anything, ["features", "mode"]),
    ],
)
def test_what_they_take(function, takes):
    assert check_function(function, "graph_fn", TWO) == takes


def test_further_arguments():
    known = (*TWO, "params")
    assert check_function(lambda params, features, mode: 0, "f", TWO, known) == ["params", "features", "mode"]
    assert check_function(lambda **all_: 0, "f", TWO, known) == list(known)
    assert check_function(lambda features, mode: 0, "f", TWO, known) == list(TWO)


@pytest.mark.parametrize(
    "function, known, error, message",
    [
        (3, None, TypeError, r"`f` must be a function. Received: 3 \(int\)"),
        (lambda features: 0, None, ValueError, r"`f` must take `mode`. It takes: \['features'\]"),
        (bounded, None, ValueError, r"`f` has unexpected arguments \['rate'\]. Known: \['features', 'mode'\]"),
        (lambda features, mode, foo=1: 0, TWO, ValueError, r"unexpected arguments \['foo'\]"),
        (after_features, None, ValueError, r"by name, and cannot take these: \['features'\]"),
        (of_all_that_come, None, ValueError, r"cannot take these: \['more'\]"),
        (functools.partial(bounded, rate=1, mode=2), None, ValueError, "`f` must take `mode`"),
    ],
)
def test_what_is_refused(function, known, error, message):
    with pytest.raises(error, match=message):
        check_function(function, "f", TWO, known)


def test_names():
    check_known(["a"], ["a", "b"], "`thing`")
    check_known({}, ["a"], "`thing`")
    with pytest.raises(ValueError, match=r"^`thing` has no \['c', 'd'\]. Known: \['a', 'b'\]$"):
        check_known(["c", "a", "d"], ("a", "b"), "`thing`")
    with pytest.raises(ValueError, match=r"^`thing` has no key \['c'\]. Known: \['a'\]$"):
        check_known({"c": 1}, {"a": 1}, "`thing`", "key")


def test_a_class_is_read_from_its_init_whatever_its_new_takes():
    # As Keras's layers: `inspect.signature` of the class shows one or the other, by the version of Python.
    class Layer:
        def __new__(cls, *args, **kwargs):
            return super().__new__(cls)

        def __init__(self, units, name=None):
            self.units = units

    class Inherits(Layer): ...

    assert [p.name for p in constructor_parameters(Inherits)] == ["units", "name"]
    assert [p.name for p in constructor_parameters(lambda width, *, depth=1: None)] == ["width", "depth"]
