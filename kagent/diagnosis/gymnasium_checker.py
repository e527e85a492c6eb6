"""What gymnasium's own checker says beyond kagent's."""

from __future__ import annotations

import inspect
import re
import warnings

import gymnasium
from gymnasium.utils import env_checker

from kagent.diagnosis.finding import Finding

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# What kagent says itself, and what only says how the checker was called.
_KNOWN = (
    "is -infinity", "is infinity", "recommend using a symmetric", "unwrapped version", "alternative render modes",
    "share an object", "not equal although similar",
)  # fmt: skip


def check(env: gymnasium.Env) -> list[Finding]:
    """Runs gymnasium's checker, without rendering, on an environment under its wrappers.

    Args:
        env: It is reset and stepped.

    Returns:
        One finding for an error, and one for all warnings.
    """
    found = []
    error = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            env_checker.check_env(env.unwrapped, skip_render_check=True, **_without_close())
        except Exception as raised:  # whatever the checker or the environment raises
            error = raised
    if error is not None and not any(known in str(error) for known in _KNOWN):
        found.append(Finding("gymnasium_checker", "warning", f"gymnasium's checker: {_plain(str(error))}"))
    said = list(dict.fromkeys(_plain(str(warning.message)) for warning in caught))
    said = [text for text in said if not any(known in text for known in _KNOWN)]
    if said:
        found.append(Finding("gymnasium_warnings", "advice", f"gymnasium's checker: {' '.join(said)}"))
    return found


def _without_close() -> dict[str, bool]:
    # Of releases from 1.1 on: the environment stays open.
    known = inspect.signature(env_checker.check_env).parameters
    return {"skip_close_check": True} if "skip_close_check" in known else {}


def _plain(text: str) -> str:
    return " ".join(_COLOURS.sub("", text).replace("WARN:", "").split()) or "an error without a message"
