"""The actor of a compiled environment: an exploration of kagent's, in TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from kagent import distributions, ops, schedules
from kagent.distributions.box import BoxDistribution, ScaledDistribution
from kagent.distributions.distribution import normal, uniform
from kagent.exploration import ActionNoise, EpsilonGreedy, OrnsteinUhlenbeckNoise, Sampling
from kagent.exploration.wrappers import WithNoisyLayers
from kagent.policies import StochasticPolicy
from kagent.policies.greedy_actions import as_declared
from kagent.policies.unrolled import Unrolled, carried_sizes
from kagent.schedules import Clock, tensor_math


class CompiledActor:
    """Chooses actions as the agent's exploration says.

    Args:
        agent: Whose policy and exploration they are; `refused` says which it cannot have.

    Attributes:
        sizes: Numbers in each part of the state that the agent's recurrent networks carry; `()`: there are none.
        carried: The same of all that is carried from timestep to timestep of an episode: behind `sizes`, of each action with
            state-dependent noise its matrix, and for how many timesteps it stays.
        knows_log_prob: Whether actions are drawn by the policy as it is when it learns, so that `log_prob` is what it would be then.
    """

    def __init__(self, agent: Any):
        self._policy, self._exploration, self._action = agent.policy, agent.exploration, agent._action
        self._critic, self._variable_noise = agent.critic, agent.variable_noise
        self.sizes = carried_sizes(agent.policy, agent.critic)
        lasting = getattr(agent.policy, "state_dependent_noise", None) is not None
        self._noises = [agent.policy.actor_decision(leaf) for leaf in agent._action.leaves] if lasting else []
        self.carried = (*self.sizes, *(size for noise in self._noises for size in (noise.features * noise.size, 1)))
        plain = type(self._exploration) is Sampling and agent.explorer is self._exploration and not self.sizes
        self.knows_log_prob = plain and not self._exploration.random_steps and agent.variable_noise == 0.0

    def log_prob(self, seen: list[tf.Tensor], masks: Any, canonical: list[tf.Tensor]) -> tf.Tensor:
        """The log-probability `(N,)` of actions by the policy; the arguments are as of `decide`, and what it returned."""
        # The parameters are computed once: XLA finds what is double.
        found: tf.Tensor = self._policy.joint.log_prob(self._policy.parameters_of(seen, masks), canonical)
        return found

    def decide(
        self, seen: list[tf.Tensor], masks: Any, clock: Clock, seed: tf.Tensor, states: list[tf.Tensor] | None = None
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Canonical actions, a tensor `(N, *leaf.shape)` for each leaf, and what is carried further.

        Args:
            seen: Observations in stored form, `(N, *leaf.shape)` each.
            masks: Per action leaf bool `(N, sum(nvec))` or None; None: there are none.
            clock: The time now, as tensors.
            seed: int64 `(2,)`.
            states: Before the observations, float32 `(N, size)` for each of `carried`, zeros where an episode begins; None where there
                are none.
        """
        if self._variable_noise == 0.0:
            return self._decide(seen, masks, clock, seed, states)
        own, noise = _seeds(seed, 2)
        with self._perturbed(schedules.evaluate(self._variable_noise, clock), noise):
            return self._decide(seen, masks, clock, own, states)

    @contextlib.contextmanager
    def _perturbed(self, deviation: Any, seed: tf.Tensor) -> Iterator[None]:
        # Within it the policy's trainable variables have Gaussian noise; then the very values they had.
        variables = self._policy.trainable_variables
        kept = [tf.identity(variable.value) for variable in variables]
        try:
            for variable, value, own in zip(variables, kept, _seeds(seed, len(variables))):
                noise = tf.cast(normal(value.shape, own), value.dtype)
                variable.assign(value + tf.cast(deviation, value.dtype) * noise)
            yield
        finally:
            for variable, value in zip(variables, kept):
                variable.assign(value)

    def _decide(
        self, seen: list[tf.Tensor], masks: Any, clock: Clock, seed: tf.Tensor, states: list[tf.Tensor] | None
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        after, noise = list(states or ())[: len(self.sizes)], list(states or ())[len(self.sizes) :]
        if not after:
            with self._policy.layer_noise():
                return self._decided(seen, masks, clock, seed, noise)
        observation = Unrolled.of_single(seen, after)
        policy, critic = self._policy, self._critic
        # A critic on the policy's own network reads the policy's states.
        own = critic is not None and critic.carried.stop > len(policy.state_sizes)
        for role in (policy, critic) if own else (policy,):
            after[role.carried] = role.unroll(observation)[1]  # the heads are computed once: XLA finds what is double
        found, noise = self._decided(observation, masks, clock, seed, noise)
        return found, [*after, *noise]

    def _decided(
        self, seen: Any, masks: Any, clock: Clock, seed: tf.Tensor, noise: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        # Of observations as the policy takes them: leaves, or `Unrolled`. The actions, and state-dependent noise after them.
        exploration, policy = self._exploration, self._policy
        count = policy.leaves(seen)[0].shape[0]
        if isinstance(exploration, EpsilonGreedy):
            epsilon, first, second = _epsilon(exploration, clock), *_seeds(seed, 2)
            at_random = uniform((count,), first) < epsilon
            return _chosen(at_random, self._random(count, masks, second), policy.greedy(seen)), noise
        if isinstance(exploration, OrnsteinUhlenbeckNoise):
            return self._wandering(policy.greedy(seen), clock), noise
        if isinstance(exploration, ActionNoise):
            drawn, added, sample = _seeds(seed, 3)
            if exploration.sample:
                best, after = self._sampled(seen, masks, sample, noise)
            else:
                best, after = policy.greedy(seen), noise
            parts = zip(self._action.leaves, policy.joint.distributions, best, _seeds(added, len(best)))
            found = [self._noisy(leaf, part, each, clock, own) for leaf, part, each, own in parts]
        else:
            drawn, sample = _seeds(seed, 2) if exploration.random_steps else (seed, seed)
            found, after = self._sampled(seen, masks, sample, noise)
        if not exploration.random_steps:
            return found, after
        early = tf.fill((count,), clock.timesteps < exploration.random_steps)
        return _chosen(early, self._random(count, masks, drawn), found), _chosen(early, noise, after)

    def _sampled(
        self, seen: Any, masks: Any, seed: tf.Tensor, noise: list[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        policy = self._policy
        if not self._noises:
            return policy.joint.sample(policy.parameters_of(seen, masks), seed), []
        # As the `choose_from` of each decision.
        heads, found, after = policy.acting_heads(seen), [], []
        for i, (decision, own) in enumerate(zip(self._noises, _seeds(seed, len(self._noises)))):
            mean, features, learned = (tf.cast(head, tf.float32) for head in heads[3 * i : 3 * i + 3])
            matrix, left = noise[2 * i : 2 * i + 2]
            due = left == 0.0
            matrix = tf.where(due, normal(matrix.shape, own), matrix)
            left = tf.where(due, -1.0 if decision.period is None else float(decision.period), left)
            width = decision.size if decision.full_std else 1
            deviation = ops.deviation(tf.reshape(learned[0], (decision.features, width)), decision.expln)
            scaled = tf.reshape(matrix, (-1, decision.features, decision.size)) * deviation
            action = mean + tf.einsum("nf,nfa->na", features, scaled)
            if isinstance(policy.joint.distributions[i], ScaledDistribution):
                action = tf.tanh(action)
            found.append(tf.reshape(action, (-1, *self._action.leaves[i].shape)))
            after += [matrix, left - tf.cast(left > 0.0, tf.float32)]
        return found, after

    def _random(self, count: int, masks: Any, seed: tf.Tensor) -> list[tf.Tensor]:
        # Uniform over what is allowed.
        parts = zip(self._action.leaves, self._policy.joint.distributions, _seeds(seed, len(self._action.leaves)))
        found = []
        for i, (leaf, distribution, own) in enumerate(parts):
            if leaf.is_discrete:
                chance = distributions.Categorical(leaf.nvec.ravel(), leaf.shape)
                heads = chance.mask([tf.zeros((count, leaf.num_values))], None if masks is None else masks[i])
                found.append(chance.sample(heads, own))
            else:
                share = uniform((count, *leaf.shape), own)
                scaled = isinstance(distribution, ScaledDistribution)
                low, high = (-1.0, 1.0) if scaled else (distribution.low, distribution.high)
                found.append(low * (1.0 - share) + high * share)
        return found

    def _noisy(self, leaf: Any, distribution: Any, action: tf.Tensor, clock: Clock, seed: tf.Tensor) -> tf.Tensor:
        amount = schedules.evaluate(self._exploration.amount_of(leaf), clock)
        half = _half(distribution)
        noise = tf.cast(amount, tf.float32) * normal(action.shape, seed)
        scaled = isinstance(distribution, ScaledDistribution)
        if self._exploration.relative:
            noise = noise if scaled else noise * half
        elif scaled:
            noise = tf.math.divide_no_nan(noise, half)
        return tf.clip_by_value(action + noise, -1.0, 1.0) if scaled else action + noise

    def _wandering(self, best: list[tf.Tensor], clock: Clock) -> list[tf.Tensor]:
        # As `OrnsteinUhlenbeckNoise.decide`: the same processes, at the same time.
        exploration, leaves, count = self._exploration, self._action.leaves, best[0].shape[0]
        sizes = [leaf.size for leaf in leaves]
        seeds = exploration.seeds(count * sum(sizes), clock.seed)[:, np.newaxis]
        last = tensor_math.step(clock.timesteps) // count
        noise = exploration.mu + exploration.sigma * tensor_math.discounted_noise(seeds, last, 1.0 - exploration.theta)
        parts = tf.split(tf.reshape(tf.cast(noise, tf.float32), (count, sum(sizes))), sizes, axis=1)
        found = []
        for leaf, distribution, action, part in zip(leaves, self._policy.joint.distributions, best, parts):
            added, half = tf.reshape(part, action.shape), _half(distribution)
            scaled = isinstance(distribution, ScaledDistribution)
            if scaled:
                action = tf.clip_by_value(action + tf.math.divide_no_nan(added, half), -1.0, 1.0)
            else:
                action += added
            # What is remembered is what was done: bounds and whole numbers are kept.
            done = tf.cast(as_declared(leaf, distribution.to_env(action)), tf.float32)
            if scaled:
                middle = distribution.low / 2 + distribution.high / 2
                done = tf.clip_by_value(tf.math.divide_no_nan(done - middle, half), -1.0, 1.0)
            found.append(done)
        return found


def refused(agent: Any) -> list[tuple[str, Any, str]]:
    """The parts of an agent's policy and exploration that a program cannot contain: name, received value, allowed values."""
    policy, exploration, found = agent.policy, agent.exploration, []
    joint = getattr(policy, "joint", None)
    if joint is None or type(policy).__module__.partition(".")[0] != "kagent":
        return [("policy", type(policy).__name__, "a policy of kagent with a distribution for each action")]
    if isinstance(policy, StochasticPolicy) and policy.temperature != 1.0:
        found.append(("policy.temperature", policy.temperature, "1.0"))
    if carried_sizes(policy, agent.critic) and isinstance(agent.explorer, WithNoisyLayers):
        found.append(("network", "recurrent and noisy layers", "layers of one of both kinds"))
    first = Sampling if isinstance(policy, StochasticPolicy) else EpsilonGreedy
    kinds = first, ActionNoise, OrnsteinUhlenbeckNoise
    if type(exploration) not in kinds:
        found.append(("exploration", exploration, " or ".join(kind.__name__ for kind in kinds)))
        return found
    boxes = [part for part in joint.distributions if isinstance(part, BoxDistribution)]
    bounded = all(tf.math.reduce_all(tf.math.is_finite(end)).numpy() for part in boxes for end in (part.low, part.high))
    if getattr(exploration, "random_steps", 0) and not bounded:
        found.append(("exploration.random_steps", exploration.random_steps, "0 for actions without bounds"))
    if isinstance(exploration, ActionNoise) and len(boxes) < len(joint.distributions):
        found.append(("exploration", f"{exploration} of discrete actions", "noise on float actions"))
    return found


def _half(distribution: BoxDistribution) -> tf.Tensor:
    return distribution.high / 2 - distribution.low / 2  # halves first: the range may be more than the dtype holds


def _epsilon(exploration: EpsilonGreedy, clock: Clock) -> Any:
    # As `EpsilonGreedy.epsilon`.
    if exploration.initial == exploration.final:
        return exploration.initial
    if exploration.steps is not None:
        done = clock.timesteps / exploration.steps
    else:
        done = clock.progress / exploration.fraction if exploration.fraction > 0 else tf.ones((), tf.float64)
    return tf.cast(exploration.initial + tf.minimum(done, 1.0) * (exploration.final - exploration.initial), tf.float32)


def _seeds(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    found: list[tf.Tensor] = [seed] if count == 1 else tf.unstack(tf.random.split(seed, count, alg="philox"))
    return found


def _chosen(rows: tf.Tensor, first: list[tf.Tensor], second: list[tf.Tensor]) -> list[tf.Tensor]:
    wide = [tf.reshape(rows, (-1, *[1] * (len(part.shape) - 1))) for part in second]
    return [tf.where(row, tf.cast(a, b.dtype), b) for row, a, b in zip(wide, first, second)]
