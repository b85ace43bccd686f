"""The autoscaler of Kubernetes, look by look: series by hand, metrics that are late, and a fleet that may be empty."""

import math

import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.export.kubernetes import direction
from sim.model.controls import PoolTelemetry
from sim.policies.hpa import Autoscale, desired, seen
from sim.policies.supply import Orders
from tests.fleets import changes, pool, surge

DOWN_AT_ONCE = {"stabilisation": 0, "rates": [{"percent": 100}]}


def looks(policy, start, pools):
    """The fleet after each look, 15 s apart; `pools` gives what is seen of a fleet at each."""
    orders, found = Orders(start), []
    for at, there in enumerate(pools):
        orders.in_service = max(
            policy.least, min(policy.wanted(there(orders.total), orders, 15.0 * at, 1.0), policy.most)
        )
        found.append(orders.in_service)
    return found


def scaler(**fields):
    return Autoscale(**{"pool": "gpus", "most": 1000, "window": 0, "age": 0, **fields})


def of_total(metric, target=10, **fields):
    """Looks at a total that GPUs share."""
    return scaler(inside=target, **fields), [lambda gpus, n=n: PoolTelemetry(gpus, 0, n, n, 0.0) for n in metric]


def of_value(metric, target, **fields):
    """Looks at a figure of the pool."""
    return scaler(expected_wait=f"{target} s", **fields), [
        lambda gpus, n=n: PoolTelemetry(gpus, 0, 0, 0, n) for n in metric
    ]


def of_use(metric, target, **fields):
    """Looks at a mean over the GPUs, in per cent. A thousandth of a GPU is busy where the metric says so."""
    policy = scaler(utilisation=target / 100, **fields)
    return policy, [lambda gpus, n=n: PoolTelemetry(1000, round(10 * n), 0, 0, 0.0) for n in metric]


# Each by hand from the controller's rules; an age that is equal to a window or a period is outside.
SERIES = {
    "utilisation cut to whole percent, then a tenth of tolerance": (
        of_use([52, 52.9, 53, 44, 43.9, 45], 48, whole_percent=True, scale_down=DOWN_AT_ONCE),
        [10, 10, 10, 12, 12, 11, 11],
    ),
    "nothing falls before 300 s": (of_total([200, *[50] * 21]), [20, *[20] * 20, 5, 5]),
    "a tenth of the fleet each minute is cut: 19 to 17": (
        of_total([10] * 5, scale_down={"stabilisation": 0, "rates": [{"percent": 10, "period": "60 s"}]}),
        [19, 17, 17, 17, 17, 15],
    ),
    "the smaller of two rates": (
        of_total(
            [400] * 6,
            scale_up={"stabilisation": 0, "rates": [{"percent": 100}, {"gpus": 4, "period": "60 s"}], "select": "min"},
        ),
        [6, 10, 10, 10, 10, 14, 14],
    ),
    "what was removed in the period counts for the allowance": (
        of_total(
            [60, 200, 200, 200],
            scale_up={"stabilisation": 0, "rates": [{"gpus": 4, "period": "60 s"}]},
            scale_down=DOWN_AT_ONCE,
        ),
        [10, 6, 14, 14, 14],
    ),
    "a value scales what is there by its ratio, and no further than GPUs exist": (
        of_value(
            [250, 250, 130, 105, 40],
            100,
            most=30,
            scale_up={"stabilisation": 0, "rates": [{"gpus": 100}]},
            scale_down=DOWN_AT_ONCE,
        ),
        [4, 10, 25, 30, 30, 12],
    ),
    "of a load that flaps the highest of a minute": (
        of_total([100, 20, 100, *[20] * 5], scale_down={"stabilisation": "60 s", "rates": [{"percent": 100}]}),
        [10, 10, 10, 10, 10, 10, 10, 2, 2],
    ),
    "to none and back": (of_total([0, 0, 12, 5], 5, least=0, scale_down=DOWN_AT_ONCE), [2, 0, 0, 3, 1]),
    "no change where growing is disabled": (
        of_total([400, 400], scale_up={"stabilisation": 0, "rates": [{"gpus": 1}], "select": "disabled"}),
        [6, 6, 6],
    ),
}


@pytest.mark.parametrize("name", SERIES)
def test_fleets_are_those_of_a_calculation_by_hand(name):
    (policy, pools), (start, *fleets) = SERIES[name]
    assert looks(policy, start, pools) == fleets


def test_a_metric_of_gpus_that_lose_load_and_get_it_back():
    """Eight GPUs' work, then sixteen's: use ends at all of the fleet, so that the way up has three steps."""
    busy = [8] * 4 + [16] * 6
    pools = [lambda gpus, n=n: pool(gpus, min(n, gpus)) for n in busy]
    assert looks(scaler(utilisation=0.8, scale_down=DOWN_AT_ONCE), 16, pools) == [10] * 4 + [13, 17] + [20] * 4


def test_gpus_on_order_damp_a_mean_and_are_left_out_on_the_way_down():
    assert desired(4, 160, 80, pending=1) == 6
    assert desired(4, 200, 100, pending=2) == 4
    assert desired(6, 20, 60, pending=2) == 2


def test_a_metric_is_a_mean_over_its_window_as_old_as_its_age():
    samples = [(15.0 * at, pool(10, at)) for at in range(10)]
    assert [one.busy for one in seen(samples, 135.0, 60.0, 0.0)] == [6, 7, 8, 9]
    assert [one.busy for one in seen(samples, 135.0, 60.0, 30.0)] == [4, 5, 6, 7]
    assert [one.busy for one in seen(samples, 135.0, 0.0, 15.0)] == [8]
    assert [one.busy for one in seen(samples[:1], 0.0, 60.0, 30.0)] == [0], "the first where none is as old"


def test_a_late_mean_sees_a_surge_later_and_the_instant_keeps_more_gpus():
    """The jumps of the instant count for five minutes each. Twelve GPUs' work with a spread of a quarter either way."""
    swing = [12 + 3 * (-1) ** at for at in range(200)]
    pools = [lambda gpus, n=n: pool(gpus, min(n, gpus)) for n in swing]
    instant, averaged = (
        sum(looks(scaler(utilisation=0.6, window=window), 20, pools)[100:]) / 100 for window in (0, "60 s")
    )
    assert averaged == pytest.approx(12 / 0.6, abs=1)
    assert 1.2 < instant / averaged < 1.34


def test_keda_keeps_the_last_gpu_for_a_cool_down_and_brings_one_back_at_once():
    inside = [1] + [0] * 25 + [30, 30]
    policy, pools = of_total(inside, 10, least=0, cool_down="5 min", scale_down=DOWN_AT_ONCE)
    assert looks(policy, 1, pools) == [1] * 20 + [0] * 6 + [1, 3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"utilisation": 0.5, "least": 0},
        {"inside": 2, "cool_down": "1 min"},
        {"inside": 2, "scale_up": {"stabilisation": 0, "rates": []}},
        {"inside": 2, "scale_up": {"stabilisation": 0, "rates": [{"gpus": 1, "percent": 10}]}},
        {"inside": 2, "scale_down": {"rates": [{"gpus": 1}]}},
        {"inside": 2, "window": -1},
    ],
)
def test_settings_that_no_autoscaler_can_have_are_refused(wrong):
    with pytest.raises(ValidationError):
        scaler(**wrong)


def test_a_fleet_is_empty_until_somebody_asks():
    scenario = surge(demand=[{"kind": "spike", "people": 300, "lasting": "5 min", "from": "10 min"}])
    soon = {"provisioning": "30 s", "cold_start": "30 s"}
    policy = Autoscale(pool="gpus", most=40, inside=2, least=0, cool_down="2 min", **soon)
    run = simulate(scenario, [policy])
    path = changes(run)
    assert path[1] == (120, 0)
    begins = next(at for at, gpus in path if at > 120 and gpus > 0)
    assert 600 <= begins - 60 <= 630, "one as soon as somebody is there, a minute later in service"
    assert path[-1][1] == 0
    assert math.isclose(run.requests["arrived"].min(), 600, abs_tol=30)


def test_behavior_is_read_as_a_manifest_of_kubernetes_has_it_and_exported_as_it_was():
    """The same fleets as by `scale_down` of the same rate; what it leaves out is Kubernetes' default."""
    behavior = {
        "scaleDown": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
        }
    }
    rate = {"stabilisation": 0, "rates": [{"percent": 10, "period": "60 s"}]}
    theirs, seen_of = of_total([10] * 5, behavior=behavior)
    ours, _ = of_total([10] * 5, scale_down=rate)
    assert looks(theirs, 19, seen_of) == looks(ours, 19, seen_of) == [17, 17, 17, 17, 15]
    up, down = theirs.directions
    assert (up, down) == (ours.scale_up, ours.scale_down)
    assert direction(down, []) == {**behavior["scaleDown"], "selectPolicy": "Max"}


def test_behavior_beside_our_own_keys_or_with_a_misspelt_one_is_refused():
    for wrong in (
        {"behavior": {}, "scale_up": DOWN_AT_ONCE},
        {"behavior": {"scaleUp": {"stabilizationWindowSecond": 0}}},
        {"behavior": {"scaleUp": {"policies": [{"type": "pods", "value": 1, "periodSeconds": 60}]}}},
    ):
        with pytest.raises(ValidationError):
            scaler(inside=1, **wrong)
