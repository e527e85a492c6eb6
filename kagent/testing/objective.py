"""What every objective keeps."""

from __future__ import annotations

import json
import math
from typing import Any

import keras
import tensorflow as tf

from kagent import objectives
from kagent.agent import Agent
from kagent.objectives import OBJECTIVES
from kagent.testing.contract import Contract, name_of
from kagent.testing.toy import ACTIONS, Toy

_CLOSE = 1e-5  # between eager, graph and XLA
_NETWORK = {"network": {"type": "mlp", "units": [4]}}
_DEFAULTS = {
    "update": {"unit": "timesteps", "batch_size": 4, "frequency": 8, "start": 8},
    "reward_estimation": {"discount": 0.9, "estimate_horizon": "late"},
    "policy": _NETWORK,
    "exploration": "random",
}


def check_objective(objective: Any, *, steps: int = 40, **parts: Any) -> None:
    """Checks an objective in an agent of small networks, on episodes of 3 to 7 timesteps.

    Args:
        objective: An `Objective`, or what stands for one in an agent's `objective=`.
        steps: Timesteps in which at least one update is made.
        **parts: Arguments of `kagent.Agent` beside it, such as `memory` and `critic`. By default updates of 4 timesteps are
            made every 8 timesteps, with discount 0.9.

    Raises:
        AssertionError: It breaks a rule: it is for some action space, and refuses the others by a `ValueError`; what it logs
            is finite, `loss` among it; a gradient step changes variables of the roles that have a term, no other role and no
            target; eagerly, as a graph and compiled by XLA it logs the same, to 1e-5; it comes back from JSON. The message
            has the rule, what was expected and what was received.

    Example:

    >>> check_objective("action_value", target={"period": 100}, memory=100)
    """
    contract = Contract(objective if isinstance(objective, str) else name_of(objective))
    with contract.rule("`kagent.objectives.get` takes it"):
        made = objectives.get(objective)
    with contract.rule("It comes back from JSON"):
        config = OBJECTIVES.serialize(made)
        again = objectives.get(json.loads(json.dumps(config)))
        contract.equal(type(again).__name__, type(made).__name__, "its class")
        contract.equal(OBJECTIVES.serialize(again), config, "its configuration")
    name, agent = _agent(contract, made, parts)
    with contract.rule("It is learned by in `fit`", f"action space {name}"):
        history = agent.fit(_env(name), steps=steps, steps_per_epoch=steps, verbose=0).history
        contract.expect(agent.seen, f"an update within {steps} timesteps (else give more `steps`)", "none")
    with contract.rule("What it logs is finite, `loss` among it"):
        contract.expect("loss" in agent.logged, "loss", sorted(agent.logged))
        for key, value in agent.logged.items():
            contract.expect(math.isfinite(float(value)), f"finite {key}", float(value))
        contract.expect(math.isfinite(history["loss"][-1]), "a finite loss", history["loss"][-1])
    _check_roles(contract, agent)
    _check_modes(contract, agent)


class _Seeing(Agent):
    """Keeps the latest minibatch and what its gradient step logged."""

    seen: Any = None
    logged: Any = None

    def train_step(self, batch: Any) -> Any:
        logs = super().train_step(batch)
        if tf.executing_eagerly():
            self.seen, self.logged = (
                (batch,),
                dict(logs),
            )  # a tuple: Keras would put a dict of its own in the place of one
        return logs


def _env(name: str) -> Toy:
    return Toy(action_space=ACTIONS[name])


def _agent(contract: Contract, objective: Any, parts: dict[str, Any]) -> tuple[str, Any]:
    refusals = []
    for name in ACTIONS:
        with contract.rule("An action space that it is not for is refused by a ValueError", name):
            try:
                agent = _Seeing(_env(name), objective=objective, seed=0, **{**_DEFAULTS, **parts})
            except ValueError as error:
                refusals.append(str(error))
                continue
        agent.compile(run_eagerly=True)
        return name, agent
    with contract.rule("It is for some action space"):
        contract.expect(False, f"one of {list(ACTIONS)}", "; ".join(dict.fromkeys(refusals)))
    raise AssertionError


def _roles(agent: Any) -> dict[str, Any]:
    names = ("policy", "critic", "temperature", "target_policy", "target_critic")
    return {name: getattr(agent, name) for name in names if getattr(agent, name, None) is not None}


def _variables(agent: Any) -> list[Any]:
    targets = [role for name, role in _roles(agent).items() if name.startswith("target")]
    return [*agent.variables, *agent.optimizer.variables, *(v for role in targets for v in role.variables)]


def _declared(agent: Any, batch: Any) -> set[str]:
    """Roles that have a term; all that learn, of an objective that has an `update` in place of `terms`."""
    try:
        return {term.role for term in agent.objective.terms(agent.learning_context, batch)}
    except NotImplementedError:
        return {name for name in _roles(agent) if not name.startswith("target")}


def _check_roles(contract: Contract, agent: Any) -> None:
    with contract.rule("A gradient step changes variables of the roles that have a term, and nothing else"):
        roles, declared = _roles(agent), _declared(agent, agent.seen[0])
        before = {name: [v.numpy() for v in role.variables] for name, role in roles.items()}
        agent.train_step(agent.seen[0])
        moved = [
            name for name, role in roles.items()
            if any((v.numpy() != old).any() for v, old in zip(role.variables, before[name]))
        ]  # fmt: skip
        contract.expect(moved, f"some of {sorted(declared)} to change", "all stay as they are")
        contract.expect(set(moved) <= declared, f"none but {sorted(declared)} to change", f"{moved} have changed")


def _check_modes(contract: Contract, agent: Any) -> None:
    batch = agent.seen[0]
    kept = [(variable, variable.numpy()) for variable in _variables(agent)]

    def logs(step: Any) -> dict[str, float]:
        for variable, value in kept:
            variable.assign(value)
        return {name: float(keras.ops.convert_to_numpy(value)) for name, value in step(batch).items()}

    eager = logs(agent.train_step)
    # Functions of their own: a bound method would be compiled once for several agents. XLA compiles the graph that is there.
    graph = tf.function(lambda given: agent.train_step(given), autograph=False)
    compiled = tf.function(lambda given: graph(given), jit_compile=True, autograph=False)
    for name, step in (("a graph", graph), ("XLA", compiled)):
        with contract.rule("Eagerly, as a graph and compiled by XLA a gradient step logs the same", f"as {name}"):
            contract.equal(logs(step), eager, "logs", _CLOSE)
