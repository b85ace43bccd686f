"""Admission: by a waiting room, by region, and in stages."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim import load, sentences, verdict
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.policies.access import FeatureGate, RegionGate, RollOut, WaitingRoom
from sim.results.run import Run
from tests.random_scenarios import REGIONS, constant, plain

# The waiting room: people who stay for 100 s, in ticks of 10 s.

SERVICE, THINK = 10.0, 35.0
STAY = 3 * SERVICE + 2 * THINK


class Watched:
    """A waiting room that writes down how many were active at each tick."""

    seen: list[tuple[float, int]]

    def __init__(self, room: WaitingRoom):
        self.room, self.seen = room, []

    def __deepcopy__(self, memo):
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen.append((telemetry.now, telemetry.active))
        self.room.act(telemetry, controls)


def visited(rate: float, *, total_active: float, new_per_minute: float, scale: float = 1) -> tuple[Run, pd.Series]:
    """People who come at `rate` a minute, and how many were active at each tick."""
    scenario = plain(
        {"model": constant(SERVICE)},
        horizon="1 h",
        control_tick="10 s",
        scale=scale,
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": 2000, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": f"{rate} per min"}],
        behaviour={"requests": {"kind": "fixed", "requests": 3}, "think": {"kind": "constant", "value": f"{THINK} s"}},
    )
    watched = Watched(WaitingRoom(total_active=total_active, new_per_minute=new_per_minute))
    run = simulate(scenario, [watched])
    return run, pd.Series(dict(watched.seen))


@pytest.mark.parametrize(
    ("total_active", "new_per_minute"), [(100, 200), (200, 60), (1000, 30)], ids=["places", "places too", "rate"]
)
def test_as_many_are_let_in_as_the_least_of_both_bounds_allows(total_active, new_per_minute):
    rate = 300.0
    run, active = visited(rate, total_active=total_active, new_per_minute=new_per_minute)
    admitted = np.sort(run.users["admitted"].dropna())
    assert active.max() <= total_active
    minutes = np.bincount((admitted // 60).astype(int))
    assert minutes.max() <= new_per_minute + 1
    slack = 10  # a place that becomes free is given away at the next tick, on average half of one later
    let_in = ((admitted >= 600) & (admitted < 3600)).sum() / 50
    high = min(new_per_minute, 60 * total_active / STAY)
    low = min(new_per_minute, 60 * total_active / (STAY + slack))
    assert 0.98 * low <= let_in <= 1.02 * high
    inside = active.loc[600:].mean()  # Little: as seen just before the next are let in
    assert 0.97 * let_in / 60 * (STAY - slack) <= inside <= 1.03 * let_in / 60 * STAY


def test_the_wait_grows_as_the_fluid_limit_says():
    """W(t) = (lam / r - 1) t for who comes at t + W behind a room that lets in r."""
    run, _ = visited(300.0, total_active=1000, new_per_minute=60)
    users = run.users.dropna(subset=["admitted"])
    waits = users["admitted"] - users["arrives"]
    late = users["arrives"] > 200
    assert (waits[late] / ((300 / 60 - 1) * users["arrives"][late])).mean() == pytest.approx(1, abs=0.05)
    assert users.sort_values("arrives")["admitted"].is_monotonic_increasing


def test_a_slice_has_its_part_of_the_room():
    run, active = visited(300.0, total_active=1000, new_per_minute=100, scale=0.1)
    assert active.max() <= 100
    admitted = run.users["admitted"].dropna()
    assert ((admitted >= 600) & (admitted < 3600)).sum() / 50 == pytest.approx(10, rel=0.05)


def test_nobody_waits_long_where_there_is_room():
    run, _ = visited(30.0, total_active=1000, new_per_minute=300)
    users = run.users[run.users["arrives"] < 3500]
    assert (users["admitted"] - users["arrives"]).max() <= 20


# Regions.


def from_regions(gates: dict[str, Any], **settings: Any) -> pd.DataFrame:
    """Requests with the region of their user."""
    scenario = plain(
        horizon="1 h",
        pools={"gpus": {"gpus": 500}},
        demand={"waves": [{"kind": "steady", "rate": "60 per min"}], "regions": REGIONS},
        behaviour={"requests": {"kind": "fixed", "requests": 3}},
        playbooks={"one": [{"policy": {"kind": "region gate", "open": gates}}]},
    )
    run = simulate(scenario)
    return run.requests.join(run.users.set_index("user")["region"], on="user")


def kept_out(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["reason"] == "feature gate"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.7, 1.0])
def test_a_region_is_open_to_a_share_of_its_users_and_to_the_same_all_the_time(share):
    rows = from_regions({"there": share})
    out = kept_out(rows)
    assert not out[rows["region"] == "here"].any()
    by_user = out[rows["region"] == "there"].groupby(rows["user"]).mean()
    assert by_user.isin([0, 1]).all()
    n = len(by_user)
    assert n > 1000
    assert abs((1 - by_user).sum() - n * share) <= 3 * math.sqrt(n * share * (1 - share))


def test_who_is_in_at_a_smaller_share_is_in_at_a_larger_one():
    small, large = (from_regions({"there": share}) for share in (0.2, 0.5))
    inside = [set(rows["user"][(rows["region"] == "there") & ~kept_out(rows)]) for rows in (small, large)]
    assert inside[0] < inside[1]


def test_a_region_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="no such region"):
        from_regions({"elsewhere": 0.5})


# The roll-out.


def seen(now: float, *, wait: float = 0, busy: int = 0) -> Telemetry:
    started, zero = np.array([[10.0]]), np.zeros((1, 1))
    pool = {"gpus": PoolTelemetry(10, busy, 0, busy, 0.0)}
    return Telemetry(now, pool, started, zero, zero, wait * started, started, zero, 0, 0)


def opened(policy: RollOut, telemetry: Telemetry) -> float:
    controls = Controls(["free"], ["image"])
    policy.act(telemetry, controls)
    return controls.knob("open", "free", "image")


def test_it_opens_stage_by_stage_while_all_goes_well():
    policy = RollOut(pool="gpus", every="1 h")
    found = [opened(policy, seen(1800.0 * n, wait=29, busy=8)) for n in range(12)]
    assert found == [0.01, 0.01, 0.05, 0.05, 0.2, 0.2, 0.5, 0.5, 1, 1, 1, 1]


@pytest.mark.parametrize("trouble", [{"wait": 31}, {"busy": 9}])
def test_it_holds_while_something_does_not(trouble):
    policy = RollOut(pool="gpus", every="1 h")
    opened(policy, seen(0))
    assert [opened(policy, seen(1800.0 * n, **trouble)) for n in range(1, 9)] == [0.01] * 8
    assert [opened(policy, seen(1800.0 * n)) for n in range(9, 13)] == [0.01, 0.05, 0.05, 0.2]


def test_it_stops_at_the_share_that_the_fleet_can_serve():
    """All users would keep 3 times the GPUs busy; half of them half as many again, a fifth of them 60 %."""
    scenario = plain(
        horizon="3 h",
        pools={"gpus": {"gpus": 5, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": "90 per min"}],
        behaviour={"patience": {"kind": "constant", "value": "60 s"}},
        playbooks={"one": [{"policy": {"kind": "roll-out", "pool": "gpus", "every": "20 min"}}]},
    )
    turns = simulate(scenario).decisions
    assert turns["new"].tolist() == [0.01, 0.05, 0.2, 0.5]
    assert turns["time"].tolist() == [0, 1200, 2400, 3600]


def test_stages_grow():
    with pytest.raises(ValidationError, match="must ascend"):
        RollOut(pool="gpus", stages=[0.5, 0.2])


def test_what_makes_no_sense_is_refused():
    for made, wrong in [
        (WaitingRoom, {"total_active": 0, "new_per_minute": 5}),
        (RegionGate, {"open": {}}),
        (FeatureGate, {"features": ["image"]}),  # it would keep nobody out
        (RegionGate, {"open": {"there": 2}}),
    ]:
        with pytest.raises(ValidationError):
            made(**wrong)


# The waitlist lets people in at control ticks.


def test_a_waitlist_that_lets_in_more_people_at_once_than_gpus_can_serve_is_said_to_make_them_wait():
    """Of 90 people together, served four at a time in 2 s each, the last waits for 44 s; of 1.5 each second, nobody."""
    sets = {"demand": [{"kind": "steady", "rate": "4 per second"}], "warm_up": 0, "horizon": "30 min"}
    sets |= {"playbooks": {"p": [{"policy": {"kind": "waitlist", "rate": "1.5 per second"}}]}}
    each_minute, each_second = (simulate(load("steady", sets={**sets, "control_tick": t})) for t in ("1 min", "1 s"))
    said = " ".join(sentences(verdict(each_minute)))
    assert (
        "WAITLIST IN LOTS: it lets in up to 90 people together, at each control tick (60 s), and GPUs serve 4" in said
    )
    assert verdict(each_minute).latency["p99"].max() == pytest.approx(46, abs=1)  # 2 s more than the wait: the image
    assert "WAITLIST" not in " ".join(sentences(verdict(each_second)))
    assert verdict(each_second).latency["p99"].max() < 10
