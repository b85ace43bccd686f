"""Retry storms: the four rules give the figures of theory, and a run that stays down is recognised as such."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.results.metrics import peak_queue
from sim.results.retry_rules import escape_sentence, rule_sentences, rules, stable_sentence
from sim.results.storms import Flow, down_since, recovered, stay_of, stays
from sim.results.verdict import sentences, verdict, warnings
from sim.scenario.load import load
from sim.scenario.scenario import Scenario
from sim.studies.rescue import Rescue, delayed, rescue, turning_point
from sim.studies.rescue_sentences import sentences as sentences_of
from sim.studies.storm_map import at, storm_map
from sim.wording import duration
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
        (
            quiet(
                playbooks={
                    "once": [*LIMIT["playbooks"]["limit"], {"policy": {"kind": "backoff", "most": 0}}],
                }
            ),
            False,
        ),
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
    assert "each request is made 4 times" in said
    assert said in sentences(v)


# The point of no return.


def test_a_delayed_playbook_does_nothing_before_its_instant(storm):
    late = delayed(storm, "shed", 1500.0)
    (step,) = late.playbooks["shed"]
    assert (storm.seconds(step.from_), storm.seconds(step.until)) == (1500, 2400)
    assert delayed(storm, "shed", 600.0) == storm  # its own 'from' is later
    assert delayed(storm, "shed", 2400.0).playbooks["shed"] == []  # over before it begins
    assert late.always == storm.always


def test_a_retry_budget_ends_the_storm_at_any_time_and_loses_more_the_later_it_begins(storm):
    found = rescue(storm, "budget", seeds=1, by=600.0, processes=1)
    assert found.shares["recovered"].tolist()[:-1] == [1] * (len(found.shares) - 1)
    assert found.shares["recovered"].iloc[-1] == 0
    in_the_storm = found.shares[found.shares["begins"] > 25 * 60]
    assert in_the_storm["lost"].is_monotonic_increasing
    assert found.trigger == "'the spike'"


def test_shedding_that_ends_at_forty_minutes_must_begin_early_enough(storm):
    found = rescue(storm, "shed", seeds=1, by=120.0, processes=1)
    assert 25 * 60 < found.latest < found.too_late < 40 * 60
    assert found.too_late - found.latest <= 120
    by_time = found.shares.set_index("begins")["recovered"]
    for begins, saved in ((found.latest, 1), (found.too_late, 0)):
        late = delayed(storm, "shed", begins)
        assert by_time[begins] == saved == float(recovered(simulate(late, "shed")))
    assert sentences_of(found)[0].startswith("UNTIL Wed 01 Jan 2025 09:")


def test_without_a_rescue_the_storm_loses_what_comes_in_time_without_the_spike(storm):
    """Eight a second for 80 minutes are in time without the spike; from minute 16 on nearly none are with it."""
    found = rescue(storm, "shed", seeds=1, by=3600.0, processes=1)
    begin, end = found.trouble
    assert begin == pytest.approx(16 * 60, abs=120)
    assert end == storm.horizon
    assert found.at_stake == pytest.approx(8 * (end - begin), rel=0.02)
    assert found.shares["lost"].iloc[-1] == pytest.approx(8 * (end - begin), rel=0.1)


def test_a_playbook_that_saves_nothing_and_a_run_that_needs_none_are_said(storm):
    useless = changed(storm, playbooks={"p": [{"policy": {"kind": "expiry", "after": "60 s", "foresight": False}}]})
    assert sentences_of(rescue(useless, "p", seeds=1, by=600.0, processes=1))[0].startswith("NEVER: 'p'")
    no_spike = storm.with_(**{"demand.waves.1.times": 0})
    assert sentences_of(rescue(no_spike, "lifo", seeds=1, by=600.0, processes=1))[0].startswith("NOTHING TO SAVE")


def outage(*, lasting: str, horizon: str, **settings):
    """Half a request a second for 50 h, 20 GPUs of 2 s, and an outage of all of them from hour 6."""
    return Scenario.from_dict(
        {
            "title": "an outage",
            "start": "2025-01-01",
            "horizon": horizon,
            "record": "timeline",
            "control_tick": "30 min",
            "tiers": {"all": {"share": 1}},
            "features": {
                "image": {"share": 1, "pool": "gpus", "slo": "1 min", "spec": {"model": "two-seconds"}},
            },
            "pools": {"gpus": {"gpus": 20}},
            "demand": [{"kind": "steady", "rate": "0.02 per second", "lasting": "50 h"}],
            "behaviour": {
                "requests": {"kind": "fixed", "requests": 1},
                "returns": {"kind": "power law", "at_one_day": 0},
            },
            "serving": {"noise": {"kind": "none"}},
            "always": [
                {
                    "policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 0},
                    "from": "6 h",
                    "until": lasting,
                }
            ],
            "playbooks": {
                "spare GPUs": [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 20}}],
                "shed": [{"policy": {"kind": "shed", "share": "50 %"}}],
            },
            **settings,
        }
    )


@pytest.mark.parametrize("horizon", ["48 h", "60 h", "8 days"])
def test_an_outage_is_to_be_saved_however_long_after_it_and_after_all_demand_the_run_ends(horizon):
    """42 h without a GPU lose what was wanted in them: 0.02 x 42 x 3600 images. The last tenth of the time is calm."""
    found = rescue(outage(lasting="48 h", horizon=horizon), "spare GPUs", seeds=1, by=4 * 3600.0, processes=1)
    assert found.shares["lost"].iloc[-1] == pytest.approx(0.02 * 42 * 3600, rel=0.1)
    assert found.shares["lost"].iloc[0] == 0
    assert 6 * 3600 < found.latest < 30 * 3600
    assert found.trigger == "'scheduled capacity'"
    begun, lost = found.shares["begins"], found.shares["lost"]
    half = begun[lost <= 0.5 * lost.max()].max()
    assert found.latest == half, "half of what it can save is saved when it begins halfway through the outage"


def test_a_short_outage_in_a_long_run_is_something_to_save():
    """Four hours in eight days are 2 % of the time, and all that was wanted in them is lost."""
    found = rescue(outage(lasting="10 h", horizon="8 days"), "shed", seeds=1, by=86400.0, processes=1)
    assert sentences_of(found)[0].startswith("NEVER: 'shed'")


def test_a_stated_share_is_the_standard_where_one_is_given():
    scenario = outage(lasting="48 h", horizon="60 h")
    strict = rescue(scenario, "spare GPUs", seeds=1, by=3600.0, keep=0.95, processes=1)
    assert strict.latest == pytest.approx((6 + 0.05 * 42) * 3600, abs=1.5 * 3600)
    with pytest.raises(BadInput, match="part of the images"):
        rescue(scenario, "spare GPUs", seeds=1, keep=1.5)


def test_a_run_without_a_trigger_is_judged_by_the_scenarios_definition_of_alive(storm):
    everyday = {"kind": "steady", "rate": "24 per second", "lasting": "20 min"}
    calm = changed(storm, demand=[everyday], horizon="30 min", always=[])
    found = rescue(calm, "lifo", seeds=1, by=3600.0, processes=1)
    assert found.trigger == ""
    assert found.keep is None
    assert "definition of alive" in sentences_of(found)[-1]


def test_an_answer_that_turns_twice_is_said(stuck):
    import pandas as pd

    shares = pd.DataFrame(
        {"begins": [0.0, 60.0, 120.0, 180.0], "saved": [1.0, 0.0, 1.0, 0.0], "lost": [0.0, 9.0, 1.0, 9.0]}
    )
    found = Rescue("p", shares, 1, 120.0, 180.0, "'the spike'", None, 10.0, (0.0, 180.0), stuck)
    assert turning_point(dict(shares[["begins", "saved"]].itertuples(index=False))) == (120, 180)
    assert sentences_of(found)[-1].startswith("NOT MONOTONE")


# The map.


def test_the_map_agrees_with_the_reference(storm):
    """Experiment D: 3.5 a second recovers and 8 does not, and without retries it does."""
    table = storm_map(storm, [3.5 / 16, 0.5], [3.0], [0, 3], seeds=2, processes=1)
    shares = table.set_index(["load", "retries"])["share"]
    assert shares.to_dict() == {(0.21875, 0): 1, (0.21875, 3): 1, (0.5, 0): 1, (0.5, 3): 0}
    assert table.set_index("retries")["stable"].to_dict() == {0: 1, 3: 0.25}


def test_a_place_on_the_map_is_the_scenario_with_three_figures_changed(storm):
    there = at(storm, 0.5, 3.0, 3)
    assert [wave.cumulative(600.0) for wave in there.demand.waves] == [4800, 9600]
    assert there.behaviour == storm.behaviour
    assert at(storm, 0.25, 1.0, 5).behaviour.retry.at_most == 5
    assert at(storm, 0.25, 1.0, 5).demand.waves[1].people == 0  # no spike


def test_below_the_line_of_theory_every_spike_is_got_over(storm):
    table = storm_map(storm, [0.15, 0.2], [5.0], [3], seeds=1, processes=1)
    assert (table["load"] < table["stable"]).all()
    assert (table["share"] == 1).all()
