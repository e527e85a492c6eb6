"""The folder of a run of `kagent train`, where the file of an agent is needed."""

from __future__ import annotations

from pathlib import Path

AGENT = "agent.keras"


def hint(path: Path) -> str:
    """The end of a message about a folder that is no agent's own: the file that is probably meant; "" where there is none.

    Example:

    >>> hint(Path("nowhere"))
    ''
    """
    agent = path / AGENT
    return f". It is the folder of a run, whose agent is {str(agent)!r}" if agent.is_file() else ""
