"""Where recorded traces lie on this machine: tests that need them skip where they are absent."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("MELTPOINT_TRACES", Path(__file__).parent.parent.parent / "shared" / "traces"))


def recorded(name: str) -> Path:
    """The path of one recorded file, like 'gentd26/lora_request_trace.csv'; skips the test where there is none."""
    path = FOLDER / name
    if not path.is_file():
        pytest.skip(f"the recorded trace {name} is not here; put it into {FOLDER}, or set MELTPOINT_TRACES")
    return path
