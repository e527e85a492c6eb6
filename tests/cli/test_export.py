"""`kagent export`: written, and compared with the agent."""

import numpy as np
import pytest
from gymnasium import spaces
from test_train import base, here  # noqa: F401

import kagent
from kagent import acting
from kagent.cli import export

OBSERVATION = spaces.Dict(eye=spaces.Box(-1, 1, (3,), np.float32), gear=spaces.Discrete(4, start=2))
ACTION = spaces.Dict(arm=spaces.Box(-1.0, 2.0, (2,), np.float32), go=spaces.Discrete(3, start=1))


@pytest.fixture(scope="module")
def saved(base):  # noqa: F811
    (base / "some").mkdir()
    kagent.PPO(observation_space=OBSERVATION, action_space=ACTION, seed=0).save(base / "some" / "agent.keras")
    return "some/agent.keras"


@pytest.mark.parametrize(
    "form",
    [
        "numpy",
        "saved_model",
        pytest.param("onnx", marks=pytest.mark.thorough),
        pytest.param("litert", marks=pytest.mark.thorough),
    ],
)
def test_what_is_written_acts_as_the_agent(base, here, saved, form):  # noqa: F811
    result = here("export", saved, "--to", form, "--observations", 32)
    assert result.returncode == 0, result.stdout + result.stderr
    path = base / "some" / export.NAMES[form]
    assert path.exists() and f"Wrote some/{export.NAMES[form]} (" in result.stdout
    assert "action 'go': 100.0% equal to the agent's, on 32 random observations" in result.stdout
    assert "action 'arm': at most " in result.stdout


def test_a_policy_that_acts_differently_is_told(base, here, saved, monkeypatch):  # noqa: F811
    load = acting.load

    def other(path):
        actor = load(path)
        act = actor.act

        def opposite(observation):
            action = act(observation)
            return {"arm": -action["arm"] - 1.0, "go": 4 - action["go"]}

        actor.act = opposite
        return actor

    monkeypatch.setattr(acting, "load", other)
    result = here("export", "some", "--to", "numpy", "--out", "elsewhere", "--observations", 16)
    assert result.returncode == 1 and "acts differently" in result.stdout and (base / "elsewhere").is_dir()


def test_normalization_is_written_too(base, here):  # noqa: F811
    kagent.PPO("CartPole-v1", normalize="observation", network={"units": [4]}, seed=0).save(base / "normal.keras")
    result = here("export", "normal.keras", "--to", "numpy", "--out", "normal", "--observations", 8)
    assert result.returncode == 0 and "100.0% equal" in result.stdout


def test_a_recurrent_policy_is_compared_at_the_beginnings_of_episodes(base, here):  # noqa: F811
    agent = kagent.RecurrentPPO(observation_space=OBSERVATION, action_space=ACTION, network={"units": [4]}, seed=0)
    agent.save(base / "recurrent.keras")
    result = here("export", "recurrent.keras", "--to", "numpy", "--out", "recurrent", "--observations", 8)
    assert result.returncode == 0, result.stderr
    assert "action 'go': 100.0% equal" in result.stdout and "action 'arm': at most" in result.stdout


def test_what_cannot_be_written_is_refused(base, here, saved):  # noqa: F811
    assert here("export", saved, "--to", "pickle").returncode == 2
    assert here("export", "nothing.keras", "--to", "numpy").returncode == 2
    kagent.PPO("CartPole-v1", preprocessing="deltafier", seed=0).save(base / "moves.keras")
    refused = here("export", "moves.keras", "--to", "numpy")
    assert refused.returncode == 2 and "is processed by ['Deltafier']" in refused.stderr
    wrong = here("export", saved, "--to", "onnx", "--out", "a.tflite")
    assert wrong.returncode == 2 and "must end in '.onnx'" in wrong.stderr
