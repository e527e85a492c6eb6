"""Environments around others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .stream import Environments


class Wrapped(Environments):
    """Environments whose source, limits and readiness are those of the environments in them.

    Attributes:
        environments: Those that are in them. A class of this kind sets it when it is made.
    """

    environments: Environments

    @property
    def sources(self) -> Sequence[Any]:
        return self.environments.sources

    @property
    def ready(self) -> bool:
        return self.environments.ready

    @property
    def reset_options(self) -> dict[str, Any] | None:
        return self.environments.reset_options

    @property
    def time_limit(self) -> int | None:
        return self.environments.time_limit

    def limit(self, max_episode_timesteps: int) -> None:
        self.environments.limit(max_episode_timesteps)
