"""Figures: functions that draw a run or a table on given axes, and whole figures made of them.

Nothing here uses pyplot, so that drawing leaves no state behind. Counts and rates are at full scale.
"""

from collections.abc import Collection, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sim.plots import axes
from sim.plots.one_run import demand, latency, load, outcomes, queue, signups
from sim.plots.over_time import clock, fleet, power, slowed_or_loading, waits
from sim.plots.saving import png_bytes, svg_text
from sim.plots.several import MEASURES, playbooks
from sim.plots.waterfall import cohort_bars
from sim.results.metrics import bins, counted, default_bin, load_over_time, timeline
from sim.results.run import Run
from sim.results.waits import waits_over_time
from sim.writing import write_bytes

Kind = Literal["png", "svg"]
MOST_POOLS = 12  # that are drawn
FIGURES = ("demand", "load", "queue", "outcomes", "latency", "waits", "fleet", "power", "cohort")
OF_POOLS = ("load", "queue", "fleet", "power")
# The file of each figure of an answer, imported with the study behind it when it is first used.
OF_ANSWERS = {
    "fit_figure": "fit",
    "map_figure": "storms",
    "policy_figure": "policy",
    "profile_figure": "profiles",
    "regret_figure": "regret_map",
    "rescue_figure": "storms",
    "size_figure": "size_curve",
    "sweep_figure": "sweep_map",
}


def __getattr__(name: str) -> Any:
    """Import a figure of OF_ANSWERS."""
    if name in OF_ANSWERS:
        return getattr(import_module(f"sim.plots.{OF_ANSWERS[name]}"), name)
    raise AttributeError(f"module 'sim.plots' has no attribute {name!r}")


def run_figures(run: Run) -> dict[str, Figure]:
    """All figures of one run by name, in the order of FIGURES."""
    table, pools = timeline(run), drawn_pools(run)
    return {name: figure_of(run, name, table, pools) for name in FIGURES}


def run_figure(run: Run, name: str) -> Figure:
    """One figure of a run, by its name in FIGURES."""
    return figure_of(run, name, timeline(run), drawn_pools(run) if name in OF_POOLS else {})


def drawn_pools(run: Run) -> dict[str, pd.DataFrame]:
    """The timelines of the busiest pools; the run is counted once for all of them."""
    line = counted(run, bins(run, default_bin(run)))
    return busiest({pool: load_over_time(run, pool, line) for pool in run.manifest["pools"]})


def figure_of(run: Run, name: str, table: pd.DataFrame, pools: dict[str, pd.DataFrame]) -> Figure:
    """One figure of a run. table: timeline(run). pools: of those that are drawn, where it shows any."""
    if name == "fleet":
        pools = {pool: detail for pool, detail in pools.items() if changes(run, pool)} or pools
    if name == "power" and not slowed_or_loading(run, pools):
        pools = {}
    height, rows = heights(name, len(pools))
    figure, panels = axes.blank(height) if name == "cohort" else axes.over_time(height, rows)
    top = panels[0]
    if name == "demand":
        signups(run, top, table)
        demand(run, panels[1], table)
    elif name in ("load", "fleet"):
        for (pool, detail), ax in zip(pools.items(), panels, strict=True):
            (load if name == "load" else fleet)(run, pool, ax, detail)
    elif name == "waits":
        known = waits_over_time(run) if run.has_rows else None
        waits(run, "wait", top, known)
        waits(run, "latency", panels[-1], known)
    elif name == "power":
        power(run, top)
        if pools:
            clock(run, panels[-1], pools)
    elif name == "queue":
        queue(run, top, pools)
    elif name == "outcomes":
        outcomes(run, top, table)
    else:
        {"latency": latency, "cohort": cohort_bars}[name](run, top)
    if rows == 2 and name in ("demand", "waits", "power"):
        top.set_xlabel("")
    return figure


def changes(run: Run, pool: str) -> bool:
    """Whether a pool's GPUs change after the start of the run."""
    return bool((run.fleet.loc[run.fleet["pool"] == pool, "time"] > 0).any())


def heights(name: str, pools: int) -> tuple[float, int]:
    """A figure's height in inches, and how many panels it has below each other."""
    if name in ("load", "fleet"):
        return (2.7 if name == "load" else 2.3) * pools, pools
    panels = {"demand": 2, "waits": 2, "power": 2 if pools else 1}.get(name, 1)
    return {"demand": 4.4, "waits": 4.6, "outcomes": 3.4, "latency": 3.2}.get(name, 4.2 if panels == 2 else 2.6), panels


def busiest(pools: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The pools that are drawn, in their order: all, or of many those with the largest load."""
    loads = {pool: float(table["offered"].max()) for pool, table in pools.items()}
    shown = sorted(loads, key=lambda pool: -loads[pool])[:MOST_POOLS]
    return {pool: table for pool, table in pools.items() if pool in shown}


def comparison_figure(
    differences: pd.DataFrame, *, baseline: str = "", measures: Collection[str] = tuple(MEASURES)
) -> Figure:
    """Playbooks side by side, with a panel for each of the measures that is not 0 or never for all of them.

    differences, baseline: as in Comparison.
    """
    shown = [metric for metric in measures if is_informative(differences.loc[differences["metric"] == metric, "mean"])]
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
    "clock",
    "cohort_bars",
    "comparison_figure",
    "demand",
    "fleet",
    "latency",
    "load",
    "outcomes",
    "playbooks",
    "png_bytes",
    "power",
    "queue",
    "run_figures",
    "save_figures",
    "signups",
    "svg_text",
    "waits",
]
