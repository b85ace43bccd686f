"""A policy at work: images in time, the queue and the GPUs in one surge, with the policy and without any."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sim.plots import axes
from sim.plots.one_run import outcomes
from sim.results.metrics import bins, counted, default_bin, pool_timeline
from sim.results.run import Run
from sim.results.timeline import IMAGES, IMAGES_DEGRADED, INTENTS


def policy_figure(nothing: Run, run: Run, name: str, pool: str) -> Figure:
    """Four panels: images in time, requests waiting, GPUs in service and busy, and outcomes of attempts."""
    figure, panels = axes.blank(9.6, rows=4)
    goodput(nothing, run, name, panels[0])
    queues(nothing, run, pool, panels[1])
    gpus(run, pool, panels[2])
    outcomes(run, panels[3])
    for ax in panels[:3]:
        ax.set_xlabel("")
    return figure


def a_second(run: Run, edges: NDArray[np.float64], *columns: int) -> NDArray[np.float64]:
    """Counts of a run's timeline as full-scale rates per second."""
    counts = counted(run, edges).counts[..., list(columns)].sum(axis=(1, 2, 3))
    rates: NDArray[np.float64] = counts / np.diff(edges) / run.scale
    return rates


def goodput(nothing: Run, run: Run, name: str, ax: Axes) -> None:
    """Images in time, by when they were wanted, and first requests."""
    edges = bins(run, default_bin(run))
    at = axes.dates(run, edges)
    wanted, without = a_second(run, edges, INTENTS), a_second(nothing, edges, IMAGES, IMAGES_DEGRADED)
    axes.stairs(ax, wanted, at, color=axes.GREY, linewidth=1.0, linestyle=":", label="first requests")
    axes.stairs(ax, without, at, color=axes.VERMILLION, linewidth=1.2, linestyle="--", label="without")
    total, as_asked = a_second(run, edges, IMAGES, IMAGES_DEGRADED), a_second(run, edges, IMAGES)
    if (total > as_asked).any():
        axes.stairs(ax, total, at, baseline=as_asked, fill=True, color=axes.SKY, label="of which degraded")
    axes.stairs(ax, total, at, color=axes.BLUE, linewidth=1.6, label="with the policy")
    axes.over_dates(ax, run, f"{name}: images in time, by when they were wanted", "images per second")


def queues(nothing: Run, run: Run, pool: str, ax: Axes) -> None:
    """Requests waiting; logarithmic above 10, because without a policy there are very many."""
    for shown, label, colour, line in (
        (nothing, "without", axes.VERMILLION, "--"),
        (run, "with the policy", axes.BLUE, "-"),
    ):
        table = pool_timeline(shown, pool)
        queued, at = table["queued"] / shown.scale, axes.edges(shown, table)
        axes.stairs(ax, queued, at, color=colour, linestyle=line, label=label)
    ax.set_yscale("symlog", linthresh=10.0)
    ax.set_ylim(0, None)
    axes.over_dates(ax, run, f"Queue of pool {axes.plain(pool)}", "requests waiting\n(log above 10)", counts=False)


def gpus(run: Run, pool: str, ax: Axes) -> None:
    """GPUs in service, and those of them that are busy."""
    table = pool_timeline(run, pool)
    at = axes.edges(run, table)
    busy = table["utilisation"] * table["gpus"] / run.scale
    axes.stairs(ax, table["gpus"] / run.scale, at, color=axes.INK, linewidth=1.4, label="in service")
    axes.stairs(ax, busy, at, fill=True, color=axes.BLUE, alpha=0.25, label="busy")
    ax.set_ylim(0, None)
    axes.over_dates(ax, run, f"GPUs of pool {axes.plain(pool)}", "GPUs", counts=False)
