"""Energy in all and by the hour, what it means for the air and for water, and all that in sentences."""

import math

import numpy as np
import pandas as pd

from sim.results.costs import gpu_hours
from sim.results.counting import joules_of, open_seconds
from sim.results.intents import Floats, Window, window_of
from sim.results.metrics import capacity, counted, features_of, recorded
from sim.results.run import Run
from sim.results.timeline import USEFUL
from sim.scenario.parts import Footprint
from sim.schema import origin_of
from sim.wording import amount

HOUR, DAY, JOULES = 3600.0, 86400.0, 3.6e6  # JOULES of a kWh
NOT_KNOWN = "Energy is not known: a profile that was used has no power figures."


def power_by_hour(run: Run, window: Window = None) -> pd.DataFrame:
    """Power over time, of the whole service: one row for each whole hour UTC, indexed by its start in seconds.

    it_kw: of the servers, GPUs included; kw: at the meter, that times the PUE; grams_per_kwh: of the grid in that hour.
    hours: how long the row lasts, below 1 at the ends of the run. Without every row of the run, the energy of its busy
    GPUs is spread over the hours as their busy time is. nan where a profile that was used has no power figures.
    """
    if window is None:
        return run.once("power", lambda: power_between(run, hour_edges(run, window_of(run, None)))).copy()
    return power_between(run, hour_edges(run, window_of(run, window)))


def power_between(run: Run, edges: Floats) -> pd.DataFrame:
    """The same, with one row between each edge and the next."""
    facts = footprint_of(run)
    joules = busy_joules(run, edges) + idle_joules(run, edges)
    hours = np.diff(edges) / HOUR
    it_kw = joules / JOULES / hours * facts.server_overhead / run.scale
    return pd.DataFrame(
        {"hours": hours, "it_kw": it_kw, "kw": it_kw * facts.pue, "grams_per_kwh": grams(run, edges)},
        index=pd.Index(edges[:-1], name="time"),
    )


def footprint_of(run: Run) -> Footprint:
    """The footprint of the run's scenario."""
    return Footprint.model_validate(run.manifest["footprint"])


def mean_grams(run: Run, window: Window = None) -> float:
    """Grams of CO2e per kWh that a run's energy caused, on average over its energy."""
    facts = footprint_of(run)
    if not facts.grams_co2e_by_hour:
        return facts.grams_co2e_per_kwh
    table = power_by_hour(run, window)
    kwh = table["it_kw"] * table["hours"]
    return float((kwh * table["grams_per_kwh"]).sum() / kwh.sum()) if kwh.sum() > 0 else np.nan


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


def energy(run: Run, window: Window = None) -> dict[str, float]:
    """Energy of the slice: gpu_kwh (GPUs alone), kwh (at the meter: with servers and facility), kg_co2e, litres.

    litres_on_site: of water, to cool the servers; litres_of_grid: where the electricity is made. nan where a profile
    that was used has no power figures. Raises BadInput for a window of a run without every row.
    """
    footprint = footprint_of(run)
    joules = float((recorded(run).joules if window is None else joules_of(run, window)).sum())
    idle = gpu_hours(run, window)["idle"]
    joules += sum(idle[pool] * HOUR * facts["idle_watts"] for pool, facts in run.manifest["pools"].items())
    gpu_kwh = joules / JOULES
    it_kwh = gpu_kwh * footprint.server_overhead
    return {
        "gpu_kwh": gpu_kwh,
        "kwh": it_kwh * footprint.pue,
        "kg_co2e": it_kwh * footprint.pue * mean_grams(run, window) / 1000,
        "litres_on_site": it_kwh * footprint.water_on_site,
        "litres_of_grid": it_kwh * footprint.pue * footprint.water_of_grid,
    }


def energy_sentences(run: Run) -> list[str]:
    """Power at the meter, CO2e and water of the whole service."""
    power, used, facts = power_by_hour(run), energy(run), footprint_of(run)
    if not math.isfinite(used["kwh"]):
        return [NOT_KNOWN]
    hours, kw = power["hours"].to_numpy(float), power["kw"].to_numpy(float)
    peak, mean = float(power.index.to_numpy(float)[kw.argmax()]), float(kw @ hours) / float(hours.sum())
    full = {name: value / run.scale for name, value in used.items()}
    grid = (
        f"a profile of {len(facts.grams_co2e_by_hour)} hours, {mean_grams(run):.0f} g/kWh weighted by this run's energy"
        if facts.grams_co2e_by_hour
        else f"{facts.grams_co2e_per_kwh:g} g/kWh, {origin(run, 'grams_co2e_per_kwh')}"
    )
    return [
        f"Energy: {amount(full['kwh'] / 1000)} MWh at the meter, {amount(mean / 1000)} MW on average and "
        f"{amount(float(kw.max()) / 1000)} MW in the hour from {run.date(peak)} UTC (servers at "
        f"{facts.server_overhead:g} times their GPUs, {origin(run, 'server_overhead')}; PUE {facts.pue:g}, "
        f"{origin(run, 'pue')}).",
        f"Carbon: {amount(full['kg_co2e'] / 1000)} t CO2e, summed hour by hour, location-based, with the grid's "
        f"average intensity ({grid}); making the hardware is not included.",
        f"Water: {amount(full['litres_on_site'] / 1000)} m³ on site ({facts.water_on_site:g} l per kWh of the servers, "
        f"{origin(run, 'water_on_site')}) and {amount(full['litres_of_grid'] / 1000)} m³ at power plants "
        f"({facts.water_of_grid:g} l per kWh at the meter, {origin(run, 'water_of_grid')}).",
    ]


def origin(run: Run, key: str) -> str:
    """Where a factor of the footprint comes from."""
    if key in (run.manifest["scenario"].get("footprint") or {}):
        return "set in the scenario"
    found = origin_of(Footprint.model_fields[key])
    assert found is not None
    return f"{found.provenance}: {found.source}".replace("assumed: assumed", "assumed")
