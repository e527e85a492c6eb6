"""The README, in the repository and on a package index."""

import re
import runpy
import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def links(text):
    """The targets of links and pictures, outside code."""
    return re.findall(r"\]\(([^)]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL))


def test_it_is_short_and_has_one_picture():
    assert len(README.splitlines()) < 150 and links(README) == ["docs/_static/learning.svg"]
    assert (ROOT / "docs" / "_static" / "learning.svg").exists()


def test_a_package_index_gets_no_relative_link(monkeypatch):
    given = {}
    standing_in = types.SimpleNamespace(setup=lambda **arguments: given.update(arguments))
    monkeypatch.setitem(sys.modules, "setuptools", standing_in)
    runpy.run_path(str(ROOT / "setup.py"))
    text = given["long_description"]
    assert links(text) == [] and "picture:" not in text and given["long_description_content_type"] == "text/markdown"
    assert README.replace(README[README.index("<!-- picture: begin") : README.index("## Install")], "") == text
