"""How an estimator runs: where its files go, and how often."""

from __future__ import annotations

import dataclasses
import numbers
import os
from typing import Any

from kagent.callbacks import episode_summaries
from kagent.memories.memory import check_count


class SummaryOptions:
    """What summaries are written of: see `kagent.callbacks.EpisodeSummaries`."""

    ACTIVATIONS = "activations"
    LOSS = "loss"
    GRADIENTS = "gradients"
    VARIABLES = "variables"
    LEARNING_RATE = "learning_rate"
    EXPLORATION = "exploration"
    REWARD = "reward"
    ALL = "all"
    VALUES = episode_summaries.LABELS


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """How an estimator runs.

    Args:
        model_dir: Where checkpoints and summaries go, and where training goes on from; None: no files at all.
        seed: Seed of the weights and of every random stream, an integer >= 0; None takes one from the system.
        save_episodes: Episodes from one checkpoint to the next; None: one at the end of training alone, where there is one
            in any case.
        keep_checkpoint_max: How many of the newest checkpoints are kept.
        summaries: What is written for TensorBoard, at `global_episode`: a name of `SummaryOptions`, several, "all", or None.
        summary_episodes: Episodes from one summary to the next.
        log_episodes: Episodes from one line of the log `kagent.estimators` (level INFO) to the next; None: none.
        jit_compile: Whether updates are compiled with XLA, which takes seconds once and makes each faster.

    Raises:
        ValueError, TypeError: A value outside its range.

    Example:

    >>> RunConfig(seed=1).replace(model_dir="runs/1").model_dir
    'runs/1'
    """

    model_dir: Any = None
    seed: int | None = None
    save_episodes: int | None = 10
    keep_checkpoint_max: int = 5
    summaries: Any = (
        SummaryOptions.EXPLORATION,
        SummaryOptions.LEARNING_RATE,
        SummaryOptions.LOSS,
        SummaryOptions.REWARD,
    )
    summary_episodes: int = 1
    log_episodes: int | None = 1
    jit_compile: bool = True

    def __post_init__(self):
        object.__setattr__(self, "model_dir", path_of(self.model_dir))
        whole = isinstance(self.seed, numbers.Integral) and not isinstance(self.seed, bool)
        if self.seed is not None and not (whole and 0 <= self.seed < 2**63):
            raise ValueError(f"`config.seed` must be None or an integer from 0 to 2**63 - 1. Received: {self.seed!r}")
        for name in ("keep_checkpoint_max", "summary_episodes"):
            check_count(getattr(self, name), f"config.{name}")
        for name in ("save_episodes", "log_episodes"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), f"config.{name}")
        if not isinstance(self.jit_compile, bool):
            raise TypeError(f"`config.jit_compile` must be True or False. Received: {self.jit_compile!r}")
        options = episode_summaries.check_labels(self.summaries, "summaries")
        object.__setattr__(self, "summaries", tuple(name for name in SummaryOptions.VALUES if name in options))

    def replace(self, **changes: Any) -> RunConfig:
        """The same with other values.

        Raises:
            ValueError, TypeError: As the constructor; an unknown name.
        """
        known = [field.name for field in dataclasses.fields(self)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            raise ValueError(f"`RunConfig` has no {unknown}. Known: {known}")
        return dataclasses.replace(self, **changes)


def path_of(model_dir: Any) -> str | None:
    """A directory as a string, or None.

    Raises:
        TypeError: Neither a path nor None.
        ValueError: An empty path.
    """
    if model_dir is None:
        return None
    path = os.fspath(model_dir) if isinstance(model_dir, str | os.PathLike) else None
    if not isinstance(path, str):
        raise TypeError(f"`model_dir` must be a path or None. Received: {model_dir!r}")
    if not path:
        raise ValueError("`model_dir` must not be empty. Received: ''")
    return path
