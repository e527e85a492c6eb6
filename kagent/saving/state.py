"""What an agent is beside its variables: collected for a file; checked as a whole; applied when all of it is right."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kagent import networks
from kagent.config.run_length import ENDLESS, Bounds
from kagent.environments import open_episodes
from kagent.memories import Memory
from kagent.preprocessing.adapter import Restored
from kagent.saving.entries import SavedMemory

if TYPE_CHECKING:
    from kagent.agent import Agent

COUNTERS = (  # in the order of the file's array
    "timesteps", "episodes", "gradient_steps", "due_updates_done", "batches_drawn", "targets_moved", "units_waited",
    "episodes_handled",
)  # fmt: skip
_SEEDS = {"sample": 2**62, "graph": 2**31, "evaluation": 2**31}  # and below which numbers they are
_LATER_STREAMS = ("pretrain",)

Data = Mapping[str, Any]


class _Part(NamedTuple):
    collect: Callable[[Agent], dict[str, Any]]  # entries of the file, by name
    check: Callable[[Agent, Data], Any]  # from these entries, without a change of the agent
    apply: Callable[[Agent, Any], None]  # what `check` returned; it cannot fail


def _part(
    collect: Callable[[Agent], dict[str, Any]], check: Callable[[Agent, Data], Any], apply: Callable[[Agent, Any], None]
) -> dict[str, _Part]:
    return {"part": _Part(collect, check, apply)}


# Counters --------------------------------------------------------------------------------------------------------


def _collect_counters(agent: Agent) -> dict[str, Any]:
    return {"counters": np.asarray([getattr(agent.counters, name) for name in COUNTERS], np.int64)}


def _check_counters(agent: Agent, data: Data) -> dict[str, int]:
    found = data["counters"]
    if found.dtype.kind not in "iuf" or found.ndim != 1:
        raise ValueError(f"The file's counters must be {len(COUNTERS)} integers >= 0. Received: {found.dtype}")
    counters = [int(value) for value in found]
    if len(counters) == len(COUNTERS) - 2:  # of before frequencies could be schedules, and updates at episodes' ends
        counters += [0, counters[COUNTERS.index("episodes")]]
    if len(counters) != len(COUNTERS) or min(counters) < 0:
        raise ValueError(f"The file's counters must be {len(COUNTERS)} integers >= 0. Received: {counters}")
    return dict(zip(COUNTERS, counters))


def _apply_counters(agent: Agent, counters: dict[str, int]) -> None:
    for name, value in counters.items():
        setattr(agent.counters, name, value)


_COUNTERS = _part(_collect_counters, _check_counters, _apply_counters)


# Random streams --------------------------------------------------------------------------------------------------


def _collect_random(agent: Agent) -> dict[str, Any]:
    return agent._random.state()


def _check_random(agent: Agent, data: Data) -> dict[str, Any]:
    seeds, streams = data["seeds"], data["streams"]
    # Files of before there were traces lack the last stream: the agent's own, which had no use, stays.
    wanted = [name for name in agent._random.generators if name in streams or name not in _LATER_STREAMS]
    return {
        "seeds": {name: _seed(seeds[name], name, below) for name, below in _SEEDS.items()},
        "streams": {name: _stream(streams[name]) for name in wanted},
    }


def _seed(value: Any, name: str, below: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < below:
        raise ValueError(f"The file's {name} seed must be an integer from 0 to {below - 1}. Received: {value!r}")
    return value


def _stream(state: Any) -> dict[str, Any]:
    # Of a Philox generator. NumPy believes any position in its buffer.
    if state["bit_generator"] != "Philox":
        raise ValueError(f"A random stream must be Philox. Received: {state['bit_generator']!r}")
    inner = state["state"]
    arrays = {"counter": inner["counter"], "key": inner["key"], "buffer": state["buffer"]}
    for name, size in (("counter", 4), ("key", 2), ("buffer", 4)):
        if not isinstance(arrays[name], np.ndarray) or (arrays[name].shape, arrays[name].dtype) != ((size,), np.uint64):
            raise ValueError(f"A random stream's {name} must be {size} uint64 numbers. Received: {arrays[name]!r}")
    position, has, half = (int(state[name]) for name in ("buffer_pos", "has_uint32", "uinteger"))
    if not (0 <= position <= 4 and has in (0, 1) and 0 <= half < 2**32):
        raise ValueError(f"A random stream's position is impossible. Received: {position}, {has}, {half}")
    key = {"counter": arrays["counter"], "key": arrays["key"]}
    about = {"buffer_pos": position, "has_uint32": has, "uinteger": half}
    return {"bit_generator": "Philox", "state": key, "buffer": arrays["buffer"], **about}


def _apply_random(agent: Agent, value: dict[str, Any]) -> None:
    agent._random.restore(**value)


_RANDOM = _part(_collect_random, _check_random, _apply_random)


# Open episodes, what the last epoch knew, bounds -------------------------------------------------------------------


def _collect_open(agent: Agent) -> dict[str, Any]:
    return {
        "open": agent._run.trainer.collector.state() if agent._run.trainer is not None else agent._run.open_episodes
    }


def _check_open(agent: Agent, data: Data) -> dict[str, Any] | None:
    checked = open_episodes.check(data["open"], agent._raw_observation, agent._action)
    if checked is not None and checked.get("environments", {}).get("episodes"):
        agent._adapter.check_open(checked["environments"].get("preprocessing"), len(checked["lengths"]))
    return checked


def _apply_open(agent: Agent, value: dict[str, Any] | None) -> None:
    agent._run.open_episodes = value


_OPEN = _part(_collect_open, _check_open, _apply_open)


def _collect_known(agent: Agent) -> dict[str, Any]:
    return {"known": agent._run.known}


def _check_known(agent: Agent, data: Data) -> dict[str, Any] | None:
    state = data.get("known")
    if state is None:
        return None
    mean_return, mean_length, *wrapped = (float(value) for value in state["episode"])
    if mean_return == -math.inf:  # of former files: no episode had ended
        mean_return = math.nan
    update = {str(name): float(value) for name, value in state["update"].items()}
    (mean_wrapped,) = wrapped or [math.nan]  # former files do not have it
    return {"episode": (mean_return, mean_length, mean_wrapped), "update": update}


def _apply_known(agent: Agent, value: dict[str, Any] | None) -> None:
    agent._run.known = value


_KNOWN = _part(_collect_known, _check_known, _apply_known)


def _collect_bounds(agent: Agent) -> dict[str, Any]:
    return {"bounds": [float(bound) for bound in agent._clock.bounds]}


def _check_bounds(agent: Agent, data: Data) -> Bounds:
    bounds = [float(bound) for bound in data["bounds"]]
    if len(bounds) not in (2, 3) or not all(bound >= 0 for bound in bounds):  # older files do not say updates
        raise ValueError(f"The file's bounds of training must be 2 or 3 numbers >= 0. Received: {data['bounds']!r}")
    return Bounds(*bounds)


def _apply_bounds(agent: Agent, bounds: Bounds) -> None:
    if agent._clock.bounds == ENDLESS:  # where a fit is under way, it knows its own
        agent._clock.bounds = bounds


_BOUNDS = _part(_collect_bounds, _check_bounds, _apply_bounds)


# Preprocessing ---------------------------------------------------------------------------------------------------


def _collect_preprocessing(agent: Agent) -> dict[str, Any]:
    return {"preprocessing": agent._adapter.state()}


def _check_preprocessing(agent: Agent, data: Data) -> Restored | None:
    return agent._adapter.check(data.get("preprocessing"))


def _apply_preprocessing(agent: Agent, value: Restored | None) -> None:
    agent._adapter.restore(value)


_PREPROCESSING = _part(_collect_preprocessing, _check_preprocessing, _apply_preprocessing)


# Memory ----------------------------------------------------------------------------------------------------------


def _collect_memory(agent: Agent) -> dict[str, Any]:
    memory = agent.memory
    if not (memory.saved and memory.built):
        return {}
    return {"memory": SavedMemory(memory.masked, memory.num_envs, memory.state(), memory.marks())}


def _check_memory(agent: Agent, data: Data) -> Memory | None:
    saved: SavedMemory | None = data["memory"]
    if saved is None:
        return None
    if not agent.memory.check_room(agent._observation, agent._action, saved.num_envs):
        return None  # `kagent.load` warns
    result: Memory = agent.memory.restored(
        saved.content, agent._observation, agent._action, masked=saved.masked, num_envs=saved.num_envs
    )
    return result


def _apply_memory(agent: Agent, restored: Memory | None) -> None:
    if restored is not None:
        agent.memory.take(restored)
    elif agent.memory.built:
        agent.memory.clear()


_MEMORY = _part(_collect_memory, _check_memory, _apply_memory)


def _collect_recorded(agent: Agent) -> dict[str, Any]:
    return {"recorded": agent._run.recorded} if agent._run.recorded else {}


def _check_recorded(agent: Agent, data: Data) -> int | None:
    found: int | None = data.get("recorded")
    if found is not None and (isinstance(found, bool) or not isinstance(found, int) or found < 0):
        raise ValueError(f"The file's number of recorded transitions must be an integer >= 0. Received: {found!r}")
    return 0 if data["memory"] is None else found


def _apply_recorded(agent: Agent, found: int | None) -> None:
    if found is not None:
        agent._run.recorded = found


_RECORDED = _part(_collect_recorded, _check_recorded, _apply_recorded)


@dataclasses.dataclass(frozen=True)
class AgentState:
    """All that an agent is beside its variables, checked, as it takes it. What is added to an agent's state is added here.

    Attributes:
        preprocessing: What `Adapter.check` returned.
        counters: Of `Counters`, by name.
        random: What `RandomStreams.restore` takes.
        open: The open episodes, as `Collector.start` takes them, or None.
        known: Mean return and length, and the logs of the update, of the last epoch; or None.
        bounds: Where training ends.
        memory: A memory with the file's content; None where the file has none.
        recorded: Transitions in it that `fit` of recorded episodes put there; None where the file does not say it.
    """

    preprocessing: Restored | None = field(metadata=_PREPROCESSING)
    counters: dict[str, int] = field(metadata=_COUNTERS)
    random: dict[str, Any] = field(metadata=_RANDOM)
    open: dict[str, Any] | None = field(metadata=_OPEN)
    known: dict[str, Any] | None = field(metadata=_KNOWN)
    bounds: Bounds = field(metadata=_BOUNDS)
    memory: Memory | None = field(metadata=_MEMORY)
    recorded: int | None = field(metadata=_RECORDED)

    @classmethod
    def _parts(cls, but: str = "") -> dict[str, _Part]:
        return {field.name: field.metadata["part"] for field in dataclasses.fields(cls) if field.name != but}

    @classmethod
    def collect(cls, agent: Agent, memory: bool = True) -> dict[str, Any]:
        """The state of an agent now, as what `entries.write` takes.

        Args:
            agent: The agent.
            memory: Whether its memory goes along.
        """
        data: dict[str, Any] = {}
        for part in cls._parts(but="" if memory else "memory").values():
            data |= part.collect(agent)
        return data

    @classmethod
    def check(cls, agent: Agent, data: Data) -> AgentState:
        """The state that is in `data`, for this agent. Nothing of the agent changes.

        Args:
            agent: Who is to have it.
            data: What `entries.read` returned.

        Raises:
            ValueError: A part is missing, impossible, or not of such an agent.
        """
        try:
            return cls(**{name: part.check(agent, data) for name, part in cls._parts().items()})
        except KeyError as error:
            raise ValueError(f"The file's state is damaged: it lacks {error}") from error
        except (TypeError, AttributeError) as error:
            raise ValueError(f"The file's state is damaged: {type(error).__name__}: {error}") from error

    def apply(self, agent: Agent) -> None:
        """Gives the agent this state. It cannot fail. The state is then the agent's: apply it once."""
        graph_seed = agent._random.graph_seed
        for name, part in self._parts().items():
            part.apply(agent, getattr(self, name))
        _renew_programs(agent, graph_seed)


def _renew_programs(agent: Agent, graph_seed: int) -> None:
    # Networks are read after this. The seed is part of the compiled program, and so is what layers hold beside their
    # variables; another program also gets another pipeline.
    agent._update_cycle.early_estimates.forget()
    agent.actor.expire()
    models = [model for role in (agent.policy, agent.critic) if role is not None for model in role.inner_models()]
    constants = any(map(networks.holds_constants, models))
    if constants:
        agent.actor.retrace()
    if (constants or graph_seed != agent._random.graph_seed) and getattr(agent, "train_function", None) is not None:
        agent.make_train_function(force=True)
