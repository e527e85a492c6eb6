"""The folder a run leaves: what was asked for, with which versions, how it went, and the agent."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
import time
from pathlib import Path
from typing import Any

from kagent.cli.errors import CommandError
from kagent.files.atomic_files import replacing

PACKAGES = ("kagent", "keras", "tensorflow", "numpy", "gymnasium")

CONTENTS = """\
  config.json      settings, seed, command line, and the agent's configuration
  versions.json    of Python, kagent, Keras, TensorFlow, NumPy, gymnasium
  log.csv          a row per epoch: timesteps, episode_return, losses ...
  tensorboard/     the same for: tensorboard --logdir
  agent.keras      the trained agent, for kagent.load
  evaluation.json  return of the finished agent: mean, std, every episode"""


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
    def named(cls, algorithm: str, environment: str, seed: int) -> RunFolder:
        """`runs/<algorithm>-<environment>-<seed>-<time>`."""
        name = re.sub(r"[^\w.-]+", "-", f"{algorithm}-{environment}-{seed}", flags=re.ASCII)
        return cls(Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")

    log = property(lambda self: self.path / "log.csv")
    agent = property(lambda self: self.path / "agent.keras")
    tensorboard = property(lambda self: self.path / "tensorboard")

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


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # run from a source tree
            found[package] = "not installed"
    return {**found, "platform": platform.platform()}
