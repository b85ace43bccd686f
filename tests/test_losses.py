"""Work that is lost with its GPU, and work that is stopped when its user leaves: by hand, and against exact results."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import stats

from sim import BadInput, simulate
from sim.engine.compiled import memory
from sim.profile.profile import constant_profile
from sim.results.conservation import of_both, of_tables, of_timeline
from sim.results.costs import gpu_hours
from sim.results.counting import timeline_of
from sim.results.folder import TABLES
from sim.results.run import load_run
from sim.scenario.parts import Recording
from tests.random_scenarios import documents, plain, scenario_from
from tests.test_engines import assert_alike
from tests.timelines import assert_same_timeline

SEEDS = range(1, 9)


def agrees(found: list[float], expected: float, sees: float) -> None:
    """The mean of independent values is as expected by Student's test; a bias of `sees` (a share) would be seen."""
    bound = stats.t.ppf(1 - 2.3e-4, len(found) - 1) * stats.sem(found)  # as rare as 3.5 standard errors of a normal
    assert abs(np.mean(found) - expected) < bound
    assert bound < sees * expected, "the test would not see it"


EIGHT = {"eight": constant_profile("eight", 8.0, largest_batch=4)}


class Lose:
    """At 10 s the only GPU is lost, with some notice; at 60 s it is back."""

    def __init__(self, notice=0.0):
        self.notice = notice

    def act(self, telemetry, controls):
        if 10 <= telemetry.now < 60:
            controls.set_pool(fleet=0, lost=1, notice=self.notice)


def one_gpu(people=1, lasting="9 s", **changed):
    """Somebody asks within 9 seconds of a GPU that takes 8."""
    return plain(
        EIGHT,
        control_tick="1 s",
        features={"image": {"spec": {"model": "eight"}}},
        demand=[{"kind": "spike", "people": people, "lasting": lasting, "from": "4 s"}],
        horizon="2 min",
        **changed,
    )


@pytest.mark.parametrize("runs", ["batches", "threads", "steps"])
def test_what_a_lost_gpu_ran_is_done_again_from_the_beginning_and_the_time_counts_as_lost(runs):
    scenario = one_gpu(lasting="0.1 s", pools={"gpus": {"runs": runs}})
    run, other = (simulate(scenario, [Lose()], engine=engine) for engine in ("compiled", "simpy"))
    assert_alike(run, other)
    (row,) = run.requests.itertuples()
    assert (row.outcome, row.started, row.finished) == ("served", 60.0, 68.0)
    assert run.killed["gpu_seconds"].tolist() == pytest.approx([10.0 - row.arrived])
    hours = gpu_hours(run).loc["gpus"] * 3600
    assert (hours["useful"], hours["lost"]) == pytest.approx((8.0, 10.0 - row.arrived))


def test_a_notice_that_is_long_enough_loses_nothing_and_one_that_is_not_only_puts_it_off():
    """The batch begins after 4 s and would be done after 12."""
    for notice, ends, finished in ((1.0, 11.0, 68.0), (3.0, None, 12.0)):
        run = simulate(one_gpu(lasting="0.001 s"), [Lose(notice)])
        assert run.requests["finished"].tolist() == pytest.approx([finished], abs=2e-3)
        lost = run.batches.iloc[run.killed["batch"]]
        assert lost["finished"].tolist() == ([] if ends is None else [ends])


def test_people_wait_again_before_those_who_came_later():
    run = simulate(one_gpu(people=6), [Lose()])
    rows = run.requests
    assert len(run.killed) == 1
    assert rows["started"].is_monotonic_increasing
    assert rows["finished"].iloc[0] == 68.0


def test_or_they_are_refused_for_a_reason_of_its_own_and_may_try_again():
    retry = {"at_most": 1, "probability": 1, "backoff": {"kind": "constant", "value": "5 s"}}
    scenario = one_gpu(serving={"lost_work": "is refused"}, behaviour={"retry": retry}, lasting="0.1 s")
    first, second = simulate(scenario, [Lose()]).requests.itertuples()
    assert (first.outcome, first.reason, first.retry) == ("refused", "work lost", True)
    assert (second.arrived, second.outcome, second.finished) == (15.0, "served", 68.0)


def test_a_patience_that_could_not_matter_before_the_loss_matters_after_it():
    """The user would wait for 20 s: longer than the batch takes, and not until the GPU is back."""
    patience = {"kind": "constant", "value": "20 s"}
    scenario = one_gpu(lasting="0.1 s", behaviour={"patience": patience}, serving={"notices_leaving": True})
    run, other = (simulate(scenario, [Lose()], engine=engine) for engine in ("compiled", "simpy"))
    assert_alike(run, other)
    (row,) = run.requests.itertuples()
    assert row.outcome == "abandoned"
    assert row.left == row.arrived + 20


class Mortal:
    """The only GPU fails and is repaired at exponential times, rounded to half seconds."""

    def __init__(self, seed: int, fail: float, repair: float):
        rng = np.random.default_rng(seed)
        lasting = np.stack([rng.exponential(1 / fail, 500), rng.exponential(1 / repair, 500)], axis=1)
        self.turns = np.round(2 * np.cumsum(lasting)) / 2

    def act(self, telemetry, controls):
        turns = int(np.searchsorted(self.turns, telemetry.now, side="right"))
        controls.set_pool(lost=(turns + 1) // 2, fleet=1 - turns % 2)


def test_work_that_starts_again_takes_as_long_as_gaver_says():
    """One caller at a GPU that fails at rate f and is repaired at rate r: (e^(fS) - 1)(1/f + 1/r) for S seconds.

    Of that (e^(fS) - 1)/f are at work, and all of them but the last S are lost (Gaver 1962).
    """
    fail, repair, work = 1 / 20, 1 / 10, 8.0
    callers = {"kind": "callers", "in_flight": 1, "think": {"kind": "constant", "value": "0 s"}}
    features = {"image": {"spec": {"model": "eight"}}}
    scenario = plain(EIGHT, control_tick="1 s", features=features, demand=[callers], horizon="40 min")
    times, lost = [], []
    for seed in (1, 2):
        run = simulate(scenario, [Mortal(seed, fail, repair)], seed=seed)
        served = run.requests[run.requests["outcome"] == "served"]
        times += (served["finished"] - served["arrived"]).tolist()
        lost += run.killed.groupby("request")["gpu_seconds"].sum().reindex(served.index, fill_value=0.0).tolist()
    at_work = math.expm1(fail * work) / fail
    agrees(times, at_work * (1 + fail / repair), 0.25)
    agrees(lost, at_work - work, 0.6)


@pytest.mark.parametrize("runs", ["batches", "threads"])
def test_users_who_leave_free_their_gpu_as_the_birth_death_chain_has_it(runs):
    """M/M/3+M with patience over the whole stay, also while served: deaths min(n, c) mu + n theta."""
    scenario = plain(
        {"ten": constant_profile("ten", 10.0)},
        horizon="6 h",
        features={"image": {"spec": {"model": "ten"}}},
        pools={"gpus": {"gpus": 3, "runs": runs}},
        demand=[{"kind": "steady", "rate": "0.36 per s"}],
        behaviour={"patience": {"kind": "exponential", "mean": "20 s"}},
        serving={"noise": {"kind": "exponential"}, "notices_leaving": True, "cancels_running": True},
    )
    found = []
    for seed in SEEDS:
        rows = simulate(scenario, seed=seed).requests
        over = rows["finished"].fillna(rows["left"]).fillna(6 * 3600)
        stays = (over - rows["arrived"]).sum() / (6 * 3600)
        served = rows["outcome"] == "served"
        begun = rows["started"].notna()
        found.append((served.mean(), stays, rows["gpu_seconds"].sum() / (3 * 6 * 3600), 1 - served[begun].mean()))
    for values, expected in zip(zip(*found, strict=True), (0.5994328764, 2.88408329, 0.7193194516, 1 / 3), strict=True):
        agrees(list(values), expected, 0.08)


def test_a_batch_goes_on_while_anybody_waits_for_it():
    """Two in a batch of 8 s from the fourth on: one leaves after 2 s, and the other after 2 s or never."""
    for stays, finished in ((False, 6.0), (True, 12.0)):
        patience = {"kind": "constant", "value": "2 s"}
        tiers = {"a": {"share": 0.5, "patience": {"kind": "never"} if stays else patience}, "b": {"share": 0.5}}
        scenario = one_gpu(
            people=40,
            lasting="0.001 s",
            tiers={"free": {"share": 0}, **tiers},
            behaviour={"patience": patience},
            pools={"gpus": {"max_batch": 4, "linger": "0.01 s"}},
            serving={"cancels_running": True, "notices_leaving": True},
        )
        batches = simulate(scenario).batches
        assert batches["finished"].iloc[0] == pytest.approx(finished, abs=0.02)


@pytest.mark.parametrize(
    ("noise", "second"),
    [
        ({"kind": "uniform", "cv": 0.5}, 1.25),
        ({"kind": "gamma", "cv": 0.5}, 1.25),
        ({"kind": "gamma", "cv": 1.5}, 3.25),
        ({"kind": "weibull", "cv": 1.5}, 3.25),
        ({"kind": "lognormal", "cv": 0.5}, 1.25),
    ],
    ids=lambda value: "-".join(str(part) for part in value.values()) if isinstance(value, dict) else "",
)
def test_waits_under_every_law_of_service_are_pollaczek_and_khinchines(noise, second):
    """lam E[S^2] / 2(1 - rho) at 60 %."""
    agrees([wait(noise, seed=seed) for seed in SEEDS], 0.6 * second / 0.8, 0.35)


def wait(noise, profile=None, seed=1):
    scenario = plain(
        {"one": profile or constant_profile("one", 1.0)},
        horizon="3 h",
        features={"image": {"spec": {"model": "one"}}},
        demand=[{"kind": "steady", "rate": "0.6 per s"}],
        serving={"noise": noise},
    )
    rows = simulate(scenario, seed=seed).requests
    return (rows["started"] - rows["arrived"]).mean()


def test_empirical_noise_draws_from_the_raw_samples_of_the_profile():
    """A pipeline that takes 0.5 s three times of four, and 2.5 s else: E[S^2] is 1.75."""
    raw = constant_profile("one", 1.0)
    point = raw.file.points[0].model_copy(update={"latency_s": None, "samples_us": [500_000] * 3 + [2_500_000]})
    profile = raw.__class__(raw.file.model_copy(update={"points": [point]}), raw.sha256, raw.times)
    assert profile.factors() == [0.5, 0.5, 0.5, 2.5]
    agrees([wait({"kind": "empirical"}, profile, seed) for seed in SEEDS], 0.6 * 1.75 / 0.8, 0.35)


def test_laws_that_cannot_be_are_refused():
    with pytest.raises(BadInput, match="no raw samples"):
        plain(serving={"noise": {"kind": "empirical"}})
    with pytest.raises(BadInput, match="uniform"):
        plain(serving={"noise": {"kind": "uniform", "cv": 0.6}})


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=documents(mortal=True))
def test_nothing_disappears_when_work_is_lost(document):
    scenario = scenario_from(document)
    run = simulate(scenario, "one")
    tables = {name: getattr(run, name) for name in TABLES}
    for statements in (of_tables(tables, run.manifest), of_timeline(run.timeline, run.manifest)):
        for statement, holds in statements:
            assert holds, statement
    for statement, holds in of_both(run.timeline, tables):
        assert holds, statement
    assert_same_timeline(run.timeline, timeline_of(run))


def test_a_saved_run_keeps_what_was_lost(tmp_path):
    run = simulate(one_gpu(), [Lose()])
    assert len(run.killed)
    assert load_run(run.save(tmp_path / "run")).killed.equals(run.killed)


def test_an_end_that_is_void_is_not_looked_up_in_memory_that_is_free(monkeypatch):
    """The engine looks ahead at the ends of batches; that of a batch which was stopped has no requests any more.

    New memory is full of garbage here, which as the number of a request lies far beyond all memory: looking it up
    ends the process.
    """

    def garbage(size: int, dtype: type) -> np.ndarray:
        return np.full(size, 0x55, dtype=dtype)

    monkeypatch.setattr(memory, "np", SimpleNamespace(empty=garbage, uint8=np.uint8))
    scenario = one_gpu(
        people=300,
        behaviour={"patience": {"kind": "exponential", "mean": "4 s"}},
        serving={"cancels_running": True, "noise": {"kind": "lognormal", "cv": 0.5}},
    )
    for seed in range(1, 7):
        run = simulate(scenario, seed=seed, unlimited=True, recording=Recording(rows=False, sampled=0.5))
        assert (run.requests["outcome"] == "abandoned").sum() > 50
