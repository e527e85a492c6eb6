"""How an estimator runs: where its files go, and how often."""

from __future__ import annotations

import dataclasses
from typing import Any

from kagent.config.checks import check_count, check_flag
from kagent.config.signatures import check_known
from kagent.estimators.episode_summaries import SummaryOptions, check_labels
from kagent.files.atomic_files import local_directory


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
        jit_compile: Whether updates are compiled with XLA, which takes seconds once and makes small ones faster.

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
    summaries: Any = ("exploration", "learning_rate", "loss", "reward")
    summary_episodes: int = 1
    log_episodes: int | None = 1
    jit_compile: bool = True

    def __post_init__(self) -> None:
        if self.model_dir is not None:
            object.__setattr__(self, "model_dir", str(local_directory(self.model_dir, "model_dir")))
        if self.seed is not None and check_count(self.seed, "config.seed", least=0) >= 2**63:
            raise ValueError(f"`config.seed` must be None or an integer from 0 to 2**63 - 1. Received: {self.seed!r}")
        for name in ("keep_checkpoint_max", "summary_episodes", "save_episodes", "log_episodes"):
            if getattr(self, name) is not None or name not in ("save_episodes", "log_episodes"):
                check_count(getattr(self, name), f"config.{name}")
        check_flag(self.jit_compile, "config.jit_compile")
        options = check_labels(self.summaries, "summaries")
        object.__setattr__(self, "summaries", tuple(name for name in SummaryOptions.VALUES if name in options))

    def replace(self, **changes: Any) -> RunConfig:
        """The same with other values.

        Raises:
            ValueError, TypeError: As the constructor; an unknown name.
        """
        check_known(changes, [field.name for field in dataclasses.fields(self)], "`RunConfig`")
        return dataclasses.replace(self, **changes)
