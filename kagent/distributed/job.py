"""What a worker is made of, and where in the run its environments stand."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import kagent
from kagent.environments import Environments
from kagent.exploration import Exploration


class Preparation(Protocol):
    """What is done to observations before a worker acts on them; `kagent.preprocessing.remote.WorkerPreprocessing` is one."""

    @property
    def learns(self) -> bool:
        """Whether the agent needs the environments' own observations beside the processed ones."""

    def around(self, environments: Environments) -> Any:
        """The environments as the actor sees them, a `kagent.preprocessing.remote.WorkerEnvironments`."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs, once.

    Attributes:
        env: An id, or a callable without arguments that returns a new `gymnasium.Env`.
        first, count, total: Row of the worker's first environment, how many it has, and how many there are in all workers.
        actor: `kagent.acting.Actor.to_config()` of the agent's actor.
        exploration: Chooses actions.
        limits: Arguments of `kagent.environments.make`: `max_episode_timesteps`, `reset_options` and `step_timeout`.
        replay_limit: As of `fit`.
        preparation: What is done to observations; None: nothing.
        alone: Whether its actions are drawn for its own environments alone, from a stream of its own; else for all.
        log_prob: Whether it sends how likely its actions were.
        version: Of kagent, where the agent is.
    """

    env: Any
    first: int
    count: int
    total: int
    actor: dict[str, Any]
    exploration: Exploration
    limits: dict[str, Any]
    replay_limit: int | str | None
    preparation: Preparation | None = None
    alone: bool = False
    log_prob: bool = False
    version: str = kagent.__version__

    @property
    def rows(self) -> slice:
        """Of the worker's environments among all."""
        return slice(self.first, self.first + self.count)

    @property
    def seen(self) -> tuple[slice, int]:
        """Rows of its environments among those that it draws actions for, and how many these are."""
        return (slice(0, self.count), self.count) if self.alone else (self.rows, self.total)

    @property
    def described(self) -> str:
        """Its environments, in words."""
        last = self.first + self.count - 1
        return f"environment {self.first}" if self.count == 1 else f"environments {self.first} to {last}"
