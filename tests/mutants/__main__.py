"""`python -m tests.mutants [WORD ...]`: make each fault in a copy of the code, and report those that no test notices.

With words, only the faults whose names contain one of them. A changed rule is compiled again, so a fault takes half a
minute to a minute; as many are tried at once as there are cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.faults import FAULTS, Fault

ROOT = Path(__file__).parent.parent.parent
COPIED = ("sim", "tests", "scenarios", "profiles", "pyproject.toml")


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


def is_noticed(fault: Fault, root: Path) -> bool:
    """Whether a test fails with the fault in a copy of the code, which is mended again."""
    changed = faulty(fault, root)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in changed}
    tests = [test for test in fault.tests if (root / test).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    own = {"PYTHONPATH": str(root), "XDG_CACHE_HOME": str(root / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for path, text in changed.items():
            path.write_text(text, encoding="utf-8")
        ended = subprocess.run(command, cwd=root, env=os.environ | own, capture_output=True, text=True, check=False)
    finally:
        for path, (content, instant) in before.items():  # as if untouched: machine code of the sources is kept
            path.write_bytes(content)
            os.utime(path, ns=(instant, instant))
    if ended.returncode not in (0, 1):
        raise RuntimeError(f"{fault.name}: pytest ended with {ended.returncode}\n{ended.stdout[-2000:]}{ended.stderr}")
    return ended.returncode == 1


def survivors(faults: list[Fault]) -> list[Fault]:
    """The faults that no test notices, in a copy of the code for each core."""
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        cores = os.cpu_count() or 1
        for number in range(cores):
            copies.put(copy_of_the_code(Path(folder) / str(number)))
        lock = threading.Lock()

        def noticed(fault: Fault) -> bool:
            root = copies.get()
            try:
                found = is_noticed(fault, root)
            finally:
                copies.put(root)
            with lock:
                sys.stdout.write(f"{'noticed' if found else 'SURVIVES'}: {fault.name}\n")
                sys.stdout.flush()
            return found

        with ThreadPoolExecutor(cores) as executor:
            return [fault for fault, found in zip(faults, executor.map(noticed, faults), strict=True) if not found]


def copy_of_the_code(root: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
    return root


def main() -> None:
    words = sys.argv[1:]
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    left = survivors(faults)
    sys.stdout.write(f"{len(faults) - len(left)} of {len(faults)} faults are noticed.\n")
    sys.exit(bool(left))


if __name__ == "__main__":
    main()
