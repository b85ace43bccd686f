"""Every policy is explained, shown and tried: in the guide, in the documents, on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.main import app
from sim.policies import KINDS
from sim.policies.guide import ADVICE, advice, example, first_words, table_rows

DOCS = Path(__file__).parent.parent / "docs" / "policies.md"


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["policies", *arguments], env={"COLUMNS": "200"})


def test_every_policy_that_a_scenario_can_name_has_advice():
    assert set(ADVICE) == set(KINDS)


@pytest.mark.parametrize("kind", ADVICE)
def test_advice_says_something_and_its_settings_are_valid(kind):
    said = advice(kind)
    assert said.family
    assert said.protects
    assert said.costs
    assert said.fails
    assert len(first_words(kind)) > 20
    assert example(kind).policy.kind == kind


def test_the_documents_have_the_same_table():
    table = DOCS.read_text(encoding="utf-8").split("| kind |")[1].split("\n\n")[0]
    assert table.splitlines()[2:] == table_rows()


def test_the_command_lists_all_and_explains_one():
    listed = invoke()
    assert listed.exit_code == 0
    assert all(kind in listed.output for kind in ADVICE)
    explained = invoke("codel")
    assert explained.exit_code == 0
    assert "RFC 8289" in explained.output
    assert "kind: codel" in explained.output
    assert "interval" in explained.output


def test_the_command_draws_a_policy_at_work(tmp_path):
    figure = tmp_path / "lifo.png"
    assert invoke("last in first out", "--figure", str(figure)).exit_code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_command_tries_a_policy_under_loads(tmp_path):
    table = tmp_path / "loads.csv"
    tried = invoke("queue bound", "--loads", "50%,200%", "--out", str(table))
    assert tried.exit_code == 0, tried.output
    assert "nothing" in tried.output
    assert len(table.read_text().splitlines()) == 1 + 2 * 3  # two policies at 50, 100 and 200 %


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no such policy"], "queue bound"),
        (["--figure", "x.png"], "one policy"),
        (["codel", "--figure", "x.jpg"], "x.jpg"),
        (["codel", "--loads", "half"], "half"),
        (["codel", "--loads", "-1"], "-1"),
    ],
)
def test_what_cannot_be_is_refused_in_words(arguments, words):
    refused = invoke(*arguments)
    assert refused.exit_code != 0
    assert words in refused.output + str(refused.exception)
