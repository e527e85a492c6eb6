"""Tensorforce's optimizers as kagent's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kagent import optimizers
from kagent.compat.tensorforce.translation.added_optimizers import AddedOptimizers
from kagent.compat.tensorforce.translation.context import Context, check_taken, type_of
from kagent.compat.tensorforce.translation.parameters import parameter

# Optimizers of TensorFlow's add-ons, and what Keras has in their place.
IN_PLACE = {
    "lazyadam": "adam",
    "lazy_adam": "adam",
    "radam": "adam",
    "ranger": "adam",
    "sgdw": "sgd",
    "momentum": "sgd",
}
_GONE = (
    "decoupled_weight_decay",
    "lookahead",
    "moving_average",
    "accept_ratio",
    "return_improvement_estimate",
    "ls_accept_ratio",
    "ls_mode",
    "ls_parameter",
    "ls_unroll_loop",
)
_RENAMED = {
    "optimizing_iterations": "linesearch_iterations",
    "ls_max_iterations": "max_iterations",
    "gradient_norm_clipping": "global_clipnorm",
}
_WRAPPERS = ("optimizer_wrapper", "meta_optimizer_wrapper", "update_modifier_wrapper", "default", "tf_optimizer")
_MODIFIERS = ("clipping_step", "multi_step", "subsampling_step", "linesearch_step", "doublecheck_step")
_OWN = ("natural_gradient", "evolutionary")


def optimizer(value: Any, context: Context, argument: str = "optimizer") -> Any:
    """The optimizer that a specification describes.

    Args:
        value: A name, a number (a weight of the baseline's loss), a dict, or a Keras optimizer.
        context: The agent's.
        argument: Its name, for errors.

    Raises:
        ValueError, TypeError: Nothing of this.
    """
    if not isinstance(value, str | Mapping | type):
        return value
    default = "optimizer_wrapper" if isinstance(value, Mapping) and "optimizer" in value else "adam"
    kind, arguments = type_of(value, argument, default)
    kind = _folded(kind)
    if kind == "global_optimizer":
        raise ValueError(
            f"`{argument}` {kind!r} is gone: there are no asynchronous workers; num_parallel of a Runner plays several episodes. "
            f"Received: {value!r}"
        )
    if kind == "plus":
        return _added(arguments, context, argument)
    arguments = _read(arguments, context, argument)
    if kind in _WRAPPERS:
        inner = optimizer(arguments.pop("optimizer", "adam"), context, argument)
        if not isinstance(inner, Mapping) or inner["type"] in _MODIFIERS:
            return {"type": "optimizer_wrapper", "optimizer": inner, **arguments}
        if inner["type"] == "natural_gradient" and "learning_rate" in arguments:
            arguments["learning_rate"] = _radius(arguments["learning_rate"], argument)
        return {**inner, **arguments}
    if kind == "optimizing_step":
        kind = "linesearch_step"
    if kind in _MODIFIERS:
        return {
            "type": kind,
            **arguments,
            "optimizer": optimizer(arguments.get("optimizer", "adam"), context, argument),
        }
    if kind in IN_PLACE:
        context.note(f"`{argument}` {kind!r} is no optimizer of Keras's: {IN_PLACE[kind]!r} takes its place")
        kind = IN_PLACE[kind]
    if kind == "natural_gradient":
        arguments["learning_rate"] = _radius(arguments.get("learning_rate", 1e-2), argument)
        arguments.setdefault("cg_damping", 1e-3 if context.older else 0.1)
    if kind == "natural_gradient" and arguments.pop("only_positive_updates", True) is False:
        context.note(
            "`only_positive_updates=False` has no meaning here: a natural gradient's step lowers the loss or is none"
        )
    if context.older and kind not in (*_OWN, "synchronization"):
        arguments.setdefault("global_clipnorm", 1.0)
    if kind != "synchronization":
        arguments.setdefault("learning_rate", 3e-4 if context.older else 1e-3)
    return {"type": kind, **arguments}


def _added(arguments: Mapping[str, Any], context: Context, argument: str) -> AddedOptimizers:
    names = ("optimizer1", "optimizer2")
    check_taken(arguments, (*names, "name"), f"{argument} plus", names)
    made = []
    for name in names:
        spec = optimizer(arguments[name], context, f"{argument}.{name}")
        found, schedule = optimizers.get(spec, name)
        if schedule is not None or optimizers.modifiers_of(spec) or optimizers.uses_closure(found):
            raise ValueError(
                f"`{argument}` plus adds the steps of two optimizers of Keras's, without schedules and modifiers. Received: "
                f"{name}={arguments[name]!r}. Allowed: modifiers around 'plus'"
            )
        made.append(found)
    context.note("the optimizers of 'plus' step by one gradient; Tensorforce's second one computed it again")
    return AddedOptimizers(*made)


def _radius(rate: Any, argument: str) -> float:
    """The KL divergence that a natural gradient's step has by a learning rate of Tensorforce's: its square."""
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        raise ValueError(
            f"`{argument}.learning_rate` of natural_gradient must be a number: its square is the KL divergence of a step. "
            f"Received: {rate!r}"
        )
    return float(rate) ** 2


def _folded(kind: str) -> str:
    # A class's name, as `MultiStep`, and that of a specification, as "multi_step".
    known = (*_WRAPPERS, *_MODIFIERS, *_OWN, "synchronization", "optimizing_step", "global_optimizer", "plus")
    plain = {name.replace("_", ""): name for name in known}
    return plain.get(kind.lower().replace("_", ""), kind.lower())


def _read(given: Mapping[str, Any], context: Context, argument: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in ("name", "device") or value is None:
            continue
        if name in _GONE:
            context.note(f"`{argument}` {name!r} has no meaning here")
            continue
        made[_RENAMED.get(name, name)] = value if name == "optimizer" else parameter(value, f"{argument}.{name}")
    return made
