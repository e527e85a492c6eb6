"""What every environment of Tensorforce's has."""

from __future__ import annotations

from typing import Any


class EnvironmentBase:
    """The methods that an environment has, or may have."""

    def states(self) -> dict[str, Any]:
        """Specification of the states."""
        raise NotImplementedError

    def actions(self) -> dict[str, Any]:
        """Specification of the actions."""
        raise NotImplementedError

    def max_episode_timesteps(self) -> int | None:
        """Upper bound of an episode's timesteps, or None."""
        return None

    def reset(self) -> Any:
        """Begins an episode. Returns its first states."""
        raise NotImplementedError

    def execute(self, actions: Any) -> tuple[Any, bool | int, float]:
        """One timestep. Returns the next states, whether the episode ended (2: was cut off), and the reward."""
        raise NotImplementedError

    def episode_return(self, parallel: int | None = None) -> float | None:
        """The present episode's return where it is another than the sum of rewards, else None."""
        return None

    def is_vectorizable(self) -> bool:
        """Whether `reset(num_parallel=...)` begins several episodes at once, in a loop of your own."""
        return False

    def num_actors(self) -> int:
        """How many agents act in it at once: of several `reset` and `execute` are as of parallel episodes."""
        return 1

    def close(self) -> None:
        """Gives back what the environment holds."""

    def __str__(self) -> str:
        return type(self).__name__
