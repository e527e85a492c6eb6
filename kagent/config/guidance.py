"""Calls that agents of other libraries have, and the ones to write here."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from kagent.config import limits, vocabulary
from kagent.mixin import Mixin

_FIT = "agent.fit(env, steps=...) trains in an environment, agent.evaluate(env, episodes=...) measures"
_ACT = (
    "agent.act(observation, deterministic=True) is the greedy action for one observation, without True an exploring one"
)


class Elsewhere:
    """An attribute that there is not, on the class and on its objects, with the reason.

    Args:
        instead: What to write.
    """

    def __init__(self, instead: str):
        self.instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} has no {self.name!r}: {self.instead}")


class Guidance(Mixin):
    """The part of an agent that answers calls written for other libraries. A mixin of `Agent`."""

    load = Elsewhere('kagent.load("agent.keras") brings back what agent.save("agent.keras") wrote')
    train = Elsewhere(_FIT)
    set_env = Elsewhere(_FIT)
    get_env = Elsewhere(_FIT)
    compute_single_action = Elsewhere(_ACT)
    compute_action = Elsewhere(_ACT)
    get_action = Elsewhere(_ACT)
    select_action = Elsewhere(_ACT)
    choose_action = Elsewhere(_ACT)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        for name, value in kwargs.items():  # before anything walks them that would not end
            limits.check(value, name)
        policy = [value for value in (*args, kwargs.get("policy")) if vocabulary.is_policy_name(value)]
        if policy:
            advice = vocabulary.POLICY_ADVICE.format(example=cls.__name__)
            raise TypeError(f"{cls.__name__}(env, ...) takes the environment first. Received: {policy[0]!r}. {advice}")
        takes = inspect.signature(cls.__init__).parameters.values()
        places = [p for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        if len(args) >= len(places) and all(p.kind is not p.VAR_POSITIONAL for p in takes):
            raise TypeError(
                f"{cls.__name__} takes {', '.join(f'`{p.name}`' for p in places[1:])} by position and all else by name: "
                f'{cls.__name__}("CartPole-v1", seed=0). Received: {args!r}'
            )
        return super().__new__(cls)

    def _refuse_training_call(self, batch: Any, others: dict[str, Any]) -> None:
        if others or not isinstance(batch, dict):
            given = ", ".join([*([] if batch is None else [repr(batch)]), *(f"{k}={v!r}" for k, v in others.items())])
            raise TypeError(f"learn takes a batch, inside the learner. {_FIT}. Received: learn({given})")

    def _refuse_missing(self, needed: dict[str, Any]) -> None:
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            name = type(self).__name__
            raise TypeError(
                f"{name} needs {', '.join(f'`{part}`' for part in missing)}: it has no algorithm of its own. A preset has "
                f'all parts: kagent.PPO("CartPole-v1"), kagent.DQN("CartPole-v1"), kagent.SAC("Pendulum-v1"); or '
                f'{name}("CartPole-v1", objective="policy_gradient", update=64, reward_estimation={{"discount": 0.99}})'
            )

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`: greedy actions for a batch of observations `(N, ...)`. For one: `act`.

        Raises:
            TypeError, ValueError: One observation without a batch's axis, or arguments of another library's `predict`.
        """
        one = "agent.act(observation, deterministic=True) is the greedy action for one observation"
        known = inspect.signature(super().predict).parameters
        wrong = [name for name in kwargs if name not in known]
        if wrong:
            raise TypeError(f"predict has no argument {wrong}: {one}; predict(observations) takes a batch (N, ...)")
        if self._is_one_observation(x):
            raise ValueError(f"predict takes a batch of observations (N, ...) and returns actions alone. {one}")
        return super().predict(x, *args, **kwargs)

    def _is_one_observation(self, x: Any) -> bool:
        leaves = self._raw_observation.leaves
        try:
            given = self._raw_observation.flatten(x)
            return bool(leaves) and all(np.ndim(value) == len(leaf.shape) for value, leaf in zip(given, leaves))
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            return False  # a dataset, a generator: what Keras takes beside arrays
