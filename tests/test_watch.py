"""The watch: its trend, its scores, and its forecasts on an incident that was simulated."""

import json
import math
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.main import get_command

from sim.calibration.asks import asks_of_run
from sim.calibration.log_readings import LogReadings
from sim.cli.main import app
from sim.cli.watch_command import watch as watch_command
from sim.demand.recordings.importing import ImportOptions
from sim.errors import BadInput
from sim.results.gateway_metrics import openmetrics
from sim.results.gateway_readings import Readings, readings
from sim.studies.near_future import CHANGES, DRIFT, FADES, TREND, growth_of, trend_of
from sim.studies.shadow import with_telemetry
from sim.studies.watch import Watcher, is_full, too_busy, watch
from sim.studies.watch_score import crps_of, score
from sim.studies.watch_words import in_json, in_words, sentence
from sim.tables.growing import pieces
from tests.random_scenarios import constant, plain


@pytest.mark.parametrize("change", CHANGES)
def test_the_interval_of_the_trend_covers_the_growth_that_made_the_counts(change):
    rng, lasts = np.random.default_rng(7), np.full(15, 60.0)
    inside = np.zeros(2)
    for _ in range(300):  # of paths drawn as the model says, half of the last minute's growth on top
        level, slope, path = math.log(2.0), rng.normal(0, math.hypot(TREND, change)), []
        for _ in range(15):
            path.append(level)
            now = np.array([level + 30.0 * slope, slope])
            level += 60.0 * slope + rng.normal(0, DRIFT)
            slope = slope * math.exp(-60.0 / FADES) + rng.normal(0, change)
        one = growth_of(rng.poisson(60.0 * np.exp(path)).astype(float), 60.0 * np.arange(15), lasts, change)
        inside += np.abs(np.array([one.level, one.slope]) - now) < 1.96 * np.sqrt(np.diag(one.covariance))
    assert (np.abs(inside / 300 - 0.95) < 0.033).all()  # 99 % of binomial counts


def test_growth_that_changes_fast_is_told_from_steady_growth():
    begins, lasts = -60.0 * np.arange(15, 0, -1), np.full(15, 60.0)
    steady = trend_of(600.0 * np.exp(0.001 * (begins + 900.0)), begins, lasts)
    launch = trend_of(np.where(begins < -300.0, 600.0, 600.0 * np.exp(0.01 * (begins + 300.0))), begins, lasts)
    assert steady.weights[0] > 0.8
    assert launch.weights[1] > 0.99


def test_counts_made_from_a_slice_are_as_uncertain_as_the_slice():
    counts, begins, lasts = np.array([3.0, 7, 4, 9, 12]), -60.0 * np.arange(5, 0, -1), np.full(5, 60.0)
    few, whole = trend_of(counts, begins, lasts), trend_of(100 * counts, begins, lasts)
    assert whole.level == pytest.approx(few.level + math.log(100))
    for one, other in zip(few.growths, whole.growths, strict=True):
        np.testing.assert_allclose(one.covariance, other.covariance)


def test_where_nobody_came_few_are_expected():
    found = trend_of(np.zeros(3), np.array([-180.0, -120.0, -60.0]), np.full(3, 60.0))
    futures = [found.draw(np.arange(0.0, 3600.0, 60.0), seed).sum() * 60.0 for seed in range(1, 101)]
    assert np.median(futures) < 30  # half a person in three minutes, for an hour
    assert max(futures) < 3e4


def test_a_launch_out_of_nothing_is_not_carried_on_without_bounds():
    counts = np.array([0.0, 0.0, 0.0, 0.0, 2000.0])
    found = trend_of(counts, np.array([-300.0, -240.0, -180.0, -120.0, -60.0]), np.full(5, 60.0))
    rates = np.array([found.draw(np.arange(0.0, 3600.0, 60.0), seed) for seed in range(1, 51)])
    assert rates.max() <= 10 * 2000.5 / 60
    assert np.median(rates[:, -1]) > 2000 / 60  # it is known to grow


def test_futures_begin_at_the_rate_of_now_and_their_trend_fades():
    begins, lasts = -60.0 * np.arange(15, 0, -1), np.full(15, 60.0)
    growth = math.log(2.0) / 600.0  # doubling in ten minutes
    found = trend_of(60.0 * 50.0 * np.exp(growth * (begins + 30.0)), begins, lasts)
    futures = np.array([found.draw(np.arange(0.0, 7200.0, 60.0), seed) for seed in range(1, 201)])
    median = np.median(futures, axis=0)
    assert median[0] == pytest.approx(50.0, rel=0.03)
    assert found.slope == pytest.approx(growth, rel=0.3)  # growth is expected to fade
    assert median[10] == pytest.approx(
        math.exp(found.level + found.slope * 1800 * (1 - math.exp(-600 / 1800))), rel=0.1
    )
    assert median[-1] < 50.0 * math.exp(growth * 1800) * 1.3


def test_the_score_of_a_normal_law_is_the_one_in_closed_form():
    norm = NormalDist()
    drawn = np.array([norm.inv_cdf((k + 0.5) / 2000) for k in range(2000)])
    for truth in (0.0, 1.5):
        closed = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / math.sqrt(math.pi)
        assert crps_of(drawn, truth) == pytest.approx(closed, abs=1e-3)
    assert crps_of(np.full(5, 4.0), 7.0) == 3.0


LOOKS = (60.0, 1200.0, 1620.0, 2400.0)  # seconds: two before the GPUs are full, and one after


def incident(**more):
    """Twenty GPUs of 10 s, and people whose number doubles every ten minutes: full after about half an hour."""
    points = [[f"{60 * k} s", f"{0.25 * 2 ** (k / 10)!r} per s"] for k in range(61)]
    return plain(
        {"constant": constant(10.0)},
        horizon="45 min",
        pools={"gpus": {"gpus": 20}},
        features={"image": {"spec": {"model": "constant"}}},
        demand=[{"kind": "piecewise", "points": points}],
        behaviour={"patience": {"kind": "exponential", "mean": "3 min"}},
        playbooks={"none": [], "bound": [{"policy": {"kind": "queue bound", "requests": 80}}]},
        **more,
    )


@pytest.fixture(scope="module")
def played():
    """The incident, its run with every row, and what its gateway saw."""
    scenario = incident(record="rows")
    return scenario, *with_telemetry(scenario, seed=3)


@pytest.fixture(scope="module")
def replayed(played):
    """The forecasts made on the metrics of the incident, and when its GPUs were full."""
    scenario, run, ticks = played
    text = openmetrics(scenario, run, ticks)
    watcher, origin = Watcher(scenario, ahead=1500.0, futures=8), scenario.start.timestamp()
    known, looks = Readings(scenario), []
    for reading in readings(text, "it"):
        known.take(reading)
        seen = known.telemetry(reading.time - origin)
        watcher.take(seen)
        if seen.now in LOOKS:
            looks.append((seen, watcher.forecast(seen)))
    full = next(seen.now for seen in ticks if is_full(scenario, seen))
    return scenario, looks, full, ticks[-1].now


def test_forecasts_of_an_incident_hold_what_happened_and_come_before_it(replayed):
    _, looks, full, ends = replayed
    forecasts = [found for _, found in looks if found is not None]
    found = score(forecasts, full, ends)
    assert found.looks >= 2
    assert found.lead >= 300.0
    assert found.crps < found.rival
    assert found.inside[0] >= 0.5


def test_once_full_it_says_so_and_what_helps(replayed):
    scenario, looks, _, _ = replayed
    last = looks[-1][1]
    assert last.full_now
    assert last.best == "bound"
    assert last.gain[1] > 0
    assert "full now" in sentence(scenario, last, last.now)
    assert "best now: bound" in sentence(scenario, last, last.now)


def test_its_lines_of_json_are_strict_json(replayed):
    scenario, looks, full, ends = replayed
    for seen, found in looks:
        facts = json.loads(in_json(scenario, found, seen.now), parse_constant=pytest.fail)
        assert facts["time"].startswith("2025-01-01T")
    forecasts = [found for _, found in looks if found is not None]
    assert "forecasts before" in in_words(scenario, score(forecasts, full, ends))


@pytest.fixture(scope="module")
def held():
    """A look after 40 minutes of the incident with a queue bound below what counts as full."""
    scenario = incident(record="rows")
    bound = {"tight": [{"policy": {"kind": "queue bound", "requests": 20}}], **scenario.document["playbooks"]}
    scenario = scenario.of_document({**scenario.document, "playbooks": bound})
    run, ticks = with_telemetry(scenario, "tight", seed=3)
    watcher = Watcher(scenario, ahead=600.0, futures=5)
    *_, (seen, found) = watch(watcher, readings(openmetrics(scenario, run, ticks), "it"), once=True)
    return scenario, seen, found


def test_where_refusals_keep_the_queue_short_it_says_so_and_compares(held):
    scenario, seen, found = held
    assert not found.full_now
    assert found.refused == pytest.approx(float(np.sum(seen.refused) / np.sum(seen.arrivals)))
    assert found.refused > 0.1
    assert set(found.compared) == {"tight", "none", "bound"}
    line = sentence(scenario, found, found.now)
    assert "% refused | not full, as requests are refused" in line
    assert "clearly better" in line or "best now" in line


def test_gauges_that_contradict_each_other_and_a_fleet_of_none_are_said(replayed):
    scenario, looks, _, _ = replayed
    pool = SimpleNamespace(busy=9, gpus=4)
    assert "more GPUs busy (9) than in service (4)" in too_busy(SimpleNamespace(pools={"gpus": pool}))[0]
    assert too_busy(looks[-1][0]) == []
    nobody = replace(looks[-1][1], use=math.nan)
    assert "no GPUs in service, " in sentence(scenario, nobody, nobody.now)


def test_a_score_without_alarm_or_full_gpus_speaks_of_neither(replayed):
    scenario, looks, _, ends = replayed
    calm = [replace(found, full=np.full(8, math.inf), full_now=False, ahead=60.0) for _, found in looks if found]
    said = in_words(scenario, score(calm, math.inf, ends))
    assert said.startswith("The GPUs were never full. There was no alarm. Of ")
    assert "before" not in said
    assert "No forecast could be scored" in in_words(scenario, score(calm[:1], 0.0, ends))


def test_no_playbook_is_said_to_be_no_better_that_was_not_run(replayed):
    scenario, looks, _, _ = replayed
    quiet = replace(looks[-1][1], full_now=False, full=np.full(8, math.inf), compared=("none",), gain=(0.0, 0.0, 0.0))
    assert "playbook" not in sentence(scenario, quiet, quiet.now)
    assert json.loads(in_json(scenario, quiet, quiet.now))["best"] is None


def test_asked_once_it_looks_at_the_last_reading_alone():
    scenario = incident()
    figures = {"gpus": 20, "gpus_busy": 0, "requests_queued": 0, "requests_inside": 0}
    text = [f'meltpoint_pool_{name}{{pool="gpus"}} {value} 1735690200\n' for name, value in figures.items()]
    text.append("meltpoint_signups_total 9 1735690200\n")
    looks = list(watch(Watcher(scenario), readings(text, "it"), once=True))
    assert [(seen.now, found) for seen, found in looks] == [(600.0, None)]  # one reading says no trend


@pytest.mark.parametrize("minutes", [1, 7, 10, 30])
def test_rare_looks_forecast_from_every_minute_between_them(played, minutes):
    scenario, run, ticks = played
    watcher = Watcher(scenario)
    watcher.forecast = lambda seen: watcher.trend(seen.now)
    text = openmetrics(scenario, run, ticks)
    looks = [(seen.now, found) for seen, found in watch(watcher, readings(text, "it"), every=60.0 * minutes)]
    assert np.diff([now for now, _ in looks]).min() == 60.0 * minutes
    assert all(found is not None for now, found in looks if now >= 240.0)


def test_looks_every_half_minute_are_made_every_half_minute(monkeypatch):
    known = SimpleNamespace(take=lambda reading: None, telemetry=lambda now: SimpleNamespace(now=now))
    monkeypatch.setattr("sim.studies.watch.Readings", lambda scenario: known)
    watcher = SimpleNamespace(scenario=incident(), take=lambda seen: None, forecast=lambda seen: None)
    origin = watcher.scenario.start.timestamp()
    came = [SimpleNamespace(time=origin + 10.0 * n) for n in range(13)]
    assert [seen.now for seen, _ in watch(watcher, came, every=30.0)] == [0.0, 30.0, 60.0, 90.0, 120.0]


def test_readings_that_come_seldom_are_kept_for_longer(played):
    scenario, run, ticks = played
    watcher = Watcher(scenario)
    for tick in readings_at(scenario, openmetrics(scenario, run, ticks), 600.0):
        watcher.take(tick)
    assert watcher.trend(2400.0) is not None


def readings_at(scenario, text, step):
    known, origin = Readings(scenario), scenario.start.timestamp()
    for reading in readings(text, "it"):
        known.take(reading)
        if (reading.time - origin) % step == 0:
            yield known.telemetry(reading.time - origin)


def test_a_playbook_that_is_not_there_is_refused():
    with pytest.raises(BadInput, match="no such playbook"):
        Watcher(incident(), playbooks=["none", "magic"])


def as_log(scenario, run, path: Path) -> Path:
    """The requests of a run in the order of their answers, as CSV with their durations."""
    asks = asks_of_run(run)
    at = [(scenario.start + timedelta(seconds=float(end))).isoformat() for end in asks.arrived + asks.lasted]
    table = pd.DataFrame({"time": at, "duration_s": asks.lasted, "path": "/image", "status": asks.status.astype(int)})
    table.iloc[np.argsort(asks.arrived + asks.lasted, kind="stable")].to_csv(path, index=False)
    return path


def minutes_of(scenario, found):
    known, origin = Readings(scenario), scenario.start.timestamp()
    for reading in found:
        known.take(reading)
        yield known.telemetry(reading.time - origin)


def test_a_log_of_answers_says_what_the_gateway_counted_and_who_was_inside(played, tmp_path):
    scenario, run, ticks = played
    log = LogReadings(scenario, ImportOptions(stamped="end"))
    seen = list(minutes_of(scenario, log.readings(as_log(scenario, run, tmp_path / "it.csv"))))
    inside = {tick.now: tick.pools["gpus"] for tick in ticks}
    asked = run.requests["arrived"].to_numpy()
    assert seen[-1].now >= 2340.0  # later minutes are not over: the answers at the end had taken five minutes
    for minute in seen[1:]:
        truth = inside[minute.now]
        assert minute.arrivals.sum() == ((asked > minute.now - 60.0) & (asked <= minute.now)).sum()
        assert abs(minute.pools["gpus"].inside - truth.inside) <= 1 + 0.02 * truth.inside  # who hung up stays in line
        assert abs(minute.pools["gpus"].busy - truth.busy) <= 1
    assert any("counted from the log" in note for note in log.notes)


def test_a_log_that_grows_and_is_rotated_says_the_same_as_the_whole_one(played, tmp_path):
    scenario, run, _ = played
    whole = as_log(scenario, run, tmp_path / "whole.csv")
    head, *lines = whole.read_text().splitlines(keepends=True)
    grows, parts = tmp_path / "grows.csv", np.array_split(np.array(lines, dtype=object), 4)
    grows.write_text(head + "".join(parts[0]) + parts[1][0][:9])  # the last line is half there

    def adds(text: str) -> None:
        with grows.open("a") as file:
            file.write(text)

    def rotates() -> None:
        grows.rename(tmp_path / "old.csv")
        grows.write_text(head + "".join(parts[3]))

    steps = [lambda: adds("".join(parts[1])[9:]), lambda: adds("".join(parts[2])), rotates]
    options = ImportOptions(stamped="end")
    expected = list(LogReadings(scenario, options).readings(whole))
    growing = pieces(grows, lambda _: steps.pop(0)())
    found = list(islice(LogReadings(scenario, options).of_pieces(grows, growing), len(expected)))
    assert len(found) > 35
    for one, other in zip(found, expected, strict=True):
        assert one.time == other.time
        attempts = "meltpoint_attempts_total", ("everyone", "image")
        assert one.values.get(attempts) == other.values.get(attempts)


def test_a_growing_log_of_iis_may_change_its_fields(tmp_path):
    def more() -> None:
        with log.open("a") as file:
            file.write("#Fields: time date time-taken sc-status\n12:05:00 2025-03-31 1000 200\n")

    log = tmp_path / "iis.log"
    rows = "".join(f"2025-03-31 12:00:{k:02} 200 1000\n" for k in range(30))
    log.write_text("#Version: 1.0\n#Fields: date time sc-status time-taken\n" + rows)
    steps = [more]
    growing = pieces(log, lambda _: steps.pop(0)())
    read = LogReadings(incident(start="2025-03-31"))
    minutes = [reading.time - 1743422400.0 for reading in read.of_pieces(log, islice(growing, 2))]
    assert minutes == [0, 60, 120, 180, 240]  # after 12:00: known up to a second, which answers take, before 12:05


def test_a_minute_of_a_growing_log_with_health_checks_alone_is_quiet(tmp_path):
    row = '192.0.2.7 - - [31/Mar/2025:{} +0000] "GET {} HTTP/1.1" 200 2 "-" "x" 0.5\n'
    asks = "".join(row.format(f"10:00:{k:02}", "/gen") for k in range(20))
    found = []
    for place, text in enumerate((asks, row.format("10:00:50", "/healthz"), row.format("10:03:01", "/gen"))):
        found.append(tmp_path / f"{place}.log")
        found[-1].write_text(text)
    log = LogReadings(incident(start="2025-03-31"))
    assert [seen.time % 3600 for seen in log.of_pieces(found[0], found)] == [0, 60, 120, 180]


def test_without_durations_the_queue_is_the_work_less_what_the_gpus_can_do(tmp_path):
    scenario, log = incident(), tmp_path / "it.csv"
    at = [(scenario.start + timedelta(seconds=k / 4)).isoformat() for k in range(3 * 240)]  # 4 a second, of 10 s each
    pd.DataFrame({"time": at, "status": 200}).to_csv(log, index=False)
    read = LogReadings(scenario, ImportOptions(stamped="start"))
    queued = [seen.pools["gpus"].queued for seen in minutes_of(scenario, read.readings(log))]
    assert queued == pytest.approx([120, 240], abs=2)  # 20 GPUs do 120 a minute
    assert any("the log has no durations" in note for note in read.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one thing to watch"),
        ({"metrics": "a", "log": Path("b")}, "one thing to watch"),
        ({"metrics": "a", "stamped": "end"}, "option of logs"),
        ({"log": Path("nowhere.log")}, "no such file"),
        ({"metrics": "a", "follow": True, "once": True}, "no last reading"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, said):
    with pytest.raises(BadInput, match=said):
        watch_command("steady", **options)


def test_counts_are_no_log_to_watch():
    with pytest.raises(BadInput, match="counts and no requests"):
        list(LogReadings(incident()).readings(Path("tests/operator_files/prometheus_counter_range.json")))


def test_the_playbooks_of_every_command_that_takes_several_may_be_named_in_the_singular():
    for command in ("compare", "decide", "size", "sweep", "watch"):
        found = get_command(app).commands[command].params
        assert [one.opts for one in found if one.name == "playbooks"] == [["--playbooks", "--playbook"]]
