"""The costs of a run: GPU time by purpose, money, energy and its carbon."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sim.policies.base import ABSENT
from sim.results.counting import joules_of
from sim.results.intents import Window, window_of
from sim.results.metrics import capacity, counted, features_of, in_state, paid, recorded
from sim.results.run import Run
from sim.results.timeline import LOADING, USEFUL, WASTED

HOUR = 3600.0
USES = {"useful": USEFUL, "wasted": WASTED, "loading": LOADING}


def gpu_hours(run: Run, window: Window = None) -> pd.DataFrame:
    """GPU-hours by pool: in service by use, absent by reason, and those that are paid.

    useful, wasted (on images that nobody was waiting for), loading (models) and idle add up to total, in service;
    failed, moving, switched_off and ordered come on top; paid is the part of all that the pool's `pays` names. An image
    in progress at the horizon counts as useful unless its user has left.
    """
    span = window_of(run, window)
    rows = {}
    for pool in run.manifest["pools"]:
        edges, spent = np.array(span), work(run, pool, [span])
        used = {use: spent.loc[spent["use"] == use, "hours"].sum() for use in USES}
        busy = sum(used.values())
        total = max(capacity(run, pool, edges)[0] / HOUR, busy)  # GPUs that leave finish their batch
        absent = {state: in_state(run, pool, state, edges)[0] / HOUR for state in ABSENT}
        due = max(paid(run, pool, edges)[0] / HOUR, busy)
        rows[pool] = {**used, "idle": max(total - busy, 0.0), "total": total, **absent, "paid": due}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pool")


def work(run: Run, pool: str, spans: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """GPU-hours inside some spans by tier, feature and use (of USES): one row per combination that used any.

    spans: one after the other, without overlap.
    """
    edges = np.unique(spans)
    inside = np.isin(edges[:-1], [begin for begin, _ in spans])
    spent = counted(run, edges).seconds[inside].sum(axis=0)
    features = list(run.manifest["features"])
    rows = [
        (tier, features[f], use, float(spent[t, f, column]) / HOUR)
        for t, tier in enumerate(run.manifest["tiers"])
        for f in features_of(run, pool)
        for use, column in USES.items()
        if spent[t, f, column] > 0
    ]
    return pd.DataFrame(rows, columns=["tier", "feature", "use", "hours"]).astype({"hours": float})


def consumed(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """Shares of the GPU time of some spans, like the saturated ones, by tier, feature and use."""
    table = work(run, pool, spans)
    table["share"] = table["hours"] / max(table["hours"].sum(), 1e-300)
    return table.drop(columns="hours").sort_values("share", ascending=False, ignore_index=True)


def dollars(run: Run, window: Window = None) -> float:
    """The price of all GPUs of the slice that are paid, busy, idle or absent (see gpu_hours)."""
    span = np.array(window_of(run, window))
    pools = run.manifest["pools"].items()
    return float(sum(paid(run, pool, span)[0] / HOUR * facts["dollars_per_gpu_hour"] for pool, facts in pools))


def energy(run: Run, window: Window = None) -> dict[str, float]:
    """Energy of the slice: gpu_kwh (GPUs alone), kwh (at the meter: with servers and facility), kg_co2e.

    nan where a profile that was used has no power figures. Raises BadInput for a window of a run without every row.
    """
    footprint = run.manifest["footprint"]
    joules = float((recorded(run).joules if window is None else joules_of(run, window)).sum())
    idle = gpu_hours(run, window)["idle"]
    joules += sum(idle[pool] * HOUR * facts["idle_watts"] for pool, facts in run.manifest["pools"].items())
    gpu_kwh = joules / 3.6e6
    kwh = gpu_kwh * footprint["server_overhead"] * footprint["pue"]
    return {"gpu_kwh": gpu_kwh, "kwh": kwh, "kg_co2e": kwh * footprint["grams_co2e_per_kwh"] / 1000}
