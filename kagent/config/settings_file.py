"""Plain data from JSON and YAML files: nothing in them is run, imported or called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from kagent.config import limits

SUFFIXES = (".json", ".yaml", ".yml")
_LARGEST = 1 << 20  # bytes; settings are written by hand
_MOST_IN_YAML = 10_000  # values, which take half a second
_YAML = "tag:yaml.org,2002:"
_NUMBERS = {f"{_YAML}{kind}" for kind in ("int", "float", "bool", "null")}
_TAGS = {*_NUMBERS, *(f"{_YAML}{kind}" for kind in ("str", "seq", "map", "merge"))}
_LONGEST_NUMBER = 64  # characters; those in base 60 take their time
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
        found = _load_yaml(path, text, argument)
    found = {} if found is None else found
    if not isinstance(found, dict):
        raise ValueError(f"{argument} {path} must hold a mapping. Received: {type(found).__name__}")
    try:
        limits.check(found, argument.strip("`"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{argument} {path}: {error}") from error
    result: dict[str, Any] = _numbers(found)  # of YAML's aliases it makes copies
    return result


def _load_yaml(path: Path, text: str, argument: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(f"{argument} with YAML needs PyYAML: pip install 'kagent[yaml]'") from error

    class Loader(yaml.SafeLoader):
        """Stops where there is too much: it takes its time."""

        depth = count = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth, self.count = self.depth + 1, self.count + 1
            if self.depth > limits.DEPTH or self.count > _MOST_IN_YAML:
                raise ValueError(f"more than {limits.DEPTH} levels or {_MOST_IN_YAML} values; give it as .json")
            try:
                return super().compose_node(parent, index)
            finally:
                self.depth -= 1

    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node)
        return loader.construct_document(node)
    except Exception as error:  # its constructors raise whatever a wrong scalar makes them
        said = " ".join(str(error).split())
        raise ValueError(f"{argument} {path} is not YAML, or too large: {said or type(error).__name__}") from error


def _check_nodes(root: Any) -> None:
    # Before anything is made of them: an alias stands for all of its anchor, and merging (`<<`) copies that.
    nodes = 0
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        nodes += 1
        if node.tag not in _TAGS:
            raise ValueError(f"a value of type {node.tag!r}; plain ones are taken")
        if isinstance(node.value, str):
            most = _LONGEST_NUMBER if node.tag in _NUMBERS else limits.STRING
            if len(node.value) > most:
                raise ValueError(f"a value of {len(node.value)} characters; at most {most} are taken")
            continue
        if depth >= limits.DEPTH or nodes + len(pending) + 2 * len(node.value) > limits.NODES:
            raise ValueError(f"more than {limits.DEPTH} levels or {limits.NODES} values, those of aliases included")
        for part in node.value:  # a list has values, a mapping pairs
            pending.extend((inner, depth + 1) for inner in (part if isinstance(part, tuple) else (part,)))


def _numbers(value: Any) -> Any:
    """YAML 1.1 reads `1e-3` as a string; everyone who writes it means a number."""
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value
