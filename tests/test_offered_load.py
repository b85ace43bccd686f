"""The offered load at its peak is that of people whom nothing holds back, whatever the fleet, model loads included."""

import re
import threading

import pytest

from sim import load, load_run, sentences, simulate, verdict
from sim.profile.profile import constant_profile
from sim.results.folder import TABLES
from sim.results.offered import offered_load
from sim.scenario.parts import Recording
from sim.studies.unlimited import simulate_with_demand, with_demand
from tests.random_scenarios import plain

TIMELINE = Recording(rows=False)


def judged(scenario, **how):
    return verdict(with_demand(simulate(scenario, **how), scenario))


def spike(gpus):
    """Two requests a second for an hour, six more for ten minutes of it, two seconds each."""
    return plain(
        {"slow": constant_profile("slow", 2.0)},
        horizon="60 min",
        features={"image": {"slo": "10 s"}},
        pools={"gpus": {"gpus": gpus}},
        demand=[
            {"kind": "steady", "rate": "2 per second"},
            {"kind": "spike", "people": 3600, "from": "10 min", "lasting": "10 min"},
        ],
    )


@pytest.mark.parametrize(("gpus", "enough"), [(8, False), (12, False), (17, True)])
def test_a_short_spike_offers_the_same_load_to_every_fleet(gpus, enough):
    """8 a second x 2 s are 16 GPUs of work for ten minutes; 10,800 requests x 2 s are 6 over the hour."""
    found = judged(spike(gpus), recording=TIMELINE)
    short, hour = found.pools[0].offered
    assert (short.seconds, short.at) == (600, pytest.approx(600, abs=60))
    assert short.work == pytest.approx(16, rel=0.03)
    assert hour.work == pytest.approx(6, rel=0.03)
    assert (found.life.attainment > 0.95) == enough


def test_the_sentence_gives_the_load_and_promises_no_number_of_gpus():
    text = "\n".join(sentences(judged(spike(8), recording=TIMELINE)))
    said = r"8 GPUs held nobody back, the offered load at its peak would be, in GPUs of work, (\S+) over ten minutes"
    assert float(re.search(said, text)[1]) == pytest.approx(16, rel=0.03)
    assert "over ten minutes and 6.0" in text
    assert "needed" not in text
    assert "enough" not in text


def test_python_gets_the_load_from_an_unlimited_run():
    runs = [simulate(spike(8), recording=TIMELINE, unlimited=free) for free in (False, True)]
    assert verdict(*runs).pools[0].offered == judged(spike(8), recording=TIMELINE).pools[0].offered


def test_a_load_that_was_not_measured_is_not_said():
    text = "\n".join(sentences(verdict(simulate(spike(8), recording=TIMELINE))))
    assert "The offered load at its peak was not measured" in text


def test_the_million_of_an_hour_offers_what_the_fleet_that_serves_them_must_have():
    """9,000 GPUs serve 75 % of the requests in time, 10,000 serve 96 %."""
    scenario = load("million-signup-hour", sets={"scale": "1/100"})
    free = simulate(scenario, unlimited=True, recording=TIMELINE)
    short, _ = offered_load(free)["fleet"]
    assert 9_000 < short["work"] < 11_500
    assert short["loading"] == 0  # its GPUs hold all models


def test_recorded_requests_and_clients_need_no_second_run():
    scenario = plain(demand=[{"kind": "clients", "clients": 20, "rate": "30 per hour"}], horizon="1 hour")
    run = simulate(scenario)
    found = with_demand(run, scenario).manifest["offered_load"]
    expected = offered_load(simulate(scenario, unlimited=True))
    assert [peak["work"] for peak in found["gpus"]] == pytest.approx([peak["work"] for peak in expected["gpus"]])


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_beside_that_of_its_demand_is_the_one_that_is_made_alone(processes):
    scenario, shares = spike(8), []
    run = simulate_with_demand(scenario, seed=3, processes=processes, progress=shares.append)
    alone = with_demand(simulate(scenario, seed=3), scenario)
    assert run.manifest["offered_load"] == alone.manifest["offered_load"]
    assert all(getattr(run, name).equals(getattr(alone, name)) for name in TABLES)
    assert shares[-1] == 1.0
    assert all(0 <= share <= 1 for share in shares)


def test_an_interrupt_of_a_run_ends_the_one_beside_it():
    def interrupt(share):
        if share > 0.1:
            raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        simulate_with_demand(spike(8), processes=2, progress=interrupt)
    assert set(threading.enumerate()) <= before


def test_the_load_is_saved_with_the_run(tmp_path):
    scenario = spike(8)
    run = with_demand(simulate(scenario), scenario)
    again = load_run(run.save(tmp_path / "one"))
    assert verdict(again).pools[0].offered == verdict(run).pools[0].offered


def two_workflows(shares, *, gpus=1, rate="3 per min"):
    """Two models that take 2 s for an image and 20 s to load; a GPU holds one of them."""
    profiles = {name: constant_profile(name, 2.0) for name in ("one", "two")}
    features = {
        name: {"share": share, "pool": "gpus", "slo": "60 s", "spec": {"model": name}}
        for name, share in zip(profiles, shares, strict=True)
    }
    return plain(
        profiles,
        horizon="10 hours",
        features={"image": None, **features},
        pools={"gpus": {"gpus": gpus, "model_load": {"kind": "constant", "value": "20 s"}}},
        demand=[{"kind": "steady", "rate": rate}],
    )


def test_model_loads_are_those_of_batches_in_random_order():
    """Shares 3/4 and 1/4: a batch is of another model than the last with probability 1 - 9/16 - 1/16 = 3/8."""
    scenario = two_workflows((0.75, 0.25))
    run = simulate(scenario)
    loaded = (run.batches["loading"] > 0).mean()
    assert loaded == pytest.approx(3 / 8, abs=0.04)
    _, hour = offered_load(simulate(two_workflows((0.75, 0.25), rate="60 per min"), unlimited=True))["gpus"]
    assert hour["loading"] / (hour["work"] - hour["loading"]) == pytest.approx(20 * 3 / 8 / 2, rel=0.08)


def test_two_workflows_that_evict_each_other_ask_for_more_than_a_gpu_and_loads_are_named():
    """10 requests a minute take 20 s of images and 100 s of loads a minute: 2 GPUs of work, not 1/3 of one."""
    found = judged(two_workflows((0.5, 0.5), rate="10 per min"), recording=TIMELINE)
    (pool,) = found.pools
    assert pool.offered[1].work == pytest.approx(2, rel=0.15)
    assert pool.offered[1].loading / pool.offered[1].work == pytest.approx(10 / 12, abs=0.01)
    assert pool.loading == pytest.approx(10 / 12, abs=0.02)
    assert not found.life.alive
    hours = found.gpu_hours.loc["gpus"]
    assert hours["loading"] > 4 * (hours["useful"] + hours["wasted"]) > 0
    text = "\n".join(sentences(found))
    assert "MODEL LOADS: 83" in text
    assert "loading, " in text


def test_loads_are_not_blamed_where_gpus_are_too_few_for_the_images_alone():
    found = judged(two_workflows((0.5, 0.5), rate="60 per min"), recording=TIMELINE)
    assert not found.life.alive
    assert "MODEL LOADS" not in "\n".join(sentences(found))


def test_a_pool_that_serves_no_feature_is_offered_no_load():
    spare = {"gpus": {"gpus": 8}, "spare": {"gpus": 2}}
    found = offered_load(simulate(spike(8).with_(pools=spare), unlimited=True, recording=TIMELINE))
    assert [peak["work"] for peak in found["spare"]] == [0, 0]
