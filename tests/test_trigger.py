"""A triggered step begins and ends by what the gateway sees, late as people are, not too often, and says why."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import Controls, Run, Telemetry, simulate
from sim.model.controls import PoolTelemetry
from sim.policies.playbook import Step, Triggered
from sim.policies.quality import Degrade, DegradeUnderLoad
from sim.policies.sharing import Priority
from sim.policies.shedding import QueueBound, Shed
from sim.policies.trigger import OF_A_POOL, Trigger, Watch
from tests.random_scenarios import plain
from tests.test_engines import assert_alike
from tests.traces import arriving, outcomes

TICK = 60.0
LOW, MIDDLE, HIGH = 1.0, 5.0, 20.0  # a figure under `below`, between the bounds, and above `above`


def queue_over_ten(**times: Any) -> Trigger:
    """An alarm above ten requests in the queue, which clears under three."""
    return Trigger(queued={"above": 10, "below": 3}, pool="gpus", **times)


def turns(trigger: Trigger, figures: list[float], tick: float = TICK) -> list[int]:
    """The ticks at which the step begins, ends, begins, ... where these figures are seen at 0, tick, 2 tick, ..."""
    watch = Watch(trigger)
    return [number for number, figure in enumerate(figures) if watch.look(number * tick, figure)]


# When it begins and ends.


def test_it_begins_above_one_bound_and_ends_under_the_lower_one():
    assert turns(queue_over_ten(), [0, 10, 11, 9, 3, 2, 3, 9, 10, 11]) == [2, 5, 9]


@given(st.lists(st.sampled_from([LOW, MIDDLE, HIGH]), max_size=40))
def test_between_its_bounds_it_stays_as_it_is(figures):
    watch, last = Watch(queue_over_ten()), LOW
    for number, figure in enumerate(figures):
        last = last if figure == MIDDLE else figure
        watch.look(number * TICK, figure)
        assert watch.on == (last == HIGH)


def test_an_alarm_needs_the_figure_beyond_its_bound_at_every_tick_for_so_long():
    trigger = queue_over_ten(for_="2 min")
    assert turns(trigger, [HIGH, HIGH, HIGH]) == [2]
    assert turns(trigger, [HIGH, HIGH, MIDDLE, HIGH, HIGH]) == []
    assert turns(trigger, [HIGH] * 3 + [LOW, LOW, MIDDLE, LOW, LOW, LOW]) == [2, 8]
    assert turns(queue_over_ten(for_="90 s"), [HIGH, HIGH, HIGH]) == [2]  # a tick is the soonest that it can be seen


@pytest.mark.parametrize(("reaction", "ticks"), [("0", 0), ("1 s", 1), ("60 s", 1), ("61 s", 2), ("2 min", 2)])
def test_people_act_at_the_first_tick_at_which_their_reaction_is_over(reaction, ticks):
    seen = [LOW] + [HIGH] * 6 + [LOW] * 6
    assert turns(queue_over_ten(reaction=reaction), seen) == [1 + ticks, 7 + ticks]


@given(st.integers(0, 500), st.integers(0, 50), st.sampled_from([0.1, 0.3, 1 / 3, 0.7, 60.0]))
def test_a_reaction_of_some_ticks_is_of_that_many_however_they_are_rounded(quiet, ticks, tick):
    late = queue_over_ten(reaction=f"{ticks * tick} s")
    assert turns(late, [LOW] * quiet + [HIGH] * (ticks + 2), tick) == [quiet + ticks]


def test_an_alarm_that_clears_within_the_reaction_changes_nothing():
    trigger = queue_over_ten(reaction="3 min")
    assert turns(trigger, [HIGH, HIGH, HIGH, LOW, LOW, LOW, LOW]) == []
    begun = [HIGH] * 4
    assert turns(trigger, [*begun, LOW, LOW, HIGH, HIGH, HIGH, HIGH]) == [3]  # nor does its return before the end
    assert turns(trigger, begun + [LOW] * 4) == [3, 7]


def test_people_act_on_the_alarm_although_the_figure_is_between_the_bounds_by_then():
    assert turns(queue_over_ten(reaction="2 min"), [HIGH, MIDDLE, MIDDLE, MIDDLE]) == [2]


def test_it_does_not_begin_again_before_its_cool_down_is_over():
    trigger = queue_over_ten(cool_down="3 min")
    assert turns(trigger, [HIGH, LOW, HIGH, HIGH, HIGH, HIGH]) == [0, 1, 4]
    assert turns(trigger, [HIGH, LOW, HIGH, MIDDLE, MIDDLE]) == [0, 1, 4]  # the alarm is still raised
    assert turns(trigger, [HIGH, LOW, HIGH, LOW, LOW, LOW, HIGH]) == [0, 1, 6]  # it was not
    assert turns(queue_over_ten(cool_down="3 min", reaction="2 min"), [HIGH] * 3 + [LOW] * 4 + [HIGH] * 4) == [2, 5, 9]
    assert turns(queue_over_ten(cool_down="never"), [HIGH, LOW] + [HIGH] * 50) == [0, 1]


SOME_TICKS = st.integers(0, 6).map(lambda ticks: ticks * TICK)


@given(
    figures=st.lists(st.sampled_from([LOW, MIDDLE, HIGH]), max_size=80),
    lasting=SOME_TICKS,
    reaction=SOME_TICKS,
    cool_down=st.integers(1, 12).map(lambda ticks: ticks * TICK),
)
def test_it_flaps_no_more_often_than_its_cool_down_lets_it(figures, lasting, reaction, cool_down):
    trigger = queue_over_ten(for_=f"{lasting} s", reaction=f"{reaction} s", cool_down=f"{cool_down} s")
    turned = [number * TICK for number in turns(trigger, figures)]
    begins, ends = turned[::2], turned[1::2]
    assert len(begins) <= len(figures) * TICK / cool_down + 1
    for ended, begun in zip(ends, begins[1:], strict=False):
        assert begun - ended >= cool_down
    for begun in begins:  # and never without cause: the alarm was raised so long before
        since = int((begun - reaction - lasting) / TICK)
        assert since >= 0
        assert HIGH in figures[: since + 1]


# What it watches.


FOUR = PoolTelemetry(gpus=4, busy=3, queued=5, inside=8, expected_wait=90.0)


def figure(name: str, bounds: dict[str, Any], *, asked: float = 8, pool: PoolTelemetry = FOUR) -> float:
    """What a trigger sees of half the service, a minute after the tick before; a quarter of attempts were refused."""
    attempts, zero = np.full((2, 2), asked / 4), np.zeros((2, 2))
    telemetry = Telemetry(60.0, {"gpus": pool}, attempts, attempts / 4, zero, zero, zero, zero, 0, 0)
    trigger = Trigger.model_validate({name: bounds, "pool": "gpus" if name in OF_A_POOL else None})
    return trigger.figure(telemetry, scale=0.5, elapsed=60.0)


SHARE, TIME = {"above": "90 %", "below": "50 %"}, {"above": "5 min", "below": "1 min"}
NUMBER, RATE = {"above": 10, "below": 3}, {"above": "60 per min", "below": "30 per min"}


def test_it_sees_waits_and_shares_as_they_are_and_counts_at_full_scale():
    assert figure("expected_wait", TIME) == 90
    assert figure("utilisation", SHARE) == 3 / 4
    assert figure("queued", NUMBER) == 5 / 0.5
    assert figure("refused", SHARE) == 1 / 4
    assert figure("attempts", RATE) == 8 / 60 / 0.5


def test_a_pool_without_gpus_is_all_in_use_and_of_no_attempts_none_are_refused():
    assert figure("utilisation", SHARE, pool=PoolTelemetry(0, 0, 5, 5, math.inf)) == 1
    assert figure("refused", SHARE, asked=0) == 0


def test_nothing_has_happened_before_the_first_tick():
    run = arriving([0, 0.5, 1.5, 2.5], [Step(policy=Shed(share=1), when=Trigger(attempts=RATE))], control_tick="1 s")
    assert steps_of(run)["time"].tolist()[:1] == [1.0]  # two attempts a second, after none at 0
    assert outcomes(run) == ["served", "served", "shed", "shed"]


# Runs.

BURSTS = {  # of forty people each, whom one GPU serves in some minutes
    "horizon": "30 min",
    "control_tick": "10 s",
    "tiers": {"free": {"share": 0.8}, "plus": {"share": 0.2}},
    "features": {"image": {"ladder": [{"model": "quick"}]}},
    "pools": {"gpus": {"max_batch": 1}},
    "demand": [{"kind": "spike", "people": 40, "lasting": "1 min", "from": f"{at} min"} for at in (1, 12, 16)],
    "behaviour": {
        "patience": {"kind": "exponential", "mean": "4 min"},
        "retry": {"at_most": 2, "probability": 0.5, "backoff": {"kind": "constant", "value": "20 s"}},
    },
}
LATE = {"for": "20 s", "reaction": "30 s", "cool_down": "2 min"}
WHEN = {"queued": NUMBER, "pool": "gpus", **LATE}


def bursts(*playbook: Any, engine: str = "compiled", **settings: Any) -> Run:
    return simulate(plain(**{**BURSTS, **settings}), playbook, seed=1, engine=engine)


def steps_of(run: Run) -> pd.DataFrame:
    """The decisions that began or ended a step."""
    return run.decisions[run.decisions["knob"] == "step"]


def test_steps_begin_and_end_and_begin_again_and_say_why():
    run = bursts(Step(policy=Shed(share=1), when=WHEN))
    steps = steps_of(run)
    assert steps["new"].tolist() == [1, 0] * (len(steps) // 2)
    assert len(steps) >= 4
    assert set(steps["policy"]) == {"shed"}
    began, ended = steps["reason"].iloc[:2]
    assert re.fullmatch(r"requests queued in gpus \d\d above 10 for 20 s, acted on after 30 s", began)
    assert re.fullmatch(r"requests queued in gpus [0-2] under 3 for 20 s, acted on after 30 s", ended)
    others = run.decisions[run.decisions["knob"] == "shed"]
    assert others["time"].unique().tolist() == steps["time"].tolist()  # the knob turns with its step
    assert others["reason"].isna().all()
    refused = run.requests.loc[run.requests["outcome"] == "refused", "arrived"]
    inside = [steps["time"].searchsorted(at, side="right") % 2 == 1 for at in refused]
    assert len(refused) > 10
    assert all(inside)


def test_a_step_that_its_cool_down_kept_says_so():
    run = bursts(Step(policy=Shed(share=1), when={**WHEN, "cool_down": "10 min"}))
    assert steps_of(run)["reason"].str.endswith("when the cool-down was over").any()


def test_until_ends_it_at_once_and_nobody_looks_before_from():
    never_clears = {"queued": {"above": 10, "below": "0.1"}, "pool": "gpus", "reaction": "30 s", "cool_down": "never"}
    run = bursts(Step(policy=Shed(share=0.1), when=never_clears, from_="2 min", until="205 s"))
    assert steps_of(run)["time"].tolist() == [150, 210]  # the queue was long at two minutes; a tick is every 10 s
    assert steps_of(run)["reason"].iloc[1] == "its 'until' is reached"
    assert (run.requests.loc[run.requests["outcome"] == "refused", "arrived"] < 210).all()


def test_until_says_nothing_of_a_step_that_is_not_in_force():
    far = {**WHEN, "queued": {"above": 999, "below": 1}}
    assert len(bursts(Step(policy=Shed(share=1), when=far, until="5 min")).decisions) == 0


@pytest.mark.parametrize(
    "when",
    [
        {"expected_wait": {"above": "1 min", "below": "10 s"}, "pool": "gpus"},
        {"utilisation": SHARE, "pool": "gpus"},
        {"queued": NUMBER, "pool": "gpus"},
        {"refused": {"above": "20 %", "below": "5 %"}},
        {"attempts": {"above": "20 per min", "below": "5 per min"}},
    ],
    ids=lambda when: next(iter(when)),
)
@pytest.mark.parametrize("late", [{}, LATE], ids=["at once", "late"])
def test_both_engines_give_the_same_run_under_every_trigger(when, late):
    playbook = [Step(policy=QueueBound(requests=15)), Step(policy=Degrade(level=1), when={**when, **late})]
    both = [bursts(*playbook, engine=engine) for engine in ("simpy", "compiled")]
    assert_alike(*both)
    assert len(steps_of(both[0])) >= 2
    assert steps_of(both[0])["reason"].str.len().gt(20).all()


POLICIES = [
    {"kind": "priority", "first": ["plus"]},
    {"kind": "feature gate", "open": 0.2, "tiers": ["free"]},
    {"kind": "waitlist", "rate": "5 per min"},
    {"kind": "rate limit", "rate": "1 per min"},
    {"kind": "quota", "requests": 1, "window": "10 min"},
    {"kind": "concurrency", "requests": 1},
    {"kind": "queue bound", "requests": 8},
    {"kind": "wait bound", "longest": "1 min"},
    {"kind": "degrade", "level": 1},
    {"kind": "degrade under load", "pool": "gpus", "above": "20 s", "below": "5 s", "calm": "1 min"},
    {"kind": "limit", "requests": 5},
    {"kind": "last in first out"},
    {"kind": "adaptive lifo", "pool": "gpus", "above": "20 s"},
    {"kind": "expiry", "after": "1 min"},
    {"kind": "codel", "target": "5 s", "interval": "20 s"},
    {"kind": "retry budget", "ratio": 0.1, "bucket": 1},
    {"kind": "adaptive throttle", "k": 1.1, "window": "60 s"},
    {"kind": "aimd", "pool": "gpus", "least": 1, "start": 20},
    {"kind": "gradient2", "pool": "gpus", "least": 1, "start": 20},
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["kind"])
def test_any_policy_may_be_triggered_in_both_engines(policy):
    both = [bursts(Step(policy=policy, when=WHEN), engine=engine) for engine in ("simpy", "compiled")]
    assert_alike(*both)
    steps = steps_of(both[0])
    assert set(steps["policy"]) == {policy["kind"]}
    assert len(both[0].decisions) > len(steps)  # it turned something
    assert 1 <= steps["new"].sum() <= 1800 / 120 + 1


def test_those_who_pay_overtake_only_while_priority_is_in_force():
    run = bursts(Step(policy=Priority(first=["plus"]), when={"queued": NUMBER, "pool": "gpus"}))
    begins, ends = steps_of(run)["time"].iloc[:2]
    r = run.requests[run.requests["started"].notna()].sort_values("started")
    overtaken = r["arrived"].cummax() > r["arrived"]
    came = r["arrived"].where(~overtaken, r["arrived"].cummax())  # of whom the overtaken one let pass
    early, within = came < begins, came.between(begins, ends)
    assert overtaken[within].any()
    assert not overtaken[early].any()
    passed = r.loc[~overtaken & within]
    assert (passed["tier"] == "plus").any()


# Memory.


class Counts:
    """A policy of one's own with a memory: at each tick in force, one request more may queue."""

    def __init__(self) -> None:
        self.ticks = 0

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.ticks += 1
        controls.set(queue=100 + self.ticks)


def test_a_policy_begins_with_an_empty_memory_each_time():
    mine = Triggered(Counts(), watch=Watch(Trigger.model_validate(WHEN)))
    first, second = bursts(mine), bursts(mine)
    assert_alike(first, second)
    begins = steps_of(first).loc[steps_of(first)["new"] == 1, "time"]
    bounds = first.decisions[first.decisions["knob"] == "queue"]
    assert len(begins) >= 2
    assert set(steps_of(first)["policy"]) == {"Counts"}
    for begun in begins:
        assert set(bounds.loc[bounds["time"] == begun, "new"]) == {101}
    assert bounds["new"].replace(math.inf, 0).max() > 105


def test_degrading_under_load_forgets_how_long_it_was_calm():
    calm = DegradeUnderLoad(
        pool="gpus", above="20 s", below="5 s", calm="1 day"
    )  # never restores what it was asked for
    run = bursts(Step(policy=calm, when=WHEN))
    levels = run.decisions[run.decisions["knob"] == "level"]
    assert levels["policy"].isin(["degrade under load", "not set any more"]).all()
    assert levels.drop_duplicates("time")["new"].tolist()[:2] == [1, 0]
