"""The wheel holds the package with its profiles and scenarios; the proofs stay in the repository."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROOFS = {path.name for path in (ROOT / "tests" / "studies").iterdir() if path.is_dir()} - {"__pycache__"}


def test_the_wheel_has_the_package_its_profiles_and_its_scenarios_and_nothing_else():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert wheel["packages"] == ["sim"]
    assert set(wheel["force-include"]) == {"profiles", "scenarios"}


def test_the_source_distribution_has_what_its_tests_read():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    included = {*build["targets"]["sdist"]["include"], "pyproject.toml"}
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    read = {name for text in texts for name in re.findall(r"(?:ROOT|parent\.parent) / \"([\w.]+)\"", text)}
    there = {name for name in read if (ROOT / name).exists()}
    assert len(there) > 5
    assert there <= included


def test_the_locked_versions_are_those_of_continuous_integration_and_have_hashes():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    constraints = dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower().replace("_", "-")
    locked = re.findall(r"^([\w.-]+)==(\S+)((?: ?\\\n +--hash=sha256:[0-9a-f]{64})+)$", lock, re.MULTILINE)
    assert len(locked) == lock.count("==") > 20
    for name, version, _ in locked:
        assert constraints[name] == version, name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[>=]", line)[0].lower() for line in project["dependencies"]}
    assert needed <= {name for name, _, _ in locked}


def test_the_package_has_no_proofs_and_imports_nothing_of_the_tests():
    assert {"theory", "overload", "fleet", "live"} <= PROOFS
    for path in (ROOT / "sim").rglob("*.py"):
        assert not PROOFS & set(path.relative_to(ROOT).parts[:-1])
        assert not re.search(r"^\s*(from|import) tests\b", path.read_text(encoding="utf-8"), re.MULTILINE), path
