"""Arguments of presets that go into parts: to give the part and the argument is refused."""

from __future__ import annotations

import functools
import inspect
import numbers
import reprlib
from collections.abc import Collection, Mapping
from typing import Any

from kagent.config.saveability import check_saves

_GIVEN = "_given_arguments"
_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 80


class PartArgument:
    """Declares where an argument of a preset's constructor goes. It stands as an attribute in the class.

    Args:
        path: The part, an argument of `Agent`, and the part's own argument: `"objective.clip_range"`. A part alone is the
            whole argument: `"critic"`.
        argument: Name of the constructor's argument; None: that of the attribute.

    Attributes:
        part, field: The two names in `path`; `field` is "" where there is one name.
    """

    def __init__(self, path: str, argument: str | None = None):
        self.path, self._argument = path, argument
        self.part, _, self.field = path.partition(".")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def argument(self) -> str:
        """Name of the constructor's argument."""
        return self._argument or self.name


def declared(cls: type) -> dict[str, PartArgument]:
    """The part arguments of a class and its bases, by the names of the constructor's arguments."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        found = {**vars(base), **found}
    return {value.argument: value for value in found.values() if isinstance(value, PartArgument)}


def written(agent: Any) -> Collection[str] | None:
    """Names of the arguments in the call that makes a preset, of which the others are its defaults. None: it is no preset."""
    names: Collection[str] | None = vars(agent).get(_GIVEN)
    return names


def check_saves_now(agent: Any) -> None:
    """`check_saves` of an agent within `Agent.__init__`. Of a class with a `get_config` of the user's it waits for the end of that
    class's constructor: `get_config` may read what is set behind `super().__init__`, which comes first as in any Keras model."""
    if not (_GIVEN in vars(agent) and _describes_itself(agent)):
        check_saves(agent.get_config)


def _describes_itself(agent: Any) -> bool:
    return bool(type(agent).get_config.__module__.partition(".")[0] != "kagent")


def check_constructor(cls: type) -> None:
    """Wraps the constructor of a class, where the class has its own: a part takes the place of the arguments that go into it,
    so an argument that the user gave beside its part is an error.

    An argument is given where the user wrote it in the call. A constructor may pass a default of its own on, beside a part:
    so a configuration, which holds parts and no arguments, meets no error. A constructor that names both the argument and
    the part decides itself what they mean together.

    Raises:
        ValueError: By the wrapped constructor: an argument and its part were given.
    """
    init = vars(cls).get("__init__")
    if init is None:
        return
    signature = inspect.signature(init)
    named = {p.name for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD}

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        state = vars(self)  # past Keras, which would look for weights
        outermost = _GIVEN not in state
        if outermost:
            state[_GIVEN] = {*list(signature.parameters)[1 : len(args) + 1], *kwargs}
        for argument, declaration in declared(type(self)).items():
            both = argument in kwargs and declaration.part in kwargs
            if both and argument in named & state[_GIVEN] and declaration.part not in named:
                raise ValueError(_refusal(type(self).__name__, declaration, kwargs, declaration.part in state[_GIVEN]))
        init(self, *args, **kwargs)
        if outermost:
            del state[_GIVEN]
            if _describes_itself(self):
                check_saves(self.get_config)

    # Keras reads the signature also without looking behind a wrapper.
    checked.__signature__ = signature  # type: ignore[attr-defined]
    cls.__init__ = checked  # type: ignore[misc]


def _refusal(agent: str, declaration: PartArgument, received: Mapping[str, Any], by_user: bool) -> str:
    argument, part, field = declaration.argument, declaration.part, declaration.field
    value, replacement = received[argument], received[part]
    both = f"Received: {argument}={_SHORT.repr(value)} and {part}={_SHORT.repr(replacement)}"
    if not field:
        return f"`{argument}` of {agent} is its `{part}`: give one of them. {both}"
    replaced = f"`{part}=` replaces" if by_user else f"{agent} replaces by one of its own"
    return f"`{argument}` goes into the `{part}` that {replaced}: {_advice(part, field, value, replacement)}. {both}"


def _advice(part: str, field: str, value: Any, replacement: Any) -> str:
    if isinstance(replacement, str | dict):
        settings = {"type": replacement} if isinstance(replacement, str) else replacement
        return f"write {part}={_SHORT.repr({**settings, field: value})}"
    kind = type(replacement).__name__
    if hasattr(replacement, field):
        return f"give {kind}(..., {field}={_SHORT.repr(value)})"
    if replacement is None or isinstance(replacement, numbers.Number):
        return f"give `{field}` in a dict or an object as `{part}`"
    return f"{kind} has no `{field}`, leave the argument out"
