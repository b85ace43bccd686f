"""DAGOR: its level against the published algorithm, whom it refuses and for how long, and what it keeps."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.dagor import USER_LEVELS, Dagor, levels_within
from sim.results.run import Run
from tests.random_scenarios import constant, plain

TIERS = ["paid", "free"]
PAID = 0.2  # of the arrivals


def seen(now: float, arrived: tuple[float, float], wait: float = 0) -> Telemetry:
    """A tick: arrivals by tier, and the mean wait of a hundred that started."""
    came, started = (np.array([[a], [b]], dtype=float) for a, b in (arrived, (50, 50)))
    pool, zero = {"gpus": PoolTelemetry(10, 10, 0, 10, 0.0)}, np.zeros((2, 1))
    return Telemetry(now, pool, came, zero, zero, wait * started, started, zero, 0, 0)


def shares(policy: Dagor, telemetry: Telemetry) -> list[float]:
    controls = Controls(TIERS, ["image"])
    policy.act(telemetry, controls)
    return [controls.knob("shed", tier, "image") for tier in TIERS]


def by_cursor(histogram: list[float], expected: float) -> int:
    """Algorithm 1 as it stands: the last level up to which no more than expected have come."""
    passed, levels = 0.0, 0
    for number in histogram:
        passed += number
        if passed > expected:
            break
        levels += 1
    return levels


@pytest.mark.parametrize("arrivals", [[128.0, 256.0], [256.0, 0.0, 1280.0], [64.0]])
def test_the_level_is_where_the_published_cursor_stops(arrivals):
    histogram = [number / USER_LEVELS for number in arrivals for _ in range(USER_LEVELS)]
    for expected in np.arange(0.5, sum(arrivals) + 10, 3):
        assert int(levels_within(arrivals, expected)) == by_cursor(histogram, expected)


def test_an_overloaded_window_takes_five_percent_of_what_was_let_in_from_the_least_important():
    policy = Dagor(tiers=TIERS, window="10 s")
    assert shares(policy, seen(0, (0, 0))) == [0, 0]
    assert shares(policy, seen(10, (200, 800), wait=3)) == [0, 1 - int(128 * 750 / 800) / 128]  # 950 of 1000
    assert shares(policy, seen(20, (200, 800), wait=3)) == [0, 1 - int(128 * 702.5 / 800) / 128]


def test_a_calm_one_adds_one_percent_of_what_came():
    policy = Dagor(tiers=TIERS, window="10 s")
    shares(policy, seen(0, (0, 0)))
    shares(policy, seen(10, (200, 800), wait=3))
    assert shares(policy, seen(20, (200, 800), wait=2)) == [0, 1 - int(128 * 760 / 800) / 128]


def test_the_important_are_refused_only_when_all_others_are():
    policy = Dagor(tiers=TIERS, window="10 s")
    shares(policy, seen(0, (0, 0)))
    assert shares(policy, seen(10, (1000, 0), wait=9)) == [1 - int(128 * 0.95) / 128, 1]


def test_a_window_is_over_by_time_or_by_number_whichever_comes_first():
    policy = Dagor(tiers=TIERS, window="1 h", requests=2000)
    shares(policy, seen(0, (0, 0)))
    assert shares(policy, seen(10, (200, 800), wait=9)) == [0, 0]
    assert shares(policy, seen(20, (200, 800), wait=9))[1] > 0


def test_a_window_in_which_nothing_started_goes_on():
    policy = Dagor(tiers=TIERS, window="10 s")
    shares(policy, seen(0, (0, 0)))
    telemetry = seen(10, (200, 800))
    nothing = Telemetry(10, telemetry.pools, telemetry.arrivals, telemetry.refused, *[np.zeros((2, 1))] * 4, 0, 0)
    assert shares(policy, nothing) == [0, 0]
    assert shares(policy, seen(20, (200, 800), wait=9))[1] > 0


def test_growth_of_less_than_a_level_adds_up():
    policy = Dagor(tiers=TIERS, window="10 s", more=0.001)
    shares(policy, seen(0, (0, 0)))
    before = shares(policy, seen(10, (200, 800), wait=3))[1]
    after = [shares(policy, seen(20 + 10 * n, (200, 800)))[1] for n in range(60)]
    assert before == after[0] > after[20] > after[-1] == 0


def test_a_tier_is_named_once():
    with pytest.raises(ValidationError, match="once"):
        Dagor(tiers=["free", "free"])


# In a run: 20 GPUs of 2 s, 10 images a second; people who ask again and again, so that their answers can be compared.

THINK = 100.0


def surge(times_capacity: float, *, lasting: str = "3 h", seed: int = 1) -> Run:
    """So many people that they would ask so many times what can be served if images came at once."""
    scenario = plain(
        {"model": constant(2.0)},
        horizon=lasting,
        control_tick="10 s",
        tiers={"paid": {"share": PAID}, "free": {"share": 1 - PAID}},
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": 20, "max_batch": 1}},
        demand=[{"kind": "spike", "people": 10 * times_capacity * THINK, "lasting": "60 s"}],
        behaviour={
            "requests": {"kind": "fixed", "requests": 1000},
            "think": {"kind": "exponential", "mean": f"{THINK} s"},
            "patience": {"kind": "constant", "value": "60 s"},
        },
        serving={"notices_leaving": True},
        playbooks={"one": [{"policy": {"kind": "dagor", "tiers": TIERS}}]},
    )
    return simulate(scenario, seed=seed)


def offered(rows: pd.DataFrame) -> float:
    """How many times what can be served is asked for."""
    return len(rows) / (rows["arrived"].max() - rows["arrived"].min()) / 10


def settled(run: Run, begin: float = 1200.0) -> pd.DataFrame:
    rows = run.requests
    return rows[(rows["arrived"] >= begin) & (rows["arrived"] < run.horizon - 120)]


def refused_by(rows: pd.DataFrame) -> np.ndarray:
    """The share of each free user's requests that was refused, by user."""
    free = rows[rows["tier"] == "free"]
    return (free["outcome"] == "refused").groupby(free["user"]).mean().to_numpy()


def test_a_user_has_the_same_answer_for_an_hour_and_another_one_after_it():
    rows = settled(surge(2.0))
    hours = [refused_by(rows[(rows["arrived"] >= 3600 * h) & (rows["arrived"] < 3600 * (h + 1))]) for h in (1, 2)]
    for hour in hours:
        assert ((hour < 0.05) | (hour > 0.95)).mean() > 0.8
        assert np.maximum(hour, 1 - hour).mean() >= 0.95  # of the requests of a user as many had the same answer
    one, other = (hour > 0.5 for hour in hours)
    assert 0.3 < one.mean() < 0.9
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.2  # whom the next hour refuses has nothing to do with this one's


@pytest.mark.parametrize("times", [1.5, 2.0, 4.0])
def test_what_is_served_is_what_can_be(times):
    rows = settled(surge(times, lasting="90 min"), 2400)
    success = (rows["outcome"] == "served").mean()
    assert success == pytest.approx(1 / offered(rows), rel=0.1)
    paid = rows[rows["tier"] == "paid"]
    assert (paid["outcome"] == "refused").sum() == 0  # there are fewer of them than can be served
    waited = (rows["started"] - rows["arrived"]).dropna()
    assert 0.4 * 2.4 < waited.mean() < 2 * 2.4


def test_the_important_are_refused_too_where_they_alone_are_too_many():
    rows = settled(surge(8.0, lasting="1 h"), 2400)
    assert offered(rows) * PAID > 1.3
    free, paid = (rows[rows["tier"] == tier]["outcome"] for tier in ("free", "paid"))
    assert (free == "served").mean() < 0.01
    assert (paid == "served").mean() == pytest.approx(1 / (offered(rows) * PAID), rel=0.1)


def test_nothing_is_refused_at_half_load():
    """Once the first minutes are over, in which those who are new ask beside those who have thought."""
    assert (settled(surge(0.5, lasting="1 h"))["outcome"] != "refused").all()
