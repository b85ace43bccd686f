"""The live studies: what is read off runs, means over seeds, which runs count, and service times replayed."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.validation.study import AGREES, MISSES, NOT_HELD, Study
from sim.validation.study_file import results_csv
from tests.jumping import JumpingLoop
from tests.results import assert_unmoved, committed, read_results
from tests.studies.faults import FAULTS, LINGER, PLACE
from tests.studies.live import sight
from tests.studies.live import study as live
from tests.studies.live.cases import PLAYBOOKS, overload_figures, queue
from tests.studies.live.clock import RealClock
from tests.studies.live.run import LiveRun, Vitals, run_together
from tests.studies.live.study import Pair, all_cases, compared, means, notes, ranking, simulated
from tests.studies.live.torch_study import Replayed
from tests.test_live import TimerDevice

WELL = Vitals(gap=0.001, lateness=0.001, drift=0.0, pressure=0.01)
CASES = {case.name: case for case in all_cases()}
OVERLOADED = [case for case in CASES.values() if case.figures is overload_figures]


def pair(name: str, seed: int = 1, *, other: int | None = None, faults: tuple[str, ...] = ()) -> Pair:
    """A case held against itself, or against the same with another seed."""
    case = CASES[name]
    there = simulate(case.scenario, case.playbook, seed=seed if other is None else other)
    return Pair(
        case, seed, LiveRun(there, WELL, np.empty(0)), simulate(case.scenario, case.playbook, seed=seed), [*faults]
    )


def test_every_policy_of_the_study_has_something_to_do():
    """A playbook that turned nothing would be the one that does nothing, and prove nothing."""
    assert {case.playbook for case in OVERLOADED} == set(PLAYBOOKS)
    nothing = simulate(CASES["1.5 times capacity, none"].scenario, "none").requests
    for case in OVERLOADED:
        rows = simulate(case.scenario, case.playbook).requests
        assert (rows["outcome"] == "abandoned").sum() > 50
        if case.playbook != "none":
            assert len(rows) != len(nothing)


def test_loads_are_shares_of_what_full_batches_bring():
    for load in (0.5, 0.7, 0.9, 0.95):
        run = simulate(CASES[f"load {load}"].scenario)
        expected = load * 16 / 0.6 * 60
        assert abs(len(run.requests) - expected) < 3.5 * math.sqrt(expected)


def test_a_run_agrees_with_itself_in_every_figure_and_place():
    pairs = [pair(case.name) for case in OVERLOADED]
    rows = compared([*pairs, pair("load 0.7"), pair("a spike of 5 times")]) + ranking(pairs)
    assert {row.fits for row in rows} == {AGREES, NOT_HELD}
    assert all(row.actual == row.predicted for row in rows)
    assert sorted(row.actual for row in ranking(pairs)) == list(range(1, len(PLAYBOOKS) + 1))
    few = [row for row in rows if row.fits == NOT_HELD and row.figure != "place of the playbook"]  # of one seed
    assert all("fewer than 100" in row.note for row in few)


def test_other_people_are_a_miss():
    rows = compared([pair("load 0.95", seed=1, other=2)])
    assert MISSES in {row.fits for row in rows}


def test_a_figure_is_the_mean_over_the_seeds_in_which_both_have_it():
    never = math.nan
    found = [({"t": ("s", 10.0, 0.05)}, {"t": ("s", 10.2, 0.05)}), ({"t": ("s", 4.0, 0.05)}, {"t": ("s", never, 0.05)})]
    (row,) = means("a case", found)
    assert (row.actual, row.predicted, row.fits) == (10.0, 10.2, AGREES)
    assert row.note == "+2.0%; 1 of 2 runs come to it"
    lost = [({"shed": ("attempts", 300.0, 0.05)}, {}), ({}, {"shed": ("attempts", 310.0, 0.05)})]
    (row,) = means("a case", lost)
    assert (row.actual, row.predicted, row.fits) == (150.0, 155.0, AGREES)


def test_runs_that_failed_the_gate_do_not_count_and_are_listed():
    good, bad = pair("load 0.7", 1), pair("load 0.7", 2, other=3, faults=("it stood still",))
    rows = compared([good, bad])
    assert {row.fits for row in rows} == {AGREES}
    assert all("1 of 2 seeds have no run that counts" in row.note for row in rows)
    assert "Runs discarded: load 0.7, seed 2 (it stood still)." in notes([good, bad], live.GATE)[-1]
    (row,) = compared([bad])
    assert row.fits == NOT_HELD
    assert ranking([replace(pair(case.name), faults=["late"]) for case in OVERLOADED[:1]]) == []


def test_a_run_that_passes_the_gate_at_the_second_try_counts(monkeypatch):
    """The first look at the machine finds it asleep."""
    case, looks = CASES["load 0.7"], iter([replace(WELL, gap=1.0), WELL])
    there = simulated(case, 1)
    monkeypatch.setattr(live, "run_together", lambda wanted: [LiveRun(there, next(looks), np.empty(0))])
    first, second = live.played([(case, 1)], None)
    assert first.faults
    assert not second.faults
    assert {row.fits for row in compared([first, second])} == {AGREES}


@pytest.mark.parametrize("case", CASES)
def test_what_is_predicted_has_not_moved_since_the_study(case):
    one = CASES[case]
    found = [one.figures(simulate(one.scenario, one.playbook, seed=seed)) for seed in live.SEEDS]
    rows = means(case, [(figures, figures) for figures in found])
    table = committed("live")[1]
    partial_ = table["note"].str.contains("runs come to it|seeds have no run")  # there the live runs chose the seeds
    whole = set(table["figure"][(table["case"] == case) & ~partial_])
    assert assert_unmoved("live", [row for row in rows if row.figure in whole]) >= 2


def test_how_many_wait_is_counted_from_when_each_comes_and_goes():
    run = simulate(CASES["1.5 times capacity, queue bound"].scenario, "queue bound")
    times, lengths = queue(run)
    assert lengths.max() == 40
    assert lengths.min() >= 0
    assert np.all(np.diff(times) >= 0)


class WobblyDevice(TimerDevice):
    """GPUs that take up to half as long again as they should, now and then."""

    async def serve(self, clock: RealClock, until: float, model: str, size: int) -> None:
        now = clock.now
        await clock.until(until + 0.25 * (until - now) * (1 + math.sin(now)))


@pytest.mark.parametrize("playbook", ["none", "queue bound", "degrade", "paid first"])
def test_with_service_times_as_they_were_a_slow_device_is_the_simulator(playbook):
    """On a clock that jumps nothing is late, so all that is left of the error is the service times'."""
    case = next(case for case in OVERLOADED if case.playbook == playbook)
    live_run = run_together([(case.scenario, playbook, 1)], device=WobblyDevice(), loop=JumpingLoop)[0].run
    found = live_run.requests
    same = simulate(case.scenario, playbook, engine="simpy", service=partial(Replayed, live=live_run)).requests
    known = int((found["arrived"] < 30).sum())  # the last batches are not over, so their times are not known
    assert known > 1000
    assert same["outcome"].iloc[:known].tolist() == found["outcome"].iloc[:known].tolist()
    for name in ("arrived", "started", "finished", "left"):
        np.testing.assert_allclose(same[name].iloc[:known], found[name].iloc[:known], atol=1e-6)
    assert len(simulate(case.scenario, playbook).requests) != len(found)


def test_results_are_kept_with_when_and_with_what_they_were_made(tmp_path):
    rows = compared([pair("load 0.7"), pair("1.5 times capacity, shed")])
    study = Study("live", "A live server", "?", "a server", rows)
    (tmp_path / "live.csv").write_text(results_csv([study, study]))
    made, table = read_results(tmp_path / "live.csv")
    assert made.startswith("Made ")
    assert "meltpoint" in made
    assert table["study"].tolist() == ["live"] * 2 * len(rows)
    assert table["predicted"].tolist() == pytest.approx([row.predicted for row in rows] * 2, rel=1e-5)
    assert table["note"].tolist() == [row.note for row in rows] * 2
    assert table["fits"].tolist() == [row.fits for row in rows] * 2


def test_half_a_linger_is_seen_at_low_load_where_people_wait_for_little_else():
    """Below saturation most batches start because their linger is over, so the median moves by more than its 2 %."""
    rows = sight.faulty_rows(CASES["load 0.5"], FAULTS[LINGER](1))
    assert {row.figure for row in rows if row.fits == MISSES} == {"latency p50"}


def test_a_fault_in_what_no_playbook_of_a_case_has_in_force_moves_no_figure():
    rows = sight.faulty_rows(CASES["load 0.5"], FAULTS[PLACE](1))
    assert all(row.actual == row.predicted for row in rows)
