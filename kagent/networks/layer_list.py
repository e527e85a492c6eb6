"""A network spelled out layer by layer, in Tensorforce's words."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import keras

from kagent.config import allowed, limits
from kagent.config.registry import Part, plain
from kagent.config.rehearsal import before_call
from kagent.config.vocabulary import hints
from kagent.networks.backbones import _WIDEST, NETWORKS, Seeds, _flat, check_weights, initializers, side_by_side
from kagent.networks.encoding import State
from kagent.networks.recurrent import Recurrence, is_recurrent

_ACTIVATIONS = {"none": None, "crelu": "crelu", "swish": "silu"}
_OVER_AN_AXIS = "over an axis of one observation, give the Keras layer; through the episode, its name is 'internal_{}'"
_REFUSED = {
    **{name: _OVER_AN_AXIS.format(name) for name in ("rnn", "lstm", "gru")},
    "function": "functions do not come from data: give a Keras layer, such as keras.layers.Lambda's",
    "block": "name the tensor with 'register' and take it with 'retrieve'",
    "reuse": "give one Keras layer object in both places",
}


@NETWORKS.register("layered", "custom")
@dataclasses.dataclass(frozen=True)
class Layered(Part):
    """Layers one after the other, each a name, a dict `{"type": name, **arguments}`, or a Keras layer.

    | type                                          | arguments (defaults)                                             |
    | --------------------------------------------- | ---------------------------------------------------------------- |
    | `dense`                                       | `size`, `bias` (True), `activation` ("relu"), `dropout` (0.0)    |
    | `linear`                                      | `size`, `bias` (True)                                            |
    | `conv1d`, `conv2d`                            | `size`, `window` (3), `stride` (1), `padding` ("same"),          |
    |                                               | `dilation` (1), `bias` (True), `activation` ("relu"), `dropout`  |
    | `embedding`                                   | `size`, `num_embeddings`, `activation` ("none"): of indices      |
    | `pool1d`, `pool2d`                            | `reduction` ("average", "max"), `window` (2), `stride` (2),      |
    |                                               | `padding` ("same")                                               |
    | `pooling`                                     | `reduction` ("max", "mean", "product", "sum", "concat"): over    |
    |                                               | all axes but the last                                            |
    | `flatten`; `reshape`                          | ; `shape`                                                        |
    | `activation`                                  | `nonlinearity`: the name of a Keras activation, or "crelu"       |
    | `dropout`; `layer_normalization`              | `rate`;                                                          |
    | `register`; `retrieve`                        | `tensor`: a name for what is there; `tensors`: names, of states  |
    |                                               | too, `aggregation` ("concat", "product", "stack", "sum"), `axis` |
    | `internal_rnn`, `internal_lstm`,              | `size`, `bias` (True): a state that is carried through the       |
    | `internal_gru`                                | episode                                                          |

    It begins with all states side by side (one state alone keeps its shape), or with what `retrieve` takes. What it ends
    with is flattened. A list of lists is read as one list.

    A recurrent layer of Keras's (LSTM, GRU, SimpleRNN, RNN) behind features `(N, F)` carries its state through the episode, as
    the internal ones by name do; over `(N, W, F)` it goes along the axis W of one observation, as in Keras.

    A Keras layer is given a state as its space declares it, uint8 images as 0 to 255. Layers by name are given images divided
    by their bounds; `conv2d` and `pool2d` read channels last, and of a state whose shape plainly has them first, or that is a stack of
    frames, they get the axes in that order (`kagent.spaces.images.read`). `flatten`, `reshape`, `register` and `retrieve` leave a
    state what it is.

    Args:
        layers: The layers.

    Raises:
        ValueError, TypeError: An unknown layer or argument, with its place in the list.

    Example:

    >>> network = Layered([{"type": "dense", "size": 64, "activation": "tanh"}, "layer_normalization"])
    """

    layers: Any = ()

    def __post_init__(self) -> None:
        given = self.layers
        if not isinstance(given, list | tuple):
            raise TypeError(f"`network.layers` must be a list of layers. Received: {given!r}")
        flat: list[Any] = []
        for one in given:
            flat.extend(one if isinstance(one, list | tuple) else [one])
        if len(flat) > limits.LAYERS:
            raise ValueError(f"`network.layers` must be at most {limits.LAYERS} layers. Received: {len(flat)}")
        object.__setattr__(self, "layers", tuple(_read(one, f"network[{i}]") for i, one in enumerate(flat)))
        sizes = [layer["size"] for layer in self.layers if isinstance(layer, dict) and "size" in layer]
        check_weights(sizes, "network.layers")

    def get_part(self) -> dict[str, Any]:
        """`{"type": name, **arguments}`, JSON-ready."""
        return {"type": "Layered", "layers": [plain(layer) for layer in self.layers]}

    def features(
        self,
        leaves: list[Any],
        seeds: Seeds,
        names: list[str] | None = None,
        recurrence: Recurrence | None = None,
    ) -> Any:
        """Features `(N, F)` of encoded leaves (tensors or `State`s), which `retrieve` finds by their names. `recurrence` takes the
        layers that carry a state through the episode; None: such layers stay outside."""
        registered, recurrence = dict(zip(names or (), leaves)), Recurrence() if recurrence is None else recurrence
        x = _together(leaves, side_by_side) if len(leaves) > 1 else leaves[0]
        for index, layer in enumerate(self.layers):
            if isinstance(layer, keras.layers.Layer):
                x = x.declared if isinstance(x, State) else x
                if is_recurrent(layer) and len(x.shape) == 2:
                    x = recurrence.through(layer, x, f"network[{index}]")
                    continue
                before_call(layer, x)
                try:
                    x = layer(x)
                except (TypeError, ValueError) as error:
                    raise ValueError(
                        f"`network[{index}]` {type(layer).__name__} does not fit what comes before: {error}"
                    ) from error
                continue
            arguments = {key: value for key, value in layer.items() if key != "type"}
            # Keras gives the names reshape_1, flatten_1 ... to layers without one, of which there are some around the list.
            between = "_at_" if layer["type"] in ("flatten", "reshape") else "_"
            name = f"{layer['type']}{between}{index}"
            try:
                if layer["type"] == "register":
                    registered[arguments["tensor"]] = x
                elif layer["type"] == "retrieve":
                    x = _retrieved(registered, **arguments)
                elif isinstance(x, State) and layer["type"] in ("flatten", "reshape"):
                    made = LAYERS[layer["type"]]
                    x = x.rearranged(lambda part, suffix: made(part, seeds, name + suffix, **arguments))  # noqa: B023
                elif layer["type"] in _INTERNAL:
                    made = LAYERS[layer["type"]](None, seeds, name, **arguments)
                    x = recurrence.through(made, x.scaled if isinstance(x, State) else x, f"network[{index}]")
                else:
                    x = LAYERS[layer["type"]](_given(x, layer["type"]), seeds, name, **arguments)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"`network[{index}]` {layer['type']} does not fit what comes before: {error}"
                ) from error
        return _flat(x.scaled if isinstance(x, State) else x)


def _given(x: Any, kind: str) -> Any:
    """What a layer by name takes of a state; tensors as they are."""
    if not isinstance(x, State):
        return x
    return x.picture if kind in ("conv2d", "pool2d") and x.picture is not None else x.scaled


def _together(parts: list[Any], join: Callable[[list[Any]], Any]) -> Any:
    """Tensors and states joined to a tensor, or to a state where one of them is one."""
    if not any(isinstance(part, State) for part in parts):
        return join(parts)
    return State(
        join([part.declared if isinstance(part, State) else part for part in parts]),
        join([part.scaled if isinstance(part, State) else part for part in parts]),
    )


def _read(layer: Any, where: str) -> Any:
    if isinstance(layer, keras.layers.Layer):
        return layer
    if isinstance(layer, dict) and "class_name" in layer:
        made = allowed.made(layer, where)
        if not isinstance(made, keras.layers.Layer):
            raise TypeError(f"`{where}` must describe a Keras layer. Received: {layer['class_name']!r}")
        return made
    layer = {"type": layer} if isinstance(layer, str) else layer
    if not isinstance(layer, dict) or not isinstance(layer.get("type"), str):
        raise TypeError(
            f"`{where}` must be a name, a dict with 'type', or a Keras layer. Received: {layer!r}. "
            'Sizes of dense layers are the units of an MLP: network={"type": "mlp", "units": [64, 64]}'
        )
    kind = layer["type"]
    if kind in _REFUSED:
        raise ValueError(f"`{where}` {kind!r} is not supported: {_REFUSED[kind]}")
    known = [*LAYERS, "register", "retrieve"]
    if kind not in known:
        raise ValueError(f"`{where}` is unknown. Received: {kind!r}. Known: {', '.join(sorted(known))}")
    arguments = {key: value for key, value in layer.items() if key != "type"}
    required, taken = _arguments(kind)
    unknown, missing = sorted(set(arguments) - set(taken)), sorted(set(required) - set(arguments))
    if unknown or missing:
        what = f"has no argument {unknown}" if unknown else f"needs {missing}"
        raise ValueError(
            f"`{where}` {kind} {what}. Received: {sorted(arguments)}. Known: {taken}.{hints(unknown, taken)}"
        )
    for name in ("size", "num_embeddings", "window", "stride", "dilation"):
        value = arguments.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _WIDEST:
            raise ValueError(f"`{where}.{name}` must be an integer from 1 to {_WIDEST}. Received: {value!r}")
    if "activation" in arguments:
        _check_activation(arguments["activation"], f"{where}.activation")
    return dict(layer)


def _arguments(kind: str) -> tuple[list[str], list[str]]:
    if kind == "register":
        return ["tensor"], ["tensor"]
    if kind == "retrieve":
        return ["tensors"], ["tensors", "aggregation", "axis"]
    parameters = list(inspect.signature(LAYERS[kind]).parameters.values())[3:]
    return [p.name for p in parameters if p.default is p.empty], [p.name for p in parameters]


def _check_activation(name: Any, where: str) -> None:
    if name is None or (isinstance(name, str) and name in _ACTIVATIONS):
        return
    if not isinstance(name, str):
        raise TypeError(f"`{where}` must be the name of an activation. Received: {name!r}")
    keras.activations.get(name.replace("-", "_"))


# Layers: (input, seeds, name, arguments) to output -------------------------------------------------------------


def _activated(x: Any, activation: Any, name: str) -> Any:
    if activation == "crelu":  # both signs (Shang et al. 2016, arXiv:1603.05201)
        return keras.layers.Concatenate(name=name)(
            [keras.layers.ReLU()(x), keras.layers.ReLU()(keras.layers.Rescaling(-1.0)(x))]
        )
    resolved = _ACTIVATIONS.get(activation, activation)
    return x if resolved is None else keras.layers.Activation(resolved.replace("-", "_"), name=name)(x)


def _gain(activation: Any) -> float:
    return 2**0.5 if activation == "relu" else 1.0


def _weights(seeds: Seeds, activation: Any, fan_in: int, bias: bool) -> dict[str, Any]:
    kernel, start = initializers("orthogonal", _gain(activation), seeds)(fan_in)
    return {"kernel_initializer": kernel, "bias_initializer": start, "use_bias": bias}


def _fused(activation: Any) -> Any:
    """The activation, where the layer itself can apply it."""
    return None if activation == "crelu" else _ACTIVATIONS.get(activation, activation)


def _dense(
    x: Any, seeds: Any, name: str, size: int, bias: bool = True, activation: Any = "relu", dropout: float = 0.0
) -> Any:
    weights = _weights(seeds, activation, int(x.shape[-1]), bias)
    x = keras.layers.Dense(size, _fused(activation), name=name, **weights)(x)
    x = _activated(x, activation, f"{name}_activation") if activation == "crelu" else x
    return _dropout(x, seeds, f"{name}_dropout", dropout) if dropout else x


def _linear(x: Any, seeds: Any, name: str, size: int, bias: bool = True) -> Any:
    return _dense(x, seeds, name, size, bias, None)


def _convolution(rank: int) -> Any:
    layer = keras.layers.Conv1D if rank == 1 else keras.layers.Conv2D

    def convolution(
        x: Any,
        seeds: Any,
        name: str,
        size: int,
        window: int = 3,
        stride: int = 1,
        padding: str = "same",
        dilation: int = 1,
        bias: bool = True,
        activation: Any = "relu",
        dropout: float = 0.0,
    ) -> Any:
        fan_in = window**rank * int(x.shape[-1])
        check_weights((fan_in, size), name)
        weights = _weights(seeds, activation, fan_in, bias)
        x = layer(
            size, window, stride, padding, dilation_rate=dilation, activation=_fused(activation), name=name, **weights
        )(x)  # fmt: skip
        x = _activated(x, activation, f"{name}_activation") if activation == "crelu" else x
        return _dropout(x, seeds, f"{name}_dropout", dropout) if dropout else x

    return convolution


def _embedding(x: Any, seeds: Any, name: str, size: int, num_embeddings: int | None, activation: Any = None) -> Any:
    table = keras.initializers.RandomUniform(-0.05, 0.05, seed=seeds())
    x = keras.layers.Embedding(num_embeddings, size, embeddings_initializer=table, name=name)(x)
    return _activated(x, activation, f"{name}_activation")


def _pool(rank: int) -> Any:
    kinds = {"average": ("AveragePooling1D", "AveragePooling2D"), "max": ("MaxPooling1D", "MaxPooling2D")}

    def pool(
        x: Any, seeds: Any, name: str, reduction: str = "max", window: int = 2, stride: int = 2, padding: str = "same"
    ) -> Any:
        if reduction not in kinds:
            raise ValueError(f"`reduction` must be one of {list(kinds)}. Received: {reduction!r}")
        layer = getattr(keras.layers, kinds[reduction][rank - 1])
        return layer(window, stride, padding, name=name)(x)

    return pool


def _pooling(x: Any, seeds: Any, name: str, reduction: str = "max") -> Any:
    if reduction == "concat":
        return keras.layers.Flatten(name=name)(x)
    kinds = {"max": keras.ops.max, "mean": keras.ops.mean, "product": keras.ops.prod, "sum": keras.ops.sum}
    if reduction not in kinds:
        raise ValueError(f"`reduction` must be one of {[*kinds, 'concat']}. Received: {reduction!r}")
    axes = tuple(range(1, len(x.shape) - 1))
    return kinds[reduction](x, axis=axes) if axes else x


def _flatten(x: Any, seeds: Any, name: str) -> Any:
    return keras.layers.Flatten(name=name)(x)


def _reshape(x: Any, seeds: Any, name: str, shape: Any) -> Any:
    return keras.layers.Reshape(tuple(shape) if isinstance(shape, list | tuple) else (shape,), name=name)(x)


def _activation(x: Any, seeds: Any, name: str, nonlinearity: Any) -> Any:
    _check_activation(nonlinearity, "nonlinearity")
    return _activated(x, nonlinearity, name)


def _dropout(x: Any, seeds: Any, name: str, rate: float) -> Any:
    return keras.layers.Dropout(rate, seed=seeds(), name=name)(x)


def _layer_normalization(x: Any, seeds: Any, name: str) -> Any:
    return keras.layers.LayerNormalization(name=name)(x)


def _retrieved(registered: dict[str, Any], tensors: Any, aggregation: str = "concat", axis: int = 0) -> Any:
    names = [tensors] if isinstance(tensors, str) else list(tensors)
    unknown = [name for name in names if name not in registered]
    if unknown:
        raise ValueError(f"no tensor is called {unknown}. Known: {sorted(registered)}")
    found = [registered[name] for name in names]
    if len(found) == 1:
        return found[0]
    kinds: dict[str, Callable[[list[Any]], Any]] = {
        "concat": lambda parts: keras.layers.Concatenate(axis=axis + 1)(parts),
        "product": lambda parts: keras.layers.Multiply()(parts),
        "stack": lambda parts: keras.ops.stack(parts, axis=axis + 1),
        "sum": lambda parts: keras.layers.Add()(parts),
    }
    if aggregation not in kinds:
        raise ValueError(f"`aggregation` must be one of {list(kinds)}. Received: {aggregation!r}")
    return _together(found, kinds[aggregation])


def recurrent_by_name(kind: str, size: int, bias: bool, seeds: Any, name: str | None = None) -> Any:
    """A recurrent layer of Keras's, "rnn", "lstm" or "gru", with weights drawn from the agent's generator."""
    layer = {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind]
    kernel, recurrent = (
        make(seed=seeds()) for make in (keras.initializers.GlorotUniform, keras.initializers.Orthogonal)
    )
    return layer(size, use_bias=bias, kernel_initializer=kernel, recurrent_initializer=recurrent, name=name)


def _internal(kind: str) -> Any:
    def internal(x: Any, seeds: Any, name: str, size: int, bias: bool = True) -> Any:
        return recurrent_by_name(kind, size, bias, seeds, name)

    return internal


_INTERNAL = ("internal_rnn", "internal_lstm", "internal_gru")
LAYERS: dict[str, Any] = {
    "dense": _dense,
    "linear": _linear,
    "conv1d": _convolution(1),
    "conv2d": _convolution(2),
    "embedding": _embedding,
    "pool1d": _pool(1),
    "pool2d": _pool(2),
    "pooling": _pooling,
    "flatten": _flatten,
    "reshape": _reshape,
    "activation": _activation,
    "dropout": _dropout,
    "layer_normalization": _layer_normalization,
    **{name: _internal(name.removeprefix("internal_")) for name in _INTERNAL},
}
