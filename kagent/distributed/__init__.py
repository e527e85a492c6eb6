"""Environments on many machines, or in many processes of one: `agent.fit(env, steps=..., workers=Ray(num_workers=8))`.

A worker has environments, an actor in NumPy and an exploration, and no TensorFlow. The agent learns where `fit` was called. Its
weights go to the workers as one buffer per update, and timesteps come back as columns. With the same seed, workers that wait
for the learner give the training of as many environments in one process, bit for bit; `docs/guides/workers.md` names the exceptions.
"""

from kagent.distributed.ray_workers import Ray
from kagent.distributed.workers import Answer, WorkerError, Workers, WorkerSource

__all__ = ["Answer", "Ray", "WorkerError", "WorkerSource", "Workers"]
