"""The wheel holds the package with its profiles and scenarios; the proofs stay in the repository."""

import ast
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROOFS = {path.name for path in (ROOT / "tests" / "studies").iterdir() if path.is_dir()} - {"__pycache__"}


def test_the_wheel_has_the_package_its_profiles_and_its_scenarios_and_nothing_else():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["sim"]
    assert set(wheel["force-include"]) == {"profiles", "scenarios"}


def test_the_package_has_no_proofs_and_imports_nothing_of_the_tests():
    assert {"theory", "overload", "fleet", "live"} <= PROOFS
    for path in (ROOT / "sim").rglob("*.py"):
        assert not PROOFS & set(path.relative_to(ROOT).parts[:-1])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "tests" for name in names), path
