"""Figures: functions that draw a run or a table on given axes, and whole figures made of them.

Nothing here uses pyplot, so that drawing leaves no state behind. Counts and rates are at full scale.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sim.plots import axes
from sim.plots.one_run import cohort_bars, demand, latency, load, outcomes, queue, signups
from sim.plots.over_time import clock, fleet, power, slowed_or_loading, waits
from sim.plots.saving import png_bytes, svg_text, write_figure
from sim.plots.several import MEASURES, playbooks
from sim.results.latencies import waits_over_time
from sim.results.metrics import bins, counted, default_bin, load_over_time, timeline
from sim.results.run import Run

MOST_POOLS = 12  # that are drawn
FIGURES = ("demand", "load", "queue", "outcomes", "latency", "waits", "fleet", "power", "cohort")
# The file of each figure of an answer, imported with the study behind it when it is first used.
OF_ANSWERS = {
    "fit_figure": "waves",
    "map_figure": "storms",
    "policy_figure": "policy",
    "profile_figure": "profiles",
    "regret_figure": "fleet_choices",
    "rescue_figure": "storms",
    "size_figure": "fleet_choices",
    "sweep_figure": "sweep_map",
}


def __getattr__(name: str) -> Any:
    """Import a figure of OF_ANSWERS."""
    if name in OF_ANSWERS:
        return getattr(import_module(f"sim.plots.{OF_ANSWERS[name]}"), name)
    raise AttributeError(f"module 'sim.plots' has no attribute {name!r}")


def run_figures(run: Run) -> dict[str, Figure]:
    """All figures of one run by name, in the order of FIGURES."""
    drawing = Drawing(run)
    return {name: getattr(drawing, name)() for name in FIGURES}


def run_figure(run: Run, name: str) -> Figure:
    """One figure of a run, by its name in FIGURES."""
    figure: Figure = getattr(Drawing(run), name)()
    return figure


class Drawing:
    """The figures of a run, each drawn by the method of its name; what several of them show is counted once."""

    def __init__(self, run: Run):
        self.run = run

    @cached_property
    def table(self) -> pd.DataFrame:
        return timeline(self.run)

    @cached_property
    def pools(self) -> dict[str, pd.DataFrame]:
        """The timelines of the busiest pools."""
        line = counted(self.run, bins(self.run, default_bin(self.run)))
        return busiest({pool: load_over_time(self.run, pool, line) for pool in self.run.manifest["pools"]})

    def demand(self) -> Figure:
        figure, (above, below) = axes.over_time(4.4, 2)
        signups(self.run, above, self.table)
        demand(self.run, below, self.table)
        above.set_xlabel("")
        return figure

    def load(self) -> Figure:
        return self.by_pool(2.7, load, self.pools)

    def queue(self) -> Figure:
        return self.single(2.6, queue, self.pools)

    def outcomes(self) -> Figure:
        return self.single(3.4, outcomes, self.table)

    def latency(self) -> Figure:
        return self.single(3.2, latency)

    def waits(self) -> Figure:
        figure, (above, below) = axes.over_time(4.6, 2)
        known = waits_over_time(self.run) if self.run.has_rows else None
        waits(self.run, "wait", above, known)
        waits(self.run, "latency", below, known)
        above.set_xlabel("")
        return figure

    def fleet(self) -> Figure:
        """The pools whose GPUs change; all of them where none does."""
        shown = {pool: detail for pool, detail in self.pools.items() if changes(self.run, pool)}
        return self.by_pool(2.3, fleet, shown or self.pools)

    def power(self) -> Figure:
        """Power, and below it the clock and loading where there is some."""
        if not slowed_or_loading(self.run, self.pools):
            return self.single(2.6, power)
        figure, (above, below) = axes.over_time(4.2, 2)
        power(self.run, above)
        clock(self.run, below, self.pools)
        above.set_xlabel("")
        return figure

    def cohort(self) -> Figure:
        figure, (ax,) = axes.blank(2.6)
        cohort_bars(self.run, ax)
        return figure

    def single(self, height: float, draw: Callable[..., None], *tables: Any) -> Figure:
        """One panel over time."""
        figure, (ax,) = axes.over_time(height)
        draw(self.run, ax, *tables)
        return figure

    def by_pool(self, height: float, draw: Callable[..., None], pools: dict[str, pd.DataFrame]) -> Figure:
        """A panel over time for each pool."""
        figure, panels = axes.over_time(height * len(pools), len(pools))
        for (pool, table), ax in zip(pools.items(), panels, strict=True):
            draw(self.run, pool, ax, table)
        return figure


def changes(run: Run, pool: str) -> bool:
    """Whether a pool's GPUs change after the start of the run."""
    return bool((run.fleet.loc[run.fleet["pool"] == pool, "time"] > 0).any())


def busiest(pools: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The pools that are drawn, in their order: all, or of many those with the largest load."""
    loads = {pool: float(table["offered"].max()) for pool, table in pools.items()}
    shown = sorted(loads, key=lambda pool: -loads[pool])[:MOST_POOLS]
    return {pool: table for pool, table in pools.items() if pool in shown}


def comparison_figure(differences: pd.DataFrame, *, baseline: str = "", measures: Collection[str] = MEASURES) -> Figure:
    """Playbooks side by side, with a panel for each of the measures that is not 0 or never for all of them.

    differences, baseline: as in Comparison.
    """
    shown = [metric for metric in measures if is_informative(differences.loc[differences["metric"] == metric, "mean"])]
    beside = 3
    figure, panels = axes.grid(len(shown), beside, 0.9 + 0.26 * differences["playbook"].nunique())
    for place, (metric, ax) in enumerate(zip(shown, panels, strict=True)):
        playbooks(differences, metric, ax, baseline=baseline)
        ax.tick_params(labelleft=place % beside == 0)
    return figure


def is_informative(means: pd.Series) -> bool:
    """Whether some playbook has a finite mean other than 0."""
    return bool((np.isfinite(means) & (means != 0)).any())


def save_figures(run: Run, folder: Path, kinds: Sequence[Literal["png", "svg"]] = ("png", "svg")) -> list[Path]:
    """Write every figure of a run into a folder, which is made if need be; gives back the files. Raises BadInput."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = run_figures(run)
    return [write_figure(figure, folder / f"{name}.{kind}") for name, figure in figures.items() for kind in kinds]


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
