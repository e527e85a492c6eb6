"""`trainable`: what is frozen does not move, whenever it was frozen."""

import itertools
import warnings

import keras
import numpy as np
import pytest
from variants import with_few

import kagent

pytestmark = pytest.mark.eager(seldom=True)


def values(part):
    return [variable.numpy().copy() for variable in part.variables]


def moved(part, before):
    return any((now != then).any() for now, then in zip(values(part), before))


@pytest.mark.parametrize(
    ("kind", "when", "compiled"),
    with_few(
        itertools.product(("dqn", "ppo", "sac"), ("before", "between"), (False, True)),
        [("dqn", "between", True), ("ppo", "before", False), ("sac", "between", False)],
    ),
)
def test_nothing_of_a_frozen_agent_moves(small, kind, when, compiled):
    agent = small(kind)
    env = "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    if when == "between":
        agent.fit(env, steps=32, verbose=0)
    agent.trainable = False
    if compiled:
        agent.compile(run_eagerly=True)
    before, updates = values(agent), agent.updates
    with pytest.warns(UserWarning, match="Nothing in this agent is `trainable`"):
        history = agent.fit(env, steps=32, verbose=0).history
    assert agent.updates > updates and np.isfinite(history["loss"][-1]) and not moved(agent, before)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was said once
        agent.fit(env, steps=16, verbose=0)


@pytest.mark.parametrize("kind", ["ppo", "sac"])
@pytest.mark.parametrize("frozen, free", [("policy", "critic"), ("critic", "policy")])
def test_a_role_is_frozen_alone(small, kind, frozen, free):
    agent, env = small(kind), "Pendulum-v1" if kind == "sac" else "CartPole-v1"
    getattr(agent, frozen).trainable = False
    fixed, moving = values(getattr(agent, frozen)), values(getattr(agent, free))
    agent.fit(env, steps=32, verbose=0)
    assert not moved(getattr(agent, frozen), fixed) and moved(getattr(agent, free), moving)


@pytest.mark.parametrize("when", ["constructed", "before", "between"])
def test_a_layer_is_frozen_alone(small, when):
    first = keras.layers.Dense(8, name="first", trainable=when != "constructed")
    agent = small("dqn", network=[first, keras.layers.Dense(4, name="second")])
    if when == "between":
        agent.fit("CartPole-v1", steps=24, verbose=0)
    layers = {layer.name: layer for layer in agent.policy.model.layers}
    layers["first"].trainable = False
    fixed, moving = values(layers["first"]), values(layers["second"])
    agent.fit("CartPole-v1", steps=32, verbose=0)
    assert len(fixed) == 2 and not moved(layers["first"], fixed) and moved(layers["second"], moving)


def test_a_compiled_program_is_made_anew(small):
    agent = small("dqn")
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=24, verbose=0)
    agent.policy.trainable = False
    before = values(agent.policy)
    with pytest.warns(UserWarning, match="Nothing"):
        agent.update()
    assert not moved(agent.policy, before)
    agent.policy.trainable = True
    agent.update()
    assert moved(agent.policy, before)


def test_what_is_set_free_needs_an_optimizer_that_knows_it(small):
    agent = small("dqn", network=[keras.layers.Dense(8, name="first", trainable=False)])
    layer = next(layer for layer in agent.policy.model.layers if layer.name == "first")
    layer.trainable = True
    with pytest.raises(ValueError, match=r"call `agent.compile\(\)`.*first"):
        agent.fit("CartPole-v1", steps=24, verbose=0)
    assert agent.timesteps == 0
    agent.compile(run_eagerly=True)
    before = values(layer)
    agent.fit("CartPole-v1", steps=24, verbose=0)
    assert moved(layer, before)


@pytest.mark.parametrize("optimizer", ["natural_gradient", "evolutionary", {"type": "adam", "multi_step": 2}])
def test_optimizers_of_other_kinds_leave_a_frozen_policy_alone(small, optimizer):
    agent = small("ppo", optimizer=optimizer, critic_optimizer="adam")
    agent.policy.trainable = False
    before, critic = values(agent.policy), values(agent.critic)
    agent.fit("CartPole-v1", steps=20, verbose=0)
    assert not moved(agent.policy, before) and moved(agent.critic, critic)


@pytest.mark.parametrize("part", ["agent", "policy", "layer"])
def test_what_is_frozen_is_frozen_in_a_file(small, part, tmp_path):
    agent = small("ppo")
    layer = agent.policy.model.layers[1]
    {"agent": agent, "policy": agent.policy, "layer": layer}[part].trainable = False
    agent.compile(run_eagerly=True)
    agent.fit("CartPole-v1", steps=20, verbose=0)
    agent.save(tmp_path / "a.keras")
    loaded = kagent.load(tmp_path / "a.keras")
    before = values(loaded.policy), values(loaded.critic)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded.fit("CartPole-v1", steps=20, verbose=0)
    assert [str(w.message)[:7] for w in caught if w.category is UserWarning] == ["Nothing"] * (part == "agent")
    changed = [(now != then).any() for now, then in zip(values(loaded.policy), before[0])]
    assert changed == {"layer": [False, False, True, True]}.get(part, [False] * 4)
    assert moved(loaded.critic, before[1]) == (part != "agent")


def test_targets_stay_frozen(small):
    agent = small("dqn")
    count = len(agent.trainable_variables)
    agent.trainable = False
    agent.trainable = True
    assert len(agent.trainable_variables) == count and agent.target_policy.trainable_variables == []


@pytest.mark.thorough
def test_keras_sets_the_seed_of_an_agent_without_one():
    runs = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        agents = [kagent.DQN("CartPole-v1", memory=100, start=8, batch_size=4, network={"type": "mlp", "units": [4]})
                  for _ in range(2)]  # fmt: skip
        agents[1].compile(run_eagerly=True, jit_compile=False)
        history = agents[1].fit("CartPole-v1", steps=24, verbose=0).history
        runs.append(([agent.seed for agent in agents], history["loss"], agents[1].get_weights()))
    (seeds, loss, weights), (seeds_again, loss_again, weights_again), (others, _, _) = runs
    assert seeds == seeds_again and loss == loss_again and all(map(np.array_equal, weights, weights_again))
    assert len({*seeds, *others}) == 4  # of one process, and of another seed, each is another
