"""`kagent train`: an agent from nothing to a folder with everything in it."""

from __future__ import annotations

import argparse
import math
import secrets
import shlex
import sys
from typing import Any

from kagent import tuned
from kagent.cli import algorithms, environment, modules, process, recorded, seeds, settings, train_options, workers
from kagent.cli.algorithms import Algorithm
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.folder import CONTENTS, RunFolder
from kagent.cli.train_options import CHECKPOINTS, EVALUATED, STEPS
from kagent.files.atomic_files import make_folder

# Options that a resumed run keeps.
RECORDED = ("validation", "save_best", "checkpoint_every", "eval_episodes", "doctor", *workers.OPTIONS)
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
     (not with tuned: false in FILE, as kagent tune writes it, or --set tuned=false)
  3. --config FILE: YAML, JSON, or the config.json of an earlier run
  4. --set part.key=value, as often as you like; values are JSON, or else text
  5. --steps, --seed, --n-envs, --step-timeout, --normalize, --device

  --set learning_rate=0.0003 --set network.units=[64,64]
  --set exploration.fraction=0.2 --set compile.steps_per_execution=16
  --set 'learning_rate={{"type": "Linear", "initial": 0.001, "final": 0}}'
A key that does not exist is answered with the list of those that do.

  --env-kwargs gravity=9.0 --wrapper TimeLimit:'{{"max_episode_steps": 300}}'
  bc CartPole-v1 --data FOLDER --validation 5  recorded episodes of CartPole-v1

Ctrl-C once stops cleanly and saves; twice stops at once. Either way, and after
a power cut, --resume RUN goes on from the last checkpoint, bit for bit.

the folder it leaves:
{CONTENTS}
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser(
        "train", help="train an agent on an environment", description=DESCRIPTION, epilog=EPILOG
    )
    train_options.add(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    seeds.check(arguments.seeds or 0, arguments.jobs, arguments.resume, arguments.out)
    if arguments.resume is not None:
        return _resume(arguments)
    if arguments.algorithm is None or arguments.environment is None:
        raise CommandError("train needs ALGO and ENV, or --resume RUN (see kagent train --help)")
    algorithm = algorithms.find(arguments.algorithm)
    source = environment.of_options(arguments)
    data = recorded.source_of(arguments)
    folder = None if arguments.out is None else RunFolder(arguments.out)
    layers = _layers(algorithm, arguments)
    if arguments.seeds:
        first = secrets.randbelow(10_000) if arguments.seed is None else arguments.seed
        together = (
            arguments.out or RunFolder.named(algorithm.name, arguments.environment, f"{arguments.seeds}seeds").path
        )
        make_folder(together)
        return seeds.run(argv, range(first, first + arguments.seeds), arguments.jobs or 1, together)

    process.prepare()
    modules.load_named(arguments)
    preset = algorithm.load()
    chosen = settings.resolve(preset, *layers)
    if chosen.get("seed") is None:
        chosen["seed"] = secrets.randbelow(10_000)  # short enough to read out
    if data is not None:
        recorded.check_bounds(chosen)
    elif all(chosen["fit"].get(name) is None for name in ("steps", "episodes", "updates")):
        chosen["fit"]["steps"] = STEPS
    episodes = None if data is None else recorded.episodes_of(data)
    folder = folder or RunFolder.named(algorithm.name, arguments.environment, chosen["seed"])
    agent = build(preset, source, chosen)
    _check_servable(agent, arguments)
    folder.create(
        {
            "algorithm": algorithm.name,
            **source.record(),
            **({} if data is None else {"data": data}),
            "seed": chosen["seed"],
            "command": shlex.join(["kagent", *argv]),
            "options": {name: getattr(arguments, name) for name in RECORDED},
            "settings": chosen,
            "agent": agent.get_config(),
        }
    )
    if _verbose(arguments):
        origin = ("tuned" if layers[0] else "default") + " settings" + (f", data {arguments.data}" if data else "")
        print(f"{algorithm.preset} on {source}, seed {chosen['seed']}, {origin}: {folder.path}/")
    return _train(agent, source, chosen, arguments, folder, episodes)


def _resume(arguments: argparse.Namespace) -> int:
    """Goes on with a run, from its newest checkpoint that is whole."""
    names = (
        "seed",
        "n_envs",
        "out",
        "config",
        "normalize",
        "device",
        "algorithm",
        "environment",
        "step_timeout",
        "data",
    )
    kept: dict[str, Any] = {**dict.fromkeys(names), "set": [], "env_kwargs": [], "wrapper": []}
    changed = [name for name, value in kept.items() if getattr(arguments, name) != value]
    if changed:
        options = ", ".join(
            {"algorithm": "ALGO", "environment": "ENV"}.get(n, f"--{n.replace('_', '-')}") for n in changed
        )
        raise CommandError(f"a resumed run keeps its settings; --steps (--updates) may give more. Received: {options}")
    folder = RunFolder.existing(arguments.resume)
    config = folder.config()
    if not folder.checkpoints.is_dir():
        raise CommandError(f"there is no checkpoint to go on from in {folder.checkpoints}")
    source = environment.of_record(config, arguments.modules)
    arguments.environment = source.id
    for name, value in config.get("options", {}).items():
        if name in RECORDED and getattr(arguments, name) in (None, False):
            setattr(arguments, name, value)
    modules.check_named(str(config.get("algorithm")), arguments.modules)
    algorithm = algorithms.find(str(config.get("algorithm")))
    process.prepare()
    modules.load_named(arguments)
    preset = algorithm.load()
    chosen = settings.resolve(preset, config["settings"])
    for name in ("steps", "updates"):
        if getattr(arguments, name) is not None:
            chosen["fit"][name] = getattr(arguments, name)
    episodes = recorded.resumed(config, arguments, chosen)
    agent = build(preset, source, chosen)
    _check_servable(agent, arguments)
    if _verbose(arguments):
        begun = any(folder.checkpoints.iterdir())  # a run may be killed before its first checkpoint
        how = "goes on" if begun else "begins anew, as it has no checkpoint yet"
        print(f"{algorithm.preset} on {source}, seed {chosen.get('seed')}, {how}: {folder.path}/")
    return _train(agent, source, chosen, arguments, folder, episodes)


def _train(
    agent: Any,
    source: Source,
    chosen: settings.Settings,
    arguments: argparse.Namespace,
    folder: RunFolder,
    episodes: Any,
) -> int:
    received = _fit(agent, source, arguments, chosen["fit"], folder, episodes)
    done = f"{agent.timesteps:,} timesteps, {agent.episodes:,} episodes"
    print(f"Saved {folder.agent} after {done if episodes is None else f'{agent.updates:,} gradient steps'}.")
    if received is not None:
        print("Training was stopped before its end; the agent was not evaluated.")
        print(f"Go on with: kagent train --resume {shlex.quote(str(folder.path))}")
        return 128 + received
    if arguments.eval_episodes != 0:
        _evaluate(agent, source, arguments, chosen, folder)
    return 0


def _layers(algorithm: Algorithm, arguments: argparse.Namespace) -> list[settings.Settings]:
    """Settings from the weakest to the strongest."""
    flags: settings.Settings = {"fit": {}}
    if arguments.seed is not None:
        flags["seed"] = arguments.seed
    if arguments.steps is not None:
        flags["fit"]["steps"] = arguments.steps
    if (n_envs := workers.total(arguments) or arguments.n_envs) is not None:
        flags["fit"]["n_envs"] = n_envs
    if arguments.updates is not None:
        flags["fit"]["updates"] = arguments.updates
    if arguments.step_timeout is not None:
        flags["fit"]["step_timeout"] = arguments.step_timeout
    for name in ("normalize", "device"):
        if getattr(arguments, name) is not None:
            flags[name] = getattr(arguments, name)
    config, wanted = settings.without_tuned(settings.read(arguments.config) if arguments.config else {})
    given, wanted = settings.without_tuned(settings.parse(arguments.set), wanted)
    best = (tuned.load(algorithm.name, arguments.environment) or {}) if wanted else {}
    if arguments.data is not None:
        best = recorded.without_online(best)
    return [best, config, given, flags]


def build(preset: Any, source: Source, chosen: settings.Settings) -> Any:
    """The agent of settings that `settings.resolve` returned.

    Raises:
        CommandError: It refuses them.
    """
    arguments = {key: value for key, value in chosen.items() if key not in ("fit", "compile")}
    if (n_envs := chosen["fit"].get("n_envs")) is not None:
        arguments["n_envs"] = n_envs  # the agent's own, so that it is saved with it; `fit` goes by it
    try:
        agent = preset(source.made_by, **arguments)
        if chosen.get("compile"):
            agent.compile(**chosen["compile"])
    except (ValueError, TypeError) as error:
        # Here every argument is the user's, so a refusal is about them wherever it comes from.
        raise CommandError(str(error)) from error
    return agent


def _check_servable(agent: Any, arguments: argparse.Namespace) -> None:
    from kagent.saving import serving

    if arguments.servable:
        serving.check(agent, "--servable")


def _fit(
    agent: Any,
    source: Source,
    arguments: argparse.Namespace,
    bounds: settings.Settings,
    folder: RunFolder,
    episodes: Any,
) -> int | None:
    """Train and save; returns the signal that stopped it, if one did."""
    from kagent import diagnosis
    from kagent.cli.interruption import Interruption

    options = {key: value for key, value in bounds.items() if value is not None and key != "n_envs"}
    if "steps" in options:
        options.setdefault("steps_per_epoch", _epoch(agent, options["steps"]))
    validation = arguments.validation or (5 if arguments.save_best else None)
    if validation:
        options |= {"validation_env": source.made_by, "validation_episodes": validation}
    callbacks = _callbacks(agent, arguments, folder, episodes is not None)
    doctors = _doctors(source, arguments, callbacks[0])
    learned_from: Any = source.made_by if episodes is None else episodes
    if (given := workers.of_options(arguments, agent.n_envs)) is not None:
        options["workers"] = given
        learned_from = workers.Making(source, tuple(arguments.modules)) if arguments.modules else learned_from
    with Interruption(agent) as interruption:
        callbacks = [*callbacks, *doctors, interruption]
        try:
            agent.fit(learned_from, callbacks=callbacks, verbose=_verbose(arguments), **options)
        except Exception:
            if agent.timesteps or agent.updates:  # what was learned before the fault is not lost
                agent.save(folder.agent)
                print(f"kagent: training failed; the agent so far is in {folder.agent}", file=sys.stderr)
            raise
        finally:
            for doctor in doctors:
                if doctor.record.timesteps or doctor.record.gradient_steps:
                    folder.write(folder.doctor.name, diagnosis.to_json(doctor.record))
        agent.save(folder.agent)
    return interruption.received


def _doctors(source: Source, arguments: argparse.Namespace, checkpoint: Any) -> list[Any]:
    from kagent.callbacks import Doctor

    if not arguments.doctor:
        return []
    return [Doctor(baseline=source.made_by, checkpoint=checkpoint, verbose=min(_verbose(arguments), 1))]


def _callbacks(agent: Any, arguments: argparse.Namespace, folder: RunFolder, offline: bool) -> list[Any]:
    """The checkpoints first: what they bring back is what the others begin with."""
    import keras

    from kagent.callbacks import Checkpoint, TensorBoard

    every = arguments.checkpoint_every or CHECKPOINTS
    goes_on, column = arguments.resume is not None, "updates" if offline else "timesteps"
    found: list[Any] = [
        Checkpoint(folder.checkpoints, "agent", frequency=every, max_checkpoints=2),
        keras.callbacks.LambdaCallback(on_train_begin=lambda logs: folder.cut_log(column, getattr(agent, column))),
        keras.callbacks.CSVLogger(str(folder.log), append=goes_on),
        TensorBoard(str(folder.tensorboard), write_graph=False),
    ]
    if arguments.save_best:
        best = {"monitor": "val_episode_return", "mode": "max", "save_best_only": True}
        threshold = folder.best_validation() if goes_on else None
        found.append(keras.callbacks.ModelCheckpoint(str(folder.best), initial_value_threshold=threshold, **best))
    return found


def _verbose(arguments: argparse.Namespace) -> int:
    if arguments.quiet:
        return 0
    if arguments.verbose is not None:
        return int(arguments.verbose)
    return 1 if sys.stdout.isatty() else 2


def _epoch(agent: Any, steps: int) -> int:
    """Timesteps of a row in the log: never so few that no update falls into it."""
    rule = agent.update_rule
    between = agent.memory.steps * agent.n_envs if agent.memory.on_policy else rule.period
    return max(steps // _EPOCHS, _SHORTEST_EPOCH, 0 if between == math.inf else int(between))


def _evaluate(
    agent: Any, source: Source, arguments: argparse.Namespace, chosen: settings.Settings, folder: RunFolder
) -> None:
    from kagent.cli.evaluate import report, summarize

    summary = summarize(
        agent, source, arguments.eval_episodes or EVALUATED, seed=chosen["seed"],
        step_timeout=chosen["fit"].get("step_timeout"),
    )  # fmt: skip
    folder.write("evaluation.json", {**summary, "timesteps": agent.timesteps})
    print(report(summary))
