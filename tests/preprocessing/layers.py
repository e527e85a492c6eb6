"""One layer, or several, on a few values."""

from __future__ import annotations

import gymnasium
import numpy as np

from kagent import preprocessing
from kagent.spaces import Structure

FREE = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)


def make(spec, space=FREE):
    """Preprocessing of observations of `space`."""
    return preprocessing.get(spec, Structure(space, "observation_space"))


def episode(made, values, learn=True, past=None, first=True):
    """What becomes of one environment's observations, one after the other, as lists; arrays with an axis in front."""
    past, found = made.begin(1) if past is None else past, []
    for step, value in enumerate(values):
        leaf = made.raw.leaves[0]
        x = np.asarray(value, leaf.stored_dtype)[None]
        (y,) = made.observation([x], past, slice(None), np.asarray([first and step == 0]), learn)
        assert y.shape == (1, *made.processed.leaves[0].shape)
        found.append(y[0].tolist())
    return found


def one(spec, value, space=FREE):
    """The first observation of an episode, processed, in stored form."""
    made = make(spec, space)
    (y,) = made.first([np.asarray(value, made.raw.leaves[0].stored_dtype)[None]])
    return y[0]
