"""The one shape in which experience leaves an environment, whatever kind of environment it is."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.environments import checks

from ..spaces import Structure
from .episode_records import shows_recorder
from .masks import Mask, Masks

NextSeed = Callable[[], int]
_SMALL = 256  # up to so many floats a Python sum tells faster than NumPy whether one is not finite


@dataclasses.dataclass(slots=True, eq=False)
class Transition:
    """What one step of N environments gave.

    The object and its arrays are **valid until the next call of `step`, `reset` or `restore`**: copy what is
    kept.

    Attributes:
        reward: float64 `(N,)`, finite, also as float32.
        terminated, truncated: bool `(N,)`. Both may be set; termination wins.
        valid: bool `(N,)`. False where a vector environment ignored the action and reset instead (autoreset
            mode NEXT_STEP): the row is no transition, its reward is 0 and its flags are False.
        all_valid: Whether every row is valid.
        next_observation: Per observation leaf an array `(N, *leaf.shape)` in stored form: the **true
            successor** of the action, at an end the episode's last observation.
        next_mask: Per action leaf a bool array `(N, sum(nvec))` or None: what is allowed in
            `next_observation` (all of it where that is terminal); None for environments without masks.
        ended: Indices of the environments whose episode ended in this step.
        recorded: By index, of those in `ended`, the return that the environment recorded itself as `info["episode"]["r"]`
            (gymnasium's `RecordEpisodeStatistics`): of the rewards as they are below the wrappers around that.
        raw: The transition that this was made of by preprocessing; None: this is what the environments gave.
    """

    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    valid: np.ndarray
    all_valid: bool
    next_observation: list[np.ndarray]
    next_mask: Mask | None
    ended: Sequence[int]
    recorded: Mapping[int, float] = dataclasses.field(default_factory=dict)
    raw: Transition | None = None

    @property
    def raw_reward(self) -> np.ndarray:
        """The environments' own rewards, before preprocessing."""
        return self.reward if self.raw is None else self.raw.reward

    @property
    def raw_next_observation(self) -> list[np.ndarray]:
        """The environments' own observations, before preprocessing."""
        return self.next_observation if self.raw is None else self.raw.next_observation


class Environments(abc.ABC):
    """N environments side by side as one stream of true transitions.

    Attributes:
        num_envs: N.
        observation_space, action_space: Spaces of one environment.
        owned: Whether `close` closes the environments (they were made here, from an id or a callable).
        replayable: Whether `state` can bring an open episode back.
        observation: Per observation leaf an array `(N, *leaf.shape)` in stored form: what to act on now.
            After an end it is the new episode's first (in autoreset mode NEXT_STEP one step later: until then
            it is the last one's final observation, and the next action there has no effect). Valid until the
            end of the next `step` call.
        mask: Per action leaf a bool array `(N, sum(nvec))`, True where allowed in `observation`, or None for
            leaves without a mask; None if the environments give no masks. Known after `reset`.
    """

    replayable = False

    def __init__(
        self,
        observation_space: gymnasium.Space,
        action_space: gymnasium.Space,
        num_envs: int,
        owned: bool,
        next_seed: NextSeed | None,
    ):
        self.observation_structure = Structure(observation_space, "observation_space")
        self.action_structure = Structure(action_space, "action_space")
        self.observation_space = observation_space
        self.action_space = action_space
        self.num_envs = num_envs
        self.owned = owned
        self._next_seed: NextSeed = next_seed or _fresh_seeds()
        self._reset_options: dict[str, Any] | None = None
        self._masks = Masks(self.observation_structure, self.action_structure)
        # Three sets of arrays take turns: what was acted on, the true successors, and, if an episode ended,
        # what to act on next. So nothing that a caller still needs is overwritten, and no step allocates.
        leaves = self.observation_structure.leaves
        self._sets = [[np.zeros((num_envs, *leaf.shape), leaf.stored_dtype) for leaf in leaves] for _ in range(3)]
        self._floats = [[array.reshape(-1) for array in arrays if array.dtype.kind == "f"] for arrays in self._sets]
        self._mask_sets: list[Mask] | None = None
        self._current = 0
        self._ready = False
        self.observation = self._sets[0]
        self.mask: Mask | None = None
        self._transition = Transition(
            np.zeros(num_envs),
            np.zeros(num_envs, bool),
            np.zeros(num_envs, bool),
            np.ones(num_envs, bool),
            True,
            self._sets[0],
            None,
            (),
        )

    @property
    def raw_observation(self) -> list[np.ndarray]:
        """`observation` before preprocessing."""
        return self.observation

    @property
    def ready(self) -> bool:
        """Whether a step may begin: not before a reset, after an error, or in the middle of a step."""
        return self._ready

    @property
    def records_returns(self) -> bool:
        """Whether the environments show that they record returns, as far as they can be looked into: episodes may have
        `Transition.recorded` where it is False too."""
        return any(map(shows_recorder, self.sources))

    @property
    def reset_options(self) -> dict[str, Any] | None:
        """What every `reset` of the environments gets as `options`; see `configure`."""
        return self._reset_options

    @property
    @abc.abstractmethod
    def sources(self) -> Sequence[Any]:
        """The environments of gymnasium that these are made of."""

    @abc.abstractmethod
    def configure(self, reset_options: dict[str, Any] | None = None, step_timeout: float | None = None) -> None:
        """How `reset` and `step` of the environments are called from now on.

        Args:
            reset_options: Given to every `reset` as `options`, a copy each time: plain values, as `checks.reset_options`
                returns them. None: `reset` gets no options.
            step_timeout: Seconds that a `step` or a `reset` may take. None: as long as it does.

        Raises:
            ValueError: The environments reset themselves, without options.
            RuntimeError: One of them has not returned from an earlier call, or its workers are gone.
        """

    @abc.abstractmethod
    def reset(self, next_seed: NextSeed | None = None) -> None:
        """Begins a new episode everywhere.

        Args:
            next_seed: Called for the seed of each reset from now on; its results are cast to int. Without it
                the one given at construction stays, or seeds come from the operating system.

        Raises:
            ValueError, TypeError: The environment returned something it may not; the message says where and
                what.
        """

    @abc.abstractmethod
    def step(self, action: Sequence[np.ndarray]) -> Transition:
        """Takes one step everywhere and begins new episodes where one ended.

        Args:
            action: Per action leaf an array `(N, *leaf.shape)` as the environment takes it (`Leaf.decode`d).

        Raises:
            ValueError, TypeError: As `reset`.
            RuntimeError: Before the first `reset`, or after a step that raised.
            TimeoutError: An environment did not answer within `step_timeout`; the message says which one.
        """

    @abc.abstractmethod
    def state(self) -> dict[str, Any]:
        """What `restore` needs to bring the open episodes back: nested JSON values and NumPy arrays."""

    @abc.abstractmethod
    def restore(self, state: dict[str, Any], next_seed: NextSeed | None = None) -> list[int]:
        """Brings back the open episodes of `state()`, in place of `reset`.

        Args:
            state: What `state()` returned, perhaps in another process.
            next_seed: As for `reset`. It is called only for environments that could not be brought back.

        Returns:
            Indices of the environments that could not be brought back; they have begun a new episode.

        Raises:
            ValueError, TypeError: `state` is malformed.
        """

    @property
    @abc.abstractmethod
    def time_limit(self) -> int | None:
        """Timesteps at which the environments truncate their episodes by themselves, as far as their specs say."""

    @abc.abstractmethod
    def limit(self, max_episode_timesteps: int) -> None:
        """Truncates episodes that are so long.

        Raises:
            ValueError: The environments end their episodes earlier, or cannot be truncated from outside.
        """

    def limit_replay(self, timesteps: int | str | None) -> None:
        """Bounds how much of open episodes is kept for `restore`; without effect where they are not replayed.

        Args:
            timesteps: See `SingleEnvs.limit_replay`.
        """
        del timesteps

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the environments if they are owned. They must be reset before they are used again."""

    def _refuse_step(self) -> None:
        raise RuntimeError(
            "`step` needs `reset` first: at the beginning, after `close`, and after a step that raised an error"
        )

    def _check_finite(self, index: int, action: Any = None) -> None:
        for flat in self._floats[index]:
            # A sum of float32 numbers cannot overflow in float64, so it is finite exactly if they all are.
            fine = math.isfinite(sum(flat.tolist())) if flat.size <= _SMALL else np.isfinite(flat).all()
            if not fine:
                row, message = checks.not_finite(self.observation_structure.leaves, self._sets[index])
                raise ValueError(f"{message} ({self._where(row)}{'' if action is None else f', action {action[row]}'})")

    def _open_masks(self, values: list[Any], index: int) -> None:
        """Decides, after a reset, whether there are masks, and writes them into set `index`."""
        self._mask_sets = None
        if not self._masks.applicable or all(value is None for value in values):
            return
        first: Mask | None = None
        for row, value in enumerate(values):
            try:
                mask = self._masks.read(value)
                if first is None:
                    first = mask
                    self._mask_sets = [self._masks.allocate(self.num_envs, first) for _ in range(3)]
                assert self._mask_sets is not None
                self._masks.write(self._mask_sets[index], row, mask, False)
            except ValueError as error:
                raise checks.located(error, self._where(row)) from None

    def _write_mask(self, index: int, row: int, value: Any, final: bool) -> None:
        if self._mask_sets is None:
            if value is not None and self._masks.applicable:
                raise ValueError(
                    f"An action mask came where none was at reset. Give it always or never ({self._where(row)})"
                )
            return
        try:
            self._masks.write(self._mask_sets[index], row, self._masks.read(value), final)
        except ValueError as error:
            raise checks.located(error, self._where(row)) from None

    def _show(self, index: int) -> None:
        """Makes set `index` what to act on."""
        self._current = index
        self.observation = self._sets[index]
        self.mask = None if self._mask_sets is None else self._mask_sets[index]

    def _copy_set(self, source: int, target: int) -> None:
        for into, array in zip(self._sets[target], self._sets[source]):
            np.copyto(into, array)
        if self._mask_sets is not None:
            for mask, other in zip(self._mask_sets[target], self._mask_sets[source]):
                if mask is not None and other is not None:
                    np.copyto(mask, other)

    @abc.abstractmethod
    def _where(self, row: int) -> str:
        """The environment and its step, in words."""


def _fresh_seeds() -> NextSeed:
    generator = np.random.Generator(np.random.Philox())
    return lambda: int(generator.integers(2**31))
