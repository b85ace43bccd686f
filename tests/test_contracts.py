"""The bill by kind of contract, and the break-evens between them, against planning arithmetic done elsewhere."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sim import load
from sim.policies.base import ABSENT
from sim.results.contracts import (
    bill,
    break_even_utilisation,
    commitment,
    contract_sentences,
    gpu_time_with_restarts,
    spot_break_even,
)
from sim.results.costs import dollars
from tests.tables import MANIFEST, run_of

POOL = MANIFEST["pools"]["gpus"]  # two GPUs for 100 s at $3.6 an hour
DAY = [40, 35, 30, 28, 30, 36, 50, 70, 90, 110, 120, 125, 130, 128, 120, 115, 118, 125, 140, 150, 135, 100, 75, 55]


def contracted(reserved=0, spot=0, *, fleet=(), scale=1.0):
    """Two GPUs for 100 s, with contracts, and changes of the fleet as (seconds, GPUs)."""
    terms = {
        "reserved": {"gpus": reserved, "dollars_per_gpu_hour": 1.8, "discount": 0.0},
        "spot": {"gpus": spot, "dollars_per_gpu_hour": None, "discount": 0.5, "interruptions_per_hour": 0.05},
    }
    run = run_of(pools={"gpus": {**POOL, **terms}}, scale=scale)
    nobody = dict.fromkeys(ABSENT, 0)
    changes = pd.DataFrame([{"time": time, "pool": "gpus", "change": change, **nobody} for time, change in fleet])
    return replace(run, fleet=pd.concat([run.fleet, changes], ignore_index=True)) if fleet else run


def cost_of_commitment(committed, demand, reserved, on_demand):
    """Dollars for these hours: `committed` GPUs are reserved, and the rest is on demand."""
    return reserved * committed * len(demand) + on_demand * np.maximum(np.asarray(demand) - committed, 0.0).sum()


def paid(run):
    table = bill(run)
    return {row.contract: (row.gpu_hours * 3600, row.dollars) for row in table.itertuples()}


def test_without_contracts_all_gpus_are_on_demand():
    assert paid(run_of()) == {"on demand": (pytest.approx(200), pytest.approx(0.2))}


def test_reserved_gpus_come_first_then_spot_then_on_demand():
    # Two GPUs, from 40 s on five: one reserved, two spot at half of $3.6, the rest on demand.
    found = paid(contracted(1, 2, fleet=[(40.0, 3)]))
    assert found["reserved"] == (pytest.approx(100), pytest.approx(100 / 3600 * 1.8))
    assert found["spot"] == (pytest.approx(40 + 2 * 60), pytest.approx(160 / 3600 * 1.8))
    assert found["on demand"] == (pytest.approx(2 * 60), pytest.approx(120 / 3600 * 3.6))


def test_a_gpu_that_its_vendor_takes_back_is_a_spot_one_and_those_on_demand_are_paid_on():
    """Of one on demand and one on spot the latter is gone from 50 s on: 100 s and 50 s, where it was 50 s and 100 s."""
    run = contracted(spot=1, fleet=[(50.0, -1)])
    step = {"policy": {"kind": "spot", "pool": "gpus", "rate": 2.0}}
    taken = replace(run, manifest={**run.manifest, "scenario": {"playbooks": {run.manifest["playbook"]: [step]}}})
    assert paid(taken) == {
        "spot": (pytest.approx(50), pytest.approx(50 / 3600 * 1.8)),
        "on demand": (pytest.approx(100), pytest.approx(0.1)),
    }
    assert paid(run)["spot"][0] == pytest.approx(100), "one that an autoscaler gives up is the dearer one"


def test_a_reserved_gpu_is_paid_for_while_it_is_out_of_service():
    found = paid(contracted(2, fleet=[(50.0, -2)]))
    assert found == {"reserved": (pytest.approx(200), pytest.approx(0.1))}


def test_a_slice_has_the_bill_of_the_whole_service():
    # Two GPUs of a slice of a tenth are twenty; five of them are reserved.
    found = paid(contracted(5, scale=0.1))
    assert found["reserved"][0] == pytest.approx(500)
    assert found["on demand"][0] == pytest.approx(1500)
    assert dollars(contracted(scale=0.1)) == pytest.approx(10 * dollars(contracted()))


def test_a_reserved_gpu_pays_when_it_is_used_more_than_the_ratio_of_prices():
    assert break_even_utilisation(1.0, 4.0) == 0.25
    assert break_even_utilisation(1.8, 2.5) == pytest.approx(0.72)


def test_the_commitment_for_a_sinusoid_of_demand():
    """D = 100 + 80 sin: the best k is 100 + 80 cos(pi p_c/p_o), by the load-duration curve in closed form."""
    day = 100 + 80 * np.sin((np.arange(200_000) + 0.5) / 200_000 * 2 * np.pi)
    best = commitment(day, 1.0, 4.0)
    assert best == pytest.approx(100 + 80 * math.cos(math.pi / 4), rel=1e-4)
    assert best == pytest.approx(156.5685425, rel=1e-4)
    cost = cost_of_commitment(best, day, 1.0, 4.0) / len(day)
    assert cost == pytest.approx(172.0253053, rel=1e-6)
    assert 1 - cost / (4.0 * day.mean()) == pytest.approx(0.5699367368, rel=1e-6)


def test_the_commitment_for_a_day_of_hours():
    assert commitment(DAY, 2.3, 3.5) == 70
    assert cost_of_commitment(70, DAY, 2.3, 3.5) == pytest.approx(6422.5)
    assert min(cost_of_commitment(k, DAY, 2.3, 3.5) for k in range(200)) == pytest.approx(6422.5)
    assert commitment(DAY, 3.5, 3.5) == 0  # a contract that saves nothing


@pytest.mark.parametrize(
    ("interruptions", "job", "gpu_time", "discount"),
    [
        (0.05, 1.0, 1.025421928, 0.02479167535),
        (0.2, 4.0, 6.127704642, 0.3472270233),
        (1 / 3600, 467.0, 498.6435097, 0.06345918301),
    ],
)
def test_spot_pays_above_the_discount_that_restarts_cost(interruptions, job, gpu_time, discount):
    """A job that starts again from zero takes (e^(hs) - 1)/h of GPU time."""
    assert gpu_time_with_restarts(interruptions, job) == pytest.approx(gpu_time, rel=1e-8)
    assert spot_break_even(interruptions, job) == pytest.approx(discount, rel=1e-8)


def test_a_job_that_nothing_interrupts_needs_no_discount():
    assert gpu_time_with_restarts(0.0, 7.0) == 7.0
    assert spot_break_even(0.0, 7.0) == 0.0


def test_the_sentence_says_at_which_load_reserving_pays():
    (said,) = contract_sentences(contracted(1))
    assert "busy in more than 50 % of hours" in said  # $1.8 against $3.6
    assert "looks like the 100 s of this run" in said  # it was "these 1 hours"
    assert contract_sentences(run_of()) == []  # nothing is known of other contracts


def test_a_gpu_that_is_busy_with_one_chat_of_many_is_not_said_to_be_needed():
    """Two GPUs with a chat each are two busy GPUs, and one would do: such a pool is not advised to reserve two."""
    run, own = contracted(1), contracted(1).manifest["pools"]["gpus"]
    chats = {"gpus": {**own, "runs": "steps", "max_batch": 64}}
    (said,) = contract_sentences(replace(run, manifest={**run.manifest, "pools": chats}))
    assert "as busy with one request as with 64 at once, so fewer may do: 'meltpoint size' finds how many" in said
    assert "fewer may do" not in contract_sentences(run)[0]


def test_the_break_even_of_spot_takes_the_policy_in_force():
    """At 60 an hour a batch of a minute takes e - 1 minutes: 41.8 % off, and not the 0.042 % of 0.05 an hour."""
    run = contracted(1, 1)
    feature = {name: {**facts, "seconds": 60.0} for name, facts in run.manifest["features"].items()}
    step = {"policy": {"kind": "spot", "pool": "gpus", "rate": 60.0}}
    scenario = {"playbooks": {run.manifest["playbook"]: [step]}}
    stated = replace(run, manifest={**run.manifest, "features": feature})
    (said,) = contract_sentences(stated)
    assert "at least 0.042 % off to pay for restarts, with 0.05 interruptions an hour and" in said
    assert "simulate that with the policy 'spot'" in said
    (said,) = contract_sentences(replace(stated, manifest={**stated.manifest, "scenario": scenario}))
    assert "at least 42 % off to pay for restarts, with 60 interruptions an hour by the policy in force" in said
    assert "simulate that" not in said


def test_a_scenario_says_its_contracts_as_people_write_prices():
    sets = {
        "pools.gpus.dollars_per_gpu_hour": "$2.50/h",
        "pools.gpus.reserved": {"gpus": "1k", "dollars_per_gpu_hour": "$43.2 per day"},
    }
    pool = load("steady", sets=sets).pools["gpus"]
    assert (pool.dollars_per_gpu_hour, pool.reserved.gpus, pool.reserved.dollars_per_gpu_hour) == (2.5, 1000, 1.8)
