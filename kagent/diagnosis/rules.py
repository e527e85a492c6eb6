"""All rules together: a run's record in, findings out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from kagent.diagnosis import experience_rules, learning_rules, recorded_rules, update_rules
from kagent.diagnosis.finding import Finding, ordered
from kagent.diagnosis.record import Record, is_better

RULES = (*learning_rules.RULES, *update_rules.RULES, *experience_rules.RULES, *recorded_rules.RULES)


def diagnose(record: Record) -> list[Finding]:
    """What is wrong with a run, the most severe first.

    Args:
        record: What is known of it. Rules that lack numbers find nothing.

    Example:

    >>> [finding.name for finding in diagnose(Record(timesteps=20_000, settings={"start": 50_000}))]
    ['no_updates', 'episodes_never_end']
    """
    return ordered([finding for rule in RULES if (finding := rule(record)) is not None])


def compare_seeds(returns: Mapping[str, float], baseline: Sequence[float] = ()) -> list[Finding]:
    """What several runs of the same settings say together.

    Args:
        returns: Mean return of each finished agent, by the run's name.
        baseline: Returns of random play; without them the worst run counts as 0.

    Returns:
        `seed_dominates`: one run makes most of the mean. `seed_fails`: a run is no better than random, and most are.
        Nothing of fewer than three runs.

    Example:

    >>> found = compare_seeds({"seed-0": 24.0, "seed-1": 25.0, "seed-2": 500.0}, baseline=[20.0, 22.0])
    >>> [finding.name for finding in found]
    ['seed_dominates']
    """
    count = len(returns)
    if count < 3:
        return []
    found = []
    zero = statistics.fmean(baseline) if baseline else min(returns.values())
    gains = {name: max(value - zero, 0.0) for name, value in returns.items()}
    best, total = max(gains, key=lambda name: gains[name]), sum(gains.values())
    # Of equal runs each has 1 / count. Without a baseline the worst of three counts 0, and half of the rest is usual.
    share, limit = (gains[best] / total if total else 0.0), 0.5 + 0.5 / count
    rest = statistics.fmean([value for name, value in returns.items() if name != best])
    # Without a baseline nobody knows how large a gain is: it counts where it is half of the returns themselves.
    is_large = bool(baseline) or returns[best] - rest > 0.5 * max(abs(returns[best]), abs(rest))
    if is_large and share > max(limit, 0.0 if baseline else 0.75):
        found.append(
            Finding(
                "seed_dominates",
                "warning",
                f"{best} returns {returns[best]:.4g}, the other {count - 1} runs {rest:.4g} on average: one run makes "
                f"{100 * share:.0f} % of the mean's gain over {'random play' if baseline else 'the worst run'}.",
                (
                    "Report the interquartile mean with its interval, not the mean and never the best run.",
                    "Run more seeds, and look for settings that work with most of them.",
                ),
                {"share": share, "best": returns[best], "rest": rest},
            )
        )
    failed = [name for name, value in returns.items() if baseline and not is_better([value] * 2, baseline)]
    if failed and len(failed) < count / 2:
        found.append(
            Finding(
                "seed_fails",
                "warning",
                f"{', '.join(failed)}: no better than random play ({zero:.4g}), where {count - len(failed)} of {count} runs are.",
                ("Explore more, or lower `learning_rate`: what fails with one seed in a few is not stable.",),
                {"failed": float(len(failed)), "runs": float(count)},
            )
        )
    return ordered(found)
