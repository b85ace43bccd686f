"""Playbooks compared: one dot per playbook with its confidence interval, one panel per measure."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sim.plots import axes
from sim.studies.differences import title_of, unit_of

MEASURES = (
    *("images_share", "people_share", "attainment", "degraded_share", "p95_latency", "p95_first_token"),
    *("p95_per_token", "lost", "signups_lost", "growth_lost", "wasted_gpu_hours", "dollars_per_1000_images"),
)
SIGNS = {"share": "%", "seconds": "s", "dollars": "$", "number": ""}


def label_of(metric: str) -> str:
    """A figure's title with its unit, for an axis; shares are drawn in per cent."""
    sign = SIGNS[unit_of(metric)]
    return f"{title_of(metric)} ({sign})" if sign else title_of(metric)


def playbooks(differences: pd.DataFrame, metric: str, ax: Axes, *, baseline: str = "") -> None:
    """One measure of every playbook, the best-ranked at the top, with 95 % intervals where there are several seeds.

    differences: as in Comparison.differences.
    """
    table = differences[differences["metric"] == metric].reset_index(drop=True)
    factor = 100.0 if unit_of(metric) == "share" else 1.0
    figures = table[["mean", "mean_low", "mean_high"]].to_numpy(float) * factor
    finite = figures[np.isfinite(figures)]
    top = float(finite.max()) if len(finite) and finite.max() > 0 else 1.0
    low = min(0.0, float(finite.min())) if len(finite) else 0.0
    for place, (name, (mean, under, over)) in enumerate(zip(table["playbook"], figures, strict=True)):
        colour = axes.GREY if name == baseline else axes.BLUE
        y = -place
        if not math.isfinite(mean):
            ax.text(top, y, "never" if mean > 0 else "none", ha="right", va="center", fontsize=8, color=axes.INK)
            continue
        if math.isfinite(under) and math.isfinite(over):
            ax.plot([under, over], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        ax.plot([mean], [y], "o", color=colour, markersize=6, markerfacecolor="white" if name == baseline else colour)
        if name == baseline:
            ax.axvline(mean, color=axes.GREY, linewidth=0.8, linestyle=":", zorder=0.5)
    span = top - low
    ax.set_xlim(low - 0.04 * span, top + 0.06 * span)
    name_axis(ax, list(table["playbook"]), baseline)
    axes.dress(ax, "", "", label_of(metric))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(axes.amount_tick)


def name_axis(ax: Axes, names: list[str], baseline: str) -> None:
    labels = [axes.plain(name, 24) + (" (baseline)" if name == baseline else "") for name in names]
    ax.set_yticks([-place for place in range(len(names))], labels)
    ax.set_ylim(-len(names) + 0.5, 0.5)
