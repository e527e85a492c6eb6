"""`kagent record`: what a saved agent does, as a film."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kagent.cli.errors import CommandError
from kagent.cli.evaluate import add_target, load, target
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Let a saved agent play and write the pictures to a GIF or an MP4.

Needs: pip install 'kagent[render]'
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("record", help="film a saved agent", description=DESCRIPTION)
    add_target(parser)
    parser.add_argument("--out", metavar="PATH", type=Path, required=True, help="file to write, .gif or .mp4")
    parser.add_argument("--episodes", type=count, default=1, metavar="N", help="number of episodes (default: 1)")
    parser.add_argument("--fps", type=float, metavar="F", help="frames per second (default: the environment's)")
    parser.add_argument(
        "--max-steps", type=count, default=1000, metavar="N", help="steps at most per episode (default: 1000)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the episodes")
    add_import(parser)
    parser.add_argument("--stochastic", action="store_true", help="sample actions as in training")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    from kagent.environments import rendering

    if arguments.out.suffix.lower() not in rendering.SUFFIXES:
        raise CommandError(f"--out must end in {' or '.join(rendering.SUFFIXES)}. Received: {arguments.out}")
    source = target(arguments)
    agent = load(arguments)
    env = source.id if source.made_by == source.id else source.make(render_mode="rgb_array")
    try:
        result = rendering.record(
            agent,
            env,
            arguments.out,
            episodes=arguments.episodes,
            fps=arguments.fps,
            max_steps=arguments.max_steps,
            deterministic=not arguments.stochastic,
            seed=arguments.seed,
        )
    finally:
        if not isinstance(env, str):
            env.close()
    returns = ", ".join(f"{value:.1f}" for value in result["episode_returns"])
    print(f"Wrote {arguments.out}: {result['frames']} frames at {result['fps']:g} per second, return {returns}")
    return 0
