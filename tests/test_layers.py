"""Imports point strictly down the floors of the house, without circles, and each heavy library has its place."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from sim.jit import compiled_sources

ROOT = Path(__file__).parent.parent

# From the ground up. A folder lies on one floor, and its files may import each other; a file named apart from its
# folder has a floor of its own. A new file needs a place here.
FLOORS = [
    ["errors", "units", "request", "schema", "jit", "knobs"],
    ["streams"],
    ["shipped", "rules", "dropping", "sharing", "chance", "profile_file"],
    ["timeline", "service_time", "profile_import", "controls"],
    ["log", "profile", "policies", "demand"],
    ["bench", "parts"],
    ["scenario"],
    ["load", "demand.people", "clock"],
    ["manifest"],
    ["crowd", "waitlist", "pool", "control"],
    ["service", "compiled"],
    ["invitations"],
    ["users"],
    ["simpy_engine"],
    ["run"],
    ["recordings", "fitting", "binned"],
    ["guide"],
    ["simulate", "metrics", "theory", "parallel"],
    ["policy_study", "wording"],
    ["costs", "check", "export", "cells", "latencies", "storms"],
    ["verdict"],
    ["first_use"],
    ["compare", "rescue", "storm_map"],
    ["plots"],
    ["live"],
    ["validation"],
    ["cli_options"],
    ["report", "console"],
    ["cli_export"],
    ["cli_profile", "cli_demand", "cli_check", "cli_storms"],
    ["cli_policies", "cli_validate"],
    ["cli"],
]

COMMANDS = {"cli_profile", "cli_demand", "cli_check", "cli_export", "cli_policies", "cli_storms", "cli_validate"}

# Libraries that only these may import: each is heavy, or has one way of being used here.
PLACES = {
    "simpy": {"clock", "pool", "service", "users", "waitlist", "invitations", "control", "simulate"},
    "numba": {"jit", "compiled"},
    "llvmlite": {"compiled"},
    "matplotlib": {"plots", "report"},
    "jinja2": {"report", "validation"},
    "torch": {"bench", "live"},
    "diffusers": {"bench", "live"},
    "transformers": {"bench", "live"},
    "typer": {"cli", "cli_options", *COMMANDS},
    "rich": {"cli", "console", *COMMANDS},
}


def name_of(path: Path) -> str:
    """The module of a file, without the package's name: 'demand.people'; 'policies' for its __init__."""
    return ".".join(path.relative_to(ROOT / "sim").with_suffix("").parts).removesuffix("__init__").removesuffix(".")


@cache
def files() -> dict[str, Path]:
    """Every module of the package but its front door, which imports from everywhere."""
    return {name_of(path): path for path in sorted((ROOT / "sim").rglob("*.py")) if name_of(path)}


@cache
def imported(path: Path) -> frozenset[str]:
    """Full names of the modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{path.name}: imports are absolute"
            # 'from sim.plots import axes' imports the file axes, not all that the folder's __init__ gathers.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name.removeprefix("sim.") in files() else node.module for name in names}
    return frozenset(found)


def inner(path: Path) -> set[str]:
    """The modules of the package that a file imports."""
    return {name.removeprefix("sim.") for name in imported(path) if name.startswith("sim.")}


def libraries(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def place(module: str) -> str:
    """What stands for a module in the tables above: itself, or the folder it is in."""
    known = {name for floor in FLOORS for name in floor}
    return module if module in known else module.partition(".")[0]


def floor(module: str) -> int:
    return next((number for number, names in enumerate(FLOORS) if place(module) in names), -1)


@pytest.mark.parametrize("module", files())
def test_every_module_has_a_floor(module):
    assert floor(module) >= 0, f"say in FLOORS on which floor sim/{files()[module].name} lies"


@pytest.mark.parametrize("module", files())
def test_imports_point_strictly_down(module):
    for other in inner(files()[module]):
        assert place(other) == place(module) or floor(other) < floor(module), f"{module} imports {other}"


def test_no_imports_run_in_circles():
    try:
        list(TopologicalSorter({module: inner(path) for module, path in files().items()}).static_order())
    except CycleError as circle:
        pytest.fail(f"circle: {' <- '.join(circle.args[1])}")


@pytest.mark.parametrize("library", PLACES)
def test_a_library_is_imported_only_in_its_place(library):
    assert {place(module) for module, path in files().items() if library in libraries(path)} <= PLACES[library]


def test_pandas_begins_where_the_tables_do():
    below = {name for floor in FLOORS[: floor("run")] for name in floor}
    assert not {place(module) for module, path in files().items() if "pandas" in libraries(path)} & below


def test_the_model_needs_no_gpu_and_no_figures():
    """What a run imports, all the way down, is light."""
    todo, needed = ["simulate", "load"], set()
    while todo:
        module = todo.pop()
        if module not in needed:
            needed.add(module)
            todo += inner(files()[module])
    assert not set().union(*(libraries(files()[module]) for module in needed)) & {
        "torch",
        "diffusers",
        "matplotlib",
        "jinja2",
        "typer",
        "rich",
    }


def test_machine_code_is_forgotten_with_every_file_whose_numbers_it_holds():
    """numba writes a constant of another file into the code, and does not look at that file again."""
    watched = {name_of(path) for path in compiled_sources()}
    compiled = {module for module, path in files().items() if "njit" in used(path) and module != "jit"}
    assert compiled <= watched
    types_alone = {"log", "jit"}
    for module in compiled:
        assert inner(files()[module]) - types_alone <= watched, f"{module} is compiled with numbers from elsewhere"


# What no file of the package does.


@cache
def used(path: Path) -> frozenset[str]:
    """Dotted names that a file looks up: 'np.random.seed', 'print'."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name))


@pytest.mark.parametrize("module", sorted(set(files()) - {"cli", "cli_profile", "console"}))
def test_only_the_command_line_prints(module):
    assert "print" not in used(files()[module])


@pytest.mark.parametrize("module", files())
def test_figures_are_made_without_pyplot(module):
    """pyplot keeps every figure alive and asks for a display."""
    assert not {name for name in imported(files()[module]) if "pyplot" in name or "pylab" in name}


@pytest.mark.parametrize("module", files())
def test_random_numbers_come_from_streams(module):
    """A generator with a state of its own makes a draw depend on the order of events."""
    path = files()[module]
    sources = {name for name in used(path) if name.startswith(("np.random", "numpy.random", "random."))}
    # The benchmark puts its cells in an order of their own, by a generator that it makes and seeds on the spot.
    own = {name for name in sources if place(module) == "bench" and name.startswith("random.Random")}
    if module == "validation.loadgen":  # another program's arrivals, made again by the generator that it used
        own |= {"np.random", "np.random.RandomState"}
    assert sources == own
    assert not {name for name in imported(path) if name.startswith(("numpy.random", "random."))}
