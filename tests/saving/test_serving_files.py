"""Agents that `kagent.acting.load` serves, and those that it does not, which are refused where that was asked for."""

import keras
import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent import acting
from kagent.saving import serving

VECTOR = spaces.Box(-3.0, 3.0, (4,), np.float32)
SCREEN = spaces.Box(0, 255, (12, 12, 1), np.uint8)


def made(network="auto", observation=VECTOR, **parts):
    return kagent.PPO(observation_space=observation, action_space=spaces.Discrete(3), network=network, seed=0, **parts)


@keras.saving.register_keras_serializable("tests")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2.0 * x


@keras.saving.register_keras_serializable("tests")
def wave(x):
    return keras.ops.sin(x)


def half():
    return [keras.layers.Dense(4, activation="tanh", dtype="mixed_float16", name="half"), keras.layers.Dense(4)]


REASONS = {
    "a user's layer": (lambda: made([Doubled(name="twice"), keras.layers.Dense(4)]), "Doubled 'twice.*' has no NumPy form"),
    "a precision": (lambda: made(half()), "Dense 'half.*' computes in mixed_float16"),
    "an activation": (
        lambda: made([keras.layers.Dense(4, activation=wave, name="odd")]),
        "Dense 'odd.*' has an activation without a NumPy form",
    ),
    "a dilation": (
        lambda: made([keras.layers.Conv2D(2, 3, dilation_rate=2, name="wide"), keras.layers.Flatten()], SCREEN),
        "Conv2D 'wide.*' has groups or a dilation",
    ),
    "preprocessing": (lambda: made(preprocessing="deltafier"), r"State 'state' is processed by \['Deltafier'\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", REASONS)
def test_what_could_not_be_served_is_refused_by_name_and_nothing_is_written(tmp_path, name):
    make, reason = REASONS[name]
    agent = make()
    with pytest.raises(ValueError, match=rf"(?s)`servable=True` needs an agent.*{reason}.*Allowed: "):
        agent.save(tmp_path / "a.keras", servable=True)
    with pytest.raises(ValueError, match=rf"(?s)`format='numpy'` needs an agent.*{reason}"):
        agent.export(tmp_path / "actor", format="numpy")
    assert not list(tmp_path.iterdir())
    agent.save(tmp_path / "a.keras")
    with pytest.raises(
        ValueError, match=rf"(?s)NumPy actor cannot compute.*{reason.replace(chr(39), '.')}.*kagent.load"
    ):
        acting.load(tmp_path / "a.keras")
    found = kagent.inspect(tmp_path / "a.keras")
    assert not found.served and found.unserved == serving.reason_against(agent)
    assert found.unserved[:8] in str(found)


def test_an_actor_that_cannot_be_read_again_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(acting.archive, "_MAX_JSON", 300)
    with pytest.raises(ValueError, match=r"`servable=True` needs an agent.*larger than 300 bytes"):
        made().save(tmp_path / "a.keras", servable=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("zipped", [None, False])
def test_a_servable_file_acts_as_the_agent(tmp_path, zipped):
    agent = made({"type": "mlp", "units": [8]}, normalize="observation")
    agent.preprocessing.first([np.full((1, 4), 2.0, np.float32)])
    path = tmp_path / ("folder" if zipped is False else "a.keras")
    agent.save(path, servable=True, zipped=zipped)
    agent.export(tmp_path / "actor", format="numpy")
    rows = np.random.default_rng(0).normal(0.0, 2.0, (16, 4)).astype(np.float32).clip(-3.0, 3.0)
    expected = [agent.act(row, deterministic=True) for row in rows]
    assert len(set(expected)) > 1 and kagent.inspect(path).served
    for file in (path, tmp_path / "actor"):
        assert acting.load(file).act_batch(rows).tolist() == expected


def test_a_recurrent_agent_is_exported_to_numpy_alone(tmp_path):
    agent = kagent.RecurrentPPO(observation_space=VECTOR, action_space=spaces.Discrete(3), seed=0)
    agent.export(tmp_path / "actor", format="numpy")
    assert len(acting.load(tmp_path / "actor").initial_state(2)[0]) == 2
    with pytest.raises(ValueError, match=r"recurrent layers.*Allowed: agent.save, or format='numpy'"):
        agent.export(tmp_path / "served")
