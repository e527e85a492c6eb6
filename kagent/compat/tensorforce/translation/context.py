"""What a translation knows of the agent, and the notes that it takes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kagent import preprocessing
from kagent.spaces import Leaf, Structure
from kagent.specifications import check_names, to_space


@dataclasses.dataclass
class Context:
    """The states and actions of the agent that a specification is for.

    Args:
        states, actions: Specifications, as `Environment.states()` gives them.
        max_episode_timesteps: Upper bound of an episode's timesteps, or None.
        older: Whether the specification is in the words of Tensorforce 0.5.

    Attributes:
        notes: Sentences about words that are taken without a meaning. The agent warns of all of them at once.
        past_horizon: Timesteps through which recurrent layers learn, the most of all networks so far; 0: there are none.
        blocks: Layers of named blocks, of the networks so far, in Tensorforce's words.
        processed: What networks see of the states, after `state_preprocessing`.
    """

    states: Mapping[str, Any]
    actions: Mapping[str, Any]
    max_episode_timesteps: int | None = None
    older: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    blocks: dict[str, Any] = dataclasses.field(default_factory=dict)
    past_horizon: int = 0

    def __post_init__(self) -> None:
        check_names(self.states, self.actions)
        self.state_space, self.action_space = to_space(self.states, "states"), to_space(self.actions, "actions")
        self.action = Structure(self.action_space, "action_space")
        self.processed = Structure(self.state_space, "observation_space")

    def process(self, spec: Any) -> None:
        """Notes what networks see after a `preprocessing` of kagent's."""
        if spec is not None:
            self.processed = preprocessing.Preprocessing(
                spec, Structure(self.state_space, "observation_space")
            ).processed

    def note(self, sentence: str) -> None:
        """Takes a word that changes nothing, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @property
    def state_leaves(self) -> dict[str, Leaf]:
        """What networks see, by name."""
        return {leaf.name or "state": leaf for leaf in self.processed.leaves}

    @property
    def action_leaves(self) -> dict[str, Leaf]:
        """The actions by name."""
        return {leaf.name or "action": leaf for leaf in self.action.leaves}


def has_bounds(leaf: Leaf) -> bool:
    """Whether a leaf has both bounds in some component."""
    if leaf.low is None or leaf.high is None:
        return False
    return bool((np.isfinite(leaf.low) & np.isfinite(leaf.high)).any())


def from_file(value: Any, argument: str) -> Any:
    """A specification, read from the `.json` file that it names, or that its `type` names; anything else as it is.

    Raises:
        ValueError: There is no such file, or it holds no specification.
    """
    if isinstance(value, Mapping) and isinstance(value.get("type"), str) and value["type"].endswith(".json"):
        rest = {name: given for name, given in value.items() if name != "type"}
        return {**from_file(value["type"], argument), **rest}
    if not isinstance(value, str) or not value.endswith(".json"):
        return value
    path = Path(value)
    if not path.is_file():
        raise ValueError(f"`{argument}` names a file that is not there. Received: {value!r}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"`{argument}` names a file that is no JSON: {error}. Received: {value!r}") from error


def type_of(value: Any, argument: str, default: str) -> tuple[str, dict[str, Any]]:
    """The name in a specification that is a name or a dict, and the further arguments.

    A class in place of a name stands for its own name, and so does the end of a dotted path: nothing is imported by a name.

    Raises:
        TypeError: Neither.
    """
    value = from_file(value, argument)
    arguments = dict(value) if isinstance(value, Mapping) else {"type": value}
    kind = arguments.pop("type", default)
    if isinstance(kind, type):
        kind = kind.__name__
    if not isinstance(kind, str):
        raise TypeError(f"`{argument}` must be a name or a dict with 'type'. Received: {value!r}")
    return kind.rpartition(".")[2], arguments


def check_taken(given: Iterable[str], allowed: Iterable[str], argument: str, needed: Iterable[str] = ()) -> None:
    """Refuses names that are no arguments, and the lack of those that are needed.

    Raises:
        ValueError: There is one, with the allowed ones.
    """
    given, allowed = list(given), list(allowed)
    unknown = [name for name in given if name not in allowed]
    if unknown:
        raise ValueError(f"`{argument}` has no argument {unknown}. Allowed: {', '.join(allowed) or 'none'}")
    missing = [name for name in needed if name not in given]
    if missing:
        raise ValueError(f"`{argument}` needs {missing}. Received: {given}")
