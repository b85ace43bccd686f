"""Retry storms: the four rules give the figures of theory, and a run that stays down is recognised as such."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.policies.playbook import KINDS, example
from sim.results.manifest import behaviour_entry
from sim.results.metrics import outcomes, peak_queue
from sim.results.retry_rules import (
    LETS_ALL_IN,
    REFUSES_NOBODY,
    escape_sentence,
    may_refuse,
    rule_sentences,
    rules,
    stable_sentence,
)
from sim.results.storms import Flow, down_since, recovered, stay_of, stays
from sim.results.verdict import sentences, verdict, warnings
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.wording import amount, duration
from tests.studies.overload import spikes
from tests.studies.overload.spikes import experiment_a, experiment_d
from tests.tables import attempt, run_of

BUDGET = {"policy": {"kind": "retry budget", "ratio": 0.1, "bucket": 10}}


@pytest.fixture(scope="module")
def stuck():
    """Experiment D, which does not recover."""
    return simulate(experiment_d())


@pytest.fixture(scope="module")
def storm():
    return load("retry-storm")


def changed(scenario, **keys):
    """A scenario with other values of some top keys."""
    document = {**scenario.document, **keys}
    return Scenario.from_dict(document, profiles=scenario.used_profiles)


# The four rules.


def test_the_rules_of_experiment_d_are_those_of_theory(stuck):
    (found,) = rules(stuck)
    assert (found.capacity, found.seconds, found.timeout, found.retries) == (16, 4, 60, 3)
    assert found.stable == 4  # C / (1 + r)
    assert found.bound == 896  # C (timeout - S)
    assert found.rate == pytest.approx(8, rel=0.05)
    assert found.escape == found.rate * 4 / 16  # lam (1 + r) / C, about 2
    assert found.recovery == pytest.approx(2880 / (16 - found.rate))  # K / (C - lam)


def test_an_ask_that_may_not_be_tried_again_counts_for_less(stuck):
    behaviour = stuck.manifest["behaviour"]
    half = {**behaviour, "retries": {"at_most": 2, "probability": 0.2, "after_leaving": 0.5}}
    (found,) = rules(replace(stuck, manifest={**stuck.manifest, "behaviour": half}))
    assert found.retries == 0.5 + 0.25


def test_endless_patience_needs_no_bound(stuck):
    behaviour = {**stuck.manifest["behaviour"], "median_patience": None}
    endless = replace(stuck, manifest={**stuck.manifest, "behaviour": behaviour})
    assert rules(endless)[0].bound == math.inf
    assert any("any queue is short enough" in line for line in rule_sentences(endless))


def test_where_nobody_tries_again_there_is_nothing_to_say():
    calm = simulate(load("steady", sets={"horizon": "20 min", "behaviour.retry.at_most": 0}))
    assert rule_sentences(calm) == []


def quiet(**settings):
    """Ten minutes of one request a second to 4 GPUs of 2 s, as settings change it."""
    document = {
        "title": "quiet",
        "start": "2025-01-01",
        "horizon": "10 min",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "two-seconds"}}},
        "pools": {"gpus": {"gpus": 4}},
        "demand": [{"kind": "steady", "rate": "1 per second"}],
        "serving": {"noise": {"kind": "none"}},
        "playbooks": {"none": []},
    }
    return Scenario.from_dict({**document, **settings})


ENDLESS = {"patience": {"kind": "never"}}
PROGRAM = {"kind": "clients", "clients": 10, "rate": "6 per min", "skew": 0}
LIMIT = {"playbooks": {"limit": [{"policy": {"kind": "rate limit", "rate": "1 per hour", "burst": 1}}]}}


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (quiet(), True),
        (quiet(behaviour=ENDLESS), False),
        (quiet(behaviour=ENDLESS, playbooks={"more": [{"policy": {"kind": "degrade"}}]}), False),
        (quiet(behaviour=ENDLESS, **LIMIT), True),
        (quiet(behaviour={"retry": {"probability": 0, "after_leaving": 0}}), False),
        (quiet(behaviour={"retry": {"at_most": 0}}), False),
        (quiet(behaviour={"retry": {"after_leaving": 0}}), False),
        (quiet(behaviour={"retry": {"after_leaving": 0}}, **LIMIT), True),
        (quiet(demand=[PROGRAM]), False),
        (quiet(demand=[{**PROGRAM, "retries": True}]), True),
        (quiet(playbooks={"once": [*LIMIT["playbooks"]["limit"], {"policy": {"kind": "backoff", "most": 0}}]}), False),
    ],
    ids=[
        "impatient people",
        "endless patience, no limits",
        "endless patience, cheaper images",
        "endless patience, a limit",
        "probability 0",
        "at most 0",
        "only refusals retried, none possible",
        "only refusals retried, a limit",
        "programs without retries",
        "programs with retries",
        "a policy that forbids retries",
    ],
)
def test_the_rules_are_given_only_where_a_request_can_fail_and_somebody_tries_again(scenario, said):
    assert bool(rule_sentences(simulate(scenario))) == said


def test_a_pool_whose_requests_are_all_of_programs_without_retries_has_no_rules():
    features = {
        "image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "two-seconds"}},
        "batch": {"share": 0, "pool": "programs", "slo": "1 min", "spec": {"model": "two-seconds"}},
    }
    run = simulate(
        quiet(
            features=features,
            pools={"gpus": {"gpus": 4}, "programs": {"gpus": 4}},
            demand=[{"kind": "steady", "rate": "1 per second"}, {**PROGRAM, "feature": "batch"}],
        )
    )
    assert [found.pool for found in rules(run)] == ["gpus"]


def test_the_rules_on_an_end_say_what_the_run_did(stuck):
    """Experiment D never works its queue off; shedding does, in the time that the run's table of queues has."""
    (found,) = rules(stuck)
    assert found.held
    assert math.isnan(found.drain)
    assert "was not worked off by the horizon" in rule_sentences(stuck)[-1]
    said = f"the longest one, K = {amount(found.queue)}, would take"  # it seemed to be the one that was left
    assert said in rule_sentences(stuck)[-1]
    shed = simulate(load("retry-storm", sets={"scale": "1/4"}), "shed")
    (again,) = rules(shed)
    assert again.drain == peak_queue(shed, "gpus")["drain"]
    assert rule_sentences(shed)[-1] == f"  4. In this run the longest queue was worked off in {duration(again.drain)}."


def test_a_fleet_that_has_gone_home_does_not_set_the_rules():
    """20 GPUs of 2 s serve 10 a second; after the last request the fleet shrinks to 1, and C stays what it was."""
    home = {"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 1}, "from": "6 min"}
    demand = [{"kind": "steady", "rate": "4 per second", "lasting": "5 min"}]
    once = {"requests": {"kind": "fixed", "requests": 1}}
    run = simulate(
        quiet(pools={"gpus": {"gpus": 20}}, demand=demand, playbooks={"home": [home]}, horizon="2 h", behaviour=once)
    )
    (found,) = rules(run)
    assert found.capacity == pytest.approx(10)


def test_a_storm_that_the_run_did_not_end_is_not_said_to_end_by_itself(stuck):
    (found,) = rules(stuck)
    tame = replace(found, retries=0.5)
    assert tame.escape < 1
    assert escape_sentence(tame).endswith("this run's did not.")
    assert escape_sentence(replace(tame, held=False)).endswith("was not worked off.")
    assert escape_sentence(replace(tame, held=False, drain=60.0)).startswith("At this load a storm ends by itself")
    assert stable_sentence(tame).endswith("yet this run was: some of C was lost.")


def test_a_service_that_is_down_when_demand_ends_has_not_recovered():
    """Nobody asks in the last half of the run, and nobody was served before: that is no recovery."""
    asked = [attempt(n / 4, user=n) for n in range(100)]
    served = [{**row, **attempt(row["arrived"], user=n, started=50.0, finished=51.0)} for n, row in enumerate(asked)]
    assert not recovered(run_of(*asked))
    assert not recovered(run_of(*served)), "served when demand was over"


def test_the_rules_are_said_with_their_figures(stuck):
    said = "\n".join(rule_sentences(stuck))
    for words in ("C = 16", "S = 4 s", "r = 3 times", "= 4 first requests per second", "= 896 requests", "2.88 k"):
        assert words in said


def test_the_rules_count_at_full_scale():
    whole, slice_of = (simulate(load("retry-storm", sets={"scale": scale})) for scale in (1, "1/2"))
    assert rules(whole)[0].capacity == rules(slice_of)[0].capacity
    assert rules(whole)[0].queue == pytest.approx(rules(slice_of)[0].queue, rel=0.01)


def test_a_saved_run_says_the_same(stuck, tmp_path):
    from sim.results.run import load_run

    assert rule_sentences(load_run(stuck.save(tmp_path / "run"))) == rule_sentences(stuck)


def test_both_records_of_one_run_say_the_same(storm):
    counted, written = (simulate(load("retry-storm", sets={"record": kind})) for kind in ("timeline", "rows"))
    from_rows = replace(written, timeline=None)
    assert stays(counted)[0].since == stays(from_rows)[0].since
    assert stays(counted)[0].wasted == pytest.approx(stays(from_rows)[0].wasted, rel=1e-9)
    assert rules(counted)[0].rate == rules(from_rows)[0].rate


# When a storm began, and when it is over, on ten bins written by hand; a bin of 40 first requests is below capacity.


def flow_of(served):
    """A pool with 40 first requests and 160 attempts in each bin of 10 s, of which this many are served."""
    bins = np.ones(len(served))
    return Flow(
        np.arange(len(served) + 1) * 10.0,
        asks=40 * bins,
        attempts=160 * bins,
        served=np.array(served, dtype=float),
        first=50 * bins,
        offered=200 * bins,
        capacity=100 * bins,
        spent=100 * bins,
        wasted=90 * bins,
    )


def test_a_storm_lasts_through_two_healthy_bins_and_begins_after_three():
    assert down_since(flow_of([40, 0, 0, 40, 40, 0, 0, 0, 0, 0])) == 10
    assert down_since(flow_of([40, 0, 40, 40, 40, 0, 0, 0, 0, 0])) == 50


@pytest.mark.parametrize(("served", "down"), [(35, True), (36, False)])
def test_a_pool_is_down_while_it_serves_less_than_nine_of_ten_first_requests(served, down):
    """Of 40 first requests 36 are nine tenths; the last tenth of ten bins is the last one."""
    found = stay_of("gpus", flow_of([0] * 9 + [served]))
    assert (found is not None) == down
    assert down_since(flow_of([40] * 5 + [served] * 5)) == (50 if down else 90)


@pytest.mark.parametrize(("served", "well"), [(18, False), (19, True)])
def test_a_run_has_recovered_if_it_serves_more_than_nine_of_ten_first_requests(served, well):
    """Twenty requests in the last tenth, the last 10 s: 18 are nine tenths."""
    asked = [attempt(90 + n / 4, user=n) for n in range(20)]
    done = [{**row, **attempt(row["arrived"], user=n, started=90.0, finished=99.0)} for n, row in enumerate(asked)]
    run = run_of(*done[:served], *asked[served:])
    assert recovered(run) == well


# A run that stays down.

OTHERS = [
    ("the queue bound below C (timeout - S)", experiment_d(860)),
    ("a retry budget", experiment_d(policies=[BUDGET])),
    ("a load below C / (1 + r)", experiment_d(base=3.5)),
    ("a short queue", experiment_a(35)),
    (
        "shed for a while",
        load("retry-storm", sets={"playbooks": {"shed": load("retry-storm").document["playbooks"]["shed"]}}),
    ),
]


@pytest.mark.parametrize("scenario", [s for _, s in OTHERS], ids=[name for name, _ in OTHERS])
def test_a_run_that_recovers_raises_no_alarm(scenario):
    for seed in (1, 2):
        run = simulate(scenario, seed=seed)
        assert spikes.recovered(run)
        assert recovered(run)
        assert stays(run) == []


@pytest.mark.parametrize(
    ("scenario", "spike_ends"),
    [(experiment_d(), 1500), (experiment_d(960), 1500), (experiment_a(), 900), (experiment_a(lasting=60.0), 360)],
)
def test_a_run_that_does_not_recover_stays_down_since_the_spike_ended(scenario, spike_ends):
    for seed in (1, 2):
        run = simulate(scenario, seed=seed)
        assert not spikes.recovered(run)
        (found,) = stays(run)
        assert found.since == pytest.approx(spike_ends, abs=3 * run.timeline.width)
        assert found.load == pytest.approx(0.5, abs=0.05)
        assert found.served < 0.1


@pytest.mark.parametrize("bound", [60, 80])
def test_the_alarm_is_raised_where_the_run_has_not_recovered_and_nowhere_else(bound):
    runs = [simulate(experiment_a(bound), seed=seed) for seed in range(1, 7)]
    assert [bool(stays(run)) for run in runs] == [not spikes.recovered(run) for run in runs]


def test_too_many_first_asks_are_another_matter():
    run = simulate(experiment_d(base=20.0))
    assert not recovered(run)
    assert stays(run) == []


def test_a_queue_that_is_being_worked_off_is_no_storm(storm):
    """Ten minutes after the spike the queue is long, and everybody in it is patient."""
    patient = {**storm.document["behaviour"], "patience": {"kind": "constant", "value": "1 h"}}
    run = simulate(changed(storm, behaviour=patient, horizon="27 min", always=[]))
    assert run.timeline.peaks[0, 3] > 1000  # waiting at the horizon
    assert stays(run) == []


def test_refusing_most_people_on_purpose_is_no_storm(storm):
    closed = [{"policy": {"kind": "shed", "share": "80 %"}}]
    run = simulate(changed(storm, playbooks={"closed": closed}))
    assert not recovered(run)
    assert stays(run) == []


def test_the_verdict_warns(stuck):
    v = verdict(stuck)
    (said,) = [line for line in warnings(v) if line.startswith("STAYED DOWN")]
    assert "since Wed 01 Jan 2025 00:2" in said
    assert "of the capacity of pool 'gpus', yet 0 % of them are served" in said
    assert float(re.search(r"each request is made (\S+) times", said)[1]) == pytest.approx(4, rel=0.01)
    assert said in sentences(v)


def test_patience_in_the_rules_is_the_median_over_the_people_of_all_tiers():
    """Nine in ten never leave and one in ten after 2 s: half of all people are endlessly patient, but not all."""
    mixed = {
        "free": {"share": 0.9, "patience": {"kind": "never"}},
        "paid": {"share": 0.1, "patience": {"kind": "constant", "value": "2 s"}},
    }
    facts = behaviour_entry(quiet(tiers=mixed))
    assert (facts["median_patience"], facts["impatient"]) == (None, True)
    halves = {
        "a": {"share": 0.5, "patience": {"kind": "uniform", "low": "0 s", "high": "10 s"}},
        "b": {"share": 0.5, "patience": {"kind": "uniform", "low": "10 s", "high": "30 s"}},
    }
    assert behaviour_entry(quiet(tiers=halves))["median_patience"] == pytest.approx(10, abs=0.1)
    steep = {**halves, "a": {**halves["a"], "share": 0.2}, "b": {**halves["b"], "share": 0.8}}
    assert behaviour_entry(quiet(tiers=steep))["median_patience"] == pytest.approx(17.5, abs=0.1)  # 0.2 + 0.8 (t-10)/20


@pytest.mark.parametrize("kind", [*LETS_ALL_IN, *(k for k, c in KINDS.items() if c.advice.family in REFUSES_NOBODY)])
def test_a_policy_that_refuses_nobody_adds_no_retries_of_refusals(kind):
    """Twice the load that the fleet can serve: no attempt is refused, so only those who left try again."""
    surge = load("surge", sets={"horizon": "50 min", "playbooks": {kind: [example(kind).model_dump(mode="json")]}})
    try:
        run = simulate(surge, kind)
    except BadInput:
        pytest.skip("its example needs more of the scenario")
    assert outcomes(run)["refused"].iloc[0] == 0
    assert not may_refuse(run)
