"""Prometheus: range queries as the API answers them, and metrics as a server exposes them (also OpenMetrics).

A counter rises until its process begins anew. Requests in an interval are its differences, series by series; after a
fall the new value is counted, which is a lower bound (prometheus.io/docs/prometheus/latest/querying/functions).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.tables.formats.reader import Asked, CountSeries, Floats, Head, Reader, json_document, whole_text
from sim.tables.formats.series import PER, differences

CODES = ("code", "status", "status_code", "http_code", "response_code", "response_code_class", "http_status", "reason")
NO_REQUESTS = re.compile(
    r"(seconds|bytes|joules|tokens|_us|_ms)_(total|sum)$|_sum$|_exec_count$"
)  # what a counter may add up
GAUGES = re.compile(
    r"(?i)in_?flight|running|waiting|pending|active|queue|_util|memory|_bytes|temperature|power|connections$"
)
OBSERVERS = {"prometheus_replica", "__replica__"}  # labels of which of several Prometheus servers has a sample
Series = tuple[dict[str, str], tuple[Floats, Floats]]  # its labels; times and values
Labels = frozenset[tuple[str, str]]
# Labels end at their own brace: an exemplar of OpenMetrics behind the value has braces too.
SAMPLE = re.compile(
    r"^([A-Za-z_:][\w:]*)?(\{(?:[^\"{}]|\"(?:[^\"\\]|\\.)*\")*\})?\s+(\S+)(?:\s+(-?[\d.]+(?:[eE][+-]?\d+)?))?(?:\s+#.*)?$"
)
PROMTOOL = re.compile(r"^(\S+) @\[([\d.]+)\]\s*$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
Samples = dict[tuple[str, Labels], float]
Sample = tuple[str, Labels, float, float | None]


NOT_OVER_TIME = {  # other answers, and what to ask for
    "vector": "resultType matrix: an answer of /api/v1/query_range, which has a start, an end and a step",
    "streams": "of the log in Loki its lines alone, as jq -r '.data.result[].values[][1]' prints them",
}


class PrometheusRange(Reader):
    """The JSON of /api/v1/query_range."""

    name = "prometheus"
    title = "the answer to a range query of Prometheus (JSON)"

    def recognises(self, head: Head) -> bool:
        data = head.document.get("data")
        return isinstance(data, dict) and "resultType" in data

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        pages: dict[Labels, list[Any]] = {}
        native = False
        for path in paths:
            data = json_document(path)["data"]
            if data["resultType"] != "matrix" or not data.get("result"):
                what = f"a range query has values over time, this one is a {data['resultType']}"
                expected = NOT_OVER_TIME.get(data["resultType"], "resultType matrix, with at least one series")
                raise BadInput(what, file=path, expected=expected)
            for one in data["result"]:
                pages.setdefault(frozenset((one.get("metric") or {}).items()), []).append(samples_of(one))
                native = native or bool(one.get("histograms"))
        found = [(dict(labels), one_series(parts)) for labels, parts in pages.items()]
        names = {metric.get("__name__", "") for metric, _ in found}
        names = {name for name in names if not (name.endswith("_created") and len(names) > 1)}
        found = [one for one in found if one[0].get("__name__", "") in names]
        if len(names) > 1:
            raise BadInput("these are several metrics", file=paths[0], value=sorted(names), expected="one of requests")
        name = next(iter(names))
        if native and name and asked.values is None:
            asked = replace(asked, values="counter")
        return range_counts(name, found, asked, paths[0])


def samples_of(one: dict[str, Any]) -> tuple[Floats, Floats]:
    """Times and values of one series; samples that are not finite are left out. A native histogram's is its count."""
    counted = [(t, histogram["count"]) for t, histogram in one.get("histograms", [])]
    pairs = np.array([[float(t), float(v)] for t, v in [*one.get("values", []), *counted]], dtype=float).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    return pairs[:, 0], pairs[:, 1]


def one_series(pages: Sequence[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The samples of one series in several answers, each instant once."""
    at, values = (np.concatenate([page[place] for page in pages]) for place in (0, 1))
    at, first = np.unique(at, return_index=True)
    return at, values[first]


def countable(name: str, found: list[Series], path: Path) -> list[Series]:
    """The series that count requests: of a histogram's cumulative buckets the last. Raises BadInput for other sums."""
    if NO_REQUESTS.search(name):
        expected = "a counter of requests, or the _count of a histogram"
        raise BadInput("this metric adds up something else than requests", file=path, value=name, expected=expected)
    if GAUGES.search(name) and not name.endswith(("_total", "_count", "_bucket")):
        expected = "a counter of requests, like http_requests_total"
        raise BadInput("this metric is a level, and counts nothing", file=path, value=name, expected=expected)
    if any("quantile" in metric for metric, _ in found):
        raise BadInput("quantiles are no counts", file=path, value=name, expected="the _count of this summary")
    if not any("le" in metric for metric, _ in found):
        return found
    every = [(metric, samples) for metric, samples in found if metric.get("le") in ("+Inf", "Inf")]
    if not every:
        expected = 'the bucket le="+Inf", which has all requests, or the _count of this histogram'
        raise BadInput("these buckets do not hold all requests", file=path, value=name, expected=expected)
    return every


def once(found: list[Series]) -> tuple[list[Series], list[str]]:
    """The series, without those that another server of Prometheus has too; and a note on these."""
    fullest: dict[Labels, Series] = {}
    for metric, samples in found:
        own = frozenset((key, value) for key, value in metric.items() if key not in OBSERVERS)
        if own not in fullest or len(samples[0]) > len(fullest[own][1][0]):
            fullest[own] = metric, samples
    twice = len(found) - len(fullest)
    return list(fullest.values()), [f"{twice} series of another Prometheus server are the same: left out"] * bool(twice)


def range_counts(name: str, found: list[Series], asked: Asked, path: Path) -> CountSeries:
    """Counts per step and status, of the counters or rates of a range query."""
    found, notes = once(countable(name, found, path))
    times = np.unique(np.concatenate([at for _, (at, _) in found]))
    if len(times) < 2:
        raise BadInput("one sample says no count", file=path, expected="samples at two instants or more")
    step = float(np.diff(times).min())
    grid = times[0] + step * np.arange(round((times[-1] - times[0]) / step) + 1)
    counter = asked.values == "counter" or (asked.values is None and name.endswith(("_total", "_count", "_bucket")))
    if not counter and asked.values is None:
        shown = name or "no name, as of rate() or increase()"
        expected = "per-second (of rate), per-interval (of increase), per-minute or counter"
        raise BadInput("the query is not in the file", file=path, key="--values", value=shown, expected=expected)
    notes += [f"{name or 'the series'}: " + ("a counter: differences per series" if counter else f"{asked.values}")]
    parts: dict[str, list[Floats]] = {}
    for metric, (at, values) in found:
        label = next((metric[key] for key in CODES if key in metric), "all")
        if counter:
            notes += restarts_said(at, values, step, metric)
            notes += [f"{who_of(metric)} comes later: its first {values[0]:,.0f} are left out"] * bool(at[0] > times[0])
        counts = differences(at, values, grid) if counter else rated(at, values, grid, step, asked)
        parts.setdefault(label, []).append(counts)
    known = np.isfinite(np.concatenate(list(parts.values()))).any(axis=0)
    series = {label: np.where(known, np.nansum(each, axis=0), np.nan) for label, each in parts.items()}
    begins = grid[:-1] if counter else grid - step  # a rate is that of the step before its stamp
    gaps = sum(missing(at, step) for _, (at, _) in found)
    if gaps and not counter and len(found) > 1:
        notes.append(f"{gaps} samples of single series are missing: what the others counted is taken, a lower bound")
    return CountSeries(np.round(begins * 1e9).astype(np.int64), np.full(len(begins), step), series, tuple(notes))


def restarts_said(at: Floats, values: Floats, step: float, metric: dict[str, str]) -> Iterator[str]:
    """Notes on a counter that began anew, or of which samples are missing."""
    who = who_of(metric)
    for place in np.flatnonzero(np.diff(values) < 0):
        yield f"{who} began anew before sample {place + 2}: its count since is taken, a lower bound"
    if gaps := missing(at, step):
        yield f"{who}: {gaps} of its samples missing; what was counted over them is spread evenly"


def who_of(metric: dict[str, str]) -> str:
    return metric.get("instance") or metric.get("pod") or "a series"


def missing(at: Floats, step: float) -> int:
    """The number of samples that are missing between the first and the last."""
    return round(float((at[-1] - at[0]) / step)) + 1 - len(at) if len(at) else 0


def rated(at: Floats, values: Floats, grid: Floats, step: float, asked: Asked) -> Floats:
    """Counts of rates, each for the step before its stamp; a missing one is nan."""
    known = np.full(len(grid), np.nan)
    known[np.round((at - grid[0]) / step).astype(int)] = values
    return known if asked.values == "per-interval" else known * step / PER[str(asked.values)]


class Exposition(Reader):
    """A page of metrics: totals since the server began. Two pages of one server say what was between them."""

    name = "metrics"
    title = "metrics of a server (Prometheus or OpenMetrics text, also of promtool)"

    def recognises(self, head: Head) -> bool:
        return any(line.startswith(("# TYPE ", "# HELP ")) or is_dump(line) for line in head.lines[:3])

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries | None:
        """The counts between samples that carry their instants; None where these are of one or no instant."""
        found: dict[tuple[str, Labels], list[tuple[float, float]]] = {}
        for path in paths:
            for name, labels, value, stamp in samples_of_page(path):
                timed = stamp is not None and abs(stamp) < 1e10  # s: other numbers are no instants
                if stamp is not None and timed and name.endswith(("_total", "_count")) and np.isfinite(value):
                    found.setdefault((name, labels), []).append((stamp, value))
        requests = {name for name, _ in found if "request" in name}
        ends = "_count" if requests and all(name.endswith("_count") for name in requests) else "_total"
        found = {key: pairs for key, pairs in found.items() if key[0].endswith(ends)}
        names = sorted({name for name, _ in found})
        chosen = [name for name in names if "request" in name] if len(names) > 1 else names
        if not chosen or max(len(pairs) for pairs in found.values()) < 2:
            return None
        if len(chosen) > 1:
            raise BadInput("these are several metrics", file=paths[0], value=chosen, expected="one of requests")
        series: list[Series] = []
        for (_, labels), pairs in ((key, pairs) for key, pairs in found.items() if key[0] == chosen[0]):
            at, values = np.array(sorted(pairs)).T
            series.append((dict(labels), (at, values)))
        return range_counts(chosen[0], series, asked, paths[0])

    def figures(self, paths: Sequence[Path]) -> str:
        pages = [{(name, labels): value for name, labels, value, _ in samples_of_page(path)} for path in paths]
        if len(pages) == 1:
            said = histogram_figures(pages[0])
            return f"totals since the server began: {said}; two scrapes say what was between them"
        return f"from {paths[0].name} to {paths[-1].name}: {histogram_figures(between(pages[0], pages[-1]))}"


def is_dump(line: str) -> bool:
    """Whether a line is one of `promtool tsdb dump` or of a query of promtool."""
    return line.startswith('{__name__="') or bool(re.match(r"^[A-Za-z_:][\w:]*\{.*\} =>", line))


def samples_of_page(path: Path) -> Iterator[Sample]:
    return samples_of_lines(whole_text(path).splitlines())


def samples_of_lines(lines: Iterable[str]) -> Iterator[Sample]:
    """Name, labels, value and instant (s; None where it has none) of each sample; Prometheus' own text has ms.

    A query of promtool has the name and labels once, above values with their instants.
    """
    above = ""
    for line in lines:
        if line.rstrip().endswith("=>"):
            above = line.rstrip().removesuffix("=>")
        line = PROMTOOL.sub(rf"{above} \1 \2", line) if above else line
        if line and not line.startswith("#") and (match := SAMPLE.match(line.strip())):
            try:
                value, stamp = float(match[3]), float(match[4]) if match[4] else None
            except ValueError:
                continue
            stamp = stamp / 1e3 if stamp and stamp > 1e11 else stamp
            labels = dict(LABEL.findall(match[2] or ""))
            name = match[1] or labels.pop("__name__", "")
            yield name, frozenset(labels.items()), value, stamp


def summed(samples: Samples, name: str) -> float:
    values = [value for (metric, _), value in samples.items() if metric == name]
    return float(sum(values)) if values else float("nan")


def between(before: Samples, after: Samples) -> Samples:
    """The growth of totals from one scrape to the next; one that fell began anew. Gauges are those of the end."""
    added = {}
    for key, value in after.items():
        total = key[0].endswith(("_total", "_sum", "_count", "_bucket"))
        added[key] = value - before.get(key, 0.0) if total and value >= before.get(key, 0.0) else value
    return added


def histogram_figures(samples: Samples) -> str:
    """Means and counts of the histograms of a page, and gauges of requests running and waiting."""
    parts = []
    ended = summed(samples, "vllm:request_success_total")
    if ended == ended:
        abort = ("finished_reason", "abort")
        aborted = sum(v for (n, ls), v in samples.items() if n == "vllm:request_success_total" and abort in ls)
        parts.append(f"{ended:,.0f} requests ended, {aborted:,.0f} of them aborted")
    for name in dict.fromkeys(n.removesuffix("_count") for n, _ in samples if n.endswith("_count")):
        count, total = summed(samples, f"{name}_count"), summed(samples, f"{name}_sum")
        if count > 0 and total == total:
            parts.append(f"{name} {total / count:.4g} on average of {count:,.0f}{quantiles_said(samples, name)}")
    return "; ".join(parts) or "it has no histogram"


def quantiles_said(samples: Samples, name: str) -> str:
    """p50, p90 and p99 of a histogram by interpolation, each with its bucket."""
    added: dict[float, float] = {}
    for (metric, labels), value in samples.items():
        if metric == f"{name}_bucket":
            edge = float(dict(labels)["le"].replace("+Inf", "inf"))
            added[edge] = added.get(edge, 0.0) + value
    edges = np.array(sorted(added))
    counts = np.array([added[edge] for edge in edges])
    if len(edges) < 2 or counts[-1] <= 0:
        return ""
    said = []
    for q in (0.5, 0.9, 0.99):
        place = int(np.searchsorted(counts, q * counts[-1]))
        low, high = (float(edges[place - 1]) if place else 0.0), float(edges[place])
        below = float(counts[place - 1]) if place else 0.0
        if np.isinf(high):
            said.append(f"p{100 * q:.0f} above {low:g}")
        else:
            at = low + (high - low) * (q * counts[-1] - below) / (counts[place] - below)
            said.append(f"p{100 * q:.0f} {at:.3g} (between {low:g} and {high:g})")
    return ": " + ", ".join(said)
