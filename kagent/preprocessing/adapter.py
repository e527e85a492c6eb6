"""Observations and rewards between an environment and an agent, with or without preprocessing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from kagent import spaces
from kagent.acting import spaces as layout
from kagent.environments import Environments
from kagent.preprocessing import preprocessing
from kagent.preprocessing.environments import Preprocessed, check_state
from kagent.preprocessing.episode import Interacting
from kagent.schedules import Clock
from kagent.spaces import Structure


class Restored(NamedTuple):
    """A state that fits, as `Adapter.check` makes it of one that may not."""

    statistics: list[list[dict[str, np.ndarray]]]
    episodes: list[Interacting]


class Adapter:
    """Changes observations and rewards as `preprocessing` says, on every way from an environment to an agent.

    Args:
        spec: `preprocessing` as `Agent` takes it; None: nothing is changed.
        raw: Leaves of the environment's observations.
        streams: Episode streams of `act` and `observe`.
        clock: Gives the time, for schedules.

    Attributes:
        preprocessing: A `Preprocessing`, or None.
        raw: As given.
        observation: Leaves of the observations that networks and memories get.
    """

    def __init__(self, spec: Any, raw: Structure, streams: int, clock: Callable[[], Clock]):
        made = self.preprocessing = preprocessing.get(spec, raw, clock)
        self.raw = raw
        self.observation = raw if made is None else made.processed
        self._episodes = [] if made is None else [Interacting(made) for _ in range(streams)]  # one for each stream
        self._layout = None if made is None else layout.Layout(spaces.to_config(raw.space), "observation")

    def environments(self, environments: Environments, learn: bool) -> Environments:
        """The environments as the agent sees them.

        Args:
            environments: As they are.
            learn: Whether statistics of what is seen are kept.
        """
        return environments if self.preprocessing is None else Preprocessed(environments, self.preprocessing, learn)

    # act and observe -------------------------------------------------------------------------------------------

    def read(self, actor: Any, observation: Any, mask: Any, last: bool = False) -> tuple[list[np.ndarray], Any]:
        """One observation and mask of the environment, checked, as a batch of one: leaves before preprocessing, masks.

        Args:
            actor: The agent's.
            observation, mask: As the environment gives them.
            last: Whether it is the end of an episode, where masks are not read.
        """
        if self._layout is None:
            found: tuple[list[np.ndarray], Any] = actor.read(observation, mask, last)
            return found
        parts = self._layout.flatten(observation)
        leaves = [layout.encode(leaf, part)[None] for leaf, part in zip(self._layout.leaves, parts)]
        return leaves, None if last else actor.read_mask(observation, mask)

    def see(self, leaves: list[np.ndarray], learn: bool, stream: int) -> list[np.ndarray]:
        """The observation of a stream's open episode as the agent sees it; see `Interacting.observation`."""
        return self._episodes[stream].observation(leaves, learn) if self._episodes else leaves

    def advance(
        self, reward: float, leaves: list[np.ndarray] | None, ended: bool, stream: int
    ) -> tuple[float, list[np.ndarray] | None]:
        """Reward and next observation of a stream's timestep as the agent sees them; see `Interacting.advance`."""
        return self._episodes[stream].advance(reward, leaves, ended) if self._episodes else (reward, leaves)

    def restart(self) -> None:
        """Leaves the open episodes of all streams."""
        for episode in self._episodes:
            episode.restart()

    # Batches ---------------------------------------------------------------------------------------------------

    def stored(self, observation: Any) -> list[tf.Tensor]:
        """A batch of observations as the environment gives them, `(N, ...)`, as leaves in the form that kagent keeps."""
        leaves = []
        for leaf, x in zip(self.raw.leaves, self.raw.flatten(observation)):
            x = tf.convert_to_tensor(x)
            if leaf.start is not None and leaf.start.any():
                x = x - tf.cast(leaf.start, x.dtype)
            leaves.append(tf.cast(x, leaf.stored_dtype))
        return leaves

    def first(self, leaves: Sequence[Any]) -> list[Any]:
        """Tensors `(N, *leaf.shape)` as the agent sees them, where each row is an episode's first observation."""
        made = self.preprocessing
        if made is None:
            return list(leaves)
        # The layers are NumPy, on the host.
        kept = made.processed.leaves
        found = tf.numpy_function(lambda *given: made.first(given), leaves, [leaf.stored_dtype for leaf in kept])
        found = found if isinstance(found, list | tuple) else [found]  # TensorFlow unpacks a single one
        return [tf.ensure_shape(x, (leaves[0].shape[0], *leaf.shape)) for leaf, x in zip(kept, found)]

    # State -----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any] | None:
        """Statistics and open episodes, for `check`; None without preprocessing."""
        if self.preprocessing is None:
            return None
        return {
            "config": self._config(),
            "statistics": self.preprocessing.statistics(),
            "interacting": [episode.state() for episode in self._episodes],
        }

    def check(self, state: Any) -> Restored | None:
        """A state, perhaps by way of a file, for `restore`; None without preprocessing.

        Raises:
            ValueError: It is of other preprocessing or another number of streams, or damaged.
        """
        if self.differs(state):
            found = state.get("config") if isinstance(state, dict) else None
            raise ValueError(
                f"The file's `preprocessing` is not the agent's. Received: {found}. The agent's: {self._config()}"
            )
        made = self.preprocessing
        if made is None:
            return None
        statistics, found = made.check_statistics(state.get("statistics")), state.get("interacting")
        if not isinstance(found, list) or len(found) != len(self._episodes):
            raise ValueError(f"The file's agent has other parallel_interactions. The agent's: {len(self._episodes)}")
        episodes = [Interacting(made) for _ in found]
        for episode, one in zip(episodes, found):
            episode.restore(one)
        return Restored(statistics, episodes)

    def restore(self, restored: Restored | None) -> None:
        """Takes what `check` returned."""
        if self.preprocessing is not None and restored is not None:
            self.preprocessing.set_statistics(restored.statistics)
            self._episodes = restored.episodes

    def check_open(self, state: Any, count: int) -> None:
        """Checks the state of `count` environments' open episodes in `Preprocessed`.

        Raises:
            ValueError: It is missing or damaged.
        """
        if self.preprocessing is not None:
            check_state(state, self.preprocessing, count)

    def differs(self, state: Any) -> bool:
        """Whether a state is of other preprocessing."""
        return bool(self._config() != (state.get("config") if isinstance(state, dict) else None))

    def _config(self) -> Any:
        if self.preprocessing is None:
            return None
        try:
            return json.loads(json.dumps(self.preprocessing.get_config()))
        except ValueError:  # a Keras layer of a class that no file can name: weights may be saved all the same
            return {key: [type(part).__name__ for part in parts] for key, parts in self.preprocessing.parts.items()}
