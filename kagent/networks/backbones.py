"""Built-in networks as plain parts, and any Keras layer or model in their place."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras

from kagent.config import allowed, limits
from kagent.config.checks import check_flag
from kagent.config.registry import Part, Registry
from kagent.networks import normalization as normalizing
from kagent.networks.normalization import LAYER_NORMALIZATION
from kagent.networks.pools import pooling
from kagent.spaces import Leaf, images
from kagent.spaces.images import Layout

NETWORKS = Registry("network", others="a Keras layer or model, a list of layers, ")
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


def hidden(x: Any, units: int, network: Any, name: str, normalization_name: str, seeds: Seeds) -> Any:
    """A dense layer within a network of `activation`, `initialization` and `normalization`."""
    x = dense(x, units, _within(network), name, network.initialization, 2**0.5, seeds)
    return normalizing.behind(x, network.normalization, network.activation, normalization_name)


def _within(network: Any) -> str | None:
    """The activation that a layer has itself."""
    return None if network.normalization == LAYER_NORMALIZATION else network.activation


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class MLP(Part):
    """Every part of the observation flattened and side by side, then dense layers.

    Args:
        units: Width of each layer.
        activation: Name of a Keras activation.
        initialization: `"orthogonal"`, `"fan_in"` or a Keras initializer's name; see `initializers`.
        normalization: `"layer_normalization"`: between each layer and its activation (Ba et al. 2016, arXiv:1607.06450), as PQN
            has it. `"batch_renormalization"`, or a dict `{"type": "batch_renormalization", **arguments}`: a
            `kagent.networks.BatchRenormalization` in front of the first dense layer and behind each, as CrossQ has it
            (Bhatt et al. 2024, arXiv:1902.05605). None: none.
    """

    units: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    initialization: str = "fan_in"
    normalization: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", widths(self.units, "network.units"))
        check_names(self.activation, self.initialization)
        normalizing.check(self.normalization)

    def features(self, leaves: list[Any], seeds: Seeds) -> Any:
        x = normalizing.in_front(side_by_side(leaves), self.normalization, "normalization")
        for index, units in enumerate(self.units):
            x = hidden(x, units, self, f"dense_{index}", f"normalization_{index}", seeds)
        return x


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class CNN(Part):
    """Convolutions over every image, the rest flattened beside them, then dense.

    An image is a Box of rank 3; of higher rank it is a stack of frames, whose channels come side by side; a uint8 Box of rank
    2 with at least 36 pixels on each side has one channel. The numbers of images are divided by the bounds of their space, so that
    they are from -1 to 1: those of uint8 by 255 (see `kagent.spaces.Leaf.divisor`).

    The defaults are those of Mnih et al. 2015 (Nature 518), Methods.

    Args:
        filters, kernels, strides: One entry per convolution.
        units: Width of each dense layer after them.
        activation, initialization: As for `MLP`.
        normalization: `"layer_normalization"`, of convolutions too, over all numbers of an image; None: none.
        data_format: Which axis of an image, or of each frame, has the channels: "channels_last", "channels_first", or "auto":
            the one that the shape says (`kagent.spaces.images.read`).

    Raises:
        ValueError: An image of which "auto" cannot say it; or one smaller than the windows of the kernels.
    """

    filters: tuple[int, ...] = (32, 64, 64)
    kernels: tuple[int, ...] = (8, 4, 3)
    strides: tuple[int, ...] = (4, 2, 1)
    units: tuple[int, ...] = (512,)
    activation: str = "relu"
    initialization: str = "orthogonal"
    data_format: str = "auto"
    normalization: str | None = None

    def __post_init__(self) -> None:
        for name in ("filters", "kernels", "strides", "units"):
            object.__setattr__(self, name, widths(getattr(self, name), f"network.{name}"))
        if not len(self.filters) == len(self.kernels) == len(self.strides):
            raise ValueError(
                "`network.filters`, `kernels` and `strides` must be equally long. "
                f"Received: {self.filters}, {self.kernels}, {self.strides}"
            )
        if self.normalization not in (None, LAYER_NORMALIZATION):
            raise ValueError(
                f"`network.normalization` of CNN must be {LAYER_NORMALIZATION!r} or None. Received: {self.normalization!r}"
            )
        check_names(self.activation, self.initialization)
        images.check_data_format(self.data_format, "network.data_format")

    def layout_of(self, leaf: Leaf) -> Layout | None:
        """How an observation leaf is read as an image; None: it is none."""
        return image_layout(leaf, self.data_format, 1)

    def features(self, leaves: list[Any], seeds: Seeds, padded: bool = False) -> Any:
        """Features `(N, F)` of encoded leaves, those of rank 4 being images `(N, height, width, channels)`.

        `padded`: whether an image smaller than a kernel is padded.
        """
        x = side_by_side([self.convolved(leaf, seeds, number, padded) for number, leaf in enumerate(leaves)])
        for index, units in enumerate(self.units):
            x = hidden(x, units, self, f"dense_{index}", f"normalization_{index}", seeds)
        return x

    def convolved(self, x: Any, seeds: Seeds, number: int, padded: bool = False) -> Any:
        """An image after the convolutions; anything else as it is. `number`: its place among the leaves, for names."""
        if len(x.shape) != 4:
            return x
        image = tuple(x.shape[1:])
        for index, (filters, kernel, stride) in enumerate(zip(self.filters, self.kernels, self.strides)):
            fan_in = kernel * kernel * int(x.shape[-1])
            weights, bias = initializers(self.initialization, 2**0.5, seeds)(fan_in)
            padding = "valid" if min(x.shape[1], x.shape[2]) >= kernel else "same"
            if padding == "same" and not padded:
                raise ValueError(
                    f"`network.kernels` do not fit an image of height {image[0]}, width {image[1]} and {image[2]} channels: "
                    f"the window {kernel} x {kernel} is larger than what is left of it, {x.shape[1]} x {x.shape[2]}. "
                    f"Received: {self.kernels} with strides {self.strides}. Allowed: fewer or smaller ones, or 'auto'"
                )
            name = f"conv_{number}_{index}"
            x = keras.layers.Conv2D(
                filters, kernel, stride, padding, activation=_within(self), kernel_initializer=weights,
                bias_initializer=bias, name=name,
            )(x)  # fmt: skip
            x = normalizing.behind(x, self.normalization, self.activation, f"{name}_normalization")
        return x


# Of images with so many pixels on their shorter side, and more: filters, kernels and strides. The first are those of Mnih et
# al. 2015. A smaller image has a smaller first window, then fewer convolutions: none is padded, and at most 5 x 5 places are
# left of a square.
_SUITED = (
    (36, ((32, 64, 64), (8, 4, 3), (4, 2, 1))),
    (18, ((32, 64, 64), (4, 4, 3), (2, 2, 1))),
    (8, ((64, 64), (4, 3), (2, 1))),
    (3, ((64,), (3,), (1,))),
)
_LEAST = _SUITED[-1][0]
LEAST_UNPADDED = _SUITED[0][0]  # pixels on the shorter side of an image that the default `CNN` fits


def suited(height: int, width: int) -> CNN:
    """The convolutions for an image of at least 3 x 3 pixels."""
    return next(CNN(*layers) for least, layers in _SUITED if min(height, width) >= least)


@NETWORKS.register()
@dataclasses.dataclass(frozen=True)
class Auto(Part):
    """What suits the observation.

    One component: convolutions for an image, else `MLP` with these arguments. Several components: a subnetwork of its own for
    each, and the last of `units` behind them all, side by side. Vectors, and discrete components as one-hot codes, have dense
    layers: all `units` but the last, at least one. Beside several components a critic's actions are components too.

    Images are those of `CNN`, scaled as there. The convolutions are `CNN`'s where the shorter side has 36 pixels
    or more, smaller and fewer below, and a dense layer of 512 follows. Where the convolutions leave more than 400 places, of large
    or long images, a pool leaves at most 144 of them, unless `pool` is False. An image with less than 3 pixels on a side is a vector.

    Args:
        units, activation, initialization: As for `MLP`.
        data_format: As for `CNN`. `agent.summary()` says how an image is read.
        normalization: As for `MLP`; of several components each has it. Of images, `"layer_normalization"` alone: see `CNN`.
        rnn: Units of an LSTM behind all of it, whose state is carried through the episode; None: there is none.
        pool: Whether many places of convolutions are pooled. False is the way of files that were written before there were pools.

    Raises:
        ValueError: An image of which "auto" cannot say the axis of the channels; an image beside another `normalization`.
    """

    units: tuple[int, ...] = (64, 64)
    activation: str = "relu"
    initialization: str = "fan_in"
    data_format: str = "auto"
    normalization: Any = None
    rnn: int | None = None
    pool: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", widths(self.units, "network.units"))
        check_names(self.activation, self.initialization)
        normalizing.check(self.normalization)
        images.check_data_format(self.data_format, "network.data_format")
        check_flag(self.pool, "network.pool")
        if self.rnn is not None:
            widths(self.rnn, "network.rnn")

    def layout_of(self, leaf: Leaf) -> Layout | None:
        """How an observation leaf is read as an image; None: it is none, or too small for convolutions."""
        return image_layout(leaf, self.data_format, _LEAST)

    def features(self, leaves: list[Any], seeds: Seeds, states: int | None = None, padded: bool = False) -> Any:
        """Features `(N, F)` of encoded leaves, those of rank 4 being images `(N, height, width, channels)`.

        Args:
            leaves: Those of the observation, behind which those of the action.
            seeds: Gives a new seed at each call.
            states: How many are the observation's; None: all.
            padded: Whether all images have the convolutions of `CNN`, padded where they are small.
        """
        picture = next((leaf for leaf in leaves if len(leaf.shape) == 4), None)
        if picture is not None and self.normalization not in (None, LAYER_NORMALIZATION):
            raise ValueError(
                "`network.normalization` 'batch_renormalization' is of dense layers, and the observation has an image. Allowed: "
                f"{LAYER_NORMALIZATION!r}, or a network of your own, with kagent.networks.BatchRenormalization among its layers. "
                f"Received: {self.normalization!r}"
            )
        if (len(leaves) if states is None else states) > 1:
            parts = [self._component(leaf, seeds, number, padded) for number, leaf in enumerate(leaves)]
            return self._through(side_by_side(parts), self.units[-1:], "dense_common", seeds)
        if picture is not None:
            image, pool = self._convolutions(picture, padded), self.pool and not padded
            return image.features([_convolved(image, x, seeds, i, padded, pool) for i, x in enumerate(leaves)], seeds)
        return MLP(self.units, self.activation, self.initialization, self.normalization).features(leaves, seeds)

    def _component(self, leaf: Any, seeds: Seeds, number: int, padded: bool) -> Any:
        if len(leaf.shape) != 4:
            x = normalizing.in_front(_flat(leaf), self.normalization, f"normalization_{number}")
            return self._through(x, self.units[:-1] or self.units, f"dense_{number}", seeds)
        image = self._convolutions(leaf, padded)
        x = _convolved(image, leaf, seeds, number, padded, self.pool and not padded)
        return self._through(x, image.units, f"dense_{number}", seeds)

    def _through(self, x: Any, layers: tuple[int, ...], name: str, seeds: Seeds) -> Any:
        for index, units in enumerate(layers):
            x = hidden(x, units, self, f"{name}_{index}", f"{name}_{index}_normalization", seeds)
        return x

    def _convolutions(self, picture: Any, padded: bool) -> CNN:
        found = CNN() if padded else suited(*picture.shape[1:3])
        return dataclasses.replace(found, normalization=self.normalization)


def _convolved(image: CNN, x: Any, seeds: Seeds, number: int, padded: bool, pool: bool) -> Any:
    # An image after the convolutions, and a pool where they leave many places, flattened; anything else as it is.
    if len(x.shape) != 4:
        return x
    x = image.convolved(x, seeds, number, padded)
    windows = pooling(*x.shape[1:3])
    if pool and max(windows) > 1:
        x = keras.layers.MaxPooling2D(windows, padding="same", name=f"pool_{number}")(x)
    return _flat(x)


def get(identifier: Any, default: Auto) -> Any:
    """A network part from "auto" or None (`default`), a name, a dict, a list of layers, a part, or a Keras layer or model.

    A dict without a type, or of type "auto", says some arguments of `Auto`; the others are those of `default`.

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
    if isinstance(identifier, dict) and str(identifier.get("type", "auto")).lower() == "auto":
        identifier = {**NETWORKS.serialize(default), **identifier}
    return NETWORKS.get(identifier, "network")


def serialize(network: Any) -> dict[str, Any]:
    """The inverse of `get`, JSON-ready."""
    if isinstance(network, keras.layers.Layer):
        try:
            result: dict[str, Any] = keras.saving.serialize_keras_object(network)
            return result
        except (NotImplementedError, TypeError, ValueError) as error:
            raise ValueError(
                "`network` has no configuration: register its class with keras.saving.register_keras_serializable and "
                f"give it a get_config. Received: {network!r}"
            ) from error
    return NETWORKS.serialize(network)


def widths(value: Any, argument: str) -> tuple[int, ...]:
    """Widths of layers, checked."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(values) > limits.LAYERS:
        raise ValueError(f"`{argument}` must be at most {limits.LAYERS} layers. Received: {len(values)}")
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 < v <= _WIDEST for v in values):
        raise ValueError(f"`{argument}` must be a list of integers from 1 to {_WIDEST}. Received: {value!r}")
    check_weights(values, argument)
    return values


def check_weights(widths_: Any, argument: str) -> None:
    """Refuses layers with too many weights together.

    Raises:
        ValueError: Layers of these widths, one behind the other, would have too many weights.
    """
    weights = sum(before * after for before, after in itertools.pairwise(widths_))
    if weights > limits.WEIGHTS:
        raise ValueError(f"`{argument}` would have {weights} weights. At most {limits.WEIGHTS} are taken")


def check_names(activation: Any, initialization: Any) -> None:
    """Refuses an activation or an initialization that Keras does not have."""
    if not isinstance(activation, str):
        raise TypeError(f"`network.activation` must be the name of a Keras activation. Received: {activation!r}")
    keras.activations.get(activation)
    if initialization not in ("orthogonal", "fan_in"):
        keras.initializers.get(initialization)


def image_layout(leaf: Leaf, data_format: str, least: int) -> Layout | None:
    """How an observation leaf is read as an image with at least so many pixels on a side; None: it is none."""
    if not leaf.is_image:
        return None
    try:
        return images.read(leaf.shape, data_format, "network.data_format", least)
    except ValueError as error:
        where = f"Observation {leaf.name!r}: " if leaf.name else ""
        raise ValueError(f"{where}{error}; network={{'type': 'mlp'}} takes it for a vector") from None


def _flat(x: Any) -> Any:
    return keras.layers.Flatten()(x) if len(x.shape) > 2 else x


def side_by_side(parts: list[Any]) -> Any:
    """Tensors `(N, ...)` flattened to `(N, width)`, and side by side."""
    flat = [_flat(part) for part in parts]
    return flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)
