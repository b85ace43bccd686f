"""Against Ciw: impatience, priorities, bounded queues and surges have the same figures there."""

from pathlib import Path

import pytest

import tests
from sim.validation.study import AGREES
from tests.oracles.formulas import impatience, weibull
from tests.studies.peers.of_ciw import CLASSES, IMPATIENT, QUESTIONS, ROOMS
from tests.studies.peers.samples import LARGEST_Z, all_apart, from_theory, ours, theirs
from tests.studies.peers.study import engines, shown
from tests.studies.theory.closed_forms import erlang_a


@pytest.fixture(autouse=True, scope="module")
def fewer_runs_of_ciw():
    """Half as many as in the study: services a twentieth longer are shown by them all the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.studies.peers.samples.ORACLE_RUNS", 8)
        yield


QUICK = [IMPATIENT["constant"], QUESTIONS[-1]]  # the others: make validate STUDY=peers


@pytest.mark.parametrize("question", QUICK, ids=lambda question: question.name)
def test_ciw_gives_the_same_figures(question):
    found = all_apart(ours(question), theirs(question))
    assert {figure: z for figure, z in found.items() if abs(z) > LARGEST_Z} == {}


def test_ciw_would_show_service_times_a_little_longer():
    assert shown("", QUICK[0]).fits == AGREES


@pytest.mark.parametrize("question", QUICK, ids=lambda question: question.name)
def test_both_engines_play_what_ciw_is_asked(question):
    assert engines("", question).fits == AGREES


# Three ways to the same figures: a formula, Ciw, and the simulator.


def test_baccelli_ciw_and_the_simulator_agree_on_impatience():
    assert max(from_theory(QUICK[0]).values()) < LARGEST_Z


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
