"""What every decision has."""

from __future__ import annotations

from typing import Any

import numpy as np

from kagent.acting import spaces

State = tuple[np.ndarray, ...]


class Decision:
    """What all decisions have.

    Args:
        leaf: The action leaf, of `kagent.spaces` or `kagent.acting.spaces`.

    Attributes:
        kind: The decision's name in configs.
        heads: How many of the network's outputs it reads.
        widths: Their widths: head i is `(N, widths[i])`.
        parts: Of how many arrays its state of an episode is; 0: it has none.
        options: Names of the constructor's arguments beside `leaf`, which `to_config` gives.

    Raises:
        ValueError: A leaf it cannot decide on.
    """

    kind: str
    heads: int
    widths: tuple[int, ...]
    parts = 0
    options: tuple[str, ...] = ()

    def __init__(self, leaf: Any):
        self.leaf = leaf

    def choose(
        self,
        heads: list[np.ndarray],
        rng: np.random.Generator,
        deterministic: bool,
        mask: np.ndarray | None = None,
    ) -> np.ndarray:
        """Canonical actions `(N, *leaf.shape)`, a new array: the most likely ones, or samples.

        Args:
            heads: `self.heads` float arrays `(N, width)`.
            rng: Source of the samples; not touched if `deterministic`.
            deterministic: Take the mode instead of a sample.
            mask: Bool `(N, sum(nvec))`, True = allowed, for discrete leaves; None: all are.

        Raises:
            ValueError: A row of the mask allows nothing, or there is a mask on a leaf that is not discrete.
        """
        raise NotImplementedError

    def initial_state(self, count: int) -> State:
        """The state in which `count` episodes begin: `parts` arrays `(count, ...)`."""
        del count
        return ()

    def choose_from(
        self,
        heads: list[np.ndarray],
        state: State,
        rng: np.random.Generator,
        deterministic: bool,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """As `choose`, in episodes that have a state.

        Args:
            heads, rng, deterministic, mask: As for `choose`.
            state: `parts` arrays `(N, ...)`. Not to be changed in place.

        Returns:
            The actions, and the state after them.
        """
        return self.choose(heads, rng, deterministic, mask), state

    def log_prob(self, heads: list[np.ndarray], canonical: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Log-probability, or log-density, of canonical actions, float64 `(N,)`: those of `kagent.distributions`.

        Args:
            heads, mask: As for `choose`.
            canonical: `(N, *leaf.shape)`, actions that the mask allows.
        """
        raise NotImplementedError

    def tempered(self, heads: list[np.ndarray], temperature: float) -> list[np.ndarray]:
        """New heads from which `choose` samples at another temperature; the mode stays where it is.

        Args:
            heads: As for `choose`.
            temperature: >= 1e-6, and not 1: below, choices are greedy, and at 1 the heads are what they are.
        """
        raise NotImplementedError

    def random(self, count: int, rng: np.random.Generator, mask: np.ndarray | None = None) -> np.ndarray:
        """`count` canonical actions, uniform over what is allowed; see `Box.random` for what has no bounds."""
        raise NotImplementedError

    def perturb(
        self, canonical: np.ndarray, amount: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Canonical actions with noise; a new array.

        Args:
            canonical: `(N, *leaf.shape)`.
            amount: Of a discrete leaf the probability, for each component, that a uniformly random allowed value takes
                the place of the chosen one; of a Box the standard deviation, in the environment's units, of Gaussian
                noise that is added.
            rng, mask: As for `choose`.
        """
        raise NotImplementedError

    def add(self, canonical: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Canonical actions of a Box with noise `(N, *leaf.shape)` in the environment's units; a new array."""
        raise NotImplementedError

    def to_env(self, canonical: np.ndarray) -> np.ndarray:
        """Canonical actions `(N, *leaf.shape)` as the environment takes them, in its dtype; a new array."""
        raise NotImplementedError

    def from_env(self, taken: np.ndarray) -> np.ndarray:
        """Canonical actions of what the environment took, `(N, *leaf.shape)`: the inverse of `to_env`.

        What `to_env` clipped or rounded stays so.
        """
        raise NotImplementedError

    def to_config(self) -> dict[str, Any]:
        """JSON-ready; `from_config` is the inverse."""
        own = {name: getattr(self, name) for name in self.options}
        return {"kind": self.kind, "space": spaces.describe(self.leaf), **own}
