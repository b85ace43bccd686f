"""Hours, weekdays and bursts change when people come, by where they live, and not how many in a week."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, stats

from sim.demand.season import Pulse, Region, Season, daily_quantiles, local_seconds, pulse_of, regions_of
from sim.demand.waves.signups import AnyWave, wave_instants
from sim.scenario.people import people_of
from tests.studies.theory.queues import queue, z

DAY = 86400.0
MONDAY = datetime(2025, 3, 24, tzinfo=UTC)
WEEK = 7 * DAY
SEEDS = range(24)
EVENINGS = Season(daily_peak_to_mean=2.7)
INDIA, NEW_YORK = Region(share=0.3, zone="Asia/Kolkata"), Region(share=0.7, zone="America/New_York")
PLACES = {"india": INDIA, "new york": NEW_YORK}

STEADY = {"kind": "steady", "rate": "0.02 per second"}
RAMP = {"kind": "ramp", "first": 0, "last": "0.05 per second", "lasting": "1 day"}
WEIBULL = {"kind": "weibull", "people": 1500, "scale": "10 h"}
SHAPES = pytest.mark.parametrize("shape", [STEADY, RAMP, WEIBULL], ids=["steady", "ramp", "weibull"])


def wave(shape, **changes) -> AnyWave:
    return TypeAdapter(AnyWave).validate_python({**shape, **changes})


def pulse(season, regions=None, *, start=MONDAY, lasting=DAY, seed=1) -> Pulse:
    found = pulse_of(season, regions or {}, start, lasting, seed)
    assert found is not None
    return found


def instants(shape, beat, seed, *, lasting=DAY, begins=0.0, scale=1.0):
    return wave_instants(wave(shape), 3, begins=begins, horizon=lasting, scale=scale, seed=seed, pulse=beat)


# The shapes.


@pytest.mark.parametrize("ratio", [1, 1.01, 1.4, 2.7, 12])
def test_a_day_has_the_mean_1_and_the_peak_it_says(ratio):
    season = Season(daily_peak_to_mean=ratio, peak_hour=13.5)
    mean, _ = integrate.quad(lambda t: float(season.hour_factor(t)), 0, DAY, points=[13.5 * 3600])
    assert mean / DAY == pytest.approx(1)
    assert season.hour_factor(13.5 * 3600) == pytest.approx(ratio)
    assert season.hour_factor(np.linspace(0, DAY, 999)).max() <= ratio * (1 + 1e-12)


def test_a_day_has_the_shape_of_von_mises():
    hours = np.array([0.0, 6, 13, 20, 23])
    density = stats.vonmises.pdf(2 * np.pi * (hours - 20) / 24, EVENINGS.concentration)
    assert EVENINGS.hour_factor(hours * 3600) == pytest.approx(2 * np.pi * density)


def test_a_week_has_the_mean_1_and_its_weekend():
    factors = Season(weekend=0.25).week_factor(DAY * np.arange(7) + 1)
    assert factors.mean() == pytest.approx(1)
    assert factors[5:] / factors[0] == pytest.approx([0.25, 0.25])


def test_a_region_keeps_its_own_clock():
    # 00:00 in UTC is 05:30 in Kolkata, and in New York (in March) 20:00 of the day before
    assert local_seconds(INDIA, MONDAY) % DAY == 5.5 * 3600
    assert local_seconds(NEW_YORK, MONDAY) % DAY == 20 * 3600
    beat = pulse(EVENINGS, {"india": Region(share=1, zone="Asia/Kolkata")})
    assert np.argmax(beat.factor) == pytest.approx(14.5 * 60, abs=1)


def test_sunday_evening_in_new_york_is_still_weekend():
    beat = pulse(Season(weekend=0), {"new york": Region(share=1, zone="America/New_York")})
    assert not beat.factor[: 4 * 60].any()
    assert (beat.factor[4 * 60 :] == 1.4).all()  # 7 / 5


def test_regions_in_many_zones_level_the_day():
    alone = pulse(EVENINGS).factor.max()
    assert alone == pytest.approx(2.7, rel=1e-4)
    assert pulse(EVENINGS, PLACES).factor.max() < alone
    zones = {str(h): Region(share=1 / 24, zone=f"Etc/GMT{h - 12:+d}") for h in range(24)}
    assert pulse(EVENINGS, zones).factor == pytest.approx(1, abs=1e-3)


def test_a_flat_season_is_no_pulse_and_changes_nobody():
    assert pulse_of(Season(), PLACES, MONDAY, DAY, 1) is None
    plain = queue(waves=[WEIBULL], lasting=DAY)
    shaped = queue(waves={"waves": [WEIBULL], "season": {"burstiness": 0}}, lasting=DAY)
    assert (people_of(plain, 1)[0].arrives == people_of(shaped, 1)[0].arrives).all()


# Who comes when.


@SHAPES
def test_people_come_at_the_rate_times_the_pulse(shape):
    beat = pulse(EVENINGS, PLACES)
    edges = np.linspace(0, DAY, 25)
    counts = np.array([np.histogram(instants(shape, beat, seed), edges)[0] for seed in SEEDS])
    each = beat.factor * np.diff(wave(shape).cumulative(beat.edges))
    mean, total, n = each.reshape(24, 60).sum(axis=1), counts.sum(axis=0), len(SEEDS)
    assert 0.0005 < stats.chi2.sf(((total - n * mean) ** 2 / (n * mean)).sum(), 24) < 0.9995
    dispersion = (counts - mean) ** 2 / mean  # of mean 1 and variance 2 + 1 / mean where counts are Poisson's
    assert abs((dispersion.sum() - dispersion.size) / np.sqrt(n * (2 + 1 / mean).sum())) < 3.5


def test_as_many_people_come_in_a_week_as_without_a_season():
    beat = pulse(Season(daily_peak_to_mean=2.7, weekend=0.3), PLACES, lasting=WEEK)
    counts = np.array([len(instants(STEADY, beat, seed, lasting=WEEK)) for seed in SEEDS], dtype=float)
    assert abs(z(counts, 0.02 * WEEK)) < 3.5


def test_a_pulse_of_1_brings_the_same_people():
    ones = Pulse(np.ones(1440))
    for shape in (STEADY, RAMP, WEIBULL):
        assert instants(shape, ones, 5) == pytest.approx(instants(shape, None, 5), rel=1e-9)


@SHAPES
def test_a_longer_horizon_only_adds_later_people(shape):
    season = Season(daily_peak_to_mean=1.4, weekend=0.5, burstiness=0.5)
    short = instants(shape, pulse(season, PLACES, lasting=20_000.0), 2, lasting=20_000.0)
    long = instants(shape, pulse(season, PLACES), 2)
    assert len(long) > len(short) > 10
    assert (long[: len(short)] == short).all()


def test_of_a_wave_begun_before_the_run_the_rest_comes_by_the_pulse():
    beat = pulse(EVENINGS)
    counts = np.array([len(instants(WEIBULL, beat, seed, begins=-20_000.0)) for seed in SEEDS], dtype=float)
    mean = float((beat.factor * np.diff(wave(WEIBULL).cumulative(beat.edges + 20_000))).sum())
    assert abs(z(counts, mean)) < 3.5


def test_a_minute_of_factor_0_has_nobody_and_keeps_the_order():
    beat = Pulse(np.tile([0.0, 3.0, 1e-300, 1.0], 360))
    people = instants({"kind": "spike", "people": 5000, "lasting": "20 h"}, beat, 1)
    assert not np.isin(np.floor(people / 60) % 4, [0, 2]).any()
    assert (np.diff(people) >= 0).all()
    assert len(people) == pytest.approx(5000, abs=3.5 * math.sqrt(5000))


def test_bursts_have_the_fano_factor_of_gentd26():
    # one wave of 24 a minute: 1 + burstiness x mean = 2.2 (GenTD26's fleet, detrended: 2.24)
    busy = {"kind": "steady", "rate": "24 per min"}
    counts = []
    for seed in SEEDS:
        people = instants(busy, pulse(Season(burstiness=0.05), lasting=14_400.0, seed=seed), seed, lasting=14_400.0)
        counts.append(np.histogram(people, np.arange(0, 14_401, 60))[0])
    means = np.mean(counts, axis=1)
    fano = np.mean((np.array(counts) - 24.0) ** 2, axis=1) / 24
    assert abs(z(means, 24)) < 3.5
    assert abs(z(fano, 2.2)) < 3.5


def test_bursts_of_different_seeds_and_minutes_are_not_alike():
    first, second = (pulse(Season(burstiness=0.5), lasting=10 * DAY, seed=seed).factor for seed in (1, 2))
    n = len(first)
    assert abs(np.arctanh(np.corrcoef(first, second)[0, 1]) * math.sqrt(n - 3)) < 3.5
    assert abs(np.arctanh(np.corrcoef(first[1:], first[:-1])[0, 1]) * math.sqrt(n - 4)) < 3.5
    assert abs((first.mean() - 1) / math.sqrt(0.5 / n)) < 3.5


# Where people live, and when they come back.


def test_people_are_of_regions_by_share_and_hour():
    n = 20_000
    uniforms = (np.arange(n) + 0.5) / n
    for hour in (0.0, 9.0, 20.5):
        at = np.full(n, hour * 3600)
        parts = [r.share * EVENINGS.hour_factor(at[0] + local_seconds(r, MONDAY)) for r in PLACES.values()]
        share = np.mean(regions_of(EVENINGS, PLACES, MONDAY, at, uniforms) == 1)
        assert share == pytest.approx(parts[1] / sum(parts), abs=1 / n)


def test_without_hours_people_are_of_regions_by_share_alone():
    uniforms = np.array([0.0001, 0.2999, 0.3001, 0.9999])
    found = regions_of(Season(), PLACES, MONDAY, np.array([0.0, 1e4, 2e4, 3e4]), uniforms)
    assert found.tolist() == [0, 0, 1, 1]
    assert regions_of(Season(), {}, MONDAY, np.zeros(4), uniforms).tolist() == [0, 0, 0, 0]


def test_a_region_arrives_by_its_own_hours():
    season, lots = {"daily_peak_to_mean": 2.7}, []
    regions = {name: region.model_dump() for name, region in PLACES.items()}
    demand = {"waves": [STEADY], "season": season, "regions": regions}
    for seed in range(30):
        people = people_of(queue(waves=demand, lasting=DAY), seed)[0]
        mine = people.arrives[people.region == 0] + local_seconds(INDIA, datetime(2025, 1, 1, tzinfo=UTC))
        lots.append(np.exp(2j * np.pi * (mine / DAY - 20 / 24)).real)
    # the mean cosine about the peak of von Mises is I1(k) / I0(k)
    k = EVENINGS.concentration
    means = np.array([one.mean() for one in lots])
    assert abs(z(means, float(stats.vonmises(k).expect(np.cos)))) < 3.5


def test_quantiles_of_a_day_are_those_of_its_curve():
    quantiles = daily_quantiles(EVENINGS)
    assert quantiles[[0, -1]].tolist() == [0, DAY]
    for place in (100, 720, 1300):
        below, _ = integrate.quad(lambda t: float(EVENINGS.hour_factor(t)), 0, quantiles[place])
        assert below / DAY == pytest.approx(place / 1440, abs=1e-6)
    assert daily_quantiles(Season(), 25) == pytest.approx(3600.0 * np.arange(25))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "", "Europe", "/usr", "UTC\0"])
def test_a_zone_that_is_not_known_is_refused(zone):
    with pytest.raises(ValidationError, match="IANA"):
        Region(share=1, zone=zone)


@pytest.mark.parametrize(
    "figures", [{"daily_peak_to_mean": 0.9}, {"peak_hour": 24.5}, {"weekend": -1}, {"burstiness": "never"}]
)
def test_a_season_that_cannot_be_is_refused(figures):
    with pytest.raises(ValidationError):
        Season(**figures)
