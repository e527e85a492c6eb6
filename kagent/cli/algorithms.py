"""The algorithms that `kagent train` takes: kagent's own by name, and classes of the user's as `module:Class`.

Names and summaries of kagent's own are those that `@register_agent` gives them. They are read from the text of
`kagent.agents`, because help and complaints come before anything imports Keras.
"""

from __future__ import annotations

import ast
import difflib
import importlib.resources
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

from kagent import tuned
from kagent.cli import modules
from kagent.cli.errors import CommandError
from kagent.config.module_names import algorithm_elsewhere

_FIRST = ("dqn", "ppo", "sac")  # of each kind the one to begin with


class Algorithm(NamedTuple):
    """An agent as the command line names it.

    Attributes:
        name: What the user types, in lower case; or `module:Class`.
        preset: Name of the class.
        summary: One line of help.
        others: Its other names, which are taken too.
        module: The module that has the class.
    """

    name: str
    preset: str
    summary: str = ""
    others: tuple[str, ...] = ()
    module: str = "kagent"

    def load(self) -> Any:
        """The class. Imports its module, and with it TensorFlow.

        Raises:
            CommandError: There is no such module, or no agent of this name in it.
        """
        found = modules.load(self.module)
        from kagent.config import creation

        cls: Any = getattr(found, self.preset, None)
        if not creation.is_agent_class(cls):
            own = [f"{name} ({text})" if text else name for name, text in _agents_of(found)]
            raise CommandError(
                f"{self.module} has no agent {self.preset!r}. It has: {', '.join(own) or 'none'}. An agent is a class "
                "derived from kagent.Agent"
            )
        if not creation.is_registered(cls):
            raise CommandError(
                f"{self.name} is not registered, so a file could not name it: decorate the class with "
                "@kagent.register_agent()"
            )
        return cls


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _read() -> tuple[Algorithm, ...]:
    found = {}
    for file in importlib.resources.files("kagent").joinpath("agents").iterdir():
        if not file.name.endswith(".py"):
            continue
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for node in (one for one in body if isinstance(one, ast.ClassDef)):
            for call in node.decorator_list:
                if not (isinstance(call, ast.Call) and ast.unparse(call.func) == "register_agent"):
                    continue
                names = [_plain(ast.literal_eval(argument)) for argument in call.args] or [_plain(node.name)]
                summary = {option.arg: ast.literal_eval(option.value) for option in call.keywords}.get("summary")
                if summary is not None:  # agents without one learn nothing
                    found[names[0]] = Algorithm(names[0], node.name, summary, tuple(names[1:]))
    rest = sorted(found.keys() - set(_FIRST))
    return tuple(found[name] for name in (*_FIRST, *rest))


ALGORITHMS = _read()


def find(name: str) -> Algorithm:
    """The algorithm called `name`, in any case and with or without dashes, or `module:Class`.

    Raises:
        CommandError: An unknown name, with the known ones.
    """
    if ":" in name:
        module, _, cls = name.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), cls)):
            raise CommandError(f"an agent of your own is given as module:Class. Received: {name!r}")
        return Algorithm(name, cls, module=module)
    plain = _plain(name)
    for algorithm in ALGORITHMS:
        if plain in (algorithm.name, *algorithm.others):
            return algorithm
    known = [algorithm.name for algorithm in ALGORITHMS]
    place = algorithm_elsewhere(name)
    close = [] if place else difflib.get_close_matches(plain, known, n=1)
    hint = f" In Python it is {place}." if place else f" Did you mean {close[0]!r}?" if close else ""
    raise CommandError(f"unknown algorithm. Received: {name!r}. Known: {', '.join(known)}, module:Class.{hint}")


def describe() -> str:
    """The lines of help about all of them."""
    lines, width = [], max(len(algorithm.name) for algorithm in ALGORITHMS)
    own = Algorithm("module:Class", "", "an agent of your own, which @kagent.register_agent decorates")
    for algorithm in (*ALGORITHMS, own):
        indent = " " * (width + 4)
        lines += _wrapped(algorithm.summary, f"  {algorithm.name:{width}}  ", indent)
        if settled := tuned.environments(algorithm.name):
            lines += _wrapped(f"tuned for {_listed(settled)}", indent, indent + "  ")
    return "\n".join(lines)


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False, break_long_words=False
    )


def _listed(ids: Sequence[str]) -> str:
    """Ids with commas; a module that several begin with is said once.

    Example:

    >>> _listed(["CartPole-v1", "kagent.environments.partial:TMaze-v0", "kagent.environments.partial:RepeatPrevious-v0"])
    'CartPole-v1; kagent.environments.partial:NAME with NAME TMaze-v0, RepeatPrevious-v0'
    """
    groups: dict[str, list[str]] = {}
    for text in ids:
        module, _, name = text.rpartition(":")
        groups.setdefault(module, []).append(name)
    return "; ".join(
        f"{module}:NAME with NAME {', '.join(names)}" if module else ", ".join(names)
        for module, names in groups.items()
    )


def _agents_of(module: Any) -> list[tuple[str, str | None]]:
    from kagent.config import creation

    members = vars(module).items()
    return [(name, creation.SUMMARIES.get(cls)) for name, cls in members if creation.is_agent_class(cls)]
