"""A run's record: the few figures of it that a study needs, small enough to keep for every run ever made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.results.fairness import fairness
from sim.results.intents import window_of
from sim.results.metrics import bins, features_of, recorded
from sim.results.run import Run
from sim.results.storms import stays
from sim.results.timeline import BUCKETS, DECIDED, IN_TIME, JUDGED, KEPT, LATENCIES, OFFERED_FIRST, bucket_of
from sim.results.verdict import run_in_bins
from sim.studies.figures import figures

FORMAT = "figures/2"  # named in the key under which a record is kept: another content is another name

WINDOWED = (DECIDED, IN_TIME, JUDGED, KEPT)
LABELS = ("playbook", "seed")  # of the study, not of the run


@dataclass(frozen=True)
class Record:
    """Plain values throughout, as JSON has them.

    figures: as in a comparison, at full scale. counts: by tier, feature and sim.results.timeline.COUNTS. windows: by
    window of `alive`, tier, feature and WINDOWED. Both are of the slice, from the warm-up on. latencies: by kind, tier
    and feature, the buckets that hold something, and how much. offered: by window and pool, the GPUs (at full scale)
    that first requests would keep busy. stayed_down: whether retries held a pool down at the end. groups: one row per
    group of people (sim.results.fairness); none where no rows of people were recorded.
    """

    figures: dict[str, Any]
    tiers: list[str]
    features: list[str]
    pools: list[str]
    alive: dict[str, Any]
    counts: list[list[list[int]]]
    windows: list[list[list[list[int]]]]
    latencies: list[list[list[list[list[int]]]]]
    offered: list[list[float]]
    stayed_down: bool
    groups: list[dict[str, Any]]

    def total(self, count: int, scope: str = "") -> int:
        """One of COUNTS over the run, in all or of a tier or a feature."""
        return int(np.array(self.counts, dtype=np.int64)[(*self.places(scope), count)].sum())

    def in_windows(self, scope: str = "") -> NDArray[np.int64]:
        """The counts of WINDOWED in each window: one row per window."""
        return np.array(self.windows, dtype=np.int64)[(slice(None), *self.places(scope))].sum(axis=(1, 2))

    def histogram(self, kind: tuple[str, str], scope: str = "") -> NDArray[np.int64]:
        """How many waits or latencies of a kind (of LATENCIES) lie in each bucket; the last is of none that came."""
        place, (tiers, features) = LATENCIES.index(kind), self.places(scope)
        found = np.zeros(BUCKETS, dtype=np.int64)
        for tier in self.latencies[place][tiers]:
            for buckets, numbers in tier[features]:
                found[np.array(buckets, dtype=np.intp)] += np.array(numbers, dtype=np.int64)
        return found

    def share_within(self, kind: tuple[str, str], seconds: float, scope: str = "") -> float:
        """The share of waits or latencies of a kind up to some seconds; nan where there are none."""
        found = self.histogram(kind, scope)
        limit = min(int(bucket_of(np.array([seconds]))[0]), BUCKETS - 2)
        every = int(found.sum())
        return int(found[: limit + 1].sum()) / every if every else float("nan")

    @property
    def kept_out(self) -> float:
        """The share of the people who came to sign up that had not been let in by the end: no promise counts them."""
        came = float(self.figures["signups"])
        return 1 - float(self.figures["let_in"]) / came if came else 0.0

    def places(self, scope: str) -> tuple[slice, slice]:
        """Where a tier or a feature stands among the tiers and features; all of them for none."""
        some, every = (lambda names: slice(names.index(scope), names.index(scope) + 1)), slice(None)
        if not scope:
            return every, every
        return (some(self.tiers), every) if scope in self.tiers else (every, some(self.features))


def record_of(run: Run) -> Record:
    whole, m = run_in_bins(run), run.manifest
    line = recorded(whole)
    begin = window_of(run, None)[0]
    edges = bins(whole, m["alive"]["window"], begin=begin)
    windows = line.between(edges)
    widths = np.diff(edges) * run.scale
    work = windows.seconds[..., OFFERED_FIRST].sum(axis=1)  # by window and feature
    groups = fairness(whole)
    found = {n: v.item() if isinstance(v, np.generic) else v for n, v in figures(whole).items() if n not in LABELS}
    if groups is not None:
        of_all = groups.reindex(["all"]).iloc[0]  # nan where nobody asked
        found |= {name: float(of_all[name]) for name in ("images_per_person", "gini", "jain")}
    offered = [work[:, features_of(run, pool)].sum(axis=1) / widths for pool in m["pools"]]
    return Record(
        figures=found,
        tiers=list(m["tiers"]),
        features=list(m["features"]),
        pools=list(m["pools"]),
        alive=dict(m["alive"]),
        counts=windows.counts.sum(axis=0).tolist(),
        windows=windows.counts[..., WINDOWED].tolist(),
        latencies=[[[sparse(cell) for cell in tier] for tier in kind] for kind in line.latencies],
        offered=np.column_stack(offered).tolist(),
        stayed_down=bool(stays(whole)),
        groups=[]
        if groups is None
        else [dict(zip(map(str, r), r.values(), strict=True)) for r in groups.reset_index().to_dict("records")],
    )


def sparse(histogram: NDArray[np.int64]) -> list[list[int]]:
    """The buckets that hold something, and how much each holds."""
    some = np.flatnonzero(histogram)
    return [some.tolist(), histogram[some].tolist()]
