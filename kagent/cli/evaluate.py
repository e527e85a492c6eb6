"""`kagent evaluate`: how good a saved agent is."""

from __future__ import annotations

import argparse
import json
import zipfile
from pathlib import Path
from typing import Any

from kagent.cli import environment, modules, process
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.folder import RunFolder
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Let a saved agent play whole episodes without learning and report their return.

Actions are greedy unless --stochastic; the same --seed gives the same episodes.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("evaluate", help="measure a saved agent", description=DESCRIPTION)
    add_target(parser)
    parser.add_argument("--episodes", type=count, default=20, metavar="N", help="number of episodes (default: 20)")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the episodes")
    parser.add_argument("--stochastic", action="store_true", help="sample actions as in training")
    add_import(parser)
    parser.add_argument("--json", action="store_true", help="the result as JSON, with the return of every episode")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    source = target(arguments)
    agent = load(arguments)
    summary = summarize(
        agent,
        source,
        arguments.episodes,
        deterministic=not arguments.stochastic,
        seed=arguments.seed,
    )
    print(json.dumps(summary, indent=2) if arguments.json else report(summary))
    return 0


def add_agent(parser: Any) -> None:
    """Adds the agent."""
    parser.add_argument("file", metavar="RUN", type=Path, help="folder of a run, or the .keras file of an agent")


def add_target(parser: Any) -> None:
    """Adds the agent and its environment."""
    add_agent(parser)
    parser.add_argument(
        "environment", metavar="ENV", nargs="?", help="gymnasium id, such as CartPole-v1 (default: that of the run)"
    )
    environment.add_options(parser)


def target(arguments: argparse.Namespace) -> Source:
    """Where the agent is to play. `arguments` then have its file and the id.

    Raises:
        CommandError: There is no such path, or no run in the folder; or a file is given without an environment.
    """
    path = arguments.file
    if not path.exists():
        raise CommandError(f"no such file or folder of a run. Received: {path}")
    source = None
    if (path / "agent.keras").is_file() and not (path / "config.json").exists():
        arguments.file = path / "agent.keras"
    elif path.is_dir():
        folder = RunFolder.existing(path)
        config = folder.config()
        source, arguments.file = environment.of_record(config, arguments.modules), folder.agent
    if arguments.environment is not None or arguments.env_kwargs or arguments.wrapper:
        arguments.environment = arguments.environment or (source and source.id)
        source = None
    if arguments.environment is None and source is None:
        raise CommandError(f"ENV is needed beside a file; a run's folder knows its own. Received: {path}")
    source = environment.of_options(arguments) if source is None else source
    arguments.environment = source.id
    return source


def load(arguments: argparse.Namespace) -> Any:
    """The agent in `arguments.file`, with the modules that the command line names imported before.

    Raises:
        CommandError: There is no agent in it, with the reason; or no such module.
    """
    file = arguments.file
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
    source: Source,
    episodes: int,
    *,
    deterministic: bool = True,
    seed: int | None = None,
    step_timeout: float | None = None,
) -> dict[str, Any]:
    """What `agent.evaluate` found, as plain JSON values."""
    logs = agent.evaluate(
        source.made_by, episodes=episodes, deterministic=deterministic, seed=seed, step_timeout=step_timeout, verbose=0
    )
    returns = [float(value) for value in logs["episode_returns"]]
    lengths = [int(value) for value in logs["episode_lengths"]]
    return {
        **source.record(),
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
