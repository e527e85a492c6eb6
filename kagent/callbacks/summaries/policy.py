"""What a policy does with observations: its distributions' parameters, their entropy, how far an update moved them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import ops
from kagent.callbacks.summaries.latest_steps import Leaves, Masks, Rollout
from kagent.exploration import BARE

SEPARATE = 32  # so many numbers of one action are written one by one; of more, mean and variance

Scalars = dict[str, float]


class Behavior:
    """A policy, called from the host. Its network is traced once.

    Args:
        agent: The agent.
    """

    def __init__(self, agent: Any):
        self.agent, self.policy = agent, agent.policy
        self.names = [leaf.name or BARE for leaf in self.policy.action.leaves]
        self._traced: dict[Any, Any] = {}

    def parameters(self, leaves: Leaves, masks: Masks) -> list[tf.Tensor]:
        """The distributions' parameters, a flat list of heads `(n, width)`, masks applied.

        Of a policy of action values they are the values, which its distributions take for logits.
        """
        given = () if masks is None else tuple(i for i, mask in enumerate(masks) if mask is not None)
        if given not in self._traced:
            specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in leaves]
            specs += [tf.TensorSpec((None, masks[i].shape[1]), tf.bool) for i in given] if masks is not None else []
            call = tf.function(lambda *rows: self._heads(rows, len(leaves), given), autograph=False)
            self._traced[given] = call.get_concrete_function(*specs)
        rows = [tf.convert_to_tensor(x) for x in leaves]
        rows += [tf.convert_to_tensor(masks[i].astype(bool)) for i in given] if masks is not None else []
        return list(self._traced[given](*rows))

    def _heads(self, rows: tuple[Any, ...], count: int, given: tuple[int, ...]) -> list[tf.Tensor]:
        leaves, masks = list(rows[:count]), [None] * len(self.names)
        for i, mask in zip(given, rows[count:]):
            masks[i] = mask
        if hasattr(self.policy, "parameters_of"):
            return list(self.policy.parameters_of(leaves, masks if given else None))
        return list(self.policy.joint.mask(self.policy.heads(leaves), masks if given else None))

    def distributions(self, parameters: list[tf.Tensor], labels: frozenset[str]) -> Scalars:
        """What the labels among `DISTRIBUTIONS` say of every action with such a distribution, means over the rows."""
        found: Scalars = {}
        joint = self.policy.joint
        for name, part, heads in zip(self.names, joint.distributions, joint.split(parameters)):
            label, describe = _described(part)
            if label in labels:
                values = hasattr(self.policy, "components")
                for quantity, numbers in describe(part, [head.numpy() for head in heads], values).items():
                    found |= _separated(f"{label}/{name}/{quantity}", numbers)
        return found

    def entropies(self, parameters: list[tf.Tensor]) -> dict[str, float | None]:
        """Entropy in nats of every action's distribution, mean over the rows; their sum is that of the whole action.

        Where it has no closed form it is estimated from one draw per row, by the seed of the coming gradient step. None
        where there is no such thing: of actions without chance.
        """
        joint = self.policy.joint
        seeds: Any = [None] * len(self.names)
        if not joint.has_entropy:
            seeds = tf.unstack(tf.random.split(self.agent.step_seed(), len(self.names), alg="philox"))
        parts = zip(self.names, joint.distributions, joint.split(parameters), seeds)
        return {name: _mean(part.entropy, own, seed) for name, part, own, seed in parts}

    def divergences(self, before: list[tf.Tensor], after: list[tf.Tensor]) -> dict[str, float | None]:
        """KL(before || after) in nats of every action's distribution, as `entropies`."""
        joint = self.policy.joint
        parts = zip(self.names, joint.distributions, joint.split(before), joint.split(after))
        return {name: _mean(part.kl, old, new) for name, part, old, new in parts}

    def estimated_reward(self, rollout: Rollout, clock: Any) -> float:
        """Mean over the rollout's timesteps of what `reward_estimation` makes of their rewards."""
        estimation, critic = self.agent.reward_estimation, self.agent.critic
        given = rollout.reward, rollout.terminated, rollout.truncated
        next_values = self._values(rollout.next_observation, rollout.next_mask)
        time: dict[str, Any] = {"weight": rollout.valid.astype(np.float32), "clock": clock}
        if next_values is not None:
            next_values = next_values.reshape(rollout.reward.shape)
        if estimation.gae_lambda is not None and critic is not None:
            values = self._values(rollout.observation, rollout.mask)
            assert values is not None
            found, _ = estimation.estimates(*given, next_values, values.reshape(rollout.reward.shape), **time)
        else:
            found = estimation.returns(*given, next_values, **time)
        return float(np.mean(found[rollout.valid.astype(bool)]))

    def _values(self, leaves: Leaves, masks: Masks) -> np.ndarray | None:
        agent = self.agent
        result: np.ndarray
        rows = [tf.convert_to_tensor(x) for x in leaves]
        if hasattr(self.policy, "components"):
            policy = getattr(agent, "target_policy", self.policy)
            best = ops.greedy_value(policy.values(rows), policy.components, policy.join_masks(masks))
            result = tf.reduce_mean(best, axis=-1).numpy()
            return result
        if agent.critic is None:
            return None
        if not hasattr(agent.critic, "members"):
            result = agent.critic.values(rows).numpy()
            return result
        action = self.policy.action.unflatten(self.policy.joint.mode(self.parameters(leaves, masks)))
        members = getattr(agent, "target_critic", agent.critic).values(rows, action)
        result = np.min([values.numpy() for values in members], axis=0)
        return result


def _mean(quantity: Any, *given: Any) -> float | None:
    try:
        return float(tf.reduce_mean(quantity(*given)))
    except NotImplementedError:
        return None


# What is written of a distribution -----------------------------------------------------------------------------


def _categorical(part: Any, heads: list[np.ndarray], values: bool) -> dict[str, np.ndarray]:
    """Probability of every choice (of a policy of action values: their values), components side by side."""
    (logits,) = heads
    if values:
        return {"value": logits}
    own = np.split(logits, np.cumsum(part.nvec)[:-1], axis=-1)
    powers = [np.exp(x - x.max(axis=-1, keepdims=True)) for x in own]
    return {"probability": np.concatenate([p / p.sum(axis=-1, keepdims=True) for p in powers], axis=-1)}


def _by_name(part: Any, heads: list[np.ndarray], values: bool) -> dict[str, np.ndarray]:
    """Heads under the names of what they stand for."""
    found = {}
    for name, head in zip(part.head_names, heads):
        if name.startswith("logit"):
            found["probability"] = 0.5 + 0.5 * np.tanh(0.5 * head)
        elif name.startswith("log_"):
            found[_SPOKEN.get(name, name.removeprefix("log_"))] = np.exp(head)
        else:
            found[name] = head
    return found


def _beta(part: Any, heads: list[np.ndarray], values: bool) -> dict[str, np.ndarray]:
    """Both concentrations, above 1: of one peak."""
    return {name: 1.0 + np.logaddexp(0.0, head) for name, head in zip(part.head_names, heads)}


_SPOKEN = {"log_std": "stddev"}
_Describe = Callable[[Any, list[np.ndarray], bool], dict[str, np.ndarray]]
_DESCRIPTIONS: dict[str, tuple[str, _Describe]] = {
    "Bernoulli": ("bernoulli", _by_name),
    "Beta": ("beta", _beta),
    "Categorical": ("categorical", _categorical),
    "Gaussian": ("gaussian", _by_name),
    "SquashedGaussian": ("gaussian", _by_name),  # before it is squashed
}


def _described(part: Any) -> tuple[str, _Describe]:
    return next((_DESCRIPTIONS[c.__name__] for c in type(part).__mro__ if c.__name__ in _DESCRIPTIONS), ("", _by_name))


def _separated(tag: str, numbers: np.ndarray) -> Scalars:
    numbers = np.atleast_2d(numbers)
    width = numbers.shape[-1]
    if width > SEPARATE:
        return {f"{tag}-mean": float(numbers.mean()), f"{tag}-variance": float(numbers.var())}
    means = numbers.mean(axis=0)
    return {tag if width == 1 else f"{tag}-{i}": float(mean) for i, mean in enumerate(means)}
