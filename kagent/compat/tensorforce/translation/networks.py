"""Tensorforce's networks as kagent's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from kagent.compat.tensorforce.translation.context import Context, check_taken, from_file
from kagent.compat.tensorforce.translation.keras_layers import StatesInOrder
from kagent.compat.tensorforce.translation.layers import Layers
from kagent.networks.cloning import clone
from kagent.networks.encoding import nvec_of
from kagent.spaces import Leaf

_AUTO = {"size": 64, "depth": 2, "final_size": None, "final_depth": 1, "rnn": False}


def network(value: Any, context: Context, argument: str, actions: bool = False, outputs: bool = False) -> Any:
    """The network that a specification describes.

    Args:
        value: "auto", a list of layers, a dict with a `type`, a `.json` file, or a Keras layer, model, class or function that
            makes one.
        context: The agent's.
        argument: Its name, for errors.
        actions: Whether it sees actions too, as that of a critic of actions.
        outputs: Whether the tensors that it registers as `...-embedding` are outputs too (`single_output=False`).

    Raises:
        ValueError, TypeError: Nothing of this, or layers that do not go together.
    """
    value = from_file(value, argument)
    inputs = {**context.state_leaves, **(context.action_leaves if actions else {})}
    if isinstance(value, list | tuple):
        value = {"type": "layered", "layers": value}
    if value is None or isinstance(value, str):
        value = {"type": "auto" if value is None else value}
    if not isinstance(value, Mapping):
        return _of_keras(value, {}, context, argument)
    arguments = {name: one for name, one in value.items() if name not in ("name", "device", "l2_regularization")}
    if value.get("l2_regularization"):
        context.note("`l2_regularization` of single networks has no meaning here: the agent's is for all")
    kind = arguments.pop("type", "layered" if "layers" in arguments else "auto")
    if kind == "keras":
        return _of_keras(arguments.pop("model", None), arguments, context, argument)
    if kind == "auto":
        recurrent = [name for name in ("rnn", "internal_rnn") if arguments.get(name) not in (None, False)]
        if actions and recurrent:
            context.note("`rnn` of a critic of actions has no meaning here: it sees single timesteps")
            arguments = {name: one for name, one in arguments.items() if name not in recurrent}
        return {"type": "Layered", "layers": Layers(context, argument, inputs).read(_auto(arguments, inputs, argument))}
    if kind not in ("layered", "custom", "default"):
        raise ValueError(
            f"`{argument}` has no type {kind!r}: a network of another module is not imported by its name. Allowed: 'auto', "
            "'layered', 'keras', a list of layers, a Keras layer or model"
        )
    check_taken(arguments, ("layers",), argument, ("layers",))
    reader = Layers(context, argument, inputs)
    layers = reader.read(arguments["layers"])
    context.blocks |= _blocks_in(arguments["layers"])
    embeddings = [name for name in reader.registered if name.endswith("-embedding")]
    if outputs and embeddings:
        last = layers[-1]
        if not (isinstance(last, Mapping) and last.get("type") == "register"):
            layers.append({"type": "register", "tensor": "output"})
            embeddings.append("output")
        context.note(
            "`single_output=False`: heads read all registered embeddings side by side, where Tensorforce has one for each action"
        )
        layers.append({"type": "retrieve", "tensors": list(dict.fromkeys(embeddings))})
    return {"type": "Layered", "layers": layers}


def _auto(given: Mapping[str, Any], inputs: Mapping[str, Leaf], argument: str) -> list[Any]:
    """The layers of an automatic network, in Tensorforce's words."""
    given = dict(given)
    if "internal_rnn" in given:
        given["rnn"] = given.pop("internal_rnn")
    check_taken(given, _AUTO, f"{argument} auto")
    found = {**_AUTO, **given}
    size, depth = found["size"], found["depth"]
    layers: list[Any] = []
    for name, leaf in inputs.items():
        embedded = leaf.is_discrete
        layers += [{"type": "retrieve", "tensors": [name]}] if len(inputs) > 1 else []
        layers += [{"type": "embedding", "size": size}] if embedded else []
        rank = len(leaf.shape) + embedded
        if embedded and len(set(nvec_of(leaf))) > 1:
            rank = 1  # components with values of their own are codes side by side
        if rank > 3:
            raise ValueError(
                f"`{argument}` auto is for states of at most 3 axes. Received: {name} of shape {leaf.shape}"
            )
        kind = {0: "dense", 1: "dense", 2: "conv1d", 3: "conv2d"}[rank]
        layers += [{"type": "flatten"}] if rank == 0 else []
        layers += [{"type": kind, "size": size} for _ in range(depth - embedded)]
        layers += [{"type": "pooling", "reduction": "max"}] if rank > 1 else []
        layers += [{"type": "register", "tensor": f"{name}-embedding"}] if len(inputs) > 1 else []
    final = size if found["final_size"] is None else found["final_size"]
    if len(inputs) > 1:
        layers.append({"type": "retrieve", "tensors": [f"{name}-embedding" for name in inputs]})
        layers += [{"type": "dense", "size": final} for _ in range(found["final_depth"] or 0)]
    if found["rnn"] is not False and found["rnn"] is not None:
        layers.append({"type": "internal_lstm", "size": final, "horizon": 1 if found["rnn"] is True else found["rnn"]})
    return layers


def _of_keras(model: Any, arguments: dict[str, Any], context: Context, argument: str) -> Any:
    if isinstance(model, keras.layers.Layer) and not isinstance(model, keras.Model):
        return model
    if not (isinstance(model, keras.Model) or callable(model)):
        raise TypeError(
            f"`{argument}` must be 'auto', a list of layers, a dict with 'type', or a Keras layer, model or function that makes "
            f"one. Received: {model!r}"
        )
    if isinstance(model, type) and not issubclass(model, keras.layers.Layer):
        raise TypeError(
            f"`{argument}` cannot be a class of Tensorforce's networks. Received: {model.__name__}. Allowed: a class of Keras's layers or "
            "models, a list of layers, a function of them"
        )
    states = [_described(leaf) for leaf in context.processed.leaves]
    if isinstance(model, keras.Model):
        return StatesInOrder(_copies(model), states)
    return StatesInOrder(lambda: model(**arguments), states)


def _copies(model: keras.Model) -> Callable[[], keras.Model]:
    """A function whose first call gives the model, and each further one a copy: a target network is not the policy's."""
    left = [model]
    return lambda: left.pop() if left else clone(model)


def _described(leaf: Leaf) -> tuple[int | None, tuple[int, ...]]:
    return (nvec_of(leaf)[0] if leaf.is_discrete else None), leaf.shape


def _blocks_in(layers: Any) -> dict[str, Any]:
    """The layers of named blocks, however deep, as they were given."""
    found: dict[str, Any] = {}
    for layer in layers:
        if isinstance(layer, list | tuple):
            found |= _blocks_in(layer)
        elif isinstance(layer, Mapping) and layer.get("type") == "block":
            found |= _blocks_in(layer["layers"])
            if "name" in layer:
                found[layer["name"]] = layer["layers"]
    return found
