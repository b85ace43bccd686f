"""People arrive as a Poisson process of the rate that each wave states; a spike brings exactly the people it states."""

import json
import math
from functools import cache

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import stats

from sim.demand.waves.signups import AnyWave, wave_instants
from sim.scenario.people import people_of
from sim.scenario.scenario import Scenario
from tests.studies.theory.queues import queue, z

SEEDS = range(300)
HORIZON = 100.0

STEADY = {"kind": "steady", "rate": "0.4 per second"}
PASSING = {"kind": "steady", "rate": "2 per second", "from": "20 s", "lasting": "30 s"}
SPIKE = {"kind": "spike", "people": 60, "from": "35 s", "lasting": "10 s"}
WEIBULL = {"kind": "weibull", "people": 80, "from": "10 s", "scale": "30 s", "shape": 1.37}
BASS = {"kind": "bass", "people": 80, "innovation": "0.01 per second", "imitation": "0.09 per second"}
SHAPES = [STEADY, PASSING, SPIKE, WEIBULL, BASS]
by_kind = pytest.mark.parametrize("shape", SHAPES, ids=["steady", "passing", "spike", "weibull", "bass"])


WAVE: TypeAdapter[AnyWave] = TypeAdapter(AnyWave)


def wave(shape, **changes) -> AnyWave:
    return WAVE.validate_python({**shape, **changes})


def begins(one: AnyWave) -> float:
    assert isinstance(one.from_, float)  # an instant can be a date too, but not here
    return one.from_


def instants(shape, seed=0, *, horizon=HORIZON, scale=1.0, **changes):
    one = wave(shape, **changes)
    return wave_instants(one, 0, begins=begins(one), horizon=horizon, scale=scale, seed=seed)


def arrivals(shapes, seed):
    """When people arrive in a scenario of these waves."""
    return people_of(scenario_of(json.dumps(shapes)), seed)[0].arrives


@cache
def scenario_of(waves: str) -> Scenario:
    return queue(waves=json.loads(waves), lasting=HORIZON)


def expected_by(shapes, times):
    """Expected people of these waves by each time."""
    return sum(one.cumulative(times - begins(one)) for one in map(wave, shapes))


def counts_by_bin(shapes, edges):
    """People in each bin, a row a seed, and the expected number in each."""
    counts = np.array([np.histogram(arrivals(shapes, seed), edges)[0] for seed in SEEDS])
    return counts, np.diff(expected_by(shapes, edges))


POISSON = [STEADY, PASSING, WEIBULL, BASS]
WAVES = pytest.mark.parametrize(
    "shapes", [*[[shape] for shape in POISSON], POISSON], ids=["steady", "passing", "weibull", "bass", "all together"]
)


@pytest.mark.parametrize(("people", "scale", "fewest"), [(4, 1.0, 4), (60, 1.0, 60), (12, 1 / 3, 4), (5, 0.5, 2)])
def test_a_spike_is_as_many_people_as_it_says(people, scale, fewest):
    """A slice has its part of them; half a person comes half of the time."""
    found = np.array([len(instants(SPIKE, seed, scale=scale, people=people)) for seed in SEEDS])
    part = people * scale - fewest
    assert set(found) == ({fewest, fewest + 1} if part > 1e-6 else {fewest})
    assert abs((found - fewest).mean() - part) <= 3.5 * math.sqrt(part * (1 - part) / len(SEEDS)) + 1e-6


def test_the_people_of_a_spike_come_at_any_time_of_it_alike():
    """Uniform instants, and counts of halves that are binomial: variance n / 4, and not the n / 2 of Poisson."""
    found = [instants(SPIKE, seed) for seed in SEEDS]
    assert stats.kstest((np.concatenate(found) - 35) / 10, "uniform").pvalue > 0.0005
    halves = np.array([np.count_nonzero(people < 40) for people in found])
    assert abs(halves.mean() - 30) < 3.5 * math.sqrt(15 / len(SEEDS))
    assert abs(halves.var(ddof=1) / 15 - 1) < 3.5 * math.sqrt(2 / len(SEEDS))


def test_a_spike_that_is_cut_off_by_the_end_brings_the_people_until_then():
    counts = np.array([len(instants(SPIKE, seed, horizon=40.0)) for seed in SEEDS])
    assert abs(counts.mean() - 30) < 3.5 * math.sqrt(15 / len(SEEDS))


@WAVES
def test_counts_have_the_mean_of_poisson(shapes):
    counts, mean = counts_by_bin(shapes, np.linspace(0, HORIZON, 21))
    assert not counts[:, mean == 0].any()
    counts, mean = counts[:, mean > 0], mean[mean > 0]
    total = counts.sum(axis=0)
    chi_square = ((total - len(SEEDS) * mean) ** 2 / (len(SEEDS) * mean)).sum()
    assert 0.0005 < stats.chi2.sf(chi_square, len(mean)) < 0.9995
    assert np.abs((total - len(SEEDS) * mean) / np.sqrt(len(SEEDS) * mean)).max() < 3.5


@WAVES
def test_counts_have_the_variance_of_poisson(shapes):
    counts, mean = counts_by_bin(shapes, np.linspace(0, HORIZON, 21))
    counts, mean = counts[:, mean > 0], mean[mean > 0]
    dispersion = (counts - mean) ** 2 / mean  # of mean 1 and variance 2 + 1 / mean
    n = len(SEEDS)
    assert np.abs((dispersion.sum(axis=0) - n) / np.sqrt(n * (2 + 1 / mean))).max() < 3.5
    assert abs((dispersion.sum() - dispersion.size) / np.sqrt(n * (2 + 1 / mean).sum())) < 3.5


@WAVES
def test_counts_of_different_bins_are_independent(shapes):
    counts, _ = counts_by_bin(shapes, np.linspace(0, HORIZON, 3))
    first, second = counts.T
    if min(first.std(), second.std()) > 0:
        assert abs(np.arctanh(np.corrcoef(first, second)[0, 1]) * math.sqrt(len(SEEDS) - 3)) < 3.5


@pytest.mark.parametrize("shape", [SPIKE, WEIBULL, BASS, PASSING], ids=["spike", "weibull", "bass", "passing"])
def test_people_beyond_those_of_the_wave_never_come(shape):
    everybody = 80 if shape is not SPIKE else 60
    assert np.isinf(wave(shape).inverse([everybody + 0.001, 1e9])).all()


def test_a_steep_surge_does_not_start_late():
    quiet = {"kind": "steady", "rate": "0.02 per second"}
    surge = {"kind": "spike", "people": 150, "from": "50 s", "lasting": "30 s"}
    first = np.array([(people := arrivals([quiet, surge], seed))[people >= 50][0] - 50 for seed in SEEDS])
    assert abs(z(first, 1 / 5.02)) < 3.5
    soon = np.array([np.count_nonzero((people := arrivals([quiet, surge], seed)) < 51) for seed in SEEDS])
    assert abs(z(soon, 51 * 0.02 + 5)) < 3.5


@by_kind
def test_a_taller_wave_brings_the_same_people_earlier(shape):
    size = "rate" if shape["kind"] == "steady" else "people"
    taller = {"rate": "3 per second"} if size == "rate" else {"people": 2 * shape["people"]}
    for seed in range(20):
        low, high = instants(shape, seed), instants(shape, seed, **taller)
        assert len(high) > len(low)
        assert (high[: len(low)] < low).all()


def test_another_wave_leaves_people_as_they_are():
    alone = set(arrivals([WEIBULL], seed=1))
    assert alone < set(arrivals([WEIBULL, STEADY], seed=1))


@by_kind
def test_nobody_comes_outside_the_run(shape):
    for seed in range(20):
        people = instants(shape, seed, horizon=40.0)
        assert len(people)
        assert ((people >= 0) & (people < 40)).all()
        assert (np.diff(people) > 0).all()


@by_kind
def test_a_wave_after_the_run_brings_nobody(shape):
    assert len(wave_instants(wave(shape), 0, begins=HORIZON, horizon=HORIZON, scale=1.0, seed=1)) == 0


@by_kind
def test_zero_demand_brings_nobody(shape):
    nothing = {"rate": 0} if shape["kind"] == "steady" else {"people": 0}
    assert len(instants(shape, **nothing)) == 0


def test_tiers_have_their_shares():
    scenario = queue(rate=2.0, lasting=200, tiers={"gold": 0.1, "free": 0.9})
    shares = np.array([(people_of(scenario, seed)[0].tier == 0).mean() for seed in range(50)])
    assert abs(z(shares, 0.1)) < 3.5
