"""`kagent train` and what follows it, from the outside as a user would."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import forked
import gymnasium
import imageio.v2 as imageio
import pytest
from variants import with_few

from kagent import tuned
from kagent.cli import algorithms, main, process, settings

SMALL = [
    "--set",
    "network.units=[16]",
    "--set",
    "gradient_steps=2",
    "--set",
    "frequency=8",
    "--set",
    "start=64",
]
# Environments that misbehave on purpose, found by gymnasium as module:id.
MODULE = """
import pathlib, time
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

class Sleepy(CartPoleEnv):
    count = 0
    def step(self, action):
        self.count += 1
        if self.count == 200:
            pathlib.Path("asleep").touch()
            time.sleep(300)
        return super().step(action)

class Faulty(CartPoleEnv):
    count = 0
    def step(self, action):
        self.count += 1
        if self.count == 200:
            raise ValueError("the cart has lost a wheel")
        return super().step(action)

gymnasium.register("Sleepy-v0", Sleepy, max_episode_steps=500)
gymnasium.register("Faulty-v0", Faulty, max_episode_steps=500)
"""


def kagent(*arguments, cwd):
    return forked.run(["-m", "kagent", *arguments], cwd, environment(cwd))


def start(*arguments, cwd):
    return forked.Child(["-m", "kagent", *arguments], cwd, environment(cwd))


def environment(cwd):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = os.pathsep.join([str(cwd), root, os.environ.get("PYTHONPATH", "")])
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return {**inherited, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "-1"}  # as quiet as a user has it


@pytest.fixture
def here(base, monkeypatch, capsys):
    """The command line in this process, where TensorFlow is imported already: seconds less for each call."""
    monkeypatch.setattr(process, "prepare", lambda: None)
    monkeypatch.chdir(base)

    def call(*arguments):
        code = main([*map(str, arguments)])
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return call


def wait(condition, child, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def trained(base):
    """A short run, and what it printed."""
    options = ["--steps", 600, "--seed", 3, "--eval-episodes", 3, *SMALL, "--set", "compile.jit_compile=false"]
    program = "import sys; from kagent.cli import main; code = main(); print('later', file=sys.stderr); raise SystemExit(code)"
    command = [sys.executable, "-c", program, "train", "DQN", "CartPole-v1", "--out", "run", *map(str, options)]
    result = subprocess.run(command, cwd=base, env=environment(base), capture_output=True, text=True, timeout=300)
    assert (result.returncode, result.stderr) == (0, "later\n")  # TensorFlow says nothing, and leaves stderr as it was
    return base / "run", result.stdout


def test_a_run_leaves_a_folder_one_can_read(trained):
    folder, output = trained
    names = {"config.json", "versions.json", "log.csv", "tensorboard", "agent.keras", "evaluation.json", "checkpoints"}
    assert {path.name for path in folder.iterdir()} == names
    config = json.loads((folder / "config.json").read_text())
    assert (config["algorithm"], config["environment"], config["seed"]) == ("dqn", "CartPole-v1", 3)
    assert config["settings"]["network"] == {"type": "mlp", "units": [16], "activation": "relu"}
    assert config["settings"]["learning_rate"]["initial"] == 2.3e-3  # tuned, not overridden
    assert config["settings"]["fit"]["steps"] == 600
    assert config["command"].startswith("kagent train DQN CartPole-v1 --out run --steps 600")
    assert config["agent"]
    versions = json.loads((folder / "versions.json").read_text())
    assert {"python", "kagent", "keras", "tensorflow", "numpy", "gymnasium", "platform"} <= set(versions)
    evaluation = json.loads((folder / "evaluation.json").read_text())
    returns = evaluation["returns"]
    assert evaluation["episodes"] == len(returns) == 3 and evaluation["timesteps"] == 600
    assert evaluation["mean"] == pytest.approx(sum(returns) / 3) and evaluation["max"] == max(returns)
    assert str(folder.name) in output and "agent.keras" in output and "return: mean" in output


def test_the_log_counts_timesteps_and_the_tensorboard_agrees(trained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder, output = trained
    log = rows(folder)
    assert [int(float(row["timesteps"])) for row in log] == [100, 200, 300, 400, 500, 600]
    assert float(log[-1]["updates"]) > 0 and float(log[-1]["episode_return"]) > 0
    assert "steps_per_second" in log[0]
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert "rollout/episode_return" in events.Tags()["tensors"]
    tags = events.Tags()["tensors"]
    assert [event.step for event in events.Tensors("time/timesteps")] == [100, 200, 300, 400, 500, 600]
    assert len(tags) > 5 and not any(name.startswith("val_") for name in log[0])
    assert "episode_return: " in output and "episodes: " in output  # the progress
    assert "nan" not in output and "inf" not in output and max(map(len, output.splitlines()[1:])) < 80


@pytest.mark.thorough
@pytest.mark.xla  # as the run of a plain process that it is compared to
def test_the_same_command_makes_the_same_run(trained, base):
    result = kagent("train", "dqn", "CartPole-v1", "--config", "run/config.json", "--out", "again", cwd=base)
    assert result.returncode == 0, result.stderr
    timed = {"steps_per_second"}
    first, second = (
        [{k: v for k, v in row.items() if k not in timed} for row in rows(base / name)] for name in ("run", "again")
    )
    assert first == second and json.loads((base / "again" / "config.json").read_text())["seed"] == 3


@pytest.mark.thorough
def test_every_epoch_of_a_rollout_algorithm_has_an_update(base, here):
    options = ["--steps", 3000, "--seed", 0, "--out", "ppo", "--eval-episodes", 0, "--quiet"]
    result = here("train", "ppo", "CartPole-v1", *options, "--set", "n_steps=64", "--set", "compile.jit_compile=false")
    assert result.returncode == 0, result.stderr
    assert [int(float(row["timesteps"])) for row in rows(base / "ppo")] == [512, 1024, 1536, 2048, 2560, 3000]
    assert all(float(row["loss"]) == float(row["loss"]) for row in rows(base / "ppo")[:-1])  # a number
    config = json.loads((base / "ppo" / "config.json").read_text())
    assert config["agent"]["n_envs"] == config["settings"]["fit"]["n_envs"] == 8
    assert not (base / "ppo" / "evaluation.json").exists()


def test_evaluate_reports_and_repeats(trained, base, here):
    arguments = ["evaluate", "run/agent.keras", "CartPole-v1", "--episodes", 4, "--seed", 1]
    result = here(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert summary["episodes"] == len(summary["returns"]) == 4 and summary["deterministic"]
    assert summary["mean"] == pytest.approx(summary["length_mean"])  # CartPole pays 1 per step
    assert len(summary["lengths"]) == 4 and summary["length_min"] == summary["min"]
    text = here(*arguments).stdout
    for name in ("mean", "std", "min", "max"):
        assert f"{name} {summary[name]:.1f}" in text
    sampled = here(*arguments, "--json", "--stochastic")
    assert sampled.returncode == 0 and not json.loads(sampled.stdout)["deterministic"]


def test_evaluate_refuses_other_spaces_and_other_files(trained, base, here):
    other = here("evaluate", "run/agent.keras", "Pendulum-v1")
    assert other.returncode == 2 and other.stderr.startswith("kagent: error: ") and "Traceback" not in other.stderr
    (base / "noise.keras").write_bytes(b"noise")
    noise = here("evaluate", "noise.keras", "CartPole-v1")
    film = here("record", "run/agent.keras", "Pendulum-v1", "--out", "other.gif")
    assert film.returncode == 2 and "observation_space is not the agent's" in film.stderr
    assert noise.returncode == 2 and "not a .keras file" in noise.stderr and "Traceback" not in noise.stderr


@pytest.mark.thorough
@pytest.mark.sensitive
def test_what_is_evaluated_and_filmed_is_what_was_trained(base, here, seed_shift):
    options = ["--steps", 6000, "--seed", seed_shift, "--out", "better", "--quiet", "--eval-episodes", 5]
    assert kagent("train", "ppo", "CartPole-v1", *options, cwd=base).returncode == 0
    found = json.loads((base / "better" / "evaluation.json").read_text())
    again = here("evaluate", "better/agent.keras", "CartPole-v1", "--episodes", 5, "--seed", seed_shift, "--json")
    assert json.loads(again.stdout)["returns"] == found["returns"] and found["min"] > 40  # untrained: 8 to 12
    film = here("record", "better/agent.keras", "CartPole-v1", "--out", "better.mp4", "--max-steps", 40)
    assert film.returncode == 0 and "return 40.0" in film.stdout, film


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_record_films_the_agent(trained, base, here, suffix):
    arguments = ["run/agent.keras", "CartPole-v1", "--out", f"film{suffix}", "--max-steps", 30, "--seed", 0]
    result = here("record", *arguments)
    assert result.returncode == 0, result.stderr
    with imageio.get_reader(base / f"film{suffix}") as reader:
        frames = [frame[..., :3] for frame in reader]
    assert len(frames) > 1 and frames[0].shape == (400, 600, 3) and (frames[0] != frames[-1]).any()
    assert f"film{suffix}" in result.stdout and "frames at 50 per second" in result.stdout


def test_plot_draws_the_run(trained, base, here):
    result = here("plot", "run", "--out", "curve.png")
    assert result.returncode == 0, result.stderr
    assert len(set(imageio.imread(base / "curve.png")[..., 0].ravel().tolist())) > 10


def test_ctrl_c_once_stops_cleanly_and_saves(base):
    child = start("train", "dqn", "CartPole-v1", "--steps", 10_000_000, "--out", "stopped", *SMALL,
                    "--set", "fit.steps_per_epoch=200", cwd=base)  # fmt: skip
    log = base / "stopped" / "log.csv"
    wait(lambda: log.exists() and log.read_text().count("\n") > 2, child)
    for _ in range(2):  # one, forwarded by a supervisor
        child.send_signal(signal.SIGINT)
        time.sleep(0.005)
    output, error = child.communicate(timeout=60)
    assert child.returncode == 130, error
    assert "Traceback" not in error and error.count("Stopping") == 1
    last = [line for line in output.splitlines() if "/200 - " in line][-1]
    # Of an epoch that had not begun it may say 0.
    assert int(last.split("/")[0]) % 200 == int(float(rows(base / "stopped")[-1]["timesteps"])) % 200
    assert "stopped before its end" in output and "agent.keras" in output
    assert not (base / "stopped" / "evaluation.json").exists()
    result = kagent("evaluate", "stopped/agent.keras", "CartPole-v1", "--episodes", 1, cwd=base)
    assert result.returncode == 0, result.stderr


@pytest.mark.thorough
def test_sigterm_is_a_first_ctrl_c(base):
    child = start("train", "ppo", "CartPole-v1", "--steps", 10_000_000, "--out", "ended", "--quiet",
                    "--set", "fit.steps_per_epoch=512", cwd=base)  # fmt: skip
    log = base / "ended" / "log.csv"
    wait(lambda: log.exists() and log.read_text().count("\n") > 1, child)
    child.send_signal(signal.SIGTERM)
    output, error = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM, error
    assert "Traceback" not in error and (base / "ended" / "agent.keras").exists()
    assert "Epoch" not in output  # quiet


@pytest.mark.thorough
def test_ctrl_c_twice_stops_at_once(base):
    (base / "misbehaving.py").write_text(MODULE)
    child = start("train", "dqn", "misbehaving:Sleepy-v0", "--steps", 10_000, "--out", "killed", *SMALL, cwd=base)
    wait((base / "asleep").exists, child)
    child.send_signal(signal.SIGINT)
    time.sleep(1)
    assert child.poll() is None  # still in the step that takes five minutes
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=30)
    assert child.returncode == 130 and "Traceback" not in error and "interrupted" in error
    assert not (base / "killed" / "agent.keras").exists()


def test_an_environment_that_raises_keeps_its_traceback_and_the_agent_is_saved(base):
    (base / "misbehaving.py").write_text(MODULE)
    result = kagent("train", "dqn", "misbehaving:Faulty-v0", "--steps", 10_000, "--out", "broken", *SMALL, cwd=base)
    assert result.returncode == 1
    assert "the cart has lost a wheel" in result.stderr and "misbehaving.py" in result.stderr
    assert "broken/agent.keras" in result.stderr and (base / "broken" / "agent.keras").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["dqn", "Cartpole-v77"], "Cartpole-v77"),
        (["sac", "CartPole-v1"], "Discrete"),
        (["dqn", "CartPole-v1", "--set", "batchsize=3"], "Did you mean 'batch_size'"),
        (["dqn", "CartPole-v1", "--set", "batch_size=-3"], "batch_size"),
        (["dqn", "CartPole-v1", "--set", "exploration.fractoin=0.2"], "fractoin"),
        (["dqn", "CartPole-v1", "--set", 'learning_rate={"type": "Cosine"}'], "initial"),
        (["dqn", "CartPole-v1", "--set", "compile.jit_compile=maybe"], "jit_compile"),
    ],
)
def test_bad_input_gives_one_clear_message_and_leaves_nothing(tmp_path, monkeypatch, here, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = here("train", *arguments, "--steps", 100)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr and "Traceback" not in result.stderr
    assert "kagent: error: " in result.stderr and not list(tmp_path.iterdir())


LANDER = gymnasium.spaces.Box(-10.0, 10.0, (8,))  # box2d and mujoco need not be installed
SPACES = {
    "ALE/*": {
        "observation_space": gymnasium.spaces.Box(0, 255, (4, 84, 84), "uint8"),
        "action_space": gymnasium.spaces.Discrete(6),
    },
    "LunarLander-v3": {"observation_space": LANDER, "action_space": gymnasium.spaces.Discrete(4)},
    "LunarLanderContinuous-v3": {"observation_space": LANDER, "action_space": gymnasium.spaces.Box(-1.0, 1.0, (2,))},
    **{
        name: {
            "observation_space": gymnasium.spaces.Box(-10.0, 10.0, (observed,)),
            "action_space": gymnasium.spaces.Box(-1.0, 1.0, (moved,)),
        }
        for name, observed, moved in (("HalfCheetah-v5", 17, 6), ("Hopper-v5", 11, 3))
    },
}


@pytest.mark.parametrize(
    ("algorithm", "environment"),
    [
        pytest.param(one.name, env, marks=pytest.mark.thorough if number else [])
        for one in algorithms.ALGORITHMS
        for number, env in enumerate(tuned.environments(one.name))
    ],
)
def test_tuned_settings_make_the_preset(algorithm, environment):
    preset = algorithms.find(algorithm).load()
    resolved = settings.resolve(preset, tuned.load(algorithm, environment))
    arguments = {key: value for key, value in resolved.items() if key not in ("fit", "compile")}
    if isinstance(arguments.get("memory"), int):
        arguments["memory"] = 1000  # storage of a million rows is not what is tested
    arguments |= {"seed": 0, "n_envs": resolved["fit"].get("n_envs")}
    if arguments["n_envs"] is None:
        del arguments["n_envs"]
    agent = preset(**SPACES[environment], **arguments) if environment in SPACES else preset(environment, **arguments)
    for argument in {"normalize", "discount", "batch_size"} & set(arguments):
        assert getattr(agent, argument) == arguments[argument]


# The command line is the same for all; those that are as another one to it are marked `thorough`.
@pytest.mark.parametrize(
    "algorithm",
    with_few(
        "duelingdqn vpg a2c trpo td3 rainbow crossq double-dqn dpg ac qr-dqn c51 tqc discrete-sac naf pqn impala".split(),
        fast=("duelingdqn", "a2c", "td3"),
    ),
)
def test_every_preset_trains(here, base, algorithm):
    env = "Pendulum-v1" if algorithm in ("dpg", "td3", "tqc", "naf", "crossq") else "CartPole-v1"
    options = ("--steps", 150, "--seed", 1, "--eval-episodes", 1, "--set", "compile.jit_compile=false", "--quiet")
    result = here("train", algorithm, env, "--out", algorithm, *options)
    assert result.returncode == 0, result.stderr
    assert {"agent.keras", "log.csv", "evaluation.json"} <= {path.name for path in (base / algorithm).iterdir()}
    assert json.loads((base / algorithm / "config.json").read_text())["algorithm"] == algorithm.replace("-", "")
    assert float(rows(base / algorithm)[-1]["timesteps"]) >= 150


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf", "nan"])
def test_a_step_timeout_that_is_none_is_refused(here, text):
    result = here("train", "dqn", "CartPole-v1", "--step-timeout", text)
    assert result.returncode == 2 and "must be a number of seconds above 0" in result.stderr
    result = here("train", "dqn", "CartPole-v1", "--set", f"fit.step_timeout={text}")
    assert result.returncode == 2 and "fit.step_timeout" in result.stderr


@pytest.mark.thorough
def test_an_environment_that_hangs_ends_training(base):
    (base / "misbehaving.py").write_text(MODULE)
    arguments = ("--steps", 10_000, "--out", "hung", "--step-timeout", 2, *SMALL)
    result = kagent("train", "dqn", "misbehaving:Sleepy-v0", *arguments, cwd=base)
    assert result.returncode == 2
    assert (
        "Traceback" not in result.stderr
        and "kagent: error: env 0" in result.stderr
        and "step_timeout=2 seconds" in result.stderr
    )
    assert (base / "hung" / "agent.keras").exists()
    assert json.loads((base / "hung" / "config.json").read_text())["settings"]["fit"]["step_timeout"] == 2


OWN = """
import dataclasses
import kagent

@kagent.register_part("cautious")
@dataclasses.dataclass(frozen=True)
class CautiousObjective(kagent.objectives.ActionValueObjective):
    margin: float = 0.1

@kagent.register_agent("cli_own", summary="for a test")
class Own(kagent.DQN):
    def __init__(self, env=None, *, margin=0.2, **parts):
        super().__init__(env, **{"objective": CautiousObjective(margin=margin), **parts})

class Unregistered(kagent.DQN):
    pass
"""


@pytest.mark.thorough
def test_an_agent_of_ones_own_is_trained_and_evaluated(base, here, monkeypatch):
    (base / "own_agents.py").write_text(OWN)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    options = ("--steps", 100, "--seed", 0, "--eval-episodes", 0, "--quiet", "--set", "compile.jit_compile=false")
    result = here("train", "own_agents:Own", "CartPole-v1", "--set", "margin=0.5", "--out", "own", *options, *SMALL)
    assert result.returncode == 0, result.stderr
    config = json.loads((base / "own" / "config.json").read_text())
    assert config["algorithm"] == "own_agents:Own" and config["settings"]["margin"] == 0.5
    assert config["agent"]["agent"] == "cliown" and config["agent"]["objective"]["margin"] == 0.5
    for name, message in (
        ("own_agents:Onw", r"own_agents has no agent 'Onw'. It has: Own (for a test), Unregistered."),
        ("own_agents:Unregistered", "decorate the class with @kagent.register_agent()"),
        ("no_agents:Own", "no module named 'no_agents'. Received: 'no_agents'"),
        ("own_agents:", "given as module:Class. Received: 'own_agents:'"),
        ("../own_agents:Own", "given as module:Class."),
    ):
        result = here("train", name, "CartPole-v1", "--out", "refused")
        assert result.returncode == 2 and message in result.stderr and result.stderr.count("\n") == 1
    assert not (base / "refused").exists()
    # In a process of its own, where only the command line names the module.
    result = kagent("evaluate", "own/agent.keras", "CartPole-v1", "--episodes", 1, "--import", "own_agents", cwd=base)
    assert result.returncode == 0, result.stderr


def test_a_module_that_fails_keeps_its_traceback(base, here, monkeypatch):
    (base / "failing_agents.py").write_text("import no_such_module_at_all")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        here("train", "failing_agents:Own", "CartPole-v1", "--out", "refused")
