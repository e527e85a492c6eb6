"""What a reader of one update has to read: the files, functions and lines of kagent that one gradient step runs.

    python -m benchmarks.reading                # DQN, from `train_step` to the gradient, and to the gradient applied
    python -m benchmarks.reading --agent sac --whole

The gradient is there when `Problem.gradients` returns; of an agent with several optimizers, when the first call of it does. The
step is taken eagerly, after others that have built everything. Lines of code are counted once, however often they run: those
that run, and all of the functions that run, with branches that are not taken, but without docstrings and comments. Lines of other
libraries are not counted. A change of file is a line that runs in another file than the line of kagent before it, in a call or in
a return.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

AGENTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dqn": ("DQN", "CartPole-v1", {"memory": 100, "batch_size": 8, "start": 8}),
    "ppo": ("PPO", "CartPole-v1", {"n_steps": 16, "batch_size": 16, "epochs": 1}),
    "sac": ("SAC", "Pendulum-v1", {"memory": 100, "batch_size": 8, "start": 8}),
}
ENTRY = "train_step"
GRADIENT = "Problem.gradients"


class Totals(NamedTuple):
    """What ran.

    Attributes:
        files: How many files.
        functions: How many functions, methods and lambdas.
        lines: How many different lines ran.
        body_lines: How many lines these functions have, those that did not run with them.
        changes: How often the next line was in another file.
    """

    files: int
    functions: int
    lines: int
    body_lines: int
    changes: int


class Reading:
    """Writes down which lines below a folder run while a function is called.

    Args:
        folder: Code elsewhere is not counted.
        entry: Name of a function below `folder`: only what runs in its first call is counted. None: all that runs.
        until: Qualified name of a function in which counting stops: when its first counted call returns. None: nowhere.
    """

    def __init__(self, folder: Path, entry: str | None = None, until: str | None = None):
        self.folder, self.entry, self.until = os.path.join(folder, ""), entry, until
        self.lines: dict[str, set[int]] = {}
        self.functions: dict[str, dict[CodeType, None]] = {}
        self.changes = 0
        self._last = ""
        self._first: FrameType | None = None  # the frame of the entry
        self._over = self._reached = False

    def of(self, function: Callable[[], Any]) -> Totals:
        """Calls `function` once and gives what ran."""
        before = sys.gettrace()  # of a debugger, or of coverage
        sys.settrace(self._called)
        try:
            function()
        finally:
            sys.settrace(before)
        if self.entry is not None and self._first is None:
            raise RuntimeError(f"{self.entry!r} was not called")
        if self.until is not None and not self._reached:
            raise RuntimeError(f"{self.until!r} was not called")
        self._first = None
        return self.totals

    @property
    def totals(self) -> Totals:
        functions = sum(len(found) for found in self.functions.values())
        bodies = sum(len(self.body(name)) for name in self.lines)
        return Totals(len(self.lines), functions, sum(map(len, self.lines.values())), bodies, self.changes)

    def body(self, name: str) -> set[int]:
        """Numbers of the lines of code of the functions that ran in a file."""
        codes = self.functions.get(name, {})
        return {line for code in codes for _, _, line in code.co_lines() if line is not None} | self.lines[name]

    def _called(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(self.folder):
            return None
        if self.entry is not None and self._first is None and code.co_name == self.entry:
            self._first = frame
        return self._ran if self._counts else None

    @property
    def _counts(self) -> bool:
        return not self._over and (self.entry is None or self._first is not None)

    def _ran(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._counts:
            name = frame.f_code.co_filename[len(self.folder) :]
            self.lines.setdefault(name, set()).add(frame.f_lineno)
            if not frame.f_code.co_name.startswith("<") or frame.f_code.co_name == "<lambda>":
                self.functions.setdefault(name, {})[frame.f_code] = None
            self.changes += self._last not in ("", name)
            self._last = name
        elif event == "return" and self._counts:
            self._reached = frame.f_code.co_qualname == self.until
            self._over = self._reached or frame is self._first
        return self._ran


def read(name: str = "dqn", whole: bool = False, until: str | None = None) -> Reading:
    """Trains an agent a little and reads its next gradient step.

    Args:
        name: One of `AGENTS`.
        whole: Whether to count the whole of `agent.update()`, from the draw of the batch on, and not `train_step` alone.
            For agents that replay: others have nothing to learn from in between.
        until: As of `Reading`.
    """
    import kagent

    kind, env, arguments = AGENTS[name]
    agent = getattr(kagent, kind)(env, network={"type": "mlp", "units": [8]}, seed=0, **arguments)
    agent.compile(run_eagerly=True)
    agent.fit(env, steps=40, verbose=0)
    before = agent.updates
    reading = Reading(Path(kagent.__file__).parent, None if whole else ENTRY, until)
    reading.of(agent.update if whole else lambda: agent.fit(env, updates=1, verbose=0))
    if agent.updates <= before:
        raise RuntimeError("nothing was learned")
    return reading


def _report(reading: Reading, what: str, lines: bool) -> None:
    for name, ran in sorted(reading.lines.items(), key=lambda item: -len(item[1])):
        functions = reading.functions.get(name, {})
        print(f"{len(ran):4} lines of {len(reading.body(name)):4}, {len(functions):3} functions: kagent/{name}")
        if lines:
            print(f"       {', '.join(code.co_qualname for code in functions)}\n       {sorted(ran)}")
    totals = reading.totals
    print(
        f"{what}: {totals.files} files, {totals.functions} functions, {totals.lines} lines run of {totals.body_lines} in them, "
        f"{totals.changes} changes of file"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Files, functions and lines of kagent that one gradient step runs.")
    parser.add_argument("--agent", choices=list(AGENTS), default="dqn")
    parser.add_argument("--whole", action="store_true", help="the whole of `agent.update()`, not `train_step` alone")
    parser.add_argument("--lines", action="store_true", help="name the functions and print the numbers of the lines")
    options = parser.parse_args(arguments)
    if options.whole and options.agent == "ppo":
        parser.error("--whole is for agents that replay: dqn, sac")
    if options.whole:
        _report(read(options.agent, whole=True), f"{options.agent}, `update`", options.lines)
        return 0
    _report(read(options.agent, until=GRADIENT), f"{options.agent}, `train_step`, the gradient found", options.lines)
    print()
    _report(read(options.agent), f"{options.agent}, `train_step`, the gradient applied", options.lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
