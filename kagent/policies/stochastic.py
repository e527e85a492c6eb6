"""Policies that act by sampling from a distribution."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kagent import distributions, networks, schedules
from kagent.acting import Decision
from kagent.acting import distributions as decisions
from kagent.config.registry import plain
from kagent.distributions.selection import BARE
from kagent.networks.backbones import Auto, Seeds
from kagent.networks.layers import Bound, StateIndependent
from kagent.policies import state_dependent_noise as noises
from kagent.policies.role import ROLES, Role, head, observed_masks
from kagent.spaces import Leaf, Structure

_LOG_STD_RANGE = (-20.0, 2.0)


@ROLES.register("stochastic", "parametrized_distributions")
@keras.saving.register_keras_serializable("kagent")
class StochasticPolicy(Role):
    """An independent distribution per action leaf, on shared features.

    Actions of type "bool" (`MultiBinary`, or a specification that says so) are Bernoulli, other discrete leaves
    categorical, Boxes Gaussian, unless `distribution` says otherwise:

    - `"categorical"`: a logit per value.
    - `"bernoulli"`: one logit per component of two values, as those of `MultiBinary`; 1 has the probability
      `sigmoid(logit)`.
    - `"gaussian"`: a normal distribution, clipped to the bounds by the environment's side only. Its standard deviation is
      learned; it does not depend on the state (`stddev_mode="global"`), or is a head of its own (`"predicted"`).
      `bounded_transform="tanh"` is the next one.
    - `"squashed_gaussian"`: tanh of a normal distribution, for finite bounds (Haarnoja et al. 2018, arXiv:1812.05905),
      with a standard deviation that is predicted unless `stddev_mode="global"`. Its entropy has no closed form and is
      estimated from a draw.
    - `"beta"`: a Beta distribution with one peak, for finite bounds (Chou et al. 2017, ICML). Deterministic actions are
      its mode, not its mean.

    Log-probabilities and entropies of an action are sums over its leaves.

    Args:
        network: As for every role.
        distribution: `"default"`; a name, for the leaves it fits; a dict `{"type": name, **options}`; or a dict of these by
            the names of actions (an action that is not nested is named "action"), or by "bool", "int" and "float" for all
            of a type. `"auto"`, which files of older versions say, is categorical for "bool" too.
        use_beta_distribution: Whether Boxes of floats with finite bounds, of which `distribution` says nothing, have Beta
            distributions.
        log_std: Initial log standard deviation of Gaussian leaves (before tanh). Other actions take none.
        log_std_range: Bounds of predicted log standard deviations. Other deviations have none.
        temperature: How far sampled actions spread, >= 0: 1 as the distributions say; logits are divided by it, standard
            deviations multiplied, and the density of a Beta distribution is taken to the power of its inverse. 0 takes
            the most likely action, as acting deterministically does. May be a schedule. It is for acting alone:
            log-probabilities and entropies that are learned from remain those at temperature 1. (The weight of
            entropy in soft objectives, `kagent.Agent(temperature=...)`, is another thing.)
        head_gain: Scale of the initial (orthogonal) head weights; small: nearly uniform choices at the start. "auto":
            0.01, but as "fan_in" for leaves with a squashed Gaussian whose standard deviation is predicted, as usual in
            soft actor-critic. "fan_in": weights and biases are uniform within 1/sqrt(features) instead, so that the first
            actions differ from 0 and from state to state.
        state_dependent_noise: Noise of Gaussian leaves, squashed or not, that depends on the state and stays for some
            timesteps: a `kagent.policies.StateDependentNoise`, a dict of its arguments, or its period, in timesteps or
            "episode". `log_std` is then that of each feature's noise at the start, to which `log_std_range` is no bound.
            All actions must be Boxes. None: independent noise at each timestep.

    Raises:
        ValueError, TypeError: Arguments outside their range; at the agent's making, a distribution that does not fit, or that
            `state_dependent_noise` is not for; a `log_std` or `log_std_range` that no action has a use for.

    Example:

    >>> policy = StochasticPolicy(distribution={"steer": "beta", "gears": {"type": "gaussian", "stddev_mode": "predicted"}})
    """

    default_network = Auto(units=(64, 64), activation="tanh", initialization="orthogonal")

    def __init__(
        self,
        network: Any = "auto",
        distribution: Any = "default",
        use_beta_distribution: bool = False,
        log_std: float = 0.0,
        log_std_range: tuple[float, float] = _LOG_STD_RANGE,
        temperature: Any = 1.0,
        head_gain: float | str = "auto",
        state_dependent_noise: Any = None,
        **kwargs: Any,
    ):
        if not isinstance(use_beta_distribution, bool):
            raise TypeError(
                f"`policy.use_beta_distribution` must be True or False. Received: {use_beta_distribution!r}"
            )
        super().__init__(network, **kwargs)
        self.selection = distributions.Selection(distribution, use_beta_distribution)
        self.temperature = schedules.get(temperature, "policy.temperature", 0.0)
        self.log_std = _finite(log_std, "log_std")
        self.head_gain = _gain(head_gain)
        self.log_std_range = _range(log_std_range)
        self.state_dependent_noise = noises.get(state_dependent_noise)

    @property
    def distribution(self) -> Any:
        """What `distribution` says, JSON-ready: a name, or a dict."""
        return self.selection.plain

    def get_part(self) -> dict[str, Any]:
        return {
            **super().get_part(),
            "distribution": self.distribution,
            "use_beta_distribution": self.selection.use_beta_distribution,
            "log_std": self.log_std,
            "log_std_range": list(self.log_std_range),
            "temperature": plain(self.temperature),
            "head_gain": self.head_gain,
            "state_dependent_noise": plain(self.state_dependent_noise),
        }

    def decision(self, leaf: Leaf) -> str:
        """Name of the distribution of an action leaf."""
        return self.selection.of(leaf).kind

    def actor_decision(self, leaf: Leaf) -> Decision:
        if self.state_dependent_noise is None:
            return super().actor_decision(leaf)
        features = int(networks.features_of(self.model).shape[-1])
        kind, options = self.state_dependent_noise.decision(self.decision(leaf), features)
        return decisions.make(kind, leaf, **options)

    def acting_model(self) -> Any:
        return self.model if self.state_dependent_noise is None else self._acting()

    def make(self, observation: Structure, action: Structure, seeds: Seeds, skip: tuple[int, ...]) -> None:
        self.selection.check(action)
        if self.state_dependent_noise is not None:
            for leaf in action.leaves:
                self.state_dependent_noise.check(leaf.name or BARE, self.selection.of(leaf))
        self._check_deviations(action)
        self.joint = distributions.Joint([distributions.for_leaf(leaf, self.decision(leaf)) for leaf in action.leaves])

        def heads(features: Any) -> list[Any]:
            leaves = enumerate(action.leaves)
            return [head for i, leaf in leaves for head in self._heads(features, i, leaf, seeds)]

        self.model = networks.functional(self.network, observation, heads, seeds, self.name, skip, recurrent=True)
        self.state_sizes = networks.state_sizes(self.model)
        if self.state_dependent_noise is not None and self.state_sizes:
            raise ValueError(
                "`state_dependent_noise` needs a network without recurrent layers. "
                f"Received: {self.state_dependent_noise} with a recurrent network. Allowed there: None"
            )
        if self.state_dependent_noise is not None:
            acting = noises.acting_model(self.model, [f"log_std_{i}" for i in range(len(action.leaves))])
            self._acting = lambda: acting  # a function, through which Keras does not look for layers

    def _check_deviations(self, action: Structure) -> None:
        choices = {leaf.name or BARE: self.selection.of(leaf) for leaf in action.leaves}
        kinds = ", ".join(f"{name!r} {choice.kind!r}" for name, choice in choices.items())
        modes = {choice.stddev_mode for choice in choices.values()}
        if self.log_std != 0.0 and modes == {None}:
            raise ValueError(
                "`log_std` is the initial log standard deviation of actions with a distribution 'gaussian' or "
                f"'squashed_gaussian', and there are none: {kinds}. Received: log_std={self.log_std}. Leave it out"
            )
        if self.log_std_range != _LOG_STD_RANGE and (
            "predicted" not in modes or self.state_dependent_noise is not None
        ):
            raise ValueError(
                "`log_std_range` bounds standard deviations that a network predicts (stddev_mode='predicted' without "
                f"`state_dependent_noise`), and there are none: {kinds}. Received: log_std_range={self.log_std_range}. "
                "Leave it out"
            )

    def _heads(self, features: Any, i: int, leaf: Leaf, seeds: Seeds) -> list[Any]:
        choice = self.selection.of(leaf)
        predicted, squashed = choice.stddev_mode == "predicted", choice.kind == "squashed_gaussian"
        noise = self.state_dependent_noise
        soft = predicted and squashed and self.head_gain == "auto"
        initialization = "fan_in" if soft or self.head_gain == "fan_in" else "orthogonal"
        gain = 0.01 if isinstance(self.head_gain, str) else float(self.head_gain)

        def made(width: int, name: str) -> Any:
            return head(features, width, None, f"{name}_{i}", initialization, gain, seeds)

        if choice.kind == "categorical":
            return [made(leaf.num_values, "logits")]
        if choice.kind == "bernoulli":
            return [made(leaf.size, "logits")]
        if choice.kind == "beta":
            return [made(leaf.size, "alpha"), made(leaf.size, "beta")]
        mean = made(leaf.size, "mean")
        if noise is not None:
            bound = noise.bound(choice.kind)
            mean = mean if bound is None else Bound(-bound, bound, name=f"mean_bound_{i}")(mean)
            return [mean, noise.deviations(features, leaf.size, choice.kind, self.log_std, f"log_std_{i}")]
        if not predicted:
            return [mean, StateIndependent(leaf.size, self.log_std, name=f"log_std_{i}")(features)]
        log_std = made(leaf.size, "log_std")
        if self.log_std != 0.0:
            log_std = keras.layers.Rescaling(1.0, self.log_std, name=f"log_std_start_{i}")(log_std)
        return [mean, Bound(*self.log_std_range, name=f"log_std_bound_{i}")(log_std)]

    def parameters_of(self, observation: Any, mask: list[Any] | None = None, training: bool = False) -> list[tf.Tensor]:
        """The distributions' parameters for a batch: a flat list of heads, float32, masks applied."""
        heads = self.heads(observation, training)
        return heads if mask is None else self.joint.mask(heads, mask)

    def log_prob(self, parameters: list[tf.Tensor], action: Any) -> tf.Tensor:
        """Log-probability `(N,)` of canonical actions, nested as the action space."""
        return self.joint.log_prob(parameters, self.action.flatten(action))

    def entropy(self, parameters: list[tf.Tensor], seed: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Entropy `(N,)` in nats.

        Args:
            parameters: Of the distributions.
            seed: Gives a seed `(2,)`; called only where the entropy is estimated from a draw.
        """
        return self.joint.entropy(parameters, None if self.joint.has_entropy else seed())

    def sample_with_log_prob(self, parameters: list[tf.Tensor], seed: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Canonical actions, nested as the action space, with their log-probability `(N,)`; reparameterized."""
        action, log_prob = self.joint.sample_with_log_prob(parameters, seed)
        return self.action.unflatten(action), log_prob

    def greedy(self, observation: Any) -> list[tf.Tensor]:
        """The most likely action that the observation's mask allows, one canonical array `(N, *leaf.shape)` per leaf."""
        mask = observed_masks(self.observation, self.action, self.leaves(observation))
        return self.joint.mode(self.parameters_of(observation, mask))


def _finite(value: Any, argument: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"`policy.{argument}` must be a finite number. Received: {value!r}")
    return float(value)


def _gain(value: Any) -> float | str:
    if isinstance(value, str):
        if value not in ("auto", "fan_in"):
            raise ValueError(f"`policy.head_gain` must be a finite number, 'auto' or 'fan_in'. Received: {value!r}")
        return value
    return _finite(value, "head_gain")


def _range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"`policy.log_std_range` must be two numbers, low and high. Received: {value!r}")
    low, high = (_finite(end, "log_std_range") for end in value)
    if low > high:
        raise ValueError(f"`policy.log_std_range` must have low <= high. Received: {value!r}")
    return low, high
