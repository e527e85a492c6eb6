"""Heads: what a model predicts from features, and what that says of an action. On symbolic tensors.

Each `predict` makes layers of its own, and returns predictions by name: "results" is the best action.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from kagent.config.checks import check_count, check_flag, check_positive
from kagent.distributions import Categorical, Gaussian
from kagent.estimators.log_prob import LogProb
from kagent.networks.layers import Dueling
from kagent.ops import naf
from kagent.ops.dueling import AGGREGATORS
from kagent.schedules.schedule import check_number

Torso = Callable[[], Any]  # gives features `(N, width)`
_LEAST_SCALE = math.exp(-20.0)
_SMALL = 3e-3  # Lillicrap et al. 2016, arXiv:1509.02971, section 7


@dataclasses.dataclass(frozen=True)
class Values:
    """Values of discrete actions: `q` and the advantages `a`, `(N, num_actions)`, and unless `dueling` is None `v` `(N,)`.

    Args:
        num_actions: How many actions there are.
        dueling: How values of the state and advantages are joined (Wang et al. 2016, arXiv:1511.06581): see
            `kagent.ops.dueling`; True: values are the advantages, and the state's stands beside them; None: there is none.

    Raises:
        ValueError: An argument outside its range.
    """

    num_actions: int
    dueling: str | bool | None = None

    def __post_init__(self) -> None:
        check_count(self.num_actions, "num_actions")
        if self.dueling is not None and self.dueling is not True and self.dueling not in AGGREGATORS:
            raise ValueError(f"`dueling` must be one of {AGGREGATORS}, True or None. Received: {self.dueling!r}")

    def predict(self, torso: Torso) -> dict[str, Any]:
        """Predictions, and `results` `(N,)` int32."""
        features = torso()
        advantage = layers.Dense(self.num_actions, name="a")(features)
        found = {"a": advantage, "q": advantage}
        if self.dueling is not None:
            value = layers.Dense(1, name="v")(features)
            found["v"] = ops.squeeze(value, -1)
            if self.dueling is not True:
                found["q"] = Dueling([self.num_actions], str(self.dueling), name="q")([value, advantage])
        return {"results": _best(found["q"]), **found}

    def value(self, action: Any, predictions: dict[str, Any]) -> Any:
        """Value `(N,)` of actions `(N,)`."""
        action = ops.reshape(ops.cast(action, "int32"), (-1, 1))
        return ops.squeeze(ops.take_along_axis(predictions["q"], action, axis=1), -1)


@dataclasses.dataclass(frozen=True)
class NormalizedAdvantage:
    """The best action `results` `(N, num_actions)`, its value `v` `(N,)`, and how the value falls around it, the triangular
    `lower` `(N, num_actions, num_actions)`: see `kagent.ops.naf`.

    Args:
        num_actions: Components of an action.
        action_bound: The best action is `action_bound * tanh(head)`; None: the head.
        shared_torso: Whether the three see one torso's features; False: each has one of its own.

    Raises:
        ValueError, TypeError: An argument outside its range.
    """

    num_actions: int
    action_bound: float | None = None
    shared_torso: bool = True

    def __post_init__(self) -> None:
        check_count(self.num_actions, "num_actions")
        check_positive(self.action_bound, "action_bound")
        check_flag(self.shared_torso, "shared_torso")

    def predict(self, torso: Torso) -> dict[str, Any]:
        """Predictions."""
        shared = torso() if self.shared_torso else None
        below = (lambda: shared) if self.shared_torso else torso
        small = keras.initializers.RandomUniform(-_SMALL, _SMALL)  # tanh is to begin where it is steep
        activation = None if self.action_bound is None else "tanh"
        mean = layers.Dense(self.num_actions, activation=activation, kernel_initializer=small, name="mu")(below())
        if self.action_bound is not None:
            mean = layers.Rescaling(float(self.action_bound), name="mu_bound")(mean)
        entries = layers.Dense(self.num_actions * (self.num_actions + 1) // 2, name="l")(below())
        value = ops.squeeze(layers.Dense(1, name="v")(below()), -1)
        return {"results": mean, "v": value, "lower": naf.lower_triangular(entries, self.num_actions)}

    def value(self, action: Any, predictions: dict[str, Any]) -> Any:
        """Value `(N,)` of actions `(N, num_actions)`."""
        action = ops.reshape(action, (-1, self.num_actions))
        return naf.naf_value(action, predictions["results"], predictions["lower"], predictions["v"])


@dataclasses.dataclass(frozen=True)
class Logits:
    """A distribution over discrete actions, of `logits` `(N, num_actions)`.

    Args:
        num_actions: How many actions there are.

    Raises:
        ValueError: No integer >= 1.
    """

    num_actions: int

    def __post_init__(self) -> None:
        check_count(self.num_actions, "num_actions")

    def predict(self, torso: Torso) -> dict[str, Any]:
        """Predictions, and `results` `(N,)` int32."""
        logits = layers.Dense(self.num_actions, name="logits")(torso())
        return {"results": _best(logits), "logits": logits}

    def log_prob(self, action: Any, predictions: dict[str, Any]) -> Any:
        """Logarithm of the probability of actions `(N,)`, `(N,)`."""
        return LogProb(Categorical([self.num_actions], shape=()))([predictions["logits"], action])


@dataclasses.dataclass(frozen=True)
class Normal:
    """Independent normal distributions of means `loc` and standard deviations `scale`, `(N, num_actions)`.

    Args:
        num_actions: Components of an action.
        log_std: Logarithm of `scale` at the start, about.

    Raises:
        ValueError, TypeError: An argument outside its range.
    """

    num_actions: int
    log_std: float = 0.0

    def __post_init__(self) -> None:
        check_count(self.num_actions, "num_actions")
        check_number(self.log_std, "log_std")

    def predict(self, torso: Torso) -> dict[str, Any]:
        """Predictions, and `results`, which is `loc`."""
        features, start = torso(), keras.initializers.Constant(self.log_std)
        loc = layers.Dense(self.num_actions, name="loc")(features)
        scale = layers.Dense(self.num_actions, activation="exponential", bias_initializer=start, name="scale")(features)
        return {"results": loc, "loc": loc, "scale": scale}

    def log_prob(self, action: Any, predictions: dict[str, Any]) -> Any:
        """Logarithm of the density of actions `(N, num_actions)`, `(N,)`."""
        parameters = [predictions["loc"], log_scale(predictions["scale"])]
        return LogProb(Gaussian((self.num_actions,)))([*parameters, action])


def log_scale(scale: Any) -> Any:
    """Logarithm of standard deviations, of at least exp(-20): an exponential may be 0 in float32."""
    return ops.log(ops.maximum(scale, _LEAST_SCALE))


def _best(scores: Any) -> Any:
    return ops.cast(ops.argmax(scores, axis=-1), "int32")
