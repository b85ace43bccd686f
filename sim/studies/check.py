"""A check: whether runs of a scenario keep its promises, one verdict per promise, for people and for a build server."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.results.intervals import FEWEST, NONE, t_interval
from sim.results.latencies import in_words as time_in_words
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.studies.baseline import USUAL, Baseline, Regression, baseline_of, by_name, read_regression
from sim.studies.compare import Comparison
from sim.studies.configurations import SERVICE
from sim.studies.earlier import shown
from sim.studies.executors import Executor, Report, itself
from sim.studies.looks import refuse_unusable
from sim.studies.playbook_names import name_of
from sim.studies.promise import Condition, parts_of, read_condition
from sim.studies.promise_findings import BROKEN, KEPT, UNDECIDED, Finding, between, counted, passed_over, shown_of
from sim.studies.run_record import Record, record_of
from sim.studies.runs import running
from sim.studies.search import Look, clean_runs, why_counted
from sim.studies.store import Cell, Store
from sim.wording import amount, percent, usd

CODES = {KEPT: 0, BROKEN: 1, UNDECIDED: 3}  # exit codes; 2 is bad input
VERDICTS = {"meets": KEPT, "misses": BROKEN, "undecided": UNDECIDED}
ALIVE = ("alive",)  # what is checked where a scenario promises nothing: every scenario defines it
Rule = Condition | Regression


@dataclass(frozen=True)
class Check:
    """All promises of a scenario under one playbook.

    changed: keys that the baseline has otherwise, then and now. kept_out: the share of the people who came to sign up
    that had not been let in at the horizon.
    """

    title: str
    playbook: str
    seeds: tuple[int, ...]
    runs: float
    confidence: float
    findings: list[Finding]
    changed: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    kept_out: float = 0.0

    @property
    def since(self) -> str:
        """A sentence on what differs from the scenario of the baseline, and whether its people may; '' for nothing."""
        if not self.changed:
            return ""
        said = "; ".join(f"{key} {shown(before)} -> {shown(now)}" for key, (before, now) in self.changed.items())
        others = "" if self.same_people else " People or their requests differ, so runs share only their seeds."
        return f"Changed since the baseline: {said}.{others}"

    @property
    def same_people(self) -> bool:
        return all(key.split(".")[0] in (*SERVICE, "playbook") for key in self.changed)

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
    name = name_of(scenario, playbook)
    refuse_unusable(seeds, runs, confidence)
    rules = promised(scenario, promises, against=baseline is not None)
    then = Baseline({}) if baseline is None else baseline_of(baseline, name)
    before = then.figures
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
    out = float(np.mean([record.kept_out for record in records]))
    return Check(scenario.title, name, numbers, runs, confidence, found, then.changed(scenario, name), out)


def check_run(run: Run, scenario: Scenario) -> Check:
    """Hold one run to the promises of its scenario: each is kept or broken by this run, whatever others would do."""
    rules = promised(scenario, None, against=False)
    record, seeds = record_of(run), (int(run.manifest["seed"]),)
    found = [counted(text, rule, [record]) for text, rule in rules.items() if isinstance(rule, Condition)]
    name, out = run.manifest["playbook"], record.kept_out
    return Check(scenario.title, name, seeds, 1.0, math.nan, found, kept_out=out)


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
        only = f" {why_counted(look)}, so runs are only counted." if look.counted else ""
        why = (
            f"kept in {look.kept} of {len(look.margins)} runs, which does not tell whether {percent(look.runs)} of all "
            f"would keep it.{only} More --seeds narrow it down; {many} are enough if none breaks it."
        )
    return Finding(text, verdict, look.kept, len(look.margins), *shown, float(np.mean(look.margins)), low, high, why)


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
