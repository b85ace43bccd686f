"""Scalers: the formulas by hand, when GPUs come into service, how many at most, and what hides load from them."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from sim.engine.simulate import simulate
from sim.policies.hpa import Autoscale, desired, desired_for
from sim.policies.limits import PoolLimit
from sim.policies.playbook import Step
from sim.policies.scaling import OfUse, OfWait, StepScaling, stepped
from sim.policies.shedding import WaitBound
from sim.policies.supply import Orders
from sim.results.costs import gpu_hours
from tests.fleets import changes, fleets, in_service, pool, surge
from tests.studies.overload.spikes import experiment_d, recovered
from tests.test_engines import assert_alike

SOON = {"provisioning": "60 s", "cold_start": "60 s"}
INSTANT = {"window": 0, "age": 0}
AT_ONCE = {"provisioning": 0, "cold_start": 0, **INSTANT}


# The formulas.


@pytest.mark.parametrize(
    ("current", "metric", "target", "wanted"),
    [(10, 200, 100, 20), (10, 105, 100, 10), (7, 90, 60, 11), (10, 50, 100, 5)],
)
def test_kubernetes_formula_by_hand(current, metric, target, wanted):
    assert desired(current, metric, target) == wanted


@pytest.mark.parametrize(("metric", "wanted"), [(110, 10), (110.1, 12), (90, 10), (89.9, 9), (100, 10)])
def test_nothing_changes_within_a_tenth_of_the_target(metric, wanted):
    assert desired(10, metric, 100) == wanted


def test_gpus_on_their_way_count_as_idle_where_it_would_scale_up_and_not_at_all_where_down():
    assert desired(20, 200, 100, pending=10) == 20  # the ten that are there have twice the load, and ten more come
    assert desired(20, 300, 100, pending=10) == 30
    assert desired(20, 150, 100, pending=10) == 20  # with the idle it would be a reason to scale down
    assert desired(20, 50, 100, pending=10) == 5


def test_a_queue_is_shared_by_as_many_as_are_needed():
    assert [desired_for(10, queue, 5) for queue in (0, 1, 52, 55, 56, 200)] == [0, 1, 10, 10, 12, 40]
    assert desired_for(0, 11, 5) == 3


def test_of_the_bounds_passed_the_furthest_counts():
    steps = [
        OfUse(above=0.6, gpus=2),
        OfUse(above=0.9, share="50 %"),
        OfUse(below=0.4, gpus=1),
        OfUse(below=0.2, share="30 %"),
    ]
    assert [stepped(9, use, steps) for use in (1.0, 0.9, 0.5, 0.3, 0.1)] == [13, 11, 9, 8, 7]
    assert stepped(1, 0.95, steps) == 2, "a share of a GPU is one"
    assert stepped(5, 100.0, [OfWait(above="1 min", gpus=3)]) == 8


# Ticks.


def test_from_ten_with_unlimited_demand_it_doubles_every_fifteen_seconds():
    policy = Autoscale(pool="gpus", queued=0.001, most=1000, **AT_ONCE)
    for now, wanted in ((0, 20), (15, 40), (30, 80), (45, 160)):
        assert policy.wanted(pool(10, 10, 1000), orders_of(policy, 10 * 2 ** (now // 15)), now, 1.0) == wanted


def orders_of(policy, gpus):
    return Orders(gpus)


def test_utilisation_ends_at_all_of_it_so_that_steps_are_one_over_the_target_at_most():
    policy = Autoscale(pool="gpus", utilisation="70 %", most=1000, **AT_ONCE)
    found = [10, *fleets(policy, gpus=10, ticks=range(0, 150, 15))]
    assert found[1:] == [math.ceil(n / 0.7 - 1e-9) for n in found[:-1]]


def test_it_looks_every_fifteen_seconds_or_at_every_tick_if_these_are_longer():
    def looks(tick):
        policy = Autoscale(pool="gpus", utilisation="50 %", most=100_000, **AT_ONCE)
        found = fleets(policy, gpus=10, ticks=np.arange(0, 121, tick))
        return [float(tick * at) for at, (a, b) in enumerate(zip([10, *found], found, strict=False)) if b > a]

    assert looks(5) == [0, 15, 30, 45, 60, 75, 90, 105, 120]
    assert looks(60) == [0, 60, 120]


def test_it_shrinks_to_the_largest_result_of_five_minutes_only():
    policy = Autoscale(pool="gpus", utilisation="50 %", most=100, least=2)
    found = fleets(policy, gpus=40, ticks=range(0, 700, 15), use=0.25)
    assert found[:20] == [40] * 20, "for 300 s the fleet of the beginning counts"
    assert found[20] == 20
    assert found[-1] < 20


def test_what_is_ordered_is_not_ordered_again_and_comes_when_it_is_ready():
    policy = Autoscale(pool="gpus", utilisation="50 %", most=100, **SOON)
    found = fleets(policy, gpus=10, ticks=range(0, 271, 15))
    assert found == [10] * 8 + [20] * 9 + [40] * 2


def test_it_never_has_more_than_exist_nor_less_than_its_least():
    policy = Autoscale(pool="gpus", utilisation="50 %", most=33, least=8, **AT_ONCE)
    assert max(fleets(policy, gpus=10, ticks=range(0, 600, 15))) == 33
    assert fleets(policy.model_copy(deep=True), gpus=50, ticks=[600])[-1] <= 33
    fresh = Autoscale(pool="gpus", utilisation="50 %", most=33, least=8, **AT_ONCE)
    assert min(fleets(fresh, gpus=10, ticks=range(0, 1200, 15), use=0)) == 8


def test_gpus_that_are_bought_exist_when_their_lead_time_is_over():
    policy = Autoscale(pool="gpus", utilisation="50 %", most=12, procured=8, lead_time="5 min", **SOON)
    found = dict(zip(range(0, 900, 15), fleets(policy, gpus=10, ticks=range(0, 900, 15)), strict=True))
    assert [found[at] for at in (105, 120, 405, 420)] == [10, 12, 12, 20]
    assert max(found.values()) == 20


def test_a_slice_scales_like_the_whole():
    def made(scale):
        policy = Autoscale(pool="gpus", utilisation="70 %", most=300, provisioning="30 s", cold_start="30 s")
        return fleets(policy, gpus=round(100 * scale), ticks=range(0, 400, 15), scale=scale)

    assert [round(whole / 10) for whole in made(1.0)] == made(0.1)
    by_requests = Autoscale(pool="gpus", inside=2, queued=3, most=300)
    assert by_requests.recommended([pool(10, 10, 30)], Orders(100), scale=0.1) == 200
    assert by_requests.recommended([pool(100, 100, 300)], Orders(100), scale=1.0) == 200


def test_a_pool_that_is_out_of_gpus_is_busy_if_anybody_is_there():
    policy = Autoscale(pool="gpus", utilisation="50 %", most=10, **AT_ONCE)
    assert fleets(policy, gpus=0, ticks=[0]) == [1]


def test_steps_wait_for_the_cool_down():
    steps = [{"above": "80 %", "gpus": 5}, {"below": "20 %", "gpus": 5}]
    policy = StepScaling(pool="gpus", utilisation=steps, most=30, cool_down="60 s", provisioning=0, cold_start=0)
    assert fleets(policy, gpus=10, ticks=range(0, 301, 20)) == [15] * 3 + [20] * 3 + [25] * 3 + [30] * 7
    assert fleets(policy, gpus=30, ticks=range(320, 400, 20), use=0.1) == [25] * 3 + [20]


def test_steps_may_go_by_the_expected_wait():
    policy = StepScaling(pool="gpus", expected_wait=[{"above": "1 min", "share": "10 %"}], most=100, **SOON)
    wanted = [policy.wanted(pool(40, 40, 9, wait), orders_of(policy, 40), at, 1.0) for at, wait in ((0, 60), (9, 61))]
    assert wanted == [40, 44]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"utilisation": 0},
        {"utilisation": 1},
        {"utilisation": 0.5, "least": 11},
        {"utilisation": 0.5, "least": 0},
        {"queued": 0},
        {"inside": 2, "provisioning": "never"},
        {"inside": 2, "sync": 0},
    ],
)
def test_the_settings_of_an_autoscaler_must_make_sense(wrong):
    with pytest.raises(ValidationError):
        Autoscale(**{"pool": "gpus", "most": 10, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"utilisation": []},
        {"utilisation": [{"above": 0.5, "gpus": 1}], "expected_wait": [{"above": "1 s", "gpus": 1}]},
        {"utilisation": [{"above": 0.5}]},
        {"utilisation": [{"above": 0.5, "gpus": 1, "share": 0.5}]},
        {"utilisation": [{"above": 0.5, "below": 0.4, "gpus": 1}]},
        {"utilisation": [{"above": 0.5, "gpus": 1}, {"below": 0.6, "gpus": 1}]},
    ],
)
def test_the_settings_of_steps_must_make_sense(wrong):
    with pytest.raises(ValidationError):
        StepScaling(**{"pool": "gpus", "most": 10, **wrong})


# Runs.


def scaler(**fields):
    return Autoscale(**{"pool": "gpus", "utilisation": "70 %", "most": 40, **SOON, **fields})


def stepping():
    steps = [{"above": "30 s", "gpus": 4}, {"above": "2 min", "share": "50 %"}, {"below": "1 s", "gpus": 2}]
    return StepScaling(pool="gpus", expected_wait=steps, most=40, cool_down="2 min", **SOON)


@pytest.mark.parametrize(
    "policy", [scaler(), scaler(utilisation=None, inside=1.2, least=5), stepping()], ids=["use", "requests", "steps"]
)
def test_both_engines_play_it_alike_and_it_can_stand_in_a_file(policy):
    step = Step.model_validate({"policy": policy.model_dump(exclude_unset=True) | spoken_times(policy)})
    scenario = surge(pools={"gpus": {"model_load": {"kind": "constant", "value": "20 s"}}})
    both = [simulate(scenario, [step], engine=engine) for engine in ("simpy", "compiled")]
    assert len(changes(both[0])) > 3
    assert_alike(*both)


def spoken_times(policy):
    """A dump has plain seconds, which a file must write with their unit."""
    if isinstance(policy, StepScaling):
        steps = [{"above": "30 s", "gpus": 4}, {"above": "2 min", "share": "50 %"}, {"below": "1 s", "gpus": 2}]
        return {"expected_wait": steps, "cool_down": "2 min", **SOON, "kind": policy.kind}
    return {**SOON, "kind": policy.kind}


def test_no_gpu_serves_before_it_has_been_provisioned_and_has_started():
    run = simulate(surge(), [scaler()])
    grown = [at for (at, gpus), (_, before) in zip(changes(run)[1:], changes(run), strict=False) if gpus > before]
    assert grown[0] >= 300 + 120, "the surge begins at 300 s, a GPU takes 120 s"
    assert grown[0] <= 300 + 120 + 90  # the surge is noticed 60 or 75 s after it began, over eight seeds
    assert run.batches.loc[run.batches["gpu"] >= 10, "started"].min() >= grown[0]


def test_there_are_never_more_gpus_than_exist_and_all_are_accounted_for():
    run = simulate(surge(), [scaler(most=16)])
    path = changes(run)
    assert max(gpus for _, gpus in path) == 16
    edges = [*(at for at, _ in path), run.horizon]
    hours = sum(gpus * (end - begin) for (_, gpus), begin, end in zip(path, edges, edges[1:], strict=False)) / 3600
    table = gpu_hours(run).loc["gpus"]
    assert table["total"] == pytest.approx(hours, rel=1e-12)
    assert table[["useful", "wasted", "loading", "idle"]].sum() == pytest.approx(hours, rel=1e-12)


def test_scaling_out_ends_an_overload_and_gives_the_gpus_back():
    with_it, without = ([simulate(surge(), playbook, seed=n) for n in range(1, 6)] for playbook in ([scaler()], []))
    assert min(in_service(run, "gpus", 1500) for run in with_it) > 20
    assert max(in_service(run, "gpus", 2399) for run in with_it) < 15
    assert np.median([late_wait(run) for run in with_it]) < 10 < 300 < min(late_wait(run) for run in without)


def late_wait(run):
    """Median wait of those who come in the last minutes of the surge."""
    late = run.requests[run.requests["arrived"].between(1200, 1500)]
    return (late["started"] - late["arrived"]).fillna(math.inf).median()


def test_what_refuses_hides_demand_from_a_scaler_of_utilisation_and_of_waiting():
    """A bound on what is inside that keeps use at the target (AWS Builders' Library: shedding and autoscaling)."""
    hidden = simulate(surge(), [PoolLimit(requests=7), scaler(least=10)])
    assert changes(hidden) == [(0, 10)]
    assert (hidden.requests["outcome"] == "refused").mean() > 0.4
    waiting = scaler(utilisation=None, queued=1, least=10)
    no_queue = simulate(surge(), [WaitBound(longest="5 s"), waiting])
    assert changes(no_queue) == [(0, 10)]
    assert (no_queue.requests["outcome"] == "refused").mean() > 0.4
    assert max(gpus for _, gpus in changes(simulate(surge(), [waiting]))) > 20


def test_a_scaler_by_waiting_alone_swings_more_than_one_by_requests_inside():
    def turns(seed, **target):
        run = simulate(surge(), [scaler(utilisation=None, least=10, **INSTANT, **target)], seed=seed)
        steps = np.sign(np.diff([gpus for _, gpus in changes(run)]))
        return int((steps[1:] != steps[:-1]).sum())

    seeds = range(1, 7)
    assert min(turns(seed, queued=1) for seed in seeds) >= 4
    assert np.mean([turns(seed, inside=1.2) for seed in seeds]) < 3  # 1 without swinging: up, and down again


def test_half_a_fleet_more_does_not_end_a_retry_storm_and_one_and_a_half_more_do():
    """64 GPUs serve 16 a second; 8 a second ask, each four times: what catches up is more than twice the fleet."""

    def ending(gpus):
        policies = [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": gpus}, "from": "1800 s"}]
        return recovered(simulate(experiment_d(policies=policies)))

    assert [ending(gpus) for gpus in (64, 96, 160)] == [False, False, True]


def test_a_slice_has_its_part_of_the_fleet_and_a_small_one_somewhat_more():
    """The use of ten GPUs jumps, and the largest result of five minutes counts."""

    def fleet(gpus, scale, seed=1):
        demand = [
            {"kind": "steady", "rate": f"{1.5 * gpus} per min"},
            {"kind": "spike", "people": 210 * gpus, "lasting": "20 min", "from": "5 min"},
        ]
        scenario = surge(pools={"gpus": {"gpus": gpus}}, demand=demand, scale=scale, record="timeline")
        run = simulate(scenario, [scaler(most=4 * gpus)], seed=seed)
        return np.mean([in_service(run, "gpus", at) / scale / gpus for at in range(0, 2400, 60)])

    assert fleet(1000, 0.1) == pytest.approx(fleet(1000, 1.0), rel=0.06)
    ratios = [fleet(100, 0.1, seed) / fleet(100, 1.0, seed) for seed in range(1, 9)]
    assert stats.ttest_1samp(ratios, 1.0, alternative="greater").pvalue < 0.05
    assert np.mean(ratios) < 1.2
