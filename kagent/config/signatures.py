"""Functions that users write, and names that they give: what is known, and what is not."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, cast

from kagent.config.vocabulary import hints, unexpected

_Method = TypeVar("_Method", bound=Callable[..., Any])


def check_function(
    function: Any, argument: str, needed: Collection[str], known: Collection[str] | None = None
) -> list[str]:
    """Looks at a function that is to be called by keyword.

    Args:
        function: What was received.
        argument: Its name.
        needed: Arguments that it must take.
        known: All that it may take, `needed` among them. None: those, and any that have a default.

    Returns:
        The arguments that it takes; `known` among them where it takes `**keywords`. What a `functools.partial` has bound by
        name is not taken.

    Raises:
        TypeError: Not callable.
        ValueError: No signature; arguments that cannot be given by name, are needed and not taken, or are not known.

    Example:

    >>> check_function(lambda features, mode: features, "graph_fn", needed=("mode", "features"))
    ['features', 'mode']
    """
    if not callable(function):
        raise TypeError(f"`{argument}` must be a function. Received: {function!r} ({type(function).__name__})")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{argument}` has no signature to be read. Received: {function!r}") from error
    bound = set(function.keywords) if isinstance(function, functools.partial) else set()
    takes = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in bound]
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    wrong = [
        p.name for p in parameters if p.kind is p.POSITIONAL_ONLY or (p.kind is p.VAR_POSITIONAL and not takes_all)
    ]
    if wrong:
        raise ValueError(f"`{argument}` gets its arguments by name, and cannot take these: {wrong}")
    if takes_all:
        takes = list(dict.fromkeys([*takes, *(known or needed)]))
    for name in needed:
        if name not in takes:
            raise ValueError(f"`{argument}` must take `{name}`. It takes: {takes}")
    free = {p.name for p in parameters if p.default is not p.empty} if known is None else set()
    unknown = [name for name in takes if name not in (known or needed) and name not in free]
    if unknown:
        raise ValueError(f"`{argument}` has unexpected arguments {unknown}. Known: {list(known or needed)}")
    return takes


def check_known(given: Collection[str], known: Collection[str], what: str, noun: str = "") -> None:
    """Compares names.

    Args:
        given: What was received.
        known: What there is.
        what: What has these names, for the message.
        noun: What the names are of, "argument" or "key".

    Raises:
        ValueError: A name that is not known.
    """
    unknown = [name for name in given if name not in known]
    if unknown:
        end = hints(unknown, known)
        raise ValueError(f"{what} has no {noun}{noun and ' '}{unknown}. Known: {list(known)}{end and '.'}{end}")


def constructor_parameters(made: Any) -> list[inspect.Parameter]:
    """What is given to make an instance of a class, or to call a function that makes one.

    Of a class it is read from `__init__`: under some Pythons, as Debian 12's 3.11.2, `inspect.signature(cls)` gives what the
    `__new__` of Keras's layers takes, `(*args, **kwargs)`.
    """
    if not isinstance(made, type):
        return list(inspect.signature(made).parameters.values())
    return list(inspect.signature(made.__init__).parameters.values())[1:]  # type: ignore[misc]


def parameters(cls: type) -> dict[str, Any]:
    """Named arguments of a class with their defaults, those included that `**keywords` hands on to a base class.

    A class that takes names which it does not hand on has them in `further_arguments`, with their defaults.
    """
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        if "__init__" not in vars(one):
            continue
        own = inspect.signature(vars(one)["__init__"]).parameters.values()
        for parameter in own:
            if parameter.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                found.setdefault(parameter.name, parameter.default)
        if "further_arguments" in vars(one):
            found = {**vars(one)["further_arguments"], **found}
            break
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own):
            break
    return {name: default for name, default in found.items() if name not in ("self", "env")}


def answering(*passed: str) -> Callable[[_Method], _Method]:
    """Decorates a function: a keyword that it does not take is answered by the table of `kagent.config.vocabulary`.

    Args:
        *passed: Of a function with `**keywords`, the names that it takes by them.

    Example:

    >>> @answering()
    ... def act(observation, deterministic=False): ...
    >>> act([0.0], greedy=True)
    Traceback (most recent call last):
        ...
    TypeError: act got an unexpected keyword argument 'greedy'. Did you mean 'deterministic'? Known: deterministic, observation.
    """

    def decorate(function: _Method) -> _Method:
        parameters = inspect.signature(function).parameters.values()
        named = [
            p.name
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and p.name not in ("self", "agent")
        ]
        known = [*named, *passed]
        takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)

        def check(given: Collection[str]) -> None:
            unknown = [name for name in given if name not in known]
            if unknown:
                raise TypeError(unexpected(function.__name__, unknown, known)) from None

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if takes_all:
                check(kwargs)
            try:
                return function(*args, **kwargs)
            except TypeError:
                check(kwargs)  # only now: a call that is right costs nothing
                raise

        return cast(_Method, call)

    return decorate
