"""`python -m tests.studies.cluster`: a study on a real scheduler and workers, through all that happens to them.

One worker and two (efficiency), a worker killed in mid-study, a worker with other code, a scheduler that goes away.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sim import BadInput, load, sweep
from sim.studies.cluster import Cluster

VARY = {"pools.gpus.gpus": [60, 64, 70, 80]}
OTHER = "import sim.studies.cluster as c\nmine = c.installed()\nc.installed = lambda: {**mine, 'code': 'another'}\n"
DASK = [sys.executable, "-m", "dask"]


@contextmanager
def process(*words, cwd):
    """A command that runs until this is left."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(words, cwd=cwd, **quiet)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def worker(stack, address, folder, *more):
    words = ["worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny", *more]
    return stack.enter_context(process(*DASK, *words, cwd=folder))


def a_study(seeds, **how):
    return sweep(load("surge"), VARY, seeds=seeds, store=False, **how)


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    seeds = int(os.environ.get("SEEDS", "10"))
    whole = a_study(seeds, processes=1)
    with ExitStack() as stack:
        scheduler = stack.enter_context(process(*DASK, "scheduler", "--port", f"{port}", "--no-dashboard", cwd=folder))
        first = worker(stack, address, folder)
        seconds = {}
        for workers in (1, 2):
            with Cluster(address) as cluster:
                cluster.client.wait_for_workers(workers, timeout=60)
                a_study(1, executor=cluster)  # each process compiles, or reads what was compiled
                began = time.perf_counter()
                found = a_study(seeds, executor=cluster)
                seconds[workers] = time.perf_counter() - began
            assert found.equals(whole), "a cluster finds what one process does"
            if workers == 1:
                worker(stack, address, folder)
        runs = len(whole)
        print(f"1 worker: {runs / seconds[1]:.2f} runs a second; 2 workers: {runs / seconds[2]:.2f}")
        print(f"efficiency from 1 to 2 workers: {seconds[1] / seconds[2] / 2:.0%}")

        def kill_first(done, planned):
            if done == 3:
                first.kill()

        with Cluster(address) as cluster:
            assert a_study(seeds, executor=cluster, progress=kill_first).equals(whole)
        print("a worker was killed in mid-study: the same table")

        (folder / "other.py").write_text(OTHER)
        late = worker(stack, address, folder, "--preload", str(folder / "other.py"))
        try:
            with Cluster(address) as cluster:
                cluster.client.wait_for_workers(2, timeout=60)
                cluster.refuse_other_versions()
            raise AssertionError("a worker with other code was not refused")
        except BadInput as wrong:
            print(f"a worker with other code: {wrong.message}")
        late.kill()
        late.wait()

        def kill_scheduler(done, planned):
            if done == 3:
                scheduler.kill()

        began = time.perf_counter()
        try:
            with Cluster(address, patience=5) as cluster:
                a_study(10 * seeds, executor=cluster, progress=kill_scheduler)
            raise AssertionError("nobody noticed that the scheduler went away")
        except BadInput as wrong:
            print(f"the scheduler was killed: {wrong.message} (after {time.perf_counter() - began:.0f} s)")
        words = ["sweep", "surge", "--vary", "pools.gpus.gpus=60,64", "--cluster", address, "--no-store"]
        ended = subprocess.run(
            [sys.executable, "-m", "sim.cli.main", *words], capture_output=True, text=True, cwd=folder
        )
        print(f"the command then: exit code {ended.returncode}, {ended.stderr.strip().splitlines()[0]!r}")
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr


if __name__ == "__main__":
    main()
