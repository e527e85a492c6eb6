"""`kagent evaluate`: how good a saved agent is."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

from kagent.cli import modules, process
from kagent.cli.errors import CommandError
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Let a saved agent play whole episodes without learning and report their return.

Actions are greedy unless --stochastic; the same --seed gives the same episodes.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("evaluate", help="measure a saved agent", description=DESCRIPTION)
    parser.add_argument("file", metavar="FILE", type=Path, help="agent.keras of a run")
    parser.add_argument("environment", metavar="ENV", help="gymnasium id, such as CartPole-v1")
    parser.add_argument("--episodes", type=count, default=20, metavar="N", help="number of episodes (default: 20)")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the episodes")
    parser.add_argument("--stochastic", action="store_true", help="sample actions as in training")
    add_import(parser)
    parser.add_argument("--json", action="store_true", help="the result as JSON, with the return of every episode")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    agent = load(arguments)
    summary = summarize(
        agent,
        arguments.environment,
        arguments.episodes,
        deterministic=not arguments.stochastic,
        seed=arguments.seed,
    )
    print(json.dumps(summary, indent=2) if arguments.json else report(summary))
    return 0


def load(arguments: argparse.Namespace) -> Any:
    """The agent in `arguments.file`, with the modules that the command line names imported before.

    Raises:
        CommandError: There is no agent in it, with the reason; or no such module.
    """
    file = arguments.file
    if file.is_dir():
        inside = file / "agent.keras"
        found = f". The agent of this run is {inside}" if inside.is_file() else ""
        raise CommandError(f"an agent is in a file, and this is a folder. Received: {file}{found}")
    if not file.is_file():
        raise CommandError(f"no such file. Received: {file}")
    if not zipfile.is_zipfile(file):
        raise CommandError(f"not a .keras file. Received: {file}")
    process.prepare()
    modules.load_named(arguments)
    import kagent

    try:
        return kagent.load(file)
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise CommandError(f"cannot load an agent from {file}: {error}") from error


def summarize(
    agent: Any,
    environment: str,
    episodes: int,
    *,
    deterministic: bool = True,
    seed: int | None = None,
    step_timeout: float | None = None,
) -> dict[str, Any]:
    """What `agent.evaluate` found, as plain JSON values."""
    logs = agent.evaluate(
        environment, episodes=episodes, deterministic=deterministic, seed=seed, step_timeout=step_timeout, verbose=0
    )
    returns = [float(value) for value in logs["episode_returns"]]
    lengths = [int(value) for value in logs["episode_lengths"]]
    return {
        "environment": environment,
        "episodes": len(returns),
        "deterministic": deterministic,
        "seed": seed,
        "mean": float(logs["episode_return"]),
        "std": float(logs["episode_return_std"]),
        "min": min(returns),
        "max": max(returns),
        "length_mean": float(logs["episode_length"]),
        "length_min": min(lengths),
        "length_max": max(lengths),
        "returns": returns,
        "lengths": lengths,
    }


def report(summary: dict[str, Any]) -> str:
    """The summary in three lines."""
    how = "greedy actions" if summary["deterministic"] else "sampled actions"
    return (
        f"Evaluation on {summary['environment']}: {summary['episodes']} episodes, {how}\n"
        f"  return: mean {summary['mean']:.1f}, std {summary['std']:.1f}, "
        f"min {summary['min']:.1f}, max {summary['max']:.1f}\n"
        f"  length: mean {summary['length_mean']:.1f}, "
        f"min {summary['length_min']}, max {summary['length_max']}"
    )
