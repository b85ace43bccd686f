"""Several kinds of GPU behind one queue: unlike servers of queueing theory, and the price of each kind."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sim import BadInput, simulate, size
from sim.cli import size_command
from sim.cli.places import result_folder
from sim.explorer.settings import settings_of
from sim.profile.profile import constant_profile
from sim.report.answer_pages import to_do
from sim.results.contracts import bill
from sim.results.costs import dollars
from sim.results.run import Run
from sim.results.timeline import OFFERED
from sim.scenario.document import merged
from sim.scenario.scenario import Scenario
from sim.studies.answer_folder import load_size
from sim.studies.decide import decide
from sim.studies.decide_words import basis
from sim.studies.mixes import cheapest, mix_sentences, mixes
from sim.studies.money_study import money_study
from sim.studies.size_words import sentences
from sim.studies.sweep import changed
from sim.studies.uncertain import as_uncertain
from tests.random_scenarios import plain
from tests.test_engines import assert_alike

MOVES = {"kind": "move gpus", "from": "gpus", "to": "spare", "gpus": 1}
PROFILES = {"new": constant_profile("new", 1 / 1.5), "old": constant_profile("old", 1 / 0.6)}
SEEDS = range(1, 13)


def mixed(
    prices: tuple[float, float] = (3.0, 1.0), rate: float = 1.6, *, each: int = 1, noise="exponential", **settings
) -> Scenario:
    """New GPUs serve 1.5 requests a second, old ones 0.6. prices: dollars an hour, of new ones and of old ones."""
    kinds = {
        "old": {"gpus": each, "profiles": {"new": "old"}, "dollars_per_gpu_hour": prices[1]},
        "new": {"gpus": each, "dollars_per_gpu_hour": prices[0]},
    }
    return plain(
        PROFILES,
        horizon=settings.pop("horizon", "1 h"),
        features={"image": {"spec": {"model": "new"}, **settings.pop("feature", {})}},
        pools={
            "gpus": merged({"gpus": 2 * each, "kinds": kinds}, settings.pop("pool", {})),
            **settings.pop("pools", {}),
        },
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
        serving={"noise": {"kind": noise}},
        **settings,
    )


def chain(rate: float, first: float, other: float, to_first: float = 1.0) -> dict[str, float]:
    """M/M/2 with unlike servers, no request moves (Gumbel 1960, Singh 1970). to_first: of those who find both idle."""
    both = first + other  # states: none, the first busy, the other busy, two; beyond them geometric
    balance = np.array(
        [
            [-rate, first, other, 0.0],
            [rate * to_first, -(rate + first), 0.0, other],
            [rate * (1 - to_first), 0.0, -(rate + other), first],
            [1.0, 1.0, 1.0, 1 / (1 - rate / both)],
        ]
    )
    _, one, two, more = np.linalg.solve(balance, [0.0, 0.0, 0.0, 1.0])
    busy = more / (1 - rate / both)
    waiting = busy * (rate / both) / (1 - rate / both)
    return {"wait": waiting / rate, "first": one + busy, "other": two + busy, "inside": one + two + 2 * busy + waiting}


def test_the_chain_is_the_published_one():
    """A table of exact values has these where requests that find both idle go to either with equal chances."""
    known = chain(1.6, 1.5, 0.6, 0.5)
    expected = {"wait": 1.351432881, "first": 0.7360482655, "other": 0.826546003, "inside": 3.724886878}
    assert known == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(
    ("takes_first", "speeds", "each"),
    [("fastest", (1.5, 0.6), 1), ("cheapest", (0.6, 1.5), 1), ("fastest", (1.5, 0.6), 4)],
)
def test_waits_and_use_of_unlike_gpus_are_those_of_the_chain(takes_first, speeds, each):
    """A new GPU costs $3 / 1.5 for 3,600 requests, an old one $1 / 0.6: it is the cheaper one, and the slower one.

    Replicas of four GPUs each are two servers too.
    """
    scenario = mixed(pool={"takes_first": takes_first, "gpus_per_replica": each}, each=each)
    runs = [simulate(scenario, seed=seed) for seed in SEEDS]
    wait = [(run.requests["started"] - run.requests["arrived"]).mean() for run in runs]
    busy = [run.batches.groupby("gpu")["seconds"].sum() / run.horizon for run in runs]
    expected = chain(1.6, *speeds)
    for found, value, sees in (
        (wait, expected["wait"], 0.2),
        ([one[0] for one in busy], expected["first"], 0.05),
        ([one[1] for one in busy], expected["other"], 0.05),
    ):
        assert abs(np.mean(found) - value) < 3.5 * stats.sem(found) < sees * value


def test_threads_on_unlike_gpus_one_at_a_time_are_the_chain_too():
    """A thread of exponential length on each GPU, those who wait in one queue: M/M/2 with unlike servers once more."""
    scenario = mixed(pool={"runs": "threads"}, noise="none", feature={"length": {"kind": "geometric"}})
    agree([wait(scenario, seed) for seed in SEEDS], chain(1.6, 1.5, 0.6)["wait"], 0.2)


def test_threads_that_share_unlike_gpus_are_processor_sharing():
    """Sent at random, each GPU is M/D/1-PS, whose mean is that of M/M/1: 1 / (1.5 - 0.4) and 1 / (0.6 - 0.4) s."""
    scenario = mixed(rate=0.8, pool={"runs": "threads", "dispatch": "random", "max_batch": 200}, noise="none")
    stays = []
    for seed in SEEDS:
        rows = simulate(scenario, seed=seed).requests
        stays.append((rows["finished"] - rows["arrived"]).mean())
    agree(stays, (1 / 1.1 + 1 / 0.2) / 2, 0.2)


def test_queues_of_unlike_gpus_are_m_d_1():
    """Sent at random, 0.4 a second to each: Wq = load / (2 x (rate served - rate sent)) by Pollaczek and Khinchine."""
    scenario = mixed(rate=0.8, pool={"dispatch": "random"}, noise="none")
    expected = (0.4 / 1.5 / (2 * 1.1) + 0.4 / 0.6 / (2 * 0.2)) / 2
    agree([wait(scenario, seed) for seed in SEEDS], expected, 0.25)


def wait(scenario: Scenario, seed: int) -> float:
    rows = simulate(scenario, seed=seed).requests
    return float((rows["started"] - rows["arrived"]).mean())


def agree(found: list[float], value: float, sees: float) -> None:
    """The mean over seeds is this; an error of `sees` (a share) would be seen."""
    assert abs(np.mean(found) - value) < 3.5 * stats.sem(found) < sees * value


MORE = [1, 2, 3, 3.5, 3.5]  # five requests by one new GPU and two old ones


def by_hand(pool: dict, people: int = 5, *, engine: str = "compiled", **settings) -> Run:
    """People who come at once, to a GPU that takes 1 s for an image and one that takes 3.5 s."""
    slow = {"new": {"gpus": 1}, "old": {"gpus": 1, "profiles": {"one": "other"}}}
    scenario = plain(
        {
            "one": constant_profile("one", 1.0, largest_batch=2),
            "other": constant_profile("other", 3.5, largest_batch=2),
        },
        horizon="20 s",
        features={"image": {"spec": {"model": "one"}}},
        pools={"gpus": {"gpus": 2, "kinds": slow, **pool}, **settings.pop("pools", {})},
        demand=[{"kind": "spike", "people": people, "lasting": "1 ms"}],
        **settings,
    )
    return simulate(scenario, engine=engine)


def finished(run: Run) -> list[float]:
    return sorted(run.requests["finished"])


def test_least_work_counts_the_seconds_of_each_gpu():
    """Four go to the new GPU, the last done after 4 s; with the times of a mean GPU two would go to the old one."""
    assert finished(by_hand({"dispatch": "least work"})) == pytest.approx([1, 2, 3, 3.5, 4], abs=2e-3)


@pytest.mark.parametrize(("runs", "expected"), [("threads", [2, 2, 3.5]), ("steps", [1, 1 + 1 / 28, 3.5])])
def test_each_kind_has_times_of_its_own_where_many_run_at_once(runs, expected):
    """The third joins the new GPU: two threads take twice as long; of 28 steps of 1/28 s it joins after the first."""
    run = by_hand({"runs": runs, "max_batch": 2}, 3)
    assert finished(run) == pytest.approx(expected, abs=3e-3)
    assert run.batches["gpu"].value_counts().to_dict() == {0: 2, 1: 1}


@pytest.mark.parametrize(("work", "last"), [("finishes", 3.5), ("is lost", 3.0)])
def test_the_kind_that_is_taken_last_is_lost_first(work, last):
    """An outage of one of two at 1 s takes the old GPU: its request is done there after all, or on the new one."""
    lost = {"kind": "outage", "share": 0.5, "work": work}
    run = by_hand({}, 3, control_tick="1 s", playbooks={"one": [{"policy": lost, "from": "1 s"}]})
    assert finished(run)[-1] == pytest.approx(last, abs=2e-3)
    assert run.batches.loc[run.batches["started"] > 1.0, "gpu"].max() == 0


class Fleet:
    """A policy that has this many GPUs in service after half of the run."""

    def __init__(self, gpus: int, first: int = 4):
        self.gpus, self.first = gpus, first

    def act(self, telemetry, controls):
        controls.set_pool(fleet=self.first if telemetry.now < 1800 else self.gpus)


@pytest.mark.parametrize(("gpus", "hours"), [(4, [2.0, 2.0]), (3, [2.0, 1.5]), (1, [1.5, 1.0]), (6, [2.0, 3.0])])
def test_each_kind_has_its_price_and_the_kind_that_is_taken_last_comes_and_goes(gpus, hours):
    """Two new GPUs at $3 an hour are taken first, two old ones at $1 last; an hour, the second half with other GPUs."""
    run = simulate(mixed(rate=0.5, each=2, pool={"pays": {"switched_off": False}}), [Fleet(gpus)])
    found = bill(run)
    assert found["contract"].tolist() == ["on demand, new", "on demand, old"]
    assert found["gpu_hours"].tolist() == pytest.approx(hours)
    assert dollars(run) == pytest.approx(3 * hours[0] + hours[1])


def test_each_kind_has_contracts_of_its_own():
    """One of two new GPUs is reserved at $1, one of two old ones is spot at $0.40; after half an hour one is left."""
    terms = {
        "kinds": {
            "new": {"reserved": {"gpus": 1, "dollars_per_gpu_hour": 1.0}},
            "old": {"spot": {"gpus": 1, "dollars_per_gpu_hour": 0.4}},
        }
    }
    run = simulate(mixed(rate=0.5, each=2, pool={"pays": {"switched_off": False}, **terms}), [Fleet(1)])
    found = bill(run).set_index("contract")["dollars"].to_dict()
    by_hand = {"reserved, new": 1.0, "on demand, new": 1.5, "spot, old": 0.2, "on demand, old": 0.5}
    assert found == pytest.approx(by_hand)


def test_replicas_of_several_gpus_are_each_of_one_kind():
    """Twice the GPUs, two to a replica: the waits of one GPU each (those of the chain above), and twice the bill."""
    one, two = (simulate(mixed(each=g, pool={"gpus_per_replica": g}), [Fleet(3 * g, first=2 * g)]) for g in (1, 2))
    assert one.requests["started"].notna().sum() > 1000
    assert two.requests.drop(columns="gpu_seconds").equals(one.requests.drop(columns="gpu_seconds"))
    assert two.requests["gpu_seconds"].equals(2 * one.requests["gpu_seconds"])
    assert bill(two)["gpu_hours"].tolist() == pytest.approx((2 * bill(one)["gpu_hours"]).tolist())


SPARE = {"spare": {"gpus": 2, "kinds": {"old": {"gpus": 2}}}}


@pytest.mark.parametrize("runs", ["batches", "steps"])
@pytest.mark.parametrize(
    ("pools", "gpus", "expected"),
    [(("gpus", "spare"), 1, [1, 2, 3, 4, 5]), (("gpus", "spare"), 9, [1, 2, 3, 4, 5]), (("spare", "gpus"), 1, MORE)],
)
def test_a_gpu_that_moves_stays_of_its_kind(pools, gpus, expected, runs):
    """Of a new GPU (1 s) and an old one (3.5 s) the old one can move; from elsewhere another old one comes."""
    move = {"kind": "move gpus", "from": pools[0], "to": pools[1], "gpus": gpus}
    pool = {"runs": runs, "max_batch": 1}
    one, other = (by_hand(pool, pools=SPARE, always=[{"policy": move}], engine=e) for e in ("simpy", "compiled"))
    assert finished(other) == pytest.approx(expected, abs=2e-3)
    assert_alike(one, other)


def test_many_at_once_in_a_pool_that_names_its_only_kind():
    """Two requests one after the other on a GPU of 1 s: the times are the kind's own on both engines."""
    only = {"runs": "steps", "gpus": 1, "max_batch": 1, "kinds": {"new": {"gpus": 1}}}
    one, other = (by_hand(only, 2, engine=engine) for engine in ("simpy", "compiled"))
    assert finished(other) == pytest.approx([1, 2], abs=2e-3)
    assert_alike(one, other)


def test_load_is_offered_in_mean_gpus():
    """Two of 1.5 and 0.6 requests a second are two of 1.05; 1.6 a second are the work of 1.52."""
    run = simulate(mixed(), unlimited=True)
    assert run.manifest["features"]["image"]["gpu_seconds"] == pytest.approx(1 / 1.05)
    came = len(run.requests) / run.horizon
    work = run.timeline.seconds[..., OFFERED].sum() / run.horizon
    assert work == pytest.approx(came / 1.05)
    assert came == pytest.approx(1.6, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pool": {"gpus": 3}}, "gpus: 3, but its kinds have 2, expected the sum of theirs"),
        ({"pool": {"spot": {"gpus": 1}}}, "spot: each kind has contracts of its own, expected them there, like kinds"),
        ({"pool": {"reserved": {"gpus": 1}}}, "reserved: each kind has contracts of its own"),
        ({"each": 3, "pool": {"gpus_per_replica": 2}}, "kinds.old.gpus: 3 GPUs make no whole replicas of 2"),
        ({"pool": {"kinds": {"old": {"profiles": {"other": "old"}}}}}, "'other' is no model that a feature"),
        ({"scale": "1/2"}, "1 GPUs at scale 1/2"),
        (
            {"pools": {"spare": {"gpus": 1}}, "always": [{"policy": MOVES}]},
            "the kind taken last, which moves, is 'old' in 'gpus' and unnamed in 'spare'",
        ),
    ],
)
def test_a_mix_that_cannot_be_played_is_refused(settings, said):
    with pytest.raises((ValueError, BadInput), match=said):
        mixed(**settings)


def test_one_kind_is_sized_while_the_others_stay():
    """4.05 a second: beside an old GPU, which does 0.6, two new ones of 1.5 are too few and three are enough."""
    scenario = mixed(rate=4.05, noise="none", horizon="10 min", feature={"slo": "10 s"})
    found = size(scenario, "95 % in time", kind="new", seeds=2, headroom=False, store=False, processes=1)
    assert found.gpus == {"gpus": 4}
    assert found.kinds == {"gpus": {"old": 1, "new": 3}}
    assert "4 GPUs in pool 'gpus' (1 old and 3 new)" in sentences(found)[0]


def test_the_cheapest_mix_of_two_kinds_is_that_by_hand_and_is_saved(tmp_path, monkeypatch):
    """For 4.05 a second of 0.6 each at $1 an hour: 7 old GPUs; or 5 beside a new one, which does 1.5 for $3."""
    scenario = mixed(rate=4.05, noise="none", horizon="10 min", feature={"slo": "10 s"})
    found = mixes(scenario, [0, 1], "95 % in time", seeds=2, headroom=False, store=False, processes=1)
    assert [of.kinds["gpus"] for of in found] == [{"old": 7, "new": 0}, {"old": 5, "new": 1}]
    assert [of.dollars for of in found] == pytest.approx([7 / 6, 8 / 6])
    assert cheapest(found) is found[0]
    assert mix_sentences(found)[1] == "  CHEAPEST: 7 old and 0 new for $1.17 a run: meets."
    assert not mix_sentences(found)[3:]  # there are no fewer than none
    most = [found[0], replace(found[1], dollars=1.0)]
    assert mix_sentences(most)[3] == "More of kind 'new' may be cheaper still: name more numbers in --beside."
    folder = tmp_path / "mixes"
    monkeypatch.setattr("sim.cli.reports.write_report", lambda *_: None)
    size_command.keep(found, as_uncertain(scenario), [0.9], folder)
    saved, (run,) = load_size(folder)
    assert [(of.beside, of.kinds, of.dollars) for of in saved] == [(of.beside, of.kinds, of.dollars) for of in found]
    assert {one["kind"]: one["gpus_in_full"] for one in run.manifest["pools"]["gpus"]["kinds"]} == {"new": 0, "old": 7}
    assert to_do(saved[0], run)[0].startswith("To do: have 7 old and 0 new in pool 'gpus', in place of 2 GPUs")
    assert result_folder(folder, "", replace=True) == folder


def test_a_decision_changes_the_kind_that_is_named():
    """An hour with one or two new GPUs at $3 beside two old ones at $1."""
    scenario = mixed(rate=0.1, each=2, noise="none")
    found = decide(scenario, [3, 4], kind="new", futures=2, store=False, processes=1)
    assert found.options["dollars"].tolist() == pytest.approx([5, 8])
    assert "differ in GPUs of kind 'new'; the other kinds stay" in " ".join(basis(found))


def test_studies_of_fleets_change_the_kind_that_is_taken_last():
    scenario = mixed(each=2, tiers={"free": {"price": "$20 per month"}}, horizon="10 min")
    kinds = changed(scenario, {"pools.gpus.gpus": 7}).pools["gpus"].kinds
    assert {name: kind.gpus for name, kind in kinds.items()} == {"new": 2, "old": 5}
    menu = decide(scenario, fleets=[3, 6], futures=2, processes=1, store=False).options
    assert (menu["dollars"] * 6).tolist() == pytest.approx([3 * 2 + 1 * 1, 3 * 2 + 1 * 4])  # a sixth of an hour
    worth = money_study(scenario, seeds=1, processes=1).marginal.set_index("gpus")
    assert worth["pool"].tolist() == ["gpus, old", "gpus, old"]
    assert worth["cost"].tolist() == pytest.approx([1.0, 1.0])
    gpus = next(setting for setting in settings_of(scenario, "none") if setting.key == "pools.gpus.gpus")
    assert (min(gpus.values), gpus.own) == (2, 4)
    with pytest.raises(BadInput, match="2 or more: the other kinds stay, and 'old' changes"):
        decide(scenario, fleets=[1, 6], futures=2, processes=1, store=False)


def test_a_mix_is_of_two_kinds():
    with pytest.raises(BadInput, match="pool 'gpus' has one kind of GPU, and a mix is of two"):
        mixes(plain(), [0, 1])


def test_a_kind_that_is_not_there_is_not_sized():
    with pytest.raises(BadInput, match="no such kind of GPU"):
        size(mixed(), kind="newer")
    with pytest.raises(BadInput, match="a pool with 'kinds'"):
        size(plain(), kind="new")


def test_kinds_without_a_profile_are_refused_with_the_key():
    with pytest.raises(BadInput, match=r"pools\.gpus\.kinds\.old\.profiles\.new"):
        mixed(pool={"kinds": {"old": {"profiles": {"new": "nowhere"}}}})
    with pytest.raises(BadInput, match="all GPUs are of one kind"):
        plain(pools={"gpus": {"takes_first": "cheapest"}})
