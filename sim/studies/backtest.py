"""An incident run again: what a playbook would have saved had it begun earlier, with an interval."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from sim.engine.simulate import chosen
from sim.errors import BadInput
from sim.policies.playbook import Step
from sim.scenario.scenario import Scenario
from sim.studies.compare import Comparison, compare
from sim.studies.executors import Executor, Report
from sim.wording import duration, percent, points

METRICS = {"images_share": "images in time, of an unlimited fleet's", "attainment": "requests answered in time"}


class Backtest(NamedTuple):
    """Runs of the incident as it was (the baseline), under the playbook, and under the same playbook begun earlier."""

    comparison: Comparison
    was: str
    labels: tuple[str, ...]

    def sentences(self) -> list[str]:
        """One a figure and playbook: its mean, and the difference from the incident as it was with its interval."""
        found = []
        table = self.comparison.differences
        for label in self.labels:
            for metric, words in METRICS.items():
                row = table[(table["playbook"] == label) & (table["metric"] == metric)].iloc[0]
                said = f"{label}: {percent(row['mean'])} {words}"
                if label != self.was:
                    low, high = float(row["low"]), float(row["high"])
                    between = f", {points(low)} to {points(high)} at 95 %" if not math.isnan(low) else ""
                    said += f" ({points(row['difference'])} points against '{self.was}'{between})"
                found.append(said)
        return found

    @property
    def caution(self) -> str:
        """The sentence about what the intervals cover, or why there are none."""
        if self.comparison.differences["low"].isna().all():
            return "There are no intervals: they take 3 seeds or more, and cover chance alone."
        return "Intervals cover chance (seeds) alone, not the uncertainty of the fitted values."


def earlier(scenario: Scenario, playbook: str, seconds: float) -> list[Step]:
    """The steps of a playbook that have a date begun `seconds` earlier. Raises BadInput for one that cannot be."""
    steps = scenario.playbooks[playbook]
    begins = [scenario.seconds(step.from_) for step in steps]
    first = min((at for at in begins if at), default=0.0)
    if not first:
        expected = "a playbook with a step that has a date, like {policy: ..., from: 40 min}"
        what = "is in force from the start" if steps else "does nothing"
        raise BadInput(f"this playbook {what}", key="--playbook", value=playbook, expected=expected)
    if seconds > first:
        what = f"'{playbook}' begins {duration(first)} after the start, so it cannot begin so much earlier"
        expected = "less than that, or a scenario from a log that begins sooner"
        raise BadInput(what, key="--earlier", value=duration(seconds), expected=expected)
    return [
        step.model_copy(update={"from_": at - seconds if at else 0.0}) for step, at in zip(steps, begins, strict=True)
    ]


def backtest(
    scenario: Scenario,
    playbook: str,
    by: Sequence[float],
    *,
    was: str | None = None,
    seeds: int = 8,
    executor: Executor | None = None,
    progress: Report | None = None,
) -> Backtest:
    """The playbook as dated and begun earlier by each of `by` (seconds), against `was` (the first playbook).

    Raises BadInput for a playbook that the scenario does not have, or that has no date.
    """
    was = was or next(iter(scenario.playbooks))
    for name in (was, playbook):
        chosen(scenario, name)
    rows: list[tuple[str, Scenario, str | list[Step]]] = [(was, scenario, was)]
    if playbook != was:
        rows.append((playbook, scenario, playbook))
    rows += [(f"{playbook}, {s / 60:g} min earlier", scenario, earlier(scenario, playbook, s)) for s in by]
    comparison, _ = compare(rows, seeds=seeds, executor=executor, progress=progress)
    return Backtest(comparison, was, tuple(label for label, _, _ in rows))
