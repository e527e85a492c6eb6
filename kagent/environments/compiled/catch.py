"""A grid world that is seen as an image."""

from __future__ import annotations

from typing import NamedTuple

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.config.checks import check_count
from kagent.environments.compiled.environment import CompiledEnv


class CatchState(NamedTuple):
    """Of each environment the ball's row and column and the paddle's column, int32 `(n,)` each."""

    row: tf.Tensor
    column: tf.Tensor
    paddle: tf.Tensor


class Catch(CompiledEnv):
    """Catch a falling ball with a paddle (Mnih et al. 2014, arXiv:1406.6247; as in Osband et al. 2020, arXiv:1908.03568).

    The ball begins in the first row, in any column, and falls one row a timestep; the paddle begins in the middle of the last
    row. Actions 0, 1 and 2 move the paddle left, not at all, and right. An episode ends when the ball is in the last row, with the
    reward 1 where the paddle is below it and -1 elsewhere; other timesteps give 0.

    Observations are images, uint8 `(rows, columns, 1)`: 255 where the ball and where the paddle are.

    Args:
        num_envs: Environments side by side.
        rows, columns: Of the grid; at least 2 and 1.

    Example:

    >>> env = Catch(num_envs=2, rows=3, columns=3)
    >>> state = CatchState(tf.constant([0, 1]), tf.constant([0, 2]), tf.constant([1, 1]))
    >>> env.observation(state)[0, :, :, 0].numpy().tolist()
    [[255, 0, 0], [0, 0, 0], [0, 255, 0]]
    >>> following = env.transition(state, tf.constant([0, 2]), None)
    >>> env.reward(state, None, following).numpy().tolist()
    [0.0, 1.0]
    """

    action_space = gymnasium.spaces.Discrete(3)

    def __init__(self, num_envs: int = 1, rows: int = 10, columns: int = 5):
        super().__init__(num_envs)
        self.rows, self.columns = check_count(rows, "rows", least=2), check_count(columns, "columns")
        self.observation_space = gymnasium.spaces.Box(0, 255, (self.rows, self.columns, 1), np.uint8)

    def initial(self, seed: tf.Tensor, n: int) -> CatchState:
        column = tf.random.stateless_uniform((n,), seed, alg="philox") * self.columns
        column = tf.minimum(tf.cast(column, tf.int32), self.columns - 1)
        return CatchState(tf.zeros((n,), tf.int32), column, tf.fill((n,), self.columns // 2))

    def transition(self, state: CatchState, action: tf.Tensor, seed: tf.Tensor) -> CatchState:
        paddle = tf.clip_by_value(state.paddle + tf.cast(action, tf.int32) - 1, 0, self.columns - 1)
        return CatchState(state.row + 1, state.column, paddle)

    def observation(self, state: CatchState) -> tf.Tensor:
        ball = _cells(state.row, state.column, self.rows, self.columns)
        paddle = _cells(tf.fill(state.row.shape, self.rows - 1), state.paddle, self.rows, self.columns)
        return tf.cast(tf.where(ball | paddle, 255, 0), tf.uint8)[..., tf.newaxis]

    def reward(self, state: CatchState, action: tf.Tensor, next_state: CatchState) -> tf.Tensor:
        caught = tf.where(next_state.paddle == next_state.column, 1.0, -1.0)
        return tf.where(self.terminal(next_state), caught, 0.0)

    def terminal(self, state: CatchState) -> tf.Tensor:
        return state.row >= self.rows - 1

    def render_frame(self, state: CatchState) -> np.ndarray:
        frame = np.zeros((self.rows, self.columns, 3), np.uint8)
        frame[self.rows - 1, state.paddle] = 255
        frame[min(state.row, self.rows - 1), state.column] = 255
        return np.kron(frame, np.ones((16, 16, 1), np.uint8))


def _cells(row: tf.Tensor, column: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
    # Bool (n, rows, columns): which cell it is.
    return (row[:, tf.newaxis] == tf.range(rows))[:, :, tf.newaxis] & (column[:, tf.newaxis] == tf.range(columns))[
        :, tf.newaxis
    ]
