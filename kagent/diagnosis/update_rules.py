"""Rules of updates: are gradients and steps of a healthy size, and is experience used as often as it is worth.

Each is a pure function of a `Record` and gives one finding or none. Bounds are wide: a rule is silent on settings that work.
"""

from __future__ import annotations

import math
import statistics

from kagent.diagnosis.finding import Finding
from kagent.diagnosis.record import Record, has_collapsed

ROLES = ("policy", "critic")
_EARLIEST = 0.3  # part of a run before which nothing has to be learned
_STILL, _LEAP = 1e-9, 0.3  # relative change of the weights in one gradient step
_FLAT = 1e-9  # norm of a gradient that is none
_STEEPER = 1e4  # times the norm of the gradients of the first half
_CUT = 100.0  # times the norm that gradients are clipped at
_SWOLLEN = (20.0, 100.0)  # times the size of the weights at the beginning; of an agent that has learned
_CLIPPED = (1e-3, 0.5)  # usual parts of clipped samples
_CLIPPED_AND_LEARNED = 0.75  # tuned settings with a small clip range clip about half
_DIVERGENCE = (1e-6, 0.1, 0.5)  # usual approximate KL of an update in nats, and where it is severe
_USES = (0.5, 20_000.0)  # how often a timestep is drawn from a replay memory


def updates_vanishing(record: Record) -> Finding | None:
    """Weights do not move. A policy that has settled on its actions has no gradient: that is the illness then. Nor has one that does
    all that was recorded: it is done."""
    if has_collapsed(record) or not record.settings.get("reads_rewards", 1.0):
        return None
    for role, movement in record.movement.items():
        moved = [value for value in movement if math.isfinite(value)]
        if len(moved) >= 3 and max(moved[-3:]) < _STILL and record.learned is not True:
            now = max(moved[-3:])
            return Finding(
                "updates_vanishing",
                "severe",
                f"A gradient step changes the weights of the {role} by {now:.1e} of their size.",
                (
                    "Raise `learning_rate`, and let a schedule of it not end long before the run.",
                    "Look for dead ReLUs or saturated tanhs: smaller inputs (`normalize='observation'`), another activation.",
                ),
                {"movement": now},
            )
    return _gradient_vanishes(record)


def _gradient_vanishes(record: Record) -> Finding | None:
    for role in ROLES:
        norms = record.gradient_norms(role)[-3:]
        if len(norms) == 3 and max(norms) < _FLAT and record.learned is not True:
            return Finding(
                "updates_vanishing",
                "severe",
                f"The gradient of the {role} has a norm of {max(norms):.1e}: there is nothing to follow.",
                (
                    "Look for dead ReLUs or saturated tanhs: smaller inputs (`normalize='observation'`), another activation.",
                    "Look at whether the loss depends on the weights at all, and the rewards on the actions.",
                ),
                {"gradient_norm": max(norms)},
            )
    return None


def updates_exploding(record: Record) -> Finding | None:
    """Weights are thrown about, or gradients grow without end."""
    for role in dict.fromkeys([*record.movement, *record.growth]):
        moved = [value for value in record.movement.get(role, ()) if math.isfinite(value)][-3:]
        growth = record.growth.get(role, 1.0)
        if growth > _SWOLLEN[record.learned is not False]:
            said, numbers = (
                f"The weights of the {role} are {growth:.3g} times as large as at the beginning.",
                {"growth": growth},
            )
        elif len(moved) == 3 and min(moved) > _LEAP:
            now = statistics.fmean(moved)
            said = f"A gradient step moves the weights of the {role} by {100 * now:.0f} % of their size."
            numbers = {"movement": now}
        else:
            continue
        return _exploding(said, numbers)
    return _gradient_explodes(record)


def _gradient_explodes(record: Record) -> Finding | None:
    for role in ROLES:
        norms = record.gradient_norms(role)
        half = [value for value in norms[: len(norms) // 2] if value > 0]
        if len(half) < 3 or record.learned is True:
            continue
        before, now = statistics.median(half), statistics.median(norms[-3:])
        if now > _STEEPER * before and norms[-1] == max(norms):
            return _exploding(
                f"The norm of the {role}'s gradients has grown from {before:.3g} to {now:.3g}, and goes on growing.",
                {"gradient_norm": now, "before": before},
            )
    return None


def _exploding(evidence: str, numbers: dict[str, float]) -> Finding:
    return Finding(
        "updates_exploding",
        "severe",
        evidence,
        (
            "Lower `learning_rate`, by a factor of ten to begin with.",
            "Clip gradients (`max_grad_norm=0.5`), and scale rewards and observations (`normalize=True`).",
        ),
        numbers,
    )


def gradients_cut_short(record: Record) -> Finding | None:
    """Clipping leaves nothing of the gradients but their direction."""
    if record.learned is not False or record.progress < _EARLIEST:
        return None
    for role in ROLES:
        prefix = "" if role == "policy" else f"{role}_"
        late, limit = record.late(f"{prefix}gradient_norm"), record.settings.get(f"{prefix}max_grad_norm")
        if late and limit and statistics.median(late) > _CUT * limit:
            now = statistics.median(late)
            return Finding(
                "gradients_cut_short",
                "warning",
                f"The {role}'s gradients have a norm of {now:.3g}, {now / limit:.0f} times the {limit:.3g} that they are clipped at: "
                "of every step only the direction is left, and of losses that share it the largest.",
                (
                    "Scale rewards to about 1 (normalize='reward'): losses of values grow with their square.",
                    "Lower `value_coefficient`, or give the critic an optimizer of its own.",
                    "Raise `max_grad_norm`.",
                ),
                {"gradient_norm": now, "max_grad_norm": limit},
            )
    return None


def clipping_unusual(record: Record) -> Finding | None:
    """PPO clips most samples, or none."""
    late = record.late("clip_fraction")
    if len(late) < 3 or record.settings.get("steps_per_update", 2.0) <= 1.0:
        return None
    mean = statistics.fmean(late)
    low, high = _CLIPPED
    if mean > (_CLIPPED_AND_LEARNED if record.learned else high):
        return Finding(
            "clipping_unusual",
            "warning",
            f"{100 * mean:.0f} % of the samples are clipped; 5 to 30 % are usual. An update goes further than its data carry.",
            ("Lower `learning_rate` or `epochs`.", "End updates early: `target_kl=0.02`.", "Larger `batch_size`."),
            {"clip_fraction": mean},
        )
    if max(late) < low and record.learned is not True and record.finished and not has_collapsed(record):
        return Finding(
            "clipping_unusual",
            "advice",
            f"{100 * mean:.2g} % of the samples are clipped; 5 to 30 % are usual. Updates are smaller than they may be.",
            ("Raise `learning_rate` or `epochs`.", "Lower `clip_range` only if larger steps fail."),
            {"clip_fraction": mean},
        )
    return None


def divergence_unusual(record: Record) -> Finding | None:
    """An update of a policy gradient moves the policy too far, or not at all."""
    late = record.late("approx_kl")
    if len(late) < 3 or record.settings.get("steps_per_update", 2.0) <= 1.0:
        return None
    mean, (low, high, severe) = statistics.fmean(late), _DIVERGENCE
    worst = max(record.logged("approx_kl"))
    if worst > severe and record.learned is not True:
        return Finding(
            "divergence_unusual",
            "severe",
            f"In one epoch updates moved the policy by a KL divergence of {worst:.3g} nats; 0.003 to 0.03 are usual. What it does "
            "afterwards was decided by few samples.",
            (
                "Lower `learning_rate`, by a factor of ten to begin with, or `epochs`.",
                "End updates early: `target_kl=0.02`.",
            ),
            {"approx_kl": worst},
        )
    if mean > high:
        return Finding(
            "divergence_unusual",
            "severe" if mean > severe else "warning",
            f"An update moves the policy by a KL divergence of {mean:.2g} nats; 0.003 to 0.03 are usual.",
            ("Lower `learning_rate` or `epochs`.", "End updates early: `target_kl=0.02`."),
            {"approx_kl": mean},
        )
    if max(map(abs, late)) < low and record.learned is not True and record.finished and not has_collapsed(record):
        return Finding(
            "divergence_unusual",
            "advice",
            f"An update moves the policy by a KL divergence of {mean:.1e} nats; 0.003 to 0.03 are usual.",
            ("Raise `learning_rate` or `epochs`.",),
            {"approx_kl": mean},
        )
    return None


def replay_stale(record: Record) -> Finding | None:
    """Experience is replayed hardly ever, or far too often."""
    start, size = record.settings.get("start", 0.0), record.settings.get("batch_size")
    behind = record.timesteps - start
    if record.settings.get("on_policy", 1.0) or not size or not record.gradient_steps or behind < 1000:
        return None
    ratio, (low, high) = record.gradient_steps / behind, _USES
    uses = ratio * size
    numbers = {"gradient_steps_per_timestep": ratio, "uses": uses}
    evidence = (
        f"{ratio:.3g} gradient steps a timestep, of {size:.0f} samples each: a timestep is used {uses:.3g} times."
    )
    if uses < low:
        return Finding(
            "replay_stale",
            "warning",
            f"{evidence} Most of the experience is never learned from.",
            ("Lower `frequency`, or raise `gradient_steps` or `batch_size`.",),
            numbers,
        )
    if uses > high:
        return Finding(
            "replay_stale",
            "warning",
            f"{evidence} The same experience is learned by heart.",
            (
                "Lower `gradient_steps`, or raise `frequency`.",
                "With so many steps REDQ and DroQ stay stable: see `SAC`.",
            ),
            numbers,
        )
    return None


RULES = (updates_vanishing, updates_exploding, gradients_cut_short, clipping_unusual, divergence_unusual, replay_stale)
