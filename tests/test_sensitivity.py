"""Sensitivities are those of functions whose indices are known exactly."""

import math

import numpy as np
import pytest

from sim import BadInput, load
from sim.cli.sweep_command import sensitivity_table
from sim.plots.sweep_map import drawn, tornado_figure
from sim.report import words
from sim.studies.assumed import law_about, with_assumed
from sim.studies.sensitivity import morris, sensitivity, settings, sobol, tornado
from sim.studies.sweep import DEMAND
from sim.studies.uncertain import Uncertain, read_law, uncertain

CUBE = {f"x{n}": read_law(f"x{n}", "~ uniform(0, 1)") for n in range(1, 5)}
ANGLE = f"~ uniform({-math.pi!r}, {math.pi!r})"
LINEAR = {"x1": "~ uniform(0, 10)", "x2": "~ uniform(0, 4)", "x3": "~ uniform(0, 1)"}
LINEAR_LAWS = {key: read_law(key, text) for key, text in LINEAR.items()}


def columns(places):
    return np.array([[float(value) for value in place.values()] for place in places]).T


def linear(places):
    x1, x2, x3 = columns(places)
    return 3 * x1 - 2 * x2 + 0.5 * x3


def ishigami(places):
    """a = 7, b = 0.05 (Ishigami and Homma 1990)."""
    x1, x2, x3 = columns(places)
    return np.sin(x1) + 7 * np.sin(x2) ** 2 + 0.05 * x3**4 * np.sin(x1)


def g_function(places):
    """a = 0, 1, 4.5, 9 (Saltelli and Sobol 1995)."""
    a = np.array([[0.0], [1.0], [4.5], [9.0]])
    return np.prod((np.abs(4 * columns(places) - 2) + a) / (1 + a), axis=0)


def by_key(table, column):
    return table.set_index("key")[column].to_dict()


def test_a_tornado_of_a_linear_function_has_its_slopes_times_the_ranges():
    table = tornado(linear, LINEAR_LAWS, ends=(0.0, 1.0))
    assert table["key"].tolist() == ["x1", "x2", "x3"]
    assert table["swing"].tolist() == pytest.approx([30, 8, 0.5])
    assert table["base"].unique() == pytest.approx([15 - 4 + 0.25])
    assert table["monotone"].all()


def test_a_tornado_marks_an_input_whose_best_value_lies_inside_its_range():
    (row,) = tornado(lambda p: -((columns(p)[0] - 0.5) ** 2), {"x1": CUBE["x1"]}, ends=(0, 1)).to_dict("records")
    assert not row["monotone"]
    assert row["swing"] == pytest.approx(0.25)


def test_morris_of_a_linear_function_is_exact():
    pytest.importorskip("SALib")
    table = morris(linear, LINEAR_LAWS)
    assert table["mu_star"].tolist() == pytest.approx([30, 8, 0.5])
    assert by_key(table, "mu")["x2"] == pytest.approx(-8)
    assert table["sigma"].max() < 1e-9


@pytest.mark.parametrize(
    ("function", "laws", "first", "total"),
    [
        (linear, LINEAR_LAWS, [0.9333679, 0.0663728, 0.0002593], [0.9333679, 0.0663728, 0.0002593]),
        (
            ishigami,
            {key: read_law(key, ANGLE) for key in LINEAR},
            [0.2185186, 0.6868946, 0.0],
            [0.3131054, 0.6868946, 0.0945868],
        ),
        (g_function, CUBE, [0.7164929, 0.1791232, 0.0236857, 0.0071649], [0.7873697, 0.2422676, 0.0343267, 0.0104634]),
    ],
)
def test_sobol_indices_are_those_in_closed_form(function, laws, first, total):
    pytest.importorskip("SALib")
    table = sobol(function, laws, points=2048)
    assert [by_key(table, "S1")[key] for key in laws] == pytest.approx(first, abs=0.03)
    assert [by_key(table, "ST")[key] for key in laws] == pytest.approx(total, abs=0.03)


def test_a_figure_that_nothing_changes_depends_on_nothing():
    pytest.importorskip("SALib")
    assert (sobol(lambda p: np.ones(len(p)), CUBE, 8)[["S1", "ST"]] == 0).all(axis=None)


def test_sobol_takes_powers_of_two_alone():
    pytest.importorskip("SALib")
    with pytest.raises(BadInput, match="power of two"):
        sobol(linear, LINEAR_LAWS, points=100)


def test_a_latency_that_is_endless_at_all_three_does_not_swing_and_one_that_ends_swings_without_end():
    laws = {"x": read_law("x", "~ uniform(0, 1)"), "y": read_law("y", "~ uniform(0, 1)")}
    endless = tornado(lambda places: np.full(len(places), math.inf), laws)
    assert endless["swing"].tolist() == [0.0, 0.0]
    some = tornado(lambda places: np.array([math.inf if p["x"] > 0.8 else 5.0 for p in places]), laws)
    assert some["swing"].tolist() == [math.inf, 0.0]
    assert drawn(some).empty
    tornado_figure(some, "p95_latency")


def test_of_a_figure_that_is_endless_everywhere_nothing_is_concluded():
    """That p95 latency is never, whatever the demand, was "Nothing changes with: demand.times"."""
    laws = {"x": read_law("x", "~ uniform(0, 1)")}
    endless = tornado(lambda places: np.full(len(places), math.inf), laws)
    assert str(sensitivity_table(endless, "p95_latency").caption).startswith("ENDLESS: at every setting of x")
    constant = tornado(lambda places: np.full(len(places), 5.0), laws)
    assert str(sensitivity_table(constant, "p95_latency").caption) == "Nothing changes with: x."


def test_indices_of_a_figure_that_is_endless_are_refused():
    pytest.importorskip("SALib")
    never = {"behaviour.patience": {"kind": "constant", "value": "1 s"}, "horizon": "2 min", "warm_up": "0 s"}
    inputs = uncertain(load("steady", sets=never), {DEMAND: "~ uniform(1, 2)"})
    with pytest.raises(BadInput, match="endless in some run"):
        sensitivity(inputs, "p95_latency", method="morris", size=2, seeds=1, store=False, processes=1)


@pytest.mark.parametrize(
    ("metric", "value", "text", "far"),
    [
        ("attainment", 0.2, "20 %", "20 points"),
        ("p95_latency", math.inf, "never", "no end"),
        ("p95_latency", 150.0, "2.5 min", "2.5 min"),
        ("margin", 393_000.0, "$393 k", "$393 k"),
        ("lost", 12_300.0, "12.3 k", "12.3 k"),
    ],
)
def test_figures_have_their_units(metric, value, text, far):
    assert (words.figure(metric, value), words.swing(metric, value)) == (text, far)


def test_intervals_of_dollars_and_of_shares_near_all_have_their_units():
    assert words.interval(16_300, 14_100, 18_400, "dollars", signed=True) == "+$16.3 k\n(+$14.1 k to +$18.4 k)"
    assert words.interval(-120, -9510, 14_800, "dollars", signed=True) == "-$120\n(-$9.51 k to +$14.8 k)"
    assert words.interval(math.inf, math.nan, math.nan, "dollars") == "not known"
    assert words.interval(0.9999, 0.9995, 1.0, "share") == "99.99 %\n(99.95 to 100)"


def test_the_cost_of_images_is_an_outcome_over_all_seeds_together():
    """Twice the GPUs that are there anyway: twice the dollars for the same images."""
    inputs = uncertain(
        load("steady", sets={"horizon": "20 min"}), {"pools.gpus.dollars_per_gpu_hour": "~ choice(2, 4)"}
    )
    table = sensitivity(inputs, "dollars_per_1000_images", seeds=2, store=False, processes=1)
    assert table["at_high"][0] == pytest.approx(2 * table["at_low"][0])
    assert words.figure("dollars_per_1000_images", 2.5) == "$2.5"


def test_indices_are_explained_and_those_of_too_few_points_are_named():
    """A share is at most 100 points apart; an effect of 135 points, scaled up to the whole range, stood there bare."""
    step = morris(lambda places: (columns(places)[0] > 0.5).astype(float), {"x1": CUBE["x1"], "x2": CUBE["x2"]})
    assert by_key(step, "mu_star")["x1"] == pytest.approx(1.5), "a step of 1 over two thirds of the range"
    assert "it can exceed what the figure can" in str(sensitivity_table(step, "attainment").caption)
    laws = {key: CUBE[key] for key in ("x1", "x2", "x3", "x4")}
    few, many = (str(sensitivity_table(sobol(g_function, laws, size), "attainment").caption) for size in (16, 8192))
    assert "S1: the part of the variance" in few
    assert "TOO FEW POINTS" in few
    assert "TOO FEW POINTS" not in many


@pytest.mark.parametrize("name", ["steady", "surge", "million-signup-hour"])
def test_assumed_inputs_are_varied_within_what_their_keys_take_by_every_method(name):
    """Half and twice of an assumed probability of 0.5 fit its key; 3.5 times as much, the 99 % point, does not."""
    inputs = with_assumed(Uncertain(load(name)))
    for values in settings(inputs.laws, np.array([[0.0] * len(inputs.laws), [1.0] * len(inputs.laws)])):
        inputs.with_values(values)  # else BadInput
    low, high = settings({"x": law_about(8, 2.0)}, np.array([[0.0], [1.0]]))
    assert (low["x"], high["x"]) == (4, 16)
