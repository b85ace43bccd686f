"""A check: whether runs of a scenario keep its promises, one verdict per promise, for people and for a build server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.results.latencies import in_words as time_in_words
from sim.results.latencies import quantile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.studies.baseline import USUAL, Regression, baseline_figures, by_name, read_regression
from sim.studies.compare import Comparison
from sim.studies.executors import Executor, Report, itself
from sim.studies.intervals import FEWEST, NONE, Interval, mean_interval, quantile_interval, t_interval
from sim.studies.looks import refuse_unusable
from sim.studies.promise import KINDS, Condition, parts_of, read_condition
from sim.studies.run_record import Record, record_of
from sim.studies.runs import running
from sim.studies.search import Look, clean_runs, why_counted
from sim.studies.store import Cell, Store
from sim.wording import amount, duration, percent, usd

KEPT, BROKEN, UNDECIDED = "kept", "broken", "undecided"
CODES = {KEPT: 0, BROKEN: 1, UNDECIDED: 3}  # exit codes; 2 is bad input
VERDICTS = {"meets": KEPT, "misses": BROKEN, "undecided": UNDECIDED}
ALIVE = ("alive",)  # what is checked where a scenario promises nothing: every scenario defines it
Rule = Condition | Regression


@dataclass(frozen=True)
class Finding:
    """One promise as the runs show it.

    held: of how many runs it is kept, of `seeds`. reached, limit: in words, with their unit. margin: by how much it is
    kept (0 or more) or broken, the mean over the runs with its 95 % interval (nan: none), as a share: points where the
    promise is about a share, else part of the limit or the baseline. why: what the verdict rests on. note: what it
    passes over.
    """

    promise: str
    verdict: str
    held: int
    seeds: int
    reached: str
    limit: str
    margin: float
    low: float
    high: float
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class Check:
    """All promises of a scenario under one playbook."""

    title: str
    playbook: str
    seeds: tuple[int, ...]
    runs: float
    confidence: float
    findings: list[Finding]

    @property
    def verdict(self) -> str:
        """Broken if one promise is, else undecided if one is, else kept."""
        return max((one.verdict for one in self.findings), key=[KEPT, UNDECIDED, BROKEN].index)

    @property
    def code(self) -> int:
        """0 kept, 1 broken, 3 undecided."""
        return CODES[self.verdict]

    def count(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self.findings)

    @property
    def sentence(self) -> str:
        parts = [f"{n} {word}" for word in (KEPT, BROKEN, UNDECIDED) if (n := self.count(word))]
        many = f"{len(self.findings)} promise{'s' if len(self.findings) > 1 else ''}"
        over = f"{len(self.seeds)} runs" if len(self.seeds) > 1 else f"the run of seed {self.seeds[0]}"
        return f"{self.verdict.upper()}: {many} under playbook '{self.playbook}' over {over}: {', '.join(parts)}."

    def __repr__(self) -> str:
        return f"<Check {self.sentence}>"


def check(
    scenario: Scenario,
    playbook: str | None = None,
    promises: Sequence[str] | None = None,
    *,
    seeds: int = 10,
    runs: float = 0.9,
    confidence: float = 0.95,
    baseline: Path | str | Comparison | Run | None = None,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> Check:
    """Hold runs of a scenario to its promises.

    promises: those of the scenario where None; 'alive' where it has none. A promise is kept if at least `runs` of all
    runs keep it, known with `confidence`; broken if fewer do, with the same confidence; else undecided. baseline: a
    saved comparison or run, for promises like 'in time no worse than baseline', which are about means, paired by seed.
    store: where runs are kept, False for nowhere. Raises BadInput, before any run.
    """
    name, _ = chosen(scenario, playbook)
    refuse_unusable(seeds, runs, confidence)
    rules = promised(scenario, promises, against=baseline is not None)
    before = {} if baseline is None else baseline_figures(baseline, name)
    numbers = tuple(range(1, seeds + 1))
    regressions = any(isinstance(rule, Regression) for rule in rules.values())
    if regressions and not set(before) & set(numbers):
        expected = f"one with some of the seeds 1 to {seeds}"
        raise BadInput("the baseline has other seeds", key="baseline", value=sorted(before), expected=expected)
    with running(executor, processes, store, progress) as study:
        records = study.ask([Cell(scenario, name, seed) for seed in numbers], itself)
    now = {seed: by_name(record.figures) for seed, record in zip(numbers, records, strict=True)}
    found = []
    for text, rule in rules.items():
        if isinstance(rule, Regression):
            found.append(against(text, rule, now, before, confidence))
        else:
            look = look_of(rule, numbers, records, runs, confidence)
            found.append(passed_over(finding(text, rule, look, records), rule, records))
    return Check(scenario.title, name, numbers, runs, confidence, found)


def check_run(run: Run, scenario: Scenario) -> Check:
    """Hold one run to the promises of its scenario: each is kept or broken by this run, whatever others would do."""
    records = [record_of(run)]
    seeds, found = (int(run.manifest["seed"]),), []
    for text, rule in promised(scenario, None, against=False).items():
        assert isinstance(rule, Condition)
        margin = rule.margin(records[0])
        verdict, held = (KEPT, 1) if margin >= 0 else (BROKEN, 0)
        one = Finding(text, verdict, held, 1, *shown_of(rule, records), margin, *NONE)
        found.append(passed_over(one, rule, records))
    return Check(scenario.title, run.manifest["playbook"], seeds, 1.0, math.nan, found)


def promised(scenario: Scenario, promises: Sequence[str] | None, *, against: bool) -> dict[str, Rule]:
    """Every condition that is promised, by its words. Raises BadInput for what cannot be read, or needs a baseline."""
    given = [promises] if isinstance(promises, str) else list(scenario.promises if promises is None else promises)
    rules: dict[str, Rule] = {}
    for text in given or ([] if against else ALIVE):
        for part in parts_of(text):
            rules[part] = read_regression(part) or read_condition(part, scenario)
    compared = [text for text, rule in rules.items() if isinstance(rule, Regression)]
    if against and not compared:
        rules |= {text: rule for text in USUAL if (rule := read_regression(text))}
    if compared and not against:
        expected = "meltpoint check SCENARIO --baseline FOLDER, of a saved comparison or run"
        raise BadInput("this promise needs a baseline", key="promises", value=compared[0], expected=expected)
    return rules


def reached(rule: Condition, record: Record) -> float:
    """What is shown of one run: for `alive`, the share of requests in time."""
    return float(record.figures["attainment"]) if rule.kind == "alive" else rule.reached(record)


def look_of(rule: Condition, seeds: Sequence[int], records: Sequence[Record], runs: float, confidence: float) -> Look:
    """One promise in all runs, judged as in a search for a fleet."""
    margins = tuple(rule.margin(one) for one in records)
    grain = float(np.mean([rule.grain(one) for one in records]))
    return Look(tuple(seeds), margins, runs, confidence, any(one.stayed_down for one in records), grain)


def finding(text: str, rule: Condition, look: Look, records: Sequence[Record]) -> Finding:
    """The verdict on a promise about runs by themselves."""
    shown = shown_of(rule, records)
    verdict, why = VERDICTS[look.verdict], ""
    low, high = t_interval(look.margins)
    if verdict == UNDECIDED:
        many = clean_runs(look.runs, look.confidence)
        counted = f" {why_counted(look)}, so runs are only counted." if look.counted else ""
        why = (
            f"kept in {look.kept} of {len(look.margins)} runs, which does not tell whether {percent(look.runs)} of all "
            f"would keep it.{counted} More --seeds narrow it down; {many} are enough if none breaks it."
        )
    return Finding(text, verdict, look.kept, len(look.margins), *shown, float(np.mean(look.margins)), low, high, why)


def passed_over(one: Finding, rule: Condition, records: Sequence[Record]) -> Finding:
    """The verdict, with the requests that still wait at the horizon where it is kept because of them."""
    share = float(np.mean([rule.open_end(record) for record in records]))
    if one.verdict == BROKEN or not share:
        return one
    said = (
        f"{percent(share)} of requests are unfinished at the horizon and count as neither lost nor served; it would be "
        "broken if they failed"
    )
    return replace(one, note=said)


def shown_of(rule: Condition, records: Sequence[Record]) -> tuple[str, str]:
    """What runs reached, and the limit, in words."""
    times = rule.kind == "within"
    quantiles = [quantile(r.histogram(KINDS[rule.what], rule.of), rule.target) for r in records if times]
    return in_words(rule, [reached(rule, record) for record in records], quantiles)


def in_words(rule: Condition, values: Sequence[float], quantiles: Sequence[float]) -> tuple[str, str]:
    """What runs reached on average, with its interval, and the limit; quantiles: of each run, where it is of a time."""
    mean = float(np.mean(values))
    if rule.kind in ("costs", "earns"):
        sign = "<=" if rule.kind == "costs" else ">="
        return between(usd, mean, mean_interval(values)), f"{sign} {usd(rule.target)}"
    if math.isnan(mean):
        return "nobody was there", percent(rule.target)
    shown = between(percent, mean, mean_interval(values, "share"))
    if rule.kind == "alive":
        return f"{shown} in time", "the scenario's 'alive'"
    if rule.kind == "within":
        typical = quantile_interval(quantiles, 0.5)  # of the median run: one that never ends hides no other
        time = between(time_in_words, float(np.median(quantiles)), typical)
        return f"{time}; {shown} within {duration(rule.seconds)}", f"<= {duration(rule.seconds)}"
    return shown, f"{'<=' if rule.kind == 'at most' else '>='} {percent(rule.target)}"


def between(write: Any, mean: float, interval: Interval) -> str:
    """A mean with its interval, where there is one."""
    low, high = interval
    return f"{write(mean)} ({write(low)} to {write(high)})" if low < high else str(write(mean))


def against(
    text: str,
    rule: Regression,
    now: Mapping[int, Mapping[str, Any]],
    before: Mapping[int, Mapping[str, Any]],
    confidence: float,
) -> Finding:
    """The verdict on a promise of no regression: the interval of the mean gain, paired by seed, on one side of 0.

    With too few seeds in common for an interval, a run that is worse breaks it, and only equal runs keep it. A figure
    that is not known breaks it.
    """
    common = [seed for seed in now if seed in before]
    ours, theirs = ([runs[seed][rule.of.figure] for seed in common] for runs in (now, before))
    gains = rule.gains(ours, theirs)
    low, high = t_interval(gains, confidence)
    why = f"paired with the baseline over {len(common)} seed{'s' if len(common) > 1 else ''}"
    endless = bool(np.isinf(gains).any()) and len(common) >= FEWEST  # no interval, though there are runs enough
    if np.isnan(gains).any():
        verdict, why = BROKEN, "the figure is not known in every run, which keeps no promise"
    elif (gains == rule.tolerance).all() or low >= 0 or (endless and float(gains.min()) >= 0):
        verdict = KEPT
    elif high < 0 or (math.isnan(low) and float(np.sum(gains)) < 0):
        verdict = BROKEN
    else:
        verdict = UNDECIDED
        why += f"; an interval takes {FEWEST}" if len(common) < FEWEST else ", too few to tell"
    shown = [between(writer(rule), float(np.mean(values)), NONE) for values in (ours, theirs)]
    tolerance = f", {percent(rule.tolerance)} worse at most" if rule.tolerance else ""
    kept, mean = int((gains >= 0).sum()), float(np.mean(gains))
    return Finding(text, verdict, kept, len(common), shown[0], f"{shown[1]}{tolerance}", mean, low, high, why)


def writer(rule: Regression) -> Any:
    return {"seconds": time_in_words, "share": percent, "dollars": usd, "number": amount}[rule.of.unit]
