"""A timeline made from the rows of a run, in any bins: what the compiled engine counts while it runs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.model.gateway import REASONS
from sim.model.request import ABANDONED, SERVED
from sim.results.intents import LOST, Floats, every_row, intents, lagging, looked_up, token_times, was_granted
from sim.results.run import Run
from sim.results.timeline import BUCKETS, Timeline, bucket_of, grid
from sim.scenario.serving_options import BATCHES

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def timeline_of(run: Run, edges: Floats | None = None) -> Timeline:
    """The timeline of a run with all its rows, in bins between these ascending edges, or else in those of a recording.

    Raises BadInput where not every row was recorded.
    """
    bins = Bins(
        grid(run.horizon) if edges is None else np.asarray(edges, dtype=float),
        run.horizon,
        (len(run.manifest["tiers"]), len(run.manifest["features"])),
    )
    rows, wishes = every_row(run), intents(run, (0.0, run.horizon))
    users = run.users
    return Timeline(
        edges=bins.edges,
        counts=np.stack([*wish_counts(run, bins, wishes), *attempt_counts(run, bins, rows)], axis=-1),
        seconds=np.stack([*wanted_seconds(run, bins, rows), *spent_seconds(run, bins, rows)], axis=-1),
        queue=np.column_stack([open_seconds(*queue_spans(run, pool), bins.edges) for pool in run.manifest["pools"]]),
        signups=np.histogram(users.loc[users["newcomer"], "arrives"], bins.edges)[0],
        latencies=histograms(run, rows, wishes),
        joules=joules_of(run, (float(run.manifest["warm_up"]), run.horizon)),
        peaks=np.array([peak_of(run, pool) for pool in run.manifest["pools"]]),
        people=people_of(users),
    )


@dataclass(frozen=True)
class Bins:
    """Where things are counted: bins between `edges`, each of (tiers, features) cells."""

    edges: Floats
    horizon: float
    cells: tuple[int, int]

    def count(self, instants: Floats, cells: Ints, weights: Floats | None = None) -> NDArray[Any]:
        """How many of these instants lie in each bin and cell, or the sums of their weights; nan lies nowhere."""
        number, every = len(self.edges) - 1, self.cells[0] * self.cells[1]
        place = np.searchsorted(self.edges, instants, side="right") - 1
        if self.edges[-1] >= self.horizon:
            place[instants == self.horizon] = number - 1
        inside = (place >= 0) & (place < number)
        given = None if weights is None else weights[inside]
        return np.bincount(place[inside] * every + cells[inside], given, number * every).reshape(number, *self.cells)


def cells_of(run: Run, table: pd.DataFrame) -> Ints:
    """The cell of each row by its tier and feature."""
    tiers, features = (
        table[name].cat.set_categories(list(run.manifest[of])).cat.codes.to_numpy().astype(np.int64)
        for name, of in (("tier", "tiers"), ("feature", "features"))
    )
    return tiers * len(run.manifest["features"]) + features


def wish_counts(run: Run, bins: Bins, wishes: pd.DataFrame) -> list[Ints]:
    """The counts made when an image is first wanted, in the order of sim.results.timeline.WANTED."""
    wanted, cells = wishes["wanted"].to_numpy(), cells_of(run, wishes)
    degraded, in_time, images = (wishes[name].to_numpy() for name in ("degraded", "in_time", "images"))
    outcome = wishes["outcome"]
    some = [np.ones(len(wishes), bool), (outcome == SERVED).to_numpy(), in_time, degraded]
    some += [(outcome == LOST).to_numpy(), wishes["decided"].to_numpy()]
    sums = [bins.count(wanted[m], cells[m], images[m].astype(float)) for m in (in_time & ~degraded, in_time & degraded)]
    return [*(bins.count(wanted[mask], cells[mask]) for mask in some), *(part.astype(np.int64) for part in sums)]


def attempt_counts(run: Run, bins: Bins, rows: pd.DataFrame) -> list[Ints]:
    """The counts made when an attempt arrives, and when it ends, in the order of ARRIVED and HAPPENED."""
    cells, slos = cells_of(run, rows), {name: facts["slo"] for name, facts in run.manifest["features"].items()}
    slo = looked_up(rows["feature"], slos)
    arrived, finished, left = (rows[name].to_numpy() for name in ("arrived", "finished", "left"))
    served = (rows["outcome"] == SERVED).to_numpy()
    kept = served & (finished - arrived <= slo) & ~lagging(run, rows, arrived)
    # An attempt too young at the horizon to have missed its SLO says nothing yet.
    judged = was_granted(rows).to_numpy() & (served | (run.horizon - arrived > slo))
    some = [np.ones(len(rows), bool), rows["attempt"].to_numpy() > 0, (rows["outcome"] == ABANDONED).to_numpy()]
    some += [judged, kept, *((rows["reason"] == reason).to_numpy() for reason in REASONS[1:])]
    counts = [bins.count(arrived[mask], cells[mask]) for mask in some]
    degraded = rows["level"].to_numpy() > 0
    counts += [bins.count(finished[mask], cells[mask]) for mask in (served & ~degraded, served & degraded)]
    return [*counts, bins.count(left, cells)]


def wanted_seconds(run: Run, bins: Bins, rows: pd.DataFrame) -> list[Floats]:
    """GPU-seconds that attempts, and first attempts, ask for when they arrive, and that the granted ones need."""
    arrived, cells = rows["arrived"].to_numpy(), cells_of(run, rows)
    asked, needed = (work_of(run, rows, spec) for spec in ("asked", "spec"))
    first, granted = rows["attempt"].to_numpy() == 0, was_granted(rows).to_numpy()
    parts = [(slice(None), asked), (first, asked), (granted, needed)]
    return [bins.count(arrived[some], cells[some], work[some]) for some, work in parts]


def work_of(run: Run, rows: pd.DataFrame, spec: str) -> Floats:
    """GPU-seconds of each attempt in a full batch, at the spec in this column."""
    work = np.zeros(len(rows))
    for pool, facts in run.manifest["pools"].items():
        mine = (rows["pool"] == pool).to_numpy()
        work[mine] = looked_up(rows.loc[mine, spec], facts["gpu_seconds"])
    return work


def spent_seconds(run: Run, bins: Bins, rows: pd.DataFrame) -> list[Floats]:
    """GPU-seconds spent on images that users were waiting for, on images that they were not, and on loading models."""
    rows = rows.loc[rows["batch"].notna(), ["batch", "gpu_seconds", "tier", "feature", "outcome"]]
    of = rows["batch"].to_numpy(dtype=int)
    starts = run.batches["started"].to_numpy()[of]
    ends = ends_of(run)[of]
    served = np.minimum(starts + run.batches["loading"].to_numpy()[of], ends)  # from then on
    lasts, together = run.batches["seconds"].to_numpy(), [n for n, p in run.manifest["pools"].items() if runs_many(p)]
    if together:  # a GPU that runs many requests at once is theirs in part
        lasts = np.where(run.batches["pool"].isin(together), ends_of(run) - run.batches["started"].to_numpy(), lasts)
    a_second = rows["gpu_seconds"].to_numpy() / np.maximum(lasts[of], 1e-300)
    cells, wasted = cells_of(run, rows), (rows["outcome"] == ABANDONED).to_numpy()
    parts = [(~wasted, served, ends), (wasted, served, ends), (served > starts, starts, served)]
    found = [spread(bins, begin[m], end[m], a_second[m], cells[m]) for m, begin, end in parts]
    return [*found, lost_seconds(run, bins, lasts)]


def lost_seconds(run: Run, bins: Bins, lasts: Floats) -> Floats:
    """GPU-seconds spent on work that was lost. lasts: seconds of each batch, as for those of the others."""
    of = run.killed["batch"].to_numpy()
    a_second = run.killed["gpu_seconds"].to_numpy() / np.maximum(lasts[of], 1e-300)
    cells = cells_of(run, run.requests.iloc[run.killed["request"].to_numpy()][["tier", "feature"]])
    return spread(bins, run.batches["started"].to_numpy()[of], ends_of(run)[of], a_second, cells)


def ends_of(run: Run) -> Floats:
    return run.batches["finished"].fillna(run.horizon).to_numpy()


def runs_many(pool: dict[str, Any]) -> bool:
    """Whether the GPUs of a pool, as the manifest has it, run many requests at once."""
    return bool(pool["runs"] != BATCHES)


def spread(bins: Bins, starts: Floats, ends: Floats, a_second: Floats, cells: Ints) -> Floats:
    """Amounts that accrue evenly over intervals, by the bins and cells in which they do."""
    edges = bins.edges
    met = (ends > edges[0]) & (starts < edges[-1])
    starts, ends = np.maximum(starts[met], edges[0]), np.minimum(ends[met], edges[-1])
    first = np.searchsorted(edges, starts, side="right") - 1
    pieces = np.maximum(np.searchsorted(edges, ends, side="left") - first, 1)
    of = np.repeat(np.arange(len(first)), pieces)
    place = first[of] + np.arange(len(of)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begins = np.maximum(starts[of], edges[place])
    inside = np.minimum(ends[of], edges[place + 1]) - begins
    return bins.count(begins, cells[met][of], a_second[met][of] * inside)


def open_seconds(starts: Floats, ends: Floats, edges: Floats, times: Floats | None = None) -> Floats:
    """Intervals [start, end) open in each bin, times the seconds that they are; an interval without end stays open.

    times: an amount for each interval by which its seconds are multiplied.
    """
    widths, upper = np.diff(edges), np.append(edges, edges[-1])

    def passed(instants: Floats) -> tuple[NDArray[Any], Floats]:
        # How many came before each bin, and the seconds from those in it to its end: no large numbers that would
        # have to cancel. Those before all bins and those beyond (nan, too) are counted in two more.
        place = np.searchsorted(edges, instants, side="right")
        rest = upper[place] - instants
        if times is not None:
            rest *= times
        before = np.cumsum(np.bincount(place, times, minlength=len(upper)))[: len(widths)]
        return before, np.bincount(place, rest, len(upper))[1:-1].astype(float)

    (started, starting), (over, ending) = passed(starts), passed(ends)
    return (started - over) * widths + (starting - ending)


def queue_spans(run: Run, pool: str) -> tuple[Floats, Floats]:
    """When granted requests joined a pool's queue and left it (nan: it was still there at the horizon), in two lists.

    The two are of equal length; where work was lost, entries of one place may be of two stays in the queue.
    """
    granted = (every_row(run)["pool"] == pool) & was_granted(run.requests)
    rows = run.requests.loc[granted, ["arrived", "dequeued"]]
    again = run.batches.iloc[run.killed["batch"].to_numpy()]  # they left the queue once more before
    again = again[again["pool"] == pool]
    return tuple(
        np.concatenate([rows[name].to_numpy(), again[other].to_numpy()])
        for name, other in (("arrived", "finished"), ("dequeued", "started"))
    )  # type: ignore[return-value]


def peak_of(run: Run, pool: str) -> tuple[float, float, float, int]:
    """A pool's longest queue after the warm-up, since when, seconds until it was empty, requests at the horizon."""
    starts, ends = queue_spans(run, pool)
    left = int(np.isnan(ends).sum())
    ends = ends[~np.isnan(ends)]
    times = np.concatenate([starts, ends])
    # At one instant joins come before starts: a request that meets an idle GPU is in the queue for no time at all.
    order = np.lexsort((np.repeat([0, 1], [len(starts), len(ends)]), times))
    length = np.cumsum(np.repeat([1, -1], [len(starts), len(ends)])[order])
    times, begin = times[order], float(run.manifest["warm_up"])
    until = np.append(times[1:], np.inf)
    lasting = (until > times) & (until > begin)
    length, times = length[lasting], np.maximum(times[lasting], begin)
    if not length.any():
        return 0.0, np.nan, np.nan, left
    top = int(np.argmax(length))
    empty = np.flatnonzero(length[top:] == 0)
    drain = times[top + empty[0]] - times[top] if len(empty) else np.nan
    return float(length[top]), float(times[top]), float(drain), left


def histograms(run: Run, rows: pd.DataFrame, wishes: pd.DataFrame) -> Ints:
    """Waits and latencies of those who came after the warm-up, in the order of sim.results.timeline.LATENCIES."""
    served = rows[(rows["outcome"] == SERVED) & (rows["arrived"] >= run.manifest["warm_up"])]
    judged = wishes[wishes["decided"] & (wishes["wanted"] >= run.manifest["warm_up"])]
    shape = len(run.manifest["tiers"]), len(run.manifest["features"]), BUCKETS
    parts = [(served, served[name] - served["arrived"]) for name in ("started", "finished")]
    parts += [(judged, judged["latency"])]
    parts += [(served[some], seconds[some]) for seconds in token_times(served) for some in [seconds.notna()]]
    found = []
    for table, seconds in parts:
        flat = cells_of(run, table) * BUCKETS + bucket_of(seconds.to_numpy())
        found.append(np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape))
    return np.stack(found)


def clipped(starts: Floats, ends: Floats, window: tuple[float, float]) -> Floats:
    """Seconds of each interval inside a window; an interval without end lasts beyond it."""
    ends = np.where(np.isnan(ends), np.inf, ends)
    return np.clip(np.minimum(ends, window[1]) - np.maximum(starts, window[0]), 0.0, None)


def joules_of(run: Run, window: tuple[float, float]) -> Floats:
    """Energy of each pool's busy GPUs in a window; nan where the power of some batch is not known."""
    every_row(run)
    batches = run.batches
    seconds = clipped(batches["started"].to_numpy(), batches["finished"].to_numpy(), window)
    used, pool = seconds > 0, batches["pool"].cat.set_categories(list(run.manifest["pools"])).cat.codes.to_numpy()
    joules = (seconds * batches["watts"].to_numpy())[used]
    return np.bincount(pool[used], joules, len(run.manifest["pools"])).astype(float)


def people_of(users: pd.DataFrame) -> dict[str, int]:
    """How many people came to sign up, and what became of them."""
    new = users[users["newcomer"]]
    admitted, left = new["admitted"].notna(), new["left"].notna()
    return {
        "came": len(new),
        "let_in": int(admitted.sum()),
        "lost": int((~admitted & left).sum()),
        "invited": int(new["invited_by"].notna().sum()),
        "churned": int((users["left"].notna() & users["admitted"].notna()).sum()),
        "everybody": len(users),
    }
