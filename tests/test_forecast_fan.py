"""Forecasts from counts: curves without an end, and several curves in one fan."""

import math

import numpy as np
import pytest
import yaml

from sim.demand.fitting.fit import correlation_factor, fit_all, lag_one, weights
from sim.demand.fitting.forecast import FUTURES, demand_block, fan_of_futures, futures_each, sentences
from sim.demand.fitting.growth_curves import MODELS
from sim.demand.waves.launches import presets
from sim.errors import BadInput
from sim.model.streams import normal
from sim.units import seconds as duration
from tests.test_fit import DAY, HOUR, counts, generated, only

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
    nearer = min(fits, key=lambda fit: fit.rms)
    assert sentences(fits, data)[0].startswith("Of the curves that have an end") == (not nearer.forecasts)
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
