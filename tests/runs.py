"""Short runs of small agents, and callbacks that watch or lead them."""

from __future__ import annotations

import keras

EVENTS = [name for name in dir(keras.callbacks.Callback) if name.startswith("on_")]
RATES = {
    "dqn": ["learning_rate"],
    "ppo": ["learning_rate"],
    "sac": ["learning_rate_policy", "learning_rate_critic", "learning_rate_temperature"],
}


class Recorder(keras.callbacks.Callback):
    """Writes down every call it gets: name, index, log keys."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def names(self):
        return [call[0] for call in self.calls]


def _record(event):
    def method(self, *arguments, logs=None):
        *index, keys = (*arguments, logs) if logs is not None or not arguments else arguments
        self.calls.append((event, *index, sorted(keys) if isinstance(keys, dict) else keys))

    return method


for _event in EVENTS:
    setattr(Recorder, _event, _record(_event))


class Returns(keras.callbacks.Callback):
    """Stands before the others and says what the epochs' (validation) returns were."""

    def __init__(self, *values, name="episode_return"):
        super().__init__()
        self.values, self.name, self.weights = values, name, []

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]
        self.weights.append(self.model.get_weights())


def equal(first, second):
    return len(first) == len(second) and all((a == b).all() for a, b in zip(first, second))


def run(agent, *callbacks, epochs=5, **arguments):
    env = "CartPole-v1" if agent.action_space.shape == () else "Pendulum-v1"
    given = {"steps": 20 * epochs, "steps_per_epoch": 20, "verbose": 0, **arguments}
    return agent.fit(env, callbacks=list(callbacks), **given)
