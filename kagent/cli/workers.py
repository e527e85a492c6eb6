"""`kagent train --workers N`: environments in workers of a Ray cluster."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from kagent.cli import modules
from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.options import count

OPTIONS = ("workers", "envs_per_worker", "ray_address")  # that a resumed run keeps


def add_options(parser: Any) -> None:
    """Adds `--workers`, `--envs-per-worker` and `--ray-address`."""
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="step environments in so many workers of Ray (default: in this process)",
    )
    parser.add_argument("--envs-per-worker", type=count, metavar="N", help="environments of each worker (default: 1)")
    parser.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="auto: the Ray cluster of this machine; HOST:PORT: another one (default: one that is started here)",
    )


def total(arguments: argparse.Namespace) -> int | None:
    """How many environments the workers have; None without workers.

    Raises:
        CommandError: An option of workers without `--workers`, or another number of environments.
    """
    if arguments.workers is None:
        for name, value in (("envs-per-worker", arguments.envs_per_worker), ("ray-address", arguments.ray_address)):
            if value is not None:
                raise CommandError(f"--{name} needs --workers. Received: {value}")
        return None
    found: int = arguments.workers * (arguments.envs_per_worker or 1)
    if arguments.n_envs not in (None, found):
        raise CommandError(f"--n-envs must be the {found} environments of the workers. Received: {arguments.n_envs}")
    return found


def of_options(arguments: argparse.Namespace, n_envs: int) -> Any:
    """The `workers` of `fit` that the command line gives, or None.

    Args:
        arguments: Of the command.
        n_envs: Environments of the agent.

    Raises:
        CommandError: They have another number of environments than a run that goes on, or are given with `--data`; an address of
            another form.
    """
    found = total(arguments)
    if found is None:
        return None
    if arguments.data is not None:
        raise CommandError(f"--workers have environments, and --data has none. Received: --workers {arguments.workers}")
    if found != n_envs:
        raise CommandError(f"a resumed run keeps its {n_envs} environments. Received: workers with {found}")
    from kagent.distributed import Ray

    try:
        return Ray(arguments.workers, arguments.envs_per_worker or 1, arguments.ray_address)
    except ValueError as error:
        raise CommandError(f"--ray-address: {error}") from error


@dataclasses.dataclass(frozen=True)
class Making:
    """Makes an environment in a process that has not imported the modules of `--import` yet.

    Attributes:
        source: What it is made from.
        modules: Names of modules.
    """

    source: Source
    modules: tuple[str, ...]

    def __call__(self) -> Any:
        for name in self.modules:
            modules.load(name)
        return self.source.make()
