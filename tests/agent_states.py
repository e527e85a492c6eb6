"""Everything an agent is, as one flat dict, to compare two of them bit by bit."""

from __future__ import annotations

import copy
import json

import numpy as np

from kagent.files import json_arrays


def state_of(agent, memory=True):
    """Name to bytes: variables, optimizer slots, counters, random streams, open episodes, preprocessing, memory."""
    found = {f"variable {i}": v.numpy() for i, v in enumerate(agent.variables)}
    found |= {f"optimizer {i}": v.numpy() for i, v in enumerate(agent.optimizer.variables)}
    for role in ("target_policy", "target_critic"):
        if hasattr(agent, role):
            found |= {f"{role} {i}": v.numpy() for i, v in enumerate(getattr(agent, role).variables)}
    found |= {name: np.asarray(getattr(agent.counters, name)) for name in type(agent.counters).__slots__}
    random = agent._random.state()
    found |= {f"seed {name}": np.asarray(seed) for name, seed in random["seeds"].items()}
    found |= {f"stream {name}": _json(state) for name, state in random["streams"].items()}
    found["open episodes"] = _json(
        agent._run.trainer.collector.state() if agent._run.trainer is not None else agent._run.open_episodes
    )
    leaves = [np.stack([leaf.encode(part)] * 2) for leaf, part in zip(agent._observation.leaves, _observation(agent))]
    found |= {f"action {i}": action for i, action in enumerate(agent.actor.decide(leaves, None, True))}
    found["preprocessing"] = _json(agent._adapter.state())
    if memory and agent.memory.built:
        found |= {f"memory {name}": value.copy() for name, value in agent.memory.state().items()}
    return {name: _bytes(value) for name, value in found.items()}


def differences(one, other):
    """Names of what differs."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def open_lengths(agent):
    """Steps taken in the open episodes."""
    return [int(n) for n in agent._run.open_episodes["lengths"]]


def _observation(agent):
    space = copy.deepcopy(agent.processed_space)
    space.seed(5)
    return agent._observation.flatten(space.sample())


def _json(value):
    return np.frombuffer(json.dumps(json.loads(json_arrays.dump(value)), sort_keys=True).encode(), np.uint8)


def _bytes(array):
    return f"{array.dtype} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes()
