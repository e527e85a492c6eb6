"""Polyaxon's explorations by their names: each is a number, a schedule or an exploration of kagent's.

Of a Discrete action a number or a schedule is the probability of a uniformly random one; of a Box action it is the standard
deviation of normal noise that is added. `EstimatorSpec.exploration` takes what these functions return, and so does
`kagent.Agent`. Time is in timesteps (`global_timestep`).

Example:

>>> rate = decay()
>>> [round(rate(schedules.Clock(timesteps=timesteps)), 5) for timesteps in (0, 50_000, 100_000)]
[0.15, 0.07505, 0.0001]
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from kagent import schedules
from kagent.exploration import OrnsteinUhlenbeckNoise, check_components

DECAYS = {
    "exponential_decay": "Exponential",
    "inverse_time_decay": "InverseTime",
    "natural_exp_decay": "NaturalExponential",
    "polynomial_decay": "Polynomial",
}
_LOWEST = 1e-4  # where a polynomial decay ends


def constant(value: float = 0.5) -> float:
    """Always the same rate.

    Args:
        value: In [0, 1].
    """
    return schedules.get(value, "exploration.value", 0.0, 1.0)


def greedy() -> float:
    """Never anything but the best known action."""
    return 0.0


def random() -> float:
    """Always a random action."""
    return 1.0


def decay(
    exploration_rate: float = 0.15,
    decay_type: str = "polynomial_decay",
    start_decay_at: int = 0,
    stop_decay_at: float = 1e9,
    decay_rate: float = 0.0,
    staircase: bool = False,
    decay_steps: int = 100_000,
    min_exploration_rate: float = 0.0,
) -> schedules.Schedule:
    """A rate that falls with the timesteps t: `kagent.schedules.Interval` of one of kagent's decays of
    `min(t, stop_decay_at) - start_decay_at`, as which it is `exploration_rate` up to and including `start_decay_at`.

    Args:
        exploration_rate: Rate at the start, in [0, 1].
        decay_type: "exponential_decay", "natural_exp_decay", "inverse_time_decay" (see `kagent.schedules.Exponential`,
            `NaturalExponential`, `InverseTime`), or "polynomial_decay", in a straight line to 0.0001; "_decay" may be left
            out.
        start_decay_at, stop_decay_at: First and last timestep of the change.
        decay_rate: How fast, > 0 in all decays but the polynomial one, which has none.
        staircase: Change at whole multiples of `decay_steps` only; not in the polynomial decay.
        decay_steps: Timesteps of the whole polynomial decay, or of one `decay_rate`, > 0.
        min_exploration_rate: Least rate, in [0, 1]; 0: what the decay has.

    Raises:
        TypeError, ValueError: An argument outside its range, or one that the decay does not have.
    """
    return _decaying(1.0, **locals())


def random_decay(
    num_actions: int | None = None,
    exploration_rate: float = 0.15,
    decay_type: str = "polynomial_decay",
    start_decay_at: int = 0,
    stop_decay_at: float = 1e9,
    decay_rate: float = 0.0,
    staircase: bool = False,
    decay_steps: int = 10_000,
    min_exploration_rate: float = 0.0,
) -> schedules.Schedule:
    """The standard deviation, falling with the timesteps, of normal noise on a Box action.

    Args:
        num_actions: Components of an action. They follow from the environment; it is checked to be an integer.
        exploration_rate, min_exploration_rate: Standard deviations, >= 0, in the environment's units.
        decay_type, start_decay_at, stop_decay_at, decay_rate, staircase, decay_steps: As for `decay`.

    Raises:
        TypeError, ValueError: As `decay`.
    """
    arguments = dict(locals())
    check_components(arguments.pop("num_actions"))
    return _decaying(None, **arguments)


def ornstein_uhlenbeck(
    num_actions: int | None = None, sigma: float = 0.3, mu: float = 0.0, theta: float = 0.15, seed: int = 0
) -> OrnsteinUhlenbeckNoise:
    """Noise on a Box action that wanders around `mu`: `x + theta * (mu - x) + sigma * noise` in every timestep.

    Args:
        num_actions: Components of an action, to be checked; None: as many as there are.
        sigma, mu, theta, seed: Of `kagent.exploration.OrnsteinUhlenbeckNoise`.

    Raises:
        TypeError, ValueError: An argument outside its range.
    """
    return OrnsteinUhlenbeckNoise(theta=theta, sigma=sigma, mu=mu, num_actions=num_actions, seed=seed)


EXPLORATIONS = {
    "constant": constant,
    "greedy": greedy,
    "random": random,
    "decay": decay,
    "random_decay": random_decay,
    "ornstein_uhlenbeck": ornstein_uhlenbeck,
    "ornsteinuhlenbeck_process": ornstein_uhlenbeck,
}


def get(identifier: Any) -> Any:
    """An exploration from one of the names here, or a dict `{"type": name, **arguments}`; None is greedy.

    Anything else is returned as it is: `kagent.Agent` reads it.

    Raises:
        TypeError, ValueError: An unknown name, or arguments that the exploration refuses.

    Example:

    >>> get({"type": "constant", "value": 0.25})
    0.25
    """
    if identifier is None:
        return greedy()
    arguments = dict(identifier) if isinstance(identifier, dict) else {"type": identifier}
    name = arguments.pop("type", None)
    if not isinstance(name, str) or name not in EXPLORATIONS:
        if isinstance(name, str) and not isinstance(identifier, dict):
            close = difflib.get_close_matches(name, EXPLORATIONS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"Unknown `exploration`. Received: {name!r}. Known: {', '.join(EXPLORATIONS)}.{hint}")
        return identifier
    make: Any = EXPLORATIONS[name]
    known = list(inspect.signature(make).parameters)
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise ValueError(f"`exploration` {name} has no argument {unknown}. Known: {known}")
    return make(**arguments)


def _decaying(
    most: float | None, *, exploration_rate, decay_type, start_decay_at, stop_decay_at, decay_rate, staircase, decay_steps,
    min_exploration_rate,
) -> schedules.Schedule:  # fmt: skip
    for argument, value in (("exploration_rate", exploration_rate), ("min_exploration_rate", min_exploration_rate)):
        schedules.get(value, f"exploration.{argument}", 0.0, most)
    name = f"{decay_type.removesuffix('_decay')}_decay" if isinstance(decay_type, str) else decay_type
    if name not in DECAYS:
        raise ValueError(f"`exploration.decay_type` must be one of {sorted(DECAYS)}. Received: {decay_type!r}")
    arguments = {"type": DECAYS[name], "initial": exploration_rate, "steps": decay_steps, "unit": "timesteps"}
    if name == "polynomial_decay":
        if decay_rate or staircase:
            raise ValueError(
                "`exploration.decay_rate` and `exploration.staircase` do not belong to a polynomial_decay. "
                f"Received: {decay_rate!r}, {staircase!r}"
            )
        arguments |= {"final": _LOWEST, "power": 1.0}
    elif exploration_rate:
        arguments |= {"decay_rate": decay_rate, "staircase": staircase}
    else:  # a decay of nothing
        arguments = {"type": "Constant", "value": exploration_rate}
    within = {"start": start_decay_at, "stop": stop_decay_at, "minimum": min_exploration_rate or None}
    return schedules.get({"type": "Interval", "schedule": arguments, **within}, "exploration")
