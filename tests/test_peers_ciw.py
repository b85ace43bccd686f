"""Against Ciw: impatience, priorities, bounded queues and surges have the same figures there."""

from pathlib import Path

import pytest

import tests
from sim.engine.simulate import simulate
from tests.oracles.formulas import impatience, two_classes, until, weibull
from tests.peers.of_ciw import CLASSES, IMPATIENT, QUESTIONS, ROOMS
from tests.peers.samples import LARGEST_Z, all_apart, ours, theirs, three_ways, wrong
from tests.studies.theory.closed_forms import bounded_queue, erlang_a, erlang_c
from tests.test_engines import assert_alike

each = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)


@each
def test_ciw_gives_the_same_figures(question):
    found = all_apart(ours(question), theirs(question))
    assert {figure: z for figure, z in found.items() if abs(z) > LARGEST_Z} == {}


@each
def test_ciw_would_show_service_times_a_little_longer(question):
    found = all_apart(wrong(question), theirs(question))
    assert max(abs(z) for z in found.values()) > LARGEST_Z


@each
def test_both_engines_play_what_ciw_is_asked(question):
    scenario = question.scenario_with(**question.short)
    assert_alike(*(simulate(scenario, seed=1, engine=engine) for engine in ("simpy", "compiled")))


# Three ways to the same figures: a formula, Ciw, and the simulator.


@pytest.mark.parametrize(
    ("law", "stays"), [("exponential", weibull(2.0, 1.0)), ("constant", until(1.0)), ("weibull", weibull(1.5, 0.7))]
)
def test_baccelli_ciw_and_the_simulator_agree_on_impatience(law, stays):
    known = impatience(6.0, 1.0, 5, stays, beyond=0.5)
    assert max(three_ways(IMPATIENT[law], known).values()) < LARGEST_Z


def test_baccelli_has_erlang_a_as_a_special_case():
    exact, known = erlang_a(6.0, 1.0, 5, 2.0), impatience(6.0, 1.0, 5, weibull(2.0, 1.0), beyond=0.5)
    assert known["never started"] == pytest.approx(exact.abandoned, rel=1e-6)
    assert known["mean wait"] == pytest.approx(exact.wait_of_started, rel=1e-6)
    assert known["queued"] == pytest.approx(exact.queue, rel=1e-6)
    assert known["utilisation"] == pytest.approx(exact.utilisation, rel=1e-6)


def test_kella_ciw_and_the_simulator_agree_on_priorities():
    known = two_classes((1.2, 1.2), 1.0, 3, erlang_c(2.4, 3))
    assert max(three_ways(CLASSES[1.0], known).values()) < LARGEST_Z


def test_birth_and_death_ciw_and_the_simulator_agree_on_a_room():
    exact = bounded_queue(3.3, 1.0, 3, 5)
    known = {
        "refused": exact.refused,
        "mean wait": exact.wait,
        "queued": exact.queue,
        "utilisation": exact.throughput / 3,
    }
    assert max(three_ways(ROOMS[1.0], known).values()) < LARGEST_Z


def test_these_tests_come_before_the_package_of_that_name_that_ciw_installs():
    assert Path(tests.__file__).parent == Path(__file__).parent
