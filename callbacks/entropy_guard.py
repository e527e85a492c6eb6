"""End a run whose policy has collapsed."""

from __future__ import annotations

import math
import warnings

import keras


class EntropyGuard(keras.callbacks.Callback):
    """Ends training, with a warning, when the policy has stopped exploring.

    A policy whose entropy is almost 0 always does the same: nothing new is tried, so nothing more is learned, and the
    time is better spent on another seed or a larger `entropy_coefficient`. For agents that log `entropy` (PPO, SAC).

    Args:
        minimum: Mean entropy per epoch, in nats, below which a policy counts as collapsed. log(n) is that of n
            equally likely choices. Of continuous actions it may be negative: choose it by what a good run shows.
        patience: Epochs in a row below `minimum` that are let pass.

    Example:

    >>> agent.fit("CartPole-v1", steps=50_000, callbacks=[EntropyGuard(minimum=0.01, patience=2)])
    """

    def __init__(self, minimum: float, patience: int = 0):
        super().__init__()
        self.minimum, self.patience = minimum, patience

    def on_train_begin(self, logs=None):
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        entropy = (logs or {}).get("entropy")
        if entropy is None:
            raise ValueError(f"EntropyGuard needs an agent that logs 'entropy'. Received: {sorted(logs or {})}")
        if math.isnan(entropy):
            return  # no update yet
        self.wait = self.wait + 1 if entropy < self.minimum else 0
        if self.wait > self.patience:
            warnings.warn(
                f"Epoch {epoch + 1}: the policy has collapsed, its entropy is {entropy:.4g}, below {self.minimum:.4g}; "
                "training ends",
                stacklevel=2,
            )
            self.model.stop_training = True
