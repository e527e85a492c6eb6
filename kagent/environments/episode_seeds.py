"""Seeds of the episodes of several environments, none of which depends on when episodes of other environments end."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_MODULUS, _FACTOR, _INCREMENT = 2**31, 1_103_515_245, 12_345


def draw_seed(generator: np.random.Generator) -> int:
    """A seed from 0 to 2**31 - 2."""
    return int(generator.integers(_MODULUS - 1))


def following_seed(seed: int) -> int:
    """The seed of the episode after one with `seed`, in the same environment: 2**31 different ones follow each other.

    >>> following_seed(0), following_seed(12_345)
    (12345, 1406932606)
    """
    return (seed * _FACTOR + _INCREMENT) % _MODULUS


class EpisodeSeeds:
    """Seeds of several environments: the first of each one is drawn, and each further one follows from the one before.

    `Environments.reset` takes it as `next_seed`. Environments that are divided between processes then get the seeds of all of
    them in one process, because none of them depends on the order in which the episodes of different environments end. An open
    episode's seed is part of its state, so that a resumed run goes on with the same seeds.

    Args:
        draw: Gives the first seed of an environment.

    Example:

    >>> seeds = EpisodeSeeds(iter([7, 8]).__next__)
    >>> seeds(), seeds(), seeds.following(7)
    (7, 8, 1282168116)
    """

    def __init__(self, draw: Callable[[], int]):
        self.draw = draw

    def __call__(self) -> int:
        return self.draw()

    def following(self, seed: int) -> int:
        """The seed after `seed` in the same environment."""
        return following_seed(seed)
