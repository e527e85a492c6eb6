"""All of an agent's preprocessing: which layers for which state, and for the reward."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from kagent.config.registry import plain
from kagent.environments.checks import INFINITE
from kagent.preprocessing import layer, pipeline
from kagent.preprocessing.keras_layer import KerasLayer, is_keras
from kagent.preprocessing.layer import LAYERS, Layer, Past, Rows
from kagent.preprocessing.pipeline import Pipeline
from kagent.preprocessing.statistics import Standardizer
from kagent.schedules import Clock
from kagent.spaces import Leaf, Structure

BARE = "state"  # the name of a state that is not nested
REWARD = "reward"
MASK = "action_mask"
TYPES = ("float", "int", "bool")
_NEVER_NEGATIVE = ("weight", "variance", "second_moment", "steps")  # ends of names of statistics


class Preprocessing:
    """Layers between the environments and an agent.

    Args:
        spec: See `kagent.preprocessing`; not None.
        observation: The environment's observations.
        clock: Says what time it is, for schedules.

    Attributes:
        space: The space of processed observations.
        raw, processed: The observations' structure before and after.
        processes_reward: Whether rewards are processed.
        parts: The layers by key, as they were given.
        pipelines: Those of each leaf in a row; None where there are none.

    Raises:
        ValueError, TypeError: A key that is no state's name or type; layers that do not fit.
    """

    def __init__(self, spec: Any, observation: Structure, clock: Callable[[], Clock] = Clock):
        self.raw = observation
        self.parts = _parts(spec)
        chosen = [self._key(leaf) for leaf in observation.leaves]
        self._check_keys(set(chosen))
        self.pipelines: list[Pipeline | None] = []
        spaces = []
        for leaf, key, space in zip(observation.leaves, chosen, _leaf_spaces(observation.space)):
            made = None
            if key is not None and self.parts[key]:
                whose = "" if key == (leaf.name or BARE) else f" of state {leaf.name or BARE!r}"
                made = Pipeline(self.parts[key], pipeline.kept(space), f"preprocessing[{key!r}]", whose)
                space = pipeline.final(made.space)
            self.pipelines.append(made)
            spaces.append(space)
        self.space = _rebuilt(observation.space, iter(spaces))
        self.processed = Structure(self.space, "processed_space")
        self.processed.leaves = tuple(
            dataclasses.replace(leaf, keeps_scale=made is not None and made.standardizes)
            for leaf, made in zip(self.processed.leaves, self.pipelines)
        )
        self._reward = self._make_reward()
        self.processes_reward = self._reward is not None
        for bound in (bound for made in self.all_pipelines if made is not None for bound in made.bounds):
            bound.start(clock)

    def _key(self, leaf: Leaf) -> str | None:
        if leaf.path[:1] == (MASK,) and len(self.raw.leaves) > 1:
            return None  # masks are for the host, and say what is allowed
        for key in (leaf.name or BARE, leaf.type):
            if key in self.parts and key != REWARD:
                return key
        return None

    def _check_keys(self, used: set[str | None]) -> None:
        names = [leaf.name or BARE for leaf in self.raw.leaves if leaf.path[:1] != (MASK,)]
        for key in self.parts:
            if key == REWARD or key in used:
                continue
            types = sorted({leaf.type for leaf in self.raw.leaves if leaf.path[:1] != (MASK,)})
            asked = " (`normalize` of observations says it; normalize=False leaves it out)" if key == "float" else ""
            raise ValueError(
                f"`preprocessing` has {key!r}, for which there is no state{asked}. Known: states {names}, types "
                f"{types} of these (a state's own name goes before its type), and {REWARD!r}"
            )

    def _make_reward(self) -> Pipeline | None:
        parts = self.parts.get(REWARD)
        if not parts:
            return None
        made = Pipeline(parts, layer.box(-np.inf, np.inf, ()), f"preprocessing[{REWARD!r}]", observation=self.processed)
        if made.space.shape != ():
            raise ValueError(
                f"`preprocessing[{REWARD!r}]` must give one number. Received: layers that give {made.space}"
            )
        return made

    def get_config(self) -> dict[str, list[dict[str, Any]]]:
        """The layers by key, JSON-ready."""
        return {key: [plain(LAYERS.serialize(part)) for part in parts] for key, parts in self.parts.items()}

    # Values ----------------------------------------------------------------------------------------------------

    @property
    def all_pipelines(self) -> tuple[Pipeline | None, ...]:
        """Those of each leaf, and last of the reward."""
        return (*self.pipelines, self._reward)

    @property
    def remembers(self) -> bool:
        """Whether the processed observation depends on earlier ones of the episode."""
        return any(made is not None and made.remembers for made in self.pipelines)

    def begin(self, count: int) -> list[list[Past]]:
        """What is remembered of `count` environments at first: of each leaf, and last of the reward."""
        return [[] if made is None else made.begin(count) for made in self.all_pipelines]

    def observation(
        self, leaves: Sequence[np.ndarray], past: list[list[Past]], rows: Rows, fresh: np.ndarray, learn: bool
    ) -> list[np.ndarray]:
        """Processed observations.

        Args:
            leaves: `(n, *leaf.shape)`, in stored form.
            past: Of all N environments; rows `rows` are brought up to date.
            rows: Which environments these are.
            fresh: bool `(n,)`: where an episode begins.
            learn: Whether statistics take them in.

        Returns:
            `(n, *leaf.shape)` of `space`; floats perhaps in float64. Leaves without layers are those given.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # results that are not finite are refused
            return [
                x if made is None else made(x, remembered, rows, fresh, learn)
                for made, x, remembered in zip(self.pipelines, leaves, past)
            ]

    def first(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Processed observations, each taken for an episode's first; in stored form. Nothing is learned."""
        count = len(leaves[0])
        found = self.observation(leaves, self.begin(count), slice(None), np.ones(count, bool), False)
        return self.stored(found)

    def stored(self, leaves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What `observation` gave, in stored form.

        Raises:
            ValueError: It is not finite.
        """
        with np.errstate(over="ignore"):
            found = [x.astype(leaf.stored_dtype, copy=False) for leaf, x in zip(self.processed.leaves, leaves)]
        for leaf, x in zip(self.processed.leaves, found):
            if not np.isfinite(x).all():
                raise ValueError(f"`preprocessing` made state {leaf.name or BARE!r} infinite or NaN. Received: {x}")
        return found

    def reward(
        self,
        reward: np.ndarray,
        past: list[list[Past]],
        rows: Rows,
        fresh: np.ndarray,
        learn: bool,
        successor: Sequence[np.ndarray] | None = None,
    ) -> np.ndarray:
        """Processed rewards, float64 `(n,)`.

        Args:
            reward: `(n,)`, as the environments gave them.
            past, rows, fresh, learn: As for `observation`.
            successor: The processed observations that came with them, `(n, *leaf.shape)`; None where they are not known.
        """
        if self._reward is None:
            return reward
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._reward.reward(reward, past[-1], rows, fresh, learn, successor)
        finite = np.abs(found) < INFINITE  # as it is stored, in float32
        if not finite.all():
            wrong = int(np.argmin(finite))
            raise ValueError(f"`preprocessing['reward']` made {found[wrong]} of the reward {reward[wrong]}")
        return found

    @property
    def maps_rewards(self) -> bool:
        """Whether a processed reward depends on the reward alone, by layers that learn and remember nothing."""
        return self._reward is None or all(type(bound) is layer.Function for bound in self._reward.bounds)

    def mapped_rewards(self, reward: np.ndarray) -> np.ndarray:
        """Processed rewards, float64 `(n,)`, where it `maps_rewards`."""
        nothing: list[list[Past]] = [[] if self._reward is None else [{} for _ in self._reward.bounds]]
        return self.reward(reward, nothing, slice(None), np.zeros(len(reward), bool), False)

    def episodes(
        self,
        observation: Sequence[np.ndarray],
        reward: np.ndarray,
        successor: Sequence[np.ndarray],
        ended: np.ndarray,
        known: np.ndarray,
        learn: bool = True,
    ) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
        """Whole recorded episodes, one behind the other, as if they happened.

        Args:
            observation, successor: `(T, *leaf.shape)`, in stored form.
            reward, ended: `(T,)`.
            known: bool `(T,)`: whether `successor` is an observation. False at ends without one; nothing is learned of
                it there, and the processed observation stands in its place.
            learn: Whether statistics take them in.

        Returns:
            All three processed: observations in stored form, rewards float64.
        """
        if not (learn or self.remembers or self.processes_reward):  # then each observation stands for itself
            here, there = self.first(observation), self.first(successor)
            for into, x in zip(there, here):
                into[~known] = x[~known]
            return here, reward, there
        past, rows, fresh, going_on = self.begin(1), slice(None), np.ones(1, bool), np.zeros(1, bool)
        begins, steps, rewards = True, [], np.empty(len(reward))
        for t in range(len(reward)):
            begin = fresh if begins else going_on
            if begins:
                now = self.stored(self.observation([x[t : t + 1] for x in observation], past, rows, fresh, learn))
            later = now
            if known[t]:
                later = self.stored(self.observation([x[t : t + 1] for x in successor], past, rows, going_on, learn))
            came = later if known[t] else None
            rewards[t] = self.reward(np.asarray(reward[t : t + 1], np.float64), past, rows, begin, learn, came)[0]
            steps.append((now, later))
            now, begins = later, bool(ended[t])
        before, after = ([np.concatenate(parts) for parts in zip(*side)] for side in zip(*steps))
        return before, rewards, after

    def zeros(self, raw: bool = False) -> list[np.ndarray]:
        """One observation of zeros in stored form, `(1, *leaf.shape)`; `raw`: as before preprocessing."""
        leaves = (self.raw if raw else self.processed).leaves
        return [np.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in leaves]

    def frozen(self) -> list[dict[str, Any] | None]:
        """What observations are standardized by now, for `kagent.acting.standardization.Standardization`; of each leaf.

        Raises:
            ValueError: Observations are processed by other layers than one normalization.
        """
        found: list[dict[str, Any] | None] = []
        for leaf, made in zip(self.raw.leaves, self.pipelines):
            bound = None if made is None or len(made.bounds) != 1 else made.bounds[0]
            if made is not None and (type(bound) is not Standardizer or bound.only_mean):
                kinds = [type(part).__name__ for part in made.layers]
                raise ValueError(f"State {leaf.name or BARE!r} is processed by {kinds}, not by one normalization")
            found.append(bound.frozen() if isinstance(bound, Standardizer) else None)
        return found

    # State -----------------------------------------------------------------------------------------------------

    def statistics(self) -> list[list[dict[str, np.ndarray]]]:
        """What the layers have learned: of each leaf, and last of the reward."""
        return [[] if made is None else made.statistics for made in self.all_pipelines]

    def check_statistics(self, statistics: Any) -> list[list[dict[str, np.ndarray]]]:
        """What `statistics` gave, perhaps by way of a file, for `set_statistics`.

        Raises:
            ValueError: It is of other layers, or damaged.
        """
        found = pipeline.matching(statistics, self.statistics(), "The statistics of `preprocessing`")
        for parts in found:
            for part in parts:
                if any((part[name] < 0.0).any() for name in part if name.endswith(_NEVER_NEGATIVE)):
                    raise ValueError("The statistics of `preprocessing` must have weights and variances >= 0")
        result: list[list[dict[str, np.ndarray]]] = found
        return result

    def set_statistics(self, statistics: Any) -> None:
        """Takes what `statistics` gave.

        Raises:
            ValueError: As `check_statistics` does.
        """
        found = self.check_statistics(statistics)
        for made, part in zip(self.all_pipelines, found):
            if made is not None:
                made.set_statistics(part)


def get(spec: Any, observation: Structure, clock: Callable[[], Clock] = Clock) -> Preprocessing | None:
    """The preprocessing that an agent's argument stands for; None where there is nothing to do."""
    if spec is None:
        return None
    made = Preprocessing(spec, observation, clock)
    return made if any(made.parts.values()) else None


def _parts(spec: Any) -> dict[str, list[Layer]]:
    if isinstance(spec, dict) and not isinstance(spec.get("type"), str) and not is_keras(spec):
        return {_name(key): _layers(value, f"preprocessing[{key!r}]") for key, value in spec.items()}
    return {"float": _layers(spec, "preprocessing")}


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"`preprocessing` as a dict has states' names, types or 'reward' as keys. Received: {key!r}")
    return key


def _layers(value: Any, where: str) -> list[Layer]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        return [_layer(value, where)]
    return [_layer(part, f"{where}[{index}]") for index, part in enumerate(value)]


def _layer(value: Any, where: str) -> Layer:
    try:
        return KerasLayer(value) if is_keras(value) else LAYERS.get(value, where)
    except (TypeError, ValueError) as error:
        if where in str(error):
            raise
        raise type(error)(f"{error} (in `{where}`)") from error


def _leaf_spaces(space: gymnasium.Space) -> list[gymnasium.Space]:
    if isinstance(space, gymnasium.spaces.Dict):
        return [leaf for child in space.spaces.values() for leaf in _leaf_spaces(child)]
    if isinstance(space, gymnasium.spaces.Tuple):
        return [leaf for child in space.spaces for leaf in _leaf_spaces(child)]
    return [space]


def _rebuilt(space: gymnasium.Space, leaves: Any) -> gymnasium.Space:
    if isinstance(space, gymnasium.spaces.Dict):
        # A list of pairs: of a dict, gymnasium would sort the keys.
        return gymnasium.spaces.Dict([(key, _rebuilt(child, leaves)) for key, child in space.spaces.items()])
    if isinstance(space, gymnasium.spaces.Tuple):
        return gymnasium.spaces.Tuple([_rebuilt(child, leaves) for child in space.spaces])
    return next(leaves)
