"""Rules of learning: is it better than chance, does it explore, are its updates of a healthy size.

Each is a pure function of a `Record` and gives one finding or none. Bounds are wide: a rule is silent on settings that work.
"""

from __future__ import annotations

import math
import statistics

from kagent.diagnosis.finding import Finding
from kagent.diagnosis.record import Record

_EARLIEST = 0.3  # part of a run before which nothing has to be learned
_SHORTEST = 5000  # timesteps: a shorter run need not have learned anything
_FEW_STEPS = 100  # gradient steps before a critic is judged
_COLLAPSED = 0.02  # part of the entropy of uniform discrete actions
_NARROW = 5.0  # nats below uniform, for each continuous component: a deviation of 0.2 % of the range
_GREEDY, _WILD = 0.001, 0.5  # epsilon
_STILL, _LEAP = 1e-9, 0.3  # relative change of the weights in one gradient step
_SWOLLEN = (20.0, 100.0)  # times the size of the weights at the beginning; of an agent that has learned
_BEYOND = 10.0  # times the largest value that the rewards allow
_GROWN = 1e4  # times the loss of the first half
_CLIPPED = (1e-3, 0.5)  # usual parts of clipped samples
_DIVERGENCE = (1e-6, 0.1, 0.5)  # usual approximate KL of an update in nats, and where it is severe
_USES = (0.5, 20_000.0)  # how often a timestep is drawn from a replay memory


def no_better_than_random(record: Record) -> Finding | None:
    """The latest returns are not above those of random play."""
    if not record.finished or not record.baseline or record.learned is not False:
        return None
    random, last = statistics.fmean(record.baseline), statistics.fmean(record.episodes.last)
    short = record.timesteps < _SHORTEST
    return Finding(
        "no_better_than_random",
        "advice" if short else "severe",
        f"The last {len(record.episodes.last)} episodes return {last:.4g} on average, random play {random:.4g} "
        f"({len(record.baseline)} episodes)." + (f" {record.timesteps:,} timesteps are few." if short else ""),
        (
            "Look at the other findings first: they may say why.",
            "Train longer, or begin with settings that work: `kagent list` shows the tuned ones.",
            "Check the environment: `kagent doctor ENV`.",
        ),
        {"mean_return": last, "random_return": random},
    )


def no_updates(record: Record) -> Finding | None:
    """Timesteps pass and nothing is learned from them."""
    if not record.finished or record.gradient_steps or not record.timesteps or not record.settings.get("learns", 1.0):
        return None
    start = record.settings.get("start", math.nan)
    reason = f" The first one is due at {start:,.0f}." if start > record.timesteps else ""
    return Finding(
        "no_updates",
        "severe",
        f"No gradient step in {record.timesteps:,} timesteps.{reason}",
        ("Lower `start`, `frequency`, `batch_size` or `n_steps`, or train longer.",),
        {"timesteps": record.timesteps, "start": start},
    )


def exploration_dead(record: Record) -> Finding | None:
    """The agent hardly tries anything any more, and has not learned."""
    if record.progress < _EARLIEST or record.learned is not False or not record.gradient_steps:
        return None
    epsilon = record.settings.get("epsilon")
    if epsilon is not None and epsilon <= _GREEDY and not record.settings.get("noisy"):
        return Finding(
            "exploration_dead",
            "severe",
            f"Epsilon is {epsilon:.3g}, nothing else explores, and returns have not risen.",
            (
                "Let epsilon end at 0.05 or more, and fall over a larger part of the run: "
                "exploration={'type': 'EpsilonGreedy', 'final': 0.05, 'fraction': 0.3}.",
            ),
            {"epsilon": epsilon},
        )
    if not _has_collapsed(record):
        return None
    now, most = statistics.fmean(record.late("entropy")[-3:]), record.settings["most_entropy"]
    return Finding(
        "exploration_dead",
        "severe",
        f"The policy's entropy is {now:.3g} nats; uniform actions have {most:.3g}. It has settled on its actions, and "
        "returns have not risen.",
        (
            "Raise `entropy_coefficient` (0.01 is usual), or of SAC the temperature.",
            "Lower `learning_rate`: a few large updates may have decided too early.",
        ),
        {"entropy": now, "most_entropy": most},
    )


def _has_collapsed(record: Record) -> bool:
    """Whether the policy's entropy is next to nothing."""
    late, most = record.late("entropy"), record.settings.get("most_entropy")
    if not late or not most:
        return False
    boxes = record.settings.get("box_components", 0.0)
    least = most - _NARROW * boxes if boxes else _COLLAPSED * most
    return statistics.fmean(late[-3:]) < least


def exploration_endless(record: Record) -> Finding | None:
    """Most actions are still random at the end."""
    epsilon = record.settings.get("epsilon")
    if not record.finished or not record.gradient_steps or epsilon is None or epsilon < _WILD:
        return None
    return Finding(
        "exploration_endless",
        "warning",
        f"Epsilon is still {epsilon:.2g} at the end: at least {100 * epsilon:.0f} % of the actions are random.",
        (
            "Let it fall sooner: a smaller `fraction` or `steps` of EpsilonGreedy.",
            "In a loop of act and observe say how long it is: agent.begin(steps=...).",
        ),
        {"epsilon": epsilon},
    )


def updates_vanishing(record: Record) -> Finding | None:
    """Weights do not move. A policy that has settled on its actions has no gradient: that is the illness then."""
    if _has_collapsed(record):
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
    return None


def updates_exploding(record: Record) -> Finding | None:
    """Weights are thrown about."""
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
        return Finding(
            "updates_exploding",
            "severe",
            said,
            (
                "Lower `learning_rate`, by a factor of ten to begin with.",
                "Clip gradients (`max_grad_norm=0.5`), and scale rewards and observations (`normalize=True`).",
            ),
            numbers,
        )
    return None


def values_diverging(record: Record) -> Finding | None:
    """Values are beyond all that the rewards allow, or their loss grows without end."""
    bound, mean = _value_bound(record), record.logged("q_mean")
    if bound and mean and abs(mean[-1]) > _BEYOND * bound:
        return _diverging(
            f"The mean action value is {mean[-1]:.3g}; rewards and discount allow about {bound:.3g}.",
            {"q_mean": mean[-1], "bound": bound},
        )
    name = "critic_loss" if record.logged("critic_loss") else "loss"
    losses = record.logged(name) if name == "critic_loss" or mean else []
    squared = (_BEYOND * bound) ** 2 if bound else None
    if squared and losses and losses[-1] > squared:
        return _diverging(
            f"`{name}` is {losses[-1]:.3g}; rewards and discount allow about {bound**2:.3g}.",
            {name: losses[-1], "bound": bound**2},
        )
    half = [value for value in losses[: len(losses) // 2] if value > 0]
    if bound or len(half) < 3 or record.learned is True:
        return None
    before, now = statistics.median(half), statistics.median(losses[-3:])
    if now > _GROWN * before and losses[-1] == max(losses):
        return _diverging(
            f"`{name}` has grown from {before:.3g} to {now:.3g}, and goes on growing.", {name: now, "before": before}
        )
    return None


def _diverging(evidence: str, numbers: dict[str, float]) -> Finding:
    return Finding(
        "values_diverging",
        "severe",
        evidence,
        (
            "Lower `learning_rate`, or let targets follow more slowly (`target_update_period`, `tau`).",
            "Scale rewards: normalize='reward', or a reward scaling in `preprocessing`.",
            "Clip gradients: `max_grad_norm=10`.",
        ),
        numbers,
    )


def _value_bound(record: Record) -> float:
    """The largest sum of discounted rewards, from what was seen of them; 0: unknown."""
    discount = record.settings.get("discount")
    largest = max(map(abs, record.rewards.seen), default=0.0)
    if discount is None or not largest or record.settings.get("bonus"):
        return 0.0
    longest = record.episodes.longest or math.inf
    horizon = 1.0 / (1.0 - discount) if discount < 1.0 else longest
    changed = record.rewards.raw != record.rewards.seen
    return max(largest * horizon, 0.0 if changed else record.episodes.magnitude) if math.isfinite(horizon) else 0.0


def critic_useless(record: Record) -> Finding | None:
    """The critic predicts returns no better than their mean would."""
    late = record.late("explained_variance")
    if record.gradient_steps < _FEW_STEPS:
        return None
    if record.progress < _EARLIEST or len(late) < 4 or record.learned is True or max(late) >= 0.05:
        return None
    mean = statistics.fmean(late)
    return Finding(
        "critic_useless",
        "warning",
        f"The critic explains {round(100 * mean)} % of the variance of returns; a constant explains 0 %.",
        (
            "Normalize observations and rewards (`normalize=True`).",
            "Give it more weight or a network of its own: `value_coefficient`, `critic`.",
            "Longer rollouts (`n_steps`) have less noisy returns.",
        ),
        {"explained_variance": mean},
    )


def clipping_unusual(record: Record) -> Finding | None:
    """PPO clips most samples, or none."""
    late = record.late("clip_fraction")
    if len(late) < 3 or record.settings.get("steps_per_update", 2.0) <= 1.0:
        return None
    mean = statistics.fmean(late)
    low, high = _CLIPPED
    if mean > high:
        return Finding(
            "clipping_unusual",
            "warning",
            f"{100 * mean:.0f} % of the samples are clipped; 5 to 30 % are usual. An update goes further than its data carry.",
            ("Lower `learning_rate` or `epochs`.", "End updates early: `target_kl=0.02`.", "Larger `batch_size`."),
            {"clip_fraction": mean},
        )
    if max(late) < low and record.learned is not True and record.finished and not _has_collapsed(record):
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
    if max(map(abs, late)) < low and record.learned is not True and record.finished and not _has_collapsed(record):
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


RULES = (
    no_better_than_random, no_updates, exploration_dead, exploration_endless, updates_vanishing, updates_exploding,
    values_diverging, critic_useless, clipping_unusual, divergence_unusual, replay_stale,
)  # fmt: skip
