"""The list of faults that `make mutants` puts into the code: each still applies, and is one."""

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import ROOT, faulty
from tests.mutants.faults import FAULTS, Fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_still_applies_and_changes_what_is_computed(fault):
    for path, text in faulty(fault, ROOT).items():
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_held_against_tests_of_behaviour_alone(fault):
    """Tests that hold one engine against the other cannot see a fault that both have."""
    found = [Path(test).stem for test in fault.tests if (ROOT / test).exists()]
    assert found
    assert not {"test_engines", "test_timeline"} & set(found)


def test_there_are_forty_faults():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 40


def test_a_text_that_is_not_there_once_is_refused():
    with pytest.raises(ValueError, match=r"knobs.py has \d+ times"):
        faulty(Fault("", [("model/knobs.py", "# seconds", "")], []), ROOT)
