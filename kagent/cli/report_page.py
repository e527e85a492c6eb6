"""The page of `kagent report`: HTML with all that it shows in it. Needs NumPy alone."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import os
import shlex
import statistics
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kagent.cli import bands, charts, curves
from kagent.cli.scores import bootstrap_interval, interquartile_mean

_FILMS = {".gif": "image/gif", ".mp4": "video/mp4"}
# What a page may load, as its browser is to enforce it: its own styles and the films in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
_STYLE = """
:root { color-scheme: light dark; --text: #1b1e22; --soft: #5a626b; --line: #d8dde2; --page: #fff; --box: #f4f6f8; --link: #0a61a8 }
@media (prefers-color-scheme: dark) {
  :root { --text: #dfe3e7; --soft: #9aa3ac; --line: #3a4046; --page: #15181b; --box: #1e2226; --link: #6cb4f0 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 76rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem }
a { color: var(--link) } p { margin: .5rem 0 } .soft { color: var(--soft); font-size: .9rem }
.curves, .films { display: flex; flex-wrap: wrap; gap: 1.5rem }
.curves svg { flex: 1 1 26rem; max-width: 34rem; min-width: min(100%, 18rem); height: auto }
figure { margin: 0; max-width: 30rem } figure img, figure video { max-width: 100%; height: auto }
.wide { overflow-x: auto; overflow-wrap: normal }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line) }
td.n, th.n { text-align: right } td.n { white-space: nowrap } th { font-weight: 600 }
pre { background: var(--box); padding: .7rem .9rem; white-space: pre-wrap; font-size: .85rem; border-radius: .3rem }
summary { cursor: pointer }
"""


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Runs that one curve is of.

    Attributes:
        curve: The curve.
        runs: Its runs, in the order of their seeds.
        records: Of each run its `config.json`, `evaluation.json` and `versions.json` by these names; {} for one that is not there.
    """

    curve: curves.Curve
    runs: list[curves.Run]
    records: list[dict[str, dict[str, Any]]]

    def scores(self) -> list[float]:
        """The mean return of each run that was evaluated."""
        found = [one["evaluation"].get("mean") for one in self.records]
        return [float(value) for value in found if isinstance(value, int | float)]


def page(
    runs: Sequence[curves.Run],
    *,
    beside: Path,
    title: str | None = None,
    smooth: int = 1,
    spread: str = "iqm",
    group: str = "settings",
    embed: int = 5_000_000,
) -> str:
    """The page about some runs.

    Args:
        runs: At least one.
        beside: The folder that the page is for: links to films begin there.
        title: Of the page; None: the algorithms and environments.
        smooth, spread, group: As for `kagent.plotting.plot`.
        embed: Bytes up to which a film is part of the page.

    Returns:
        HTML.
    """
    groups = _groups(runs, smooth, spread, group)
    names = " and ".join(dict.fromkeys(one.curve.algorithm.upper() for one in groups))
    places = ", ".join(dict.fromkeys(one.curve.environment for one in groups))
    title = title or f"{names} on {places}"
    seeds = len(runs)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="soft">{seeds} run{"s" * (seeds != 1)}, {len(groups)} curve{"s" * (len(groups) != 1)}. '
        "Written by <code>kagent report</code>.</p>",
        "<h2>Learning curves</h2>",
        f'<p class="soft">Returns of training episodes{_of_validations(runs)}.{_band(groups, spread)}{_smoothing(smooth)}</p>',
        f'<div class="curves">{"".join(_charts(groups, smooth, spread, group))}</div>',
        "<h2>Results</h2>",
        _results(groups),
        *_films(groups, beside, embed),
        "<h2>Runs</h2>",
        _runs(groups),
        "<h2>Settings</h2>",
        _settings(groups),
        "<h2>Versions</h2>",
        _versions(groups),
        "<h2>To repeat it</h2>",
        '<p class="soft">These commands repeat the runs; on the same machine with the same versions, bit for bit.</p>',
        f"<pre>{html.escape(chr(10).join(_commands(groups)))}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )  # fmt: skip


def again(config: dict[str, Any]) -> str:
    """The command that repeats a run: its own with the seed that it had, and into a new folder.

    Example:

    >>> again({"command": "kagent train dqn CartPole-v1 --out runs/a --quiet", "seed": 7})
    'kagent train dqn CartPole-v1 --quiet --seed 7'
    """
    try:
        words = shlex.split(str(config.get("command", "")))
    except ValueError:  # not what `kagent train` wrote
        return ""
    kept: list[str] = []
    skip = False
    for text in words:
        option = text.partition("=")[0]
        own = next((name for name in ("--out", "--seed") if len(option) > 2 and name.startswith(option)), None)
        if option in ("--se", "--s"):  # ambiguous, so that it was never taken
            own = None
        if not skip and own is None:
            kept.append(text)
        skip = not skip and own is not None and "=" not in text
    return shlex.join([*kept, "--seed", str(config.get("seed"))]) if kept else ""


def _groups(runs: Sequence[curves.Run], smooth: int, spread: str, group: str) -> list[Group]:
    # The curves stand in the order in which their first runs do.
    found = curves.summarize(runs, smooth=smooth, spread=spread, group=group)
    members: dict[tuple[str, str, str], list[curves.Run]] = {}
    for run in runs:
        members.setdefault(curves.key(run, group), []).append(run)
    made = []
    for curve, own in zip(found, members.values(), strict=True):
        own = sorted(own, key=lambda run: (run.seed is None, run.seed))
        names = ("config", "evaluation", "versions")
        made.append(Group(curve, own, [{name: _read(run.folder / f"{name}.json") for name in names} for run in own]))
    return made


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _charts(groups: Sequence[Group], smooth: int, spread: str, group: str) -> list[str]:
    drawn = []
    runs = [run for one in groups for run in one.runs]
    for x in ("timesteps", "time"):
        known = [run for run in runs if np.isfinite(getattr(run, x)).all()]
        found = curves.summarize(known, smooth=smooth, spread=spread, x=x, group=group) if known else []
        for environment in dict.fromkeys(curve.environment for curve in found):
            shown = [curve for curve in found if curve.environment == environment]
            size, unit = curves.unit_of(x, max(float(curve.x[-1]) for curve in shown), shown[0].offline)
            lines = [
                charts.Line(
                    one.label,
                    one.x / size,
                    one.line,
                    low=one.low if one.seeds > 1 else None,
                    high=one.high if one.seeds > 1 else None,
                    colour=colour,
                )
                for colour, one in enumerate(shown)
            ]
            drawn.append(charts.chart(lines, title=environment, x_label=unit, y_label="return of an episode"))
    return drawn


def _results(groups: Sequence[Group]) -> str:
    head = ["curve", "environment", "seeds", "timesteps", "IQM", "95 %", "lowest", "highest", "training"]
    lines = []
    for one in groups:
        scores, curve = one.scores(), one.curve
        timesteps = sorted({int(run.timesteps[-1]) for run in one.runs})
        unit = " gradient steps" if curve.offline else ""
        line = [html.escape(curve.name),
                html.escape(curve.environment), f"{len(one.runs)}",
                f"{timesteps[0]:,}" + (f" to {timesteps[-1]:,}" if len(timesteps) > 1 else "") + unit]  # fmt: skip
        if scores:
            low, high = bootstrap_interval(scores)
            line.append(f"{interquartile_mean(scores):,.1f}")
            line.append(f"{low:,.1f} to {high:,.1f}" if len(scores) > 1 else "—")
            line += [f"{min(scores):,.1f}", f"{max(scores):,.1f}"]
        else:
            line += ["not evaluated", "—", "—", "—"]
        times = [float(run.time[-1]) for run in one.runs if np.isfinite(run.time[-1])]
        lines.append([*line, _duration(statistics.median(times)) if times else "—"])
    about = (
        "The score of a seed is the mean return of the finished agent in its evaluation. IQM is the interquartile mean of the "
        "seeds' scores, “95 %” its bootstrap interval (Agarwal et al. 2021, arXiv:2108.13264); training is the median time of a seed."
    )
    return _table(head, lines, range(2, len(head))) + f'<p class="soft">{about}</p>'


def _runs(groups: Sequence[Group]) -> str:
    lines = []
    for one in groups:
        for run, found in zip(one.runs, one.records):
            result = found["evaluation"]
            score, spread = result.get("mean"), result.get("std")
            known = isinstance(score, int | float) and isinstance(spread, int | float)
            lines.append([html.escape(run.algorithm), html.escape(run.environment), html.escape(str(run.seed)),
                          f"{int(run.timesteps[-1]):,}{' gradient steps' * run.offline}", f"{run.returns[-1]:,.1f}",
                          f"{score:,.1f} ± {spread:,.1f}" if known else "—",
                          html.escape(str(result.get("episodes", "—"))), html.escape(str(run.folder))])  # fmt: skip
    head = ["algorithm", "environment", "seed", "timesteps", "last training return", "evaluation", "episodes", "folder"]
    return _table(head, lines, range(2, 7))


def _settings(groups: Sequence[Group]) -> str:
    flat = [curves.flat(one.runs[0].settings) for one in groups]
    keys = sorted(set().union(*flat))
    lines = [[f"<code>{html.escape(key)}</code>", *(html.escape(_value(one, key)) for one in flat)] for key in keys]
    if not lines:
        return '<p class="soft">All settings are the defaults.</p>'
    heads = ["setting", *(html.escape(f"{one.curve.name} on {one.curve.environment}") for one in groups)]
    return _table(heads, lines, ()) + '<p class="soft">Others are the defaults of the algorithm.</p>'


def _value(flat: dict[str, Any], key: str) -> str:
    return json.dumps(flat[key]) if key in flat else "default"


def _versions(groups: Sequence[Group]) -> str:
    found = [json.dumps(one["versions"]) for group in groups for one in group.records]
    parts = []
    for text in dict.fromkeys(found):
        known = ", ".join(f"{name} {version}" for name, version in json.loads(text).items()) or "not recorded"
        runs = "" if len(set(found)) == 1 else f"{found.count(text)} of {len(found)} runs: "
        parts.append(f"<p>{runs}{html.escape(known)}</p>")
    return "".join(parts)


def _films(groups: Sequence[Group], beside: Path, embed: int) -> list[str]:
    made = []
    for run in (run for one in groups for run in one.runs):
        for path in sorted(path for path in run.folder.iterdir() if path.suffix.lower() in _FILMS and path.is_file()):
            kind, size = _FILMS[path.suffix.lower()], path.stat().st_size
            label = html.escape(f"{run.algorithm.upper()} on {run.environment}, seed {run.seed}: {path.name}")
            if size <= embed:
                data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
                shown = (
                    f'<img alt="{label}" src="{data}">'
                    if kind == "image/gif"
                    else f'<video controls src="{data}"></video>'
                )
            else:
                link = urllib.parse.quote(os.path.relpath(path, beside).replace(os.sep, "/"))
                shown = f'<p><a href="{html.escape(link)}">{html.escape(path.name)}</a>, {size / 1e6:,.1f} MB</p>'
            made.append(f"<figure>{shown}<figcaption class=soft>{label}</figcaption></figure>")
    return ["<h2>Films</h2>", f'<div class="films">{"".join(made)}</div>'] if made else []


def _commands(groups: Sequence[Group]) -> list[str]:
    found = [again(one["config"]) for group in groups for one in group.records]
    return [line for line in found if line] or ["not recorded"]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    """A table of HTML; columns with `numbers` are aligned to the right."""

    def row(cells: Sequence[str], tag: str) -> str:
        kinds = (' class="n"' if index in numbers else "" for index in range(len(cells)))
        return "<tr>" + "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, cells)) + "</tr>"

    body = "\n".join(row(line, "td") for line in lines)
    return f'<div class="wide"><table><thead>{row(head, "th")}</thead><tbody>\n{body}\n</tbody></table></div>'


def _duration(seconds: float) -> str:
    size, unit = curves.unit_of("time", seconds)
    return f"{seconds / size:.3g} {unit.split()[0]}"


def _of_validations(runs: Sequence[curves.Run]) -> str:
    return ", and of validations where recorded episodes were learned from" if any(run.offline for run in runs) else ""


def _smoothing(smooth: int) -> str:
    return f" Smoothed over {smooth} epochs." if smooth > 1 else ""


def _band(groups: Sequence[Group], spread: str) -> str:
    text = bands.caption(spread) if any(len(one.runs) > 1 for one in groups) else ""
    return f" {text[0].upper()}{text[1:]}." if text else ""
