"""Environments as functions of tensors: `agent.fit` compiles them into one program with the agent.

`CompiledEnv` is the interface. `CartPole`, `Pendulum`, `Acrobot`, `MountainCar`, `MountainCarContinuous` and `Catch` keep it, and
so does a class of one's own. This package imports TensorFlow; `kagent.environments` does not.

>>> env = CartPole(num_envs=4)
>>> agent = kagent.PPO(env, n_steps=8, batch_size=16, epochs=2, network={"units": [8]}, seed=0)
>>> history = agent.fit(env, steps=64, verbose=0)
>>> agent.timesteps
64
"""

from __future__ import annotations

from kagent.environments.compiled.catch import Catch, CatchState
from kagent.environments.compiled.classic_control import (
    Acrobot,
    CartPole,
    MountainCar,
    MountainCarContinuous,
    Pendulum,
)
from kagent.environments.compiled.comparison import check_compiled
from kagent.environments.compiled.environment import CompiledEnv
from kagent.environments.compiled.vector import CompiledVectorEnv, as_gymnasium

__all__ = [
    "Acrobot",
    "CartPole",
    "Catch",
    "CatchState",
    "CompiledEnv",
    "CompiledVectorEnv",
    "MountainCar",
    "MountainCarContinuous",
    "Pendulum",
    "as_gymnasium",
    "check_compiled",
]
