"""Uncertain inputs are drawn as their laws say, by name and once per future, and a fleet is sized over futures."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sim import BadInput, load, size
from sim.studies.size_words import sentences
from sim.studies.sweep import DEMAND
from sim.studies.uncertain import load_uncertain, read_law, share_drawn, uncertain

GPUS, RATE = "pools.gpus.gpus", "demand.waves.0.rate"


def test_the_two_numbers_of_a_lognormal_are_its_10_and_90_percent_points():
    law = read_law("x", "~ lognormal(200k, 2M)")
    assert [law.quantile(p) for p in (0.1, 0.5, 0.9)] == pytest.approx([2e5, math.sqrt(4e11), 2e6])


@pytest.mark.parametrize(
    ("text", "mean", "variance"),
    [
        ("~ uniform(20 s, 60 s)", 40, 40**2 / 12),
        ("~triangular(1, 2, 6)", 3, (1 + 4 + 36 - 2 - 6 - 12) / 18),
        ("~ uniform(20, 60) %", 40, 40**2 / 12),
        ("~ lognormal(2 per min, 6 per min)", *stats.lognorm(0.42862, scale=math.sqrt(12) / 60).stats()),
    ],
)
def test_draws_have_the_mean_and_variance_of_their_law(text, mean, variance):
    law = read_law("x", text)
    drawn = [law.quantile(share_drawn("x", future)) for future in range(1, 4001)]
    assert np.mean(drawn) == pytest.approx(mean, abs=4 * math.sqrt(variance / 4000))
    assert np.var(drawn) == pytest.approx(variance, rel=0.15)


def test_every_value_of_a_choice_is_as_likely():
    law = read_law("x", "~ choice(100, 2 h, 5)")
    drawn = [law.at(share_drawn("x", future)) for future in range(1, 3001)]
    assert set(drawn) == {100, "2 h", 5}
    assert stats.chisquare([drawn.count(value) for value in (100, "2 h", 5)]).pvalue > 0.001


def test_every_whole_number_of_a_uniform_law_is_as_likely():
    """Rounded, the least and the largest were half as likely as the others, and the ends of a tornado uneven."""
    law = replace(read_law("pools.gpus.gpus", "~ uniform(3, 8)"), whole=True)
    drawn = [int(value) for value in law.all_at((np.arange(6000) + 0.5) / 6000)]
    assert {number: drawn.count(number) for number in set(drawn)} == dict.fromkeys(range(3, 9), 1000)
    assert [int(law.at(share)) for share in (0.0, 0.1, 0.9, 1.0)] == [3, 3, 8, 8]
    odd = replace(read_law("k", "~ uniform(3.2, 3.9)"), whole=True)  # no whole number lies inside
    assert 3.2 <= odd.quantile(0.5) <= 3.9


def test_an_input_is_drawn_by_its_name_whatever_others_there_are_and_independently_of_them():
    one = uncertain(load("steady"), {RATE: "~ uniform(1, 2) per s"})
    two = uncertain(load("steady"), {DEMAND: "~ uniform(1, 2)", RATE: "~ uniform(1, 2) per s"})
    assert [one.values(n)[RATE] for n in (1, 2, 3)] == [two.values(n)[RATE] for n in (1, 2, 3)]
    pairs = [[share_drawn(key, n) for n in range(1, 2001)] for key in (RATE, DEMAND)]
    assert abs(np.corrcoef(pairs)[0, 1]) < 4 / math.sqrt(2000)


def test_laws_stand_in_a_file_where_numbers_would_and_a_future_is_a_scenario_with_these_values(tmp_path):
    path = tmp_path / "unsure.yaml"
    path.write_text(
        "base: steady\n"
        "demand:\n"
        "  - {kind: steady, rate: '~ lognormal(1, 4) per s'}\n"
        "behaviour:\n"
        "  patience: {kind: lognormal, median: '~ triangular(10 s, 20 s, 60 s)', sigma: 1}\n"
        "start: ~ uniform(2025-03-31, 2025-04-02)\n"
        "overrides:\n"
        "  wild: {pools: {gpus: {gpus: '~ uniform(2, 9)'}}}\n"
    )
    inputs = load_uncertain(path, sets={DEMAND: "~ choice(1, 3)"})
    assert set(inputs.laws) == {RATE, "behaviour.patience.median", "start", DEMAND}
    values, future = inputs.values(7), inputs.future(7)
    wave = future.demand.waves[0]
    assert wave.rate == pytest.approx(float(values[RATE].removesuffix(" per s")))
    assert wave.times == values[DEMAND]
    assert f"{future.behaviour.patience.median:g} s" == f"{float(values['behaviour.patience.median'][:-2]):g} s"
    assert future.start.isoformat() == values["start"]
    assert inputs.scenario.demand.waves[0].rate == pytest.approx(2)
    assert isinstance(load_uncertain(path, override="wild").values(1)[GPUS], int)


@pytest.mark.parametrize(
    "text",
    [
        "~ normal(1, 2)",
        "~ uniform(1",
        "~ uniform(1, 2, 3)",
        "~ uniform(2, 1)",
        "~ uniform(1, 1)",
        "~ lognormal(0, 2)",
        "~ uniform(1,500)",
        "~ uniform(1 s, 2 per s)",
        "~ uniform(10 %, 1)",
        "~ triangular(1, 5, 4)",
        "~ uniform(1 s, never)",
        "~ choice(1)",
        "~ uniform(nan, 2)",
        "~ choice(1,500, 2)",
        2,  # a number is no law
    ],
)
def test_a_law_that_says_nothing_sensible_is_refused(text):
    with pytest.raises(BadInput, match="key: "):
        read_law("demand.times", text)


def test_other_commands_refuse_uncertain_inputs_and_name_those_that_take_them():
    law = {GPUS: "~ uniform(2, 9)"}
    with pytest.raises(BadInput, match=r"uncertain[\s\S]*pools.gpus.gpus[\s\S]*decide"):
        load("steady", sets=law)
    with pytest.raises(BadInput, match="uncertain"):
        load("steady").with_(**law)


def test_a_law_that_leaves_what_its_key_takes_is_refused_with_the_future_and_the_value():
    inputs = uncertain(load("steady"), {"alive.kept": "~ lognormal(50 %, 90 %)"})
    with pytest.raises(BadInput, match=r"in future \d+[\s\S]*lognormal[\s\S]*0 to 1"):
        [inputs.future(n) for n in range(1, 200)]


def test_the_fleet_for_a_share_of_futures_is_the_one_that_theory_finds_for_the_same_futures():
    """M/M/c, promise P(no wait) >= 80 %: the fleet that Erlang's formula gives, future by future, for 90 % of them."""
    plain = {"serving.noise": {"kind": "exponential"}, "horizon": "30 min", "warm_up": "5 min", "record": "timeline"}
    inputs = uncertain(load("steady", sets=plain), {RATE: "~ uniform(0.5, 2) per s"})
    found = size(inputs, "p80 wait <= 1 s", seeds=10, runs=0.9, headroom=False, store=False, processes=1)
    rates = [float(inputs.values(n)[RATE].removesuffix(" per s")) for n in range(11, 21)]
    exact = sorted(next(c for c in range(1, 40) if c > 2 * r and waits(r, c) <= 0.2) for r in rates)
    assert found.futures
    assert abs(found.total - exact[8]) <= 1
    assert found.answer.kept >= 9 > min(look.kept for look in found.neighbours.values())
    assert sentences(found)[0].startswith(f"P90: {found.total} GPUs")


def waits(rate: float, gpus: int) -> float:
    """P(wait > 1 s) of M/M/c with 2 s of service: Erlang's C, and an exponential wait."""
    load_ = 2 * rate
    terms = [load_**k / math.factorial(k) for k in range(gpus)]
    last = load_**gpus / math.factorial(gpus) * gpus / (gpus - load_)
    return last / (sum(terms) + last) * math.exp(-(gpus / 2 - rate) * 1.0)


def test_a_fleet_that_is_sized_cannot_be_uncertain():
    with pytest.raises(BadInput, match=r"pools.gpus.gpus"):
        size(uncertain(load("steady"), {GPUS: "~ uniform(2, 9)"}), store=False)
