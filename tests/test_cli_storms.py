"""The commands on retry storms as a person uses them."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from sim.cli.main import app
from sim.cli.options import axis
from sim.errors import BadInput

CALLS = CliRunner()
SMALL = ["--set", "scale=1/8", "--seeds", "1", "--processes", "1"]


def test_rescue_says_until_when_and_draws_it(tmp_path):
    figure, out = tmp_path / "r.png", tmp_path / "r.csv"
    given = ["rescue", "retry-storm", "--playbook", "shed", "--by", "5min", "--figure", str(figure), "--out", str(out)]
    done = CALLS.invoke(app, [*given, *SMALL])
    assert done.exit_code == 0, done.output
    assert "'shed' saves" in done.output
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert list(pd.read_csv(out)) == ["begins", "saved", "lost", "recovered"]
    assert f"Table in {out}" in done.output
    assert f"Figure in {figure}" in done.output


def test_rescue_ends_with_1_where_the_playbook_saves_the_run_at_no_instant():
    useless = "playbooks.late=[{policy: {kind: expiry, after: 60 s, foresight: false}}]"
    done = CALLS.invoke(app, ["rescue", "retry-storm", "--playbook", "late", "--by", "30min", "--set", useless, *SMALL])
    assert "NEVER" in done.output
    assert done.exit_code == 1


def test_map_prints_a_table_and_draws_it(tmp_path):
    figure, out = tmp_path / "m.png", tmp_path / "m.csv"
    places = ["--loads", "20%..50%:2", "--spikes", "3", "--retries", "0,3"]
    done = CALLS.invoke(app, ["map", "retry-storm", *places, "--figure", str(figure), "--out", str(out), *SMALL])
    assert done.exit_code == 0, done.output
    assert "Seeds that recover" in done.output
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert pd.read_csv(out)["recovered"].tolist() == [1, 1, 1, 0]


def test_run_prints_the_rules_and_the_warning_and_the_report_has_them(tmp_path):
    done = CALLS.invoke(app, ["run", "retry-storm", "--set", "scale=1/8", "--out", str(tmp_path / "r")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    page = (tmp_path / "r/report.html").read_text()
    for words in ("STAYED DOWN", "Retries in pool", "first requests per second"):
        assert words in said
        assert words in page


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("20%..90%:8", [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("25%, 0.5,120%", [0.25, 0.5, 1.2]),
        ("1,2.5,3", [1, 2.5, 3]),
        ("1..5:3", [1, 3, 5]),
    ],
)
def test_an_axis_is_a_list_or_a_span(text, places):
    assert axis("loads", text) == pytest.approx(places)


@pytest.mark.parametrize("text", ["", "20%..90%", "20%..90%:1", "20%..90%:9999", "a,b", "20%..:3", "nan", "1:2"])
def test_what_is_no_axis_is_refused(text):
    with pytest.raises(BadInput, match="not values on an axis"):
        axis("loads", text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rescue", "retry-storm", "--playbook", "none"], "does nothing"),
        (["rescue", "retry-storm", "--playbook", "magic"], "no such playbook"),
        (["rescue", "retry-storm", "--playbook", "shed", "--by", "5"], "a duration with its unit"),
        (["rescue", "retry-storm", "--playbook", "shed", "--keep", "most"], "a share from 0 to 1"),
        (["rescue", "retry-storm", "--playbook", "shed", "--keep", "100%"], "part of the images"),
        (["rescue", "retry-storm", "--playbook", "shed", "--figure", "r.pdf"], "a name ending in .png or .svg"),
        (["map", "retry-storm", "--retries", "0.5"], "whole numbers"),
        (["map", "retry-storm", "--spikes", "0.5"], "no place on a map"),
        (["map", "retry-storm", "--loads", "0"], "no place on a map"),
        (["map", "steady"], "one steady wave and one spike"),
        (["map", "retry-storm", "--loads", "20000%", "--spikes", "1000"], "goes too far"),
    ],
)
def test_bad_input_is_refused_before_any_run(arguments, words):
    done = CALLS.invoke(app, arguments)
    assert isinstance(done.exception, BadInput)
    assert words in str(done.exception)
