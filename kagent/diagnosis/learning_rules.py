"""Rules of learning: is it better than chance, does it explore, are its values possible.

Each is a pure function of a `Record` and gives one finding or none. Bounds are wide: a rule is silent on settings that work.
"""

from __future__ import annotations

import math
import statistics

from kagent.diagnosis.finding import Finding
from kagent.diagnosis.record import Record, Recorded, has_collapsed

_EARLIEST = 0.3  # part of a run before which nothing has to be learned
_SHORTEST = 5000  # timesteps: a shorter run need not have learned anything
_FEW_STEPS = 100  # gradient steps before a critic is judged
_GREEDY, _WILD = 0.001, 0.5  # epsilon
_FORCED = 0.9  # part of the decisions in which masks leave one action: entropy says nothing of the policy then
_BEYOND = 10.0  # times the largest value that the rewards allow
_GROWN = 1e4  # times the loss of the first half


def no_better_than_random(record: Record) -> Finding | None:
    """The latest returns are not above those of random play."""
    if not record.finished or not record.baseline or record.learned is not False:
        return None
    random, last = statistics.fmean(record.baseline), statistics.fmean(record.episodes.last)
    short = 0 < record.timesteps < _SHORTEST  # 0: it learned offline
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
    if record.settings.get("noise") == 0.0 and not record.settings.get("noisy") and record.recorded is None:
        return Finding(
            "exploration_dead",
            "severe",
            "The policy is deterministic, the noise on its actions is 0, and returns have not risen.",
            ("Add noise to actions: exploration={'type': 'ActionNoise', 'amount': 0.1}.",),
            {"noise": 0.0},
        )
    if not has_collapsed(record) or (record.single_choice or 0.0) >= _FORCED:
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
    recorded = record.recorded or Recorded()
    longest = record.episodes.longest or recorded.longest or math.inf
    horizon = 1.0 / (1.0 - discount) if discount < 1.0 else longest
    changed = record.rewards.raw != record.rewards.seen
    returned = 0.0 if changed else max(record.episodes.magnitude, *map(abs, recorded.returns), 0.0)
    return max(largest * horizon, returned) if math.isfinite(horizon) else 0.0


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


RULES = (no_better_than_random, no_updates, exploration_dead, exploration_endless, values_diverging, critic_useless)
