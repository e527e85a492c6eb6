"""A residual network for images."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from kagent.config.checks import check_count
from kagent.config.registry import Part
from kagent.networks import normalization as normalizing
from kagent.networks.backbones import (
    NETWORKS,
    Seeds,
    check_names,
    hidden,
    image_layout,
    initializers,
    side_by_side,
    widths,
)
from kagent.networks.normalization import LAYER_NORMALIZATION
from kagent.spaces import Leaf, images
from kagent.spaces.images import Layout

_MOST_BLOCKS = 16


@NETWORKS.register("impala_cnn")
@dataclasses.dataclass(frozen=True)
class Impala(Part):
    """Residual blocks over every image, the rest flattened beside them, then dense.

    Espeholt et al. 2018 (arXiv:1802.01561), figure 3, right, without its recurrent layer. For each of `filters` there are a
    convolution, a maximum over windows of 3 x 3 in steps of 2, and residual blocks: `x + conv(relu(conv(relu(x))))`. All
    convolutions have windows of 3 x 3 and are padded, so that images of any size fit. It learns more from a frame than `CNN`, and
    a gradient step takes longer.

    Images are those of `CNN`, and scaled as there.

    Args:
        filters: Of the convolutions of each stage.
        blocks: Residual blocks in a stage.
        units: Width of each dense layer after them.
        activation, initialization, data_format, normalization: As for `CNN`; there is no normalization within a stage.

    Raises:
        ValueError: An image of which "auto" cannot say the axis of the channels.

    Example:

    >>> import gymnasium, kagent
    >>> pixels = gymnasium.spaces.Box(0, 255, (4, 84, 84), "uint8")
    >>> agent = kagent.PPO(observation_space=pixels, action_space=gymnasium.spaces.Discrete(6), network="impala")
    >>> agent.policy.model.count_params()  # 1,089,232 up to the features, 257 of each action
    1090774
    """

    filters: tuple[int, ...] = (16, 32, 32)
    blocks: int = 2
    units: tuple[int, ...] = (256,)
    activation: str = "relu"
    initialization: str = "orthogonal"
    data_format: str = "auto"
    normalization: str | None = None

    def __post_init__(self) -> None:
        for name in ("filters", "units"):
            object.__setattr__(self, name, widths(getattr(self, name), f"network.{name}"))
        check_count(self.blocks, "network.blocks", most=_MOST_BLOCKS)
        if self.normalization not in (None, LAYER_NORMALIZATION):
            raise ValueError(
                f"`network.normalization` of Impala must be {LAYER_NORMALIZATION!r} or None. Received: {self.normalization!r}"
            )
        check_names(self.activation, self.initialization)
        images.check_data_format(self.data_format, "network.data_format")

    def layout_of(self, leaf: Leaf) -> Layout | None:
        """How an observation leaf is read as an image; None: it is none."""
        return image_layout(leaf, self.data_format, 1)

    def features(self, leaves: list[Any], seeds: Seeds) -> Any:
        """Features `(N, F)` of encoded leaves, those of rank 4 being images `(N, height, width, channels)`."""
        x = side_by_side([self._convolved(leaf, seeds, number) for number, leaf in enumerate(leaves)])
        for index, units in enumerate(self.units):
            x = hidden(x, units, self, f"dense_{index}", f"normalization_{index}", seeds)
        return x

    def _convolved(self, x: Any, seeds: Seeds, number: int) -> Any:
        if len(x.shape) != 4:
            return x
        layers = keras.layers
        for stage, filters in enumerate(self.filters):
            name = f"stage_{number}_{stage}"
            x = self._convolution(x, filters, f"{name}_conv", seeds)
            x = layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
            for block in range(self.blocks):
                inside = x
                for half in range(2):
                    inside = layers.Activation(self.activation, name=f"{name}_{block}_activation_{half}")(inside)
                    inside = self._convolution(inside, filters, f"{name}_{block}_conv_{half}", seeds)
                x = layers.Add(name=f"{name}_{block}_sum")([x, inside])
        x = layers.Activation(self.activation, name=f"stages_{number}_activation")(x)
        return normalizing.behind(x, self.normalization, "linear", f"stages_{number}_normalization")

    def _convolution(self, x: Any, filters: int, name: str, seeds: Seeds) -> Any:
        kernel, bias = initializers(self.initialization, 2**0.5, seeds)(9 * int(x.shape[-1]))
        return keras.layers.Conv2D(filters, 3, 1, "same", kernel_initializer=kernel, bias_initializer=bias, name=name)(
            x
        )
