"""Failures, power caps and heat: how many are down on average, what a cap costs, how hot GPUs get and how fast."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls
from sim.model.knobs import POOL_KNOBS
from sim.policies.faults import Failures, PowerCap, Thermal, clock_under, drawn, warmed
from sim.policies.supply import ScheduledCapacity
from sim.profile.profile import constant_profile
from sim.results.metrics import capacity
from sim.results.timeline import DONE
from sim.scenario.document import merged
from sim.scenario.scenario import Scenario
from tests.fleets import fleets, in_service, pool, seen, surge
from tests.studies.overload.spikes import experiment_d, recovered


def knob(controls, name, of="gpus"):
    return controls.pools[controls.pool_names.index(of), POOL_KNOBS.index(name)]


# Failures.


def down(seed, *, gpus=200, together=1, at=range(0, 20_000, 1000)):
    """How many of the first GPUs are down at each of these instants."""
    policy = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s", together=together, seed=seed)
    return np.array([policy.down(gpus, now) for now in at])


@pytest.mark.parametrize("together", [1, 8])
def test_on_average_a_share_mttr_over_mtbf_and_mttr_is_down(together):
    means = np.array([down(seed, together=together).mean() for seed in range(1, 17)])
    z = (means.mean() - 200 / 4) / (means.std(ddof=1) / math.sqrt(len(means)))
    assert abs(z) < 3.5


def test_it_is_so_from_the_start_on():
    first = np.array([down(seed, at=[0.0])[0] for seed in range(1, 101)])
    z = (first.mean() - 50) / math.sqrt(200 * 0.25 * 0.75 / 100)
    assert abs(z) < 3.5
    assert first.var() == pytest.approx(200 * 0.25 * 0.75, rel=0.4)


def test_gpus_that_fail_together_make_the_number_vary_as_much_more():
    alone, racks = (
        np.array([down(seed, gpus=80, together=n, at=[2000.0])[0] for seed in range(1, 201)]) for n in (1, 8)
    )
    assert racks.var() / alone.var() == pytest.approx(8, rel=0.4)
    assert set(racks % 8) == {0}


def test_times_between_failures_are_exponential():
    policy = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s")
    instants = np.arange(0, 400_000, 20.0)
    states = np.array([policy.down(1, now) for now in instants])
    turns = np.flatnonzero(np.diff(states))
    lengths = np.diff(instants[turns])
    repairs = lengths[states[turns[:-1] + 1] == 1]
    assert stats.kstest(repairs, "expon", args=(0, 1000)).pvalue > 0.001
    assert len(repairs) > 70


def test_the_last_group_may_be_smaller():
    policy = Failures(pool="gpus", mtbf="1 s", mttr="1000 days", together=8)
    assert policy.down(19, 1e6) == 19


def test_the_same_gpus_fail_whatever_the_playbook_does():
    at = np.arange(0, 20_000, 500.0)
    assert (down(5, at=at) == down(5, at=at)).all()
    assert (down(5, at=at) != down(6, at=at)).any()
    policy = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s", seed=5)
    grown = [policy.down(200 if now >= 10_000 else 20, now) for now in at]
    assert grown[20:] == down(5, at=at)[20:].tolist()
    seldom = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s", seed=5)
    assert seldom.down(200, 19_500.0) == down(5, at=at)[-1], "nor when anybody looks"


def test_pools_have_failures_of_their_own():
    policy = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s")
    other = Failures(pool="gpus", mtbf="3000 s", mttr="1000 s")
    assert policy.down(200, 0.0) != other.down(200, 0.0, 1 << 32)
    alike = next(group for group in range(200) if group not in policy._down | other._down)
    assert policy.lasting(alike, 0) != other.lasting(alike, 1 << 32)
    at = range(0, 20_000, 500)
    assert [policy.down(200, now) for now in at] != [other.down(200, now, 1 << 32) for now in at]


def test_a_slice_loses_its_share():
    def lost(scale):
        policy = Failures(pool="gpus", mtbf="3 h", mttr="1 h")
        return fleets(policy, gpus=round(1000 * scale), ticks=range(0, 36_000, 600), scale=scale)

    assert lost(0.1) == [round(gpus * 0.1) for gpus in lost(1.0)]


FAILING = {"kind": "failures", "pool": "gpus", "mtbf": "10 min", "mttr": "3 min"}


def test_what_is_down_is_out_of_service_and_on_top_of_what_scalers_do():
    policy = Failures(**{**FAILING, "mtbf": "30 min"})
    run = simulate(surge(), [policy])
    expected = Failures(**{**FAILING, "mtbf": "30 min"})
    for now in range(0, 2400, 15):
        assert in_service(run, "gpus", now) == 10 - expected.down(10, now)
    both = simulate(surge(), [ScheduledCapacity(pool="gpus", gpus=30), policy])
    again = Failures(**{**FAILING, "mtbf": "30 min"})
    assert all(in_service(both, "gpus", now) == 30 - again.down(30, now) for now in range(0, 2400, 15))


def test_a_run_has_the_mean_capacity_that_theory_has():
    lasting = 40 * 60.0
    few = surge(demand=[{"kind": "steady", "rate": "1 per min"}])  # whoever asks, GPUs fail as often
    shares = [
        capacity(simulate(few, [Failures(**FAILING, seed=seed)]), "gpus", np.array([0, lasting]))[0] / 10 / lasting
        for seed in range(1, 11)
    ]
    z = (np.mean(shares) - 10 / 13) / (np.std(shares, ddof=1) / math.sqrt(len(shares)))
    assert abs(z) < stats.t.ppf(1 - 2.3e-4, len(shares) - 1)  # as rare as 3.5 standard errors of a normal value


# Power.


def test_a_capped_gpu_draws_its_cap():
    for cap in (0.3, 0.5, 0.7, 1.0):
        clock = clock_under(cap, idle=0.1, alpha=2.5)
        assert drawn(clock, idle=0.1, alpha=2.5) == pytest.approx(cap)
    assert clock_under(1.0, idle=0.1, alpha=2.5) == 1
    assert clock_under(0.7, idle=0.1, alpha=2.0) == pytest.approx(math.sqrt(0.6 / 0.9))
    assert clock_under(0.125, idle=0, alpha=3) == pytest.approx(0.5)


def test_a_cap_slows_all_pools_or_those_named_and_the_lower_of_two_holds():
    controls = Controls(["free"], ["image"], 1.0, {"gpus": 4, "video": 4})
    PowerCap(cap=0.7, pools=["gpus"]).act(seen(0.0), controls)
    assert [knob(controls, "slowdown", p) for p in ("gpus", "video")] == [pytest.approx((0.9 / 0.6) ** 0.4), 1]
    assert knob(controls, "power") == pytest.approx(0.7)
    PowerCap(cap=0.8).act(seen(0.0), controls)
    assert [knob(controls, "power", p) for p in ("gpus", "video")] == pytest.approx([0.7, 0.8])
    PowerCap(cap=0.6).act(seen(0.0), controls)
    assert [knob(controls, "power", p) for p in ("gpus", "video")] == pytest.approx([0.6, 0.6])
    with pytest.raises(BadInput, match="spare"):
        PowerCap(cap=0.6, pools=["spare"]).act(seen(0.0), controls)


def done(run, begin, end):
    """Images done a second between two instants, which begin and end a bin."""
    width = run.timeline.width
    return run.timeline.counts[round(begin / width) : round(end / width), :, :, DONE].sum() / (end - begin)


def test_under_overload_throughput_falls_to_the_clock():
    capped, free = (simulate(surge(), playbook) for playbook in ([PowerCap(cap=0.5)], []))
    ratio = done(capped, 900, 1500) / done(free, 900, 1500)
    assert ratio == pytest.approx(clock_under(0.5, idle=0.1, alpha=2.5), rel=0.02)
    assert capped.batches["seconds"].to_numpy() == pytest.approx(10 / clock_under(0.5, idle=0.1, alpha=2.5))


def test_a_cap_for_ten_minutes_makes_a_retry_storm_that_outlives_it_and_a_bound_on_the_queue_prevents_it():
    """64 GPUs at a fifth of their clock serve 3.2 a second of 8; the queue then keeps what is served too late."""
    capped = {
        "policy": {"kind": "power cap", "cap": 0.2, "idle": 0.1, "alpha": 1.4},
        "from": "900 s",
        "until": "1500 s",
    }
    quiet = {"demand": [{"kind": "steady", "rate": "8 per s"}]}
    assert not recovered(simulate(without_spike(2880, [capped], **quiet)))
    assert recovered(simulate(without_spike(2880, [], **quiet)))
    assert recovered(simulate(without_spike(640, [capped], **quiet))), "a queue that is bound does not get stuck"


def without_spike(bound, policies, **settings):
    """The overload experiment in the size of images, with a cut of capacity in place of its spike."""
    document = merged(experiment_d(bound, policies=policies).document, settings)
    return Scenario.from_dict(document, profiles={"model": constant_profile("model", 4.0)})


# Heat.


def test_after_a_step_of_load_the_temperature_nears_its_new_balance_exponentially():
    low, high = 35 + 56 * (0.1 + 0.9 * 0.3), 35 + 56
    assert warmed(low, high, 120.0, 120.0) == pytest.approx(low + (1 - 1 / math.e) * (high - low))
    assert warmed(warmed(low, high, 50.0, 120.0), high, 70.0, 120.0) == pytest.approx(warmed(low, high, 120.0, 120.0))
    policy = Thermal(pool="gpus", above=95, gap=5)
    path = temperatures(policy, [0.3] * 400 + [1.0] * 400)
    assert path[399] == pytest.approx(low, abs=1e-6)
    expected = [high + (low - high) * math.exp(-5 * n / 120) for n in range(1, 401)]
    assert path[400:] == pytest.approx(expected, abs=1e-6)


def temperatures(policy, uses, tick=5.0):
    """Temperatures after each tick, with this share of the GPUs busy."""
    path, controls = [], Controls(["free"], ["image"], 1.0, {"gpus": 100})
    for number, use in enumerate(uses):
        controls.open_all()
        policy.act(seen(number * tick, gpus=pool(100, round(100 * use))), controls)
        path.append(policy._temperature)
    return path


def test_it_clocks_down_until_it_is_cool_enough_and_up_again_after_the_load():
    policy = Thermal(pool="gpus")
    controls = Controls(["free"], ["image"], 1.0, {"gpus": 100})
    clocks, hot = [], []
    for number in range(900):
        controls.open_all()
        use = 100 if number < 600 else 20
        policy.act(seen(5.0 * number, gpus=pool(100, use)), controls)
        clocks.append(1 / knob(controls, "slowdown"))
        hot.append(policy._temperature)
    begins = next(n for n, clock in enumerate(clocks) if clock < 1)
    assert hot[begins] > 87 > hot[begins - 1]
    assert max(hot) < 87.5
    settled = np.mean(clocks[300:600])
    assert 35 + 56 * 0.9 * settled**2.5 + 5.6 == pytest.approx(np.mean(hot[300:600]), abs=1.5)
    assert clocks[-1] == 1
    steps = np.diff(clocks[:600])
    turns = np.count_nonzero(np.diff(np.sign(steps[steps != 0])))
    assert turns < 600 / 12, "with a gap it turns less than once a minute"


def test_the_clock_has_a_floor_and_heat_that_no_clock_can_help():
    policy = Thermal(pool="gpus", ambient=75, floor=0.6)
    path = temperatures(policy, [1.0] * 500)
    assert policy._clock == pytest.approx(0.6)
    assert path[-1] == pytest.approx(75 + 56 * (0.1 + 0.9 * 0.6**2.5), abs=0.01)


def test_a_capped_gpu_stays_cooler():
    controls = Controls(["free"], ["image"], 1.0, {"gpus": 100})
    policy = Thermal(pool="gpus")
    for number in range(500):
        controls.open_all()
        PowerCap(cap=0.7).act(seen(5.0 * number), controls)
        policy.act(seen(5.0 * number, gpus=pool(100, 100)), controls)
    assert policy._temperature == pytest.approx(35 + 56 * 0.7, abs=0.01)
    assert policy._clock == 1


def test_a_hot_service_does_less_and_recovers_when_it_has_cooled():
    hot, cool = (simulate(surge(control_tick="5 s"), playbook) for playbook in ([Thermal(pool="gpus", ambient=45)], []))
    assert done(hot, 900, 1500) < 0.95 * done(cool, 900, 1500)
    last = surge(control_tick="5 s", horizon="3 h", behaviour={"patience": {"kind": "constant", "value": "2 min"}})
    run = simulate(last, [Thermal(pool="gpus", ambient=45)])
    assert (run.batches.loc[run.batches["started"] > 9000, "seconds"] == 10).all()
    assert run.batches["seconds"].max() > 11


# What makes no sense.


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Failures, {"mttr": 0}),
        (Failures, {"mtbf": "never"}),
        (Failures, {"together": 0}),
        (Failures, {"seed": -1}),
        (PowerCap, {"cap": 0.1}),
        (PowerCap, {"cap": 1.2}),
        (PowerCap, {"alpha": 0.5}),
        (Thermal, {"above": 40}),
        (Thermal, {"floor": 0}),
        (Thermal, {"time_constant": 0}),
    ],
)
def test_settings_must_make_sense(kind, wrong):
    right = {
        Failures: {"pool": "gpus", "mtbf": "30 days", "mttr": "1 day"},
        PowerCap: {"cap": 0.7},
        Thermal: {"pool": "gpus"},
    }[kind]
    kind(**right)
    with pytest.raises(ValidationError):
        kind(**{**right, **wrong})
