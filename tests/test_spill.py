"""Requests that are served elsewhere: regions with pools of their own, what spills over, and the loss of a region."""

import numpy as np
import pytest
from scipy import stats

from sim import simulate
from sim.errors import BadInput
from sim.profile.profile import constant_profile
from sim.results.metrics import outcomes
from sim.results.run import Run
from tests.random_scenarios import plain

SEEDS = range(1, 9)
LIMIT = stats.t.ppf(1 - 2.3e-4, len(SEEDS) - 1)


def regions(rate, servers, shares, *, lost=(), seed=1, horizon="1 h", **spill) -> Run:
    """M/M/c in each region: features a, b, c with pools of these names; `spill` gives each one's."""
    names = "abc"[: len(servers)]
    feature = {"slo": "5 min", "spec": {"model": "model"}}
    scenario = plain(
        {"model": constant_profile("model", 1.0)},
        horizon=horizon,
        features={"image": None}
        | {
            n: {**feature, "share": share, "pool": n, **spill.get(n, {})}
            for n, share in zip(names, shares, strict=True)
        },
        pools={"gpus": None} | {name: {"gpus": gpus} for name, gpus in zip(names, servers, strict=True)},
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
        serving={"noise": {"kind": "exponential"}},
        playbooks={"loss": [{"policy": {"kind": "outage", "pools": list(lost)}}] if lost else []},
    )
    return simulate(scenario, "loss", seed=seed)


def waits_and_rates(run: Run) -> dict[str, float]:
    rows = run.requests[run.requests["started"].notna()]
    served_in = rows["pool"].value_counts() / run.horizon
    return {"Wq": (rows["started"] - rows["arrived"]).mean(), **{str(n): float(v) for n, v in served_in.items()}}


OTHERS = {"a": {"b": 3, "c": 2}, "b": {"a": 5, "c": 2}, "c": {"a": 5, "b": 3}}  # by the weights of 5, 3 and 2


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ((), {"a": 10.0, "b": 6.0, "c": 4.0, "Wq": 0.01532800384}),
        (("b",), {"a": 14.28571429, "c": 5.714285714, "Wq": 0.2729319436}),
    ],
)
def test_regions_are_independent_and_those_left_take_the_lost_one_s_share_by_weight(lost, expected):
    """Poisson streams split by weight, each region M/M/c; the weights of the lost one fall to the rest."""
    spill = {name: {"spill": {"to": others}} for name, others in OTHERS.items()}
    found = [
        waits_and_rates(regions(20, [16, 10, 8], [0.5, 0.3, 0.2], lost=lost, seed=seed, horizon="20 min", **spill))
        for seed in SEEDS
    ]
    for name, value in expected.items():
        sample = [one[name] for one in found]
        assert abs(np.mean(sample) - value) < LIMIT * stats.sem(sample), name


def test_with_an_order_the_nearest_takes_all_and_nobody_is_lost():
    run = regions(6, [6, 6, 6], [0.4, 0.3, 0.3], lost=["a"], a={"spill": {"to": ["b", "c"]}})
    rows = run.requests
    assert set(rows["pool"]) == {"b", "c"}
    assert (rows["pool"] == "b").mean() == pytest.approx(0.7, abs=0.02)
    counts = outcomes(run).iloc[0]
    assert counts["intents"] == counts["served"] + counts["unfinished"] == len(rows)


def test_what_spills_over_waits_for_less_than_in_regions_kept_apart():
    """A region at a load of 1.2 beside one of 0.4: above 2 s requests cross over, and no queue is left behind."""
    apart = regions(8, [5, 5], [0.75, 0.25])
    over = regions(8, [5, 5], [0.75, 0.25], a={"spill": {"to": ["b"], "above": "2 s"}})
    waits = [(run.requests["started"] - run.requests["arrived"]).quantile(0.95) for run in (apart, over)]
    assert waits[0] > 100
    assert waits[1] < 6
    assert len(over.requests) == len(apart.requests)


def test_people_ask_for_what_their_region_has():
    here, there = {"share": 0.7, "zone": "Europe/Berlin"}, {"share": 0.3, "zone": "America/New_York"}
    feature = {"slo": "1 min", "spec": {"model": "quick"}, "share": 0.5}
    run = simulate(
        plain(
            features={
                "image": None,
                "a": {**feature, "pool": "a", "region": "here"},
                "b": {**feature, "pool": "b", "region": "there"},
            },
            pools={"gpus": None, "a": {"gpus": 1}, "b": {"gpus": 1}},
            demand={
                "waves": [{"kind": "spike", "people": 200, "lasting": "1 min"}],
                "regions": {"here": here, "there": there},
            },
        )
    )
    lives = run.users["region"].astype(str).to_numpy()[run.requests["user"]]
    assert (run.requests["pool"].astype(str).to_numpy() == np.where(lives == "here", "a", "b")).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"to": ["gone"]}, r"features.a.spill.to\s+expected: 'gone', expected another feature"),
        ({"to": ["a"]}, r"features.a.spill.to\s+expected: 'a', expected another feature"),
        ({"to": []}, "1 or more entries"),
    ],
)
def test_a_spill_to_nowhere_is_refused(wrong, says):
    with pytest.raises(BadInput, match=says):
        regions(1, [1, 1], [0.5, 0.5], a={"spill": wrong})


def test_what_is_served_elsewhere_must_be_the_same_service():
    with pytest.raises(BadInput, match=r"'b' has another slo"):
        regions(1, [1, 1], [0.5, 0.5], a={"spill": {"to": ["b"]}}, b={"slo": "1 s"})
