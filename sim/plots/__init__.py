"""Figures: functions that draw a run or a table on given axes, and whole figures made of them.

Nothing here uses pyplot, so that drawing leaves no state behind. Counts and rates are at full scale.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sim.plots import axes
from sim.plots.one_run import demand, latency, load, outcomes, queue, signups
from sim.plots.saving import png_bytes, svg_text, write_bytes
from sim.plots.several import MEASURES, playbooks
from sim.results.metrics import pool_timeline, timeline
from sim.results.run import Run

Kind = Literal["png", "svg"]
MOST_POOLS = 12  # that are drawn


def run_figures(run: Run) -> dict[str, Figure]:
    """All figures of one run by name: demand, load, queue, outcomes, latency."""
    table = timeline(run)
    pools = busiest({pool: pool_timeline(run, pool) for pool in run.manifest["pools"]})
    made = {}
    made["demand"], (above, below) = axes.blank(4.4, rows=2)
    signups(run, above, table)
    demand(run, below, table)
    above.set_xlabel("")
    made["load"], panels = axes.blank(2.7 * len(pools), rows=len(pools))
    for (pool, detail), ax in zip(pools.items(), panels, strict=True):
        load(run, pool, ax, detail)
    made["queue"], (ax,) = axes.blank(2.6)
    queue(run, ax, pools)
    made["outcomes"], (ax,) = axes.blank(3.4)
    outcomes(run, ax, table)
    made["latency"], (ax,) = axes.blank(3.2)
    latency(run, ax)
    return made


def busiest(pools: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The pools that are drawn, in their order: all, or of many those with the largest load."""
    loads = {pool: float(table["offered"].max()) for pool, table in pools.items()}
    shown = sorted(loads, key=lambda pool: -loads[pool])[:MOST_POOLS]
    return {pool: table for pool, table in pools.items() if pool in shown}


def comparison_figure(differences: pd.DataFrame, *, baseline: str = "") -> Figure:
    """Playbooks side by side, with a panel for each measure that is not 0 or never for all of them.

    differences, baseline: as in Comparison.
    """
    shown = [metric for metric in MEASURES if is_informative(differences.loc[differences["metric"] == metric, "mean"])]
    names = differences["playbook"].nunique()
    columns = min(3, max(len(shown), 1))
    rows = -(-len(shown) // columns) or 1
    figure, panels = axes.blank(rows * (0.9 + 0.26 * names), rows=rows, columns=columns, room=1.0)
    for place, ax in enumerate(panels):
        if place >= len(shown):
            ax.set_axis_off()
            continue
        playbooks(differences, shown[place], ax, baseline=baseline)
        if place % columns:
            ax.tick_params(labelleft=False)
    return figure


def is_informative(means: pd.Series) -> bool:
    """Whether some playbook has a finite mean other than 0."""
    return bool((np.isfinite(means) & (means != 0)).any())


def save_figures(run: Run, folder: Path, kinds: Sequence[Kind] = ("png", "svg")) -> list[Path]:
    """Write every figure of a run into a folder, which is made if need be; gives back the files."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in run_figures(run).items():
        for kind in kinds:
            content = svg_text(figure).encode() if kind == "svg" else png_bytes(figure)
            written.append(write_bytes(content, folder / f"{name}.{kind}"))
    return written


__all__ = [
    "comparison_figure",
    "demand",
    "latency",
    "load",
    "outcomes",
    "playbooks",
    "png_bytes",
    "queue",
    "run_figures",
    "save_figures",
    "signups",
    "svg_text",
]
