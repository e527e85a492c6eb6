"""kagent's own parts keep what `kagent.testing` says of their kind: one table, a row for each. Agents: `test_contract`."""

import functools

import pytest
from testing import parts
from toy_envs import Identity
from variants import with_few

import kagent
from kagent import exploration, memories, objectives, testing


@pytest.mark.slow
@pytest.mark.parametrize("name", parts.AGENTS)
def test_compiled_agents(name):
    make, supports = parts.AGENTS[name]
    testing.check_agent(make, supports=supports)


@pytest.mark.parametrize("name", with_few(parts.MEMORIES, ("Replay", "Rollout")))
def test_memories(name):
    testing.check_memory(parts.MEMORIES[name])


@pytest.mark.parametrize("name", parts.EXPLORATIONS)
def test_explorations(name):
    testing.check_exploration(parts.EXPLORATIONS[name])


@pytest.mark.parametrize("name", with_few(parts.OBJECTIVES, parts.FIRST))
def test_objectives(name):
    testing.check_objective(**{"objective": name, "steps": 16, **parts.OBJECTIVES[name]})


ENVIRONMENTS = {
    "CartPole-v1": "CartPole-v1",
    "Pendulum-v1": "Pendulum-v1",
    "masks": functools.partial(
        testing.Toy, testing.OBSERVATIONS["Dict"], testing.ACTIONS["MultiDiscrete"], masked=True
    ),
    "nested": functools.partial(
        testing.Toy, testing.OBSERVATIONS["Discrete"], testing.ACTIONS["Dict with a Box"], masked=True
    ),
    "masks in the observation": functools.partial(Identity, testing.ACTIONS["Dict"], masks="observation"),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments(name):
    testing.check_environments(ENVIRONMENTS[name])


def classes(module, base):
    found = [getattr(module, name) for name in module.__all__]
    return {cls.__name__ for cls in found if isinstance(cls, type) and issubclass(cls, base)}


def test_every_part_is_in_the_table():
    presets = classes(kagent.agents, kagent.Agent)
    assert presets and presets - {"Agent"} == {name.partition(" with ")[0] for name in parts.AGENTS}
    assert {type(make()).__name__ for make in parts.MEMORIES.values()} == classes(memories, memories.Memory) - {
        "Memory"
    }
    tried = {type(each).__name__ for each in parts.EXPLORATIONS.values()} | parts.EXPLORATIONS.keys()
    known = classes(exploration, exploration.Exploration) | vars(exploration.names).keys()
    assert {name for name in known if exploration.EXPLORATIONS.knows(name)} <= tried
    learning = classes(objectives, objectives.Objective) - BASES
    assert {
        type(objectives.get(row.get("objective", name))).__name__ for name, row in parts.OBJECTIVES.items()
    } == learning


BASES = {"Objective", "DistributionalObjective", "RolloutObjective", "TransitionObjective", "NullObjective"}
