"""Toy environments whose right answers are known in closed form. They import NumPy and gymnasium only."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

ENDS = ("terminated", "truncated", "both")


class Counter(gymnasium.Env):
    """Counts. The observation says where in which episode it is, so a wrong successor is seen at once.

    The observation is `[offset, episode, step]`, the reward `100 * episode + step + action / 8`; episode `e`
    has `lengths[e % len(lengths)]` steps and ends by `ends[e % len(ends)]`. Seeds have no effect: the n-th
    reset begins episode n - 1.

    Args:
        lengths: Steps per episode.
        ends: `"terminated"`, `"truncated"` or `"both"` per episode.
        offset: A number that identifies the environment.
        nested: Observe `{"box": Box, "pair": (Discrete with start 3, MultiBinary(2))}` with the same content.
        reuse: Return the same arrays each time, changed in place.
        masked: Give `info["action_mask"]`, which allows only `(episode + step) % 3` and the next value.
    """

    def __init__(
        self,
        lengths: Sequence[int] = (3,),
        ends: Sequence[str] = ("terminated",),
        offset: int = 0,
        nested: bool = False,
        reuse: bool = False,
        masked: bool = False,
    ):
        self.lengths, self.ends, self.offset = tuple(lengths), tuple(ends), offset
        self.nested, self.reuse, self.masked = nested, reuse, masked
        box = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        pair = spaces.Tuple((spaces.Discrete(50, start=3), spaces.MultiBinary(2)))
        self.observation_space = spaces.Dict(box=box, pair=pair) if nested else box
        self.action_space = spaces.Discrete(3)
        self.episode, self.time = -1, 0
        self.seeds: list[int | None] = []
        self._array, self._bits = np.zeros(3, np.float32), np.zeros(2, np.int8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.episode += 1
        self.time = 0
        return self._observe(), self._info()

    def step(self, action: int):
        length, end = self.length, self.ends[self.episode % len(self.ends)]
        if self.time >= length:
            raise RuntimeError("stepped after the end")
        reward = 100.0 * self.episode + self.time + int(action) / 8
        self.time += 1
        over = self.time == length
        terminated, truncated = over and end != "truncated", over and end != "terminated"
        return self._observe(), reward, terminated, truncated, self._info()

    @property
    def length(self) -> int:
        return self.lengths[self.episode % len(self.lengths)]

    def _observe(self) -> Any:
        array, bits = (self._array, self._bits) if self.reuse else (np.zeros(3, np.float32), np.zeros(2, np.int8))
        array[:] = self.offset, self.episode, self.time
        if not self.nested:
            return array
        bits[:] = self.episode % 2, self.time % 2
        return {"box": array, "pair": (3 + self.time % 50, bits)}

    def _info(self) -> dict[str, Any]:
        if not self.masked:
            return {}
        mask = np.zeros(3, np.int8)
        mask[[(self.episode + self.time) % 3, (self.episode + self.time + 1) % 3]] = 1
        return {"action_mask": mask}


class Identity(gymnasium.Env):
    """Pays 1 for the action that the observation says; a policy that has learnt it returns `length` per
    episode.

    Each component of a discrete leaf counts equally: its reward is 1 where it matches, else 0. A component of
        a `Box`
    pays `max(0, 1 - |action - observation|)`. The reward is the mean over all components of all leaves. The
    observation space is the action space, with `Box`es bounded by -1 and 1 where they are not.

    Args:
        space: The action space.
        length: Steps per episode; it ends truncated.
        masks: None, `"info"` (as `info["action_mask"]`) or `"observation"` (as a key beside `"target"`).
        legal: Probability that the target is allowed, per component of a discrete leaf, if there are masks.
            Where it is not, the next value (mod n) pays 1/2. With `legal=0` the best action without a mask is
            always illegal. An action that is not allowed raises a ValueError.
    """

    def __init__(self, space: gymnasium.Space, length: int = 10, masks: str | None = None, legal: float = 0.5):
        self.action_space = space
        self.length, self.masks, self.legal = length, masks, legal
        self.target_space = copy.deepcopy(_bounded(space))  # its generator must be its own
        self.observation_space = self.target_space
        if masks == "observation":
            self.observation_space = spaces.Dict(target=self.target_space, action_mask=_mask_space(space))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.target_space.seed(seed)
        self.time = 0
        return self._next()

    def step(self, action: Any):
        reward = self._reward(action)
        self.time += 1
        observation, info = self._next()
        return observation, reward, False, self.time >= self.length, info

    def best(self) -> float:
        """The highest reward that the present state allows."""
        pays = []
        for leaf, target, allowed in zip(self._leaves(self.action_space), self._targets(), self._allowed):
            if allowed is None:
                pays += [1.0] * max(1, int(np.prod(leaf.shape)))
            else:
                pays += [1.0 if mask[value] else 0.5 for mask, value in zip(allowed, target)]
        return float(np.mean(pays))

    def _next(self):
        self.target = self.target_space.sample()
        self._allowed = [
            None if not self.masks or isinstance(leaf, spaces.Box) else self._draw(leaf, target)
            for leaf, target in zip(self._leaves(self.action_space), self._targets())
        ]
        if not self.masks:
            return self.target, {}
        masks = iter(None if allowed is None else np.concatenate(allowed) for allowed in self._allowed)
        mask = _fill(self.action_space, masks)
        if self.masks == "info":
            return self.target, {"action_mask": mask}
        return {"target": self.target, "action_mask": mask}, {}

    def _draw(self, leaf: gymnasium.Space, target: np.ndarray) -> list[np.ndarray]:
        masks = []
        for count, value in zip(_counts(leaf), target):
            mask = self.np_random.random(count) < 0.5
            mask[(value + 1) % count] = True
            if count > 1:
                mask[value] = self.np_random.random() < self.legal
            masks.append(mask.astype(np.int8))
        return masks

    def _reward(self, action: Any) -> float:
        pays: list[float] = []
        leaves, actions = self._leaves(self.action_space), _parts(self.action_space, action)
        for leaf, value, target, allowed in zip(leaves, actions, self._targets(), self._allowed):
            if isinstance(leaf, spaces.Box):
                pays += np.maximum(0, 1 - np.abs(np.ravel(value) - target)).tolist()
                continue
            for i, (chosen, wanted) in enumerate(zip(_indices(leaf, value), target)):
                if allowed is not None and not allowed[i][chosen]:
                    raise ValueError(f"illegal action: component {i} is {chosen}, mask {allowed[i]}")
                other = allowed is not None and not allowed[i][wanted] and chosen == (wanted + 1) % len(allowed[i])
                pays.append(1.0 if chosen == wanted else 0.5 if other else 0.0)
        return float(np.mean(pays))

    def _targets(self) -> list[np.ndarray]:
        parts = _parts(self.target_space, self.target)
        return [
            np.ravel(part) if isinstance(leaf, spaces.Box) else _indices(leaf, part)
            for leaf, part in zip(self._leaves(self.action_space), parts)
        ]

    def _leaves(self, space: gymnasium.Space) -> list[gymnasium.Space]:
        return _parts(space, space)


class KnownQ(gymnasium.Env):
    """With discount 0 the action value is the reward table: `q[state, action]`. States are drawn uniformly.

    Args:
        num_states, num_actions: Sizes of the table.
        length: Steps per episode; it ends truncated.
        table_seed: Seed of the table, which has entries from -1 to 1.
    """

    def __init__(self, num_states: int = 4, num_actions: int = 3, length: int = 20, table_seed: int = 0):
        self.q = np.random.default_rng(table_seed).uniform(-1, 1, (num_states, num_actions)).astype(np.float32)
        self.observation_space = spaces.Discrete(num_states)
        self.action_space = spaces.Discrete(num_actions)
        self.length = length

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.time = 0
        self.state = int(self.np_random.integers(len(self.q)))
        return self.state, {}

    def step(self, action: int):
        reward = float(self.q[self.state, action])
        self.time += 1
        self.state = int(self.np_random.integers(len(self.q)))
        return self.state, reward, False, self.time >= self.length, {}


class TruncationBandit(gymnasium.Env):
    """Every episode is one step that pays 1 and leads back to the same state.

    In state `[1, 0]` the step truncates, so going on would have paid for ever: V = 1 / (1 - discount). In
    state `[0, 1]` it terminates: V = 1. Bootstrapping from both, or from neither, gives equal values.
    """

    def __init__(self, num_actions: int = 2):
        self.observation_space = spaces.Box(0, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(num_actions)

    @staticmethod
    def values(discount: float) -> tuple[float, float]:
        """The values of the truncating and of the terminating state."""
        return 1 / (1 - discount), 1.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.terminates = bool(self.np_random.integers(2))
        return self._observe(), {}

    def step(self, action: int):
        return self._observe(), 1.0, self.terminates, not self.terminates, {}

    def _observe(self) -> np.ndarray:
        return np.array([not self.terminates, self.terminates], np.float32)


class Nondeterministic(gymnasium.Env):
    """Ignores its seed: no two runs are equal."""

    def __init__(self, length: int = 100):
        self.observation_space = spaces.Box(0, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.length = length
        self.random = np.random.default_rng()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        self.time = 0
        return self.random.random(2, np.float32), {}

    def step(self, action: int):
        self.time += 1
        return self.random.random(2, np.float32), 1.0, self.time >= self.length, False, {}


class Stateful(Nondeterministic):
    """Cannot be replayed, but tells and takes its whole state."""

    def get_state(self) -> dict[str, Any]:
        return {"time": self.time, "random": self.random.bit_generator.state, "array": np.arange(3)}

    def set_state(self, state: dict[str, Any]) -> None:
        self.time = state["time"]
        self.random.bit_generator.state = state["random"]


class NativeCounter(VectorEnv):
    """`Counter`s as a vector environment of its own, in any autoreset mode, that reuses its arrays.

    Args:
        mode: The mode, or None to leave it out of the metadata.
        envs: Arguments of each `Counter`.
        batched_final: In mode SAME_STEP, give `final_obs` as one array instead of an object array.
    """

    def __init__(self, mode: AutoresetMode | None, envs: Sequence[dict[str, Any]], batched_final: bool = False):
        self.envs = [Counter(**arguments) for arguments in envs]
        self.num_envs = len(self.envs)
        self.mode, self.batched_final = mode, batched_final
        self.metadata = {} if mode is None else {"autoreset_mode": mode}
        self.single_observation_space = self.envs[0].observation_space
        self.single_action_space = self.envs[0].action_space
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, self.num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, self.num_envs)
        self.arrays = np.zeros((self.num_envs, 3), np.float32)
        self.rewards = np.zeros(self.num_envs, np.float32)
        self.flags = np.zeros((2, self.num_envs), bool)
        self.resets: list[tuple[Any, Any]] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        given = (options or {}).get("reset_mask")
        chosen = np.ones(self.num_envs, bool) if given is None else given.copy()
        self.resets.append((seed, None if given is None else chosen))
        if given is not None:
            given[:] = False  # what it was given is its own
        for i in np.flatnonzero(chosen):
            self.arrays[i] = self.envs[i].reset()[0]
        self.flags[:, chosen] = False
        return self.arrays, {}

    def step(self, actions: np.ndarray):
        final = [None] * self.num_envs
        before = self.flags.any(axis=0)
        for i, env in enumerate(self.envs):
            if before[i] and self.mode is AutoresetMode.NEXT_STEP:
                self.arrays[i], self.rewards[i], self.flags[:, i] = env.reset()[0], 0, False
                continue
            self.arrays[i], self.rewards[i], self.flags[0, i], self.flags[1, i], _ = env.step(actions[i])
            if self.flags[:, i].any() and self.mode is AutoresetMode.SAME_STEP:
                final[i] = self.arrays[i].copy()
                self.arrays[i] = env.reset()[0]
        infos: dict[str, Any] = {}
        if any(value is not None for value in final):
            if self.batched_final:
                infos["final_obs"] = np.stack([np.zeros(3) if value is None else value for value in final])
            else:
                infos["final_obs"] = np.empty(self.num_envs, object)
                infos["final_obs"][:] = final
        return self.arrays, self.rewards, self.flags[0], self.flags[1], infos


def _bounded(space: gymnasium.Space) -> gymnasium.Space:
    if isinstance(space, spaces.Box):
        low = np.where(np.isfinite(space.low), space.low, -1).astype(space.dtype)
        high = np.where(np.isfinite(space.high), space.high, 1).astype(space.dtype)
        return spaces.Box(low, high, dtype=space.dtype.type)
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _bounded(child) for key, child in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_bounded(child) for child in space.spaces])
    return space


def _mask_space(space: gymnasium.Space) -> gymnasium.Space:
    if isinstance(space, spaces.Dict):
        masks = {key: _mask_space(child) for key, child in space.spaces.items()}
        return spaces.Dict({key: mask for key, mask in masks.items() if mask is not None})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_mask_space(child) for child in space.spaces])
    return None if isinstance(space, spaces.Box) else spaces.MultiBinary(int(sum(_counts(space))))


def _parts(space: gymnasium.Space, value: Any) -> list[Any]:
    if isinstance(space, spaces.Dict):
        return [part for key, child in space.spaces.items() for part in _parts(child, value[key])]
    if isinstance(space, spaces.Tuple):
        return [part for index, child in enumerate(space.spaces) for part in _parts(child, value[index])]
    return [value]


def _fill(space: gymnasium.Space, parts: Any) -> Any:
    if isinstance(space, spaces.Dict):
        filled = {key: _fill(child, parts) for key, child in space.spaces.items()}
        return {key: part for key, part in filled.items() if part is not None}
    if isinstance(space, spaces.Tuple):
        return tuple(_fill(child, parts) for child in space.spaces)
    return next(parts)


def _counts(space: gymnasium.Space) -> list[int]:
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec.ravel().tolist()
    return [2] * int(np.prod(space.shape))


def _indices(space: gymnasium.Space, value: Any) -> np.ndarray:
    return np.ravel(np.asarray(value, np.int64) - getattr(space, "start", 0))
