"""Colours of the command line: of help, errors and findings, on a terminal that shows them."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

_RESET = "\x1b[0m"
BOLD, RED, YELLOW, CYAN, BLUE = "\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[1;34m"
_OF_SEVERITY = {"severe": RED, "warning": YELLOW, "advice": CYAN}
_HEADING = re.compile(r"^(?=\S)(?:usage: .*|[^\n]*:)$", re.MULTILINE)
# Names stand at the beginning of an indented line, before at least two spaces or the end: options with what they take, commands.
_OPTIONS = re.compile(r"^( {2,4})(-\S.*?)(?=  |$)", re.MULTILINE)
_COMMANDS = re.compile(r"^( {2,4})([a-z][\w-]*|module:Class)(?= {2,}\S)", re.MULTILINE)
_FINDING = re.compile(r"^(\w+) \((severe|warning|advice)\)$", re.MULTILINE)


def are_shown(stream: TextIO) -> bool:
    """Whether text on a stream may have colours.

    It may on a terminal, unless the variable `NO_COLOR` is set (https://no-color.org) or `TERM` is `dumb`; and wherever
    `FORCE_COLOR` is set.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def painted(text: str, colour: str) -> str:
    """The text in a colour, which ends with it."""
    return f"{colour}{text}{_RESET}"


def of_help(text: str) -> str:
    """Help with headings in blue, and options and commands in cyan. Without colours it is the same text.

    Example:

    >>> of_help("options:\\n  --seed S  of the agent\\n")
    '\\x1b[1;34moptions:\\x1b[0m\\n  \\x1b[36m--seed S\\x1b[0m  of the agent\\n'
    """
    text = _HEADING.sub(lambda found: painted(found[0], BLUE), text)
    for names in (_OPTIONS, _COMMANDS):
        text = names.sub(lambda found: found[1] + painted(found[2], CYAN), text)
    return text


def of_findings(text: str) -> str:
    """A report of the doctor with the name of each finding in the colour of its severity."""
    return _FINDING.sub(lambda found: painted(found[0], _OF_SEVERITY[found[2]]), text)


def complaint(program: str, message: str) -> str:
    """A line about an error, for stderr; "error:" is red there where colours are shown."""
    word = painted("error:", RED) if are_shown(sys.stderr) else "error:"
    return f"{program}: {word} {message}"
