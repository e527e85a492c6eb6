"""`kagent doctor`: what is wrong with runs, or with an environment."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kagent.cli import colours, environment, modules
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.folder import RunFolder
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Say in words, with numbers and what to try, what goes wrong.

kagent doctor ENV
  plays an environment at random, checks all that it gives, and says what random
  play returns
kagent doctor RUN...
  judges the folders that kagent train left, and the seeds of a folder of runs
  together. Those of kagent train --doctor say most: others are judged by their
  log, and by a few episodes of the finished agent.

Exit code: 1 where something severe is found, else 0.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser(
        "doctor", help="say what is wrong with a run or an environment", description=DESCRIPTION
    )
    parser.add_argument("targets", metavar="RUN|ENV", nargs="+", help="folders of runs, or one gymnasium id")
    parser.add_argument("--steps", type=count, default=1000, metavar="N", help="random steps in ENV (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of random play in ENV (default: 0)")
    parser.add_argument(
        "--no-play",
        action="store_true",
        help="judge runs by their files alone: no random play, no episodes of the agent",
    )
    environment.add_options(parser)
    add_import(parser)
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    targets = arguments.targets
    if all(Path(target).is_dir() for target in targets):
        if arguments.env_kwargs or arguments.wrapper:
            raise CommandError("a run knows its environment: --env-kwargs and --wrapper are for ENV")
        return _runs(arguments)
    if len(targets) > 1:
        missing = [target for target in targets if not Path(target).is_dir()]
        raise CommandError(f"no such folder: {', '.join(missing)}. Several targets must be folders of runs")
    return _environment(arguments)


# An environment ------------------------------------------------------------------------------------------------


def _environment(arguments: argparse.Namespace) -> int:
    from kagent import diagnosis

    arguments.environment = arguments.targets[0]
    source = environment.of_options(arguments)
    modules.load_named(arguments)
    _quiet()
    # gymnasium's checker, a wrapper, would raise in place of what is looked for here.
    made_by = source.id if source.made_by == source.id else lambda: source.make(disable_env_checker=True)
    found = diagnosis.check_environment(made_by, steps=arguments.steps, seed=arguments.seed)
    broken = any(finding.severity == "severe" for finding in found)
    returns = [] if broken else diagnosis.random_returns(made_by, seed=arguments.seed)
    if arguments.json:
        print(
            json.dumps(
                {**source.record(), "findings": [f.to_json() for f in found], "random_returns": returns}, indent=2
            )
        )
    else:
        _print(diagnosis.report(found, f"{source}, {arguments.steps:,} random steps. {_about_random(returns)}".strip()))
    return int(broken)


def _print(report: str) -> None:
    """A report on stdout."""
    print(colours.of_findings(report) if colours.are_shown(sys.stdout) else report)


def _about_random(returns: Sequence[float]) -> str:
    if not returns:
        return ""
    return (
        f"Random play returns {statistics.fmean(returns):.4g} on average ({min(returns):.4g} to {max(returns):.4g}, "
        f"{len(returns)} episodes)."
    )


def _quiet() -> None:
    import os

    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")


# Runs ----------------------------------------------------------------------------------------------------------


def _runs(arguments: argparse.Namespace) -> int:
    from kagent import diagnosis
    from kagent.cli import curves
    from kagent.diagnosis.finding import Finding

    _quiet()
    baselines: dict[str, list[float]] = {}
    groups: dict[str, dict[str, float]] = {}
    judged: dict[str, list[Finding]] = {}
    reasons: list[str] = []
    paths = curves.expand(arguments.targets)
    for path in paths:
        try:
            folder = RunFolder.existing(path)
            config = folder.config()
            source = environment.of_record(config, arguments.modules)
            arguments.environment = source.id
            modules.load_named(arguments)
            record, notes = _record(folder, config, source, baselines, not arguments.no_play)
        except CommandError as error:
            if len(paths) == 1:
                raise
            reasons.append(f"{path}: {error}")  # the others are judged all the same
            continue
        found = judged[str(path)] = diagnosis.diagnose(record)
        if record.finished and record.episodes.last:
            settings = {name: value for name, value in config["settings"].items() if name != "seed"}
            key = json.dumps([config.get("algorithm"), str(source), settings], sort_keys=True, default=str)
            groups.setdefault(key, {})[path.name] = statistics.fmean(record.episodes.last)
        if not arguments.json:
            print(f"{path}: {config.get('algorithm')} on {source}, seed {config.get('seed')}")
            _print(diagnosis.report(found, " ".join([_about(record), *notes])))
            print()
    for reason in reasons:
        print(f"kagent: Left out: {reason}", file=sys.stderr)
    if not judged:
        raise CommandError(f"there is no run to judge among {len(reasons)} folders")
    random = {key: next((b for name, b in baselines.items() if name == json.loads(key)[1]), []) for key in groups}
    together = [finding for key, means in groups.items() for finding in diagnosis.compare_seeds(means, random[key])]
    if arguments.json:
        runs = {path: [finding.to_json() for finding in found] for path, found in judged.items()}
        print(json.dumps({"runs": runs, "together": [finding.to_json() for finding in together]}, indent=2))
    elif together:
        _print(diagnosis.report(together, "All seeds of the same settings together."))
    return int(any(finding.severity == "severe" for found in [*judged.values(), together] for finding in found))


def _record(
    folder: RunFolder, config: dict[str, Any], source: Source, baselines: dict[str, list[float]], plays: bool
) -> tuple[Any, list[str]]:
    """The record of a run, and what could not be found out. Random play is played once for each environment."""
    import dataclasses

    from kagent import diagnosis
    from kagent.cli import run_record

    record = run_record.read(folder, config)
    notes: list[str] = []
    if not plays:
        return record, notes
    name = str(source)
    if record.baseline:
        baselines.setdefault(name, list(record.baseline))
    elif name not in baselines:
        baselines[name] = diagnosis.random_returns(source.made_by)
    record = dataclasses.replace(record, baseline=tuple(baselines[name]))
    if not folder.agent.is_file():
        notes.append("The run has not come to its end.")
    elif not record.observations:
        try:
            seen, _ = run_record.played(folder.agent, source)
            processed = bool((config.get("agent") or {}).get("preprocessing"))
            record = run_record.with_experience(record, seen, processed)
        except ValueError as error:
            notes.append(f"The agent was not played: {error}")
    return record, notes


def _about(record: Any) -> str:
    from kagent.diagnosis import recorded

    if record.recorded is not None:
        return recorded.about(record)
    text = (
        f"{record.timesteps:,} timesteps, {record.episodes.count:,} episodes, {record.gradient_steps:,} gradient steps."
    )
    last, random = record.episodes.last, record.baseline
    if last:
        text += f" The last {len(last)} returns are {statistics.fmean(last):.4g} on average"
        text += f", those of random play {statistics.fmean(random):.4g}." if random else "."
    return text
