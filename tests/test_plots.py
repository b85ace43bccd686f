"""Figures show what the tables say, in full-scale units, and the same run gives the same bytes."""

import contextlib
import io
import math
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams
from matplotlib.dates import num2date
from matplotlib.figure import Figure
from matplotlib.text import Text

from sim import load, plots, simulate
from sim.plots import axes, marks, over_time
from sim.plots.sweep_map import sweep_figure
from sim.policies.access import Waitlist
from sim.policies.base import ABSENT
from sim.policies.faults import PowerCap
from sim.policies.limits import RateLimit
from sim.policies.playbook import Timed
from sim.results.intents import intents
from sim.results.metrics import outcomes, pool_timeline, timeline
from sim.results.run import Run
from sim.wording import rate_unit

SETS = {
    "demand.0.rate": "6 per second",
    "pools.gpus.gpus": 10,
    "behaviour.patience": {"kind": "exponential", "mean": "60 s"},
    "serving.notices_leaving": True,
    "behaviour.requests.requests": 2,
    "tiers": {"free": {"share": 0.8}, "pro": {"share": 0.2}},
    "scale": "1/2",
}


@pytest.fixture(scope="module")
def run() -> Run:
    policies = [
        Timed(RateLimit(rate="1 per minute", tiers=["free"]), 2000.0, 4000.0),
        Timed(Waitlist(rate="5 per second"), 3000.0),
    ]
    return simulate(load("steady", sets=SETS), policies)


def axis():
    return Figure().subplots()


def stairs(ax, label):
    """Values and edges of the outline drawn under a label."""
    patch = next(patch for patch in ax.patches if patch.get_label() == label)
    return patch.get_data().values, patch.get_data().edges


def test_every_figure_of_a_run_is_made(run):
    assert tuple(plots.run_figures(run)) == plots.FIGURES


def test_demand_is_drawn_in_people_and_asks_of_the_whole_service(run):
    ax = axis()
    plots.demand(run, ax)
    values, edges = stairs(ax, "first requests")
    assert ax.get_ylabel() == "requests per second"
    total = float((values * np.diff(edges) * 86400).sum())
    assert total == pytest.approx((run.requests["attempt"] == 0).sum() / run.scale)


def test_the_unit_of_a_rate_suits_its_size():
    assert rate_unit(50.0) == (1.0, "second")
    assert rate_unit(0.05) == (60.0, "minute")
    assert rate_unit(0.0) == (86400.0, "day")


def test_time_runs_in_utc_dates_from_start_to_horizon(run):
    ax = axis()
    plots.signups(run, ax)
    begin, end = (num2date(x).strftime("%Y-%m-%d %H:%M %Z") for x in ax.get_xlim())
    assert (begin, end) == ("2025-01-01 00:00 UTC", "2025-01-01 02:00 UTC")
    assert "UTC" in ax.get_xlabel()


@pytest.mark.parametrize(("horizon", "ticks"), [("9 days", ["27 Dec", "29 Dec", "31 Dec"]), ("20 s", ["17:00:05"])])
def test_ticks_are_whole_and_evenly_spaced_across_a_month(run, horizon, ticks):
    seconds = {"9 days": 9 * 86400.0, "20 s": 20.0}[horizon]
    moved = replace(run, manifest={**run.manifest, "horizon": seconds})
    moved.manifest.update(start="2024-12-25T17:00:00+00:00", warm_up=0.0)
    ax = axis()
    axes.date_axis(ax, moved)
    found = [label.get_text() for label in ax.get_xticklabels()]
    assert [tick for tick in ticks if tick in found] == ticks
    assert len(set(np.diff(ax.get_xticks()).round(9))) == 1


def test_queues_are_drawn_at_full_scale(run):
    ax = axis()
    plots.queue(run, ax)
    values, _ = stairs(ax, "gpus")
    np.testing.assert_allclose(values, pool_timeline(run, "gpus")["queued"] / run.scale)


def test_saturation_is_shaded_and_load_is_relative_to_capacity(run):
    ax = axis()
    plots.load(run, "gpus", ax)
    table = pool_timeline(run, "gpus")
    assert table["saturated"].any()
    assert "saturated" in ax.get_legend_handles_labels()[1]
    np.testing.assert_allclose(stairs(ax, "GPUs busy")[0], table["utilisation"])
    np.testing.assert_allclose(stairs(ax, "load with retries")[0], table["offered"])


def test_a_load_of_many_times_the_capacity_is_drawn_on_a_logarithm(run):
    ax = axis()
    table = pool_timeline(run, "gpus")
    table["offered"] *= 50
    plots.load(run, "gpus", ax, table)
    assert ax.get_yscale() == "symlog"
    assert "log" in ax.get_ylabel()


def test_a_title_above_labels_of_decisions_is_inside_the_figure(run):
    """Each row of labels takes 11 points from the axes, not from the title above them."""
    figure, (ax,) = axes.over_time(3.4)
    plots.outcomes(run, ax)
    figure.draw_without_rendering()
    (title,) = (one for one in ax.findobj(Text) if one.get_text() == "Outcomes of attempts")
    assert title.get_window_extent().y1 <= figure.bbox.y1


def test_outcomes_are_stacked_to_all_that_ended(run):
    ax = axis()
    plots.outcomes(run, ax)
    values, edges = stairs(ax, "abandoned")
    ended = timeline(run)[["served", "degraded", "refused", "abandoned"]].to_numpy().sum()
    assert float((values * np.diff(edges) * 86400).sum()) == pytest.approx(ended / run.scale)


def test_decisions_are_labelled_once_and_near_ones_share_a_mark(run):
    found = marks.moments(run)
    assert found == [(2040.0, ["rate limit"]), (3000.0, ["waitlist"]), (4020.0, ["rate limit ends"])]
    ax = axis()
    plots.outcomes(run, ax)
    assert [text.get_text() for text in ax.texts if "limit" in text.get_text()] == ["rate limit", "rate limit ends"]


def test_a_policy_that_turns_its_knob_all_day_is_not_labelled_a_hundred_times(run):
    flapping = pd.DataFrame(
        {
            "time": np.arange(0.0, 7200.0, 60.0),
            "knob": "level",
            "tier": "free",
            "feature": "image",
            "old": 0.0,
            "new": 1.0,
            "policy": "degrade under load",
            "reason": None,
        }
    )
    busy = replace(run, decisions=flapping)
    ax = axis()
    plots.outcomes(busy, ax)
    assert sum("degrade" in text.get_text() for text in ax.texts) == 1
    assert len(ax.lines) <= marks.MOST_LINES


def test_a_curve_of_latency_ends_at_the_share_that_ever_got_an_image(run):
    ax = axis()
    wishes = intents(run)
    plots.latency(run, ax)
    for tier, line in zip(run.manifest["tiers"], ax.lines[:2], strict=True):
        of_tier = wishes[(wishes["tier"] == tier) & wishes["decided"]]
        assert line.get_ydata()[-1] == pytest.approx(np.isfinite(of_tier["latency"]).mean())
        assert line.get_ydata()[-1] < 1
        within = np.interp(10.0, *line.get_data())
        assert within == pytest.approx((of_tier["latency"] <= 10.0).mean(), abs=0.01)
    assert ax.get_xscale() == "log"


def test_a_drawn_curve_has_few_points_however_many_the_asks():
    x, y = plots.one_run.thinned(np.sort(np.random.default_rng(1).lognormal(3, 1, 300_000)), 400_000)
    assert len(x) < 1000
    assert y[-1] == 0.75


def test_a_run_in_which_nothing_happens_can_be_drawn(tmp_path):
    empty = simulate(load("steady", sets={"demand.0.rate": "0 per day"}))
    assert len(empty.requests) == 0
    files = plots.save_figures(empty, tmp_path, kinds=("svg",))
    assert all(ElementTree.parse(file) for file in files)


def test_saved_figures_are_whole_files_of_each_kind(run, tmp_path, monkeypatch):
    some = {name: plots.run_figure(run, name) for name in ("demand", "queue", "cohort")}
    monkeypatch.setattr(plots, "run_figures", lambda run: some)
    files = plots.save_figures(run, tmp_path / "figures")
    assert sorted(file.name for file in files) == sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert len(files) == 2 * len(some)
    for file in files:
        assert file.read_bytes().startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml")


def test_the_same_run_gives_the_same_bytes_in_another_process_without_pyplot(tmp_path):
    code = (
        "import hashlib, sys; from sim import load, plots, simulate\n"
        "run = simulate(load('steady', sets={'horizon': '20 min'}))\n"
        "made = [plots.run_figure(run, name) for name in ('queue', 'latency')]\n"
        "print([hashlib.sha256(plots.svg_text(f).encode() + plots.png_bytes(f)).hexdigest() for f in made])"
    )
    alone = "\nimport sim.report; sys.exit('matplotlib.pyplot' in sys.modules)"  # which has a state of its own
    here = io.StringIO()
    with contextlib.redirect_stdout(here):
        exec(code, {})
    other = subprocess.run([sys.executable, "-c", code + alone], capture_output=True, text=True, check=True).stdout
    assert here.getvalue() == other


def test_drawing_leaves_no_global_state(run):
    before = dict(rcParams)
    plots.svg_text(plots.run_figure(run, "queue"))
    assert dict(rcParams) == before


@pytest.mark.parametrize("name", [r"$\frac{", "_hidden", "日本語", "<script>alert(1)</script>", "x" * 200])
def test_any_name_can_be_drawn_and_is_never_mathematics(name):
    sets = {**SETS, "horizon": "30 min", "tiers": {name: {"share": 1}}}
    figure = plots.run_figure(simulate(load("steady", sets=sets)), "latency")
    drawn = ElementTree.fromstring(plots.svg_text(figure))
    assert not [node for node in drawn.iter() if node.tag.endswith("script")]
    legend = figure.axes[0].get_legend()
    assert legend is not None
    shown = [text.get_text() for text in legend.get_texts()]
    assert len(shown) == 1
    assert len(shown[0]) < 60


def differences() -> pd.DataFrame:
    columns = ["playbook", "metric", "mean", "mean_low", "mean_high", "difference", "low", "high"]
    rows = [
        ("b", "attainment", 0.9, 0.8, 0.95, 0.4, 0.3, 0.5),
        ("b", "p95_latency", 30.0, 20.0, 40.0, -math.inf, math.nan, math.nan),
        ("b", "signups_lost", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        ("a", "attainment", 0.5, math.nan, math.nan, 0.0, 0.0, 0.0),
        ("a", "p95_latency", math.inf, math.nan, math.nan, math.nan, math.nan, math.nan),
        ("a", "signups_lost", 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_playbooks_stand_best_first_with_intervals_where_there_are_any():
    ax = axis()
    plots.playbooks(differences(), "attainment", ax, baseline="a")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a (baseline)"]
    bars = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2 and line.get_linewidth() > 2]
    np.testing.assert_allclose(bars, [[80.0, 95.0]])


def test_a_latency_without_end_is_written_as_never():
    ax = axis()
    plots.playbooks(differences(), "p95_latency", ax)
    assert [text.get_text() for text in ax.texts] == ["never"]


def test_a_measure_that_is_zero_for_all_gets_no_panel():
    figure = plots.comparison_figure(differences(), baseline="a")
    shown = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert shown == ["requests in time (%)", "p95 latency of all requests (s)"]
    assert plots.svg_text(figure) == plots.svg_text(figure)


def test_figures_and_tables_of_outcomes_agree(run):
    counts = outcomes(run, window=(0.0, run.horizon)).iloc[0]
    table = timeline(run)
    assert table["refused"].sum() == counts["refused"]
    assert table["served"].sum() + table["degraded"].sum() == counts["served"]


def test_a_clock_is_the_one_that_a_power_cap_leaves():
    """P = 0.1 + 0.9 clock^2.5, so a cap of 70 % leaves (0.6 / 0.9)^0.4 of the clock."""
    capped = simulate(
        load("steady", sets={**SETS, "horizon": "10 min", "warm_up": "0 s"}),
        [Timed(PowerCap(cap="70 %"), 120.0, 300.0)],
    )
    ax = axis()
    plots.clock(capped, ax, {"gpus": pool_timeline(capped, "gpus")})
    (line,) = ax.lines
    assert set(np.round(line.get_ydata(), 6)) == {100.0, round(100 * (0.6 / 0.9) ** 0.4, 6)}
    slow = (line.get_xdata() - line.get_xdata()[0]) * 86400
    assert slow[1:3] == pytest.approx([120.0, 300.0], abs=0.01)
    assert plots.run_figures(capped)["power"].axes[1].get_title(loc="left") == ax.get_title(loc="left")


def test_shares_far_apart_are_drawn_from_nothing_and_near_ones_are_not():
    rows = {"x": [1, 2], "playbook": ["none", "none"], "seed": [1, 1]}
    far, near = (sweep_figure(pd.DataFrame({**rows, "attainment": values}), ["x"]) for values in ([0.3, 1], [0.98, 1]))
    assert far.axes[0].get_ylim()[0] == 0
    assert near.axes[0].get_ylim()[0] > 90


def test_gpus_that_are_absent_for_any_reason_are_drawn():
    assert tuple(over_time.STATES) == ABSENT
