"""A toy environment, and model functions on it whose numbers are known."""

import gymnasium
import keras
import numpy as np
from gymnasium import spaces

from kagent.callbacks import Callback
from kagent.estimators import Agent, Bootstrap, EstimatorSpec, Memory, Modes, RunConfig

GRID = {"first_update": 9, "update_frequency": 4}


class Count(gymnasium.Env):
    """Pays 1 at every step and terminates (or is truncated) after `n`; the observation is the step. It counts its calls."""

    observation_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, n=10, truncates=False):
        self.n, self.truncates = n, truncates
        self.resets = self.steps = 0

    @property
    def calls(self):
        return self.resets, self.steps

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.resets += 1
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.steps += 1
        self.time += 1
        ended = self.time == self.n
        observation = np.full(1, self.time, np.float32)
        return observation, 1.0, ended and not self.truncates, ended and self.truncates, {}


class Listener(Callback):
    """Writes down when updates are made, and the order of everything."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.times, self.order, self.stop_at = [], [], stop_at

    def on_train_begin(self, logs=None):
        self.order.append("train_begin")

    def on_train_end(self, logs=None):
        self.order.append("train_end")

    def on_epoch_begin(self, epoch, logs=None):
        self.order.append(f"epoch_begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.order.append(f"epoch_end {epoch}")

    def on_episode_begin(self, episode, logs=None):
        self.order.append(f"episode_begin {episode}")

    def on_episode_end(self, episode, logs=None):
        self.order.append(f"episode_end {episode}")

    def on_train_batch_end(self, batch, logs=None):
        self.order.append("batch_end")

    def on_update_end(self, update, logs=None):
        self.times.append(self.model.timesteps)
        self.order.append("update_end")
        if self.stop_at == update:
            self.model.stop_training = True


def q_spec(features, labels, mode, optimizer="adam", **more):
    """A linear Q model."""
    q = keras.layers.Dense(2, name="q")(features["state"])
    taken = keras.ops.sum(q * keras.ops.one_hot(labels["action"], 2), axis=-1)
    loss = keras.ops.mean(keras.ops.square(labels["target"] - taken))
    predictions = {"results": keras.ops.argmax(q, axis=-1), "q": q}
    return EstimatorSpec(mode, predictions=predictions, loss=loss, train_op=optimizer, **more)


def make(function=None, memory=None, config=None, **arguments):
    """An agent on `Count`, uncompiled: XLA takes its seconds."""

    def model_fn(features, labels, mode):
        return q_spec(features, labels, mode, bootstrap=Bootstrap(discount=0.9, target_update_frequency=4))

    config = (config or RunConfig(seed=1)).replace(jit_compile=False)
    memory = Memory(1000, 8) if memory is None else memory
    return Agent(function or model_fn, memory, config=config, **arguments)


def counters(agent):
    return agent.global_timestep, agent.global_episode, agent.global_step


def state_of(agent):
    """Weights, targets and optimizer, as arrays."""
    return [keras.ops.convert_to_numpy(v) for v in (*agent.model.variables, *agent.model.optimizer.variables)]


def same(one, other):
    """Whether two lists of arrays are equal, bit for bit."""
    return all((a == b).all() for a, b in zip(one, other, strict=True))


def recording(names, seen):
    """A model function whose arguments are `names`, in this order."""

    def record(**given):
        seen.append(given)
        return q_spec(given["features"], given["labels"], given.get("mode", Modes.TRAIN))

    scope = {"record": record}
    passed = ", ".join(f"{name}={name}" for name in names)
    exec(f"def model_fn({', '.join(names)}):\n    return record({passed})", scope)
    return scope["model_fn"]


def uncalled(*names):
    """A model function of these arguments that must not be called."""

    def record(**given):
        raise AssertionError("called")

    scope = {"record": record}
    exec(f"def model_fn({', '.join(names)}):\n    return record()", scope)
    return scope["model_fn"]
