"""Vector environments, in each of gymnasium's autoreset modes, as one stream of true transitions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from . import checks, claims
from .copies import Copies
from .masks import KEY, from_infos, rows
from .stream import Environments, NextSeed, Transition


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
        self.autoreset_mode = _autoreset_mode(env)
        base = env.unwrapped
        inner = getattr(base, "envs", None)
        if isinstance(inner, list | tuple) and (pair := claims.twice(inner)) is not None:
            raise ValueError(
                f"The environments in a vector env must be different ones. Received: {inner[pair[0]].unwrapped!r} as "
                f"environments {pair[0]} and {pair[1]} of {type(base).__name__}"
            )
        self._copies = Copies(base)
        self._lost_warned = False
        self._seeds_listed = isinstance(base, SyncVectorEnv | AsyncVectorEnv)
        # Workers without shared memory keep a pending reset through a manual one (gymnasium 1.4).
        self._keeps_pending = isinstance(base, AsyncVectorEnv) and not base.shared_memory
        self._pending = np.zeros(self.num_envs, bool)
        self._lengths = np.zeros(self.num_envs, np.int64)

    def step(self, action: Sequence[np.ndarray]) -> Transition:
        if not self._ready:
            self._refuse_step()
        self._ready = False  # an error below leaves it so
        structure = self.action_structure
        actions = structure.unflatten([np.array(part, leaf.dtype) for leaf, part in zip(structure.leaves, action)])
        try:
            with self._copies.of_step():
                result = self.env.step(actions)
        except BaseException as error:
            error.add_note(f"kagent: raised by `step` of {self._where(None)}, actions {actions!r}")
            raise
        try:
            observation, reward, terminated, truncated, infos = result
        except (TypeError, ValueError):
            raise checks.located(checks.step_result(result), self._where(None)) from None
        index, fresh = (self._current + 1) % 3, (self._current + 2) % 3
        transition, pending = self._transition, self._pending
        self._lengths += 1
        self._lengths[pending] = 0
        self._copy_rewards(reward)
        transition.terminated[:] = self._flags(terminated, "terminated")
        transition.truncated[:] = self._flags(truncated, "truncated")
        done = transition.terminated | transition.truncated
        transition.valid[:] = ~pending
        transition.all_valid = not pending.any()
        ended = np.flatnonzero(done & transition.valid).tolist()
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        self._write(index, observation)
        self._check_finite(index)
        self._write_masks(index, observation, infos, np.zeros_like(done) if same_step else transition.terminated)
        transition.next_observation = self._sets[index]
        transition.next_mask = None if self._mask_sets is None else self._mask_sets[index]
        transition.ended = ended
        if self.autoreset_mode is AutoresetMode.NEXT_STEP:
            self._pending = done
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
        self._lengths.fill(0)
        if not self._keeps_pending:
            self._pending = np.zeros(self.num_envs, bool)
        self._transition.ended = ()
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
    def sources(self) -> Sequence[VectorEnv]:
        return [self.env]

    @property
    def time_limit(self) -> int | None:
        spec = getattr(self.env, "spec", None)
        return None if spec is None else spec.max_episode_steps

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
        if not self.owned:
            return
        try:
            self.env.close()
        except (EOFError, ConnectionError):
            # A worker died. gymnasium gives up at its pipe and would leave the other workers running.
            for process in getattr(self.env.unwrapped, "processes", ()):
                process.terminate()
                process.join()
            self.env.unwrapped.closed = True

    def _call_reset(self, chosen: np.ndarray | None) -> tuple[Any, dict]:
        count = self.num_envs
        seed: Any = int(self._next_seed())
        if self._seeds_listed:
            wanted = np.ones(count, bool) if chosen is None else chosen
            seeds = iter([seed] + [int(self._next_seed()) for _ in range(int(wanted.sum()) - 1)])
            seed = [next(seeds) if want else None for want in wanted]
        # A new dict and mask each time: gymnasium takes the mask out of the dict it is given.
        options = {} if chosen is None else {"options": {"reset_mask": chosen.copy()}}
        try:
            with self._copies.of_reset():
                result = self.env.reset(seed=seed, **options)
        except BaseException as error:
            error.add_note(f"kagent: raised by `reset` of {self._where(None)}, seed {seed}")
            raise
        try:
            return checks.reset_result(result)
        except ValueError as error:
            raise checks.located(error, self._where(None)) from None

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

    def _final_masks(self, final: Any, infos: dict) -> list[Any]:
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
        np.copyto(self._transition.reward, array.reshape(-1))
        if not np.isfinite(array).all():
            row = int(np.argmin(np.isfinite(self._transition.reward)))
            raise ValueError(f"The reward is not finite. Received: {array.reshape(-1)[row]} ({self._where(row)})")

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
        if not isinstance(infos, dict):
            raise TypeError(
                "`infos` of a vector env must be a dict of batched values; leave out wrappers such as "
                f"DictInfoToList. Received: {type(infos).__name__}"
            )
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
            return f"vector env {type(self.env.unwrapped).__name__}"
        return f"env {row}, episode step {self._lengths[row]}"


def _row(batch: Any, row: int) -> Any:
    # gymnasium's final observations are an object array, one per env; others batch them like observations.
    if isinstance(batch, dict):
        return {key: _row(part, row) for key, part in batch.items()}
    return tuple(_row(part, row) for part in batch) if isinstance(batch, tuple) else batch[row]


def _autoreset_mode(env: VectorEnv) -> AutoresetMode:
    modes = ", ".join(f"AutoresetMode.{mode.name}" for mode in AutoresetMode)
    mode = (getattr(env, "metadata", None) or {}).get("autoreset_mode")
    try:
        return AutoresetMode(mode)
    except ValueError:
        raise ValueError(
            "`env` must say when it resets, but metadata['autoreset_mode'] is missing or unknown. Received: "
            f"{mode!r} of {type(env).__name__}. Allowed: {modes}. If you know the mode, set it: "
            "`env.metadata = {**env.metadata, 'autoreset_mode': gymnasium.vector.AutoresetMode.NEXT_STEP}`"
        ) from None
