"""The timeline that the engine counts while it runs is the one that the rows of the run give, in every part."""

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.engine.simulate import simulate
from sim.results import metrics
from sim.results.counting import timeline_of
from sim.results.intents import window_of
from sim.results.pool_verdict import PoolVerdict
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS, BUCKETS, ERROR, MOST_BINS, Timeline, added, bin_width, grid, middles
from sim.results.verdict import Verdict, run_in_bins, verdict
from sim.scenario.load import load
from tests.random_scenarios import documents, long_documents, scenario_from
from tests.test_scenarios import NAMES, SMALL
from tests.timelines import SUMS, assert_same_timeline

HOW = st.sampled_from([("one", False), ("other", False), ("one", True)])  # playbook, and whether GPUs are unlimited
GROUPS = (None, "tier", "feature", ["tier", "feature"])


@pytest.fixture(autouse=True)
def rows_counted_once(monkeypatch):
    """Rows are counted once in the same bins: a dozen figures are compared, and each would count them anew."""
    known: dict[tuple[int, bytes], tuple[Run, Timeline]] = {}

    def remembered(run: Run, edges: Any = None) -> Timeline:
        key = id(run), b"" if edges is None else np.asarray(edges, dtype=float).tobytes()
        if key not in known:
            known[key] = run, timeline_of(run, edges)  # the run is kept, so that no other gets its id
        return known[key][1]

    monkeypatch.setattr(metrics, "timeline_of", remembered)


def from_rows(run: Run) -> Run:
    """The same run without its recorded timeline: figures come from a timeline made of its rows."""
    return dataclasses.replace(run, timeline=None)


def close(found: Any, expected: Any) -> bool:
    return bool(np.allclose(found, expected, rtol=SUMS, atol=SUMS, equal_nan=True))


def same(found: Any, expected: Any) -> bool:
    """Whether nested figures are equal; nan is nan."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    return found == expected or (isinstance(expected, float) and math.isnan(expected) and math.isnan(found))


def assert_same_verdict(one: Verdict, other: Verdict) -> None:
    assert same(dataclasses.asdict(one.life), dataclasses.asdict(other.life))
    for name in ("counts", "goodput", "dollars", "signups", "churned"):
        assert same(getattr(one, name), getattr(other, name)), name
    assert one.refused["refused"].to_dict() == other.refused["refused"].to_dict()
    pd.testing.assert_frame_equal(one.latency, other.latency)
    pd.testing.assert_frame_equal(one.gpu_hours, other.gpu_hours, rtol=SUMS, atol=SUMS)
    assert one.energy == pytest.approx(other.energy, rel=SUMS, nan_ok=True)
    for mine, theirs in zip(one.pools, other.pools, strict=True):
        assert_same_pool(mine, theirs)


def assert_same_pool(one: PoolVerdict, other: PoolVerdict) -> None:
    left_out = ("peak_load", "came", "consumed", "load_while_hot")
    found, expected = (
        {f.name: getattr(pool, f.name) for f in dataclasses.fields(pool) if f.name not in left_out}
        for pool in (one, other)
    )
    assert same(found, expected), (found, expected)
    assert close(one.peak_load, other.peak_load)
    assert close(one.came, other.came)
    assert one.load_while_hot == pytest.approx(other.load_while_hot, rel=SUMS, nan_ok=True)
    shares = [
        {(row.tier, row.feature, row.use): row.share for row in pool.consumed[pool.consumed["share"] > 0].itertuples()}
        for pool in (one, other)
    ]
    assert shares[0] == pytest.approx(shares[1], rel=SUMS)


def counted(table: pd.DataFrame) -> dict[Any, Any]:
    """A table of counts without its empty rows and columns."""
    found: dict[Any, Any] = table.loc[table.sum(axis=1) > 0, table.sum() > 0].to_dict("index")
    return found


def assert_same_figures(run: Run) -> None:
    """The recorded timeline, and the figures that come from it, against the rows."""
    assert run.timeline is not None
    assert_same_timeline(run.timeline, timeline_of(run))
    rows, window = from_rows(run), window_of(run, None)
    assert run.timeline.meets(np.array(window)), "or rows would be compared with rows"
    assert_same_verdict(verdict(run), verdict(rows))
    pd.testing.assert_frame_equal(metrics.timeline(run), metrics.timeline(rows))
    for by in GROUPS:
        found, expected = (metrics.outcomes(r, by).to_dict("index") for r in (run, rows))
        assert same(found, expected), by
    for group in (None, "tier", "feature"):
        assert counted(metrics.refused_by(run, group)) == counted(metrics.refused_by(rows, group))
    for pool in run.manifest["pools"]:
        assert same(metrics.peak_queue(run, pool), metrics.peak_queue(rows, pool))
        one, other = (metrics.pool_timeline(r, pool, begin=window[0]) for r in (run, rows))
        pd.testing.assert_series_equal(one.pop("saturated"), other.pop("saturated"))
        assert close(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_shipped_scenarios_are_those_of_their_rows(name):
    """Under one playbook of each; that the timeline is that of the rows is held for all of them beside the engines."""
    scenario = load(name, sets=SMALL[name])
    run = simulate(scenario, list(scenario.playbooks)[-1])
    assert_same_figures(run)
    assert run.timeline.meets(run_in_bins(run).timeline.edges), "all windows of a verdict are whole bins"


@pytest.mark.parametrize("playbook", ["march-2025", "waitlist"])
def test_a_warm_up_is_left_out_of_both(playbook):
    run = simulate(load("viral-image-launch", sets={**SMALL["viral-image-launch"], "warm_up": "3 h"}), playbook)
    assert_same_figures(run)
    assert metrics.peak_queue(run, "fleet")["at"] >= 3 * 3600


def test_figures_are_those_of_the_rows_when_images_bring_people():
    run = simulate(load("viral-image-launch", override="word-of-mouth", sets={"scale": "1/6000", "horizon": "2 days"}))
    assert verdict(run).signups["invited"] > 100
    assert_same_figures(run)


@st.composite
def aligned(draw: st.DrawFn) -> dict[str, Any]:
    """A random document whose horizon, warm-up and windows are whole bins of ten seconds."""
    horizon = draw(st.integers(6, 90))
    return {
        **draw(documents(mortal=True)),
        "horizon": f"{horizon * 10} s",
        "warm_up": f"{draw(st.sampled_from([0, 1, horizon // 2])) * 10} s",
        "alive": {"window": "10 s", "kept": draw(st.sampled_from([0, 0.8]))},
    }


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=aligned(), how=HOW)
def test_figures_of_any_mix_of_mechanisms_are_those_of_the_rows(document, how):
    playbook, unlimited = how
    assert_same_figures(simulate(scenario_from(document), playbook, seed=3, unlimited=unlimited))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=long_documents())
def test_figures_are_those_of_the_rows_when_people_come_back(document):
    assert_same_figures(simulate(scenario_from(document), "one", seed=3))


def test_a_window_between_bins_is_counted_from_the_rows():
    run = simulate(load("steady", sets={"horizon": "20 min"}))
    width, arrived = bin_width(run.horizon), run.requests["arrived"]
    assert run.timeline is not None
    assert run.timeline.meets(np.array([2 * width, 5 * width]))
    assert not run.timeline.meets(np.array([2.5 * width, 5 * width]))
    for begin in (2.5 * width, 2 * width, 0.0):
        found = metrics.outcomes(run, window=(begin, 5 * width)).loc["all", "attempts"]
        assert found == ((arrived >= begin) & (arrived < 5 * width)).sum() > 0


def test_bins_of_a_timeline_add_up_to_wider_ones_and_to_empty_ones():
    run = simulate(load("steady", sets={"horizon": "20 min"}))
    width, arrived = bin_width(run.horizon), run.requests["arrived"]
    edges = np.array([0, 3, 3, 50, 120]) * width
    assert run.timeline is not None
    wide = run.timeline.between(edges)
    assert wide.counts[..., ATTEMPTS].sum(axis=(1, 2)).tolist() == np.histogram(arrived, edges)[0].tolist()
    assert wide.queue.sum() == pytest.approx(run.timeline.queue.sum())
    nothing = run.timeline.between(np.array([0.0, 0.0]))
    assert nothing.counts.sum() == nothing.seconds.sum() == 0


# The parts of a timeline.


def test_a_bin_is_a_minute_or_a_whole_part_of_what_is_drawn():
    for horizon in (60.0, 600.0, 7200.0, 86400.0, 9 * 86400.0, 23 * 86400.0, 10 * 365 * 86400.0):
        width, drawn = bin_width(horizon), max(10.0, horizon / 216)
        assert width <= max(60, horizon / MOST_BINS)
        assert drawn / width == pytest.approx(round(drawn / width), rel=1e-12)


@pytest.mark.parametrize("horizon", [1, 3, 5, 6, 14, 25, 65, 95])
def test_a_short_run_has_a_bin_too(horizon):
    edges = grid(float(horizon))
    assert len(edges) >= 2
    assert (edges[0], edges[-1]) == (0, horizon)
    run = simulate(load("steady", sets={"horizon": f"{horizon} s", "warm_up": 0, "demand.0.rate": "20 per s"}))
    assert run.timeline is not None
    rows = run.requests
    assert run.timeline.counts[..., ATTEMPTS].sum() == len(rows)
    per_bin = run.timeline.counts[..., ATTEMPTS].sum(axis=(1, 2)).tolist()
    assert per_bin == np.histogram(rows["arrived"], edges)[0].tolist()


def test_a_value_is_within_the_error_of_the_middle_of_its_bucket():
    found = middles()
    assert len(found) == BUCKETS
    assert (found[0], found[-1]) == (0, math.inf)
    inner = found[1:-1]
    assert (np.diff(inner) > 0).all()
    assert inner[0] < 2**-10 * (1 + 2 * ERROR)
    assert inner[-1] > 2**30 * (1 - 2 * ERROR)
    edges = (inner[1:] + inner[:-1]) / 2  # the buckets to both sides are a little wider or narrower at a power of two
    assert (np.maximum(inner[1:] / edges, edges / inner[:-1]) - 1 < 1.5 * ERROR).all()


def parts(seeds: range) -> list[Timeline]:
    scenario = load("million-signup-hour", sets=SMALL["million-signup-hour"])
    found = [simulate(scenario, seed=seed).timeline for seed in seeds]
    return [timeline for timeline in found if timeline is not None]


def test_timelines_add_up():
    one, two, three = parts(range(1, 4))
    whole = added([one, two, three], warm_up=0.0)
    for name in ("counts", "seconds", "queue", "signups", "latencies", "joules"):
        expected = one.arrays()[name] + two.arrays()[name] + three.arrays()[name]
        np.testing.assert_allclose(whole.arrays()[name], expected, rtol=1e-12)
    assert whole.people["came"] == whole.signups.sum() == sum(part.people["came"] for part in (one, two, three))
    longest, at, drain, left = whole.peaks[0]
    queue = whole.queue[:, 0] / whole.width
    assert longest == queue.max() == queue[round(at / whole.width)]
    assert longest <= sum(part.peaks[0, 0] for part in (one, two, three))
    assert left == sum(part.peaks[0, 3] for part in (one, two, three))
    if not math.isnan(drain):
        assert queue[round((at + drain) / whole.width)] == 0
