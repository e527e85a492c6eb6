"""gymnasium's classic control, as functions of tensors. Equations and constants are those of gymnasium's environments."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np
import tensorflow as tf

from kagent.environments.compiled.environment import CompiledEnv


def _uniform(seed: Any, n: int, low: Any, high: Any) -> tf.Tensor:
    low, high = (np.asarray(bound, np.float32) for bound in (low, high))
    share = tf.random.stateless_uniform((n, *low.shape), seed, alg="philox")
    return low + share * (high - low)


def _box(high: Any, low: Any = None) -> gymnasium.spaces.Box:
    high = np.asarray(high, np.float32)
    return gymnasium.spaces.Box(-high if low is None else np.asarray(low, np.float32), high, dtype=np.float32)


class CartPole(CompiledEnv):
    """Balance a pole on a cart (Barto, Sutton and Anderson 1983): `CartPole-v1` of gymnasium.

    A state is float32 `(n, 4)`: position and velocity of the cart, angle and angular velocity of the pole; it is the
    observation, too. Actions: 0 pushes left, 1 right. Every timestep gives the reward 1. An episode ends where the pole leans 12
    degrees or the cart is 2.4 from the middle, and is truncated at 500 timesteps.

    Args:
        num_envs: Environments side by side.

    Example:

    >>> env = CartPole(num_envs=2)
    >>> state = tf.zeros((2, 4))
    >>> print(env.transition(state, tf.constant([0, 1]), None)[:, 1].numpy().round(4))
    [-0.1951  0.1951]
    """

    observation_space = _box([4.8, np.inf, 24 * math.pi / 180, np.inf])
    action_space = gymnasium.spaces.Discrete(2)
    max_episode_steps = 500

    def initial(self, seed: tf.Tensor, n: int) -> tf.Tensor:
        return _uniform(seed, n, [-0.05] * 4, [0.05] * 4)

    def transition(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        position, velocity, angle, spin = tf.unstack(state, axis=1)
        force = tf.where(action == 1, 10.0, -10.0)
        cosine, sine = tf.cos(angle), tf.sin(angle)
        push = (force + 0.05 * tf.square(spin) * sine) / 1.1
        turn = (9.8 * sine - cosine * push) / (0.5 * (4.0 / 3.0 - 0.1 * tf.square(cosine) / 1.1))
        speed = push - 0.05 * turn * cosine / 1.1
        moved = (position + 0.02 * velocity, velocity + 0.02 * speed, angle + 0.02 * spin, spin + 0.02 * turn)
        return tf.stack(moved, axis=1)

    def observation(self, state: tf.Tensor) -> tf.Tensor:
        return state

    def reward(self, state: tf.Tensor, action: tf.Tensor, next_state: tf.Tensor) -> tf.Tensor:
        return tf.ones(next_state.shape[:1])

    def terminal(self, state: tf.Tensor) -> tf.Tensor:
        return (tf.abs(state[:, 0]) > 2.4) | (tf.abs(state[:, 2]) > 12 * 2 * math.pi / 360)


class Pendulum(CompiledEnv):
    """Swing a pendulum up and hold it: `Pendulum-v1` of gymnasium.

    A state is float32 `(n, 2)`: angle from upright, and angular velocity. An observation is cosine and sine of the angle and the
    velocity. Actions are torques from -2 to 2. A reward is minus the cost of angle, velocity and torque. Episodes do not end, and
    are truncated at 200 timesteps.

    Args:
        num_envs: Environments side by side.

    Example:

    >>> env = Pendulum()
    >>> print(env.reward(tf.zeros((1, 2)), tf.constant([[2.0]]), None).numpy().round(4))
    [-0.004]
    """

    observation_space = _box([1.0, 1.0, 8.0])
    action_space = _box([2.0])
    max_episode_steps = 200

    def initial(self, seed: tf.Tensor, n: int) -> tf.Tensor:
        return _uniform(seed, n, [-math.pi, -1.0], [math.pi, 1.0])

    def transition(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        angle, spin = tf.unstack(state, axis=1)
        torque = tf.clip_by_value(action[:, 0], -2.0, 2.0)
        spin = tf.clip_by_value(spin + (15.0 * tf.sin(angle) + 3.0 * torque) * 0.05, -8.0, 8.0)
        return tf.stack((angle + spin * 0.05, spin), axis=1)

    def observation(self, state: tf.Tensor) -> tf.Tensor:
        angle, spin = tf.unstack(state, axis=1)
        return tf.stack((tf.cos(angle), tf.sin(angle), spin), axis=1)

    def reward(self, state: tf.Tensor, action: tf.Tensor, next_state: tf.Tensor) -> tf.Tensor:
        angle, spin = tf.unstack(state, axis=1)
        torque = tf.clip_by_value(action[:, 0], -2.0, 2.0)
        return -(tf.square(_wrapped(angle)) + 0.1 * tf.square(spin) + 0.001 * tf.square(torque))

    def terminal(self, state: tf.Tensor) -> tf.Tensor:
        return tf.zeros(state.shape[:1], tf.bool)


class Acrobot(CompiledEnv):
    """Swing the tip of two links above a bar (Sutton 1996): `Acrobot-v1` of gymnasium.

    A state is float32 `(n, 4)`: the angle of the first link from straight down, that of the second one to it, and their
    velocities. An observation is cosine and sine of each angle, and the velocities. Actions 0, 1 and 2 are torques of -1, 0 and 1
    between the links. A reward is -1, and 0 where the episode ends. It is truncated at 500 timesteps.

    Args:
        num_envs: Environments side by side.

    Example:

    >>> env = Acrobot()
    >>> env.terminal(tf.constant([[3.0, 0.0, 0.0, 0.0]])).numpy().tolist()  # straight up
    [True]
    """

    observation_space = _box([1.0, 1.0, 1.0, 1.0, 4 * np.pi, 9 * np.pi])
    action_space = gymnasium.spaces.Discrete(3)
    max_episode_steps = 500

    def initial(self, seed: tf.Tensor, n: int) -> tf.Tensor:
        return _uniform(seed, n, [-0.1] * 4, [0.1] * 4)

    def transition(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        torque = tf.cast(action, tf.float32) - 1.0
        # One step of the classical Runge-Kutta method.
        span = 0.2
        first = _acceleration(state, torque)
        second = _acceleration(state + span / 2 * first, torque)
        third = _acceleration(state + span / 2 * second, torque)
        fourth = _acceleration(state + span * third, torque)
        moved = state + span / 6 * (first + 2 * second + 2 * third + fourth)
        angle, other, spin, turn = tf.unstack(moved, axis=1)
        most, more = 4 * math.pi, 9 * math.pi
        bounded = tf.clip_by_value(spin, -most, most), tf.clip_by_value(turn, -more, more)
        return tf.stack((_wrapped(angle), _wrapped(other), *bounded), axis=1)

    def observation(self, state: tf.Tensor) -> tf.Tensor:
        angle, other, spin, turn = tf.unstack(state, axis=1)
        return tf.stack((tf.cos(angle), tf.sin(angle), tf.cos(other), tf.sin(other), spin, turn), axis=1)

    def reward(self, state: tf.Tensor, action: tf.Tensor, next_state: tf.Tensor) -> tf.Tensor:
        return tf.where(self.terminal(next_state), 0.0, -1.0)

    def terminal(self, state: tf.Tensor) -> tf.Tensor:
        return -tf.cos(state[:, 0]) - tf.cos(state[:, 1] + state[:, 0]) > 1.0


class MountainCar(CompiledEnv):
    """Drive a weak car out of a valley (Moore 1990): `MountainCar-v0` of gymnasium.

    A state is float32 `(n, 2)`: position and velocity; it is the observation, too. Actions 0, 1 and 2 push left, not at all, and
    right. Every timestep gives the reward -1. An episode ends at the goal, position 0.5, and is truncated at 200 timesteps.

    Args:
        num_envs: Environments side by side.

    Example:

    >>> env = MountainCar()
    >>> print(env.transition(tf.constant([[-1.2, -0.05]]), tf.constant([0]), None).numpy())  # the wall stops it
    [[-1.2  0. ]]
    """

    observation_space = _box([0.6, 0.07], [-1.2, -0.07])
    action_space = gymnasium.spaces.Discrete(3)
    max_episode_steps = 200
    _goal = 0.5

    def initial(self, seed: tf.Tensor, n: int) -> tf.Tensor:
        return _uniform(seed, n, [-0.6, 0.0], [-0.4, 0.0])

    def transition(self, state: tf.Tensor, action: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        position, velocity = tf.unstack(state, axis=1)
        velocity = tf.clip_by_value(velocity + self._push(action) - 0.0025 * tf.cos(3 * position), -0.07, 0.07)
        position = tf.clip_by_value(position + velocity, -1.2, 0.6)
        return tf.stack((position, tf.where((position <= -1.2) & (velocity < 0), 0.0, velocity)), axis=1)

    def _push(self, action: tf.Tensor) -> tf.Tensor:
        return (tf.cast(action, tf.float32) - 1.0) * 0.001

    def observation(self, state: tf.Tensor) -> tf.Tensor:
        return state

    def reward(self, state: tf.Tensor, action: tf.Tensor, next_state: tf.Tensor) -> tf.Tensor:
        return -tf.ones(next_state.shape[:1])

    def terminal(self, state: tf.Tensor) -> tf.Tensor:
        return (state[:, 0] >= self._goal) & (state[:, 1] >= 0.0)


class MountainCarContinuous(MountainCar):
    """As `MountainCar`, with forces from -1 to 1 as actions: `MountainCarContinuous-v0` of gymnasium.

    The goal is at 0.45 and gives the reward 100, less a tenth of the square of each timestep's force. Episodes are truncated at 999
    timesteps.

    Args:
        num_envs: Environments side by side.

    Example:

    >>> env = MountainCarContinuous()
    >>> print(env.reward(None, tf.constant([[1.0]]), tf.constant([[0.46, 0.01]])).numpy())
    [99.9]
    """

    action_space = _box([1.0])
    max_episode_steps = 999
    _goal = 0.45

    def _push(self, action: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(action[:, 0], -1.0, 1.0) * 0.0015

    def reward(self, state: tf.Tensor, action: tf.Tensor, next_state: tf.Tensor) -> tf.Tensor:
        return tf.where(self.terminal(next_state), 100.0, 0.0) - 0.1 * tf.square(action[:, 0])


def _wrapped(angle: tf.Tensor) -> tf.Tensor:
    """The angle between -pi and pi, in radians."""
    return tf.math.floormod(angle + math.pi, 2 * math.pi) - math.pi


def _acceleration(state: tf.Tensor, torque: tf.Tensor) -> tf.Tensor:
    # Of links of length, mass and moment of inertia 1, whose masses are in their middles: Sutton and Barto's equations.
    angle, other, spin, turn = tf.unstack(state, axis=1)
    inertia = 0.25 + (1.25 + tf.cos(other)) + 2.0
    coupling = 0.25 + 0.5 * tf.cos(other) + 1.0
    weight = 0.5 * 9.8 * tf.cos(angle + other - math.pi / 2)
    whirl = 0.5 * tf.sin(other)
    load = -whirl * tf.square(turn) - 2 * whirl * turn * spin + 1.5 * 9.8 * tf.cos(angle - math.pi / 2) + weight
    second = (torque + coupling / inertia * load - whirl * tf.square(spin) - weight) / (
        1.25 - tf.square(coupling) / inertia
    )
    first = -(coupling * second + load) / inertia
    return tf.stack((spin, turn, first, second), axis=1)
