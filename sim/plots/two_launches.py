"""Launches on one axis: signups an hour and busy GPUs by days since the launch, with the dates of measures."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.plots import axes
from sim.plots.marks import label
from sim.results.metrics import pool_timeline, timeline
from sim.results.run import Run

HOUR = 3600.0


def signups_per_hour(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Edges in seconds, and people of the whole service in each hour of a run."""
    table = timeline(run, HOUR)
    edges = np.append(table.index.to_numpy(float), run.horizon)
    return edges, table["signups"].to_numpy(float) / run.scale / (np.diff(edges) / HOUR)


def launches(runs: Mapping[str, Run], ax: Axes, marks: Sequence[tuple[float, str]] = ()) -> None:
    """Signups an hour (logarithmic) of several launches. marks: seconds after the launch, and what happened then."""
    for place, (name, run) in enumerate(runs.items()):
        edges, people = signups_per_hour(run)
        shown = np.where(people > 0, people, np.nan)
        ax.stairs(shown, edges / axes.DAY, label=axes.plain(name), linewidth=1.6, baseline=None, **axes.style(place))
    ax.set_yscale("log")
    axes.dress(ax, "Signups", "people per hour (log)", rows=mark(ax, marks, labels=True))
    ax.yaxis.set_major_formatter(axes.amount_tick)
    since_launch(runs, ax)


def busy(runs: Mapping[str, Run], ax: Axes, marks: Sequence[tuple[float, str]] = ()) -> None:
    """The share of its GPUs that the first pool of each run has busy."""
    for place, (name, run) in enumerate(runs.items()):
        table = pool_timeline(run, next(iter(run.manifest["pools"])), 3 * HOUR)
        edges = np.append(table.index.to_numpy(float), run.horizon) / axes.DAY
        ax.stairs(100 * table["utilisation"], edges, label=axes.plain(name), linewidth=1.6, **axes.style(place))
    mark(ax, marks, labels=False)
    axes.dress(ax, "GPUs busy", "% of the fleet", "days since the launch")
    ax.set_ylim(0, 105)
    since_launch(runs, ax)


def since_launch(runs: Mapping[str, Run], ax: Axes) -> None:
    """An x-axis of days that all runs share."""
    days = max(run.horizon for run in runs.values()) / axes.DAY
    ax.set_xlim(0, days)
    ax.set_xticks(np.arange(0, days + 0.5))
    axes.legend(ax)


def mark(ax: Axes, marks: Sequence[tuple[float, str]], *, labels: bool) -> int:
    """A thin line at each instant; gives back how many rows of labels stand above the axes, one for each."""
    for row, (seconds, text) in enumerate(sorted(marks, reverse=True)):
        x = seconds / axes.DAY
        ax.axvline(x, color=axes.INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=0.8)
        if labels:
            label(ax, x, axes.plain(text, 44), row, right=x > 4.5)
    return len(marks) if labels else 0


def launches_figure(
    signing_up: Mapping[str, Run], served: Mapping[str, Run], marks: Sequence[tuple[float, str]]
) -> Figure:
    """Signups of these runs, and below them the busy GPUs of those."""
    figure, (above, below) = axes.blank(5.0, rows=2, room=0.8)
    launches(signing_up, above, marks)
    busy(served, below, marks)
    return figure
