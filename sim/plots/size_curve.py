"""How well a promise is kept against the size of the fleet: the curve of a search, its knee, and its answer."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sim.plots import axes
from sim.studies.size import SEARCH, VERIFY, Size

LABELS = {SEARCH: "search", VERIFY: "fresh seeds"}


def size_curve(found: Size, ax: Axes, place: int = 0, *, name: str = "") -> None:
    """What is reached at each fleet, in the search and with fresh seeds, with 95 % intervals over the runs."""
    table = found.table.drop_duplicates(["stage", "scale", "gpus"])
    coarse = table[table["stage"] == SEARCH]
    coarse = coarse[coarse["scale"] == coarse["scale"].min()].sort_values("gpus")
    style = axes.style(place)
    x = coarse["gpus"].to_numpy(float)
    ax.plot(x, 100 * coarse["measure"], marker="o", markersize=3, linewidth=1.2, label=name or LABELS[SEARCH], **style)
    bounds = 100 * coarse[["measure_low", "measure_high"]].to_numpy(float)
    ax.fill_between(x, *bounds.T, color=style["color"], alpha=0.15, linewidth=0)
    proved = table[table["stage"] == VERIFY].sort_values("gpus")
    y = 100 * proved["measure"].to_numpy(float)
    spread = np.abs(100 * proved[["measure_low", "measure_high"]].to_numpy(float).T - y)
    label = "" if name else LABELS[VERIFY]
    ax.errorbar(proved["gpus"], y, np.nan_to_num(spread), fmt="s", markersize=5, color=axes.VERMILLION, label=label)
    if found.gpus:
        ax.axvline(found.total, color=style["color"], linewidth=1, linestyle="--")
        axes.note(ax, f"{found.total:,}", (found.total, 0.02), (3, 0), size=8)
    if found.knee == found.knee and not name:
        at = coarse[coarse["gpus"] == found.knee]["measure"]
        ax.plot([found.knee], 100 * at, "D", color=axes.ORANGE, markersize=7, label="knee", markerfacecolor="none")


def size_figure(found: Size | list[Size]) -> Figure:
    """The curve of one search, or those of several playbooks."""
    several = found if isinstance(found, list) else [found]
    figure, (ax,) = axes.blank(3.6)
    for place, one in enumerate(several):
        size_curve(one, ax, place, name=one.label.replace(", beside", ",\nbeside") if len(several) > 1 else "")
    first = several[0]
    what = axes.plain(first.promise, 60)
    y = "reached (%)" if first.target else "margin (% points)"
    x = "GPUs in all pools sized" if len(first.offered) > 1 else "GPUs"
    axes.dress(ax, f"Fleets that keep the promise: {what}", y, x)
    ax.axhline(100 * first.target, color=axes.GREY, linewidth=1, linestyle=":", label="promised")
    if first.target:
        ax.set_ylim(-4, 104)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.xaxis.set_major_formatter(axes.amount_tick)
    axes.legend(ax)
    return figure
