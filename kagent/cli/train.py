"""`kagent train`: an agent from nothing to a folder with everything in it."""

from __future__ import annotations

import argparse
import math
import secrets
import shlex
import sys
from pathlib import Path
from typing import Any

from kagent import tuned
from kagent.cli import algorithms, modules, process, settings
from kagent.cli.algorithms import Algorithm
from kagent.cli.errors import CommandError
from kagent.cli.folder import CONTENTS, RunFolder
from kagent.cli.options import add_import, count, number, seconds

STEPS = 100_000
_EPOCHS = 50  # rows in the log: enough for a curve, few enough to read
_SHORTEST_EPOCH = 100

DESCRIPTION = f"""\
Train an agent, evaluate it and save it.

algorithms:
{algorithms.describe()}
"""

EPILOG = f"""\
settings, the later the stronger:
  1. the algorithm's defaults
  2. the tuned values for this algorithm and environment, where kagent has them
  3. --config FILE: YAML, JSON, or the config.json of an earlier run
  4. --set part.key=value, as often as you like; values are JSON, or else text
  5. --steps, --seed, --n-envs, --step-timeout

  --set learning_rate=0.0003 --set network.units=[64,64]
  --set exploration.fraction=0.2 --set compile.steps_per_execution=16
  --set 'learning_rate={{"type": "Linear", "initial": 0.001, "final": 0}}'
A key that does not exist is answered with the list of those that do.

Ctrl-C once stops cleanly and saves; twice stops at once.

the folder it leaves:
{CONTENTS}
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser(
        "train", help="train an agent on an environment", description=DESCRIPTION, epilog=EPILOG
    )
    parser.add_argument("algorithm", metavar="ALGO", help="an algorithm of those above")
    parser.add_argument("environment", metavar="ENV", help="gymnasium id, such as CartPole-v1")
    parser.add_argument("--steps", type=count, metavar="N", help=f"environment steps (default: tuned, or {STEPS})")
    parser.add_argument(
        "--seed", type=int, metavar="S", help="one number for all randomness (default: drawn, recorded)"
    )
    parser.add_argument("--n-envs", type=count, metavar="N", help="environments stepped side by side")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="new or empty folder (default: runs/ALGO-ENV-SEED-TIME)"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings from a .yaml or .json file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; may be repeated")
    parser.add_argument(
        "--eval-episodes",
        type=number,
        default=20,
        metavar="N",
        help="episodes of the final evaluation (default: 20)",
    )
    parser.add_argument(
        "--step-timeout", type=seconds, metavar="S", help="seconds a step of an environment may take (default: any)"
    )
    add_import(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    algorithm = algorithms.find(arguments.algorithm)
    folder = None if arguments.out is None else RunFolder(arguments.out)
    layers = _layers(algorithm, arguments)

    process.prepare()
    modules.load_named(arguments)
    preset = algorithm.load()
    chosen = settings.resolve(preset, *layers)
    if chosen.get("seed") is None:
        chosen["seed"] = secrets.randbelow(10_000)  # short enough to read out
    if chosen["fit"].get("steps") is None and chosen["fit"].get("episodes") is None:
        chosen["fit"]["steps"] = STEPS
    folder = folder or RunFolder.named(algorithm.name, arguments.environment, chosen["seed"])
    agent = _build(preset, arguments.environment, chosen)
    folder.create(
        {
            "algorithm": algorithm.name,
            "environment": arguments.environment,
            "seed": chosen["seed"],
            "command": shlex.join(["kagent", *argv]),
            "settings": chosen,
            "agent": agent.get_config(),
        }
    )
    if not arguments.quiet:
        origin = "tuned settings" if tuned.load(algorithm.name, arguments.environment) else "default settings"
        print(f"{algorithm.preset} on {arguments.environment}, seed {chosen['seed']}, {origin}: {folder.path}/")

    received = _fit(agent, arguments, chosen["fit"], folder)
    print(f"Saved {folder.agent} after {agent.timesteps:,} timesteps, {agent.episodes:,} episodes.")
    if received is not None:
        print("Training was stopped before its end; the agent was not evaluated.")
        return 128 + received
    if arguments.eval_episodes:
        _evaluate(agent, arguments, chosen, folder)
    return 0


def _layers(algorithm: Algorithm, arguments: argparse.Namespace) -> list[settings.Settings]:
    """Settings from the weakest to the strongest."""
    flags: settings.Settings = {"fit": {}}
    if arguments.seed is not None:
        flags["seed"] = arguments.seed
    if arguments.steps is not None:
        flags["fit"]["steps"] = arguments.steps
    if arguments.n_envs is not None:
        flags["fit"]["n_envs"] = arguments.n_envs
    if arguments.step_timeout is not None:
        flags["fit"]["step_timeout"] = arguments.step_timeout
    best = tuned.load(algorithm.name, arguments.environment) or {}
    config = settings.read(arguments.config) if arguments.config else {}
    return [best, config, settings.parse(arguments.set), flags]


def _build(preset: Any, environment: str, chosen: settings.Settings) -> Any:
    arguments = {key: value for key, value in chosen.items() if key not in ("fit", "compile")}
    if (n_envs := chosen["fit"].get("n_envs")) is not None:
        arguments["n_envs"] = n_envs  # the agent's own, so that it is saved with it; `fit` goes by it
    try:
        agent = preset(environment, **arguments)
        if chosen.get("compile"):
            agent.compile(**chosen["compile"])
    except (ValueError, TypeError) as error:
        # Here every argument is the user's, so a refusal is about them wherever it comes from.
        raise CommandError(str(error)) from error
    return agent


def _fit(agent: Any, arguments: argparse.Namespace, bounds: settings.Settings, folder: RunFolder) -> int | None:
    """Train and save; returns the signal that stopped it, if one did."""
    import keras

    from kagent.callbacks import TensorBoard
    from kagent.cli.interruption import Interruption

    options = {key: value for key, value in bounds.items() if value is not None and key != "n_envs"}
    if "steps" in options:
        options.setdefault("steps_per_epoch", _epoch(agent, options["steps"]))
    verbose = 0 if arguments.quiet else 1 if sys.stdout.isatty() else 2
    with Interruption(agent) as interruption:
        callbacks = [
            keras.callbacks.CSVLogger(str(folder.log)),
            TensorBoard(str(folder.tensorboard), write_graph=False),
            interruption,
        ]
        try:
            agent.fit(arguments.environment, callbacks=callbacks, verbose=verbose, **options)
        except Exception:
            if agent.timesteps:  # what was learned before the fault is not lost
                agent.save(folder.agent)
                print(f"kagent: training failed; the agent so far is in {folder.agent}", file=sys.stderr)
            raise
        agent.save(folder.agent)
    return interruption.received


def _epoch(agent: Any, steps: int) -> int:
    """Timesteps of a row in the log: never so few that no update falls into it."""
    rule = agent.update_rule
    between = agent.memory.steps * agent.n_envs if agent.memory.on_policy else rule.period
    return max(steps // _EPOCHS, _SHORTEST_EPOCH, 0 if between == math.inf else int(between))


def _evaluate(agent: Any, arguments: argparse.Namespace, chosen: settings.Settings, folder: RunFolder) -> None:
    from kagent.cli.evaluate import report, summarize

    summary = summarize(
        agent, arguments.environment, arguments.eval_episodes, seed=chosen["seed"],
        step_timeout=chosen["fit"].get("step_timeout"),
    )  # fmt: skip
    folder.write("evaluation.json", {**summary, "timesteps": agent.timesteps})
    print(report(summary))
