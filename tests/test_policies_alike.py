"""Policies of every family in a surge: both engines give the same tables, and each run begins with no memory."""

from functools import cache
from typing import Any

import pytest

from sim.engine.simulate import simulate
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.random_scenarios import REGIONS, plain
from tests.test_engines import assert_alike

PROGRAMS = {"kind": "clients", "clients": 5, "rate": "3 per min", "cv": 1.5, "skew": 0.5, "retries": True}
BOUND = {"kind": "queue bound", "requests": 10}

PLAYBOOKS: dict[str, list[dict[str, Any]]] = {
    "weighted sharing": [{"kind": "weighted sharing", "weights": {"paid": 3, "free": 1}}],
    "weighted sharing, one cheaper": [
        {"kind": "weighted sharing", "weights": {"paid": 3}},
        {"kind": "degrade", "tiers": ["free"]},
    ],
    "fair per user": [{"kind": "fair per user", "queues": 16, "hand": 2}],
    "shortest first": [{"kind": "shortest first"}, {"kind": "degrade", "tiers": ["free"]}],
    "dagor": [{"kind": "dagor", "tiers": ["paid", "free"], "threshold": "5 s", "rehash": "3 min"}],
    "random early": [{"kind": "random early", "pool": "gpus", "low": "5 s", "high": "40 s", "weight": 0.5}],
    "controlled delay": [{"kind": "controlled delay", "pool": "gpus", "short": "10 s", "long": "30 s"}],
    "waiting room": [{"kind": "waiting room", "total_active": 20, "new_per_minute": 15}],
    "region gate": [{"kind": "region gate", "open": {"there": 0.3}}],
    "roll-out": [{"kind": "roll-out", "pool": "gpus", "stages": [0.2, 0.5, 1], "every": "2 min", "longest": "5 s"}],
    **{
        f"backoff, {pause}": [BOUND, {"kind": "backoff", "pause": pause, "base": "4 s", "cap": "40 s", "most": 3}]
        for pause in ("none", "exponential", "full jitter", "equal jitter", "decorrelated jitter")
    },
    "retry after": [BOUND, {"kind": "retry after", "after": "20 s", "spread": "10 s"}],
    "circuit breaker": [BOUND, {"kind": "circuit breaker", "least": 10, "wait": "40 s", "probes": 3}],
    "cascade": [{"kind": "cascade", "threshold": 0.3, "keep_wait": "15 s", "pool": "gpus"}],
    "approximate cache": [{"kind": "approximate cache", "hits": 0.3}],
}


def surge(*policies: dict[str, Any]) -> Scenario:
    """A spike of people and some programs, of two tiers and regions, on 3 GPUs; whoever fails tries again."""
    return plain(
        horizon="15 min",
        control_tick="10 s",
        tiers={"paid": {"share": 0.3}, "free": {"share": 0.7}},
        features={
            "image": {"spec": {"model": "slow"}, "ladder": [{"model": "quick"}]},
            "edit": {"share": 0, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}},
        },
        pools={"gpus": {"gpus": 3, "max_batch": 2}},
        demand={
            "waves": [
                {"kind": "steady", "rate": "10 per min"},
                {"kind": "spike", "people": 80, "lasting": "60 s", "from": "2 min"},
            ],
            "clients": [PROGRAMS],
            "regions": REGIONS,
        },
        behaviour={
            "requests": {"kind": "fixed", "requests": 3},
            "patience": {"kind": "exponential", "mean": "60 s"},
            "retry": {"at_most": 4, "probability": 0.8, "after_leaving": 0.8, "hopeless": 0.5},
        },
        serving={"noise": {"kind": "lognormal", "cv": 0.3}},
        playbooks={"one": [{"policy": policy} for policy in policies]},
    )


def played(scenario: Scenario, engine: str = "compiled") -> Run:
    return simulate(scenario, "one", seed=3, engine=engine)


@cache
def by_name(name: str) -> Run:
    return played(surge(*PLAYBOOKS.get(name, ())))


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_both_engines_play_it_alike_and_it_makes_a_difference(name):
    policies, run = PLAYBOOKS[name], by_name(name)
    assert_alike(played(surge(*policies), "simpy"), run)
    others = [policy for policy in policies if policy["kind"] != name.split(",")[0]]
    assert not run.requests.equals((played(surge(*others)) if others else by_name("nothing")).requests)


@pytest.mark.parametrize(
    "name", ["dagor", "random early", "controlled delay", "circuit breaker", "cascade", "roll-out"]
)
def test_a_run_begins_with_no_memory_of_the_one_before(name):
    assert_alike(played(surge(*PLAYBOOKS[name])), by_name(name))
