"""`python -m tests.mutants [WORD ...]`: make each fault, run the tests that should notice it, and report survivors.

With words, only the faults whose names contain one of them. Faults of rules and engines are played by the readable
engine, for which a changed rule costs a second or two to compile, not two minutes; that the compiled engine does the
same is what tests/test_engines.py is for.
"""

import contextlib
import importlib
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.mutants.faults import FAULTS, Fault
from tests.mutants.injected import affected, copy_machine_code, inject

ROOT = Path(__file__).parent.parent.parent
SOUND = Fault("no fault", (), ())
HEAVY = ("pandas", "pyarrow", "pydantic", "scipy.stats", "simpy", "yaml")  # imported once, before processes are forked
CACHE = "from sim.model.jit import cache_folder; print(cache_folder())"


def failures(fault: Fault, tests: Sequence[str], cache: Path, *, readable: bool) -> str:
    """What pytest writes where a test fails with the fault; empty if none does. Raises RuntimeError if none can run."""
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("fork").Pool(1) as pool:
        ended, output = pool.apply(run_tests, (fault, tests, cache, Path(folder), readable))
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"{fault.name}: pytest ended with {ended}\n{output}")
    return output if ended == pytest.ExitCode.TESTS_FAILED else ""


def run_tests(fault: Fault, tests: Sequence[str], cache: Path, folder: Path, readable: bool) -> tuple[int, str]:
    """pytest's exit code and what it wrote, in a process that has not imported the package yet."""
    options = ["-q", "--tb", "line", "-p", "no:cacheprovider"]
    changed = inject(fault, ROOT)
    if readable:
        copy_machine_code(cache, folder / cache.name, affected(changed, ROOT / "sim" / "model"))
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        from sim.engine.simulate import simulate

        defaults: dict[str, Any] | None = simulate.__kwdefaults__
        assert defaults is not None
        defaults["engine"] = "simpy"
        options += ["-k", "not compiled"]
    with contextlib.redirect_stdout(io.StringIO()) as output:
        ended = pytest.main([*options, *(str(ROOT / test) for test in tests)])
    return int(ended), output.getvalue()


def is_of_engines(fault: Fault) -> bool:
    """Whether a fault is in a rule or an engine, not in a figure."""
    return any(name.startswith(("model/", "engine/")) for name, _, _ in fault.edits)


def survivors(faults: Sequence[Fault], cache: Path) -> Iterator[Fault]:
    """The faults that no test notices. Raises RuntimeError where a test fails without any fault."""
    for readable in (False, True):
        some = [fault for fault in faults if is_of_engines(fault) == readable]
        tests = sorted({test for fault in some for test in fault.tests})
        if tests and (failed := failures(SOUND, tests, cache, readable=readable)):
            raise RuntimeError(f"a test fails without any fault\n{failed}")
        for fault in some:
            noticed = failures(fault, fault.tests, cache, readable=readable)
            sys.stdout.write(f"{'noticed' if noticed else 'SURVIVES'}: {fault.name}\n")
            sys.stdout.flush()
            if not noticed:
                yield fault


def main() -> None:
    words = sys.argv[1:]
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    for name in HEAVY:
        importlib.import_module(name)
    found = subprocess.run([sys.executable, "-c", CACHE], cwd=ROOT, capture_output=True, text=True, check=True)
    left = list(survivors(faults, Path(found.stdout.strip())))
    sys.stdout.write(f"{len(faults) - len(left)} of {len(faults)} faults are noticed.\n")
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
