"""Vector environments, in each of gymnasium's autoreset modes, as one stream of true transitions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from kagent.environments import autoreset, checks, claims, open_episodes, workers

from .episode_records import recorded_returns, restarts_records
from .masks import KEY, from_infos, rows
from .stream import Environments, NextSeed, Transition
from .vector_calls import VectorCalls
from .watchdog import check_idle, is_hanging

_SETTLING_STEPS = 4


class VectorEnvs(Environments):
    """A vector environment as one stream of transitions, whatever its autoreset mode.

    * NEXT_STEP: the step after an end takes no action and returns the reset observation; that row is not
      `valid`.
    * SAME_STEP: the observation returned at an end is the next episode's; the true successor is
      `infos["final_obs"]`.
    * DISABLED: ended environments are reset here, at once, by `reset(seed=..., options={"reset_mask": ...})`.

    Open episodes cannot be brought back: `restore` begins new ones everywhere. All that the environments return is
    copied. (In the workers of an `AsyncVectorEnv` with mode SAME_STEP, an environment that returns the same array at every
    step loses its final observation before anybody can copy it; where that is seen, it is warned of.)

    A reset that an earlier use left pending in mode NEXT_STEP is found out where `reset` of the environment is not known to
    cancel it (workers without shared memory, classes that are not gymnasium's): it takes one further reset and step, which
    belong to no episode. An environment that was made here has had no earlier use.

    Args:
        env: The vector environment; its `metadata["autoreset_mode"]` must say the mode.
        owned: Whether `close` closes it.
        next_seed: See `Environments.reset`. In the modes NEXT_STEP and SAME_STEP only `reset` is seeded.

    Raises:
        ValueError: No or an unknown autoreset mode, or unsupported spaces.

    Example:

    >>> import gymnasium
    >>> envs = VectorEnvs(gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    >>> envs.reset()
    >>> envs.step([np.array([0, 1])]).all_valid
    True
    """

    def __init__(self, env: VectorEnv, *, owned: bool = False, next_seed: NextSeed | None = None):
        observation_space, action_space = (
            getattr(env, name, None) for name in ("single_observation_space", "single_action_space")
        )
        super().__init__(observation_space, action_space, int(env.num_envs), owned, next_seed)
        self.env = env
        self.autoreset_mode = autoreset.mode_of(env)
        base = self._base = env.unwrapped
        workers.check(base)
        inner = getattr(base, "envs", None)
        if isinstance(inner, list | tuple) and (pair := claims.twice(inner)) is not None:
            raise ValueError(
                f"The environments in a vector env must be different ones. Received: {inner[pair[0]].unwrapped!r} as "
                f"environments {pair[0]} and {pair[1]} of {type(base).__name__}"
            )
        self._calls = VectorCalls(env)
        self._lost_warned = False
        self._seeds_listed = isinstance(base, SyncVectorEnv | AsyncVectorEnv)
        self._pending = autoreset.pending_rows(base, self.num_envs)
        self._lengths = np.zeros(self.num_envs, np.int64)
        self._records = not restarts_records(env, self.autoreset_mode)
        if not self._records:
            warnings.warn(
                f"gymnasium.wrappers.vector.RecordEpisodeStatistics of gymnasium {gymnasium.__version__} loses its sums at the "
                f"resets of mode {self.autoreset_mode.name}: what it records is not read. Wrap the single environments in "
                "gymnasium.wrappers.RecordEpisodeStatistics instead",
                stacklevel=2,
            )

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        if not self._ready:
            self._refuse_step()
        self._ready = False  # an error below leaves it so
        structure = self.action_structure
        actions = structure.unflatten([np.array(part, leaf.dtype) for leaf, part in zip(structure.leaves, action)])
        observation, reward, terminated, truncated, infos = self._calls.step(actions)
        index, fresh = (self._current + 1) % 3, (self._current + 2) % 3
        transition, pending = self._transition, self._pending
        self._lengths += 1
        self._lengths[pending] = 0
        transition.valid[:] = ~pending
        transition.all_valid = not pending.any()
        transition.terminated[:] = self._flags(terminated, "terminated")
        transition.truncated[:] = self._flags(truncated, "truncated")
        self._copy_rewards(reward)
        if not transition.all_valid:  # whatever wrappers made of a reset's reward and flags
            transition.terminated[pending] = transition.truncated[pending] = False
        done = transition.terminated | transition.truncated
        ended = np.flatnonzero(done).tolist()
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        self._write(index, observation)
        self._check_finite(index)
        self._write_masks(index, observation, infos, np.zeros_like(done) if same_step else transition.terminated)
        transition.next_observation = self._sets[index]
        transition.next_mask = None if self._mask_sets is None else self._mask_sets[index]
        transition.ended = ended
        transition.recorded = recorded_returns(infos, ended) if ended and self._records else {}
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            pending[:] = done
        elif ended:
            self._copy_set(index, fresh)
            if same_step:
                self._write_final(index, infos, ended, observation)
                self._warn_of_lost(index, ended)
                self._check_finite(index)
                self._lengths[done] = 0
            else:
                self._reset_rows(fresh, done)
            index = fresh
        self._show(index)
        self._ready = True
        return transition

    def reset(self, next_seed: NextSeed | None = None) -> None:
        self._next_seed = next_seed or self._next_seed
        self._ready = False
        workers.check(self._base)
        self._settle()
        self._lengths.fill(0)
        self._transition.ended, self._transition.recorded = (), {}
        self._mask_sets = None
        observation, infos = self._call_reset(None)
        self._write(0, observation)
        self._check_finite(0)
        self._open_masks(self._mask_rows(observation, infos), 0)
        self._show(0)
        self._ready = True

    def state(self) -> dict[str, Any]:
        """Nothing: the episodes of a vector environment cannot be brought back."""
        return {"episodes": []}

    def restore(self, state: dict[str, Any], next_seed: NextSeed | None = None) -> list[int]:
        """Begins new episodes, whatever `state` holds; returns all indices."""
        self.reset(next_seed)
        return list(range(self.num_envs))

    @property
    def records_returns(self) -> bool:
        return self._records and super().records_returns

    @property
    def sources(self) -> Sequence[VectorEnv]:
        return [self.env]

    @property
    def time_limit(self) -> int | None:
        return checks.time_limit(getattr(self.env, "spec", None))

    def configure(self, reset_options: dict[str, Any] | None = None, step_timeout: float | None = None) -> None:
        workers.check(self._base)
        check_idle(self.env, self._where(None))
        if reset_options is not None and self.autoreset_mode is not AutoresetMode.DISABLED:
            raise ValueError(
                "`reset_options` cannot reach every reset of a vector environment that resets by itself, without options: use "
                "autoreset_mode=AutoresetMode.DISABLED, or hand in an id or a callable that makes single environments. "
                f"Received: {reset_options}, and a vector environment of mode {self.autoreset_mode.name}"
            )
        self._reset_options = reset_options
        self._calls.limit(step_timeout)

    def limit(self, max_episode_timesteps: int) -> None:
        checks.check_limit(getattr(self.env, "spec", None), max_episode_timesteps)
        own = self.time_limit
        if own != max_episode_timesteps:
            raise ValueError(
                "`max_episode_timesteps` cannot be kept by a vector environment, which begins new episodes by itself: wrap "
                "its environments in gymnasium.wrappers.TimeLimit, or hand in an id or a callable. "
                f"Received: {max_episode_timesteps}, and a vector environment with {own}"
            )

    def close(self) -> None:
        self._ready = False
        if self.owned and not is_hanging(self.env):
            workers.close(self.env)
        self._calls.stop()

    def _settle(self) -> None:
        """Before a reset: finds out which rows the environment would reset in its next step all the same."""
        if self.autoreset_mode is not AutoresetMode.NEXT_STEP or autoreset.clears_pending(self._base):
            self._pending.fill(False)
            return
        keeps = autoreset.keeps_pending(self._base)
        # Nobody else has stepped an environment that was made here: what it owes is what this object left.
        if self.owned and (keeps or not self._pending.any()):
            return
        # After a reset and a step it is known: a row that is done resets next, any other does not, whatever it was before.
        # A row that is done in step after step plays episodes of one step: its resets are not kept.
        for _ in range(1 if keeps else _SETTLING_STEPS):
            observation, infos = self._call_reset(None, [0] * self.num_envs if self._seeds_listed else 0)
            self._open_masks(self._mask_rows(observation, infos), 0)
            masks = None if self._mask_sets is None else self._mask_sets[0]
            structure = self.action_structure
            action = structure.unflatten(autoreset.first_allowed(structure, masks, self.num_envs))
            _, _, terminated, truncated, _ = self._calls.step(action)
            self._pending[:] = self._flags(terminated, "terminated") | self._flags(truncated, "truncated")
            if not self._pending.any():
                return
        if not keeps:
            self._pending.fill(False)

    def _call_reset(self, chosen: np.ndarray | None, seed: Any = None) -> tuple[Any, dict[str, Any]]:
        count = self.num_envs
        if seed is None:
            seed = int(self._next_seed())
            if self._seeds_listed:
                wanted = np.ones(count, bool) if chosen is None else chosen
                seeds = iter([seed] + [int(self._next_seed()) for _ in range(int(wanted.sum()) - 1)])
                seed = [next(seeds) if want else None for want in wanted]
        # A new dict and mask each time: gymnasium takes the mask out of the dict it is given.
        options = {} if self._reset_options is None else open_episodes.copy(self._reset_options)
        if chosen is not None:
            options["reset_mask"] = chosen.copy()
        given = {"options": options} if options or self._reset_options is not None else {}
        return self._calls.reset(seed, **given)

    def _reset_rows(self, index: int, chosen: np.ndarray) -> None:
        observation, infos = self._call_reset(chosen)
        self._lengths[chosen] = 0
        self._write(index, observation, chosen)
        self._check_finite(index)
        if self._mask_sets is not None:
            values = self._mask_rows(observation, infos)
            for row in np.flatnonzero(chosen).tolist():
                self._write_mask(index, row, values[row], False)

    def _write(self, index: int, observation: Any, chosen: np.ndarray | slice = slice(None)) -> None:
        structure, count = self.observation_structure, self.num_envs
        try:
            parts = structure.flatten(observation) if structure.is_nested else (observation,)
            for leaf, into, part in zip(structure.leaves, self._sets[index], parts):
                into[chosen] = checks.observation(leaf, part, (count, *leaf.shape))[chosen]
        except (TypeError, ValueError) as error:
            raise checks.located(error, self._where(self._culprit(observation))) from None

    def _culprit(self, observation: Any) -> int | None:
        """The first environment that returned something wrong, unless all did."""
        structure, wrong = self.observation_structure, []
        for row in range(self.num_envs):
            try:
                for leaf, part in zip(structure.leaves, structure.flatten(_row(observation, row))):
                    checks.observation(leaf, part, leaf.shape)
            except (TypeError, ValueError):
                wrong.append(row)
            except (IndexError, KeyError):
                return None
        return wrong[0] if wrong and (self.num_envs == 1 or len(wrong) < self.num_envs) else None

    def _write_final(self, index: int, infos: Any, ended: list[int], observation: Any) -> None:
        final = infos.get("final_obs") if isinstance(infos, dict) else None
        if final is None:
            raise ValueError(
                "A vector env with autoreset mode SAME_STEP must give the last observation of an episode as "
                f"infos['final_obs']. Received: infos={type(infos).__name__} without it "
                f"({self._where(ended[0])})"
            )
        structure = self.observation_structure
        masks = self._final_masks(final, infos)
        batch = structure.flatten(observation)
        for row in ended:
            try:
                parts = structure.flatten(_row(final, row))
                if any(np.shares_memory(part, all_of_it) for part, all_of_it in zip(parts, batch)):
                    raise ValueError("it lies in the memory of the observations, whose first one has overwritten it")
                for leaf, into, part in zip(structure.leaves, self._sets[index], parts):
                    into[row] = checks.observation(leaf, part, leaf.shape)
            except (TypeError, ValueError) as error:
                raise checks.located(error, f"infos['final_obs'], {self._where(row)}") from None
            if self._mask_sets is not None:
                self._write_mask(index, row, masks[row], bool(self._transition.terminated[row]))

    def _warn_of_lost(self, index: int, ended: list[int]) -> None:
        # In another process: seen only where the next episode's first observation stands for the last one's end.
        if self._lost_warned or not isinstance(self.env.unwrapped, AsyncVectorEnv):
            return
        before, final, first = (self._sets[(index + shift) % 3] for shift in (2, 0, 1))
        for row in ended:
            same = all(np.array_equal(a[row], b[row]) for a, b in zip(final, first))
            if same and not all(np.array_equal(a[row], b[row]) for a, b in zip(before, final)):
                self._lost_warned = True
                warnings.warn(
                    f"Environment {row} of an AsyncVectorEnv with autoreset mode SAME_STEP ended in the very observation "
                    "that the next episode begins with. If it writes all its observations into one array, its last ones "
                    "are lost: return copies, or make the vector environment with autoreset mode NEXT_STEP.",
                    stacklevel=4,
                )
                return

    def _final_masks(self, final: Any, infos: dict[str, Any]) -> list[Any]:
        if self._mask_sets is None:
            return []
        if self._masks.in_observation:
            final_rows = [_row(final, row) for row in range(self.num_envs)]
            return [None if row is None else row[KEY] for row in final_rows]
        return from_infos(infos.get("final_info") or {}, self.num_envs)

    def _copy_rewards(self, reward: Any) -> None:
        array = np.asarray(reward)
        if array.dtype.kind not in "biuf" or array.size != self.num_envs:
            raise TypeError(
                f"Rewards of a vector env must be numbers of shape ({self.num_envs},). Received: dtype "
                f"{array.dtype}, "
                f"shape {array.shape} ({self._where(None)})"
            )
        into = self._transition.reward
        np.copyto(into, array.reshape(-1))
        if not self._transition.all_valid:
            into[self._pending] = 0.0
        if not (np.abs(into) < checks.INFINITE).all():  # NaN neither
            row = int(np.argmin(np.abs(into) < checks.INFINITE))
            raise ValueError(f"{checks.not_finite_reward(float(into[row]))} ({self._where(row)})")

    def _flags(self, value: Any, name: str) -> np.ndarray:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf" or array.size != self.num_envs or not ((array == 0) | (array == 1)).all():
            raise TypeError(
                f"`{name}` of a vector env must be bools of shape ({self.num_envs},). Received: {value!r} "
                f"({self._where(None)})"
            )
        return array.reshape(-1).astype(bool)

    def _mask_rows(self, observation: Any, infos: Any) -> list[Any]:
        nothing = [None] * self.num_envs
        if not self._masks.applicable:
            return nothing
        if self._masks.in_observation:
            return rows(observation[KEY], self.num_envs)
        return from_infos(infos, self.num_envs)

    def _write_masks(self, index: int, observation: Any, infos: Any, final: np.ndarray) -> None:
        if self._mask_sets is None and not (self._masks.applicable and isinstance(infos, dict) and KEY in infos):
            return
        if self._mask_sets is not None:
            source = observation if self._masks.in_observation else infos
            given = source.get(f"_{KEY}") if source is infos and isinstance(infos, dict) else None
            if given is None or np.all(given):
                if self._masks.write_batch(self._mask_sets[index], source[KEY], final):
                    return
        for row, value in enumerate(self._mask_rows(observation, infos)):
            self._write_mask(index, row, value, bool(final[row]))

    def _where(self, row: int | None) -> str:
        if row is None:
            return self._calls.name
        return f"env {row}, episode step {self._lengths[row]}"


def _row(batch: Any, row: int) -> Any:
    # gymnasium's final observations are an object array, one per env; others batch them like observations.
    if isinstance(batch, dict):
        return {key: _row(part, row) for key, part in batch.items()}
    if isinstance(batch, tuple):
        return tuple(_row(part, row) for part in batch)
    found = batch[row]
    # `np.array([...], dtype=object)` of observations of one shape makes an object of every number.
    return np.array(found.tolist()) if isinstance(found, np.ndarray) and found.dtype == object else found
