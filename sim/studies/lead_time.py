"""Lead times: by when further GPUs must be ordered, and what each delay of them costs a launch.

Dates are calendar days, UTC. A lead time is a law (see sim.studies.uncertain), in days: '~ lognormal(30 days, 90 days)'
are its 10 % and 90 % points; a plain duration is certain.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.results.money import money_of, of_service
from sim.results.run import Run
from sim.scenario.document import is_law
from sim.scenario.scenario import Scenario
from sim.scenario.slices import as_ratio, divides
from sim.studies.executors import Executor, Report, asked, working
from sim.studies.fleets import served_pools
from sim.studies.playbook_names import name_of
from sim.studies.rescue import Rescue, rescue
from sim.studies.search import smallest
from sim.studies.store import Cell
from sim.studies.uncertain import Law, read_law
from sim.units import seconds

DAY = 86400.0
DELAYS = (3600.0, DAY)  # seconds: an hour and a day late
FARTHEST = 100 * 365 * int(DAY)  # seconds before the last date, beyond which none is looked for
ORDER = "order"  # the playbook that is nothing but the arrival of the GPUs


def read_lead(text: str) -> Law:
    """A lead time from words: a duration, or a law of one. Raises BadInput."""
    if not is_law(text):
        return Law(text, "choice", (lasting(text),), " s")
    law = read_law("lead", text)
    if law.kind == "choice":
        return Law(text, "choice", tuple(sorted(lasting(f"{value}{law.unit}") for value in law.values)), " s")
    if law.unit != " s":
        raise BadInput("a lead time is a duration", key="lead", value=text, expected="like '30 days' or a law of it")
    return law


def lasting(text: str) -> float:
    """The seconds of a lead time in words. Raises BadInput."""
    try:
        found = seconds(text)
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this is no lead time", key="lead", value=text, expected=expected) from None
    if not math.isfinite(found):
        raise BadInput("this is no lead time", key="lead", value=text, expected="a finite duration")
    return found


def lead_quantile(lead: Law, confidence: float, lots: int = 1, needed: int = 1) -> float:
    """The least seconds within which an order, or at least `needed` of its lots, arrives with this probability."""
    # So likely must one lot be there that `needed` of them are: the binomial law, solved for its probability.
    one = confidence if lots == 1 else float(special.bdtri(needed - 1, lots, 1 - confidence))
    if lead.kind == "choice":  # in ascending order
        return float(lead.values[math.ceil(one * len(lead.values) - 1e-9) - 1])
    return float(lead.quantile(one))


def enough_in_time(lots: int, needed: int, lead: Law, by: float) -> float:
    """The probability that at least `needed` of several equal lots, ordered at once, have arrived after `by` seconds.

    Lots arrive independently of each other: the upper tail of a binomial law.
    """
    if needed > lots:
        return 0.0
    among = lead.kind == "choice"
    one = float(np.mean(np.asarray(lead.values) <= by)) if among else float(lead.distribution.cdf(by))
    return float(special.bdtrc(needed - 1, lots, one))


@dataclass(frozen=True)
class OrderBy:
    """By when further GPUs must be ordered so that they still save the launch.

    rescue: what the run loses by the instant at which they arrive (sim.studies.rescue). latest: the last instant of
    arrival that saves the run, None where none does, or where nothing need be saved. late: one row per arrival:
    arrives (seconds after the start; inf: never), delay (after `latest`, or after the start where there is none), lost
    (images in time that GPUs at the start would give) and dollars (revenue lost less GPU cost saved; nan without
    prices), means over the seeds, of the whole service. order_by: the last instant of ordering, with this confidence
    that `enough` of the `lots` have arrived by then. begins: the start of the scenario.
    """

    pool: str
    gpus: int
    playbook: str
    lead: Law
    confidence: float
    burn_in: float
    rescue: Rescue
    late: pd.DataFrame
    needed: bool
    latest: datetime | None
    order_by: datetime | None
    lots: int = 1
    enough: int = 1
    begins: datetime | None = None

    def in_time(self, ordered: datetime, arrival: float) -> float:
        """The probability that enough lots of an order of this date serve by an instant, in seconds after the start."""
        assert self.begins is not None
        left = (self.begins - ordered).total_seconds() + arrival - self.burn_in
        return enough_in_time(self.lots, self.enough, self.lead, left) if left >= 0 else 0.0

    def saves(self, ordered: datetime) -> float:
        """The probability that an order of this date saves the launch: of its lead time, and over the seeds.

        An arrival between two instants that were looked at counts as the later of them.
        """
        shares = self.rescue.shares
        by = np.array([self.in_time(ordered, float(at)) for at in shares["begins"].iloc[:-1]] + [1.0])
        return float(np.diff(by, prepend=0.0) @ shares["saved"].to_numpy(float))

    def surely(self) -> datetime | None:
        """The last date of ordering that saves the launch with the confidence, the seeds counted in; None: no date."""
        assert self.begins is not None
        if self.order_by is None or self.rescue.shares["saved"].iloc[0] < self.confidence - 1e-9:
            return None
        last = self.order_by

        def early_enough(seconds: int) -> bool:
            return self.saves(last - timedelta(seconds=seconds)) >= self.confidence - 1e-9

        earlier = smallest(early_enough, int(DAY), 1, FARTHEST)
        return None if earlier is None else last - timedelta(seconds=earlier)

    @property
    def interrupted(self) -> bool:
        return self.rescue.interrupted or bool(self.late["lost"].isna().any())


def order_by(
    scenario: Scenario,
    gpus: int,
    lead: str,
    playbook: str | None = None,
    *,
    pool: str | None = None,
    confidence: float = 0.95,
    burn_in: float = 0.0,
    lots: int = 1,
    enough: int | None = None,
    delays: Sequence[float] = DELAYS,
    seeds: int = 5,
    by: float = 60.0,
    keep: float | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> OrderBy:
    """When `gpus` more GPUs of a pool must be there, and be ordered, under a playbook that is in force in any case.

    They arrive at an instant, and serve from the next control tick; sim.studies.rescue finds the last one that saves
    the run, to within `by` seconds, and says what is saved (`keep`); the people of a spike are part of the run. lead:
    how long an order takes, in words; burn_in: seconds from arrival to service. lots: in which it comes, independent of
    each other; enough: of them, all where None. Runs have all GPUs at once. Raises BadInput.
    """
    name = name_of(scenario, playbook)
    pools = served_pools(scenario)
    where = pool or pools[0]
    if where not in scenario.pools or (pool is None and len(pools) > 1):
        expected = f"one of {', '.join(scenario.pools)}"
        raise BadInput("which pool are the GPUs for?", key="pool", value=pool, expected=expected)
    if type(gpus) is not int or gpus < 1:
        raise BadInput("an order is of one GPU or more", key="gpus", value=gpus, expected="1, 2, ...")
    part, replicas = scenario.scale / scenario.played_cells, gpus / scenario.pools[where].gpus_per_replica
    if not divides(replicas, part):
        expected = f"whole GPUs of the slice: at scale {as_ratio(part)}, one stands for {gpus / (replicas * part):,.6g}"
        raise BadInput("an order is of whole GPUs", key="gpus", value=gpus, expected=expected)
    if not 0 < confidence < 1 or not 0 <= burn_in < math.inf:
        raise BadInput("this confidence or burn-in cannot be used", key="confidence", value=confidence, expected="95 %")
    some = lots if enough is None else enough
    if not 1 <= some <= lots:
        raise BadInput("more lots are needed than come", key="needed", value=some, expected=f"1 to {lots}")
    law = read_lead(lead)
    total = scenario.pools[where].gpus + gpus
    arrival = {"policy": {"kind": "scheduled capacity", "pool": where, "gpus": total}}
    ordered = scenario.with_(always=scenario.in_force(name), playbooks={ORDER: [arrival]})
    with working(executor, processes) as there:
        how: dict[str, Any] = {"seeds": seeds, "by": by, "keep": keep, "executor": there, "progress": progress}
        found = rescue(ordered, ORDER, faults_only=True, **how)
        needed = not found.shares["saved"].iloc[-1] > 0.5
        known = needed and not math.isnan(found.latest)
        late = lateness(ordered, found.latest if known else 0.0, delays, seeds, there, progress)
    latest = scenario.start + timedelta(seconds=found.latest) if known else None
    quantile = lead_quantile(law, confidence, lots, some)
    when = None if latest is None else latest - timedelta(seconds=quantile + burn_in)
    about = (where, gpus, name, law, confidence, burn_in, found, late, needed, latest, when)
    return OrderBy(*about, lots, some, scenario.start)


def lateness(
    scenario: Scenario, latest: float, delays: Sequence[float], seeds: int, executor: Executor, progress: Report | None
) -> pd.DataFrame:
    """What is lost against GPUs at the start if they arrive at an instant, each delay later, or never."""
    after = [0.0, *delays, math.inf]
    arrives = [latest + delay if latest + delay < scenario.horizon else math.inf for delay in after]
    instants = list(dict.fromkeys([0.0, *arrives]))
    cells = [Cell(arriving(scenario, at), ORDER, seed) for at in instants for seed in range(1, seeds + 1)]
    found = np.full((len(cells), 2), math.nan)  # of those that an interrupt left out
    done = asked(executor, images_and_dollars, cells, progress)
    found[: len(done)] = np.array(done).reshape(-1, 2)
    means = found.reshape(len(instants), seeds, 2).mean(axis=1)
    lost = dict(zip(instants, (means[0] - means).tolist(), strict=True))
    rows = [(at, delay, *lost[at]) for at, delay in zip(arrives, after, strict=True)]
    return pd.DataFrame(rows, columns=["arrives", "delay", "lost", "dollars"])


def arriving(scenario: Scenario, at: float) -> Scenario:
    """The scenario in which the GPUs arrive at an instant, in seconds after the start; inf: never."""
    (step,) = scenario.playbooks[ORDER]
    steps: list[Step] = [step.model_copy(update={"from_": at})] if at < scenario.horizon else []
    return scenario.with_(playbooks={ORDER: steps})


def images_and_dollars(run: Run) -> tuple[float, float]:
    """Images in time, and revenue less GPU cost (nan without prices), of the whole service."""
    money = money_of(run)
    return of_service(run), math.nan if money is None else money.margin
