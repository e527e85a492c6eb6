"""The generated pages: every public name has an entry, every preset a page."""

import importlib
import inspect
import re
import types

import keras
import pytest

import kagent
from docs import algorithm_pages, docstrings, reference
from docs.pages import write

MODULE = re.compile(r"^```\{py:module\} ([\w.]+)", re.MULTILINE)
DIRECTIVE = re.compile(r"^`{8}\{py:(?:class|function|data|exception)\} ([\w.]+)", re.MULTILINE)
ROW = re.compile(r"^\| \{py:obj\}`([\w.]+) <([\w.]+)>`", re.MULTILINE)


@pytest.fixture(scope="module")
def api():
    return reference.pages()


@pytest.fixture(scope="module")
def algorithms():
    return algorithm_pages.pages()


def public():
    """The public names, read from the modules' own lists."""
    found = [("kagent", name) for name in kagent.__all__]
    for module, name in found:
        value = getattr(importlib.import_module(module), name)
        if isinstance(value, types.ModuleType) and hasattr(value, "__all__"):
            found += [
                (f"{module}.{name}", inner) for inner in value.__all__ if (f"{module}.{name}", inner) not in found
            ]
    return found


def entries_of(pages):
    """The entries of pages: below a module, those of its names."""
    found = []
    for page in pages:
        module = MODULE.search(page)
        found += [f"{module[1]}.{name}" if module else name for name in DIRECTIVE.findall(page)]
    return found


def missing(api, algorithms):
    """The public names that no page has."""
    entries = set(entries_of([*api.values(), *algorithms.values()]))
    lacking = []
    for module, name in public():
        if isinstance(getattr(importlib.import_module(module), name), types.ModuleType):
            if f"{module}.{name}.md" not in api:
                lacking.append(f"{module}.{name}")
            continue
        homes = dict(ROW.findall(api[f"{module}.md"]))
        if homes.get(name) not in entries:
            lacking.append(f"{module}.{name}")
    return lacking


def test_every_public_name_has_an_entry(api, algorithms):
    assert missing(api, algorithms) == []
    assert len(public()) > 250


def test_a_name_without_an_entry_is_found(api, algorithms):
    page = api["kagent.memories.md"].replace("{py:class} Recent(", "{py:class} Absent(")
    assert missing({**api, "kagent.memories.md": page}, algorithms) == ["kagent.memories.Recent"]
    assert "kagent.traces" in missing({k: v for k, v in api.items() if k != "kagent.traces.md"}, algorithms)


def test_an_entry_is_there_once(api, algorithms):
    entries = entries_of([*api.values(), *algorithms.values()])
    assert len(entries) == len(set(entries))


def test_public_classes_and_functions_have_docstrings():
    for found in reference.names():
        if isinstance(found.value, type) or inspect.isroutine(found.value):
            assert (found.value.__doc__ or "").strip(), found.path


def test_every_preset_has_a_page_with_all_its_arguments(algorithms):
    presets = algorithm_pages.presets()
    assert {f"{cls.__name__.lower()}.md" for cls in presets} | {"index.md"} == set(algorithms)
    assert len(presets) == len({getattr(kagent, name) for name in kagent._AGENTS})
    for cls in presets:
        page = algorithms[f"{cls.__name__.lower()}.md"]
        assert "## The update\n\n```text\n" in page or issubclass(cls, kagent.agents.random.Fixed)
        for heading in ("Arguments", "When to use it", "Known limits", "Measured results"):
            assert f"## {heading}" in page, (cls, heading)
        for name, (one, text) in algorithm_pages.merged(cls).items():
            if name not in ("env", "observation_space", "action_space", "n_envs", "seed", "name"):
                assert f"| `{name}` | `{docstrings.cell(reference.default(one.default))}` |" in page
                assert text, (cls, name)


def test_results_are_those_of_the_files():
    """Of two seeds, 400 and 500, the interquartile mean is 450."""
    cell = {"seed": 1000, "timesteps": 100_000, "seconds": 30.0, "steps_per_second": 2500.0}
    page = algorithm_pages.page(kagent.PPO, {"ppo-cartpole": [{**cell, "mean": mean} for mean in (400.0, 500.0)]}, {})
    line = next(line for line in page.splitlines() if line.startswith("| CartPole-v1 "))
    assert line.split(" | ")[1:4] == ["100,000", "2", "450.0"] and "missed" in line
    line = next(line for line in page.splitlines() if line.startswith("| Acrobot-v1 "))
    assert "not measured" in line
    assert page.count("<svg ") == 1 and 'aria-label="PPO on CartPole-v1"' in page and "<style>" not in page


def test_links_of_guides_and_notes_lead_to_entries(api, algorithms):
    """Sphinx says nothing of a role whose target it does not know."""
    pages = [*api.values(), *algorithms.values()]
    others = {name for page in pages for name in re.findall(r"^:canonical: ([\w.]+)$", page, re.MULTILINE)}
    known = {*entries_of(pages), *others, *(name.removesuffix(".md") for name in api)}
    root = algorithm_pages.NOTES.parent
    pages = [*root.glob("*.md"), *root.glob("guides/**/*.md"), *root.glob("notes/*.md")]
    linked = {name for page in pages for name in re.findall(r"\{py:obj\}`([\w.]+)`", page.read_text(encoding="utf-8"))}
    assert len(linked) > 40
    assert linked - known == set()


def test_notes_are_of_presets():
    names = {path.stem for path in algorithm_pages.NOTES.glob("*.md")}
    assert names == {algorithm_pages.name_of(cls) for cls in algorithm_pages.presets()}


# Docstrings ------------------------------------------------------------------------------------------------

DOC = """Takes a step.

    The rest of the
    first paragraph with a < b and a*b.

        `code`  stays
        as it is

    It is arXiv:1707.06347, algorithm 1.

    * a list
      with two lines
    * and a second entry

    Args:
        x, y: Numbers,
            >= 0.
        **parts: Others: all of them.

    Returns:
        The sum `x+y`.

    Raises:
        ValueError: Not a number.
        As elsewhere.

    Example:

    >>> step(1,
    ...      2)
    3

    >>> step(2, 2)
    4
    """


def test_a_docstring_as_markdown():
    assert docstrings.markdown(DOC) == (
        "Takes a step.\n\nThe rest of the first paragraph with a < b and a\\*b.\n\n```text\ncode  stays\nas it is\n```\n\n"
        "It is [arXiv:1707.06347](https://arxiv.org/abs/1707.06347), algorithm 1.\n\n"
        "* a list with two lines\n* and a second entry\n\n**Arguments**\n\n- `x`, `y`: Numbers, >= 0.\n"
        "- `**parts`: Others: all of them.\n\n**Returns**\n\nThe sum `x+y`.\n\n**Raises**\n\n"
        "- `ValueError`: Not a number. As elsewhere.\n\n**Example**\n\n"
        "```pycon\n>>> step(1,\n...      2)\n3\n\n>>> step(2, 2)\n4\n```"
    )


def test_code_between_fences_stays_as_it_is():
    code = "    ```python\n    a = {1: `b`}\n\n    c = a\n    ```"
    doc = f"Does it.\n\n{code}\n\n    More of it.\n\n    Example:\n\n    ```python\n    d = 1\n    ```\n"
    assert docstrings.markdown(doc) == (
        "Does it.\n\n```python\na = {1: `b`}\n\nc = a\n```\n\nMore of it.\n\n**Example**\n\n```python\nd = 1\n```"
    )


def test_the_parts_of_a_docstring():
    assert docstrings.arguments(DOC) == {
        "x": "Numbers, >= 0.",
        "y": "Numbers, >= 0.",
        "**parts": "Others: all of them.",
    }
    assert docstrings.summary(DOC) == "Takes a step."
    assert docstrings.markdown(None) == docstrings.summary(None) == ""
    assert (
        docstrings.summary("By Haarnoja et al. 2018 in v. 2.5 of it. More.")
        == "By Haarnoja et al. 2018 in v. 2.5 of it."
    )


def test_signatures():
    def function(a, b: "int" = 3, *, c=float("inf"), d=("x",), e=print, **f):
        pass

    assert reference.signature(function) == "(a, b: int = 3, *, c = math.inf, d = ('x',), e = print, **f)"
    assert "memory: kagent.memories.Memory | int | str" in reference.signature(kagent.SAC)
    assert "memory: kagent.estimators.Memory" not in reference.signature(kagent.Agent)
    imported_for_mypy = reference._annotation("Agent | Memory | str", {})
    assert imported_for_mypy == "kagent.Agent | kagent.memories.Memory | str"
    assert reference.signature(kagent.EpsilonGreedy).startswith("(initial: float = 1.0, final: float = 0.05")


def test_bases_are_public():
    assert reference.public_name(kagent.memories.Replay) == "{py:obj}`kagent.memories.Replay`"
    assert reference.public_name(keras.callbacks.Callback) == "`keras.callbacks.Callback`"
    assert (
        reference.public_name(kagent.agents.random.Fixed) == "" and reference.public_name(ValueError) == "`ValueError`"
    )


def test_pages_that_have_not_changed_are_not_written(tmp_path):
    write(tmp_path, {"a.md": "1", "b.md": "2"})
    before = (tmp_path / "a.md").stat().st_mtime_ns
    write(tmp_path, {"a.md": "1", "c.md": "3"})
    assert (tmp_path / "a.md").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.md", "c.md"]
