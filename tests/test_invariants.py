"""The invariants of ARCHITECTURE.md, over random small scenarios that mix every mechanism."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import BadInput, Controls, Run, Scenario, Telemetry, simulate
from sim.model.request import OUTCOMES, Spec
from sim.policies.sharing import Priority
from sim.profile.profile import Profile, constant_profile
from tests.random_scenarios import PROFILES, documents, plain, scenario_from

quickly = settings(max_examples=60)
TINY = 1e-9


def run_of(document, playbook="one", seed=1) -> tuple[Scenario, Run]:
    scenario = scenario_from(document)
    return scenario, simulate(scenario, playbook, seed=seed)


def priorities(scenario: Scenario, run: Run, playbook: str = "one") -> pd.Series:
    """Each request's priority: by tier, as the playbook's one priority policy has it for the whole run."""
    policies = [step.policy for step in scenario.playbooks[playbook]]
    first: list[str] = next((policy.first for policy in policies if isinstance(policy, Priority)), [])
    return run.requests["tier"].astype(str).map(lambda tier: first.index(tier) if tier in first else len(first))


def out_of_queue(scenario: Scenario, run: Run) -> pd.Series:
    """When each granted request stopped waiting in the queue: started, taken out, dropped, or never (the horizon)."""
    requests = run.requests
    left = requests["left"] if scenario.serving.notices_leaving else math.nan
    return requests["started"].fillna(left).fillna(requests["dequeued"]).fillna(run.horizon)


def queued(scenario: Scenario, run: Run) -> pd.DataFrame:
    """Granted requests with their priority and their time in the queue."""
    table = run.requests.assign(priority=priorities(scenario, run), out=out_of_queue(scenario, run))
    return table[table["reason"].isna()]


def by_queue(scenario: Scenario, run: Run) -> pd.DataFrame:
    """The same with the GPU whose queue they were in: 0 for a central queue, and only those that started in others."""
    table = queued(scenario, run)
    central = table["pool"].isin([name for name, pool in scenario.pools.items() if pool.dispatch == "central queue"])
    gpu = table["batch"].map(run.batches["gpu"])
    return table.assign(gpu=gpu.mask(central, 0))[central | gpu.notna()]


def of_batches(scenario: Scenario, table: pd.DataFrame) -> pd.Series:
    """Which rows are of pools whose GPUs run a batch to its end."""
    return table["pool"].isin([name for name, pool in scenario.pools.items() if pool.runs == "batches"])


# 1. Conservation.


def check_every_attempt_ends_in_exactly_one_way(scenario, run):
    r = run.requests
    never = r[["started", "finished", "left"]].isna()
    refused, served, abandoned, unfinished = (
        r["outcome"] == outcome for outcome in ("refused", "served", "abandoned", "unfinished")
    )
    assert (refused | served | abandoned | unfinished).all()
    assert set(r["outcome"].cat.categories) == set(OUTCOMES)
    assert (refused == r["reason"].notna()).all()
    assert never[refused].all().all()
    assert not never.loc[served, ["started", "finished"]].any().any()
    assert (never["left"] == ~abandoned).all()
    assert never.loc[unfinished, "finished"].all()


def check_attempts_follow_each_other(scenario, run):
    """Attempts of one ask are 0, 1, ... and each but the last failed and is marked as retried."""
    for _, tries in run.requests.groupby(["user", "ask"]):
        tries = tries.sort_values("attempt")
        assert tries["attempt"].tolist() == list(range(len(tries)))
        assert len(tries) <= scenario.behaviour.retry.at_most + 1
        failed = tries.iloc[:-1]
        if scenario.serving.delivers_late:  # one that was given up, and tried again, may be served all the same
            assert (failed["outcome"] == "served").sum() <= 1
            failed = failed[failed["outcome"] != "served"]
        assert failed["retry"].all()
        assert failed["outcome"].isin(["refused", "abandoned"]).all()
        assert (tries["arrived"].to_numpy()[1:] >= tries["left"].fillna(tries["arrived"]).to_numpy()[:-1]).all()


def check_batches_hold_the_requests_that_started(scenario, run):
    r, b = run.requests, run.batches
    assert (r["batch"].notna() == r["started"].notna()).all()
    counts = {spec.label: spec.images for spec in scenario.specs()}
    taken = r[r["batch"].notna()].assign(images=r["spec"].astype(str).map(counts)).groupby("batch")
    assert taken["images"].sum().tolist() == b["size"].tolist()
    assert np.allclose(taken["gpu_seconds"].sum(), b["seconds"])


def check_people_are_admitted_before_they_ask(scenario, run):
    u = run.users
    assert (u["admitted"].isna() | (u["admitted"] >= u["arrives"])).all()
    assert (u.loc[~u["newcomer"], "admitted"] == u.loc[~u["newcomer"], "arrives"]).all()
    first = run.requests.groupby("user")["arrived"].min()
    assert (first == u.loc[first.index, "admitted"]).all()
    assert len(first) == u["admitted"].notna().sum()


# 2. Causality.


def check_nothing_happens_before_its_cause(scenario, run):
    r, b = run.requests, run.batches
    for earlier, later in (("arrived", "started"), ("started", "finished"), ("arrived", "left")):
        assert not (r[earlier] > r[later]).any()
    assert not (r["left"] > r["finished"]).any()
    assert not (r[["arrived", "started", "finished", "left"]] > run.horizon).any().any()
    b = b[of_batches(scenario, b)]
    assert np.allclose(b["finished"] - b["started"], b["seconds"], equal_nan=True) or b["finished"].isna().any()
    assert ((b["started"] + b["seconds"] >= run.horizon) | b["finished"].notna()).all()


# 3. One batch per GPU at a time, one spec a batch, no larger than allowed.


def check_a_gpu_serves_one_batch_at_a_time(scenario, run):
    for (pool, gpu), served in run.batches.groupby(["pool", "gpu"], observed=True):
        assert 0 <= gpu < scenario.gpus(pool)
        if scenario.pools[pool].runs != "batches":
            continue
        ends = served["finished"].to_numpy()
        assert (served["started"].to_numpy()[1:] >= ends[:-1]).all()  # false too where a batch before never ended


def check_a_batch_has_one_spec_and_fits(scenario, run):
    r, b = run.requests, run.batches
    started = r[r["batch"].notna()]
    theirs = b.loc[started["batch"].astype(int)]
    assert (started["spec"].astype(str).to_numpy() == theirs["spec"].astype(str).to_numpy()).all()
    assert (started["pool"].astype(str).to_numpy() == theirs["pool"].astype(str).to_numpy()).all()
    assert (started["started"].to_numpy() == theirs["started"].to_numpy()).all()
    largest = b["pool"].astype(str).map({name: pool.max_batch for name, pool in scenario.pools.items()})
    assert (b["size"] <= largest.astype(float)).all() or "threads" in {p.runs for p in scenario.pools.values()}


def check_as_many_as_there_is_room_for_run_at_once_and_share_the_gpu(scenario, run):
    counts = {spec.label: spec.images for spec in scenario.specs()}
    for (name, _), served in run.batches.groupby(["pool", "gpu"], observed=True):
        pool = scenario.pools[name]
        if pool.runs == "batches":
            continue
        size = served["spec"].astype(str).map(counts).to_numpy() if pool.runs == "steps" else np.ones(len(served))
        begun, ended = served["started"].to_numpy(), served["finished"].fillna(run.horizon).to_numpy()
        present = [size[(begun <= instant) & (ended > instant)].sum() for instant in begun]
        assert max(present) <= pool.max_batch
        busy, until = 0.0, 0.0
        for start, end in sorted(zip(begun, ended, strict=True)):
            busy, until = busy + max(end - max(start, until), 0.0), max(until, end)
        assert served["seconds"].sum() == pytest.approx(busy, rel=1e-9)


# 4. No overtaking.


def check_nobody_overtakes_within_a_class(scenario, run):
    """Of two of one queue, priority and spec, who came first is out of the queue no later than the other starts.

    Not where a policy turns a queue round.
    """
    if {step.policy.kind for step in scenario.playbooks["one"]} & {"last in first out", "adaptive lifo"}:
        return
    for _, line in by_queue(scenario, run).groupby(["pool", "gpu", "priority", "spec"], observed=True):
        latest = line.groupby("arrived")["out"].max().cummax().shift(fill_value=-math.inf)  # of those who came before
        assert not (line["started"] < line["arrived"].map(latest)).any()


# 5. Work-conserving at linger 0.


def check_no_gpu_idles_while_a_request_waits(scenario, run):
    waiting = by_queue(scenario, run)
    for name, pool in scenario.pools.items():
        if pool.linger > 0 or pool.runs != "batches":
            continue
        for gpu, line in waiting[waiting["pool"] == name].groupby("gpu"):
            own = pool.dispatch != "central queue"
            b = run.batches[(run.batches["pool"] == name) & ((run.batches["gpu"] == gpu) | (not own))]
            ends = b["finished"].fillna(run.horizon)
            for request in line.itertuples():
                busy = np.clip(np.minimum(ends, request.out) - np.maximum(b["started"], request.arrived), 0, None).sum()
                serving = 1 if own else scenario.gpus(name)
                assert busy == pytest.approx(serving * (request.out - request.arrived), rel=1e-9, abs=1e-6)


def check_the_urgent_go_first(scenario, run):
    """At linger 0 no batch is headed by a request while a more urgent one waits."""
    waiting = by_queue(scenario, run)
    for name in scenario.pools:
        if scenario.pools[name].linger > 0 or scenario.pools[name].runs != "batches":
            continue
        here = waiting[waiting["pool"] == name]
        for _, batch in here[here["started"].notna()].groupby("batch"):
            begins, head = batch["started"].iloc[0], batch["priority"].min()
            beside = here[here["gpu"] == batch["gpu"].iloc[0]]
            passed = beside[(beside["arrived"] < begins) & (beside["out"] > begins)]
            assert not (passed["priority"] < head).any()


INVARIANTS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


@pytest.mark.parametrize("linger", [True, False], ids=["linger", "no linger"])
def test_all_hold_in_every_scenario(linger):
    """Each run is held against all of them; where one fails, the traceback names it."""

    @quickly
    @given(document=documents(linger=linger), seed=st.integers(0, 2**63 - 1))
    def hold(document, seed):
        scenario, run = run_of(document, seed=seed)
        for invariant in INVARIANTS:
            invariant(scenario, run)

    hold()


# 6. Replay.


def assert_same_tables(one: Run, other: Run) -> None:
    for table in ("requests", "batches", "users", "decisions"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table))


@quickly
@given(document=documents(), seed=st.integers(0, 100))
def test_the_same_inputs_give_the_same_tables(document, seed):
    assert_same_tables(run_of(document, seed=seed)[1], run_of(document, seed=seed)[1])


def test_another_seed_gives_other_people():
    runs = [simulate(plain(horizon="1 hour"), seed=seed) for seed in (1, 2)]
    assert runs[0].users["arrives"].tolist() != runs[1].users["arrives"].tolist()


# 7. The same people.


@quickly
@given(document=documents())
def test_every_playbook_meets_the_same_people(document):
    one, other = run_of(document, "one")[1], run_of(document, "other")[1]
    columns = ["user", "tier", "wave", "newcomer", "arrives"]
    known = [r.users[r.users["invited_by"].isna()] for r in (one, other)]  # whom images bring depends on the images
    pd.testing.assert_frame_equal(known[0][columns], known[1][columns])
    wants = [
        r.requests[r.requests["user"] < len(known[0])]
        .drop_duplicates(["user", "ask"])
        .set_index(["user", "ask"])[["feature", "asked"]]
        for r in (one, other)
    ]
    both = wants[0].index.intersection(wants[1].index)
    pd.testing.assert_frame_equal(wants[0].loc[both], wants[1].loc[both])


# 8. No oracle.


class Spy:
    """A policy that does nothing but look."""

    def __init__(self, seen: list[Telemetry]):
        self.seen = seen

    def __deepcopy__(self, memo: dict) -> "Spy":
        return self

    def act(self, telemetry: Telemetry, controls: Controls) -> None:
        self.seen.append(telemetry)


def looked_at(scenario: Scenario) -> list[Telemetry]:
    seen: list[Telemetry] = []
    simulate(scenario, [Spy(seen)])
    return seen


@quickly
@given(document=documents())
def test_telemetry_holds_nothing_about_anybody(document):
    scenario = scenario_from(document)
    shape = (len(scenario.tiers), len(scenario.features))
    for telemetry in looked_at(scenario):
        for field in dataclasses.fields(telemetry):
            value = getattr(telemetry, field.name)
            if isinstance(value, np.ndarray):
                assert value.shape == shape
                assert not value.flags.writeable
            elif field.name == "pools":
                assert list(value) == list(scenario.pools)
                assert all(isinstance(v, int | float) for pool in value.values() for v in dataclasses.astuple(pool))
            else:
                assert isinstance(value, int | float)


@quickly
@given(document=documents())
def test_telemetry_knows_no_future(document):
    """A run that goes on for longer shows a policy the same until then."""
    word = document["demand"]["word_of_mouth"]
    if word is not None:  # a market that holds those of the longer run as well
        word["market"] = 2000
    short = looked_at(scenario_from(document))
    long = looked_at(scenario_from({**document, "horizon": "2000 s"}))
    for one, other in zip(short, long, strict=False):
        for field in dataclasses.fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


# 9. No silent extrapolation.


def grid_profile(*, extrapolate: bool) -> Profile:
    profile = constant_profile("grid", 2.0, largest_batch=3, per_image=1.0)
    return dataclasses.replace(profile, extrapolate=extrapolate)


@quickly
@given(side=st.integers(512, 1536), steps=st.integers(20, 40), size=st.integers(1, 6))
def test_a_profile_says_what_it_does_not_know(side, steps, size):
    spec = Spec("grid", side, steps)
    careful, bold = grid_profile(extrapolate=False), grid_profile(extrapolate=True)
    inside = (side, steps) == (1024, 28) and size <= 3
    assert careful.inside(spec, size) == bold.inside(spec, size) == inside
    if inside:
        assert careful.batch_seconds(spec, size) == bold.batch_seconds(spec, size)
    else:
        assert bold.batch_seconds(spec, size) > 0
        with pytest.raises(BadInput, match="not measured there"):
            careful.batch_seconds(spec, size)


def test_a_run_names_the_specs_it_extrapolated():
    with pytest.raises(BadInput, match="not measured there"):
        plain(features={"image": {"spec": {"steps": 30}}})
    bold = {"slow": dataclasses.replace(PROFILES["slow"], extrapolate=True)}
    run = simulate(plain(bold, features={"image": {"spec": {"steps": 30}}}))
    assert run.manifest["extrapolated"] == ["slow/1024px/30st"]
    assert simulate(plain()).manifest["extrapolated"] == []
