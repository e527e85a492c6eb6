"""Where `kagent tune` searches, as data: for each algorithm the settings that it varies."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections.abc import Mapping
from typing import Any

from kagent.cli import settings
from kagent.cli.errors import CommandError

Space = dict[str, dict[str, Any]]
_FILE = "search_spaces.json"


def load(algorithm: str) -> Space:
    """What is searched for an algorithm: by key of a setting its `choices`, or `low`, `high` and perhaps `log`.

    A key of several settings, joined by commas, has `choices` that are lists with a value for each of them.

    Example:

    >>> load("ppo")["clip_range"]
    {'choices': [0.1, 0.2, 0.3, 0.4]}
    """
    text = importlib.resources.files("kagent.cli").joinpath("data", _FILE).read_text(encoding="utf-8")
    data = json.loads(text)
    space: Space = {}
    for group in data["presets"].get(algorithm, ()):
        space |= data["groups"][group]
    return space


def without(space: Space, fixed: settings.Settings) -> Space:
    """The space without the settings that the user has fixed, or whose part has been given another type.

    Example:

    >>> without({"discount": {"choices": [0.9]}, "network.units": {"choices": [[8]]}}, {"network": {"type": "auto"}})
    {'discount': {'choices': [0.9]}}
    """

    def is_free(path: list[str], given: Any) -> bool:
        if not isinstance(given, Mapping) or "type" in given:
            return False
        return path[0] not in given or (len(path) > 1 and is_free(path[1:], given[path[0]]))

    return {key: values for key, values in space.items() if all(is_free(name.split("."), fixed) for name in names(key))}


def names(key: str) -> list[str]:
    """The settings that a key of a space stands for. Those joined by a comma are chosen together.

    Example:

    >>> names("frequency, gradient_steps")
    ['frequency', 'gradient_steps']
    """
    return [name.strip() for name in key.split(",")]


def settings_of(key: str, value: Any) -> settings.Settings:
    """Nested settings from a key of a space and the value that was chosen for it.

    Example:

    >>> settings_of("fit.n_envs, n_steps", [8, 32])
    {'fit': {'n_envs': 8}, 'n_steps': 32}
    """
    joined = names(key)
    if len(joined) == 1:
        return settings.nested(joined[0], value)
    chosen: settings.Settings = {}
    for name, part in zip(joined, value, strict=True):
        chosen = settings.merge(chosen, settings.nested(name, part))
    return chosen


def check(space: Any) -> Space:
    """A space of the user's own, from a file.

    Raises:
        CommandError: It has another form than those of kagent.
    """
    if not isinstance(space, Mapping) or not space:
        raise CommandError(f"--space must be a mapping of settings. Received: {space!r}")
    for key, values in space.items():
        if not isinstance(key, str) or not all(part for name in names(key) for part in name.split(".")):
            raise CommandError(f"--space: a key is part.key, or several of them with commas. Received: {key!r}")
        if not isinstance(values, Mapping):
            raise CommandError(f"--space: {key!r} must have choices, or low and high. Received: {values!r}")
        choices, together = values.get("choices"), len(names(key))
        if together > 1:
            lists = choices if set(values) == {"choices"} and isinstance(choices, list) else []
            if not lists or any(not isinstance(value, list) or len(value) != together for value in lists):
                raise CommandError(
                    f"--space: {key!r} are {together} settings chosen together: {{choices: [...]}} with lists of "
                    f"{together} values. Received: {dict(values)!r}"
                )
            continue
        if set(values) == {"choices"} and isinstance(choices, list) and choices:
            continue
        low, high = (_number(values.get(name)) for name in ("low", "high"))
        named = set(values) <= {"low", "high", "log", "int"}
        if not (named and low < high and (low > 0 or not values.get("log"))):
            raise CommandError(
                f"--space: {key!r} must be {{choices: [...]}}, or {{low, high}} with low < high, and perhaps log: true "
                f"(low > 0) and int: true. Received: {dict(values)!r}"
            )
    return {key: dict(values) for key, values in space.items()}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def suggest(trial: Any, space: Space) -> settings.Settings:
    """Nested settings that an Optuna trial proposes."""
    chosen: settings.Settings = {}
    for key, values in space.items():
        if "choices" in values:
            # Optuna stores plain values alone, so that lists go by their text.
            text = trial.suggest_categorical(key, [json.dumps(value) for value in values["choices"]])
            value: Any = json.loads(text)
        elif values.get("int"):
            value = trial.suggest_int(key, int(values["low"]), int(values["high"]), log=bool(values.get("log")))
        else:
            value = trial.suggest_float(key, values["low"], values["high"], log=bool(values.get("log")))
        chosen = settings.merge(chosen, settings_of(key, value))
    return chosen


def of_trial(parameters: Mapping[str, Any], space: Space) -> settings.Settings:
    """The settings of a finished trial, from the values that Optuna stored."""
    chosen: settings.Settings = {}
    for key, value in parameters.items():
        stored = json.loads(value) if "choices" in space.get(key, {}) else value
        chosen = settings.merge(chosen, settings_of(key, stored))
    return chosen
