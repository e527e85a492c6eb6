"""What serving a trained agent costs: seconds of a decision, sizes of files, seconds of imports.

    python -m benchmarks.serving
    python -m benchmarks.serving --markdown

The agents have the networks that are usual for their tasks, with the weights that they begin with: a decision takes as long with
any others. Each form is measured in this process with one thread, at batches of 1, 32 and 1,024, after it was called often enough
to be warm. Seconds are those of the processor (`time.process_time`), and the least of `--repeats` means over a chunk of calls
counts, so that what else the machine does weighs little. Imports are those of a fresh process each, the least of three. ONNX Runtime
and LiteRT are measured where they are installed
(`pip install 'kagent[onnx]' onnxruntime ai-edge-litert`), and all forms must give the agent's actions.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from gymnasium import spaces

BATCHES = (1, 32, 1024)
IMPORTS = {
    "Keras call": "import keras, kagent; kagent.load",
    "kagent.acting": "import kagent.acting",
    "ONNX": "import onnxruntime",
    "LiteRT": "import ai_edge_litert.interpreter",
}
_CHUNK = 0.02  # seconds of one mean, at least one call


class Task(NamedTuple):
    """An agent to serve: the name of its preset, its spaces, its arguments."""

    preset: str
    observation: spaces.Space
    action: spaces.Space
    arguments: dict[str, Any]


TASKS = {
    "CartPole, PPO 64-64": Task(
        "PPO", spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2), {"network": {"type": "mlp", "units": [64, 64]}}
    ),
    "HalfCheetah, SAC 256-256": Task(
        "SAC", spaces.Box(-np.inf, np.inf, (17,), np.float32), spaces.Box(-1.0, 1.0, (6,), np.float32), {"memory": 100, "batch_size": 8}
    ),
    "Atari images, DQN": Task("DQN", spaces.Box(0, 255, (84, 84, 4), np.uint8), spaces.Discrete(6), {"memory": 100, "batch_size": 8}),
}  # fmt: skip


class Row(NamedTuple):
    """One form of one agent: seconds of a call by its batch, and bytes of its file. None where it cannot be measured here."""

    task: str
    form: str
    seconds: dict[int, float]
    bytes: int


def fastest(call: Callable[[], Any], repeats: int, chunk: float = _CHUNK) -> float:
    """Seconds of the processor for a call: the smallest of so many means over a chunk."""
    call()
    begin = time.process_time()
    call()
    count = max(1, int(chunk / max(time.process_time() - begin, 1e-7)))
    means = []
    for _ in range(repeats):
        begin = time.process_time()
        for _ in range(count):
            call()
        means.append((time.process_time() - begin) / count)
    return min(means)


def forms(agent: Any, folder: Path) -> Iterator[tuple[str, Callable[[Any], Any], int]]:
    """Each form that can be measured here: its name, a function from a batch to actions, and the bytes of its file."""
    import kagent.acting

    agent.save(folder / "agent.keras")
    yield "Keras call", agent, _size(folder / "agent.keras")
    agent.actor.save(folder / "actor")
    actor = kagent.acting.load(folder / "actor")

    def act(batch: Any) -> Any:
        return actor.act_batch(batch) if len(batch) > 1 else np.asarray([actor.act(batch[0])])

    yield "kagent.acting", act, _size(folder / "actor")
    for form, made in (("ONNX", _onnx), ("LiteRT", _litert)):
        found = made(agent, folder)
        if found is not None:
            yield (form, *found)


def _onnx(agent: Any, folder: Path) -> tuple[Callable[[Any], Any], int] | None:
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError:
        return None
    path = folder / "agent.onnx"
    agent.export(path, format="onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    name = session.get_inputs()[0].name
    return lambda batch: session.run(None, {name: batch})[0], _size(path)


def _litert(agent: Any, folder: Path) -> tuple[Callable[[Any], Any], int] | None:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return None
    path = folder / "agent.tflite"
    agent.export(path, format="litert")
    runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
    (name,) = runner.get_input_details()
    return lambda batch: next(iter(runner(**{name: batch}).values())), _size(path)


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def measure(name: str, repeats: int, batches: Sequence[int] = BATCHES) -> list[Row]:
    """All forms of one agent.

    Raises:
        AssertionError: A form gives other actions than the agent.
    """
    import kagent

    task = TASKS[name]
    agent = getattr(kagent, task.preset)(
        observation_space=task.observation, action_space=task.action, seed=0, **task.arguments
    )
    rng, shape = np.random.default_rng(0), task.observation.shape
    assert shape is not None
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for form, call, size in forms(agent, Path(folder)):
            seconds = {}
            for count in batches:
                if task.observation.dtype == np.uint8:
                    batch = rng.integers(0, 256, (count, *shape), np.uint8)
                else:
                    batch = rng.normal(size=(count, *shape)).astype(np.float32)
                _check(np.asarray(call(batch)), np.asarray(agent(batch)), form)
                seconds[count] = fastest(lambda call=call, batch=batch: np.asarray(call(batch)), repeats)  # type: ignore[misc]
            rows.append(Row(name, form, seconds, size))
    return rows


def _check(found: np.ndarray, expected: np.ndarray, form: str) -> None:
    found = found.reshape(expected.shape)
    if expected.dtype.kind == "f":
        assert np.allclose(found, expected, atol=1e-4), f"{form} gives other actions than the agent"
    else:
        assert np.mean(found == expected) > 0.99, f"{form} gives other actions than the agent"


def import_seconds(statement: str, runs: int = 3) -> float | None:
    """Seconds of the processor for an import in a fresh process, the least of some; None where it fails."""
    program = f"import time\n{statement}\nprint(time.process_time())"
    found = []
    for _ in range(runs):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        if done.returncode:
            return None
        found.append(float(done.stdout.split()[-1]))
    return min(found)


def markdown(rows: Sequence[Row], imports: dict[str, float | None]) -> str:
    """Both tables of the guide."""
    batches = list(rows[0].seconds)
    lines = [
        f"| agent | form | {' | '.join(f'batch {count:,}' for count in batches)} | file |",
        f"|---|---|{'---|' * len(batches)}---|",
    ]
    for row in rows:
        times = " | ".join(_words(row.seconds[count]) for count in batches)
        lines.append(f"| {row.task} | {row.form} | {times} | {row.bytes / 1024:,.0f} KiB |")
    lines += ["", "| form | import |", "|---|---|"]
    lines += [f"| {form} | {seconds:.2f} s |" for form, seconds in imports.items() if seconds is not None]
    return "\n".join(lines) + "\n"


def _words(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:,.1f} ms"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tasks", nargs="+", choices=list(TASKS), default=list(TASKS), metavar="TASK", help=f"of {list(TASKS)}"
    )
    parser.add_argument(
        "--repeats", type=int, default=20, help="chunks, of which the least counts (default: %(default)s)"
    )
    parser.add_argument("--markdown", action="store_true", help="the tables of the guide, in place of JSON")
    arguments = parser.parse_args(argv)
    rows = [row for name in arguments.tasks for row in measure(name, arguments.repeats)]
    imports = {form: import_seconds(statement) for form, statement in IMPORTS.items()}
    if arguments.markdown:
        print(markdown(rows, imports))
    else:
        print(json.dumps({"rows": [row._asdict() for row in rows], "imports": imports}, indent=2))


if __name__ == "__main__":
    main()
