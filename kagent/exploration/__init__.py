"""How the agent tries things out while it trains. Acting on the host: NumPy only, no TensorFlow.

The parts are `EpsilonGreedy`, `Sampling`, `ActionNoise` and `OrnsteinUhlenbeckNoise`. Beside them there are names of rates,
see `kagent.exploration.names`: "constant", "greedy", "random", "decay", "random_decay".

Example:

>>> get("greedy")
EpsilonGreedy(initial=0.0, final=0.0, fraction=0.1, steps=None)
>>> get({"type": "decay", "exploration_rate": 0.2}).amount.schedule.initial
0.2
"""

from __future__ import annotations

import numbers
from typing import Any

from kagent import schedules
from kagent.config import moved
from kagent.exploration import names
from kagent.exploration.epsilon_greedy import EpsilonGreedy, Sampling
from kagent.exploration.exploration import Exploration
from kagent.exploration.noise import BARE, ActionNoise, OrnsteinUhlenbeckNoise
from kagent.exploration.registry import EXPLORATIONS
from kagent.exploration.wrappers import WithNoisyLayers, WithTemperature, WithVariableNoise

__all__ = [
    "BARE",
    "EXPLORATIONS",
    "ActionNoise",
    "EpsilonGreedy",
    "Exploration",
    "OrnsteinUhlenbeckNoise",
    "Sampling",
    "WithNoisyLayers",
    "WithTemperature",
    "WithVariableNoise",
    "get",
    "names",
]

__getattr__ = moved.attributes(__name__, {})


_OF_REWARDS = ("rnd", "random_network_distillation", "curiosity", "intrinsic_reward")


def get(identifier: Any, sample: bool = False, epsilon: bool = True) -> Any:
    """An exploration from a name, a dict, an object, or an amount.

    Args:
        identifier: A part; or a number, a schedule, or a dict of them by action: the amount of noise. A name that
            explorations and schedules share ("constant", "random", "ornstein_uhlenbeck") is the exploration's, also in a
            dict. The schedule of this name is given as the amount: `{"type": "ActionNoise", "amount": {"type": "random"}}`.
        sample: Whether the policy is one whose actions are sampled.
        epsilon: Whether a number is the epsilon of `EpsilonGreedy` where actions are not sampled.

    Raises:
        ValueError, TypeError: An unknown name, or arguments that it refuses.
    """
    found = identifier
    asked = found.get("type") if isinstance(found, dict) else found
    if isinstance(asked, str) and asked.replace("-", "_").lower() in _OF_REWARDS:
        raise ValueError(
            "`exploration` changes single actions; rewards for new observations are a preprocessing: "
            f"preprocessing={{'reward': {{'type': 'rnd', 'coefficient': 1.0}}}}. Received: exploration={identifier!r}"
        )
    typed = isinstance(found, dict) and EXPLORATIONS.knows(found.get("type"))
    if typed or isinstance(found, str):
        found = _named(found)
    if isinstance(found, type):  # which is callable, as an amount may be
        return EXPLORATIONS.get(found, "exploration")
    number = isinstance(found, numbers.Real) and not isinstance(found, bool)
    if number and epsilon and not sample:
        return EpsilonGreedy(initial=float(found), final=float(found))
    by_name = isinstance(found, dict) and found.get("type") is None
    if number or by_name or schedules.is_schedule(found) or callable(found):
        return ActionNoise(found, sample)
    return EXPLORATIONS.get(found, "exploration")


def _named(identifier: Any) -> Any:
    try:
        return EXPLORATIONS.get(identifier, "exploration")
    except ValueError as error:
        if not schedules.is_schedule(identifier):
            raise
        amount = {"type": "ActionNoise", "amount": identifier}
        raise ValueError(
            f"{error}. The schedule of this name is the amount of noise in exploration={amount}"
        ) from error
