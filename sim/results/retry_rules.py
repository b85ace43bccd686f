"""Four rules that say whether the retries of a run can keep it down, each held against what the run did.

The rules are of metastable failures (Bronson and others 2021, Huang and others 2022). They are given only for a pool
where a request can fail and somebody would try it again. Rates and counts are at full scale.
"""

import math
from dataclasses import dataclass

import numpy as np

from sim.policies.playbook import KINDS
from sim.results.metrics import REFUSED, counted, features_of, outcomes, peak_queue
from sim.results.run import Run
from sim.results.storms import ENOUGH, flow, stay_of
from sim.results.timeline import ABANDONED, RETRIED
from sim.wording import amount, duration, three_figures

# Families and kinds of policies under which no request is refused: they order it, hold people at the door, or tell
# clients when to try again.
REFUSES_NOBODY = ("supply", "quality", "faults", "sharing")
LETS_ALL_IN = (
    "last in first out",
    "adaptive lifo",
    "waitlist",
    "waiting room",
    "backoff",
    "retry after",
    "retry budget",
)


@dataclass(frozen=True)
class Rules:
    """The quantities in the rules for one pool. A rate is requests per second at full scale, a time is in seconds.

    capacity (C): GPUs in service over the work of one request as it was asked for, in full batches and in the mix of
    features that came. seconds (S): one full batch of that mix. rate (lam): first requests; capacity and rate are means
    over the time of the last tenth of first requests. retries (r): tries after the first if each of them fails and no
    policy limits them. timeout: median patience (inf: endless). queue (K): the longest of the run. drain: seconds in
    which this run worked it off (nan: it did not); left: requests still waiting at the horizon. held: whether retries
    held the pool down at its end.
    """

    pool: str
    capacity: float
    seconds: float
    rate: float
    retries: float
    timeout: float
    queue: float
    drain: float = math.nan
    left: float = 0.0
    held: bool = False

    @property
    def stable(self) -> float:
        """First requests per second below which no surge leaves the pool stuck in retries."""
        return stable_load(self.capacity, self.retries)

    @property
    def bound(self) -> float:
        """The queue in requests below which all that is queued is still wanted when it is done: C (timeout - S)."""
        return self.capacity * max(0.0, self.timeout - self.seconds)

    @property
    def escape(self) -> float:
        """How many times the capacity must be to end a storm: lam (1 + r) / C; below 1 it should end by itself."""
        return self.rate / self.stable

    @property
    def recovery(self) -> float:
        """Seconds until the longest queue is worked off once nobody tries again: K / (C - lam); inf for never."""
        return self.queue / (self.capacity - self.rate) if self.rate < self.capacity else math.inf


def stable_load(capacity: float, retries: float) -> float:
    """The rate of first requests below which no surge leaves a service stuck, C / (1 + r) (Huang and others 2022)."""
    return capacity / (1 + retries)


def attempts_per_ask(failure: float, retries: int) -> float:
    """Mean attempts at one image if each fails with this probability and at most this many retries follow."""
    return float(sum(failure**n for n in range(retries + 1)))


def rules(run: Run) -> list[Rules]:
    """The rules of each pool that got requests; none for a pool whose requests nobody would try again."""
    if run.manifest["unlimited"]:
        return []
    behaviour = run.manifest["behaviour"]
    patience = math.inf if behaviour["median_patience"] is None else behaviour["median_patience"]
    found = [rules_of(run, pool, retries_in(run, pool), patience) for pool in run.manifest["pools"]]
    return [of_pool for of_pool in found if of_pool is not None]


def retries_in(run: Run, pool: str) -> float:
    """Retries of a request to this pool if each attempt fails; 0 where nobody tries again, or nothing can fail.

    A request fails in two ways: people with finite patience leave, and limits refuse.
    """
    behaviour = run.manifest["behaviour"]
    if pool not in behaviour["retrying"]:
        return 0.0
    counts = counted(run, (0.0, run.horizon)).counts[0][:, features_of(run, pool)].sum(axis=(0, 1))
    failed = counts[ABANDONED] + counts[REFUSED].sum()
    if failed >= ENOUGH and counts[RETRIED] == 0:
        return 0.0  # a policy lets nobody try again
    known = behaviour["retries"]
    impatient = behaviour["impatient"] or counts[ABANDONED] > 0
    after_leaving = known["after_leaving"] if impatient else 0.0
    after_refusal = known["probability"] if counts[REFUSED].sum() > 0 or may_refuse(run) else 0.0
    return attempts_per_ask(max(after_leaving, after_refusal), known["at_most"]) - 1.0


def may_refuse(run: Run) -> bool:
    """Whether some policy in force in this run can refuse a request; policies of one's own may."""
    document, name = run.manifest["scenario"], run.manifest["playbook"]
    if name not in document.get("playbooks", {}):
        return True
    kinds = [step["policy"]["kind"] for step in [*document.get("always", []), *document["playbooks"][name]]]
    return any(KINDS[kind].advice.family not in REFUSES_NOBODY and kind not in LETS_ALL_IN for kind in kinds)


def rules_of(run: Run, pool: str, retries: float, timeout: float) -> Rules | None:
    """The rules of one pool; None where it got no request, or nobody would try again."""
    flowing = flow(run, pool)
    end, begins, ends = flowing.end(), float(flowing.edges[flowing.last]), float(flowing.edges[-1])
    if retries <= 0 or end["asks"] == 0 or end["capacity"] == 0:
        return None
    by = outcomes(run, "feature", (begins, ends))["intents"]
    features = {name: facts for name, facts in run.manifest["features"].items() if facts["pool"] == pool}
    asked = np.array([float(by.get(name, 0)) for name in features])
    work, seconds = (
        float(np.average([facts[what] for facts in features.values()], weights=asked))
        for what in ("gpu_seconds", "seconds")
    )
    queue = peak_queue(run, pool)
    return Rules(
        pool=pool,
        capacity=end["capacity"] / (ends - begins) / work / run.scale,
        seconds=seconds,
        rate=end["asks"] / (ends - begins) / run.scale,
        retries=retries,
        timeout=timeout,
        queue=queue["peak"] / run.scale,
        drain=queue["drain"],
        left=queue["left"] / run.scale,
        held=stay_of(pool, flowing) is not None,
    )


def rule_sentences(run: Run) -> list[str]:
    """The four rules in plain sentences, with a heading for each pool; none where nobody tries again."""
    lines: list[str] = []
    for r in rules(run):
        patience = "endless" if math.isinf(r.timeout) else duration(r.timeout)
        lines += [
            f"Retries in pool '{r.pool}': it serves C = {amount(r.capacity)} requests per second, first requests come "
            f"at lam = {amount(r.rate)} per second (both while the last tenth of them came), a request takes "
            f"S = {duration(r.seconds)}, median patience is {patience}, and a request whose every attempt "
            f"fails is retried r = {three_figures(r.retries)} times.",
            f"  1. {stable_sentence(r)}",
            f"  2. It cannot get stuck either while every queued request is still wanted when it is done: "
            f"{short_enough(r)} (the longest queue was {amount(r.queue)}).",
            f"  3. {escape_sentence(r)}",
            f"  4. {recovery_sentence(r)}",
        ]
    return lines


def stable_sentence(r: Rules) -> str:
    """The first rule: the load below which no storm lasts."""
    bound = f"C / (1 + r) = {amount(r.stable)} first requests per second"
    if r.held and r.rate < r.stable:
        return f"By the rule it cannot get stuck in retries below {bound}, yet this run was: some of C was lost."
    return f"It cannot get stuck in retries below {bound}: it is {'below' if r.rate < r.stable else 'above'}."


def short_enough(r: Rules) -> str:
    """The second rule: how long a queue may be."""
    if math.isinf(r.bound):
        return "any queue is short enough"
    return f"the queue must stay below C (patience - S) = {amount(r.bound)} requests"


def escape_sentence(r: Rules) -> str:
    """The third rule: what it takes to end a storm."""
    factor = f"lam (1 + r) / C = {three_figures(r.escape)}"
    if r.escape >= 1:
        return f"To end a storm, capacity must grow, or images must get cheaper, by a factor of more than {factor}."
    if r.held:
        return f"By the rule a storm ends by itself, since {factor} is below 1; this run's did not."
    if math.isnan(r.drain):
        return f"{factor} is below 1, so a storm should end by itself; the queue of this run was not worked off."
    return f"At this load a storm ends by itself: {factor} is below 1."


def recovery_sentence(r: Rules) -> str:
    """The fourth rule: in what time the longest queue was worked off, or would be without retries."""
    if r.queue == 0:
        return "There was no queue to work off."
    if not math.isnan(r.drain):
        return f"In this run the longest queue was worked off in {duration(r.drain)}."
    measured = f"The longest queue was not worked off by the horizon ({amount(r.left)} requests were left)."
    if math.isinf(r.recovery):
        return f"{measured} It never would be, even if nobody retried: lam is not below C."
    longest = f"the longest one, K = {amount(r.queue)},"
    return f"{measured} If nobody retried, {longest} would take K / (C - lam) = {duration(r.recovery)}."
