"""The costs of a run: GPU time by purpose, and money."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from sim.policies.base import ABSENT
from sim.results.contracts import bill
from sim.results.intents import Window, window_of
from sim.results.metrics import capacity, counted, features_of, in_state, paid
from sim.results.run import Run
from sim.results.timeline import LOADING, LOST_WORK, USEFUL, WASTED

HOUR = 3600.0
USES = {"useful": USEFUL, "wasted": WASTED, "loading": LOADING, "lost": LOST_WORK}


def gpu_hours(run: Run, window: Window = None) -> pd.DataFrame:
    """GPU-hours by pool: in service by use, absent by reason, and those that are paid.

    useful, wasted (on images that nobody was waiting for), loading (models), lost (on work that was lost with its GPU)
    and idle add up to total, in service;
    failed, moving, switched_off and ordered come on top, so that no GPU-hour counts twice; paid is the part of all that
    the pool's `pays` names. A GPU that fails or leaves finishes its batch, which is in use, and so in service: in a
    pool that used more than it had in service, that much less is absent; in one with GPUs to spare, idle. An image in
    progress at the horizon counts as useful unless its user has left.
    """
    edges, rows = np.array(window_of(run, window)), {}
    spent = counted(run, edges).seconds.sum(axis=(0, 1)) / HOUR  # of each feature: once, not for each of many pools
    for pool in run.manifest["pools"]:
        used = {use: float(spent[features_of(run, pool), column].sum()) for use, column in USES.items()}
        busy = sum(used.values())
        there = capacity(run, pool, edges)[0] / HOUR
        total = max(there, busy)
        absent = less({state: in_state(run, pool, state, edges)[0] / HOUR for state in ABSENT}, total - there)
        due = max(paid(run, pool, edges)[0] / HOUR, busy)
        rows[pool] = {**used, "idle": max(total - busy, 0.0), "total": total, **absent, "paid": due}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("pool")


def less(absent: dict[str, float], worked: float) -> dict[str, float]:
    """Absent GPU-hours without those that absent GPUs worked: of failed ones first; those on order never worked."""
    left = dict(absent)
    for state in ABSENT[:-1]:
        taken = min(left[state], worked)
        left[state], worked = left[state] - taken, worked - taken
    return left


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
    found = pd.DataFrame(rows, columns=["tier", "feature", "use", "hours"])
    return found if rows else found.astype({"hours": float})


def consumed(run: Run, pool: str, spans: list[tuple[float, float]]) -> pd.DataFrame:
    """Shares of the GPU time of some spans, like the saturated ones, by tier, feature and use."""
    table = work(run, pool, spans)
    table["share"] = table["hours"] / max(table["hours"].sum(), 1e-300)
    return table.drop(columns="hours").sort_values("share", ascending=False, ignore_index=True)


def dollars(run: Run, window: Window = None) -> float:
    """The price of all GPUs of the whole service that are paid (see gpu_hours), or reserved and unused."""
    return float(bill(run, window)["dollars"].sum())
