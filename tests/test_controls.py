"""The knobs: what can be set, for whom, what is refused, what is put down; and telemetry, which the tables bear out."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.model.knobs import KNOBS, QUOTA_KINDS, SLIDING_SLOTS, UNLIMITED
from sim.policies.access import Waitlist
from sim.policies.shedding import QueueBound, Shed, WaitBound
from sim.results.run import Run
from tests import fleets
from tests.fleets import pool
from tests.traces import arriving


@pytest.fixture
def controls() -> Controls:
    return Controls(["free", "plus"], ["image", "video"])


def test_knobs_begin_wide_open(controls):
    assert controls.knobs.shape == (2, 2, len(KNOBS))
    assert (controls.knobs == UNLIMITED).all()
    assert controls.signup_rate == math.inf


def test_a_knob_is_set_for_everybody_or_for_those_named(controls):
    controls.set(shed=0.5)
    assert (controls.knobs[:, :, KNOBS.index("shed")] == 0.5).all()
    controls.set(tiers=["free"], features=["video"], shed=1)
    assert controls.knob("shed", "free", "video") == 1
    assert [controls.knob("shed", *at) for at in (("free", "image"), ("plus", "image"), ("plus", "video"))] == [0.5] * 3


def test_one_name_may_stand_for_a_list(controls):
    controls.set(tiers="plus", priority=1)
    assert controls.knob("priority", "plus", "image") == 1
    assert controls.knob("priority", "free", "image") == 0


def test_the_later_lies_on_top_of_the_earlier(controls):
    controls.set(rate=1.0, burst=3)
    controls.set(rate=2.0)
    assert (controls.knob("rate", "free", "image"), controls.knob("burst", "free", "image")) == (2, 3)


def test_open_all_forgets_everything(controls):
    controls.set(open=0, queue=5)
    controls.let_in(1.0)
    controls.open_all()
    assert (controls.knobs == UNLIMITED).all()
    assert controls.signup_rate == math.inf


def test_a_slice_has_its_part_of_the_queue_and_of_the_waitlist():
    controls = Controls(["free"], ["image"], scale=0.01)
    controls.set(queue=500, wait=30, rate=3)
    controls.let_in(200.0)
    assert controls.knob("queue", "free", "image") == 5
    assert controls.signup_rate == 2
    assert (controls.knob("wait", "free", "image"), controls.knob("rate", "free", "image")) == (30, 3)


def test_a_slice_changes_no_other_knob():
    whole, part = (Controls(["free"], ["image"], scale=scale) for scale in (1.0, 0.5))
    for name in KNOBS.names:
        for controls in (whole, part):
            controls.set(**{name: "rolling" if name == "kind" else 1})
    differing = np.argwhere(whole.knobs != part.knobs)
    assert [KNOBS.names[k] for _, _, k in differing] == ["queue", "limit", "ration"]


def test_a_limit_can_be_lifted(controls):
    controls.set(queue=5, wait=10, rate=1)
    controls.set(queue=math.inf, wait=math.inf, rate=math.inf)
    assert (controls.knobs == UNLIMITED).all()


@pytest.mark.parametrize("kind", QUOTA_KINDS)
def test_the_kind_of_a_quota_is_set_by_name(controls, kind):
    controls.set(quota=3, kind=kind)
    assert controls.knob("kind", "free", "image") == QUOTA_KINDS.index(kind)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"thrust": 1}, "thrust"),
        ({"shed": 1.5}, "shed"),
        ({"open": -0.1}, "open"),
        ({"open": math.nan}, "open"),
        ({"rate": -1}, "rate"),
        ({"kind": "weekly"}, "kind"),
        ({"shed": None}, "shed"),
        ({"shed": "much"}, "shed"),
        ({"quota": 3, "window": 0}, "window"),
        ({"tiers": ["gold"], "shed": 1}, "tiers"),
        ({"features": ["chat"], "shed": 1}, "features"),
        ({"tiers": "gold", "shed": 1}, "tiers"),
        ({"quota": SLIDING_SLOTS + 1, "kind": "sliding"}, "quota"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(controls, knobs, named):
    with pytest.raises(BadInput) as refused:
        controls.set(**knobs)
    assert refused.value.key == named


def test_a_waitlist_lets_in_at_a_rate(controls):
    for rate in (-1.0, math.nan):
        with pytest.raises(BadInput, match="signup_rate"):
            controls.let_in(rate)


def test_a_sliding_quota_as_long_as_its_memory_is_fine(controls):
    controls.set(quota=SLIDING_SLOTS, kind="sliding")
    assert controls.knob("quota", "plus", "video") == SLIDING_SLOTS
    controls.set(quota=1000, kind="sliding counter")
    assert controls.knob("quota", "plus", "video") == 1000


def test_a_quota_too_long_to_slide_is_refused_in_whatever_order_it_is_set(controls):
    controls.set(quota=SLIDING_SLOTS + 1)
    with pytest.raises(BadInput, match="sliding counter"):
        controls.set(tiers=["plus"], kind="sliding")


def test_changes_name_the_knob_the_values_and_the_policy(controls):
    before = controls.copies()
    controls.policy = "shed"
    controls.set(tiers=["free"], features=["image"], shed=0.3)
    row = {"knob": "shed", "tier": "free", "feature": "image", "old": 0.0, "new": 0.3, "policy": "shed"}
    assert controls.changes(before) == [row]
    during = controls.copies()
    controls.open_all()
    assert controls.changes(during) == [{**row, "old": 0.3, "new": 0.0, "policy": "not set any more"}]
    assert controls.changes(controls.copies()) == []


# Telemetry.


class Notes:
    """A policy that writes down what it is shown."""

    seen: list[Telemetry]

    def __init__(self):
        self.seen = []

    def __deepcopy__(self, memo):
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen.append(telemetry)


def test_telemetry_counts_since_the_tick_before():
    notes = Notes()
    arriving([0, 1, 2, 12], [notes, WaitBound(longest="15 s")], control_tick="10 s", horizon="25 s")
    first, second, third = notes.seen
    assert (first.now, first.arrivals.sum(), first.signups) == (0, 0, 0)
    assert (second.now, second.arrivals.tolist(), second.signups) == (10, [[3]], 3)
    # At 10 s the GPU has finished one and started the next, for it comes before the tick.
    assert (second.served.tolist(), second.started.tolist(), second.waited.tolist()) == ([[1]], [[2]], [[9]])
    only = second.pools["gpus"]
    assert (only.gpus, only.busy, only.queued, only.expected_wait) == (1, 1, 1, 10)
    assert (third.arrivals.tolist(), third.served.tolist(), third.waited.tolist()) == ([[1]], [[1]], [[18]])


def test_who_has_left_unnoticed_still_counts_in_the_queue_and_who_was_noticed_does_not():
    impatient = {"patience": {"kind": "constant", "value": "15 s"}}

    def at_ticks(notices: bool) -> list[tuple[int, int, float]]:
        notes, serving = Notes(), {"notices_leaving": notices}
        arriving([0, 1, 2, 3], [notes], behaviour=impatient, serving=serving, control_tick="10 s", horizon="31 s")
        return [(p.busy, p.queued, p.expected_wait) for p in (t.pools["gpus"] for t in notes.seen)]

    # The last three leave at 16, 17 and 18 s, the first of them out of its service, which goes on until 20 s.
    assert at_ticks(False) == [(0, 0, 0), (1, 2, 20), (1, 1, 10), (1, 0, 0)]
    assert at_ticks(True) == [(0, 0, 0), (1, 2, 20), (0, 0, 0), (0, 0, 0)]


def test_a_pools_expected_wait_goes_by_its_own_full_batches():
    notes = Notes()
    features = {
        "image": {"share": 0.5, "spec": {"model": "crawling"}},
        "edit": {"share": 0.5, "pool": "spare", "slo": "60 s", "spec": {"model": "crawling"}},
    }
    pools = {"gpus": {"gpus": 1, "max_batch": 1}, "spare": {"gpus": 1, "max_batch": 4}}
    arriving(np.arange(40) * 0.5, [notes], features=features, pools=pools, control_tick="30 s")
    full = notes.seen[1].pools  # all have come, and either GPU has a batch of one
    assert full["gpus"].queued + full["spare"].queued == 38
    assert full["gpus"].expected_wait == 80 * full["gpus"].queued
    assert full["spare"].expected_wait == 140 / 4 * full["spare"].queued


def busy_run(notes: Notes, notices: bool) -> Run:
    """Two tiers, two features, a waitlist, refusals and people who leave; no two things happen at one instant."""
    n = 300
    rng = np.random.default_rng(1)
    return arriving(
        np.sort(rng.uniform(0, 400, n)).tolist(),
        [notes, Waitlist(rate="30 per min"), QueueBound(requests=12), Shed(share=0.1)],
        tiers=rng.choice(["free", "plus"], n).tolist(),
        ages=rng.choice([0, 3600], n).tolist(),
        features={
            "image": {"share": 0.5},
            "edit": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}},
        },
        pools={"gpus": {"gpus": 3, "max_batch": 2}},
        behaviour={
            "requests": {"kind": "fixed", "requests": 2},
            "patience": {"kind": "exponential", "mean": "40 s"},
            "retry": {"at_most": 2, "probability": 0.7},
            "waitlist_patience": {"kind": "exponential", "mean": "60 s"},
        },
        serving={"noise": {"kind": "lognormal"}, "notices_leaving": notices},
        control_tick="20 s",
    )


def by_tier_and_feature(rows: pd.DataFrame, chosen: pd.Series) -> list[list[int]]:
    """How many of the chosen rows there are of each tier and feature."""
    return pd.crosstab(rows["tier"], rows["feature"], values=chosen, aggfunc="sum").to_numpy().tolist()


@pytest.mark.parametrize("notices", [False, True])
def test_telemetry_adds_up_to_the_tables(notices):
    notes = Notes()
    run = busy_run(notes, notices)
    last, rows, users = notes.seen[-1].now, run.requests, run.users
    assert {"served", "refused", "abandoned"} <= set(rows["outcome"].unique())

    before, started = rows["arrived"] < last, rows["started"] < last
    for field, chosen in {
        "arrivals": before,
        "refused": before & (rows["outcome"] == "refused"),
        "served": (rows["outcome"] == "served") & (rows["finished"] < last),
        "started": started,
    }.items():
        seen = sum(getattr(t, field) for t in notes.seen)
        assert seen.tolist() == by_tier_and_feature(rows, chosen), field
    waited = sum(t.waited.sum() for t in notes.seen)
    assert waited == pytest.approx((rows["started"] - rows["arrived"])[started].sum())
    assert sum(t.signups for t in notes.seen) == (users["newcomer"] & (users["arrives"] < last)).sum()


@pytest.mark.parametrize("notices", [False, True])
def test_telemetry_shows_the_service_as_the_tables_have_it(notices):
    notes = Notes()
    run = busy_run(notes, notices)
    granted = run.requests[run.requests["outcome"] != "refused"].fillna({"started": math.inf, "left": math.inf})
    users = run.users.fillna({"admitted": math.inf, "left": math.inf})
    gone = granted["left"] if notices else math.inf
    for seen in notes.seen:
        now, gpus = seen.now, seen.pools["gpus"]
        waiting = (granted["arrived"] < now) & (granted["started"] > now) & (gone > now)
        assert gpus.queued == waiting.sum()
        work = granted["spec"].map({"slow/1024px/28st": 10 / 2, "quick/1024px/28st": 4 / 2}).astype(float)
        assert gpus.expected_wait == pytest.approx(work[waiting].sum() / 3)
        assert gpus.busy == ((run.batches["started"] < now) & ~(run.batches["finished"] <= now)).sum()
        at_the_gate = (users["arrives"] < now) & (users["admitted"] >= now) & (users["left"] > now)
        assert seen.waitlisted == (users["newcomer"] & at_the_gate).sum()
    assert max(seen.waitlisted for seen in notes.seen) > 5
    assert max(seen.pools["gpus"].queued for seen in notes.seen) > 5


def test_utilisation_is_the_share_of_the_gpus_in_service_that_are_busy():
    assert pool(4, busy=3, queued=9).utilisation == 0.75


def test_utilisation_is_at_most_all_while_gpus_that_left_the_service_finish_their_batches():
    assert pool(2, busy=3).utilisation == 1


def test_without_gpus_utilisation_is_all_or_nothing_as_somebody_waits_or_not():
    assert pool(0, busy=0).utilisation == 0
    assert pool(0, busy=0, queued=3).utilisation == 1
    assert pool(0, busy=1).utilisation == 1  # its last GPU has been taken out of service


class Slow:
    """A policy that multiplies the seconds of every batch."""

    def __init__(self, slowdown: float):
        self.slowdown = slowdown

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        controls.set_pool(slowdown=self.slowdown)


def test_a_gpu_that_runs_at_half_speed_is_busy_like_any_other():
    """A batch of 10 s every 20 s keeps one of two GPUs busy half of the time; at half speed, all of the time."""

    def busy(slowdown: float) -> float:
        notes = Notes()
        scenario: dict[str, Any] = {
            "pools": {"gpus": {"gpus": 2, "max_batch": 1}},
            "control_tick": "5 s",
            "horizon": "201 s",
        }
        arriving(np.arange(0.5, 200, 20), [Slow(slowdown), notes], **scenario)
        return float(np.mean([t.pools["gpus"].utilisation for t in notes.seen[1:]]))

    assert busy(1.0) == 0.25
    assert busy(2.0) == pytest.approx(0.5, abs=0.02)


def test_a_policy_that_is_asked_for_an_unknown_pool_says_which_there_are():
    telemetry = fleets.seen(0.0, gpus=pool(4), spare=pool(1))
    assert telemetry.pool("spare").gpus == 1
    with pytest.raises(BadInput, match="gpus, spare"):
        telemetry.pool("cellar")


def test_knobs_of_pools_and_retries_are_checked_and_their_turns_are_decisions():
    controls = Controls(["free"], ["image"], scale=0.5, pools={"gpus": 4, "spare": 4})
    before = controls.copies()
    controls.policy = "me"
    controls.set_pool(["spare"], order="last in first out", expire=30)
    controls.set_retries(budget="success", ratio=0.1, bucket=10)
    rows = [(row["knob"], row["old"], row["new"], row["policy"], row["tier"]) for row in controls.changes(before)]
    assert rows == [
        ("spare: order", 0.0, 1.0, "me", None),
        ("spare: expire", math.inf, 30.0, "me", None),
        ("retry budget", 0.0, 1.0, "me", None),
        ("retry ratio", 0.0, 0.1, "me", None),
        ("retry bucket", 0.0, 5.0, "me", None),
    ]
    during = controls.copies()
    controls.open_all()
    assert {row["policy"] for row in controls.changes(during)} == {"not set any more"}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (lambda c: c.set_pool(["cellar"], expire=1), "no such pool"),
        (lambda c: c.set_pool(expired=1), "no such knob"),
        (lambda c: c.set_pool(order="random"), "cannot be set to that"),
        (lambda c: c.set_pool(interval=0), "cannot be set to that"),
        (lambda c: c.set_retries(budgets=1), "no such knob"),
        (lambda c: c.set_retries(budget="always"), "cannot be set to that"),
        (lambda c: c.set_retries(ratio=-1), "cannot be set to that"),
    ],
)
def test_a_knob_of_a_pool_or_of_retries_cannot_be_set_to_anything(turn, message):
    with pytest.raises(BadInput, match=message):
        turn(Controls(["free"], ["image"], pools={"gpus": 4}))


def test_work_is_not_lost_where_it_could_not_wait_again():
    controls = Controls(["free"], ["image"], pools={"gpus": 4, "spare": 4}, apart=["spare"])
    controls.set_pool("gpus", lost=1)
    for pools in ("spare", None):
        with pytest.raises(BadInput, match="work cannot be lost"):
            controls.set_pool(pools, lost=1)
    controls.set_pool(lost=0)
