"""The live server: on a clock that jumps it is the simulator; in real time it is close to it."""

from typing import Any

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.document import merged
from sim.scenario.scenario import Scenario
from tests.jumping import JumpingLoop
from tests.studies.live.clock import RealClock
from tests.studies.live.run import Gate, Vitals, run_together
from tests.studies.theory.queues import queue


class TimerDevice:
    """GPUs without threads."""

    async def serve(self, clock: RealClock, until: float, model: str, size: int) -> None:
        await clock.until(until)


def at_once(scenario: Scenario, seed: int = 1) -> Run:
    return run_together([(scenario, None, seed)], device=TimerDevice(), loop=JumpingLoop)[0].run


def surge(*policies: dict[str, Any], **changes: Any) -> Scenario:
    """Four GPUs, asked for three quarters of what they can do, and from 30 s to 60 s for twice it; people retry."""
    document = {
        "title": "a surge",
        "horizon": "150 s",
        "control_tick": "5 s",
        "tiers": {"free": {"share": 0.7}, "paid": {"share": 0.3}},
        "features": {
            "image": {
                "share": 0.8,
                "pool": "gpus",
                "slo": "10 s",
                "spec": {"model": "large"},
                "ladder": [{"model": "small"}],
            },
            "edit": {"share": 0.2, "pool": "gpus", "slo": "10 s", "spec": {"model": "small"}},
        },
        "pools": {"gpus": {"gpus": 4, "max_batch": 4}},
        "demand": [
            {"kind": "steady", "rate": "3 per second"},
            {"kind": "spike", "people": 200, "lasting": "30 s", "from": "30 s"},
        ],
        "behaviour": {
            "requests": {"kind": "fixed", "requests": 2},
            "think": {"kind": "exponential", "mean": "5 s"},
            "patience": {"kind": "exponential", "mean": "20 s"},
            "retry": {"backoff": {"kind": "uniform", "low": "2 s", "high": "9 s"}},
        },
        "serving": {"noise": {"kind": "lognormal", "cv": 0.1}},
        "always": [{"policy": policy} for policy in policies],
    }
    profiles = {
        name: constant_profile(name, seconds, largest_batch=4, per_image=seconds)
        for name, seconds in (("large", 0.4), ("small", 0.15))
    }
    return Scenario.from_dict(merged(document, changes), profiles=profiles)


BOUND = {"kind": "queue bound", "requests": 20}
PLAYBOOKS = {
    "paid first, with bounds on queue and retries": [
        {"kind": "priority", "first": ["paid", "free"]},
        BOUND,
        {"kind": "retry budget", "ratio": 0.1, "bucket": 5},
        {"kind": "backoff"},
    ],
    "limits of every kind": [
        {"kind": "rate limit", "rate": "6 per min"},
        {"kind": "quota", "requests": 2, "window": "2 min", "runs": "sliding", "tiers": ["free"]},
        {"kind": "concurrency"},
        {"kind": "shed", "share": 0.3, "tiers": ["free"]},
        {"kind": "limit", "requests": 30},
    ],
    "expected wait, and degraded": [
        {"kind": "wait bound", "longest": "4 s"},
        {"kind": "degrade under load", "pool": "gpus", "above": "3 s", "below": "1 s", "features": ["image"]},
    ],
    "last come": [{"kind": "last in first out"}, {"kind": "expiry", "after": "8 s"}],
    "shortest, with CoDel": [{"kind": "shortest first"}, {"kind": "codel", "target": "1 s", "interval": "8 s"}],
    "adaptive": [{"kind": "aimd", "pool": "gpus"}],
    "shared by users, and more GPUs": [
        {"kind": "fair per user"},
        {"kind": "hpa", "pool": "gpus", "most": 8, "utilisation": 0.6, "cold_start": "9 s"},
    ],
}


def assert_alike(scenario: Scenario, seed: int = 1) -> Run:
    there, here = simulate(scenario, seed=seed, engine="simpy"), at_once(scenario, seed)
    for name in ("user", "ask", "attempt", "tier", "feature", "outcome", "reason", "spec", "level", "retry"):
        assert here.requests[name].tolist() == pytest.approx(there.requests[name].tolist(), nan_ok=True), name
    for name in ("arrived", "started", "dequeued", "finished", "left", "gpu_seconds"):
        np.testing.assert_allclose(here.requests[name], there.requests[name], atol=1e-6, err_msg=name)
    assert here.batches["size"].tolist() == there.batches["size"].tolist()
    for name in ("time", "knob", "new", "policy"):
        assert here.decisions[name].tolist() == there.decisions[name].tolist()
    assert len(here.requests) > 500
    return here


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_on_a_clock_that_jumps_it_is_the_simulator(playbook):
    assert_alike(surge(*PLAYBOOKS[playbook]))


@pytest.mark.parametrize(
    "changes",
    [
        {
            "pools": {"gpus": {"linger": "1 s"}},
            "serving": {"gpu_speed_cv": 0.1, "noise": {"kind": "exponential"}, "notifies_above": "3 s"},
            "behaviour": {"churn_late": 0.3, "regenerate": 0.5},
        },
        {
            "pools": {"gpus": {"model_load": {"kind": "constant", "value": "0.7 s"}}},
            "serving": {"notices_leaving": True},
        },
    ],
    ids=["lingers, noisy, tells of waits", "loads models, notices leaving"],
)
def test_so_it_is_whatever_the_service_is_like(changes):
    assert_alike(surge({"kind": "degrade under load", "pool": "gpus", "above": "3 s", "below": "1 s"}, **changes))


def test_in_real_time_it_is_close_to_the_simulator():
    """Five seconds of a server at 0.7 of its capacity; again where the machine did not keep time."""
    scenario = queue(lasting=5, rate=7, gpus=4, seconds=0.4, noise={"kind": "none"})
    predicted = simulate(scenario, engine="simpy").requests
    for _ in range(4):
        found = run_together([(scenario, None, 1)])[0]
        faults = Gate(shortest=0.4).faults(found.vitals)
        if not faults:
            break
    else:
        pytest.skip(f"this machine does not keep time: {', '.join(faults)}")
    there = found.run.requests
    assert there["user"].tolist() == predicted["user"].tolist()
    assert (there["outcome"] == "served").sum() == pytest.approx((predicted["outcome"] == "served").sum(), abs=1)
    latency, expected = (rows["finished"] - rows["arrived"] for rows in (there, predicted))
    for q, within in ((0.5, 0.02), (0.95, 0.05), (0.99, 0.08)):
        assert latency.quantile(q) == pytest.approx(expected.quantile(q), rel=within)
    assert latency.min() >= 0.4, "no GPU is faster than its profile"
    assert len(found.waits) == there["started"].notna().sum()
    assert (found.waits >= 0).all()


def test_a_run_on_a_machine_that_stands_still_does_not_count():
    assert Gate(shortest=0.1).faults(Vitals(gap=0.001, lateness=0.001, drift=0.001)) == []
    assert len(Gate(shortest=0.1).faults(Vitals(gap=0.2, lateness=0.1, drift=0.05, pressure=0.9))) == 4
    assert Gate(shortest=0.1).faults(Vitals(gap=0.001, lateness=0.001, drift=float("nan")))


def test_a_policy_that_wants_a_waitlist_is_refused():
    with pytest.raises(BadInput) as wrong:
        at_once(surge({"kind": "waitlist", "rate": "1 per second"}))
    assert wrong.value.key == "signup_rate"


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"serving": {"tells_refusals": False}}, "serving.tells_refusals"),
        ({"horizon": "2 days"}, "horizon"),
        ({"behaviour": {"retry": {"second_account": 0.1}}}, "behaviour.retry.second_account"),
    ],
)
def test_a_scenario_that_live_clients_cannot_play_is_refused(changes, key):
    with pytest.raises(BadInput) as wrong:
        at_once(surge(**changes))
    assert wrong.value.key == key
