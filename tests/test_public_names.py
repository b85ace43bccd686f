"""What `import sim` gives, and that no name hides another."""

import importlib
import inspect
import pkgutil
from collections import Counter
from pathlib import Path

import nbformat
import pytest

import sim
from sim.errors import BadInput

ROOT = Path(__file__).parents[1]
VERBS = {
    "pick_best",
    "tune",
    "load",
    "simulate",
    "check",
    "compare",
    "size",
    "decide",
    "uncertain",
    "load_uncertain",
    "demand_multiple",
    "sweep",
    "rescue",
    "storm_map",
    "verdict",
    "sentences",
}
VERBS |= {"load_run", "fit_demand", "profile_called", "order_by", "money_study"}
NOUNS = {"Scenario", "Run", "Policy", "Step", "Controls", "Telemetry", "BadInput"}
FIGURES = {"intents", "outcomes", "latencies", "pool_timeline"}
SHARED = {"sharing", "storms", "losses", "standing"}  # one idea, in rooms that each do their part of it


def test_the_front_door_has_the_verbs_and_nouns_of_a_notebook_and_two_modules():
    assert set(sim.__all__) == VERBS | NOUNS | FIGURES | {"metrics", "plots"}
    assert all(callable(getattr(sim, name)) for name in VERBS | NOUNS | FIGURES)
    assert all(inspect.ismodule(getattr(sim, name)) for name in ("metrics", "plots"))


@pytest.mark.parametrize(
    "name", ["results.verdict", "scenario.load", "engine.simulate", "studies.compare", "studies.rescue"]
)
def test_a_module_and_the_function_of_its_name_are_both_reached(name):
    function = getattr(sim, name.rpartition(".")[2])
    module = importlib.import_module(f"sim.{name}")
    assert inspect.ismodule(module)
    assert getattr(module, function.__name__) is function


def test_no_public_name_hides_a_module():
    rooms = {module.name for module in pkgutil.iter_modules(sim.__path__)}
    assert rooms & set(sim.__all__) == {"plots"}
    assert inspect.ismodule(sim.plots)


def test_no_two_files_have_the_same_name_for_different_ideas():
    paths = [path for path in (ROOT / "sim").rglob("*.py") if path.stem != "__init__"]
    pairs = {path.stem for path in paths if "readable" in path.parts} & {p.stem for p in paths if "compiled" in p.parts}
    names = Counter(path.stem for path in paths)
    assert {name for name, times in names.items() if times > 1} - pairs <= SHARED


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_take_simulations_from_the_front_door(path):
    """No notebook imports a scenario, an engine, a result or a study from deep inside the package."""
    cells = nbformat.read(path, as_version=4).cells
    lines = [line for cell in cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    rooms = ("sim.scenario", "sim.engine", "sim.results", "sim.studies", "sim.model")
    assert not [line for line in lines if line.startswith(("from ", "import ")) and any(room in line for room in rooms)]


@pytest.mark.parametrize("verb", sorted(VERBS & {"simulate", "compare", "size", "sweep", "check", "decide"}))
def test_a_name_in_place_of_a_scenario_is_refused_with_the_way_to_load_it(verb):
    """The command takes names, Python takes what they stand for: 'str' object has no attribute 'playbooks', it said."""
    more = {"size": ["alive"], "sweep": [{"pools.gpus.gpus": [2]}]}
    with pytest.raises(BadInput, match=r"this takes a Scenario[\s\S]*sim\.load\('steady'\)"):
        getattr(sim, verb)("steady", *more.get(verb, []))


def test_other_kinds_of_arguments_are_refused_with_what_is_expected():
    steady = sim.load("steady")
    with pytest.raises(BadInput, match="this takes a Run"):
        sim.verdict(steady)
    with pytest.raises(BadInput, match=r"a list, like \[5\]"):
        sim.sweep(steady, {"pools.gpus.gpus": 5})
    for wrong in (lambda: sim.sweep(steady, "pools.gpus.gpus=5"), lambda: sim.uncertain("steady", {})):
        with pytest.raises(BadInput, match="this takes a"):
            wrong()
