"""From a Keras policy to the actor that computes its actions: NumPy where possible, else one `tf.function`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import networks, ops, schedules, spaces
from kagent.acting import Actor, Program, UnsupportedLayer, compile_model
from kagent.acting.noisy import LayerNoise
from kagent.policies.role import outputs
from kagent.policies.unrolled import acting_model, carried_sizes
from kagent.spaces import Structure

_FOR_TENSORFLOW = ("convolution", "pool")  # operations that agents leave to TensorFlow; NumPy serves them
# Multiplications in the convolutions of one observation for which NumPy takes less time than a call of TensorFlow.
_MOST_PRODUCTS = 1 << 24


class GraphForward:
    """A policy's heads through one `tf.function`, traced once per number of environments.

    For policies with convolutions, which TensorFlow computes faster where there are several cores or a GPU, and for those with
    layers that have no NumPy form, such as user layers.

    Args:
        policy: The policy.
        model: What is computed in place of its `acting_heads`: a model from leaves to outputs. None: nothing is.
    """

    def __init__(self, policy: Any, model: Any = None):
        self.policy = policy
        self._heads = policy.acting_heads if model is None else lambda leaves: outputs(model(leaves, training=False))
        self.retrace()

    def retrace(self) -> None:
        """Layers hold another state beside their variables: trace them again before the next use."""
        heads = self._heads
        self._call = tf.function(lambda leaves: heads(leaves), autograph=False)
        self._noisy_call = tf.function(self._with_noise, autograph=False)
        self._is_noisy = False

    def _with_noise(self, leaves: list[tf.Tensor]) -> list[tf.Tensor]:
        with networks.noise():
            heads: list[tf.Tensor] = self._heads(leaves)
            return heads

    @contextlib.contextmanager
    def noise(self) -> Iterator[None]:
        """Within it, noisy layers draw at every call, from the streams that they draw from in gradient steps."""
        self._is_noisy = True
        try:
            yield
        finally:
            self._is_noisy = False

    def __call__(self, leaves: list[np.ndarray]) -> list[np.ndarray]:
        call = self._noisy_call if self._is_noisy else self._call
        return [head.numpy() for head in call([tf.convert_to_tensor(leaf) for leaf in leaves])]

    def __repr__(self) -> str:
        return f"tf.function of {self.policy.name!r}"


class ConvolutionForward(GraphForward):
    """As `GraphForward`, but one observation alone goes through a program of NumPy: its convolutions take less time than a call of
    TensorFlow costs.

    Args:
        policy, model: As for `GraphForward`.
        program: The same heads. It reads the variables again when it has expired.
    """

    def __init__(self, policy: Any, model: Any, program: PolicyProgram):
        super().__init__(policy, model)
        self._program = program

    def __call__(self, leaves: list[np.ndarray]) -> list[np.ndarray]:
        if len(leaves[0]) == 1 and not self._is_noisy:
            return self._program.run(leaves)
        return super().__call__(leaves)


def _suits_numpy(program: Program) -> bool:
    # Pools of NumPy are slow. Where there is a GPU, the weights are on it.
    has_pools = any(node["op"] == "pool" for node in program.config["nodes"])
    return not has_pools and program.products <= _MOST_PRODUCTS and not tf.config.list_physical_devices("GPU")


class PolicyProgram(Program):
    """A program with copies of Keras variables' values, which it reads again when they have expired.

    Args:
        config: As for `Program`.
        variables: Of Keras, in the order of the weights.
        often: Whether they are read after each update: by one call of TensorFlow, which is traced at the first.
    """

    def __init__(self, config: dict[str, Any], variables: list[Any], often: bool = False):
        super().__init__(config)
        self.variables = variables
        pieces = lambda: ops.pieces([variable.value for variable in variables])  # noqa: E731
        self._pieces = tf.function(pieces, autograph=False) if often else None
        self.expire()

    def expire(self) -> None:
        """The variables have changed: read them before the next use."""
        self._expired = True
        self.version += 1

    def read(self) -> None:
        """Reads the variables now."""
        self._expired = False
        if self._pieces is None:
            values = [np.ravel(variable.numpy()) for variable in self.variables]
        else:
            values = [np.asarray(piece) for piece in self._pieces()]  # views; `numpy` copies
        super().set_weights(*values)

    def set_weights(self, *pieces: np.ndarray) -> None:
        self._expired = False
        super().set_weights(*pieces)

    def refresh(self, kernel: Any) -> None:
        self.refresh_weights()
        super().refresh(kernel)

    def refresh_weights(self) -> None:
        """Reads the variables if they have expired."""
        if self._expired:
            self.read()


class PolicyActor(Actor):
    """The actor of a policy in training: it holds copies of the policy's weights and is told when they change.

    Args:
        policy: A policy that has been set up.
        observation, action: The agent's spaces.
        preprocessed: Whether the observations it gets were processed; then it is saved with what was done to them.
        critic: A critic that has been set up, whose recurrent state it carries beside the policy's; or None.

    Attributes:
        variables: The Keras variables it holds copies of, in the order of `set_weights`; none where it acts through
            TensorFlow, which reads them itself, but for single observations of `ConvolutionForward`.
        unsupported: Why there is no NumPy form of it, with the name of the layer; None: there is one.
    """

    def __init__(
        self, policy: Any, observation: Structure, action: Structure, preprocessed: bool = False, critic: Any = None
    ):
        carried = carried_sizes(policy, critic)
        model = acting_model(policy, critic, observation) if carried else policy.acting_model()
        chosen = [policy.actor_decision(leaf) for leaf in action.leaves]
        self.variables: list[Any] = []
        self.unsupported: str | None = None
        forward: Any = None
        self.program: PolicyProgram | None
        program = None
        self._serving: PolicyProgram | None = None  # what is saved for others, where this actor does not use it itself
        try:
            config, variables = compile_model(model)
            if any(node["op"] in _FOR_TENSORFLOW for node in config["nodes"]):
                self._serving, through = PolicyProgram(config, variables, often=True), model if carried else None
                suited = _suits_numpy(self._serving)
                forward = (
                    ConvolutionForward(policy, through, self._serving) if suited else GraphForward(policy, through)
                )
            else:
                self.variables, program = variables, PolicyProgram(config, variables)
        except UnsupportedLayer as error:
            self.unsupported = str(error)
            forward = GraphForward(policy, model if carried else None)
        self.policy, self.preprocessed = policy, preprocessed
        self._noise = None if program is None else LayerNoise(program)
        trained = {id(variable) for variable in policy.trainable_variables}
        shares = [np.full(math.prod(v.shape), id(v) in trained, np.float32) for v in self.variables]
        self._trained = np.concatenate(shares) if shares else np.zeros(0, np.float32)
        described = spaces.to_config(observation.space), spaces.to_config(action.space)
        self._temperature = getattr(policy, "temperature", 1.0)
        super().__init__(
            forward,
            described[0],
            chosen,
            program=program,
            action=described[1],
            temperature=schedules.start_of(self._temperature),
            network_state=[(size,) for size in carried],
        )

    def kept_state(self) -> list[tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of each part of its state that memories keep for the policy's losses; none where these need none."""
        if not (self.policy.keeps_state or self._network_state):
            return []
        return [(part.shape[1:], part.dtype) for part in self.initial_state(1)]

    def set_time(self, clock: schedules.Clock) -> None:
        """Takes the temperature that the policy has at `clock`."""
        self.temperature = schedules.evaluate(self._temperature, clock)

    @contextlib.contextmanager
    def perturbed(self, deviation: float, rng: np.random.Generator) -> Iterator[None]:
        """Within it, the actor's weights have Gaussian noise; the policy's trainable variables are meant.

        A NumPy actor changes its copies alone. Through TensorFlow the variables themselves change meanwhile, and get
        back the very values they had.
        """
        if self.program is not None:
            self.program.refresh_weights()
            kept = self.program.weights.copy()
            noise = rng.standard_normal(kept.size, np.float32)
            self.program.set_weights(kept + np.float32(deviation) * noise * self._trained)
            try:
                yield
            finally:
                self.program.set_weights(kept)
            return
        variables = self.policy.trainable_variables
        values = [variable.numpy() for variable in variables]
        try:
            for variable, value in zip(variables, values):
                variable.assign(value + deviation * rng.standard_normal(value.shape).astype(value.dtype))
            self.expire()
            yield
        finally:
            for variable, value in zip(variables, values):
                variable.assign(value)
            self.expire()

    @contextlib.contextmanager
    def noisy(self, rng: np.random.Generator) -> Iterator[None]:
        """Within it, `networks.NoisyDense` layers have noise: drawn once from `rng`, or, through TensorFlow, at every call from
        their own streams.
        """
        if self.program is None or self._noise is None:
            graph: Any = self.forward
            with graph.noise():
                yield
            return
        self.program.refresh_weights()
        with self._noise.drawn(rng):
            yield

    def save(self, directory: str | Path, standardization: tuple[dict[str, Any], list[Any]] | None = None) -> None:
        if self.preprocessed and standardization is None:
            raise ValueError(
                "The actor of an agent with `preprocessing` cannot be saved: `kagent.acting` would give the policy what the "
                "environment gave. Allowed: agent.save, or agent.export(folder, format='numpy'), which save what normalization has learned"
            )
        program = self._serving or self.program
        if program is not None:
            program.read()  # weights may be newer than those that were acted with
        if program is self.program:
            super().save(directory, standardization)
            return
        self.served().save(directory, standardization)

    def served(self) -> Actor:
        """The actor that computes without TensorFlow: this one, or, where it `is_servable` alone, another one."""
        if self._serving is None:
            return self
        spaces_of = self._observation.config, self._action.config
        given = None, spaces_of[0], self.decisions, None, self._serving, spaces_of[1], self.temperature, None
        return Actor(*given, self._network_state)

    def served_weights(self) -> tuple[np.ndarray, int]:
        """Of the program of `served`: the present weights, float32 `(size,)`, and a number that changes where they may have changed."""
        program: Any = self.program
        if self._serving is not None:
            program = self._serving
            program.expire()  # this actor reads variables and knows no new weights
        program.refresh_weights()
        return program.weights, program.version

    @property
    def is_numpy(self) -> bool:
        """Whether it computes without TensorFlow."""
        return self.program is not None

    @property
    def is_servable(self) -> bool:
        """Whether it can be saved for `kagent.acting.load`, which computes without TensorFlow."""
        return self.program is not None or self._serving is not None

    def set_weights(self, *pieces: np.ndarray) -> None:
        """Copies new weights in: the variables' values, one behind the other, in one vector or several."""
        if self.program is not None:
            self.program.set_weights(*pieces)

    def refresh(self) -> None:
        """Reads the policy's weights again. Needed after assigning to its variables by hand."""
        if self.program is not None:
            self.program.read()
        else:
            self.expire()

    def retrace(self) -> None:
        """As `expire`, where layers hold another state beside their variables too."""
        self.expire()
        if isinstance(self.forward, GraphForward):
            self.forward.retrace()

    def expire(self) -> None:
        """As `refresh`, but at the next use."""
        program = self.program or self._serving
        if program is not None:
            program.expire()
