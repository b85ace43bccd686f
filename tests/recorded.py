"""Where recorded traces lie on this machine: tests that need them skip where they are absent.

MELTPOINT_TRACES names the folder; else it is one called 'traces' beside the project, or in a folder beside it.
"""

import os
from pathlib import Path

import pytest

from sim.demand.recordings.findings import refuse_open_problems
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.demand.recordings.trace import Trace

BESIDE = Path(__file__).parent.parent.parent


def folder() -> Path:
    """The folder of recorded traces, whether or not it is there."""
    named = os.environ.get("MELTPOINT_TRACES")
    found = [Path(named)] if named else [*BESIDE.glob("traces"), *sorted(BESIDE.glob("*/traces"))]
    return found[0] if found else BESIDE / "traces"


def recorded(name: str) -> Path:
    """The path of one recorded file, like 'gentd26/lora_request_trace.csv'; skips the test where there is none."""
    path = folder() / name
    if not path.is_file():
        pytest.skip(f"the recorded trace {name} is not here; put it into {folder()}, or set MELTPOINT_TRACES")
    return path


def imported_trace(paths: list[Path], options: ImportOptions, repairs: list[str] | None = None) -> Trace:
    """The trace of recorded files, refused as by the command where a problem is not repaired."""
    done = examine_recording(paths, options, repairs or [])
    refuse_open_problems(done.found, tuple(path.name for path in paths))
    assert done.trace is not None
    return done.trace


def examined(tmp_path: Path, *contents: str | bytes, **options):
    """What an import makes of files with these contents."""
    paths = [tmp_path / f"file{place or ''}" for place in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return examine_recording(paths, ImportOptions(**options))
