"""The folder a run leaves: what was asked for, with which versions, how it went, and the agent."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import math
import platform
import re
import time
from pathlib import Path
from typing import Any

from kagent import __version__
from kagent.cli.errors import CommandError
from kagent.files import run_folder
from kagent.files.atomic_files import replacing

PACKAGES = ("keras", "tensorflow", "numpy", "gymnasium")

CONTENTS = """\
  config.json      settings, seed, command line, and the agent's configuration
  versions.json    of Python, kagent, Keras, TensorFlow, NumPy, gymnasium
  log.csv          a row per epoch: timesteps, episode_return, losses ...
  tensorboard/     the same for: tensorboard --logdir
  agent.keras      the trained agent, for kagent.load
  evaluation.json  return of the finished agent: mean, std, every episode
  checkpoints/     everything to go on from, for: kagent train --resume
  best.keras       of --save-best: the agent with the best validation
  doctor.json      of --doctor: what kagent doctor RUN judges"""


class RunFolder:
    """Where one run writes.

    Args:
        path: Need not exist.

    Raises:
        CommandError: `path` is a file, or a folder with something in it.
    """

    def __init__(self, path: Path):
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise CommandError(f"--out must be a new or an empty folder. Received: {path}, which is not empty")
        self.path = path

    @classmethod
    def named(cls, algorithm: str, environment: str, seed: int | str) -> RunFolder:
        """`runs/<algorithm>-<environment>-<seed>-<time>`."""
        name = re.sub(r"[^\w.-]+", "-", f"{algorithm}-{environment}-{seed}", flags=re.ASCII)
        return cls(Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """The folder of a run that was begun.

        Raises:
            CommandError: It is none.
        """
        if not (path / "config.json").is_file():
            inside = sorted(str(config.parent) for config in path.glob("*/config.json"))
            hint = f". There are runs in it, of which one can be given: {', '.join(inside[:5])}" if inside else ""
            raise CommandError(f"no folder of a run: there is no config.json. Received: {path}{hint}")
        folder = cls.__new__(cls)
        folder.path = path
        return folder

    def config(self) -> dict[str, Any]:
        """`config.json`.

        Raises:
            CommandError: It cannot be read, or is none that `kagent train` wrote.
        """
        path = self.path / "config.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CommandError(f"cannot read {path}: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
            raise CommandError(f"{path} is not the record of a run of `kagent train`")
        return found

    log = property(lambda self: self.path / "log.csv")
    agent = property(lambda self: self.path / run_folder.AGENT)
    best = property(lambda self: self.path / "best.keras")
    checkpoints = property(lambda self: self.path / "checkpoints")
    tensorboard = property(lambda self: self.path / "tensorboard")
    doctor = property(lambda self: self.path / "doctor.json")

    def best_validation(self) -> float | None:
        """The largest `val_episode_return` in the log; None: there is none."""
        try:
            with self.log.open(newline="", encoding="utf-8") as file:
                texts = [row.get("val_episode_return") or "nan" for row in csv.DictReader(file)]
        except FileNotFoundError:
            return None
        found = [value for value in map(float, texts) if value == value]
        return max(found, default=None)

    def cut_log(self, column: str, reached: int) -> None:
        """Takes rows of the log away that are behind what is reached: a run that goes on from there writes them again.

        Args:
            column: What is counted: `"timesteps"`, or of recorded episodes `"updates"`.
            reached: So many.
        """
        try:
            lines = self.log.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return
        names = lines[0].strip().split(",") if lines else []
        if column not in names:
            return
        place = names.index(column)
        whole = (line for line in lines[1:] if line.endswith("\n"))  # a kill may have cut the last one
        kept = [line for line in whole if _number(line.strip().split(","), place) <= reached]
        if len(kept) < len(lines) - 1:
            with replacing(self.log) as beside:
                beside.write_text("".join([lines[0], *kept]), encoding="utf-8")

    def create(self, config: dict[str, Any]) -> None:
        """Make the folder with `config.json` and `versions.json` in it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.write("config.json", config)
            self.write("versions.json", versions())
        except OSError as error:
            raise CommandError(f"cannot write to --out {self.path}: {error}") from error

    def write(self, name: str, content: dict[str, Any]) -> None:
        """`content` as readable JSON, whole or not at all."""
        with replacing(self.path / name) as beside:
            beside.write_text(json.dumps(content, indent=2, default=str) + "\n", encoding="utf-8")


def _number(row: list[str], place: int) -> float:
    # A row without it is none.
    try:
        return float(row[place])
    except (IndexError, ValueError):
        return math.inf


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version(), "kagent": __version__}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "platform": platform.platform()}
