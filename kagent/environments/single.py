"""Single environments, stepped one after the other and seeded, recorded and brought back by kagent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.environments import checks, claims, open_episodes

from .. import spaces
from .action_records import ActionRecords
from .checks import INFINITE
from .episode_records import recorded_return
from .masks import KEY
from .stream import Environments, NextSeed, Transition
from .watchdog import StepTimeoutError, Watchdog, Watched, check_idle, is_hanging


class SingleEnvs(Environments):
    """N single environments as one stream of transitions.

    Every reset is seeded. The seed and the actions of each open episode are kept, so that `restore` can reset with the same
    seed and take the same actions again; up to a bound, see `limit_replay`. An environment with `get_state()` and
    `set_state(state)`, under no wrappers but those `gymnasium.make` adds, gives its state instead; that must hold
    everything (random generators too) and consist of arrays, numbers, strings, lists and dicts.

    Args:
        envs: The environments, with equal spaces.
        owned: Whether `close` closes them.
        next_seed: See `Environments.reset`.

    Raises:
        ValueError: The spaces of the environments differ, or are not supported.
        TypeError: Not environments of gymnasium.

    Example:

    >>> envs = SingleEnvs([gymnasium.make("CartPole-v1") for _ in range(2)], owned=True)
    >>> envs.reset()
    >>> transition = envs.step([np.array([0, 1])])
    >>> transition.reward
    array([1., 1.])
    """

    replayable = True

    def __init__(self, envs: Sequence[gymnasium.Env], *, owned: bool = False, next_seed: NextSeed | None = None):
        for env in envs:
            if not isinstance(env, gymnasium.Env):
                raise TypeError(f"`env` must be a gymnasium.Env. Received: {env!r} ({type(env).__name__})")
        observation_space, action_space = (
            getattr(envs[0], name, None) for name in ("observation_space", "action_space")
        )
        super().__init__(observation_space, action_space, len(envs), owned, next_seed)
        if (pair := claims.twice(envs)) is not None:
            raise ValueError(
                "Each call of the `env` callable must make a new one. Received: one env twice, "
                f"{envs[pair[0]].unwrapped!r} in environments {pair[0]} and {pair[1]}"
            )
        for index, env in enumerate(envs[1:], 1):
            for name, first in (("observation_space", observation_space), ("action_space", action_space)):
                if rows := spaces.difference(first, getattr(env, name)):
                    rows = rows.replace(" env: ", f" env {index}: ").replace(" agent: ", " env 0: ")
                    raise ValueError(f"All environments must have the same {name}. Received:\n{rows}")
        self.envs = list(envs)
        self._callable: list[Any] = self.envs  # what `step` and `reset` are called of
        self._watchdog: Watchdog | None = None
        leaf = self.observation_structure.leaves[0]
        # Shape and dtype of a plain Box observation that needs neither conversion nor checks.
        self._box = None
        if not self.observation_structure.is_nested and leaf.kind == "box":
            self._box = (leaf.shape, leaf.dtype)
        count = len(envs)
        self._clock = 0
        self._started = [0] * count
        self._seeds = [0] * count
        self._returns = [0.0] * count
        self._options: list[dict[str, Any] | None] = [None] * count  # of the resets that began the open episodes
        self._actions = ActionRecords(self.action_structure, count)
        self._limit: float = math.inf
        self._replayed = self._given_up_at = 0.0
        self._gave_up = False  # whether a warning of it was given
        self.limit_replay("auto")

    @property
    def sources(self) -> Sequence[gymnasium.Env]:
        return self.envs

    @property
    def time_limit(self) -> int | None:
        limits = [checks.time_limit(env.spec) or math.inf for env in self.envs]
        longest = max(limits)
        return None if longest == math.inf else int(longest)

    def limit(self, max_episode_timesteps: int) -> None:
        for env in self.envs:
            checks.check_limit(env.spec, max_episode_timesteps)
        self._limit = max_episode_timesteps

    def limit_replay(self, timesteps: int | str | None) -> None:
        """Bounds how much of an open episode is kept for `restore`, which takes as many steps again.

        An episode that becomes longer is not replayed: `restore` begins a new one in its place. A warning says so when
        the first one does. Environments that give their state are not bounded.

        Args:
            timesteps: Of one episode. None: no bound. "auto": 10,000, or what fits into 16 MiB of all environments'
                actions together, if that is less.
        """
        if timesteps == "auto":
            timesteps = self._actions.longest
        self._replayed = math.inf if timesteps is None else float(timesteps)
        self._given_up_at = min(self._started) + self._replayed

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        if not self._ready:
            self._refuse_step()
        self._ready = False  # an error below leaves it so
        self._clock += 1
        if self._clock > self._given_up_at:
            self._give_up_replays()
        transition = self._transition
        rewards, returns, masked = transition.reward, self._returns, self._mask_sets is not None
        if transition.ended:
            transition.recorded = {}
            transition.terminated.fill(False)
            transition.truncated.fill(False)
        index = (self._current + 1) % 3
        arrays = self._sets[index]
        shape, dtype = self._box or (None, None)
        ended: list[int] = []
        actions = self._actions.taken(action)
        for i, env in enumerate(self._callable):
            try:
                result = env.step(actions[i])
            except BaseException as error:
                error.add_note(f"kagent: raised by `step` of {self._where(i)}, action {actions[i]!r}")
                raise
            try:
                observation, reward, terminated, truncated, info = result
            except (TypeError, ValueError):
                raise checks.located(checks.step_result(result), self._where(i)) from None
            if type(observation) is np.ndarray and observation.shape == shape and observation.dtype == dtype:
                arrays[0][i] = observation
            else:
                self._write(arrays, i, observation)
            if type(reward) is not float:
                reward = float(reward) if isinstance(reward, float) else self._checked(i, checks.reward, reward)
            if not -INFINITE < reward < INFINITE:  # NaN neither
                message = checks.not_finite_reward(reward)
                raise ValueError(f"{message} ({self._where(i)}, action {actions[i]!r})")
            rewards[i] = reward
            returns[i] += reward
            if self._clock - self._started[i] >= self._limit:
                truncated = True
            if terminated is not False or truncated is not False:
                terminated = self._checked(i, checks.flag, terminated, "terminated")
                truncated = self._checked(i, checks.flag, truncated, "truncated")
                if terminated or truncated:
                    transition.terminated[i] = terminated
                    transition.truncated[i] = truncated
                    ended.append(i)
                    if (recorded := recorded_return(info)) is not None:
                        transition.recorded = {**transition.recorded, i: recorded}
            if masked or (info and KEY in info):
                self._write_mask(index, i, self._mask_value(observation, info), bool(terminated))
        self._check_finite(index, actions)
        transition.next_observation = arrays
        transition.next_mask = None if self._mask_sets is None else self._mask_sets[index]
        transition.ended = ended
        if ended:
            fresh = (index + 1) % 3
            self._copy_set(index, fresh)
            for i in ended:
                value = self._begin(i, fresh, follows=True)
                self._write_mask(fresh, i, value, False)
            self._check_finite(fresh)
            index = fresh
        self._show(index)
        self._ready = True
        return transition

    def configure(self, reset_options: dict[str, Any] | None = None, step_timeout: float | None = None) -> None:
        for i, env in enumerate(self.envs):
            check_idle(env, f"env {i}, {checks.described(env)},")
        self._reset_options = reset_options
        if self._watchdog is not None:
            self._watchdog.stop()
        watchdog = self._watchdog = None if step_timeout is None else Watchdog(step_timeout)
        self._callable = self.envs
        if watchdog is not None:
            self._callable = [Watched(env, i, watchdog) for i, env in enumerate(self.envs)]

    def reset(self, next_seed: NextSeed | None = None) -> None:
        self._next_seed = next_seed or self._next_seed
        self._ready = False
        self._clear()
        self._open([self._begin(i, 0) for i in range(self.num_envs)])

    def state(self) -> dict[str, Any]:
        """Seeds, actions and last observations of the open episodes.

        Returns:
            `{"episodes": [...]}`, one entry per environment: `seed`, `length`, `return`, `observation` (a
            list of leaves), `options` if its reset had any, and either `actions` (a list of leaves
            `(length, *leaf.shape)`), `snapshot` (what `get_state` gave) with `mask`, or `unrecorded` (True: longer
            than `limit_replay`). No entries if there is no open episode: before the first reset, and after an error.
        """
        if not self._ready:
            return {"episodes": []}
        return {"episodes": [self._episode(i) for i in range(self.num_envs)]}

    def restore(self, state: dict[str, Any], next_seed: NextSeed | None = None) -> list[int]:
        """Brings back the open episodes: same seeds, same options, same actions, exactly equal observation and return.

        An environment that raises, ends early or differs while its actions are repeated was not brought back.
        So were all if `state` holds another number of environments.
        """
        self._next_seed = next_seed or self._next_seed
        episodes = state.get("episodes") if isinstance(state, dict) else None
        if not isinstance(episodes, list):
            raise TypeError("`state` must be a dict as `state()` returns. Received: " + type(state).__name__)
        recorded = [
            open_episodes.parse(episode, self.observation_structure, self.action_structure) for episode in episodes
        ]
        if len(recorded) != self.num_envs:
            self.reset()
            return list(range(self.num_envs))
        self._ready = False
        self._clear()
        failed, masks = [], []
        for i, episode in enumerate(recorded):
            done, mask = self._resume(i, episode)
            if not done:
                failed.append(i)
                mask = self._begin(i, 0)
            masks.append(mask)
        self._given_up_at = min(self._started) + self._replayed
        self._open(masks)
        return failed

    def close(self) -> None:
        self._ready = False
        if self.owned:
            for env in self.envs:
                if not is_hanging(env):
                    env.close()
        if self._watchdog is not None:
            self._watchdog.stop()

    def _clear(self) -> None:
        transition = self._transition
        transition.ended, transition.recorded = (), {}
        transition.terminated.fill(False)
        transition.truncated.fill(False)
        self._mask_sets = None

    def _open(self, masks: list[Any]) -> None:
        self._check_finite(0)
        self._open_masks(masks, 0)
        self._show(0)
        self._ready = True

    def _begin(self, i: int, index: int, follows: bool = False) -> Any:
        # A new episode of environment i, its first observation into set `index`. Returns its raw mask.
        following = getattr(self._next_seed, "following", None) if follows else None
        seed = int(self._next_seed() if following is None else following(self._seeds[i]))
        self._started[i], self._seeds[i], self._returns[i] = self._clock, seed, 0.0
        self._actions.begin(i)
        observation, info = self._reset_env(i, seed, self._reset_options)
        self._write(self._sets[index], i, observation)
        return self._mask_value(observation, info)

    def _reset_env(self, i: int, seed: int, options: dict[str, Any] | None) -> tuple[Any, dict[str, Any]]:
        self._options[i] = options
        given = {} if options is None else {"options": open_episodes.copy(options)}
        try:
            result = self._callable[i].reset(seed=seed, **given)
        except BaseException as error:
            error.add_note(f"kagent: raised by `reset` of env {i}, seed {seed}")
            if isinstance(error, TypeError) and ("seed" in str(error) or "options" in str(error)):
                error.add_note("kagent: gymnasium's signature is `reset(self, *, seed=None, options=None)`")
            raise
        found: tuple[Any, dict[str, Any]] = self._checked(i, checks.reset_result, result)
        return found

    def _write(self, arrays: list[np.ndarray], i: int, observation: Any) -> None:
        structure = self.observation_structure
        try:
            parts = structure.flatten(observation) if structure.is_nested else (observation,)
            for leaf, into, part in zip(structure.leaves, arrays, parts):
                into[i] = checks.observation(leaf, part, leaf.shape)
        except (TypeError, ValueError) as error:
            raise checks.located(error, self._where(i)) from None

    def _checked(self, i: int, check: Any, *args: Any) -> Any:
        try:
            return check(*args)
        except (TypeError, ValueError) as error:
            raise checks.located(error, self._where(i)) from None

    def _mask_value(self, observation: Any, info: Any) -> Any:
        if self._masks.in_observation:
            return observation[KEY]
        return info.get(KEY) if info else None

    def _episode(self, i: int) -> dict[str, Any]:
        episode: dict[str, Any] = {
            "seed": self._seeds[i],
            "length": self._clock - self._started[i],
            "return": self._returns[i],
            "observation": [np.array(part[i]) for part in self.observation],
        }
        if (options := self._options[i]) is not None:
            episode["options"] = open_episodes.copy(options)
        env = open_episodes.snapshot_env(self.envs[i])
        if env is not None:
            snapshot = env.get_state()
            if open_episodes.is_plain(snapshot):
                episode["snapshot"] = open_episodes.copy(snapshot)
                episode["mask"] = None if self.mask is None else [None if m is None else m[i].copy() for m in self.mask]
                return episode
            warnings.warn(
                f"kagent saves an environment's state only if it consists of arrays, numbers, strings, lists "
                f"and dicts; the actions are saved instead. Received from `get_state` of "
                f"{type(env).__name__}: {type(snapshot).__name__}",
                stacklevel=2,
            )
        actions = self._actions.arrays(i)
        return {**episode, "unrecorded": True} if actions is None else {**episode, "actions": actions}

    def _resume(self, i: int, episode: dict[str, Any]) -> tuple[bool, Any]:
        # Whether environment i is where the episode was, with its mask as the env gives it.
        into, total = self._sets[0], 0.0
        self._seeds[i], self._started[i], length = episode["seed"], self._clock, episode["length"]
        self._actions.begin(i)
        try:
            observation, info = self._reset_env(i, episode["seed"], episode.get("options"))
            if "snapshot" in episode:
                return self._set_state(i, episode)
            if "actions" not in episode:
                return False, None
            for action in self._actions.each(episode["actions"], length):
                observation, reward, terminated, truncated, info = self._callable[i].step(action)
                total += checks.reward(reward)
                if checks.flag(terminated, "terminated") or checks.flag(truncated, "truncated"):
                    return False, None
            self._write(into, i, observation)
        except StepTimeoutError:
            raise
        except Exception:
            # An environment that repeats itself otherwise is reported as lost; one that is broken raises
            # again when the new episode begins.
            return False, None
        if total != episode["return"] or any(
            part[i].tobytes() != saved.tobytes() for part, saved in zip(into, episode["observation"])
        ):
            return False, None
        self._actions.extend(i, episode["actions"])
        self._started[i], self._returns[i] = self._clock - length, total
        return True, self._mask_value(observation, info)

    def _set_state(self, i: int, episode: dict[str, Any]) -> tuple[bool, Any]:
        if not open_episodes.set_state(self.envs[i], episode["snapshot"], episode["length"]):
            return False, None
        for into, part in zip(self._sets[0], episode["observation"]):
            into[i] = part
        self._actions.give_up(i)
        self._started[i], self._returns[i] = self._clock - episode["length"], episode["return"]
        mask = episode.get("mask")
        return True, None if mask is None else self.action_structure.unflatten(mask)

    def _give_up_replays(self) -> None:
        long = [i for i, started in enumerate(self._started) if self._clock - started > self._replayed]
        for i in long:
            self._actions.give_up(i)
        going = [started for i, started in enumerate(self._started) if i not in long]
        # Those that begin later are looked at again when the earliest of them can be too long.
        self._given_up_at = min(going, default=self._clock) + self._replayed
        if not self._gave_up and any(open_episodes.snapshot_env(self.envs[i]) is None for i in long):
            self._gave_up = True
            warnings.warn(
                f"An open episode is longer than {self._replayed:.0f} timesteps ({self._where(long[0])}): its actions are no "
                "longer kept, and training that is resumed from a file begins a new episode in its place. Give `fit` a larger "
                "`replay_limit` (None: no limit), or the environment `get_state` and `set_state`",
                stacklevel=4,
            )

    def _where(self, row: int) -> str:
        return f"env {row}, episode step {self._clock - self._started[row]}, seed {self._seeds[row]}"
