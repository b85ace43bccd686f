"""Each policy turns the knobs it says; playbooks put them in force, in order, with fresh memory, and on record."""

import math

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, PoolTelemetry, Telemetry
from sim.model.knobs import KNOBS, QUOTA_KINDS, UNLIMITED
from sim.policies.access import FeatureGate, Waitlist
from sim.policies.limits import Concurrency, Quota, RateLimit
from sim.policies.playbook import Timed, in_order
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.sharing import Priority
from sim.policies.shedding import QueueBound, Shed, WaitBound
from sim.studies.compare import compare
from tests.random_scenarios import plain
from tests.traces import arriving, outcomes, step


def seen(now: float = 0.0, wait: float = 0.0) -> Telemetry:
    """A service of one pool that expects this wait."""
    zero = np.zeros((2, 2))
    return Telemetry(now, {"gpus": PoolTelemetry(4, 4, 0, 4, wait)}, zero, zero, zero, zero, zero, zero, 0, 0)


def turned(policy, telemetry: Telemetry | None = None) -> Controls:
    controls = Controls(["free", "plus"], ["image", "video"])
    policy.act(telemetry or seen(), controls)
    return controls


@pytest.mark.parametrize(
    ("policy", "knobs"),
    [
        (FeatureGate(open="25 %", min_age="5 days"), {"open": 0.25, "min_age": 432_000}),
        (RateLimit(rate="3 per min", burst=2), {"rate": 0.05, "burst": 2}),
        (Quota(requests=3), {"quota": 3, "window": 86400, "kind": QUOTA_KINDS.index("calendar")}),
        (Quota(requests=5, window="1 h", runs="sliding"), {"quota": 5, "window": 3600, "kind": 2}),
        (Concurrency(requests=2), {"concurrency": 2}),
        (QueueBound(requests="8k"), {"queue": 8000}),
        (WaitBound(longest="2 min"), {"wait": 120}),
        (Shed(share="1/4"), {"shed": 0.25}),
        (Degrade(level=2), {"level": 2}),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_policy_sets_its_knobs_and_no_others(policy, knobs):
    expected = dict(zip(KNOBS.names, UNLIMITED, strict=True)) | knobs
    assert dict(zip(KNOBS.names, turned(policy).knobs[1, 1], strict=True)) == expected
    for target in ({"tiers": ["free"]}, {"features": ["video"]}, {"tiers": ["free"], "features": ["video"]}):
        controls = turned(policy.model_copy(update=target))
        touched = {(t, f) for t, f, _ in np.argwhere(controls.knobs != UNLIMITED)}
        tiers, features = ([0] if "tiers" in target else [0, 1]), ([1] if "features" in target else [0, 1])
        assert touched == {(t, f) for t in tiers for f in features}


def test_a_waitlist_sets_the_rate_of_signups():
    assert turned(Waitlist(rate="60 per min")).signup_rate == 1
    assert turned(Waitlist(rate=0)).signup_rate == 0


def test_priority_puts_the_named_tiers_first():
    controls = turned(Priority(first=["plus"]))
    assert (controls.knob("priority", "plus", "image"), controls.knob("priority", "free", "image")) == (0, 1)
    controls = turned(Priority(first=["free", "plus"]))
    assert (controls.knob("priority", "plus", "image"), controls.knob("priority", "free", "image")) == (1, 0)


def levels(policy: DegradeUnderLoad, waits: list[float], tick: float = 60.0) -> list[float]:
    return [
        turned(policy, seen(number * tick, wait)).knob("level", "free", "image") for number, wait in enumerate(waits)
    ]


def test_degrading_under_load_goes_down_at_once_and_up_after_calm():
    policy = DegradeUnderLoad(pool="gpus", above="60 s", below="20 s", calm="2 min", lowest=2)
    waits = [0, 61, 61, 61, 40, 10, 10, 10, 10, 10]
    assert levels(policy, waits) == [0, 1, 2, 2, 2, 2, 2, 1, 1, 0]


def test_between_its_bounds_it_stays_and_the_calm_begins_again():
    policy = DegradeUnderLoad(pool="gpus", above="60 s", below="20 s", calm="2 min", lowest=1)
    assert levels(policy, [100, 10, 10, 20, 60, 10, 10, 10]) == [1, 1, 1, 1, 1, 1, 1, 0]


def test_a_load_around_one_bound_makes_it_turn_once():
    policy = DegradeUnderLoad(pool="gpus", above="60 s", below="20 s", calm="2 min")
    assert levels(policy, [61, 59] * 10) == [1] * 20


@pytest.mark.parametrize("below", ["60 s", "90 s"])
def test_it_needs_a_gap(below):
    with pytest.raises(ValidationError, match="less than"):
        DegradeUnderLoad(pool="gpus", above="60 s", below=below)


# Playbooks.


def test_a_step_is_in_force_from_its_first_instant_until_before_its_last():
    timed = Timed(Shed(share=1), 60, 120)
    shed = []
    for now in (0, 59.9, 60, 119.9, 120):
        controls = Controls(["free"], ["image"])
        timed.act(seen(now), controls)
        shed.append(controls.knob("shed", "free", "image"))
    assert shed == [0, 0, 1, 1, 0]


def test_a_playbook_reads_dates_from_the_start_of_the_scenario():
    scenario = plain(start="2025-03-25 17:00")
    gate = {"kind": "shed", "share": 1}
    lines = [
        step(policy=gate, from_="2025-03-26 17:00"),
        step(policy=gate, from_="2 hours", until="2025-03-25 16:00"),
        step(policy=gate),
        Shed(share=1),
    ]
    timed = in_order(lines, scenario.seconds)
    assert [(t.begins, t.ends) for t in timed] == [(86400, math.inf), (7200, -3600), (0, math.inf), (0, math.inf)]
    assert [t.name for t in timed] == ["shed"] * 4


def test_a_playbook_of_anything_else_is_refused():
    with pytest.raises(TypeError, match="act"):
        in_order(["shed"], float)
    with pytest.raises(TypeError, match="act"):
        in_order([ClosesWhenBusy], float)  # the class, where one of its kind was meant


def test_what_no_policy_sets_is_open_again():
    run = arriving([10, 90, 150], [step(policy={"kind": "shed", "share": 1}, from_="1 min", until="2 min")])
    assert outcomes(run) == ["served", "shed", "served"]
    expected = [(60.0, "shed", 0.0, 1.0, "shed"), (120.0, "shed", 1.0, 0.0, "not set any more")]
    columns = ["time", "knob", "old", "new", "policy"]
    assert list(run.decisions[columns].itertuples(index=False, name=None)) == expected


class Counting:
    """Sheds half of all requests, always, and counts how often it is asked to."""

    def __init__(self, *, steady: bool):
        self.steady, self.calls = steady, 0

    def __deepcopy__(self, memo):
        return self

    def act(self, telemetry, controls):
        self.calls += 1
        controls.set(shed=0.5)


def test_a_policy_that_always_sets_the_same_acts_once_where_a_waitlist_lets_people_in_at_every_tick():
    scenario, waitlist = plain(), Waitlist(rate="6 per min")
    policies = Counting(steady=True), Counting(steady=False)
    once, always = (simulate(scenario, [waitlist, policy]) for policy in policies)
    ticks = math.ceil(scenario.horizon / scenario.control_tick)
    assert [policy.calls for policy in policies] == [1, ticks]
    for table in ("requests", "users", "decisions", "fleet"):
        pd.testing.assert_frame_equal(getattr(once, table), getattr(always, table))


def test_a_waitlist_goes_on_record_too():
    run = arriving([], [step(policy={"kind": "waitlist", "rate": "60 per min"}, from_="1 min", until="2 min")])
    expected = [
        (60.0, "signup_rate", math.inf, 1.0, "waitlist"),
        (120.0, "signup_rate", 1.0, math.inf, "not set any more"),
    ]
    columns = ["time", "knob", "old", "new", "policy"]
    assert list(run.decisions[columns].itertuples(index=False, name=None)) == expected
    assert run.decisions[["tier", "feature"]].isna().all().all()


def test_a_knob_that_does_not_turn_is_not_on_record():
    assert len(arriving([], [Shed(share=0.5)]).decisions) == 1
    assert len(arriving([], [Shed(share=0)]).decisions) == 0


def test_policies_in_force_always_act_before_the_playbook():
    scenario = plain(
        always=[{"policy": {"kind": "shed", "share": 1}}],
        playbooks={"none": [], "gentle": [{"policy": {"kind": "shed", "share": 0.5}}]},
    )
    assert simulate(scenario).decisions["new"].tolist() == [1]
    assert simulate(scenario, "gentle").decisions["new"].tolist() == [0.5]


class ClosesWhenBusy:
    """A custom policy: refuses everything from the tick after it has counted five attempts, until the end."""

    def __init__(self) -> None:
        self.attempts = 0.0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.attempts += telemetry.arrivals.sum()
        if self.attempts >= 5:
            controls.set(shed=1)


def test_any_object_that_acts_is_a_policy():
    run = arriving([1, 2, 3, 4, 5, 70, 80], [ClosesWhenBusy()], pools={"gpus": {"gpus": 9}})
    assert outcomes(run) == ["served"] * 5 + ["shed"] * 2
    assert run.decisions["policy"].tolist() == ["ClosesWhenBusy"]
    assert run.manifest["playbook"] == "custom"


def test_a_policy_forgets_between_runs():
    mine = ClosesWhenBusy()
    first, second = (arriving([1, 2, 3, 70, 80], [mine], pools={"gpus": {"gpus": 9}}) for _ in range(2))
    assert outcomes(first) == outcomes(second) == ["served"] * 5
    assert mine.attempts == 0
    degrade = DegradeUnderLoad(pool="gpus", above="1 s", below="0.5 s", calm="10 min")
    runs = [arriving([1, 2, 3, 70, 130], [degrade], control_tick="10 s") for _ in range(2)]
    pd.testing.assert_frame_equal(runs[0].decisions, runs[1].decisions)
    assert len(runs[0].decisions) > 0


def test_a_policy_forgets_between_replications():
    degrade = {"kind": "degrade under load", "pool": "gpus", "above": "15 s", "below": "5 s", "calm": "1 h"}
    scenario = plain(
        horizon="30 min",
        demand=[{"kind": "spike", "people": 90, "lasting": "10 min"}],
        features={"image": {"ladder": [{"model": "quick"}]}},
        playbooks={"cheaper": [{"policy": degrade}]},
    )
    together, _ = compare(scenario, seeds=[7, 8, 9], processes=1)
    for seed in (9, 8):
        decisions = simulate(scenario, seed=seed).decisions
        assert decisions["new"].tolist() == [1]  # it ends the run degraded
        assert decisions["time"].iloc[0] > 0  # and begins the next as asked
        alone, _ = compare(scenario, seeds=[seed], processes=1)
        after_others = together.table[together.table["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone.table, after_others)


def test_a_custom_policy_meets_the_same_people_as_none():
    scenario = plain(demand=[{"kind": "steady", "rate": "6 per min"}])
    mine = ClosesWhenBusy()
    for seed in (1, 2, 3):
        without, with_it = simulate(scenario, [], seed=seed), simulate(scenario, [mine], seed=seed)
        pd.testing.assert_frame_equal(without.users, with_it.users)
        assert (with_it.requests["reason"] == "shed").any()


class Fails:
    """A policy whose turn goes wrong at the second tick."""

    def __init__(self, **knobs: object) -> None:
        self.knobs = knobs

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        if telemetry.now > 0:
            controls.set(**self.knobs)  # type: ignore[arg-type]
            raise ArithmeticError("the policy's own")


def test_an_error_of_a_policy_ends_the_run_and_is_told():
    with pytest.raises(ArithmeticError, match="the policy's own"):
        arriving([0], [Fails()])


@pytest.mark.parametrize(
    ("knobs", "told"),
    [({"shed": 2}, "shed"), ({"rate": math.nan}, "rate"), ({"thrust": 1}, "thrust"), ({"tiers": ["gold"]}, "gold")],
)
def test_a_policy_that_turns_what_cannot_be_turned_ends_the_run(knobs, told):
    with pytest.raises(BadInput, match=told) as wrong:
        arriving([0], [Fails(**knobs)])
    assert wrong.value.key == ("tiers" if told == "gold" else told)  # nothing the error knows is lost on its way


def test_a_policy_for_a_pool_that_is_not_there_is_refused_by_name():
    with pytest.raises(BadInput, match="no such pool"):
        arriving([0], [DegradeUnderLoad(pool="spare", above="2 s", below="1 s")])


def test_a_decision_says_when_what_for_whom_and_by_whom():
    shed = step(policy={"kind": "shed", "share": 0.3, "tiers": ["plus"]}, from_="1 min")
    run = arriving([0, 1], [shed], tiers=["free", "plus"])
    turn = {"knob": "shed", "tier": "plus", "feature": "image", "old": 0.0, "new": 0.3, "policy": "shed"}
    assert run.decisions.to_dict("records") == [{"time": 60.0, **turn, "reason": None}]


def test_degrading_under_load_relieves_the_queue():
    ladder = {"image": {"ladder": [{"model": "quick"}]}}
    policy = DegradeUnderLoad(pool="gpus", above="15 s", below="5 s", calm="1 min")
    run = arriving(range(60), [policy], features=ladder, control_tick="10 s", horizon="20 min")
    assert run.requests["level"].tolist() == [0] * 10 + [1] * 50
    assert run.decisions["new"].tolist() == [1, 0]
