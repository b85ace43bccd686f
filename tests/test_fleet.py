"""Fleets that grow and shrink within a run, and what is counted of them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.costs import dollars, gpu_hours
from sim.results.metrics import capacity, pool_timeline
from sim.results.run import load_run
from sim.results.verdict import sentences, verdict
from sim.wording import percent
from tests.random_scenarios import constant, documents, plain, scenario_from
from tests.restless import Restless

ENGINES = ("simpy", "compiled")


class Sizes:
    """So many GPUs from each of these instants on."""

    def __init__(self, *sizes: tuple[float, float]):
        self.sizes = sizes

    def act(self, telemetry, controls):
        now = [gpus for since, gpus in self.sizes if since <= telemetry.now]
        if now:
            controls.set_pool(["gpus"], fleet=now[-1])


def steady(gpus: int, seconds: float = 10.0, **more):
    """Six requests a minute, ten seconds each."""
    profiles = {"slow": constant(seconds)}
    return plain(
        profiles,
        pools={"gpus": {"gpus": gpus, **more}},
        demand=[{"kind": "steady", "rate": "6 per min"}],
        control_tick="1 s",
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_gpus_that_leave_finish_their_batch_and_take_no_other(engine):
    run = simulate(steady(4), [Sizes((100.0, 1))], engine=engine)
    later = run.batches[run.batches["started"] >= 100.0]
    assert set(later["gpu"]) == {0}
    running = run.batches[(run.batches["started"] < 100.0) & (run.batches["finished"] >= 100.0)]
    assert (running["finished"] - running["started"] == 10.0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_without_gpus_everybody_waits_until_some_come(engine):
    run = simulate(steady(2), [Sizes((0.0, 0), (300.0, 2))], engine=engine)
    assert run.batches["started"].min() == 300.0
    assert (run.requests["started"].dropna() >= 300.0).all()
    first = run.requests["arrived"] < 300.0
    assert run.requests.loc[first, "started"].notna().all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_that_comes_holds_no_model(engine):
    load = {"kind": "constant", "value": "7 s"}
    run = simulate(steady(1, model_load=load), [Sizes((0.0, 1), (200.0, 0), (230.0, 1))], engine=engine)
    loading = run.batches.loc[run.batches["seconds"] == 17.0, "started"]
    assert len(loading) == 2
    assert loading.iloc[0] < 200.0 <= loading.iloc[1]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(), number=st.integers(0, 10**6))
def test_no_batch_starts_on_a_gpu_out_of_service(document, number):
    run = simulate(scenario_from(document), [Restless(number)])
    for pool, changes in run.fleet.groupby("pool"):
        batches = run.batches[run.batches["pool"] == pool]
        place = np.searchsorted(changes["time"].to_numpy(), batches["started"].to_numpy(), side="right") - 1
        # Before the tick at which a fleet changes the old one holds; a batch may start at that very instant.
        in_service = np.append(changes["change"].cumsum().to_numpy(), 0)
        at_the_tick = batches["started"].isin(changes["time"]).to_numpy()
        larger = np.maximum(in_service[place], np.where(at_the_tick & (place > 0), in_service[place - 1], 0))
        assert (batches["gpu"].to_numpy() < larger).all()


def test_capacity_is_the_integral_of_the_fleet():
    run = simulate(steady(4), [Sizes((100.0, 1), (200.0, 6))])
    assert capacity(run, "gpus", np.array([0.0, 100.0, 150.0, 250.0, 600.0])).tolist() == [400, 50, 350, 2100]
    assert gpu_hours(run).loc["gpus", "total"] * 3600 == pytest.approx(400 + 100 + 6 * 400)
    assert dollars(run) == pytest.approx(2.5 * (400 + 100 + 3 * 100 + 6 * 400) / 3600)  # three are switched off
    assert pool_timeline(run, "gpus", 100.0)["gpus"].tolist() == [4, 1, 6, 6, 6, 6]


def test_utilisation_is_of_the_gpus_that_are_in_service():
    run = simulate(steady(1), [Sizes((300.0, 2))])
    shares = pool_timeline(run, "gpus", 300.0)["utilisation"]
    assert shares.iloc[1] < shares.iloc[0] <= 1.0


def test_the_fleet_is_saved_with_the_run(tmp_path):
    run = simulate(steady(4), [Sizes((100.0, 1))])
    pd.testing.assert_frame_equal(load_run(run.save(tmp_path / "one")).fleet, run.fleet)
    expected = {"time": [0.0, 100.0], "pool": ["gpus"] * 2, "change": [4, -3], "switched_off": [0, 3]}
    assert run.fleet.to_dict("list") == {**expected, **{key: [0, 0] for key in ("failed", "moving", "ordered")}}


def absent(run, pool="gpus"):
    """GPU-seconds of a pool by where its GPUs are."""
    found = gpu_hours(run).loc[pool, ["total", "failed", "moving", "switched_off", "ordered"]] * 3600
    return [round(seconds, 6) for seconds in found.tolist()]


def test_gpus_on_order_are_counted_until_they_come():
    order = {"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 5, "after": "100 s"}, "from": "100 s"}
    run = simulate(plain(pools={"gpus": {"gpus": 2}}, playbooks={"one": [order]}, control_tick="1 s"))
    assert absent(run) == [200 * 2 + 400 * 5, 0, 0, 0, 100 * 3]


def test_gpus_between_two_pools_are_moving_and_those_in_the_other_are_in_service():
    pools = {"gpus": {"gpus": 2}, "research": {"gpus": 4}}
    move = {"kind": "move gpus", "from": "research", "to": "gpus", "gpus": 3, "moving": "60 s"}
    steps = [{"policy": move, "from": "100 s"}]
    run = simulate(plain(pools=pools, playbooks={"one": steps}, control_tick="1 s"))
    assert absent(run) == [160 * 2 + 440 * 5, 0, 0, 0, 0]
    assert absent(run, "research") == [100 * 4 + 500, 0, 60 * 3, 0, 0]


def test_gpus_that_fail_are_failed_and_not_switched_off():
    steps = [{"policy": {"kind": "failures", "pool": "gpus", "mtbf": "200 s", "mttr": "200 s"}}]
    run = simulate(plain(pools={"gpus": {"gpus": 20}}, playbooks={"one": steps}, control_tick="1 s"))
    total, failed, moving, off, ordered = absent(run)
    assert (moving, off, ordered) == (0, 0, 0)
    assert total + failed == pytest.approx(20 * 600)
    assert 0.3 < failed / (20 * 600) < 0.7


def test_failed_gpus_are_named_where_they_break_the_promise():
    """15 of 20 GPUs have work, and about 10 are there."""
    steps = [{"policy": {"kind": "failures", "pool": "gpus", "mtbf": "200 s", "mttr": "200 s"}}]
    busy = {"pools": {"gpus": {"gpus": 20}}, "demand": [{"kind": "steady", "rate": "90 per min"}], "horizon": "1 hour"}
    scenario = plain({"slow": constant(10.0)}, **busy, playbooks={"one": steps, "none": []}, control_tick="1 s")
    found = verdict(simulate(scenario))
    assert not found.life.alive
    hours = found.gpu_hours.loc["gpus"]
    share = hours["failed"] / (hours["total"] + hours["failed"])
    assert share == pytest.approx(0.5, abs=0.05)
    assert f"GPUS FAILED: {percent(share)} of the GPU-hours that pool 'gpus'" in "\n".join(sentences(found))
    assert "GPUS FAILED" not in "\n".join(sentences(verdict(simulate(scenario, "none"))))


def test_a_slice_has_its_share_of_the_fleet():
    scenario = plain(pools={"gpus": {"gpus": 40}}, scale=0.1)
    assert simulate(scenario, [Sizes((0.0, 20))]).fleet["change"].tolist() == [2]


def test_the_verdict_says_how_the_fleet_went():
    scenario = plain(pools={"gpus": {"gpus": 4}}, horizon="3 h")
    lines = sentences(verdict(simulate(scenario, [Sizes((7200.0, 8))])))
    assert any("what its 4 to 8 GPUs can do" in line for line in lines)


@pytest.mark.parametrize("fleet", [-1, 1e9, "many"])
def test_a_fleet_that_cannot_be_is_refused(fleet):
    with pytest.raises(BadInput, match="fleet"):
        simulate(steady(4), [Sizes((0.0, fleet))])
