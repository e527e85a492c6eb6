"""Parts of a user's own class, registered with Keras, of which the agents in `agents_1` are made."""

import dataclasses

import keras

from kagent import schedules


@keras.saving.register_keras_serializable("agents_1")
@dataclasses.dataclass(frozen=True)
class Rate(schedules.Schedule):
    """A constant."""

    value: float = 0.25
    unit = "timesteps"

    def __call__(self, clock):
        return self.value

    @property
    def bounds(self):
        return self.value, self.value


@keras.saving.register_keras_serializable("agents_1")
class Doubled(keras.layers.Layer):
    """Twice its input."""

    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape
