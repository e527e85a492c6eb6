"""Pages of the API: one for every public module, with an entry for every public name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import kagent
from docs.docstrings import markdown, summary
from kagent.config.registry import Registry

FENCE = "`" * 8  # of an entry; its members have one less


@dataclasses.dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        module: The module that exports it.
        name: Its name there.
        value: The object.
    """

    module: str
    name: str
    value: Any

    @property
    def path(self) -> str:
        """`"kagent.memories.Replay"`."""
        return f"{self.module}.{self.name}"


def modules() -> dict[str, ModuleType]:
    """The public modules by name: `kagent`, the modules that it exports, and those that these export."""
    found: dict[str, ModuleType] = {"kagent": kagent}
    for name, module in found.copy().items():
        _add(found, name, module)
    return found


def _add(found: dict[str, ModuleType], name: str, module: ModuleType) -> None:
    for attribute in exported(module):
        value = getattr(module, attribute)
        inner = f"{name}.{attribute}"
        if isinstance(value, ModuleType) and inner not in found:
            found[inner] = value
            _add(found, inner, value)


def exported(module: ModuleType) -> list[str]:
    """The names that a module exports: `__all__`, else those that it defines and that have no underscore."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = vars(module).items()
    return [n for n, value in own if not n.startswith("_") and getattr(value, "__module__", None) == module.__name__]


def names() -> list[Name]:
    """All public names but those of modules, each as often as it is exported."""
    found = []
    for path, module in modules().items():
        for name in exported(module):
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                found.append(Name(path, name, value))
    return found


@functools.cache
def homes() -> dict[int, Name]:
    """By the identity of a class or a function the name under which it has its entry.

    Presets have it as `kagent.DQN`; all others in the module that is named after them, not at the top.
    """
    made: dict[int, Name] = {}
    for found in names():
        if not isinstance(found.value, type) and not callable(found.value):
            continue
        known = made.get(id(found.value))
        if is_preset(found.value):
            found = Name("kagent", found.value.__name__, found.value)  # of its two names
        if known is None or known.module == "kagent":
            made[id(found.value)] = found
    return made


def is_preset(value: Any) -> bool:
    """Whether this is a class of agents with a page of its own."""
    return isinstance(value, type) and issubclass(value, kagent.Agent) and value is not kagent.Agent


def pages() -> dict[str, str]:
    """The pages of the API by name of the file, an index among them."""
    known, made = homes(), {}
    listed = modules()
    for path, module in listed.items():
        made[f"{path}.md"] = _page(path, module, known)
    rows = [f"| [{path}]({path}.md) | {summary(module.__doc__)} |" for path, module in listed.items()]
    tree = "\n".join(listed)
    made["index.md"] = (
        "# Reference\n\nEvery public name, from the docstrings. The presets are among the [algorithms](../algorithms/index.md).\n\n"
        "| module | |\n|---|---|\n" + "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
    return made


def _page(path: str, module: ModuleType, known: dict[int, Name]) -> str:
    text = [f"# {path}", f"```{{py:module}} {path}\n```", markdown(module.__doc__)]
    inner = [name for name in exported(module) if isinstance(getattr(module, name), ModuleType)]
    own = [Name(path, name, getattr(module, name)) for name in exported(module) if name not in inner]
    rows = [f"| {{py:obj}}`{name.name} <{_home(name, known).path}>` | {_about(name.value)} |" for name in own]
    if rows:
        text.append("| name | |\n|---|---|\n" + "\n".join(rows))
    if inner and path != "kagent":
        text.append("Modules: " + ", ".join(f"[`{name}`]({path}.{name}.md)" for name in inner))
    text += [entry(name) for name in own if _home(name, known) == name and not is_preset(name.value)]
    return "\n\n".join(part for part in text if part) + "\n"


def _home(name: Name, known: dict[int, Name]) -> Name:
    return known.get(id(name.value), name)


def _about(value: Any) -> str:
    documented = isinstance(value, type) or callable(value)
    return summary(inspect.getdoc(value)) if documented else f"A `{type(value).__name__}`."


def entry(found: Name) -> str:
    """The entry of a public name, in MyST."""
    value = found.value
    if isinstance(value, type):
        kind = "exception" if issubclass(value, BaseException) else "class"
        bases = [public for base in value.__bases__ if (public := public_name(base))]
        lines = [f"Bases: {', '.join(bases)}"] if bases else []
        lines += [markdown(value.__doc__), *(member(value, name, one) for name, one in members(value))]
        return directive(kind, f"{found.name}{signature(value)}", lines, FENCE, other_name(found))
    if callable(value) and not isinstance(value, dict):
        lines = [markdown(inspect.getdoc(value))]
        return directive("function", f"{found.name}{signature(value)}", lines, FENCE, other_name(found))
    return directive("data", found.name, [_constant(value)], FENCE)


def other_name(home: Name) -> list[str]:
    """The option of an entry by which links to its other name at the top, `kagent.EpsilonGreedy`, find it."""
    found = [n for n in kagent.__all__ if getattr(kagent, n) is home.value and f"kagent.{n}" != home.path]
    return [f":canonical: kagent.{name}" for name in found[:1]]


def public_name(base: type) -> str:
    """A base class as readers know it, in MyST; "" where it is none of theirs."""
    if id(base) in homes():
        return f"{{py:obj}}`{homes()[id(base)].path}`"
    parts = base.__module__.split(".")
    if parts[:2] == ["keras", "src"]:
        return f"`keras.{parts[2]}.{base.__qualname__}`"
    return "" if base is object or parts[0] == "kagent" else f"`{base.__qualname__}`"


def _constant(value: Any) -> str:
    shown = repr(value)
    if isinstance(value, dict):
        return f"A `{type(value).__name__}` with the keys " + ", ".join(f"`{key}`" for key in value) + "."
    if isinstance(value, Registry):
        return f"The {value.kind} parts by name: " + ", ".join(f"`{name}`" for name in value.names) + "."
    if type(value).__module__.startswith("kagent"):
        return f"A `{type(value).__name__}`: {summary(type(value).__doc__)}"
    return f"A `{type(value).__name__}`" + (f": `{shown}`" if len(shown) < 200 else ".")


def members(cls: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties with a docstring that a class defines itself."""
    for name, value in vars(cls).items():
        plain = getattr(value, "__func__", value)
        if name.startswith("_") or isinstance(value, type) or not _kind(value):
            continue
        doc = (getattr(plain, "__doc__", None) or "").strip()
        if doc and not doc.startswith("Not of "):  # methods that refuse
            yield name, value


def member(cls: type, name: str, value: Any) -> str:
    """The entry of a method or property, in MyST."""
    kind = _kind(value)
    plain = getattr(value, "__func__", value)
    if kind != "method":
        return directive(kind, name, [markdown(value.__doc__)], FENCE[1:])
    options = [
        f":{option}:"
        for option, t in (("classmethod", classmethod), ("staticmethod", staticmethod))
        if isinstance(value, t)
    ]
    text = signature(plain, bound=not isinstance(value, staticmethod))
    return directive("method", f"{name}{text}", [markdown(plain.__doc__)], FENCE[1:], options)


def _kind(value: Any) -> str:
    if isinstance(value, property | functools.cached_property):
        return "property"
    if inspect.isfunction(getattr(value, "__func__", value)):
        return "method"
    return "attribute" if type(value).__name__ == "Shown" else ""


def directive(kind: str, title: str, lines: list[str], fence: str, options: list[str] | None = None) -> str:
    head = "\n".join([f"{fence}{{py:{kind}}} {title}", *(options or [])])
    body = "\n\n".join(line for line in lines if line)
    return f"{head}\n\n{body}\n{fence}"


def parameters(value: Any, bound: bool = False) -> list[inspect.Parameter]:
    """The parameters of a function, method or class; of a class those of its constructor."""
    if isinstance(value, type):
        init = vars(value).get("__init__") or next(
            (vars(base)["__init__"] for base in value.__mro__ if "__init__" in vars(base)), None
        )
        if inspect.isfunction(init):
            return list(inspect.signature(init).parameters.values())[1:]
    try:
        found = list(inspect.signature(value).parameters.values())
    except (TypeError, ValueError):
        return []
    return found[1:] if bound else found


def signature(value: Any, bound: bool = False) -> str:
    """The signature of a function, method or class as Python would have it, with defaults that can be read."""
    marks, star = [], False
    for one in parameters(value, bound):
        if one.kind is one.VAR_POSITIONAL:
            star = True
        elif one.kind is one.KEYWORD_ONLY and not star:
            marks.append("*")
            star = True
        marks.append(_parameter(one, _namespace(value)))
    return f"({', '.join(marks)})"


@functools.cache
def _by_short_name() -> dict[str, str]:
    """By a short name the path that is meant where Polyaxon's door, `kagent.estimators`, has another of this name."""
    made: dict[str, str] = {}
    for found in sorted(homes().values(), key=lambda name: name.module.startswith("kagent.estimators")):
        made.setdefault(found.name, found.path)
    return made


def _namespace(value: Any) -> dict[str, Any]:
    return vars(sys.modules.get(getattr(value, "__module__", None) or "", kagent))


def _parameter(one: inspect.Parameter, namespace: dict[str, Any]) -> str:
    prefix = "*" if one.kind is one.VAR_POSITIONAL else "**" if one.kind is one.VAR_KEYWORD else ""
    kind = "" if one.annotation is one.empty else f": {_annotation(one.annotation, namespace)}"
    value = "" if one.default is one.empty else f" = {default(one.default)}"
    return f"{prefix}{one.name}{kind}{value}"


def _annotation(annotation: Any, namespace: dict[str, Any]) -> str:
    """An annotation whose public names are whole: `Memory` is that of `kagent.memories` or of `kagent.estimators`."""
    annotation = getattr(annotation, "__forward_arg__", annotation)
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)

    def whole(found: re.Match[str]) -> str:
        first = found[0].partition(".")[0]
        if first not in namespace:  # imported for checkers of types alone
            return _by_short_name().get(found[0], found[0])
        value: Any = namespace[first]
        for part in found[0].split(".")[1:]:
            value = getattr(value, part, None)
        known = homes().get(id(value))
        return known.path if known is not None and known.module != "kagent.ops" else found[0]

    return re.sub(r"(?<![\w.'\"])[A-Za-z_][\w.]*", whole, text)


def default(value: Any) -> str:
    """A default as an expression: what is no literal goes by its name."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"math.{value}"
    if isinstance(value, tuple):
        return f"({', '.join(map(default, value))}{',' if len(value) == 1 else ''})"
    if value is None or isinstance(value, bool | int | float | str | dict | list):
        return repr(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}(...)"
    return getattr(value, "__name__", type(value).__name__ + "(...)")
