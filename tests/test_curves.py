"""Every kind of signup curve is what its formula says, and brings people as its process says."""

import json
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import integrate, optimize, stats

from sim.demand.waves.hawkes import ExponentialCluster
from sim.demand.waves.piecewise import Polyline
from sim.demand.waves.signups import AnyWave, wave_instants
from tests.studies.theory.queues import z
from tests.test_signups import BASS, PASSING, SPIKE, STEADY, WEIBULL

SEEDS = range(300)
HORIZON = 100.0

RAMP = {"kind": "ramp", "first": "0.1 per second", "last": "1.5 per second", "lasting": "80 s"}
FALLING = {"kind": "ramp", "first": "2 per second", "last": 0, "lasting": "60 s"}
GROWTH = {"kind": "exponential", "first": "0.05 per second", "doubling": "20 s", "people": 40}
MOUTH = {"kind": "exponential", "first": "0.1 per second", "k_factor": 2, "cycle": "25 s", "lasting": "90 s"}
FADING = {"kind": "exponential", "first": "2 per second", "k_factor": 0.5, "cycle": "10 s", "lasting": "70 s"}
LOGISTIC = {"kind": "logistic", "people": 80, "growth": "0.1 per second", "midpoint": "40 s"}
SIR = {"kind": "sir", "people": 100, "first": 2, "k_factor": 3, "infectious": "15 s"}
PRESS = {"kind": "relaxation", "people": 70, "lasting": "90 s", "cutoff": "5 s", "exponent": 1.4}
SHARED = {"kind": "relaxation", "people": 70, "lasting": "90 s", "cutoff": "5 s"}
LOG = {"kind": "relaxation", "people": 70, "lasting": "90 s", "cutoff": "5 s", "exponent": 1}
MEME = {"kind": "relaxation", "people": 70, "lasting": "90 s", "cutoff": "5 s", "exponent": 0.2, "peak": "50 s"}
LINES = {"kind": "piecewise", "points": [["5 s", 0], ["20 s", "2/s"], ["20 s", "0.5/s"], ["70 s", "1/s"], ["90 s", 0]]}
STEPS = {"kind": "piecewise", "join": "held", "points": [[0, "1/s"], ["30 s", 0], ["50 s", "2/s"], ["60 s", "0.2/s"]]}
SHAPES = {
    "ramp": RAMP,
    "falling": FALLING,
    "growth": GROWTH,
    "word of mouth": MOUTH,
    "fading": FADING,
    "logistic": LOGISTIC,
    "sir": SIR,
    "press": PRESS,
    "shared": SHARED,
    "logarithmic": LOG,
    "meme": MEME,
    "lines": LINES,
    "steps": STEPS,
}
HAWKES = {"kind": "hawkes", "rate": "0.3 per second", "branching": 0.6, "delay": {"kind": "exponential", "mean": "5 s"}}
HEAVY = {**HAWKES, "lasting": "60 s", "delay": {"kind": "power law", "cutoff": "5 s"}}
ALL = {
    **SHAPES,
    "hawkes": HAWKES,
    "heavy hawkes": HEAVY,
    "ended hawkes": {**HAWKES, "lasting": "60 s"},
    "steady": STEADY,
    "passing": PASSING,
    "weibull": WEIBULL,
    "bass": BASS,
}
CURVES = {**ALL, "spike": SPIKE}  # as many as it says, and no random number

by_kind = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
every_kind = pytest.mark.parametrize("shape", ALL.values(), ids=ALL)
every_curve = pytest.mark.parametrize("shape", CURVES.values(), ids=CURVES)


def wave(shape, **changes) -> AnyWave:
    return made(json.dumps({**shape, **changes}))


@cache
def made(shape) -> AnyWave:
    """One wave for all seeds: some curves are solved once, and that takes a moment."""
    return TypeAdapter(AnyWave).validate_python(json.loads(shape))


def instants(shape, seed=0, *, horizon=HORIZON, begins=0.0, scale=1.0, **changes):
    return wave_instants(wave(shape, **changes), 0, begins=begins, horizon=horizon, scale=scale, seed=seed)


# The curve itself.


@every_curve
def test_cumulative_is_the_integral_of_the_rate(shape):
    one = wave(shape)
    breaks = [5, 10, 20, 30, 50, 60, 70, 80, 90, *([one.end] if one.kind == "exponential" else [])]
    for until in (0.5, 12.0, 47.0, HORIZON):
        inner = [t for t in breaks if t < until] or None
        total, _ = integrate.quad(
            lambda t: float(one.rate_at(t)), 0, until, points=inner, epsabs=1e-5, epsrel=1e-5, limit=500
        )
        assert one.cumulative(until) == pytest.approx(total, rel=1e-4, abs=1e-5)


@every_curve
def test_inverse_undoes_the_cumulative(shape):
    one = wave(shape)
    times = np.linspace(6, 59.9, 50)
    times = times[one.rate_at(times) > 0]
    assert one.inverse(one.cumulative(times)) == pytest.approx(times, rel=1e-7)


@every_curve
def test_before_it_begins_a_wave_is_nothing(shape):
    one = wave(shape)
    assert not one.rate_at([-100.0, -1e-9]).any()
    assert not one.cumulative([-100.0, -1e-9, 0.0]).any()


@every_curve
def test_a_curve_is_finite_for_all_times_and_never_falls(shape):
    one = wave(shape)
    times = np.append(0.0, np.geomspace(1e-9, 3e9, 500))
    assert np.isfinite(one.rate_at(times)).all()
    assert (one.rate_at(times) >= 0).all()
    assert (np.diff(one.cumulative(times)) >= -1e-9 * one.cumulative(times[1:])).all()
    assert not np.isnan(one.inverse(np.append(0.0, np.geomspace(1e-9, 1e9, 500)))).any()


@pytest.mark.parametrize(
    ("shape", "people"),
    [(RAMP, 64), (FALLING, 60), (GROWTH, 40), (PRESS, 70), (SHARED, 70), (LOG, 70), (MEME, 70), (LOGISTIC, 80)],
)
def test_as_many_people_come_in_the_end_as_it_says(shape, people):
    one = wave(shape)
    assert one.cumulative(1e6) == pytest.approx(people)
    assert np.isinf(one.inverse([people * 1.0001, 1e9])).all()
    assert np.isfinite(one.inverse(people * 0.9999))


def test_an_exponential_doubles_in_its_doubling_time():
    one = wave({**GROWTH, "people": 1e6})
    assert one.rate_at([0, 20, 40, 200]) == pytest.approx([0.05, 0.1, 0.2, 0.05 * 1024])


def test_a_k_factor_multiplies_the_rate_once_a_cycle():
    assert wave(MOUTH).rate_at([0, 25, 75]) == pytest.approx([0.1, 0.2, 0.8])
    assert wave(FADING).rate_at([0, 10, 30]) == pytest.approx([2, 1, 0.25])
    steady = wave({**MOUTH, "k_factor": 1})
    assert steady.cumulative([10, 90, 200]) == pytest.approx([1, 9, 9])


def test_a_logistic_is_bass_without_innovators():
    # imitation / innovation = exp(growth midpoint), and growth = innovation + imitation (Bass 1969)
    odds = math.exp(4.0)
    bass = {"kind": "bass", "people": 80, "innovation": f"{0.1 / (1 + odds)} per second"}
    bass["imitation"] = f"{0.1 * odds / (1 + odds)} per second"
    times = np.linspace(0, 150, 100)
    assert wave(LOGISTIC).cumulative(times) == pytest.approx(wave(bass).cumulative(times))
    assert wave(LOGISTIC).rate_at(times) == pytest.approx(wave(bass).rate_at(times))


def test_a_logistic_is_fastest_at_its_midpoint():
    times = np.linspace(0, 100, 10001)
    assert times[np.argmax(wave(LOGISTIC).rate_at(times))] == pytest.approx(40)


@pytest.mark.parametrize(("k_factor", "first"), [(3, 2), (1.2, 0.01), (0.5, 10), (1, 10), (20, 1e-3)])
def test_an_epidemic_ends_at_the_final_size(k_factor, first):
    # ln(s / s0) = K (s - 1), s the share who never join (Kermack and McKendrick 1927)
    shape = {"kind": "sir", "people": 100, "first": first, "k_factor": k_factor, "infectious": "1 h"}
    s0 = 1 - first / 100
    s = optimize.brentq(lambda s: math.log(s / s0) - k_factor * (s - 1), 1e-12, s0 * (1 - 1e-9))
    assert wave(shape).cumulative(1e9) == pytest.approx(100 * (s0 - s), rel=5e-4)


def test_an_epidemic_grows_at_first_as_infections_do():
    # I ~ exp((beta - gamma) t)
    one = wave({"kind": "sir", "people": 1e9, "first": 1, "k_factor": 3, "infectious": "10 s"})
    assert one.rate_at([0, 20, 40]) == pytest.approx(0.3 * np.exp([0, 4, 8]), rel=1e-4)


def test_an_epidemic_is_as_an_independent_solution_says():
    one = wave(SIR)
    solved = integrate.solve_ivp(
        lambda _, y: [-0.2 * y[0] * y[1] / 100, 0.2 * y[0] * y[1] / 100 - y[1] / 15],
        (0, 100),
        [98, 2],
        t_eval=[10, 30, 60, 100],
        rtol=1e-10,
        atol=1e-10,
    )
    assert one.cumulative([10, 30, 60, 100]) == pytest.approx(98 - solved.y[0], rel=1e-4)


@pytest.mark.parametrize("exponent", [0.2, 0.6, 1.0, 1.4])
def test_a_shock_relaxes_as_its_power_of_time(exponent):
    one = wave({**PRESS, "exponent": exponent, "lasting": "1 day"})
    assert one.rate_at(5 * 999.0) / one.rate_at(0) == pytest.approx(1000**-exponent)


def test_word_of_mouth_is_symmetric_about_its_peak():
    away = np.linspace(0.1, 39, 20)
    assert wave(MEME).rate_at(50 - away) == pytest.approx(wave(MEME).rate_at(50 + away))


@given(
    st.lists(st.tuples(st.integers(0, 20).map(float), st.floats(0, 9)), min_size=1, max_size=6),
    st.booleans(),
    st.floats(0, 60),
)
@settings(max_examples=30, deadline=None)
def test_a_drawn_rate_has_an_exact_inverse(points, held, t):
    ordered = sorted(points)
    line = Polyline(np.array([p[0] for p in ordered]), np.array([p[1] for p in ordered]), held=held)
    n = float(line.cumulative(t))
    back = float(line.inverse(n))
    assert math.isinf(back) or float(line.cumulative(back)) == pytest.approx(n, rel=1e-9, abs=1e-9)
    if math.isinf(back):
        assert line.rates[-1] == 0
        assert n == pytest.approx(line.totals[-1])


@given(
    exponent=st.floats(0, 10),
    cutoff=st.floats(1e-3, 1e9),
    lasting=st.floats(1e-2, 1e10),
    peak=st.floats(0, 0.99),
    share=st.floats(0.001, 0.999),
)
@settings(max_examples=50, deadline=None)
def test_a_shock_of_any_figures_has_an_inverse_and_no_nan(exponent, cutoff, lasting, peak, share):
    figures = {"exponent": exponent, "cutoff": f"{cutoff} s", "lasting": f"{lasting} s", "peak": f"{peak * lasting} s"}
    one = wave({"kind": "relaxation", "people": 1000, **figures})
    t = one.inverse(1000 * share)
    assert 0 <= t <= lasting
    assert np.isfinite(one.rate_at(t))
    if one.rate_at(t) * lasting > 1e-6:  # elsewhere a moment is worth less than rounding
        instant = 4 * np.spacing(t) * one.rate_at(t)  # people within the rounding of t
        assert one.cumulative(t) == pytest.approx(1000 * share, rel=1e-6, abs=float(instant))


@given(
    growth=st.floats(1e-9, 1e3),
    midpoint=st.floats(0, 1e9),
    first=st.floats(0, 1e6),
    doubling=st.floats(1e-3, 1e9),
    people=st.floats(1e-3, 1e12),
)
@settings(max_examples=30, deadline=None)
def test_growth_of_any_figures_has_no_nan(growth, midpoint, first, doubling, people):
    shapes = [
        {"kind": "exponential", "first": f"{first} per s", "doubling": f"{doubling} s", "people": people},
        {"kind": "exponential", "first": f"{first} per s", "k_factor": 0.3, "cycle": f"{doubling} s", "lasting": "1 h"},
    ]
    if growth * midpoint < 500:
        figures = {"growth": f"{growth} per s", "midpoint": f"{midpoint} s"}
        shapes.append({"kind": "logistic", "people": people, **figures})
    for shape in shapes:
        try:
            one = wave(shape)
        except ValidationError:
            continue
        times = np.append(0.0, np.geomspace(1e-3, 1e10, 50))
        assert np.isfinite(one.rate_at(times)).all()
        assert np.isfinite(one.cumulative(times)).all()
        assert not np.isnan(one.inverse(people * np.array([0, 0.1, 0.9, 1, 2]))).any()


@pytest.mark.parametrize(
    ("shape", "because"),
    [
        ({**GROWTH, "k_factor": 2}, "either 'doubling', or 'k_factor'"),
        ({"kind": "exponential", "first": "1/s", "people": 5}, "either 'doubling', or 'k_factor'"),
        ({"kind": "exponential", "first": "1/s", "doubling": "1 s"}, "growth must end somewhere"),
        ({"kind": "exponential", "first": "1/s", "doubling": "1 s", "lasting": "1 day"}, "more than 1e+15 people"),
        ({**LOGISTIC, "growth": "10 per second", "midpoint": "1 h"}, "at most 500"),
        ({**SIR, "first": 100}, "'first' must be less"),
        ({**SIR, "k_factor": 21}, "less than or equal to 20"),
        ({**MEME, "peak": "90 s"}, "'peak' must lie before"),
        ({**LINES, "points": [["5 s", 0], ["4 s", 0]]}, "ascending"),
        ({**LINES, "points": []}, "at least 1 item"),
        ({**HAWKES, "branching": 1}, "less than or equal to 0.99"),
        ({**RAMP, "lasting": "never"}, "less than or equal to"),
        ({**RAMP, "first": "unlimited"}, "less than or equal to"),
    ],
)
def test_figures_that_make_no_curve_are_refused(shape, because):
    with pytest.raises(ValidationError, match=None) as refused:
        wave(shape)
    assert because in str(refused.value)


# Who arrives.


@by_kind
def test_counts_are_poisson_of_the_rate(shape):
    edges = np.linspace(0, HORIZON, 21)
    counts = np.array([np.histogram(instants(shape, seed), edges)[0] for seed in SEEDS])
    mean = np.diff(wave(shape).cumulative(edges))
    assert not counts[:, mean == 0].any()
    counts, mean = counts[:, mean > 0], mean[mean > 0]
    total, n = counts.sum(axis=0), len(SEEDS)
    assert 0.0005 < stats.chi2.sf(((total - n * mean) ** 2 / (n * mean)).sum(), len(mean)) < 0.9995
    # (count - mean)^2 / mean has the mean 1 and the variance 2 + 1 / mean
    dispersion = (counts - mean) ** 2 / mean
    assert abs((dispersion.sum() - dispersion.size) / np.sqrt(n * (2 + 1 / mean).sum())) < 3.5


@every_kind
def test_a_longer_horizon_only_adds_later_people(shape):
    for seed in range(10):
        short, long = instants(shape, seed, horizon=40.0), instants(shape, seed)
        assert len(long) >= len(short)
        assert (long[: len(short)] == short).all()
        assert (long[len(short) :] >= 40).all()


@every_kind
def test_times_multiplies_the_people(shape):
    more = np.array([len(instants(shape, seed, times=3)) for seed in range(100)], dtype=float)
    assert abs(z(more, 3 * float(wave(shape).cumulative(HORIZON)))) < 3.5
    assert len(instants(shape, times=0)) == 0


@every_kind
def test_a_slice_brings_its_share(shape):
    some = np.array([len(instants(shape, seed, scale=0.5)) for seed in SEEDS], dtype=float)
    assert abs(z(some, 0.5 * float(wave(shape).cumulative(HORIZON)))) < 3.5


@every_curve
def test_of_a_wave_begun_before_the_run_only_the_rest_comes(shape):
    for seed in range(10):
        whole, rest = instants(shape, seed, horizon=90), instants(shape, seed, begins=-10.0, horizon=80)
        assert rest == pytest.approx(whole[whole >= 10] - 10, abs=1e-9)


# People who bring people.


@pytest.mark.parametrize("shape", [HAWKES, HEAVY], ids=["exponential", "power law"])
def test_a_self_exciting_wave_has_the_expected_mean_in_every_bin(shape):
    edges = np.linspace(0, HORIZON, 6)
    counts = np.array([np.histogram(instants(shape, seed), edges)[0] for seed in SEEDS]).astype(float)
    for bin, mean in zip(counts.T, np.diff(wave(shape).cumulative(edges)), strict=True):
        assert abs(z(bin, mean)) < 3.5


@pytest.mark.parametrize("branching", [0.3, 0.7])
def test_a_self_exciting_wave_has_the_mean_and_the_variance_of_the_long_run(branching):
    # mean rate / (1 - n), variance over mean 1 / (1 - n)^2 (Hawkes 1971), in windows long against the delay, after it
    # has settled; a window's ends miss part of the clusters: Var / (L mean) = F - (F - 1) (1 - e^-aL) / (aL), F the
    # factor and a = (1 - n) / mean delay, from the covariance density of the exponential kernel.
    figures = {"rate": "1 per second", "branching": branching, "delay": {"kind": "exponential", "mean": "1 s"}}
    shape, length = {**HAWKES, **figures}, 300.0
    people = [instants(shape, seed, horizon=50 + length) for seed in SEEDS]
    counts = np.array([np.count_nonzero(found >= 50) for found in people], dtype=float)
    mean = length / (1 - branching)
    assert abs(z(counts, mean)) < 3.5
    factor, a = (1 - branching) ** -2, 1 - branching
    fano = factor - (factor - 1) * -math.expm1(-a * length) / (a * length)
    assert abs(z((counts - mean) ** 2, fano * mean)) < 3.5


def test_the_grid_of_a_heavy_tail_solves_the_renewal_equation():
    one = wave({**HEAVY, "branching": 0.9})
    theta, c = 0.4, 5.0
    for age in (0.3, 10.0, 1000.0, 1e6):
        # s = c (x - 1), so that a far tail is as easy to integrate as the beginning; in log x
        def brought(log_x, age=age):
            return theta * math.exp(-theta * log_x) * float(one.cluster.rate_at(age - c * math.expm1(log_x)))

        integral, _ = integrate.quad(brought, 0, math.log1p(age / c), limit=400, epsabs=1e-5, epsrel=1e-5)
        assert one.cluster.rate_at(age) == pytest.approx(1 + 0.9 * integral, rel=2e-3)


def test_one_person_brings_in_the_end_as_many_as_the_series_says():
    # 1 + n + n^2 + ... = 1 / (1 - n)
    assert ExponentialCluster(0.75, 10.0).rate_at(1e6) == pytest.approx(4)
    quick = wave({**HEAVY, "delay": {"kind": "power law", "theta": 3, "cutoff": "1 s"}, "branching": 0.75})
    assert quick.cluster.rate_at(1e9) == pytest.approx(4, rel=1e-3)


def test_without_branching_people_are_those_who_come_of_their_own_accord():
    plain = {"kind": "steady", "rate": "0.3 per second"}
    assert (instants({**HAWKES, "branching": 0}, seed=3) == instants(plain, seed=3)).all()
    assert set(instants(plain, seed=3)) < set(instants(HAWKES, seed=3))


def test_of_more_branching_nobody_is_lost():
    assert set(instants({**HAWKES, "branching": 0.3}, seed=5)) < set(instants(HAWKES, seed=5))
