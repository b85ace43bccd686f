"""The verdict on one pool: its load at the peak, when it saturated, how long its queue was, and what filled it."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.results.costs import consumed
from sim.results.intents import window_of
from sim.results.metrics import peak_queue, pool_timeline, saturated_spans
from sim.results.run import Run


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
    gpus: int
    fleet: tuple[float, float]  # fewest and most GPUs in service, means of an hour
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


MUCH = 0.1  # of the GPU time used, for model loads to be named as what breaks a promise


def pool_verdict(run: Run, pool: str) -> PoolVerdict:
    begin, end = window = window_of(run, None)
    hours, hot, peak = pool_timeline(run, pool, 3600.0, begin), saturated_spans(run, pool), peak_queue(run, pool)
    return PoolVerdict(
        name=pool,
        first_saturated=hot[0][0] if hot else math.nan,
        saturated=sum(until - since for since, until in hot),
        saturated_at_horizon=bool(hot) and hot[-1][1] == end,
        peak_load=float(hours["offered_first"].max()),
        offered=tuple(Peak(**peak) for peak in run.manifest.get("offered_load", {}).get(pool, ())),
        gpus=run.manifest["pools"][pool]["gpus"],
        fleet=(float(hours["gpus"].min()), float(hours["gpus"].max())),
        peak_queue=peak["peak"],
        peak_queue_at=peak["at"],
        drain=peak["drain"],
        queued_at_horizon=int(peak["left"]),
        consumed=consumed(run, pool, hot or [window]),
        load_while_hot=load_in(run, pool, hot or [window]),
    )


def load_in(run: Run, pool: str, spans: list[tuple[float, float]]) -> float:
    """The work of first requests over capacity in some spans of whole bins; nan without a GPU."""
    table = pool_timeline(run, pool, begin=window_of(run, None)[0])
    starts = table.index.to_numpy()
    inside = np.any([(starts >= since) & (starts < until) for since, until in spans], axis=0)
    some = table[inside]
    gpus = some["gpus"].sum()
    return float((some["offered_first"] * some["gpus"]).sum() / gpus) if gpus > 0 else math.nan
