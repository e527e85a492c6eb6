"""What is found in a run or an environment: data first, words second."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

SEVERITIES = ("severe", "warning", "advice")
_WIDTH = 80


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes:
        name: Which, such as `"no_better_than_random"`: `docs/guides/doctor.md` has a section of that name.
        severity: `"severe"`: learning cannot work, or has not worked. `"warning"`: it probably works less well.
            `"advice"`: it may matter.
        evidence: One or two sentences with the numbers.
        advice: What to try, most promising first.
        numbers: The numbers of the evidence by name, for programs.

    Raises:
        ValueError: Another severity.

    Example:

    >>> finding = Finding("replay_stale", "warning", "0.001 gradient steps a timestep.", ("Lower `frequency`.",))
    >>> print(finding)
    replay_stale (warning)
      0.001 gradient steps a timestep.
      Try: Lower `frequency`.
    """

    name: str
    severity: str
    evidence: str
    advice: tuple[str, ...] = ()
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"`severity` must be one of {SEVERITIES}. Received: {self.severity!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain values by the names of the attributes; numbers that are not finite, which JSON lacks, are None."""
        numbers = {name: value if math.isfinite(value) else None for name, value in self.numbers.items()}
        return {**dataclasses.asdict(self), "advice": list(self.advice), "numbers": numbers}

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.severity})", *_wrapped(self.evidence, "  ", "  ")]
        for place, text in enumerate(self.advice):
            lines += _wrapped(text, "  Try: " if place == 0 else "   or: ", "       ")
        return "\n".join(lines)


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """The most severe first; of equal severity as they were found."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def report(findings: Sequence[Finding], about: str) -> str:
    """Findings as text of at most 80 columns, the most severe first.

    Args:
        findings: What was found; may be empty.
        about: What was looked at, as a sentence.

    Example:

    >>> print(report([], "CartPole-v1: 200 timesteps."))
    Doctor: nothing found. CartPole-v1: 200 timesteps.
    """
    count = len(findings)
    found = "nothing found" if not count else f"{count} finding{'s' if count > 1 else ''}"
    lines = _wrapped(f"Doctor: {found}. {about}", "", "  ")
    for number, finding in enumerate(ordered(findings), 1):
        lines += ["", *f"{number}. {finding}".splitlines()]
    return "\n".join(lines)


def _wrapped(text: str, first: str, others: str) -> list[str]:
    # Words that cannot be broken, such as paths, may be longer than a line.
    return textwrap.wrap(
        text, _WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
