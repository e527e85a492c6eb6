"""Which failures are the user's to mend, and so get one line instead of a traceback."""

from __future__ import annotations

import opcode
from types import TracebackType

_GYMNASIUM = {"UnregisteredEnv", "DependencyNotInstalled", "MissingArgument"}


class CommandError(Exception):
    """Bad input on the command line: one line on stderr and exit code 2."""


def is_complaint(error: BaseException) -> bool:
    """Whether kagent raised `error` on purpose to tell the user something (or gymnasium about an id).

    A `ValueError` from inside an environment keeps its traceback, and so does a fault of kagent's own.
    """
    if any(cls.__name__ in _GYMNASIUM and cls.__module__ == "gymnasium.error" for cls in type(error).__mro__):
        return True
    if not isinstance(error, ValueError | TypeError | ImportError | OSError) or error.__traceback__ is None:
        return False
    last: TracebackType = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    ours = str(last.tb_frame.f_globals.get("__name__", "")).split(".")[0] == "kagent"
    # Only a `raise` statement is a message; `None + 1` in our own code is a bug.
    return ours and last.tb_frame.f_code.co_code[last.tb_lasti] == opcode.opmap["RAISE_VARARGS"]
