"""How probable an action is, as a layer."""

from __future__ import annotations

from typing import Any

import keras

from kagent.distributions.distribution import Distribution


@keras.saving.register_keras_serializable("kagent")
class LogProb(keras.layers.Layer):
    """The log-probability, or log-density, of actions under a distribution, in a functional graph: distributions take no
    symbolic tensors.

    Args:
        distribution: One of `kagent.distributions`.

    Input a list, the distribution's parameters `(N, width)` and behind them the actions `(N, *shape)`; output `(N,)`
    float32.

    Raises:
        TypeError: No distribution.

    Example:

    >>> from kagent.distributions import Categorical
    >>> found = LogProb(Categorical([2], shape=()))([np.zeros((1, 2)), np.asarray([1])])  # log(1 / 2)
    >>> found.shape, round(float(found[0]), 3)
    (TensorShape([1]), -0.693)
    """

    def __init__(self, distribution: Distribution, **kwargs: Any):
        super().__init__(dtype="float32", **kwargs)
        if not isinstance(distribution, Distribution):
            raise TypeError(f"`distribution` must be a Distribution. Received: {distribution!r}")
        self.distribution = distribution

    def call(self, inputs: Any) -> Any:
        *parameters, action = inputs
        return self.distribution.log_prob(parameters, action)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor(inputs[0].shape[:1], "float32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype")
        return {**config, "distribution": keras.saving.serialize_keras_object(self.distribution)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(keras.saving.deserialize_keras_object(config.pop("distribution")), **config)
