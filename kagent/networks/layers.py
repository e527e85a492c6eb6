"""The few layers Keras has none for. Each says in `actor_node` how the NumPy actor computes it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kagent.ops.dueling import check_aggregator, dueling
from kagent.ops.state_dependent_noise import state_dependent_log_std

_MOST_VALUES = 1 << 26
_MOST_FRACTIONS = 1 << 16


@keras.saving.register_keras_serializable("kagent")
class OneHot(keras.layers.Layer):
    """One-hot code of indices, components side by side.

    Args:
        nvec: Number of values of each component.

    Input `(N, *shape)` integers from 0, as many as `nvec` is long; output `(N, sum(nvec))` floats.
    """

    def __init__(self, nvec: list[int], **kwargs: Any):
        super().__init__(**kwargs)
        self.nvec = [int(n) for n in nvec]
        if min(self.nvec, default=0) < 1 or sum(self.nvec) > _MOST_VALUES:  # a file may ask for any number
            raise ValueError(f"`nvec` must be numbers >= 1 that sum to at most {_MOST_VALUES}. Received: {nvec}")

    def call(self, inputs: Any) -> Any:
        flat = ops.reshape(inputs, (-1, len(self.nvec)))
        coded = [ops.one_hot(flat[:, i], n, dtype=self.compute_dtype) for i, n in enumerate(self.nvec)]
        return coded[0] if len(coded) == 1 else ops.concatenate(coded, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], sum(self.nvec))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nvec": self.nvec}

    def actor_node(self) -> dict[str, Any]:
        return {"op": "one_hot", "nvec": self.nvec}


@keras.saving.register_keras_serializable("kagent")
class StateIndependent(keras.layers.Layer):
    """One learned vector, the same for every input: the log standard deviations of a Gaussian policy.

    Args:
        units: Length of the vector.
        initial: Its value at the start.

    Input `(N, ...)`; output `(N, units)`.
    """

    def __init__(self, units: int, initial: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.initial = int(units), float(initial)

    def build(self, input_shape: Any) -> None:
        initializer = keras.initializers.Constant(self.initial)
        self.value = self.add_weight(shape=(self.units,), initializer=initializer, name="value")

    def call(self, inputs: Any) -> Any:
        ones = ops.ones_like(ops.reshape(inputs, (ops.shape(inputs)[0], -1))[:, :1])
        return ops.cast(ones, self.compute_dtype) * ops.cast(self.value, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "initial": self.initial}

    def actor_node(self) -> dict[str, Any]:
        return {"op": "broadcast", "variables": [self.value]}


@keras.saving.register_keras_serializable("kagent")
class StateDependentDeviation(keras.layers.Layer):
    """Log standard deviations of noise that is linear in features; see `kagent.ops.state_dependent_log_std`.

    Args:
        units: Components of the noise.
        initial: Log standard deviation, at the start, of the numbers that features are multiplied with.
        full_std: Whether each component has numbers of its own.
        expln: As for `kagent.ops.deviation`.
        learn_features: Whether gradients flow into the features.

    Input `(N, F)`; output `(N, units)`.
    """

    def __init__(
        self,
        units: int,
        initial: float = 0.0,
        full_std: bool = True,
        expln: bool = False,
        learn_features: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.initial = int(units), float(initial)
        self.full_std, self.expln, self.learn_features = bool(full_std), bool(expln), bool(learn_features)

    def build(self, input_shape: Any) -> None:
        shape = (int(input_shape[-1]), self.units if self.full_std else 1)
        initializer = keras.initializers.Constant(self.initial)
        self.value = self.add_weight(shape=shape, initializer=initializer, name="value")

    def call(self, inputs: Any) -> Any:
        features = inputs if self.learn_features else ops.stop_gradient(inputs)
        log_std = ops.cast(state_dependent_log_std(features, self.value, self.expln), self.compute_dtype)
        return log_std if self.full_std else ops.repeat(log_std, self.units, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        own = {"full_std": self.full_std, "expln": self.expln, "learn_features": self.learn_features}
        return {**super().get_config(), "units": self.units, "initial": self.initial, **own}


@keras.saving.register_keras_serializable("kagent")
class FractionFeatures(keras.layers.Layer):
    """Features of fractions, `relu(cosines @ kernel + bias)`: eq. 4 of Dabney et al. 2018 (arXiv:1806.06923).

    Args:
        units: How many features.
        samples: How many fractions where none are given: the evenly spaced `(k - 1/2) / samples`.
        cosines: How many cosines a fraction is given by; see `kagent.ops.fraction_cosines`.
        kernel_initializer, bias_initializer: Of the weights.

    Input: `(N, T, cosines)`, of given fractions; output `(N, T, units)`. Or `(N, F)`, which only says how many rows; output
    `(N, samples, units)`, the same for every row.

    Raises:
        ValueError: An argument below 1, or one above 2**16.
    """

    def __init__(
        self,
        units: int,
        samples: int,
        cosines: int,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.samples, self.cosines = int(units), int(samples), int(cosines)
        sizes = (self.units, self.samples, self.cosines)
        if min(sizes) < 1 or max(sizes) > _MOST_FRACTIONS:
            raise ValueError(
                f"`units`, `samples` and `cosines` must be integers from 1 to {_MOST_FRACTIONS}. "
                f"Received: {units!r}, {samples!r}, {cosines!r}"
            )
        self._kernel, self._bias = map(keras.initializers.get, (kernel_initializer, bias_initializer))

    def build(self, input_shape: Any) -> None:
        shape = (self.cosines, self.units)
        self.kernel = self.add_weight(shape=shape, initializer=self._kernel, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer=self._bias, name="bias")
        # A weight, though it never changes: so the NumPy actor has it among its arrays.
        self.even = self.add_weight(
            shape=(self.samples, self.cosines), initializer="zeros", trainable=False, name="even", dtype="float32"
        )
        middle = (np.arange(self.samples) + 0.5) / self.samples
        self.even.assign(np.cos(np.pi * np.outer(middle, np.arange(self.cosines))))

    def call(self, inputs: Any) -> Any:
        given = len(inputs.shape) == 3
        cosines = inputs if given else ops.cast(self.even, self.compute_dtype)[None]
        found = ops.relu(ops.matmul(cosines, self.kernel) + ops.cast(self.bias, self.compute_dtype))
        return found if given else ops.repeat(found, ops.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], input_shape[1] if len(input_shape) == 3 else self.samples, self.units)

    def get_config(self) -> dict[str, Any]:
        own = {"units": self.units, "samples": self.samples, "cosines": self.cosines}
        initializers = {"kernel_initializer": self._kernel, "bias_initializer": self._bias}
        written = {name: keras.initializers.serialize(one) for name, one in initializers.items()}
        return {**super().get_config(), **own, **written}

    def actor_node(self) -> list[dict[str, Any]]:
        return [
            {"op": "broadcast", "variables": [self.even]},
            {"op": "dense", "variables": [self.kernel, self.bias], "activation": "relu"},
        ]


class WeightOf(keras.layers.Layer):
    """The weight `value` of another layer in a row, the same for every input: so an actor gets it. It is not its own.

    Args:
        layer: Which.

    Input `(N, ...)`; output `(N, size)`.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
        super().__init__(**kwargs)
        self._value = lambda: layer.value  # a function, through which Keras does not look for weights

    def call(self, inputs: Any) -> Any:
        row = ops.reshape(ops.cast(self._value(), self.compute_dtype), (1, -1))
        return ops.repeat(row, ops.shape(inputs)[0], axis=0)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], math.prod(self._value().shape))

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}  # of an actor's model, which is never made from its configuration

    def actor_node(self) -> list[dict[str, Any]]:
        return [{"op": "broadcast", "variables": [self._value()]}, {"op": "flatten"}]


@keras.saving.register_keras_serializable("kagent")
class Bound(keras.layers.Layer):
    """Clips to [low, high].

    Args:
        low, high: The bounds.
    """

    def __init__(self, low: float, high: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.low, self.high = float(low), float(high)

    def call(self, inputs: Any) -> Any:
        return ops.clip(inputs, self.low, self.high)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}

    def actor_node(self) -> dict[str, Any]:
        return {"op": "clip", "low": self.low, "high": self.high}


@keras.saving.register_keras_serializable("kagent")
class MeanLoss(keras.layers.Layer):
    """The mean of a Keras loss over a batch, in a functional graph: Keras's losses take no symbolic tensors.

    Args:
        loss: A loss of Keras's, its name or its configuration.

    Input `[(N,), (N,)]`, what should be and what is; output a scalar.

    Raises:
        ValueError: No loss of Keras's.
    """

    def __init__(self, loss: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.loss = keras.losses.get(loss)
        if not callable(self.loss):
            raise ValueError(f"`loss` must be a loss of Keras's. Received: {loss!r}")

    def call(self, inputs: Any) -> Any:
        target, value = (ops.expand_dims(x, -1) for x in inputs)
        return ops.mean(self.loss(target, value))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return ()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "loss": keras.losses.serialize(self.loss)}


@keras.saving.register_keras_serializable("kagent")
class Dueling(keras.layers.Layer):
    """Action values of a state value and advantages: `V + A - mean(A)`, the mean being each component's own.

    Wang et al. 2016, arXiv:1511.06581, eq. 9; see `kagent.ops.dueling`.

    Args:
        nvec: Number of values of each component.
        aggregator: "mean", or "max" or "naive" in its place.

    Input `[(N, ..., 1), (N, ..., sum(nvec))]`, state values and advantages; output `(N, ..., sum(nvec))`.
    """

    def __init__(self, nvec: list[int], aggregator: str = "mean", **kwargs: Any):
        super().__init__(**kwargs)
        self.nvec = [int(n) for n in nvec]
        self.aggregator = check_aggregator(aggregator, "aggregator")

    def call(self, inputs: Any) -> Any:
        value, advantage = inputs
        return dueling(value, advantage, self.nvec, self.aggregator)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nvec": self.nvec, "aggregator": self.aggregator}

    def actor_node(self) -> dict[str, Any]:
        node = {"op": "dueling", "nvec": self.nvec}
        return node if self.aggregator == "mean" else {**node, "aggregator": self.aggregator}


@keras.saving.register_keras_serializable("kagent")
class Expectation(keras.layers.Layer):
    """The mean of each value's distribution, of which the input has `len(support)` numbers.

    Args:
        values: How many values.
        support: The numbers' weights in the mean; where they are logits, the returns that they are the logits of.
        softmax: Whether the numbers are logits of probabilities.

    Input `(N, values * len(support))`, one value's numbers side by side; output `(N, values)`.

    Raises:
        ValueError: Less than one value or weight.
    """

    def __init__(self, values: int, support: list[float], softmax: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.values, self.support, self.softmax = int(values), [float(x) for x in support], bool(softmax)
        if self.values < 1 or not self.support:
            raise ValueError(f"`values` and `support` must not be empty. Received: {values!r}, {support!r}")

    def build(self, input_shape: Any) -> None:
        # A weight, though it never changes: so the NumPy actor has it among its arrays.
        self.weight = self.add_weight(
            shape=(len(self.support), 1), initializer="zeros", trainable=False, name="support", dtype="float32"
        )
        self.weight.assign([[x] for x in self.support])

    def call(self, inputs: Any) -> Any:
        numbers = ops.reshape(inputs, (-1, self.values, len(self.support)))
        numbers = ops.softmax(numbers) if self.softmax else numbers
        return ops.matmul(numbers, ops.cast(self.weight, numbers.dtype))[..., 0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.values)

    def get_config(self) -> dict[str, Any]:
        own = {"values": self.values, "support": self.support, "softmax": self.softmax}
        return {**super().get_config(), **own}

    def actor_node(self) -> list[dict[str, Any]]:
        probabilities = [{"op": "activation", "name": "softmax"}] if self.softmax else []
        return [
            {"op": "reshape", "shape": [self.values, len(self.support)]},
            *probabilities,
            {"op": "dense", "variables": [self.weight]},
            {"op": "reshape", "shape": [self.values]},
        ]
