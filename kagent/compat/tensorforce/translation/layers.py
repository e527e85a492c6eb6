"""Layers of Tensorforce's networks as layers of `kagent.networks.Layered`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kagent.compat.tensorforce.translation.context import Context, check_taken
from kagent.compat.tensorforce.translation.keras_layers import Clip, SelfAttention
from kagent.networks.encoding import nvec_of
from kagent.spaces import Leaf

_OTHERS = {"deconv1d": "conv1d_transpose", "deconv2d": "conv2d_transpose"}
_OLDER = {"rnn": "input_rnn", "lstm": "input_lstm", "gru": "input_gru"}
_CELLS = {"rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
# Arguments of many layers that change nothing, or not as they say, and the values of which nothing is to be said.
_COMMON: dict[str, tuple[Any, ...]] = {
    "name": (),
    "device": (),
    "l2_regularization": (None, 0.0),
    "initialization_scale": (1.0,),
    "vars_trainable": (True,),
}
_WEIGHTED = {"size": "size", "bias": "bias", "activation": "activation", "dropout": "dropout"}
# Layers by name that `reuse` makes anew.
_WITH_WEIGHTS = {"dense", "linear", "conv1d", "conv2d", "internal_rnn", "internal_lstm", "internal_gru"}
_WINDOW = {"window": "window", "stride": "stride", "padding": "padding"}


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer's type in kagent, and its arguments.

    Attributes:
        kind: The type.
        arguments: Tensorforce's names to kagent's.
        defaults: Where Tensorforce's differ.
    """

    kind: str
    arguments: Mapping[str, str]
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)


LAYERS = {
    "dense": Row("dense", _WEIGHTED, {"activation": "tanh"}),
    "linear": Row("linear", {"size": "size", "bias": "bias"}),
    "conv1d": Row("conv1d", {**_WEIGHTED, **_WINDOW, "dilation": "dilation"}),
    "conv2d": Row("conv2d", {**_WEIGHTED, **_WINDOW, "dilation": "dilation"}),
    "pool1d": Row("pool1d", {**_WINDOW, "reduction": "reduction"}),
    "pool2d": Row("pool2d", {**_WINDOW, "reduction": "reduction"}),
    "pooling": Row("pooling", {"reduction": "reduction"}),
    "flatten": Row("flatten", {}),
    "reshape": Row("reshape", {"shape": "shape"}),
    "activation": Row("activation", {"nonlinearity": "nonlinearity"}),
    "dropout": Row("dropout", {"rate": "rate"}),
    "register": Row("register", {"tensor": "tensor"}),
    "layer_normalization": Row("layer_normalization", {}),
}


class Layers:
    """Translates one network's layers, in their order.

    Args:
        context: The agent's.
        argument: The network's name, for errors.
        inputs: What the network sees, by name.
    """

    def __init__(self, context: Context, argument: str, inputs: Mapping[str, Leaf]):
        self.context, self.argument, self.inputs = context, argument, inputs
        # The input that the next layer sees as it is; None: something computed.
        self._seen: Leaf | None = next(iter(inputs.values())) if len(inputs) == 1 else None
        self.blocks: dict[str, list[Any]] = {}
        self.registered: list[str] = []

    def read(self, given: Any) -> list[Any]:
        """The layers of a list, or of a list of lists."""
        made: list[Any] = []
        for one in given:
            made += self.read(one) if isinstance(one, list | tuple) else self._layer(one)
        return made

    def _layer(self, given: Any) -> list[Any]:
        if isinstance(given, keras.layers.Layer):
            self._seen = None
            return [given]
        if isinstance(given, type) and issubclass(given, keras.layers.Layer):
            given = {"type": "keras", "layer": given}
        if callable(given):
            given = {"type": "function", "function": given}
        if isinstance(given, str):
            given = {"type": given}
        if not isinstance(given, Mapping):
            raise TypeError(f"`{self.argument}` must list layers: names, dicts or Keras layers. Received: {given!r}")
        arguments = dict(given)
        kind = arguments.pop("type", "function" if "function" in arguments else None)
        if isinstance(kind, type):
            kind = kind.__name__.lower()
        if self.context.older and kind in _OLDER:
            kind = _OLDER[kind]
        kind = _OTHERS.get(kind, kind)
        self._drop(kind, arguments)
        made = self._made(kind, arguments)
        if kind not in ("register", "retrieve"):
            self._seen = None
        return made

    def _made(self, kind: Any, arguments: dict[str, Any]) -> list[Any]:
        if kind in _SPECIAL:
            return _SPECIAL[kind](self, arguments)
        if kind not in LAYERS:
            known = sorted([*LAYERS, *_SPECIAL])
            raise ValueError(
                f"`{self.argument}` has no layer {kind!r}. Allowed: {', '.join(known)}, functions, and Keras layers"
            )
        row = LAYERS[kind]
        arguments.pop("name", None)
        needed = ("tensor",) if kind == "register" else ()
        check_taken(arguments, row.arguments, f"{self.argument} {kind}", needed)
        defaults = dict(row.defaults)
        if self.context.older and kind == "dense":
            defaults["activation"] = "relu"
        if kind == "register":
            self.registered.append(arguments["tensor"])
        if kind in ("dense", "linear", "conv1d", "conv2d") and arguments.get("size") == 0:
            arguments["size"] = 1
        if arguments.get("dropout") is None:
            arguments.pop("dropout", None)
        found = {**defaults, **{row.arguments[name]: value for name, value in arguments.items()}}
        return [{"type": row.kind, **found}]

    def _drop(self, kind: Any, arguments: dict[str, Any]) -> None:
        for name, silent in _COMMON.items():
            if name == "name" or name not in arguments or kind == "keras":
                continue
            value = arguments.pop(name)
            if name != "device" and value not in silent:
                self.context.note(f"`{name}` of single layers has no meaning here: Keras layers have their own")

    # Layers that need more than a table -----------------------------------------------------------------------

    def _retrieve(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("tensors", "aggregation", "axis"), f"{self.argument} retrieve", ("tensors",))
        tensors = arguments["tensors"]
        names = list(self.inputs) if tensors == "*" else [tensors] if isinstance(tensors, str) else list(tensors)
        self._seen = self.inputs.get(names[0]) if len(names) == 1 else None
        return [{"type": "retrieve", **arguments, "tensors": names}]

    def _embedding(self, arguments: dict[str, Any]) -> list[Any]:
        # Indices come as one-hot codes: a dense layer on them is a table of rows.
        arguments.pop("name", None)
        check_taken(arguments, (*_WEIGHTED, "num_embeddings", "max_norm"), f"{self.argument} embedding", ("size",))
        if arguments.pop("max_norm", None) is not None:
            self.context.note("`max_norm` of embeddings has no meaning here: a table of rows is a dense layer")
        leaf, given = self._seen, arguments.pop("num_embeddings", None)
        if leaf is None or not leaf.is_discrete:
            raise ValueError(
                f"`{self.argument}` embedding is for a state of bools or ints, as the first layer behind it. Received: "
                f"{'something computed' if leaf is None else leaf.name or 'state'}, num_embeddings={given}"
            )
        bias = False if self.context.older else True
        dense = {"type": "dense", "bias": bias, "activation": None if self.context.older else "tanh", **arguments}
        values = nvec_of(leaf)
        if len(set(values)) > 1 or leaf.shape == ():
            return [dense]
        return [{"type": "reshape", "shape": [*leaf.shape, values[0]]}, dense]

    def _recurrent(self, cell: str) -> Any:
        def made(arguments: dict[str, Any]) -> list[Any]:
            arguments.pop("name", None)
            horizons = [arguments.pop(name, None) for name in ("horizon", "length")]
            past = [one for one in horizons if isinstance(one, int) and not isinstance(one, bool)]
            self.context.past_horizon = max(1, self.context.past_horizon, *past)
            kind = arguments.pop("cell", cell)
            allowed = ("size", "bias", "activation", "dropout")
            check_taken(arguments, allowed, f"{self.argument} {kind}")
            if kind not in _CELLS:
                raise ValueError(
                    f"`{self.argument}` has no cell {kind!r}. Allowed: {', '.join(_CELLS)}, or RNN(cell) of Keras"
                )
            for name, values in (("activation", (None, "tanh")), ("dropout", (None, 0.0))):
                value = arguments.pop(name, None)
                if value not in values:
                    self.context.note(f"`{name}` of recurrent layers by name has no meaning here: give a Keras layer")
            return [{"type": f"internal_{kind}", **arguments}]

        return made

    def _input_recurrent(self, cell: str) -> Any:
        def made(arguments: dict[str, Any]) -> list[Any]:
            kind = arguments.pop("cell", cell)
            arguments.pop("name", None)
            if kind not in _CELLS:
                raise ValueError(f"`{self.argument}` has no cell {kind!r}. Allowed: {', '.join(_CELLS)}")
            allowed = ("size", "return_final_state", "bias", "activation", "dropout")
            check_taken(arguments, allowed, f"{self.argument} input_{kind}", ("size",))
            layer = getattr(keras.layers, _CELLS[kind])
            return [
                layer(
                    arguments["size"],
                    activation=arguments.get("activation", "tanh"),
                    use_bias=arguments.get("bias", True),
                    dropout=arguments.get("dropout", 0.0),
                    return_sequences=not arguments.get("return_final_state", True),
                )
            ]

        return made

    def _transposed(self, rank: int) -> Any:
        def made(arguments: dict[str, Any]) -> list[Any]:
            arguments.pop("name", None)
            allowed = (*_WEIGHTED, *_WINDOW, "dilation", "output_width", "output_shape")
            check_taken(arguments, allowed, f"{self.argument} conv{rank}d_transpose", ("size",))
            for name in ("output_width", "output_shape"):
                if arguments.pop(name, None) is not None:
                    self.context.note(f"`{name}` has no meaning here: it follows from window, stride and padding")
            layer = keras.layers.Conv1DTranspose if rank == 1 else keras.layers.Conv2DTranspose
            return [
                layer(
                    arguments["size"],
                    arguments.get("window", 3),
                    arguments.get("stride", 1),
                    arguments.get("padding", "same"),
                    dilation_rate=arguments.get("dilation", 1),
                    activation=arguments.get("activation", "relu"),
                    use_bias=arguments.get("bias", True),
                )
            ]

        return made

    def _attention(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, (*_WEIGHTED, "attention_size"), f"{self.argument} self_attention", ("size",))
        if arguments.pop("dropout", None):
            self.context.note("`dropout` of self_attention has no meaning here: add a 'dropout' layer behind it")
        return [
            SelfAttention(
                arguments["size"],
                arguments.get("attention_size"),
                arguments.get("bias", False),
                arguments.get("activation"),
            )
        ]

    def _keras(self, arguments: dict[str, Any]) -> list[Any]:
        layer = arguments.pop("layer", None)
        arguments.pop("l2_regularization", None)
        made = getattr(keras.layers, layer, None) if isinstance(layer, str) else layer
        if not (isinstance(made, type) and issubclass(made, keras.layers.Layer)):
            raise ValueError(f"`{self.argument}` keras needs the name of a layer of Keras's. Received: {layer!r}")
        return [made(**arguments)]

    def _function(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("function", "output_spec"), f"{self.argument} function")
        function = arguments.get("function")
        if not callable(function):
            raise ValueError(
                f"`{self.argument}` function must be a Python function: texts are not run as code. Received: {function!r}"
            )
        return [keras.layers.Lambda(function)]

    def _linear_normalization(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("min_value", "max_value"), f"{self.argument} linear_normalization")
        low, high = arguments.get("min_value"), arguments.get("max_value")
        if (low is None or high is None) and self._seen is not None:
            low = self._seen.low if low is None else low
            high = self._seen.high if high is None else high
        if low is None or high is None or not np.isfinite([low, high]).all():
            raise ValueError(
                f"`{self.argument}` linear_normalization needs `min_value` and `max_value` where it is not the first layer "
                f"behind a bounded state. Received: {arguments}"
            )
        scale = 4.0 / (np.asarray(high, np.float64) - np.asarray(low, np.float64))
        offset = -2.0 - scale * np.asarray(low, np.float64)
        return [keras.layers.Rescaling(_plain(scale), _plain(offset))]

    def _moving(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        allowed = ("decay", "axes", "only_mean", "min_variance")
        check_taken(arguments, allowed, f"{self.argument} normalization")
        self._note_of_moments(arguments)
        decay = arguments.get("decay", 0.999)
        if not isinstance(decay, int | float):
            raise ValueError(f"`{self.argument}` decay must be a number here. Received: {decay!r}")
        return [keras.layers.BatchNormalization(momentum=decay, epsilon=1e-4, center=False, scale=False)]

    def _instance(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("axes", "only_mean", "min_variance"), f"{self.argument} instance_normalization")
        self._note_of_moments(arguments)
        return [keras.layers.LayerNormalization(epsilon=1e-4, center=False, scale=False)]

    def _note_of_moments(self, arguments: Mapping[str, Any]) -> None:
        defaults = {"axes": (None,), "only_mean": (None, False), "min_variance": (None, 1e-4)}
        if any(arguments.get(name) not in silent for name, silent in defaults.items()):
            self.context.note(
                "`axes`, `only_mean` and `min_variance` of normalizations in networks have no meaning here"
            )

    def _clipping(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("lower", "upper"), f"{self.argument} clipping")
        return [Clip(arguments.get("lower"), arguments.get("upper"))]

    def _block(self, arguments: dict[str, Any]) -> list[Any]:
        name = arguments.pop("name", None)
        check_taken(arguments, ("layers",), f"{self.argument} block", ("layers",))
        made = [_shareable(layer) for layer in self.read(arguments["layers"])]
        if name is not None:
            self.blocks[name] = made
        return made

    def _reuse(self, arguments: dict[str, Any]) -> list[Any]:
        arguments.pop("name", None)
        check_taken(arguments, ("layer",), f"{self.argument} reuse", ("layer",))
        name = arguments["layer"]
        shared: dict[str, Any] = self.context.blocks
        if name in self.blocks:
            own = sorted({layer["type"] for layer in self.blocks[name] if isinstance(layer, Mapping)} & _WITH_WEIGHTS)
            if own:
                self.context.note(
                    f"`reuse` of {own} makes layers of their own: give Keras layers, which keep their weights"
                )
            return list(self.blocks[name])
        if name not in shared:
            raise ValueError(
                f"`{self.argument}` reuse names no block before it. Received: {name!r}. Allowed: "
                f"{sorted({*self.blocks, *shared})}"
            )
        self.context.note(
            "`reuse` of a block of another network makes layers of its own: policy and baseline have no weights in common. "
            "A baseline on the policy's own network is baseline=None with a baseline_objective"
        )
        return self.read(shared[name])


def _shareable(layer: Any) -> Any:
    """A layer that can stand in two places: of a dense layer the object."""
    if not isinstance(layer, Mapping) or layer["type"] not in ("dense", "linear") or layer.get("dropout"):
        return layer
    activation = layer.get("activation", "relu") if layer["type"] == "dense" else None
    return keras.layers.Dense(
        layer["size"],
        None if activation in (None, "none") else str(activation).replace("-", "_"),
        use_bias=layer.get("bias", True),
        kernel_initializer=keras.initializers.Orthogonal(2**0.5 if activation == "relu" else 1.0),
    )


def _plain(array: np.ndarray) -> Any:
    return float(array) if array.ndim == 0 else array.tolist()


_SPECIAL: dict[str, Callable[[Layers, dict[str, Any]], list[Any]]] = {
    "retrieve": Layers._retrieve,
    "embedding": Layers._embedding,
    "self_attention": Layers._attention,
    "keras": Layers._keras,
    "function": Layers._function,
    "default": Layers._function,
    "linear_normalization": Layers._linear_normalization,
    "exponential_normalization": Layers._moving,
    "batch_normalization": Layers._moving,
    "instance_normalization": Layers._instance,
    "clipping": Layers._clipping,
    "block": Layers._block,
    "reuse": Layers._reuse,
    **{
        f"{prefix}{cell}": lambda layers, arguments, cell=cell: layers._recurrent(cell)(arguments)  # type: ignore[misc]
        for prefix in ("", "internal_")
        for cell in _CELLS
    },
    **{
        f"input_{cell}": lambda layers, arguments, cell=cell: layers._input_recurrent(cell)(arguments)  # type: ignore[misc]
        for cell in _CELLS
    },
    **{
        f"conv{rank}d_transpose": lambda layers, arguments, rank=rank: layers._transposed(rank)(arguments)  # type: ignore[misc]
        for rank in (1, 2)
    },
}
