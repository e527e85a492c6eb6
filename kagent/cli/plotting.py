"""Learning curves from run folders as an image. Needs the extra `kagent[plots]`; imports no TensorFlow."""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from kagent.cli import bands, charts
from kagent.cli.curves import Curve, Run, check, expand, read, read_all, summarize, unit_of
from kagent.files.atomic_files import replacing

__all__ = ["Curve", "Run", "draw", "expand", "plot", "read", "summarize"]

INSTALL = "pip install 'kagent[plots]'"
# Okabe and Ito's colours, told apart by colour-blind readers too; dashes beyond them.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_WIDTH, _PANEL, _ROW = 8.0, 4.6, 0.22  # inches: the image, a panel without its legend, a row of the legend


def plot(
    folders: Iterable[str | Path],
    path: str | Path,
    *,
    smooth: int = 1,
    spread: str = "iqm",
    x: str = "timesteps",
    group: str = "settings",
    labels: Sequence[str] | None = None,
    left_out: Callable[[str], Any] = warnings.warn,
) -> list[Curve]:
    """Draw the return of training episodes in run folders, with the spread over seeds, one panel per environment.

    Args:
        folders: Run folders, or folders of run folders. Others, and runs without a finished episode, are left out.
        path: The image to write; the suffix says the format (`.png`, `.svg`, `.pdf`).
        smooth: Each point is the mean of this many log rows up to it; 1 draws the log as it is.
        spread: `"iqm"`: interquartile mean over seeds, band: its 95 % bootstrap interval. `"mean"`: the same for the mean.
            `"range"`: mean over seeds, band from worst to best. `"iqr"`: median and the middle half.
        x: What lies along the axis: `"timesteps"` of the environment, `"time"` of training, or finished `"episodes"`. Seeds
            are compared at equal timesteps; a point then lies at the mean of their times or episodes.
        group: `"settings"`: runs with equal algorithm, environment and settings are one curve. `"algorithm"`: whatever
            their settings, all runs of an algorithm are.
        labels: A label for each curve, in the order of the curves, in place of the algorithm and what sets it apart.
        left_out: Called with a line about each folder that is left out.

    Returns:
        The curves as drawn.

    Raises:
        ValueError: No folder is a run with a finished episode; `smooth` below 1; unknown `spread`, `x`, `group` or
            image format; another number of labels than of curves.
        ImportError: matplotlib is missing; the message is the line that installs it.

    Example:

    ```python
    kagent.plotting.plot(["runs/dqn-0", "runs/dqn-1"], "dqn.png", smooth=3)
    ```
    """
    _matplotlib()
    check(smooth=smooth, spread=spread, x=x, group=group)
    runs, reasons = read_all(folders, x)
    curves = summarize(runs, smooth=smooth, spread=spread, x=x, group=group)
    draw(curves, path, smooth=smooth, spread=spread, x=x, labels=labels)
    for reason in reasons:
        left_out(f"Left out: {reason}")
    return curves


def draw(
    curves: Sequence[Curve],
    path: str | Path,
    *,
    smooth: int = 1,
    spread: str = "iqm",
    x: str = "timesteps",
    labels: Sequence[str] | None = None,
) -> None:
    """Write `curves` to an image; the arguments are those that `summarize` had, and `labels` of `plot`."""
    figures, backend, ticker, transforms = _matplotlib()
    path = Path(path)
    formats = backend.get_supported_filetypes()
    if path.suffix.lower().lstrip(".") not in formats:
        raise ValueError(f"Unknown image format. Received: {str(path)!r}. Allowed: {', '.join(sorted(formats))}")
    names = dict(zip(map(id, curves), _labels(curves, labels)))
    panels = list(dict.fromkeys(curve.environment for curve in curves))
    groups = [[curve for curve in curves if curve.environment == environment] for environment in panels]
    captions = {name: _caption(shown, smooth, spread) for name, shown in zip(panels, groups)}
    heights = [
        _PANEL + _ROW * (captions[name].count("\n") + 1 + sum(names[id(one)].count("\n") + 1 for one in shown))
        for name, shown in zip(panels, groups)
    ]
    figure = figures.Figure(figsize=(_WIDTH, sum(heights)), dpi=150, layout="constrained")
    backend(figure)
    grid = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, environment, shown in zip(grid, panels, groups):
        offline = shown[0].offline
        size, unit = unit_of(x, max(float(curve.x[-1]) for curve in shown), offline)
        for index, curve in enumerate(shown):
            colour = _COLOURS[index % len(_COLOURS)]
            dash = _DASHES[index // len(_COLOURS) % len(_DASHES)]
            marker = "o" if len(curve.x) == 1 else None  # a line of one point is invisible
            across, label = curve.x / size, names[id(curve)]
            axes.plot(across, curve.line, dash, color=colour, label=label, lw=1.8, marker=marker)
            if curve.seeds > 1:
                axes.fill_between(across, curve.low, curve.high, color=colour, alpha=0.18, lw=0)
        axes.set_title(environment, loc="left", fontweight="bold")
        axes.set_xlabel(unit)
        axes.set_ylabel("episode return in validation" if offline else "episode return while training")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(ticker.FuncFormatter(functools.partial(_tick, axis)))
        axes.grid(alpha=0.3)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
        # Below the axis: inside, it would lie on a line sooner or later.
        below = axes.transAxes + transforms.ScaledTranslation(0.0, -0.55, figure.dpi_scale_trans)
        legend = axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=below, frameon=False,
                             borderaxespad=0.0, title=captions[environment], alignment="left")  # fmt: skip
        legend.get_title().set_color("0.35")
    with replacing(path) as beside:
        figure.savefig(beside)


def _tick(axis: Any, value: float, place: int | None) -> str:
    return charts.shown(value, max(map(abs, axis.get_view_interval())))


def _labels(curves: Sequence[Curve], labels: Sequence[str] | None) -> list[str]:
    if labels is None:
        labels = [curve.label for curve in curves]
    elif len(labels) != len(curves):
        known = "; ".join(f"{curve.label} on {curve.environment}" for curve in curves)
        raise ValueError(f"`labels` must have one for each of {len(curves)} curves ({known}). Received: {list(labels)}")
    return ["\n".join(textwrap.wrap(label, 90) or [label]) for label in labels]


def _caption(curves: Sequence[Curve], smooth: int, spread: str) -> str:
    parts = [bands.caption(spread)] if any(curve.seeds > 1 for curve in curves) else []
    if smooth > 1:
        parts.append(f"smoothed over {smooth} epochs")
    return textwrap.fill("; ".join(parts), 100)


def _matplotlib() -> Any:
    try:
        import matplotlib.figure
        import matplotlib.ticker
        import matplotlib.transforms
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise ImportError(f"Plotting needs matplotlib: {INSTALL}") from error
    return (
        matplotlib.figure,
        FigureCanvasAgg,
        matplotlib.ticker,
        matplotlib.transforms,
    )  # no pyplot: it keeps global state
