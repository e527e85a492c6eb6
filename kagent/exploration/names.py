"""Explorations by name, of which most are rates: a number or a schedule of timesteps.

Of a discrete action a rate is the probability of a uniformly random one; of a float action it is the standard deviation of
normal noise that is added. `exploration=` takes what these functions return, or their names, or dicts:
`{"type": "decay", "decay_steps": 1000}`.

Example:

>>> rate = decay()
>>> [round(rate(schedules.Clock(timesteps=timesteps)), 5) for timesteps in (0, 50_000, 100_000)]
[0.15, 0.07505, 0.0001]
"""

from __future__ import annotations

from typing import Any

from kagent import schedules
from kagent.exploration.epsilon_greedy import EpsilonGreedy
from kagent.exploration.noise import OrnsteinUhlenbeckNoise, check_components
from kagent.exploration.registry import EXPLORATIONS

_LOWEST = 1e-4  # where a polynomial decay ends


@EXPLORATIONS.register()
def constant(value: float = 0.5) -> float:
    """Always the same rate.

    Args:
        value: In [0, 1].
    """
    found: float = schedules.get(value, "exploration.value", 0.0, 1.0)
    return found


@EXPLORATIONS.register()
def greedy() -> EpsilonGreedy:
    """Never anything but the best known action, also of a policy whose actions are sampled otherwise."""
    return EpsilonGreedy(initial=0.0, final=0.0)


@EXPLORATIONS.register()
def random() -> float:
    """Always a random action."""
    return 1.0


@EXPLORATIONS.register()
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


@EXPLORATIONS.register()
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


@EXPLORATIONS.register("ornsteinuhlenbeck_process")
def ornstein_uhlenbeck(
    num_actions: int | None = None, sigma: float = 0.3, mu: float = 0.0, theta: float = 0.15, seed: int | None = None
) -> OrnsteinUhlenbeckNoise:
    """Noise on a Box action that wanders around `mu`: `x + theta * (mu - x) + sigma * noise` in every timestep.

    Args:
        num_actions: Components of an action, to be checked; None: as many as there are.
        sigma, mu, theta, seed: Of `kagent.exploration.OrnsteinUhlenbeckNoise`.

    Raises:
        TypeError, ValueError: An argument outside its range.
    """
    return OrnsteinUhlenbeckNoise(theta=theta, sigma=sigma, mu=mu, num_actions=num_actions, seed=seed)


def _decaying(most: float | None, exploration_rate: Any, decay_type: Any, **arguments: Any) -> schedules.Schedule:
    least = arguments["min_exploration_rate"]
    for argument, value in (("exploration_rate", exploration_rate), ("min_exploration_rate", least)):
        schedules.get(value, f"exploration.{argument}", 0.0, most)
    return schedules.decay(
        decay_type, exploration_rate, steps=arguments["decay_steps"], decay_rate=arguments["decay_rate"],
        staircase=arguments["staircase"], final=_LOWEST, start=arguments["start_decay_at"],
        stop=arguments["stop_decay_at"], minimum=least or None, argument="exploration",
    )  # fmt: skip
