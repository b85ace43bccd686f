"""Retry storms: a map of where a service recovers, and how late a playbook may begin and still save it."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sim.plots import axes
from sim.studies.rescue import Rescue

RECOVERS = LinearSegmentedColormap.from_list("recovers", [axes.VERMILLION, "#f2f2f2", axes.BLUE])
MOST_COLUMNS = 4
MOST_TICKS = 8


def map_figure(table: pd.DataFrame) -> Figure:
    """One panel per number of retries: load across, spike upward, the share of seeds that recovered as colour.

    table: as from sim.storm_map. The line is the load below which, by theory, it always recovers.
    """
    numbers = list(dict.fromkeys(table["retries"]))
    figure, panels = axes.grid(len(numbers), MOST_COLUMNS, 2.1, head=0.9, shared=True)
    for place, (number, ax) in enumerate(zip(numbers, panels, strict=True)):
        panel(ax, table[table["retries"] == number], number)
        if place % MOST_COLUMNS == 0:
            ax.set_ylabel("spike, times the everyday rate", fontsize=8.5)
    figure.supxlabel("everyday load, % of capacity", fontsize=8.5)
    scale = figure.colorbar(ScalarMappable(cmap=RECOVERS), ax=panels, shrink=0.8, pad=0.02)
    scale.set_label("seeds that recover (%)", fontsize=8.5)
    scale.set_ticks([0, 0.5, 1], labels=["0", "50", "100"])
    scale.ax.tick_params(labelsize=8)
    return figure


def panel(ax: Axes, table: pd.DataFrame, retries: int) -> None:
    """The map for one number of retries."""
    grid = table.pivot(index="spike", columns="load", values="share")
    loads, spikes = 100 * grid.columns.to_numpy(float), grid.index.to_numpy(float)
    ax.pcolormesh(
        around(loads), np.arange(len(spikes) + 1), grid.to_numpy(), cmap=RECOVERS, vmin=0, vmax=1, lw=0.6, ec="white"
    )
    stable = 100 * float(table["stable"].iloc[0])
    left, right = ax.get_xlim()
    if left < stable < right:
        ax.axvline(stable, color=axes.INK, linewidth=1.4, linestyle="--")
        label = f"C/(1+r) = {stable:.3g} %"
        axes.note(ax, label, (stable, 1.0), (0, 3))
    some = loads if len(loads) <= MOST_TICKS else loads[:: math.ceil(len(loads) / MOST_TICKS)]
    # Ticks stand where runs were made: a cell is no more than those.
    ax.set_xticks(some, [f"{load:g}" for load in np.round(some, 1)])
    ax.set_yticks(np.arange(len(spikes)) + 0.5, [f"{spike:g}" for spike in spikes])
    title = f"{retries} retr{'y' if retries == 1 else 'ies'}"
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold", color=axes.INK, pad=16)
    ax.tick_params(labelsize=8)


def around(centres: np.ndarray) -> np.ndarray:
    """The edges of cells around their centres, which ascend."""
    if len(centres) == 1:
        return centres[0] + np.array([-5.0, 5.0])
    middles = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middles[0]], middles, [2 * centres[-1] - middles[-1]]])


def rescue_figure(found: Rescue) -> Figure:
    """The share of seeds saved against the instant at which the playbook begins, and the point of no return."""
    figure, (ax,) = axes.blank(2.8)
    run = found.run
    begins = found.shares["begins"].to_numpy(float)
    saved = 100 * found.shares["saved"]
    ax.plot(axes.dates(run, begins), saved, color=axes.BLUE, marker="o", markersize=5, linewidth=1, clip_on=False)
    axes.dress(ax, f"Runs that '{axes.plain(found.playbook)}' saves if it begins no earlier", "% of seeds")
    axes.date_axis(ax, run)
    ax.set_ylim(-4, 104)
    begin, end, latest = (float(date) for date in axes.dates(run, [*found.trouble, found.latest]))
    if begin == begin:
        ax.axvspan(begin, end, color="#eeeeee", zorder=0.2)
        axes.note(ax, "trouble without it", (begin, 0.5), (3, 0), size=7, color=axes.GREY)
    if latest == latest:
        ax.axvline(latest, color=axes.VERMILLION, linewidth=1.2, linestyle="--", label="latest")
        axes.legend(ax)
    return figure
