"""Calls that agents of other libraries have, and the ones to write here."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from kagent.config import limits, vocabulary

_FIT = "agent.fit(env, steps=...) trains in an environment, agent.evaluate(env, episodes=...) measures"
_ONE = "agent.act(observation, deterministic=True) is the greedy action for one observation"
_ACT = f"{_ONE}, without True an exploring one"
_OBSERVE = (
    "agent.act(observation) is followed by agent.observe(reward, terminated, truncated), which remembers and learns"
)
INSTEAD = {
    "load": 'kagent.load("agent.keras") brings back what agent.save("agent.keras") wrote',
    "train": _FIT,
    "set_env": _FIT,
    "get_env": _FIT,
    "num_timesteps": "agent.timesteps counts them",
    "compute_single_action": _ACT,
    "compute_action": _ACT,
    "get_action": _ACT,
    "select_action": _ACT,
    "choose_action": _ACT,
    "sample_action": _ACT,
    "compute_actions": _ACT,
    "predict_proba": _ACT,
    "test": _FIT,
    "run": _FIT,
    "remember": _OBSERVE,
    "memorize": _OBSERVE,
    "store_transition": _OBSERVE,
    "restore": 'agent.load_weights("agent.weights.h5") reads what agent.save_weights wrote, kagent.load("agent.keras") whole agents',
    "save_model": 'agent.save("agent.keras") writes the agent, which kagent.load("agent.keras") brings back',
    "get_parameters": "agent.get_weights() are the weights of all networks, agent.policy.weights those of the policy",
    "initial_internals": "agent.act(observation, internals={}, independent=True) begins an episode, and gives its next internals",
    "q_values": "agent.policy.values(observations) are the action values of a batch, where the policy is of values",
}
Class = TypeVar("Class", bound=type)


class Elsewhere:
    """An attribute that a class and its objects do not have; who reads it gets the reason.

    Args:
        name: Of the attribute.
        instead: What to write.
    """

    def __init__(self, name: str, instead: str):
        self.name, self.instead = name, instead

    def __get__(self, instance: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} has no {self.name!r}: {self.instead}")


def with_guidance(cls: Class) -> Class:
    """Gives a class `learn`, an `Elsewhere` for each name in `INSTEAD`, and help on its constructor's arguments."""
    setattr(cls, "learn", learn)  # noqa: B010  (mypy knows no such attribute)
    # Python would show those of `__new__`.
    setattr(cls.__new__, "__signature__", inspect.signature(cls.__init__))  # type: ignore[misc]  # noqa: B010
    for name, instead in INSTEAD.items():
        setattr(cls, name, Elsewhere(name, instead))
    return cls


def check_arguments(cls: type, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Checks the arguments of a constructor before it runs: their sizes, and those by position.

    Raises:
        ValueError: An argument is nested too deep, or too large.
        TypeError: Arguments begin with a policy, as in other libraries, or are more than it takes by position.
    """
    for name, value in kwargs.items():  # before anything walks them that would not end
        limits.check(value, name)
    policy = [value for value in (*args, kwargs.get("policy")) if vocabulary.is_policy_name(value)]
    if policy:
        advice = vocabulary.POLICY_ADVICE.format(example=cls.__name__)
        raise TypeError(f"{cls.__name__}(env, ...) takes the environment first. Received: {policy[0]!r}. {advice}")
    takes = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    places = [p for p in takes if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) >= len(places) and all(p.kind is not p.VAR_POSITIONAL for p in takes):
        raise TypeError(
            f"{cls.__name__} takes {', '.join(f'`{p.name}`' for p in places[1:])} by position and all else by name: "
            f'{cls.__name__}("CartPole-v1", seed=0). Received: {args!r}'
        )


def check_missing(cls: type, **needed: Any) -> None:
    """Checks the parts without which there is no agent.

    Raises:
        TypeError: One of them is None.
    """
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        name = cls.__name__
        raise TypeError(
            f"{name} needs {', '.join(f'`{part}`' for part in missing)}: it has no algorithm of its own. A preset has "
            f'all parts: kagent.PPO("CartPole-v1"), kagent.DQN("CartPole-v1"), kagent.SAC("Pendulum-v1"); or '
            f'{name}("CartPole-v1", objective="policy_gradient", update=64, reward_estimation={{"discount": 0.99}})'
        )


def learn(agent: Any, *args: Any, **kwargs: Any) -> Any:
    """Not of an agent: another library's name of `fit`.

    Raises:
        TypeError: Always.
    """
    given = ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
    raise TypeError(f"{type(agent).__name__} has no `learn`: {_FIT}. Received: learn({given})")


def check_predict(x: Any, kwargs: Mapping[str, Any], predict: Any, observation: Any) -> None:
    """Refuses calls of another library's `predict`.

    Args:
        x, kwargs: What `predict` was given.
        predict: Keras's.
        observation: The `Structure` of an observation.

    Raises:
        TypeError: Arguments that Keras's does not have.
        ValueError: One observation without a batch's axis.
    """
    known = inspect.signature(predict).parameters
    wrong = [name for name in kwargs if name not in known]
    if wrong:
        raise TypeError(f"predict has no argument {wrong}: {_ONE}; predict(observations) takes a batch (N, ...)")
    if _is_one_observation(x, observation):
        raise ValueError(f"predict takes a batch of observations (N, ...) and returns actions alone. {_ONE}")


def _is_one_observation(x: Any, observation: Any) -> bool:
    leaves = observation.leaves
    try:
        given = observation.flatten(x)
        return bool(leaves) and all(np.ndim(value) == len(leaf.shape) for value, leaf in zip(given, leaves))
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return False  # a dataset, a generator: what Keras takes beside arrays
