"""The list of faults that `make mutants` puts into the code: each still applies, and names a test that exists."""

import ast
import importlib.util

import pytest

import sim.results.storms
from tests.mutants.__main__ import ROOT, is_of_engines
from tests.mutants.faults import FAULTS, Fault
from tests.mutants.injected import Finder, affected, faulty

each = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@each
def test_a_fault_still_applies_and_changes_what_is_computed(fault):
    for path, text in faulty(fault, ROOT).items():
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(path.read_text(encoding="utf-8")))


@each
def test_a_fault_names_tests_of_behaviour_that_exist(fault):
    """Tests that hold one engine against the other cannot see a fault that both have."""
    assert fault.tests
    for test in fault.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert "engines" not in name
        assert "alike" not in name


def test_there_are_forty_faults_and_most_are_of_rules_and_engines():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) == 40
    assert sum(is_of_engines(fault) for fault in FAULTS) == 33


def test_a_text_that_is_not_there_once_is_refused():
    with pytest.raises(ValueError, match=r"knobs.py has \d+ times"):
        faulty(Fault("", [("model/knobs.py", "# seconds", "")], []), ROOT)


def test_a_module_is_imported_with_the_fault_and_no_file_is_changed():
    storm = next(fault for fault in FAULTS if fault.name == "one good bin ends a storm")
    spec = Finder(faulty(storm, ROOT)).find_spec("sim.results.storms", sim.results.__path__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.PATCH, sim.results.storms.PATCH) == (1, 3)


def test_machine_code_is_stale_where_a_rule_that_it_calls_is_changed(tmp_path):
    for name, text in {"a": "", "b": "from x.a import f", "c": "from x.b import f", "d": "import math"}.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    assert affected({tmp_path / "a.py"}, tmp_path) == {"a", "b", "c"}
    assert affected({tmp_path / "d.py"}, tmp_path) == {"d"}
    assert affected({tmp_path.parent / "a.py"}, tmp_path) == set()
