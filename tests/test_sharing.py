"""Fair shares of a pool: weights, hands that are dealt, who is slowed down by a flood, and the shortest first."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from sim.engine.simulate import simulate
from sim.model.sharing import DEAL_BITS, dealt
from sim.policies.playbook import Step
from sim.policies.sharing import FairPerUser, ShortestFirst, WeightedSharing
from sim.results.run import Run
from tests.random_scenarios import constant, plain
from tests.studies.theory.queues import z
from tests.traces import arriving

CHEAP = {"policy": {"kind": "degrade", "tiers": ["free"]}}


def crowded(sharing: dict[str, Any], tiers: dict[str, float], *more: dict[str, Any], **settings: Any) -> Run:
    """An hour of ten times what 2 GPUs can do, 10 s an image or, degraded, 3 s."""
    feature = {"spec": {"model": "slow"}, "ladder": [{"model": "quick"}]}
    scenario = plain(
        horizon="1 h",
        tiers={tier: {"share": share} for tier, share in tiers.items()},
        features={"image": feature},
        pools=settings.pop("pools", {"gpus": {"gpus": 2, "max_batch": 1}}),
        demand=[{"kind": "steady", "rate": "120 per min"}],
        playbooks={"one": [{"policy": sharing}, *more]},
        **settings,
    )
    return simulate(scenario)


def shares_of(run: Run, after: float = 300.0) -> dict[str, float]:
    """Each tier's share of the GPU-seconds of images that began after so long."""
    rows = run.requests[run.requests["started"] >= after]
    seconds = rows.groupby("tier", observed=True)["gpu_seconds"].sum()
    return {str(tier): float(share) for tier, share in (seconds / seconds.sum()).items()}


@pytest.mark.parametrize("more", [(), (CHEAP,)], ids=["same specs", "one cheaper"])
@pytest.mark.parametrize("weights", [{"paid": 3, "free": 1}, {"paid": 5, "api": 3, "free": 2}], ids=len)
def test_tiers_that_wait_share_gpu_time_by_their_weights(weights, more):
    run = crowded({"kind": "weighted sharing", "weights": weights}, dict.fromkeys(weights, 1 / len(weights)), *more)
    found = shares_of(run)
    for tier, weight in weights.items():
        assert found[tier] == pytest.approx(weight / sum(weights.values()), abs=0.02)


@pytest.mark.parametrize("more", [(), (CHEAP,)], ids=["same specs", "one cheaper"])
def test_they_do_in_batches_too(more):
    gpus = {"gpus": {"gpus": 2, "max_batch": 4}}
    sharing = {"kind": "weighted sharing", "weights": {"paid": 3, "free": 1}}
    assert shares_of(crowded(sharing, {"paid": 0.5, "free": 0.5}, *more, pools=gpus))["paid"] == pytest.approx(
        0.75, abs=0.02
    )


def test_who_is_not_named_shares_one_weight():
    tiers = {"paid": 0.4, "free": 0.3, "trial": 0.3}
    found = shares_of(crowded({"kind": "weighted sharing", "weights": {"paid": 2}, "others": 1}, tiers))
    assert found["paid"] == pytest.approx(2 / 3, abs=0.02)
    assert found["free"] + found["trial"] == pytest.approx(1 / 3, abs=0.02)


def test_a_share_that_is_not_needed_goes_to_the_others():
    """A hundredth of ten times the load is a fifth of what its weight would give."""
    run = crowded({"kind": "weighted sharing", "weights": {"paid": 1, "free": 1}}, {"paid": 0.01, "free": 0.99})
    found = shares_of(run)
    rows = run.requests[run.requests["arrived"] >= 300]
    assert found["paid"] < 0.2
    assert found["free"] > 0.8
    busy = run.batches["seconds"][run.batches["finished"].notna()].sum()
    assert busy / (2 * run.horizon) > 0.99  # no GPU idles
    waits = (rows["started"] - rows["arrived"])[rows["tier"] == "paid"].dropna()
    assert waits.mean() < 15  # within a job or two of its turn


# The deal.


def hand(u: float, queues: int, size: int) -> list[int]:
    """The cards dealt to one user, in order: each is taken once those before it are full."""
    waiting = np.zeros(queues)
    cards: list[int] = []
    for _ in range(size):
        cards.append(int(dealt(u, queues, size, waiting)))
        waiting[cards[-1]] = 1
    return cards


def each_hand(queues: int, size: int) -> Iterator[list[int]]:
    """The hands for every value of the hash, below the number of hands."""
    for value in range(math.perm(queues, size)):
        yield hand((value + 0.5) / DEAL_BITS, queues, size)


def test_every_ordered_hand_is_dealt_once():
    assert sorted(map(tuple, each_hand(6, 3))) == sorted(permutations(range(6), 3))


def test_cards_are_distinct_and_uniform():
    hands = np.array([hand(u, 128, 6) for u in np.random.default_rng(1).uniform(size=4000)])
    assert all(len(set(cards)) == 6 for cards in hands.tolist())
    counts = np.bincount(hands.ravel(), minlength=128)
    expected = hands.size / 128
    chi = ((counts - expected) ** 2 / expected).sum() / (1 - 6 / 128)  # cards of one hand are drawn without returning
    assert abs(chi - 127) < 4 * math.sqrt(2 * 127)


def covered(queues: int, size: int, floods: int) -> Fraction:
    """The probability that the hands of so many floods hold every card of one other user: exact."""
    held = {0: Fraction(1)}  # cards in the union so far
    for _ in range(floods):
        following: dict[int, Fraction] = {}
        for cards, chance in held.items():
            for new in range(max(0, size - cards), min(size, queues - cards) + 1):
                ways = math.comb(queues - cards, new) * math.comb(cards, size - new)
                more = chance * Fraction(ways, math.comb(queues, size))
                following[cards + new] = following.get(cards + new, Fraction(0)) + more
        held = following
    return sum(
        (chance * Fraction(math.comb(cards, size), math.comb(queues, size)) for cards, chance in held.items()),
        Fraction(0),
    )


@pytest.mark.parametrize(
    ("queues", "size", "floods", "published"),
    [
        (64, 8, 1, 2.26e-10),
        (64, 8, 4, 4.89e-4),
        (64, 8, 16, 0.359),
        (256, 6, 1, 2.7e-12),
        (256, 6, 4, 2.95e-7),
        (256, 6, 16, 8.9e-4),
    ],
)
def test_a_user_is_covered_as_rarely_as_kubernetes_says(queues, size, floods, published):
    """The table of KEP 1040."""
    assert float(covered(queues, size, floods)) == pytest.approx(published, rel=0.02)


def test_hands_cover_others_as_often_as_they_should():
    rng, tries = np.random.default_rng(2), 4000
    hits = 0
    for _ in range(tries):
        mouse, *floods = (set(hand(u, 16, 3)) for u in rng.uniform(size=5))
        hits += mouse <= set().union(*floods)
    p = float(covered(16, 3, 4))
    assert abs(hits - tries * p) < 4 * math.sqrt(tries * p * (1 - p))


# Users.


def flooded(*playbook: dict[str, Any], rate: str = "45 per min") -> Run:
    """One program asks nearly four times what 2 GPUs can do, sixty others together a quarter of it."""
    flood = {"kind": "clients", "clients": 1, "rate": rate, "cv": 1, "skew": 0, "tier": "api"}
    many = {"kind": "clients", "clients": 60, "rate": "3 per hour", "cv": 1, "skew": 0, "tier": "free"}
    scenario = plain(
        horizon="1 h",
        tiers={"free": {"share": 0.5}, "api": {"share": 0.5}},
        pools={"gpus": {"gpus": 2, "max_batch": 1}},
        demand={"waves": [], "clients": [flood, many]},
        playbooks={"one": list(playbook)},
    )
    return simulate(scenario)


def waits_of_others(run: Run) -> np.ndarray:
    rows = run.requests[(run.requests["tier"] == "free") & (run.requests["arrived"] < 3000)]
    return (rows["started"].fillna(math.inf) - rows["arrived"]).to_numpy()


@pytest.mark.parametrize("hand", [1, 2, 6])
def test_a_flood_delays_others_by_two_turns_of_its_hand_at_most_however_large_it_is(hand):
    """A turn serves one image of 10 s of each queue that is not empty, on 2 GPUs; others wait too at times."""
    for rate in ("45 per min", "180 per min"):
        run = flooded({"policy": {"kind": "fair per user", "hand": hand}}, rate=rate)
        found = waits_of_others(run)
        rows = run.requests[(run.requests["tier"] == "free") & (run.requests["arrived"] < 3000)]
        by_user = sorted(pd.Series(found).groupby(rows["user"].to_numpy()).mean())
        assert 0 < np.mean(by_user[:-2]) < 2 * (hand + 1) * 10 / 2  # one or two may share all queues of the flood
        assert np.quantile(found, 0.9) < 2 * (hand + 4) * 10 / 2
    assert np.median(waits_of_others(flooded())) > 600


def test_users_who_all_want_more_get_alike_much():
    """Jain's index, (sum x)^2 / (n sum x^2), over programs of which each wants more than its share."""
    many = {"kind": "clients", "clients": 10, "rate": "60 per min", "cv": 1, "skew": 0.7}

    def index(*playbook: dict[str, Any]) -> float:
        scenario = plain(
            horizon="30 min",
            pools={"gpus": {"gpus": 2, "max_batch": 1}},
            demand={"waves": [], "clients": [many]},
            playbooks={"one": list(playbook)},
        )
        rows = simulate(scenario).requests
        got = rows.groupby("user")["gpu_seconds"].sum().to_numpy()
        assert len(got) == 10
        return float(got.sum() ** 2 / (len(got) * (got**2).sum()))

    assert index({"policy": {"kind": "fair per user", "queues": 256}}) >= 0.95
    assert index() < 0.8


@pytest.mark.parametrize("wrong", [{"queues": 257}, {"hand": 9}, {"hand": 3, "queues": 2}, {"queues": 256, "hand": 8}])
def test_what_cannot_be_dealt_is_refused(wrong):
    with pytest.raises(ValidationError):
        FairPerUser(**wrong)


@pytest.mark.parametrize("wrong", [{"weights": {}}, {"weights": {"paid": 0}}, {"weights": {"paid": 1}, "others": -1}])
def test_weights_are_above_zero(wrong):
    with pytest.raises(ValidationError):
        WeightedSharing(**wrong)


# The shortest first.

RATE, LONG, SHORT = 0.15, 8.0, 2.0


def two_specs(*playbook: dict[str, Any], seed: int) -> tuple[float, float, float]:
    """Mean wait of all, of those who take 2 s, of those who take 8 s: one GPU at 75 %."""
    scenario = plain(
        {"long": constant(LONG), "short": constant(SHORT)},
        horizon="3 h",
        features={
            "image": {"share": 0.5, "spec": {"model": "long"}},
            "edit": {"share": 0.5, "pool": "gpus", "slo": "60 s", "spec": {"model": "short"}},
        },
        pools={"gpus": {"max_batch": 1}},
        demand=[{"kind": "steady", "rate": f"{RATE} per second"}],
        playbooks={"one": list(playbook)},
    )
    rows = simulate(scenario, seed=seed).requests
    rows = rows[(rows["arrived"] > 900) & (rows["arrived"] < 9900)]
    wait = rows["started"] - rows["arrived"]
    short = rows["feature"] == "edit"
    return float(wait.mean()), float(wait[short].mean()), float(wait[~short].mean())


def test_the_shortest_first_waits_as_in_theory_and_less_than_in_order_of_arrival():
    """Cobham 1954 for M/G/1: W0 / ((1 - s_before) (1 - s_up_to)), W0 = lam E[S^2] / 2; in order, W0 / (1 - rho)."""
    seeds = range(1, 13)
    first = np.array([two_specs({"policy": {"kind": "shortest first"}}, seed=seed) for seed in seeds]).T
    in_order = np.array([two_specs(seed=seed) for seed in seeds]).T
    rest = RATE * (SHORT**2 + LONG**2) / 4
    short, rho = RATE * SHORT / 2, RATE * (SHORT + LONG) / 2
    for found, theory in zip(first[1:], [rest / (1 - short), rest / ((1 - short) * (1 - rho))], strict=True):
        assert abs(z(found, theory)) < 3.5
    assert abs(z(in_order[0], rest / (1 - rho))) < 3.5
    assert (first[0] < in_order[0]).all()


def test_the_longest_waits_for_all_that_are_shorter():
    run = arriving(
        [0, 1, 2, 3],
        [ShortestFirst()],
        tiers=["free", "free", "plus", "plus"],
        features={"image": {"spec": {"model": "slow"}, "ladder": [{"model": "quick"}]}},
        always=[{"policy": {"kind": "degrade", "tiers": ["plus"]}}],
    )
    assert run.requests["started"].tolist() == [0, 18, 10, 14]


def test_policies_are_read_from_a_scenario():
    kinds = {"weighted sharing": WeightedSharing, "fair per user": FairPerUser, "shortest first": ShortestFirst}
    for kind, made in kinds.items():
        more = {"weights": {"paid": 2}} if kind == "weighted sharing" else {}
        assert isinstance(Step.model_validate({"policy": {"kind": kind, **more}}).policy, made)
