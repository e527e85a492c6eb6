"""`kagent tune`: searches settings with Optuna."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kagent.cli import algorithms, environment, modules, process, search_spaces, settings
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError, is_complaint
from kagent.cli.options import add_import, count
from kagent.cli.train import build
from kagent.files.atomic_files import make_folder, replacing

INSTALL = "pip install 'kagent[tune]'"
STEPS = 50_000
_EPOCHS = 10  # looks at a trial in which it may be stopped
_HELD_OUT = 1_000_003  # seed of the episodes that a trial is judged by: no run is validated on them

DESCRIPTION = """\
Search settings of an algorithm for an environment: trials with other settings,
of which those that fall behind are stopped early.

The study is kept in DIR/study.db (or --storage), so that the same command goes on
with it. DIR/best.json has the best settings, for: kagent train ALGO ENV --config.

Needs: pip install 'kagent[tune]'
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("tune", help="search settings", description=DESCRIPTION)
    parser.add_argument("algorithm", metavar="ALGO", help="an algorithm of `kagent list`")
    parser.add_argument("environment", metavar="ENV", help="gymnasium id, such as CartPole-v1")
    parser.add_argument("--trials", type=count, default=20, metavar="N", help="of the whole study (default: 20)")
    parser.add_argument(
        "--steps", type=count, default=STEPS, metavar="N", help=f"timesteps of a trial (default: {STEPS})"
    )
    parser.add_argument("--jobs", type=count, default=1, metavar="N", help="trials side by side (default: 1)")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the search and of every trial (default: 0)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the study (default: runs/tune-ALGO-ENV)")
    parser.add_argument("--storage", metavar="URL", help="where Optuna keeps the study (default: DIR/study.db)")
    parser.add_argument(
        "--pruner",
        choices=("median", "hyperband", "none"),
        default="median",
        help="which trials are stopped early (default: median)",
    )
    parser.add_argument(
        "--episodes",
        type=count,
        default=20,
        metavar="N",
        help="greedy episodes that a trial is judged by (default: 20)",
    )
    parser.add_argument("--space", type=Path, metavar="FILE", help="search space of your own, .yaml or .json")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings that stay, from a .yaml or .json file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting that stays")
    environment.add_options(parser)
    add_import(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    algorithm = algorithms.find(arguments.algorithm)
    source = environment.of_options(arguments)
    fixed = settings.read(arguments.config) if arguments.config else {}
    # A study begins with the algorithm's defaults in any case.
    fixed, _ = settings.without_tuned(settings.merge(fixed, settings.parse(arguments.set)))
    if arguments.space is not None:
        space = search_spaces.check(settings.read(arguments.space))
    else:
        space = search_spaces.load(algorithm.name)
    space = search_spaces.without(space, fixed)
    if not space:
        raise CommandError(f"there is nothing to search for {algorithm.name}: give --space, or fix fewer settings")
    folder = arguments.out or Path("runs") / _name(algorithm.name, arguments.environment)
    optuna = _optuna()
    make_folder(folder)
    storage = arguments.storage or f"sqlite:///{folder / 'study.db'}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            study_name=_name(algorithm.name, arguments.environment),
            storage=storage,
            load_if_exists=True,
            direction="maximize",
            pruner=_pruner(optuna, arguments.pruner),
        )
        # A study that goes on, and another process of it, draw other settings than those that were tried.
        own = len(study.get_trials(deepcopy=False)) + os.getpid() * bool(os.environ.get(_WORKER))
        study.sampler = optuna.samplers.TPESampler(seed=(arguments.seed + 7919 * own) % 2**32)
    except Exception as error:
        raise CommandError(f"--storage {storage} cannot be used: {error}") from error
    process.prepare()
    modules.load_named(arguments)
    preset = algorithm.load()
    _check(preset, space, fixed)
    _give_up_killed(optuna, study)
    workers = [] if os.environ.get(_WORKER) else [_worker(argv, folder, storage) for _ in range(arguments.jobs - 1)]

    def objective(trial: Any) -> float:
        trial.set_user_attr(_PROCESS, [platform.node(), os.getpid()])
        return _trial(optuna, trial, preset, source, space, fixed, arguments)

    try:
        with _terminable() as received:
            while _begun(study) < arguments.trials:
                study.optimize(objective, n_trials=1)
    except BaseException as error:
        for worker in workers:  # the signal may have reached this process alone
            worker.terminate()
        if not isinstance(error, KeyboardInterrupt):
            raise
        print("\nkagent: interrupted. The same command goes on with the study", file=sys.stderr)
        return 128 + (received[0] if received else signal.SIGINT)
    finally:
        for worker in workers:
            worker.wait()
    if os.environ.get(_WORKER):
        return 0
    return _report(optuna, study, space, fixed, arguments, folder)


_WORKER = "KAGENT_TUNE_WORKER"
_PROCESS = "process"  # of a trial: its machine and the number of its process


def _worker(argv: list[str], folder: Path, storage: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "kagent", *argv, "--out", str(folder), "--storage", storage]
    return subprocess.Popen(command, env={**os.environ, _WORKER: "1"})


@contextlib.contextmanager
def _terminable() -> Iterator[list[int]]:
    """Within it SIGTERM is a KeyboardInterrupt, so that Optuna notes that the trial has failed; gives the list of those signals."""
    received: list[int] = []

    def stop(number: int, frame: Any) -> None:
        received.append(number)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread do this
        yield received
        return
    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)


def _give_up_killed(optuna: Any, study: Any) -> None:
    """Trials whose process was killed have failed. Of other machines it is not known."""
    for trial in study.get_trials(deepcopy=False):
        machine, process_id = trial.user_attrs.get(_PROCESS, (None, 0))
        if trial.state.name == "RUNNING" and machine == platform.node() and not _lives(process_id):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _lives(process_id: int) -> bool:
    if os.name != "posix":  # elsewhere the signal 0 is not a question
        return True
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _begun(study: Any) -> int:
    # Those that failed are no trials of the user's: nothing was learned from them.
    return sum(trial.state.name != "FAIL" for trial in study.get_trials(deepcopy=False))


def _name(algorithm: str, env: str) -> str:
    return f"tune-{algorithm}-{env}".replace(":", "-").replace("/", "-")


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise CommandError(f"kagent tune needs Optuna: {INSTALL}") from error
    return optuna


def _pruner(optuna: Any, name: str) -> Any:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=_EPOCHS)
    return optuna.pruners.NopPruner()


def _check(preset: type, space: search_spaces.Space, fixed: settings.Settings) -> None:
    """Refuses keys that the preset does not take, before the first trial."""
    for key, values in space.items():
        value = values["choices"][0] if "choices" in values else values["low"]
        settings.resolve(preset, search_spaces.settings_of(key, value), fixed)


def _trial(
    optuna: Any,
    trial: Any,
    preset: Any,
    source: Source,
    space: search_spaces.Space,
    fixed: settings.Settings,
    arguments: argparse.Namespace,
) -> float:
    """The mean return of a trial's agent in episodes that it was not validated on."""
    import keras

    from kagent.learning.divergence import DivergenceError

    chosen = settings.resolve(preset, search_spaces.suggest(trial, space), fixed, {"seed": arguments.seed, "fit": {}})
    begin, shown = time.monotonic(), f"trial {trial.number}"
    pruned = False

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            nonlocal pruned
            value = float((logs or {}).get("val_episode_return", math.nan))
            if math.isfinite(value):
                trial.report(value, epoch)
                if trial.should_prune():
                    pruned = self.model.stop_training = True

    try:
        agent = build(preset, source, chosen)
        agent.fit(
            source.made_by,
            steps=arguments.steps,
            steps_per_epoch=max(arguments.steps // _EPOCHS, 1),
            validation_env=source.made_by,
            validation_episodes=5,
            callbacks=[Look()],
            verbose=0,
        )
    except (CommandError, ValueError, TypeError, DivergenceError) as error:
        if not isinstance(error, CommandError | DivergenceError) and not is_complaint(error):
            raise
        print(f"{shown}: no agent of these settings: {str(error).splitlines()[0]}", flush=True)
        raise optuna.TrialPruned from error
    if pruned:
        print(f"{shown}: stopped after {agent.timesteps:,} timesteps", flush=True)
        raise optuna.TrialPruned
    found = agent.evaluate(source.made_by, episodes=arguments.episodes, seed=arguments.seed + _HELD_OUT, verbose=0)
    value = float(found["episode_return"])
    print(f"{shown}: return {value:.1f} in {time.monotonic() - begin:.0f} s", flush=True)
    return value


def _report(
    optuna: Any,
    study: Any,
    space: search_spaces.Space,
    fixed: settings.Settings,
    arguments: argparse.Namespace,
    folder: Path,
) -> int:
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    stopped = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in trials)
    if not complete:
        print(f"No trial of {len(trials)} was trained to its end: {stopped} were stopped or refused.")
        return 1
    best = study.best_trial
    chosen = settings.merge(search_spaces.of_trial(best.params, space), fixed)
    # `train` would lay them over settings that were tuned by others, and train another agent than the trial's.
    chosen = settings.merge(chosen, {"fit": {"steps": arguments.steps}, settings.TUNED: False})
    with replacing(folder / "best.json") as beside:
        beside.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    print(f"{len(trials)} trials, {stopped} of them stopped early. Best: trial {best.number}, return {best.value:.1f}")
    for key, value in best.params.items():
        print(f"  {key}: {value}")
    print(f"Train with: kagent train {arguments.algorithm} {arguments.environment} --config {folder / 'best.json'}")
    _plot(trials, folder / "study.png")
    return 0


def _plot(trials: list[Any], path: Path) -> None:
    """Every trial's return, and the best so far."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        print("No picture of the study, which needs: pip install 'kagent[plots]'")
        return
    done = [(trial.number, trial.value) for trial in trials if trial.state.name == "COMPLETE"]
    looked = [trial for trial in trials if trial.state.name == "PRUNED" and trial.intermediate_values]
    stopped = [(trial.number, max(trial.intermediate_values.values())) for trial in looked]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(*zip(*done), "o", label="trained to the end")
    if stopped:
        axes.plot(*zip(*stopped), "x", color="0.6", label="stopped early")
    best = [max(value for _, value in done[: i + 1]) for i in range(len(done))]
    axes.step([number for number, _ in done], best, where="post", label="best so far")
    axes.set(xlabel="trial", ylabel="mean return of an episode")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=150)
    print(f"Wrote {path}")
