"""Learning curves from run folders. Needs the extra `kagent[plots]`; imports no TensorFlow."""

from __future__ import annotations

import csv
import dataclasses
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kagent.files.atomic_files import replacing

INSTALL = "pip install 'kagent[plots]'"
SPREADS = ("range", "iqr")
# Okabe and Ito's colours, told apart by colour-blind readers too; dashes beyond them.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_POINTS = 400


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run folder says.

    Attributes:
        folder: Where it is.
        algorithm, environment, seed: What was trained, from `config.json`.
        settings: Nested settings without the seed: runs with equal ones are repetitions.
        timesteps: Environment steps at each row of `log.csv` in which an episode ended, `(rows,)` float64.
        returns: Mean return of the episodes that ended in it, `(rows,)` float64.
    """

    folder: Path
    algorithm: str
    environment: str
    seed: int | None
    settings: dict[str, Any]
    timesteps: np.ndarray
    returns: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Runs that differ in their seeds alone, as one line with a band.

    Attributes:
        label: Algorithm, number of seeds, and what sets it apart from other curves of the same algorithm.
        environment: gymnasium id.
        timesteps, line, low, high: `(points,)` float64; `low` and `high` equal `line` for a single run.
        seeds: Number of runs.
        cut: Timesteps of the longest run, if another run ends clearly before, and so the curve; else None.
    """

    label: str
    environment: str
    timesteps: np.ndarray
    line: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int
    cut: float | None


def plot(
    folders: Iterable[str | Path],
    path: str | Path,
    *,
    smooth: int = 1,
    spread: str = "range",
    left_out: Callable[[str], Any] = warnings.warn,
) -> list[Curve]:
    """Draw return over timesteps of run folders, with the spread over seeds, one panel per environment.

    Args:
        folders: Run folders, or folders of run folders. Others, and runs without a finished episode, are left out.
        path: The image to write; the suffix says the format (`.png`, `.svg`, `.pdf`).
        smooth: Each point is the mean of this many log rows up to it; 1 draws the log as it is.
        spread: `"range"`: mean over seeds, band from worst to best. `"iqr"`: median and the middle half.
        left_out: Called with a line about each folder that is left out.

    Returns:
        The curves as drawn.

    Raises:
        ValueError: No folder is a run with a finished episode; `smooth` below 1; unknown `spread` or
            image format.
        ImportError: matplotlib is missing; the message is the line that installs it.

    Example:

    ```python
    kagent.plotting.plot(["runs/dqn-0", "runs/dqn-1"], "dqn.png", smooth=3)
    ```
    """
    _matplotlib()
    runs: list[Run] = []
    reasons: list[str] = []
    for folder in expand(folders):
        try:
            runs.append(read(folder))
        except ValueError as error:
            reasons.append(str(error))
    if not runs:
        more = f" (and {len(reasons) - 1} more folders without a run)" if len(reasons) > 1 else ""
        raise ValueError(f"{reasons[0]}{more}" if reasons else "No run folder to plot. Received: none")
    curves = summarize(runs, smooth=smooth, spread=spread)
    draw(curves, path, smooth=smooth, spread=spread)
    for reason in reasons:
        left_out(f"Left out: {reason}")
    return curves


def expand(folders: Iterable[str | Path]) -> list[Path]:
    """Folders as they are, and in the place of one that is no run folder the run folders in it, if there are any."""
    found: list[Path] = []
    for folder in map(Path, folders):
        inside = [] if (folder / "config.json").is_file() else sorted(p.parent for p in folder.glob("*/config.json"))
        found += inside or [folder]
    return list(dict.fromkeys(found))


def read(folder: str | Path) -> Run:
    """The learning curve and the settings in a run folder (`config.json` and `log.csv`)."""
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"Not a run folder, and no run folder in it: no config.json. Received: {str(folder)!r}")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with (folder / "log.csv").open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames or []
        settings = {key: value for key, value in config["settings"].items() if key != "seed"}
        names = str(config["algorithm"]), str(config["environment"]), config.get("seed")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"Not a readable run folder. Received: {str(folder)!r} ({error!r})") from error
    if missing := {"timesteps", "episode_return"} - set(columns):
        raise ValueError(f"No column {sorted(missing)} in {folder / 'log.csv'}. Received: {columns}")
    table = np.array([[_number(row["timesteps"]), _number(row["episode_return"])] for row in rows]).reshape(-1, 2)
    table = table[np.isfinite(table).all(axis=1)]  # an epoch in which no episode ended has no return
    if not len(table):
        raise ValueError(f"No finished episode in {folder / 'log.csv'}: nothing to plot")
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Run(folder, *names, settings, table[:, 0], table[:, 1])


def summarize(runs: Sequence[Run], *, smooth: int = 1, spread: str = "range") -> list[Curve]:
    """Join runs that differ in their seeds alone; see `plot` for the arguments.

    Runs log at different timesteps, so each is smoothed, then interpolated on one grid from where all have
    begun to where the first ends: beyond that the line would jump each time a seed drops out.
    """
    if smooth < 1:
        raise ValueError(f"`smooth` must be at least 1. Received: {smooth}")
    if spread not in SPREADS:
        raise ValueError(f"`spread` must be one of {SPREADS}. Received: {spread!r}")
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        same = (run.environment, run.algorithm, json.dumps(run.settings, sort_keys=True))
        groups.setdefault(same, []).append(run)
    curves = []
    for (environment, algorithm, _), members in groups.items():
        rivals = [runs[0].settings for key, runs in groups.items() if key[:2] == (environment, algorithm)]
        label = algorithm.upper() + _difference(members[0].settings, rivals)
        if len(members) > 1:
            distinct = len({run.seed for run in members}) == len(members)
            label += f", {len(members)} {'seeds' if distinct else 'runs'}"
        curves.append(_curve(label, environment, members, smooth, spread))
    return curves


def draw(curves: Sequence[Curve], path: str | Path, *, smooth: int = 1, spread: str = "range") -> None:
    """Write `curves` to an image."""
    figures, backend, ticker = _matplotlib()
    path = Path(path)
    formats = backend.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in formats:
        raise ValueError(f"Unknown image format. Received: {str(path)!r}. Allowed: {', '.join(sorted(formats))}")
    panels = list(dict.fromkeys(curve.environment for curve in curves))
    figure = figures.Figure(figsize=(8, 4.8 * len(panels)), dpi=150, layout="constrained")
    backend(figure)
    for axes, environment in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels):
        shown = [curve for curve in curves if curve.environment == environment]
        for index, curve in enumerate(shown):
            colour = _COLOURS[index % len(_COLOURS)]
            dash = _DASHES[index // len(_COLOURS) % len(_DASHES)]
            marker = "o" if len(curve.timesteps) == 1 else None  # a line of one point is invisible
            axes.plot(curve.timesteps, curve.line, dash, color=colour, label=curve.label, lw=1.8, marker=marker)
            if curve.seeds > 1:
                axes.fill_between(curve.timesteps, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
        axes.set_title(environment, loc="left", fontweight="bold")
        axes.set_xlabel("environment timesteps")
        axes.set_ylabel("episode return while training")
        axes.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(loc="best", frameon=True, framealpha=0.85, edgecolor="none")
        axes.set_title(_caption(shown, smooth, spread), loc="right", fontsize="small", color="0.35")
    with replacing(path) as beside:
        figure.savefig(beside)


def _curve(label: str, environment: str, runs: Sequence[Run], smooth: int, spread: str) -> Curve:
    smoothed = [_smoothed(run.returns, smooth) for run in runs]
    if len(runs) == 1:
        line = smoothed[0]
        return Curve(label, environment, runs[0].timesteps, line, line, line, 1, None)
    first, last = max(run.timesteps[0] for run in runs), min(run.timesteps[-1] for run in runs)
    if first > last:
        folders = ", ".join(str(run.folder) for run in runs)
        raise ValueError(f"These runs of {label} on {environment} have no timesteps in common: {folders}")
    grid = np.linspace(first, last, _POINTS if last > first else 1)
    table = np.stack([np.interp(grid, run.timesteps, values) for run, values in zip(runs, smoothed)])
    if spread == "range":
        line, low, high = table.mean(axis=0), table.min(axis=0), table.max(axis=0)
    else:
        low, line, high = np.percentile(table, [25, 50, 75], axis=0)
    longest = float(max(run.timesteps[-1] for run in runs))
    cut = longest if longest > 1.05 * last else None  # epochs end at slightly different timesteps
    return Curve(label, environment, grid, line, low, high, len(runs), cut)


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last `width` values, of fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    result: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return result


def _caption(curves: Sequence[Curve], smooth: int, spread: str) -> str:
    parts = []
    if any(curve.seeds > 1 for curve in curves):
        range_, iqr = "line: mean of seeds, band: worst to best", "line: median of seeds, band: middle half"
        parts.append(range_ if spread == "range" else iqr)
    if smooth > 1:
        parts.append(f"smoothed over {smooth} epochs")
    return "; ".join(parts)


def _difference(settings: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> str:
    """The settings that not all `rivals` share, as words for the legend."""
    flat = [_flat(rival) for rival in rivals]
    own = _flat(settings)
    keys = sorted(set().union(*flat))
    differing = [key for key in keys if any(other.get(key) != flat[0].get(key) for other in flat)]
    return "".join(f" {key}={json.dumps(own[key])}" if key in own else f" {key} default" for key in differing)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _matplotlib() -> Any:
    try:
        import matplotlib.figure
        import matplotlib.ticker
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError(f"Plotting needs matplotlib: {INSTALL}") from error
    return matplotlib.figure, FigureCanvasAgg, matplotlib.ticker  # no pyplot: it keeps global state
