"""A queue for each GPU: exact values of queueing theory for every rule of dispatch, and cases by hand."""

import numpy as np
import pytest
from scipy import stats

from sim import BadInput, simulate
from sim.model.balancing import hashed
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from tests.random_scenarios import plain

SEEDS = range(11, 23)
LIMIT = stats.t.ppf(1 - 2.3e-4, len(SEEDS) - 1)  # as rare as 3.5 standard errors of a normal value
SECOND = constant_profile("model", 1.0)


def service(rate: float, gpus: int, dispatch: str, *, noise: str = "exponential", **settings) -> Scenario:
    """A Poisson stream of requests of one second each, on average."""
    return plain(
        {"model": SECOND},
        horizon=settings.pop("horizon", "1 h"),
        features={"image": {"spec": {"model": "model"}}},
        pools={"gpus": {"gpus": gpus, "dispatch": dispatch, **settings}},
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
        serving={"noise": {"kind": noise}},
    )


def figures(run: Run) -> dict[str, float]:
    rows = run.requests[run.requests["finished"].notna()]
    wait = rows["started"] - rows["arrived"]
    return {"W": (rows["finished"] - rows["arrived"]).mean(), "P_wait": (wait > 1e-9).mean()}


def agree(scenario: Scenario, expected: dict[str, float], sees: float) -> None:
    """Means over seeds have the expected values by Student's test; a bias of `sees` (a share) would be seen."""
    found = [figures(simulate(scenario, seed=seed)) for seed in SEEDS]
    for name, value in expected.items():
        mean, error = (f([one[name] for one in found]) for f in (np.mean, stats.sem))
        assert abs(mean - value) < LIMIT * error, name
        assert LIMIT * error < sees * value, f"{name}: the test would not see it"


@pytest.mark.parametrize(
    ("dispatch", "gpus", "rate", "expected"),
    [
        ("random", 3, 2.1, {"W": 1 / 0.3, "P_wait": 0.7}),  # three M/M/1
        ("round robin", 3, 2.1, {"W": 2.357727349, "P_wait": 0.5758627474}),  # E_3/M/1
        ("two choices", 3, 2.1, {"W": 1.884792362, "P_wait": 0.530318941}),  # the chain of sorted queue lengths
        ("least requests", 4, 2.8, {"W": 1.511437569, "P_wait": 0.3802151497}),  # the same
    ],
)
def test_each_rule_has_the_waits_of_its_chain(dispatch, gpus, rate, expected):
    agree(service(rate, gpus, dispatch), expected, 0.2)


def test_in_turn_requests_of_equal_length_wait_as_in_one_queue():
    """E_c/D/1 = M/D/c path by path: the order of the queues in turn is that of a central queue."""
    runs = [simulate(service(2.55, 3, rule, noise="none", horizon="1 h")) for rule in ("central queue", "round robin")]
    waits = [run.requests["started"] - run.requests["arrived"] for run in runs]
    assert np.allclose(*waits, rtol=0, atol=1e-9)


def test_least_work_is_a_central_queue_whatever_the_lengths():
    """M/G/c path by path: a request that is sent to the least work ahead starts when a central queue would start it."""
    machines = {"short": constant_profile("short", 0.5), "long": constant_profile("long", 7.0)}
    features = {
        name: {"share": share, "pool": "gpus", "slo": "60 s", "spec": {"model": model}}
        for name, model, share in (("image", "short", 0.8), ("clip", "long", 0.2))
    }
    shape = {"horizon": "2 h", "demand": [{"kind": "steady", "rate": "1.8 per s"}], "features": features}
    waits = []
    for rule in ("central queue", "least work", "least requests"):
        scenario = plain(machines, **shape, pools={"gpus": {"gpus": 4, "dispatch": rule}})
        rows = simulate(scenario).requests
        waits.append(rows["started"] - rows["arrived"])
    assert np.allclose(*waits[:2], rtol=0, atol=1e-9, equal_nan=True)
    assert waits[2].mean() > 1.1 * waits[0].mean()  # 1.2 to 1.4 times over seeds


def test_threads_of_each_gpu_are_processor_sharing():
    """Sent at random, each of three GPUs is M/D/1-PS, whose mean is that of M/M/1."""
    scenario = service(2.1, 3, "random", noise="none", runs="threads", max_batch=200, horizon="30 min")
    agree(scenario, {"W": 1 / 0.3}, 0.25)


def test_a_user_keeps_their_gpu_and_only_those_of_one_that_leaves_move():
    """Consistent hashing: of five GPUs one leaves, a fifth of the users move, evenly over the rest."""
    five, four = (np.array([hashed(gpus, 1, key) for key in range(20_000)]) for gpus in (5, 4))
    moved = five != four
    assert (five[moved] == 4).all()
    assert moved.mean() == pytest.approx(0.2, abs=0.01)
    assert np.bincount(four) / np.bincount(five)[:4] == pytest.approx(np.full(4, 1.25), abs=0.03)
    scenario = service(0.2, 3, "hash", horizon="20 min")
    scenario = scenario.with_(behaviour={"requests": {"kind": "fixed", "requests": 5}})
    run = simulate(scenario)
    rows = run.requests[run.requests["batch"].notna()]
    gpus = run.batches["gpu"].to_numpy()[rows["batch"].astype(int)]
    assert (rows.assign(gpu=gpus).groupby("user")["gpu"].nunique() == 1).all()


class Fleet:
    """A policy that has as many GPUs in service as it was given by the second."""

    def __init__(self, plan: dict[float, int]):
        self.plan = plan

    def act(self, telemetry, controls):
        controls.set_pool(fleet=[n for second, n in self.plan.items() if second <= telemetry.now][-1])


@pytest.mark.parametrize("runs", ["batches", "steps"])
def test_those_who_wait_for_a_gpu_that_leaves_are_sent_to_the_others(runs):
    """Twelve come at once to four GPUs in turn; two of these leave after one batch, so the others make five each."""
    spike = [{"kind": "spike", "people": 12, "lasting": "0.001 s"}]
    pool = {"gpus": 4, "dispatch": "round robin", "runs": runs, "max_batch": 1}
    scenario = plain(pools={"gpus": pool}, demand=spike, control_tick="5 s")
    run = simulate(scenario, [Fleet({0: 4, 5: 2})])
    assert np.bincount(run.batches["gpu"]).tolist() == [5, 5, 1, 1]
    assert run.requests["finished"].max() == pytest.approx(5 * 10.0, abs=0.01)
    none = simulate(scenario, [Fleet({0: 4, 5: 0, 100: 2})])
    started = none.requests["started"].sort_values()
    assert (started.iloc[4:] >= 100).all()
    assert np.bincount(none.batches["gpu"]).tolist() == [5, 5, 1, 1]


def two_models(rate: float, load: str, **pool) -> Scenario:
    """Two GPUs, and two models that as many ask for; a request takes one second."""
    one = {"share": 0.5, "pool": "gpus", "slo": "60 s"}
    return plain(
        {name: constant_profile(name, 1.0) for name in ("first", "second")},
        horizon="4 h",
        features={name: {**one, "spec": {"model": model}} for name, model in (("image", "first"), ("clip", "second"))},
        pools={"gpus": {"gpus": 2, "model_load": {"kind": "constant", "value": load}, **pool}},
        demand=[{"kind": "steady", "rate": f"{rate} per s"}],
    )


def test_gpus_that_keep_their_models_are_queues_apart_and_others_wait_ten_times_as_long():
    """Two M/D/1 of 0.55 a second: Wq = 0.6111 s at a load of 0.55; where models evict each other most starts load."""
    kept, evicted = two_models(1.1, "1.5 s", dispatch="least requests", affinity="never"), two_models(1.1, "1.5 s")
    agree(kept, {"W": 1.6111111111}, 0.1)
    run = simulate(kept)
    assert (run.batches["loading"] > 0).sum() == 2
    assert run.batches["seconds"].sum() / (2 * run.horizon) == pytest.approx(0.55, rel=0.03)
    waits = [figures(simulate(scenario))["W"] - 1 for scenario in (kept, evicted)]
    assert waits[1] > 10 * waits[0]


@pytest.mark.parametrize(("affinity", "first"), [(None, 6), ("5 s", 6), ("20 s", 11), ("never", 12)])
def test_another_gpu_loads_a_model_when_the_wait_is_worth_it(affinity, first):
    """Twelve at once, of one second each after a load of 10 s: the n-th would wait for 9 + n seconds on one GPU."""
    scenario = plain(
        {"model": SECOND},
        features={"image": {"spec": {"model": "model"}}},
        pools={
            "gpus": {
                "gpus": 2,
                "dispatch": "least requests",
                "affinity": affinity,
                "model_load": {"kind": "constant", "value": "10 s"},
            }
        },
        demand=[{"kind": "spike", "people": 12, "lasting": "0.001 s"}],
    )
    assert np.bincount(simulate(scenario).batches["gpu"]).max() == first


def test_a_gpu_that_is_done_sooner_than_measured_is_free():
    """One model, and the other GPU takes it only for a request that comes while the first one works."""
    options = {"gpus": 2, "dispatch": "least requests", "affinity": "0 s"}
    for seed in range(10):
        rows = simulate(plain(pools={"gpus": options}, serving={"noise": {"kind": "exponential"}}), seed=seed)
        gpu = rows.batches["gpu"].to_numpy()
        others = rows.requests[gpu[rows.requests["batch"].fillna(0).astype(int)] != gpu[0]]
        came = others["arrived"].min()
        first = rows.batches[gpu == gpu[0]]
        assert others.empty or ((first["started"] <= came) & ~(first["finished"] <= came)).any()


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ({"dispatch": "least work", "runs": "threads"}, "the work ahead is not known"),
        ({"dispatch": "shortest"}, "central queue"),
        ({"affinity": "5 s"}, "affinity, dispatch: 'central queue' cannot"),
        ({"affinity": "5 s", "dispatch": "random", "runs": "steps"}, "holds all its models"),
    ],
)
def test_what_cannot_be_played_is_refused(pool, said):
    with pytest.raises(BadInput, match=said):
        plain(pools={"gpus": pool})


@pytest.mark.parametrize("policy", [{"kind": "spot", "pool": "gpus", "rate": 1}, {"kind": "outage", "work": "is lost"}])
def test_work_is_lost_only_where_it_can_wait_again_in_one_queue(policy):
    always = [{"policy": policy}]
    assert service(1.0, 2, "central queue").with_(always=always).always
    with pytest.raises(BadInput, match=r"queue each .*expected a pool with a central queue"):
        service(1.0, 2, "random").with_(always=always)
