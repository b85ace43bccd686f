"""Processes of studies start with the engine loaded, where the system can copy a process that has loaded it."""

import multiprocessing
import sys

import pytest

from sim.engine import parallel

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are copied on Linux alone")


@linux
def test_a_process_has_the_engine_when_it_starts():
    with parallel.workers(1) as pool:
        loaded = pool.submit(eval, "'sim.engine.loaded' in __import__('sys').modules")
        assert loaded.result()


@linux
@pytest.mark.parametrize(("cores", "started"), [(1, []), (2, [True])])
def test_it_is_loaded_beside_the_command_where_there_is_a_core_for_it(monkeypatch, cores, started):
    seen = []
    monkeypatch.setattr(multiprocessing, "cpu_count", lambda: cores)
    monkeypatch.setattr(parallel.forkserver, "ensure_running", lambda: seen.append(True))
    parallel.load_beside()
    assert seen == started


@pytest.mark.parametrize(("platform", "method"), [("linux", "forkserver"), ("darwin", "spawn"), ("win32", "spawn")])
def test_elsewhere_processes_start_afresh(monkeypatch, platform, method):
    monkeypatch.setattr(sys, "platform", platform)
    if method in multiprocessing.get_all_start_methods():
        assert parallel.starting().get_start_method() == method
