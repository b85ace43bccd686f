"""The same examples on every run, on every machine: a test that fails here fails everywhere."""

import copy
import importlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from sim import shipped

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")
# Hypothesis also draws constants that it reads in whatever modules of ours a process has imported, so that an example
# would depend on which tests ran before it and on where the package is installed. There is no setting for it;
# tests/test_examples.py holds that this is enough.
providers._get_local_constants = lambda: providers._local_constants  # which are none

# Shipped scenarios are parsed once in a process: hundreds of tests load one, and most of the time of that is parsing.
reading = importlib.import_module("sim.scenario.load")
parse = reading.parse
SHIPPED = {shipped.find("scenarios", name, ".yaml") for name in shipped.names("scenarios", ".yaml")}
parsed_once = cache(parse)


def parsed(path: Path) -> dict[str, Any]:
    """What a scenario file says; of a shipped one, a copy of what it said before."""
    document: dict[str, Any] = copy.deepcopy(parsed_once(path)) if path in SHIPPED else parse(path)
    return document


vars(reading)["parse"] = parsed


@pytest.fixture(autouse=True, scope="session")
def _own_store(tmp_path_factory):
    """Runs are kept in a temporary folder, not in the cache of the person who runs the tests."""
    os.environ["MELTPOINT_STORE"] = str(tmp_path_factory.mktemp("store"))


@pytest.fixture
def write(tmp_path):
    """Writes a scenario file and gives its path."""

    def written(content: str | bytes, name: str = "s.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written
