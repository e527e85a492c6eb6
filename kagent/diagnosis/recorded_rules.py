"""Rules of offline learning: recorded episodes, and what an agent makes of them.

Each is a pure function of a `Record` and gives one finding or none; without recorded episodes there is none.
"""

from __future__ import annotations

import statistics

from kagent.diagnosis.finding import Finding
from kagent.diagnosis.record import Record, is_better

_FEWEST = 200  # timesteps before anything is said of actions
_FEW_EPISODES = 5
_EARLIEST = 0.3  # part of a run before which nothing has to be learned
_WORSE = 0.2  # of the size of the recorded returns, or of their spread
_BEYOND = 0.5  # of the range of discounted returns
_AT_BOUND, _SELDOM = 0.98, 0.5


def values_overestimated(record: Record) -> Finding | None:
    """Values of the recorded actions lie above every discounted return that was recorded."""
    late, recorded = record.late("q_mean"), record.recorded
    discount = record.settings.get("discount")
    if not late or recorded is None or not recorded.values or discount is None:
        return None
    low, high = recorded.values
    if record.settings.get("bonus"):  # values hold the entropy that is to come
        temperature, most = record.late("temperature"), record.settings.get("most_entropy")
        if not temperature or most is None or discount >= 1.0:
            return None
        high += max(temperature[-1] * most, 0.0) / (1.0 - discount)
    now = late[-1]
    if now <= high + _BEYOND * (high - low) or now <= high + 1e-3 * max(abs(high), abs(low)):
        return None
    return Finding(
        "values_overestimated",
        "warning",
        f"The mean value of recorded actions is {now:.4g}; the best discounted return that was recorded is {high:.4g}. "
        "Values of actions that nobody tried pull them up.",
        (
            "Trust values less: of CQL a larger `alpha`, of TD3BC a smaller one, of IQL an `expectile` nearer to 0.5.",
            "Take a preset for offline learning (IQL, CQL, DiscreteCQL, TD3BC), where this is another one.",
            "Lower `learning_rate`, or let targets follow more slowly (`tau`).",
        ),
        {"q_mean": now, "best_return": high},
    )


def worse_than_recorded(record: Record) -> Finding | None:
    """Validations return clearly less than the recorded episodes."""
    late, recorded = record.late("val_episode_return"), record.recorded
    if recorded is None or len(recorded.returns) < _FEW_EPISODES or len(late) < 2 or record.progress < _EARLIEST:
        return None
    now, before = statistics.fmean(late[-3:]), statistics.fmean(recorded.returns)
    size = max(abs(before), statistics.pstdev(recorded.returns))
    if before - now <= _WORSE * size or not is_better(recorded.returns, late[-3:]):
        return None
    return Finding(
        "worse_than_recorded",
        "warning",
        f"The last {len(late[-3:])} validations return {now:.4g} on average, the recorded episodes {before:.4g} "
        f"({len(recorded.returns)} of them).",
        (
            "Look at the other findings first: they may say why.",
            "Train longer (`epochs`, `updates`), or compare with `kagent.BC`, which does what was done.",
            "Stay nearer to the data: of CQL a larger `alpha`, of TD3BC and IQL a smaller `alpha` and `inverse_temperature`.",
            "Look at whether the episodes are of this environment, and whether they show what follows a mistake.",
        ),
        {"mean_return": now, "recorded_return": before},
    )


def policy_leaves_data(record: Record) -> Finding | None:
    """Greedy actions lie at bounds where recorded ones do not."""
    if record.recorded is None or not record.gradient_steps:
        return None
    recorded = {leaf.name: leaf for leaf in record.recorded.actions}
    for leaf in record.actions:
        other = recorded.get(leaf.name)
        if other is None or not leaf.at_low or other.samples < _FEWEST:
            continue
        now, before = (
            statistics.fmean(low + high for low, high in zip(each.at_low, each.at_high)) for each in (leaf, other)
        )
        if now >= _AT_BOUND and before <= _SELDOM:
            return Finding(
                "policy_leaves_data",
                "warning",
                f"{100 * now:.0f} % of the greedy actions{leaf.title} at recorded observations lie at a bound, "
                f"{100 * before:.0f} % of the recorded ones: nothing is known of what they are worth.",
                (
                    "Stay nearer to the data: of CQL a larger `alpha`, of TD3BC and IQL a smaller `alpha` and `inverse_temperature`.",
                    "Lower `learning_rate`: a policy that is pushed against its bounds gets no gradient there.",
                ),
                {"share": now, "recorded_share": before},
            )
    return None


def recorded_actions_constant(record: Record) -> Finding | None:
    """In all recorded timesteps the same was done."""
    recorded = record.recorded
    if recorded is None or recorded.timesteps < _FEWEST or not recorded.choices:
        return None
    entries = [pair for leaf in recorded.choices for pair in zip(leaf.low, leaf.high)]
    free = [low < high for leaf in recorded.choices for low, high in zip(leaf.declared_low, leaf.declared_high)]
    constant = [low == high for (low, high), varies in zip(entries, free) if varies]
    if not constant or not any(constant):
        return None
    whole = all(constant)
    return Finding(
        "recorded_actions_constant",
        "severe" if whole else "advice",
        f"{sum(constant)} of {len(constant)} entries of the action are the same in all {recorded.timesteps:,} recorded timesteps"
        + (": of other actions nothing can be learned." if whole else "."),
        (
            "Record episodes that try more: some random actions, or several policies."
            if whole
            else "Of these entries nothing can be learned: look at how the episodes were recorded.",
        ),
        {"constant": float(sum(constant)), "entries": float(len(constant))},
    )


RULES = (values_overestimated, worse_than_recorded, policy_leaves_data, recorded_actions_constant)
