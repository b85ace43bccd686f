"""Replicas of several GPUs serve as one: queueing theory by hand, and all that counts GPUs counts each of them."""

import math

import numpy as np
import pytest
from scipy import stats

from sim import BadInput, simulate
from sim.policies.faults import Failures
from sim.profile.profile import constant_profile
from sim.results.conservation import of_both, of_tables
from sim.results.costs import dollars, gpu_hours
from sim.results.counting import timeline_of
from sim.results.folder import TABLES
from sim.results.metrics import pool_timeline
from sim.results.offered import offered_load, with_offered_load
from sim.results.verdict import sentences, verdict
from sim.studies.fleets import Fleets
from tests.random_scenarios import plain
from tests.test_engines import assert_alike
from tests.timelines import assert_same_timeline

SECOND = {"model": constant_profile("model", 1.0)}


def service(rate: float, gpus: int, per: int, **settings):
    """A Poisson stream of requests, each of one second on a replica."""
    return plain(
        SECOND,
        horizon=settings.pop("horizon", "1 h"),
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": gpus, "gpus_per_replica": per, **settings.pop("pool", {})}},
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
        **settings,
    )


def test_sixteen_gpus_in_replicas_of_eight_are_two_servers():
    """M/D/1 of one replica, and M/M/2 of two at a load of 0.7: Wq = rho / 2 (1 - rho) and rho^2 / (1 - rho^2)."""
    for gpus, noise, wait in ((8, "none", 0.7 / 0.6), (16, "exponential", 0.49 / 0.51)):
        found = []
        for seed in range(1, 13):
            run = simulate(
                service(0.7 * gpus / 8, gpus, 8, serving={"noise": {"kind": noise}}, horizon="30 min"), seed=seed
            )
            found.append((run.requests["started"] - run.requests["arrived"]).mean())
        assert abs(np.mean(found) - wait) < 3.5 * stats.sem(found) < 0.3 * wait


def test_all_gpus_of_a_replica_are_counted_and_paid():
    """Two replicas of four serve 0.5 a second of one second each: two of eight GPUs are busy, at $2.5 an hour each."""
    run = simulate(service(0.5, 8, 4), engine="compiled")
    hours, use = gpu_hours(run).loc["gpus"], pool_timeline(run, "gpus")["utilisation"].mean()
    assert hours[["total", "paid"]].tolist() == pytest.approx([8.0, 8.0])
    assert hours["useful"] == pytest.approx(4 * len(run.batches) / 3600, rel=1e-3)
    assert hours["useful"] == pytest.approx(2.0, rel=0.1)
    assert use == pytest.approx(0.25, rel=0.1)
    assert dollars(run) == pytest.approx(8 * 2.5)
    offered = offered_load(simulate(service(0.5, 8, 4), unlimited=True))["gpus"][-1]["work"]
    assert offered == pytest.approx(2.0, rel=0.1)
    tables = {name: getattr(run, name) for name in TABLES}
    broken = [said for said, holds in [*of_tables(tables, run.manifest), *of_both(run.timeline, tables)] if not holds]
    assert not broken
    assert_same_timeline(run.timeline, timeline_of(run))


def test_words_and_sizes_speak_of_gpus():
    """At a load of 1.5 replicas the least fleet is one of whole replicas, four GPUs each."""
    scenario = service(1.5, 16, 4, horizon="10 min")
    found = Fleets(scenario, {"gpus": 6.0})
    assert found.step("gpus", 1.0) == 4
    assert found.start(1.0) == {"gpus": 12}  # 6 + sqrt(6) GPUs of work, in whole replicas
    said = " ".join(sentences(verdict(simulate(scenario))))
    assert "its 16 GPUs" in said
    assert "replicas of 4 GPUs" in " ".join(sentences(verdict(with_offered_load(*both(scenario)))))


def both(scenario):
    return simulate(scenario), simulate(scenario, unlimited=True)


@pytest.mark.parametrize("together", [1, 3, 16])
def test_one_gpu_that_fails_takes_its_replica_with_it(together):
    """Of replicas of 8, those are up of whose GPUs every group is: 1 - (1 - p)^groups are down, with p = 2 %."""
    failures = Failures(pool="gpus", mtbf="98 h", mttr="2 h", together=together)
    gpus = 8 * 2000
    groups = [len({gpu // together for gpu in range(8 * n, 8 * n + 8)}) for n in range(2000)]
    expected = np.mean([1 - 0.98**touched for touched in groups])
    down = failures.down(gpus, 0.0, 0, 8) / gpus
    assert failures.down(gpus, 0.0, 0, 8) % 8 == 0
    assert abs(down - expected) < 4 * math.sqrt(expected * (1 - expected) / (2000 * 8 / max(together, 8)))


def test_a_replica_that_fails_is_lost_with_its_batch_and_all_its_gpus_are_failed():
    """Three GPUs of 12 are lost at 10 s: with replicas of four that is one replica, whichever it is."""
    always = [{"policy": {"kind": "outage", "share": 0.25, "work": "is lost"}, "from": "10 s", "until": "40 s"}]
    scenario = service(1.5, 12, 4, horizon="2 min", control_tick="5 s", always=always)
    run, other = (simulate(scenario, engine=engine) for engine in ("compiled", "simpy"))
    assert_alike(run, other)
    assert run.fleet["change"].tolist() == [12, -4, 4]
    assert run.fleet["failed"].tolist() == [0, 4, -4]
    assert len(run.killed) <= 1
    assert (run.killed["gpu_seconds"] == 4 * run.batches["seconds"].to_numpy()[run.killed["batch"]]).all()


class Watching:
    """A policy that asks for 13 GPUs, which are rounded to whole replicas, and remembers what it saw."""

    def __init__(self):
        self.seen = []

    def __deepcopy__(self, memo):
        return self  # a run plays copies of its policies

    def act(self, telemetry, controls):
        controls.set_pool(fleet=13)
        self.seen.append(telemetry.pool("gpus"))


def test_policies_see_and_set_gpus_in_whole_replicas():
    watching = Watching()
    run = simulate(service(20.0, 8, 4, horizon="3 min", control_tick="30 s"), [watching])
    assert {(seen.gpus, seen.busy) for seen in watching.seen[1:]} == {(12, 12)}
    assert np.unique(run.batches["gpu"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"gpus": 12, "per": 8}, "12 GPUs make no whole replicas of 8, expected a multiple of 8"),
        ({"gpus": 24, "per": 8, "scale": "1/2"}, r"3 replicas of 8 GPUs at scale 1/2 are 1.5, expected a whole number"),
        (
            {"gpus": 24, "per": 8, "always": [{"policy": {"kind": "scheduled capacity", "pool": "gpus", "gpus": 20}}]},
            "20 GPUs make no whole replicas of pool 'gpus', expected a multiple of 8",
        ),
    ],
)
def test_gpus_that_make_no_whole_replicas_are_refused(changes, said):
    with pytest.raises((ValueError, BadInput), match=said):
        service(0.5, **changes)
