"""Saturation is that of fluid theory: above capacity and not below it, however requests are batched."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sim import simulate
from sim.profile.profile import constant_profile
from sim.results.saturation import RANDOM, Balance, behind, saturated
from sim.scenario.parts import Recording
from tests.random_scenarios import plain
from tests.timelines import saturated_spans

TIMELINE = Recording(rows=False)
TRUTHS = Path(__file__).parent / "studies" / "theory" / "truths.csv"
GPUS, SECONDS = 4, 4.0


def spans_of(demand, *, gpus, seconds, horizon, batch=1, linger=0.0, patience=None, playbook=None, seed=1):
    """When the one pool of a service is saturated; a batch takes as long as one image."""
    scenario = plain(
        {"slow": constant_profile("slow", seconds, largest_batch=batch)},
        horizon=f"{horizon} s",
        pools={"gpus": {"gpus": gpus, "max_batch": batch, "linger": f"{linger} s"}},
        demand=demand,
        behaviour={"patience": patience or {"kind": "never"}},
    )
    run = simulate(scenario, playbook, seed=seed, recording=TIMELINE)
    return saturated_spans(run, "gpus")


def at_load(load, batch, linger, **more):
    """An hour of a steady load."""
    rate = load * GPUS * batch / SECONDS
    demand = [{"kind": "steady", "rate": f"{rate} per second"}]
    return spans_of(demand, gpus=GPUS, seconds=SECONDS, horizon=3600, batch=batch, linger=linger, **more)


@pytest.mark.parametrize("linger", [0.0, 2.0])
@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("load", [0.5, 0.7, 0.85])
def test_a_pool_below_capacity_is_not_saturated(load, batch, linger):
    assert at_load(load, batch, linger) == []


@pytest.mark.parametrize("linger", [0.0, 2.0])
@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("load", [1.15, 1.5])
def test_a_pool_above_capacity_is_saturated_until_the_end(load, batch, linger):
    """From when the surplus of fluid theory has filled a batch for each GPU, three deviations of arrivals later."""
    rate = load * GPUS * batch / SECONDS
    surplus = rate * (1 - 1 / load)
    spans = at_load(load, batch, linger)
    due = (GPUS * batch + linger * rate + RANDOM) / surplus
    assert spans[-1][1] == 3600
    assert spans[-1][0] <= due + 3 * math.sqrt(rate * due) / surplus + 17


def truths(system):
    table = pd.read_csv(TRUTHS)
    rows = table[table["system"] == system]
    for params, group in rows.groupby("params", sort=False):
        yield json.loads(params), dict(zip(group["metric"], group["value"], strict=True))


@pytest.mark.parametrize(("p", "truth"), list(truths("fluid rectangular surge")))
def test_a_surge_saturates_a_pool_while_the_fluid_queue_is_not_empty(p, truth):
    """Within a bin, and the time in which the queue passes one request for each GPU."""
    seconds, before = 2.0, 300.0
    scale = min(1.0, 20 / p["C"])
    gpus = round(p["C"] * scale * seconds)
    ends = before + p["T"] + truth["drain_time_after_surge"]
    horizon = ends * 1.2
    more = (p["lam1"] - p["lam0"]) * scale
    demand = [
        {"kind": "steady", "rate": f"{p['lam0'] * scale} per second"},
        {"kind": "spike", "people": round(more * p["T"]), "lasting": f"{p['T']} s", "from": f"{before} s"},
    ]
    (span,) = spans_of(demand, gpus=gpus, seconds=seconds, horizon=round(horizon))
    width = max(10.0, horizon / 216)
    noise = 3 * math.sqrt(p["lam0"] * scale * horizon) / ((p["C"] - p["lam0"]) * scale)
    assert span[0] == pytest.approx(before, abs=width + gpus / ((p["lam1"] - p["C"]) * scale))
    assert span[1] == pytest.approx(ends, abs=width + gpus / ((p["C"] - p["lam0"]) * scale) + noise)


@pytest.mark.parametrize(("p", "truth"), list(truths("fluid exponentially decaying surge")))
def test_a_decaying_surge_saturates_a_pool_until_the_fluid_queue_is_empty(p, truth):
    before, seconds = 60.0, 2.0
    points = [["0 min", f"{p['lam0']} per second"], [f"{before - 0.1} s", f"{p['lam0']} per second"]]
    points += [
        [f"{before + 2 * n} s", f"{p['lam0'] + p['A'] * math.exp(-2 * n / p['tau'])} per second"] for n in range(120)
    ]
    demand = [{"kind": "piecewise", "points": points}]
    gpus = round(p["C"] * seconds)
    (span,) = spans_of(demand, gpus=gpus, seconds=seconds, horizon=300)
    assert span[0] == pytest.approx(before, abs=10 + gpus / (p["lam0"] + p["A"] - p["C"]))
    assert span[1] == pytest.approx(before + truth["t_empty"], abs=10 + gpus / (p["C"] - p["lam0"]))


def test_users_who_leave_do_not_hide_saturation():
    """At a load of 1.5 with little patience the queue stays short; a third of the work is never done."""
    patience = {"kind": "constant", "value": "3 s"}
    (span,) = at_load(1.5, 1, 0.0, patience=patience)
    assert span[1] == 3600
    assert at_load(0.7, 1, 0.0, patience=patience) == []


# By hand, in bins.


def balance(came, waiting, *, able=10.0, idle=False, batching=5.0):
    of = np.asarray(came, dtype=float)
    there = [np.full(len(of), value) for value in (able, idle, batching)]
    return Balance(of, there[0], np.asarray(waiting, dtype=float), there[1].astype(bool), there[2])


def test_the_fluid_queue_grows_by_the_surplus_and_is_empty_when_the_pool_keeps_up():
    assert behind(balance([30, 30, 5, 5], [6, 6, 6, 1])).tolist() == [20, 40, 35, 1]
    assert behind(balance([30, 30], [1, 2], idle=True)).tolist() == [1, 2]  # GPUs had time to spare


def test_a_stretch_counts_as_a_whole_from_the_bin_in_which_it_is_no_accident():
    waiting = [0, 10, 20, 5 + RANDOM, 20, 0, 20, 0]
    assert saturated(balance([0] * 8, waiting)).tolist() == [False, True, True, True, True, False, False, False]
