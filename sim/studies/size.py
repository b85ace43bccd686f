"""The smallest fleet with which a service keeps a promise: found by theory and bisection, proved by runs of its own."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import ConfigDict

from sim.errors import BadInput
from sim.results.intervals import AHEAD, precise_after, refuse_imprecise
from sim.scenario.scenario import Scenario
from sim.studies.demand_multiple import largest
from sim.studies.executors import Executor, Report
from sim.studies.fleets import Fleets, pools_apart, sized_pools, small_slice, wider
from sim.studies.knee import knee
from sim.studies.looks import WITH_TABLES, Criterion, Looks, enough, first_beyond, mean, refuse_unusable, seen
from sim.studies.no_fleet import none_found, out_of_reach, over_the_cap, scalers_of
from sim.studies.playbook_names import name_of
from sim.studies.promise import read_promise
from sim.studies.runs import running
from sim.studies.search import Look, smallest
from sim.studies.store import Cell, Store
from sim.studies.uncertain import Uncertain, as_uncertain

GRID = (0.5, 0.7, 0.85, 1.15, 1.3, 1.6, 2.0)  # times the answer: the curve, and whether more GPUs break the promise
HEADROOM_SEEDS = 4
LOCATING_SEEDS = 2  # at the scenario's own scale, before the answer is proved with all
USUAL_LOOKS = 15  # of all seeds, in a search
SEARCH, VERIFY = "search", "verify"


@dataclass(frozen=True, repr=False)
class Size:
    """The answer, with the runs that it rests on. GPUs, dollars and kwh are at full scale.

    gpus: by pool; empty where no fleet was found. answer, neighbours: the runs with these GPUs, and with one step fewer
    of each pool (none where the answer is the least that can be asked for), with seeds that the search had not seen.
    reason: why there is no fleet. table: everything looked at. offered: the GPUs that first requests would keep busy in
    the busiest window if nobody waited. monotone: False where some larger fleet breaks the promise, or some smaller one
    keeps it. carries: the multiple of the demand that this fleet carries (nan: not asked). knee: the GPUs beyond which
    one more adds less than on average over the fleets looked at. futures: whether every run is one of another future.
    own: the GPUs of the scenario, by pool; needed: seconds after the start, when first requests would begin to keep
    more than these busy if nobody waited (the start of a window of `alive`; nan: never). kinds: of the answer's GPUs,
    those of each kind, in pools of several. beside: in a mix, the GPUs of the other kind, like '4 a100'.

    apart: the GPUs of pools that serve nothing of what is promised; they stay, unless they were to be sized. open_end:
    the share of requests that are unfinished in the answer's runs, where the promise would be broken if these failed.
    kept_out: the share of the people who came to sign up in them that had not been let in at the horizon.
    window: the seconds of a window in which `offered` is the busiest. imprecise: known less precisely than asked for.
    in_time: the share of requests in time in the answer's runs.
    """

    promise: str
    target: float
    playbook: str
    runs: float
    confidence: float
    scale: float
    offered: dict[str, float]
    steps: dict[str, int]
    table: pd.DataFrame
    gpus: dict[str, int] = field(default_factory=dict)
    answer: Look | None = None
    neighbours: dict[str, Look] = field(default_factory=dict)
    reason: str = ""
    monotone: bool = True
    carries: float = math.nan
    knee: float = math.nan
    measure: float = math.nan
    dollars: float = math.nan
    kwh: float = math.nan
    futures: bool = False
    own: dict[str, int] = field(default_factory=dict)
    needed: float = math.nan
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    beside: str = ""
    apart: dict[str, int] = field(default_factory=dict)
    open_end: float = 0.0
    kept_out: float = 0.0
    window: float = math.nan
    imprecise: bool = False
    in_time: float = math.nan
    __pydantic_config__: ClassVar[ConfigDict] = WITH_TABLES

    @property
    def verdict(self) -> str:
        """meets, undecided (by so few runs), impossible, or interrupted."""
        if self.answer is None:
            return "impossible" if self.reason else "interrupted"
        return self.answer.verdict

    @property
    def total(self) -> int:
        return sum(self.gpus.values())

    @property
    def label(self) -> str:
        """The playbook, and the other kind of a mix."""
        return f"{self.playbook}, beside {self.beside}" if self.beside else self.playbook

    def __repr__(self) -> str:
        fleet = (
            ", ".join(f"{gpus:,} GPUs of {pool}" for pool, gpus in self.gpus.items()) or self.reason or "no fleet yet"
        )
        return f"<Size for {self.promise!r} under {self.label!r}, {self.verdict}: {fleet}>"


def size(
    scenario: Scenario | Uncertain,
    promise: str | None = None,
    playbook: str | None = None,
    *,
    pool: str | None = None,
    kind: str | None = None,
    seeds: int = 10,
    runs: float = 0.9,
    confidence: float = 0.95,
    step: int | None = None,
    headroom: bool = True,
    until: float | None = None,
    most: int = 100,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Size:
    """Find the smallest fleet with which at least `runs` of all runs keep a promise (see sim.studies.promise).

    promise: the scenario's own, else 'alive', where None. playbook: the scenario's first where None. pool: the one that
    is sized while others stay; all that serve something of what is promised where None, one after the other. kind: of
    GPU, in a pool of several kinds; the others stay, and where None it is the one that is taken last. seeds: runs of
    each fleet looked at; the answer and its neighbours get others than the search. step: GPUs, a hundredth of the
    offered load where None; no finer than a GPU of the slice.
    store: where runs are kept, False for nowhere. until: the answer gets further seeds, to `most`, until the 95 %
    interval of its measure is within this to each side (in points for a share, else relative). An interrupt gives what
    is known by then. Raises BadInput.

    Of a scenario with uncertain inputs (sim.studies.uncertain) each run is one of another future: `seeds` is how many
    are looked at, and the answer is the smallest fleet with which the promise is kept in at least `runs` of them, by
    their count (a chance constraint; the binomial law). Its headroom is not measured; nor is that of a promise about
    what images cost or earn, which less demand breaks as well.
    """
    inputs = as_uncertain(scenario)
    scenario = inputs.scenario
    name = name_of(scenario, playbook)
    refuse_unusable(seeds, runs, confidence)
    refuse_imprecise(until)
    if step is not None and (type(step) is not int or step < 1):
        raise BadInput("a step is a number of GPUs", key="step", value=step, expected="1, 2, ...")
    whole = read_promise(promise, scenario)
    apart = pools_apart(scenario, name, whole.served_by(scenario))
    pools = [p for p in sized_pools(scenario, pool, kind) if pool or p not in apart]
    if not whole.apart_from_cost.conditions:
        expected = f"what it has to do as well, like 'alive and {whole.text}'"
        message = "the smallest fleet costs least, whatever it does"
        raise BadInput(message, key="promise", value=whole.text, expected=expected)
    rule = Criterion(whole.apart_from_cost, name, runs, confidence)
    with running(executor, processes, store, progress) as study:
        study.planned = USUAL_LOOKS * seeds  # until it is known better
        looks = Looks(study, rule, inputs.future if inputs.laws else None)
        search = Search(inputs, pools, looks, seeds, step, until, most, whole.cost_cap, kind, apart)
        try:
            return search.answer(headroom=headroom and not inputs.laws and not whole.apart_from_cost.about_dollars)
        except KeyboardInterrupt:
            return search.result()


@dataclass
class Search:
    """One search: in a slice in which a step is one GPU, and then at the scenario's own scale."""

    inputs: Uncertain
    pools: list[str]
    looks: Looks
    seeds: int
    step: int | None
    until: float | None = None
    most: int = 100
    cost_cap: float = math.inf  # dollars that a run may cost
    kind: str | None = None
    apart: dict[str, int] = field(default_factory=dict)  # as in Size
    least: dict[str, int] = field(default_factory=dict)  # by pool, where some smaller fleet is not enough
    monotone: bool = True
    needed: float = math.nan

    def __post_init__(self) -> None:
        self.scenario = self.inputs.scenario
        self.looks.pools = self.pools
        self.fleets = Fleets(self.scenario, {}, kind=self.kind)
        self.first = list(range(1, self.seeds + 1))
        self.fresh = list(range(self.seeds + 1, 2 * self.seeds + 1))  # that the search has not seen
        for key in self.inputs.laws:
            if key in [f"pools.{p}.gpus" for p in self.pools]:
                raise BadInput("a fleet that is sized cannot be uncertain", key=key, expected="a number")
        for number in [*self.first, *self.fresh] if self.inputs.laws else []:
            self.inputs.future(number)  # refused before the search rather than in it

    def answer(self, *, headroom: bool) -> Size:
        """Measure the load, search in a slice, then prove the answer at the scenario's own scale."""
        self.fleets = Fleets(self.scenario, self.offered(), self.step, self.kind)
        full, scale = self.scenario.scale, self.fleets.coarse
        if reason := self.impossible(scale, self.first):
            return self.result(reason=reason)
        near = self.reduced(self.fleets.start(scale), scale, SEARCH, self.first, passing)
        if near is None and (below := self.smaller(scale)) is not None:
            near = self.reduced(below, scale, SEARCH, self.first, passing)
        if near is None:
            return self.result(reason=self.never(scale))
        near = self.checked(near, scale)
        if scale < full:
            start = self.centred(near, scale)
            near = self.reduced(start, full, SEARCH, self.first[:LOCATING_SEEDS], passing) or near
        found = self.reduced(near, full, VERIFY, self.fresh, enough, within=True)
        if found is None:  # so few runs do not decide it: the fleet that passes
            found = self.reduced(near, full, VERIFY, self.fresh, passing)
        while found is not None and len(self.fresh) < self.most and not self.precise(found):
            self.fresh += range(self.fresh[-1] + 1, self.fresh[-1] + 1 + min(AHEAD, self.most - len(self.fresh)))
            passes = enough if self.at(found, full, VERIFY, self.fresh).verdict == "meets" else passing
            found = self.reduced(found, full, VERIFY, self.fresh, passes, within=True)
        if found is None:
            return self.result(reason=self.never(full, self.fresh))
        if reason := self.too_costly(found):
            return self.result(reason=reason)
        return self.result(found, carries=self.carried(found, scale) if headroom else math.nan)

    def offered(self) -> dict[str, float]:
        """The GPUs that first requests would keep busy in the busiest window if nobody waited."""
        rule, sliced = self.looks.rule, self.inputs.with_values({}, small_slice(self.scenario))
        cell, own = Cell(sliced, rule.playbook, 1, True), self.own()
        ((load, self.needed),) = self.looks.study.ask(
            [cell], lambda r: (seen(r, rule.promise).offered, first_beyond(r, own, sliced.warm_up, sliced.horizon))
        )
        return {p: load[p] for p in self.pools}

    def own(self) -> dict[str, int]:
        return {p: self.scenario.pools[p].gpus for p in self.pools}

    def impossible(self, scale: float, seeds: Sequence[int]) -> str:
        """Why no fleet is enough: a fleet without limits, on which nobody waits, does not keep the promise either."""
        if not self.looks.rule.promise.of_service.conditions:
            return ""
        sliced = self.fleets.applied(self.fleets.start(scale), scale)
        look = self.looks.look(sliced, seeds, stage="unlimited", unlimited=True)
        return "" if look.passes else out_of_reach(self.looks.seen(look), self.looks.rule.promise.of_service)

    def never(self, scale: float, seeds: Sequence[int] = ()) -> str:
        """Why no fleet was found; seeds: those that the unlimited fleet has not been looked at with."""
        if seeds and (reason := self.impossible(scale, seeds)):
            return reason
        scalers = scalers_of(self.scenario, self.looks.rule.playbook)
        return none_found(self.looks.rule.promise, self.fleets.largest(scale), scalers)

    def too_costly(self, found: Mapping[str, int]) -> str:
        """Why the smallest fleet that does everything else is no answer, where its runs cost more than promised."""
        runs = self.looks.seen(self.at(found, self.scenario.scale, VERIFY, self.fresh))
        return over_the_cap(runs, self.cost_cap, self.looks.rule.runs, found)

    def smaller(self, scale: float) -> dict[str, int] | None:
        """The smallest fleet below the start that passes, all pools in proportion; looked for only if dollars count.

        A fleet that serves people can be too dear for each image, and one with fewer GPUs be cheap enough.
        """
        if not self.looks.rule.promise.about_dollars:
            return None
        start = self.fleets.start(scale)
        most = max(self.fleets.places(p, n, scale) for p, n in start.items())
        fleets = (self.rounded({p: n * part / most for p, n in start.items()}, scale) for part in range(1, most))
        return next((fleet for fleet in fleets if self.at(fleet, scale, SEARCH, self.first).passes), None)

    def reduced(
        self,
        start: Mapping[str, int],
        scale: float,
        stage: str,
        seeds: Sequence[int],
        passes: Callable[[Look], bool],
        *,
        within: bool = False,
    ) -> dict[str, int] | None:
        """Each pool in turn made as small as it can be; None where not even the largest fleet passes.

        within: look no further than a quarter above the start.
        """
        f = self.fleets
        places = {p: f.places(p, gpus, scale) for p, gpus in start.items()}

        def holds(changed: Mapping[str, int]) -> bool:
            fleet = {p: place * f.step(p, scale) for p, place in changed.items()}
            return passes(self.at(fleet, scale, stage, seeds))

        if len(places) > 1:  # all of them larger, until they are enough together
            grown = smallest(lambda k: holds(wider(places, k)), 0, 0, 8 if within else 80)
            if grown is None:
                return None
            places = wider(places, grown)
        for p, place in places.items():
            high = min(f.most(p, scale), place + 4 + place // 4) if within else f.most(p, scale)
            low = f.places(p, self.least.get(p, 0), scale)
            best = smallest(partial(lambda others, p, k: holds({**others, p: k}), places, p), place, low, high)
            if best is None:
                return None
            places = {**places, p: best}
        return {p: place * f.step(p, scale) for p, place in places.items()}

    def checked(self, found: dict[str, int], scale: float) -> dict[str, int]:
        """Look around the fleet: where some larger one breaks the promise, go beyond it.

        Not where dollars count: that larger fleets are too dear is no surprise, and no reason to take one.
        """
        if self.looks.rule.promise.about_dollars:
            return found
        for times in GRID:
            fleet = self.rounded({p: times * n for p, n in found.items()}, scale)
            passes = self.at(fleet, scale, SEARCH, self.first).passes
            if fleet != found and passes != (times > 1):
                self.monotone = False
                if times > 1:
                    self.least = {p: n + self.fleets.step(p, scale) for p, n in fleet.items()}
        if not self.least:
            return found
        return self.reduced(self.least, scale, SEARCH, self.first, passing) or found

    def centred(self, near: dict[str, int], scale: float) -> dict[str, int]:
        """The smallest fleet whose runs keep the promise on average: chance plays less of a part at full scale."""
        rows = self.looks.table()
        rows = rows[(rows["stage"] == SEARCH) & (rows["scale"] == scale) & (rows["margin"] >= 0)]
        if len(near) > 1 or self.least or rows.empty:
            return near
        return dict.fromkeys(near, int(rows["gpus"].min()))

    def precise(self, fleet: dict[str, int]) -> bool:
        """Whether the measure of this fleet is known as precisely as was asked for."""
        measures = [run.measure for run in self.looks.seen(self.at(fleet, self.scenario.scale, VERIFY, self.fresh))]
        kind = "share" if self.looks.rule.promise.target else "any"
        return self.until is None or precise_after(measures, self.until, kind) is not None  # type: ignore[arg-type]

    def at(self, fleet: Mapping[str, int], scale: float, stage: str, seeds: Sequence[int]) -> Look:
        return self.looks.look(self.fleets.applied(fleet, scale), seeds, stage=stage)

    def rounded(self, fleet: Mapping[str, float], scale: float) -> dict[str, int]:
        """A fleet in whole steps of this scale."""
        return {p: self.fleets.places(p, n, scale) * self.fleets.step(p, scale) for p, n in fleet.items()}

    def carried(self, fleet: dict[str, int], scale: float) -> float:
        """The largest multiple of the demand that the fleet carries, in the slice."""
        sliced = self.fleets.applied(self.rounded(fleet, scale), scale)
        return largest(sliced, self.looks, self.fresh[:HEADROOM_SEEDS], stage="headroom")

    def result(self, found: dict[str, int] | None = None, *, reason: str = "", carries: float = math.nan) -> Size:
        """What is known, with the runs at the answer and at its neighbours where there is one."""
        rule, full, f, gpus = self.looks.rule, self.scenario.scale, self.fleets, found or {}
        answer = self.at(gpus, full, VERIFY, self.fresh) if gpus else None
        steps = {p: f.step(p, full) for p in f.pools}
        least = {p: max(steps[p], self.least.get(p, 0), f.least(p) + steps[p] - 1) for p in gpus}
        fewer = {p: {**gpus, p: gpus[p] - steps[p]} for p in gpus if gpus[p] > least[p]}
        runs = self.looks.seen(answer) if answer else []
        table = self.looks.table()
        return Size(
            promise=rule.promise.text,
            target=rule.promise.target,
            playbook=rule.playbook,
            runs=rule.runs,
            confidence=rule.confidence,
            scale=full,
            offered=f.offered,
            steps=steps,
            table=table,
            gpus=gpus,
            answer=answer,
            neighbours={p: self.at(fleet, full, VERIFY, self.fresh) for p, fleet in fewer.items()},
            reason=reason,
            monotone=self.monotone,
            carries=carries,
            knee=knee(table[table["stage"] == SEARCH]) if gpus else math.nan,
            measure=mean(run.measure for run in runs),
            dollars=mean(run.dollars for run in runs),
            kwh=mean(run.kwh for run in runs),
            futures=bool(self.inputs.laws),
            own=self.own(),
            needed=self.needed,
            kinds={p: kinds for p, n in gpus.items() if (kinds := f.kinds(p, n))},
            apart=self.apart,
            open_end=mean(run.open_end for run in runs) if runs else 0.0,
            kept_out=mean(run.kept_out for run in runs) if runs else 0.0,
            window=min(self.scenario.alive.window, self.scenario.horizon - self.scenario.warm_up),
            in_time=mean(run.in_time for run in runs),
            imprecise=bool(gpus) and not self.precise(gpus),
        )


def passing(look: Look) -> bool:
    return look.passes
