"""One forward pass for the two roles that share a network."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras


class OnePass:
    """Runs the network that a policy and its critic share: within `once`, for the same tensors once for both.

    Their gradients are the same as of two passes; layers that draw draw once, and moving statistics move once.

    Args:
        policy, critic: The functional models, of the same inputs.
    """

    def __init__(self, policy: keras.Model, critic: keras.Model):
        self._joint = keras.Model(policy.inputs, [*policy.outputs, *critic.outputs])
        count = len(policy.outputs)
        self._parts = {id(policy): slice(count), id(critic): slice(count, None)}
        self._local = threading.local()  # replicas of `tf.distribute` are traced by a thread each

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Within it no weight may change. Another `once` in it is the same."""
        if self._found is not None:
            yield
            return
        self._local.found = {}
        try:
            yield
        finally:
            self._local.found = None

    @property
    def _found(self) -> dict[tuple[Any, ...], tuple[Any, list[Any]]] | None:
        found: dict[tuple[Any, ...], tuple[Any, list[Any]]] | None = getattr(self._local, "found", None)
        return found

    def __call__(self, model: keras.Model, inputs: list[Any], training: bool) -> Any:
        """What one of the two models gives, a tensor or a list of tensors."""
        if self._found is None:
            return model(inputs, training=training)
        key = (training, *map(id, inputs))
        if key not in self._found:
            # With the inputs, whose places in memory are the key.
            self._found[key] = inputs, self._joint(inputs, training=training)
        return self._found[key][1][self._parts[id(model)]]


def once(role: Any) -> contextlib.AbstractContextManager[None]:
    """`OnePass.once` of a role that shares its network, else a context that changes nothing."""
    shared = getattr(role, "one_pass", None)
    return contextlib.nullcontext() if shared is None else shared.once()
