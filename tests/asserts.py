"""Asserts that do something: `python -O` leaves asserts out, and with them whatever they call.

`python -m tests.asserts` names each assert of the package that calls a function that may have an effect.
"""

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "sim"
PURE = {"isinstance", "issubclass", "callable", "len", "abs", "all", "any", "set", "sorted", "max", "min", "index"}


def effects(source: str) -> list[int]:
    """The lines of asserts that call anything but a few pure functions, assign, or wait."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            parts = list(ast.walk(node.test))
            called = {getattr(p.func, "id", getattr(p.func, "attr", "")) for p in parts if isinstance(p, ast.Call)}
            if called - PURE or any(isinstance(p, ast.NamedExpr | ast.Await | ast.Yield) for p in parts):
                found.append(node.lineno)
    return found


def main() -> int:
    found = [f"{path}:{line}" for path in sorted(PACKAGE.rglob("*.py")) for line in effects(path.read_text("utf-8"))]
    for place in found:
        print(f"{place}: this assert calls something, which python -O would leave out")  # noqa: T201
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())
