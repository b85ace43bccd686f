"""A study on other machines finds what it finds on this one; `python -m tests.studies.cluster` has real processes."""

import socket
from contextlib import suppress
from threading import Thread

import pytest

from sim import BadInput, compare, sweep
from sim.studies.cluster import Cluster, other
from sim.studies.executors import Local, Shard, ShardDone
from sim.studies.store import Store
from tests.random_scenarios import plain

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
VARY = {"pools.gpus.gpus": [1, 2]}


def contents(folder):
    return {path.name: path.read_bytes() for path in Store(folder).files()}


@pytest.fixture(scope="module")
def address():
    """A scheduler with two workers, in threads of this process."""
    how = {"processes": False, "dashboard_address": None, "protocol": "tcp", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, **how) as there:
        yield there.scheduler_address


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_finds_and_keeps_what_this_machine_does(address, tmp_path):
    with Cluster(address) as cluster:
        table = sweep(plain(), VARY, seeds=2, executor=cluster, store=tmp_path / "cluster")
        comparison, runs = compare(plain(), seeds=2, executor=cluster, store=False)
    assert table.equals(sweep(plain(), VARY, seeds=2, processes=1, store=tmp_path / "here"))
    assert contents(tmp_path / "cluster") == contents(tmp_path / "here")
    here, runs_here = compare(plain(), seeds=2, processes=1, store=False)
    assert comparison.table.equals(here.table)
    assert [run.requests.equals(one.requests) for run, one in zip(runs, runs_here, strict=True)] == [True]


@pytest.mark.filterwarnings("ignore")
def test_a_worker_with_other_code_is_refused_when_it_joins_and_when_it_runs(address, monkeypatch):
    with Cluster(address) as cluster:
        cluster.mine = {**cluster.mine, "code": "of this machine"}
        with pytest.raises(BadInput, match="other code of meltpoint"):
            cluster.refuse_other_versions()
        with pytest.raises(BadInput, match="other code of meltpoint"):
            sweep(plain(), VARY, executor=cluster, store=False)
    assert other({"numpy": "1"}, {"numpy": "2"}) == "numpy 1 in place of 2"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense"])
def test_where_no_scheduler_answers_there_is_one_message(address):
    with pytest.raises(BadInput, match="no scheduler answers here"):
        Cluster(address, patience=0.3)


def test_shards_make_each_run_once_and_end_with_the_same_bytes(tmp_path):
    whole = sweep(plain(), VARY, seeds=12, processes=1, store=tmp_path / "whole")
    made = 0
    for part in (1, 2):
        with pytest.raises(ShardDone) as done:
            sweep(plain(), VARY, seeds=12, executor=Shard(Local(1), part, 2), store=tmp_path / f"{part}")
        made += done.value.made
    assert made == 24
    # Shares go by the hashes of runs, which change with the version: that one has none of 24 is a chance in 8 million.
    assert 0 < len(contents(tmp_path / "1")) < 24
    merged = Store(tmp_path / "merged")
    assert [merged.merge(tmp_path / f"{part}") for part in (1, 2)] == [
        len(contents(tmp_path / "1")),
        len(contents(tmp_path / "2")),
    ]
    assert sweep(plain(), VARY, seeds=12, executor=Shard(Local(1), 1, 2), store=merged).equals(whole)
    assert contents(tmp_path / "merged") == contents(tmp_path / "whole")


@pytest.mark.filterwarnings("ignore")
def test_another_program_at_the_address_is_no_scheduler():
    """Like Dask's own dashboard, one port further: it was called a lack of memory."""
    with socket.create_server(("127.0.0.1", 0)) as there:
        Thread(target=answering, args=(there,), daemon=True).start()
        with pytest.raises(BadInput, match="no scheduler answers here"):
            Cluster(f"tcp://127.0.0.1:{there.getsockname()[1]}", patience=3.0)


def answering(server):
    with suppress(OSError):  # until it is closed
        while True:
            caller, _ = server.accept()
            caller.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            caller.close()
