"""Settings: who wins, what a value means, what is refused."""

import json
import sys

import pytest

import kagent
from kagent import cli, tuned
from kagent.cli import algorithms, settings, train
from kagent.cli.errors import CommandError


class Preset:
    """Has the signature of a preset and nothing else."""

    def __init__(
        self,
        env=None,
        *,
        observation_space=None,
        action_space=None,
        network="auto",
        learning_rate=1e-4,
        memory=1_000_000,
        batch_size=32,
        exploration=None,
        optimizer=None,
        n_envs=1,
        seed=None,
        **kwargs,
    ):
        pass


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("true", True),
        ("True", True),
        ("null", None),
        ("None", None),
        ("[64, 64]", [64, 64]),
        ('{"type": "Linear"}', {"type": "Linear"}),
        ("relu", "relu"),
        ('"3"', "3"),
        ("a=b", "a=b"),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("a[1, 2", "a[1, 2"),
        ("", ""),
    ],
)
def test_values_are_json_or_text(text, value):
    parsed = settings.parse([f"batch_size={text}"])["batch_size"]
    assert parsed == value and type(parsed) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", "[True]", "{'a': 1}", '{"a": {"b": 3}', '"relu'])
def test_a_value_that_begins_as_json_does_is_json(text):
    with pytest.raises(CommandError, match="must be JSON") as raised:
        settings.parse([f"network.units={text}"])
    assert str(raised.value).endswith(f"Received: {text!r}")


def test_a_part_by_name_in_a_file_takes_the_place_of_a_shipped_one(tmp_path):
    (tmp_path / "a.json").write_text('{"network": "mlp", "tuned": true}')
    words = ["train", "dqn", "CartPole-v1", "--config", str(tmp_path / "a.json"), "--set", "network.units=[4]"]
    arguments = cli._parser().parse_args(words)
    shipped, *own = train._layers(algorithms.find("dqn"), arguments)
    assert shipped["network"]["activation"] == "relu"
    assert settings.resolve(kagent.DQN, shipped, *own)["network"] == {"type": "mlp", "units": [4]}
    arguments.set.append("tuned=false")
    assert train._layers(algorithms.find("dqn"), arguments)[0] == {}


def test_dotted_keys_nest_and_later_ones_win():
    assert settings.parse(["fit.steps=5", "exploration.final=0.1", "fit.n_envs=2", "fit.steps=6"]) == {
        "fit": {"steps": 6, "n_envs": 2},
        "exploration": {"final": 0.1},
    }


@pytest.mark.parametrize("assignment", ["batch_size", "=3", ".a=3", "a.=3", "a..b=3"])
def test_a_malformed_assignment_is_refused(assignment):
    with pytest.raises(CommandError, match=r"part\.key=value"):
        settings.parse([assignment])


def test_later_layers_win_and_inputs_stay_as_they_are():
    base = {"network": {"type": "mlp", "units": [256, 256]}, "batch_size": 64, "fit": {"steps": 50_000}}
    before = json.dumps(base)
    resolved = settings.resolve(
        Preset,
        base,
        {"batch_size": 16, "fit": {"n_envs": 2}},
        settings.parse(["network.units=[8]", "batch_size=8"]),
        {"fit": {"steps": 7}},
    )
    assert resolved == {
        "network": {"type": "mlp", "units": [8]},
        "batch_size": 8,
        "fit": {"steps": 7, "n_envs": 2},
    }
    assert json.dumps(base) == before


def test_another_type_replaces_the_part_and_a_number_replaces_a_schedule():
    base = {"learning_rate": {"type": "Linear", "initial": 0.1, "final": 0.0}}
    other = {"learning_rate": {"type": "Constant", "value": 0.2}}
    assert settings.merge(base, other) == other
    assert settings.merge(base, {"learning_rate": 0.3}) == {"learning_rate": 0.3}
    assert settings.merge(base, {"learning_rate": {"initial": 0.4}})["learning_rate"] == {
        "type": "Linear",
        "initial": 0.4,
        "final": 0.0,
    }
    assert settings.merge({"network": "cnn"}, {"network": {"units": [8]}}) == {"network": {"type": "cnn", "units": [8]}}


def test_a_part_without_a_type_gets_its_usual_one():
    resolved = settings.resolve(Preset, {"fit": {}}, settings.parse(["network.units=[8]", "exploration.final=0.2"]))
    assert resolved["network"] == {"units": [8]}  # the preset's own network, as in Python
    assert resolved["exploration"] == {"type": "EpsilonGreedy", "final": 0.2}
    with pytest.raises(CommandError, match=r"optimizer.*needs a type"):
        settings.resolve(Preset, {"optimizer": {"momentum": 0.9}})


def test_whole_floats_become_ints_where_ints_belong():
    resolved = settings.resolve(Preset, settings.parse(["memory=1e5", "learning_rate=1.0", "fit.steps=5e4"]))
    assert resolved["memory"] == 100_000 and type(resolved["memory"]) is int
    assert type(resolved["learning_rate"]) is float
    assert type(resolved["fit"]["steps"]) is int


@pytest.mark.parametrize(
    "assignment, message",
    [
        ("batchsize=3", r"'batchsize'.*Did you mean 'batch_size'.*Known:.*learning_rate.*fit\.steps"),
        ("n_envs=3", r"'n_envs'.*Did you mean 'fit\.n_envs'"),
        ("steps=3", r"Did you mean 'fit\.steps'"),
        ("env=Pendulum-v1", r"unknown setting"),
        ("kwargs=3", r"unknown setting"),
        ("fit.callbacks=3", r"'fit\.callbacks'"),
        ("compile.optimizer=adam", r"'compile\.optimizer'"),
        ("fit=3", r"'fit' has parts: steps, episodes, updates, epochs, n_envs, steps_per_epoch"),
        ("fit.steps=many", r"whole number from 1 on. Received: 'many'"),
        ("fit.steps=0", r"whole number from 1 on. Received: 0"),
        ("fit.steps=true", r"whole number from 1 on. Received: True"),
        ("fit.steps=2.5", r"whole number from 1 on. Received: 2.5"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(assignment, message):
    with pytest.raises(CommandError, match=message):
        settings.resolve(Preset, settings.parse([assignment]))


def test_yaml_and_json_files_say_the_same(tmp_path):
    yaml = tmp_path / "a.yaml"
    yaml.write_text("learning_rate: 1e-3\nnetwork:\n  units: [64, 64]\nfit: {steps: 5e4}\nname: relu\n")
    text = {"learning_rate": 1e-3, "network": {"units": [64, 64]}, "fit": {"steps": 5e4}, "name": "relu"}
    (tmp_path / "a.json").write_text(json.dumps(text))
    assert settings.read(yaml) == settings.read(tmp_path / "a.json") == text


def test_the_record_of_a_run_is_a_config_file(tmp_path):
    record = {"algorithm": "dqn", "environment": "CartPole-v1", "settings": {"seed": 3, "batch_size": 8}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    assert settings.read(tmp_path / "config.json") == {"seed": 3, "batch_size": 8}


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.toml", "", r"\.yaml, \.yml or \.json"),
        ("a.json", "{", "not JSON"),
        ("a.yaml", "a: [1", "not YAML"),
        ("a.yaml", "!!python/object/apply:os.system ['touch /tmp/kagent_canary']", "not YAML"),
        ("a.yaml", "- 1\n- 2\n", "mapping.*list"),
        ("a.json", "3", "mapping.*int"),
    ],
)
def test_a_config_file_that_is_none_is_refused_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(CommandError, match=message) as caught:
        settings.read(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_config_file_and_a_missing_yaml_are_named(tmp_path, monkeypatch):
    with pytest.raises(CommandError, match=r"absent\.json"):
        settings.read(tmp_path / "absent.json")
    (tmp_path / "a.yml").write_text("a: 1")
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(CommandError, match=r"pip install 'kagent\[yaml\]'"):
        settings.read(tmp_path / "a.yml")


def test_tuned_settings():
    dqn = tuned.load("dqn", "CartPole-v1")
    assert dqn["learning_rate"] == {"type": "Linear", "initial": 2.3e-3, "final": 0.0}
    assert dqn["horizon"] == 9 and dqn["target_update_period"] == 10 and dqn["gradient_steps"] == 128
    ppo = tuned.load("ppo", "CartPole-v1")
    assert ppo["fit"] == {"steps": 100_000, "n_envs": 8} and ppo["n_steps"] * 8 == ppo["batch_size"] == 256
    assert tuned.load("ppo", "Pendulum-v1")["discount"] == 0.9
    assert tuned.load("sac", "Pendulum-v1")["fit"]["steps"] == 20_000


def test_tuned_settings_are_looked_up_not_opened_by_path():
    assert tuned.load("sac", "CartPole-v1") is None
    assert tuned.load("../tuned/dqn", "CartPole-v1") is None
    assert tuned.load("", "CartPole-v1") is None
    assert {name: tuned.environments(name) for name in ("dqn", "naf", "absent")} == {
        "dqn": ["CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3", "ALE/*"],
        "naf": ["Pendulum-v1"],
        "absent": [],
    }
    changed = tuned.load("dqn", "CartPole-v1")
    changed["fit"]["steps"] = 1
    assert tuned.load("dqn", "CartPole-v1")["fit"]["steps"] == 50_000
