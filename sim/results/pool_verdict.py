"""The verdict on one pool: its load at the peak, when it saturated, how long its queue was, and what filled it."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.results.costs import consumed
from sim.results.intents import window_of
from sim.results.metrics import bins, counted, default_bin, load_over_time, peak_queue, stretches
from sim.results.offered import SPANS
from sim.results.run import Run
from sim.results.timeline import Timeline


@dataclass(frozen=True)
class Peak:
    """The busiest span of demand that nothing holds back: mean GPUs of work at full scale, `loading` of them models."""

    seconds: float
    at: float  # seconds
    work: float
    loading: float


@dataclass(frozen=True)
class PoolVerdict:
    """One pool: load, saturation, queue, and what filled it. Times in seconds."""

    name: str
    first_saturated: float  # nan: never
    saturated: float  # seconds in all
    saturated_at_horizon: bool
    peak_load: float  # of the requests that came: largest hourly mean of the work of first ones, over capacity
    offered: tuple[Peak, ...]  # of ten minutes and of an hour; none where it was not measured
    came: float  # GPUs of work at full scale of the first requests that came in the busiest SHORT of this run
    gpus: int
    fleet: tuple[float, float]  # fewest and most GPUs in service, means of short bins (see metrics.default_bin)
    peak_queue: float
    peak_queue_at: float
    drain: float  # seconds from the peak to an empty queue; nan: not before the horizon
    queued_at_horizon: int
    consumed: pd.DataFrame  # shares of GPU time while saturated (else of the whole run)
    load_while_hot: float  # the work of first requests over capacity, in the same time

    @property
    def loading(self) -> float:
        """The share of model loads in the GPU time that `consumed` divides."""
        return float(self.consumed.loc[self.consumed["use"] == "loading", "share"].sum())

    @property
    def broken_by_loading(self) -> bool:
        """Whether model loads fill a pool whose GPUs could have done the work of its first requests."""
        return self.loading >= MUCH and self.load_while_hot <= 1


SHORT = SPANS[0]  # seconds
MUCH = 0.1  # of the GPU time used, for model loads to be named as what breaks a promise


def pool_verdicts(run: Run) -> list[PoolVerdict]:
    """The verdicts on all pools, from hours and from short bins that are counted once for all of them."""
    begin = window_of(run, None)[0]
    hourly, fine = (counted(run, bins(run, width, begin)) for width in (3600.0, default_bin(run)))
    return [pool_verdict(run, pool, hourly, fine) for pool in run.manifest["pools"]]


def pool_verdict(run: Run, pool: str, hourly: Timeline, fine: Timeline) -> PoolVerdict:
    """The verdict on one pool. hourly, fine: the run after its warm-up, in bins of an hour and in short ones."""
    end = (window := window_of(run, None))[1]
    hours, table, peak = load_over_time(run, pool, hourly), load_over_time(run, pool, fine), peak_queue(run, pool)
    hot = stretches(table["saturated"], run.horizon)
    return PoolVerdict(
        name=pool,
        first_saturated=hot[0][0] if hot else math.nan,
        saturated=sum(until - since for since, until in hot),
        saturated_at_horizon=bool(hot) and hot[-1][1] == end,
        peak_load=float(hours["offered_first"].max()),
        came=busiest(table) / run.scale,
        offered=tuple(Peak(**peak) for peak in run.manifest.get("offered_load", {}).get(pool, ())),
        gpus=run.manifest["pools"][pool]["gpus"],
        fleet=(float(table["gpus"].min()), float(table["gpus"].max())),
        peak_queue=peak["peak"],
        peak_queue_at=peak["at"],
        drain=peak["drain"],
        queued_at_horizon=int(peak["left"]),
        consumed=consumed(run, pool, hot or [window]),
        load_while_hot=load_in(table, hot or [window]),
    )


def busiest(table: pd.DataFrame) -> float:
    """The most GPUs' worth of work of first requests that came, as a mean over about SHORT. table: in even bins."""
    work = (table["offered_first"].fillna(0.0) * table["gpus"]).to_numpy(float)
    width = float(np.diff(table.index.to_numpy()[:2]).sum()) or SHORT
    number = min(max(1, round(SHORT / width)), len(work))
    return float(np.convolve(work, np.full(number, 1 / number), "valid").max())


def load_in(table: pd.DataFrame, spans: list[tuple[float, float]]) -> float:
    """The work of first requests over a pool's capacity in some spans of whole bins; nan without a GPU."""
    starts = table.index.to_numpy()
    inside = np.any([(starts >= since) & (starts < until) for since, until in spans], axis=0)
    some = table[inside]
    gpus = some["gpus"].sum()
    return float((some["offered_first"] * some["gpus"]).sum() / gpus) if gpus > 0 else math.nan
