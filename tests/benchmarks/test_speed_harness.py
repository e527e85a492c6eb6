"""The harness: command line, children's output, their environment, and one tiny run with kagent alone."""

import json
import subprocess
import sys
from types import SimpleNamespace

import children
import pytest

import kagent
from benchmarks import libraries, measurement, run_kagent, run_purejax, run_sb3, speed
from benchmarks.workloads import WORKLOADS


def test_parse_takes_the_last_json_line():
    assert speed.parse(0, 'loading\n{"rate": 1}\n{"rate": 2}\nbye\n', "") == {"rate": 2}


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "said"),
    [
        (1, '{"rate": 1}', "Traceback\nValueError: no", "exit code 1\nTraceback\nValueError: no"),
        (-9, "", "", "exit code -9"),
        (0, "nothing", "", "no JSON line on stdout\nnothing"),
        (0, '{"rate":', "cut", "no JSON line on stdout\ncut"),
    ],
)
def test_parse_turns_failures_into_errors(code, stdout, stderr, said):
    record = speed.parse(code, stdout, stderr)
    assert set(record) == {"error"} and record["error"].startswith(said)


def test_child_that_hangs_is_an_error():
    assert speed.run_child("http.server", ["0"], {}, timeout=0.5) == {"error": "no result within 0.5 s"}


def test_environment_has_exactly_the_thread_settings_asked_for(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--something")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    found = speed.environment({"OMP_NUM_THREADS": "1"})
    assert found["OMP_NUM_THREADS"] == "1" and "XLA_FLAGS" not in found
    assert found["PYTHONPATH"].split(":")[0] == str(speed.ROOT)


def test_libraries_take_turns(monkeypatch, tmp_path, capsys):
    asked = []

    def run_child(module, arguments, settings, timeout):
        asked.append((module.removeprefix("benchmarks.run_"), *arguments, settings.get("OMP_NUM_THREADS")))
        return {"rate": 10.0, "end_mb": 1.5, "peak_mb": 2.0, "base_mb": 1.0, "gradient_steps": 5, "versions": {}}

    monkeypatch.setattr(speed, "run_child", run_child)
    monkeypatch.setattr(libraries.Library, "installed", property(lambda self: True))
    out = tmp_path / "results.json"
    code = speed.main(["--workloads", "W1a,W3", "--runs", "2", "--steps-scale", "0.01", "--out", str(out)])
    assert code == 0
    w1a, w3 = ["W1a", "--steps", "512", "--seed"], ["W3", "--steps", "100", "--seed"]
    expected = [(x, *w1a, seed, "1") for seed in "01" for x in ("kagent", "sb3", "sbx")]
    # The one workload on which PyTorch is given every core.
    expected += [(x, *w3, seed, None if x == "sb3" else "1") for seed in "01" for x in ("kagent", "sb3", "sbx")]
    assert asked == expected
    assert len(json.loads(out.read_text())["records"]) == 12
    assert "| W1a | SB3 | 1.00 |" in capsys.readouterr().out


def test_a_library_without_the_algorithm_has_no_turn(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(speed, "run_child", lambda module, *rest: asked.append(module) or {"error": "none"})
    monkeypatch.setattr(libraries.Library, "installed", property(lambda self: True))
    speed.main(["--workloads", "W6", "--runs", "1"])
    assert asked == ["benchmarks.run_kagent", "benchmarks.run_sb3"]


def test_peers_have_an_interpreter_of_their_own(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        speed, "run_child", lambda module, *rest, **own: asked.append((module, own)) or {"error": "none"}
    )
    monkeypatch.setitem(libraries.LIBRARIES, "sb3", libraries.Library("SB3", "json", "benchmarks.run_sb3", {"one": {}}))
    here = ["--peers", sys.executable, "--runs", "1"]
    speed.main(["--workloads", "I1", *here])
    assert asked == [("benchmarks.run_kagent", {}), ("benchmarks.run_sb3", {"python": sys.executable})]
    monkeypatch.setitem(
        libraries.LIBRARIES, "sb3", libraries.Library("SB3", "no_such", "benchmarks.run_sb3", {"one": {}})
    )
    speed.main(["--workloads", "I2", *here])
    assert asked[2:] == [("benchmarks.run_kagent", {})]


def test_pixels_are_the_same_for_every_library():
    env = measurement.make_env(WORKLOADS["I1"])
    assert env.observation_space == kagent.environments.make("ALE/Pong-v5").envs[0].observation_space
    assert env.observation_space.shape == (4, 84, 84)


def test_failed_child_makes_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(speed, "run_child", lambda *args: {"error": "exit code 1\nValueError: no"})
    assert speed.main(["--workloads", "W4", "--libraries", "kagent", "--runs", "1"]) == 1
    assert "ValueError: no" in capsys.readouterr().out


def test_missing_peer_is_said(monkeypatch, capsys):
    monkeypatch.setattr(speed, "run_child", lambda *args: {"error": "none"})
    monkeypatch.setattr(libraries.Library, "installed", property(lambda self: self.title != "SBX"))
    speed.main(["--workloads", "W4", "--runs", "1"])
    assert "not installed, so not compared: SBX" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workloads", "W99"], "unknown workload: ['W99']; known: ['W0', 'W1a'"),
        (["--libraries", "tianshou"], "unknown library: ['tianshou']"),
        (["--threads", "three"], "unknown 'three'; known: best, calibrate, all, one"),
        (["--runs", "0"], "--runs must be at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments, said, capsys):
    with pytest.raises(SystemExit):
        speed.main(arguments)
    assert said in capsys.readouterr().err


def test_calibration_keeps_the_best_median(monkeypatch, capsys):
    # "all" has the best single run and the worse median; one of its runs failed and counts as 0.
    rates = {"one": iter([5.0, 6.0, 5.0]), "all": iter([99.0, None, 4.0])}
    turns = []

    def measure(name, library, run, setting, scale, timeout, peers):
        turns.append((run, setting))
        rate = next(rates[setting])
        return {"steady_rate": rate} if rate else {"error": "exit code 1\nno memory"}

    monkeypatch.setattr(speed, "measure", measure)
    assert speed.calibrate(["W3"], ["sb3"], 3, 1.0, 1.0) == {("sb3", "W3"): "one"}
    assert turns == [(run, setting) for run in range(3) for setting in ("one", "all")]
    assert "W3 sb3 (all) FAILED: no memory" in capsys.readouterr().err


def test_steps_are_whole_updates():
    assert WORKLOADS["W1a"].scaled(1.0) == 50_176 and WORKLOADS["W1a"].scaled(1.0) % 256 == 0
    assert WORKLOADS["W2a"].scaled(1.0) % (8 * 32) == 0
    assert WORKLOADS["W2b"].scaled(0.0001) == 2048
    assert WORKLOADS["W4"].scaled(0.05) == 1000
    assert WORKLOADS["C1-8"].scaled(0.0001) == 10 * 8 * 32 and WORKLOADS["C1-512"].scaled(0.0001) == 512 * 32


def test_timeline_separates_the_first_update(monkeypatch):
    times = iter([10.0, 11.0, 13.0, 23.0])
    monkeypatch.setattr(measurement, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    clock = measurement.Timeline()
    clock.start()
    clock.update(200)
    clock.update(300)
    clock.end(1200)
    assert clock.figures() == {
        "steps": 1200,
        "seconds": 12.0,
        "construction_seconds": 1.0,
        "rate": 100.0,
        "steady_rate": 100.0,
        "first_update_seconds": 3.0,
    }


def test_keywords_of_the_peers():
    name, words = run_sb3.keywords(WORKLOADS["W1b16"])
    assert (name, words["train_freq"], words["gradient_steps"]) == ("DQN", 64, 16)
    name, words = run_sb3.keywords(WORKLOADS["W5"])
    assert (name, words["policy_delay"], words["train_freq"], words["learning_starts"]) == ("TD3", 2, 1, 100)
    name, words = run_sb3.keywords(WORKLOADS["W6"])
    assert (name, words["policy_kwargs"], words["gradient_steps"]) == ("QRDQN", {"n_quantiles": 10}, 128)
    name, words = run_sb3.keywords(WORKLOADS["W7"])
    assert name == "TQC" and words["policy_kwargs"] == {"n_quantiles": 25, "n_critics": 2}
    name, words = run_sb3.keywords(WORKLOADS["W2a"])
    assert name == "PPO" and words["learning_rate"](0.5) == 5e-4 and words["clip_range"](0.5) == 0.1
    name, words = run_sb3.keywords(WORKLOADS["W8"])
    assert (name, words["n_steps"], words["vf_coef"], words["rms_prop_eps"]) == ("A2C", 5, 0.5, 1e-5)
    name, words = run_sb3.keywords(WORKLOADS["W9"])
    assert (name, words["target_kl"], words["n_critic_updates"], words["batch_size"]) == ("TRPO", 0.01, 20, 512)
    name, words = run_sb3.keywords(WORKLOADS["W10"])
    assert (name, words["tau"], "policy_delay" in words) == ("DDPG", 0.005, False)
    name, words = run_sb3.keywords(WORKLOADS["W11"])
    assert (name, words["policy_delay"], "tau" in words) == ("CrossQ", 3, False)
    name, words = run_sb3.keywords(WORKLOADS["W12"])
    assert (name, words["n_epochs"], words["policy_kwargs"]) == ("RecurrentPPO", 20, {"lstm_hidden_size": 64})


@pytest.mark.parametrize(
    ("name", "preset", "batch_size", "steps"),
    [
        ("W5", "TD3", 256, 1),
        ("W7", "TQC", 256, 1),
        ("W8", "A2C", 8 * 5, 1),
        ("W9", "TRPO", 2 * 512, 1),
        ("W10", "DPG", 256, 1),
        ("W11", "CrossQ", 256, 1),
        ("W12", "RecurrentPPO", 256, 20),
    ],
)
def test_agents_of_workloads(name, preset, batch_size, steps):
    workload = WORKLOADS[name]
    agent = run_kagent.agent_of(workload, workload.env, 0)
    assert type(agent) is getattr(kagent, preset)
    update = agent.update_rule
    assert (update.batch_size, update.epochs or update.steps) == (batch_size, steps)
    assert agent.reward_estimation.discount == workload.algorithm.discount


def test_the_program_in_jax_takes_as_many_gradient_steps():
    # Measured of kagent with the same numbers of timesteps: 15,680, 1,968 and 24,751.
    assert run_purejax.gradient_steps(WORKLOADS["C1-8"], 250_880) == 980 * 4 * 4 == 15_680
    assert run_purejax.gradient_steps(WORKLOADS["C1-512"], 2_015_232) == 123 * 16 == 1_968
    assert run_purejax.gradient_steps(WORKLOADS["C2"], 100_000) == (100_000 - 1_000) // 4 + 1 == 24_751


def test_importing_the_harness_imports_no_library():
    modules = "speed, run_kagent, run_sb3, run_sbx, run_purejax, imports, table"
    program = f"import sys; from benchmarks import {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=speed.ROOT, capture_output=True, text=True, check=True)
    heavy = {
        "kagent",
        "keras",
        "tensorflow",
        "torch",
        "jax",
        "gymnax",
        "stable_baselines3",
        "sbx",
        "gymnasium",
        "numpy",
    }
    assert not heavy & set(loaded.stdout.split())


def test_child_that_prints_a_record(tmp_path):
    (tmp_path / "record.json").write_text('{"rate": 1}')
    assert speed.run_child("json.tool", ["--compact", str(tmp_path / "record.json")], {}, timeout=60) == {"rate": 1}


def test_tiny_run_with_kagent(monkeypatch):
    monkeypatch.setattr(speed, "run_child", children.run)
    record = speed.measure("W1b", "kagent", 0, "one", scale=0.024, timeout=300)
    assert "error" not in record, record
    # Learning begins at step 1,000: updates are due at 1000, 1004, ..., 1200.
    assert record["steps"] == 1200 and 50 <= record["gradient_steps"] <= 51
    assert 0 < record["rate"] < record["steady_rate"]
    assert record["first_update_seconds"] > record["construction_seconds"] > 0
    assert record["peak_mb"] >= record["end_mb"] > record["base_mb"] > 0
    assert record["episodes"] > 10 and 8 < record["episode_return"] < 100
    assert record["threads"]["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"


def test_greedy_acting_with_kagent(monkeypatch):
    monkeypatch.setattr(speed, "run_child", children.run)
    record = speed.measure("W4", "kagent", 0, "one", scale=0.05, timeout=300)
    assert "error" not in record, record
    assert record["steps"] == 1000 and record["rate"] > 0 and record["numpy_rate"] > 0
