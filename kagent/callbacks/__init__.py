"""Keras callbacks that know episodes and timesteps."""

import keras  # noqa: F401  (first: with Keras come kagent's agents, and they need what follows)

from kagent.callbacks.callback import Callback

__all__ = ["Callback"]
