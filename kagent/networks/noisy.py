"""Dense layers whose noise explores."""

from __future__ import annotations

import contextlib
import contextvars
import math
import numbers
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from kagent.config.checks import check_count
from kagent.distributions.distribution import normal
from kagent.networks.backbones import _WIDEST, Seeds, initializers
from kagent.networks.contents import layers_of
from kagent.ops.noisy import noisy_linear, scaled_noise

SIGMA = 0.5  # of the paper, for factorised noise
_NOISE: contextvars.ContextVar[bool] = contextvars.ContextVar("NOISE", default=False)


@contextlib.contextmanager
def noise() -> Iterator[None]:
    """Within it, every call of a `NoisyDense` draws, also where layers are not in training mode."""
    token = _NOISE.set(True)
    try:
        yield
    finally:
        _NOISE.reset(token)


@keras.saving.register_keras_serializable("kagent")
class NoisyDense(keras.layers.Layer):
    """A linear layer with factorised Gaussian noise on its weights, whose size is learned (Fortunato et al. 2018, "Noisy Networks
    for Exploration", arXiv:1706.10295, eq. 9 to 11).

    An agent of values explores by it in place of random actions: where the noise makes no difference it learns to be small.

    When it draws. Each call draws once, for all rows of its input together: in training mode, that is in the loss of a
    gradient step; and within `noise()`, which the targets of Q-learning are computed in, so that the online and the target network
    have noise of their own in each gradient step. In training the agent acts with noise that is drawn anew at each timestep, the
    same for the environments side by side, from the stream of its exploration. It has no noise anywhere else: in deterministic
    actions, evaluation, export, priorities, and in `kagent.acting`. This is one rule beyond dropout's (see `policies.Role`), which
    has no part in targets: other random layers and moving statistics stay in inference mode there, so that "training" cannot
    be what says it.

    For policies that act by values. The old log-probabilities of a policy gradient have no noise.

    Args:
        units: Width of the output, q.
        sigma: The deviations begin at `sigma / sqrt(p)`, p being the width of the input; more than 0.
        kernel_initializer, bias_initializer: Of the means. None: uniform within `1 / sqrt(p)`.
        seed: Of the noise. A layer in an agent draws by the agent's seed.

    Input `(..., p)`; output `(..., q)`.

    Raises:
        ValueError: `units` is not an integer from 1 to 32768, or `sigma` not a finite number > 0.

    Example:

    >>> network = keras.Sequential([keras.layers.Dense(64, "relu"), NoisyDense(64), keras.layers.ReLU()])
    >>> agent = kagent.DQN("CartPole-v1", network=network, exploration="greedy")
    """

    def __init__(
        self,
        units: int,
        sigma: float = SIGMA,
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.units, self.sigma, self.seed = check_count(units, "units", most=_WIDEST), check_sigma(sigma, "sigma"), seed
        self._kernel, self._bias = kernel_initializer, bias_initializer
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        width = int(input_shape[-1])
        seeds = (None, None) if self.seed is None else (self.seed, self.seed + 1)
        uniform = [keras.initializers.RandomUniform(-(width**-0.5), width**-0.5, seed=seed) for seed in seeds]
        constant = keras.initializers.Constant(self.sigma * width**-0.5)
        for name, shape, initializer in (
            ("kernel", (width, self.units), uniform[0] if self._kernel is None else self._kernel),
            ("bias", (self.units,), uniform[1] if self._bias is None else self._bias),
            ("kernel_deviation", (width, self.units), constant),
            ("bias_deviation", (self.units,), constant),
        ):
            setattr(self, name, self.add_weight(shape=shape, initializer=initializer, name=name))

    def call(self, inputs: Any, training: Any = False) -> Any:
        if not (training or _NOISE.get()):
            return ops.matmul(inputs, self.kernel) + ops.cast(self.bias, self.compute_dtype)
        rows, columns = self.kernel.shape
        # Not by keras.random, whose numbers are others under XLA.
        numbers = normal((rows + columns,), self.seed_generator.next(), axis=None)
        factors = ops.cast(scaled_noise(numbers), self.compute_dtype)
        weights = (self.kernel, self.bias, self.kernel_deviation, self.bias_deviation)
        kernel, bias, kernel_deviation, bias_deviation = (ops.cast(weight, self.compute_dtype) for weight in weights)
        return noisy_linear(inputs, kernel, bias, kernel_deviation, bias_deviation, factors[:rows], factors[rows:])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        given = {"kernel_initializer": self._kernel, "bias_initializer": self._bias}
        written = {
            name: None if one is None else keras.initializers.serialize(keras.initializers.get(one))
            for name, one in given.items()
        }
        return {**super().get_config(), "units": self.units, "sigma": self.sigma, "seed": self.seed, **written}

    def actor_node(self) -> dict[str, Any]:
        return {"op": "noisy_dense", "variables": [self.kernel, self.bias, self.kernel_deviation, self.bias_deviation]}


def noisy_dense(x: Any, units: int, sigma: float, name: str, seeds: Seeds) -> Any:
    """A `NoisyDense` applied to `x`, whose means begin as a head's weights."""
    kernel, bias = initializers("fan_in", 1.0, seeds)(int(x.shape[-1]))
    return NoisyDense(units, sigma, kernel, bias, name=name)(x)


def holds_noise(layer: Any) -> bool:
    """Whether a layer or model is or has a `NoisyDense`, also as an attribute of a layer of the user's, or in a list of one."""
    return any(isinstance(one, NoisyDense) for one in layers_of(layer))


def check_sigma(sigma: Any, argument: str) -> float:
    """A finite number > 0.

    Raises:
        ValueError: Something else.
    """
    if isinstance(sigma, bool) or not isinstance(sigma, numbers.Real) or not 0 < float(sigma) < math.inf:
        raise ValueError(f"`{argument}` must be a finite number > 0. Received: {sigma!r}")
    return float(sigma)
