"""Keras's backend, which must be TensorFlow: said in one sentence where it is another, before anything else fails."""

from __future__ import annotations

import os

_ENGINES = ("jax", "torch", "openvino")  # which Keras imports where it is set to them


def check() -> None:
    """Refuses every backend of Keras but TensorFlow.

    Raises:
        ImportError: Keras has another backend than TensorFlow, or is set to one that is not installed.
    """
    chosen = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if chosen == "tensorflow":
        try:
            import keras
        except ModuleNotFoundError as error:
            if error.name not in _ENGINES:
                raise
            chosen = error.name
        else:
            chosen = keras.config.backend()
    if chosen != "tensorflow":
        raise ImportError(
            f"kagent's agents run on Keras's TensorFlow backend, and Keras is set to {chosen!r}: set the environment variable "
            'KERAS_BACKEND=tensorflow (or "backend" in ~/.keras/keras.json) before Keras is imported'
        )


check()
