"""Plain data from JSON and YAML files: nothing in them is run, imported or called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SUFFIXES = (".json", ".yaml", ".yml")
_LARGEST = 1 << 20  # bytes; settings are written by hand
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def read(path: str | Path, argument: str) -> dict[str, Any]:
    """The mapping that a `.json`, `.yaml` or `.yml` file holds; an empty file holds an empty one.

    Args:
        path: The file.
        argument: What to call it in messages.

    Raises:
        ValueError: It cannot be read, has another suffix, bad syntax, or holds no mapping.
        ImportError: It is YAML and PyYAML is missing.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{argument} must end in .yaml, .yml or .json. Received: {path}")
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"more than {_LARGEST} bytes")
        text = content.decode("utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {argument} {path}: {error}") from error
    if path.suffix.lower() == ".json":
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{argument} {path} is not JSON: {error}") from error
    else:
        found = _numbers(_load_yaml(path, text, argument))
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise ValueError(f"{argument} {path} must hold a mapping. Received: {type(found).__name__}")
    return found


def _load_yaml(path: Path, text: str, argument: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(f"{argument} with YAML needs PyYAML: pip install 'kagent[yaml]'") from error
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{argument} {path} is not YAML: {' '.join(str(error).split())}") from error


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as a string; everyone who writes it means a number."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
