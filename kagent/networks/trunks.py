"""Built-in networks as plain parts, and any Keras layer or model in their place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras

from kagent.config import allowed, limits
from kagent.registry import Part, Registry

NETWORKS = Registry("network")
_WIDEST = 1 << 15  # of a layer; sizes come from files too, and are refused before anything is allocated
Seeds = Callable[[], int]


def initializers(name: str, gain: float, seeds: Seeds) -> Callable[[int], tuple[Any, Any]]:
    """Kernel and bias initializers of one dense layer, given its fan-in.

    Args:
        name: `"orthogonal"` (with zero biases; on-policy), `"fan_in"` (uniform within 1/sqrt(fan_in), weights and
            biases; off-policy) or the name of a Keras initializer (with zero biases).
        gain: Scale of the orthogonal matrix.
        seeds: Gives a new seed at each call.
    """

    def make(fan_in: int) -> tuple[Any, Any]:
        if name == "orthogonal":
            return keras.initializers.Orthogonal(gain=gain, seed=seeds()), "zeros"
        if name == "fan_in":
            limit = fan_in**-0.5
            return (
                keras.initializers.RandomUniform(-limit, limit, seed=seeds()),
                keras.initializers.RandomUniform(-limit, limit, seed=seeds()),
            )
        config = {"class_name": keras.initializers.get(name).__class__.__name__, "config": {}}
        try:
            return keras.initializers.get({**config, "config": {"seed": seeds()}}), "zeros"
        except TypeError:  # an initializer without randomness takes no seed
            return keras.initializers.get(name), "zeros"

    return make


def dense(x: Any, units: int, activation: Any, name: str, initialization: str, gain: float, seeds: Seeds) -> Any:
    """A `Dense` layer applied to `x`, seeded from the agent's generator."""
    kernel, bias = initializers(initialization, gain, seeds)(int(x.shape[-1]))
    return keras.layers.Dense(units, activation, kernel_initializer=kernel, bias_initializer=bias, name=name)(x)


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class MLP(Part):
    """Every part of the observation flattened and side by side, then dense layers.

    Args:
        units: Width of each layer.
        activation: Name of a Keras activation.
        initialization: `"orthogonal"`, `"fan_in"` or a Keras initializer's name; see `initializers`.
    """

    units: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    initialization: str = "fan_in"

    def __post_init__(self):
        object.__setattr__(self, "units", widths(self.units, "network.units"))
        _check(self.activation, self.initialization)

    def features(self, leaves: list[Any], seeds: Seeds) -> Any:
        x = side_by_side(leaves)
        for index, units in enumerate(self.units):
            x = dense(x, units, self.activation, f"dense_{index}", self.initialization, 2**0.5, seeds)
        return x


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class CNN(Part):
    """Convolutions over every image (rank 3: height, width, channels), the rest flattened beside them, then dense.

    The defaults are those of Mnih et al. 2015 (Nature 518), Methods.

    Args:
        filters, kernels, strides: One entry per convolution.
        units: Width of each dense layer after them.
        activation, initialization: As for `MLP`.
    """

    filters: tuple[int, ...] = (32, 64, 64)
    kernels: tuple[int, ...] = (8, 4, 3)
    strides: tuple[int, ...] = (4, 2, 1)
    units: tuple[int, ...] = (512,)
    activation: str = "relu"
    initialization: str = "orthogonal"

    def __post_init__(self):
        for name in ("filters", "kernels", "strides", "units"):
            object.__setattr__(self, name, widths(getattr(self, name), f"network.{name}"))
        if not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ValueError(
                "`network.filters`, `kernels` and `strides` must be equally long. "
                f"Received: {self.filters}, {self.kernels}, {self.strides}"
            )
        _check(self.activation, self.initialization)

    def features(self, leaves: list[Any], seeds: Seeds) -> Any:
        x = side_by_side([self.convolved(leaf, seeds, number) for number, leaf in enumerate(leaves)])
        for index, units in enumerate(self.units):
            x = dense(x, units, self.activation, f"dense_{index}", self.initialization, 2**0.5, seeds)
        return x

    def convolved(self, x: Any, seeds: Seeds, number: int) -> Any:
        """An image after the convolutions; anything else as it is. `number`: its place among the leaves, for names."""
        if len(x.shape) != 4:
            return x
        for index, (filters, kernel, stride) in enumerate(zip(self.filters, self.kernels, self.strides)):
            fan_in = kernel * kernel * int(x.shape[-1])
            weights, bias = initializers(self.initialization, 2**0.5, seeds)(fan_in)
            # Small images: never a window or stride that leaves nothing.
            padding = "valid" if min(x.shape[1], x.shape[2]) >= kernel else "same"
            x = keras.layers.Conv2D(
                filters, kernel, stride, padding, activation=self.activation, kernel_initializer=weights,
                bias_initializer=bias, name=f"conv_{number}_{index}",
            )(x)  # fmt: skip
        return x


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class Auto(Part):
    """What suits the observation.

    One component: `CNN` for an image (rank 3), else `MLP` with these arguments. Several components: a subnetwork of its
    own for each, and the last of `units` behind them all, side by side. An image's is that of `CNN`; vectors, and discrete
    components as one-hot codes, have dense layers: all `units` but the last, at least one. Beside several components a
    critic's actions are components too.

    Args: as for `MLP`.
    """

    units: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    initialization: str = "fan_in"

    def __post_init__(self):
        object.__setattr__(self, "units", widths(self.units, "network.units"))
        _check(self.activation, self.initialization)

    def features(self, leaves: list[Any], seeds: Seeds, states: int | None = None) -> Any:
        """Features `(N, F)` of encoded leaves, of which the first `states` are the observation's; None: all."""
        if (len(leaves) if states is None else states) > 1:
            parts = [self._component(leaf, seeds, number) for number, leaf in enumerate(leaves)]
            return self._through(side_by_side(parts), self.units[-1:], "dense_common", seeds)
        if any(len(leaf.shape) == 4 for leaf in leaves):
            return CNN().features(leaves, seeds)
        return MLP(self.units, self.activation, self.initialization).features(leaves, seeds)

    def _component(self, leaf: Any, seeds: Seeds, number: int) -> Any:
        image = CNN()
        layers = image.units if len(leaf.shape) == 4 else self.units[:-1] or self.units
        return self._through(_flat(image.convolved(leaf, seeds, number)), layers, f"dense_{number}", seeds)

    def _through(self, x: Any, layers: tuple[int, ...], name: str, seeds: Seeds) -> Any:
        for index, units in enumerate(layers):
            x = dense(x, units, self.activation, f"{name}_{index}", self.initialization, 2**0.5, seeds)
        return x


def get(identifier: Any, default: Auto) -> Any:
    """A network part from "auto" or None (`default`), a name, a dict, a list of layers, a part, or a Keras layer or model.

    A dict without a type has arguments of `Auto`.

    Raises:
        TypeError: Anything else.
        ValueError: Unknown name or bad arguments.
    """
    if identifier is None or identifier == "auto":
        return default
    if isinstance(identifier, keras.layers.Layer):
        return identifier
    if isinstance(identifier, dict) and "class_name" in identifier:
        layer = allowed.made(identifier, "network")
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(f"`network` must describe a Keras layer. Received: {identifier['class_name']!r}")
        return layer
    if isinstance(identifier, list | tuple):
        identifier = {"type": "Layered", "layers": identifier}
    if isinstance(identifier, dict) and "type" not in identifier:
        identifier = {"type": "Auto", **identifier}
    return NETWORKS.get(identifier, "network")


def serialize(network: Any) -> dict[str, Any]:
    """The inverse of `get`, JSON-ready."""
    if isinstance(network, keras.layers.Layer):
        try:
            return keras.saving.serialize_keras_object(network)
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                "`network` has no configuration: register its class with keras.saving.register_keras_serializable and "
                f"give it a get_config. Received: {network!r}"
            ) from error
    return NETWORKS.serialize(network)


def widths(value: Any, argument: str) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(values) > limits.LAYERS:
        raise ValueError(f"`{argument}` must be at most {limits.LAYERS} layers. Received: {len(values)}")
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 < v <= _WIDEST for v in values):
        raise ValueError(f"`{argument}` must be a list of integers from 1 to {_WIDEST}. Received: {value!r}")
    check_weights(values, argument)
    return values


def check_weights(widths_: Any, argument: str) -> None:
    """Raises:
    ValueError: Layers of these widths, one behind the other, would have too many weights.
    """
    weights = sum(before * after for before, after in itertools.pairwise(widths_))
    if weights > limits.WEIGHTS:
        raise ValueError(f"`{argument}` would have {weights} weights. At most {limits.WEIGHTS} are taken")


def _check(activation: Any, initialization: Any) -> None:
    if not isinstance(activation, str):
        raise TypeError(f"`network.activation` must be the name of a Keras activation. Received: {activation!r}")
    keras.activations.get(activation)
    if initialization not in ("orthogonal", "fan_in"):
        keras.initializers.get(initialization)


def _flat(x: Any) -> Any:
    return keras.layers.Flatten()(x) if len(x.shape) > 2 else x


def side_by_side(parts: list[Any]) -> Any:
    """Tensors `(N, ...)` flattened to `(N, width)`, and side by side."""
    flat = [_flat(part) for part in parts]
    return flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)
