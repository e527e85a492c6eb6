"""The setting of noise that depends on the state, and what an actor needs for it."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any, TypeAlias

import keras

from kagent import networks
from kagent.config.checks import check_flag, check_positive
from kagent.config.registry import Part, Registry
from kagent.distributions.selection import Choice
from kagent.networks.layers import StateDependentDeviation, WeightOf

NOISES = Registry("state_dependent_noise")
_KINDS = ("gaussian", "squashed_gaussian")
_CLIP_MEAN = 2.0  # of squashed Gaussians, as in Stable-Baselines3
_LOG_STD = -3.0  # of the noise of each feature of squashed Gaussians at the start, as there
_LONGEST = 2**31 - 1


@NOISES.register("gsde", "sde")
@dataclasses.dataclass(frozen=True)
class StateDependentNoise(Part):
    """Generalized state-dependent exploration (Raffin et al. 2021, "Smooth Exploration for Robotic Reinforcement Learning",
    arXiv:2005.05719) in place of independent noise at each timestep.

    An action is `mean(s) + features(s) @ (E * deviation)`, where `features(s)` is what the policy's network ends in, and E a
    matrix of standard normal numbers. Each environment has its own E, which is drawn anew at the beginning of an episode and
    every `period` timesteps after it. In between, noise is a function of the state: the same state gives the same action.
    The deviations are learned. They may change while E stays; the noise then has the size that they say now.

    Losses, log-probabilities, entropies and divergences are those of an action at its own state, over all E: a normal distribution
    with the variance `features^2 @ deviation^2`.

    Deterministic actions, as in evaluation, have no noise. `agent.actor.act(observation, deterministic=False)` knows no episode and
    draws noise for that one action; `agent.act`, `agent.player()` and `kagent.acting.EpisodeStates` carry E through an episode.

    Args:
        period: Timesteps of an environment from one E to the next, or "episode": until the episode ends.
        full_std: Whether each number of an action has deviations of its own; else one for each feature.
        expln: Whether deviations grow linearly above 1, and not exponentially; see `kagent.ops.deviation`.
        learn_features: Whether the network learns by what the deviations depend on; "auto": for squashed Gaussians.
        clip_mean: Bound of the mean's absolute value, before tanh; "auto": 2 for squashed Gaussians, none for others; None: none.

    Raises:
        ValueError, TypeError: Arguments outside their range.

    Example:

    >>> agent = kagent.PPO("Pendulum-v1", state_dependent_noise={"period": 4, "full_std": False})
    >>> agent.state_dependent_noise.period
    4
    """

    period: int | str = "episode"
    full_std: bool = True
    expln: bool = False
    learn_features: bool | str = "auto"
    clip_mean: float | str | None = "auto"

    def __post_init__(self) -> None:
        number = isinstance(self.period, numbers.Integral) and not isinstance(self.period, bool)
        if self.period != "episode" and not (number and 1 <= int(self.period) <= _LONGEST):
            raise ValueError(
                f"`state_dependent_noise.period` must be timesteps, an integer from 1 to {_LONGEST}, or 'episode' (of presets "
                f"with `n_steps` also 'rollout'). Received: {self.period!r}"
            )
        object.__setattr__(self, "period", int(self.period) if number else "episode")
        check_flag(self.full_std, "state_dependent_noise.full_std")
        check_flag(self.expln, "state_dependent_noise.expln")
        if self.learn_features != "auto" or not isinstance(self.learn_features, str):
            check_flag(self.learn_features, "state_dependent_noise.learn_features")
        if isinstance(self.clip_mean, str) and self.clip_mean != "auto":
            raise ValueError(
                f"`state_dependent_noise.clip_mean` must be a number > 0, 'auto' or None. Received: {self.clip_mean!r}"
            )
        if not isinstance(self.clip_mean, str):
            check_positive(self.clip_mean, "state_dependent_noise.clip_mean")

    def bound(self, kind: str) -> float | None:
        """The bound of means of a kind of distribution; None: there is none."""
        if isinstance(self.clip_mean, str):
            return _CLIP_MEAN if kind == "squashed_gaussian" else None
        return self.clip_mean

    def check(self, name: str, choice: Choice) -> None:
        """Looks at an action that is to have it.

        Args:
            name: Of the action.
            choice: Its distribution.

        Raises:
            ValueError: It has no normal distribution, or a standard deviation that depends on something else.
        """
        if choice.kind not in _KINDS:
            raise ValueError(
                "`state_dependent_noise` needs Box actions with a distribution 'gaussian' or 'squashed_gaussian'. "
                f"Received: {name!r} with {choice.kind!r}. Allowed there: None"
            )
        if not isinstance(choice.plain, str):
            raise ValueError(
                f"`state_dependent_noise` says what standard deviations depend on: leave `stddev_mode` of {name!r} out. "
                f"Received: {choice.stddev_mode!r}"
            )

    def deviations(self, features: Any, size: int, kind: str, log_std: float, name: str) -> Any:
        """The head of log standard deviations `(N, size)` on features `(N, F)`."""
        learned = kind == "squashed_gaussian" if self.learn_features == "auto" else bool(self.learn_features)
        return StateDependentDeviation(size, log_std, self.full_std, self.expln, learned, name=name)(features)

    def decision(self, kind: str, features: int) -> tuple[str, dict[str, Any]]:
        """Name and options of the actor's decision in place of that of `kind`."""
        period = None if isinstance(self.period, str) else self.period
        options = {"features": features, "period": period, "full_std": self.full_std, "expln": self.expln}
        return f"state_dependent_{kind}", options


Noise: TypeAlias = "StateDependentNoise | int | str | dict[str, Any] | None"
"""What `get` takes."""


def log_std_before_tanh(given: float | None, noise: Noise) -> float:
    """The initial log standard deviation of squashed Gaussians: as given, else -3 where each feature has noise, else 0."""
    return (0.0 if noise is None else _LOG_STD) if given is None else given


def get(identifier: Any, rollout: int | None = None) -> StateDependentNoise | None:
    """The setting that an argument stands for.

    Args:
        identifier: None, which stays; a period; a dict of `StateDependentNoise`'s arguments; or an object.
        rollout: Timesteps of an environment that the period "rollout" stands for; None: it is not known.

    Raises:
        ValueError, TypeError: Anything else.
    """
    if identifier is None:
        return None
    number = isinstance(identifier, numbers.Number)
    if number or (isinstance(identifier, str) and not NOISES.knows(identifier)):
        identifier = {"period": identifier}
    if isinstance(identifier, dict):
        identifier = {"type": "StateDependentNoise", **identifier}
        if rollout is not None and identifier.get("period") == "rollout":
            identifier["period"] = rollout
    result: StateDependentNoise = NOISES.get(identifier, "state_dependent_noise")
    return result


def acting_model(model: keras.Model, names: list[str]) -> keras.Model:
    """What an actor computes of a policy's model: for each action the mean, the features, and what is learned for deviations.

    Args:
        model: With heads in pairs, mean and log standard deviation.
        names: Of the layers that gave the latter.
    """
    features, outputs = networks.features_of(model), []
    for mean, name in zip(model.outputs[::2], names, strict=True):
        outputs += [mean, features, WeightOf(model.get_layer(name), name=f"{name}_weight")(features)]
    return keras.Model(model.inputs, outputs, name=f"{model.name}_acting")
