"""The knobs: what can be set, for whom, what is refused, and what the decision table is told."""

import math

import numpy as np
import pytest

from sim.controls import Controls
from sim.errors import BadInput
from sim.rules import KNOBS, QUOTA_KINDS, SLIDING_SLOTS, UNLIMITED


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
        ({"tiers": ["gold"], "shed": 1}, "tiers"),
        ({"features": ["chat"], "shed": 1}, "features"),
        ({"quota": SLIDING_SLOTS + 1, "kind": "sliding"}, "quota"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(controls, knobs, named):
    with pytest.raises(BadInput) as refused:
        controls.set(**knobs)
    assert refused.value.key == named


def test_a_waitlist_lets_in_at_a_rate(controls):
    for rate in (-1.0, math.nan):
        with pytest.raises(BadInput, match="waitlist"):
            controls.let_in(rate)


def test_a_sliding_quota_as_long_as_its_memory_is_fine(controls):
    controls.set(quota=SLIDING_SLOTS, kind="sliding")
    controls.set(quota=1000, kind="sliding counter")


def test_changes_name_the_knob_the_values_and_the_policy(controls):
    before = controls.knobs.copy()
    controls.policy = "shed"
    controls.set(tiers=["free"], features=["image"], shed=0.3)
    row = {"knob": "shed", "tier": "free", "feature": "image", "old": 0.0, "new": 0.3, "policy": "shed"}
    assert controls.changes(before) == [row]
    during = controls.knobs.copy()
    controls.open_all()
    assert controls.changes(during) == [{**row, "old": 0.3, "new": 0.0, "policy": "not set any more"}]
    assert controls.changes(np.array(controls.knobs)) == []
