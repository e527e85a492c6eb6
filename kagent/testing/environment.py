"""What every environment keeps, alone and in vector environments."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from kagent import environments
from kagent.acting import distributions
from kagent.environments import Environments
from kagent.testing.contract import Contract, name_of

Row = dict[str, Any]  # one transition of one environment: plain values and arrays, copied


def check_environments(env: Any, *, steps: int = 60, n_envs: int = 3, seed: int = 0) -> None:
    """Checks environments as `fit` uses them: acts at random in one, and in several side by side in each of gymnasium's
    autoreset modes.

    Args:
        env: An environment id or a callable that returns a new `gymnasium.Env`. Or a `gymnasium.vector.VectorEnv`, a
            callable that returns one, or `kagent.environments.Environments`: of these what they give is checked, not what
            goes into it.
        steps: Timesteps to take, in each case.
        n_envs: Environments side by side.
        seed: Seed of the first reset; further ones have the seeds that follow.

    Raises:
        AssertionError: They break a rule: observations are in their space; rewards are finite numbers and flags bools; an
            episode depends on its seed and its actions alone; several environments give the transitions that each would
            give alone, with the true successor of every action; what was acted on is not overwritten by the step; masks
            allow a value of every component.

    Example:

    >>> check_environments("CartPole-v1")
    """
    if isinstance(env, Environments | VectorEnv) or _makes_vector(env):
        contract = Contract(name_of(env))
        with contract.rule("`kagent.environments.make` takes it"):
            made = environments.make(env)
        _walk(contract, made, steps, seed, "as it is")
        made.close()
        return
    contract = Contract(env if isinstance(env, str) else name_of(env))
    build = _builder(contract, env)
    logged = [_Logged(build())]
    with contract.rule("`kagent.environments.make` takes it"):
        one = environments.make(logged[0])
    first = _compare(contract, one, logged, steps, seed, "one environment")
    with contract.rule("An episode depends on its seed and its actions alone", "the same environment once more"):
        contract.equal(_walk(contract, one, steps, seed, "once more"), first)
    logged[0].close()
    for mode in AutoresetMode:
        case = f"{n_envs} environments, autoreset mode {mode.name}"
        logged = [_Logged(build()) for _ in range(n_envs)]
        with contract.rule("It works in a SyncVectorEnv", case):
            vector = SyncVectorEnv([lambda each=each: each for each in logged], autoreset_mode=mode)
            several = environments.make(vector)
        _compare(contract, several, logged, steps, seed, case)
        vector.close()


class _Logged(gymnasium.Wrapper):
    """Remembers all that the environment inside was asked for and gave: (observation,) of `reset`, (observation, action,
    reward, terminated, truncated) of `step`."""

    def __init__(self, env: Any):
        super().__init__(env)
        self.log: list[tuple[Any, ...]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = self.env.reset(seed=seed, options=options)
        self.log.append((copy.deepcopy(observation),))
        return observation, info

    def step(self, action: Any) -> Any:
        given = copy.deepcopy(action)
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.log.append((copy.deepcopy(observation), given, reward, terminated, truncated))
        return observation, reward, terminated, truncated, info


def _makes_vector(env: Any) -> bool:
    if isinstance(env, str | gymnasium.Env) or not callable(env):
        return False
    made = env()
    made.close()
    return isinstance(made, VectorEnv)


def _builder(contract: Contract, env: Any) -> Callable[[], Any]:
    if isinstance(env, str):
        return lambda: environments.make_id(env)
    with contract.rule("Several of it can be made"):
        several = callable(env) and not isinstance(env, gymnasium.Env)
        contract.expect(several, "an environment id, or a callable that returns a new gymnasium.Env at each call", env)
        contract.expect(env() is not env(), "a new environment at each call", "the same one twice")
    return env  # type: ignore[no-any-return]


def _compare(
    contract: Contract, made: Environments, logged: list[_Logged], steps: int, seed: int, case: str
) -> list[list[Row]]:
    try:
        rows = _walk(contract, made, steps, seed, case)
    finally:  # first: what the environment gave says more than what came of it
        for each in logged:
            _check_log(contract, each, case)
    with contract.rule("Transitions are what each environment gave, with the true successor of every action", case):
        for i, (each, own) in enumerate(zip(logged, rows, strict=True)):
            taken = [{name: value for name, value in row.items() if name != "valid"} for row in own if row["valid"]]
            contract.equal(taken, _truth(made, each.log), f"environment {i}")
    return rows


def _check_log(contract: Contract, env: _Logged, case: str) -> None:
    for observation, *rest in env.log:
        with contract.rule("Observations are in the observation space", case):
            contract.expect(env.observation_space.contains(observation), str(env.observation_space), observation)
        if rest:
            _, reward, terminated, truncated = rest
            with contract.rule("Rewards are finite numbers, and flags are bools", case):
                number = isinstance(reward, int | float | np.integer | np.floating)
                contract.expect(number and math.isfinite(reward), "a finite number", reward)
                for name, flag in (("terminated", terminated), ("truncated", truncated)):
                    contract.expect(isinstance(flag, bool | np.bool_), f"{name} as a bool", flag)


def _truth(made: Environments, log: list[tuple[Any, ...]]) -> list[Row]:
    rows, before = [], None
    for observation, *rest in log:
        if rest:
            action, reward, terminated, truncated = rest
            rows.append(
                {
                    "observation": made.observation_structure.encode(before),
                    "action": made.action_structure.encode(action),
                    "reward": float(reward), "terminated": bool(terminated), "truncated": bool(truncated),
                    "next_observation": made.observation_structure.encode(observation),
                }
            )  # fmt: skip
        before = observation
    return rows


def _walk(contract: Contract, made: Environments, steps: int, seed: int, case: str) -> list[list[Row]]:
    """Acts at random; every row of every transition, by environment."""
    random, seeds = np.random.default_rng(seed), itertools.count(seed)
    structure = made.action_structure
    chances = [distributions.make("random", leaf) for leaf in structure.leaves]
    rows: list[list[Row]] = [[] for _ in range(made.num_envs)]
    with contract.rule("`reset` gives what gymnasium says", case):
        made.reset(lambda: next(seeds))
    for _ in range(steps):
        observation, mask = made.observation, made.mask
        before = copy.deepcopy((observation, mask))
        _check_mask(contract, mask, structure, case)
        with contract.rule("`step` takes allowed actions and gives what gymnasium says", case):
            masks = [None] * len(chances) if mask is None else mask
            canonical = [chance.random(made.num_envs, random, allowed) for chance, allowed in zip(chances, masks)]
            actions = [chance.to_env(array) for chance, array in zip(chances, canonical)]
            step = made.step([array.copy() for array in actions])
        with contract.rule("What was acted on is not overwritten by the step", case):
            contract.equal((observation, mask), before)
        with contract.rule("Observations are of the leaves' shapes and stored dtypes", case):
            for leaf, array in zip(made.observation_structure.leaves, step.next_observation, strict=True):
                contract.expect(array.dtype == leaf.stored_dtype, leaf.stored_dtype, array.dtype)
                contract.equal(array.shape, (made.num_envs, *leaf.shape))
        with contract.rule("Rewards are finite numbers, and flags are bools", case):
            contract.expect(np.isfinite(step.reward).all(), "finite numbers", step.reward)
            contract.equal([step.terminated.dtype.kind, step.truncated.dtype.kind], ["b", "b"])
        with contract.rule("`ended` are the environments whose episode ended in this step", case):
            ends = np.flatnonzero((step.terminated | step.truncated) & step.valid).tolist()
            contract.equal([int(index) for index in step.ended], ends)
        for i, own in enumerate(rows):
            own.append(
                {
                    "valid": bool(step.valid[i]),
                    "observation": [array[i].copy() for array in before[0]],
                    "action": [leaf.encode(array[i]) for leaf, array in zip(structure.leaves, actions)],
                    "reward": float(step.reward[i]),
                    "terminated": bool(step.terminated[i]), "truncated": bool(step.truncated[i]),
                    "next_observation": [array[i].copy() for array in step.next_observation],
                }
            )  # fmt: skip
    return rows


def _check_mask(contract: Contract, mask: Any, structure: Any, case: str) -> None:
    with contract.rule("Masks allow a value of every component", case):
        for leaf, allowed in zip(structure.leaves, mask or ()):
            if allowed is not None:
                contract.equal((allowed.dtype.kind, allowed.shape[1:]), ("b", (leaf.num_values,)))
                for part in np.split(allowed, np.cumsum(leaf.nvec.ravel())[:-1], axis=1):
                    contract.expect(part.any(axis=1).all(), "True for some value", part)
