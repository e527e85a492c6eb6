"""What the command line says before it does anything."""

import builtins
import pathlib
import re
import subprocess
import sys
import time
import types

import pytest

import kagent
from kagent import tuned
from kagent.cli import algorithms, main
from kagent.cli.errors import is_complaint


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "kagent", *arguments], capture_output=True, text=True, timeout=60)


def test_help_teaches_and_is_quick():
    start = time.perf_counter()
    result = run("--help")
    assert time.perf_counter() - start < 3  # TensorFlow alone takes longer on a busy machine
    assert result.returncode == 0 and not result.stderr
    for word in (
        "An agent is",
        "examples:",
        "kagent train dqn CartPole-v1",
        "agent.keras",
        "log.csv",
        "evaluate",
    ):
        assert word in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_nothing_asked_for_is_answered_by_the_help(capsys):
    assert main([]) == 0
    assert "kagent train dqn CartPole-v1" in capsys.readouterr().out


def test_help_imports_no_heavy_package():
    program = (
        "import sys; from kagent.cli import main; codes = [main([*c, '--help']) for c in "
        "([], ['train'], ['evaluate'], ['record'], ['plot'], ['doctor'], ['watch'])]; "
        "assert codes == [0] * 7, codes; "
        "assert not {'tensorflow', 'keras', 'gymnasium', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, timeout=60)


def test_train_help_lists_algorithms_and_where_they_are_tuned(capsys):
    assert main(["train", "--help"]) == 0
    text = capsys.readouterr().out
    for algorithm in algorithms.ALGORITHMS:
        assert f"\n  {algorithm.name} " in text
    with_tuned = [one for one in algorithms.ALGORITHMS if tuned.environments(one.name)]
    assert text.count("tuned for") == len(with_tuned) >= 4 and "tuned for CartPole-v1, Acrobot-v1" in text
    listed = text[text.index("  dqn") : text.index("\npositional")].splitlines()
    assert max(map(len, listed)) <= 80
    assert all(any(f" {name}{end}" in text for end in ",;\n") for name in ("TMaze-v0", "ALE/*", "RepeatPrevious-v0"))
    assert "Ctrl-C once" in text and "--set exploration.fraction=0.2" in text


def test_the_algorithms_of_the_text_are_those_that_are_registered():
    from kagent.agents import AGENTS
    from kagent.config.creation import SUMMARIES

    registered = {}
    for name, cls in AGENTS.items():
        if cls.__module__.startswith("kagent.agents.") and SUMMARIES[cls] is not None:
            registered.setdefault((cls.__name__, SUMMARIES[cls]), []).append(name)
    read = {(one.preset, one.summary): [one.name, *one.others] for one in algorithms.ALGORITHMS}
    assert read == registered and len(read) == 27
    assert algorithms.find("Double-DQN") is algorithms.find("double_dqn") is algorithms.find("doubledqn")
    assert [one.name for one in algorithms.ALGORITHMS][:3] == ["dqn", "ppo", "sac"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["fly"], "'fly'"),
        (["train"], "ALGO"),
        (["train", "dqn"], "ENV"),
        (["train", "dqm", "CartPole-v1"], "'dqm'. Known: dqn, ppo, sac"),
        (["train", "dqn", "CartPole-v1", "--steps", "0"], "at least 1"),
        (["train", "dqn", "CartPole-v1", "--steps", "1.5"], "whole number"),
        (["train", "dqn", "CartPole-v1", "--config", "absent.json"], "absent.json"),
        (["train", "dqn", "CartPole-v1", "--set", "batch_size"], "part.key=value"),
        (["evaluate", "absent.keras", "CartPole-v1"], "no such file"),
        (["evaluate", "absent.keras", "CartPole-v1", "--episodes", "-1"], "whole number"),
    ],
)
def test_bad_input_gives_one_line_and_code_2_before_tensorflow_loads(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("kagent") and error.count("\n") == 1


@pytest.mark.parametrize("command", ["evaluate", "record"])
def test_a_folder_stands_for_the_agent_in_it(command, tmp_path, capsys):
    arguments = [command, str(tmp_path), "CartPole-v1", *(["--out", "x.gif"] if command == "record" else [])]
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"there is no config.json. Received: {tmp_path}\n")
    (tmp_path / "seed-3").mkdir()
    (tmp_path / "seed-3" / "config.json").write_text("{}")
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"of which one can be given: {tmp_path / 'seed-3'}\n")
    (tmp_path / "agent.keras").write_bytes(b"")
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"not a .keras file. Received: {tmp_path / 'agent.keras'}\n")


@pytest.mark.parametrize("command", ["evaluate", "record", "watch"])
def test_a_path_that_does_not_exist_is_said(command, capsys):
    assert main([command, "nowhere", *(["--out", "x.gif"] if command == "record" else [])]) == 2
    assert capsys.readouterr().err.endswith("no such file or folder of a run. Received: nowhere\n")


def test_a_folder_that_is_gone_is_said(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert main(["train", "own:Agent", "CartPole-v1"]) == 2
    assert "the folder where the command runs does not exist any more" in capsys.readouterr().err


def test_a_filled_folder_is_refused(tmp_path, capsys):
    (tmp_path / "something").write_text("precious")
    assert main(["train", "DQN", "CartPole-v1", "--out", str(tmp_path)]) == 2
    assert "new or an empty folder" in capsys.readouterr().err
    assert main(["train", "dqn", "CartPole-v1", "--out", str(tmp_path / "something")]) == 2
    assert (tmp_path / "something").read_text() == "precious"


def _complain(kind):
    raise kind("Received: 3")


def _stumble(kind):
    return None + kind


def _convert(kind):
    return int("x")


@pytest.mark.parametrize(
    "function, argument, module, expected",
    [
        (_complain, ValueError, "kagent.agent", True),
        (_complain, ImportError, "kagent.rendering", True),
        (_complain, ValueError, "my_env", False),
        (_complain, RuntimeError, "kagent.agent", False),
        (_stumble, 1, "kagent.agent", False),
        (_convert, None, "kagent.agent", False),
    ],
)
def test_only_what_kagent_raises_on_purpose_is_a_complaint(function, argument, module, expected):
    elsewhere = types.FunctionType(function.__code__, {"__name__": module, "__builtins__": builtins})
    with pytest.raises(Exception) as caught:
        elsewhere(argument)
    assert is_complaint(caught.value) is expected


def test_an_unknown_environment_is_a_complaint():
    import gymnasium

    with pytest.raises(gymnasium.error.Error) as caught:
        gymnasium.make("Cartpole-v77")
    assert is_complaint(caught.value)
    assert not is_complaint(gymnasium.error.ResetNeeded("step before reset"))


def test_the_version_is_that_of_the_changelog(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kagent {kagent.__version__}\n"
    text = (pathlib.Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## (\S+)", text, re.MULTILINE)[1] == kagent.__version__


def test_a_misspelt_command_is_answered(capsys):
    assert main(["trian", "dqn", "CartPole-v1"]) == 2
    assert "invalid choice: 'trian'" in (said := capsys.readouterr().err) and "Did you mean 'train'? (see" in said
    assert main(["tune", "dqn", "CartPole-v1", "--pruner", "hyperbands"]) == 2
    assert "Did you mean 'hyperband'?" in capsys.readouterr().err
    assert main(["xyz"]) == 2 and "Did you mean" not in capsys.readouterr().err
