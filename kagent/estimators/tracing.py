"""The graphs that one call of a function makes, which describes a policy and its loss with layers and `keras.ops`."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import keras

from kagent.networks.encoding import encode
from kagent.spaces import Leaf, Structure

GIVEN = ("action", "reward", "done", "terminated")  # columns that there always are


class Described(NamedTuple):
    """What such a function returns: symbolic tensors.

    Attributes:
        predictions: `(B, ...)` by name, of the features alone. "results" is what the agent does: `(B,)` integer indices
            from 0 of a Discrete action space, or `(B, *shape)` of a Box.
        loss: A scalar.
        metrics: Scalars by name, logged with every update.
    """

    predictions: Mapping[str, Any]
    loss: Any
    metrics: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """What one call of such a function has made.

    Attributes:
        inputs: Observation leaves in stored form, `(B, *leaf.shape)`, symbolic.
        columns: Names of the minibatch's columns behind them.
        predictions: What it predicts, symbolic.
        acting: From `inputs` to the predictions.
        learning: From `inputs` and columns to `{"loss", "metrics", "predictions"}`.
        action: The action space.
    """

    inputs: list[Any]
    columns: tuple[str, ...]
    predictions: dict[str, Any]
    acting: keras.Model
    learning: keras.Model
    action: Structure


def trace(
    function: Callable[[dict[str, Any], dict[str, Any]], Described],
    observation: Structure,
    action: Structure,
    columns: tuple[str, ...],
    seed: int,
) -> Trace:
    """Calls a function with symbolic tensors, once: acting and learning use the same layers.

    Args:
        function: Of features and columns. Features are a dict: "observation" `(B, *shape)`, or the leaves of a nested
            observation space by their names; float32 with the numbers and axes that the space declares (uint8 images from 0
            to 255), discrete ones one-hot. Columns are a dict:
            `action` as the predicted "results"; `reward`, `done`, `terminated` `(B,)`; and `columns`.
        observation, action: The spaces; of actions Discrete or Box.
        columns: What further columns of a minibatch it gets: float32 `(B,)`, or "next_observation", as the features.
        seed: Of the weights. Initializers without a seed of their own draw one of Python's `random`, which keeps its state.

    Raises:
        ValueError: A space or a result that does not suit.
        TypeError: Results that are no tensors.
    """
    if action.is_nested or action.leaves[0].kind not in ("discrete", "box"):
        raise ValueError(f"Of a function, the action space must be Discrete or Box. Received: {action.space}")
    leaf = action.leaves[0]
    with keras.name_scope("policy"), _seeded(seed):
        inputs, features = _inputs(observation, "observation")
        names, given, seen = _columns(observation, action, columns)
        found = function(features, seen)
        predictions = check_tensors(found.predictions, "predictions")
        if "results" not in predictions:
            raise ValueError(f"`predictions` must have 'results', what the agent does. Received: {sorted(predictions)}")
        _check_results(predictions["results"], leaf)
        learned = {
            "loss": check_tensors({"loss": found.loss}, "loss")["loss"],
            "metrics": check_tensors(found.metrics, "metrics"),
            "predictions": predictions,
        }
        for name, value in {"loss": learned["loss"], **learned["metrics"]}.items():
            if tuple(value.shape) != ():
                raise ValueError(f"`{name}` must be a scalar. Received: shape {tuple(value.shape)}")
        try:
            acting = keras.Model(inputs, predictions, name="acting")
        except ValueError as error:
            raise ValueError(f"`predictions` must be computed from the features alone: {error}") from error
        learning = keras.Model([*inputs, *given], learned, name="learning")
    return Trace(inputs, names, predictions, acting, learning, action)


def predicting(
    function: Callable[[dict[str, Any], dict[str, Any] | None], Mapping[str, Any] | None],
    observation: Structure,
    action: Structure,
    columns: tuple[str, ...] | None,
    seed: int,
) -> keras.Model | None:
    """Calls a function as `trace` does, for what it predicts alone.

    Args:
        function: Of features and columns; returns predictions, or None where it has none.
        observation, action, seed: As for `trace`.
        columns: As for `trace`; None: it gets no columns.

    Returns:
        From observation leaves in stored form to predictions, with layers of its own; or None.

    Raises:
        TypeError: Predictions that are no tensors.
        ValueError: Predictions that are not of the features alone.
    """
    with keras.name_scope("policy"), _seeded(seed):
        inputs, features = _inputs(observation, "observation")
        found = function(features, None if columns is None else _columns(observation, action, columns)[2])
        predictions = check_tensors(found, "predictions")
        try:
            return keras.Model(inputs, predictions, name="predicting") if predictions else None
        except ValueError as error:
            raise ValueError(f"`predictions` must be computed from the features alone: {error}") from error


def _columns(
    observation: Structure, action: Structure, columns: tuple[str, ...]
) -> tuple[tuple[Any, ...], list[Any], dict[str, Any]]:
    # Names, symbolic inputs in their order, and what a function sees of them.
    leaf = action.leaves[0]
    given = {
        "action": keras.Input(leaf.shape, dtype="int32" if leaf.is_discrete else "float32", name="column_action"),
        "reward": keras.Input((), dtype="float32", name="column_reward"),
        "done": keras.Input((), dtype="bool", name="column_done"),
        "terminated": keras.Input((), dtype="bool", name="column_terminated"),
    }
    given |= {name: keras.Input((), name=f"column_{name}") for name in columns if name != "next_observation"}
    names, seen = tuple(given), dict(given)
    successors: list[Any] = []
    if "next_observation" in columns:
        successors, encoded = _inputs(observation, "next_observation")
        names += ("next_observation",)
        seen["next_observation"] = encoded
    return names, [*given.values(), *successors], seen


def check_tensors(found: Any, name: str) -> dict[str, Any]:
    """Refuses every value but symbolic tensors in a dict.

    Raises:
        TypeError: Anything but symbolic tensors in a dict (or None).
    """
    for key, value in (found or {}).items():
        if not keras.backend.is_keras_tensor(value):
            raise TypeError(
                f"`{name}` must be symbolic tensors, computed from what the function is given by layers and keras.ops. "
                f"Received: {key}={value!r}"
            )
    return dict(found or {})


def _inputs(observation: Structure, name: str) -> tuple[list[Any], dict[str, Any]]:
    # Stored form, and what the function sees of it.
    inputs = [
        keras.Input(leaf.shape, dtype=leaf.stored_dtype.name, name=f"{name}_{i}")
        for i, leaf in enumerate(observation.leaves)
    ]
    return inputs, {leaf.name or "observation": encode(leaf, x) for leaf, x in zip(observation.leaves, inputs)}


def _check_results(results: Any, leaf: Leaf) -> None:
    shape = () if leaf.is_discrete else leaf.shape
    if tuple(results.shape[1:]) != shape or len(results.shape) == 0:
        raise ValueError(
            f"`predictions['results']` must be {('batch', *shape)} for the action space. Received: {tuple(results.shape)}"
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
