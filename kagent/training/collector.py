"""The runner walks environments: the only place where environment time passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kagent.environments import Environments


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


class Runner:
    """Steps environments with an agent, hands transitions to its memory and counts.

    Args:
        agent: The agent that acts.
        environments: Where.
        hooks: Callbacks that know agents.
        deferred: Whether hooks are told of begins and ends of episodes when `tell_begins` and `tell_ends` are called,
            not where they happen.

    Attributes:
        returns, lengths: Undiscounted return, of rewards before preprocessing, and length of every open episode, `(N,)`.
        finished: The episodes that ended since `take_finished`.
        iterator: The memory's elements that this run learns from.
        asked: Logs of the updates that callbacks asked for since `take_asked`.
        update_hooks, asked_hooks: Those of the callbacks that are told of the beginnings of updates, and of the ends of
            the updates that callbacks asked for.
    """

    def __init__(self, agent: Any, environments: Environments, hooks: Any = (), deferred: bool = False):
        self.agent, self.environments = agent, environments
        self.returns = np.zeros(environments.num_envs)
        self.lengths = np.zeros(environments.num_envs, np.int64)
        self.finished: list[Episode] = []
        self.iterator: Any = None
        self.asked: list[dict[str, float]] = []
        self._deferred = deferred
        self._begun: list[tuple[int, int]] = []  # number and environment of episodes that hooks have yet to hear of
        self._ended: list[tuple[int, dict[str, Any]]] = []
        self.timestep_hooks = [hook for hook in hooks if hook.watches("on_timestep_end")]
        self.begin_hooks = [hook for hook in hooks if hook.watches("on_episode_begin")]
        self.end_hooks = [hook for hook in hooks if hook.watches("on_episode_end")]
        self.update_hooks = [hook for hook in hooks if hook.watches("on_update_begin")]
        self.asked_hooks = [hook for hook in hooks if hook.watches("on_asked_update_end")]

    def start(self, state: dict[str, Any] | None) -> list[int]:
        """Begins new episodes, or goes on with the open ones of `state`.

        Returns:
            Indices of environments whose open episode could not be brought back.
        """
        lost: list[int] = []
        if state is None or not self.environments.replayable or len(state["lengths"]) != len(self.lengths):
            self.environments.reset(self.agent.next_seed)
        else:
            lost = list(self.environments.restore(state["environments"], self.agent.next_seed))
            self.returns[:], self.lengths[:] = state["returns"], state["lengths"]
            self.returns[lost], self.lengths[lost] = 0.0, 0
        fresh = np.flatnonzero(self.lengths == 0)
        self._begun = [(self.agent.episodes, int(index)) for index in fresh]
        if not self._deferred:
            self.tell_begins()
        return lost

    def state(self) -> dict[str, Any] | None:
        """The open episodes, for `start` in another process; None where environments cannot be replayed."""
        if not self.environments.replayable:
            return None
        environments = self.environments.state()
        if any(episode["length"] != length for episode, length in zip(environments["episodes"], self.lengths)):
            environments["episodes"] = []  # an interrupt came between a step and its being counted: they are lost
        return {
            "environments": environments,
            "returns": self.returns.copy(),
            "lengths": self.lengths.copy(),
        }

    def take_finished(self) -> list[Episode]:
        """The episodes that ended since the last call."""
        finished, self.finished = self.finished, []
        return finished

    def take_asked(self) -> list[dict[str, float]]:
        """Logs of the updates that callbacks asked for since the last call."""
        asked, self.asked = self.asked, []
        return asked

    def collect(self, until: float, episodes: float, full: Any = None) -> None:
        """Takes steps until the agent's counters reach a bound, `full()` is true, or the agent is told to stop.

        Args:
            until: Bound in timesteps; the last step of N environments may go beyond it.
            episodes: Bound in finished episodes.
            full: Further condition, asked first and after each step.
        """
        if (full is not None and full()) or self.agent.episodes >= episodes:
            return  # the agent was stopped, and perhaps saved, before it learned from this
        agent, environments, memory = self.agent, self.environments, self.agent.memory
        actor, explore, rng = agent.actor, agent.explorer.decide, agent.act_generator
        to_env, append = actor.to_env, memory.append_leaves
        counters, count, hooked = agent.counters, environments.num_envs, bool(self.timestep_hooks)
        timesteps, clock_at = counters.timesteps, agent._clock.at
        while timesteps < until:
            observation, mask = environments.observation, environments.mask
            raw = environments.raw_observation if hooked else None
            action = explore(actor, observation, mask, clock_at(timesteps), rng)
            taken = to_env(action)
            step = environments.step(taken)
            if step.all_valid:
                append(
                    observation, action, step.reward, step.terminated, step.truncated, step.next_observation,
                    None, mask, step.next_mask,
                )  # fmt: skip
                timesteps += count
                self.lengths += 1
            else:
                append(
                    observation, action, step.reward, step.terminated, step.truncated, step.next_observation,
                    step.valid, mask, step.next_mask,
                )  # fmt: skip
                timesteps += int(step.valid.sum())
                self.lengths += step.valid
            counters.timesteps = timesteps
            self.returns += step.raw_reward
            outcomes = self._settle(step.ended, step.recorded) if step.ended else None
            if hooked:
                logs = {
                    "observation": observation, "action": taken, "next_observation": step.next_observation,
                    "reward": step.reward.copy(), "terminated": step.terminated.copy(),
                    "truncated": step.truncated.copy(), "valid": step.valid.copy(),
                    "action_mask": mask, "next_action_mask": step.next_mask, "raw_observation": raw,
                    "raw_next_observation": step.raw_next_observation, "raw_reward": step.raw_reward.copy(),
                }  # fmt: skip
                for hook in self.timestep_hooks:
                    hook.on_timestep_end(timesteps, logs)
            if outcomes:
                self._tell(outcomes)
                if counters.episodes >= episodes:
                    return
            if (full is not None and full()) or agent.stop_training:
                return

    def _settle(self, ended: Any, recorded: Any) -> list[tuple[int, Episode]]:
        # Before any callback hears of the step, so that an agent saved by one is whole.
        outcomes = []
        for index in map(int, ended):
            episode = episode_of(float(self.returns[index]), int(self.lengths[index]), recorded.get(index))
            self.returns[index], self.lengths[index] = 0.0, 0
            self.finished.append(episode)
            outcomes.append((index, episode))
        self.agent.counters.episodes += len(outcomes)
        return outcomes

    def _tell(self, outcomes: list[tuple[int, Episode]]) -> None:
        first = self.agent.episodes - len(outcomes)
        for number, (index, episode) in enumerate(outcomes, first):
            self._ended.append((number, {**episode.logs(), "env": index}))
            self._begun.append((number + 1, index))
            if not self._deferred:
                self.tell_ends()
                self.tell_begins()

    def tell_ends(self) -> None:
        """Tells hooks of the episodes that have ended since."""
        ended, self._ended = self._ended, []
        for number, logs in ended:
            for hook in self.end_hooks:
                hook.on_episode_end(number, dict(logs))

    def tell_begins(self) -> None:
        """Tells hooks of the episodes that have begun since."""
        begun, self._begun = self._begun, []
        for hook in self.begin_hooks:
            for number, index in begun:
                hook.on_episode_begin(number, {"env": index})


def play(
    actor: Any, environments: Environments, episodes: int, deterministic: bool, rng: np.random.Generator, on_end: Any
) -> list[Episode]:
    """Runs whole episodes without learning and without touching the agent's counters or streams.

    Every environment plays its share, so that short episodes do not crowd out long ones.

    Args:
        on_end: Called with the number of each episode and the `Episode`.

    Returns:
        The episodes, in the order of their ends.
    """
    count = environments.num_envs
    shares = [episodes // count + (index < episodes % count) for index in range(count)]
    returns, lengths = np.zeros(count), np.zeros(count, np.int64)
    finished: list[Episode] = []
    while len(finished) < episodes:
        action = actor.decide(environments.observation, environments.mask, deterministic, rng)
        step = environments.step(actor.to_env(action))
        returns += step.raw_reward
        lengths += step.valid
        for index in step.ended:
            if shares[index]:
                shares[index] -= 1
                recorded = step.recorded.get(index)
                finished.append(episode_of(float(returns[index]), int(lengths[index]), recorded))
                on_end(len(finished) - 1, finished[-1])
            returns[index], lengths[index] = 0.0, 0
    return finished
