"""The guides: their code runs, and their tables name what there is."""

import ast
import inspect
import re
from pathlib import Path

import keras
import pytest
import shortened
import tensorflow as tf

import kagent
from docs import algorithm_pages
from kagent.config.vocabulary import suggest

GUIDES = Path(__file__).parents[2] / "docs" / "guides"
PAGES = [*sorted(GUIDES.rglob("*.md")), GUIDES.parent / "index.md"]
# Pages on which several agents train; `.ci/run` runs them, too.
SLOW = (
    "compiled",
    "environments",
    "evaluating",
    "exploration",
    "first_ten_minutes",
    "memories",
    "offline",
    "recurrence",
    "saving",
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(path):
    """The code of a page, each block in its own lines, so that errors name them."""
    text = path.read_text(encoding="utf-8")
    return ["\n" * text.count("\n", 0, found.start(1)) + found[1] for found in BLOCK.finditer(text)]


def runs(path):
    return pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SLOW else [])


@pytest.mark.parametrize("path", [runs(path) for path in PAGES if blocks(path)])
@pytest.mark.filterwarnings("ignore:The open episodes")
def test_the_code_of_a_page_runs_from_its_first_block_to_its_last(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shortened.fits(monkeypatch, 48)
    shortened.evaluations(monkeypatch)
    tf.config.run_functions_eagerly(True)
    names = {"__name__": "__main__"}
    try:
        for code in blocks(path):
            exec(compile(code, str(path), "exec"), names)
    finally:
        tf.config.run_functions_eagerly(False)


def test_blocks_are_found_where_there_are_some():
    assert sum(len(blocks(path)) for path in PAGES) > 40
    assert all("```python" not in path.read_text(encoding="utf-8") or blocks(path) for path in PAGES)


# Tables from other libraries -------------------------------------------------------------------------------


def rows(path):
    """The rows of the tables of a page whose second column is kagent's."""
    found, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 2:
            inside = False
        elif cells[1] == "kagent":
            inside = True
        elif inside and not set(line) <= set("|- "):
            found.append(cells)
    return found


TABLES = {path: rows(path) for path in sorted((GUIDES / "coming_from").glob("*.md"))}
ROOTS = {"kagent": kagent, "agent": kagent.Agent, "keras": keras}


def check(code):
    """Refuses an expression that names what there is not: an attribute, or a keyword of a call."""
    tree = ast.parse(code, mode="eval").body
    call, called = (tree, tree.func) if isinstance(tree, ast.Call) else (None, tree)
    value = resolved(called)
    if value is None:
        return False
    if getattr(value, "__module__", None) == "kagent.config.guidance":
        raise AttributeError(f"{code} says what to write in its place")
    if call is not None:
        given = {keyword.arg for keyword in call.keywords}
        unknown = given - accepted(value)
        if unknown or call.args:
            raise TypeError(f"{code} has no {sorted(unknown)}, or arguments without names")
    return True


def resolved(called):
    """The object that an expression of dots names; None where it does not begin with kagent, an agent or Keras."""
    if isinstance(called, ast.Name):
        return ROOTS.get(called.id)
    owner = resolved(called.value) if isinstance(called, ast.Attribute) else None
    return None if owner is None else getattr(owner, called.attr)


def accepted(value):
    """The keywords that a function or class takes; of a preset with its parts and those of its base."""
    if isinstance(value, type) and issubclass(value, kagent.Agent):
        own = set(algorithm_pages.merged(value)) if value is not kagent.Agent else set()
        return own | set(inspect.signature(kagent.Agent.__init__).parameters) - {"self", "words"}
    return set(inspect.signature(value).parameters) - {"self", "agent"} | (
        {"agent"} if value == kagent.Agent.create else set()
    )


@pytest.mark.parametrize("path", [path for path in TABLES if path.stem != "index"], ids=lambda path: path.stem)
def test_tables_name_what_kagent_has(path):
    lines = TABLES[path]
    assert len(lines) >= 14
    for _, new in lines:
        spans = re.findall(r"`([^`]+)`", new)
        named = [check(code) for code in spans if code.startswith(("kagent", "agent", "keras"))]
        assert any(named) or "not there" in new or not new.startswith("`") or "logs of `fit`" in new, new


@pytest.mark.parametrize(
    "code",
    ["kagent.DQN(gamma=...)", "kagent.Nothing", "agent.learn", "agent.fit(total_timesteps=...)", "kagent.DQN(1)"],
)
def test_the_check_of_tables_finds(code):
    with pytest.raises((TypeError, AttributeError)):
        check(code)


def test_the_check_of_tables_takes():
    assert all(
        check(code) for code in ("kagent.DQN(discount=...)", "agent.fit(steps=...)", "kagent.DoubleDQN(huber=1.0)")
    )
    assert not check("{'type': 'mlp'}")


# Arguments that are no arguments here, and have an advice or an example in their row.
OTHERWISE = {
    "critic", "env_config", "evaluation", "interval", "level", "nb_actions", "reset_num_timesteps", "save_checkpoints_steps",
    "stats_window_size", "tensorboard_log",
}  # fmt: skip


def renamed():
    """Arguments of other libraries with kagent's in the same place of the same row, and the callable that takes these."""
    for lines in TABLES.values():
        for old, new in lines:
            spans = re.findall(r"`([^`]+)`", old)
            given = [n for span in spans for n in ([span] if span.isidentifier() else re.findall(r"\b(\w+)=", span))]
            for code in re.findall(r"`((?:kagent|agent)\.[^`]+\))`", new):
                call = ast.parse(code, mode="eval").body
                own = [keyword.arg for keyword in call.keywords]
                if len(own) == len(given) and set(own).isdisjoint(given):
                    yield from (
                        (name, wanted, resolved(call.func)) for name, wanted in zip(given, own) if name.islower()
                    )


def test_kagent_answers_arguments_of_other_libraries_as_the_tables_do():
    found = [
        (name, wanted, suggest(name, accepted(value))) for name, wanted, value in renamed() if name not in OTHERWISE
    ]
    assert len(found) > 40
    assert [(name, wanted, answer) for name, wanted, answer in found if answer != wanted] == []


def test_the_guide_of_callbacks_names_all_of_keras():
    text = (GUIDES / "callbacks.md").read_text(encoding="utf-8")
    found = {name for name, value in vars(keras.callbacks).items() if isinstance(value, type)}
    assert len(found) > 12
    assert {name for name in found - {"Callback", "CallbackList"} if f"`{name}`" not in text} == set()


# Links -----------------------------------------------------------------------------------------------------


def test_every_guide_is_in_a_table_of_contents():
    listed = set()
    for path in PAGES:
        for tree in re.findall(r"```\{toctree\}\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            names = [line.strip() for line in tree.splitlines() if line and not line.startswith(":")]
            listed |= {(path.parent / f"{name}.md").resolve() for name in names}
    assert {path.resolve() for path in PAGES} - listed == {(GUIDES.parent / "index.md").resolve()}
