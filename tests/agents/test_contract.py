"""The contract of agents, which every preset keeps: a row of `testing.parts.AGENTS` is all that a new one adds.

`kagent.testing.check_agent` has the rules: spaces, masks, several environments, `steps_per_execution`, seeds, files, exact resume,
JSON, NumPy acting. Here they are checked with one update in sixteen timesteps, eagerly, of `parts.LONG` among the slow tests;
`testing.test_own_parts` checks compiled agents, slowly.
"""

import functools
import json

import pytest
from testing import parts
from variants import with_few

import kagent
from kagent import testing

pytestmark = pytest.mark.eager

STEPS = 16
FEWER = {
    **{name: {"n_steps": STEPS // 2, "epochs": 1} for name in ("PPO", "PQN", "RecurrentPPO", "IMPALA")},
    "TRPO": {"n_steps": STEPS // 2},
    **{
        name: {"frequency": STEPS}
        for name, (make, _) in parts.AGENTS.items()
        if "start" in getattr(make, "keywords", {})
    },
}


def row(name):
    make, supports = parts.AGENTS[name]
    return functools.partial(make, **FEWER.get(name, {})), supports


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.thorough if name in parts.LONG else []) for name in parts.AGENTS]
)
def test_a_preset_keeps_the_contract(name):
    make, supports = row(name)
    testing.check_agent(make, steps=STEPS, supports=supports, compiled=False)


LEARNING = sorted({*parts.AGENTS} - {"Random", "Constant"})


@pytest.mark.parametrize("name", with_few(LEARNING, ("DQN", "PPO", "SAC", "TD3", "IMPALA", "IQL", "VPG")))
def test_a_preset_is_its_parts_spelled_out(name):
    """From the same seed, and after the same updates."""
    make, supports = row(name)
    env = testing.Toy(action_space=testing.ACTIONS[supports[0]])
    kind = "auto" if name == "RecurrentPPO" else "mlp"
    preset = make(env, seed=3, network={"type": kind, "units": [8], "activation": "tanh"})  # a ReLU's bias may rest
    preset.compile(run_eagerly=True)
    spelled = kagent.Agent.create(json.loads(json.dumps({**preset.get_config(), "agent": "tensorforce"})))
    spelled.compile(run_eagerly=True)
    assert type(spelled) is kagent.Agent and type(preset) is not kagent.Agent
    before = {v.path: v.numpy() for v in preset.trainable_variables}
    delayed = name in ("CrossQ", "TD3", "TD3BC")  # whose policy moves in every second gradient step
    for agent in (preset, spelled):
        agent.fit(env, steps=2 * STEPS if delayed else STEPS, verbose=0)
    assert preset.updates == spelled.updates > 0
    for one, other in zip(preset.get_weights(), spelled.get_weights(), strict=True):
        assert (one == other).all()
    assert not [v.path for v in preset.trainable_variables if (v.numpy() == before[v.path]).all()]  # no weight is dead


@pytest.mark.xla
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name == "DQN" else pytest.mark.thorough)
        for name in sorted({*parts.AGENTS} - {"Random", "Constant"})
    ],
)
def test_xla_compiles_a_preset(name, recwarn):
    """As by default; the learner warns of a program that XLA refuses, and goes on without."""
    make, supports = row(name)
    env = testing.Toy(action_space=testing.ACTIONS[supports[0]])
    agent = make(env, seed=3)
    agent.fit(env, steps=2 * STEPS, verbose=0)
    assert agent.jit_compile and agent.train_function.jit and agent.updates > 0
    assert not [warning for warning in recwarn if "XLA" in str(warning.message)]
