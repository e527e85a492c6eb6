"""`keras.Model.predict` and `summary` of an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from kagent.config import guidance
from kagent.policies import role

if TYPE_CHECKING:
    from kagent.agent import Agent


def predict(agent: Agent, x: Any, *args: Any, **kwargs: Any) -> Any:
    """As `keras.Model.predict`: greedy actions for a batch of observations `(N, ...)`. For one: `act`.

    Raises:
        TypeError, ValueError: One observation without a batch's axis, or arguments of another library's `predict`.
    """
    guidance.check_predict(x, kwargs, keras.Model.predict.__get__(agent), agent._raw_observation)
    return keras.Model.predict(agent, x, *args, **kwargs)


def make_predict_function(agent: Agent, force: bool = False) -> Any:
    """As in Keras; not compiled by XLA where there is preprocessing, which is NumPy."""
    jit = agent.jit_compile
    if agent.preprocessing is not None:
        agent.jit_compile = False
    try:
        return keras.Model.make_predict_function(agent, force)
    finally:
        agent.jit_compile = jit


def summary(agent: Agent, *args: Any, **kwargs: Any) -> None:
    """As `keras.Model.summary`: a line per role; `expand_nested=True` shows the layers inside them too.

    Below it there is a line for every image of the observation: how the networks take it.
    """
    token = role.EXPANDED.set(True)
    try:
        keras.Model.summary(agent, *args, **kwargs)
    finally:
        role.EXPANDED.reset(token)
    show = kwargs.get("print_fn") or (args[2] if len(args) > 2 else None) or print
    for name_of_role, found in agent.parts.image_readings().items():
        for name, text in found.items():
            show(f"Image {name!r} of {name_of_role}: {text}" if name else f"Image of {name_of_role}: {text}")
