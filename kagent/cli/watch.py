"""`kagent watch`: what a saved agent does, in a window."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kagent.cli.environment import Source
from kagent.cli.errors import CommandError
from kagent.cli.evaluate import add_target, load, target
from kagent.cli.options import add_import, count

DESCRIPTION = """\
Let a saved agent play in a window. Of a run's folder it is the best agent
(best.keras) where there is one, else the last.

Needs: a display, and pip install 'kagent[render]'. Without a display
kagent record RUN --out film.gif writes a film.
"""


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("watch", help="watch a saved agent in a window", description=DESCRIPTION)
    add_target(parser)
    parser.add_argument("--episodes", type=count, default=3, metavar="N", help="number of episodes (default: 3)")
    parser.add_argument("--last", action="store_true", help="the last agent of the run, also where there is a best one")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of the episodes")
    add_import(parser)
    parser.add_argument("--stochastic", action="store_true", help="sample actions as in training")
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace, argv: list[str]) -> int:
    """Runs the command; the exit status."""
    given = arguments.file
    source = target(arguments)
    best = given / "best.keras"
    if best.is_file() and not arguments.last:
        arguments.file = best
    if (reason := no_display(os.environ, sys.platform)) is not None:
        raise CommandError(f"no window can be opened: {reason}. {_instead(given)}")
    driver = os.environ.get("SDL_VIDEODRIVER")
    agent = load(arguments)
    if driver is None:
        os.environ.pop("SDL_VIDEODRIVER", None)  # loading sets one that draws off screen
    import gymnasium

    from kagent.environments import rendering

    env = _window(source, given)
    shown = rendering.show(
        agent, env, episodes=arguments.episodes, deterministic=not arguments.stochastic, seed=arguments.seed
    )
    try:
        for episode, value in enumerate(shown, 1):
            print(f"episode {episode}: return {value:.1f}", flush=True)
    except gymnasium.error.DependencyNotInstalled as error:
        raise _undrawable(source, error) from error
    finally:
        env.close()
    return 0


def no_display(variables: Mapping[str, str], platform: str) -> str | None:
    """Why no window can be opened, or None.

    Args:
        variables: Of the process's environment.
        platform: As `sys.platform` names it.

    Example:

    >>> no_display({}, "linux")
    'there is no display (DISPLAY and WAYLAND_DISPLAY are not set)'
    >>> no_display({"DISPLAY": ":0"}, "linux"), no_display({}, "darwin")
    (None, None)
    """
    if variables.get("SDL_VIDEODRIVER"):
        return None  # whoever sets it knows
    if platform in ("win32", "darwin") or variables.get("DISPLAY") or variables.get("WAYLAND_DISPLAY"):
        return None
    return "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"


def _window(source: Source, given: Path) -> Any:
    import gymnasium

    plain = source.make()
    modes = plain.metadata.get("render_modes") or []
    plain.close()
    if "human" not in modes:
        raise CommandError(
            f"{source.id} has no render mode 'human', only {', '.join(map(repr, modes)) or 'none'}. {_instead(given)}"
        )
    try:
        return source.make(render_mode="human")
    except gymnasium.error.DependencyNotInstalled as error:
        raise _undrawable(source, error) from error


def _undrawable(source: Source, error: Exception) -> CommandError:
    return CommandError(f"{source.id} cannot be drawn: {error}. Try: pip install 'kagent[render]'")


def _instead(given: Path) -> str:
    return f"A film needs none: kagent record {given} --out film.gif"
