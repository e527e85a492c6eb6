"""The random numbers of an agent: one stream for each purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent.environments.episode_seeds import draw_seed

PURPOSES = (
    "initialize",
    "act",
    "reset",
    "sample",
    "graph",
    "evaluate",
    "pretrain",
)  # add at the end: they are numbered


class RandomStreams:
    """One counter-based generator for each purpose: to act more never changes what is sampled or initialized.

    Args:
        seed: Of all of them, an integer >= 0.

    Attributes:
        generators: By purpose, see `PURPOSES`.
        sample_seed: Of the memory's elements: element n is a function of the seed and n.
        graph_seed: Of random operations in the learner's program, a constant of that program.
        evaluation_seed: Of evaluations that are given none.
    """

    def __init__(self, seed: int):
        self.generators = {
            purpose: np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, number])))
            for number, purpose in enumerate(PURPOSES)
        }
        self.sample_seed = int(self.generators["sample"].integers(2**62))
        self.graph_seed = int(self.generators["graph"].integers(2**31))
        self.evaluation_seed = int(self.generators["evaluate"].integers(2**31))

    def __getitem__(self, purpose: str) -> np.random.Generator:
        return self.generators[purpose]

    def next_seed(self) -> int:
        """Seed of the next episode."""
        return draw_seed(self.generators["reset"])

    def step_seed(self, updates: Any) -> tf.Tensor:
        """Seed `(2,)` for `tf.random.stateless_*` in the gradient step after `updates` others."""
        number = tf.math.floormod(tf.cast(updates, tf.float64), 2.0**31)
        return tf.stack([tf.constant(self.graph_seed, tf.int32), tf.cast(number, tf.int32)])

    def state(self) -> dict[str, dict[str, Any]]:
        """What `restore` takes: `seeds` and `streams`, by name."""
        return {
            "seeds": {"sample": self.sample_seed, "graph": self.graph_seed, "evaluation": self.evaluation_seed},
            "streams": {purpose: generator.bit_generator.state for purpose, generator in self.generators.items()},
        }

    def restore(self, seeds: Mapping[str, int], streams: Mapping[str, Any]) -> None:
        """Takes a state that `state` gave. A stream that is not in it stays as it is."""
        self.sample_seed, self.graph_seed, self.evaluation_seed = (
            seeds[name] for name in ("sample", "graph", "evaluation")
        )
        for purpose, state in streams.items():
            self.generators[purpose].bit_generator.state = state


def seed_from(seed: Any) -> int:
    """The seed of an agent: `seed`, or one from Keras's global generator, which `keras.utils.set_random_seed` sets.

    Raises:
        ValueError: Neither None nor an integer from 0 to 2**63 - 1.
    """
    if seed is None:
        return int(keras.random.randint((), 0, 2**31 - 1))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise ValueError(f"`seed` must be None or an integer from 0 to 2**63 - 1. Received: {seed!r}")
    return int(seed)
