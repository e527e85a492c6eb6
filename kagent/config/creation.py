"""Agents by name: how a class gets one, and agents from data: a name, a dict, or a file that holds one."""

from __future__ import annotations

from kagent.config import backend  # isort: skip  # noqa: F401  (first: Keras itself may fail to be imported)

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import keras

from kagent.config import allowed, settings_file
from kagent.config.module_names import algorithm_elsewhere
from kagent.config.registry import fold, free_names, is_bare, keras_package
from kagent.config.signatures import parameters
from kagent.config.vocabulary import refusal

if TYPE_CHECKING:
    from kagent.agent import Agent

AGENTS: dict[str, type] = {}
"""Classes of agents by name: what `Agent.create` knows. The first name of a class is the one in its configs."""

SUMMARIES: dict[type, str | None] = {}
"""One line about each of these classes, where it has one."""

C = TypeVar("C", bound=type)
_NEVER = ("env", "environment")
PLACES = ("saver", "summarizer", "recorder")  # they name places on this machine, and so never come from a model's file


@overload
def register_agent(cls: C, /) -> C: ...


@overload
def register_agent(*names: str, summary: str | None = None, package: str | None = None) -> Callable[[C], C]: ...


def register_agent(*names: Any, summary: str | None = None, package: str | None = None) -> Any:
    """Decorator: a class of agents is known by name, to `Agent.create`, in configs, in files, and to `kagent train`. It stands with
    or without parentheses.

    A saved agent is found again where the module that registers its class has been imported: no file names a module.

    Args:
        *names: What `Agent.create` takes, in any case and with or without `_` and `-`. The first one is in configs. By
            default the name of the class.
        summary: One line for the command line. `kagent train --help` lists kagent's own agents that have one.
        package: In files the class is `package>Class`. By default the first name of its module. A class that
            `keras.saving.register_keras_serializable` has registered keeps its name in files.

    Raises:
        TypeError: The class is not derived from `kagent.Agent`, or a name is no string.
        ValueError: Another class has the name.

    Example:

    >>> @kagent.register_agent("careful_dqn", summary="DQN that reads its target twice")
    ... class CarefulDQN(kagent.DoubleDQN):
    ...     pass
    >>> agent = kagent.Agent.create("careful_dqn", "CartPole-v1")
    """

    if is_bare(names):
        return register_agent(summary=summary, package=package)(names[0])

    def decorate(cls: C) -> C:
        base = AGENTS.get("agent")
        if not isinstance(cls, type) or (base is not None and not issubclass(cls, base)):
            raise TypeError(f"register_agent decorates a class derived from kagent.Agent. Received: {cls!r}")
        own = free_names(names or (cls.__name__,), AGENTS, cls, "agent")
        AGENTS.update(dict.fromkeys(own, cls))
        SUMMARIES[cls] = summary
        if not is_registered(cls):
            keras.saving.register_keras_serializable(package or keras_package(cls))(cls)
        return cls

    return decorate


def is_registered(cls: type) -> bool:
    """Whether a file can name the class."""
    return keras.saving.get_registered_object(keras.saving.get_registered_name(cls)) is cls


def create(cls: type[Agent], agent: Any = None, environment: Any = None, **overrides: Any) -> Agent:
    """Makes an agent from data.

    Args:
        agent: A name ("ppo", "dqn", "sac" ...), a dict `{"agent": name, **arguments}` (without a name: of this class),
            or the path of a `.json`, `.yaml` or `.yml` file that holds such a dict. Parts in it are names or dicts
            too. What `get_config` gives is such a dict.
        environment: What `env` is to the constructor; None where the data holds the spaces.
        **overrides: Arguments of the constructor; they take the place of those in the data.

    Raises:
        ValueError, TypeError: Unknown names or arguments, with the known ones; an unreadable file; an environment
            in the data.

    Example:

    >>> agent = kagent.Agent.create({"agent": "dqn", "learning_rate": 1e-3}, "CartPole-v1", seed=0)
    """
    if "env" in overrides:
        raise TypeError(f"create takes the environment as `environment`. Received: env={overrides['env']!r}")
    arguments: dict[str, Any] = {}
    if isinstance(agent, str | Path) and Path(agent).suffix.lower() in settings_file.SUFFIXES:
        agent = settings_file.read(agent, "`agent`")
    if isinstance(agent, dict):
        arguments = dict(agent)
        if "agent" in arguments and "type" in arguments:
            raise ValueError(f"`agent` as a dict has its name under 'agent' or 'type', not both. Received: {agent}")
        agent = arguments.pop("agent", None) or arguments.pop("type", None) or cls
    given = [name for name in _NEVER if name in arguments]
    if given:  # gymnasium imports the module that an id names; a file may not choose one
        raise ValueError(f"`agent` holds settings, never an environment. Received: {given}")
    form = {name: arguments.pop(name) for name in ("images",) if name in arguments}
    if agent is None:
        agent = cls
    preset: Any = agent
    if isinstance(agent, str):
        preset = AGENTS.get(fold(agent)) or _registered(agent)
        if preset is None:
            raise ValueError(f"Unknown `agent`. Received: {agent!r}. {_known(agent.lower(), AGENTS)}")
    elif not isinstance(agent, type):
        raise TypeError(f"`agent` must be a name, a dict or a file of settings. Received: {agent!r}")
    arguments |= overrides
    allowed.check_settings(arguments)
    known = parameters(preset)
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(refusal(preset.__name__, unknown, known))
    # As a model's file does: spaces written as data become spaces.
    own = {name: arguments.pop(name) for name in PLACES if name in arguments}
    if environment is None:
        made: Agent = preset.from_config({**arguments, **form}, **own)
    else:
        made = preset(environment, **arguments, **own)
    return made


def name_of(cls: type) -> str:
    """The name by which `Agent.create` finds a class of agents."""
    return next((name for name, known in AGENTS.items() if known is cls), keras.saving.get_registered_name(cls))


def is_agent_class(value: Any) -> bool:
    """Whether it is `kagent.Agent` or a class derived from it."""
    base = AGENTS.get("agent")
    return base is not None and isinstance(value, type) and issubclass(value, base)


def has_own_train_step(agent: Any) -> bool:
    """Whether the agent's class overrides `train_step`."""
    base: Any = AGENTS["agent"]
    return type(agent).train_step is not base.train_step


def _registered(name: str) -> type | None:
    found = keras.saving.get_registered_object(name)
    return found if is_agent_class(found) else None


def _known(name: str, among: Any) -> str:
    place = algorithm_elsewhere(name)
    close = [] if place else difflib.get_close_matches(name, among, n=1)
    hint = f" It is {place}." if place else f" Did you mean {close[0]!r}?" if close else ""
    return f"Known: {', '.join(sorted(among))}.{hint}"
