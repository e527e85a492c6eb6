"""Keras callbacks that know episodes and timesteps."""

from kagent.callbacks.callback import Callback

__all__ = ["Callback"]
