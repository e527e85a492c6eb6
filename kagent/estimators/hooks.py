"""What goes along with an estimator's training by itself: a guard, statistics, a log, summaries."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kagent import schedules
from kagent.callbacks import Callback
from kagent.estimators.config import SummaryOptions as Options
from kagent.summaries.writer import Writer

_LOG = logging.getLogger("kagent.estimators")
_FLUSH = 10.0  # seconds


class NanGuard(Callback):
    """Ends training with an error where the loss is not finite. What was saved before stays as it is.

    Raises:
        RuntimeError: At the update.
    """

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            raise RuntimeError(f"The loss is not finite: it is {loss} after update {update}")


class EpisodeStatistics(Callback):
    """Rewards and losses of the episode under way, of one environment or several.

    Attributes:
        last: What `run_episode` returns of the last episode that ended, or None.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, float] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._rewards: list[list[float]] = []
        self._losses: list[float] = []

    def on_timestep_end(self, timestep: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        rewards, valid = logs["raw_reward"], logs["valid"]
        if not self._rewards:
            self._rewards = [[] for _ in rewards]
        for own, reward, counts in zip(self._rewards, rewards.tolist(), valid.tolist()):
            if counts:
                own.append(reward)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._losses.append((logs or {}).get("loss", math.nan))

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        rewards = self._rewards[logs["env"]]
        self.last = {
            "total_reward": float(sum(rewards)),
            "max_reward": float(max(rewards)),
            "min_reward": float(min(rewards)),
            "avg_reward": float(sum(rewards) / len(rewards)),
            "length": len(rewards),
            "loss": float(np.mean(self._losses)) if self._losses else math.nan,
            "updates": len(self._losses),
        }
        rewards.clear()
        self._losses = []


class EpisodeLog(Callback):
    """A line of the log every so many episodes: counters, return, length, loss and pace.

    Args:
        episodes: Period.
    """

    def __init__(self, episodes: int):
        super().__init__()
        self.episodes = episodes

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._loss = math.nan
        self._pace = Pace(self.model)

    def on_update_end(self, update: int, logs: dict[str, Any] | None = None) -> None:
        self._loss = (logs or {}).get("loss", math.nan)

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        if (episode + 1) % self.episodes == 0:
            agent, rates = self.model, self._pace.read(self.model)
            _LOG.info(
                "episode %d: return %g, length %d, loss %g, timestep %d, step %d, %.3g episodes/s, %.4g timesteps/s",
                episode + 1, logs["episode_return"], logs["episode_length"], self._loss, agent.timesteps, agent.updates,
                *rates,
            )  # fmt: skip


class Pace:
    """Episodes and timesteps per second since it was last read."""

    def __init__(self, agent: Any):
        self._before = (agent.episodes, agent.timesteps, time.perf_counter())

    def read(self, agent: Any) -> tuple[float, float]:
        """(episodes, timesteps) per second."""
        episodes, timesteps, then = self._before
        self._before = (agent.episodes, agent.timesteps, time.perf_counter())
        seconds = max(self._before[2] - then, 1e-9)
        return (agent.episodes - episodes) / seconds, (agent.timesteps - timesteps) / seconds


class EpisodeSummaries(Callback):
    """Writes summaries for TensorBoard, whose step is `global_episode`.

    Args:
        directory: Where to.
        options: Names of `SummaryOptions`.
        episodes: Every so many.
        statistics: Says what the episode was like; it must be told of its end before.
    """

    def __init__(self, directory: str, options: tuple[str, ...], episodes: int, statistics: EpisodeStatistics):
        super().__init__()
        self.directory, self.options, self.episodes = Path(directory), frozenset(options), episodes
        self.statistics = statistics
        self._writer: Any = None
        self._probe: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._writer is None:
            self._writer = Writer(self.directory, _FLUSH)
        self._pace = Pace(self.model)
        self._batch: dict[str, Any] | None = None

    def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
        # Only now: a memory that is learned from once is empty afterwards.
        wanted = self.options & {Options.GRADIENTS, Options.ACTIVATIONS}
        self._batch = _minibatch(self.model) if wanted and self._is_due(self.model.episodes + 1) else self._batch

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        if not self._is_due(episode + 1):
            return
        agent = self.model
        found: dict[str, float] = {}
        arrays: dict[str, np.ndarray] = {}
        about = dict(self.statistics.last or {})
        if Options.REWARD in self.options:
            found |= {name: value for name, value in about.items() if name.endswith("_reward")}
            rates = self._pace.read(agent)
            found |= {"global_episode/sec": rates[0], "global_timestep/sec": rates[1]}
        if Options.LOSS in self.options and about.get("updates"):
            found["loss"] = about["loss"]
        if Options.LEARNING_RATE in self.options:
            found["learning_rate"] = float(keras.ops.convert_to_numpy(agent.optimizer.learning_rate))
        if Options.EXPLORATION in self.options:
            rate = exploration_rate(agent)
            found |= {} if rate is None else {"exploration_rate": rate}
        if Options.VARIABLES in self.options:
            arrays |= {variable.path: variable.numpy() for variable in agent.policy.trainable_variables}
        if self._batch is not None:
            self._probe = self._probe or Probe(agent)
            if Options.ACTIVATIONS in self.options:
                arrays |= self._probe.activations(self._batch)
            if Options.GRADIENTS in self.options:
                slopes = self._probe.gradients(self._batch)
                arrays |= {f"{name}/Gradients": slope for name, slope in slopes.items()}
                found |= {f"{name}/GradientsNorm": float(np.linalg.norm(slope)) for name, slope in slopes.items()}
        self._writer.scalars(episode + 1, found)
        self._writer.histograms(episode + 1, arrays)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the event file; also where an error has ended training."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _is_due(self, episode: int) -> bool:
        return episode % self.episodes == 0


class Probe:
    """Gradients and activations of an agent's model on a minibatch, computed for themselves.

    Args:
        agent: The agent. Its objective says the loss of a minibatch of transitions.
    """

    def __init__(self, agent: Any):
        self.agent = agent
        named = {
            layer.name: layer.output
            for layer in agent.policy.model.layers
            if not isinstance(layer, keras.layers.InputLayer) and keras.backend.is_keras_tensor(layer.output)
        }
        model = keras.Model(agent.policy.model.inputs, named) if named else None
        self._activations = tf.function(lambda leaves: {} if model is None else model(leaves), autograph=False)
        self._gradients = tf.function(self._slope, autograph=False)

    def activations(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Outputs of the layers by `<layer>/activation`."""
        leaves = self.agent.policy.leaves(batch["observation"])
        return {f"{name}/activation": value.numpy() for name, value in self._activations(leaves).items()}

    def gradients(self, batch: dict[str, Any]) -> dict[str, np.ndarray]:
        """Of the loss, by the variables' paths."""
        return {name: slope.numpy() for name, slope in self._gradients(batch).items()}

    def _slope(self, batch: dict[str, Any]) -> dict[str, Any]:
        agent = self.agent
        [term] = agent.objective.terms(agent, batch)
        variables = agent.policy.trainable_variables
        with keras.StatelessScope(), tf.GradientTape() as tape:  # states of layers stay as they are
            loss, _ = term.loss(term.batch)
        slopes = tape.gradient(loss, [variable.value for variable in variables])
        return {v.path: tf.convert_to_tensor(s) for v, s in zip(variables, slopes) if s is not None}


def exploration_rate(agent: Any) -> float | None:
    """The present probability, or deviation, of exploration; None where it is no single number."""
    exploration = agent.exploration
    if hasattr(exploration, "epsilon"):
        return float(exploration.epsilon(agent.host_clock))
    amount = getattr(exploration, "amount", None)
    if amount is None or isinstance(amount, dict):
        return None
    return float(schedules.evaluate(amount, agent.host_clock))


def _minibatch(agent: Any) -> dict[str, Any] | None:
    # Rows of the memory, drawn by a generator of its own: with summaries an agent learns the same as without.
    memory = agent.memory
    if not len(memory) or not hasattr(memory, "packed_dataset"):
        return None
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([agent.seed, agent.updates])))
    rows = generator.integers(len(memory), size=agent.update_rule.batch_size)
    columns = {c.name: memory.storage.views[c.name][rows].astype(c.dtype) for c in memory.storage.columns}
    return tf.nest.map_structure(lambda x: None if x is None else tf.constant(x), memory.nest(columns))
