"""Generated demand is held against recorded by the same statistics, and a studio asks as the recorded one did."""

import math

import numpy as np
import pytest

from sim.cli.check_command import demand_check
from sim.demand.recordings.importing import ImportOptions
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.scenario.load import load
from sim.studies.demand_comparison import (
    Arrivals,
    agreement,
    cautions,
    compared,
    generated_arrivals,
    recorded_arrivals,
    resampled,
    session_sizes,
    statistics,
)
from tests.recorded import imported_trace, recorded
from tests.test_scripts import trace_of

HOUR, DAY = 3600.0, 86400.0


def arrivals(*rows: tuple[int, float, float], ends: float = 3 * DAY) -> Arrivals:
    """Rows of (user, asked, done), in order."""
    user, times, done = (np.array(column) for column in zip(*rows, strict=True))
    return Arrivals(times.astype(float), user.astype(np.int64), done.astype(float), 0.0, ends)


BY_HAND = arrivals(
    (0, 100, 110), (0, 120, 130), (0, 2000, 2010), (0, DAY + 50, DAY + 60), (1, 500, 520), (2, HOUR, HOUR + 1),
    (2, HOUR + 30, HOUR + 40),
)  # fmt: skip


def test_the_statistics_are_what_one_counts_by_hand():
    found = statistics(BY_HAND)
    assert found["first day: mean requests"] == 2  # 3, 1 and 2
    assert found["first day: share with 1"] == pytest.approx(1 / 3)
    assert found["first day: cap 2 leaves"] == pytest.approx(5 / 6)
    assert found["any day: cap 3 leaves"] == 1
    assert found["back on day 1"] == pytest.approx(1 / 3)
    assert math.isnan(found["back on day 7"])
    assert found["user: mean requests"] == pytest.approx(7 / 3)
    assert session_sizes(BY_HAND).tolist() == [2, 1, 1, 1, 2]  # half an hour away ends one
    assert found["session: length, p50 (s)"] == 0
    assert found["think time: median (s)"] == pytest.approx(math.sqrt(10 * 29))
    assert found["Gini coefficient"] == pytest.approx((2 * 4 + 0 * 2 - 2 * 1) / (3 * 7))


def test_a_resample_has_as_many_users_each_whole():
    again = resampled(BY_HAND, 3)
    assert len(np.unique(again.user)) == 3
    sizes = {4, 1, 2}
    assert set(np.bincount(again.user)) <= sizes


def test_the_same_demand_agrees_with_itself_and_another_does_not():
    scenario = load("steady", sets={"horizon": "2 h", "behaviour.requests": {"kind": "fixed", "requests": 2}})
    runs = [generated_arrivals(simulate(scenario, unlimited=True, seed=seed)) for seed in range(1, 5)]
    same = compared(runs[0], runs[1:], resamples=20).set_index("statistic")["z"]
    assert abs(same["a minute: mean"]) < 3.5
    assert abs(same["think time: median (s)"]) < 3.5
    busier = load("steady", sets={"horizon": "2 h", "behaviour.requests": {"kind": "fixed", "requests": 3}})
    other = [generated_arrivals(simulate(busier, unlimited=True, seed=seed)) for seed in range(1, 3)]
    assert abs(compared(runs[0], other, resamples=20).set_index("statistic").loc["a minute: mean", "z"]) > 3.5


def test_requests_of_a_steady_rate_come_by_chance_with_and_without_a_warm_up():
    for warm_up in ("0 s", "30 min"):
        scenario = load("steady", sets={"horizon": "2 h", "warm_up": warm_up})
        found = statistics(generated_arrivals(simulate(scenario, unlimited=True, seed=1)))
        assert found["a minute: mean"] == pytest.approx(60, rel=0.06)
        assert found["a minute: Fano factor"] == pytest.approx(1.0, abs=0.45)  # Poisson; 3 deviations of 90 minutes


def test_the_number_of_people_in_a_recording_is_by_chance_too():
    scenario = load("steady", sets={"horizon": "2 h"})
    runs = [generated_arrivals(simulate(scenario, unlimited=True, seed=seed)) for seed in range(1, 14)]
    z = [compared(one, runs[8:], resamples=2).set_index("statistic")["z"]["a minute: mean"] for one in runs[:8]]
    assert 0.3 < np.std(z) < 2.0
    row = compared(runs[0], runs[8:], resamples=2).set_index("statistic").loc["a minute: mean"]
    assert row["error"] == pytest.approx(math.sqrt(len(runs[0].times)) / 110, rel=0.01)


def test_what_never_varies_has_no_z_and_rounding_is_no_error():
    scenario = load("steady", sets={"horizon": "1 h"})
    runs = [generated_arrivals(simulate(scenario, unlimited=True, seed=seed)) for seed in range(1, 4)]
    table = compared(runs[0], runs[1:], resamples=5).set_index("statistic")
    for constant in ("of the top 10 %", "of the top 20 %", "user: mean requests"):  # everybody asks once
        assert table["error"][constant] == 0
        assert math.isnan(table["z"][constant]) or abs(table["z"][constant]) < 3.5
    assert math.isnan(table["recorded"]["hour of day: peak/mean"])  # an hour has no peak among hours
    assert "hour of day: peak/mean: not known of both" in agreement(table.reset_index())


def test_other_lengths_of_time_and_slices_are_named():
    short, long = (arrivals((0, 100, 110), (1, 500, 520), ends=ends) for ends in (HOUR, DAY))
    assert cautions(short, short, 1.0) == []
    (length,) = cautions(short, long, 1.0)
    assert "covers 60 min and each run 24 h" in length
    (part,) = cautions(short, short, 0.01)
    assert "a slice, 1 % of the people" in part


def test_a_recording_without_users_or_with_little_in_it_is_refused():
    with pytest.raises(BadInput, match="does not say whose"):
        recorded_arrivals(trace_of(range(200), users_known=False))
    with pytest.raises(BadInput, match="too short"):
        recorded_arrivals(trace_of(range(50)))


# What the studio's demand does not reproduce, and why; each is still within a factor of two.
MISSES = {
    "between requests: CV": "the recording's nights and weekends are emptier, and scripts ask in bursts",
    "session: length, p50 (s)": "people differ in pace, and short sessions are those of the quick",
    "hour of day: peak/mean": "the same: dead hours",
}


def test_the_studio_asks_as_the_recorded_one_did():
    path = recorded("gentd26/lora_request_trace.csv")
    real = recorded_arrivals(imported_trace([path], ImportOptions(), []))
    scenario = load("creative-studio")
    table = compared(real, [generated_arrivals(simulate(scenario, unlimited=True, seed=s)) for s in (1, 2, 3, 4, 5)])
    rows = table.set_index("statistic")
    beyond = rows.index[rows["z"].abs() >= 3.5]
    assert set(beyond) <= MISSES.keys(), rows.loc[beyond]
    ratio = rows.loc[list(MISSES), "generated"] / rows.loc[list(MISSES), "recorded"]
    assert ratio.between(0.5, 2).all(), ratio
    assert len(rows) - len(MISSES) >= 28


@pytest.mark.parametrize("place", [{"figure": "check.gif"}, {"out": "nowhere/table.csv"}, {"out": "."}])
def test_where_the_result_cannot_go_is_said_before_anything_is_simulated(tmp_path, place):
    places = {"figure": None, "out": None} | {name: tmp_path / path for name, path in place.items()}
    with pytest.raises(BadInput, match=r"cannot be written|another ending"):
        demand_check("steady", tmp_path / "no such recording", seeds=2, **places)
