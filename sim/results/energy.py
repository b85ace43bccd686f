"""Energy by the hour, and what it means for the air and for water: power, grams of CO2e, litres."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sim.results.counting import open_seconds
from sim.results.intents import Window, window_of
from sim.results.metrics import capacity, counted, features_of, recorded
from sim.results.run import Run
from sim.results.timeline import USEFUL
from sim.scenario.parts import Footprint

Floats = NDArray[np.float64]
HOUR, DAY, JOULES = 3600.0, 86400.0, 3.6e6  # JOULES of a kWh


def power_by_hour(run: Run, window: Window = None) -> pd.DataFrame:
    """Power over time, of the whole service: one row for each whole hour UTC, indexed by its start in seconds.

    it_kw: of the servers, GPUs included; kw: at the meter, that times the PUE; grams_per_kwh: of the grid in that hour.
    hours: how long the row lasts, below 1 at the ends of the run. Without every row of the run, the energy of its busy
    GPUs is spread over the hours as their busy time is. nan where a profile that was used has no power figures.
    """
    facts = footprint_of(run)
    edges = hour_edges(run, window_of(run, window))
    joules = busy_joules(run, edges) + idle_joules(run, edges)
    hours = np.diff(edges) / HOUR
    it_kw = joules / JOULES / hours * facts.server_overhead / run.scale
    return pd.DataFrame(
        {"hours": hours, "it_kw": it_kw, "kw": it_kw * facts.pue, "grams_per_kwh": grams(run, edges)},
        index=pd.Index(edges[:-1], name="time"),
    )


def footprint_of(run: Run) -> Footprint:
    """The footprint of the run's scenario, with its defaults where an older run did not know a key."""
    return Footprint.model_validate(run.manifest["footprint"])


def emissions(it_kwh: ArrayLike, grams_per_kwh: ArrayLike, pue: float) -> float:
    """Kilograms of CO2e: hour by hour, the energy at the meter times the grams of that hour; not mean times mean."""
    return float(np.sum(np.asarray(it_kwh) * pue * np.asarray(grams_per_kwh))) / 1000


def water_on_site(it_kwh: float, wue: float) -> float:
    """Litres used to cool the servers: WUE is per kWh of the servers, not of the meter."""
    return it_kwh * wue


def water_of_grid(it_kwh: float, pue: float, litres_per_kwh: float) -> float:
    """Litres used where the electricity is made: per kWh at the meter."""
    return it_kwh * pue * litres_per_kwh


def mean_grams(run: Run, window: Window = None) -> float:
    """Grams of CO2e per kWh that a run's energy caused, on average over its energy."""
    facts = footprint_of(run)
    if not facts.grams_co2e_by_hour:
        return facts.grams_co2e_per_kwh
    table = power_by_hour(run, window)
    kwh = table["it_kw"] * table["hours"]
    return emissions(kwh, table["grams_per_kwh"], 1.0) * 1000 / float(kwh.sum()) if kwh.sum() > 0 else np.nan


def hour_edges(run: Run, span: tuple[float, float]) -> Floats:
    """The whole hours UTC in a span, and its two ends; hours from the run's start where its grams are given so."""
    given = len(footprint_of(run).grams_co2e_by_hour)
    first = -(pd.Timestamp(run.manifest["start"]).timestamp() % HOUR) if given in (0, 24) else 0.0
    whole = np.arange(first, span[1], HOUR)
    return np.unique(np.concatenate([[span[0]], whole[(whole > span[0]) & (whole < span[1])], [span[1]]]))


def grams(run: Run, edges: Floats) -> Floats:
    """The grid's grams of CO2e per kWh between each edge and the next."""
    facts = footprint_of(run)
    given = np.array(facts.grams_co2e_by_hour)
    if len(given) == 0:
        return np.full(len(edges) - 1, facts.grams_co2e_per_kwh)
    middle = (edges[1:] + edges[:-1]) / 2
    midnight = pd.Timestamp(run.manifest["start"]).timestamp() % DAY if len(given) == 24 else 0.0
    return given[((midnight + middle) // HOUR).astype(int) % len(given)]


def busy_joules(run: Run, edges: Floats) -> Floats:
    """Energy of the slice's busy GPUs between each edge and the next."""
    if run.has_rows:
        started, finished, watts = (run.batches[name].to_numpy() for name in ("started", "finished", "watts"))
        return open_seconds(started, finished, edges, watts)
    found = np.zeros(len(edges) - 1)
    for place, pool in enumerate(run.manifest["pools"]):
        busy = busy_seconds(run, pool, edges)
        if busy.sum() > 0:
            found += recorded(run).joules[place] * busy / busy.sum()
    return found


def idle_joules(run: Run, edges: Floats) -> Floats:
    """Energy of the slice's idle GPUs between each edge and the next."""
    found = np.zeros(len(edges) - 1)
    for pool, facts in run.manifest["pools"].items():
        idle = np.maximum(capacity(run, pool, edges) - busy_seconds(run, pool, edges), 0.0)
        found += idle * facts["idle_watts"]
    return found


def busy_seconds(run: Run, pool: str, edges: Floats) -> Floats:
    """GPU-seconds of the slice that a pool spent on images, between each edge and the next."""
    spent = counted(run, edges).seconds[:, :, features_of(run, pool)].sum(axis=(1, 2))
    used = spent[:, USEFUL:]  # before it stands what is wanted
    return np.asarray(used.sum(axis=1), dtype=float)
