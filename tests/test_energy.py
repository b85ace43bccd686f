"""Energy by the hour, carbon and water, against figures worked out by hand."""

import json
from pathlib import Path

import pytest

from sim import BadInput, load, sentences, simulate, size, verdict
from sim.results.energy import NOT_KNOWN, energy, energy_sentences, mean_grams, power_by_hour
from sim.results.verdict import cost_sentence
from sim.scenario.parts import Recording
from sim.shipped import find
from sim.wording import amount
from tests.tables import MANIFEST, attempt, run_of

# A busy GPU draws a kilowatt, an idle one 100 W; servers 1.5 times their GPUs, and a PUE of 1.2.
TWO_HOURS = (attempt(0, started=0, finished=3600), attempt(5000, user=1, started=5400, finished=7200, feature="video"))


def hours_run(**footprint):
    return run_of(*TWO_HOURS, horizon=7200.0, footprint={**MANIFEST["footprint"], **footprint})


def test_power_by_the_hour_by_hand():
    power = power_by_hour(hours_run())
    # First hour: one GPU busy, one idle. Second: half an hour busy, so 1.5 GPUs idle.
    assert power["it_kw"].to_list() == pytest.approx([1.5 * 1.1, 1.5 * (0.5 + 0.15)])
    assert power["kw"].to_list() == pytest.approx([1.2 * 1.65, 1.2 * 0.975])
    assert (power["kw"] @ power["hours"]) == pytest.approx(energy(hours_run())["kwh"])


def test_a_profile_by_the_hour_weights_each_hour_by_its_energy():
    run = hours_run(grams_co2e_by_hour=[100.0, 900.0])
    by_hand = (1.2 * 1.65 * 100 + 1.2 * 0.975 * 900) / 1000
    assert energy(run)["kg_co2e"] == pytest.approx(by_hand)
    assert mean_grams(run) == pytest.approx(by_hand * 1000 / (1.2 * (1.65 + 0.975)))


def test_a_profile_of_a_day_is_by_the_clock_in_utc():
    """The run starts at 22:30: half an hour of hour 22, then hour 23, then half an hour of hour 0."""
    grams = [float(hour) for hour in range(24)]
    run = run_of(
        horizon=7200.0,
        start="2025-01-01T22:30:00+00:00",
        footprint={**MANIFEST["footprint"], "grams_co2e_by_hour": grams},
    )
    table = power_by_hour(run)
    assert table["hours"].to_list() == pytest.approx([0.5, 1.0, 0.5])
    assert table["grams_per_kwh"].to_list() == [22.0, 23.0, 0.0]


def test_water_of_a_run_by_hand():
    found = energy(hours_run(water_on_site=0.3, water_of_grid=3.1))
    it_kwh = 1.65 + 0.975
    assert found["litres_on_site"] == pytest.approx(0.3 * it_kwh)
    assert found["litres_of_grid"] == pytest.approx(3.1 * 1.2 * it_kwh)


def test_a_timeline_gives_the_energy_of_the_rows():
    """Its hours share out the energy of busy GPUs as their busy time: the same where all draw the same power."""
    scenario = load("steady", sets={"horizon": "2 hours", "warm_up": "0 s", "serving.noise.kind": "none"})
    rows = power_by_hour(simulate(scenario))
    counted = power_by_hour(simulate(scenario, recording=Recording(rows=False)))
    assert counted["kw"].sum() == pytest.approx(rows["kw"].sum(), rel=1e-6)
    assert counted["kw"].to_numpy() == pytest.approx(rows["kw"].to_numpy(), rel=0.02)


def test_a_slice_has_the_power_of_the_whole_service():
    sets = {"pools.gpus.gpus": 40, "horizon": "1 hour", "warm_up": "0 s"}
    whole, tenth = (simulate(load("steady", sets={**sets, "scale": scale})) for scale in (1, 0.1))
    assert power_by_hour(tenth)["kw"].mean() == pytest.approx(power_by_hour(whole)["kw"].mean(), rel=0.1)


def test_sentences_say_where_each_factor_is_from():
    said = " ".join(energy_sentences(simulate(load("steady", sets={"footprint.pue": 1.1, "horizon": "1 hour"}))))
    assert "PUE 1.1, set in the scenario" in said
    assert "0.27 l per kWh of the servers, published: Microsoft 0.27" in said
    assert "370 g/kWh, published" in said


@pytest.mark.parametrize("count", [1, 5, 23])
def test_a_profile_has_a_figure_for_every_hour(count):
    with pytest.raises(BadInput, match="grams_co2e_by_hour"):
        load("steady", sets={"horizon": "30 hours", "footprint.grams_co2e_by_hour": [1.0] * count})


def test_without_the_watts_of_a_gpu_no_energy_carbon_or_water_is_named(tmp_path):
    """It said "unknown MWh at the meter, unknown t CO2e" and so on, and 'size' "$10 and unknown MWh"."""
    document = json.loads(Path(find("profiles", "two-seconds", ".json")).read_text(encoding="utf-8"))
    del document["points"][0]["power_w"]
    (tmp_path / "mute.json").write_text(json.dumps(document), encoding="utf-8")
    sets = {"profiles.mute": str(tmp_path / "mute.json"), "features.image.spec.model": "mute", "horizon": "20 min"}
    scenario = load("steady", sets=sets)
    assert cost_sentence(verdict(simulate(scenario))).endswith(f" per image in time). {NOT_KNOWN}")
    sized = size(scenario, "90 % in time", seeds=2, headroom=False, processes=1)
    assert f"The run costs ${amount(sized.dollars)}. {NOT_KNOWN}" in sentences(sized)
