"""Pages of the algorithms: from each preset's docstrings and signature, its results, and a note in `docs/notes/`."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import kagent
from benchmarks import learning_curves
from benchmarks.learning_cells import TASKS
from benchmarks.learning_table import HEADER, PEERS, RESULTS, Record, read, row
from benchmarks.table import rows
from docs import reference
from docs.docstrings import arguments, cell, description, examples, markdown, summary
from kagent import tuned
from kagent.cli import charts
from kagent.config.creation import AGENTS

NOTES = Path(__file__).parent / "notes"
_NOT_DEFAULTS = ("env", "observation_space", "action_space", "n_envs", "seed", "name")
_CURVES = (
    "Lines are returns of training episodes, of the exploring agent: the mean of each hundredth of a run, and over several seeds the "
    "interquartile mean with its 95 % bootstrap interval. Dots are the agents that training ended with, the scores of the table above. "
    "`python -m benchmarks.learning_curves` draws them."
)
_ALGORITHM = HEADER.index("algorithm")
_MEASURED = (
    "Each line is a cell of the table that `python -m benchmarks.learning_table` makes of the files under `benchmarks/results/`: "
    "the interquartile mean (IQM) over the seeds of the mean return of 100 greedy episodes, with its 95 % bootstrap interval where "
    'there are several seeds. The settings are those of `kagent.tuned`; "(defaults)" is the preset as it is. "published" is the '
    'median of one run of rl-baselines3-zoo. Where there is none, the gate is Stable-Baselines3 ("SB3"), trained for as long on the '
    "same machine by `python -m benchmarks.learning_peer`: its interquartile mean, or returns whose interquartile ranges overlap. "
    "In brackets behind a gate it does not judge."
)


def presets() -> list[type]:
    """The presets, each once."""
    found = [name.value for name in reference.names() if name.module == "kagent" and reference.is_preset(name.value)]
    return sorted(dict.fromkeys(found), key=lambda cls: cls.__name__.lower())


def name_of(cls: type) -> str:
    """The name of a preset as `kagent train`, its results and its note have it."""
    return cls.__name__.lower()


def pages() -> dict[str, str]:
    """The pages by name of the file, an index among them.

    Raises:
        FileNotFoundError: A preset without a note.
    """
    results, peers = read(RESULTS), read(PEERS)
    made = {f"{name_of(cls)}.md": page(cls, results, peers) for cls in presets()}
    listed = [f"| [{cls.__name__}]({name_of(cls)}.md) | {summary(cls.__doc__)} |" for cls in presets()]
    tree = "\n".join(f"{cls.__name__} <{name_of(cls)}>" for cls in presets())
    made["index.md"] = (
        "# Algorithms\n\nA preset is `kagent.Agent` with the parts of a named algorithm. Each page has the update in pseudo-code, its "
        "source, the spaces, every argument with its default, and the measured results.\n\n| preset | |\n|---|---|\n"
        + "\n".join(listed)
        + f"\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )
    return made


def page(cls: type, results: dict[str, list[Record]], peers: dict[str, list[Record]]) -> str:
    """The page of a preset."""
    doc = sys.modules[cls.__module__].__doc__ or ""
    update = markdown("\n" + doc.partition("\n\n")[2])  # the first line is the title
    text = [
        f"# {cls.__name__}",
        description(cls.__doc__),
        _named(cls),
        *([f"## The update\n\n{update}"] if update else []),
        *([f"## Example\n\n{shown}"] if (shown := examples(cls.__doc__)) else []),
        "## Arguments",
        _defaults(cls),
        _note(cls),
        "## Measured results",
        _results(cls, results, peers),
        "## Entry",
        _entry(cls),
    ]
    return "\n\n".join(text) + "\n"


def _named(cls: type) -> str:
    others = [name for name, value in AGENTS.items() if value is cls and name != name_of(cls)]
    aliases = [n for n in kagent.__all__ if n != cls.__name__ and getattr(kagent, n) is cls]
    line = f"In Python it is `kagent.{cls.__name__}`"
    line += "".join(f", also `kagent.{alias}`" for alias in aliases)
    line += f'; on the command line `kagent train {name_of(cls)}`, in a configuration `"{name_of(cls)}"`'
    return line + (f" (or {', '.join(f'`{name}`' for name in others)})." if others else ".")


def merged(cls: type) -> dict[str, tuple[inspect.Parameter, str]]:
    """The arguments of a preset with their texts; of one that hands the others on, those of its base too."""
    found: dict[str, tuple[inspect.Parameter, str]] = {}
    for base in reversed([base for base in cls.__mro__ if base in presets()]):
        texts = arguments(base.__doc__)
        if "__init__" in vars(base):
            for one in reference.parameters(base):
                if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD):
                    before = found[one.name][1] if one.name in found else ""
                    text = texts.get(one.name, before)
                    more = re.match(r"As for `\w+`[.;] ?(.*)", text)
                    if before and more:
                        text = f"{before} {more[1][:1].upper()}{more[1][1:]}".strip()
                    found[one.name] = (one, text)
    return found


def _defaults(cls: type) -> str:
    own = {name: given for name, given in merged(cls).items() if name not in _NOT_DEFAULTS}
    lines = [
        [f"`{name}`", f"`{cell(reference.default(one.default))}`", cell(text)] for name, (one, text) in own.items()
    ]
    common = (
        "Beside these every preset takes `env`, or `observation_space` and `action_space`; `n_envs`, `seed` and `name`; and the parts of "
        "{py:obj}`kagent.Agent` in place of its own."
    )
    return "\n\n".join([rows(("argument", "default", "meaning"), lines), common] if lines else [common])


def _results(cls: type, results: dict[str, list[Record]], peers: dict[str, list[Record]]) -> str:
    cells = [task for task in TASKS.values() if task.algorithm == name_of(cls)]
    if not cells:
        return "The learning table has no cell of this preset."
    header = [title for index, title in enumerate(HEADER) if index != _ALGORITHM]
    lines = []
    for task in cells:
        line = row(task, results.get(task.name, []), peers.get(task.name, ()))
        line[0] += " (defaults)" if task.steps else ""
        lines.append([text for index, text in enumerate(line) if index != _ALGORITHM])
    known = tuned.environments(name_of(cls))
    settings = "Tuned settings are shipped for " + ", ".join(known) + "." if known else "No tuned settings are shipped."
    table = f"{rows(tuple(header), lines)}\n\n{_MEASURED} {settings}"
    drawn = [
        charts.inline(learning_curves.picture(task, results[task.name])) for task in cells if results.get(task.name)
    ]
    if not drawn:
        return table
    # Part of the page, so that text and axes have the colours of the reader's theme.
    return f'{table}\n\n## Learning curves\n\n{_CURVES}\n\n```{{raw}} html\n<div class="curves">\n{"".join(drawn)}</div>\n```'


def _note(cls: type) -> str:
    return (NOTES / f"{name_of(cls)}.md").read_text(encoding="utf-8").strip()


def _entry(cls: type) -> str:
    home = reference.Name("kagent", cls.__name__, cls)
    text = "Its methods are those of {py:obj}`kagent.Agent`."
    title = f"{home.path}{reference.signature(cls)}"
    return reference.directive("class", title, [text], reference.FENCE, reference.other_name(home))
