"""A decision's regrets as a picture: a field for each fleet and playbook, its number in it, the choice in a frame."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.plots import axes
from sim.studies.decide import Decision
from sim.studies.decide_words import written
from sim.wording import percent

MOST_COLUMNS = 9  # of fleets with whole numbers in their fields


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
