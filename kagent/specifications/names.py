"""Names of states, actions and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kagent.specifications.attributes import ATTRIBUTES, Description, Where, received, say, short

_MAX_DEPTH = 32
_RESERVED = {
    "terminal": "the end of an episode",
    "reward": "the reward",
    "parallel": "the index of a parallel interaction",
    "deterministic": "the way to act",
}


def mask_name(action_name: str = "action") -> str:
    """The name under which the states hold an action's mask.

    Where a bare state comes with a mask, the state itself is named `"state"`.

    Args:
        action_name: Name of the action, nested ones joined by `/`. A bare action is named `"action"`, or `""` as by its
            `Leaf`.

    Example:

    >>> mask_name("arm/grip"), mask_name()
    ('arm/grip_mask', 'action_mask')
    """
    return f"{action_name or 'action'}_mask"


def check_names(states: Any, actions: Any) -> None:
    """Checks that every state, every action and every mask has a name of its own.

    A nested name is joined by `/`; a bare description is named `"state"` or `"action"`. Float actions have no mask.

    Args:
        states, actions: Specifications. Of the attributes only the actions' types are looked at.

    Raises:
        TypeError: A specification that is no dict, or a name that is no string.
        ValueError: A name that is no identifier, that is both a state's and an action's, that is reserved
            (`terminal`, `reward`, `parallel`, `deterministic`), or that is the name of an action's mask. Two `Tuple`
            spaces share the names of their entries: give one of them a name, `{"hand": to_spec(space)}`.

    Example:

    >>> check_names({"arm": {"angle": {"shape": 2}}}, {"arm": {"torque": {"type": "float"}}})
    >>> check_names({"grip_mask": {"shape": 2}}, {"grip": {"type": "bool"}})
    Traceback (most recent call last):
    ValueError: `states['grip_mask']` is named 'grip_mask', and so is the mask of `actions['grip']`: rename one of them
    """
    named: list[tuple[str, str]] = []
    masked: dict[str, str] = {}
    for spec, argument in ((states, "states"), (actions, "actions")):
        for where, description in descriptions(spec, (argument,)):
            name, path = "/".join(map(str, where[1:])) or argument[:-1], say(where)
            named.append((name, path))
            if argument == "actions" and description.get("type") != "float":
                masked[mask_name(name)] = path
    seen: dict[str, str] = {}
    for name, path in named:
        if name in _RESERVED:
            raise ValueError(f"`{path}` is named {name!r}, which is reserved for {_RESERVED[name]}: rename it")
        if name in masked:
            raise ValueError(f"`{path}` is named {name!r}, and so is the mask of `{masked[name]}`: rename one of them")
        if name in seen:
            raise ValueError(f"`{seen[name]}` and `{path}` are both named {name!r}: rename one of them")
        seen[name] = path


def descriptions(spec: Any, where: Where) -> Iterator[tuple[Where, Description]]:
    """Every description of a specification with what leads to it."""
    parts = named_parts(spec, where)
    if parts is None:
        yield where, spec
    else:
        for name, part in parts.items():
            yield from descriptions(part, (*where, name))


def named_parts(spec: Any, where: Where) -> Mapping[str, Any] | None:
    """The parts of a nested specification by name; None if it is a description.

    Raises:
        TypeError, ValueError: Neither of them, a name that is no identifier, or more than 32 levels.
    """
    if not isinstance(spec, Mapping):
        raise TypeError(
            f"`{say(where)}` must be a dict: a description with {', '.join(ATTRIBUTES)}; or names with dicts. "
            f"{received(spec)}"
        )
    if not spec:
        raise ValueError(f"`{say(where)}` is empty. Received: {{}}. Allowed: {', '.join(ATTRIBUTES)}; or names")
    if not any(isinstance(part, Mapping) for part in spec.values()):
        return None
    for name, part in spec.items():
        if not isinstance(part, Mapping) and name in ATTRIBUTES:
            raise ValueError(
                f"`{say(where)}` mixes the attribute {name!r} with names: it must describe one thing, or name many. "
                f"Received: {short.repr(list(spec))}"
            )
        check_name(name, where)
    return spec


def check_name(name: Any, where: Where) -> None:
    """Refuses a name that is no identifier, or is nested too deeply.

    Raises:
        TypeError, ValueError: `name`, inside of `where`, is no identifier, or nested too deeply.
    """
    if not isinstance(name, str):
        raise TypeError(f"Names in `{say(where)}` must be strings. {received(name)}")
    if not name.isidentifier():
        raise ValueError(
            f"Names in `{say(where)}` must be identifiers. Received: {short.repr(name)}. "
            "Allowed: letters, digits and '_', a digit not first"
        )
    if len(where) > _MAX_DEPTH:
        raise ValueError(f"`{where[0]}` has more than {_MAX_DEPTH} levels of names. Received: {say(where)}")
