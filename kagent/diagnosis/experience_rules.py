"""Rules of experience: observations, actions, rewards, episodes and masks as a run has seen them.

Each is a pure function of a `Record` and gives one finding or none.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from kagent.diagnosis.finding import Finding
from kagent.diagnosis.record import Entries, Record

_FEWEST = 200  # samples before anything is said of entries
_APART = 1e6  # scales of two entries
_FAR = 1e4  # absolute values that a network should not get
_OUTSIDE = 1e-5  # of the range: rounding is not outside
_AT_ONE, _AT_BOTH = 0.98, 0.98
_OUTWARD = 0.46  # part of the noise on an action at a bound that leads outside and is cut: a half, and less by chance
_FEW_EPISODES = 10
_LONG = 10_000  # timesteps without an end
_SINGLE = (0.9, 1.0)
_TINY, _BEYOND = 1e-3, 10.0
_SHOWN = 5


def observations_out_of_bounds(record: Record) -> Finding | None:
    """Observations leave the bounds that their space declares."""
    outside: list[str] = []
    worst = 0.0
    for leaf in record.observations:
        for place, (seen, bounds) in _entries(leaf):
            slack = _OUTSIDE * max(1.0, *(abs(bound) for bound in bounds if math.isfinite(bound)), 0.0)
            beyond = max(bounds[0] - seen[0], seen[1] - bounds[1])
            if beyond > slack:
                worst = max(worst, beyond)
                outside.append(f"{_place(leaf, place)}: {seen[0]:.4g} to {seen[1]:.4g}, declared {_range(bounds)}")
    if not outside:
        return None
    return Finding(
        "observations_out_of_bounds",
        "warning",
        f"{_count(outside, 'entry', 'entries')} of the observation left the declared bounds ({_listed(outside)}).",
        (
            "Correct `observation_space`: whatever scales by its bounds is wrong.",
            "Clip in the environment, where such values are faults.",
        ),
        {"entries": float(len(outside)), "beyond": worst},
    )


def observations_unscaled(record: Record) -> Finding | None:
    """Entries of the network's input have sizes too different, or too large."""
    sizes: list[tuple[float, str]] = []
    for leaf in record.inputs:
        if leaf.image or leaf.discrete or leaf.samples < _FEWEST:
            continue
        for place, (seen, _) in _entries(leaf):
            if seen[0] < seen[1]:  # constant ones are another finding
                sizes.append((max(abs(seen[0]), abs(seen[1])), _place(leaf, place)))
    if not sizes:
        return None
    (small, at_small), (large, at_large) = min(sizes), max(sizes)
    apart = large / small if small else math.inf
    if apart < _APART and large < _FAR:
        return None
    severity = "warning" if apart >= _APART else "advice"
    return Finding(
        "observations_unscaled",
        severity,
        f"Inputs of the network reach {large:.3g} ({at_large}) and {small:.3g} ({at_small}).",
        (
            "Standardize them: normalize='observation'.",
            "Or scale them in the environment, to about -1 to 1.",
        ),
        {"largest": large, "smallest": small},
    )


def observations_constant(record: Record) -> Finding | None:
    """Entries of the observation never change."""
    constant: list[str] = []
    entries = 0
    for leaf in record.observations:
        if leaf.samples < _FEWEST:
            continue
        entries += len(leaf.low)
        if leaf.still and leaf.low != leaf.high:  # an image that stands still, whose pixels differ
            constant.append(f"{leaf.name or 'all of it'}: the first sample")
        for place, (seen, bounds) in _entries(leaf):
            if seen[0] == seen[1] and bounds[0] != bounds[1]:
                constant.append(f"{_place(leaf, place)}: {seen[0]:.4g}")
    if not constant:
        return None
    samples = max(leaf.samples for leaf in record.observations)
    whole = len(constant) == entries
    return Finding(
        "observations_constant",
        "severe" if whole else "advice",
        f"{len(constant)} of {entries} entries of the observation never changed in {samples:,} samples ({_listed(constant)}).",
        (
            "Look at how the environment makes the observation: is it the same array, or one that is never filled?"
            if whole
            else "Leave them out, or look at whether the environment fills them.",
        ),
        {"constant": float(len(constant)), "entries": float(entries)},
    )


def actions_saturated(record: Record) -> Finding | None:
    """Continuous actions lie at their bounds, and nothing was learned."""
    if record.learned is not False or not record.gradient_steps:
        return None
    noisy = bool(record.settings.get("noise"))
    part = _OUTWARD if noisy else 1.0
    for leaf in record.actions:
        if leaf.samples < _FEWEST or not leaf.at_low:
            continue
        stuck = [max(low, high) for low, high in zip(leaf.at_low, leaf.at_high)]
        either = [low + high for low, high in zip(leaf.at_low, leaf.at_high)]
        if max(stuck) >= part * _AT_ONE or statistics.fmean(either) >= part * _AT_BOTH:
            one = max(stuck) >= part * _AT_ONE
            number = max(stuck) if one else statistics.fmean(either)
            where = "at one and the same bound" if one else "at a bound"
            where += ", where noise does not lead back inside" if noisy else ""
            return Finding(
                "actions_saturated",
                "warning",
                f"{100 * number:.0f} % of the latest actions{leaf.title} lie {where}, and returns have not risen.",
                (
                    "Lower `learning_rate`: a policy that is pushed against its bounds gets no gradient there.",
                    "Normalize observations and rewards (`normalize=True`).",
                    "Explore more: `entropy_coefficient`, the temperature, or the noise of actions.",
                ),
                {"share": number},
            )
    return None


def rewards_absent(record: Record) -> Finding | None:
    """Every reward is zero."""
    rewards, episodes, recorded = record.rewards, record.episodes, record.recorded
    if not record.settings.get("reads_rewards", 1.0):
        return None
    count = episodes.count or len(recorded.returns if recorded else ())
    paid = episodes.magnitude or any(recorded.returns if recorded else ())
    if len(rewards.raw) < _FEWEST or any(rewards.raw) or paid or count < _FEW_EPISODES:
        return None
    return Finding(
        "rewards_absent",
        "severe",
        f"All rewards of {count} episodes are 0: there is nothing to learn from.",
        (
            "Look at whether the environment pays at all: play an episode by hand.",
            "Where rewards are rare: rewards for what is new, preprocessing={'reward': 'rnd'}, or demonstrations (`pretrain`).",
        ),
        {"episodes": float(count)},
    )


def rewards_hidden(record: Record) -> Finding | None:
    """Rewards differ by more than clipping leaves of them, or than Huber's loss does."""
    rewards, huber = record.rewards, record.settings.get("huber")
    if len(rewards.raw) < _FEWEST or not record.settings.get("reads_rewards", 1.0):
        return None
    by_seen: dict[float, set[float]] = {}
    for raw, seen in zip(rewards.raw, rewards.seen):
        by_seen.setdefault(seen, set()).add(raw)
    merged, clipped = 0, 0.0
    for seen, raws in by_seen.items():
        sizes = [abs(raw) for raw in raws if raw]
        if len(sizes) > 1 and max(sizes) >= 2.0 * min(sizes):
            merged += sum(value == seen for value in rewards.seen)
            clipped = max(clipped, max(sizes) / min(sizes))
    if merged >= 0.5 * len(rewards.raw):
        return Finding(
            "rewards_hidden",
            "warning",
            f"Clipping makes {100 * merged / len(rewards.raw):.0f} % of the rewards equal that differ by up to a factor of "
            f"{clipped:.3g}.",
            ("Scale instead of clipping: normalize='reward', or divide by the largest one.",),
            {"share": merged / len(rewards.raw), "factor": clipped},
        )
    sizes = sorted(abs(value) for value in rewards.seen if value)
    if not sizes:
        return None
    usual = statistics.median(sizes)
    if huber is not None and usual > _BEYOND * huber:
        return Finding(
            "rewards_hidden",
            "warning",
            f"Rewards are usually of size {usual:.3g}, and Huber's loss is linear from errors of {huber:.3g} on: of larger "
            "errors only the sign counts.",
            ("Scale rewards to about 1 (normalize='reward').", "Or set `huber` of the objective to about their size."),
            {"reward": usual, "huber": huber},
        )
    if sizes[-1] < _TINY:
        return Finding(
            "rewards_hidden",
            "advice",
            f"The largest reward is {sizes[-1]:.2g}: bonuses for entropy and the noise of values hide rewards so small.",
            ("Scale them to about 1 (normalize='reward').",),
            {"reward": sizes[-1]},
        )
    return None


def episodes_always_truncate(record: Record) -> Finding | None:
    """Every episode is cut off, and returns are not better than chance's."""
    episodes = record.episodes
    if episodes.truncated is None or episodes.count < _FEW_EPISODES or episodes.truncated < episodes.count:
        return None
    if not record.finished or record.learned is not False or not record.baseline:
        return None
    return Finding(
        "episodes_always_truncate",
        "warning",
        f"All {episodes.count} episodes were cut off by a limit, the longest after {episodes.longest:,} timesteps; the agent has "
        "not seen an end of the task.",
        (
            "Where a goal ends the task: explore more, let episodes be longer, or pay for coming closer.",
            "Where the task has no end, as with Pendulum, this is as it should be.",
        ),
        {"episodes": float(episodes.count), "longest": float(episodes.longest)},
    )


def episodes_never_end(record: Record) -> Finding | None:
    """No episode has ended."""
    if record.episodes.count or record.timesteps < _LONG:
        return None
    return Finding(
        "episodes_never_end",
        "warning",
        f"No episode has ended in {record.timesteps:,} timesteps: there are no returns, and nothing is reset.",
        ("Limit episodes: Agent(max_episode_timesteps=1000), or gymnasium.make(..., max_episode_steps=1000).",),
        {"timesteps": float(record.timesteps)},
    )


def masks_leave_one_action(record: Record) -> Finding | None:
    """Masks decide, not the agent."""
    share = record.single_choice
    if share is None or share < _SINGLE[0]:
        return None
    whole = share >= _SINGLE[1]
    return Finding(
        "masks_leave_one_action",
        "severe" if whole else "warning",
        f"Masks leave one action in {100 * share:.0f} % of the decisions"
        + (": there is nothing to decide." if whole else "."),
        (
            "Look at how the environment makes its masks: True is allowed.",
            "Let the environment take forced actions by itself: the agent then sees decisions only.",
        ),
        {"share": share},
    )


RULES = (
    observations_out_of_bounds, observations_unscaled, observations_constant, actions_saturated, rewards_absent, rewards_hidden,
    episodes_always_truncate, episodes_never_end, masks_leave_one_action,
)  # fmt: skip


def _entries(leaf: Entries) -> Iterable[tuple[int, tuple[tuple[float, float], tuple[float, float]]]]:
    seen, declared = zip(leaf.low, leaf.high), zip(leaf.declared_low, leaf.declared_high)
    return enumerate(zip(seen, declared))


def _place(leaf: Entries, place: int) -> str:
    return (leaf.name or "entry") + (f" {place}" if len(leaf.low) > 1 else "")


def _range(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.4g} to {bounds[1]:.4g}"


def _count(items: list[str], one: str, many: str) -> str:
    return f"{len(items)} {one if len(items) == 1 else many}"


def _listed(items: list[str]) -> str:
    more = f"; {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more
