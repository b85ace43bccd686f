"""A live server with a model that computes: its device, and the study that splits an error into profile and queue."""

import math
from functools import partial

import numpy as np
import pytest

pytest.importorskip("torch", reason="a GPU that computes needs torch: pip install 'meltpoint[bench]'")

from sim.errors import BadInput
from sim.validation.study import MISSES, NOT_HELD
from tests.studies.live import torch_study as torch_live
from tests.studies.live.cases import steady
from tests.studies.live.run import Gate
from tests.studies.live.study import compared
from tests.studies.live.torch_device import TorchDevice, Work

WORKS = {"large": Work("tiny", 128, 48), "small": Work("tiny", 128, 12)}


@pytest.fixture(scope="module")
def device():
    made = TorchDevice(WORKS, "cpu")
    yield made
    made.close()


def test_a_batch_takes_longer_the_more_it_holds_and_the_larger_its_model(device):
    kinds = [(model, size) for model in WORKS for size in (1, 4)]
    rounds = [[device.seconds(*kind) for kind in kinds] for _ in range(10)]  # in turn: a busy moment slows all of them
    seconds = dict(zip(kinds, np.min(rounds, axis=0), strict=True))
    for model in WORKS:
        assert seconds[model, 1] < seconds[model, 4]
    for size in (1, 4):
        assert seconds["small", size] < seconds["large", size]


def test_the_study_splits_its_error(device, monkeypatch):
    """Ten seconds of a server, again where the machine did not keep time: its service times give its latencies."""
    monkeypatch.setattr(torch_live, "VISITS", {"cpu": 2})
    monkeypatch.setattr(torch_live, "GATE", Gate(shortest=0.06, drift=math.inf))
    for _ in range(4):
        pairs = torch_live.played(device, partial(steady, load=0.7, lasting=10.0), 1)
        if not pairs[0].faults:
            break
    else:
        pytest.skip(f"this machine does not keep time: {', '.join(pairs[0].faults)}")
    replayed, profiled = (compared([pair]) for pair in pairs)
    assert [row.figure for row in replayed] == ["latency p50", "latency p95", "latency p99"]
    assert MISSES not in {row.fits for row in replayed}
    assert {row.fits for row in profiled} == {NOT_HELD}, "a busy CPU says nothing of a profile"


def test_a_fleet_has_the_mean_of_its_visits(device):
    visits = torch_live.measured(device)
    fleet = torch_live.fleet_of(visits, full=10.0)
    assert visits["large"].shape == (torch_live.VISITS["cpu"], torch_live.BATCH)
    table = steady(fleet, 0.5).scenario.batch_tables("gpus")
    assert sorted(table[min(table)].values()) == pytest.approx(sorted(visits["large"].mean(axis=0)))


def test_a_device_that_is_not_there_is_said():
    with pytest.raises(BadInput, match="no such device") as wrong:
        torch_live.torch_study(device="tpu")
    assert wrong.value.expected == "cpu or cuda"
