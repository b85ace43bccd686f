"""Pictures of a choice: of a fleet, by how well it keeps a promise; of fleet and playbook, by what each may lose."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from sim.plots import axes
from sim.studies.decide import Decision
from sim.studies.decide_words import written
from sim.studies.size import SEARCH, VERIFY, Size
from sim.wording import percent

LABELS = {SEARCH: "search", VERIFY: "fresh seeds"}
MOST_COLUMNS = 9  # of fleets with whole numbers in their fields


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


def regret_cells(found: Decision, ax: Axes) -> None:
    """Expected regret by playbook (down, the least at the top) and fleet (across); light is little.

    Where options differ in how often they stay alive, that share stands below the regret.
    """
    fields = found.options.pivot_table(index="playbook", columns="gpus", values="regret", sort=True)
    fields = fields.loc[fields.min(axis=1).sort_values(kind="stable").index]
    values = fields.to_numpy(float)
    top = float(np.nanmax(values)) or 1.0
    mesh = ax.pcolormesh(values, cmap="cividis_r", norm=PowerNorm(0.5, 0.0, top), edgecolor="white", linewidth=1.5)
    ax.invert_yaxis()
    several = found.options["alive"].nunique() > 1
    small = 7.5 if len(fields.columns) <= MOST_COLUMNS else 5.5
    for place, row in found.options.iterrows():
        x, y = [*fields.columns].index(row["gpus"]), [*fields.index].index(row["playbook"])
        text = written(found, row["regret"]).removesuffix(" images")
        text += f"\nalive {percent(row['alive'])}" if several else ""
        red, green, blue, _ = mesh.to_rgba(row["regret"])
        ink = "white" if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else "black"
        best = place == found.best
        weight = "bold" if best else "normal"
        ax.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=small, color=ink, fontweight=weight)
        if best:
            frame = Rectangle((x, y), 1, 1, fill=False, edgecolor=axes.VERMILLION, linewidth=3, zorder=3, clip_on=False)
            ax.add_patch(frame)
    unit = "images" if found.by == "images" else "dollars"
    axes.dress(ax, f"Expected regret in {unit}; the choice is framed", "", f"GPUs in pool {axes.plain(found.pool)}")
    ax.grid(False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xticks(np.arange(len(fields.columns)) + 0.5, [f"{gpus:,}" for gpus in fields.columns])
    ax.set_yticks(np.arange(len(fields)) + 0.5, [axes.plain(name) for name in fields.index])
    ax.tick_params(length=0)


def regret_figure(found: Decision) -> Figure:
    figure, (ax,) = axes.blank(1.0 + 0.5 * found.options["playbook"].nunique(), room=1.0)
    regret_cells(found, ax)
    return figure
