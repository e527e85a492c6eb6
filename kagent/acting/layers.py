"""What each Keras layer becomes in a program. Keras is imported only when something is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kagent.acting import activations

if TYPE_CHECKING:
    from kagent.acting.compiler import Compiler


class UnsupportedLayer(ValueError):
    """A layer that has no NumPy form; the message names it."""


def named(layer: Any) -> str:
    """A layer's class and name, for messages."""
    return f"{type(layer).__name__} {getattr(layer, 'name', '?')!r}"


def check_precision(layer: Any) -> None:
    """Refuses layers that compute in another precision than float32."""
    policy = layer.dtype_policy
    if getattr(policy, "quantization_mode", None) is not None or policy.compute_dtype != "float32":
        raise UnsupportedLayer(f"{named(layer)} computes in {policy.name}; the NumPy actor in float32 only")


Rule = Callable[["Compiler", Any, list[int]], int]


@functools.cache
def rules() -> dict[type, Rule]:
    """Layer class to the function that adds its node. Subclasses are not in it: they may compute anything."""
    import keras

    layers = keras.layers
    same = [
        layers.InputLayer, layers.Identity, layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D,
        layers.AlphaDropout, layers.GaussianDropout, layers.GaussianNoise, layers.ActivityRegularization,
    ]  # fmt: skip
    return {
        **{cls: lambda c, layer, x: c.add("identity", x) for cls in same},
        **{getattr(layers, name): _merge for name in _MERGES},
        **{getattr(layers, name): _convolution for name in ("Conv1D", "Conv2D")},
        **{
            getattr(layers, name): _pool
            for name in ("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D")
        },
        layers.Dense: _dense,
        layers.Activation: lambda c, layer, x: _activate(c, layer.activation, x[0], layer),
        layers.ReLU: _relu,
        layers.LeakyReLU: _leaky_relu,
        layers.ELU: lambda c, layer, x: c.add("activation", x, name="elu", alpha=float(layer.alpha)),
        layers.PReLU: lambda c, layer, x: c.add("prelu", x, [layer.alpha]),
        layers.Softmax: _softmax,
        layers.Flatten: _flatten,
        layers.Permute: lambda c, layer, x: c.add("transpose", x, order=[int(n) - 1 for n in layer.dims]),
        layers.Reshape: lambda c, layer, x: c.add("reshape", x, shape=[int(n) for n in layer.target_shape]),
        layers.Rescaling: _rescaling,
        layers.Concatenate: _concatenate,
        layers.Embedding: _embedding,
        layers.Normalization: _normalization,
        layers.LayerNormalization: _layer_normalization,
        layers.RMSNormalization: _rms_normalization,
        layers.BatchNormalization: _batch_normalization,
    }


_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def _merge(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    return compiler.add(type(layer).__name__.lower(), inputs)


def _dense(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if getattr(layer, "lora_enabled", False):
        raise UnsupportedLayer(f"{named(layer)} has LoRA weights")
    variables = [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]
    name = function_name(layer.activation)
    if name is not None:
        return compiler.add("dense", inputs, variables, **({} if name == "linear" else {"activation": name}))
    return _activate(compiler, layer.activation, compiler.add("dense", inputs, variables), layer)


def _convolution(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if getattr(layer, "lora_enabled", False):
        raise UnsupportedLayer(f"{named(layer)} has LoRA weights")
    if layer.groups != 1 or any(n != 1 for n in layer.dilation_rate):
        raise UnsupportedLayer(f"{named(layer)} has groups or a dilation: {layer.groups}, {layer.dilation_rate}")
    variables = [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]
    value = compiler.add("convolution", inputs, variables, **_positions(layer))
    return _activate(compiler, layer.activation, value, layer)


def _pool(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    kind = "max" if type(layer).__name__.startswith("Max") else "average"
    window = [int(n) for n in layer.pool_size]
    return compiler.add("pool", inputs, kind=kind, window=window, **_positions(layer))


def _positions(layer: Any) -> dict[str, Any]:
    if layer.data_format != "channels_last" or layer.padding not in ("valid", "same"):
        raise UnsupportedLayer(f"{named(layer)} has data_format={layer.data_format!r}, padding={layer.padding!r}")
    return {"strides": [int(n) for n in layer.strides], "padding": layer.padding}


def _activate(compiler: Compiler, activation: Any, value: int, layer: Any) -> int:
    import keras

    if isinstance(activation, keras.layers.Layer):
        return compiler.call(activation, [value])[0]
    name = function_name(activation)
    if name is None:
        raise UnsupportedLayer(f"{named(layer)} has an activation without a NumPy form: {activation!r}")
    return value if name == "linear" else compiler.add("activation", [value], name=name)


def function_name(activation: Any) -> str | None:
    """The name of an activation of Keras's; None: another function, which may bear the name of a stock one."""
    import keras

    for name in activations.PARAMETERS:
        if activation is getattr(keras.activations, name):
            return name
    return None


def _relu(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if layer.threshold:
        raise UnsupportedLayer(f"{named(layer)} has a threshold: {layer.threshold}")
    slope, ceiling = float(layer.negative_slope), layer.max_value
    limits = {} if ceiling is None else {"max_value": float(ceiling)}
    return compiler.add("activation", inputs, [], name="relu", negative_slope=slope, **limits)


def _leaky_relu(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    return compiler.add("activation", inputs, name="leaky_relu", negative_slope=float(layer.negative_slope))


def _softmax(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    rank = len(compiler.shape(inputs[0]))
    if layer.axis not in (-1, rank):
        raise UnsupportedLayer(f"{named(layer)} is not over the last axis: axis={layer.axis}")
    return compiler.add("activation", inputs, name="softmax")


def _flatten(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if layer.data_format != "channels_last":
        raise UnsupportedLayer(f"{named(layer)} has data_format={layer.data_format!r}")
    return compiler.add("flatten", inputs)


def _rescaling(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    scale, offset = (_numbers(value) for value in (layer.scale, layer.offset))
    return compiler.add("rescaling", inputs, scale=scale, offset=offset)


def _concatenate(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if layer.axis == 0:
        raise UnsupportedLayer(f"{named(layer)} is along the batch axis")
    return compiler.add("concatenate", inputs, axis=layer.axis - (layer.axis > 0))


def _embedding(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    if layer.mask_zero or getattr(layer, "lora_enabled", False):
        raise UnsupportedLayer(f"{named(layer)} masks zeros or has LoRA weights")
    return compiler.add("embedding", inputs, [layer.embeddings])


def _normalization(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    import keras

    if layer.invert:
        raise UnsupportedLayer(f"{named(layer)} inverts")
    epsilon = float(keras.config.epsilon())
    if layer.input_mean is not None:
        mean, variance = _numbers(layer.input_mean), _numbers(layer.input_variance)
        return compiler.add("normalization", inputs, mean=mean, variance=variance, epsilon=epsilon)
    rank = len(compiler.shape(inputs[0]))
    if layer.axis is not None and {a % (rank + 1) for a in _tuple(layer.axis)} != set(
        range(rank + 1 - len(_tuple(layer.axis)), rank + 1)
    ):
        raise UnsupportedLayer(f"{named(layer)} keeps other than the last axes: axis={layer.axis}")
    return compiler.add("normalization", inputs, [layer.adapt_mean, layer.adapt_variance], epsilon=epsilon)


def _layer_normalization(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    rank = len(compiler.shape(inputs[0]))
    axes = [a if a < 0 else a - rank - 1 for a in _tuple(layer.axis)]
    variables = [v for v, used in ((layer.gamma, layer.scale), (layer.beta, layer.center)) if used]
    flags = {"scale": bool(layer.scale), "center": bool(layer.center)}
    return compiler.add("layer_normalization", inputs, variables, axes=axes, epsilon=float(layer.epsilon), **flags)


def _rms_normalization(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    rank = len(compiler.shape(inputs[0]))
    axes = [a if a < 0 else a - rank - 1 for a in _tuple(layer.axis)]
    epsilon = float(layer.epsilon)
    return compiler.add("rms_normalization", inputs, [layer.scale], axes=axes, epsilon=epsilon, scale=True)


def _batch_normalization(compiler: Compiler, layer: Any, inputs: list[int]) -> int:
    axis = layer.axis - (layer.axis > 0)
    variables = [v for v, used in ((layer.gamma, layer.scale), (layer.beta, layer.center)) if used]
    variables += [layer.moving_mean, layer.moving_variance]
    flags = {"scale": bool(layer.scale), "center": bool(layer.center)}
    return compiler.add("batch_normalization", inputs, variables, axis=axis, epsilon=float(layer.epsilon), **flags)


def _numbers(value: Any) -> Any:
    numbers = np.asarray(value, np.float32).tolist()
    if not np.isfinite(numbers).all():
        raise ValueError(f"Not finite. Received: {value!r}")
    return numbers


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
