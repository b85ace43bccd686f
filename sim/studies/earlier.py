"""A comparison held against an earlier one that was saved: the same labels and seeds, then and now."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sim.errors import BadInput
from sim.results.intervals import holm
from sim.results.run import Run
from sim.studies.compare import Comparison
from sim.studies.configurations import changes
from sim.studies.differences import LABELS, difference_of, mean_of


def since(now: Comparison, then: Comparison) -> pd.DataFrame:
    """One row per playbook or configuration and figure that both have: means then and now, and the difference.

    Differences are paired over the seeds that both have, with their interval (95 %; nan for fewer than three), p, and
    p_holm, corrected for the number of playbooks. Raises BadInput where they have no label or no seed in common.
    """
    names, seeds = in_common(now.ranking, now.seeds, then)
    metrics = [str(name) for name in now.table.columns if name not in LABELS and name in then.table.columns]
    rows = []
    for name in names:
        ours, before = now.runs(name).loc[seeds], then.runs(name).loc[seeds]
        for metric in metrics:
            found = difference_of(ours, before, metric)
            rows.append((name, metric, mean_of(before, metric), mean_of(ours, metric), *found))
    columns = ["playbook", "metric", "then", "now", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_holm=table.groupby("metric")["p"].transform(lambda p: pd.Series(holm(p), index=p.index)))


def in_common(labels: Sequence[str], seeds: Sequence[int], then: Comparison) -> tuple[list[str], list[int]]:
    """The labels and seeds that an earlier comparison has too. Raises BadInput where there are none."""
    names, both = [name for name in labels if name in then.playbooks], [seed for seed in seeds if seed in then.seeds]
    if not names or not both:
        what, known = ("seed", then.seeds) if names else ("playbook or configuration", then.playbooks)
        expected = (
            f"one with {' or '.join(map(str, labels if not names else seeds))}; it has {', '.join(map(str, known))}"
        )
        raise BadInput(f"the earlier comparison has no {what} of this one", key="against", expected=expected)
    return names, both


def changed_since(now: Sequence[Run], then: Sequence[Run], labels: Sequence[str], earlier: Sequence[str]) -> list[str]:
    """Sentences: what was changed meanwhile in the scenarios of the same labels, and in the versions."""
    before, found = dict(zip(earlier, then, strict=True)), []
    for label, run in zip(labels, now, strict=True):
        if label not in before:
            continue
        old = before[label].manifest
        differing: dict[str, tuple[Any, Any]] = changes(old["scenario"], run.manifest["scenario"])
        if old["playbook"] != run.manifest["playbook"]:
            differing["playbook"] = old["playbook"], run.manifest["playbook"]
        versions = changes(old["versions"], run.manifest["versions"])
        said = [f"{key} {shown(a)} -> {shown(b)}" for key, (a, b) in {**differing, **versions}.items()]
        found.append(f"'{label}': {'; '.join(said) if said else 'nothing was changed'}.")
    return found


def shown(value: Any) -> str:
    """A value of a scenario in a sentence."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
