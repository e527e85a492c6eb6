"""Probability distributions over actions, one per action leaf, and their product.

A distribution holds hyper-parameters only; its parameters are the outputs of a policy's heads, a list of
tensors `(B, width)` with the widths of `head_sizes`, cast to float32. Actions are **canonical**, of shape
`(B, *shape)`: what the memory stores. `to_env` turns them into what the environment takes (but for a discrete
leaf's `start`).

All methods run eagerly, in a graph and under XLA. Randomness comes from a `seed` alone, an integer tensor of
shape `(2,)`; the same seed gives the same draw, compiled or not.
"""

from kagent.distributions.bernoulli import Bernoulli
from kagent.distributions.beta import Beta
from kagent.distributions.categorical import Categorical
from kagent.distributions.deterministic import Deterministic, Direct
from kagent.distributions.distribution import Distribution
from kagent.distributions.gaussian import Gaussian, SquashedGaussian
from kagent.distributions.joint import Joint
from kagent.distributions.selection import Selection, for_leaf

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Deterministic",
    "Direct",
    "Distribution",
    "Gaussian",
    "Joint",
    "Selection",
    "SquashedGaussian",
    "for_leaf",
]
