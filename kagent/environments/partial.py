"""Environments whose single observations do not say enough, for agents that remember.

Importing this module registers them with gymnasium; `"kagent.environments.partial:TMaze-v0"` as an id does so by itself.

| id | what is missing |
|---|---|
| `CartPoleWithoutVelocities-v1` | how fast cart and pole move |
| `PendulumWithoutVelocities-v1` | how fast it turns |
| `MountainCarContinuousWithoutVelocities-v0` | how fast the car is |
| `TMaze-v0` | the sign, behind the first timestep |
| `RepeatPrevious-v0` | the cards before the newest one |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

_POSITIONS = {"CartPole-v1": (0, 2), "Pendulum-v1": (0, 1), "MountainCarContinuous-v0": (0,)}


class WithoutVelocities(gymnasium.ObservationWrapper):
    """An environment whose observation lacks the velocities, or other components of a vector.

    Args:
        env: An environment with a `Box` of one axis.
        kept: Indices of the components that stay. None: the positions of CartPole, Pendulum or MountainCarContinuous.

    Raises:
        ValueError: Another observation space; indices that there are not; no `kept` of another environment.

    Example:

    >>> import gymnasium
    >>> env = WithoutVelocities(gymnasium.make("CartPole-v1"))
    >>> env.observation_space.shape
    (2,)
    """

    def __init__(self, env: gymnasium.Env[Any, Any], kept: Sequence[int] | None = None):
        super().__init__(env)
        space, name = env.observation_space, getattr(env.spec, "id", None)
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise ValueError(f"`env` must have a Box of one axis for its observation. Received: {space}")
        if kept is None:
            kept = _POSITIONS.get(str(name))
        if kept is None:
            raise ValueError(f"`kept` must be given, except of {', '.join(_POSITIONS)}. Received: None with {name}")
        self._kept = [int(index) for index in kept]
        size = space.shape[0]
        if not self._kept or min(self._kept) < 0 or max(self._kept) >= size:
            raise ValueError(f"`kept` must be indices from 0 to {size - 1}, at least one. Received: {list(kept)}")
        low, high = space.low[self._kept], space.high[self._kept]
        self.observation_space = gymnasium.spaces.Box(low, high, dtype=space.dtype.type)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[self._kept]


class TMaze(gymnasium.Env[np.ndarray, int]):
    """A corridor with a sign at its beginning and a junction at its end (Bakker 2001, "Reinforcement Learning with Long
    Short-Term Memory").

    Observation: the sign, -1 or 1 at the first timestep and 0 later, and whether this is the junction. Actions: forward, left,
    right. The reward is 1 for the turn that the sign showed, and a turn at the junction ends the episode. An episode is cut off
    after four times the corridor's length.

    Args:
        corridor: Steps from the sign to the junction, at least 1.

    Example:

    >>> env = TMaze(corridor=1)
    >>> (sign, junction), _ = env.reset(seed=0)
    >>> env.step(0)[0].tolist(), env.step(2 if sign > 0 else 1)[1:3]
    ([0.0, 1.0], (1.0, True))
    """

    def __init__(self, corridor: int = 10):
        if isinstance(corridor, bool) or not isinstance(corridor, int) or corridor < 1:
            raise ValueError(f"`corridor` must be an integer >= 1. Received: {corridor!r}")
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(3)
        self.corridor = corridor

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._place = self._timestep = 0
        self._sign = int(self.np_random.choice([-1, 1]))
        return np.array([self._sign, 0], np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._timestep += 1
        turned, right = action > 0 and self._place == self.corridor, {1: -1, 2: 1}.get(int(action)) == self._sign
        self._place = min(self._place + (action == 0), self.corridor)
        observation = np.array([0, self._place == self.corridor], np.float32)
        return observation, float(turned and right), bool(turned), self._timestep >= 4 * self.corridor, {}


class RepeatPrevious(gymnasium.Env[int, int]):
    """Cards of a shuffled deck, one at a timestep, whose suits are to be named some cards later. The rules are those of
    RepeatPreviousEasy in POPGym (Morad et al. 2023, "POPGym: Benchmarking Partially Observable Reinforcement Learning").

    Observation: the suit of the newest card, 0 to 3. Action: the suit of the card `back - 1` cards before it. As soon as there were
    `back` cards, the right suit is rewarded by `1 / (52 * decks - back)` and a wrong one costs as much, so that returns are from -1 to
    1, and -0.5 by chance. The last card ends the episode.

    Args:
        back: How many of the newest cards are to be remembered, at least 1.
        decks: Of 52 cards each, at least 1.

    Raises:
        ValueError: An argument is out of range.

    Example:

    >>> env = RepeatPrevious(back=1)
    >>> suit, _ = env.reset(seed=0)
    >>> env.step(suit)[1] == 1 / 51
    True
    """

    def __init__(self, back: int = 4, decks: int = 1):
        for name, value, most in (("decks", decks, 1000), ("back", back, 51)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise ValueError(f"`{name}` must be an integer from 1 to {most}. Received: {value!r}")
        self.observation_space, self.action_space = gymnasium.spaces.Discrete(4), gymnasium.spaces.Discrete(4)
        self.back, self.decks = back, decks

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._suits = self.np_random.permutation(np.repeat(np.arange(4), 13 * self.decks))
        self._seen = 1
        return int(self._suits[0]), {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        cards, reward = len(self._suits), 0.0
        if self._seen >= self.back:
            right = int(action) == self._suits[self._seen - self.back]
            reward = (1.0 if right else -1.0) / (cards - self.back)
        self._seen += 1
        return int(self._suits[self._seen - 1]), reward, self._seen == cards, False, {}


def _without(name: str, **arguments: Any) -> gymnasium.Env[Any, Any]:
    return WithoutVelocities(gymnasium.make(name, disable_env_checker=True, **arguments))


def _register() -> None:
    for name in _POSITIONS:
        short, _, version = name.partition("-")
        gymnasium.register(f"{short}WithoutVelocities-{version}", _without, kwargs={"name": name})
    gymnasium.register("TMaze-v0", TMaze)
    gymnasium.register("RepeatPrevious-v0", RepeatPrevious)


_register()
