"""Mechanisms against schedules worked out by hand, theorems and published pseudo-code, on each engine by itself."""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from sim.engine.simulate import simulate
from sim.profile.file import FORMAT
from sim.profile.profile import profile_from
from sim.results.energy import energy
from sim.results.run import Run
from tests.random_scenarios import plain
from tests.traces import arriving, outcomes, served, step

pytestmark = pytest.mark.parametrize("engine", ["simpy", "compiled"])

SERVICE = 10.0  # seconds of a batch, whatever its size


# What is dropped.


@dataclass
class Rfc8289:
    """The queue of RFC 8289, section 5, line by line; requests have no bytes, so a queue with one left is not empty.

    `reentered` has, of each spell of dropping that remembers the one before, how many intervals ago that was.
    """

    target: float
    interval: float
    queue: deque[tuple[int, float]] = field(default_factory=deque)
    dropped: list[int] = field(default_factory=list)
    reentered: list[float] = field(default_factory=list)
    first_above_time: float = 0.0
    drop_next: float = 0.0
    count: int = 0
    lastcount: int = 0
    dropping: bool = False

    def dodequeue(self, now: float) -> tuple[int, bool]:
        number, arrived = self.queue.popleft()
        ok_to_drop = False
        if now - arrived < self.target or not self.queue:
            self.first_above_time = 0.0
        elif self.first_above_time == 0.0:
            self.first_above_time = now + self.interval
        else:
            ok_to_drop = now >= self.first_above_time
        return number, ok_to_drop

    def control_law(self, t: float) -> float:
        return t + self.interval / math.sqrt(self.count)

    def dequeue(self, now: float) -> int:
        """The request to serve now, from a queue that is not empty."""
        number, ok_to_drop = self.dodequeue(now)
        if self.dropping:
            if not ok_to_drop:
                self.dropping = False
            while now >= self.drop_next and self.dropping:
                self.dropped.append(number)
                self.count += 1
                number, ok_to_drop = self.dodequeue(now)
                if not ok_to_drop:
                    self.dropping = False
                else:
                    self.drop_next = self.control_law(self.drop_next)
        elif ok_to_drop:
            self.dropped.append(number)
            number, _ = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.lastcount
            if delta > 1:
                self.reentered.append((now - self.drop_next) / self.interval)
            self.count = delta if delta > 1 and now - self.drop_next < 16 * self.interval else 1
            self.drop_next = self.control_law(now)
            self.lastcount = self.count
        return number

    def serve(self, arrivals: list[float]) -> None:
        """One server that takes the next request as soon as it is free."""
        free, coming = 0.0, deque(enumerate(arrivals))
        while coming or self.queue:
            now = free if self.queue else max(free, coming[0][1])
            while coming and coming[0][1] <= now:
                self.queue.append(coming.popleft())
            self.dequeue(now)
            free = now + SERVICE


def test_codel_drops_the_requests_that_the_pseudocode_of_its_rfc_drops(engine):
    """Bursts at gaps of all lengths: after a short one dropping goes on where it was, after a long one anew."""
    rng = np.random.default_rng(8289)
    bursts = np.cumsum(rng.uniform(200.0, 1200.0, 120))
    arrivals = np.sort(np.concatenate([start + rng.uniform(0.0, 60.0, rng.integers(3, 60)) for start in bursts]))
    reference = Rfc8289(target=15.0, interval=45.0)
    reference.serve(arrivals.tolist())
    remembered = np.array(reference.reentered)
    for low, high in ((0, 8), (8, 16), (16, 99)):
        assert ((low < remembered) & (remembered < high)).sum() >= 5, "spells of each kind"
    codel = step(policy={"kind": "codel", "like": "codel", "target": "15 s", "interval": "45 s"})
    run = arriving(arrivals, [codel], horizon="2 days", engine=engine)
    assert np.flatnonzero(run.requests["reason"] == "expired").tolist() == reference.dropped


# Which request is served next.


def test_last_in_first_out_serves_the_latest_whatever_its_spec(engine):
    """People of 'plus' get a cheaper spec, of 4 s: so they wait in a lane of their own."""
    playbook = [step(policy={"kind": "last in first out"}), step(policy={"kind": "degrade", "tiers": ["plus"]})]
    features = {"image": {"ladder": [{"model": "quick"}]}}
    tiers = ["free", "free", "plus", "free", "plus"]
    run = arriving([0, 1, 2, 3, 4], playbook, tiers=tiers, features=features, engine=engine)
    assert served(run) == [(0, 10), (28, 38), (24, 28), (14, 24), (10, 14)]


# How flows share a pool.


def sharing(**weights: float) -> list:
    return [step(policy={"kind": "weighted sharing", "weights": weights})]


@pytest.mark.parametrize("weights", [{"paid": 3, "free": 1}, {"paid": 30, "free": 10}], ids=str)
def test_a_flow_of_the_least_weight_waits_for_one_round_of_the_others_however_weights_are_written(weights, engine):
    """Deficit round robin (Shreedhar and Varghese 1995): with a quantum of one request for the heaviest flow, a flow
    of a third of its weight is served once a round, after three requests of the heaviest."""
    tiers = ["free", "paid"] * 40
    run = arriving(np.arange(80) / 10, sharing(**weights), tiers=tiers, horizon="400 s", engine=engine)
    order = run.requests.dropna(subset="started").sort_values("started")["tier"].tolist()[5:]
    assert len(order) == 35
    assert all(order[at : at + 4].count("free") == 1 for at in range(len(order) - 3))


@pytest.mark.parametrize("period", [10, 20])
def test_a_flow_that_needs_less_than_its_share_never_pays_for_what_fills_its_batches(period, engine):
    """Each paid request needs a quarter of a batch, and half of all is its flow's: it is in the next batch, always.

    Batches start every 10 s, filled up with free requests, and a paid one comes 5 s before every one, or every other.
    """
    paid = [at + 5.0 for at in range(0, 300, period)]
    free = np.arange(160) / 100
    order = np.argsort([*paid, *free])
    tiers = np.array(["paid"] * len(paid) + ["free"] * len(free))[order].tolist()
    gpus = {"gpus": {"gpus": 1, "max_batch": 4}}
    run = arriving(np.sort([*paid, *free]), sharing(paid=1, free=1), tiers=tiers, pools=gpus, engine=engine)
    rows = run.requests[run.requests["tier"] == "paid"].iloc[1:]  # the first comes in the midst of the first round
    assert (rows["started"] - rows["arrived"]).tolist() == [5.0] * len(rows)


# What a retry budget pays for.


def test_a_retry_is_paid_for_by_two_successes_of_half_a_token_each(engine):
    """People are refused while the GPU is busy. The budget begins with one token, which the second person takes.

    After one success, at 10 s, the fourth person (12 s) finds half a token and gives up; after another, at 21 s, the
    sixth (23 s) finds a whole one.
    """
    budget = step(policy={"kind": "retry budget", "per": "success", "ratio": 0.5, "bucket": 1})
    alone = step(policy={"kind": "queue bound", "requests": 0})
    retry = {"at_most": 3, "probability": 1, "backoff": {"kind": "constant", "value": "2 s"}}
    instants = [0, 1, 11, 12, 22, 23]
    run = arriving(instants, [budget, alone], behaviour={"retry": retry}, engine=engine)
    assert run.requests.groupby("user").size().tolist() == [1, 2, 1, 1, 1, 2]
    assert run.requests[run.requests["attempt"] > 0]["arrived"].tolist() == [3, 25]


# What is known of a request at its end.


def test_an_attempt_refused_in_silence_has_no_retry_after_it_once_a_late_image_has_come(engine):
    """The second person's image starts at 10 s, is given up at 13 s, and done at 20 s.

    They ask again at 15 s, while it is in the service: one too many, which nobody tells them. They have their image
    before their patience is over, at 27 s, and ask no more.
    """
    behaviour = {
        "patience": {"kind": "constant", "value": "12 s"},
        "retry": {"at_most": 3, "probability": 1, "after_leaving": 1, "backoff": {"kind": "constant", "value": "2 s"}},
    }
    serving = {"delivers_late": True, "tells_refusals": False, "notices_leaving": False}
    one_each = [step(policy={"kind": "concurrency", "requests": 1})]
    run = arriving([0, 1], one_each, behaviour=behaviour, serving=serving, engine=engine)
    assert outcomes(run) == ["served", "served", "concurrency"]
    assert run.requests["arrived"].tolist() == [0, 1, 15]
    assert run.requests["retry"].tolist() == [False, False, False]


# What a batch draws.


def capped(engine: str, *playbook: dict) -> Run:
    """Some images of 10 s and 700 W each, on a GPU that draws nothing when idle."""
    document = {
        "format": FORMAT,
        "name": "slow",
        "model": "slow",
        "feature": "image",
        "provenance": "assumed",
        "source": "by hand",
        "method": "none",
        "date": "",
        "precision": "",
        "hardware": {"gpu": "none", "idle_power_w": 0},
        "points": [{"side": 1024, "steps": 28, "batch": 1, "latency_s": {"p50": SERVICE}, "power_w": 700}],
    }
    scenario = plain(
        {"slow": profile_from(document)},
        horizon="1 h",
        demand=[{"kind": "spike", "people": 20, "lasting": "1 min"}],
        playbooks={"one": list(playbook)},
    )
    return simulate(scenario, "one", engine=engine)


def test_a_power_cap_saves_energy_by_the_law_of_its_clock(engine):
    """At 60 % of full power, 10 % of it idle, the clock is (0.5 / 0.9)^(1 / 2.5) of the full one: 0.790."""
    cap = {"policy": {"kind": "power cap", "cap": "60 %", "idle": 0.1, "alpha": 2.5}}
    free, bound = capped(engine), capped(engine, cap)
    images = len(free.batches)
    assert images > 10
    assert energy(free)["gpu_kwh"] == pytest.approx(images * 700 * 10 / 3.6e6)
    assert energy(bound)["gpu_kwh"] == pytest.approx(images * 420 * (10 / 0.790480) / 3.6e6, rel=1e-4)
    assert bound.batches["watts"].to_numpy() == pytest.approx(420)
