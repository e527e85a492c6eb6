"""The settings of an agent as a flat table of numbers and words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

Setting = bool | int | float | str
_NO_SETTINGS = ("agent", "images", "observation_space", "action_space", "name")
_LONGEST = 200  # characters of a value


def settings(agent: Any) -> dict[str, Setting]:
    """Constructor arguments by name, and those of parts by dotted names: `objective.clip_range`, with the part's type as
    `objective`. Lists, and what else is neither a number nor a word, are JSON of at most 200 characters.

    Args:
        agent: The agent; its class is `algorithm`.
    """
    config = {name: value for name, value in agent.get_config().items() if name not in _NO_SETTINGS}
    return {"algorithm": type(agent).__name__, **dict(_flat(config, ""))}


def _flat(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Setting]]:
    for name, value in config.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            kind = value.get("type", value.get("class_name"))
            if isinstance(kind, str):
                yield path, kind
            inner = value.get("config") if "class_name" in value else None
            rest = inner if isinstance(inner, Mapping) else {k: v for k, v in value.items() if k != "type"}
            yield from _flat(rest, f"{path}.")
        elif isinstance(value, bool | int | str):
            yield path, value if not isinstance(value, str) else value[:_LONGEST]
        elif isinstance(value, float):
            yield path, value if math.isfinite(value) else str(value)
        elif value is not None:
            yield path, json.dumps(value, default=str)[:_LONGEST]
