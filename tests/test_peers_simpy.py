"""Against plain SimPy: each mechanism has the same figures in a short program written apart from the simulator."""

import ast
import math
from pathlib import Path

import numpy as np
import pytest

from sim.engine.simulate import simulate
from tests.oracles.formulas import impatience, until
from tests.peers import of_clients, of_people, of_queues
from tests.peers.of_queues import DROPPED, LAST_FIRST
from tests.peers.samples import LARGEST_Z, all_apart, apart, ours, theirs, three_ways, wrong
from tests.studies.theory.closed_forms import erlang_a
from tests.test_engines import assert_alike

ORACLES = sorted((Path(__file__).parent / "oracles").glob("*.py"))
QUESTIONS = [*of_queues.QUESTIONS, *of_people.QUESTIONS, *of_clients.QUESTIONS]
each = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)


@each
def test_a_plain_program_gives_the_same_figures(question):
    found = all_apart(ours(question), theirs(question))
    assert {figure: z for figure, z in found.items() if abs(z) > LARGEST_Z} == {}


@each
def test_a_plain_program_would_show_what_is_a_little_off(question):
    found = all_apart(wrong(question), theirs(question))
    assert max(abs(z) for z in found.values()) > LARGEST_Z


@each
def test_both_engines_play_what_a_plain_program_is_asked(question):
    scenario = question.scenario_with(**question.short)
    assert_alike(*(simulate(scenario, seed=1, engine=engine) for engine in ("simpy", "compiled")))


def test_erlang_a_program_and_the_simulator_agree_on_impatience_whatever_the_order():
    """The number of people who leave or wait does not depend on the order where patience is exponential."""
    exact = erlang_a(3.6, 1.0, 3, 3.0)
    known = {"never started": exact.abandoned, "queued": exact.queue, "utilisation": exact.utilisation}
    assert max(three_ways(LAST_FIRST, known).values()) < LARGEST_Z


def test_baccelli_a_program_and_the_simulator_agree_on_expiry():
    """A request that is dropped when its turn comes takes nothing from the others, like one that leaves the queue."""
    known = impatience(3.6, 1.0, 3, until(2.0), beyond=1.6)
    known["refused"] = known.pop("never started")
    del known["queued"]  # there they wait until they are dropped
    assert max(three_ways(DROPPED, known).values()) < LARGEST_Z


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
