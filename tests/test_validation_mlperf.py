"""MLPerf's arrivals are made again to the nanosecond, and served by both engines as the published servers did."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sim.cli.main import app
from sim.errors import BadInput
from sim.validation.mlperf import (
    SHIPPED,
    arrivals_of,
    gaps_ns,
    loadgen_generator,
    mlperf_study,
    read_runs,
    replay_run,
    reported_latencies,
    rows_of_run,
    words_of_32_bits,
)
from tests.results import assert_unmoved, committed

RUNS = read_runs(SHIPPED).runs


def test_the_generator_is_the_twister_of_the_standard():
    """The first output for seed 5489 is in Matsumoto and Nishimura's reference; C++ fixes the 10000th."""
    drawn = words_of_32_bits(loadgen_generator(5489), 10_000)
    assert (drawn[0], drawn[9999]) == (3499211612, 4123659995)
    np.testing.assert_array_equal(words_of_32_bits(loadgen_generator(5489 + 2**32), 10), drawn[:10])


def test_gaps_are_exponential():
    gaps = gaps_ns(loadgen_generator(1), 4.0, 40_000) / 1e9
    assert abs(gaps.mean() * 4 - 1) < 3.5 / np.sqrt(40_000)
    assert abs(gaps.std() * 4 - 1) < 3.5 * np.sqrt(2 / 40_000)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_the_schedule_is_that_of_the_log_to_the_nanosecond(run):
    arrivals, duration = arrivals_of(run)
    assert (len(arrivals), duration) == (run.published.queries, run.published.duration_ns)
    assert arrivals[0] == 0
    assert arrivals[-2] < run.min_duration_s * 1e9 <= arrivals[-1]


def test_a_least_number_of_queries_makes_the_schedule_longer():
    run = RUNS[0].model_copy(update={"min_query_count": 9000})
    arrivals, _ = arrivals_of(run)
    assert len(arrivals) == 9000
    np.testing.assert_array_equal(arrivals[: RUNS[0].published.queries], arrivals_of(RUNS[0])[0])


def test_every_figure_agrees_and_nothing_was_fitted_to_the_first_run():
    made = mlperf_study()
    assert made.misses == []
    assert made.held == 3 * (3 + 8) + 3  # and the ranges of the run to which nothing is fitted
    assert assert_unmoved("mlperf", made.rows) == len(committed("mlperf")[1])
    assert (RUNS[0].fitted_service_s, RUNS[0].within) == (None, 0.07)
    assert [run.within for run in RUNS[1:]] == [0.035, 0.035]


@pytest.mark.parametrize("run", RUNS[::2], ids=lambda run: run.name)
def test_both_engines_and_fifteen_lines_serve_the_arrivals_alike(run):
    arrivals, _ = arrivals_of(run)
    one, other = (reported_latencies(replay_run(run, arrivals, run.service_s, engine=e)) for e in ("compiled", "simpy"))
    assert one == other
    times, free, found = arrivals / 1e9, np.zeros(run.gpus), []
    for first in range(0, len(times), run.max_batch):
        batch = times[first : first + run.max_batch]
        ready = batch[-1] if len(batch) == run.max_batch else batch[0] + run.batch_timeout_s
        gpu = free.argmin()
        free[gpu] = max(free[gpu], ready) + run.service_s
        found += list(free[gpu] - batch)
    assert one["mean"] == pytest.approx(np.mean(found), rel=1e-9)
    assert one["max"] == pytest.approx(max(found), rel=1e-9)


def changed(tmp_path, change):
    document = json.loads(SHIPPED.read_text(encoding="utf-8"))
    change(document)
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "words_"),
    [
        (lambda d: d.update(format="other"), "not a file of MLPerf runs"),
        (lambda d: d["runs"][0].update(seed=-1), "runs.0.seed"),
        (lambda d: d["runs"][0].update(seed=2**64), "runs.0.seed"),
        (lambda d: d["runs"][0].update(gpus="8"), "runs.0.gpus"),
        (lambda d: d["runs"][0].update(colour="red"), "runs.0.colour"),
        (lambda d: d["runs"][0].pop("target_qps"), "runs.0.target_qps"),
        (lambda d: d["runs"][0].update(fitted_service_s=4.0), "exactly one of"),
        (lambda d: d["runs"][0].update(target_qps=1e6), "at most 1e\\+06 queries"),
        (lambda d: d["runs"][0].update(target_qps=1e-4, min_query_count=10_000), "would last"),
        (lambda d: d["runs"][0]["published"]["latency_s"].update(p99=0), "latency_s.p99"),
    ],
)
def test_a_bad_file_is_refused_with_its_key(tmp_path, change, words_):
    with pytest.raises(BadInput, match=words_):
        read_runs(changed(tmp_path, change))


def test_the_command_takes_a_file_of_ones_own_and_shows_its_misses(tmp_path):
    def slower(document):
        document["runs"] = document["runs"][:1]
        document["runs"][0]["offline_samples_per_s"] = 12.5

    told = CliRunner().invoke(app, ["validate", "mlperf", str(changed(tmp_path, slower))])
    assert told.exit_code == 1
    assert "3 of 14 figures agree, 11 miss" in told.output


def test_a_rate_below_ten_a_second_is_compared_as_the_load_generator_prints_it(tmp_path):
    """With six significant digits, of which four decimals keep fewer; and what the seed fixes need not be given."""

    def as_printed(document):
        run = document["runs"][0]
        del run["published"]["queries"], run["published"]["duration_ns"]

    run = read_runs(changed(tmp_path, as_printed)).runs[0]
    arrivals, _ = arrivals_of(run)
    exact = (len(arrivals) - 1) / (arrivals[-1] / 1e9)
    found = {row.figure: row for row in rows_of_run(run)}
    assert "queries" not in found
    assert "length of the schedule" not in found
    assert found["scheduled rate"].predicted == float(f"{exact:.6g}")
