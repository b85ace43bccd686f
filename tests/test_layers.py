"""Imports point strictly down the floors of the house, without circles, and each heavy library has its place.

`python -m tests.test_layers` prints the table of floors as it stands in ARCHITECTURE.md.
"""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sim.model.jit import compiled_sources

ROOT = Path(__file__).parent.parent

# The rooms, from the roof down, and what lives in each. Rooms of one floor do not import each other; the files of one
# room may, without circles. A file that lies in no folder is a room of its own.
FLOORS: list[dict[str, str]] = [
    {"cli": "the commands, a file for each family"},
    {"explorer": "pages on which settings are moved, over a saved sweep and live; above the report, which it offers"},
    {
        "report": "the report of a run, comparison, size or decision, and the story: an HTML page, or Markdown",
        "export": "files for other tools: load tests, build servers, and those that switch a playbook",
        "validation": "a user's own data held against predictions: `own_queue/`, MLPerf logs",
    },
    {
        "plots": "drawing functions that take axes",
        "calibration": "a scenario fitted to recordings, each value with its interval and where it came from",
    },
    {
        "studies": "many runs: compare, check, size, decide, sensitivity, sweep, tune, rescue, storm map, order "
        "dates, watch; the store, executors"
    },
    {"engine": "`simulate`, the control process, cells; the model twice, file beside file: `readable/`, `compiled/`"},
    {"results": "the log, the timeline, the tables of a run and their manifest; metrics, costs, storms, verdict"},
    {"scenario": "the question: its schema and parts, reading it, and the people it brings"},
    {
        "profile": "how long a GPU takes; `measure/` times real models",
        "demand": "who comes and how they behave: `waves/`, `recordings/`, `fitting/`",
        "policies": "what may be done, and playbooks of it",
    },
    {
        "model": "requests, random streams, knobs, controls, and the scalar rules that both engines call",
        "shipped": "where shipped scenarios and profiles are",
        "writing": "files and folders that are written in full or not at all",
        "tables": "other programs' files: tables as texts with line numbers, times, a reader for each format",
    },
    {
        "errors": "wrong input, in one message",
        "units": "durations, rates and counts as people write them",
        "wording": "numbers in words",
        "schema": "the strict base of all schemas",
    },
]

# Libraries that only these rooms and files may import: each is heavy, or has one way of being used here.
PLACES = {
    "simpy": {"engine.readable", "engine.clock", "engine.control"},
    "numba": {"model.jit", "model.machine_code", "model.wide_products", "engine.compiled"},
    "llvmlite": {"model.machine_code", "model.wide_products", "engine.compiled"},
    "matplotlib": {"plots", "report"},
    "jinja2": {"report", "validation", "explorer"},
    "panel": {"explorer.live_page"},
    "bokeh": {"explorer.live_page"},
    "torch": {"profile.measure"},
    "diffusers": {"profile.measure"},
    "transformers": {"profile.measure"},
    "typer": {"cli"},
    "rich": {"cli"},
}
WITHOUT_PANDAS = ("model", "profile", "policies", "scenario")  # the rest has arrays
HEAVY = {"torch", "diffusers", "matplotlib", "jinja2", "typer", "rich", "panel", "bokeh"}  # what no simulation needs


@cache
def files() -> dict[str, Path]:
    """Every module of the package but its front door, which imports from everywhere: 'demand.behaviour', 'policies'."""
    found = {}
    for path in sorted((ROOT / "sim").rglob("*.py")):
        parts = path.relative_to(ROOT / "sim").with_suffix("").parts
        if name := ".".join(parts).removesuffix("__init__").removesuffix("."):
            found[name] = path
    return found


@cache
def imported(module: str) -> frozenset[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(files()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module}: imports are absolute"
            assert node.level == 0, f"{module}: imports are absolute"
            # 'from sim.plots import axes' imports the file axes, not all that the folder's __init__ gathers.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("sim.") in files() else node.module for name in names}
    return frozenset(found)


def inner(module: str) -> set[str]:
    """The modules of the package that a file imports."""
    return {name.removeprefix("sim.") for name in imported(module) if name.startswith("sim.")}


def libraries(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(module)}


def room(module: str) -> str:
    return module.partition(".")[0]


def floor(module: str) -> int:
    """How high a module lies; 0 is the ground."""
    return next(len(FLOORS) - 1 - depth for depth, rooms in enumerate(FLOORS) if room(module) in rooms)


def lies_in(module: str, places: set[str]) -> bool:
    return any(f"{module}.".startswith(f"{place}.") for place in places)


def table() -> str:
    """The table of floors, for ARCHITECTURE.md."""
    lines = ["| floor | room | what lives there |", "|---|---|---|"]
    for depth, rooms in enumerate(FLOORS):
        for name, what in rooms.items():
            label = f"`{name}/`" if (ROOT / "sim" / name).is_dir() else f"`{name}`"
            lines.append(f"| {len(FLOORS) - 1 - depth} | {label} | {what} |")
    return "\n".join(lines)


def test_imports_point_strictly_down_without_circles_and_heavy_libraries_stay_in_their_place():
    """All that is wrong with the house, in one list."""
    known = {name for rooms in FLOORS for name in rooms}
    homeless = [module for module in files() if room(module) not in known]
    assert not homeless, "say in FLOORS in which room these lie"
    wrong = []
    for module in files():
        others = [other for other in inner(module) if room(other) != room(module)]
        wrong += [f"{module} imports {other}, not below it" for other in others if floor(other) >= floor(module)]
        heavy = [library for library in PLACES if library in libraries(module)]
        wrong += [f"{module} imports {library}" for library in heavy if not lies_in(module, PLACES[library])]
        if room(module) in WITHOUT_PANDAS and "pandas" in libraries(module):
            wrong.append(f"{module} imports pandas")
    try:
        list(TopologicalSorter({module: inner(module) for module in files()}).static_order())
    except CycleError as circle:
        wrong.append(f"a circle: {' <- '.join(circle.args[1])}")
    todo, needed = ["engine.simulate", "scenario.load"], set()
    while todo:
        module = todo.pop()
        if module not in needed:
            needed.add(module)
            todo += inner(module)
            wrong += [f"a simulation needs {library} ({module})" for library in libraries(module) & HEAVY]
    assert not wrong


def test_the_table_of_floors_in_architecture_is_this_one():
    """Print it with python -m tests.test_layers."""
    assert table() in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def test_no_function_shadows_a_module():
    """After 'import sim.a.b' the name sim.a.b is that module."""
    for module in files():
        package, _, name = module.rpartition(".")
        inside = vars(import_module(f"sim.{package}".rstrip(".")))
        assert isinstance(inside.get(name, sys), ModuleType), module


def test_machine_code_is_forgotten_with_every_file_whose_numbers_it_holds():
    """numba writes a constant of another file into the code, and does not look at that file again."""
    watched = {module for module, path in files().items() if path in compiled_sources()}
    compiled = {module for module in files() if "njit" in used(module) and module != "model.jit"}
    assert compiled <= watched
    types_alone = {"results.log", "model.jit"}
    for module in compiled:
        assert inner(module) - types_alone <= watched, f"{module} is compiled with numbers from elsewhere"


# What no file of the package does.


@cache
def used(module: str) -> frozenset[str]:
    """Dotted names that a file looks up: 'np.random.seed', 'print'."""
    tree = ast.parse(files()[module].read_text(encoding="utf-8"))
    return frozenset(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))


def test_only_the_command_line_prints():
    assert not [module for module in files() if room(module) != "cli" and "print" in used(module)]


def test_figures_are_made_without_pyplot():
    """pyplot keeps every figure alive and asks for a display."""
    assert not [m for m in files() if any("pyplot" in name or "pylab" in name for name in imported(m))]


def test_random_numbers_come_from_streams():
    """A generator with a state of its own makes a draw depend on the order of events."""
    for module in files():
        sources = {name for name in used(module) if name.startswith(("np.random", "numpy.random", "random."))}
        # The benchmark puts its cells in an order of their own, by a generator that it makes and seeds on the spot.
        own = {n for n in sources if lies_in(module, {"profile.measure"}) and n.startswith("random.Random")}
        if module == "validation.mlperf":  # another program's arrivals, made again by the generator that it used
            own |= {"np.random", "np.random.RandomState"}
        assert sources == own, module
        assert not {name for name in imported(module) if name.startswith(("numpy.random", "random."))}, module


def test_studies_load_neither_scipy_stats_nor_what_draws():
    """Each would be half a second or more of every start; in a process of its own, since others load them."""
    code = "import sys, sim.studies.compare, sim.studies.size; print({'scipy.stats', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n")
