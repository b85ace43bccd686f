"""What a run used: GPU time by what it was for, money, energy and its carbon."""

import math

import numpy as np
import pandas as pd

from sim.model.request import ABANDONED
from sim.results import binned
from sim.results.metrics import Window, capacity, every_row, window_of
from sim.results.run import Run

HOUR = 3600.0


def clipped(starts: np.ndarray, ends: np.ndarray, window: tuple[float, float]) -> np.ndarray:
    """Seconds of each interval inside a window; an interval without end lasts beyond it."""
    ends = np.where(np.isnan(ends), math.inf, ends)
    return np.clip(np.minimum(ends, window[1]) - np.maximum(starts, window[0]), 0.0, None)


def gpu_hours(run: Run, window: Window = None) -> pd.DataFrame:
    """GPU-hours by pool: useful, wasted (on images nobody waited for any more), idle, total.

    Wasted is what is known by the end: an image in progress at the horizon counts as useful unless its user has left.
    """
    span = window_of(run, window)
    rows = {}
    for pool in run.manifest["pools"]:
        served = work(run, pool, [span])
        busy, wasted = served["hours"].sum(), served.loc[served["wasted"], "hours"].sum()
        total = max(capacity(run, pool, np.array(span))[0] / HOUR, busy)  # GPUs that leave finish their batch
        rows[pool] = {"useful": busy - wasted, "wasted": wasted, "idle": max(total - busy, 0.0), "total": total}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pool")


def work(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """GPU-hours inside some spans by tier, feature and whether they were wasted: one row a combination."""
    if binned.serves(run, *[edge for span in spans for edge in span]):
        return binned.work(run, pool, spans)
    started = (every_row(run)["pool"] == pool) & run.requests["batch"].notna()
    rows = run.requests.loc[started, ["batch", "gpu_seconds", "tier", "feature", "outcome"]]
    batches = run.batches
    starts, ends = batches["started"].to_numpy(), batches["finished"].to_numpy()
    inside = sum((clipped(starts, ends, span) for span in spans), np.zeros(len(batches)))
    share = inside / np.maximum(batches["seconds"].to_numpy(), 1e-300)
    hours = rows["gpu_seconds"].to_numpy() * share[rows["batch"].to_numpy(dtype=int)] / HOUR
    table = pd.DataFrame(
        {
            "tier": rows["tier"].array,
            "feature": rows["feature"].array,
            "wasted": (rows["outcome"] == ABANDONED).to_numpy(),
            "hours": hours,
        }
    )
    return table.groupby(["tier", "feature", "wasted"], observed=True)[["hours"]].sum().reset_index()


def consumed(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """What the GPU time of some spans (the saturated ones, say) went to: shares by tier, feature and wasted."""
    table = work(run, pool, spans)
    table["share"] = table["hours"] / max(table["hours"].sum(), 1e-300)
    return table.drop(columns="hours").sort_values("share", ascending=False, ignore_index=True)


def dollars(run: Run, window: Window = None) -> float:
    """The price of all GPUs of the slice that are in service, busy or idle."""
    span = np.array(window_of(run, window))
    pools = run.manifest["pools"].items()
    return float(sum(capacity(run, pool, span)[0] / HOUR * facts["dollars_per_gpu_hour"] for pool, facts in pools))


def energy(run: Run, window: Window = None) -> dict[str, float]:
    """Energy of the slice: gpu_kwh (GPUs alone), kwh (at the meter: with servers and facility), kg_co2e.

    nan where a profile that was used has no power figures.
    """
    span = window_of(run, window)
    footprint = run.manifest["footprint"]
    if run.timeline is not None and (window is None or not run.has_rows):  # of the whole window: so it is recorded
        joules = float(run.timeline.joules.sum())
    else:
        seconds = clipped(run.batches["started"].to_numpy(), run.batches["finished"].to_numpy(), span)
        joules = float((seconds * run.batches["watts"].to_numpy())[seconds > 0].sum())
    idle = gpu_hours(run, window)["idle"]
    joules += sum(idle[pool] * HOUR * facts["idle_watts"] for pool, facts in run.manifest["pools"].items())
    gpu_kwh = joules / 3.6e6
    kwh = gpu_kwh * footprint["server_overhead"] * footprint["pue"]
    return {"gpu_kwh": gpu_kwh, "kwh": kwh, "kg_co2e": kwh * footprint["grams_co2e_per_kwh"] / 1000}
