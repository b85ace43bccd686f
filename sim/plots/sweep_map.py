"""Figures over many settings: of a sweep against one key or two, and the tornado of a sensitivity study."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorizer import ColorizingArtist
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sim.errors import BadInput
from sim.plots import axes
from sim.plots.several import label_of
from sim.results.intervals import t_interval
from sim.studies.differences import RATIOS, interval_of, mean_of, unit_of
from sim.studies.sweep_file import numbers_in
from sim.wording import setting

WIDE = 20.0  # points between shares from which their axis begins at 0
MOST = 12  # bars


def sweep_figure(table: pd.DataFrame, keys: list[str], metric: str = "attainment") -> Figure:
    """One key: the metric against it, a line per playbook. Two: a map per playbook. Raises BadInput for others."""
    if metric not in table or not pd.api.types.is_numeric_dtype(table[metric].astype(float)):
        numbers = table.select_dtypes(["number", "bool"]).columns.drop(["point", "seed", *keys], errors="ignore")
        expected = ", ".join(map(str, numbers))
        raise BadInput("the table has no such figure", key="metric", value=metric, expected=expected)
    if len(keys) not in (1, 2):
        raise BadInput("a figure shows one key or two", key="vary", value=len(keys), expected="1 or 2")
    share, label = unit_of(metric) == "share", label_of(metric)
    factor = 100.0 if share else 1.0
    names = list(dict.fromkeys(table["playbook"]))
    if len(keys) == 1:
        figure, (ax,) = axes.blank(3.2)
        for place, name in enumerate(names):
            line(table[table["playbook"] == name], keys[0], metric, factor, ax, place, axes.plain(name))
        axes.dress(ax, "", label, keys[0])
        low, high = ax.get_ylim()
        if share and high - low > WIDE:  # a large difference is seen against the whole
            ax.set_ylim(min(low, 0.0), high)
        axes.legend(ax)
        return figure
    figure, panels = axes.grid(len(names), 3, 2.6, head=0.8, shared=True)
    values = factor * table[metric].astype(float)
    limits = (float(values.min()), float(values.max()))
    for name, ax in zip(names, panels, strict=True):
        drawn = surface(table[table["playbook"] == name], keys, metric, factor, limits, ax)
        ax.set_title(axes.plain(name), loc="left", fontsize=10, fontweight="bold", color=axes.INK)
    figure.supxlabel(keys[0], fontsize=8.5)
    figure.supylabel(keys[1], fontsize=8.5)
    figure.colorbar(drawn, ax=panels, shrink=0.8, pad=0.02).set_label(label, fontsize=8.5)
    return figure


def line(table: pd.DataFrame, key: str, metric: str, factor: float, ax: Axes, place: int, name: str) -> None:
    """The mean over the seeds at each value, with its 95 % interval where there are three or more."""
    x, ticks = numbers_of(table[key])
    groups = [(at, rows) for at, rows in table.groupby(x)]
    mean = pd.Series({at: factor * mean_of(rows, metric) for at, rows in groups})
    ratio = metric in RATIOS
    bounds = np.array([interval_of(rows, metric) if ratio else t_interval(factor * rows[metric]) for _, rows in groups])
    style = axes.style(place)
    ax.plot(mean.index, mean, marker="o", markersize=4, linewidth=1.2, label=name, **style)
    ax.fill_between(mean.index.to_numpy(float), *bounds.T, color=style["color"], alpha=0.15, linewidth=0)
    if ticks:
        ax.set_xticks(range(len(ticks)), ticks)


def surface(
    table: pd.DataFrame, keys: list[str], metric: str, factor: float, limits: tuple[float, float], ax: Axes
) -> ColorizingArtist:
    """The mean over the seeds as colour: a field per pair of values on a grid, else a point where each lies."""
    columns = [numbers_of(table[key]) for key in keys]
    (x, _), (y, _) = columns
    mean = pd.Series({at: factor * mean_of(rows, metric) for at, rows in table.groupby([y, x])})
    for (_, ticks), put in zip(columns, (ax.set_xticks, ax.set_yticks), strict=True):
        if ticks:
            put(range(len(ticks)), ticks)
    ax.tick_params(labelsize=8)
    grid = mean.unstack()
    if grid.notna().all(axis=None) and min(grid.shape) > 1:
        edges = grid.columns.to_numpy(float), grid.index.to_numpy(float)
        low, high = limits
        return ax.pcolormesh(*edges, grid.to_numpy(), vmin=low, vmax=high, cmap="cividis", shading="nearest")
    down, across = (mean.index.get_level_values(level).to_numpy(float) for level in (0, 1))
    return ax.scatter(across, down, c=mean.to_numpy(), vmin=limits[0], vmax=limits[1], cmap="cividis", s=28)


def numbers_of(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Values on an axis: numbers as they are; texts, like '30 s', by the number before a common unit, else in order."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(float), []
    if found := numbers_in(values):
        return np.array(found), []
    names = list(dict.fromkeys(values.astype(str)))
    return np.array([names.index(str(value)) for value in values], dtype=float), names


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
