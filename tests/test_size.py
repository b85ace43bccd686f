"""A fleet that is named keeps its promise, a step fewer does not, and both are as queueing theory has them."""

import math
from dataclasses import replace
from itertools import count, islice

import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from typer.testing import CliRunner

from sim import BadInput, demand_multiple, load, simulate, size
from sim.cli.main import app
from sim.report.ranking import looks_table
from sim.studies import looks as looks_module
from sim.studies import size as size_module
from sim.studies.executors import Local
from sim.studies.fleets import Fleets
from sim.studies.looks import Criterion, Looks
from sim.studies.promise import read_promise
from sim.studies.run_record import record_of
from sim.studies.runs import Runs
from sim.studies.search import Look, why_counted
from sim.studies.size_words import multiple_sentences, savings, sentences
from tests.random_scenarios import plain
from tests.studies.theory import closed_forms as theory
from tests.studies.theory.queues import queue

LATENCY = ("all intents", "latency")
HERE = {"processes": 1}  # what one test has simulated, another finds in the store of the tests


def look(*margins, stuck=False):
    """What is known after runs with these margins: nine of ten must keep the promise."""
    return Look(tuple(range(len(margins))), margins, 0.9, 0.95, stuck)


# Against queueing theory.


def waiting(rate, gpus=5, lasting=900):
    """M/M/c: exponential service of mean 1 s, and nobody leaves."""
    return queue(rate=rate, gpus=gpus, lasting=lasting, warm_up=20)


def within(rate, gpus, seconds):
    """The share that starts within some seconds (Kleinrock 1975)."""
    return 1 - theory.erlang_c(rate, gpus) * math.exp(-(gpus - rate) * seconds)


def test_the_smallest_fleet_is_erlang_cs():
    """At 3 a second, 4 GPUs start 69 % within half a second, 5 start 91 %."""
    assert within(3.0, 4, 0.5) < 0.8 < within(3.0, 5, 0.5)
    found = size(waiting(3.0), "p80 wait <= 500 ms", runs=0.5, seeds=4, headroom=False, **HERE)
    assert found.gpus == {"gpus": 5}
    assert (found.verdict, found.neighbours["gpus"].verdict) == ("meets", "misses")
    assert found.measure == pytest.approx(within(3.0, 5, 0.5), abs=0.03)
    assert found.offered["gpus"] == pytest.approx(3.0, rel=0.2)


def test_the_largest_multiple_is_erlang_cs():
    """The rate at which five GPUs still start 80 % within half a second is a root of the formula.

    As the answer must be known with confidence, chance makes it smaller and not larger.
    """
    most = optimize.brentq(lambda rate: within(rate, 5, 0.5) - 0.8, 2.0, 4.9)
    found = demand_multiple(waiting(2.0, lasting=1500), "p80 wait <= 500 ms", runs=0.5, seeds=3, **HERE)
    assert 0.9 * most / 2.0 < found.holds < 1.03 * most / 2.0


# The answer.


@pytest.fixture(scope="module")
def sized():
    return size(busy(), "90 % in time", seeds=4, **HERE)


def busy(**settings):
    """Twenty minutes of what four GPUs serve on average."""
    demand = [{"kind": "steady", "rate": "24 per min"}]
    return plain(**{"horizon": "20 min", "alive": {"window": "5 min"}, "demand": demand, **settings})


def test_a_fleet_it_names_keeps_the_promise_when_run_and_a_step_fewer_does_not(sized):
    promise = read_promise("90 % in time", busy())

    def breaks(gpus):
        runs = (simulate(busy(pools={"gpus": {"gpus": gpus}}), seed=seed) for seed in range(101, 111))
        broken = (run for run in runs if promise.margin(record_of(run)) < 0)
        return len(list(islice(broken, 2)))  # of ten runs, but no further than the second

    (gpus,) = sized.gpus.values()
    assert sized.verdict == "meets"
    assert breaks(gpus) < 2
    assert breaks(gpus - 1) == 2


def test_the_answer_is_proved_with_seeds_that_the_search_had_not_seen(sized):
    assert sized.answer.seeds == (5, 6, 7, 8)
    verified = sized.table[sized.table["stage"] == "verify"]
    assert set(verified["gpus"]) >= {sized.total, sized.total - 1}


def test_an_answer_is_short_in_a_notebook(sized):
    assert repr(sized) == f"<Size for '90 % in time' under 'none', {sized.verdict}: {sized.total:,} GPUs of gpus>"


def test_the_answer_has_its_certificate_in_words(sized):
    said = " ".join(sentences(sized))
    assert f"{sized.total} GPUs in pool 'gpus' keep '90 % in time'" in said
    assert f"With 1 fewer in pool 'gpus', {sized.total - 1}:" in said
    assert f"holds up to {sized.carries:.2f} times the demand" in said
    assert sized.carries >= 1
    assert "In the busiest window of 5 min first requests would keep" in said


@pytest.mark.parametrize(("dollars", "verdict"), [(0.01, "meets"), (-0.01, "impossible")])
def test_a_cap_on_cost_speaks_only_of_the_smallest_fleet_that_does_the_rest(sized, dollars, verdict):
    """A fleet without limits costs more than any cap, and that is no reason to name none."""
    cap = f"90 % in time and cost <= ${sized.dollars + dollars}"
    found = size(busy(), cap, seeds=4, headroom=False, **HERE)
    assert found.verdict == verdict
    if verdict == "impossible":
        assert f"the smallest fleet that does everything else, {sized.total} GPUs in pool 'gpus'" in found.reason
    else:
        assert found.gpus == sized.gpus


def test_where_no_fleet_keeps_the_promise_the_command_says_why_without_a_table_and_ends_with_1():
    asked = ["size", "steady", "--promise", "p95 <= 1 s", "--no-store", "--seeds", "2", "--processes", "1"]
    ended = CliRunner().invoke(app, asked)
    assert ended.exit_code == 1
    assert "the service itself takes too long" in " ".join(ended.output.split())
    assert "looked at" not in ended.output


def test_the_least_fleet_that_can_be_asked_for_says_so():
    found = size(plain(), "50 % in time", seeds=2, headroom=False, **HERE)
    said = sentences(found)
    assert (found.total, found.neighbours) == (1, {})
    assert said[0].startswith("1 GPU in pool 'gpus', the smallest fleet that can be asked for, keeps ")
    assert not any(" 1 GPUs" in line for line in said)


def test_a_service_that_takes_too_long_by_itself_is_told_with_no_fleet():
    slow = busy(features={"image": {"slo": "5 s"}})  # a machine that takes 10 s
    found = size(slow, "90 % in time", seeds=2, **HERE)
    assert (found.verdict, found.gpus) == ("impossible", {})
    assert "NO FLEET" in sentences(found)[0]
    assert "the service itself takes too long" in found.reason
    leaving = busy(behaviour={"patience": {"kind": "constant", "value": "5 s"}})
    reason = size(leaving, "abandoned <= 4 %", seeds=2, **HERE).reason
    assert "a run would reach 99.8 % where at most 4 % is promised: the service itself takes too long" in reason


def test_a_promise_to_nobody_has_no_fleet_because_nobody_is_there():
    empty = busy(tiers={"free": {"share": 1}, "plus": {"share": 0}})
    assert size(empty, "90 % of plus in time", seeds=2, **HERE).reason == "nobody is there to keep it to"
    silent = size(busy(horizon="5 s", warm_up="0 s"), "90 % in time", seeds=2, **HERE)
    assert silent.reason.startswith("no request is decided by the horizon")
    multiple = demand_multiple(busy(demand=[{"kind": "steady", "rate": 0}]), "alive", seeds=2, **HERE)
    assert multiple_sentences(multiple)[0].startswith("NOBODY IS THERE to keep 'alive'")


def test_a_promise_that_the_service_itself_breaks_in_some_fresh_runs_is_not_laid_to_outages():
    """Half of exponential services of mean 1 s take at most 0.693 s (ln 2): chance alone keeps 0.7 s, or not."""
    scenario = waiting(3, lasting=300)
    reached = [
        record_of(simulate(scenario, seed=seed, unlimited=True)).share_within(LATENCY, 0.7) for seed in (1, 2, 3)
    ]
    assert [share >= 0.5 for share in reached] == [True, True, False]  # the search sees two, which is why it goes on
    found = size(scenario, "p50 <= 0.7 s", seeds=2, headroom=False, **HERE)
    assert found.reason == "even if nobody had to wait for a GPU, only 1 of 2 runs would keep the promise"


def test_a_fleet_that_the_playbook_sets_itself_is_named_as_why_more_gpus_change_nothing():
    one = {"none": [], "held": [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 1}}]}
    found = size(busy(playbooks=one), "90 % in time", "held", seeds=2, **HERE)
    assert found.reason.endswith(
        "the playbook sets the GPUs in service itself ('scheduled capacity'), so that a larger fleet may stay unused"
    )


def test_a_playbook_that_refuses_people_is_told_with_no_fleet():
    gate = {"none": [], "half": [{"policy": {"kind": "feature gate", "open": 0.5}}]}
    found = size(busy(playbooks=gate), "90 % in time", "half", seeds=2, **HERE)
    assert found.verdict == "impossible"
    assert "of attempts are refused" in found.reason


def test_a_playbook_that_needs_fewer_gpus_saves_them():
    half = {"none": [], "half": [{"policy": {"kind": "shed", "share": 0.5}}]}
    crowd = busy(playbooks=half)
    found = [size(crowd, "p90 wait <= 20 s", name, seeds=2, headroom=False, **HERE) for name in ("none", "half")]
    saved = savings(found).set_index("playbook")["saved"]
    assert saved["none"] == 0
    assert saved["half"] == found[0].total - found[1].total > 0


def test_every_pool_is_as_small_as_it_can_be():
    two = {
        "features": {
            "image": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}},
            "sketch": {"share": 0.5, "pool": "small", "slo": "60 s", "spec": {"model": "quick"}},
        },
        "pools": {"gpus": {"gpus": 1}, "small": {"gpus": 1}},
    }
    found = size(busy(**two), "90 % in time", seeds=2, headroom=False, **HERE)
    assert found.verdict == "meets"
    assert all(one.verdict != "meets" for one in found.neighbours.values())
    assert found.gpus["gpus"] > found.gpus["small"]
    roomy = {**two, "pools": {"gpus": {"gpus": 1}, "small": {"gpus": 9}}}
    alone = size(busy(**roomy), "90 % in time", pool="gpus", seeds=2, headroom=False, **HERE)
    assert alone.gpus == {"gpus": found.gpus["gpus"]}


def test_more_gpus_that_break_the_promise_are_noticed(monkeypatch):
    """Fleets of 5 and of 7 or more keep it, as seen here; one of 6 does not."""
    fates = {gpus: 0.1 if gpus == 5 or gpus >= 7 else -0.1 for gpus in range(1, 99)}

    def at(self, fleet, scale, stage, seeds):
        found = look(*[fates[sum(fleet.values())]] * 3)
        self.looks.known[stage, sum(fleet.values())] = found, []
        return found

    monkeypatch.setattr(size_module.Search, "at", at)
    found = size(busy(), "90 % in time", seeds=3, headroom=False, **HERE)
    assert not found.monotone
    assert found.total == 7
    assert any(line.startswith("NOT MONOTONE") for line in sentences(found))


def test_an_interrupt_gives_what_is_known_by_then():
    class Interrupted(Local):
        def each(self, call, cells):
            for number, one in enumerate(super().each(call, cells)):
                if self.seconds and number >= 1:
                    raise KeyboardInterrupt
                yield one

    found = size(busy(), "90 % in time", seeds=3, executor=Interrupted(1), store=False)
    assert found.verdict == "interrupted"
    assert "INTERRUPTED" in sentences(found)[0]


# Slices.


def test_fleets_of_a_slice_are_whole_gpus_of_it():
    scenario = load("viral-image-launch")  # 1/500: a GPU stands for 500
    fleets = Fleets(scenario, {"fleet": 9300.0})
    assert fleets.step("fleet", scenario.scale) == 500
    assert fleets.coarse == scenario.scale
    assert fleets.start(scenario.scale) == {"fleet": 9500}
    whole = Fleets(load("million-signup-hour"), {"fleet": 10300.0})
    assert (whole.coarse, whole.step("fleet", 1.0), whole.step("fleet", 0.01)) == (0.01, 100, 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": 1},
        {"runs": 1.0},
        {"runs": math.nan},
        {"confidence": 0.2},
        {"step": 0},
        {"pool": "none"},
        {"promise": "fast"},
        {"promise": "cost <= $5"},
        {"playbook": "absent"},
    ],
)
def test_what_cannot_be_searched_is_refused(wrong):
    with pytest.raises(BadInput):
        size(busy(), **{**HERE, **wrong})


def test_the_knee_is_where_the_curve_bends():
    """Steep to 10 GPUs, flat after that."""
    curve = pd.DataFrame({"scale": 1.0, "gpus": [2, 6, 10, 14, 18], "measure": [0.1, 0.5, 0.9, 0.92, 0.94]})
    assert size_module.knee(curve) == 10
    assert math.isnan(size_module.knee(curve.assign(measure=0.5)))


# What dollars, single requests and several pools have to do with it.


def test_a_promise_about_the_price_of_images_is_kept_by_a_fleet_that_is_not_too_large():
    """Larger fleets are too dear, and one that is near the load is not: that is no reason to name none."""
    alone = size(busy(), "90 % in time", seeds=4, headroom=False, **HERE)
    price = (
        f"cost of 1,000 images <= ${1.4 * 1000 * alone.dollars / (24 * 20):.2f}"  # twice as many GPUs cost twice that
    )
    found = size(busy(), f"90 % in time and {price}", seeds=4, headroom=False, **HERE)
    assert (found.verdict, found.gpus) == ("meets", alone.gpus)
    assert not any("smallest fleet that can be asked for" in line for line in sentences(found))


def test_a_fleet_below_the_start_is_found_where_only_that_is_cheap_enough():
    """The search starts above the load; where it starts, images cost more than is promised."""
    alone = size(busy(), "60 % in time", seeds=4, headroom=False, **HERE)
    each = 1000 * alone.dollars / (24 * 20)  # dollars of a thousand images of all that are asked for
    found = size(busy(), f"60 % in time and cost of 1,000 images <= ${1.25 * each:.2f}", seeds=4, **HERE)
    looked = found.table[found.table["stage"] == "search"]
    assert looked.sort_values("gpus")["kept"].iloc[-1] == 0
    assert found.gpus == alone.gpus


def test_a_run_that_stayed_down_in_the_search_is_not_forgotten(monkeypatch):
    """Fresh runs that all recover do not show that this fleet has one fate only."""
    seen = looks_module.seen

    def fated(record, promise):
        return replace(seen(record, promise), margin=0.1, stuck=next(numbers) == 0)

    numbers, looks = count(), Looks(Runs(Local(1), None), Criterion(read_promise("alive", plain()), "none", 0.9, 0.95))
    monkeypatch.setattr(looks_module, "seen", fated)
    searched, fresh = (
        looks.look(plain(), seeds, stage=stage) for stage, seeds in (("search", [1, 2]), ("verify", [3]))
    )
    assert (searched.stuck, fresh.stuck) == (True, True)


def test_an_undecided_answer_says_so_where_no_smaller_fleet_can_be_asked_for():
    found = size(plain(), "50 % in time", seeds=2, headroom=False, **HERE)
    unsure = replace(found, answer=look(*[0.5] * 3, stuck=True))
    assert sentences(unsure)[0].startswith("UNDECIDED: 1 GPU in pool 'gpus', the smallest fleet that can be asked for")


def test_the_gpus_of_a_table_and_of_a_bend_are_those_of_the_pool_that_is_sized():
    features = {
        "image": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}},
        "sketch": {"share": 0.5, "pool": "small", "slo": "60 s", "spec": {"model": "quick"}},
    }
    two = busy(features=features, pools={"gpus": {"gpus": 1}, "small": {"gpus": 90}})
    found = size(two, "90 % in time", pool="gpus", seeds=2, headroom=False, **HERE)
    assert found.table["gpus"].max() < 90
    assert found.total in found.table["gpus"].tolist()
    assert not found.knee > 90
    rows = looks_table(size(two, "90 % in time", seeds=2, headroom=False, **HERE).table, share=True)
    assert rows.head[1:4] == ["GPUs", "of gpus", "of small"]


def test_what_is_shown_by_counts_asks_for_no_further_runs():
    found = size(plain(), "50 % in time", seeds=2, headroom=False, **HERE)
    shown, open_ = (" ".join(sentences(replace(found, answer=look(*[0.5] * n, stuck=True)))) for n in (29, 10))
    assert "without a failure (--seeds 29)" in open_
    assert "--seeds" not in shown


def test_a_place_looked_at_with_further_seeds_is_one_row_of_the_table():
    """Two runs of a fleet, then six: the table shows the six, and not the same fleet twice."""
    scenario = plain()
    rule = Criterion(read_promise("1 % in time", scenario), "none", 0.5, 0.95)
    looks = Looks(Runs(Local(1), None), rule)
    for seeds in ([1, 2], range(1, 7)):
        looks.look(scenario, list(seeds), stage="verify")
    assert looks.table()["seeds"].tolist() == [6]


def test_runs_that_break_a_promise_by_far_or_not_at_all_are_counted():
    """Three of four that keep it were "misses", with 95 % confidence from margins taken as normal."""
    fates = look(0.2, 0.2, 0.19, -0.8)
    assert (fates.two_groups, fates.counted, fates.verdict) == (True, True, "undecided")
    assert "break it by far, and no run by little" in why_counted(fates)
    assert not look(0.1, 0.1, 0.1, -0.006).two_groups  # broken by little
    assert not look(0.3, 0.2, 0.1, -0.2).two_groups
    assert not look(0.2, 0.2, 0.2, 0.2).two_groups
    draws = np.random.default_rng(1).normal(0.03, 0.05, (1000, 10))
    assert sum(look(*row).two_groups for row in draws) <= 5  # of a thousand, where margins are normal


def test_a_run_far_below_the_others_is_counted():
    """Four of five that keep it were "misses", with 95 % confidence; and one in ten breaks it without a sign of it."""
    tail = look(0.035, 0.034, 0.036, 0.03, -0.05)
    assert (tail.one_below, tail.verdict) == (True, "undecided")
    assert look(*[0.035, 0.034, 0.036, 0.033] * 2, 0.03, 0.012).verdict == "undecided"  # one as much lower breaks it
    assert look(*[0.05] * 9, 0.049).verdict == "meets"  # as far below again still keeps it
    assert not look(0.03, 0.02, 0.01, -0.005).one_below
    rng = np.random.default_rng(1)
    normal = rng.normal(0.0, 0.05, (1000, 10))
    assert 30 <= sum(look(*row).one_below for row in normal) <= 70  # 5 % of a thousand, with a deviation of 7
    fine, broken = rng.normal(0.033, 0.006, (1000, 20)), rng.uniform(-0.15, 0.0, (1000, 20))
    near = np.where(rng.random((1000, 20)) < 0.11, broken, fine)  # 89 % keep it, so 'meets' is wrong
    assert sum(look(*row).verdict == "meets" for row in near) <= 130  # chance alone leaves 10 % without a broken run


def test_an_answer_beside_a_fleet_of_two_fates_says_what_its_runs_do_not_show(sized):
    fates = replace(sized, neighbours={"gpus": look(0.2, 0.2, 0.19, -0.8)})
    (said,) = [line for line in sentences(fates) if line.startswith("TWO FATES")]
    assert "--seeds 29" in said
    many = replace(fates, answer=look(*[0.2] * 28, 0.21))
    assert not any(line.startswith("TWO FATES") for line in [*sentences(many), *sentences(sized)])
