"""Preprocessing as a part of the agent's class."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent import spaces
from kagent.acting import spaces as layout
from kagent.environments import Environments
from kagent.mixin import Mixin
from kagent.preprocessing import preprocessing
from kagent.preprocessing.environments import Preprocessed, check_state
from kagent.preprocessing.episode import Interacting
from kagent.preprocessing.player import Player


class Preprocessor(Mixin):
    """The part of an agent that changes observations and rewards before it sees them. A mixin of `Agent`."""

    def _set_preprocessing(self: Any, spec: Any) -> None:
        self._raw_observation = self._observation
        made = self.preprocessing = preprocessing.get(spec, self._raw_observation, lambda: self.host_clock)
        # One for each episode stream of `act` and `observe`.
        self._interacting = [] if made is None else [Interacting(made) for _ in range(self.parallel_interactions)]
        self._raw_layout = None
        if made is not None:
            self._observation = made.processed
            self._raw_layout = layout.Layout(spaces.to_config(self._raw_observation.space), "observation")

    @property
    def processed_space(self: Any) -> gymnasium.Space:
        """Space of one environment's observations after `preprocessing`: what networks and memories get."""
        return self._observation.space

    def _preprocessed(self: Any, environments: Environments, learn: bool) -> Environments:
        if self.preprocessing is None:
            return environments
        return Preprocessed(environments, self.preprocessing, learn)

    # act and observe -------------------------------------------------------------------------------------------

    def _read(self: Any, observation: Any, mask: Any, last: bool = False) -> tuple[list[np.ndarray], Any]:
        # One raw observation and mask, checked, as a batch of one.
        if self._raw_layout is None:
            result: tuple[list[np.ndarray], Any] = self.actor.read(observation, mask, last)
            return result
        parts = self._raw_layout.flatten(observation)
        leaves = [layout.encode(leaf, part)[None] for leaf, part in zip(self._raw_layout.leaves, parts)]
        return leaves, None if last else self.actor.read_mask(observation, mask)

    def _see(self: Any, leaves: list[np.ndarray], learn: bool, stream: int) -> list[np.ndarray]:
        return self._interacting[stream].observation(leaves, learn) if self._interacting else leaves

    def _advance(
        self: Any, reward: float, leaves: list[np.ndarray] | None, ended: bool, stream: int
    ) -> tuple[float, list[np.ndarray] | None]:
        return self._interacting[stream].advance(reward, leaves, ended) if self._interacting else (reward, leaves)

    def player(self: Any) -> Player:
        """Who acts through whole episodes one observation at a time, where nothing is to be learned.

        With `preprocessing` that remembers an episode, it takes the place of deterministic acts: `player.reset()` says that
        one begins.
        """
        return Player(self)

    # Batches ---------------------------------------------------------------------------------------------------

    def _preprocess_batch(self: Any, leaves: Sequence[Any]) -> list[Any]:
        # Tensors (N, *leaf.shape), each row an episode's first. The layers are of the host.
        made = self.preprocessing
        if made is None:
            return list(leaves)
        kept = made.processed.leaves
        found = tf.numpy_function(lambda *given: made.first(given), leaves, [leaf.stored_dtype for leaf in kept])
        found = found if isinstance(found, list | tuple) else [found]  # TensorFlow unpacks a single one
        return [tf.ensure_shape(x, (leaves[0].shape[0], *leaf.shape)) for leaf, x in zip(kept, found)]

    def make_predict_function(self: Any, force: bool = False) -> Any:
        """As in Keras; not compiled by XLA where there is preprocessing, which is NumPy."""
        jit = self.jit_compile
        if self.preprocessing is not None:
            self.jit_compile = False
        try:
            return super().make_predict_function(force)
        finally:
            self.jit_compile = jit

    # State -----------------------------------------------------------------------------------------------------

    def _preprocessing_state(self: Any) -> dict[str, Any] | None:
        if self.preprocessing is None:
            return None
        return {
            "config": self._preprocessing_config(),
            "statistics": self.preprocessing.statistics(),
            "interacting": [interacting.state() for interacting in self._interacting],
        }

    def _load_preprocessing(self: Any, state: Any) -> None:
        if self._preprocesses_otherwise(state):
            found = state.get("config") if isinstance(state, dict) else None
            raise ValueError(
                "The file's `preprocessing` is not the agent's. "
                f"Received: {found}. The agent's: {self._preprocessing_config()}"
            )
        if self.preprocessing is not None:
            self.preprocessing.set_statistics(state.get("statistics"))
            found = state.get("interacting")
            if not isinstance(found, list) or len(found) != len(self._interacting):
                raise ValueError(
                    f"The file's agent has other parallel_interactions. The agent's: {len(self._interacting)}"
                )
            for interacting, one in zip(self._interacting, found):
                interacting.restore(one)

    def _check_preprocessed(self: Any, state: Any, count: int) -> None:
        check_state(state, self.preprocessing, count)

    def _preprocesses_otherwise(self: Any, state: Any) -> bool:
        return bool(self._preprocessing_config() != (state.get("config") if isinstance(state, dict) else None))

    def _preprocessing_config(self: Any) -> Any:
        if self.preprocessing is None:
            return None
        try:
            return json.loads(json.dumps(self.preprocessing.get_config()))
        except ValueError:  # a Keras layer of a class that no file can name: weights may be saved all the same
            return {key: [type(part).__name__ for part in parts] for key, parts in self.preprocessing.parts.items()}

    def _remember_preprocessing(self: Any) -> Callable[[], None]:
        made, interacting = self.preprocessing, self._interacting
        if made is None:
            return lambda: None
        statistics, episodes = made.statistics(), [dict(vars(one)) for one in interacting]

        def undo() -> None:
            made.set_statistics(statistics)
            for one, episode in zip(interacting, episodes):
                vars(one).update(episode)

        return undo
