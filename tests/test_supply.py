"""Capacity by schedule and GPUs that move: when they serve, that none is in two places, and orders on their way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls
from sim.policies.playbook import Step
from sim.policies.supply import MoveGpus, Orders, ScheduledCapacity
from sim.report import words
from sim.results.metrics import capacity
from sim.scenario.checks import check_step
from tests.fleets import changes, fleets, in_service, seen, surge
from tests.test_engines import assert_alike


def step(**line):
    return Step.model_validate({key.rstrip("_"): value for key, value in line.items()})


# Orders.


def test_orders_arrive_and_the_latest_is_cancelled_first():
    orders = Orders(10)
    orders.have(14, at=60.0)
    orders.have(20, at=75.0)
    assert (orders.total, orders.in_service) == (20, 10)
    orders.have(17, at=90.0)
    assert orders.coming == [(60.0, 4), (75.0, 3)]
    orders.arrive(60.0)
    assert (orders.total, orders.in_service) == (17, 14)
    orders.have(12, at=90.0)
    assert (orders.total, orders.in_service, orders.coming) == (12, 12, [])


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 20)), max_size=30))
def test_orders_have_what_was_last_wanted_and_never_more_in_service(wishes):
    orders, now = Orders(10), 0.0
    for gpus, seconds in wishes:
        now += seconds
        orders.arrive(now)
        orders.have(gpus, at=now + 15)
        assert orders.total == gpus
        assert 0 <= orders.in_service <= gpus
        assert all(n > 0 and at > now for at, n in orders.coming)


# Schedules.


def test_further_gpus_serve_when_they_are_provisioned_and_fewer_at_once():
    more = ScheduledCapacity(pool="gpus", gpus=20, after="60 s")
    assert fleets(more, gpus=10, ticks=range(100, 200, 20)) == [10, 10, 10, 20, 20]
    assert fleets(ScheduledCapacity(pool="gpus", gpus=4, after="60 s"), gpus=10, ticks=[0, 15]) == [4, 4]
    assert fleets(ScheduledCapacity(pool="gpus", gpus=0), gpus=10, ticks=[0]) == [0]


def test_a_schedule_is_steps_with_dates():
    lines = [
        step(
            policy={"kind": "scheduled capacity", "pool": "gpus", "gpus": 20, "after": "5 min"},
            from_="2025-01-01 00:10",
        ),
        step(policy={"kind": "scheduled capacity", "pool": "gpus", "gpus": 5}, from_="20 min", until="30 min"),
    ]
    run = simulate(surge(), lines)
    assert changes(run) == [(0.0, 10), (900.0, 20), (1200.0, 5), (1800.0, 20)]
    assert capacity(run, "gpus", np.array([0.0, 900.0, 1200.0, 1800.0])).tolist() == [9000, 6000, 3000]


def test_a_slice_has_its_part_of_a_schedule_and_one_gpu_at_least():
    found = [
        fleets(ScheduledCapacity(pool="gpus", gpus=n), gpus=10, ticks=[0], scale=0.1)[0] for n in (0, 1, 4, 37, 250)
    ]
    assert found == [0, 1, 1, 4, 25]


def test_a_report_says_what_is_in_service_of_the_whole_service():
    run = simulate(surge(pools={"gpus": {"gpus": 40}}, scale=0.25), [ScheduledCapacity(pool="gpus", gpus=80)])
    row = run.decisions[run.decisions["knob"] == "gpus: fleet"].iloc[0]
    assert (row["old"], row["new"]) == (np.inf, 20)
    assert [words.knob(run, "gpus: fleet", value) for value in (row["old"], row["new"])] == [
        "the scenario's",
        "80 GPUs",
    ]


# Moves.


def two_pools(**settings):
    features = {
        "image": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}},
        "video": {"share": 0.5, "pool": "video", "slo": "60 s", "spec": {"model": "slow"}},
    }
    load = {"kind": "constant", "value": "20 s"}
    pools = {name: {"gpus": 10, "max_batch": 1, "model_load": load} for name in ("gpus", "video")}
    return surge(features=features, pools=pools, **settings)


MOVE = {"kind": "move gpus", "from": "video", "to": "gpus", "gpus": 6, "moving": "2 min"}


def test_moved_gpus_leave_at_once_serve_after_moving_and_go_back_the_same_way():
    run = simulate(two_pools(), [step(policy=MOVE, from_="5 min", until="20 min")])
    assert changes(run, "video") == [(0.0, 10), (300.0, 4), (1320.0, 10)]
    assert changes(run, "gpus") == [(0.0, 10), (420.0, 16), (1200.0, 10)]
    moved = run.batches[(run.batches["pool"] == "gpus") & (run.batches["gpu"] >= 10)]
    assert moved["started"].min() >= 420
    first = moved.sort_values("started").groupby("gpu")["seconds"].first()
    assert (first == 30).all(), "the first batch loads the model"


@pytest.mark.parametrize("when", [None, {"utilisation": {"above": "90 %", "below": "1 %"}, "pool": "gpus"}])
def test_they_are_back_in_time_though_ticks_at_which_nothing_can_turn_are_left_out(when):
    move = {**MOVE, "moving": "125 s"}
    line = {"policy": move, "from_": "5 min", "until": "20 min"} | ({"when": when} if when else {})
    run = simulate(two_pools(control_tick="1 s"), [step(**line)])
    assert changes(run, "video")[-1] == (1325.0, 10)
    assert changes(run, "gpus")[-1] == (1200.0, 10)


def test_a_step_that_ends_before_they_have_arrived_sends_them_back_all_the_same():
    run = simulate(two_pools(), [step(policy=MOVE, from_="5 min", until="6 min")])
    assert changes(run, "video") == [(0.0, 10), (300.0, 4), (480.0, 10)]
    assert changes(run, "gpus") == [(0.0, 10)]


def test_a_trigger_moves_them_back_and_forth():
    when = {"expected_wait": {"above": "1 min", "below": "1 s"}, "pool": "gpus", "cool_down": "1 min"}
    demand = [{"kind": "spike", "people": 1200, "lasting": "5 min", "from": f"{at} min"} for at in (2, 24)]
    run = simulate(two_pools(demand=demand, horizon="60 min"), [step(policy=MOVE, when=when)])
    there = changes(run, "gpus")
    assert [gpus for _, gpus in there] == [10, 16, 10, 16, 10]
    left = changes(run, "video")
    assert [gpus for _, gpus in left] == [10, 4, 10, 4, 10]
    assert [back - away for (away, _), (back, _) in zip(left[1:2], there[1:2], strict=True)] == [120]
    assert [home - gone for (gone, _), (home, _) in zip(there[2::2], left[2::2], strict=True)] == [120, 120]


@given(
    had=st.integers(0, 40),
    gpus=st.integers(1, 400),
    scale=st.sampled_from([1.0, 0.5, 0.1, 1 / 3]),
    moving=st.integers(0, 60),
    ends=st.integers(1, 120),
)
def test_no_gpu_is_in_two_pools(had, gpus, scale, moving, ends):
    policy = MoveGpus.model_validate({**MOVE, "gpus": gpus, "moving": f"{moving} s"})
    controls = Controls(["free"], ["image"], scale, {"video": had, "gpus": 7})
    away = min(had, max(1, round(gpus * scale)))
    for now in range(0, 300, 10):
        controls.open_all()
        if now < ends:
            policy.act(seen(now), controls)
        elif policy.unwinding:
            policy.wind_down(seen(now), controls)
        there = controls.fleet("video"), controls.fleet("gpus")
        assert sum(there) in (had + 7, had + 7 - away)
    assert there == (had, 7), "all are back in the end"
    assert not policy.unwinding


@pytest.mark.parametrize(
    "policy",
    [MOVE, {"kind": "scheduled capacity", "pool": "gpus", "gpus": 14, "after": "90 s"}],
    ids=lambda policy: policy["kind"],
)
def test_both_engines_play_it_alike(policy):
    line = step(policy=policy, from_="6 min", until="21 min")
    both = [simulate(two_pools(), [line], engine=engine) for engine in ("simpy", "compiled")]
    assert in_service(both[0], "gpus", 1000) > 10
    assert_alike(*both)


@pytest.mark.parametrize("update", [{"gpus": 0}, {"moving": "never"}, {"to": "video"}])
def test_the_settings_of_a_move_must_make_sense(update):
    with pytest.raises(ValidationError):
        MoveGpus.model_validate({**MOVE, **update})


@pytest.mark.parametrize(
    "policy", [MoveGpus.model_validate({**MOVE, "to": "spare"}), ScheduledCapacity(pool="spare", gpus=1)]
)
def test_a_pool_that_the_scenario_lacks_is_told(policy):
    with pytest.raises(BadInput, match="spare"):
        simulate(two_pools(), [policy])
    with pytest.raises(ValueError, match=r"playbooks.one.0.policy.*spare"):
        check_step(two_pools(), Step.model_construct(policy=policy, from_=0.0, until=1.0), "playbooks.one.0")
