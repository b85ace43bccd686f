"""Service times from load tests: which of their rows say how long a GPU takes for a batch, and which hold a queue.

Latency with N requests in flight holds their wait for each other: N = X W (Little 1961), so at saturation W grows with
N and only the throughput X is the server's. A row is used where the server reports its own compute time, where one
request was in flight at a time, or, of a closed loop without a pause (X W = N), as 1 / X.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.formats.reader import LoadPoint

CLOSE = 0.05  # relative difference between X W and N that rounded figures explain
KEPT_UP = 0.9  # of the rate sent: a higher throughput is the client's and not the most that a server can do
ALONE = 1.1  # requests in flight on average: fewer are one at a time
TOKENS = ("prefill", "decode")


def service_points(
    found: list[LoadPoint], path: Path, title: str, figures: str, *, side: int, steps: int, batch: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Points of a profile from the rows of a load test, and what was made of each row, in words.

    batch: of rows that do not say. Raises BadInput where no row says how long a batch takes.
    """
    parts = {part: [one for one in found if one.component == part] for part in (*TOKENS, "pipeline")}
    whole = parts["pipeline"]
    sent_at_once = all(one.rate is None for one in found)
    if all(parts[part] for part in TOKENS) and sent_at_once and (alone(found) or batch > 1 or not whole):
        notes = ["the latency of whole requests is left out: prefill and decode make it up"] if whole else []
        sizes = {"side": side, "frames": 1, "batch": batch}
        return [{"component": p, **sizes, "latency_s": quantiles(parts[p][0])} for p in TOKENS], notes
    if not whole:
        missing = ", ".join(
            t for p, t in (("prefill", "Time To First Token"), ("decode", "Inter Token Latency")) if not parts[p]
        )
        expected = "a row 'Request Latency', or both of Time To First Token and Inter Token Latency"
        raise BadInput(f"no row {missing or 'of latency at concurrency 1'}", file=path, expected=expected)
    points, notes = [], []
    for size in dict.fromkeys(one.batch or batch for one in whole):
        rows = [one for one in whole if (one.batch or batch) == size]
        latency, said = seconds_of_batch(rows, size)
        notes += [f"batch {size}, {words}" for words in said]
        if latency:
            sizes = {"side": side, "steps": steps, "frames": 1, "batch": size}
            points.append({**sizes, "latency_s": latency})
    if not points:
        what = f"this file holds {title}, and no row of it says how long a batch takes: " + "; ".join(notes)
        expected = "a row of concurrency 1, of a server's compute time, or of a closed loop (--concurrency) at its most"
        raise BadInput(what, file=path, expected=expected + (f". The file says: {figures}" if figures else ""))
    return points, notes


def seconds_of_batch(rows: list[LoadPoint], size: int) -> tuple[dict[str, float], list[str]]:
    """Quantiles of the seconds of one batch from the rows of its size, and what each row was used for."""
    ranked = sorted(rows, key=lambda one: in_flight(one, size) or one.rate or 0.0)
    said = [words for one in ranked for words in little(one, size)]
    for one in ranked:
        if one.compute:
            return {"p50": one.compute}, [f"{one.row}: the server's compute time", *left(rows, one), *said]
    for one in ranked:
        if alone([one], size):
            return quantiles(one), [f"{one.row}: one request in flight at a time", *left(rows, one), *said]
    closed = [one for one in ranked if one.throughput and is_closed(one, size)]
    if closed:
        best = max(closed, key=lambda one: one.throughput or 0.0)
        each = size / (best.throughput or 1.0)
        words = (
            f"{best.row}: {each:.4g} s from the throughput at concurrency {best.concurrency:g}, not from the latency"
        )
        return {"p50": each}, [words, *left(rows, best), *said]
    return {}, [*(f"{one.row}: {why_not(one, size)}" for one in ranked), *said]


def left(rows: Iterable[LoadPoint], used: LoadPoint) -> list[str]:
    others = [one.row for one in rows if one is not used]
    return [f"{', '.join(others)}: for comparison only, as the size of batch is the same"] if others else []


def requests_a_second(one: LoadPoint, size: int) -> float | None:
    """The throughput in requests; perf_analyzer counts the inputs of a batch, each one."""
    return None if one.throughput is None else float(one.throughput) / (size if one.batch else 1)


def mean_latency(one: LoadPoint) -> float | None:
    return one.latency.get("mean") or one.latency.get("p50")


def in_flight(one: LoadPoint, size: int = 1) -> float | None:
    """Requests in flight: as the file says, else by Little's law; None where it cannot be known."""
    if one.concurrency is not None:
        return float(one.concurrency)
    rate, latency = requests_a_second(one, size), mean_latency(one)
    return rate * latency if rate and latency else None


def alone(rows: list[LoadPoint], size: int = 1) -> bool:
    """Whether one request was in flight at a time. At a rate of its own, requests overlap by chance."""
    return all(one.rate is None and (in_flight(one, size) or 2.0) <= ALONE for one in rows)


def is_closed(one: LoadPoint, size: int) -> bool:
    """Whether the clients ask again at once: X W is the concurrency. At a rate that was kept up, they do not."""
    rate, latency = requests_a_second(one, size), mean_latency(one)
    if not (one.concurrency and rate and latency) or (one.rate is not None and rate > KEPT_UP * one.rate):
        return False
    return abs(rate * latency / one.concurrency - 1.0) <= CLOSE


def little(one: LoadPoint, size: int) -> list[str]:
    """A warning where throughput times latency is not the concurrency."""
    rate, latency = requests_a_second(one, size), mean_latency(one)
    if not (one.concurrency and rate and latency) or is_closed(one, size):
        return []
    return [
        f"{one.row}: warning: throughput x latency is {rate * latency:.3g} in flight, not {one.concurrency:g}: "
        "failures, pauses of the client or other figures are in it"
    ]


def why_not(one: LoadPoint, size: int) -> str:
    """Why a row says nothing of a batch's seconds."""
    flying, latency = in_flight(one, size), mean_latency(one)
    seen = "" if latency is None else f"a latency of {latency:.4g} s "
    if one.rate is not None:
        about = "" if flying is None else f", about {flying:.3g} in flight"
        return f"{seen}at {one.rate:g} requests a second{about}, holds a queue"
    if flying is None:
        return f"{seen}at an unknown concurrency, and without a throughput to work it out from"
    return f"{seen}with {flying:.3g} in flight is not that of concurrency 1"


def quantiles(one: LoadPoint) -> dict[str, float]:
    """The quantiles a profile holds, of the latency of a row; the mean in place of a median that is not there."""
    found = {name: float(one.latency[name]) for name in ("p10", "p50", "p90") if name in one.latency}
    return found if "p50" in found else {"p50": float(one.latency["mean"])}
