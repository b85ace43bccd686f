"""Curves fitted to counts: what generated them comes back, intervals hold, and no more is said than that."""

import io
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from sim.demand.fitting.counts import Counts, read_counts
from sim.demand.fitting.fit import correlation_factor, fit_all, lag_one, weights
from sim.demand.fitting.forecast import FUTURES, QUANTILES, demand_block, fan_of_futures, futures_each, sentences
from sim.demand.fitting.growth_curves import MODELS, chosen_models
from sim.demand.waves.launches import presets
from sim.errors import BadInput
from sim.model.streams import normal
from sim.scenario.scenario import Scenario
from sim.units import seconds as duration

HOUR, DAY = 3600.0, 86400.0
SCENARIOS = Path(__file__).parent.parent / "scenarios"
THREADS = SCENARIOS / "data" / "threads.csv"


def counts(times, totals) -> Counts:
    return Counts(np.asarray(times, dtype=float), np.asarray(totals, dtype=float))


def generated(name, values, times, *, noise=0.0, seed=0) -> Counts:
    """Counts of a curve, each off by an independent lognormal factor."""
    errors = [math.exp(noise * normal(seed, 99, k, 0)) for k in range(len(times))]
    return counts(times, MODELS[name].wave(values).cumulative(times) * errors)


def only(data, name, **options):
    return fit_all(data, [MODELS[name]], unbounded=True, **options)[0]


# The launch of Threads, for which a fit is published in the defaults of the waves.


@pytest.fixture(scope="module")
def threads():
    return {fit.model.name: fit for fit in fit_all(read_counts(THREADS))}


def test_weibull_fits_the_launch_of_threads_best(threads):
    best = next(iter(threads.values()))
    assert best.model.name == "weibull"
    assert best.values["people"] == pytest.approx(101.4e6, abs=0.05e6)
    assert best.values["scale"] == pytest.approx(35.4 * HOUR, abs=0.05 * HOUR)
    assert best.values["shape"] == pytest.approx(1.37, abs=0.005)
    assert 100 * best.rms == pytest.approx(2.4, abs=0.05)


def test_bass_fits_it_less_well_and_peaks_higher_and_later():
    """As published, with a market that may be smaller than the last count."""
    smaller = replace(MODELS["bass"].parameters[0], low=0.5, floor=0.0)
    free = replace(MODELS["bass"], parameters=(smaller, *MODELS["bass"].parameters[1:]))
    bass = fit_all(read_counts(THREADS), [free])[0]
    assert bass.values["people"] == pytest.approx(91.8e6, abs=0.05e6)
    assert bass.values["innovation"] * HOUR == pytest.approx(0.0112, abs=0.00005)
    assert bass.values["imitation"] * HOUR == pytest.approx(0.0905, abs=0.00005)
    assert 100 * bass.rms == pytest.approx(8.4, abs=0.05)
    assert bass.peak * HOUR == pytest.approx(2.6e6, abs=0.05e6)
    assert bass.peak_time == pytest.approx(20.5 * HOUR, abs=0.05 * HOUR)
    assert bass.wave.cumulative(HOUR) == pytest.approx(1.07e6, abs=0.005e6)


def test_a_hazard_that_does_not_grow_is_off_by_a_quarter():
    """The 'pure exponential' published with the fit, off by 24 %, is the saturating one: Weibull of shape 1."""
    data = read_counts(THREADS)

    def rms(scale):  # the mean of the residuals is the market
        return 100 * np.std(np.log(data.totals / -np.expm1(-data.times / scale)))

    assert optimize.minimize_scalar(rms, bounds=(HOUR, 1000 * HOUR)).fun == pytest.approx(24, abs=0.5)


def test_growth_without_end_is_no_better_than_a_straight_line(threads):
    assert 100 * threads["linear"].rms == pytest.approx(26, abs=0.5)
    assert 100 * threads["exponential"].rms == pytest.approx(26, abs=0.5)
    assert threads["exponential"].vague() == ["doubling"], "it would rather be a straight line"


def test_no_market_is_smaller_than_what_is_counted(threads):
    """Bass and the logistic would have 92 M people where 100 M are counted."""
    assert threads["bass"].values["people"] == pytest.approx(100e6)
    for fit in threads.values():
        assert fit.total >= 100e6
        if fit.model.ends:
            assert fit.values["people"] >= 100e6 * (1 - 1e-6)
            assert fit.low["people"] >= 100e6


def test_the_logistic_of_threads_is_its_bass_curve(threads):
    """A logistic counted from zero is Bass's curve with p = growth / (1 + e^(growth midpoint)), q = growth - p."""
    logistic, bass = threads["logistic"].values, threads["bass"].values
    innovation = logistic["growth"] / (1 + math.exp(logistic["growth"] * logistic["midpoint"]))
    assert innovation == pytest.approx(bass["innovation"], rel=1e-3)
    said = sentences(list(threads.values()), read_counts(THREADS))
    assert {"bass and logistic are the same curve here.", "logistic and bass are the same curve here."} & set(said)


def test_the_fifth_day_may_be_any_hour_of_it(threads):
    """Whether 100 M were reached at hour 100 or 120 moves the total by 1 % and the rest by less."""
    data = read_counts(THREADS)
    for hour in (100, 120):
        moved = only(counts([*data.times[:-1], hour * HOUR], data.totals), "weibull")
        for name, value in moved.values.items():
            assert value == pytest.approx(threads["weibull"].values[name], rel=0.01)


# What generated the counts comes back.

times = np.linspace(0.08, 2.0, 12)


@settings(max_examples=25, deadline=None)
@given(
    people=st.floats(1e3, 1e9),
    span=st.floats(HOUR, 300 * DAY),
    scale=st.floats(0.2, 1.0),
    shape=st.floats(1.05, 4.0),
)
def test_weibull_comes_back(people, span, scale, shape):
    values = {"people": people, "scale": scale * span, "shape": shape}
    found = only(generated("weibull", values, span * times), "weibull")
    assert found.values == pytest.approx(values, rel=1e-3)
    assert found.rms < 1e-6


@settings(max_examples=25, deadline=None)
@given(
    people=st.floats(1e3, 1e9),
    span=st.floats(HOUR, 300 * DAY),
    innovation=st.floats(0.005, 1.0),
    imitation=st.floats(2.0, 8.0),
)
def test_bass_comes_back(people, span, innovation, imitation):
    values = {"people": people, "innovation": innovation / span, "imitation": imitation / span}
    assert only(generated("bass", values, span * times), "bass").values == pytest.approx(values, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(span=st.floats(HOUR, 300 * DAY), growth=st.floats(3.0, 9.0), midpoint=st.floats(0.3, 1.2))
def test_the_logistic_comes_back(span, growth, midpoint):
    values = {"people": 1e6, "growth": growth / span, "midpoint": midpoint * span}
    found = only(generated("logistic", values, span * times), "logistic")
    assert found.values == pytest.approx(values, rel=1e-3)


@settings(max_examples=25, deadline=None)
@given(first=st.floats(1e-3, 1e3), span=st.floats(HOUR, 300 * DAY), doubling=st.floats(0.05, 1.0))
def test_exponential_growth_comes_back(first, span, doubling):
    values = {"first": first, "doubling": doubling * span}
    assert only(generated("exponential", values, span * times), "exponential").values == pytest.approx(values, rel=1e-3)


@given(rate=st.floats(1e-3, 1e3), span=st.floats(HOUR, 300 * DAY))
def test_a_straight_line_comes_back(rate, span):
    assert only(counts(span * times, rate * span * times), "linear").values["rate"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("weibull", {"people": 1e6, "scale": 30 * HOUR, "shape": 2.0}),
        ("bass", {"people": 1e6, "innovation": 0.002 / HOUR, "imitation": 0.12 / HOUR}),
        ("exponential", {"first": 0.1, "doubling": 10 * HOUR}),
        ("linear", {"rate": 3.0}),
    ],
)
def test_the_curve_that_generated_the_counts_wins(name, values):
    """By AICc over enough points; logistic and Bass are one curve from zero, so either may be named."""
    data = generated(name, values, np.linspace(3, 80, 40) * HOUR, noise=0.01)
    best = fit_all(data, unbounded=True)[0]
    assert best.model.name in ({"bass", "logistic"} if name == "bass" else {name})


# How sure.


def test_intervals_hold_the_truth_in_95_of_100_fits():
    """Where errors are as the formula has them: independent, lognormal, of one size."""
    truth = {"people": 1e6, "scale": 30 * HOUR, "shape": 1.6}
    seeds = range(100)
    at = np.linspace(3, 40, 15) * HOUR  # 79 % of the market: no count is above it by error
    fits = [only(generated("weibull", truth, at, noise=0.03, seed=s), "weibull") for s in seeds]
    for name, value in truth.items():
        held = sum(fit.low[name] <= value <= fit.high[name] for fit in fits)
        z = (held - 0.95 * len(seeds)) / math.sqrt(0.95 * 0.05 * len(seeds))
        assert abs(z) < 3.5, f"{name}: {held} of {len(seeds)}"


def test_few_points_widen_the_interval_by_students_t(threads):
    """Six points and three figures leave three degrees of freedom: t(0.975, 3) = 3.182, not 1.96."""
    fit = threads["weibull"]
    for k, name in enumerate(fit.free):
        reach = math.log(fit.high[name] / fit.values[name])
        assert reach == pytest.approx(3.1824 * math.sqrt(fit.covariance[k, k]), rel=1e-4)


def test_the_fan_widens_beyond_the_data_and_holds_the_fit():
    truth = {"people": 1e6, "scale": 60 * HOUR, "shape": 1.6}
    data = generated("weibull", truth, np.linspace(3, 50, 15) * HOUR, noise=0.03)
    fit = only(data, "weibull")
    ahead = np.array([60.0, 80.0, 100.0, 200.0]) * HOUR
    futures = fan_of_futures(fit, ahead)
    width = np.log(futures.totals[-1] / futures.totals[0])
    assert np.all(np.diff(width) > 0)
    assert np.all(np.diff(futures.totals, axis=0) >= 0), "quantiles ascend"
    assert np.all((futures.totals[0] < fit.wave.cumulative(ahead)) & (fit.wave.cumulative(ahead) < futures.totals[-1]))


def test_the_fan_holds_the_truth_as_often_as_it_says():
    """The next count, error included, falls into the 95 % band in 95 of 100 worlds."""
    truth = {"people": 1e6, "scale": 30 * HOUR, "shape": 1.6}
    at = np.linspace(3, 40, 12) * HOUR  # the next count is so much higher that its error cannot put it below the last
    seeds = range(60)
    held = 0
    for seed in seeds:
        data = generated("weibull", truth, at, noise=0.03, seed=seed)
        then = float(MODELS["weibull"].wave(truth).cumulative(52 * HOUR)) * math.exp(0.03 * normal(seed, 98, 0, 0))
        low, high = fan_of_futures(only(data, "weibull"), np.array([52 * HOUR]), seed).totals[[0, -1], 0]
        held += low <= then <= high
    share = QUANTILES[-1] - QUANTILES[0]
    assert abs(held - share * len(seeds)) / math.sqrt(share * (1 - share) * len(seeds)) < 3.5


def test_the_fan_is_the_same_for_a_seed_and_another_for_another(threads):
    ahead = np.array([200 * HOUR])
    first, again, other = (fan_of_futures(threads["weibull"], ahead, seed).totals for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_aicc_is_unknown_where_its_correction_has_no_meaning():
    """n - k - 1 = 0 for five points and three figures with the error's variance."""
    at = np.array([1, 2, 3, 4, 5.0]) * DAY
    fit = fit_all(counts(at, [1, 2, 4, 7, 9]), [MODELS["weibull"]], people=20)[0]
    assert fit.aicc == pytest.approx(5 * math.log(fit.rms**2) + 2 * 3 + 2 * 3 * 4 / 1)
    fit = fit_all(counts(at[:4], [1, 2, 4, 7]), [MODELS["weibull"]], people=20)[0]
    assert math.isnan(fit.aicc)


# What the data do not say.


def test_growth_that_has_not_bent_tells_no_market():
    at = np.linspace(3, 60, 12)
    data = counts(at * HOUR, 2000 * np.expm1(at / 14) * np.exp([0.02 * normal(0, 99, k, 0) for k in range(12)]))
    fit = only(data, "bass")
    assert "people" in fit.vague()
    assert "bass: people" in " ".join(sentences([fit], data))


def test_a_shape_below_1_is_said():
    """Growth as the root of time is steepest at the beginning; the wave's rate must begin finite."""
    at = np.linspace(2, 60, 12) * HOUR
    data = counts(at, -1e6 * np.expm1(-np.sqrt(at / DAY)))
    fit = only(data, "weibull")
    assert fit.values["shape"] == pytest.approx(1, abs=1e-3)
    assert "a shape below 1" in " ".join(sentences([fit], data))


def test_a_straight_line_wants_a_shape_of_1_and_no_less():
    data = counts(np.linspace(1, 9, 9) * HOUR, np.linspace(1, 9, 9))
    fit = only(data, "weibull")
    assert "shape" in fit.bounded
    assert "a shape below 1" not in " ".join(sentences([fit], data))


def test_the_sentences_say_that_intervals_are_optimistic(threads):
    assert "The intervals are optimistic" in " ".join(sentences(list(threads.values()), read_counts(THREADS)))


def test_fewer_than_six_points_fit_no_market_unless_it_is_given():
    data = read_counts(THREADS)
    few = counts(data.times[:5], data.totals[:5])
    with pytest.raises(BadInput, match="cannot tell the size of the market") as refused:
        fit_all(few)
    assert refused.value.key == "--people"
    fit = fit_all(few, people=100e6)[0]
    assert fit.values["people"] == 100e6
    assert 0 < fit.low["scale"] < fit.values["scale"] < fit.high["scale"] < math.inf


def test_as_many_figures_as_points_are_refused():
    two = counts([HOUR, 2 * HOUR], [10, 30])
    with pytest.raises(BadInput, match="2 points are too few to fit 2 figures"):
        fit_all(two, people=100)
    assert fit_all(two, [MODELS["linear"]], unbounded=True)[0].values["rate"] > 0


def test_a_market_below_the_count_is_refused():
    with pytest.raises(BadInput, match="smaller than what was counted"):
        fit_all(read_counts(THREADS), people=99e6)


def test_unknown_and_repeated_models_are_refused():
    assert [m.name for m in chosen_models("bass, linear")] == ["bass", "linear"]
    for names in ("gompertz", "bass,bass", ""):
        with pytest.raises(BadInput):
            chosen_models(names)


# Curves without an end, and several curves in one fan.


def growing(*, until=24.0, doubling=3.0):
    """Counts that double every few hours and have not bent, off by 2 %."""
    at = np.linspace(1, until, 16)
    errors = np.exp([0.02 * normal(0, 99, k, 0) for k in range(16)])
    return counts(at * HOUR, 500 * np.expm1(math.log(2) / doubling * at) * errors)


def test_growth_without_an_end_is_no_forecast_unless_it_is_asked_for():
    data = growing()
    fits = fit_all(data, horizon=72 * HOUR)
    assert fits[0].model.ends
    assert {fit.model.name for fit in fits if not fit.forecasts} == {"exponential", "linear"}
    assert [fit.model.name for fit in fits[-2:]] == ["exponential", "linear"]
    assert weights(fits)[-2:] == [0, 0]
    assert "no forecast" in " ".join(sentences(fits, data))
    asked = fit_all(data, horizon=72 * HOUR, unbounded=True)
    assert asked[0].model.name == "exponential"
    assert asked[0].total == pytest.approx(500 * math.expm1(math.log(2) * 24), rel=0.5)
    with pytest.raises(BadInput, match="no end") as refused:
        fit_all(data, [MODELS["exponential"], MODELS["linear"]])
    assert "--unbounded" in refused.value.expected


def test_a_market_that_is_given_ends_every_forecast():
    data = growing()
    fits = fit_all(data, people=2e6, horizon=72 * HOUR)
    assert all(fit.forecasts and data.counted <= fit.total <= 2e6 for fit in fits)
    futures = fan_of_futures(fits, np.linspace(0, 72, 25) * HOUR)
    assert futures.totals.max() <= 2e6
    ends = {name: yaml.safe_load(demand_block(only(data, name, people=2e6), data, HOUR)) for name in MODELS}
    assert ends["exponential"]["demand"][0]["people"] == 2e6
    rate = only(data, "linear", people=2e6).values["rate"]
    assert duration(ends["linear"]["demand"][0]["lasting"]) == pytest.approx(2e6 / rate, rel=1e-4)


def test_no_future_has_fewer_people_than_are_counted():
    data = growing(until=12)
    futures = fan_of_futures(fit_all(data, horizon=30 * HOUR), np.array([6.0, 12.0, 13.0, 30.0]) * HOUR)
    assert np.all(futures.totals[:, 1:] >= data.counted)


def test_weights_are_akaikes():
    """Burnham and Anderson 2002: exp(-d / 2) over their sum, d the difference in AICc from the best."""
    at = np.linspace(3, 60, 40) * HOUR
    truth = {"people": 1e6, "scale": 40 * HOUR, "shape": 1.6}
    fits = fit_all(generated("weibull", truth, at, noise=0.2, seed=5), [MODELS["weibull"], MODELS["bass"]])
    apart = (fits[1].aicc - fits[0].aicc) / correlation_factor(fits[0])
    first, second = weights(fits)
    assert first + second == pytest.approx(1)
    assert second / first == pytest.approx(math.exp(-apart / 2))


def test_curves_that_are_the_same_share_one_weight():
    fits = fit_all(growing(), [MODELS["bass"], MODELS["logistic"], MODELS["weibull"]])
    by_name = dict(zip([fit.model.name for fit in fits], weights(fits), strict=True))
    assert by_name["bass"] == pytest.approx(by_name["logistic"], rel=0.1)
    alone = dict(
        zip(("bass", "weibull"), weights(fit_all(growing(), [MODELS["bass"], MODELS["weibull"]])), strict=False)
    )
    assert by_name["bass"] + by_name["logistic"] == pytest.approx(max(alone.values()), abs=0.05)


def test_the_fan_holds_curves_by_their_weight():
    data = growing()
    fits = fit_all(data)
    each = futures_each(fits)
    assert sum(each) == FUTURES
    assert sum(many > 0 for many in each) > 1
    for many, weight in zip(each, weights(fits), strict=True):
        assert many == pytest.approx(FUTURES * weight, abs=1)
    assert f"{fits[0].model.name} " in sentences(fits, data)[-2]


def test_correlated_errors_widen_the_fan():
    """The variance of a mean of errors with correlation c from one to the next is (1 + c) / (1 - c) times as large."""
    waves = only(
        counts(np.arange(1, 31) * HOUR, np.arange(1, 31) * np.exp(0.1 * np.sin(np.arange(30) / 1.5))), "linear"
    )
    c = lag_one(waves.residuals)
    assert c > 0.5
    assert correlation_factor(waves) == pytest.approx((1 + c) / (1 - c))
    assert correlation_factor(only(growing(), "exponential")) == pytest.approx(1, abs=0.7)


def held_out(preset, share):
    """How many of three counts after the first `share` of a preset the fan holds: by weight, and of the best alone."""
    until = np.geomspace(60, min(preset.lasting(), 400 * DAY), 20_001)
    so_far = preset.cumulative(until)
    head = float(until[np.searchsorted(so_far, share * so_far[-1])])
    at = np.linspace(0.1, 1, 12) * head
    errors = [math.exp(0.03 * normal(1, 99, k, 0)) for k in range(12)]
    fits = fit_all(counts(at, np.maximum.accumulate(preset.cumulative(at) * errors)), horizon=2 * head)
    ahead = np.array([1.25, 1.5, 2.0]) * head
    truth = preset.cumulative(ahead)
    bands = [fan_of_futures(chosen, ahead).totals[[0, -1]] for chosen in (fits, fits[0])]
    return [int(np.sum((low <= truth) & (truth <= high))) for low, high in bands]


def test_the_fan_holds_the_tails_of_the_presets_more_often_than_its_best_curve_alone():
    """Not in 95 of 100 cases: a second wave is in no count before it. With all heads and seeds it is 83, and 75."""
    found = [held_out(presets()[name], 0.6) for name in ("chatgpt-images-2025", "threads", "nano-banana", "sora-app")]
    several, alone = np.sum(found, axis=0)
    assert several >= 10, "of 12"
    assert alone < several


# What is fitted is what is simulated.


@pytest.mark.parametrize("name", MODELS)
def test_the_block_is_the_demand_of_a_scenario_that_draws_the_fitted_curve(threads, name):
    fit = threads[name]
    horizon = 210 * HOUR
    document = yaml.safe_load((SCENARIOS / "steady.yaml").read_text())
    block = yaml.safe_load(demand_block(fit, read_counts(THREADS), horizon))
    scenario = Scenario.from_dict({**document, **block, "scale": 1 / 1000, "pools": {"gpus": {"gpus": 4000}}})
    (wave,) = scenario.demand.waves
    at = np.linspace(HOUR, horizon, 50)
    assert wave.cumulative(at) == pytest.approx(fit.wave.cumulative(at), rel=1e-4)


# Reading files.


@pytest.fixture
def table(tmp_path):
    """Writes a CSV and reads its counts."""

    def read(text, **options):
        path = tmp_path / "data.csv"
        path.write_text(text, encoding="utf-8")
        return read_counts(path, **options)

    return read


def test_durations_and_counts_as_people_write_them(table):
    data = table('# a comment\nelapsed;users\n0;0\n2 h;"2M"\n\n30 min;x\n'.replace("\n30 min;x", "\n1 day;5_000_000"))
    assert data.times.tolist() == [2 * HOUR, DAY]
    assert data.totals.tolist() == [2e6, 5e6]
    assert "cumulative, since the column is named 'users'" in data.taken


@pytest.mark.parametrize(
    ("header", "seconds"), [("hours", HOUR), ("time (min)", 60.0), ("day", DAY), ("elapsed_s", 1.0)]
)
def test_plain_times_take_the_unit_of_their_column(table, header, seconds):
    assert table(f"{header},total\n1,10\n2.5,20\n").times.tolist() == [seconds, 2.5 * seconds]


def test_thousands_separators(table):
    assert table('hours,total\n1,"1,000"\n2,"12,345,678"\n').totals.tolist() == [1000, 12345678]


def test_timestamps_count_from_the_start(table):
    start = datetime(2023, 7, 5, 23, tzinfo=UTC)
    data = table("time,users\n2023-07-06T01:00Z,2M\n2023-07-05 23:00-04:00,5M\n", start=start)
    assert data.times.tolist() == [2 * HOUR, 4 * HOUR]
    assert data.start == start


def test_timestamps_begin_with_a_first_row_of_nobody(table):
    data = table("date,users\n2025-01-01,0\n2025-01-02,0\n2025-01-03,7\n")
    assert (data.times.tolist(), data.totals.tolist()) == ([2 * DAY], [7])


def test_intervals_told_by_their_beginnings_are_counted_at_their_ends(table):
    data = table("date,new users\n2025-01-01,5\n2025-01-02,3\n2025-01-03,4\n")
    assert data.times.tolist() == [DAY, 2 * DAY, 3 * DAY]
    assert data.totals.tolist() == [5, 8, 12]
    assert "each interval, since the column is named 'new users'" in data.taken


def test_intervals_told_by_their_ends(table):
    data = table("hours,signups\n1,5\n2,3\n3,4\n")
    assert (data.times.tolist(), data.totals.tolist()) == ([HOUR, 2 * HOUR, 3 * HOUR], [5, 8, 12])
    assert "each interval, since they fall" in data.taken


def test_the_kind_of_counts_can_be_said(table):
    text = "hours,users\n1,5\n2,6\n3,7\n"
    assert table(text).totals.tolist() == [5, 6, 7]
    assert table(text, counts="interval").totals.tolist() == [5, 11, 18]


def test_columns_can_be_named(table):
    text = "hours,users,registrations\n1,5,50\n2,6,60\n"
    with pytest.raises(BadInput, match="several columns could be meant"):
        table(text)
    assert table(text, value="registrations").totals.tolist() == [50, 60]
    assert table("a,b\n5,1 h\n6,2 h\n", time="b").totals.tolist() == [5, 6]
    assert table("a,b\n1 h,5\n2 h,6\n").totals.tolist() == [5, 6]


# Stocks with a base, and corrections.

ACCOUNTS = """time,accounts
2023-02-23T16:00Z,9710300
2023-02-24T16:00Z,9729300
2023-02-25T16:00Z,9744100
2023-02-26T16:00Z,9756600
2023-02-27T16:00Z,9736900
2023-02-28T16:00Z,9768700
2023-03-01T16:00Z,9780100
"""


def test_a_stock_with_a_base_and_a_fall_is_net_growth(table):
    """69,800 more accounts in six days over a stock of 9.71 M, and one fall of 19,700."""
    data = table(ACCOUNTS)
    assert (data.base, data.counted, data.times[-1]) == (9_710_300, 69_800, 6 * DAY)
    assert len(data) == 6
    assert "base is 9,710,300 people" in data.taken
    assert "falls once, by 19,700 at 2023-02-27T16:00Z: taken as a correction" in data.taken
    assert "By the last count 69,800 people came, over a base of 9,710,300." in sentences(fit_all(data), data)
    assert all(fit.total >= 69_800 for fit in fit_all(data))


def test_the_column_need_not_be_named_like_a_stock(table):
    assert table(ACCOUNTS.replace("accounts", "value")).counted == 69_800


def test_a_stock_taken_for_counts_of_intervals_is_refused(table):
    """Summed up it would be 68 M people."""
    with pytest.raises(BadInput, match="no counts of intervals") as refused:
        table(ACCOUNTS, counts="interval")
    assert "68,226,000" in refused.value.expected
    assert table(ACCOUNTS.replace("accounts", "new accounts")).totals[-1] == 68_226_000
    assert table("day,users\n1,100\n2,180\n3,120\n", counts="interval").totals[-1] == 400


def test_a_base_can_be_said(table):
    text = "hours,accounts\n1,9719000\n2,9734000\n3,9750000\n"
    assert table(text, base=9_710_000).totals.tolist() == [9000, 24_000, 40_000]
    assert table(text, base=0).totals.tolist() == [9_719_000, 9_734_000, 9_750_000]
    with pytest.raises(BadInput, match="are there in the first row") as refused:
        table(text)
    assert "--base" in refused.value.expected
    with pytest.raises(BadInput, match="below the base"):
        table(text, base=9_720_000)
    with pytest.raises(BadInput, match="no base"):
        table("hours,new users\n1,5\n2,3\n", base=100)


def test_a_market_holds_the_base_too(table):
    data = table(ACCOUNTS)
    fit = fit_all(data, [MODELS["bass"]], people=9_900_000)[0]
    assert fit.values["people"] == 189_700
    with pytest.raises(BadInput, match="smaller than what was counted"):
        fit_all(data, people=9_750_000)


def test_a_counter_that_begins_again_is_no_correction(table):
    with pytest.raises(BadInput, match="cumulative count fell"):
        table("hours,total\n1,100\n2,200\n3,300\n4,400\n5,500\n6,20\n7,120\n")


REFUSALS = {
    "disorder": ("hours,users\n2,5\n1,6\n", ":3", "before that of the row above"),
    "duplicate": ("hours,users\n1,5\n1,6\n", ":3", "comes twice"),
    "fall": ("hours,users\n1,5\n2,4\n", ":3", "a cumulative count fell"),
    "negative count": ("hours,users\n1,5\n2,-4\n", ":3", "cannot be read"),
    "negative time": ("hours,users\n-1,5\n2,6\n", ":2", "cannot be read"),
    "not a number": ("hours,users\n1,nan\n2,4\n", ":2", "cannot be read"),
    "endless": ("hours,users\n1,1\n2,1e999\n", ":3", "cannot be read"),
    "never": ("elapsed,users\n1 h,1\nnever,2\n", ":3", "never comes"),
    "empty cell": ("hours,users\n1,\n", ":2", "cannot be read"),
    "a word": ("hours,users\n1,5\n2,many\n", ":3", "cannot be read"),
    "mixed times": ("elapsed,users\n1 h,5\n2025-01-01,6\n", ":3", "mixed"),
    "American date": ("date,users\n07/05/2023,5\n", ":2", "cannot be read"),
    "no unit": ("t,users\n1,5\n2,6\n", ":2", "no unit"),
    "nobody": ("hours,users\n1,0\n2,0\n", "data.csv", "nobody came"),
    "below the first row": ("hours,users\n0,50\n2,51\n4,52\n6,49\n8,53\n9,54\n", ":5", "below the base"),
    "ragged": ("hours,users\n1,1,000\n", ":2", "3 cells"),
    "one column": ("users\n1\n2\n", "data.csv", "one column"),
    "header only": ("hours,users\n", "data.csv", "no rows"),
    "empty": ("", "data.csv", "empty"),
    "comments only": ("# nothing\n", "data.csv", "empty"),
    "no name": ("a,b,c\n1,2,3\n", "data.csv", "no column"),
    "one name": ("users,users\n1,2\n", "data.csv", "does not name the columns"),
    "open quote": ('hours,users\n1,"5\n', "data.csv", "never closed"),
    "one interval": ("date,new users\n2025-01-01,5\n", ":2", "no length"),
}


@pytest.mark.parametrize(("text", "place", "message"), REFUSALS.values(), ids=REFUSALS)
def test_data_that_are_not_clean_are_refused_with_their_row(table, text, place, message):
    with pytest.raises(BadInput, match=message) as refused:
        table(text)
    assert str(refused.value.file).endswith(place)


def test_a_row_before_the_start_is_refused(table):
    with pytest.raises(BadInput, match="before the start"):
        table("date,users\n2025-01-01,5\n2025-01-02,6\n", start=datetime(2025, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("options", [{"time": "day"}, {"value": "day"}, {"time": "users", "value": "users"}])
def test_columns_that_are_not_there_are_refused(table, options):
    with pytest.raises(BadInput):
        table("hours,users\n1,5\n", **options)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_what_is_no_text_file_is_refused(tmp_path, content):
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput):
        read_counts(path)


def test_a_parquet_file_holds_the_same_counts_as_a_csv(table, tmp_path):
    text = "time,users\n2023-07-06T01:00Z,2000000\n2023-07-06T03:00Z,5000000\n"
    start = datetime(2023, 7, 5, 23, tzinfo=UTC)
    frame = pd.read_csv(io.StringIO(text), parse_dates=["time"])
    frame.to_parquet(tmp_path / "data.parquet")
    packed = read_counts(tmp_path / "data.parquet", start=start)
    assert packed.times.tolist() == table(text, start=start).times.tolist() == [2 * HOUR, 4 * HOUR]
    assert packed.totals.tolist() == [2e6, 5e6]


def test_comments_and_spaces_before_quotes_do_not_shift_the_line_of_a_message(table):
    assert table('\ufeff# by hand\nhours, total\n1, "1,000"\n').totals.tolist() == [1000]
    with pytest.raises(BadInput, match="many") as refused:
        table("# by hand\nhours,total\n1,10\n# a pause\n\n2,many\n")
    assert str(refused.value.file).endswith(":6")
