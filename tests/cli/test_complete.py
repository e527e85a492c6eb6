"""`kagent complete`: what bash offers with the script, and what the others' scripts hold."""

import subprocess

import pytest

from kagent.cli import complete, main


def offered(script, *words):
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in ("kagent", *words))
    program = f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _kagent; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()


def made(shell, capsys):
    assert main(["complete", shell]) == 0
    return capsys.readouterr().out


def test_bash_offers_what_fits(capsys):
    script = made("bash", capsys)
    assert offered(script, "t") == ["train", "tune"]
    assert offered(script, "train", "pp") == ["ppo"] and offered(script, "list", "td") == ["td3", "td3bc"]
    assert offered(script, "train", "ppo", "CartP") == ["CartPole-v1"]
    assert offered(script, "train", "ppo", "CartPole-v1", "--sav") == ["--save-best"]
    assert "--quiet" in offered(script, "train", "ppo", "CartPole-v1", "--")
    assert offered(script, "plot", "runs", "--spread", "iq") == ["iqm", "iqr"]
    assert offered(script, "complete", "") == ["bash", "zsh", "fish"]
    # The value of an option, and a run, are files: the shell's own completion.
    assert offered(script, "train", "--resume", "") == offered(script, "evaluate", "") == []


def test_zsh_takes_the_script_of_bash_and_fish_has_its_own(capsys):
    script = made("zsh", capsys)
    assert script.startswith("autoload -U +X bashcompinit && bashcompinit\n") and script.endswith(made("bash", capsys))
    lines = made("fish", capsys).splitlines()
    assert all(
        line.startswith("complete -c kagent -n ") and line.replace("\\'", "").count("'") % 2 == 0 for line in lines
    )
    assert "complete -c kagent -n '__fish_seen_subcommand_from plot' -l spread -x -a 'iqm mean range iqr'" in lines
    assert (
        "complete -c kagent -n __fish_use_subcommand -f -a record -d 'Let a saved agent play and write "
        in "\n".join(lines)
    )


@pytest.mark.parametrize("shell", ["csh", ""])
def test_other_shells_are_refused(shell, capsys):
    assert main(["complete", shell]) == 2
    assert "choose from 'bash', 'zsh', 'fish'" in capsys.readouterr().err
    assert complete.SHELLS == ("bash", "zsh", "fish")
