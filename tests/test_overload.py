"""Promises of policies, under one surge and under steady overload: goodput, classes in order, calm in good times."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from sim.engine.simulate import simulate
from sim.model.gateway import REASONS
from sim.policies.playbook import KINDS, example
from sim.results.folder import TABLES
from sim.results.timeline import ATTEMPTS, IN_TIME, INTENTS, REASON
from sim.results.verdict import verdict
from sim.scenario.load import load
from sim.studies.policy_study import at_load, capacity, figures

CLAIM = [kind for kind, policy in KINDS.items() if policy.advice.keeps_goodput]
WELL_OFF = [
    kind for kind, policy in KINDS.items() if policy.advice.family in ("shedding", "queue", "sharing", "clients")
]
ALWAYS = ("shed",)  # refuses whatever the load is: that is what it is for
IN_ORDER = ["priority shedding", "reserved share", "utilisation shedding", "dagor"]


@pytest.mark.parametrize("kind", KINDS)
def test_engines_agree_on_every_policy_under_the_surge(kind):
    """With the example in its advice, so that no policy is without such a test."""
    sets = {"scale": "1/32", "horizon": "12 min", "demand.waves.1.from": "2 min", "record": "rows"}
    runs = [simulate(load("surge", sets=sets), [example(kind)], engine=e) for e in ("simpy", "compiled")]
    for table in TABLES:
        pd.testing.assert_frame_equal(*(getattr(run, table) for run in runs), check_exact=True, obj=table)
    assert len(runs[0].requests) > 200


@pytest.mark.parametrize("kind", CLAIM)
def test_a_policy_that_claims_protection_keeps_goodput_under_any_load(kind):
    """At two and ten times capacity at least 0.9 of what there is at capacity, all of it as asked."""
    at = {share: study_of(kind, share)["as_asked"] for share in (1.0, 2.0, 10.0)}
    assert at[1.0] > 0.9
    assert min(at[2.0], at[10.0]) >= 0.9 * at[1.0], at


@pytest.mark.parametrize("share", [2.0, 3.0])
def test_with_nothing_next_to_nobody_is_served_in_time(share):
    figures = study_of(None, share)
    assert figures["goodput"] < 0.05
    assert study_of(None, 1.0)["goodput"] > 0.9


@pytest.mark.parametrize("kind", [kind for kind in dict.fromkeys(CLAIM + WELL_OFF) if kind not in ALWAYS])
def test_nobody_is_refused_where_half_of_the_gpus_would_do(kind):
    found = study_of(kind, 0.5)
    assert found["refused"] == 0.0
    assert found["goodput"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("kind", IN_ORDER)
def test_in_no_bin_are_the_important_refused_more_often_than_the_others(kind):
    run = simulate(load("surge"), [example(kind)])
    counts = run.timeline.counts.sum(axis=2)  # (bins, tiers, what)
    asked = counts[:, :, ATTEMPTS].astype(float)
    refused = counts[:, :, REASON : REASON + len(REASONS) - 1].sum(axis=2)
    both = (asked > 0).all(axis=1)
    share = refused[both] / asked[both]
    pooled = refused[both].sum(axis=1) / asked[both].sum(axis=1)
    sigma = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / asked[both]).sum(axis=1))
    assert (share[:, 0] - share[:, 1] <= 4.5 * sigma).all()  # some hundred bins
    assert refused.sum() > 0


def test_with_priority_the_important_are_in_time_in_every_bin_and_the_others_are_not():
    counts = simulate(load("surge"), [example("priority")]).timeline.counts.sum(axis=2)
    wanted, in_time = counts[:, :, INTENTS], counts[:, :, IN_TIME]
    bins = (wanted > 0).all(axis=1)
    bins[-6:] = False  # too late to be in time before the horizon
    share = in_time[bins] / wanted[bins]
    assert (share[:, 0] >= share[:, 1]).all()
    assert share[:, 1].min() == 0


@pytest.mark.parametrize("share", [1.0, 2.0, 3.0])
def test_degrading_under_load_does_not_flap(share):
    """Down at once, up after a calm of two minutes: so many turns an hour at most for each of two tiers, of 1,440."""
    assert study_of("degrade under load", share)["turns"] <= 2 * 2 * (3600.0 / 120.0 + 1)


def test_nothing_at_all_does_not_recover_from_the_surge_and_a_bound_on_the_wait_does():
    surge = load("surge")
    nothing, bounded = simulate(surge, []), simulate(surge, [example("wait bound")])
    assert not verdict(nothing).life.alive
    assert verdict(nothing).overloaded_at_horizon
    assert not verdict(bounded).overloaded_at_horizon
    assert verdict(bounded).life.attainment > 2 * verdict(nothing).life.attainment


@cache
def study_of(kind: str | None, share: float) -> dict[str, float]:
    scenario = at_load(share)
    return figures(simulate(scenario, [] if kind is None else [example(kind)]), capacity(scenario))
