"""Every policy carries its advice, which the documents and the command line show; a new one touches only its file."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from sim.cli.main import app
from sim.policies.base import FAMILIES
from sim.policies.playbook import KINDS, example

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "policies.md"


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["policies", *arguments], env={"COLUMNS": "200"})


@pytest.mark.parametrize("kind", KINDS)
def test_advice_is_complete_and_its_example_is_valid(kind):
    advice = KINDS[kind].advice
    assert advice.family in FAMILIES
    assert advice.protects
    assert advice.costs
    assert advice.fails
    assert len(KINDS[kind].summary()) > 20
    assert example(kind).policy.kind == kind


def test_the_documents_have_the_same_table():
    table = DOCS.read_text(encoding="utf-8").split("| kind |")[1].split("\n\n")[0]
    advice = {kind: policy.advice for kind, policy in KINDS.items()}
    rows = [f"| `{kind}` | {a.protects} | {a.costs} | {a.fails} |" for kind, a in advice.items()]
    assert table.splitlines()[2:] == rows


def test_defaults_of_a_policy_have_their_units_and_its_example_is_printed_in_full():
    """A default of two minutes was shown as 120.0, and the tiers of an example, [free], as nothing."""
    said = invoke("hpa").output
    assert re.search(r"provisioning .* duration .* 2 min ", said)
    assert re.search(r"tolerance .* share, 0 to 1 .* 10 % ", said)
    assert "period: 15 s" in said
    for kind in KINDS:
        shown = invoke(kind).output.partition("In a playbook:")[2]
        (step,) = yaml.safe_load(shown)
        assert step["policy"] == {"kind": kind, **KINDS[kind].advice.example}


NEW_POLICY = '''
from typing import Literal

from sim.policies.base import Advice, NamedPolicy


class Siesta(NamedPolicy):
    """Closes every feature for one hour of the day."""

    steady = True
    advice = Advice("access", protects="the afternoon", costs="one hour", fails="at night", example={"hour": 14})

    kind: Literal["siesta"] = "siesta"
    hour: int

    def act(self, telemetry, controls):
        controls.set(open=0)
'''
USE = """
import sys
from typer.testing import CliRunner
from sim import load
from sim.cli.main import app
from sim.scenario.scenario import Scenario

step = load(sys.argv[1]).playbooks["rest"][0]
print(type(step.policy).__name__, step.policy.hour)
print("Siesta" in Scenario.model_json_schema()["$defs"])
print(CliRunner().invoke(app, ["policies", "siesta"]).output)
"""


def test_a_new_policy_touches_only_its_own_file(tmp_path):
    """In a copy of the package with one file more, a scenario can name the policy and the command shows its advice."""
    package = tmp_path / "sim"
    shutil.copytree(ROOT / "sim", package, copy_function=os.symlink, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("profiles", "scenarios"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (package / "policies" / "siesta.py").write_text(NEW_POLICY, encoding="utf-8")
    text = (ROOT / "scenarios" / "surge.yaml").read_text(encoding="utf-8")
    playbooks = "playbooks:\n  rest:\n    - policy: {kind: siesta, hour: 15}\n"
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(re.sub(r"^playbooks:.*?(?=^\S|\Z)", playbooks, text, flags=re.M | re.S), encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-B", "-c", USE, str(scenario)],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path), "COLUMNS": "200"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    named, in_schema, explained = run.stdout.split("\n", 2)
    assert (named, in_schema) == ("Siesta 15", "True")
    assert "protects  the afternoon" in explained
    assert "Closes every feature for one hour of the day." in explained
    assert "hour: 14" in explained


def test_the_command_lists_all_and_explains_one():
    listed = invoke()
    assert listed.exit_code == 0
    assert all(kind in listed.output for kind in KINDS)
    explained = invoke("codel")
    assert explained.exit_code == 0
    assert "RFC 8289" in explained.output
    assert "kind: codel" in explained.output
    assert "interval" in explained.output


def test_the_command_draws_a_policy_at_work(tmp_path):
    figure = tmp_path / "lifo.png"
    assert invoke("last in first out", "--figure", str(figure)).exit_code == 0
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_command_tries_a_policy_under_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("multiprocessing.cpu_count", lambda: 1)  # no further process, which takes longer than the runs
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
