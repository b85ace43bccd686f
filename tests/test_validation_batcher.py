"""The independent batching server: it follows its manual, shares no code with the simulator, and agrees with it."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tests.jumping import JumpingLoop
from tests.studies.batcher import study
from tests.studies.batcher.load import play_together, poisson
from tests.studies.batcher.server import Settings

FOLDER = Path(study.__file__).parent
QUICK = Settings(instances=1, max_batch_size=2, base=0.05, each=0.0, max_queue_delay=0.03)


@pytest.mark.parametrize("name", ["server.py", "load.py"])
def test_server_and_client_import_nothing_of_the_simulator(name):
    tree = ast.parse((FOLDER / name).read_text(encoding="utf-8"))
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [module for module in modules if module.split(".")[0] == "sim"]


def test_a_batch_leaves_when_it_is_full_or_its_oldest_request_has_waited_for_the_delay():
    """Two at 0 leave at once; one at 0.1 waits 30 ms; of three at 0.3 the last waits for the instance."""
    (seen,) = play_together([(QUICK, np.array([0.0, 0.0, 0.1, 0.3, 0.3, 0.3]))], JumpingLoop)
    assert seen.batch.tolist() == [2, 2, 1, 2, 2, 1]
    assert seen.latency == pytest.approx([0.05, 0.05, 0.08, 0.05, 0.05, 0.10], abs=1e-6)


def test_a_queue_that_is_full_refuses_and_what_waited_too_long_is_refused_at_its_turn():
    full = Settings(instances=1, max_batch_size=1, base=0.05, each=0.0, max_queue_size=1)
    late = Settings(instances=1, max_batch_size=1, base=0.05, each=0.0, timeout=0.06)
    seen = play_together([(full, np.zeros(4)), (late, np.zeros(4))], JumpingLoop)
    assert [one.served.tolist() for one in seen] == [[True, True, False, False], [True, True, False, False]]


def test_the_simulator_predicts_each_latency_of_it():
    """On a clock that jumps nothing is late: the same batches, and the same latencies to the microsecond."""
    case = study.Case("quick", ((0.8 * study.FULL, 60.0), (1.3 * study.FULL, 20.0)))
    (seen,) = play_together([(case.settings, poisson(case.rates, 1))], JumpingLoop)
    here = study.simulated(case, seen.due)
    assert here.batch.tolist() == seen.batch.tolist()
    assert here.latency == pytest.approx(seen.latency, abs=1e-6)
