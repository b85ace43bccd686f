"""Predictions of a study, each drawn where it lies between its bounds."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sim.plots import axes

MOST_NAMED = 40  # cases with a label on the y-axis; more get none
FARTHEST = 2.0  # predictions farther out are drawn here


def bounds_figure(table: pd.DataFrame) -> Figure:
    """One dot per figure with bounds: its case upward, its place between the bounds across; misses lie outside.

    table: columns case, predicted, low and high.
    """
    held = table.dropna(subset=["predicted", "low"])
    cases = list(dict.fromkeys(held["case"]))
    named = len(cases) <= MOST_NAMED
    figure, (ax,) = axes.blank(0.9 + (0.2 * len(cases) if named else 4.0), room=1.0)
    if not cases:
        axes.nothing(ax, "no figure has bounds")
        return figure
    places = np.array([place(*bounds) for bounds in held[["predicted", "low", "high"]].to_numpy(float)])
    across = np.clip(places, -FARTHEST, FARTHEST)
    outside = (~held["predicted"].between(held["low"], held["high"])).to_numpy()
    upward = held["case"].map({case: -number for number, case in enumerate(cases)}).to_numpy(float)
    ax.axvspan(-1, 1, color="#eef4f8", zorder=0)
    ax.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=1)
    for these, colour, marker in ((~outside, axes.BLUE, "o"), (outside, axes.VERMILLION, "X")):
        ax.scatter(across[these], upward[these], s=16 if marker == "o" else 34, c=colour, marker=marker, zorder=2)
    axes.dress(ax, f"{len(held) - outside.sum()} of {len(held)} within their bounds", "")
    ax.set_xlim(-1.1 * FARTHEST, 1.1 * FARTHEST)
    ax.set_xticks([-1, 0, 1], ["lowest\nallowed", "middle", "highest\nallowed"])
    labels = [axes.plain(case, 60) for case in cases] if named else []
    ax.set_yticks([-float(number) for number in range(len(labels))], labels)
    ax.set_ylim(0.7 - len(cases), 0.7)
    return figure


def place(predicted: float, low: float, high: float) -> float:
    """Where a prediction lies: -1 at the lower bound, 1 at the upper; 0 where it must be exact and is."""
    if low <= predicted <= high and (low == high or math.isinf(high - low)):
        return 0.0
    if low == high or math.isinf(high - low):
        return math.inf if predicted > high else -math.inf
    return 2.0 * (predicted - low) / (high - low) - 1.0
