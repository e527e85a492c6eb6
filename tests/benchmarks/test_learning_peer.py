"""Stable-Baselines3 beside the learning table: its settings are the shipped ones in its own words."""

import pytest

from benchmarks.learning_cells import TASKS
from benchmarks.learning_peer import translated
from kagent import tuned


def test_settings_in_its_words():
    words, rest = translated(tuned.load("ppo", "Hopper-v5"))
    assert words == {
        "n_steps": 512, "batch_size": 32, "n_epochs": 5, "learning_rate": 9.80828e-05, "gamma": 0.999, "gae_lambda": 0.99,
        "clip_range": 0.2, "ent_coef": 0.00229519, "vf_coef": 0.835671, "max_grad_norm": 0.7,
        "policy_kwargs": {"net_arch": [256, 256], "activation_fn": "relu", "ortho_init": False, "log_std_init": -2.0},
    }  # fmt: skip
    assert rest == {"normalize": True, "noise": None, "n_envs": 1, "steps": 1_000_000}
    words, rest = translated(tuned.load("td3", "HalfCheetah-v5"))
    assert words == {
        "policy_kwargs": {"net_arch": [400, 300], "activation_fn": "relu"}, "learning_rate": 1e-3, "buffer_size": 10**6,
        "batch_size": 256, "learning_starts": 10_000, "train_freq": 1, "gradient_steps": 1, "tau": 0.005, "gamma": 0.99,
    }  # fmt: skip
    assert rest == {"normalize": False, "noise": 0.1, "n_envs": 1, "steps": 100_000}


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.gate is None])
def test_every_cell_without_a_gate_has_settings_in_its_words(name):
    words, rest = translated(tuned.load(TASKS[name].algorithm, TASKS[name].environment))
    assert words["policy_kwargs"]["activation_fn"] in ("relu", "tanh") and rest["steps"] >= 100_000


def test_settings_without_a_word_are_refused():
    with pytest.raises(ValueError, match=r"no word for horizon=9"):
        translated({"horizon": 9})
