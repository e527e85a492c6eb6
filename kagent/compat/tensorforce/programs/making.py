"""From a specification to an agent of kagent's."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import keras

import kagent
from kagent.compat.tensorforce.programs.environment import Environment
from kagent.compat.tensorforce.programs.function_model import FunctionModel
from kagent.compat.tensorforce.translation import Context, translate
from kagent.compat.tensorforce.translation.context import check_taken

_CLASSES = {"agent": "Agent", "random": "Random", "constant": "Constant"}


def of_environment(environment: Any, spec: Mapping[str, Any]) -> dict[str, Any]:
    """`states`, `actions` and `max_episode_timesteps` of an environment, but for those that the specification has."""
    if environment is None:
        return {}
    made = Environment.create(environment)
    found = {"states": made.states(), "actions": made.actions(), "max_episode_timesteps": made.max_episode_timesteps()}
    if made is not environment and not isinstance(environment, Environment):
        made.close()
    return {name: value for name, value in found.items() if spec.get(name) is None}


def described(spec: Any) -> Any:
    """A specification of states or actions with names in the place of Python's types, and with the shapes that are left out: ()."""
    if not isinstance(spec, Mapping):
        return spec.__name__ if isinstance(spec, type) else spec
    made = {name: described(value) for name, value in spec.items()}
    if isinstance(made.get("type"), str):
        made.setdefault("shape", ())
    return OrderedDict(made) if isinstance(spec, OrderedDict) else made


def model_of(spec: Mapping[str, Any]) -> tuple[Any, bool]:
    """The agent of kagent's, and whether its specification is in the words of 0.5."""
    arguments = {name: value for name, value in spec.items() if name not in ("agent", "states", "actions")}
    context = Context(spec["states"], spec["actions"], arguments.get("max_episode_timesteps"))
    if isinstance(spec["agent"], keras.Model):
        raise TypeError(
            f"`agent` as a function takes one state, without a batch axis, and a Keras model takes batches. Received: "
            f"{spec['agent']!r}. Allowed: a function that calls it; a kagent.Agent has `act`, `observe` and `fit` of its own"
        )
    if callable(spec["agent"]):
        check_taken(arguments, ("recorder", "parallel_interactions", "max_episode_timesteps"), "agent of a function")
        given = {name: value for name, value in arguments.items() if value is not None}
        return FunctionModel(
            spec["agent"], observation_space=context.state_space, action_space=context.action_space, **given
        ), False
    kind, made = translate(spec["agent"], arguments, context)
    model = getattr(kagent, _CLASSES[kind])(
        observation_space=context.state_space, action_space=context.action_space, **made
    )
    if context.notes:
        listed = "".join(f"\n- {note}" for note in context.notes)
        warnings.warn(f"These words of Tensorforce's are taken without their meaning:{listed}", stacklevel=4)
    return model, context.older
