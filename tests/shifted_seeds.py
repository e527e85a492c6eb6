"""`pytest --seed-shift N`: tests marked `sensitive` run with other seeds, to see that no bound of theirs holds by luck.

N is added to the seeds that count, whoever gives them: of agents (streams, so environments and networks too),
`kagent.estimators`, `keras.utils.set_random_seed`, and the NumPy generators that test modules make. What was given stays on
show (`agent.seed`, configs, files), so equal seeds stay equal. A test that gives a seed to anything else adds the fixture
`seed_shift`.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest


def shift(patch: pytest.MonkeyPatch, number: int) -> None:
    """Adds `number` to all seeds until `patch` is undone."""
    import keras
    import numpy as np

    from kagent.estimators.agent import Agent as Estimator
    from kagent.training.random_streams import RandomStreams

    make_streams, make_estimator = RandomStreams.__init__, Estimator.__init__

    def streams(made: RandomStreams, seed: int) -> None:
        make_streams(made, seed + number)

    def estimator(self: Any, *args: Any, **arguments: Any) -> None:
        make_estimator(self, *args, **arguments)
        self._seed += number

    patch.setattr(RandomStreams, "__init__", streams)
    patch.setattr(Estimator, "__init__", estimator)
    patch.setattr(keras.utils, "set_random_seed", _added(keras.utils.set_random_seed, number))
    for name in ("default_rng", "Philox"):
        patch.setattr(np.random, name, _added(getattr(np.random, name), number, of_tests=True))


def _added(make: Any, number: int, of_tests: bool = False) -> Any:
    def made(*args: Any, **arguments: Any) -> Any:
        ours = not of_tests or sys._getframe(1).f_globals["__name__"].rpartition(".")[2].startswith("test_")
        first = args[:1]
        if ours and first and isinstance(first[0], int):
            args = (first[0] + number, *args[1:])
        return make(*args, **arguments)

    return made
