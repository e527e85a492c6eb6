"""What every exploration keeps."""

from __future__ import annotations

import json
import random as global_random
from typing import Any

import numpy as np

from kagent import exploration as explorations
from kagent.acting import Actor, distributions
from kagent.exploration import EXPLORATIONS, Exploration
from kagent.schedules import Clock
from kagent.spaces import Structure, to_config
from kagent.testing.contract import Contract, name_of
from kagent.testing.toy import ACTIONS, OBSERVATIONS

CLOCKS = (Clock(), Clock(500, 20, 100, 0.25), Clock(10**7, 10**5, 10**6, 1.0))
_KINDS = {"discrete": "categorical", "multi_discrete": "categorical", "multi_binary": "categorical", "box": "gaussian"}


def check_exploration(exploration: Any) -> None:
    """Checks an exploration in discrete, continuous and nested action spaces, with and without masks, for 1 and for 8
    environments, at the beginning, in the middle and at the end of a run.

    Args:
        exploration: An `Exploration`, or what stands for one in an agent's `exploration=`.

    Raises:
        AssertionError: It breaks a rule: its actions are of the shape and dtype of the actor's, in the action space and
            allowed by the mask; equal generators give equal actions, and no other generator is drawn from; what it gets is
            not written to; it comes back from JSON. The message has the rule, what was expected and what was received.

    Example:

    >>> check_exploration(kagent.EpsilonGreedy(final=0.1))
    """
    contract = Contract(name_of(exploration) if isinstance(exploration, Exploration) else repr(exploration))
    with contract.rule("`kagent.exploration.get` takes it"):
        made = explorations.get(exploration)
    suited = []
    for name, space in ACTIONS.items():
        structure = Structure(space, "action_space")
        with contract.rule("`check` accepts actions, or refuses them by a ValueError", name):
            try:
                made.check(structure)
            except ValueError:
                continue
        suited.append(name)
        for masked in (False, True):
            for count in (1, 8):
                for clock in CLOCKS:
                    case = f"{name}, {'masked' if masked else 'no mask'}, {count} environment(s), {clock}"
                    _check_decisions(contract, made, structure, masked, count, clock, case)
    with contract.rule("It suits some action space"):
        contract.expect(suited, f"one of {list(ACTIONS)}", "all are refused by `check`")
    _check_config(contract, made, Structure(ACTIONS[suited[0]], "action_space"))


def actor_of(structure: Structure) -> Actor:
    """An actor of random preferences that differ from observation to observation."""
    chosen = [distributions.make(_KINDS[leaf.kind], leaf) for leaf in structure.leaves]
    widths = [width for decision in chosen for width in decision.widths]
    weights = [np.random.default_rng(i).normal(size=(3, width)).astype(np.float32) for i, width in enumerate(widths)]
    observation, action = to_config(OBSERVATIONS["Box"]), to_config(structure.space)
    return Actor(lambda leaves: [leaves[0] @ weight for weight in weights], observation, chosen, action=action)


def _check_decisions(
    contract: Contract, made: Exploration, structure: Structure, masked: bool, count: int, clock: Clock, case: str
) -> None:
    actor, random = actor_of(structure), np.random.default_rng(count)
    leaves = [random.normal(size=(count, 3)).astype(np.float32)]
    mask = [_mask(leaf.nvec, count, random) for leaf in structure.leaves] if masked else None
    before = [leaf.copy() for leaf in leaves], None if mask is None else [m if m is None else m.copy() for m in mask]
    everywhere = _global_state()
    with contract.rule("It gives actions", case):
        actions = made.decide(actor, leaves, mask, clock, np.random.default_rng(7))
        again = made.decide(actor, leaves, mask, clock, np.random.default_rng(7))
    with contract.rule("What it gets is not written to", case):
        contract.equal((leaves, mask), before)
    with contract.rule("Equal states of the generator give equal actions", case):
        contract.equal(again, actions)
    with contract.rule("It draws from its generator alone", case):
        contract.equal(_global_state(), everywhere, "the global state")
    with contract.rule("Actions are arrays of shape (N, *leaf.shape), one for each leaf, of the actor's dtypes", case):
        wanted = [(array.shape, array.dtype) for array in actor.random(count, np.random.default_rng(0), mask)]
        contract.expect(isinstance(actions, list | tuple), "a list", actions)
        contract.equal([(np.shape(array), getattr(array, "dtype", None)) for array in actions], wanted)
    with contract.rule("Actions are in the action space", case):
        for row in zip(*actor.to_env(actions)):
            action = structure.unflatten(row)
            contract.expect(structure.space.contains(action), str(structure.space), action)
    with contract.rule("Actions are allowed by the mask", case):
        for leaf, array, allowed in zip(structure.leaves, actions, mask or ()):
            if allowed is not None and leaf.nvec is not None:
                starts = np.cumsum([0, *leaf.nvec.ravel()[:-1]])
                chosen = np.take_along_axis(allowed, array.reshape(count, -1) + starts, axis=1)
                contract.expect(chosen.all(), f"values that {allowed.tolist()} allows", array)


def _check_config(contract: Contract, made: Exploration, structure: Structure) -> None:
    with contract.rule("It comes back from JSON"):
        config = EXPLORATIONS.serialize(made)
        again = explorations.get(json.loads(json.dumps(config)))
        contract.equal(type(again).__name__, type(made).__name__, "its class")
        contract.equal(EXPLORATIONS.serialize(again), config, "its configuration")
        actor, leaves = actor_of(structure), [np.ones((8, 3), np.float32)]
        for clock in CLOCKS:
            one, other = (each.decide(actor, leaves, None, clock, np.random.default_rng(0)) for each in (made, again))
            contract.equal(other, one, "its actions")


def _global_state() -> Any:
    # All of it: a single draw moves a position in the key, which is made anew after hundreds of draws.
    numpy_state: Any = np.random.get_state(legacy=False)
    return {
        "numpy.random": [numpy_state["state"]["key"], *(numpy_state[name] for name in ("has_gauss", "gauss"))],
        "its position": numpy_state["state"]["pos"],
        "random": list(global_random.getstate()[1]),
    }


def _mask(nvec: np.ndarray | None, count: int, random: np.random.Generator) -> np.ndarray | None:
    if nvec is None:
        return None
    parts = []
    for values in nvec.ravel():
        allowed = random.random((count, values)) < 0.4
        allowed[np.arange(count), random.integers(values, size=count)] = True
        parts.append(allowed)
    return np.concatenate(parts, axis=1)
