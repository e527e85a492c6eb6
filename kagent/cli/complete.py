"""`kagent complete`: a script with which a shell completes commands, options, algorithms and environments."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import Any

from kagent import tuned
from kagent.cli import algorithms

SHELLS = ("bash", "zsh", "fish")
DESCRIPTION = """\
Print the script with which a shell completes kagent's commands, options,
algorithms, and the environments that settings are shipped for. Elsewhere it
completes files and folders.

  bash   eval "$(kagent complete bash)"            in ~/.bashrc
  zsh    eval "$(kagent complete zsh)"             behind compinit in ~/.zshrc
  fish   kagent complete fish | source             in ~/.config/fish/config.fish
"""

# The first pattern that fits says which words there are; without one the shell completes files.
_BASH = """\
_kagent() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} words=""
    if [ "$COMP_CWORD" -eq 1 ]; then command=""; fi
    case "$command $COMP_CWORD $previous $current" in
        " "*) words="{commands}" ;;
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _kagent kagent
"""
_FISH = "complete -c kagent -n {condition} {rest}"


def add_parser(commands: Any) -> None:
    """Adds the command and its arguments."""
    parser = commands.add_parser("complete", help="print a script for completion in a shell", description=DESCRIPTION)
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(run=lambda arguments, argv: _print(arguments.shell, commands.choices), parser=parser)


def _print(shell: str, parsers: dict[str, Any]) -> int:
    print(script(shell, parsers), end="")
    return 0


def script(shell: str, parsers: dict[str, Any]) -> str:
    """The script of a shell.

    Args:
        shell: One of `SHELLS`.
        parsers: Of the commands, by name.
    """
    if shell == "fish":
        return _fish(parsers)
    cases: list[tuple[str, Iterable[str]]] = []
    for name, parser in parsers.items():
        cases += [(f'"{name} "*" {option} "*', values) for option, values in parser.choices_of_options.items()]
        cases.append((f'"{name} "*" "*" -"*', parser.options))
    cases.append(('*" "*" -"*" "*', ()))  # the value of an option: a file, or a number
    for name in parsers:
        cases += [(f'"{name} {place} "*', words) for place, words in enumerate(_positional(name), 2)]
    script = _BASH.format(
        commands=" ".join(parsers),
        cases="\n".join(f'        {pattern}) words="{" ".join(words)}" ;;' for pattern, words in cases),
    )
    return script if shell == "bash" else f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def _positional(command: str) -> list[Iterable[str]]:
    """The words that the first arguments of a command may be."""
    names = [one.name for one in algorithms.ALGORITHMS]
    known = sorted({environment for name in names for environment in tuned.environments(name)})
    found: dict[str, list[Iterable[str]]] = {
        "train": [names, known], "tune": [names, known], "list": [names], "doctor": [known], "complete": [SHELLS],
    }  # fmt: skip
    return found.get(command, [])


def _fish(parsers: dict[str, Any]) -> str:
    lines = [
        _FISH.format(condition="__fish_use_subcommand", rest=f"-f -a {name} -d {_quoted(_summary(parser))}")
        for name, parser in parsers.items()
    ]
    for name, parser in parsers.items():
        condition = f"'__fish_seen_subcommand_from {name}'"
        for option in parser.options:
            values = parser.choices_of_options.get(option)
            rest = f"-l {option[2:]}" + (f" -x -a {_quoted(' '.join(values))}" if values else "")
            lines.append(_FISH.format(condition=condition, rest=rest))
        words = [word for place in _positional(name) for word in place]
        if words:
            lines.append(_FISH.format(condition=condition, rest=f"-a {_quoted(' '.join(words))}"))
    return "\n".join(lines) + "\n"


def _summary(parser: argparse.ArgumentParser) -> str:
    words = " ".join((parser.description or "").split())
    return re.split(r"(?<=[.:])\s", words)[0]  # the first sentence


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
