"""Catch: balls fall through an image of 10 x 10 pixels, and a paddle of one pixel catches them.

The smallest task that is learned from pixels: the learning table has it, since it takes minutes on two cores. Its id is
`"benchmarks.catch:Catch-v0"`, which `gymnasium.make` imports from the root of the repository.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

SIZE = 10
BALLS = 10  # of an episode: the best return


class Catch(gymnasium.Env[np.ndarray, np.integer]):
    """One ball at a time falls by a pixel a timestep, from a column at random; the paddle stands in the last row.

    The observation is uint8 `(10, 10, 1)`: 255 where the ball and the paddle are, 0 elsewhere. Actions are 0 (left), 1 (stay) and
    2 (right). The timestep that ends a ball's fall gives a reward of 1 if the paddle is below it, and shows the next ball; others give
    0. A ball takes 9 timesteps, so that every ball can be caught. The episode goes on for ever: the registered id cuts it after 10
    balls.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 255, (SIZE, SIZE, 1), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(3)
        self._paddle = self._row = self._column = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._paddle = int(self.np_random.integers(SIZE))
        self._throw()
        return self._image(), {}

    def step(self, action: np.integer | int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._paddle = min(max(self._paddle + int(action) - 1, 0), SIZE - 1)
        self._row += 1
        reward = 0.0
        if self._row == SIZE - 1:
            reward = float(self._column == self._paddle)
            self._throw()
        return self._image(), reward, False, False, {}

    def _throw(self) -> None:
        self._row, self._column = 0, int(self.np_random.integers(SIZE))

    def _image(self) -> np.ndarray:
        image = np.zeros((SIZE, SIZE, 1), np.uint8)
        image[self._row, self._column] = image[-1, self._paddle] = 255
        return image


gymnasium.register("Catch-v0", entry_point=Catch, max_episode_steps=BALLS * (SIZE - 1), vector_entry_point=None)
