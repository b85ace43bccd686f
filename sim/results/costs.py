"""The costs of a run: GPU time by purpose, money, energy with its carbon and water."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sim.results.contracts import bill
from sim.results.counting import joules_of
from sim.results.energy import footprint_of, mean_grams, water_of_grid, water_on_site
from sim.results.intents import Window, window_of
from sim.results.metrics import capacity, counted, features_of, recorded
from sim.results.run import Run
from sim.results.timeline import USEFUL, WASTED

HOUR = 3600.0


def gpu_hours(run: Run, window: Window = None) -> pd.DataFrame:
    """GPU-hours by pool: useful, wasted (on images that nobody was waiting for), idle, total.

    An image in progress at the horizon counts as useful unless its user has left.
    """
    span = window_of(run, window)
    rows = {}
    for pool in run.manifest["pools"]:
        served = work(run, pool, [span])
        busy, wasted = served["hours"].sum(), served.loc[served["wasted"], "hours"].sum()
        total = max(capacity(run, pool, np.array(span))[0] / HOUR, busy)  # GPUs that leave finish their batch
        rows[pool] = {"useful": busy - wasted, "wasted": wasted, "idle": max(total - busy, 0.0), "total": total}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pool")


def work(run: Run, pool: str, spans: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """GPU-hours inside some spans by tier, feature and whether they were wasted: one row per combination that used any.

    spans: one after the other, without overlap.
    """
    edges = np.unique(spans)
    inside = np.isin(edges[:-1], [begin for begin, _ in spans])
    spent = counted(run, edges).seconds[inside].sum(axis=0)
    features = list(run.manifest["features"])
    rows = [
        (tier, features[f], wasted, float(spent[t, f, column]) / HOUR)
        for t, tier in enumerate(run.manifest["tiers"])
        for f in features_of(run, pool)
        for wasted, column in ((False, USEFUL), (True, WASTED))
        if spent[t, f, column] > 0
    ]
    return pd.DataFrame(rows, columns=["tier", "feature", "wasted", "hours"]).astype({"wasted": bool, "hours": float})


def consumed(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """Shares of the GPU time of some spans, like the saturated ones, by tier, feature and whether it was wasted."""
    table = work(run, pool, spans)
    table["share"] = table["hours"] / max(table["hours"].sum(), 1e-300)
    return table.drop(columns="hours").sort_values("share", ascending=False, ignore_index=True)


def dollars(run: Run, window: Window = None) -> float:
    """The price of all GPUs of the whole service: in service, busy or idle, or reserved and unused."""
    return float(bill(run, window)["dollars"].sum())


def energy(run: Run, window: Window = None) -> dict[str, float]:
    """Energy of the slice: gpu_kwh (GPUs alone), kwh (at the meter: with servers and facility), kg_co2e, litres.

    litres_on_site: of water, to cool the servers; litres_of_grid: where the electricity is made. nan where a profile
    that was used has no power figures. Raises BadInput for a window of a run without every row.
    """
    footprint = footprint_of(run)
    joules = float((recorded(run).joules if window is None else joules_of(run, window)).sum())
    idle = gpu_hours(run, window)["idle"]
    joules += sum(idle[pool] * HOUR * facts["idle_watts"] for pool, facts in run.manifest["pools"].items())
    gpu_kwh = joules / 3.6e6
    it_kwh = gpu_kwh * footprint.server_overhead
    return {
        "gpu_kwh": gpu_kwh,
        "kwh": it_kwh * footprint.pue,
        "kg_co2e": it_kwh * footprint.pue * mean_grams(run, window) / 1000,
        "litres_on_site": water_on_site(it_kwh, footprint.water_on_site),
        "litres_of_grid": water_of_grid(it_kwh, footprint.pue, footprint.water_of_grid),
    }
