"""Answers on fleets and on demand name what their promise does not cover."""

import pandas as pd

from sim import demand_multiple, load, size
from sim.studies import size as size_module
from sim.studies.size_words import multiple_sentences, sentences
from sim.wording import percent
from tests.test_size import HERE, busy


def two_pools(**settings):
    """Two minutes of images that six GPUs serve, in one pool, beside as many sketches in another."""
    features = {
        "image": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "slow"}},
        "sketch": {"share": 0.5, "pool": "small", "slo": "60 s", "spec": {"model": "slow"}},
    }
    return busy(features=features, pools={"gpus": {"gpus": 6}, "small": {"gpus": 6}}, **settings)


def test_a_pool_that_serves_nothing_of_what_is_promised_is_not_sized():
    """It was made as small as one GPU, as if its own requests were nothing."""
    found = size(two_pools(), "90 % of sketch in time", seeds=2, headroom=False, **HERE)
    assert (list(found.gpus), found.apart) == (["small"], {"gpus": 6})
    assert "Pool 'gpus' stays at 6 GPUs: it serves nothing of what is promised." in sentences(found)
    asked = size(two_pools(), "90 % of sketch in time", pool="gpus", seeds=2, headroom=False, **HERE)
    assert any(line.startswith("NOT ABOUT POOL 'gpus'") for line in sentences(asked))
    moved = {"none": [{"policy": {"kind": "move gpus", "from": "gpus", "to": "small", "gpus": 1}}]}
    both = size(two_pools(playbooks=moved), "90 % of sketch in time", seeds=2, headroom=False, **HERE)
    assert list(both.gpus) == ["gpus", "small"]


def test_of_several_pools_the_bend_is_that_of_the_best_fleet_of_each_size():
    """Ten GPUs that are well divided do all; eleven that are not do less, and make no bend."""
    rows = {"gpus": [6, 8, 10, 11, 12, 12], "measure": [0.01, 0.5, 1.0, 0.6, 0.7, 1.0]}
    assert size_module.knee(pd.DataFrame({"scale": 1.0, **rows})) == 10


def test_requests_that_still_wait_at_the_horizon_are_named_where_a_promise_passes_over_them():
    """Where nobody leaves nobody is lost, and one GPU lost none of what four serve, however much demand there was."""
    endless = busy(behaviour={"patience": {"kind": "never"}})
    found = size(endless, "lost <= 1 %", seeds=2, **HERE)
    said = " ".join(sentences(found))
    assert (found.total, found.carries) == (1, 1000)
    assert found.open_end > 0.5
    assert "STILL WAITING" in said
    assert "holds 1,000 times the demand, or more" in said
    times = demand_multiple(endless, "lost <= 1 %", seeds=2, **HERE)
    assert "STILL WAITING" in " ".join(multiple_sentences(times))
    served = size(endless, "served >= 90 % and lost <= 50 %", seeds=2, headroom=False, **HERE)
    assert "STILL WAITING" not in " ".join(sentences(served))


def test_an_answer_that_keeps_its_promise_with_most_requests_lost_says_how_many_are_in_time():
    """One GPU for eight of work keeps 'alive' where those who are let in are served in time: 12.5 % of all requests."""
    bound = [{"policy": {"kind": "queue bound", "requests": 1}}]
    sets = {"demand": [{"kind": "steady", "rate": "4 per second"}], "always": bound, "behaviour.retry.at_most": 0}
    turned = load("steady", sets={**sets, "warm_up": 0, "horizon": "30 min"})
    found = size(turned, "alive", seeds=3, headroom=False, **HERE)
    assert (found.total, round(found.in_time, 2)) == (1, 0.12)
    assert f"ONLY {percent(found.in_time)} IN TIME of all requests: the promise asks for no more." in sentences(found)
    times = demand_multiple(turned, "alive", seeds=3, **HERE)
    assert any(line.startswith("ONLY ") for line in multiple_sentences(times))
    plenty = size(busy(), "p95 <= 60 s", seeds=3, headroom=False, **HERE)
    assert not any(line.startswith("ONLY ") for line in sentences(plenty))
