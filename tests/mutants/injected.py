"""Modules of the package with small faults in them, made as they are imported: no file is changed."""

import ast
import importlib.machinery
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.faults import Fault


def faulty(fault: Fault, root: Path) -> dict[Path, str]:
    """The files that a fault changes, as they are with it. Raises ValueError where a text is not there exactly once."""
    found: dict[Path, str] = {}
    for name, old, new in fault.edits:
        path = root / "sim" / name
        text = found.get(path) or path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{fault.name}: {name} has {text.count(old)} times: {old}")
        found[path] = text.replace(old, new)
    return found


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from a text instead of its file."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = self.source_to_code(self.text.encode(), self.path)
        return code


class Finder(MetaPathFinder):
    """Finds modules as always, and loads some of them from texts instead of their files."""

    def __init__(self, texts: Mapping[Path, str]):
        self.texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None or Path(spec.origin) not in self.texts:
            return None
        loader = Loader(fullname, spec.origin)
        loader.text = self.texts[Path(spec.origin)]
        spec.loader = loader
        return spec


def inject(fault: Fault, root: Path) -> set[Path]:
    """Let every later import find the fault. The files that have it."""
    texts = faulty(fault, root)
    sys.meta_path.insert(0, Finder(texts))
    return set(texts)


def affected(changed: set[Path], folder: Path) -> set[str]:
    """The modules of a folder that are changed or import one that is, directly or not: names without '.py'."""
    imports = {path.stem: imported(path) for path in folder.glob("*.py")}
    found = {path.stem for path in changed if path.parent == folder}
    while more := {name for name, others in imports.items() if others & found} - found:
        found |= more
    return found


def imported(path: Path) -> set[str]:
    """The last parts of the names of the modules that a file imports from."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.module.rpartition(".")[2] for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def copy_machine_code(cache: Path, target: Path, stale: set[str]) -> None:
    """Copy the machine code of the rules, but for that of some modules: it holds that of the rules they call."""
    target.mkdir()
    for folder in cache.glob("model_*"):
        skipped = shutil.ignore_patterns(*(f"{name}.*" for name in stale))
        shutil.copytree(folder, target / folder.name, ignore=skipped)
    for path in cache.glob("model.*.o"):
        if path.name.split(".")[1] not in stale:
            shutil.copy(path, target)
