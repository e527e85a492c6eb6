"""Keras's recurrent layers in networks that see one timestep at a time: their state is carried through the episode."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.acting import recurrent_layers
from kagent.config import limits
from kagent.config.rehearsal import before_call
from kagent.networks.recurrent_cells import equations_of

_REFUSED = {
    "stateful": (False, "the state belongs to an environment's episode, and the agent carries it"),
    "go_backwards": (False, "an actor has not seen the timesteps that follow"),
    "return_state": (False, "the agent carries the state"),
    "unroll": (False, "sequences are as long as the memory says"),
    "zero_output_for_mask": (False, "there are no masked timesteps"),
}
_DROPOUTS = ("dropout", "recurrent_dropout")
_CONVOLUTIONS = keras.layers.ConvLSTM1D, keras.layers.ConvLSTM2D, keras.layers.ConvLSTM3D
_GATES = {keras.layers.SimpleRNNCell: 1, keras.layers.GRUCell: 3, keras.layers.LSTMCell: 4}


def is_recurrent(layer: Any) -> bool:
    """Whether a layer has a state, which it would carry from one timestep to the next."""
    return isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional)


def holds_recurrent(network: Any) -> bool:
    """Whether such a layer is in a Keras layer or model, however deep."""
    inside = [network, *getattr(network, "layers", ())]
    return any(is_recurrent(one) or (one is not network and holds_recurrent(one)) for one in inside)


def check(layer: Any, where: str) -> None:
    """Looks at a recurrent layer that is to carry its state through episodes.

    Args:
        layer: The layer.
        where: The argument that it was given in.

    Raises:
        ValueError: It looks at what follows, keeps its state itself or as images, or draws dropout in its recurrence.
    """
    name = f"{type(layer).__name__} {layer.name!r}"
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError(
            f"`{where}` must not be bidirectional: an actor has not seen the timesteps that follow. Received: {name}. Allowed: "
            "LSTM, GRU, SimpleRNN, RNN(cell), RNN([cells])"
        )
    if isinstance(layer, _CONVOLUTIONS):
        raise ValueError(
            f"`{where}` must have a state of vectors: convolutions go in front of a recurrent layer. Received: {name}. Allowed: LSTM, "
            "GRU, SimpleRNN, RNN(cell), RNN([cells])"
        )
    for flag, (allowed, why) in _REFUSED.items():
        if getattr(layer, flag, allowed) != allowed:
            raise ValueError(
                f"`{where}` must have {flag}={allowed}: {why}. Received: {name} with {flag}={getattr(layer, flag)}"
            )
    for cell in getattr(layer.cell, "cells", [layer.cell]):
        for rate in _DROPOUTS:
            if getattr(cell, rate, 0.0):
                raise ValueError(
                    f"`{where}` must have {rate}=0: it would be drawn anew at each timestep. Received: {name} with "
                    f"{rate}={getattr(cell, rate)}. Allowed: a keras.layers.Dropout in front of it"
                )


def check_size(layer: Any, width: int, where: str) -> None:
    """Refuses a layer with too many weights before it is built: sizes come from files, too.

    Args:
        layer: The layer. Of cells that Keras does not have, nothing is known.
        width: Of the features that it gets.
        where: The argument that it was given in.

    Raises:
        ValueError: It would have too many.
    """
    for cell in getattr(layer.cell, "cells", [layer.cell]):
        units = getattr(cell, "units", 0)
        weights = _GATES.get(type(cell), 0) * units * (width + units + 2)
        if weights > limits.WEIGHTS:
            raise ValueError(f"`{where}` would have {weights} weights. At most {limits.WEIGHTS} are taken")
        width = units


@keras.saving.register_keras_serializable("kagent")
class Recurrent(keras.layers.Layer):
    """A recurrent layer of Keras's over sequences that begin in given states.

    Rows are timesteps: `C` groups one behind the other, each of `L` timesteps of `B` columns, so that row `(c * L + l) * B + b`
    is timestep l of column b in group c. Where a sequence begins, its state is the one that is given beside that row; elsewhere
    it is the state after the row before in its column.

    Args:
        layer: An LSTM, GRU, SimpleRNN or RNN.

    Input `[(C * L * B, F), (C * L * B, size) for each part of the state, (C, L, B)]`: features, states, and 1 where a sequence
    begins in the midst of a column (each begins at its first row anyway). Output `[(C * L * B, U), (C * L * B, size) ...]`: the
    layer's output, and the state after each row.

    Raises:
        ValueError: A state that is no list of vectors, or that does not begin with zeros.
    """

    def __init__(self, layer: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.layer = layer
        self._takes_training = "training" in inspect.signature(layer.cell.call).parameters

    def build(self, input_shape: Any) -> None:
        if not self.layer.built:
            self.layer.build((None, None, int(input_shape[0][-1])))
            self.layer.built = True

    @property
    def sizes(self) -> list[int]:
        """Numbers in each part of the state."""
        first = [np.asarray(part) for part in keras.tree.flatten(self.layer.get_initial_state(1))]
        name = f"{type(self.layer).__name__} {self.layer.name!r}"
        if any(part.ndim != 2 for part in first):
            shapes = [part.shape[1:] for part in first]
            raise ValueError(f"A recurrent layer's state must be vectors. Received: {name} with shapes {shapes}")
        if any(part.any() for part in first):
            raise ValueError(f"A recurrent layer must begin an episode with zeros. Received: {name}, which does not")
        return [part.shape[1] for part in first]

    def call(self, inputs: Any, training: bool = False) -> Any:
        x, *stored, begins = inputs
        if begins.shape[1] == 1:
            return self._step(x, stored, training)
        shape = tf.shape(begins) if None in begins.shape else begins.shape
        groups, steps, columns = (shape[i] for i in range(3))

        def timed(rows: Any) -> Any:
            parted = tf.reshape(rows, (groups, steps, columns, rows.shape[-1]))
            return tf.reshape(tf.transpose(parted, (1, 0, 2, 3)), (steps, groups * columns, rows.shape[-1]))

        def as_rows(timed: Any) -> Any:
            parted = tf.transpose(tf.reshape(timed, (steps, groups, columns, timed.shape[-1])), (1, 0, 2, 3))
            return tf.reshape(parted, (groups * steps * columns, timed.shape[-1]))

        begin = timed(tf.reshape(begins, (-1, 1)) > 0.5)
        states = [timed(part) for part in stored]
        found = self._over(timed(x), begin, states, training)
        return [as_rows(part) for part in found]

    def _over(self, x: Any, begin: Any, states: list[Any], training: bool) -> list[Any]:
        # Of `(L, B, ...)`.
        equations = equations_of(self.layer) if x.dtype == tf.float32 else None
        if equations is not None:
            after: list[Any] = []
            for equation in equations:
                own, states = states[: equation.parts], states[equation.parts :]
                x, *following = equation.function(x, begin[..., 0], own)
                after += following
            return [x, *after]

        def step(before: Any, now: Any) -> Any:
            x, begin, *given = now
            state = [tf.where(begin, one, other) for one, other in zip(given, before[1:])]
            return tuple(self._step(x, state, training))

        columns = tf.shape(x)[1] if x.shape[1] is None else x.shape[1]
        first = (tf.zeros((columns, self._units), self.compute_dtype), *(part[0] for part in states))
        return list(tf.scan(step, (x, begin, *states), first))

    def _step(self, x: Any, state: list[Any], training: bool) -> list[Any]:
        nested = keras.tree.pack_sequence_as(self.layer.get_initial_state(1), state)
        options = {"training": training} if self._takes_training else {}
        output, after = self.layer.cell(x, nested, **options)
        return [keras.ops.cast(part, self.compute_dtype) for part in (output, *keras.tree.flatten(after))]

    @property
    def _units(self) -> int:
        return int(self.layer.compute_output_shape((None, 1, 1))[-1])

    def compute_output_spec(self, inputs: Any, training: bool = False) -> Any:
        rows = inputs[0].shape[0]
        return [keras.KerasTensor((rows, size), self.compute_dtype) for size in (self._units, *self.sizes)]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Recurrent:
        layer = keras.saving.deserialize_keras_object(config["layer"], custom_objects)
        return cls(**{**config, "layer": layer})

    def actor_values(self, compiler: Any, inputs: list[int]) -> list[int]:
        """Adds one timestep to the program of an actor; returns the numbers of its output and of the states after it."""
        x, *state, _ = inputs
        return recurrent_layers.step(compiler, self.layer, x, state)


class NoBegins(keras.layers.Layer):
    """The third input of `Recurrent` for rows that are one timestep each: `(1, 1, N)` zeros of any `(N, size)`."""

    def call(self, inputs: Any) -> Any:
        return tf.zeros((1, 1, tf.shape(inputs)[0]), self.compute_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((1, 1, inputs.shape[0]), self.compute_dtype)

    def actor_values(self, compiler: Any, inputs: list[int]) -> list[int]:
        """Nothing reads it in an actor's program."""
        return inputs[:1]


class Recurrence:
    """The recurrent layers of a functional model while it is built, with the further inputs and outputs that they need.

    Attributes:
        sizes: Numbers in each part of the state, over all layers in their order.
        inputs: Symbolic: the states, and behind them where sequences begin; none without recurrent layers.
        outputs: Symbolic: the states after each row.
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self._states: list[Any] = []
        self._begins: Any = None
        self.outputs: list[Any] = []

    @property
    def inputs(self) -> list[Any]:
        return [*self._states, self._begins] if self._states else []

    def through(self, layer: Any, x: Any, where: str) -> Any:
        """The output `(N, U)` of a recurrent layer for features `(N, F)`.

        Raises:
            ValueError: A layer that cannot carry its state (see `check`), or features of another rank.
        """
        check(layer, where)
        if len(x.shape) != 2:
            raise ValueError(
                f"`{where}` {type(layer).__name__} carries its state over the timesteps of an episode, and needs features "
                f"(batch, n). Received: {tuple(x.shape)}. Allowed: a 'flatten' in front of it"
            )
        check_size(layer, int(x.shape[-1]), where)
        before_call(layer, keras.KerasTensor((None, 1, *x.shape[1:]), x.dtype))
        if self._begins is None:
            self._begins = keras.Input(batch_shape=(None, None, None), dtype="float32", name="begins")
        wrapped = Recurrent(layer, name=f"recurrent_{len(self.sizes)}")
        wrapped.build([(None, int(x.shape[-1]))])
        wrapped.built = True
        first = len(self.sizes)
        states = [keras.Input((size,), name=f"state_{first + i}") for i, size in enumerate(wrapped.sizes)]
        output, *after = wrapped([x, *states, self._begins])
        self.sizes += wrapped.sizes
        self._states += states
        self.outputs += after
        return output


def state_sizes(model: keras.Model) -> tuple[int, ...]:
    """Numbers in each part of the state that a model of `functional` carries; `()`: it carries none."""
    noted = getattr(model, "kagent_state_sizes", None)
    return () if noted is None else noted()
