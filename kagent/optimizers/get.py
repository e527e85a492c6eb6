"""Numbers, names, dicts and objects in the place of optimizers: how an argument for one is read."""

from __future__ import annotations

import copy
import numbers
from typing import Any

import keras

from kagent import schedules
from kagent.config import allowed
from kagent.config.registry import plain
from kagent.config.signatures import parameters
from kagent.config.vocabulary import hints
from kagent.optimizers.evolutionary import Evolutionary
from kagent.optimizers.flat_adam import ARGUMENTS, FlatAdam
from kagent.optimizers.modifiers import (
    MODIFIERS,
    ClippingStep,
    DoublecheckStep,
    LinesearchStep,
    Modifier,
    MultiStep,
    SubsamplingStep,
)
from kagent.optimizers.natural_gradient import NaturalGradient

# Arguments of any optimizer's dict that modify its steps.
FLAT = (
    "multi_step",
    "subsampling_fraction",
    "clipping_threshold",
    "clipping_mode",
    "linesearch_iterations",
    "linesearch_backtracking",
    "doublecheck_update",
)
_WRAPPERS = ("optimizerwrapper", "metaoptimizerwrapper", "tfoptimizer")
_SEARCH = ("linesearch_iterations", "linesearch_backtracking")
_ALIASES = {"global_clipnorm": ("gradient_norm_clipping",)}
_OWN = {"NaturalGradient": NaturalGradient, "Evolutionary": Evolutionary, "FlatAdam": FlatAdam}
_REFUSED = {
    "plus": "it runs two optimizers one after the other on one loss; give each role an optimizer of its own",
    "globaloptimizer": "it hands gradients to a global model, which asynchronous workers had; kagent's workers are `n_envs`",
    "synchronization": "it is how a target follows; give it as `target`",
}


def get(identifier: Any, name: str, clip: float | None = None) -> tuple[Any, Any]:
    """A Keras optimizer and the schedule of its learning rate (None if the rate is a number).

    Args:
        identifier: A Keras optimizer, a name, a learning rate of Adam, or a dict `{"type": "Adam", "learning_rate": ...,
            **arguments}`. Learning rates may be schedules, also of `keras.optimizers.schedules`. Arguments are
            those of the Keras optimizer; `gradient_norm_clipping` is another name of `global_clipnorm`. Beside Keras's
            types there are `"natural_gradient"` and `"evolutionary"`; Adam is `FlatAdam` where that knows its arguments.
            Modifiers may be given too; see `modifiers_of`.
        name: The optimizer's name: that of its role.
        clip: `global_clipnorm`, where the dict does not say it.

    Raises:
        ValueError, TypeError: Unknown optimizer or arguments.
    """
    identifier, _ = _split(identifier)
    if isinstance(identifier, keras.optimizers.Optimizer):
        return identifier, None
    if isinstance(identifier, dict) and "class_name" in identifier:
        return _made(identifier), None
    arguments = dict(identifier)
    kind = _known(arguments.pop("type"))
    rate = schedules.get(arguments.pop("learning_rate", _defaults_of(kind)["learning_rate"]), "learning_rate", 0.0)
    arguments = {"name": name, **arguments, "learning_rate": schedules.start_of(rate)}
    if "gradient_norm_clipping" in arguments:
        if "global_clipnorm" in arguments:
            raise ValueError(
                "`optimizer`: 'gradient_norm_clipping' is another name of 'global_clipnorm', given too. "
                f"Received: {identifier}"
            )
        arguments["global_clipnorm"] = arguments.pop("gradient_norm_clipping")
    if clip is not None:
        arguments.setdefault("global_clipnorm", clip)
    known = _arguments(kind)
    unknown = sorted(set(arguments) - set(known), key=str)
    if unknown:
        raise ValueError(
            f"`optimizer` {kind} of {name!r} refuses its arguments: it has no {unknown}. Known: {sorted({*known, *FLAT})}."
            f"{hints([str(key) for key in unknown], [*known, *FLAT])}"
        )
    if kind == "Adam" and ARGUMENTS.issuperset(arguments):
        kind = "FlatAdam"
    try:
        optimizer = keras.optimizers.get(
            {"class_name": f"kagent>{kind}" if kind in _OWN else kind, "config": arguments}
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"`optimizer` {kind} of {name!r} refuses its arguments: {error}") from error
    return optimizer, None if isinstance(rate, float) else rate


def modifiers_of(identifier: Any) -> tuple[Modifier, ...]:
    """What modifies the steps of an optimizer, from the outside to the inside.

    Args:
        identifier: What `get` takes. A dict may hold, beside the optimizer's own arguments: `multi_step`,
            `subsampling_fraction`, `clipping_threshold`, `clipping_mode`, `linesearch_iterations`,
            `linesearch_backtracking`, `doublecheck_update`. They modify in the order clipping, multi-step, subsampling,
            line search, double check. A line search takes back what did not help by itself, so that beside it the double
            check adds nothing. Or it is `{"type": "multi_step", "num_steps": ..., "optimizer": ...}`, with any
            optimizer inside, as `subsampling_step`, `clipping_step`, `linesearch_step`, `doublecheck_step` are; these
            modify in the order of their nesting. `optimizer_wrapper` takes `optimizer` and the flat arguments.

    Raises:
        ValueError, TypeError: Unknown arguments, or outside their range.

    Example:

    >>> modifiers_of({"type": "adam", "multi_step": 10, "subsampling_fraction": 0.33})
    (MultiStep(num_steps=10.0), SubsamplingStep(fraction=0.33))
    """
    return _split(identifier)[1]


def argument_of(identifier: Any, name: str, default: Any = None) -> Any:
    """An argument of an optimizer, as it was given, or as `get` takes it where it was not.

    Args:
        identifier: What `get` takes.
        name: The argument's name, such as "learning_rate" or "multi_step".
        default: The value where it was not given, and is neither a learning rate nor an argument of an optimizer of kagent's.

    Example:

    >>> argument_of({"type": "adam", "learning_rate": 1e-3}, "learning_rate")
    0.001
    """
    if name == "learning_rate" and isinstance(identifier, numbers.Real):
        return identifier
    if isinstance(identifier, keras.optimizers.Optimizer):
        identifier = keras.optimizers.serialize(identifier)
    if schedules.is_schedule(identifier):
        identifier = {"type": "Adam", "learning_rate": identifier}
    kind = identifier if isinstance(identifier, str) else None
    while isinstance(identifier, dict):
        wrapped = _fold(identifier.get("type")) == "multistep" and name == "multi_step"
        for key in (name, *(["num_steps"] if wrapped else []), *_ALIASES.get(name, ())):
            if key in identifier:
                return identifier[key]
        kind = identifier.get("type", kind)
        identifier = identifier.get("optimizer", identifier.get("config"))
        kind = identifier if isinstance(identifier, str) else kind
    return default if kind is None else _defaults_of(_known(kind)).get(name, default)


def _defaults_of(kind: str) -> dict[str, Any]:
    # Those of the optimizers of Keras are as Keras has them, but for the learning rate.
    own = parameters(_OWN[kind]) if kind in _OWN else {}
    return {"learning_rate": 1e-3, **own}


def serialize(identifier: Any) -> Any:
    """The inverse of `get` and `modifiers_of`, JSON-ready."""
    if isinstance(identifier, keras.optimizers.Optimizer):
        return keras.optimizers.serialize(identifier)
    return plain(identifier)


def _split(identifier: Any) -> tuple[Any, tuple[Modifier, ...]]:
    # The optimizer alone, an object or a dict with 'type' or 'class_name', and what was around it.
    given = identifier
    if schedules.is_schedule(identifier):
        identifier = {"type": "Adam", "learning_rate": identifier}
    chain: list[Modifier] = []
    while isinstance(identifier, dict) and "class_name" not in identifier:
        kind = identifier.get("type", "optimizer_wrapper" if "optimizer" in identifier else None)
        folded = _fold(kind)
        if folded in _REFUSED:
            raise ValueError(f"`optimizer` {kind!r} is not supported: {_REFUSED[folded]}. Received: {identifier}")
        if folded not in _WRAPPERS and not MODIFIERS.knows(kind):
            break
        arguments = {key: value for key, value in identifier.items() if key not in ("type", "optimizer")}
        if identifier.get("optimizer") is None:
            raise ValueError(f"`optimizer` {kind!r} needs an 'optimizer' inside. Received: {identifier}")
        identifier = identifier["optimizer"]
        if folded in _WRAPPERS:
            identifier, around = _wrapped(identifier, arguments)
            chain += around
        else:
            chain.append(MODIFIERS.get({"type": kind, **arguments}, "optimizer"))
    if isinstance(identifier, str):
        if _fold(identifier) in _REFUSED:
            raise ValueError(f"`optimizer` {identifier!r} is not supported: {_REFUSED[_fold(identifier)]}")
        identifier = {"type": identifier}
    elif isinstance(identifier, numbers.Real) and not isinstance(identifier, bool):
        identifier = {"type": "Adam", "learning_rate": float(identifier)}
    if isinstance(identifier, keras.optimizers.Optimizer) or (
        isinstance(identifier, dict) and "class_name" in identifier
    ):
        return identifier, tuple(chain)
    if not isinstance(identifier, dict) or "type" not in identifier:
        raise TypeError(
            f"An optimizer must be a Keras optimizer, a name, a learning rate or a dict with 'type'. Received: {given!r}"
        )
    searches = _fold(identifier["type"]) == "naturalgradient"  # it has a line search of its own
    search = chain[-1] if chain else None
    if searches and isinstance(search, LinesearchStep):
        chain.pop()
        own = {
            "linesearch_iterations": _whole(search.max_iterations),
            "linesearch_backtracking": search.backtracking_factor,
        }
        identifier = {**own, **identifier}
    flat = {key: identifier[key] for key in FLAT if key in identifier and not (searches and key in _SEARCH)}
    identifier = {key: value for key, value in identifier.items() if key not in flat}
    return identifier, (*chain, *_chain(flat))


def _wrapped(inner: Any, arguments: dict[str, Any]) -> tuple[Any, tuple[Modifier, ...]]:
    # A wrapper's arguments are those of a flat dict; an optimizer that is made already takes modifiers alone.
    if isinstance(inner, str):
        return {"type": inner, **arguments}, ()
    if isinstance(inner, dict) and "class_name" not in inner and not MODIFIERS.knows(inner.get("type")):
        both = sorted(set(inner) & set(arguments))
        if both:
            raise ValueError(f"`optimizer` has {both} in the wrapper and inside it. Received: {inner} in {arguments}")
        return {**inner, **arguments}, ()
    unknown = sorted(set(arguments) - set(FLAT))
    if unknown:
        raise ValueError(
            f"`optimizer` has {unknown} beside an optimizer that is given whole, {inner!r}. Known: {list(FLAT)}"
        )
    return inner, _chain(arguments)


def _chain(flat: dict[str, Any]) -> tuple[Modifier, ...]:
    made: list[Modifier] = []
    threshold, mode = flat.get("clipping_threshold"), flat.get("clipping_mode", "global_norm")
    if threshold is not None:
        made.append(ClippingStep(threshold, mode))
    elif "clipping_mode" in flat:
        ClippingStep(1.0, mode)  # its name is checked where it has nothing to do, too
    if flat.get("multi_step") is not None:
        made.append(MultiStep(flat["multi_step"]))
    if flat.get("subsampling_fraction") is not None:
        made.append(SubsamplingStep(flat["subsampling_fraction"]))
    given = flat.get("linesearch_iterations")
    search = LinesearchStep(0 if given is None else given, flat.get("linesearch_backtracking", 0.75))
    made.append(search)
    check = flat.get("doublecheck_update", False)
    if not isinstance(check, bool):
        raise TypeError(f"`optimizer.doublecheck_update` must be True or False. Received: {check!r}")
    if check and search.idle:
        made.append(DoublecheckStep())
    return tuple(modifier for modifier in made if not modifier.idle)


def _known(kind: Any) -> str:
    # A Keras optimizer, or one that the user registered: a file may not name any other class.
    base = keras.optimizers.Optimizer
    classes = {n: c for n, c in vars(keras.optimizers).items() if isinstance(c, type) and issubclass(c, base)}
    for wrapper in ("Optimizer", "LossScaleOptimizer", "MultiOptimizer"):
        classes.pop(wrapper, None)
    custom = keras.saving.get_registered_object(kind) if isinstance(kind, str) else None
    if isinstance(kind, str) and isinstance(custom, type) and issubclass(custom, base):
        return str(custom.__name__ if custom in _OWN.values() else kind)
    for name in (*classes, *_OWN):
        if isinstance(kind, str) and name.lower() in (kind.lower(), _fold(kind)):
            return str(name)
    known = sorted([*classes, *_OWN, *MODIFIERS.names, "optimizer_wrapper"])
    raise ValueError(f"Unknown `optimizer`. Received: {kind!r}. Known: {', '.join(known)}")


def _arguments(kind: str) -> list[str]:
    own = _OWN.get(kind) or getattr(keras.optimizers, kind, None) or keras.saving.get_registered_object(kind)
    return list(parameters(own))


def _made(config: dict[str, Any]) -> Any:
    allowed.check(config, "optimizer")
    try:
        return keras.optimizers.get(copy.deepcopy(config))  # Keras writes into it
    except (KeyError, AttributeError) as error:
        raise ValueError(f"`optimizer` cannot be made from its configuration: {error!r}") from error


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) else value


def _fold(name: Any) -> str:
    return name.replace("_", "").replace("-", "").lower() if isinstance(name, str) else ""
