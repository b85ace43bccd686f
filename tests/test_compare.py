"""Playbooks are compared over the same people, seed by seed; in one process or several, the numbers are the same."""

import math
import multiprocessing
import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sim import BadInput, compare, simulate, verdict
from sim.results.offered import offered_load
from sim.studies.differences import LABELS, differences
from sim.studies.executors import Local
from sim.studies.objectives import OBJECTIVES
from sim.studies.run_record import record_of
from tests.random_scenarios import PLAIN, plain
from tests.tables import attempt, run_of
from tests.test_store import contents

SEEDS = (3, 1, 2)


def overloaded(**settings):
    """Ten minutes of somewhat more than one GPU serves, under playbooks that refuse nobody, some, and everybody."""
    return plain(
        **{
            "demand": [{"kind": "steady", "rate": "8 per min"}],
            "behaviour": {"patience": {"kind": "exponential", "mean": "2 min"}, "retry": {"at_most": 2}},
            "playbooks": {
                "none": [],
                "closed": [{"policy": {"kind": "feature gate", "open": 0}}],
                "bounded": [{"policy": {"kind": "queue bound", "requests": 3}}],
            },
            **settings,
        }
    )


@pytest.fixture(scope="module")
def compared():
    return compare(overloaded(), seeds=SEEDS, processes=1)


def test_there_is_a_row_a_playbook_and_seed_with_the_figures_of_its_run(compared):
    comparison, _ = compared
    rows = comparison.table.set_index(["playbook", "seed"])
    assert sorted(rows.index) == [(name, seed) for name in ("bounded", "closed", "none") for seed in (1, 2, 3)]
    alone = pd.Series(record_of(simulate(overloaded(), "bounded", seed=2)).figures)
    found = rows.loc["bounded", 2][alone.index]
    pd.testing.assert_series_equal(found, alone, check_names=False, check_dtype=False)


def test_each_playbook_meets_the_same_people(compared):
    runs = compared[1]
    assert [run.manifest["playbook"] for run in runs] == ["none", "closed", "bounded"]
    assert {run.manifest["seed"] for run in runs} == {3}
    for run in runs[1:]:
        pd.testing.assert_frame_equal(run.users[["arrives", "tier"]], runs[0].users[["arrives", "tier"]])
    asks = [run.requests[run.requests["attempt"] == 0] for run in runs]
    assert [table["arrived"].tolist() for table in asks] == [asks[0]["arrived"].tolist()] * 3


def test_every_playbook_is_judged_against_the_load_that_nothing_held_back(compared):
    """That of an unlimited fleet: 8 requests a minute of 10 s each, also beside a playbook that refuses everybody."""
    loads = [run.manifest["offered_load"] for run in compared[1]]
    assert loads == [offered_load(simulate(overloaded(), seed=3, unlimited=True))] * 3
    assert loads[0]["gpus"][0]["work"] == pytest.approx(8 / 60 * 10, rel=0.25)


def test_differences_are_by_seed(compared):
    comparison, _ = compared
    by_name = {name: rows.set_index("seed") for name, rows in comparison.table.groupby("playbook")}
    found = comparison.differences.set_index(["playbook", "metric"])
    for name in comparison.playbooks:
        for metric in ("attainment", "served", "dollars", "wasted_gpu_hours"):
            by_seed = [by_name[name].loc[seed, metric] - by_name["none"].loc[seed, metric] for seed in SEEDS]
            assert found.loc[(name, metric), "difference"] == pytest.approx(np.mean(by_seed))
            assert found.loc[(name, metric), "mean"] == pytest.approx(by_name[name][metric].mean())


def test_the_baseline_differs_from_itself_by_nothing(compared):
    comparison, _ = compared
    ours = comparison.differences[comparison.differences["playbook"] == comparison.baseline].set_index("metric")
    assert comparison.baseline == "none"
    # Infinite less infinite is not known, nor is the energy of a profile without power, the share degraded of no image,
    # or what is earned without prices.
    known = ours.drop(index=["p95_latency", "kwh", "kg_co2e", "revenue", "margin", "dollars_earned"])
    assert known["p_holm"].isna().all()
    assert (known[["difference", "low", "high"]] == 0).all().all()


def test_every_figure_but_the_labels_is_compared(compared):
    comparison, _ = compared
    assert set(comparison.differences["metric"]) == set(comparison.table.columns) - set(LABELS)
    assert len(comparison.differences) == 3 * (len(comparison.table.columns) - len(LABELS))


def test_the_first_playbook_asked_for_is_the_baseline():
    comparison, runs = compare(overloaded(), ["bounded", "none", "bounded"], seeds=1, processes=1)
    assert (comparison.playbooks, comparison.baseline, comparison.seeds) == (["bounded", "none"], "bounded", [1])
    assert len(comparison.table) == len(runs) == 2


# Intervals.


def test_paired_intervals_are_those_of_a_paired_test(compared):
    comparison, _ = compared
    served = comparison.table.pivot_table(index="seed", columns="playbook", values="served")
    expected = stats.ttest_rel(served["bounded"], served["none"]).confidence_interval(0.95)
    found = comparison.differences.set_index(["playbook", "metric"]).loc[("bounded", "served")]
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_no_interval_of_a_comparison_lies_where_its_figure_cannot(compared):
    rows = compared[0].differences.dropna(subset=["mean_low"])
    rows = rows[rows["metric"] != "growth_lost"]
    assert (rows["mean_low"] >= 0).all()
    shares = rows[rows["metric"].isin(["attainment", "images_share", "people_share", "gini", "jain"])]
    assert len(shares) >= 10
    assert (shares["mean_high"] <= 1).all()


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_seed_or_two_have_differences_without_intervals(seeds):
    comparison, _ = compare(overloaded(), ["none", "closed"], seeds=seeds, processes=1)
    found = comparison.differences
    assert found[["low", "high", "mean_low", "mean_high", "p", "p_holm"]].isna().all().all()
    closed = found.set_index(["playbook", "metric"]).loc[("closed", "served"), "difference"]
    assert closed == -comparison.mean("none", "served")


# Ranking.


def ranked(by="attainment", **runs):
    """The ranking of playbooks by (alive, the objective's figure) of each of their runs."""
    objective = OBJECTIVES[by]
    rows = [
        {"playbook": name, "seed": seed, "alive": alive, "overloaded": False, objective.figure: reached}
        for name, results in runs.items()
        for seed, (alive, reached) in enumerate(results)
    ]
    return list(dict.fromkeys(differences(pd.DataFrame(rows), list(runs), objective)["playbook"]))


def test_staying_alive_with_every_seed_is_a_condition_and_the_objective_is_the_order():
    assert ranked(
        dead=[(False, 0.9), (False, 0.9)],
        half=[(True, 0.95), (False, 0.95)],
        alive=[(True, 0.2), (True, 0.3)],
        better=[(True, 0.2), (True, 0.4)],
    ) == ["better", "alive", "half", "dead"]


def test_the_cheapest_comes_first_by_cost():
    runs = [("much", 9.0, 1000.0), ("little", 2.0, 1000.0), ("nothing", 1.0, 0.0)]
    rows = [
        {"playbook": name, "seed": 1, "alive": True, "overloaded": False, "dollars": dollars, "images_worth": images}
        for name, dollars, images in runs
    ]
    table = pd.DataFrame(rows).assign(dollars_per_1000_images=[9.0, 2.0, math.nan])
    found = differences(table, ["much", "little", "nothing"], OBJECTIVES["cost"])
    assert list(dict.fromkeys(found["playbook"])) == ["little", "much", "nothing"]


def test_equals_stay_in_the_order_asked_for():
    assert ranked(b=[(True, 0.5)], a=[(True, 0.5)], c=[(True, 0.5)]) == ["b", "a", "c"]


def test_an_unknown_figure_ranks_last():
    assert ranked(none=[(True, math.nan)], some=[(True, 0.0)]) == ["some", "none"]


def launch(**settings):
    """A launch of 600 people in ten minutes, of whom the fleet serves a third at full quality."""
    return plain(
        **{
            "features": {"image": {"ladder": [{"model": "quick"}], "slo": "60 s"}},
            "pools": {"gpus": {"gpus": 3, "max_batch": 4}},
            "demand": [{"kind": "steady", "rate": "60 per min"}],
            "behaviour": {"patience": {"kind": "exponential", "mean": "2 min"}, "churn": 0.5},
            "alive": {"attainment": 0.2, "windows": 0.2, "kept": 0.2},
            "playbooks": {
                "waitlist": [{"policy": {"kind": "waitlist", "rate": "10 per hour"}}],
                "degrade": [{"policy": {"kind": "degrade", "level": 1}}],
            },
            **settings,
        }
    )


def test_refusing_nearly_everybody_does_not_rank_first_however_well_the_few_are_served():
    comparison, _ = compare(launch(), seeds=3, processes=1)
    few, many = comparison.runs("waitlist"), comparison.runs("degrade")
    assert (few["attainment"] == 1).all()
    assert few["alive"].all()
    assert (few["images_as_asked"] < 10).all()
    assert (many["attainment"] < 1).all()
    assert comparison.ranking == ["degrade", "waitlist"]


def test_images_are_counted_against_an_unlimited_fleet_and_degraded_ones_by_the_stated_quality():
    scenario = launch(features={"image": {"ladder": [{"model": "quick"}], "slo": "60 s", "degraded_quality": "25 %"}})
    comparison, (_, run) = compare(scenario, seeds=1, processes=1)
    row = comparison.runs("degrade").iloc[0]
    in_time, most = (
        done.requests[
            (done.requests["outcome"] == "served") & (done.requests["finished"] - done.requests["arrived"] <= 60)
        ]
        for done in (run, simulate(scenario, unlimited=True, seed=1))
    )
    degraded = int((in_time["level"] > 0).sum())
    assert (row["images_as_asked"], row["images_degraded"]) == (len(in_time) - degraded, degraded)
    assert row["images_share"] == pytest.approx((len(in_time) - 0.75 * degraded) / len(most))


def test_people_kept_were_let_in_and_have_not_left_of_those_whom_an_unlimited_fleet_keeps():
    comparison, runs = compare(launch(), seeds=1, processes=1)
    most = simulate(launch(), unlimited=True, seed=1).users
    kept = int((most["admitted"].notna() & most["left"].isna()).sum())
    for run in runs:
        users = run.users
        mine = int((users["admitted"].notna() & users["left"].isna()).sum())
        assert comparison.mean(run.manifest["playbook"], "people_share") == pytest.approx(mine / kept)


def test_signups_lost_and_still_waiting_are_those_of_the_waitlist():
    comparison, (run, _) = compare(launch(), seeds=1, processes=1)
    users, row = run.users, comparison.runs("waitlist").iloc[0]
    out = users["admitted"].isna() & (users["arrives"] < run.horizon)
    assert row["signups_lost"] == int((out & users["left"].notna()).sum())
    assert row["signups_waiting"] == int((out & users["left"].isna()).sum()) > 0


def test_an_unknown_objective_is_refused_before_anything_runs():
    with pytest.raises(BadInput, match="ranked by this") as wrong:
        compare(overloaded(), by="hope", processes=1)
    assert (wrong.value.key, wrong.value.value) == ("by", "hope")
    assert "images" in str(wrong.value.expected)


def test_refusing_everybody_ranks_last(compared):
    assert compared[0].ranking[-1] == "closed"
    assert set(compared[0].ranking) == {"none", "closed", "bounded"}


# Figures.


def test_figures_are_those_of_the_verdict_at_full_scale():
    run = run_of(attempt(0, started=1, finished=5), attempt(0, user=1, refused="shed"), scale=0.25)
    found, its = record_of(run).figures, verdict(run)
    assert (found["served"], found["lost"], found["refused"], found["gpu_hours"]) == (
        4,
        4,
        4,
        pytest.approx(800 / 3600),
    )
    assert (found["alive"], found["attainment"]) == (its.life.alive, 0.5)
    assert found["dollars"] == pytest.approx(0.8)
    assert found["p95_latency"] == math.inf


def test_nobody_came_and_playbooks_are_compared_all_the_same():
    scenario = overloaded(demand=[{"kind": "steady", "rate": 0}])
    comparison, _ = compare(scenario, seeds=2, processes=1)
    assert comparison.table["alive"].all()
    assert (comparison.table["served"] == 0).all()
    assert comparison.ranking == ["none", "closed", "bounded"]
    assert comparison.fairness.empty


# Wrong questions.


def test_an_unknown_playbook_is_refused_before_anything_runs():
    told = []
    with pytest.raises(BadInput, match="no such playbook") as wrong:
        compare(overloaded(), ["none", "nine"], seeds=2, processes=1, progress=told.append)
    assert wrong.value.value == "nine"
    assert not told


@pytest.mark.parametrize("seeds", [0, -1, []])
def test_no_seed_is_refused(seeds):
    with pytest.raises(BadInput, match="seed"):
        compare(overloaded(), seeds=seeds, processes=1)


# Progress, and several processes.


def test_progress_counts_every_run_of_those_planned():
    counted = []
    compare(overloaded(), seeds=2, processes=1, store=False, progress=lambda *both: counted.append(both))
    assert counted == [(done, 8) for done in range(1, 9)]  # three playbooks and an unlimited fleet, with each seed


class Impatient(Exception):
    """Whoever watches the progress has had enough."""


@pytest.fixture
def bystander():
    """A process of the caller's own that has nothing to do with a comparison."""
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
    yield process
    process.terminate()
    process.join()


def test_two_processes_find_and_keep_what_one_finds_and_are_gone_when_whoever_watches_stops(
    compared, bystander, tmp_path
):
    def enough(done, planned):
        raise Impatient

    with Local(2) as local:
        local.seconds = 1e9  # so that processes seem to pay
        both, runs = compare(overloaded(), seeds=SEEDS, executor=local, store=tmp_path / "many")
        with pytest.raises(Impatient):
            compare(overloaded(), seeds=20, executor=local, store=False, progress=enough)
    assert multiprocessing.active_children() == [bystander]
    compare(overloaded(), seeds=SEEDS, processes=1, store=tmp_path / "one")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    alone, runs_alone = compared
    pd.testing.assert_frame_equal(both.table, alone.table)
    pd.testing.assert_frame_equal(both.differences, alone.differences)
    assert len(runs) == len(runs_alone)
    for run, other in zip(runs, runs_alone, strict=True):
        for table in ("requests", "batches", "users", "decisions"):
            pd.testing.assert_frame_equal(getattr(run, table), getattr(other, table))


def test_a_run_that_fails_in_its_process_ends_the_comparison_and_leaves_none_behind():
    before = multiprocessing.active_children()
    with pytest.raises(BadInput, match="a seed is a whole number") as wrong:
        compare(overloaded(), seeds=(1, -1), processes=2)
    assert (wrong.value.key, wrong.value.value) == ("seed", -1)
    assert multiprocessing.active_children() == before


def test_the_plain_scenario_has_one_playbook():
    comparison, _ = compare(plain(), seeds=1, processes=1)
    assert "playbooks" not in PLAIN
    assert comparison.ranking == ["none"]
