"""The tutorials are notebooks; the build of the documentation runs them."""

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted(path for path in (DOCS / "tutorials").glob("*.md") if path.name != "index.md")


def test_all_of_them_are_in_the_index():
    text = (DOCS / "tutorials" / "index.md").read_text(encoding="utf-8")
    tree = re.search(r"```\{toctree\}\n:hidden:\n\n(.*?)```", text, re.DOTALL)[1].split()
    assert sorted(tree) == [path.stem for path in TUTORIALS] == sorted(re.findall(r"\]\((\w+)\.md\)", text))
    assert len(TUTORIALS) >= 6 and "tutorials/index" in (DOCS / "index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_is_a_notebook_whose_cells_are_python(path):
    """Without the head it would be a page whose cells are shown and never run."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith("---\nfile_format: mystnb\nkernelspec:\n  name: python3\n---\n# ")
    cells = re.findall(r"^```\{code-cell\}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(cells) >= 3 and "kagent" in cells[0]
    for cell in cells:
        ast.parse(cell)


def test_a_cell_that_fails_ends_the_build():
    conf = (DOCS / "conf.py").read_text(encoding="utf-8")
    for line in ('nb_execution_mode = "force"', "nb_execution_raise_on_error = True", "nb_execution_in_temp = True"):
        assert f"\n{line}" in conf


def test_notebooks_that_a_build_leaves_are_no_pages():
    """A build in docs/_build leaves executed copies in docs/jupyter_execute, which the next build must not read."""
    assert (
        '"jupyter_execute"' in re.search(r"exclude_patterns = (.*)", (DOCS / "conf.py").read_text(encoding="utf-8"))[1]
    )
    for name in (".gitignore", "MANIFEST.in"):
        assert "docs/jupyter_execute" in (DOCS.parent / name).read_text(encoding="utf-8")


def test_cartpole_takes_five_cells_and_a_frame():
    text = (DOCS / "tutorials" / "cartpole.md").read_text(encoding="utf-8")
    assert text.count("```{code-cell}") == 5 and "axes.imshow" in text and "axes.plot" in text
