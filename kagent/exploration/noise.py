"""Explorations that add noise to actions."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from kagent import schedules
from kagent.acting.actor import Actor
from kagent.config.checks import check_count, check_flag
from kagent.exploration.exploration import Exploration, Leaves
from kagent.exploration.registry import EXPLORATIONS

BARE = "action"  # the name of an action that is not nested


@EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class ActionNoise(Exploration):
    """Noise on the chosen actions: of discrete ones, some values are replaced; to continuous ones, something is added.

    Args:
        amount: Of bool and int actions the probability, 0 to 1 and for each component, of a uniformly random allowed
            value; of float actions the standard deviation, in the environment's units, of added Gaussian noise. May be
            a schedule. Or a dict of such by the names of the actions that get noise; an action
            that is not nested is named "action".
        sample: Whether the noise comes on top of actions sampled from the policy, or on the best ones.
        relative: Whether the amount of a float action is in half ranges, `(high - low) / 2` of each component, and not in
            the environment's units. It then needs finite bounds.
        random_steps: Timesteps at the start of training in which actions are uniformly random instead.

    Raises:
        TypeError, ValueError: Arguments of the wrong type or outside their range; at the agent's making, a name that no
            action has, a probability above 1, a relative amount for an action without finite bounds.

    Example:

    >>> ActionNoise({"steer": 0.1}).amount
    {'steer': 0.1}
    """

    amount: Any
    sample: bool = True
    relative: bool = False
    random_steps: int = 0

    def __post_init__(self) -> None:
        check_flag(self.sample, "exploration.sample")
        check_flag(self.relative, "exploration.relative")
        check_count(self.random_steps, "exploration.random_steps", least=0)
        amount = self.amount
        if isinstance(amount, dict) and "type" not in amount and not schedules.is_schedule(amount):
            if not amount or not all(isinstance(name, str) for name in amount):
                raise ValueError(f"`exploration` as a dict needs names of actions. Received: {amount!r}")
            amount = {name: schedules.get(value, f"exploration[{name!r}]", 0.0) for name, value in amount.items()}
        else:
            amount = schedules.get(amount, "exploration", 0.0)
        object.__setattr__(self, "amount", amount)

    @property
    def samples(self) -> bool:  # type: ignore[override]
        return self.sample

    def check(self, action: Any) -> None:
        """Compares with the agent's actions (a `spaces.Structure`).

        Raises:
            ValueError: A name that no action has, or a probability above 1.
        """
        names = {leaf.name or BARE for leaf in action.leaves}
        unknown = sorted(set(self.amount) - names) if isinstance(self.amount, dict) else []
        if unknown:
            raise ValueError(f"`exploration` names no such action. Received: {unknown}. Known: {sorted(names)}")
        if self.relative and all(leaf.is_discrete for leaf in action.leaves):
            raise ValueError(
                "`exploration.relative` is how the noise of float actions is measured, and there are none. Received: "
                "relative=True. Allowed: False"
            )
        for leaf in action.leaves:
            if self.relative and not leaf.is_discrete and not leaf.is_bounded and self.amount_of(leaf) != 0.0:
                raise ValueError(
                    "`exploration.relative` needs float actions with finite bounds, of whose range the noise is a part. "
                    f"Received: {leaf.name or BARE!r} without. Allowed: relative=False, in the environment's units"
                )
            if leaf.is_discrete:
                where = f"exploration[{leaf.name or BARE!r}]" if isinstance(self.amount, dict) else "exploration"
                schedules.get(self.amount_of(leaf), where, 0.0, 1.0)

    def amount_of(self, leaf: Any) -> Any:
        """The amount of an action leaf, a number or a schedule."""
        return self.amount.get(leaf.name or BARE, 0.0) if isinstance(self.amount, dict) else self.amount

    def decide(
        self, actor: Actor, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator
    ) -> Leaves:
        if clock.timesteps < self.random_steps:
            return actor.random(len(leaves[0]), rng, mask)
        chosen = actor.decide(leaves, mask, not self.sample, rng)
        for i, decision in enumerate(actor.decisions):
            leaf = decision.leaf
            amount = schedules.evaluate(self.amount_of(leaf), clock)
            if amount > 0 and self.relative and leaf.nvec is None:
                half = leaf.high / 2 - leaf.low / 2  # halves first: the range may be more than the dtype holds
                chosen[i] = decision.add(chosen[i], amount * half * rng.standard_normal(chosen[i].shape))
            elif amount > 0:
                chosen[i] = decision.perturb(chosen[i], amount, rng, None if mask is None else mask[i])
        return chosen


@EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class OrnsteinUhlenbeckNoise(Exploration):
    """The policy's best actions with noise added that wanders, each value near the one before: for actions that need some
    time to show what they are good for (Lillicrap et al. 2016, arXiv:1509.02971, section 3).

    Every component of an action has a process of its own, `kagent.schedules.OrnsteinUhlenbeck`, which counts timesteps
    of its environment and, as all schedules, holds no state: training that is resumed goes on with the same noise.

    Args:
        theta: How strongly the noise returns to `mu` with every timestep, from 0.0001 to 1.
        sigma: Standard deviation of what is added to it, >= 0, in the environment's units.
        mu: Where it starts, and what it wanders around.
        num_actions: Components of an action, where they are to be checked; None: as many as there are.
        seed: Integer from 0 to 2**64 - 1. The same seed gives the same noise. None: one derived from the agent's seed.

    Raises:
        TypeError, ValueError: Arguments of the wrong type or outside their range; at the agent's making, actions that are
            not continuous, or not so many.
    """

    theta: float = 0.15
    sigma: float = 0.3
    mu: float = 0.0
    num_actions: int | None = None
    seed: int | None = None

    samples = False

    def __post_init__(self) -> None:
        process = schedules.OrnsteinUhlenbeck(self.theta, self.sigma, self.mu, seed=self.seed)
        for name in ("theta", "sigma", "mu", "seed"):
            object.__setattr__(self, name, getattr(process, name))
        object.__setattr__(self, "num_actions", check_components(self.num_actions))

    def check(self, action: Any) -> None:
        """Compares with the agent's actions (a `spaces.Structure`).

        Raises:
            ValueError: An action that is not continuous, or another number of components than `num_actions`.
        """
        discrete = [leaf.name or BARE for leaf in action.leaves if leaf.is_discrete]
        if discrete:
            raise ValueError(f"`exploration` {type(self).__name__} needs float actions. Received: {discrete}")
        size = sum(leaf.size for leaf in action.leaves)
        if self.num_actions not in (None, size):
            raise ValueError(f"`exploration.num_actions` must be {size}, as actions have. Received: {self.num_actions}")

    def seeds(self, number: int, seed: int) -> np.ndarray:
        """Of so many processes, uint64 `(number,)`; `seed` is that of the noise where it has none of its own."""
        return np.random.SeedSequence(seed if self.seed is None else self.seed).generate_state(number, np.uint64)

    def noise(self, timesteps: int, count: int, size: int, seed: int = 0) -> np.ndarray:
        """What is added at a time.

        Args:
            timesteps: Of each environment.
            count, size: Environments, and components of an action.
            seed: Of the noise where it has none of its own, from 0 to 2**64 - 1.

        Returns:
            float32 `(count, size)`.
        """
        clock = schedules.Clock(timesteps=timesteps)
        found = [process(clock) for process in _processes(self, count * size, seed)]
        return np.asarray(found, np.float32).reshape(count, size)

    def decide(
        self, actor: Actor, leaves: Leaves, mask: Any, clock: schedules.Clock, rng: np.random.Generator
    ) -> Leaves:
        chosen, count, start = actor.decide(leaves, mask, True, rng), len(leaves[0]), 0
        size = sum(decision.leaf.size for decision in actor.decisions)
        noise = self.noise(clock.timesteps // count, count, size, clock.seed)
        for i, decision in enumerate(actor.decisions):
            end = start + decision.leaf.size
            tried = decision.add(chosen[i], noise[:, start:end].reshape(chosen[i].shape))
            chosen[i] = decision.from_env(decision.to_env(tried))  # what is remembered is what was done
            start = end
        return chosen


@functools.lru_cache(maxsize=16)
def _processes(noise: OrnsteinUhlenbeckNoise, number: int, seed: int) -> tuple[schedules.OrnsteinUhlenbeck, ...]:
    seeds = noise.seeds(number, seed).tolist()
    return tuple(schedules.OrnsteinUhlenbeck(noise.theta, noise.sigma, noise.mu, seed=each) for each in seeds)


def check_components(value: Any) -> int | None:
    """`num_actions` of an exploration: an integer >= 1, or None.

    Raises:
        ValueError: Anything else.
    """
    return None if value is None else check_count(value, "exploration.num_actions")
