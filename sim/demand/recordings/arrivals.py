"""From the stamps of a recording to the arrivals of its requests: the end or the start, coarse clocks, and a warning.

A server that stamps the answer records the queue's departures. Under overload these are regular, and a replay of them
meets no queue: with the duration beside it the arrival is the stamp less the duration. A coarse clock makes batches of
arrivals that never were: they are spread over the tick (uniform: as Poisson arrivals are, given their number).
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sim.demand.recordings.recorded_times import LONGEST, SECOND, RecordedTimes
from sim.errors import BadInput
from sim.model import streams
from sim.tables.times import Floats

TICKS = (86400.0, 3600.0, 900.0, 600.0, 300.0, 60.0, 30.0, 10.0, 5.0, 1.0, 0.1, 0.01, 0.001)  # seconds
TIED, FEWEST = 0.05, 20  # share of rows that repeat a stamp, and rows: from there on the clock is coarse
SPREAD = 1 << 61  # the entity of the draws that spread rows over a tick
OUT_OF_ORDER = 0.001  # of the rows: as few may be late in the log for other reasons
BIN, BINS, BUSY = 10.0, 30, 4.0  # seconds of a bin, bins of the busiest stretch, rows in a bin at least
FLAT = 1e-3  # the chance of counts as even as these under Poisson arrivals


def coarse_tick(times: RecordedTimes) -> float:
    """Seconds between two ticks of the clock where many rows share a stamp; 0 for a fine clock."""
    seconds = times.seconds[np.isfinite(times.seconds)]
    n = len(seconds)
    if n < FEWEST or n - distinct(seconds) < TIED * n:
        return 0.0
    for tick in TICKS:
        late = (times.start or 0) % round(tick * SECOND) / SECOND
        if on_ticks(seconds[:1000] + late, tick) and on_ticks(seconds + late, tick):
            return tick
    return 0.0


def distinct(seconds: Floats) -> int:
    """The number of distinct values."""
    steps = np.diff(seconds)
    return int((steps > 0).sum()) + 1 if (steps >= 0).all() else len(np.unique(seconds))


def on_ticks(seconds: Floats, tick: float) -> bool:
    ticks = seconds / tick
    return bool((np.abs(ticks - np.round(ticks)) * tick < 1e-6).all())


def spread(seconds: Floats, tick: float, seed: int) -> Floats:
    """Stamps moved into their tick by uniform draws, those of one tick in the order of the file."""
    u = np.asarray(streams.series(seed, streams.SERVEGEN, SPREAD, 0, len(seconds)))
    if (np.diff(seconds) >= 0).all():
        return np.sort(seconds + tick * u)  # no tick reaches into the next
    place = np.argsort(seconds, kind="stable")  # the rows of each tick, in order of the file
    moved = np.empty_like(seconds)
    moved[place] = np.sort(seconds[place] + tick * u[place])
    return moved


def stamped_by_order(seconds: Floats, durations: Floats, tick: float) -> str:
    """Whether lines in the order in which answers were sent are stamped at the 'start' or the 'end'; '' if unknown.

    Stamps of the end ascend; so do, for stamps of the start, the stamps plus durations. Where both do, requests that
    were in service together and whose durations fell by more than a tick speak for the start, once there are many.
    """
    known = np.isfinite(seconds) & np.isfinite(durations)
    at, lasts = seconds[known], durations[known]
    if len(at) < 2:
        return ""
    late_end, late_start = (out_of_order(values, tick) for values in (at, at + lasts))
    if late_end > OUT_OF_ORDER and late_start <= OUT_OF_ORDER:
        return "start"
    if late_start > OUT_OF_ORDER and late_end <= OUT_OF_ORDER:
        return "end"
    together = lasts[1:] > np.diff(at)
    fell = -np.diff(lasts) > max(tick, 1e-3)
    if late_end <= OUT_OF_ORDER and late_start <= OUT_OF_ORDER and (together & fell).sum() >= FEWEST:
        return "start"
    return ""


def out_of_order(values: Floats, tick: float) -> float:
    """The share of values that lie more than a tick before one above them."""
    return float((values < np.maximum.accumulate(values) - tick - 1e-3).mean())


def arrivals(
    times: RecordedTimes,
    durations: Floats | None,
    stamped: str,
    asked: str | None,
    seed: int,
    source: str,
    file: NDArray[np.int16] | None = None,
) -> tuple[RecordedTimes, tuple[str, ...]]:
    """Times of arrivals, and what was done, in words.

    durations: seconds of each row, nan where unknown. stamped: what the format says: 'start', 'end', or, where that is
    open, 'either' (else the end), 'start by default', 'a list' (perhaps sorted by its times) or ''. asked: what the
    user says. file: of each row, as files may be given in any order. Raises BadInput where nobody knows.
    """
    tick = coarse_tick(times)
    durations = None if durations is None or np.isnan(durations).all() else durations
    notes = []
    which = asked or stamped
    if which in ("either", "start by default", "a list", ""):
        order = by_file(times.seconds, file)
        lasted = None if durations is None else durations[order]
        which, why = from_order(times.seconds[order], lasted, tick, which, source)
        notes.append(why)
    seconds = times.seconds
    if tick:
        seconds = spread(seconds, tick, seed)
        stamps = distinct(times.seconds[np.isfinite(times.seconds)])
        notes.append(
            f"the clock is coarse: {len(seconds):,} rows have {stamps:,} stamps, multiples of {tick:g} s; each row "
            f"is moved into its tick at random (seeded), and waits below {tick:g} s are not known"
        )
    if which == "end":
        seconds, said = less_durations(seconds, durations)
        notes += said
    if (which != "end" or durations is None) and (share := flatness(seconds)):
        notes.append(
            f"warning: the busiest {BIN * BINS / 60:g} minutes are flat (variance / mean of counts by {BIN:g} s: "
            f"{share:.2f}, 1 for arrivals by chance): this is a limit, or departures, not the demand"
        )
    moved = replace(times, seconds=seconds, tick=tick)
    return (from_first(moved) if which == "end" else moved), tuple(notes)


def less_durations(ends: Floats, durations: Floats | None) -> tuple[Floats, list[str]]:
    """Arrivals of requests whose ends are stamped, and notes; the ends themselves without durations."""
    if durations is None:
        return ends, ["warning: stamps are ends and there is no duration, so these are departures, not arrivals"]
    notes, known = ["stamps are ends: arrivals are the stamps less the durations"], np.isfinite(durations)
    if not known.all():
        notes.append(f"{(~known).sum():,} rows have no duration: they are taken to have arrived at their stamp")
    return ends - np.where(known, durations, 0.0), notes


def by_file(seconds: Floats, file: NDArray[np.int16] | None) -> Any:
    """The rows in the order of their files' first times, those of one file as they are."""
    if file is None or not len(file) or file[0] == file[-1]:
        return slice(None)
    known = np.where(np.isfinite(seconds), seconds, np.inf)
    first = np.full(int(file.max()) + 1, np.inf)
    np.minimum.at(first, file, known)
    return np.argsort(first[file], kind="stable")


def from_order(seconds: Floats, durations: Floats | None, tick: float, usual: str, source: str) -> tuple[str, str]:
    """Start or end, as the order of the lines shows; why, in words."""
    if durations is not None:
        found = stamped_by_order(seconds, durations, tick)
        if found and not (found == "end" and usual == "a list"):
            return found, f"the order of the lines shows that stamps are {found}s; --stamped says otherwise"
        if usual == "start by default":
            return "start", "stamps are taken as starts, as of logs of this kind; --stamped says otherwise"
        if usual == "either":
            return "end", "stamps are taken as ends, as of logs of this kind; --stamped says otherwise"
    elif out_of_order(seconds[np.isfinite(seconds)], tick) > OUT_OF_ORDER:
        return "start", "stamps are out of order, as of logs that stamp the start; --stamped says otherwise"
    what = "this log does not say whether its times are those of requests or of answers"
    what += ", and has no durations" if durations is None else ", nor does the order of its lines"
    expected = "start (Apache's %t) or end (nginx: when the answer was sent)"
    flat = flatness(seconds)
    if flat:
        what += f"; its busiest minutes are flat ({flat:.2f} of the variance of arrivals by chance), as of departures"
    raise BadInput(what, file=source, key="--stamped", expected=expected)


def flatness(seconds: Floats) -> float:
    """Variance / mean of counts in the busiest stretch, if it is too small for chance; 0 if it is not."""
    found = seconds[np.isfinite(seconds)]
    if len(found) < BUSY * BINS:
        return 0.0
    found -= found.min()
    counts = np.bincount((found / BIN).astype(np.int64)) if found.max() < 1e9 else np.zeros(0)
    if len(counts) < BINS:
        return 0.0
    sums = np.convolve(counts, np.ones(BINS), mode="valid")
    busiest = counts[int(np.argmax(sums)) :][:BINS]
    mean = busiest.mean()
    if mean < BUSY:
        return 0.0
    squares = float(((busiest - mean) ** 2).sum() / mean)
    return max(squares / (BINS - 1), 5e-3) if special.chdtr(BINS - 1, squares) < FLAT else 0.0


def from_first(times: RecordedTimes) -> RecordedTimes:
    """The same times after the second of the first, where arrivals lie before the first stamp."""
    first = np.nanmin(times.seconds) if np.isfinite(times.seconds).any() else 0.0
    if first >= 0:
        return times
    late = int(np.floor(first))
    start = None if times.start is None else times.start + late * SECOND
    return replace(times, seconds=times.seconds - late, start=start)


def durations_of(values: NDArray[np.float64]) -> Floats:
    """Durations as logged; nan for those below 0, which mean that something did not happen, and for absurd ones."""
    return np.where((values >= 0) & (values <= LONGEST), values, np.nan)
