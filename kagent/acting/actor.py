"""The actor: observations in, actions out, in NumPy."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kagent.acting import archive, batches, likelihood
from kagent.acting import spaces as layout
from kagent.acting.distributions import Decision
from kagent.acting.episode_player import EpisodePlayer
from kagent.acting.episode_states import State, from_zeros
from kagent.acting.program import Program
from kagent.acting.single_decision import GREEDY, single_decision
from kagent.acting.standardization import Standardization

Heads = list[np.ndarray]
Masks = list[np.ndarray | None] | None
MASK_KEY = "action_mask"


class Actor:
    """Decides on actions from a policy's heads.

    Inside kagent it works on lists of leaf arrays with a batch axis (`decide`, `random`, `to_env`); outside,
    on one observation and one action as the environment has them (`act`), or on many at once (`act_batch`). One actor serves
    several threads, which take turns; an `EpisodeStates` belongs to one thread.

    Args:
        forward: Observation leaves `[(N, *shape)]`, in stored form, to heads `[(N, width)]`. None:
            `program.run`.
        observation: The observation space, as `kagent.spaces.to_config` describes it.
        decisions: One decision per action leaf; they share out the heads in order.
        rng: Source of all samples. None: a new `Philox` generator.
        program: The policy as a NumPy program, if it is one; only then the actor can be saved.
        action: The action space, as `observation`. None: the leaf of the only decision, or a `Tuple` of theirs.
        temperature: How far samples spread: 1 as the policy's distributions say, 0 not at all; see
            `kagent.policies.stochastic.StochasticPolicy`.
        standardization: What is done to observations before the program sees them, a list for `Standardization`; None:
            nothing.
        network_state: Shapes of the parts of the state that a recurrent network carries, float32. `forward` then takes them
            behind the observation's leaves, and gives those that follow behind the heads. They are 0 where an episode begins.

    Attributes:
        program, decisions, rng, temperature: The arguments.
        best_is_stateless: Whether the best action goes by the observation alone. Of a class with an `initial_state` of its own it
            may not.

    Raises:
        ValueError: Program, spaces and decisions do not fit each other.

    Example:

    >>> actor = kagent.acting.load("agent.keras")
    >>> action = actor.act(observation)
    """

    log_prob = likelihood.log_prob

    def __init__(
        self,
        forward: Callable[[list[np.ndarray]], Heads] | None,
        observation: dict[str, Any],
        decisions: Sequence[Decision],
        rng: np.random.Generator | None = None,
        program: Program | None = None,
        action: dict[str, Any] | None = None,
        temperature: float = 1.0,
        standardization: list[Any] | None = None,
        network_state: Sequence[Sequence[int]] = (),
    ):
        runs_program = forward is None and standardization is None
        if forward is None:
            if program is None:
                raise ValueError("An actor needs `forward` or `program`. Received: None for both")
            forward = program.run
        self.forward = forward
        self.program = program
        self.decisions = tuple(decisions)
        self.rng = np.random.Generator(np.random.Philox()) if rng is None else rng
        self.temperature = _temperature(temperature)
        self._observation = layout.Layout(observation, "observation")
        self._action = layout.Layout(
            layout.tuple_of(decision.leaf for decision in self.decisions) if action is None else action, "action"
        )
        self._standardization: Standardization | None = None
        if standardization is not None:
            shapes = [leaf.shape for leaf in self._observation.leaves]
            self._standardization = standardize = Standardization(standardization, shapes)
            self.forward = lambda leaves: forward([*standardize(leaves[: len(shapes)]), *leaves[len(shapes) :]])
        self._network_state = tuple(tuple(shape) for shape in network_state)
        self._check()
        self._heads = _shares([decision.heads for decision in self.decisions])
        self._carried = _shares([len(self._network_state), *(decision.parts for decision in self.decisions)])[1:]
        self._carries = bool(self._network_state) or any(decision.parts for decision in self.decisions)
        self._following = self.forward
        if self._network_state:
            self.forward = from_zeros(self.forward, self._network_state)
        self.best_is_stateless = type(self).initial_state is Actor.initial_state and not self._network_state
        self._mask_in_observation = self._observation.has_key(MASK_KEY) and any(
            leaf.nvec is not None for leaf in self._action.leaves
        )
        # Arrays of a program are shared by its calls, and NumPy lets other threads in while it multiplies.
        self._lock = threading.Lock()
        self._fast = (
            single_decision(self, self._observation, self._action, self._lock)
            if runs_program and self.best_is_stateless
            else None
        )

    def decide(
        self,
        leaves: list[np.ndarray],
        masks: Masks = None,
        deterministic: bool = False,
        rng: np.random.Generator | None = None,
    ) -> list[np.ndarray]:
        """Canonical actions for a batch. Several threads may call it; they take turns.

        Args:
            leaves: Observation leaves `(N, *shape)` in stored form. Trusted: not checked for NaN.
            masks: Per action leaf a bool array `(N, sum(nvec))`, True = allowed, or None. None: no masks.
            deterministic: The best actions instead of samples.
            rng: Takes the place of `self.rng`.

        Returns:
            Per action leaf a new array `(N, *shape)`: see `kagent.acting.distributions`.

        Raises:
            ValueError: Wrong shapes; a mask that allows nothing.
        """
        with self._lock:
            return self._choose(self.forward(leaves), masks, deterministic, self.rng if rng is None else rng)

    def initial_state(self, count: int) -> State:
        """The state in which `count` episodes begin, arrays `(count, ...)`. `()`: actions depend on the observation alone."""
        if not self._carries:
            return ()
        zeros = [np.zeros((count, *shape), np.float32) for shape in self._network_state]
        return (*zeros, *(part for decision in self.decisions for part in decision.initial_state(count)))

    def decide_from(
        self,
        leaves: list[np.ndarray],
        state: State,
        masks: Masks = None,
        deterministic: bool = False,
        rng: np.random.Generator | None = None,
    ) -> tuple[list[np.ndarray], State]:
        """As `decide`, of an actor whose actions depend on what came before in the episode.

        An actor with a state overrides this and `initial_state`. Whoever walks its episodes carries the state from
        timestep to timestep, in `kagent.acting.EpisodeStates`, and begins anew where an episode ends.

        Args:
            leaves, masks, deterministic, rng: As for `decide`.
            state: Arrays `(N, ...)`, the result of the timestep before, or of `initial_state`. Not to be changed in place.

        Returns:
            The actions, and the state after the observation. Of noise that stays for some timesteps, the state is that noise,
            drawn from `rng`.
        """
        if not self._carries:
            return self.decide(leaves, masks, deterministic, rng), state
        actions: list[np.ndarray] = []
        following: list[np.ndarray] = []
        rng, masks = self.rng if rng is None else rng, [None] * len(self.decisions) if masks is None else masks
        with self._lock:
            if parts := len(self._network_state):
                found = self._following([*leaves, *state[:parts]])
                following = [part.copy() for part in found[-parts:]]  # a program writes into the same arrays again
                heads, deterministic = self._tempered(found[:-parts], deterministic)
            else:
                heads, deterministic = self._tempered(self.forward(leaves), deterministic)
            for decision, where, own, mask in zip(self.decisions, self._heads, self._carried, masks):
                action, after = decision.choose_from(heads[where], state[own], rng, deterministic, mask)
                actions.append(action)
                following += after
        return actions, tuple(following)

    def random(self, count: int, rng: np.random.Generator | None = None, masks: Masks = None) -> list[np.ndarray]:
        """`count` canonical actions, uniform over what is allowed; normal where a Gaussian has no bounds."""
        rng = self.rng if rng is None else rng
        if masks is None:
            return [decision.random(count, rng) for decision in self.decisions]
        return [decision.random(count, rng, mask) for decision, mask in zip(self.decisions, masks)]

    def to_env(self, canonical: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Canonical actions of every leaf, batched, as the environment takes them."""
        return [decision.to_env(array) for decision, array in zip(self.decisions, canonical)]

    def from_env(self, taken: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The inverse of `to_env`."""
        return [decision.from_env(array) for decision, array in zip(self.decisions, taken)]

    def act(self, observation: Any, deterministic: bool = True, mask: Any = None) -> Any:
        """The action for one observation. Several threads may call it; they take turns.

        Args:
            observation: One observation as the environment gives it, nested as its space, without batch axis.
            deterministic: The best action instead of a sample.
            mask: What is allowed, nested as the action space and as the environment gives it
                (`info["action_mask"]`). None: the observation's key `"action_mask"`, if it has one.

        Returns:
            One action that `env.step` accepts: int for `Discrete`, else an array, nested as the action space.

        Raises:
            ValueError: An observation of wrong nesting or shape, or not finite; a mask that does not fit or allows nothing; heads that
                are not finite; an actor with a state, see `player`. (Noise that stays for some timesteps is drawn anew here.)
        """
        if mask is None and self._fast is not None:
            action = self._fast(observation, deterministic, self.rng)
            if action is not None:
                return action
        return self.answer(*self.read(observation, mask), deterministic)

    def player(self) -> EpisodePlayer:
        """Acts through whole episodes one observation at a time, with the state that they carry; see `EpisodePlayer`."""
        return EpisodePlayer(self)

    def act_batch(self, observations: Any, deterministic: bool = True, masks: Any = None) -> Any:
        """The actions for N observations at once, each as `act` has it. Several threads may call it; they take turns.

        Args:
            observations: As a vector environment gives them: nested as the space, every leaf `(N, *shape)`, N >= 1. More than
                1,024 go in parts.
            deterministic: The best actions instead of samples.
            masks: N masks, each as for `act`, or None where all is allowed. None: the observations' key `"action_mask"`, if
                they have one.

        Returns:
            N actions, nested as the action space, every leaf `(N, *shape)`, as a vector environment takes them.

        Raises:
            ValueError: As `act`; no observation; leaves, or masks, of another number.

        Example:

        >>> actor = kagent.acting.load("agent.keras")
        >>> actor.act_batch(np.zeros((3, 4), np.float32)).shape
        (3,)
        """
        self._check_stateless()
        leaves = batches.read_observations(self._observation, observations)
        count = len(leaves[0])
        if masks is None and self._mask_in_observation:
            masks = observations[MASK_KEY]
        allowed = None if masks is None else batches.read_masks(self._action, masks, count)
        chosen = []
        for start in range(0, count, batches.LARGEST):
            part = slice(start, start + batches.LARGEST)
            own = None if allowed is None else [None if mask is None else mask[part] for mask in allowed]
            chosen.append(self._answer([leaf[part] for leaf in leaves], own, deterministic))
        canonical = chosen[0] if len(chosen) == 1 else [np.concatenate(parts) for parts in zip(*chosen)]
        return self._action.unflatten(self.to_env(canonical))

    def answer(self, leaves: list[np.ndarray], masks: Masks, deterministic: bool) -> Any:
        """The action for what `read` gave; see `act`."""
        self._check_stateless()
        return self.release(self._answer(leaves, masks, deterministic))

    def _check_stateless(self) -> None:
        if not self.best_is_stateless and len(self.initial_state(1)):
            raise ValueError(
                f"{type(self).__name__} has a state of its episode, which `act` does not know. Allowed: "
                "`player()` of the actor or of the agent, or kagent.acting.EpisodeStates(actor, 1)"
            )

    def _answer(self, leaves: list[np.ndarray], masks: Masks, deterministic: bool) -> list[np.ndarray]:
        with self._lock:
            heads = self.forward(leaves)
            for head in heads:
                if not layout.is_finite(head):
                    diverged = "The policy's outputs are not finite: its weights have diverged"
                    raise ValueError(f"{diverged}. Received: {head}")
            return self._choose(heads, masks, deterministic, self.rng)

    def read(self, observation: Any, mask: Any = None, last: bool = False) -> tuple[list[np.ndarray], Masks]:
        """One raw observation and mask, checked, as a batch of one: what `decide` takes.

        Args:
            observation, mask: As for `act`.
            last: Whether no action follows: masks are not read then, and may allow nothing.

        Raises:
            ValueError: As `act`.
        """
        parts = self._observation.flatten(observation)
        leaves = [layout.encode(leaf, part)[None] for leaf, part in zip(self._observation.leaves, parts)]
        return leaves, None if last else self.read_mask(observation, mask)

    def read_mask(self, observation: Any, mask: Any = None) -> Masks:
        """The second part of what `read` gives; of a raw observation whatever its other leaves are."""
        if mask is None and self._mask_in_observation:
            mask = observation[MASK_KEY]
        masks = self._action.flatten_masks(mask)
        if masks is None or all(part is None for part in masks):
            return None
        return [None if part is None else part[None] for part in masks]

    def release(self, canonical: Sequence[np.ndarray]) -> Any:
        """Canonical actions of a batch of one as one action for `env.step`."""
        return self._action.unflatten(
            [
                int(array[0]) if leaf.kind == "discrete" else array[0, ...]
                for leaf, array in zip(self._action.leaves, self.to_env(canonical))
            ]
        )

    def save(self, directory: str | Path, standardization: tuple[dict[str, Any], list[Any]] | None = None) -> None:
        """Writes `actor.json` and `actor.npz` into `directory`; `load` reads them. Whole, or not at all.

        Args:
            directory: Made if it does not exist.
            standardization: Where this actor is given observations that were standardized: the space of those before, as
                `kagent.spaces.to_config` describes it, and the list for `Standardization`.

        Raises:
            ValueError: The policy is not a NumPy program.
        """
        changed = {} if standardization is None else dict(zip(("observation", "standardization"), standardization))
        archive.write(Path(directory), self.to_config() | changed, self.program.weights)  # type: ignore[union-attr]

    def to_config(self) -> dict[str, Any]:
        """All but the weights, JSON-ready; `kagent.acting.loading.from_config` is the inverse. Raises what `save` raises."""
        if self.program is None:
            raise ValueError(f"Only an actor with a NumPy program can be saved. Received: {self!r}")
        about: dict[str, Any] = {
            "observation": self._observation.config,
            "action": self._action.config,
            "decisions": [decision.to_config() for decision in self.decisions],
            "program": self.program.config,
            **({} if self.temperature == 1.0 else {"temperature": self.temperature}),
        }
        if self._network_state:
            about["network_state"] = [list(shape) for shape in self._network_state]
        if self._standardization is not None:
            about["standardization"] = self._standardization.config
        return about

    def __repr__(self) -> str:
        how = repr(self.forward) if self.program is None else repr(self.program)[1:-1]
        return f"<Actor: {how}; {', '.join(decision.kind for decision in self.decisions)}>"

    def _choose(self, heads: Heads, masks: Masks, deterministic: bool, rng: np.random.Generator) -> list[np.ndarray]:
        if masks is None:
            masks = [None] * len(self.decisions)
        if self.temperature != 1.0:
            heads, deterministic = self._tempered(heads, deterministic)
        return [
            decision.choose(heads[where], rng, deterministic, mask)
            for decision, where, mask in zip(self.decisions, self._heads, masks)
        ]

    def _tempered(self, heads: Heads, deterministic: bool) -> tuple[Heads, bool]:
        """The heads to sample from at the actor's temperature, and whether the best actions are taken."""
        temperature = self.temperature
        if deterministic or temperature == 1.0 or temperature < GREEDY:
            return heads, deterministic or temperature < GREEDY
        shared = zip(self.decisions, self._heads)
        return [head for decision, where in shared for head in decision.tempered(heads[where], temperature)], False

    def _check(self) -> None:
        kinds = [leaf.kind for leaf in self._action.leaves]
        received = [(decision.leaf.kind, decision.leaf.shape) for decision in self.decisions]
        if received != [(leaf.kind, leaf.shape) for leaf in self._action.leaves]:
            raise ValueError(f"`decisions` must be one per action leaf, for {kinds}. Received: {received}")
        if self.program is None:
            return
        stored = [layout.stored_dtype(leaf) for leaf in self._observation.leaves]
        dtypes = stored if self._standardization is None else self._standardization.dtypes(stored)
        expected = [(leaf.shape, dtype) for leaf, dtype in zip(self._observation.leaves, dtypes)]
        expected += [(shape, np.dtype(np.float32)) for shape in self._network_state]
        if [tuple(spec) for spec in self.program.input_specs] != expected:
            given = [tuple(spec) for spec in self.program.input_specs]
            raise ValueError(f"The program's inputs must be the observation's leaves {expected}. Received: {given}")
        widths: list[Any] = [(width,) for decision in self.decisions for width in decision.widths]
        widths += self._network_state
        shapes = [spec.shape for spec in self.program.output_specs]
        if shapes != widths or any(spec.dtype != np.float32 for spec in self.program.output_specs):
            raise ValueError(f"The program's outputs must be the decisions' heads {widths}. Received: {shapes}")


def _shares(counts: list[int]) -> list[slice]:
    """Of arrays in a row, which belong to each of those that have so many."""
    starts = np.cumsum([0, *counts]).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(starts)]


def _temperature(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < math.inf:
        raise ValueError(f"`temperature` must be a finite number >= 0. Received: {value!r}")
    return float(value)
