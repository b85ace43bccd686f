"""The same examples on every run: a test that fails here fails everywhere."""

import os

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("fixed", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fixed")


@pytest.fixture(autouse=True, scope="session")
def _own_store(tmp_path_factory):
    """Runs are kept in a folder of this session, and not in the cache of whoever runs the tests."""
    os.environ["MELTPOINT_STORE"] = str(tmp_path_factory.mktemp("store"))
