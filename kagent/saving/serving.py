"""The part of an agent that `kagent.acting.load` serves without TensorFlow: whether there is one, and its files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kagent import acting, spaces
from kagent.acting import archive

if TYPE_CHECKING:
    from kagent.agent import Agent


def reason_against(agent: Agent) -> str | None:
    """Why `kagent.acting.load` could not serve the agent, with the name of the layer; None: it could.

    Example:

    >>> agent = kagent.DQN("CartPole-v1", memory=100, preprocessing="deltafier")
    >>> reason_against(agent)
    "State 'state' is processed by ['Deltafier'], not by one normalization"
    """
    try:
        _standardization(agent)
    except ValueError as error:
        return str(error)
    return agent.actor.unsupported


def check(agent: Agent, asked: str = "servable=True") -> None:
    """Checks that a file of the agent could be served. The actor is written to a temporary folder and read again.

    Args:
        agent: The agent.
        asked: The user's word, for the message.

    Raises:
        ValueError: It could not: a layer without a NumPy form, preprocessing other than one normalization, or an actor that
            `kagent.acting.load` refuses.
    """
    reason = reason_against(agent)
    if reason is None:
        with tempfile.TemporaryDirectory(prefix="kagent") as folder:
            try:
                write(agent, folder)
                acting.load(folder)
            except ValueError as error:
                reason = str(error)
    if reason is not None:
        others = "" if agent.policy.state_sizes else ", or `agent.export` for other runtimes"
        raise ValueError(
            f"`{asked}` needs an agent that `kagent.acting.load` serves without TensorFlow. Received one that it cannot "
            f"serve: {reason}. Allowed: layers with a NumPy form (docs/guides/networks.md lists them), `normalize` in place "
            f"of other preprocessing; or without `{asked}`, for `kagent.load` with TensorFlow{others}"
        )


def write(agent: Agent, directory: str | Path) -> None:
    """Writes the actor for `kagent.acting.load`, with what normalization has learned.

    Raises:
        ValueError: There is none: see `reason_against`.
    """
    standardization = _standardization(agent)
    agent.actor.refresh()
    agent.actor.set_time(agent.clock)
    agent.actor.save(directory, standardization)


def write_or_refuse(agent: Agent, directory: str | Path) -> None:
    """As `write`; where there is no actor, the files say why."""
    reason = reason_against(agent)
    if reason is None:
        write(agent, directory)
    else:
        archive.refuse(Path(directory), reason)


def _standardization(agent: Agent) -> tuple[dict[str, Any], list[Any]] | None:
    made = agent.preprocessing
    return None if made is None else (spaces.to_config(agent.observation_space), made.frozen())
