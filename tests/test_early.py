"""Refusing early, and dropping sooner while a queue stands: the rules, and what they keep."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.model.knobs import POOL_KNOBS
from sim.policies.queue import ControlledDelay
from sim.policies.shedding import RandomEarly, early
from sim.results.run import Run
from tests.random_scenarios import constant, plain


def seen(now: float = 0, *, wait: float = 0, queued: int = 0) -> Telemetry:
    zero = np.zeros((1, 1))
    return Telemetry(now, {"gpus": PoolTelemetry(4, 4, queued, 4, wait)}, zero, zero, zero, zero, zero, zero, 0, 0)


def shed(policy: RandomEarly, wait: float) -> float:
    controls = Controls(["free"], ["image"])
    policy.act(seen(wait=wait), controls)
    return controls.knob("shed", "free", "image")


def test_the_share_rises_evenly_from_low_to_high_and_is_all_above():
    waits = [0, 10, 15, 20, 29.999, 30, 100]
    found = [early(wait, 10, 30, 0.4) for wait in waits]
    assert found == pytest.approx([0, 0, 0.1, 0.2, 0.4, 1, 1], abs=1e-4)
    assert [shed(RandomEarly(pool="gpus", low="10 s", high="30 s", most=0.4), wait) for wait in waits] == found


def test_the_average_follows_by_its_weight():
    policy = RandomEarly(pool="gpus", low="10 s", high="30 s", most=1, weight=0.5)
    assert [shed(policy, 40) for _ in range(3)] == [0.5, 1, 1]  # averages 20, 30, 35


def crowd(times_capacity: float, *playbook: dict, horizon: str = "1 h", gpus: int = 20) -> Run:
    """20 GPUs that take 4 s an image, 5 a second; people leave after a minute."""
    scenario = plain(
        {"model": constant(4.0)},
        horizon=horizon,
        control_tick="2 s",
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": gpus, "max_batch": 1}},
        demand=[{"kind": "steady", "rate": f"{times_capacity * gpus / 4} per second"}],
        behaviour={"patience": {"kind": "constant", "value": "60 s"}},
        playbooks={"one": list(playbook)},
    )
    return simulate(scenario)


def settled(run: Run) -> pd.DataFrame:
    return run.requests[run.requests["arrived"].between(600, run.horizon - 120)]


EARLY = {"kind": "random early", "pool": "gpus", "low": "5 s", "high": "25 s"}


@pytest.mark.parametrize("times", [1.5, 2.0, 3.0])
def test_random_early_settles_at_the_wait_whose_share_is_the_excess(times):
    """It refuses 1 - 1 / times of all, and so the wait is low + (high - low) (1 - 1 / times) / most."""
    rows = settled(crowd(times, {"policy": {**EARLY, "most": 0.9}}))
    assert (rows["outcome"] == "refused").mean() == pytest.approx(1 - 1 / times, abs=0.02)
    assert (rows["outcome"] == "served").mean() == pytest.approx(1 / times, abs=0.02)
    waited = (rows["started"] - rows["arrived"]).mean()
    assert waited == pytest.approx(5 + 20 * (1 - 1 / times) / 0.9, rel=0.15)


DELAY = {"kind": "controlled delay", "pool": "gpus", "short": "4 s", "long": "30 s"}


@pytest.mark.parametrize("policy", [EARLY, DELAY], ids=["early", "delay"])
def test_nothing_is_refused_at_half_load(policy):
    assert not (crowd(0.5, {"policy": policy}).requests["outcome"] == "refused").any()


# Controlled delay.


def set_to(policy: ControlledDelay, telemetry: Telemetry) -> tuple[float, float]:
    controls = Controls(["free"], ["image"], pools={"gpus": 4})
    policy.act(telemetry, controls)
    return tuple(controls.pools[0, POOL_KNOBS.index(knob)] for knob in ("expire", "order"))


def test_time_is_short_once_the_queue_has_not_been_empty_for_long():
    policy = ControlledDelay(pool="gpus", short="4 s", long="30 s")
    assert set_to(policy, seen(0, queued=5)) == (30, 0)
    assert set_to(policy, seen(30, queued=5)) == (30, 0)
    assert set_to(policy, seen(31, queued=5)) == (4, 1)
    assert set_to(policy, seen(40, queued=0)) == (30, 0)
    assert set_to(policy, seen(70, queued=1)) == (30, 0)
    assert set_to(policy, seen(71, queued=1)) == (4, 1)


def test_the_order_may_stay_as_it_is():
    policy = ControlledDelay(pool="gpus", short="4 s", long="30 s", lifo=False)
    set_to(policy, seen(0, queued=5))
    assert set_to(policy, seen(31, queued=5)) == (4, 0)


def test_under_overload_those_served_have_waited_little_and_no_gpu_idles():
    rows = settled(crowd(2.0, {"policy": DELAY}))
    waited = (rows["started"] - rows["arrived"]).dropna()
    assert waited.max() <= 4
    assert (rows["outcome"] == "served").mean() == pytest.approx(0.5, abs=0.02)
    plainly = settled(crowd(2.0))
    assert (plainly["started"] - plainly["arrived"]).dropna().median() > 50


def test_what_makes_no_sense_is_refused():
    for made, wrong in [
        (RandomEarly, {"pool": "gpus", "low": "30 s", "high": "30 s"}),
        (ControlledDelay, {"pool": "gpus", "short": "30 s", "long": "30 s"}),
    ]:
        with pytest.raises(ValidationError):
            made(**wrong)
    with pytest.raises(BadInput, match="no such pool"):
        shed(RandomEarly(pool="cellar", low="1 s", high="2 s"), 0)
