"""The command line: `kagent train | tune | evaluate | watch | record | plot | report | doctor | export | inspect | list | complete`.

Nothing here imports TensorFlow before a command needs it, so that `kagent --help` is immediate.
"""

from __future__ import annotations

import argparse
import difflib
import re
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from kagent import __version__
from kagent.cli import (
    catalog,
    colours,
    complete,
    doctor,
    evaluate,
    export,
    inspect,
    plot,
    record,
    report,
    train,
    tune,
    watch,
)
from kagent.cli.errors import CommandError, is_complaint
from kagent.cli.folder import CONTENTS
from kagent.config.vocabulary import meaning

DESCRIPTION = """\
Reinforcement learning for Keras.

An agent is a Keras model that learns by doing. It sees an observation of an
environment, chooses an action, receives a reward, and changes its network so
that the rewards of an episode add up to more: that sum is the return.
Environments come from gymnasium and go by an id, such as CartPole-v1.
"""

EPILOG = f"""\
examples:
  kagent train dqn CartPole-v1
      train with tuned settings, evaluate, save to a folder in runs/
  kagent train --resume runs/first
      go on with a run that was stopped or killed, bit for bit
  kagent doctor runs/first
      say in words what went wrong, and what to try
  kagent record runs/first --out cartpole.gif
      watch what an agent learned (needs: pip install 'kagent[render]')
  kagent plot runs/* --out curves.png
      compare how runs learned (needs: pip install 'kagent[plots]')
  kagent report runs/* --out report.html
      one page with curves, a table over seeds, settings and versions

a run leaves a folder:
{CONTENTS}

In Python the same agent is a keras.Model:
  agent = kagent.DQN("CartPole-v1"); agent.fit("CartPole-v1", steps=50_000)
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage in front of it.

    Attributes:
        options: The options that it takes, "--help" among them.
        choices_of_options: The values of those of them that have a few.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        if sys.version_info >= (3, 14):
            kwargs.setdefault("color", False)  # argparse has colours of its own there
        self.options: list[str] = []
        self.choices_of_options: dict[str, list[str]] = {}
        super().__init__(*args, **kwargs)

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        return self._noted(super().add_argument(*names, **kwargs))

    def add_argument_group(self, *args: Any, **kwargs: Any) -> Any:
        group = super().add_argument_group(*args, **kwargs)
        add = group.add_argument
        # An attribute of the group, which hides its method: argparse makes the group itself.
        group.__dict__["add_argument"] = lambda *names, **given: self._noted(add(*names, **given))
        return group

    def _noted(self, action: argparse.Action) -> argparse.Action:
        options = [name for name in action.option_strings if name.startswith("--")]
        self.options += options
        if action.choices is not None:
            self.choices_of_options |= {name: [str(choice) for choice in action.choices] for name in options}
        return action

    def error(self, message: str) -> NoReturn:
        self.exit(2, colours.complaint(self.prog, f"{message}{_meant(message)} (see {self.prog} --help)\n"))

    def print_help(self, file: Any = None) -> None:
        stream = sys.stdout if file is None else file
        text = self.format_help()
        stream.write(colours.of_help(text) if colours.are_shown(stream) else text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        Exit code: 0; 2 for bad input, with one line on stderr; 128 + signal when interrupted (Ctrl-C: 130).

    Example:

    >>> main(["train", "dqm", "CartPole-v1"])
    2
    """
    whole = argv is None  # the process is this command
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    if not argv:
        parser.print_help()
        return 0
    try:
        arguments, unknown = parser.parse_known_args(argv)
        if unknown:
            arguments.parser.error(_unknown(unknown, arguments.parser))
    except SystemExit as exit:  # argparse leaves by itself after --help and after an error
        return exit.code if isinstance(exit.code, int) else 2
    try:
        result: int = arguments.run(arguments, argv)
        return result
    except CommandError as error:
        return _complain(error)
    except KeyboardInterrupt:
        if whole:  # a second signal must not take the exit code
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nkagent: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if not is_complaint(error):
            raise
        return _complain(error)


def _meant(message: str) -> str:
    """What was meant by a word that is none of the choices in argparse's message; "" where nothing is like it.

    Example:

    >>> _meant("argument COMMAND: invalid choice: 'trian' (choose from 'train', 'tune')")
    ". Did you mean 'train'?"
    """
    found = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
    close = difflib.get_close_matches(found[1], re.findall(r"[\w.-]+", found[2]), n=1) if found else []
    return f". Did you mean {close[0]!r}?" if close else ""


def _unknown(given: list[str], parser: Parser) -> str:
    """The message about what a command does not take: options by other names, and settings given as options."""
    message = f"unrecognized arguments: {' '.join(given)}."
    for text in given:
        if text.startswith("--"):
            option = text.partition("=")[0]
            message += f" {option}: {_instead(option, parser.options)}."
    return message


def _instead(option: str, options: list[str]) -> str:
    own = meaning(option).rpartition(".")
    if (flag := f"--{own[2].replace('_', '-')}") in options:
        return f"did you mean {flag}"
    if "--set" in options and own[0] in ("", "fit", "compile"):
        close = difflib.get_close_matches(option, options, n=1, cutoff=0.85)  # any word may be a setting
        likely = f"did you mean {close[0]}? " if close else ""
        return f"{likely}settings are given as --set {''.join(own)}=VALUE"
    close = difflib.get_close_matches(option, options, n=1)
    return f"did you mean {close[0]}" if close else "no such option"


def _complain(error: Exception) -> int:
    print(colours.complaint("kagent", str(error)), file=sys.stderr)
    return 2


def _parser() -> Parser:
    parser = Parser(prog="kagent", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"kagent {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (train, tune, evaluate, watch, record, plot, report, doctor, export, inspect, catalog, complete):
        command.add_parser(commands)
    return parser
