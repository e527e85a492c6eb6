"""The environment of a run: an id, arguments of its constructor, and wrappers around it."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from kagent.cli import modules, settings
from kagent.cli.errors import CommandError
from kagent.config.vocabulary import hints


@dataclasses.dataclass(frozen=True)
class Source:
    """What environments of a run are made from, as `config.json` records it.

    Attributes:
        id: Of gymnasium.
        arguments: Of the environment's constructor, by name.
        wrappers: `NAME` or `NAME:{"argument": value}`, from the innermost to the outermost.
    """

    id: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrappers: tuple[str, ...] = ()

    @property
    def made_by(self) -> Any:
        """What `fit`, `evaluate` and an agent's constructor take: the id where that is all, else a function."""
        return self.make if self.arguments or self.wrappers else self.id

    def make(self, **more: Any) -> Any:
        """One environment.

        Args:
            **more: Further arguments of its constructor.

        Raises:
            CommandError: The environment does not take the arguments, or cannot be drawn; or a wrapper is not known, or does
                not take its own.
        """
        from kagent import environments

        try:
            env = environments.make_id(self.id, **self.arguments, **more)
        except TypeError as error:
            if "render_mode" in more and "'render_mode'" in str(error):
                raise CommandError(f"{self.id} cannot be drawn: its constructor takes no `render_mode`") from error
            raise CommandError(f"--env-kwargs: {self.id} does not take {self.arguments}: {error}") from error
        for text in self.wrappers:
            name, arguments = _parsed(text)
            wrapper = _wrapper(name)
            try:
                env = wrapper(env, **arguments)
            except Exception as error:  # whatever the wrapper's own checks raise
                raise CommandError(f"--wrapper {text}: {error}") from error
        return env

    def record(self) -> dict[str, Any]:
        """Its entries in `config.json`."""
        further = {"environment_arguments": self.arguments, "wrappers": list(self.wrappers)}
        return {"environment": self.id, **{name: value for name, value in further.items() if value}}

    def __str__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self.arguments.items()]
        inside = f" ({', '.join(given)})" if given else ""
        return f"{self.id}{inside}{''.join(f', {text}' for text in self.wrappers)}"


def of_record(config: dict[str, Any], imported: Collection[str]) -> Source:
    """The source that `record` wrote down.

    Args:
        config: Of a run.
        imported: Modules that the command line names: a file is not trusted to name one.

    Raises:
        CommandError: It is damaged, or names another module.
    """
    name, arguments, wrappers = (config.get(key) for key in ("environment", "environment_arguments", "wrappers"))
    arguments, wrappers = {} if arguments is None else arguments, [] if wrappers is None else wrappers
    texts = isinstance(wrappers, list) and all(isinstance(one, str) for one in wrappers)
    if not isinstance(name, str) or not isinstance(arguments, dict) or not texts:
        raise CommandError("config.json is damaged: it has no environment as `kagent train` writes it")
    for text in (name, *wrappers):
        modules.check_named(text.partition("{")[0].removesuffix(":"), imported)
    return Source(name, arguments, tuple(wrappers))


def add_options(parser: Any) -> None:
    """Adds `--env-kwargs` and `--wrapper`."""
    parser.add_argument(
        "--env-kwargs",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="arguments of the environment's constructor; values are JSON, or else text",
    )
    parser.add_argument(
        "--wrapper",
        action="append",
        default=[],
        metavar="NAME",
        help="a wrapper of gymnasium.wrappers, or module:Class; the first is the innermost. With arguments: "
        "'NAME:{\"argument\": 3}'",
    )


def of_options(arguments: argparse.Namespace) -> Source:
    """The source that the command line gives.

    Raises:
        CommandError: An argument without a name, or a wrapper that is not known.
    """
    given: dict[str, Any] = {}
    for text in arguments.env_kwargs:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise CommandError(f"--env-kwargs takes KEY=VALUE. Received: {text!r}")
        given[name] = settings.value_of(value)
    for text in arguments.wrapper:
        _parsed(text)
    return Source(arguments.environment, given, tuple(arguments.wrapper))


def _parsed(text: str) -> tuple[str, dict[str, Any]]:
    # `module:Class` has a colon of its own.
    name, brace, rest = text.partition("{")
    try:
        arguments = json.loads(brace + rest) if brace else {}
    except ValueError:
        arguments = None
    name = name.removesuffix(":") if brace else name
    if not isinstance(arguments, dict) or not all(part.isidentifier() for part in name.replace(":", ".").split(".")):
        raise CommandError(f"--wrapper takes NAME, module:Class, or 'NAME:{{\"argument\": 3}}'. Received: {text!r}")
    return name, arguments


def _wrapper(name: str) -> Callable[..., Any]:
    import gymnasium

    module_name, colon, own = name.rpartition(":")
    module = modules.load(module_name) if colon else gymnasium.wrappers
    found = getattr(module, own, None)
    if not (inspect.isclass(found) and issubclass(found, gymnasium.Wrapper)):
        known = [one for one, value in vars(module).items() if _is_wrapper(value)]
        raise CommandError(f"--wrapper: no wrapper {own!r} in {module.__name__}.{hints([own], known)}{_listed(known)}")
    return found


def _is_wrapper(value: Any) -> bool:
    import gymnasium

    return inspect.isclass(value) and issubclass(value, gymnasium.Wrapper) and value is not gymnasium.Wrapper


def _listed(names: Iterable[str]) -> str:
    found = ", ".join(sorted(names))
    return f" Known: {found}" if found else " It has none"
