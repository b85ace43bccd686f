"""Against plain SimPy: each mechanism has the same figures in a short program written apart from the simulator."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

from sim.validation.study import AGREES
from tests.studies.peers.of_queues import DROPPED, LINGERING
from tests.studies.peers.samples import LARGEST_Z, all_apart, apart, from_theory, ours, theirs
from tests.studies.peers.study import engines, shown

ORACLES = sorted((Path(__file__).parent / "oracles").glob("*.py"))


@pytest.fixture(autouse=True, scope="module")
def fewer_runs_of_the_program():
    """Half as many as in the study: what is a little off is shown by them all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.studies.peers.samples.ORACLE_RUNS", 8)
        yield


QUICK = [LINGERING, DROPPED]  # the others: make validate STUDY=peers
each = pytest.mark.parametrize("question", QUICK, ids=lambda question: question.name)


@each
def test_a_plain_program_gives_the_same_figures(question):
    found = all_apart(ours(question), theirs(question))
    assert {figure: z for figure, z in found.items() if abs(z) > LARGEST_Z} == {}


def test_a_plain_program_would_show_what_is_a_little_off():
    assert shown("", DROPPED).fits == AGREES


@each
def test_both_engines_play_what_a_plain_program_is_asked(question):
    assert engines("", question).fits == AGREES


def test_baccelli_a_program_and_the_simulator_agree_on_expiry():
    assert max(from_theory(DROPPED).values()) < LARGEST_Z


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda path: path.stem)
def test_an_oracle_imports_nothing_of_the_simulator(oracle):
    tree = ast.parse(oracle.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    own = {name for name in names if name.split(".")[0] in ("sim", "tests", "benchmarks")}
    assert {name for name in own if not name.startswith("tests.oracles")} == set()


def test_the_same_samples_are_not_apart_and_different_constants_are_far():
    samples = np.array([1.0, 2.0, 4.0])
    assert apart(samples, samples) == 0
    assert apart(np.full(3, 2.0), np.full(3, 2.0)) == 0
    assert apart(np.full(3, 2.0), np.full(3, 2.5)) == -math.inf
    assert apart(np.array([1.0, 3.0]), np.array([4.0, 6.0])) == pytest.approx(-3 / math.sqrt(2))
