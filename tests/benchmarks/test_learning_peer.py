"""Stable-Baselines3 beside the learning table: its settings are the shipped ones in its own words."""

import pytest

from benchmarks.learning_cells import TASKS, settings_of
from benchmarks.learning_peer import linear, translated
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


def test_the_parts_of_a2c_are_its_arguments():
    words, rest = translated(tuned.load("a2c", "LunarLander-v3"))
    assert words.pop("rms_prop_eps") == pytest.approx(1e-5) and words.pop("learning_rate")["initial"] == 0.00083
    assert words == {
        "n_steps": 5, "gamma": 0.995, "gae_lambda": 0.97, "max_grad_norm": 0.5, "ent_coef": 1e-5, "vf_coef": 0.05,
        "policy_kwargs": {},
    }  # fmt: skip
    assert rest == {"normalize": False, "noise": None, "n_envs": 8, "steps": 200_000}


def test_steps_of_trpos_critic_are_passes_there():
    words, rest = translated(tuned.load("trpo", "LunarLanderContinuous-v3"))
    assert words == {
        "n_steps": 1024, "gamma": 0.99, "gae_lambda": 0.95, "target_kl": 0.01, "cg_max_steps": 15, "cg_damping": 0.1,
        "learning_rate": 1e-3, "n_critic_updates": 20, "batch_size": 128, "policy_kwargs": {},
    }  # fmt: skip
    assert rest == {"normalize": "observation", "noise": None, "n_envs": 2, "steps": 200_000}


def test_a_cell_of_defaults_has_its_defaults():
    words, rest = translated(settings_of(TASKS["dqn-lunarlander-defaults"]))
    assert words == {"policy_kwargs": {}} and rest["steps"] == 500_000


def test_a_linear_schedule_is_a_function_of_what_is_left():
    rate = linear({"type": "Linear", "initial": 0.8, "final": 0.2})
    assert (rate(1.0), rate(0.5), rate(0.0)) == pytest.approx((0.8, 0.5, 0.2))
    with pytest.raises(ValueError, match="no word for the schedule"):
        linear({"type": "Exponential", "initial": 0.8, "final": 0.2})


@pytest.mark.parametrize(
    "part, change",
    [("update", {"epochs": 2}), ("update", {"batch_size": 20}), ("optimizer", {"type": "Adam"}), ("memory", {"type": "Recent"})],
)  # fmt: skip
def test_a_part_that_is_not_its_a2cs_is_refused(part, change):
    settings = tuned.load("a2c", "LunarLander-v3")
    settings[part] |= change
    with pytest.raises(ValueError, match=f"no word for {part}="):
        translated(settings)


@pytest.mark.parametrize(
    "settings, name",
    [({"horizon": 9}, "horizon=9"), ({"memory": {"type": "prioritized"}, "fit": {}}, "memory={'type'"),
     ({"memory": {"type": "Rollout", "steps": 5}, "fit": {}}, "update=None")],
)  # fmt: skip
def test_settings_without_a_word_are_refused(settings, name):
    with pytest.raises(ValueError, match=f"no word for {name}"):
        translated(settings)
