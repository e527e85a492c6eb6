"""Learning curves from the folders of runs, as arrays. Needs NumPy alone."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kagent.cli import bands

X = ("timesteps", "time", "episodes")
GROUPS = ("settings", "algorithm")
_POINTS = 400
_UNITS = ((3600.0, 7200.0, "hours"), (60.0, 180.0, "minutes"), (1.0, 0.0, "seconds"))


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What one run folder says.

    Attributes:
        folder: Where it is.
        algorithm, environment, seed: What was trained, from `config.json`. Where it was trained on recorded episodes, the
            environment says so: it has a panel of its own.
        settings: Nested settings without the seed: runs with equal ones are repetitions.
        timesteps: Environment steps at each row of `log.csv` in which an episode ended, `(rows,)` float64; of recorded episodes
            the gradient steps at each row with a validation.
        returns: Mean return of the episodes that ended in it, `(rows,)` float64; of recorded episodes that of the validation.
        time: Seconds of training at each of these rows, `(rows,)` float64, from the pace that the log has; NaN without it.
        episodes: Episodes that had ended, `(rows,)` float64; NaN where the log lacks them.
        offline: Whether it was trained on recorded episodes.
    """

    folder: Path
    algorithm: str
    environment: str
    seed: int | None
    settings: dict[str, Any]
    timesteps: np.ndarray
    returns: np.ndarray
    time: np.ndarray
    episodes: np.ndarray
    offline: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Runs that differ in their seeds alone, as one line with a band.

    Attributes:
        label: Algorithm, number of seeds, and what sets it apart from other curves of the same algorithm.
        environment: gymnasium id.
        x: Timesteps, seconds or episodes, `(points,)` float64.
        line, low, high: `(points,)` float64; `low` and `high` equal `line` for a single run.
        seeds: Number of runs.
        cut: `x` at the end of the longest run, if another run ends clearly before, and so the curve; else None.
        algorithm: As `kagent train` names it.
        name: The label without the number of seeds.
        offline: As of `Run`: `x` are gradient steps in place of timesteps, and `line` is of validations.
    """

    label: str
    environment: str
    x: np.ndarray
    line: np.ndarray
    low: np.ndarray
    high: np.ndarray
    seeds: int
    cut: float | None
    algorithm: str = ""
    name: str = ""
    offline: bool = False


def expand(folders: Iterable[str | Path]) -> list[Path]:
    """Folders as they are, and in the place of one that is no run folder the run folders in it, if there are any: those of
    single runs, and those of `kagent train --seeds` one level below."""
    found: list[Path] = []
    for folder in map(Path, folders):
        inside: list[Path] = []
        if not (folder / "config.json").is_file():
            below = (
                path.parent
                for path in folder.glob("*/*/config.json")
                if not (path.parents[1] / "config.json").is_file()
            )
            inside = sorted([path.parent for path in folder.glob("*/config.json")] + list(below))
        found += inside or [folder]
    return list(dict.fromkeys(found))


def read_all(folders: Iterable[str | Path], x: str = "timesteps") -> tuple[list[Run], list[str]]:
    """The runs of some folders, and a line about each folder that is left out.

    Raises:
        ValueError: No folder is a run with a finished episode.
    """
    runs: list[Run] = []
    reasons: list[str] = []
    for folder in expand(folders):
        try:
            run = read(folder)
            if np.isnan(getattr(run, x)).any():
                raise ValueError(f"No {x} in {folder / 'log.csv'}: nothing to draw over")
            runs.append(run)
        except ValueError as error:
            reasons.append(str(error))
    if not runs:
        more = f" (and {len(reasons) - 1} more folders without a run)" if len(reasons) > 1 else ""
        raise ValueError(f"{reasons[0]}{more}" if reasons else "No run folder to plot. Received: none")
    return runs, reasons


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
    offline = config.get("data") is not None
    if offline:
        names = (names[0], f"{names[1]}, recorded episodes", names[2])
    wanted = ("timesteps", "episode_return", "steps_per_second", "episodes")
    if offline:
        wanted = ("updates", "val_episode_return", *wanted[2:])
    if missing := set(wanted[:2]) - set(columns):
        hint = " Training on recorded episodes has returns with --validation N" if offline else ""
        raise ValueError(f"No column {sorted(missing)} in {folder / 'log.csv'}. Received: {columns}.{hint}")
    table = np.array([[_number(row.get(name)) for name in wanted] for row in rows]).reshape(-1, len(wanted))
    table = table[np.isfinite(table[:, 0])]
    table = table[np.argsort(table[:, 0], kind="stable")]
    steps = np.diff(table[:, 0], prepend=0.0)
    seconds = np.cumsum(np.divide(steps, table[:, 2], out=np.zeros(len(table)), where=steps > 0))
    # Before the first end of an episode there is no return, and an epoch without one repeats the last return.
    ended = np.isfinite(table[:, 1]) & (np.diff(table[:, 3], prepend=np.nan) != 0)
    if not ended.any():
        raise ValueError(f"No finished episode in {folder / 'log.csv'}: nothing to plot")
    return Run(folder, *names, settings, table[ended, 0], table[ended, 1], seconds[ended], table[ended, 3], offline)


def summarize(
    runs: Sequence[Run],
    *,
    smooth: int = 1,
    spread: str = "iqm",
    x: str = "timesteps",
    group: str = "settings",
) -> list[Curve]:
    """Join runs that differ in their seeds alone; see `kagent.plotting.plot` for the arguments.

    Runs log at different places, so each is smoothed, then interpolated on one grid from where all have
    begun to where the first ends: beyond that the line would jump each time a seed drops out.
    """
    check(smooth=smooth, spread=spread, x=x, group=group)
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run, group), []).append(run)
    curves = []
    for (environment, algorithm, _), members in groups.items():
        rivals = [runs[0].settings for key, runs in groups.items() if key[:2] == (environment, algorithm)]
        label = name = algorithm.upper() + _difference(members[0].settings, rivals)
        if len(members) > 1:
            distinct = len({run.seed for run in members}) == len(members)
            label += f", {len(members)} {'seeds' if distinct else 'runs'}"
        curves.append(dataclasses.replace(_curve(label, members, smooth, spread, x), name=name))
    return curves


def check(*, smooth: int, spread: str, x: str, group: str) -> None:
    """Refuses arguments of `summarize` that are none.

    Raises:
        ValueError: With the argument, the value and the allowed ones.
    """
    if smooth < 1:
        raise ValueError(f"`smooth` must be at least 1. Received: {smooth}")
    for name, value, allowed in (("spread", spread, bands.SPREADS), ("x", x, X), ("group", group, GROUPS)):
        if value not in allowed:
            raise ValueError(f"`{name}` must be one of {allowed}. Received: {value!r}")


def unit_of(x: str, longest: float, offline: bool = False) -> tuple[float, str]:
    """By how much values along the axis are divided, and its label.

    Args:
        x: As `plot` takes it.
        longest: The largest value.
        offline: Whether the runs were trained on recorded episodes.

    Example:

    >>> unit_of("time", 600.0), unit_of("episodes", 600.0)
    ((60.0, 'minutes of training'), (1.0, 'finished episodes'))
    """
    if x == "time":
        size, unit = next((size, unit) for size, least, unit in _UNITS if longest >= least)
        return size, f"{unit} of training"
    steps = "gradient steps" if offline else "environment timesteps"
    return 1.0, steps if x == "timesteps" else "finished episodes"


def key(run: Run, group: str = "settings") -> tuple[str, str, str]:
    """Equal for runs that become one curve: environment, algorithm, and the settings where they count."""
    return run.environment, run.algorithm, json.dumps(run.settings, sort_keys=True) if group == "settings" else ""


def _curve(label: str, runs: Sequence[Run], smooth: int, spread: str, x: str) -> Curve:
    environment, algorithm, offline = runs[0].environment, runs[0].algorithm, runs[0].offline
    smoothed = [_smoothed(run.returns, smooth) for run in runs]
    if len(runs) == 1:
        line = smoothed[0]
        return Curve(label, environment, getattr(runs[0], x), line, line, line, 1, None, algorithm, offline=offline)
    first, last = max(run.timesteps[0] for run in runs), min(run.timesteps[-1] for run in runs)
    if first > last:
        folders = ", ".join(str(run.folder) for run in runs)
        raise ValueError(f"These runs of {label} on {environment} have no timesteps in common: {folders}")
    grid = np.linspace(first, last, _POINTS if last > first else 1)
    table = np.stack([np.interp(grid, run.timesteps, values) for run, values in zip(runs, smoothed)])
    # Seeds are compared at equal timesteps whatever the axis: their times may have no moment in common.
    place = np.mean([np.interp(grid, run.timesteps, getattr(run, x)) for run in runs], axis=0)
    shorter = max(run.timesteps[-1] for run in runs) > 1.05 * last  # epochs end at slightly different timesteps
    cut = float(max(getattr(run, x)[-1] for run in runs)) if shorter else None
    return Curve(label, environment, place, *bands.band(table, spread), len(runs), cut, algorithm, offline=offline)


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """Mean of the last `width` values, of fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - width, 0)
    result: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return result


def _difference(settings: dict[str, Any], rivals: Sequence[dict[str, Any]]) -> str:
    """The settings that not all `rivals` share, as words for the legend."""
    all_flat = [flat(rival) for rival in rivals]
    own = flat(settings)
    keys = sorted(set().union(*all_flat))
    differing = [key for key in keys if any(other.get(key) != all_flat[0].get(key) for other in all_flat)]
    return "".join(f" {key}={json.dumps(own[key])}" if key in own else f" {key} default" for key in differing)


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dots in their keys.

    Example:

    >>> flat({"fit": {"steps": 100}, "discount": 0.9})
    {'fit.steps': 100, 'discount': 0.9}
    """
    made: dict[str, Any] = {}
    for key, value in settings.items():
        made.update(flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return made


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
