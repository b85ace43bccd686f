"""Run the quick commands of the README and the tutorial as a reader would, one after the other, in an empty folder.

`python -m tests.commands` (a part of `make docs`) ends with 1 if a command fails. Commands that take minutes, serve a
page, or need a file of the reader's own are only parsed, in tests/test_docs.py.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.test_docs import ROOT, commands, said

LONG = (
    "viral-image-launch",
    "meltpoint story",
    "size surge",
    "chatgpt-images-week",
    "meltpoint map",
    "validate mlperf",
    "decide million",
)
NOT_THERE = ("access.log", "calls.csv", "last-night.json")  # a reader's own files
STAYS = ("meltpoint explore surge",)  # a page that is served until somebody ends it
ENDS = {0, 1, 3}  # of check: kept, broken, undecided; wrong input is 2


def quick(page: Path) -> list[str]:
    """The commands of a page's code blocks that take seconds and need nothing else."""
    found = [line for line, in_a_sentence in commands(page.read_text(encoding="utf-8")) if not in_a_sentence]
    return [line for line in found if not any(words in line for words in (*LONG, *NOT_THERE, *STAYS))]


def main() -> int:
    """Run them, print each with its seconds, and give back how many failed."""
    tutorial = ROOT / "docs" / "tutorial.md"
    scenario = re.search(r"^```yaml\n(.*?)^```", tutorial.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "launch.yaml").write_text(scenario.group(1) if scenario else "", encoding="utf-8")
        Path(folder, "scenarios").symlink_to(ROOT / "scenarios")
        environment = {**os.environ, "MELTPOINT_STORE": str(Path(folder, "store"))}
        for line in [*quick(ROOT / "README.md"), *quick(tutorial)]:
            began = time.perf_counter()
            words = [sys.executable, "-m", "sim.cli.main", *said(line)]
            ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            wrong = ended.returncode not in (ENDS if "meltpoint check" in line else {0})
            failed += wrong
            sys.stdout.write(f"{'FAILED' if wrong else 'ok':7}{time.perf_counter() - began:5.1f} s  {line}\n")
            sys.stdout.write(ended.stderr if wrong else "")
            sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
