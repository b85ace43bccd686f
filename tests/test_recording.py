"""Recording every row, those of some users or none changes nothing in a run."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.streams import SAMPLE, draws
from sim.results.counting import timeline_of
from sim.results.energy import energy
from sim.results.folder import TABLES
from sim.results.intents import attempts_in, every_row, intents
from sim.results.latencies import latencies
from sim.results.run import Run, load_run
from sim.results.timeline import ERROR, LOWEST
from sim.results.verdict import sentences, verdict
from sim.scenario.load import load
from sim.scenario.parts import Recording
from sim.scenario.people import people_of
from tests.random_scenarios import documents, long_documents, scenario_from
from tests.test_scenarios import SMALL

NOTHING, SOME = Recording(rows=False), Recording(rows=False, sampled=0.2)
SHIPPED = [
    ("viral-image-launch", "none"),
    ("viral-image-launch", "march-2025"),
    ("launch-2022", "degrade"),
    ("launch-2022", "waitlist"),
    ("million-signup-hour", "quota-priority-degrade"),
    ("steady", "none"),
]


def assert_same_timeline(one: Run, other: Run) -> None:
    assert one.timeline is not None
    assert other.timeline is not None
    assert (one.timeline.width, one.timeline.people) == (other.timeline.width, other.timeline.people)
    for name, counted in one.timeline.arrays().items():
        if counted.dtype.kind == "f":  # what is still going on at the horizon is added in the order of its records
            np.testing.assert_allclose(counted, other.timeline.arrays()[name], rtol=1e-12, err_msg=name)
        else:
            np.testing.assert_array_equal(counted, other.timeline.arrays()[name], err_msg=name, strict=True)


def assert_close_quantiles(binned: Run, exact: Run, by: str | None) -> None:
    """Quantiles are off by ERROR of themselves at most; nothing, for ever and next to nothing are what they are."""
    found, expected = latencies(binned, by), latencies(exact, by)
    assert found["n"].to_dict() == expected["n"].to_dict()
    for share in ("p50", "p95", "p99"):
        for group, value in expected[share].items():
            mine = found[share].to_dict()[group]
            if not math.isfinite(value) or value < 2.0**LOWEST:
                np.testing.assert_equal(mine, 0.0 if value < 2.0**LOWEST else value)
            else:
                assert abs(mine - value) <= ERROR * value, (group, share)


def rows_of(run: Run, users: np.ndarray) -> pd.DataFrame:
    """The rows of some users of a run with every row, as one with theirs alone has them."""
    places = np.flatnonzero(run.requests["user"].isin(users))
    rows = run.requests.iloc[places].reset_index(drop=True)
    first = np.searchsorted(places, rows["first"]).astype(np.int32)
    return rows.assign(first=first, batch=pd.array([pd.NA] * len(rows), dtype="Int32"))


def in_the_sample(run: Run, share: float) -> np.ndarray:
    """Those known beforehand who are in the sample, by the number in their name."""
    scenario = scenario_from(run.manifest["scenario"])
    keys = people_of(scenario, run.manifest["seed"])[0].key
    return np.flatnonzero(draws(run.manifest["seed"], SAMPLE, keys, 0) < share)


def assert_is_a_sample(some: Run, every: Run, share: float) -> None:
    known = in_the_sample(every, share)
    invited = every.users.loc[every.users["invited_by"].notna(), "user"]
    chosen = np.union1d(known, np.intersect1d(some.requests["user"], invited))
    pd.testing.assert_frame_equal(some.requests, rows_of(every, chosen), check_exact=True)
    assert len(some.batches) == len(some.users) == 0


# Nothing but the timeline.


@cache
def run_with_every_row(name: str, playbook: str) -> Run:
    return simulate(load(name, sets=SMALL[name]), playbook)


@pytest.mark.parametrize(("name", "playbook"), SHIPPED)
def test_without_rows_the_timeline_is_the_same_and_quantiles_are_close(name, playbook):
    scenario = load(name, sets=SMALL[name])
    every, none = run_with_every_row(name, playbook), simulate(scenario, playbook, recording=NOTHING)
    assert [len(getattr(none, table)) for table in ("requests", "batches", "users")] == [0, 0, 0]
    assert_same_timeline(every, none)
    for by in (None, "tier", "feature"):
        assert_close_quantiles(none, every, by)
    pd.testing.assert_frame_equal(every.decisions, none.decisions)


def test_the_scenario_says_what_is_written_down():
    every = simulate(load("steady", sets={"horizon": "20 min"}))
    none = simulate(load("steady", sets={"horizon": "20 min", "record": "timeline"}))
    some = simulate(load("steady", sets={"horizon": "20 min", "record": {"sample": "20 %"}}))
    assert every.manifest["recording"] == {"rows": True, "sampled": 0.0}
    assert none.manifest["recording"] == {"rows": False, "sampled": 0.0}
    assert some.manifest["recording"] == {"rows": False, "sampled": 0.2}
    assert (every.has_rows, none.has_rows, some.has_rows) == (True, False, False)
    assert len(every.requests) > len(some.requests) > len(none.requests) == 0


def windowed_energy(run: Run) -> object:
    return energy(run, (0, 60))


def windowed_latencies(run: Run) -> object:
    return latencies(run, window=(0, 60))


@pytest.mark.parametrize("recording", [NOTHING, SOME], ids=["none", "some"])
def test_what_only_rows_can_tell_is_refused_without_all_of_them(recording):
    run = simulate(load("steady", sets={"horizon": "20 min"}), recording=recording)
    for figure in (intents, every_row, attempts_in, timeline_of, windowed_energy, windowed_latencies):
        with pytest.raises(BadInput, match="not every row") as wrong:
            figure(run)
        assert wrong.value.key == "record"


def test_the_readable_engine_writes_down_every_row_and_says_so():
    with pytest.raises(BadInput, match="every row"):
        simulate(load("steady"), engine="simpy", recording=NOTHING)
    with pytest.raises(BadInput, match="every row"):
        simulate(load("steady", sets={"record": "timeline"}), engine="simpy")


def test_a_verdict_without_rows_is_the_same_and_says_where_it_comes_from():
    scenario = load("viral-image-launch", sets=SMALL["viral-image-launch"])
    every = verdict(run_with_every_row("viral-image-launch", "none"))
    none = verdict(simulate(scenario, "none", recording=NOTHING))
    assert (every.life, every.counts, every.signups, every.churned) == (
        none.life,
        none.counts,
        none.signups,
        none.churned,
    )
    exact, rounded = (
        [line for line in sentences(one) if not line.startswith(("Latency", "Revenue", "These ", "FROM THE TIMELINE"))]
        for one in (every, none)
    )
    assert rounded == exact
    assert any(line.startswith("Latency of all requests: median never") for line in sentences(none))
    said = next(line for line in sentences(none) if line.startswith("FROM THE TIMELINE"))
    assert said.startswith("FROM THE TIMELINE: counts are exact; quantiles of waits are within 0.4 %")


@pytest.mark.parametrize("recording", [NOTHING, SOME], ids=["none", "some"])
def test_such_a_run_comes_back_as_it_was_saved(recording, tmp_path):
    run = simulate(load("steady", sets={"horizon": "20 min"}), recording=recording)
    again = load_run(run.save(tmp_path / "run"))
    assert_same_timeline(run, again)
    assert again.manifest == run.manifest
    for table in TABLES:
        pd.testing.assert_frame_equal(getattr(run, table), getattr(again, table))


# Some users.


@pytest.mark.parametrize(("name", "playbook"), SHIPPED)
def test_a_sample_holds_all_rows_of_its_users_and_no_others(name, playbook):
    scenario = load(name, sets=SMALL[name])
    every, some = run_with_every_row(name, playbook), simulate(scenario, playbook, recording=SOME)
    assert len(some.requests) > 50
    assert_is_a_sample(some, every, 0.2)
    assert_same_timeline(every, some)


def test_a_sample_is_of_the_same_users_under_every_playbook():
    scenario = load("viral-image-launch", sets=SMALL["viral-image-launch"])
    asked = {}
    for playbook in ("none", "march-2025"):
        every = run_with_every_row("viral-image-launch", playbook)
        some = simulate(scenario, playbook, recording=SOME)
        asked[playbook] = set(every.requests["user"]), set(some.requests["user"])
    (all_of_one, one), (all_of_other, other) = asked.values()
    both = all_of_one & all_of_other
    assert len(both) > 1000
    assert one & both == other & both
    share = len(one) / len(all_of_one)
    assert abs(share - 0.2) / math.sqrt(0.2 * 0.8 / len(all_of_one)) < 3.5


def test_a_larger_sample_holds_a_smaller_one():
    scenario = load("steady")
    fifth, half, whole = (
        simulate(scenario, recording=Recording(rows=False, sampled=share)) for share in (0.2, 0.5, 1.0)
    )
    assert set(fifth.requests["user"]) < set(half.requests["user"]) < set(whole.requests["user"])
    assert_is_a_sample(whole, simulate(scenario), 1.0)


def test_those_whom_images_bring_are_sampled_alike():
    scenario = load("viral-image-launch", override="word-of-mouth", sets={"horizon": "4 days"})
    every, some = simulate(scenario), simulate(scenario, recording=SOME)
    assert_is_a_sample(some, every, 0.2)
    asked = np.intersect1d(every.requests["user"], every.users.loc[every.users["invited_by"].notna(), "user"])
    share = np.isin(asked, some.requests["user"]).mean()
    assert len(asked) > 1000
    assert abs(share - 0.2) / math.sqrt(0.2 * 0.8 / len(asked)) < 3.5


# Any mix of mechanisms.


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(mortal=True))
def test_recording_changes_nothing_whatever_the_mix_of_mechanisms(document):
    scenario = scenario_from(document)
    for playbook, unlimited in (("one", False), ("one", True)):
        every, some, none = (
            simulate(scenario, playbook, seed=3, unlimited=unlimited, recording=recording)
            for recording in (None, Recording(rows=False, sampled=0.5), NOTHING)
        )
        assert_same_timeline(every, some)
        assert_same_timeline(every, none)
        assert_is_a_sample(some, every, 0.5)
        assert_close_quantiles(none, every, "feature")


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=long_documents())
def test_recording_changes_nothing_when_people_come_back(document):
    scenario = scenario_from(document)
    every, some = (simulate(scenario, "one", seed=3, recording=r) for r in (None, Recording(rows=False, sampled=0.5)))
    assert_same_timeline(every, some)
    assert_is_a_sample(some, every, 0.5)
