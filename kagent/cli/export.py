"""`kagent export`: a trained policy for programs without kagent, checked against the agent."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kagent.cli.evaluate import add_agent, load
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Write the greedy policy of a saved agent for programs without kagent, and compare
its actions with the agent's on random observations.

  numpy        a folder for kagent.acting.load: NumPy alone, normalization included
  saved_model  a folder for tf.saved_model.load and TensorFlow Serving
  onnx         a file for ONNX Runtime (needs: pip install 'kagent[onnx]')
  litert       a file for LiteRT, on phones and small computers
"""

NAMES = {"numpy": "actor", "saved_model": "served", "onnx": "agent.onnx", "litert": "agent.tflite"}
_RUNTIMES = {"onnx": ("onnxruntime", "onnxruntime"), "litert": ("ai_edge_litert", "ai-edge-litert")}
_CLOSE = 1e-4  # of a Box action, relative to its size
_EQUAL = 0.99  # share of equal discrete actions: where two values are as good as equal, rounding decides


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("export", help="write a policy for other programs", description=DESCRIPTION)
    add_agent(parser)
    parser.add_argument("--to", choices=list(NAMES), required=True, help="format")
    parser.add_argument("--out", metavar="PATH", type=Path, help="where to (default: beside the agent)")
    parser.add_argument(
        "--observations", type=count, default=256, metavar="N", help="random observations to compare (default: 256)"
    )
    add_import(parser)
    parser.set_defaults(run=run, parser=parser, environment="")


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status: 1 where the actions differ."""
    if arguments.file.is_dir():
        arguments.file = arguments.file / "agent.keras"
    agent = load(arguments)
    path = arguments.out or arguments.file.with_name(NAMES[arguments.to])
    agent.export(path, format={"saved_model": "tf_saved_model"}.get(arguments.to, arguments.to))
    print(f"Wrote {path} ({_size(path) / 1024:,.1f} KiB)")
    module, package = _RUNTIMES.get(arguments.to, (None, None))
    if module is not None and importlib.util.find_spec(module) is None:
        print(f"Not compared with the agent, which needs: pip install {package}")
        return 0
    return _compare(agent, arguments.to, path, arguments.observations)


def _compare(agent: Any, form: str, path: Path, number: int) -> int:
    import numpy as np

    batch = _observations(agent.observation_space, number)
    expected = [np.asarray(part) for part in agent._action.flatten(agent(batch))]
    found = _RUNS[form](agent, path, batch)
    alike = True
    for leaf, ours, theirs in zip(agent._action.leaves, expected, found, strict=True):
        name = f"action {leaf.name!r}" if leaf.name else "actions"
        theirs = np.asarray(theirs).reshape(ours.shape)
        if leaf.is_discrete:
            share = float(np.mean(ours == theirs))
            alike &= share >= _EQUAL
            print(f"  {name}: {share:.1%} equal to the agent's, on {number} random observations")
        else:
            difference = float(np.max(np.abs(ours - theirs)))
            alike &= difference <= _CLOSE * max(float(np.max(np.abs(ours))), 1.0)
            print(f"  {name}: at most {difference:.2g} from the agent's, on {number} random observations")
    if not alike:
        print("The exported policy acts differently: do not use it.")
    return 0 if alike else 1


def _observations(space: Any, number: int) -> Any:
    from gymnasium.vector.utils import concatenate, create_empty_array

    space.seed(0)
    return concatenate(space, [space.sample() for _ in range(number)], create_empty_array(space, number))


def _by_numpy(agent: Any, path: Path, batch: Any) -> list[Any]:
    import numpy as np

    from kagent import acting

    actor, structure = acting.load(path), agent._raw_observation
    player = None if actor.best_is_stateless else actor.player()

    def act(observation: Any) -> Any:
        if player is None:
            return actor.act(observation)
        player.reset()  # the agent's call, too, takes each observation for the first of an episode
        return player.act(observation)

    parts = [np.asarray(part) for part in structure.flatten(batch)]
    actions = [
        agent._action.flatten(act(structure.unflatten([part[i] for part in parts]))) for i in range(len(parts[0]))
    ]
    return [np.stack([np.asarray(one[i]) for one in actions]) for i in range(len(agent._action.leaves))]


def _by_saved_model(agent: Any, path: Path, batch: Any) -> list[Any]:
    import tensorflow as tf

    served = tf.saved_model.load(str(path))  # its variables live as long as it does
    found: list[Any] = agent._action.flatten(served.serve(batch))
    return found


def _by_onnx(agent: Any, path: Path, batch: Any) -> list[Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    given = _fed(agent, batch, [put.name for put in session.get_inputs()])
    return _ordered(agent, dict(zip((put.name for put in session.get_outputs()), session.run(None, given))))


def _by_litert(agent: Any, path: Path, batch: Any) -> list[Any]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(path)).get_signature_runner()
    return _ordered(agent, dict(runner(**_fed(agent, batch, list(runner.get_input_details())))))


_RUNS: dict[str, Callable[[Any, Path, Any], list[Any]]] = {
    "numpy": _by_numpy,
    "saved_model": _by_saved_model,
    "onnx": _by_onnx,
    "litert": _by_litert,
}


def _fed(agent: Any, batch: Any, inputs: list[str]) -> dict[str, Any]:
    # Converters add to the names of leaves, and keep their order when sorted.
    structure = agent._raw_observation
    leaves = dict(
        zip((leaf.name.replace("/", "_") or "observation" for leaf in structure.leaves), structure.flatten(batch))
    )
    return {put: leaves[name] for name, put in zip(sorted(leaves), sorted(inputs))}


def _ordered(agent: Any, outputs: dict[str, Any]) -> list[Any]:
    names = [leaf.name.replace("/", "_") for leaf in agent._action.leaves]
    by_name = dict(zip(sorted(names), (outputs[name] for name in sorted(outputs))))
    return [by_name[name] for name in names]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
