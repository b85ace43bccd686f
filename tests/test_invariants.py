"""The invariants of ARCHITECTURE.md, over random small scenarios that mix every mechanism."""

import dataclasses
import math
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import BadInput, Run, Scenario, Telemetry, load, simulate
from sim.model.request import OUTCOMES, Spec
from sim.policies.sharing import Priority
from sim.profile.profile import Profile, constant_profile
from tests.random_scenarios import PROFILES, documents, plain, scenario_from
from tests.restless import Spy, assert_seen_alike

quickly = settings(max_examples=50)
QUEUES_TURNED_ROUND = {"last in first out", "adaptive lifo"}
PLACE = ["pool", "gpu"]


@dataclasses.dataclass(frozen=True)
class Played:
    """A run of a random scenario under one of its playbooks."""

    scenario: Scenario
    run: Run
    playbook: str

    @cached_property
    def images(self) -> dict[str, int]:
        return {spec.label: spec.images for spec in self.scenario.specs()}

    @cached_property
    def queued(self) -> pd.DataFrame:
        """Granted requests with their priority and when each stopped waiting in the queue.

        By being started, taken out or dropped, or never (the horizon). gpu: the one whose queue it was in; 0 where all
        serve one queue.
        """
        rows = self.run.requests
        left = rows["left"] if self.scenario.serving.notices_leaving else math.nan
        out = rows["started"].fillna(left).fillna(rows["dequeued"]).fillna(self.run.horizon)
        gpu, own = rows["batch"].map(self.run.batches["gpu"]), rows["pool"].isin(self.apart)
        known = rows["reason"].isna() & (gpu.notna() | ~own)
        return rows.assign(priority=self.priorities, out=out, gpu=gpu.where(own, 0))[known]

    @property
    def apart(self) -> list[str]:
        """Pools whose GPUs have a queue each: a request's is known once it has started."""
        return [name for name, pool in self.scenario.pools.items() if pool.dispatch != "central queue"]

    @property
    def priorities(self) -> pd.Series:
        """Each request's priority: by tier, as the playbook's one priority policy has it for the whole run."""
        policies = [step.policy for step in self.scenario.playbooks[self.playbook]]
        first: list[str] = next((policy.first for policy in policies if isinstance(policy, Priority)), [])
        of = {name: first.index(name) if name in first else len(first) for name in self.scenario.tiers}
        return self.run.requests["tier"].astype(str).map(of)

    @property
    def never_idle(self) -> list[str]:
        """Pools whose GPUs run a batch to its end and wait for nobody."""
        return [name for name, pool in self.scenario.pools.items() if pool.runs == "batches" and pool.linger == 0]

    def of_batches(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of pools whose GPUs run a batch to its end."""
        return table[table["pool"].isin([name for name, pool in self.scenario.pools.items() if pool.runs == "batches"])]


# 1. Conservation.


def check_every_attempt_ends_in_exactly_one_way(played):
    r = played.run.requests
    never = r[["started", "finished", "left"]].isna()
    refused, served, abandoned, unfinished = (
        r["outcome"] == outcome for outcome in ("refused", "served", "abandoned", "unfinished")
    )
    assert (refused | served | abandoned | unfinished).all()
    assert set(r["outcome"].cat.categories) == set(OUTCOMES)
    assert (refused == r["reason"].notna()).all()
    assert never[refused].all(axis=None)
    assert not never.loc[served, ["started", "finished"]].any(axis=None)
    assert (never["left"] == ~abandoned).all()
    assert never.loc[unfinished, "finished"].all()


def check_attempts_follow_each_other(played):
    """Attempts of one ask are 0, 1, ... and each but the last failed and is marked as retried."""
    tries = played.run.requests.sort_values(["user", "ask", "attempt"])
    asks = tries.groupby(["user", "ask"])
    assert (tries["attempt"] == asks.cumcount()).all()
    assert (tries["attempt"] <= played.scenario.behaviour.retry.at_most).all()
    again = tries["attempt"] > 0
    before = tries[again.shift(-1, fill_value=False)]
    assert (tries.loc[again, "arrived"].to_numpy() >= before["left"].fillna(before["arrived"]).to_numpy()).all()
    if played.scenario.serving.delivers_late:  # one that was given up, and tried again, may be served all the same
        late = before[before["outcome"] == "served"]
        assert not late.duplicated(["user", "ask"]).any()
        before = before.drop(late.index)
    assert before["retry"].all()
    assert before["outcome"].isin(["refused", "abandoned"]).all()


def check_batches_hold_the_requests_that_started(played):
    r, b = played.run.requests, played.run.batches
    assert (r["batch"].notna() == r["started"].notna()).all()
    taken = r[r["batch"].notna()]
    held = taken.assign(images=taken["spec"].astype(str).map(played.images)).groupby("batch")
    assert held["images"].sum().tolist() == b["size"].tolist()
    gpus = np.array([played.scenario.pools[name].gpus_per_replica for name in b["pool"]])
    assert np.allclose(held["gpu_seconds"].sum(), b["seconds"] * gpus)


def check_people_are_admitted_before_they_ask(played):
    u = played.run.users
    assert (u["admitted"].isna() | (u["admitted"] >= u["arrives"])).all()
    assert (u.loc[~u["newcomer"], "admitted"] == u.loc[~u["newcomer"], "arrives"]).all()
    first = played.run.requests.groupby("user")["arrived"].min()
    assert (first == u.loc[first.index, "admitted"]).all()
    assert len(first) == u["admitted"].notna().sum()


# 2. Causality.


def check_nothing_happens_before_its_cause(played):
    r, horizon = played.run.requests, played.run.horizon
    for earlier, later in (("arrived", "started"), ("started", "finished"), ("arrived", "left"), ("left", "finished")):
        assert not (r[earlier] > r[later]).any()
    assert not (r[["arrived", "started", "finished", "left"]] > horizon).any(axis=None)
    b = played.of_batches(played.run.batches)
    assert np.allclose(b["finished"] - b["started"], b["seconds"], equal_nan=True) or b["finished"].isna().any()
    assert ((b["started"] + b["seconds"] >= horizon) | b["finished"].notna()).all()


# 3. One batch per GPU at a time, one spec a batch, no larger than allowed.


def check_a_gpu_serves_one_batch_at_a_time(played):
    b = played.run.batches
    assert (b["gpu"] >= 0).all()
    fleet = {name: played.scenario.replicas(name) for name in played.scenario.pools}
    assert (b["gpu"] < b["pool"].astype(str).map(fleet).astype(float)).all()
    alone = played.of_batches(b)
    before = alone.groupby(PLACE, observed=True)["finished"].shift()
    follows = alone.duplicated(PLACE)
    assert (alone["started"] >= before)[follows].all()  # false too where a batch before never ended


def check_a_batch_has_one_spec_and_fits(played):
    r, b = played.run.requests, played.run.batches
    started = r[r["batch"].notna()]
    theirs = b.loc[started["batch"].astype(int)]
    assert (started["spec"].astype(str).to_numpy() == theirs["spec"].astype(str).to_numpy()).all()
    assert (started["pool"].astype(str).to_numpy() == theirs["pool"].astype(str).to_numpy()).all()
    assert (started["started"].to_numpy() == theirs["started"].to_numpy()).all()
    pools = played.scenario.pools
    largest = b["pool"].astype(str).map({name: pool.max_batch for name, pool in pools.items()})
    assert (b["size"] <= largest.astype(float)).all() or "threads" in {pool.runs for pool in pools.values()}


def check_as_many_as_there_is_room_for_run_at_once_and_share_the_gpu(played):
    together = played.run.batches.drop(played.of_batches(played.run.batches).index)
    for (name, _), served in together.groupby(PLACE, observed=True):
        pool = played.scenario.pools[name]
        size = (
            served["spec"].astype(str).map(played.images).to_numpy() if pool.runs == "steps" else np.ones(len(served))
        )
        begun, ended = served["started"].to_numpy(), served["finished"].fillna(played.run.horizon).to_numpy()
        present = (begun <= begun[:, None]) & (ended > begun[:, None])
        assert (present @ size).max() <= pool.max_batch
        order = np.lexsort((ended, begun))
        until = np.maximum.accumulate(ended[order])
        free = np.concatenate([[0.0], until[:-1]])  # whoever comes later keeps the GPU busy from then on only
        busy = np.clip(ended[order] - np.maximum(begun[order], free), 0.0, None).sum()
        assert served["seconds"].sum() == pytest.approx(busy, rel=1e-9)


# 4. No overtaking.


def check_nobody_overtakes_within_a_class(played):
    """Of two of one queue, priority and spec, who came first is out of the queue no later than the other starts.

    Not where a policy turns a queue round.
    """
    if {step.policy.kind for step in played.scenario.playbooks[played.playbook]} & QUEUES_TURNED_ROUND:
        return
    for _, line in played.queued.groupby([*PLACE, "priority", "spec"], observed=True):
        latest = line.groupby("arrived")["out"].max().cummax().shift(fill_value=-math.inf)  # of those who came before
        assert not (line["started"] < line["arrived"].map(latest)).any()


# 5. Work-conserving at linger 0.


def check_no_gpu_idles_while_a_request_waits(played):
    for name in played.never_idle:
        b, waiting = (table[table["pool"] == name] for table in (played.run.batches, played.queued))
        begun, ends = b["started"].to_numpy(), b["finished"].fillna(played.run.horizon).to_numpy()
        arrived, out = (waiting[[moment]].to_numpy() for moment in ("arrived", "out"))
        served = np.clip(np.minimum(ends, out) - np.maximum(begun, arrived), 0, None)
        own = name in played.apart
        busy = np.where((waiting[["gpu"]].to_numpy() == b["gpu"].to_numpy()) | (not own), served, 0).sum(axis=1)
        whole = (1 if own else played.scenario.replicas(name)) * (out - arrived)[:, 0]
        assert busy == pytest.approx(whole, rel=1e-9, abs=1e-6)


def check_the_urgent_go_first(played):
    """At linger 0 no batch is headed by a request while a more urgent one waits, if batches close as GPUs take them."""
    for name in played.never_idle:
        if played.scenario.pools[name].closes != "when a GPU is free":
            continue  # who comes later, however urgent, waits behind the batches that have closed
        here = played.queued[played.queued["pool"] == name]
        batches = here[here["started"].notna()].groupby("batch")
        begins, head = batches["started"].first().to_numpy(), batches["priority"].min().to_numpy()
        arrived, out, priority = (here[[column]].to_numpy() for column in ("arrived", "out", "priority"))
        here_too = here[["gpu"]].to_numpy() == batches["gpu"].first().to_numpy()
        assert not (here_too & (arrived < begins) & (out > begins) & (priority < head)).any()


INVARIANTS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]


# 6. Replay.


def assert_same_tables(one: Run, other: Run) -> None:
    for table in ("requests", "batches", "users", "decisions"):
        pd.testing.assert_frame_equal(getattr(one, table), getattr(other, table), check_exact=True)


def test_another_seed_gives_other_people():
    runs = [simulate(plain(horizon="1 hour"), seed=seed) for seed in (1, 2)]
    assert runs[0].users["arrives"].tolist() != runs[1].users["arrives"].tolist()


# 7. The same people.


def assert_same_people(one: Run, other: Run, same: list[str]) -> None:
    """same: the columns of their first attempts that no playbook changes."""
    columns = ["user", "tier", "wave", "newcomer", "arrives"]
    known = [r.users[r.users["invited_by"].isna()] for r in (one, other)]  # whom images bring depends on the images
    pd.testing.assert_frame_equal(known[0][columns], known[1][columns])
    wants = [
        r.requests[r.requests["user"] < len(known[0])].drop_duplicates(["user", "ask"]).set_index(["user", "ask"])[same]
        for r in (one, other)
    ]
    both = wants[0].index.intersection(wants[1].index)
    pd.testing.assert_frame_equal(wants[0].loc[both], wants[1].loc[both])


# 8. No oracle.


def looked_at(scenario: Scenario, seed: int) -> tuple[Run, list[Telemetry]]:
    """A run under playbook 'one', and what a policy sees of it."""
    seen: list[Telemetry] = []
    return simulate(scenario, [Spy(seen), *scenario.playbooks["one"]], seed=seed), seen


def assert_nothing_about_anybody(scenario: Scenario, telemetry: Telemetry) -> None:
    shape = (len(scenario.tiers), len(scenario.features))
    for field in dataclasses.fields(telemetry):
        value = getattr(telemetry, field.name)
        if isinstance(value, np.ndarray):
            assert value.shape == shape
            assert not value.flags.writeable
        elif field.name == "pools":
            assert list(value) == list(scenario.pools)
            assert all(isinstance(v, int | float) for pool in value.values() for v in vars(pool).values())
        else:
            assert isinstance(value, int | float)


@quickly
@given(document=documents(), linger=st.booleans(), seed=st.integers(0, 2**63 - 1))
def test_all_hold_in_every_scenario(document, linger, seed):
    """Where one does not, the traceback names it. One scenario is held against all of them, to play it once."""
    if not linger:
        document["pools"] = {name: {**pool, "linger": 0} for name, pool in document["pools"].items()}
    word = document["demand"]["word_of_mouth"]
    if word is not None:  # a market that holds those of the longer run as well
        word["market"] = 500
    scenario = scenario_from(document)
    runs = {playbook: simulate(scenario, playbook, seed=seed) for playbook in ("one", "other")}
    for playbook, run in runs.items():
        for invariant in INVARIANTS:
            invariant(Played(scenario, run, playbook))
    spills = any(feature.spill is not None for feature in scenario.features.values())  # by queues, so by playbook
    assert_same_people(*runs.values(), same=["asked"] if spills else ["feature", "asked"])
    again, seen = looked_at(scenario, seed)
    assert_same_tables(again, runs["one"])  # the same inputs, and somebody who looks, give the same tables
    for telemetry in seen:
        assert_nothing_about_anybody(scenario, telemetry)
    _, further = looked_at(scenario_from({**document, "horizon": "2000 s"}), seed)
    for one, other in zip(seen, further, strict=False):
        assert_seen_alike(one, other)  # nobody sees for how long a run goes on


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


def test_passes_that_were_measured_are_not_called_extrapolated():
    """The shipped chats run in passes of up to 64, each measured; full batches of as many prompts at once were not."""
    chats = load("chat-beside-images", sets={"horizon": "1 min"})
    assert not chats.extrapolate
    assert simulate(chats, "none").manifest["extrapolated"] == []
