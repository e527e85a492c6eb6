"""Parts by name: one `get`, one `serialize` for everything an agent is composed of.

A part without weights is a frozen dataclass: its fields are its constructor arguments and its configuration. Parts
with weights (Keras layers) or data (memories) say theirs in `get_part`. In an argument a part may be given as None (the
default), a name, a number where that makes sense, a dict `{"type": name, **arguments}`, or the object itself. Nothing
is ever imported or called by a name found in a file: only registered classes can be made. A class of the user's own is
registered by `register_part`, by the `register` of the registry of its kind, or, without a short name, by
`keras.saving.register_keras_serializable`, as a Keras layer is.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
import types
from collections.abc import Callable, Collection
from typing import Any, TypeVar, overload

import numpy as np

from kagent.config.signatures import check_known, constructor_parameters
from kagent.config.vocabulary import part_hint, unexpected

T = TypeVar("T", bound=Any)
C = TypeVar("C", bound=type)
_OWN: set[Any] = set()  # classes of all registries
_REGISTRIES: list[Registry] = []


class Part:
    """Base of parts. It has for Keras what a class must have to be registered there.

    Raises:
        TypeError: An argument that the class does not take, with the one that is probably meant.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        own: Any = cls
        known, takes_all = _keywords(own)
        unknown = [] if takes_all else [name for name in kwargs if name not in known]
        if unknown:
            raise TypeError(unexpected(cls.__name__, unknown, known))
        make = super().__new__
        return make(cls) if make is object.__new__ else make(cls, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-ready."""
        return {name: value for name, value in _described(self).items() if name != "type"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The inverse of `get_config`."""
        return cls(**config)


class Registry:
    """Registered part classes of one kind.

    Args:
        kind: What the parts are called in error messages, such as `"exploration"`.
        arguments: Other names of constructor arguments, to their own names; dicts may use either.
        others: In messages, what stands for a part beside names, dicts and the classes here.
    """

    def __init__(self, kind: str, arguments: dict[str, str] | None = None, others: str = ""):
        self.kind, self._others = kind, others
        self._arguments = dict(arguments or {})
        self._classes: dict[str, Any] = {}
        self._names: dict[Any, str] = {}
        _REGISTRIES.append(self)

    @overload
    def register(self, cls: C, /) -> C: ...

    @overload
    def register(self, *aliases: str, package: str | None = None) -> Callable[[T], T]: ...

    def register(self, *aliases: Any, package: str | None = None) -> Any:
        """Decorator: the class, or a function that makes a part, is known by its own name and by `aliases`. It stands with or without
        parentheses.

        Args:
            *aliases: Further names, in any case and with or without `_` and `-`.
            package: In Keras's part of a file a class with weights is `package>Class`. By default the first name of its
                module.

        Raises:
            ValueError: Another class has one of the names.
        """

        if is_bare(aliases):
            return self.register(package=package)(aliases[0])

        def decorate(cls: T) -> T:
            names = free_names((cls.__name__, *aliases), self._classes, cls, self.kind)
            _register_with_keras(cls, package)
            self._names[cls] = cls.__name__
            _OWN.add(cls)
            self._classes.update(dict.fromkeys(names, cls))
            return cls

        return decorate

    @property
    def names(self) -> list[str]:
        return sorted(set(self._names.values()))

    def knows(self, name: Any) -> bool:
        """Whether a part is registered under `name`."""
        return isinstance(name, str) and self._find(name) is not None

    def name_of(self, name: str) -> str:
        """The class's own name, of that name or an alias."""
        return type_name(self._find(name))

    def _find(self, name: str) -> Any:
        found = self._classes.get(fold(name))
        if found is None and self._admits(registered := _of_keras(name)):
            return registered
        return found

    def _admits(self, cls: Any) -> bool:
        # Whether a class is of this kind: it has a base that those here have.
        if not isinstance(cls, type):
            return False
        known = {base for one in self._names if isinstance(one, type) for base in one.__mro__} - {Part}
        return any(base in known and base.__module__.startswith("kagent.") for base in cls.__mro__)

    def get(self, identifier: Any, argument: str | None = None, **extra: Any) -> Any:
        """The part that `identifier` (name, dict or object) stands for; `extra` are further constructor arguments.

        Raises:
            ValueError: Unknown name, or arguments the part refuses.
            TypeError: Neither name, dict nor a registered object.
        """
        argument = argument or self.kind
        if isinstance(identifier, tuple(cls for cls in self._names if isinstance(cls, type))):
            return identifier
        if _registered_name(type(identifier)) is not None and self._admits(type(identifier)):
            return identifier
        if isinstance(identifier, str):
            return self._make(identifier, {}, argument, extra)
        if isinstance(identifier, dict):
            for key in identifier:
                if not isinstance(key, str):
                    raise TypeError(f"`{argument}` has a key that is no string. Received: {key!r}")
            arguments = dict(identifier)
            name = arguments.pop("type", None)
            if not isinstance(name, str):
                raise ValueError(f"`{argument}` as a dict needs a 'type', one of {self.names}. Received: {identifier}")
            return self._make(name, arguments, argument, extra)
        raise TypeError(
            f"`{argument}` must be a name, a dict with 'type', {self._others}or one of {self.names}. "
            f"Received: {identifier!r} ({type(identifier).__name__})"
            + (f". {_unregistered(type(identifier))}" if self._admits(type(identifier)) else "")
            + (
                f". A {'class' if isinstance(identifier, type) else 'function'} is no object of it: write {identifier.__name__}(...)"
                if isinstance(identifier, type | types.FunctionType)
                else ""
            )
        )

    def _make(self, name: str, arguments: dict[str, Any], argument: str, extra: dict[str, Any]) -> Any:
        cls = self._find(name)
        if cls is None:
            hint = part_hint(name, self.names)
            raise ValueError(f"Unknown `{argument}`. Received: {name!r}. Known: {', '.join(self.names)}.{hint}")
        parameters = constructor_parameters(cls)
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
        """`{"type": name, **arguments}`, JSON-ready; `get` is the inverse.

        Raises:
            ValueError: Its class is not registered.
        """
        return _described(part)


def is_bare(names: tuple[Any, ...]) -> bool:
    """Whether a decorator was written without parentheses: it then gets the class in place of names."""
    return len(names) == 1 and isinstance(names[0], type)


@overload
def register_part(cls: C, /) -> C: ...


@overload
def register_part(*names: str, package: str | None = None) -> Callable[[T], T]: ...


def register_part(*names: Any, package: str | None = None) -> Any:
    """Decorator: a part of your own is known by name, in arguments, configs and files. It stands with or without parentheses.

    It is for objectives, memories, explorations, policies, critics, networks, preprocessing layers, schedules, targets,
    and what else an agent has for a part: for each class that is derived from one of kagent's. The class joins the
    registry of its kind, such as `kagent.objectives.OBJECTIVES`. An environment gets its name by `gymnasium.register`.

    Args:
        *names: Names beside that of the class, in any case and with or without `_` and `-`.
        package: As of `register_agent`.

    Raises:
        TypeError: The class is derived from no part.
        ValueError: Another part of this kind has one of the names.

    Example:

    >>> @kagent.register_part("margin")
    ... @dataclasses.dataclass(frozen=True)
    ... class MarginObjective(kagent.objectives.ActionValueObjective):
    ...     margin: float = 0.1
    >>> agent = kagent.DQN("CartPole-v1", objective={"type": "margin", "margin": 0.2})
    """

    if is_bare(names):
        return register_part(package=package)(names[0])

    def decorate(cls: T) -> T:
        found = [registry for registry in _REGISTRIES if registry._admits(cls)]
        if not found:
            raise TypeError(
                "register_part decorates a class derived from a part of kagent's, such as kagent.objectives.Objective; "
                "keras.saving.register_keras_serializable registers a layer, a model, an optimizer of Keras's. "
                f"Received: {cls!r}"
            )
        for registry in found:
            registry.register(*names, package=package)(cls)
        return cls

    return decorate


def free_names(names: Collection[str], taken: dict[str, Any], cls: Any, kind: str) -> list[str]:
    """The names under which a registry holds a class.

    Args:
        names: As given.
        taken: What the registry holds.
        cls: What is to be registered. A class that was defined again, as a cell of a notebook does, takes its own place.
        kind: What the registry is of.

    Raises:
        TypeError: A name is no string.
        ValueError: Nothing is left of a name, or another class has it.
    """
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"A name of `{kind}` must be a string. Received: {name!r}")
        other = taken.get(fold(name), cls)
        if not fold(name):
            raise ValueError(f"A name of `{kind}` must have letters. Received: {name!r}")
        if _place(other) != _place(cls):
            raise ValueError(
                f"The name {name!r} of `{kind}` is that of {'.'.join(_place(other))} already. "
                f"Received: {'.'.join(_place(cls))}"
            )
    return [fold(name) for name in names]


def keras_package(cls: type) -> str:
    """The first part of a class's name in Keras's files: the first name of its module."""
    return _place(cls)[0].split(".")[0]


def _place(cls: Any) -> tuple[str, str]:
    """Where a class is defined: the module, and the name there. The program's own module is named as if it were imported,
    because it may be, too."""
    module = cls.__module__
    if module == "__main__":
        main = sys.modules[module]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else os.path.splitext(os.path.basename(file))[0] if file else module
    return module, cls.__qualname__


def _register_with_keras(cls: Any, package: str | None) -> None:
    # A class with weights is in Keras's own part of a file as well. Where there is none, Keras may not be there either.
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(cls, type) and issubclass(cls, keras.layers.Layer):
        if _registered_name(cls) is None:
            keras.saving.register_keras_serializable(package or keras_package(cls))(cls)


@functools.cache
def _keywords(cls: Any) -> tuple[tuple[str, ...], bool]:
    """Names that the constructor takes, and whether it takes all others too."""
    parameters = constructor_parameters(cls)
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return names, any(p.kind is p.VAR_KEYWORD for p in parameters)


def type_name(cls: type) -> str:
    """The name by which a configuration finds a class of parts.

    Raises:
        ValueError: The class is not registered.
    """
    if cls in _OWN:
        return cls.__name__
    name = _registered_name(cls)
    if name is None:
        raise ValueError(_unregistered(cls))
    return name


def _unregistered(cls: type) -> str:
    return (
        f"{cls.__name__} is not registered, so a file could not name it: decorate the class with "
        f"@keras.saving.register_keras_serializable({cls.__module__.split('.')[0]!r})"
    )


def _of_keras(name: str) -> Any:
    keras = sys.modules.get("keras")  # without it, nothing is registered there
    return None if keras is None else keras.saving.get_registered_object(name)


def _registered_name(cls: type) -> str | None:
    keras = sys.modules.get("keras")
    name = cls.__name__ if keras is None else keras.saving.get_registered_name(cls)
    return name if _of_keras(name) is cls else None


def _described(part: Any) -> dict[str, Any]:
    if hasattr(part, "get_part"):
        config = part.get_part()
        return {**config, "type": type_name(type(part))} if "type" in config else config
    arguments = {f.name: plain(getattr(part, f.name)) for f in dataclasses.fields(part) if f.init}
    return {"type": type_name(type(part)), **arguments}


def plain(value: Any) -> Any:
    """A field's value as JSON-ready data: parts inside parts become dicts, tuples lists, NumPy's numbers Python's.

    Keras objects become their Keras configurations.

    Raises:
        ValueError: An object of a class that Keras could not find again.
    """
    if isinstance(value, type):
        return value
    if hasattr(value, "get_part") or dataclasses.is_dataclass(value):
        return _described(value)
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
    name, cls = config.get("registered_name"), type(value)
    own = cls.__module__.partition(".")[0] == "keras"  # `Functional` has a name and is not registered; Keras finds it
    if name is not None and not own and keras.saving.get_registered_object(name) is not cls:
        raise ValueError(
            f"{type(value).__name__} is not registered, so a file could not name it: decorate the class with "
            "@keras.saving.register_keras_serializable()"
        )
    return {**config, "config": plain(value.get_config())}


def fold(name: str) -> str:
    """A name without its case, `_` and `-`."""
    return name.replace("_", "").replace("-", "").lower()
