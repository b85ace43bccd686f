"""Counts over time in JSON: of Datadog, Google Cloud, Azure, Elasticsearch, OpenAI, VictoriaMetrics."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.tables.formats.prometheus import CODES, Series, range_counts
from sim.tables.formats.reader import (
    Asked,
    CountSeries,
    Floats,
    Head,
    Reader,
    holds,
    json_document,
    json_lines,
    json_records,
)
from sim.tables.formats.series import PER, lengths, on_clock, settled
from sim.tables.times import timestamps

LATEST = 8e12  # ms since 1970, in the year 2223
Samples = tuple[str, NDArray[np.int64], Floats]  # a name, the beginnings of intervals in ns, and values


def summed(found: list[Samples], asked: Asked, path: Path, per: str, notes: tuple[str, ...]) -> CountSeries:
    """Series of counts (per: per-interval) or of rates on one clock; series of one name are added up."""
    begins = np.unique(np.concatenate([at for _, at, _ in found])) if found else np.zeros(0, np.int64)
    if not len(begins):
        raise BadInput("there are no samples in this answer", file=path, expected="samples of requests over time")
    lasts, said = lengths(begins, None, path)
    series: dict[str, Floats] = {}
    for name, at, values in found:
        placed = on_clock(at, values, begins, np.nan)
        before = series.get(name)
        series[name] = placed if before is None else np.where(np.isnan(before), placed, before + np.nan_to_num(placed))
    counts = {name: values * (lasts / PER[per] if per in PER else 1.0) for name, values in series.items()}
    return CountSeries(begins, lasts, settled(counts, asked, path, sure=False), (*notes, *said))


def from_milliseconds(at: Floats, path: Path) -> NDArray[np.int64]:
    """Instants in ns. Raises BadInput for one that is none."""
    good = np.abs(at) < LATEST
    if not good.all():
        value = float(at[int(np.argmin(good))])
        raise BadInput("this is no instant", file=path, value=value, expected="milliseconds since 1970")
    return (at * 1e6).astype(np.int64)


class Datadog(Reader):
    """The answer to a query of metrics (/api/v1/query): milliseconds and values; the query says count or rate."""

    name = "datadog"
    title = "the answer to a query of Datadog (JSON)"

    def recognises(self, head: Head) -> bool:
        return holds(head.document.get("series"), "pointlist")

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        found, per = [], asked.values or ""
        for path in paths:
            document = json_document(path)
            for one in document["series"]:
                said = str(one.get("expression") or document.get("query") or "")
                per = per or ("per-interval" if "as_count()" in said else "per-second" if "as_rate()" in said else "")
                pairs = [(float(at), float(value)) for at, value in one["pointlist"] if value is not None]
                at, values = np.array(pairs).reshape(-1, 2).T
                found.append((str(one.get("scope") or one.get("metric")), from_milliseconds(at, path), values))
        if per not in ("per-interval", *PER):
            expected = "per-interval (as_count), per-second (as_rate) or per-minute"
            what = "the query does not say whether these are counts or rates"
            raise BadInput(what, file=paths[0], key="--values", value=asked.values, expected=expected)
        return summed(found, asked, paths[0], per, (f"values are taken {per}, their stamps as beginnings",))


class GoogleCloud(Reader):
    """timeSeries.list of Cloud Monitoring: newest first, each point with its interval, or since a counter began."""

    name = "google-cloud"
    title = "time series of Google Cloud Monitoring (JSON)"

    def recognises(self, head: Head) -> bool:
        return holds(head.document.get("timeSeries"), "points")

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        found, per = [], "per-interval"
        for path in paths:
            for one in json_document(path)["timeSeries"]:
                labels = (one.get("metric") or {}).get("labels") or {}
                label = next((str(labels[key]) for key in CODES if key in labels), "all")
                points = sorted(one["points"], key=lambda point: point["interval"]["endTime"])
                spans = [[point["interval"].get(key) for point in points] for key in ("startTime", "endTime")]
                begins, ends = (timestamps(pa.array(texts, pa.string())).instants for texts in spans)
                values = np.array([float(value_of(point["value"], path)) for point in points])
                kind = one.get("metricKind")
                if kind == "GAUGE" and (asked.values in PER or str(one.get("unit")).endswith("/s")):
                    per, steps = asked.values or "per-second", np.diff(ends)
                    begins = ends - (int(steps.min()) if len(steps) else 0)  # of the time before its stamp
                elif kind == "CUMULATIVE":
                    begins, values = grown(begins, ends, values)
                elif kind != "DELTA":
                    what = "only DELTA and CUMULATIVE metrics count requests"
                    expected = "such a metric; of a rate (ALIGN_RATE) --values per-second"
                    raise BadInput(what, file=path, key="metricKind", value=kind, expected=expected)
                found.append((label, begins, values))
        return summed(found, asked, paths[0], per, ("counts of each interval, from its start",))


def grown(begins: NDArray[np.int64], ends: NDArray[np.int64], totals: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The intervals between samples of a counter and its growth in them; begins: when it began to count each time.

    The first total is left out where it began to count before the interval that ends there.
    """
    anew = np.append(True, (np.diff(begins) > 0) | (np.diff(totals) < 0))
    added = np.where(anew, totals, np.diff(totals, prepend=0.0))
    froms = np.append(begins[0], ends[:-1])
    usual = float(np.median(np.diff(ends))) if len(ends) > 1 else 0.0
    first = int(usual > 0 and ends[0] - begins[0] > 1.5 * usual)
    return froms[first:], added[first:]


def value_of(value: dict[str, Any], path: Path) -> Any:
    """The number of a point; of a distribution the count of what was measured."""
    known = next((value[key] for key in ("int64Value", "doubleValue") if key in value), None)
    known = value.get("distributionValue", {}).get("count") if known is None else known
    if known is None:
        raise BadInput("this point has no number", file=path, value=value, expected="int64Value or doubleValue")
    return known


class OtlpMetrics(Reader):
    """Metrics of OpenTelemetry as its file exporter writes them: sums, and histograms, whose counts are of requests."""

    name = "otlp-metrics"
    title = "metrics of OpenTelemetry (JSON)"

    def recognises(self, head: Head) -> bool:
        return "resourceMetrics" in (head.record or head.document)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        series: dict[tuple[str, str, bool], list[tuple[int, int, float]]] = {}
        for path in paths:
            for name, own, cumulative, point in otlp_points(path):
                value = point.get("count", point.get("asInt", point.get("asDouble", 0)))
                span = int(point.get("startTimeUnixNano") or 0), int(point["timeUnixNano"]), float(value)
                series.setdefault((name, own, cumulative), []).append(span)
        names = sorted({name for name, _, _ in series})
        chosen = [name for name in names if "request" in name] if len(names) > 1 else names
        if len(chosen) != 1:
            raise BadInput("these are several metrics", file=paths[0], value=names, expected="one of requests")
        found = []
        for (name, own, cumulative), points in series.items():
            if name == chosen[0]:
                begins, ends = (np.array([one[k] for one in sorted(points)], dtype=np.int64) for k in (0, 1))
                values = np.array([one[2] for one in sorted(points)])
                found.append((own, *(grown(begins, ends, values) if cumulative else (begins, values))))
        return summed(found, asked, paths[0], "per-interval", (f"requests of {chosen[0]}, from the start of each",))


def otlp_points(path: Path) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
    """The points of sums and histograms: the metric's name, a status or 'all', whether it is a total, the point."""
    whole = Head(path).document
    for record in [whole] if whole else [one for _, one in json_lines(path, [], lambda _: None)]:
        for resource in record["resourceMetrics"]:
            for metric in (one for scope in resource["scopeMetrics"] for one in scope["metrics"]):
                for kind in ("sum", "histogram", "exponentialHistogram"):
                    data = metric.get(kind) or {}
                    total = data.get("aggregationTemporality") in (2, "AGGREGATION_TEMPORALITY_CUMULATIVE")
                    for point in data.get("dataPoints", []) if data.get("isMonotonic", kind != "sum") else []:
                        yield metric["name"], status_in(point), total, point


def status_in(point: dict[str, Any]) -> str:
    """The status among the attributes of a point; 'all' without one."""
    attributes = point.get("attributes") or []
    own = {one["key"].rpartition(".")[2]: next(iter(one["value"].values()), "") for one in attributes}
    return next((str(own[key]) for key in CODES if key in own), "all")


class AzureMonitor(Reader):
    """`az monitor metrics list`: a value per interval and aggregation, for each metric and dimension."""

    name = "azure-monitor"
    title = "metrics of Azure Monitor (JSON)"

    def recognises(self, head: Head) -> bool:
        return holds(head.document.get("value"), "name", "timeseries")

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        found = []
        for path in paths:
            for metric in json_document(path)["value"]:
                name = metric["name"]["value"]
                for one in metric["timeseries"]:
                    said = [str(label["value"]) for label in one.get("metadatavalues") or []]
                    totals = [(point["timeStamp"], point["total"]) for point in one["data"] if "total" in point]
                    if metric.get("unit") != "Count" or (one["data"] and not totals):
                        expected = "a count of requests with its totals (--aggregation Total)"
                        raise BadInput("this metric has no counts", file=path, key=name, expected=expected)
                    at = timestamps(pa.array([stamp for stamp, _ in totals], pa.string())).instants
                    values = np.array([np.nan if value is None else value for _, value in totals], dtype=float)
                    found.append((" ".join([name, *said]), at, values))
        return summed(found, asked, paths[0], "per-interval", ("totals of each interval, from its stamp",))


class Elasticsearch(Reader):
    """A date histogram of a search: the documents in each bucket."""

    name = "elasticsearch"
    title = "a date histogram of Elasticsearch or OpenSearch (JSON)"

    def recognises(self, head: Head) -> bool:
        return next(histograms(head.document), None) is not None

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        found = []
        for path in paths:
            for name, buckets in histograms(json_document(path)):
                at = np.array([float(bucket["key"]) for bucket in buckets])
                values = np.array([float(bucket["doc_count"]) for bucket in buckets])
                found.append((name, from_milliseconds(at, path), values))
        return summed(found[:1], asked, paths[0], "per-interval", ("documents in each bucket of the histogram",))


def histograms(document: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The aggregations of an answer whose buckets are instants."""
    for name, one in (document.get("aggregations") or {}).items():
        buckets = one.get("buckets") if isinstance(one, dict) else None
        if holds(buckets, "key_as_string", "key", "doc_count"):
            yield name, buckets


class OpenAiUsage(Reader):
    """Pages of OpenAI's usage API: buckets with a start, an end and the requests of each model, key or size."""

    name = "openai-usage"
    title = "usage by bucket, of OpenAI's API (JSON)"

    def recognises(self, head: Head) -> bool:
        return holds(head.document.get("data"), "object", "start_time", "end_time", "results")

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        at, values, notes = [], [], ["requests of each bucket (num_model_requests)"]
        for path in paths:
            document = json_document(path)
            notes += [f"warning: {path.name} is not the last page"] * bool(document.get("has_more"))
            for bucket in document["data"]:
                if not all("num_model_requests" in one for one in bucket["results"]):
                    what = "these buckets hold no requests, as those of costs and storage"
                    expected = "an answer of /v1/organization/usage/images or another with num_model_requests"
                    raise BadInput(what, file=path, key="results", expected=expected)
                at.append(float(bucket["start_time"]) * 1e3)
                values.append(sum(float(one["num_model_requests"]) for one in bucket["results"]))
        begins = from_milliseconds(np.array(at), paths[0])
        return summed([("requests", begins, np.array(values))], asked, paths[0], "per-interval", tuple(notes))


class VictoriaExport(Reader):
    """/api/v1/export: a series a line, with lists of values and of milliseconds."""

    name = "victoria-metrics"
    title = "an export of VictoriaMetrics (JSON lines)"

    def recognises(self, head: Head) -> bool:
        return {"metric", "values", "timestamps"} <= set(head.record)

    def counts(self, paths: Sequence[Path], asked: Asked) -> CountSeries:
        found: list[Series] = []
        for path in paths:
            for one in json_records(path):
                at, values = (np.array(one[key], dtype=float) for key in ("timestamps", "values"))
                known = np.isfinite(values)
                found.append((one["metric"], (at[known] / 1e3, values[known])))
        names = sorted({metric.get("__name__", "") for metric, _ in found})
        if len(names) > 1:
            raise BadInput("these are several metrics", file=paths[0], value=names, expected="one of requests")
        return range_counts(names[0], found, asked, paths[0])
