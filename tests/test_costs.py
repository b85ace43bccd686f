"""GPU time, money and energy are reckoned from the batches, and every GPU-second is accounted for once."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import load, simulate
from sim.policies.base import ABSENT
from sim.results.costs import consumed, dollars, gpu_hours
from sim.results.counting import clipped
from sim.results.energy import energy
from sim.results.metrics import pool_timeline
from tests.random_scenarios import documents, scenario_from
from tests.tables import MANIFEST, attempt, run_of

HOUR = 3600.0

# Two GPUs for 100 s. A batch of two, one of whom left; one wasted; one over the horizon; one whose user left in it.
WORK = (
    attempt(0, user=0, started=0, finished=20, batch="two"),
    attempt(0, user=1, started=0, finished=20, batch="two", left=5, tier="plus"),
    attempt(0, user=2, started=20, finished=50, left=30, feature="video"),
    attempt(0, user=3, started=90, seconds=40),
    attempt(0, user=4, started=80, seconds=50, left=95),
    attempt(0, user=5),
    attempt(0, user=6, refused="shed"),
)
POOL = MANIFEST["pools"]["gpus"]


def gpu_seconds(run, window=None):
    """What the one pool spent its time on, in GPU-seconds."""
    found = (gpu_hours(run, window).loc["gpus"] * HOUR).to_dict()
    assert not any(found.pop(state) for state in ABSENT)
    assert found.pop("paid") == found["total"]
    return found


def shares(run, spans):
    table = consumed(run, "gpus", spans)
    return {(row.tier, row.feature, row.use): row.share for row in table.itertuples()}


# GPU time.


def test_intervals_are_clipped_to_the_window():
    starts, ends = np.array([0.0, 5, 5, 20, 8]), np.array([4.0, 8, math.nan, 30, 60])
    assert clipped(starts, ends, (6, 10)).tolist() == [0, 2, 4, 0, 2]


def test_gpu_hours_by_hand():
    found = gpu_seconds(run_of(*WORK))
    assert found == pytest.approx(
        {"useful": 10 + 10, "wasted": 10 + 30 + 20, "loading": 0, "lost": 0, "idle": 200 - 80, "total": 200}
    )


def test_a_window_takes_its_part_of_each_batch():
    found = gpu_seconds(run_of(*WORK), (10, 30))
    assert found == pytest.approx({"useful": 5, "wasted": 5 + 10, "loading": 0, "lost": 0, "idle": 20, "total": 40})


def test_the_warm_up_is_left_out_where_no_window_is_given():
    assert gpu_seconds(run_of(*WORK, warm_up=10.0)) == pytest.approx(gpu_seconds(run_of(*WORK), (10, 100)))


def test_windows_add_up_to_the_run():
    run = run_of(*WORK)
    parts = [gpu_hours(run, (begin, begin + 25)) for begin in (0, 25, 50, 75)]
    assert np.allclose(sum(part.to_numpy() for part in parts), gpu_hours(run).to_numpy(), rtol=1e-12)


def test_nobody_came_and_all_time_was_idle():
    assert gpu_seconds(run_of()) == pytest.approx(
        {"useful": 0, "wasted": 0, "loading": 0, "lost": 0, "idle": 200, "total": 200}
    )
    assert consumed(run_of(), "gpus", [(0, 100)]).empty


def test_a_batch_without_length_costs_nothing():
    assert gpu_seconds(run_of(attempt(0, started=1, finished=1)))["idle"] == pytest.approx(200)


def test_each_pool_has_its_own_gpus():
    run = run_of(*WORK, pools={"gpus": POOL, "spare": {**POOL, "gpus": 3}})
    assert gpu_hours(run).loc["spare", ["useful", "idle", "total", "paid"]].to_numpy() * HOUR == pytest.approx(
        [0, 300, 300, 300]
    )
    assert dollars(run) == pytest.approx(0.2 + 0.3)


def test_loading_a_model_is_a_part_of_its_own():
    """A batch of 30 s, 20 of them loading, and one of 10 s, 4 of them loading, whose user left: 10 useful, 6 wasted."""
    rows = (
        attempt(0, started=0, finished=30, loading=20),
        attempt(0, user=1, started=0, finished=10, loading=4, left=5),
    )
    found = gpu_seconds(run_of(*rows))
    assert found == pytest.approx({"useful": 10, "wasted": 6, "loading": 24, "lost": 0, "idle": 160, "total": 200})
    early = gpu_seconds(run_of(*rows), (0, 10))
    assert early == pytest.approx({"useful": 0, "wasted": 6, "loading": 14, "lost": 0, "idle": 0, "total": 20})
    table = pool_timeline(run_of(*rows), "gpus", 10)
    assert table["loading"].tolist()[:4] == pytest.approx([14 / 20, 0.5, 0, 0])
    assert table["serving"].tolist()[:4] == pytest.approx([6 / 20, 0, 0.5, 0])
    assert table["utilisation"].tolist()[:4] == pytest.approx([1, 0.5, 0.5, 0])
    assert shares(run_of(*rows), [(0, 100)])[("free", "image", "loading")] == pytest.approx(24 / 40)


@pytest.mark.parametrize(
    ("pays", "seconds"),
    [
        ({}, 100 + 50 + 20 + 10),  # in service, failed, switched off, moving
        ({"failed": False}, 100 + 20 + 10),
        ({"switched_off": False}, 100 + 50 + 10),
        ({"ordered": True}, 100 + 50 + 20 + 10 + 40),
    ],
)
def test_absent_gpus_are_paid_as_the_pool_says(pays, seconds):
    """Of two GPUs one fails for 50 s, is switched off for 20 s and moves for 10 s; another is on order for 40 s."""
    run = run_of(pools={"gpus": {**POOL, "pays": {**POOL["pays"], **pays}}})
    columns = ["time", "pool", "change", *ABSENT]
    changes = [
        (0, 1, 1, 0, 0, 1),
        (40, 0, 0, 0, 0, -1),
        (50, 0, -1, 1, 0, 0),
        (60, 0, 0, -1, 1, 0),
        (80, 0, 0, 0, -1, 0),
    ]
    run = dataclasses.replace(run, fleet=pd.DataFrame([(t, "gpus", *c) for t, *c in changes], columns=columns))
    found = gpu_hours(run).loc["gpus"] * HOUR
    assert found[["total", *ABSENT]].tolist() == pytest.approx([100, 50, 10, 20, 40])
    assert found["paid"] == pytest.approx(seconds)
    assert dollars(run) == pytest.approx(seconds / 1000)


def test_a_failed_gpu_that_finishes_its_batch_counts_once():
    """Of two GPUs that are always busy one fails after 50 s, and is 10 s from the end of its batch."""
    work = (attempt(0, user=0, started=0, finished=100), attempt(0, user=1, started=0, finished=60))
    columns = ["time", "pool", "change", *ABSENT]
    fleet = pd.DataFrame([(0, "gpus", 2, 0, 0, 0, 0), (50, "gpus", -1, 1, 0, 0, 0)], columns=columns)
    found = gpu_hours(dataclasses.replace(run_of(*work), fleet=fleet)).loc["gpus"] * HOUR
    assert found[["total", "failed", "idle", "paid"]].tolist() == pytest.approx([160, 40, 0, 200])


# What the time went to.


def test_shares_of_the_time_consumed_by_hand():
    assert shares(run_of(*WORK), [(0, 100)]) == pytest.approx(
        {
            ("free", "video", "wasted"): 30 / 80,
            ("free", "image", "wasted"): 20 / 80,
            ("free", "image", "useful"): 20 / 80,
            ("plus", "image", "wasted"): 10 / 80,
        }
    )


def test_shares_of_several_spans_count_no_more_than_these():
    found = shares(run_of(*WORK), [(0, 4), (40, 50)])
    assert found[("free", "video", "wasted")] == pytest.approx(10 / 14)
    assert sum(found.values()) == pytest.approx(1)


def test_what_took_the_most_comes_first():
    assert consumed(run_of(*WORK), "gpus", [(0, 100)])["share"].is_monotonic_decreasing


# Money and energy. A GPU-second is a tenth of a cent, a busy GPU a kilowatt, an idle one a tenth of it.


def test_dollars_are_for_every_gpu_busy_or_idle():
    assert dollars(run_of(*WORK)) == dollars(run_of()) == pytest.approx(0.2)
    assert dollars(run_of(), (20, 70)) == pytest.approx(0.1)


def test_energy_by_hand():
    gpu_kwh = (80 * 1000 + 120 * 100) / 3.6e6  # busy 20 + 30 + 10 + 20 s: a batch of two is one of its length
    found = energy(run_of(*WORK))
    water = {"litres_on_site": gpu_kwh * 1.5 * 0.27, "litres_of_grid": gpu_kwh * 1.8 * 7.6}
    assert found == pytest.approx({"gpu_kwh": gpu_kwh, "kwh": gpu_kwh * 1.8, "kg_co2e": gpu_kwh * 1.8 * 0.5, **water})


def test_energy_of_windows_adds_up():
    run = run_of(*WORK)
    parts = [energy(run, window)["kwh"] for window in ((0, 37), (37, 85), (85, 100))]
    assert sum(parts) == pytest.approx(energy(run)["kwh"], rel=1e-12)


def test_energy_of_nobody_is_that_of_idle_gpus():
    assert energy(run_of())["gpu_kwh"] == pytest.approx(200 * 100 / 3.6e6)


def test_energy_is_unknown_where_a_profile_that_was_used_has_no_power():
    run = run_of(*WORK)
    run.batches.loc[0, "watts"] = math.nan
    assert math.isnan(energy(run)["kg_co2e"])
    assert not math.isnan(energy(run, (20, 100))["kg_co2e"])  # it was used before


# Over runs of all kinds.


@settings(max_examples=15)
@given(document=documents(), begin=st.integers(0, 50))
def test_every_gpu_second_is_useful_wasted_loading_or_idle_and_requests_have_those_of_their_batches(document, begin):
    scenario = scenario_from(document)
    run = simulate(scenario, "one")
    found = gpu_hours(run, (begin, run.horizon))
    assert (found >= 0).all().all()
    assert np.allclose(found[["useful", "wasted", "loading", "idle"]].sum(axis=1), found["total"], rtol=1e-12)
    for pool, row in gpu_hours(run).iterrows():
        if scenario.pools[pool].runs != "batches":
            continue
        from_batches = pool_timeline(run, str(pool), run.horizon / 7)["utilisation"].mean()
        assert from_batches == pytest.approx((row["total"] - row["idle"]) / row["total"], rel=1e-9, abs=1e-12)


def test_a_slice_has_the_cost_of_the_whole_service():
    whole = load("steady", sets={"pools.gpus.gpus": 40, "horizon": "10 min", "warm_up": "0 s"})
    tenth = load("steady", sets={"pools.gpus.gpus": 40, "horizon": "10 min", "warm_up": "0 s", "scale": 0.1})
    runs = [simulate(scenario) for scenario in (whole, tenth)]
    assert dollars(runs[1]) == pytest.approx(dollars(runs[0]))
    totals = [gpu_hours(run)["total"].sum() / run.scale for run in runs]
    assert totals[1] == pytest.approx(totals[0])
