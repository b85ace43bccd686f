"""What runs show of one promise: how many keep it, what they reach, and what the verdict passes over."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from sim.results.intervals import NONE, Interval, mean_interval, quantile_interval, t_interval
from sim.results.latencies import in_words as time_in_words
from sim.results.latencies import quantile
from sim.results.run import Run
from sim.scenario.document import explained
from sim.scenario.fields import ScenarioFields
from sim.studies.promise import KINDS, Condition, about_baseline, parts_of, read_condition
from sim.studies.run_record import Record, record_of
from sim.wording import duration, percent, usd

KEPT, BROKEN, UNDECIDED = "kept", "broken", "undecided"
FEW_OUT = 0.005  # of those who came to sign up: fewer are not worth a sentence
NOT_JUDGED = "not judged"
NEEDS = "only 'meltpoint check --baseline' judges it"


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


def reached(rule: Condition, record: Record) -> float:
    """What is shown of one run: for `alive`, the share of requests in time."""
    return float(record.figures["attainment"]) if rule.kind == "alive" else rule.reached(record)


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


def kept_out(share: float) -> list[str]:
    """That people who were not let in have no part in a promise, where there were some in a hundred."""
    if share < FEW_OUT:
        return []
    return [
        f"KEPT OUT: {percent(share)} of the people who came to sign up had not been let in at the horizon. They asked "
        "for nothing, so no promise counts them."
    ]


def counted(text: str, rule: Condition, records: Sequence[Record]) -> Finding:
    """How many of these runs keep one promise: kept if all do, whatever other runs would."""
    margins = [rule.margin(one) for one in records]
    held = sum(margin >= 0 for margin in margins)
    verdict = KEPT if held == len(margins) else BROKEN
    shown = shown_of(rule, records)
    one = Finding(text, verdict, held, len(margins), *shown, float(np.mean(margins)), *t_interval(margins))
    return passed_over(one, rule, records)


def own_promises(scenario: ScenarioFields) -> dict[str, Condition | None]:
    """Every condition that a scenario promises, by its words; None where only a baseline tells. Raises BadInput."""
    parts = [part for text in scenario.promises for part in parts_of(text)]
    return {part: None if about_baseline(part) else read_condition(part, scenario) for part in parts}


def own_findings(scenario: ScenarioFields, records: Sequence[Record]) -> list[Finding]:
    """How runs of a scenario keep each of its promises. Raises BadInput where one cannot be read."""
    without = Finding("", UNDECIDED, 0, len(records), NOT_JUDGED, "that of a baseline", math.nan, *NONE, note=NEEDS)
    return [
        replace(without, promise=text) if rule is None else counted(text, rule, records)
        for text, rule in own_promises(scenario).items()
    ]


def findings_of(run: Run) -> list[Finding]:
    """How one run keeps the promises of its scenario, which are in its manifest. Raises BadInput."""
    document = run.manifest.get("scenario") or {}
    if not document.get("promises"):
        return []
    try:
        return own_findings(ScenarioFields.model_validate(document), [record_of(run)])
    except ValidationError as wrong:
        raise explained(wrong, document, ScenarioFields) from None
