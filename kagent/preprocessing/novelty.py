"""Rewards for observations that are new."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent import schedules
from kagent.acting.actor import MASK_KEY
from kagent.preprocessing import layer
from kagent.preprocessing import novelty_equations as ops
from kagent.preprocessing.equations import merged_moments, running_return, standardize
from kagent.preprocessing.layer import LAYERS, Bound, Layer, Past, Rows
from kagent.schedules import Clock
from kagent.spaces import Leaf, Structure

_LARGEST = 16_384  # entries of an observation; a network of dense layers is not for more


@LAYERS.register("rnd")
@dataclasses.dataclass(frozen=True)
class RandomNetworkDistillation(Layer):
    """The reward, and beside it one for observations that are new: exploration by curiosity.

    A network learns to predict the features that a fixed random network has of the observation that an action leads to. Its
    error is large where it has seen few observations like that one (Burda et al. 2019, "Exploration by Random Network
    Distillation", arXiv:1810.12894):

        bonus = mean((predictor(o') - target(o'))^2) / sqrt(variance of G),   G = discount * G + error
        r' = r + coefficient * min(bonus, clip)

    where `o'` is the next observation, processed and standardised by running statistics to -5 to 5, and `G` the discounted sum of
    errors in each environment's episode. Each timestep of training is one step of Adam on the environments' new observations. Both
    networks are perceptrons in NumPy with ReLU, whose work is added to every timestep; they act in `fit`, `pretrain` and `observe`
    alone, are saved with the agent, and resume exactly. Returns of episodes, wherever they are reported, are of the
    environment's own rewards. A replay memory holds the bonus that a transition had when it came.

    It is a preprocessing of the reward and not an exploration, since it changes what is learned and no single action.

    Args:
        coefficient: Weight of the bonus, >= 0. May be a schedule of timesteps, episodes, updates or progress.
        units: Sizes of the hidden layers of both networks.
        features: Of the random network, >= 1.
        learning_rate: Of the predictor, > 0.
        discount: Weight in `G` of an error one timestep earlier, from 0 to 1.
        clip: Bound of the bonus, > 0.
        seed: Of both networks' first weights, >= 0. None: one derived from the agent's seed.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, a state in place of the reward, or observations
            of more than 16,384 numbers.

    Example:

    >>> curious = {"reward": {"type": "rnd", "coefficient": 0.1}}
    >>> agent = kagent.PPO("MountainCar-v0", preprocessing=curious)
    """

    coefficient: Any = 1.0
    units: Any = (64,)
    features: int = 32
    learning_rate: float = 1e-3
    discount: float = 0.99
    clip: float = 5.0
    seed: int | None = None

    def __post_init__(self) -> None:
        name = "random_network_distillation"
        if schedules.is_schedule(self.coefficient):
            coefficient = schedules.get(self.coefficient, f"{name}.coefficient", 0.0)
        else:
            coefficient = layer.number(self.coefficient, f"{name}.coefficient", 0.0)
        object.__setattr__(self, "coefficient", coefficient)
        given = self.units if isinstance(self.units, list | tuple) else (self.units,)
        units = tuple(layer.integer(size, f"{name}.units", 1) for size in given)
        if not len(units) <= 8 or max(units, default=1) > 4096:
            raise ValueError(f"`{name}.units` must be at most 8 layers of at most 4096 units. Received: {self.units!r}")
        object.__setattr__(self, "units", units)
        features = layer.integer(self.features, f"{name}.features", 1)
        if features > 4096:
            raise ValueError(f"`{name}.features` must be at most 4096. Received: {features}")
        object.__setattr__(self, "features", features)
        rate = layer.number(self.learning_rate, f"{name}.learning_rate", 0.0, above=True)
        object.__setattr__(self, "learning_rate", rate)
        object.__setattr__(self, "discount", layer.number(self.discount, f"{name}.discount", 0.0, 1.0))
        object.__setattr__(self, "clip", layer.number(self.clip, f"{name}.clip", 0.0, above=True))
        if self.seed is not None:
            object.__setattr__(self, "seed", layer.integer(self.seed, f"{name}.seed", 0))

    def bind(self, space: gymnasium.Space) -> Bound:
        raise ValueError("belongs to the reward: write it as `preprocessing={'reward': ...}`")

    def bind_reward(self, space: gymnasium.Space, observation: Structure) -> Bound:
        size = sum(_width(leaf) for _, leaf in _watched(observation.leaves))
        if size > _LARGEST:
            raise ValueError(
                f"needs observations of at most {_LARGEST:,} numbers. Received: {size:,}; make images smaller by the layer `image`"
            )
        return Novelty(self, observation.leaves)


class Novelty(Bound):
    """`RandomNetworkDistillation`, bound.

    Args:
        part: The layer.
        leaves: Of processed observations.
    """

    def __init__(self, part: RandomNetworkDistillation, leaves: Sequence[Leaf]):
        super().__init__(layer.box(-math.inf, math.inf, ()))
        self.part, self._watched = part, _watched(leaves)
        self.remembers = {"return": ((), np.dtype(np.float64))}
        inputs = sum(_width(leaf) for _, leaf in self._watched)
        sizes = (inputs, *part.units, part.features)
        self._shapes = list(itertools.pairwise(sizes))
        target, predictor = self._networks(part.seed or 0)
        self.statistics = {
            "weight": np.zeros(()),
            "mean": np.zeros(inputs),
            "variance": np.ones(inputs),
            "return_weight": np.zeros(()),
            "return_mean": np.zeros(()),
            "return_variance": np.ones(()),
            "target": target,
            "predictor": predictor,
            "first_moment": np.zeros_like(predictor),
            "second_moment": np.zeros_like(predictor),
            "steps": np.zeros((), np.int64),
        }

    def start(self, clock: Callable[[], Clock]) -> None:
        super().start(clock)
        if self.part.seed is None:
            target, predictor = self._networks(clock().seed)
            self.statistics |= {"target": target, "predictor": predictor}

    def __call__(self, x: np.ndarray, past: Past, rows: Rows, fresh: np.ndarray, learn: bool) -> np.ndarray:
        return x  # what the action led to is not known: there is nothing to call new

    def reward(
        self,
        x: np.ndarray,
        past: Past,
        rows: Rows,
        fresh: np.ndarray,
        learn: bool,
        successor: Sequence[np.ndarray] | None,
    ) -> np.ndarray:
        if successor is None or not len(x):
            return x
        seen = self._flat(successor)
        known = self.statistics
        moments = known["weight"], known["mean"], known["variance"]
        if learn:
            moments = self._merged("", seen)
        inputs = np.clip(standardize(seen, moments[1], moments[2], epsilon=1e-8), -5.0, 5.0)
        target = ops.features(inputs, self._layers(known["target"]))[-1]
        weights = self._layers(known["predictor"])
        found = ops.features(inputs, weights)
        error = ops.distillation_error(found[-1], target)
        sums = running_return(past["return"][rows], error, self.part.discount, fresh)
        past["return"][rows] = sums
        returns = known["return_weight"], known["return_mean"], known["return_variance"]
        if learn:
            returns = self._merged("return_", sums)
            names = ("weight", "mean", "variance", "return_weight", "return_mean", "return_variance")
            moved = self._stepped(ops.distillation_gradients(found, target, weights))
            self.statistics = {**known, **dict(zip(names, map(np.asarray, (*moments, *returns)))), **moved}
        bonus = np.minimum(standardize(error, 0.0, returns[2], epsilon=1e-8), self.part.clip)
        result: np.ndarray = x + schedules.evaluate(self.part.coefficient, self.clock()) * bonus
        return result

    def _flat(self, leaves: Sequence[np.ndarray]) -> np.ndarray:
        parts = []
        for index, leaf in self._watched:
            x = leaves[index]
            flat = x.reshape(len(x), -1)
            if leaf.type == "int":  # each value has an entry of its own
                assert leaf.nvec is not None
                columns = zip(leaf.nvec.ravel(), flat.T)
                flat = np.concatenate([np.equal.outer(column, np.arange(n)) for n, column in columns], axis=1)
            parts.append(flat.astype(np.float64))
        return np.concatenate(parts, axis=1)

    def _merged(self, which: str, x: np.ndarray) -> tuple[Any, Any, Any]:
        before = (self.statistics[which + name] for name in ("weight", "mean", "variance"))
        weight, mean, variance = before
        return merged_moments(float(weight), mean, variance, float(len(x)), x.mean(axis=0), x.var(axis=0))

    def _stepped(self, gradients: ops.Weights) -> dict[str, np.ndarray]:
        known, count = self.statistics, int(self.statistics["steps"]) + 1
        flat = np.concatenate([part.ravel() for pair in gradients for part in pair])
        first, second, step = ops.adam_step(
            known["first_moment"], known["second_moment"], flat, count, self.part.learning_rate
        )
        moved = known["predictor"] + step
        return {
            "predictor": moved,
            "first_moment": first,
            "second_moment": second,
            "steps": np.asarray(count, np.int64),
        }

    def _networks(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        return self._drawn(generator), self._drawn(generator)

    def _drawn(self, generator: np.random.Generator) -> np.ndarray:
        # He et al. 2015: activations keep their scale through ReLU.
        parts = []
        for inputs, outputs in self._shapes:
            parts += [generator.normal(0.0, math.sqrt(2.0 / inputs), inputs * outputs), np.zeros(outputs)]
        return np.concatenate(parts)

    def _layers(self, flat: np.ndarray) -> ops.Weights:
        layers, start = [], 0
        for inputs, outputs in self._shapes:
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            layers.append((flat[start:middle].reshape(inputs, outputs), flat[middle:end]))
            start = end
        return layers


def _watched(leaves: Sequence[Leaf]) -> list[tuple[int, Leaf]]:
    """The leaves that say where the environment is, with their indices: masks only say what is allowed there."""
    return [(index, leaf) for index, leaf in enumerate(leaves) if leaf.path[:1] != (MASK_KEY,) or len(leaves) == 1]


def _width(leaf: Leaf) -> int:
    return leaf.num_values if leaf.type == "int" else leaf.size
