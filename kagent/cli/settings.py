"""Settings of a run: nested plain data, merged from several places, checked against what the preset takes."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from kagent.cli.errors import CommandError
from kagent.config import settings_file
from kagent.config.checks import check_positive
from kagent.config.signatures import parameters
from kagent.config.vocabulary import hints

Settings = dict[str, Any]

TUNED = "tuned"  # of a file or --set alone: false leaves out the settings that kagent ships for the environment
FIT = ("steps", "episodes", "updates", "epochs", "n_envs", "steps_per_epoch", "step_timeout")
COMPILE = ("steps_per_execution", "jit_compile", "run_eagerly")
_GROUPS = {"fit": FIT, "compile": COMPILE}
# Given by the command line itself (`n_envs` as `fit.n_envs`), so they are no settings.
_NOT_SETTINGS = {"self", "env", "observation_space", "action_space", "n_envs", "name"}
# What `exploration.fraction=0.2` means when nothing else says the type.
_USUAL_TYPES = {"exploration": "EpsilonGreedy"}
_WITHOUT_TYPE = ("network", "preprocessing")  # as in Python: `network.units=[64,64]` changes the preset's own network
_BEGINNINGS = ("{", "[", '"')
_PYTHON_WORDS = {"True": True, "False": False, "None": None}


def parse(assignments: Iterable[str]) -> Settings:
    """`["exploration.fraction=0.2", "network.units=[64,64]"]` as nested settings.

    Values are JSON (numbers, true, false, null, lists, dicts), or else strings.

    Raises:
        CommandError: An assignment without `=` or with an empty part of the key.
    """
    settings: Settings = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        path = key.strip().split(".")
        if not equals or not all(path):
            raise CommandError(f"--set takes part.key=value. Received: {assignment!r}")
        settings = merge(settings, nested(key.strip(), value_of(text.strip())))
    return settings


def nested(key: str, value: Any) -> Settings:
    """`{"a": {"b": value}}` of the key `"a.b"`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    found: Settings = value
    return found


def read(path: Path) -> Settings:
    """Settings from a `.yaml`, `.yml` or `.json` file, or from the `config.json` of a run.

    Raises:
        CommandError: No such file, another suffix, bad syntax, no mapping; or PyYAML is missing.
    """
    try:
        content = settings_file.read(path, "--config")
    except (ValueError, ImportError) as error:
        raise CommandError(str(error)) from error
    if "algorithm" in content and "settings" in content:
        content = content["settings"]  # the record that a run leaves
    if not isinstance(content, dict):
        raise CommandError(f"--config {path} must hold a mapping of settings. Received: {type(content).__name__}")
    return content


def merge(base: Settings, overlay: Settings) -> Settings:
    """`base` with what `overlay` says. Dicts merge key by key, unless `overlay` names another `type`."""
    merged = copy.deepcopy(base)
    for key, value in overlay.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict) and value.get("type") in (None, below.get("type")):
            merged[key] = merge(below, value)
        elif isinstance(value, dict) and isinstance(below, str) and below != "auto":
            merged[key] = merge({"type": below}, value)  # a part by name is a dict with its type alone
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def without_tuned(given: Settings, before: bool = True) -> tuple[Settings, bool]:
    """Settings without the word `tuned`, and whether shipped settings are to lie below them; `before` where they do not say it.

    Raises:
        CommandError: It is neither true nor false.

    Example:

    >>> without_tuned({"tuned": False, "discount": 0.9})
    ({'discount': 0.9}, False)
    """
    wanted = given.get(TUNED, before)
    if not isinstance(wanted, bool):
        raise CommandError(f"setting {TUNED!r} must be true or false. Received: {wanted!r}")
    return {key: value for key, value in given.items() if key != TUNED}, wanted


def resolve(preset: type, *layers: Settings) -> Settings:
    """All layers merged, the later the stronger, and checked against the arguments of `preset`.

    Args:
        preset: A preset class, such as `kagent.DQN`.
        *layers: Settings: preset arguments at the top, `"fit"` and `"compile"` as dicts.

    Returns:
        Merged settings. Whole floats become ints where the preset's default is an int (`memory=1e6`).

    Raises:
        CommandError: A key that neither the preset nor `fit` nor `compile` takes, with the known ones.
    """
    settings: Settings = {}
    for layer in layers:
        settings = merge(settings, layer)
    defaults = arguments(preset)
    known = [*defaults, *(f"{group}.{key}" for group, keys in _GROUPS.items() for key in keys)]
    for key, value in settings.items():
        if key in _GROUPS:
            if not isinstance(value, dict):
                raise CommandError(f"setting {key!r} has parts: {', '.join(_GROUPS[key])}. Received: {value!r}")
            for inner in value:
                if inner not in _GROUPS[key]:
                    raise _unknown(f"{key}.{inner}", known)
                if key == "fit":
                    value[inner] = _bound(inner, value[inner])
        elif key not in defaults:
            raise _unknown(key, known)
        else:
            settings[key] = _typed(key, _whole(value, _is_int(defaults[key])), defaults[key])
    return settings


def arguments(preset: type) -> dict[str, Any]:
    """The arguments of `preset` that are settings, with their defaults."""
    return {name: default for name, default in parameters(preset).items() if name not in _NOT_SETTINGS}


def value_of(text: str) -> Any:
    """A value on the command line: JSON or one of Python's words, or else the text.

    Raises:
        CommandError: It begins as a list, a dict or a string of JSON does, and is none.

    Example:

    >>> value_of("[64, 64]"), value_of("1e-3"), value_of("True"), value_of("relu")
    ([64, 64], 0.001, True, 'relu')
    """
    if text in _PYTHON_WORDS:
        return _PYTHON_WORDS[text]
    try:
        return json.loads(text)
    except ValueError as error:
        if text.startswith(_BEGINNINGS):  # a bracket that is missing must not make a text of a list
            raise CommandError(
                f"a value that begins with {' or '.join(_BEGINNINGS)} must be JSON: {error}. Received: {text!r}"
            ) from error
        return text


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(value: Any, integer: bool) -> Any:
    return int(value) if integer and isinstance(value, float) and value.is_integer() else value


def _bound(key: str, value: Any) -> float | None:
    if key == "step_timeout":
        try:
            check_positive(value, f"fit.{key}")
        except ValueError as error:
            raise CommandError(str(error)) from None
        return cast("float | None", value)
    value = _whole(value, integer=True)
    if value is not None and (not _is_int(value) or value < 1):
        raise CommandError(f"setting 'fit.{key}' must be a whole number from 1 on. Received: {value!r}")
    return cast("float | None", value)


def _typed(key: str, value: Any, default: Any) -> Any:
    """A part given by some of its arguments gets the type that it has by default."""
    if not isinstance(value, dict) or "type" in value or key in _WITHOUT_TYPE:
        return value
    if isinstance(default, dict) and "type" in default:
        return merge(default, value)
    if key in _USUAL_TYPES:
        return {"type": _USUAL_TYPES[key], **value}
    raise CommandError(f"setting {key!r} as a dict needs a type (--set {key}.type=...). Received: {value}")


def _unknown(key: Any, known: list[str]) -> CommandError:
    hint = hints([str(key)], known)
    return CommandError(f"unknown setting. Received: {key!r}.{hint} Known: {', '.join(known)}")
