"""Parts by name: one `get`, one `serialize` for everything an agent is composed of.

A part without weights is a frozen dataclass: its fields are its constructor arguments and its configuration. Parts
with weights (Keras layers) or data (memories) say theirs in `get_part`. In an argument a part may be given as None (the
default), a name, a number where that makes sense, a dict `{"type": name, **arguments}`, or the object itself. Nothing
is ever imported or called by a name found in a file: only registered classes can be made.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from typing import Any, TypeVar

import numpy as np

from kagent.signatures import check_known

T = TypeVar("T", bound=Any)


class Registry:
    """Registered part classes of one kind.

    Args:
        kind: What the parts are called in error messages, such as `"exploration"`.
        arguments: Other names of constructor arguments, to their own names; dicts may use either.
    """

    def __init__(self, kind: str, arguments: dict[str, str] | None = None):
        self.kind = kind
        self._arguments = dict(arguments or {})
        self._classes: dict[str, Any] = {}
        self._names: dict[Any, str] = {}

    def register(self, *aliases: str):
        """Decorator: the class, or a function that makes a part, is known by its own name and by `aliases`."""

        def decorate(cls: T) -> T:
            self._names[cls] = cls.__name__
            for name in (cls.__name__, *aliases):
                self._classes[_fold(name)] = cls
            return cls

        return decorate

    @property
    def names(self) -> list[str]:
        return sorted(set(self._names.values()))

    def knows(self, name: Any) -> bool:
        """Whether a part is registered under `name`."""
        return isinstance(name, str) and _fold(name) in self._classes

    def name_of(self, name: str) -> str:
        """The class's own name, of that name or an alias."""
        return self._names[self._classes[_fold(name)]]

    def get(self, identifier: Any, argument: str | None = None, **extra: Any) -> Any:
        """The part that `identifier` (name, dict or object) stands for; `extra` are further constructor arguments.

        Raises:
            ValueError: Unknown name, or arguments the part refuses.
            TypeError: Neither name, dict nor a registered object.
        """
        argument = argument or self.kind
        if isinstance(identifier, tuple(cls for cls in self._names if isinstance(cls, type))):
            return identifier
        if isinstance(identifier, str):
            return self._make(identifier, {}, argument, extra)
        if isinstance(identifier, dict):
            arguments = dict(identifier)
            name = arguments.pop("type", None)
            if not isinstance(name, str):
                raise ValueError(f"`{argument}` as a dict needs a 'type', one of {self.names}. Received: {identifier}")
            return self._make(name, arguments, argument, extra)
        raise TypeError(
            f"`{argument}` must be a name, a dict with 'type', or one of {self.names}. "
            f"Received: {identifier!r} ({type(identifier).__name__})"
        )

    def _make(self, name: str, arguments: dict[str, Any], argument: str, extra: dict[str, Any]) -> Any:
        cls = self._classes.get(_fold(name))
        if cls is None:
            close = difflib.get_close_matches(name, self.names, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"Unknown `{argument}`. Received: {name!r}. Known: {', '.join(self.names)}.{hint}")
        parameters = inspect.signature(cls).parameters.values()
        known = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        for other, own in self._arguments.items():
            if other in arguments and other not in known and own in known:
                if own in arguments:
                    raise ValueError(f"`{argument}` {cls.__name__}: {other!r} is another name of {own!r}, given too")
                arguments[own] = arguments.pop(other)
        check_known(sorted(arguments), known, f"`{argument}` {cls.__name__}", "argument")
        required = [p.name for p in parameters if p.default is p.empty and p.name in known]
        missing = sorted(set(required) - set(arguments))
        if missing:
            raise ValueError(f"`{argument}` {cls.__name__} needs {missing}. Received: {sorted(arguments)}")
        return cls(**arguments, **extra)

    def serialize(self, part: Any) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready; `get` is the inverse."""
        if hasattr(part, "get_part"):
            return part.get_part()
        if type(part) not in self._names:
            raise ValueError(
                f"{type(part).__name__} is not registered, so a file could not name it: decorate the class with the "
                f"`register()` of the {self.kind} registry"
            )
        config: dict[str, Any] = {"type": self._names[type(part)]}
        for field in dataclasses.fields(part):
            if field.init:
                config[field.name] = plain(getattr(part, field.name))
        return config


def plain(value: Any) -> Any:
    """A field's value as JSON-ready data: parts inside parts become dicts, tuples lists, NumPy's numbers Python's.

    Keras objects become their Keras configurations.

    Raises:
        ValueError: An object of a class that Keras could not find again.
    """
    if isinstance(value, type):
        return value
    if hasattr(value, "get_part"):
        return value.get_part()
    if dataclasses.is_dataclass(value):
        arguments = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"type": type(value).__name__, **arguments}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if hasattr(value, "get_config"):
        return _keras_config(value)
    return value.item() if isinstance(value, np.generic) else value


def _keras_config(value: Any) -> dict[str, Any]:
    import keras  # the host needs none, but here is an object of its

    config = keras.saving.serialize_keras_object(value)
    name = config.get("registered_name")
    if name is not None and keras.saving.get_registered_object(name) is not type(value):
        raise ValueError(
            f"{type(value).__name__} is not registered, so a file could not name it: decorate the class with "
            "keras.saving.register_keras_serializable"
        )
    return {**config, "config": plain(value.get_config())}


def _fold(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
