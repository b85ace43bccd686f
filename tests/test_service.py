"""Queue, batches and GPUs against traces by hand: every batch of the machine takes ten seconds."""

import gc
import math
from math import nan
from unittest import mock

import numpy as np
import pytest

from sim.engine.clock import Clock
from sim.engine.readable.pool import Pool
from sim.engine.readable.service import Service
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.model.controls import Controls, Telemetry
from sim.model.request import Request
from sim.policies.limits import RateLimit
from sim.policies.quality import Degrade
from sim.policies.sharing import Priority
from sim.policies.shedding import QueueBound
from tests.random_scenarios import plain
from tests.traces import TEN_SECONDS, arriving, outcomes, served

FREE, PLUS = "free", "plus"


def pool(gpus: int = 1, max_batch: int = 1, linger: str = "0") -> dict:
    return {"gpus": {"gpus": gpus, "max_batch": max_batch, "linger": linger}}


# Queue and GPUs.


def test_one_gpu_serves_one_after_the_other():
    run = arriving([0, 4, 8, 45])
    assert served(run) == [(0, 10), (10, 20), (20, 30), (45, 55)]
    assert outcomes(run) == ["served"] * 4


def test_two_gpus_serve_two_at_once():
    run = arriving([0, 1, 2, 3], pools=pool(gpus=2))
    assert served(run) == [(0, 10), (1, 11), (10, 20), (11, 21)]
    assert run.batches["gpu"].tolist() == [0, 1, 0, 1]


def test_the_lowest_numbered_idle_gpu_is_woken():
    run = arriving([0, 1, 30, 50], pools=pool(gpus=3))
    assert run.batches["gpu"].tolist() == [0, 1, 0, 0]


def test_requests_not_done_at_the_horizon_are_unfinished():
    run = arriving([0, 1, 2], horizon="15 s")
    assert outcomes(run) == ["served", "unfinished", "unfinished"]
    np.testing.assert_equal(served(run), [(0, 10), (10, nan), (nan, nan)])
    np.testing.assert_equal(run.batches["finished"].tolist(), [10, nan])


# Batches.


def test_a_batch_takes_the_waiting_requests_when_a_gpu_is_free():
    run = arriving([0, 1, 2, 3, 4], pools=pool(max_batch=3))
    assert run.batches["started"].tolist() == [0, 10, 20]
    assert run.batches["size"].tolist() == [1, 3, 1]
    assert run.requests["batch"].tolist() == [0, 1, 1, 1, 2]
    assert run.requests["gpu_seconds"].tolist() == [10, 10 / 3, 10 / 3, 10 / 3, 10]


def test_a_batch_takes_the_time_of_its_size():
    run = arriving([0, 1, 2, 3], pools=pool(max_batch=3), features={"image": {"spec": {"model": "crawling"}}})
    assert served(run) == [(0, 80), (80, 200), (80, 200), (80, 200)]  # 60 s and 20 s an image
    assert run.requests["gpu_seconds"].tolist() == [80, 40, 40, 40]


def test_requests_of_several_images_fill_a_batch_sooner():
    run = arriving([0, 1, 2, 3], pools=pool(max_batch=4), features={"image": {"spec": {"model": "slow", "images": 2}}})
    assert run.batches["size"].tolist() == [2, 4, 2]


def test_a_gpu_lingers_until_the_batch_is_full():
    run = arriving([0, 1, 3], pools=pool(max_batch=3, linger="5 s"))
    assert run.batches["started"].tolist() == [3]


def test_a_gpu_lingers_no_longer_than_it_should():
    run = arriving([0, 1, 30, 31], pools=pool(max_batch=3, linger="5 s"))
    assert run.batches["started"].tolist() == [5, 35]
    assert run.batches["size"].tolist() == [2, 2]


def test_a_request_that_has_waited_out_the_linger_in_the_queue_waits_no_longer():
    run = arriving([0, 1, 2, 3], pools=pool(max_batch=3, linger="5 s"))
    assert served(run) == [(2, 12)] * 3 + [(12, 22)]


def test_of_two_idle_gpus_one_takes_the_full_batch_and_the_other_goes_on_lingering():
    run = arriving([0, 1, 2], pools=pool(gpus=2, max_batch=2, linger="5 s"))
    assert served(run) == [(1, 11), (1, 11), (7, 17)]
    run = arriving([0, 1, 2, 3], pools=pool(gpus=2, max_batch=2, linger="5 s"))
    assert served(run) == [(1, 11), (1, 11), (3, 13), (3, 13)]
    assert run.batches["gpu"].tolist() == [0, 1]


def test_a_request_taken_out_of_the_queue_fills_no_batch():
    patience = {"patience": {"kind": "constant", "value": "4 s"}}
    lingering = pool(max_batch=2, linger="5 s")
    run = arriving([0, 4.5, 6], pools=lingering, behaviour=patience, serving={"notices_leaving": True})
    assert run.batches["started"].tolist() == [6]
    assert run.requests["batch"].isna().tolist() == [True, False, False]


def test_a_batch_has_one_spec():
    run = arriving(
        [0, 1, 2, 3],
        [Degrade(level=1, tiers=["plus"])],
        tiers=[FREE, PLUS, FREE, PLUS],
        pools=pool(max_batch=4),
        features={"image": {"ladder": [{"model": "quick"}]}},
    )
    assert served(run) == [(0, 10), (10, 14), (14, 24), (10, 14)]


def test_two_features_of_one_pool_stand_in_one_queue():
    features = {
        "image": {"share": 0.5},
        "edit": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "quick"}},
    }
    times = np.arange(60) * 5.0
    run = arriving(times, features=features)
    free, expected = 0.0, []
    for arrived, feature in zip(times, run.requests["feature"], strict=True):
        started = max(arrived, free)
        free = started + {"image": 10, "edit": 4}[feature]
        expected.append((started, free))
    assert served(run) == expected
    assert run.requests["feature"].nunique() == 2


# Priority.


def test_the_urgent_are_served_first():
    run = arriving([0, 1, 2], [Priority(first=["plus"])], tiers=[FREE, FREE, PLUS])
    assert served(run) == [(0, 10), (20, 30), (10, 20)]


def test_a_batch_of_the_urgent_is_filled_up_with_others():
    run = arriving([0, 1, 2, 3], [Priority(first=["plus"])], tiers=[FREE, FREE, FREE, PLUS], pools=pool(max_batch=2))
    assert served(run) == [(0, 10), (10, 20), (20, 30), (10, 20)]


def test_priority_interrupts_nobody():
    run = arriving([0, 1], [Priority(first=["plus"])], tiers=[FREE, PLUS])
    assert served(run) == [(0, 10), (10, 20)]


# Leaving.

IMPATIENT = {"patience": {"kind": "constant", "value": "15 s"}}


def test_a_user_who_leaves_unnoticed_is_served_all_the_same():
    run = arriving([0, 1, 2, 18], behaviour=IMPATIENT)
    assert served(run) == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert outcomes(run) == ["served", "abandoned", "abandoned", "abandoned"]
    np.testing.assert_equal(run.requests["left"].tolist(), [nan, 16, 17, 33])
    assert run.requests["gpu_seconds"].tolist() == [10] * 4


def test_a_user_whose_leaving_is_noticed_is_taken_out_of_the_queue():
    run = arriving([0, 1, 2, 18], behaviour=IMPATIENT, serving={"notices_leaving": True})
    np.testing.assert_equal(served(run), [(0, 10), (10, 20), (nan, nan), (20, 30)])
    assert outcomes(run) == ["served", "abandoned", "abandoned", "served"]
    np.testing.assert_equal(run.requests["left"].tolist(), [nan, 16, 17, nan])


def test_an_image_that_comes_at_the_last_moment_is_served():
    run = arriving([0], behaviour={"patience": {"kind": "constant", "value": "10 s"}})
    assert outcomes(run) == ["served"]


def test_a_user_without_patience_leaves_at_once():
    run = arriving([0, 1], behaviour={"patience": {"kind": "constant", "value": 0}}, serving={"notices_leaving": True})
    assert outcomes(run) == ["abandoned", "abandoned"]
    np.testing.assert_equal(served(run), [(0, 10), (nan, nan)])


def test_a_queue_that_all_have_left_is_empty_to_the_gateway():
    run = arriving(
        [0, 1, 17, 18],
        [QueueBound(requests=1)],
        behaviour={"patience": {"kind": "constant", "value": "4 s"}},
        serving={"notices_leaving": True},
        features={"image": {"spec": {"model": "slow"}}},
    )
    assert outcomes(run) == ["abandoned"] * 4


# Noise, and pools beside each other.


def test_noise_keeps_the_mean_and_has_the_spread_it_says():
    n, cv = 2000, 0.3
    run = arriving(np.arange(n) * 0.1, pools=pool(gpus=400), serving={"noise": {"kind": "lognormal", "cv": cv}})
    factor = run.batches["seconds"] / 10
    assert abs(factor.mean() - 1) / (cv / math.sqrt(n)) < 3.5
    assert abs(np.log(factor).std() / math.sqrt(math.log1p(cv**2)) - 1) * math.sqrt(2 * n) < 3.5


@pytest.mark.parametrize("kind", ["none", "lognormal", "exponential"])
def test_a_pool_does_not_serve_another_pools_requests(kind):
    scenario = plain(
        TEN_SECONDS,
        pools={"gpus": {"gpus": 1, "max_batch": 1}, "spare": {"gpus": 2, "max_batch": 4}},
        features={
            "image": {"share": 0.5},
            "edit": {"share": 0.5, "pool": "spare", "slo": "60 s", "spec": {"model": "slow"}},
        },
        demand=[{"kind": "spike", "people": 60, "lasting": "10 s"}],
        serving={"noise": {"kind": kind}},
    )
    run = simulate(scenario)
    assert run.batches.loc[run.batches["pool"] == "gpus", "size"].max() == 1
    assert run.batches.loc[run.batches["pool"] == "spare", "size"].max() == 4
    joined = run.requests.dropna(subset="batch")
    assert (joined["pool"].astype(str).to_numpy() == run.batches["pool"].astype(str)[joined["batch"].astype(int)]).all()


def test_pools_that_share_a_spec_time_it_by_their_own_batches():
    features = {
        "image": {"share": 0.5, "spec": {"model": "crawling"}},
        "edit": {"share": 0.5, "pool": "spare", "slo": "60 s", "spec": {"model": "crawling"}},
    }
    run = arriving(np.arange(40) * 0.5, features=features, pools={**pool(), "spare": {"gpus": 1, "max_batch": 4}})
    assert run.batches.groupby("pool", observed=True)["size"].max().to_dict() == {"gpus": 1, "spare": 4}
    assert (run.batches["seconds"] == 60 + 20 * run.batches["size"]).all()


class Sweeps:
    """A policy that counts the garbage in cycles which a run leaves behind while the collector is off."""

    found: list[int]

    def __init__(self):
        self.found = []

    def __deepcopy__(self, memo):
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.found.append(gc.collect())


def test_a_run_leaves_no_garbage_in_cycles():
    sweeps, n = Sweeps(), 4000
    run = arriving(
        np.linspace(0, 580, n),
        [sweeps, QueueBound(requests=100), RateLimit(rate="10 per min", burst=3)],
        pools=pool(gpus=20, max_batch=2),
        behaviour={
            "requests": {"kind": "fixed", "requests": 2},
            "patience": {"kind": "exponential", "mean": "20 s"},
            "retry": {"at_most": 2, "probability": 0.7},
        },
        control_tick="299 s",
    )
    assert len(run.requests) > 2 * n
    assert sweeps.found[-1] < 50  # the first sweep is of what came before the run; then some thousands of attempts


def test_a_run_that_is_over_leaves_nothing_of_itself():
    scenario = plain(demand=[{"kind": "spike", "people": 500, "lasting": "1 min"}])
    gc.collect()
    assert len(simulate(scenario).requests) > 400
    assert gc.collect() < 400  # of which none is an attempt


def test_a_queue_that_has_emptied_expects_no_wait_at_all():
    ladder = {"image": {"spec": {"model": "crawling"}, "ladder": [{"model": "quick"}]}}
    waiting = Pool(
        Clock(),
        plain(features=ladder, pools=pool(max_batch=3)),
        0,
        1,
        start=mock.Mock(),
        finish=mock.Mock(),
        drop=mock.Mock(),
    )
    specs = np.random.default_rng(1).integers(0, 2, 50_000)
    requests = [Request(0, 0, 0, 0, 0, 0.0, spec, spec) for spec in specs.tolist()]
    for request in requests:
        waiting.join(request)
    assert waiting.expected_wait(0) > 0
    for request in sorted(requests, key=lambda r: r.spec, reverse=True):
        waiting.remove(request)
    assert waiting.expected_wait(0) == 0


def test_a_service_of_ones_own_says_how_long_a_batch_takes():
    class Odd(Service):
        def seconds(self, head: Request, size: int, pool: Pool, gpu: int) -> float:
            return 3.0 + head.user % 2

    scenario = plain(demand=[{"kind": "spike", "people": 50, "lasting": "1 min"}])
    batches = simulate(scenario, engine="simpy", service=Odd).batches
    assert set(np.round(batches["finished"] - batches["started"], 6).dropna()) == {3.0, 4.0}
    with pytest.raises(BadInput, match=r"service of your own"):
        simulate(scenario, service=Odd)
