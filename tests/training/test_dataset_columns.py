"""A `tf.data.Dataset` of transitions that is none of the agent's is refused by name, before it moves anything."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

import kagent
from kagent import objectives

pytestmark = pytest.mark.eager
SMALL = {"network": {"type": "mlp", "units": [4]}, "memory": 20, "batch_size": 4, "seed": 0}
POINT = spaces.Dict({"place": spaces.Box(-9, 9, (2,)), "goal": spaces.Discrete(3, start=1)})


def transitions(action, **columns):
    """Eight transitions; None leaves a column out."""
    seen = {"place": np.ones((8, 2), np.float32), "goal": np.arange(8, dtype=np.int32) % 3}
    found = {
        "observation": seen, "next_observation": seen, "action": action, "reward": np.ones(8, np.float32),
        "terminated": np.zeros(8, bool), "truncated": np.zeros(8, bool), **columns,
    }  # fmt: skip
    return tf.data.Dataset.from_tensor_slices({key: x for key, x in found.items() if x is not None}).batch(4)


@pytest.fixture(scope="module")
def agents():
    box = kagent.TD3(observation_space=POINT, action_space=spaces.Box(-2, 2, (1,)), **SMALL)
    discrete = kagent.DQN(observation_space=POINT, action_space=spaces.Discrete(3, start=1), **SMALL)
    for agent in (box, discrete):
        agent.compile(run_eagerly=True)
    return {"box": (box, np.ones((8, 1), np.float32)), "discrete": (discrete, np.arange(8) % 3)}


WRONG = [
    ("box", {"terminated": None}, r"lacks \['terminated'\], which TD3 learns from"),
    ("box", {"next_observation": None, "action": None}, r"lacks \['action', 'next_observation'\]"),
    ("box", {"reward": np.ones(8)}, r"`reward` of a dataset must be \(B\) of float32.*Received: \(None,\) of float64"),
    ("box", {"reward": np.ones((8, 1), np.float32)}, r"`reward` .*Received: \(None, 1\)"),
    ("box", {"terminated": np.zeros(8, np.float32)}, r"`terminated` of a dataset must be \(B\) of bool"),
    ("box", {"observation": np.ones((8, 2), np.float32)}, r"`observation` of a dataset must be nested as"),
    ("box", {"observation": {"place": np.ones((8, 3), np.float32), "goal": np.zeros(8, np.int64)}}, r"`observation/place` .*\(B, 2\)"),
    ("box", {"action": np.ones(8, np.float32)}, r"`action` of a dataset must be \(B, 1\) of float32"),
    ("box", {"action": np.full((8, 1), 1.5, np.float32)}, r"`action` of a dataset must be within -1 and 1.*Received: 1.5"),
    ("box", {"action": np.full((8, 1), np.nan, np.float32)}, r"`action` of a dataset must be within -1 and 1.*Received: nan"),
    ("box", {"reward": np.full(8, np.inf, np.float32)}, r"`reward` of a dataset must be finite. Received: inf"),
    ("discrete", {"action": np.arange(8) % 3 + 1}, r"`action` of a dataset must be indices from 0 on.*Received: 3"),
    ("discrete", {"action": np.arange(8) % 3 - 1}, r"`action` of a dataset must be indices from 0 on.*Received: -1"),
    ("discrete", {"action": np.zeros(8, np.float32)}, r"`action` of a dataset must be \(B\) of int32"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "columns", "message"), WRONG)
def test_it_is_refused_before_anything_moves(agents, kind, columns, message):
    agent, action = agents[kind]
    before, updates = agent.get_weights(), agent.updates
    with pytest.raises(ValueError, match=message):
        agent.fit(transitions(**{"action": action, **columns}), verbose=0)
    assert agent.updates == updates and all((a == b).all() for a, b in zip(before, agent.get_weights()))


def test_nothing_to_learn_from_is_refused(agents):
    agent, action = agents["box"]
    with pytest.raises(ValueError, match="A dataset must have an element"):
        agent.fit(transitions(action).take(0), verbose=0)


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_further_columns_and_other_integers_are_taken(agents, kind):
    agent, action = agents[kind]
    before = agent.updates
    agent.fit(transitions(action, note=np.zeros(8), truncated=None), verbose=0)
    assert agent.updates == before + 2


def test_cloning_needs_no_successors():
    agent = kagent.BC(observation_space=POINT, action_space=spaces.Discrete(3), **SMALL)
    agent.compile(run_eagerly=True)
    agent.fit(transitions(np.arange(8) % 3, next_observation=None, terminated=None, truncated=None), verbose=0)
    assert agent.updates == 2


def test_an_objective_of_ones_own_takes_its_own_columns():
    @keras.saving.register_keras_serializable("test_dataset_columns")
    @dataclasses.dataclass(frozen=True)
    class Noted(objectives.Objective):
        policies = ("ValuePolicy",)

        def terms(self, context, batch):
            def loss(batch):
                values = context.policy.values(batch["observation"], training=True)
                return tf.reduce_mean(tf.square(values)), {"noted": tf.reduce_mean(batch["note"])}

            return [objectives.Term("policy", loss, batch)]

    agent = kagent.Agent(
        observation_space=POINT, action_space=spaces.Discrete(3), policy={"type": "value", "network": SMALL["network"]},
        objective=Noted(), memory=20, update={"unit": "timesteps", "batch_size": 4, "frequency": "never"}, optimizer="adam",
        reward_estimation={"discount": 0.9}, seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    data = transitions(None, next_observation=None, terminated=None, truncated=None, note=np.full(8, 2.0, np.float32))
    assert agent.fit(data, verbose=0).history["noted"] == [2.0]


@pytest.mark.thorough
def test_a_train_step_of_ones_own_takes_its_own_columns():
    class Own(kagent.DQN):
        def train_step(self, batch):
            return {"noted": tf.reduce_mean(batch["note"])}

    agent = Own(observation_space=POINT, action_space=spaces.Discrete(3), **SMALL)
    agent.compile(run_eagerly=True)
    data = tf.data.Dataset.from_tensors({"reward": [1.0], "note": [2.0]})
    assert agent.fit(data, verbose=0).history["noted"] == [2.0]
