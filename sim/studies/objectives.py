"""What playbooks are ranked by: each objective is a named figure of a run and of its reference, an unlimited fleet."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sim.errors import BadInput
from sim.results.intervals import Kind
from sim.wording import amount, percent, usd

Figures = Mapping[str, Any]  # of one run, as sim.studies.figures.figures gives them


class Ratio(NamedTuple):
    """A figure that is `times` one figure over another."""

    times: float
    part: str
    whole: str


@dataclass(frozen=True)
class Objective:
    """A figure by which playbooks are ranked.

    of(figures, reference): the figure of a run, given its figures and those of the unlimited fleet that served the same
    people (same seed). It becomes the column `figure` of a comparison. kind: where its values can lie.
    """

    name: str  # as --by takes it
    figure: str
    title: str  # of a column
    says: str  # what it is, at the head of a table
    got: str  # for a sentence: '71 % {got}'
    of: Callable[[Figures, Figures], float]
    kind: Kind = "share"  # of something, or else dollars
    more_is_better: bool = True
    ratio: Ratio | None = None  # over several runs: of their sums, which is not the mean of their ratios

    def written(self, value: float) -> str:
        return percent(value) if self.kind == "share" else usd(value)

    def apart(self, difference: float, low: float = math.nan, high: float = math.nan) -> str:
        """A difference in words, with its interval if it has one: in points, where the figure is a share."""
        if self.kind != "share":
            return f"{usd(difference)}{f' ({usd(low)} to {usd(high)})' if low < high else ''}"
        after = " point" if amount(100 * difference) == "1" and not low < high else " points"
        bounds = f" ({amount(100 * low)} to {amount(100 * high)})" if low < high else ""
        return f"{amount(100 * difference)}{after}{bounds}"

    def rank_key(self, mean: float) -> float:
        """Ascending, the best first; an unknown value is the worst."""
        return math.inf if math.isnan(mean) else -mean if self.more_is_better else mean


def over(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective(
            "images",
            "images_share",
            "images of an unlimited fleet",
            "images in time, as a share of those that an unlimited fleet gives the same people",
            "of the images of an unlimited fleet",
            lambda run, free: over(run["images_worth"], free["images_worth"]),
        ),
        Objective(
            "people",
            "people_share",
            "people kept",
            "people who were let in and have not left for good, as a share of those whom an unlimited fleet keeps",
            "of the people whom an unlimited fleet keeps",
            lambda run, free: over(run["kept"], free["kept"]),
        ),
        Objective(
            "attainment",
            "attainment",
            "requests in time",
            "requests with an image in time, of all that were made (people who were never let in make none)",
            "of all requests in time",
            lambda run, free: float(run["attainment"]),
        ),
        Objective(
            "cost",
            "dollars_per_1000_images",
            "cost of 1,000 images in time",
            "dollars for a thousand images in time, of all GPUs in service, busy or idle",
            "for a thousand images in time",
            lambda run, free: over(1000 * run["dollars"], run["images_worth"]),
            kind="amount",
            more_is_better=False,
            ratio=Ratio(1000, "dollars", "images_worth"),
        ),
        Objective(
            "money",
            "dollars_earned",
            "revenue less GPUs",
            "revenue of the run and of the months after it that it decides, less what the GPUs cost",
            "of revenue less GPUs",
            lambda run, free: float(run["margin"]),
            kind="amount",
        ),
    )
}


def with_price(figures: Figures) -> dict[str, Any]:
    """The figures of one run, and what a thousand images in time cost in it."""
    cost = OBJECTIVES["cost"]
    return {**figures, cost.figure: cost.of(figures, figures)}


def objective_called(name: str) -> Objective:
    """The objective of this name. Raises BadInput."""
    if name not in OBJECTIVES:
        raise BadInput("playbooks cannot be ranked by this", key="by", value=name, expected=" or ".join(OBJECTIVES))
    return OBJECTIVES[name]
