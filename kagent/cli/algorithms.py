"""The algorithms that `kagent train` knows by name."""

from __future__ import annotations

import difflib
from typing import NamedTuple

from kagent import tuned
from kagent.cli.errors import CommandError


class Algorithm(NamedTuple):
    """A preset as the command line names it.

    Attributes:
        name: What the user types, in lower case.
        preset: Name of the class in `kagent`.
        summary: One line of help.
        others: Its other names, which are taken too.
    """

    name: str
    preset: str
    summary: str
    others: tuple[str, ...] = ()


ALGORITHMS = (
    Algorithm("dqn", "DQN", "values of actions from replayed experience; discrete actions"),
    Algorithm("ppo", "PPO", "small clipped policy steps from fresh experience; any actions"),
    Algorithm("sac", "SAC", "off-policy actor-critic for return and entropy; continuous actions"),
    Algorithm("doubledqn", "DoubleDQN", "DQN whose target network values the learning one's choice", ("ddqn",)),
    Algorithm("duelingdqn", "DuelingDQN", "DQN with one head for states and one for actions"),
    Algorithm("dpg", "DPG", "off-policy actor-critic, deterministic; continuous actions", ("ddpg",)),
    Algorithm("vpg", "VPG", "the plain policy gradient on whole episodes; any actions", ("reinforce",)),
    Algorithm("ac", "AC", "policy gradient with a critic's estimates; any actions"),
    Algorithm("a2c", "A2C", "policy gradient with advantages over a critic; any actions"),
    Algorithm("trpo", "TRPO", "policy steps within a trust region; any actions"),
)


def find(name: str) -> Algorithm:
    """The algorithm called `name`, in any case and with or without dashes; `CommandError` lists the known ones."""
    plain = name.lower().replace("-", "").replace("_", "")
    for algorithm in ALGORITHMS:
        if plain in (algorithm.name, *algorithm.others):
            return algorithm
    known = [algorithm.name for algorithm in ALGORITHMS]
    close = difflib.get_close_matches(plain, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise CommandError(f"unknown algorithm. Received: {name!r}. Known: {', '.join(known)}.{hint}")


def describe() -> str:
    """The lines of help about all of them."""
    lines = []
    for algorithm in ALGORITHMS:
        lines.append(f"  {algorithm.name:10} {algorithm.summary}")
        settled = tuned.environments(algorithm.name)
        if settled:
            lines.append(f"  {'':10} tuned for {', '.join(settled)}")
    return "\n".join(lines)
