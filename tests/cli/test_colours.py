"""Colours: they are there on terminals that show them alone, and without them the text is the same."""

import io
import re
import sys

import pytest

from kagent.cli import colours, main

PLAIN = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_they_are_shown_on_a_terminal_and_where_they_are_forced(monkeypatch):
    assert colours.are_shown(Terminal()) and not colours.are_shown(io.StringIO())
    monkeypatch.setenv("TERM", "dumb")
    assert not colours.are_shown(Terminal())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert colours.are_shown(Terminal()) and colours.are_shown(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colours.are_shown(Terminal())


@pytest.mark.parametrize("arguments", [[], ["train"], ["tune"], ["doctor"]])
def test_help_is_the_same_text_with_colours(arguments, monkeypatch):
    texts = []
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setattr(sys, "stdout", stream)
        assert main([*arguments, "--help"]) == 0
        texts.append(stream.getvalue())
    plain, coloured = texts
    assert "\x1b" not in plain and PLAIN.sub("", coloured) == plain
    assert f"{colours.CYAN}-h, --help\x1b[0m" in coloured and f"{colours.BLUE}options:\x1b[0m" in coloured


def test_names_of_algorithms_and_commands_are_coloured_and_prose_is_not():
    found = colours.of_help("  dqn   values\n    train   it\n  kagent train dqn  x\n      more\n  1. the first\n")
    assert re.findall(r"\x1b\[36m(.*?)\x1b\[0m", found) == ["dqn", "train"]


def test_an_error_is_red_and_one_line(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    assert main(["trian"]) == 2
    assert main(["train", "dqm", "CartPole-v1"]) == 2
    lines = stream.getvalue().splitlines()
    assert [line.partition(" ")[2].startswith(f"{colours.RED}error:\x1b[0m ") for line in lines] == [True, True]


def test_findings_have_the_colour_of_their_severity():
    text = "kagent doctor\n\nno_progress (severe)\n  It is.\nreplay_stale (warning)\nx (y)\n"
    expected = text.replace("no_progress (severe)", f"{colours.RED}no_progress (severe)\x1b[0m")
    expected = expected.replace("replay_stale (warning)", f"{colours.YELLOW}replay_stale (warning)\x1b[0m")
    assert colours.of_findings(text) == expected
