"""`kagent doctor` and `kagent watch`."""

import csv
import dataclasses
import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Identity

import kagent
from kagent import diagnosis
from kagent.cli import main, watch


class Blind(gymnasium.Env):
    """Cannot be drawn, and returns four values where it is broken."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(2)

    def __init__(self, broken=False, render_mode=None):
        self.broken = broken

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        found = self.np_random.uniform(-1, 1, 2).astype(np.float32), 1.0, bool(self.np_random.random() < 0.1), False, {}
        return found[:4] if self.broken else found


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    gymnasium.register("Blind-v0", Blind)
    yield
    del gymnasium.registry["Blind-v0"]


def agent(file, env="CartPole-v1"):
    """A file of an agent that has not learned."""
    kagent.PPO(env, network={"type": "mlp", "units": [4]}, n_steps=8, batch_size=8, seed=0).save(file)


def run_of(folder, seed=0, returns=(200.0,) * 20, settings=None, config=None, **columns):
    """The folder of a run, as `kagent train` leaves it, of so many rows of a log; `settings` of the preset."""
    folder.mkdir(parents=True)
    made = kagent.DQN("CartPole-v1", memory=1000, network={"type": "mlp", "units": [4]}, seed=0, **(settings or {}))
    record = {
        "algorithm": "dqn", "environment": "CartPole-v1", "seed": seed, "agent": made.get_config(),
        "settings": {"seed": seed, "fit": {"steps": 6000}},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps({**record, **(config or {})}, default=str))
    rows = {
        "timesteps": [1000 * i for i in range(1, 7)], "updates": [250 * i for i in range(6)], "episodes": [20 * i for i in range(6)],
        "episode_return": ["", 20.0, 30.0, 80.0, 150.0, 200.0], "episode_length": ["", 20.0, 30.0, 80.0, 150.0, 200.0],
        "loss": ["", 1.0, 0.9, 0.8, 0.7, 0.6], "q_mean": ["", 1.0, 5.0, 20.0, 40.0, 60.0], **columns,
    }  # fmt: skip
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([rows, *zip(*rows.values())])
    evaluation = {"returns": list(returns), "lengths": [200] * len(returns), "mean": float(np.mean(returns))}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    return folder


def found(capsys, *arguments):
    """Exit code and the findings of `kagent doctor --json`."""
    code = main(["doctor", "--json", *map(str, arguments)])
    return code, json.loads(capsys.readouterr().out)


def test_an_environment(capsys):
    code, said = found(capsys, "Blind-v0", "--steps", "50")
    assert (code, said["findings"], len(said["random_returns"])) == (0, [], 10)
    code, said = found(capsys, "Blind-v0", "--env-kwargs", "broken=true")
    assert (code, [finding["name"] for finding in said["findings"]], said["random_returns"]) == (1, ["step_result"], [])
    assert main(["doctor", "CartPole-v1", "--steps", "50"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Doctor: 1 finding. CartPole-v1, 50 random steps. Random play returns ")
    assert max(map(len, said.splitlines())) <= 80


def test_no_tensorflow_is_needed(tmp_path):
    agent(run_of(tmp_path / "run") / "agent.keras")
    program = (
        "import sys; from kagent.cli import main; codes = [main(['doctor', target]) for target in sys.argv[1:]]; "
        "assert codes == [0, 0], codes; assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, "CartPole-v1", str(tmp_path / "run")], check=True, timeout=60)


def test_a_healthy_run(tmp_path, capsys):
    folder = run_of(tmp_path / "run")
    agent(folder / "agent.keras")
    assert found(capsys, folder) == (0, {"runs": {str(folder): []}, "together": []})
    assert main(["doctor", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{folder}: dqn on CartPole-v1, seed 0\nDoctor: nothing found. 6,000 timesteps,")
    assert "those of random play" in said


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("no_better_than_random", {"returns": [20.0, 21.0, 19.0, 20.0, 20.0]}),
        ("no_updates", {"updates": [0] * 6}),
        ("values_diverging", {"q_mean": [1.0, 2.0, 30.0, 400.0, 5000.0, 60000.0]}),
        ("exploration_endless", {"settings": {"exploration": 0.8}}),
    ],
)
def test_a_run_with_an_illness(tmp_path, capsys, name, arguments):
    folder = run_of(tmp_path / "run", **arguments)
    agent(folder / "agent.keras")
    code, said = found(capsys, folder)
    names = [finding["name"] for finding in said["runs"][str(folder)]]
    assert name in names and code == int(name != "exploration_endless")


def test_the_record_of_a_doctor_is_what_counts(tmp_path, capsys):
    folder = run_of(tmp_path / "run")
    record = diagnosis.Record(timesteps=6000, gradient_steps=9, single_choice=1.0, baseline=(1.0,) * 5)
    (folder / "doctor.json").write_text(json.dumps(diagnosis.to_json(record)))
    code, said = found(capsys, folder)
    assert (code, [finding["name"] for finding in said["runs"][str(folder)]]) == (
        1, ["masks_leave_one_action"],
    )  # fmt: skip
    (folder / "doctor.json").write_text("{}")
    assert main(["doctor", str(folder)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_run_of_recorded_episodes(tmp_path, capsys):
    """Its log counts gradient steps: there are no timesteps and no episodes in it."""
    fit = {"settings": {"seed": 0, "fit": {"updates": 1250}}, "data": "episodes"}
    folder = run_of(tmp_path / "run", returns=[20.0, 21.0, 19.0, 20.0, 20.0], config=fit)
    agent(folder / "agent.keras")
    with (folder / "log.csv").open(newline="") as file:
        rows = [row[1:2] + row[5:] for row in csv.reader(file)]
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    code, said = found(capsys, folder)
    (finding,) = said["runs"][str(folder)]
    assert (code, finding["name"], finding["severity"]) == (1, "no_better_than_random", "severe")


def test_seeds_are_judged_together(tmp_path, capsys):
    for seed, value in enumerate((60.0, 62.0, 500.0)):
        agent(run_of(tmp_path / "runs" / f"seed-{seed}", seed, [value] * 20) / "agent.keras")
    code, said = found(capsys, tmp_path / "runs")
    assert code == 0 and [finding["name"] for finding in said["together"]] == ["seed_dominates"]
    assert len(said["runs"]) == 3
    code, said = found(capsys, tmp_path / "runs", "--no-play")
    assert [finding["name"] for finding in said["together"]] == ["seed_dominates"]


def test_a_run_that_is_not_over_is_not_judged_as_if(tmp_path, capsys):
    folder = run_of(tmp_path / "run", returns=[9.0] * 20)
    config = json.loads((folder / "config.json").read_text())
    config["settings"]["fit"]["steps"] = 60_000
    (folder / "config.json").write_text(json.dumps(config))
    assert found(capsys, folder)[0] == 0
    main(["doctor", str(folder)])
    assert "The run has not come to its end." in " ".join(capsys.readouterr().out.split())


def test_damaged_and_unknown_targets(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    cases = {
        "no folder of a run": [tmp_path / "empty"],
        "no such folder": [tmp_path / "empty", tmp_path / "nowhere"],
        "Unknown environment id": ["CartPool-v1"],
        "--env-kwargs and --wrapper are for ENV": [tmp_path / "empty", "--env-kwargs", "a=1"],
    }
    for message, arguments in cases.items():
        assert main(["doctor", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
    folder = run_of(tmp_path / "run")
    (folder / "log.csv").write_text("")
    assert main(["doctor", str(folder)]) == 2 and "no epoch in" in capsys.readouterr().err
    (folder / "log.csv").unlink()
    assert main(["doctor", str(folder)]) == 2 and "cannot read" in capsys.readouterr().err


def test_a_damaged_run_among_others_is_left_out(tmp_path, capsys):
    damaged = run_of(tmp_path / "runs" / "seed-0", 0)
    (damaged / "log.csv").write_text("")
    agent(run_of(tmp_path / "runs" / "seed-1", 1) / "agent.keras")
    assert main(["doctor", str(tmp_path / "runs"), "--json", "--no-play"]) == 0
    said = capsys.readouterr()
    assert list(json.loads(said.out)["runs"]) == [str(tmp_path / "runs" / "seed-1")]
    assert said.err == f"kagent: Left out: {damaged}: no epoch in {damaged / 'log.csv'}: nothing to judge\n"
    (tmp_path / "runs" / "seed-1" / "config.json").write_text("{")
    assert main(["doctor", str(tmp_path / "runs"), "--no-play"]) == 2
    assert capsys.readouterr().err.endswith("there is no run to judge among 2 folders\n")


@pytest.mark.eager
def test_what_train_leaves(tmp_path, capsys, monkeypatch):
    from kagent.cli import process

    monkeypatch.setattr(process, "prepare", lambda: None)
    small = ["network.units=[4]", "n_steps=16", "batch_size=16", "epochs=1", "compile.run_eagerly=true"]
    options = [text for one in small for text in ("--set", one)]
    folder = tmp_path / "run"
    command = [
        "train",
        "ppo",
        "Blind-v0",
        "--steps",
        "64",
        "--seed",
        "0",
        "--eval-episodes",
        "0",
        "--doctor",
        "--out",
        str(folder),
    ]
    assert main([*command, *options]) == 0
    assert "Doctor: " in capsys.readouterr().out
    record = diagnosis.from_json(json.loads((folder / "doctor.json").read_text()))
    assert (record.timesteps, record.gradient_steps, len(record.baseline)) == (64, 4, 10)
    main(["doctor", str(folder)])
    assert "64 timesteps" in capsys.readouterr().out
    assert json.loads((folder / "config.json").read_text())["options"]["doctor"] is True


# watch -----------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(monkeypatch):
    from kagent.cli import process

    monkeypatch.setattr(process, "prepare", lambda: None)


def test_a_window(tmp_path, capsys, prepared):
    agent(tmp_path / "agent.keras")
    assert main(["watch", str(tmp_path / "agent.keras"), "CartPole-v1", "--episodes", "1", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("episode 1: return ") and said.count("\n") == 1


def test_the_best_agent_is_shown_unless_the_last_one_is_asked_for(tmp_path, capsys, prepared, monkeypatch):
    from kagent.environments import rendering

    folder, loaded = run_of(tmp_path / "run"), []
    for name in ("agent.keras", "best.keras"):
        agent(folder / name)
    monkeypatch.setattr(watch, "load", lambda arguments: loaded.append(arguments.file.name))
    monkeypatch.setattr(rendering, "show", lambda *arguments, **options: iter([]))
    assert main(["watch", str(folder)]) == main(["watch", str(folder), "--last"]) == 0
    assert loaded == ["best.keras", "agent.keras"]


def test_why_there_is_no_window(tmp_path, capsys, prepared, monkeypatch):
    agent(tmp_path / "agent.keras", Blind)
    file = str(tmp_path / "agent.keras")
    assert main(["watch", file, "Blind-v0"]) == 2
    said = capsys.readouterr().err
    assert "Blind-v0 has no render mode 'human', only none" in said and f"kagent record {file} --out film.gif" in said
    for name in ("SDL_VIDEODRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["watch", file, "CartPole-v1"]) == 2
    said = capsys.readouterr().err
    assert "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)" in said and "kagent record" in said


def test_returns_of_what_is_shown():
    """A constant agent plays Identity, whose return lies between 0 and its ten steps."""
    from kagent.environments import rendering

    env = Identity(spaces.Discrete(2))
    constant = kagent.Constant(observation_space=env.observation_space, action_space=env.action_space, seed=0)
    returns = list(rendering.show(constant, env, episodes=2, seed=0))
    assert len(returns) == 2 and all(0.0 <= value <= 10.0 for value in returns)
    with pytest.raises(ValueError, match="The environment's observation_space is not the agent's"):
        list(rendering.show(constant, Identity(spaces.Discrete(3))))


def test_unknown_numbers_are_null_in_json():
    assert dataclasses.replace(diagnosis.Finding("a", "advice", "b"), numbers={"x": float("nan")}).to_json()[
        "numbers"
    ] == {"x": None}
