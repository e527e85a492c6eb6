"""The collector walks environments with an actor: the only place where environment time passes.

It imports no TensorFlow, so that it may run in a process of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kagent.acting.episode_states import State, states_of
from kagent.environments import Environments, Transition
from kagent.environments.stream import NextSeed
from kagent.exploration import Exploration
from kagent.schedules import Clock
from kagent.training.protocols import Actor


class Episode(NamedTuple):
    """An episode that has ended.

    Attributes:
        episode_return: Undiscounted: what the environment recorded as `info["episode"]["r"]`, if it did, else the sum of
            the rewards that it gave.
        length: Timesteps.
        wrapped_return: The sum of the rewards that it gave, where it recorded a return; None: it did not.
    """

    episode_return: float
    length: int
    wrapped_return: float | None = None

    def logs(self) -> dict[str, float]:
        """What callbacks get of it."""
        wrapped = {} if self.wrapped_return is None else {"episode_wrapped_return": self.wrapped_return}
        return {"episode_return": self.episode_return, **wrapped, "episode_length": self.length}


def episode_of(total: float, length: int, recorded: float | None) -> Episode:
    """The episode with rewards of this sum, of which the environment recorded this return, or None."""
    return Episode(total, length) if recorded is None else Episode(recorded, length, total)


@dataclasses.dataclass(slots=True, eq=False)
class Timestep:
    """One step of N environments. The object and its arrays are valid until the next step: copy what is kept.

    Attributes:
        observation: Per observation leaf an array `(N, *leaf.shape)` in stored form: what was acted on.
        mask: What was allowed there, per action leaf bool `(N, sum(nvec))` or None; None: no masks.
        actor_state: What the actor knew of the episodes before, arrays `(N, ...)`; `()` of an actor without a state.
        action: What was chosen, per action leaf an array `(N, *leaf.shape)`, as the actor gives it (canonical).
        taken: The same as the environments took it.
        raw_observation: `observation` before preprocessing.
        outcome: What the environments gave: rewards, ends and where the actions led.
    """

    observation: list[np.ndarray]
    mask: Any
    actor_state: State
    action: list[np.ndarray]
    taken: list[np.ndarray]
    raw_observation: list[np.ndarray]
    outcome: Transition


class Collector:
    """Steps environments with an actor and an exploration, and hands out transitions and ends of episodes.

    Counting timesteps, storing transitions and calling callbacks is for whoever receives them.

    Args:
        actor: A `kagent.acting.Actor`, or another that has the methods of `protocols.Actor`; with a state `decide_from`, too.
        exploration: `exploration.decide(actor, observation, mask, clock, rng)` chooses actions; see
            `kagent.exploration.Exploration`. It may be exchanged between two steps.
        environments: Where; see `kagent.environments.make`.

    Attributes:
        returns, lengths: Undiscounted return, of rewards before preprocessing, and timesteps of every open episode, `(N,)`.
        in_program: Whether its environments are in the program of a `kagent.training.compiled`.

    Example:

    >>> import numpy as np
    >>> from kagent import environments, exploration, schedules
    >>> from kagent.training.collector import Collector
    >>> rng = np.random.default_rng(0)
    >>> envs = environments.make("CartPole-v1", 2)
    >>> collector = Collector(agent.actor, exploration.EpsilonGreedy(0.1, 0.1), envs)
    >>> seeds = iter(range(1000))
    >>> lost = collector.start(lambda: next(seeds))
    >>> for timesteps in range(0, 200, 2):
    ...     timestep = collector.step(schedules.Clock(timesteps), rng)
    ...     reward = timestep.outcome.reward  # (2,)
    ...     episodes = collector.settle()
    """

    in_program = False

    def __init__(self, actor: Actor, exploration: Exploration, environments: Environments):
        self.actor, self.exploration, self.environments = actor, exploration, environments
        self.returns = np.zeros(environments.num_envs)
        self.lengths = np.zeros(environments.num_envs, np.int64)
        self._states = states_of(actor, environments.num_envs)
        self._acting: Any = actor if self._states is None else self._states
        self._timestep: Timestep | None = None

    @property
    def records_returns(self) -> bool:
        """Whether the environments show that they record returns."""
        return self.environments.records_returns

    def start(self, next_seed: NextSeed, state: dict[str, Any] | None = None) -> list[int]:
        """Begins new episodes, or goes on with the open ones of `state`.

        Args:
            next_seed: Called for the seed of each new episode.
            state: What `state()` gave, perhaps in another process.

        Returns:
            Indices of environments whose open episode could not be brought back.
        """
        environments, states = self.environments, self._states
        lost: list[int] = []
        if state is None or not environments.replayable or len(state["lengths"]) != len(self.lengths):
            environments.reset(next_seed)
        elif states is not None and not states.restore(state.get("actor")):
            environments.reset(next_seed)
            lost = list(range(len(self.lengths)))
        else:
            lost = list(environments.restore(state["environments"], next_seed))
            self.returns[:], self.lengths[:] = state["returns"], state["lengths"]
            self.returns[lost], self.lengths[lost] = 0.0, 0
            if states is not None and lost:
                states.reset(lost)
        return lost

    def state(self) -> dict[str, Any] | None:
        """The open episodes, for `start` in another process; None where environments cannot be replayed."""
        if not self.environments.replayable:
            return None
        environments = self.environments.state()
        if any(episode["length"] != length for episode, length in zip(environments["episodes"], self.lengths)):
            environments["episodes"] = []  # an interrupt came between a step and its being settled: they are lost
        carried = {} if self._states is None else {"actor": list(self._states.state)}
        return {
            "environments": environments,
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
            **carried,
        }

    def step(self, clock: Clock, rng: np.random.Generator) -> Timestep:
        """Takes one step in every environment.

        Args:
            clock: The time, for the exploration.
            rng: The stream that actions are drawn from.

        Raises:
            Exception: Whatever an environment raises, and the `ValueError`s of `Environments.step`.
        """
        environments, states = self.environments, self._states
        observation, mask, raw = environments.observation, environments.mask, environments.raw_observation
        if states is not None:
            states.forget()
        action = self.exploration.decide(self._acting, observation, mask, clock, rng)
        if states is not None:
            states.see(observation, mask)
        taken = self.actor.to_env(action)
        outcome = environments.step(taken)
        carried = () if states is None else states.state
        self._timestep = timestep = Timestep(observation, mask, carried, action, taken, raw, outcome)
        return timestep

    def settle(self) -> Sequence[tuple[int, Episode]]:
        """Counts the last step into the open episodes. Call it when its transitions are stored and counted.

        A step that was not settled is no part of `state()`: after an interrupt in between, its episodes are given up.

        Returns:
            Of every episode that the step ended the index of its environment, and what it was.
        """
        if self._timestep is None:
            return ()
        outcome, self._timestep = self._timestep.outcome, None
        if len(self.lengths) == 1 and outcome.all_valid:  # numbers are added in a tenth of the time of arrays
            self.lengths[0] = self.lengths.item(0) + 1
            self.returns[0] = self.returns.item(0) + outcome.raw_reward.item(0)
        else:
            self.lengths += 1 if outcome.all_valid else outcome.valid
            self.returns += outcome.raw_reward
        if self._states is not None:
            # A row that is not valid was reset in this step: its episode begins with the next observation.
            self._states.advance([*outcome.ended, *np.flatnonzero(~outcome.valid)])
        if not outcome.ended:
            return ()
        ended = []
        for index in map(int, outcome.ended):
            recorded = outcome.recorded.get(index)
            ended.append((index, episode_of(float(self.returns[index]), int(self.lengths[index]), recorded)))
            self.returns[index], self.lengths[index] = 0.0, 0
        return ended
