"""The verdict on one pool: when it saturated, how long its queue was, and what filled it."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sim.results.costs import consumed
from sim.results.intents import window_of
from sim.results.metrics import bins, counted, features_of, peak_queue, pool_timeline, saturated_spans
from sim.results.run import Run
from sim.results.timeline import OFFERED_FIRST


@dataclass(frozen=True)
class PoolVerdict:
    """One pool: saturation, queue, the GPUs that its peak needed, and what filled it. Times in seconds."""

    name: str
    first_saturated: float  # nan: never
    saturated: float  # seconds in all
    saturated_at_horizon: bool
    peak_load: float  # largest hourly mean of the work of first requests, over capacity
    gpus: int
    fleet: tuple[float, float]  # fewest and most GPUs in service, means of an hour
    gpus_needed: int  # at full scale, to serve all first requests of the peak hour as asked for, without headroom
    peak_queue: float
    peak_queue_at: float
    drain: float  # seconds from the peak to an empty queue; nan: not before the horizon
    queued_at_horizon: int
    consumed: pd.DataFrame  # shares of GPU time while saturated (else of the whole run)


def pool_verdict(run: Run, pool: str) -> PoolVerdict:
    begin, end = window = window_of(run, None)
    hours, hot, peak = pool_timeline(run, pool, 3600.0, begin), saturated_spans(run, pool), peak_queue(run, pool)
    return PoolVerdict(
        name=pool,
        first_saturated=hot[0][0] if hot else math.nan,
        saturated=sum(until - since for since, until in hot),
        saturated_at_horizon=bool(hot) and hot[-1][1] == end,
        peak_load=float(hours["offered_first"].max()),
        gpus=run.manifest["pools"][pool]["gpus"],
        fleet=(float(hours["gpus"].min()), float(hours["gpus"].max())),
        gpus_needed=math.ceil(most_wanted(run, pool, begin) / run.scale - 1e-9),
        peak_queue=peak["peak"],
        peak_queue_at=peak["at"],
        drain=peak["drain"],
        queued_at_horizon=int(peak["left"]),
        consumed=consumed(run, pool, hot or [window]),
    )


def most_wanted(run: Run, pool: str, begin: float) -> float:
    """GPU-seconds per second that first requests want in the busiest hour, also of a pool without a GPU."""
    line = counted(run, bins(run, 3600.0, begin))
    wanted = line.seconds[:, :, features_of(run, pool), OFFERED_FIRST].sum(axis=(1, 2))
    return float((wanted / np.diff(line.edges)).max())
