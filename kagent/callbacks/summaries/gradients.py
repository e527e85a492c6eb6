"""What an update would see and do: gradients and activations on its minibatch, computed for themselves."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.learning.learner import Minibatches
from kagent.objectives.objective import Objective

Arrays = dict[str, np.ndarray]


class Probe:
    """Gradients of an agent's losses and outputs of its policy's layers, on the first minibatch of the coming update.

    Nothing of the agent changes by it, nor what it draws.

    Args:
        agent: The agent. Of one whose objective has no `terms`, there are no gradients.
    """

    def __init__(self, agent: Any):
        self.agent = agent
        self._has_terms = type(agent.objective).terms is not Objective.terms
        named = {
            layer.name: layer.output
            for layer in agent.policy.model.layers
            if not isinstance(layer, keras.layers.InputLayer) and keras.backend.is_keras_tensor(layer.output)
        }
        self._outputs = keras.Model(agent.policy.model.inputs, named) if named else None
        self._compute = tf.function(self._traced, autograph=False)

    def read(self, gradients: bool = True, activations: bool = True) -> tuple[Arrays, Arrays]:
        """Gradients by their variables' paths, and outputs `(B, ...)` by their layers' names."""
        agent = self.agent
        element, clock = next(agent._update_cycle.elements(agent)), tf.constant(agent._clock.times(), tf.float64)
        found = self._compute(element, clock, gradients and self._has_terms, activations)
        return tuple({name: value.numpy() for name, value in part.items()} for part in found)  # type: ignore[return-value]

    def _traced(self, element: Any, clock: Any, gradients: bool, activations: bool) -> Any:
        agent = self.agent
        agent._clock.enter(agent._clock.of_times(clock))
        try:
            with keras.StatelessScope():  # states of layers stay as they are
                batch = Minibatches(
                    agent, element, lambda batch: agent.reward_estimation.completed(batch, agent.clock)
                )[0]
                outputs: Any = {}
                if activations and self._outputs is not None:
                    outputs = self._outputs(agent.policy.leaves(batch["observation"]))
                return self._slopes(batch) if gradients else {}, outputs
        finally:
            agent._clock.leave()

    def _slopes(self, batch: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        values: dict[str, dict[str, Any]] = {}
        for term in self.agent.objective.terms(self.agent.learning_context, batch):
            variables = getattr(self.agent, term.role).trainable_variables
            with tf.GradientTape() as tape:
                loss, values[term.role] = term.evaluate(term.batch, dict(values))
            slopes = tape.gradient(loss, [variable.value for variable in variables])
            found |= {v.path: tf.convert_to_tensor(s) for v, s in zip(variables, slopes) if s is not None}
        return found
