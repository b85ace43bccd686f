"""Promises of no regression, like "cost at most 5 % worse than baseline": runs against saved runs, by seed."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.results.run import Run, load_run
from sim.results.timeline import ERROR
from sim.scenario.scenario import Scenario
from sim.studies.answer_folder import COMPARISON, load_comparison
from sim.studies.compare import Comparison
from sim.studies.configurations import changes
from sim.studies.differences import unit_of
from sim.studies.promise import about_baseline
from sim.studies.run_record import record_of
from sim.units import fraction

FORM = re.compile(r"(?P<what>.+?) (?:no|at most (?P<most>[\d./]+\s*%?)) worse than(?: the)? baseline", re.IGNORECASE)
EXPECTED = "like 'in time no worse than baseline' or 'p95 latency at most 5 % worse than baseline', of one of "
USUAL = ("alive no worse than baseline", "in time no worse than baseline", "p95 latency no worse than baseline")


@dataclass(frozen=True)
class Compared:
    """A figure of a run that can be held against a baseline."""

    figure: str
    more_is_better: bool = True

    @property
    def unit(self) -> str:
        """What it is counted in; of a share, differences are in points."""
        return "share" if self.figure == "alive" else unit_of(self.figure)


FIGURES = {
    "alive": Compared("alive"),
    "in time": Compared("attainment"),
    "images in time": Compared("images_worth"),
    "p95 latency": Compared("p95_latency", more_is_better=False),
    "p95 first token": Compared("p95_first_token", more_is_better=False),
    "p95 per token": Compared("p95_per_token", more_is_better=False),
    "lost": Compared("lost", more_is_better=False),
    "people kept": Compared("kept"),
    "cost": Compared("dollars", more_is_better=False),
    "profit": Compared("margin"),
    "energy": Compared("kwh", more_is_better=False),
}


@dataclass(frozen=True)
class Regression:
    """A condition that a figure is no worse than that of a baseline, but for a tolerance.

    tolerance: in points where the figure is a share, else as a share of the baseline's mean.
    """

    what: str
    tolerance: float = 0.0

    @property
    def of(self) -> Compared:
        return FIGURES[self.what]

    def gains(self, now: Sequence[float], before: Sequence[float]) -> NDArray[np.float64]:
        """By how much each run is better than its baseline may demand, as a share; below 0: it is worse.

        Equal runs, infinite ones too, differ by nothing; nor do quantiles that are as near as a recorded histogram
        tells. nan where a figure is not known.
        """
        ours, theirs = np.asarray(now, dtype=float), np.asarray(before, dtype=float)
        near = ERROR * np.abs(theirs) if self.of.unit == "seconds" else np.zeros(len(theirs))
        with np.errstate(invalid="ignore"):
            apart = np.where((ours == theirs) | (np.abs(ours - theirs) <= near), 0.0, ours - theirs)
        whole = 1.0 if self.of.unit == "share" else abs(float(np.mean(theirs)))
        if math.isfinite(whole) and whole > 0:
            apart = apart / whole
        return np.asarray(apart * (1 if self.of.more_is_better else -1) + self.tolerance, dtype=float)


def read_regression(text: str) -> Regression | None:
    """A condition against a baseline; None where the words are of another kind. Raises BadInput."""
    if not about_baseline(text):
        return None
    found = FORM.fullmatch(text.strip())
    expected = EXPECTED + ", ".join(FIGURES)
    if found is None or found["what"].lower() not in FIGURES:
        raise BadInput("this promise cannot be read", key="promise", value=text, expected=expected)
    try:
        return Regression(found["what"].lower(), fraction(found["most"] or 0.0))
    except ValueError:
        raise BadInput("this tolerance is no share", key="promise", value=text, expected=expected) from None


@dataclass(frozen=True)
class Baseline:
    """Figures by seed, and a run of the same playbook where one was saved, which knows its scenario."""

    figures: dict[int, dict[str, Any]]
    run: Run | None = None

    def changed(self, scenario: Scenario, playbook: str) -> dict[str, tuple[Any, Any]]:
        """The keys of the scenario that differ now, with their values then and now; 'playbook' where that does."""
        if self.run is None:
            return {}
        then = str(self.run.manifest["playbook"])
        found = changes(self.run.manifest["scenario"], scenario.document)
        return {**found, **({"playbook": (then, playbook)} if then != playbook else {})}


def baseline_of(saved: Path | str | Comparison | Run, playbook: str) -> Baseline:
    """A playbook in a saved comparison, or a saved run. Raises BadInput."""
    runs: list[Run] = []
    if isinstance(saved, str | Path) and (Path(saved) / COMPARISON).is_file():
        saved, runs = load_comparison(Path(saved))
    elif isinstance(saved, str | Path):
        saved = load_run(Path(saved))
    if isinstance(saved, Run):
        return Baseline({int(saved.manifest["seed"]): by_name(record_of(saved).figures)}, saved)
    under = [label for label, about in saved.configurations.items() if about["playbook"] == playbook]
    label = under[0] if len(under) == 1 and playbook not in saved.playbooks else playbook
    if label not in saved.playbooks:
        expected = f"a comparison with this playbook; it has {', '.join(saved.playbooks)}"
        raise BadInput("the baseline has no such playbook", key="baseline", value=playbook, expected=expected)
    figures = {int(str(seed)): by_name(row) for seed, row in saved.runs(label).to_dict("index").items()}
    return Baseline(figures, dict(zip(saved.playbooks, runs, strict=False)).get(label))


def by_name(figures: Mapping[Any, Any]) -> dict[str, Any]:
    """The figures that can be compared."""
    return {one.figure: float(figures.get(one.figure, math.nan)) for one in FIGURES.values()}
