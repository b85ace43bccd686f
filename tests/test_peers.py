"""Against Ciw and plain SimPy: each mechanism has the same figures in models written apart from the simulator."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

import tests
from sim.validation.study import AGREES
from tests.oracles.formulas import impatience, weibull
from tests.studies.peers.of_ciw import CLASSES, IMPATIENT, QUESTIONS, ROOMS
from tests.studies.peers.of_queues import DROPPED, LINGERING
from tests.studies.peers.samples import LARGEST_Z, all_apart, apart, from_theory, ours, theirs
from tests.studies.peers.study import engines, shown
from tests.studies.theory.closed_forms import erlang_a

ORACLES = sorted((Path(__file__).parent / "oracles").glob("*.py"))
BY_THEORY = [IMPATIENT["constant"], DROPPED]  # three ways to the same figures: a formula, a peer, and the simulator


@pytest.fixture(autouse=True, scope="module")
def fewer_runs_of_peers():
    """Some of those of the study: in these questions they show services a twentieth longer all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.studies.peers.samples.RUNS", 24)
        patch.setattr("tests.studies.peers.samples.ORACLE_RUNS", 8)
        yield


# The others: make validate STUDY=peers.
each = pytest.mark.parametrize("question", [*BY_THEORY, QUESTIONS[-1], LINGERING], ids=lambda question: question.name)
by_theory = pytest.mark.parametrize("question", BY_THEORY, ids=lambda question: question.name)


@each
def test_a_peer_gives_the_same_figures(question):
    found = all_apart(ours(question), theirs(question))
    assert {figure: z for figure, z in found.items() if abs(z) > LARGEST_Z} == {}


@each
def test_both_engines_play_what_a_peer_is_asked(question):
    assert engines("", question).fits == AGREES


@by_theory
def test_a_peer_would_show_what_is_a_little_off(question):
    assert shown("", question).fits == AGREES


@by_theory
def test_baccelli_a_peer_and_the_simulator_agree(question):
    assert max(from_theory(question).values()) < LARGEST_Z


def test_the_questions_that_theory_answers():
    assert [q.name for q in QUESTIONS if q.exact()] == [q.name for q in (*IMPATIENT.values(), CLASSES[1.0], ROOMS[1.0])]


def test_baccelli_has_erlang_a_as_a_special_case():
    exact, known = erlang_a(6.0, 1.0, 5, 2.0), impatience(6.0, 1.0, 5, weibull(2.0, 1.0), beyond=0.5)
    assert known["never started"] == pytest.approx(exact.abandoned, rel=1e-6)
    assert known["mean wait"] == pytest.approx(exact.wait_of_started, rel=1e-6)
    assert known["queued"] == pytest.approx(exact.queue, rel=1e-6)
    assert known["utilisation"] == pytest.approx(exact.utilisation, rel=1e-6)


def test_these_tests_come_before_the_package_of_that_name_that_ciw_installs():
    assert Path(tests.__file__).parent == Path(__file__).parent


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
