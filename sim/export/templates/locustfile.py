"""Sends each ask of schedule.csv at its instant, in Locust; a slow answer delays no later ask.

    locust -f locustfile.py --headless                            one process
    locust -f locustfile.py --headless --processes 4              each worker sends every fourth ask
    locust -f locustfile.py --headless --host http://other:8080   another server than the one in schedule.json

Lateness is how long after its instant an ask was sent, in milliseconds: a row LATE in the statistics, and a line at the
end. If it is not small against a second, this machine is too slow for the schedule: take more processes.
TIMEOUT=600 in the environment says how many seconds to wait for an answer.
"""

import csv
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.pool import Group
from gevent.queue import Queue
from locust import FastHttpUser, LoadTestShape, events, task
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

HERE = Path(__file__).resolve().parent
SCHEDULE = json.loads((HERE / "schedule.json").read_text(encoding="utf-8"))
TARGET = urlsplit(SCHEDULE["url"])
TIMEOUT = float(os.environ.get("TIMEOUT", "600"))
LEAD = float(os.environ.get("LEAD", "2"))  # seconds until the schedule begins: every worker must be ready
LATENESS = ("lateness", "LATE")


def body(row: dict[str, str]) -> dict[str, Any]:
    """The body that is posted for one request. Change it to suit your service."""
    numbers = ("user", "side", "steps", "frames", "images")
    return {name: int(row[name]) if name in numbers else row[name] for name in row if name != "t_s"}


def rows(index: int, of: int) -> Iterator[dict[str, str]]:
    """Every of-th ask of the schedule, from the index-th on."""
    with (HERE / "schedule.csv").open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if number % of == index:
                yield row


class Dispatcher(FastHttpUser):
    """Sends one share of the schedule. There is one of these in every process."""

    host = f"{TARGET.scheme}://{TARGET.netloc}"
    path = (TARGET.path or "/") + (f"?{TARGET.query}" if TARGET.query else "")
    network_timeout = connection_timeout = TIMEOUT
    concurrency = 100_000  # connections at once: no ask waits for another's

    @task
    def replay(self) -> None:
        """Takes a share and sends it; then waits for another, which comes with the next test only."""
        share = shares(self.environment).get()
        begins = time.monotonic() + share["begins"] - time.time()
        asks = Group()
        for row in rows(share["index"], share["of"]):
            due = begins + float(row["t_s"])
            while (wait := due - time.monotonic()) > 0:
                gevent.sleep(wait)
            asks.spawn(self.ask, row, due)
        asks.join()

    def ask(self, row: dict[str, str], due: float) -> None:
        late = 1000.0 * (time.monotonic() - due)
        self.environment.stats.get(*LATENESS).log(late, 0)  # not into the total, which counts answers
        self.client.post(self.path, json=body(row), name=row["feature"])


class UntilAnswered(LoadTestShape):
    """One dispatcher a process, until every ask is answered, or has been waited for long enough."""

    processes = 0

    def tick(self) -> tuple[int, float] | None:
        runner = self.runner
        assert runner is not None
        answered = runner.environment.stats.total.num_requests >= SCHEDULE["asks"]
        if answered or self.get_run_time() > LEAD + SCHEDULE["length_s"] + TIMEOUT:
            return None
        self.processes = self.processes or max(1, runner.worker_count)
        return self.processes, float(self.processes)


def shares(environment: Environment) -> Queue:
    """The shares of the schedule that this process has yet to start sending."""
    if not hasattr(environment, "shares"):
        environment.shares = Queue()
    return environment.shares


@events.init.add_listener
def listen(environment: Environment, **_: Any) -> None:
    if not isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("share", lambda environment, msg: shares(environment).put(msg.data))


@events.test_start.add_listener
def deal(environment: Environment, **_: Any) -> None:
    """Tell every process which share is its own, and when the schedule begins."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return
    clients = list(runner.clients) if isinstance(runner, MasterRunner) else [None]
    begins = time.time() + LEAD
    for index, client in enumerate(clients):
        runner.send_message("share", {"index": index, "of": len(clients), "begins": begins}, client_id=client)


@events.test_stop.add_listener
def report(environment: Environment, **_: Any) -> None:
    """Say how late the asks were, and whether all were sent."""
    if isinstance(environment.runner, WorkerRunner):
        return
    late, log = environment.stats.get(*LATENESS), logging.getLogger("schedule")
    p50, p99 = (late.get_response_time_percentile(q) for q in (0.5, 0.99))
    log.info(f"lateness of {late.num_requests} asks: p50 {p50} ms, p99 {p99} ms, max {late.max_response_time:.1f} ms")
    missing = SCHEDULE["asks"] - environment.stats.total.num_requests
    if missing > 0:
        log.warning(f"{missing} of {SCHEDULE['asks']} asks were not answered, or not sent")
