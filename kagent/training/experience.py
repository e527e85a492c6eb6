"""experience: whole episodes that were played elsewhere, into the agent's memory."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kagent import traces
from kagent.config.signatures import answering
from kagent.memories.compatibility import is_made_for
from kagent.memories.transition import Transition, each_array
from kagent.training.episode_streams import OrderError

if TYPE_CHECKING:
    from kagent.agent import Agent
    from kagent.spaces import Structure


@answering()
def experience(
    agent: Agent,
    states: Any,
    actions: Any,
    terminal: Any,
    reward: Any,
    internals: Any = None,
    *,
    final_states: Any = None,
    masks: Any = None,
    final_masks: Any = None,
) -> None:
    """Remembers whole episodes of T timesteps together, without learning from them: `update()` does.

    `timesteps` and `episodes` count them. With `update.frequency="never"` this is the loop act (independent),
    experience, update.

    Args:
        states: Observations `(T, *shape)` as the environment gave them, nested as the observation space.
        actions: What was done there, `(T, *shape)`, as the environment took it, nested as the action space.
        terminal: `(T,)`: 0 or False where the episode went on, 1 or True where it ended, 2 where it was cut off. The
            last one is not 0.
        reward: `(T,)`, finite, also as float32.
        internals: None or `{}`.
        final_states: Where each of the E episodes ended, `(E, *shape)`, nested as `states`. Needed if one of them
            was cut off, and if `reward_estimation` has `estimate_terminal`.
        masks: What was allowed, bool `(T, sum(nvec))` for an action that is not nested, else nested as it, None for
            continuous ones. None: everything.
        final_masks: The same where each episode ended, `(E, ...)`. None: everything.

    Raises:
        OrderError: An episode of `act` and `observe` is under way.
        ValueError, TypeError: Lengths that differ, values outside the spaces, not finite, or not allowed by a mask; an
            episode without an end; more than a rollout memory has room for. Nothing is then remembered.

    Example:

    >>> observations = [[0.1, 0.0, 0.0, 0.0], [0.2, 0.0, 0.0, 0.0]]
    >>> agent.experience(observations, actions=[0, 1], terminal=[0, 1], reward=[0.0, 1.0])
    >>> logs = agent.update()
    """
    if internals not in (None, {}):
        raise ValueError(f"`internals` must be None or {{}}: they are not stored. Received: {internals!r}")
    agent._occupation.refuse("experience")
    loop, own_callbacks = agent._interaction, agent._own_callbacks
    memory: Any = agent.memory
    if loop.streams.is_open:
        raise OrderError("`experience` takes whole episodes, and one of `act` and `observe` is under way")
    trace = _trace(agent, states, actions, terminal, reward, final_states, masks, final_masks)
    masked = masks is not None
    if not is_made_for(agent.memory, len(loop.streams), masked, "`experience` has", acted=False):
        memory.build(agent._observation, agent._action, masked=masked, num_envs=len(loop.streams))
    count, ends = len(trace["reward"]), trace["terminated"] | trace["truncated"]
    if memory.on_policy:
        room = memory.steps * memory.rollouts - memory.size
        if len(loop.streams) > 1:
            raise ValueError(
                "`experience` is of one stream, and a rollout takes one timestep of each: it needs "
                f"parallel_interactions=1. Received: {len(loop.streams)}"
            )
        if count > room:
            raise ValueError(f"`experience` must be at most {room} timesteps, the rollout's room. Received: {count}")
    loop.follow(memory)
    own_callbacks.begin(agent)
    begin = 0  # of the episode
    for t, (row, raw) in enumerate(_rows(agent, trace, masked)):
        loop.streams.put(0, memory, row)
        agent.counters.timesteps += 1
        agent.counters.episodes += int(ends[t])
        if not own_callbacks:
            continue
        own_callbacks.timestep_end(agent, 0, row, raw, played=True)
        if ends[t]:
            rewards = trace["reward"][begin : t + 1]
            outcome = {"episode_return": float(rewards.sum()), "episode_length": len(rewards), "env": 0}
            own_callbacks.episode_end(agent, outcome, played=True)
            begin = t + 1


def _trace(
    agent: Agent,
    states: Any,
    actions: Any,
    terminal: Any,
    reward: Any,
    final_states: Any,
    masks: Any,
    final_masks: Any,
) -> dict[str, np.ndarray]:
    # The episodes as one trace, checked.
    ends = np.asarray(terminal)
    if ends.ndim != 1 or ends.dtype.kind not in "biu" or not np.isin(ends, (0, 1, 2)).all() or not len(ends):
        raise ValueError(f"`terminal` must be (T,) of False, True, 0, 1 or 2. Received: {terminal!r}")
    if not ends[-1]:
        raise ValueError("`terminal` must not be 0 at the last timestep: episodes are taken in whole")
    ends = ends.astype(np.int64)
    last = np.flatnonzero(ends)
    trace = {
        "reward": _floats("reward", reward),
        "terminated": ends == 1,
        "truncated": ends == 2,
        "episode_length": np.diff(last, prepend=-1).astype(np.int64),
        **_columns("observation", agent._raw_observation, states, "states"),
        **_columns("action", agent._action, actions, "actions"),
    }
    if final_states is None:
        if (ends == 2).any():
            raise ValueError(
                "`final_states` is needed where an episode was cut off (terminal 2): rewards would have followed, and "
                "it says what they are worth. Received: None"
            )
        if agent.reward_estimation.estimate_terminal:
            raise ValueError(
                "`final_states` is needed where an episode ends, because reward_estimation.estimate_terminal=True "
                "needs the value of that observation. Received: None"
            )
        trace["end_observed"] = np.zeros(len(last), bool)
        for leaf in agent._raw_observation.leaves:  # which nobody looks at
            name = traces.array_name("observation", leaf)
            trace[f"final_{name}"] = trace[name][last] if len(trace[name]) == len(ends) else trace[name][:0]
    else:
        trace |= _columns("final_observation", agent._raw_observation, final_states, "final_states")
    if masks is not None:
        trace |= _masks("action_mask", agent._action, masks, "masks")
        if final_masks is None:
            for name in [name for name in trace if name.startswith("action_mask")]:
                trace[f"final_{name}"] = np.ones((len(last), *trace[name].shape[1:]), bool)
        else:
            trace |= _masks("final_action_mask", agent._action, final_masks, "final_masks")
    traces.check_trace(trace, agent._raw_observation, agent._action)
    return trace


def _columns(group: str, structure: Any, value: Any, argument: str) -> dict[str, np.ndarray]:
    try:
        parts = structure.flatten(value)
        columns = {}
        for leaf, part in zip(structure.leaves, parts):
            array = np.asarray(part)
            if leaf.is_discrete and array.dtype.kind == "f":
                raise TypeError(f"whole numbers are needed at {leaf.name or argument!r}. Received: {array.dtype}")
            with np.errstate(over="ignore"):
                columns[traces.array_name(group, leaf)] = cast = array.astype(leaf.dtype)
            if cast.dtype.kind == "f" and (lost := np.isfinite(array) & ~np.isfinite(cast)).any():
                place = tuple(np.argwhere(lost)[0].tolist())
                where = f"{leaf.name or argument!r} at {list(place)}"
                raise ValueError(f"finite {leaf.dtype} is needed of {where}. Received: {array[place]}")
    except (KeyError, TypeError, ValueError) as error:
        raise type(error)(f"`{argument}` must be nested as {structure.space}, (T, ...) each: {error}") from error
    return columns


def _masks(group: str, structure: Structure, value: Any, argument: str) -> dict[str, np.ndarray]:
    try:
        parts = structure.flatten(value)
    except (KeyError, TypeError, ValueError) as error:
        raise type(error)(f"`{argument}` must be nested as {structure.space}: {error}") from error
    columns = {}
    for leaf, part in zip(structure.leaves, parts):
        if leaf.is_discrete and part is not None:
            columns[traces.array_name(group, leaf)] = np.asarray(part).astype(bool)
    return columns


def raw_steps(agent: Agent, trace: dict[str, np.ndarray]) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    """Observations in stored form, rewards, and where each step led, of all timesteps of a checked trace."""
    trace |= traces.successors(trace)

    def encoded(group: str) -> list[np.ndarray]:
        leaves = agent._raw_observation.leaves
        return [leaf.encode(trace[traces.array_name(group, leaf)]) for leaf in leaves]

    return encoded("observation"), trace["reward"], encoded("next_observation")


def transitions_of(agent: Agent, trace: dict[str, np.ndarray], masked: bool, learn: bool = True) -> Transition:
    """All timesteps of a checked trace.

    Args:
        agent: Who sees them.
        trace: Arrays by name.
        masked: Whether there are masks.
        learn: Whether the statistics of its preprocessing take them in.
    """
    seen = raw_steps(agent, trace)

    def leaves(group: str, structure: Any) -> list[Any]:
        return [trace.get(traces.array_name(group, leaf)) for leaf in structure.leaves]

    masks = [leaves(name, agent._action) if masked else None for name in ("action_mask", "next_action_mask")]
    action = agent.actor.from_env(leaves("action", agent._action))
    flags = trace["terminated"], trace["truncated"]
    if agent.preprocessing is not None:
        over = flags[0] | flags[1]
        known = np.ones(len(over), bool)
        known[over] = trace.get("end_observed", True)
        seen = agent.preprocessing.episodes(*seen, over, known, learn)
    observation, reward, successor = seen
    return Transition(observation, action, reward, *flags, successor, mask=masks[0], next_mask=masks[1])


def _rows(agent: Agent, trace: dict[str, np.ndarray], masked: bool) -> Iterator[tuple[Any, Any]]:
    # The remembered row of every timestep, and what the environment gave, where a callback takes it.
    steps = transitions_of(agent, trace, masked)
    raw = raw_steps(agent, trace) if agent._own_callbacks else ()
    for t in range(len(steps.reward)):
        at = slice(t, t + 1)
        yield steps.take(at), tuple(each_array(part, operator.itemgetter(at)) for part in raw)


def _floats(name: str, value: Any) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must be numbers (T,). Received: {value!r}")
    return array.astype(np.float64)
