"""Records what an adapter gives and what it should have given."""

from __future__ import annotations

from typing import Any

import numpy as np
from toy_envs import Counter

from kagent import environments


def counters(num_envs: int, lengths: list[list[int]], ends: list[str], **arguments: Any) -> list[dict[str, Any]]:
    """Arguments of `num_envs` different `Counter`s."""
    return [
        {"lengths": lengths[i % len(lengths)], "ends": ends[i % len(ends) :] + ends, "offset": i, **arguments}
        for i in range(num_envs)
    ]


def record(envs: environments.Environments, steps: int, seed: int = 0) -> list[list[dict[str, Any]]]:
    """Acts at random and returns every row of every transition, per environment, in the order of time."""
    random = np.random.default_rng(seed)
    stream: list[list[dict[str, Any]]] = [[] for _ in range(envs.num_envs)]
    envs.reset()
    for _ in range(steps):
        observation, mask = envs.observation, envs.mask
        before = [part.copy() for part in observation]
        masks_before = None if mask is None else [part if part is None else part.copy() for part in mask]
        action = _choose(envs, random)
        transition = envs.step([action.copy()])
        # What was acted on must survive the step: it is stored afterwards.
        for part, copy in zip(observation, before):
            np.testing.assert_array_equal(part, copy)
        if mask is not None:
            np.testing.assert_array_equal(mask[0], masks_before[0])
        assert transition.all_valid == transition.valid.all()
        assert (
            list(transition.ended)
            == np.flatnonzero((transition.terminated | transition.truncated) & transition.valid).tolist()
        )
        for i, rows in enumerate(stream):
            rows.append(
                {
                    "observation": [part[i].tolist() for part in before],
                    "action": int(action[i]),
                    "reward": float(transition.reward[i]),
                    "next_observation": [part[i].tolist() for part in transition.next_observation],
                    "terminated": bool(transition.terminated[i]),
                    "truncated": bool(transition.truncated[i]),
                    "mask": None if masks_before is None else masks_before[0][i].tolist(),
                    "next_mask": None if mask is None else transition.next_mask[0][i].tolist(),
                    "valid": bool(transition.valid[i]),
                    "then": [part[i].tolist() for part in envs.observation],
                }
            )
    return stream


def truth(arguments: dict[str, Any], actions: list[int]) -> list[dict[str, Any]]:
    """The transitions of one `Counter`, stepped by hand with these actions and reset at each end."""
    env = Counter(**arguments)
    rows = []
    observation, info = env.reset()
    for action in actions:
        successor, reward, terminated, truncated, next_info = env.step(action)
        rows.append(
            {
                "observation": plain(observation),
                "action": action,
                "reward": reward,
                "next_observation": plain(successor),
                "terminated": terminated,
                "truncated": truncated,
                "mask": _allowed(info),
                "next_mask": _allowed(next_info),
            }
        )
        observation, info = successor, next_info
        if terminated or truncated:
            observation, info = env.reset()
    return rows


def plain(observation: Any) -> list[Any]:
    """The leaves of a `Counter`'s observation as lists; the Discrete one counted from 0."""
    if isinstance(observation, dict):
        discrete, bits = observation["pair"]
        return [observation["box"].tolist(), discrete - 3, bits.tolist()]
    return [observation.tolist()]


def _choose(envs: environments.Environments, random: np.random.Generator) -> np.ndarray:
    if envs.mask is None:
        return random.integers(0, 3, envs.num_envs)
    return np.array([random.choice(np.flatnonzero(row)) for row in envs.mask[0]])


def _allowed(info: dict[str, Any]) -> list[bool] | None:
    return info["action_mask"].astype(bool).tolist() if "action_mask" in info else None
