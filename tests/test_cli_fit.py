"""meltpoint demand fit as a person uses it: a table, sentences, a block to paste, a figure; or one message."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sim.cli.main import app
from sim.errors import BadInput
from sim.scenario.scenario import Scenario

SCENARIOS = Path(__file__).parent.parent / "scenarios"
THREADS = str(SCENARIOS / "data" / "threads.csv")


def fit(*arguments):
    done = CliRunner().invoke(app, ["demand", "fit", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception  # as main() gets it, which prints a BadInput and exits with 2
    return done


def test_fit_ranks_the_curves_and_names_the_best():
    done = fit(THREADS)
    assert done.exit_code == 0
    assert "weibull fits best: off by 2.36 % (rms)" in done.stdout
    assert "people 101 M [100 M, 113 M]" in done.stdout
    order = [done.stdout.index(f"│ {name}") for name in ("weibull", "bass", "linear")]
    assert order == sorted(order)


def test_the_block_it_prints_is_the_demand_of_a_scenario():
    block = fit(THREADS, "--start", "2023-07-05T23:00Z").stdout.partition("For a scenario:")[2]
    document = yaml.safe_load((SCENARIOS / "steady.yaml").read_text()) | yaml.safe_load(block)
    (wave,) = Scenario.from_dict({**document, "scale": "1/1000", "pools": {"gpus": {"gpus": 4000}}}).demand.waves
    assert (wave.kind, wave.people) == ("weibull", 101367000)


def test_only_the_models_asked_for_with_the_market_given():
    shown = fit(THREADS, "--model", "bass", "--people", "120M", "--horizon", "30 days").stdout
    assert "people 120 M (given)" in shown
    assert "to 30 days" in shown
    assert "weibull" not in shown


@pytest.mark.parametrize("name", ["fit.png", "fit.svg"])
def test_a_figure_of_the_data_the_fits_and_the_fan(tmp_path, name):
    fit(THREADS, "--figure", str(tmp_path / name))
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")
    fit(THREADS, "--figure", str(tmp_path / f"again-{name}"))
    assert (tmp_path / f"again-{name}").read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.csv"],
        [THREADS, "--model", "gompertz"],
        [THREADS, "--people", "many"],
        [THREADS, "--people", "5M"],
        [THREADS, "--base", "many"],
        [THREADS, "--base", "5M"],
        [THREADS, "--model", "exponential,linear"],
        [THREADS, "--start", "yesterday"],
        [THREADS, "--horizon", "1 h"],
        [THREADS, "--horizon", "never"],
        [THREADS, "--time", "when"],
        [THREADS, "--figure", "fit.pdf"],
        [THREADS, "--figure", "no/such/folder/fit.png"],
    ],
)
def test_wrong_input_is_told_in_one_message(arguments):
    with pytest.raises(BadInput):
        fit(*arguments)


def test_an_unknown_kind_of_counts_is_a_mistake_in_usage():
    assert fit(THREADS, "--counts", "weekly").exit_code == 2
