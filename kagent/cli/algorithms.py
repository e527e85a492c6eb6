"""The algorithms that `kagent train` knows by name."""

from __future__ import annotations

from typing import NamedTuple

from kagent import tuned
from kagent.cli.errors import CommandError


class Algorithm(NamedTuple):
    """A preset as the command line names it.

    Attributes:
        name: What the user types, in lower case.
        preset: Name of the class in `kagent`.
        summary: One line of help.
    """

    name: str
    preset: str
    summary: str


ALGORITHMS = (
    Algorithm("dqn", "DQN", "learns the value of each action from replayed experience; discrete actions"),
    Algorithm("ppo", "PPO", "improves a policy in small clipped steps from fresh experience; any action space"),
    Algorithm("sac", "SAC", "off-policy actor-critic that seeks return and entropy; continuous actions"),
)


def find(name: str) -> Algorithm:
    """The algorithm called `name` in any case; `CommandError` lists the known ones."""
    for algorithm in ALGORITHMS:
        if algorithm.name == name.lower():
            return algorithm
    known = ", ".join(algorithm.name for algorithm in ALGORITHMS)
    raise CommandError(f"unknown algorithm. Received: {name!r}. Known: {known}")


def describe() -> str:
    """The lines of help about all of them."""
    lines = []
    for algorithm in ALGORITHMS:
        lines.append(f"  {algorithm.name:5} {algorithm.summary}")
        lines.append(f"        tuned for {', '.join(tuned.environments(algorithm.name))}")
    return "\n".join(lines)
