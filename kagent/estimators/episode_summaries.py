"""Curves of training for TensorBoard, a point of each per episode."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kagent.callbacks.episode_log import Pace
from kagent.callbacks.episode_statistics import EpisodeStatistics
from kagent.callbacks.summaries import losses
from kagent.callbacks.summaries.gradients import Probe
from kagent.callbacks.summaries.parameters import parameters
from kagent.callbacks.summaries.writer import Writer
from kagent.config.checks import check_count
from kagent.config.signatures import check_known


class SummaryOptions:
    """Names of what `EpisodeSummaries` writes; `ALL` stands for all of them, `VALUES`."""

    ACTIVATIONS = "activations"
    LOSS = "loss"
    GRADIENTS = "gradients"
    VARIABLES = "variables"
    LEARNING_RATE = "learning_rate"
    EXPLORATION = "exploration"
    REWARD = "reward"
    ALL = "all"
    VALUES = (ACTIVATIONS, LOSS, GRADIENTS, VARIABLES, LEARNING_RATE, EXPLORATION, REWARD)


LABELS = SummaryOptions.VALUES
_PROBED = frozenset(("activations", "gradients"))
_FLUSH = 10.0  # seconds
_RATES = ("exploration.epsilon", "exploration.amount")


class EpisodeSummaries(EpisodeStatistics):
    """Writes TensorBoard event files whose steps are all `agent.episodes`; a run that goes on writes beside what is there.

    A `Summarizer` writes more, of every timestep and update, each counted in its own unit.

    | label | tags |
    |---|---|
    | `reward` | `total_reward`, `max_reward`, `min_reward`, `avg_reward`, `global_episode/sec`, `global_timestep/sec` |
    | `loss` | same: mean over the episode's updates |
    | `learning_rate` | same, and `critic_learning_rate` ... where there are several optimizers |
    | `exploration` | `exploration_rate`: epsilon, or the amount of noise, as it is at the episode's end |
    | `variables` | histograms of the trained variables, by their paths |
    | `gradients` | histograms `<variable>/Gradients` and their norms, `<variable>/GradientsNorm` |
    | `activations` | histograms `<layer>/activation` of the outputs of the policy's layers |

    Gradients and activations are those of the first update in the episode, on its first minibatch and just before it.
    Gradients are of agents whose objective states its losses as terms, as all of kagent's do.

    Args:
        directory: Where the files go; made when training begins, if need be.
        labels: One of these (also in `SummaryOptions`), several, or "all".
        frequency: Episodes from one point to the next.

    Raises:
        ValueError, TypeError: An unknown label, or a `frequency` that is no integer >= 1.

    Example:

    >>> summaries = EpisodeSummaries("summaries", labels=["reward", "loss"])
    >>> history = agent.fit("CartPole-v1", episodes=2, callbacks=[summaries], verbose=0)
    """

    def __init__(self, directory: str | os.PathLike[str], labels: str | Iterable[str] = "all", frequency: int = 1):
        super().__init__()
        self.directory, self.labels = Path(directory), check_labels(labels)
        self.frequency = check_count(frequency, "frequency")
        self._writer: Any = None
        self._probe: Any = None

    def overrides(self, event: str) -> bool:
        return super().overrides(event) and (event != "on_update_begin" or bool(self.labels & _PROBED))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._pace: Any = None
        self._probed: tuple[dict[str, Any], dict[str, Any]] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._pace is None:  # not before: a callback behind this one may load a checkpoint in on_train_begin
            self.directory.mkdir(parents=True, exist_ok=True)
            self._writer = Writer(self.directory, _FLUSH)
            self._pace, self._ended = Pace(self.model), self.model.episodes

    def on_update_begin(self, update: int, logs: dict[str, Any] | None = None) -> None:
        if self._probed is None and self._is_due(self._ended + 1):
            if self._probe is None or self._probe.agent is not self.model:
                self._probe = Probe(self.model)
            self._probed = self._probe.read("gradients" in self.labels, "activations" in self.labels)

    def on_episode_end(self, episode: int, logs: dict[str, Any] | None = None) -> None:
        super().on_episode_end(episode, logs)
        self._ended = episode + 1
        (gradients, activations), self._probed = self._probed or ({}, {}), None
        if not self._is_due(self._ended):
            return
        assert self.last is not None
        scalars: dict[str, float] = {}
        if "reward" in self.labels:
            scalars |= {name: value for name, value in self.last.items() if name.endswith("_reward")}
            scalars |= dict(zip(("global_episode/sec", "global_timestep/sec"), self._pace.read()))
        if "loss" in self.labels and self.last["updates"]:
            scalars["loss"] = self.last["loss"]
        if self.labels & {"learning_rate", "exploration"}:
            scalars |= self._numbers()
        scalars |= {f"{name}/GradientsNorm": losses.norm([slope]) for name, slope in gradients.items()}
        arrays = {f"{name}/Gradients": slope for name, slope in gradients.items()}
        arrays |= {f"{name}/activation": values for name, values in activations.items()}
        if "variables" in self.labels:
            variables = self.model.trainable_variables
            arrays |= dict(zip(losses.names_of(variables), losses.read(variables)))
        self._writer.scalars(self._ended, scalars)
        self._writer.histograms(self._ended, arrays)

    def _numbers(self) -> dict[str, float]:
        found = parameters(self.model, self.model.clock)
        rates = {name: value for name, value in found.items() if name.endswith("optimizer.learning_rate")}
        scalars = {name.replace("optimizer.", ""): value for name, value in rates.items()}
        scalars = scalars if "learning_rate" in self.labels else {}
        for start in _RATES if "exploration" in self.labels else ():
            own = {name: value for name, value in found.items() if f"{name}.".startswith(f"{start}.")}
            scalars |= {f"exploration_rate{name.removeprefix(start).replace('.', '/')}": own[name] for name in own}
        return scalars

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.on_train_abort()

    def on_train_abort(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _is_due(self, episode: int) -> bool:
        return episode % self.frequency == 0


def check_labels(labels: Any, argument: str = "labels") -> frozenset[str]:
    """A label, "all", or several of these, as a set of labels; None: none.

    Raises:
        ValueError: An unknown label.
        TypeError: Neither a string nor several.
    """
    if labels is None:
        return frozenset()
    if not isinstance(labels, str | Iterable):
        raise TypeError(f"`{argument}` must be 'all', None or names of {LABELS}. Received: {labels!r}")
    names = [labels] if isinstance(labels, str) else list(labels)
    check_known(names, (*LABELS, "all"), f"`{argument}`")
    return frozenset(LABELS if "all" in names else names)
