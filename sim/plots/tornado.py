"""A tornado: how far a figure moves with each uncertain input, one at a time, the most important one at the top."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sim.plots import axes
from sim.studies.differences import unit_of
from sim.wording import setting

MOST = 12  # bars


def tornado_bars(table: pd.DataFrame, ax: Axes, metric: str) -> None:
    """Bars from the figure at each input's low end to that at its high end, about the base; see studies.sensitivity."""
    table = drawn(table).head(MOST).iloc[::-1]
    if table.empty:
        axes.nothing(ax, "nothing changes with any of these inputs")
        return
    base = float(table["base"].iloc[0])
    y = np.arange(len(table))
    for side, color, label in (("low", axes.SKY, "input low (10 %)"), ("high", axes.ORANGE, "input high (90 %)")):
        ax.barh(y, table[f"at_{side}"] - base, left=base, height=0.62, color=color, label=label)
    for place, row in enumerate(table.to_dict("records")):
        left, right = sorted([(row["at_low"], str(row["low"])), (row["at_high"], str(row["high"]))])
        for (value, end), edge in ((left, min), (right, max)):  # one label to each side, whichever way the bars go
            gap, align = (-3, "right") if edge is min else (3, "left")
            at = (edge(value, base), place)
            text = axes.plain(setting(end), 16)
            ax.annotate(text, at, (gap, 0), textcoords="offset points", fontsize=7, va="center", ha=align)
    ax.axvline(base, color=axes.INK, linewidth=1)
    names = [
        axes.plain(key, 34) + ("" if fine else " *") for key, fine in zip(table["key"], table["monotone"], strict=True)
    ]
    ax.set_yticks(y, names)
    ax.margins(x=0.16)
    name = metric.replace("_", " ")
    note = "" if table["monotone"].all() else "     * not monotone: the base lies outside both ends"
    axes.dress(ax, f"What {name} depends on", "", f"{name}{note}")
    ax.grid(False, axis="y")
    if unit_of(metric) == "share":
        ax.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def drawn(table: pd.DataFrame) -> pd.DataFrame:
    """The inputs that have a bar: they change something, and nothing is endless (a latency that too few reach)."""
    finite = np.isfinite(table[["at_low", "base", "at_high"]].to_numpy(float)).all(axis=1)
    return table[finite & (table["swing"] > 0)]


def tornado_figure(table: pd.DataFrame, metric: str) -> Figure:
    """The tornado of a sensitivity study."""
    figure, (ax,) = axes.blank(1.3 + 0.34 * min(len(drawn(table)), MOST), room=0.78)
    tornado_bars(table, ax, metric)
    if len(drawn(table)):
        axes.legend(ax)
    return figure
