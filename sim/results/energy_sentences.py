"""The energy of a run in plain sentences: power over the hours, carbon and water, each factor with its source."""

import math

from sim.results.costs import energy
from sim.results.energy import footprint_of, mean_grams, power_by_hour
from sim.results.run import Run
from sim.scenario.parts import Footprint
from sim.wording import amount


def energy_sentences(run: Run) -> list[str]:
    """Power at the meter, CO2e and water of the whole service."""
    power, used, facts = power_by_hour(run), energy(run), footprint_of(run)
    if not math.isfinite(used["kwh"]):
        return ["Energy is not known: a profile that was used has no power figures."]
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
    if key in (run.manifest.get("scenario", {}).get("footprint") or {}):
        return "set in the scenario"
    extra = Footprint.model_fields[key].json_schema_extra
    assert isinstance(extra, dict)
    return f"{extra['provenance']}: {extra['source']}".replace("assumed: assumed", "assumed")
