"""act, observe and update: for programs with a loop of their own, such as robots, simulators and services."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kagent.config.signatures import answering
from kagent.environments import checks
from kagent.training.episode_streams import OrderError
from kagent.training.update_cycle import update_once

if TYPE_CHECKING:
    from kagent.agent import Agent

_FLAGS = (bool, np.bool_)


@answering()
def act(
    agent: Agent,
    observation: Any,
    deterministic: bool = False,
    mask: Any = None,
    *,
    independent: bool | None = None,
    internals: Any = None,
    parallel: Any = 0,
) -> Any:
    """The action for one observation.

    Args:
        observation: One observation, not a batch, as the environment gives it. Masks may be in it, as Tensorforce has
            them: under the action's name and `_mask`, and of a space that is not nested the observation itself then
            under `"state"`.
        deterministic: True: the best action; nothing is remembered. False: an exploring action, as in training;
            `observe` gives its outcome. With `preprocessing`, a deterministic act is about the open episode of
            the exploring ones, without one about an episode's first observation; see `player`.
        mask: What is allowed, as the environment gives it (`info["action_mask"]`).
        independent: True: nothing is remembered, and no `observe` follows; with `deterministic=False` the action
            explores as in training, by random numbers of its own. None: as `deterministic`.
        internals: Of an independent act, the state that the action is chosen in, as Tensorforce has it: `{}` at an episode's
            first observation, and then the internals that came with the action before. The action comes with the next
            internals: of a policy with a state a dict with an array for each part of it, of others `{}`. None: the state of
            the stream's open episode, and the action comes alone.
        parallel: Index of the episode stream, from 0 to `parallel_interactions` - 1; each goes its own way. Or a list
            of indices, with a list of observations (and masks): the actions come as a list.

    Returns:
        One action, as the environment takes it.

    Raises:
        ValueError: An observation unlike the observation space, or not finite; a mask that allows nothing; an
            unknown stream; `deterministic` with independent=False; `internals` of an act that is not independent, or that
            are not those of the policy.
        OrderError: The stream's last action was not observed yet. It is a `RuntimeError` and a `ValueError`.
        TypeError: `deterministic` or `independent` that is not True or False.

    Example:

    >>> action = agent.act(observation)
    >>> observation, reward, terminated, truncated, info = env.step(action)
    >>> agent.observe(reward, terminated, truncated, observation)
    """
    if deterministic is True and independent is internals is None and type(parallel) is int and not parallel:
        # A deployed agent's act: without this way each of the checks below would cost it a fiftieth of its time.
        best = agent.actor
        if best.best_is_stateless and agent._adapter.preprocessing is None and not isinstance(observation, dict):
            return best.act(observation, True, mask)
    if isinstance(parallel, list | tuple):
        return _act_each(agent, observation, deterministic, mask, independent, internals, parallel)
    if not isinstance(deterministic, _FLAGS) or not (independent is None or isinstance(independent, _FLAGS)):
        raise TypeError(
            "`deterministic` and `independent` must be True or False, the latter also None. "
            f"Received: {deterministic!r} and {independent!r}"
        )
    if internals is not None and not (deterministic or independent):
        raise ValueError(f"`internals` are for independent acts: give independent=True. Received: {internals!r}")
    if internals is not None and (not isinstance(internals, dict) or (internals and _is_stateless(agent.actor))):
        raise ValueError(
            "`internals` must be None or {}, or the dict that came with the action before, of a policy with a state. "
            f"Received: {internals!r}, and the policy {'has none' if _is_stateless(agent.actor) else 'has one'}"
        )
    if deterministic and independent is False:
        raise ValueError("`deterministic` acts are independent: give independent=True or None. Received: False")
    loop = agent._interaction
    if isinstance(observation, dict):
        observation, mask = loop.split_masks(observation, mask)
    if not (deterministic or independent):
        leaves, masks = agent._adapter.read(agent.actor, observation, mask)
        action = loop.explore(agent, leaves, masks, loop.streams.index(parallel))
    elif deterministic and agent._adapter.preprocessing is None and _is_stateless(agent.actor):
        loop.streams.index(parallel)
        action = agent.actor.act(observation, True, mask)
    else:
        leaves, masks = agent._adapter.read(agent.actor, observation, mask)
        index = loop.streams.index(parallel)
        leaves, states = agent._adapter.see(leaves, False, index), loop.states(agent, index)
        if states is not None:
            states = states.fork()
            if internals is not None:
                _take_internals(states, internals)
        actor: Any = agent.actor if states is None else states
        if deterministic and states is None:
            action = actor.answer(leaves, masks, True)
        elif deterministic:
            action = actor.release(actor.decide(leaves, masks, True))
        else:
            clock, rng = agent._clock.training(), agent._random["evaluate"]
            action = actor.release(agent.explorer.decide(actor, leaves, masks, clock, rng))
        if states is not None and internals is not None:
            states.see(leaves, masks)
            states.advance()
            return action, {f"state_{i}": part[0] for i, part in enumerate(states.state)}
    return action if internals is None else (action, {})


def _take_internals(states: Any, internals: dict[str, Any]) -> None:
    """Puts an episode into the state that `internals` say; `{}`: into that of its beginning."""
    states.reset()
    names = [f"state_{i}" for i in range(len(states.state))] if internals else []
    given = [np.asarray(internals[name])[None] for name in names if name in internals]
    finite = all(np.isfinite(part).all() for part in given if part.dtype.kind == "f")
    if set(internals) != set(names) or not finite or (internals and not states.restore(given)):
        expected = {f"state_{i}": (part.shape[1:], str(part.dtype)) for i, part in enumerate(states.state)}
        raise ValueError(
            "`internals` must be {} or those that came with the action before, finite arrays of these shapes and dtypes: "
            f"{expected}. Received: {internals!r}"
        )


def _is_stateless(actor: Any) -> bool:
    return actor.best_is_stateless or not actor.initial_state(1)


def _act_each(
    agent: Agent, observations: Any, deterministic: Any, masks: Any, independent: Any, internals: Any, parallel: Any
) -> list[Any]:
    masks = [None] * len(parallel) if masks is None else masks
    if not len(observations) == len(masks) == len(parallel) or len(set(parallel)) < len(parallel):
        raise ValueError(
            "`parallel` as a list needs as many observations (and masks), and no index twice. "
            f"Received: {list(parallel)}, {len(observations)} observations, {len(masks)} masks"
        )
    if internals:
        raise ValueError(
            f"`internals` are for one act at a time, not for `parallel` as a list. Received: {internals!r}"
        )
    return [
        agent.act(one, deterministic, mask, independent=independent, internals=internals, parallel=index)
        for one, mask, index in zip(observations, masks, parallel)
    ]


@answering()
def observe(
    agent: Agent,
    reward: float,
    terminated: bool | int = False,
    truncated: bool = False,
    next_observation: Any = None,
    mask: Any = None,
    *,
    terminal: bool | int | None = None,
    parallel: int = 0,
) -> dict[str, float] | None:
    """Takes the outcome of the last exploring action, and learns where an update is due.

    There is no bound here that schedules could measure progress by unless `begin` says one: else give those of
    exploration and learning rates their length in timesteps or updates.

    Args:
        reward: The reward, one number, finite, also as float32.
        terminated: Whether the episode came to its end; no reward follows. Or `terminal`, as on Tensorforce's page: 2
            is a truncation.
        truncated: Whether it was cut off; rewards would have followed.
        next_observation: The observation the action led to, also at an end. None: the next `act` of the stream shows
            it, and the timestep is remembered, and learned from, only then; at an end that is `terminated` there
            is nothing to know of it, unless `reward_estimation` has `estimate_terminal`; where the episode was
            `truncated` it is needed.
        mask: What is allowed there; not read where `terminated` is true.
        terminal: Tensorforce's word for both: 0 or False, 1 or True (terminated), 2 (truncated).
        parallel: Index of the episode stream.

    Returns:
        The logs of the update, or None if none was due.

    Raises:
        OrderError: There was no `act(..., deterministic=False)` before it; the stream is too far ahead of another.
        ValueError: A reward or observation that is not finite or unlike the space; a mask here and none in `act`,
            or the other way round; an episode that is longer than `max_episode_timesteps`; an end without the
            observation that it needs; an end that is said in other words than above.
        TypeError: `truncated` that is neither True nor False.
    """
    agent._occupation.refuse("observe")
    loop = agent._interaction
    index = loop.streams.index(parallel)
    stream = loop.streams.streams[index]
    if stream.acted is None:
        raise OrderError("`observe` follows `act(observation)`; there is no action to observe the outcome of")
    reward = _reward(reward)
    if len(loop.streams) > 1 and not isinstance(truncated, _FLAGS):
        raise TypeError(
            "`truncated`, the third argument, must be True or False where there are several streams: Tensorforce's third "
            f"one, `parallel`, is given by name here. Received: {truncated!r}"
        )
    terminated, truncated = _end(terminated, truncated, terminal)
    ended = terminated or truncated
    if agent.max_episode_timesteps is not None and not ended and stream.length + 1 >= agent.max_episode_timesteps:
        raise ValueError(
            f"The episode is max_episode_timesteps={agent.max_episode_timesteps} long, and must end: give "
            "terminated=True or truncated=True"
        )
    loop.streams.check_room(index, agent.memory)
    acted = stream.acted
    successor, next_mask = None, None
    if next_observation is None:
        if truncated and not terminated:
            raise ValueError(
                "`next_observation` is needed where an episode is truncated: rewards would have followed, and it says "
                "what they are worth. Received: None"
            )
        if terminated and agent.reward_estimation.estimate_terminal:
            raise ValueError(
                "`next_observation` is needed where an episode ends, because reward_estimation.estimate_terminal=True "
                "needs the value of that observation. Received: None"
            )
    else:
        if isinstance(next_observation, dict):
            next_observation, mask = loop.split_masks(next_observation, mask)
        successor, next_mask = agent._adapter.read(agent.actor, next_observation, mask, last=terminated)
        if (acted.mask is None) != (next_mask is None) and not terminated:
            given = ("without", "with") if acted.mask is None else ("with", "without")
            raise ValueError(
                f"`mask` must be given always or never. Received: `act` {given[0]} and `observe` {given[1]} it"
            )
    stream.acted = None
    if stream.states is not None:
        stream.states.advance((0,) if ended else ())
    stream.length += 1
    stream.reward += reward
    outcome = {"episode_return": stream.reward, "episode_length": stream.length, "env": index}
    agent.counters.timesteps += 1
    if ended:
        agent.counters.episodes += 1
        stream.length, stream.reward = 0, 0.0
    if successor is None and not terminated:
        stream.waiting = (acted, reward)
        return None
    loop.remember(agent, index, acted, reward, (terminated, truncated), successor, next_mask)
    if ended:
        agent._own_callbacks.episode_end(agent, outcome)
    return loop.learn(agent)


def update(agent: Agent) -> dict[str, float]:
    """Makes one update now, due or not: the only ones there are with `update.frequency="never"`.

    In a callback of `fit` too, though not in the middle of an environment's step. The updates that are due by
    themselves stay where they are.

    Returns:
        The logs of the update.

    Raises:
        OrderError: There is nothing to learn from yet: an empty memory, one of episodes in which none has ended, a
            rollout that is not full. Or the agent is in the middle of something else.

    Example:

    >>> agent = kagent.DQN("CartPole-v1", frequency="never")
    >>> history = agent.fit("CartPole-v1", steps=100, verbose=0)
    >>> logs = agent.update()
    """
    agent._occupation.refuse("update")
    trainer = agent._run.trainer
    if trainer is not None and trainer.collector.in_program:
        raise OrderError(
            "`update` cannot be requested in the `fit` of a compiled environment, whose program collects and learns in one call"
        )
    if trainer is not None and not trainer.collector.environments.ready:
        raise OrderError("`update` cannot be called by an environment of the running `fit`, in the middle of its step")
    memory = agent.memory
    if not (memory.built and memory.has_any):
        raise OrderError(f"`update` needs {memory.missing}; let the agent collect first. Received: {memory!r}")
    return update_once(agent, due=False)


def _reward(value: Any) -> float:
    try:
        reward = checks.reward(value)
    except TypeError as error:
        raise ValueError(f"`reward`: {error}") from None
    if not abs(reward) < checks.INFINITE:  # NaN neither
        raise ValueError(f"`reward`: {checks.not_finite_reward(reward)}")
    return reward


def _end(terminated: Any, truncated: Any, terminal: Any) -> tuple[bool, bool]:
    """Whether the episode has terminated, and whether it was truncated."""
    flag = _number(truncated)
    if flag not in (0, 1):
        raise TypeError(f"`truncated` must be a bool. Received: {truncated!r} ({type(truncated).__name__})")
    kind = _kind(terminated, "terminated")
    if terminal is not None:
        if kind or flag:
            raise ValueError(
                "`terminal` is given in place of `terminated` and `truncated`. "
                f"Received: terminal={terminal!r}, terminated={terminated!r}, truncated={truncated!r}"
            )
        kind = _kind(terminal, "terminal")
    return kind == 1, flag == 1 or kind == 2


def _kind(value: Any, name: str) -> int:
    kind = _number(value)
    if kind not in (0, 1, 2):
        raise ValueError(f"`{name}` must be False, True, 0, 1 or 2 (a truncation). Received: {value!r}")
    return int(kind)


def _number(value: Any) -> float:
    """The number that a bool, a number, or an array or tensor with one element is; NaN: it is something else."""
    array = np.asarray(None if isinstance(value, dict | list | tuple) else value)
    return float(array.item()) if array.dtype.kind in "biuf" and array.size == 1 else math.nan
