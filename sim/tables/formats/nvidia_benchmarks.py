"""CSV exports of NVIDIA's perf_analyzer, GenAI-Perf and AIPerf, and logs of MLPerf's load generator."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.tables.formats.reader import Head, LoadPoint, Reader, json_document, whole_text
from sim.tables.small_tables import cells_of

COMPUTE = ("Server Compute Input", "Server Compute Infer", "Server Compute Output")
MODES = ("Concurrency", "Request Rate", "Request rate")
TITLES = {"prefill": "time to first token", "decode": "inter token latency", "pipeline": "request latency"}
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0, "milliseconds": 1e-3}
QUANTILES = {"p50": "p50", "p10": "p10", "p90": "p90", "avg": "mean"}


def number(text: str, where: Path, line: int, key: str) -> float:
    try:
        return float(text)
    except ValueError:
        expected = "a number like 1500.5"
        if "," in text:
            expected += "; nothing in the file shows whether its commas are between thousands or before decimals"
        what = "this value cannot be read"
        raise BadInput(what, file=f"{where}:{line}", key=key, value=text, expected=expected) from None


class PerfAnalyzer(Reader):
    """`perf_analyzer -f`: a row per concurrency, request rate or batch, times in microseconds."""

    name = "perf-analyzer"
    title = "an export of perf_analyzer"

    def recognises(self, head: Head) -> bool:
        names = set(head.names)
        return bool(names & {*MODES, "Inferences/Second"}) and bool(names & {"p50 latency", "Avg latency", *COMPUTE})

    def load_points(self, path: Path) -> list[LoadPoint]:
        rows = cells_of(whole_text(path))
        names, points = rows[0], []
        for line, cells in enumerate(rows[1:], 2):
            if not any(cells):
                break
            if len(cells) != len(names):
                expected = f"{len(names)} cells, as in the first line"
                raise BadInput("this line is not a row", file=f"{path}:{line}", value=cells, expected=expected)
            row = {name: cell for name, cell in zip(names, cells, strict=True) if cell}
            points.append(perf_analyzer_point(row, path, line))
        if not points:
            raise BadInput("the table has no rows", file=path)
        return points


def perf_analyzer_point(row: dict[str, str], path: Path, line: int) -> LoadPoint:
    """One row. Where the server reports its compute time, the sum of its parts is the time of a batch."""

    def of(name: str) -> float:
        return number(row[name], path, line, name)

    compute = None
    if all(name in row for name in COMPUTE):
        compute = sum(of(name) for name in COMPUTE) * 1e-6
    batch = int(of("Batch Size")) if "Batch Size" in row else None
    latency = {q: of(f"{q} latency") * 1e-6 for q in ("p50", "p90") if f"{q} latency" in row}
    mean = next((name for name in ("Avg latency", "avg latency") if name in row), "")
    if mean:
        latency["mean"] = of(mean) * 1e-6
    rate = next((name for name in ("Request Rate", "Request rate") if name in row), "")
    return LoadPoint(
        batch=batch,
        concurrency=of("Concurrency") if "Concurrency" in row else None,
        rate=of(rate) if rate else None,
        latency=latency,
        compute=compute if compute and compute > 0 else None,
        throughput=of("Inferences/Second") if "Inferences/Second" in row else None,
        row=f"line {line}",
    )


class GenaiPerf(Reader):
    """GenAI-Perf's and AIPerf's CSV: a table of latencies with the unit in each name, then one of single values."""

    name = "genai-perf"
    title = "an export of GenAI-Perf or AIPerf"

    def recognises(self, head: Head) -> bool:
        tables = [names for names in map(metric_names, head.lines) if names]
        return "Metric" in head.names and any("p50" in names or "avg" in names for names in tables)

    def load_points(self, path: Path) -> list[LoadPoint]:
        rows = metrics_in(cells_of(whole_text(path), several=True))
        throughput = next((value for row in rows for value in throughput_of(row)), None)
        points = []
        for component, title in TITLES.items():
            for row in rows:
                metric, _, unit = row["Metric"].partition("(")
                if metric.strip().lower() != title or not any(row.get(q) for q in QUANTILES):
                    continue
                line, unit = int(row["line"]), row.get("Unit") or unit.rstrip(") ")
                if unit not in UNITS:
                    where, expected = f"{path}:{line}", ", ".join(UNITS)
                    raise BadInput("unknown unit", file=where, key="Metric", value=row["Metric"], expected=expected)
                latency = {
                    name: number(row[q], path, line, q) * UNITS[unit] for q, name in QUANTILES.items() if row.get(q)
                }
                points.append(LoadPoint(component, latency=latency, throughput=throughput, row=f"line {line}"))
        if not points:
            expected = f"a row named {', '.join(title.title() for title in TITLES.values())}, with its unit"
            raise BadInput("no row of this table is a latency", file=path, expected=expected)
        return points


class GenaiPerfJson(Reader):
    """The JSON beside the CSV of GenAI-Perf and AIPerf, which says the concurrency or rate too."""

    name = "genai-perf-json"
    title = "an export of GenAI-Perf or AIPerf (JSON)"

    def recognises(self, head: Head) -> bool:
        found = head.document.get("records", head.document)
        return isinstance(found, dict) and isinstance(found.get("request_latency"), dict)

    def load_points(self, path: Path) -> list[LoadPoint]:
        document = json_document(path)
        found, sent = document.get("records", document), settings_in(document.get("input_config") or {})
        points = []
        for component, title in TITLES.items():
            row = found.get(title.replace(" ", "_"))
            if not row:
                continue
            latency = {
                name: float(row[q]) * UNITS[row["unit"]] for q, name in QUANTILES.items() if row.get(q) is not None
            }
            rate = found.get("request_throughput", {}).get("avg")
            points.append(
                LoadPoint(
                    component,
                    concurrency=sent.get("concurrency"),
                    rate=sent.get("request_rate"),
                    latency=latency,
                    throughput=float(rate) if rate else None,
                    row=title,
                )
            )
        return points


def settings_in(config: dict[str, Any]) -> dict[str, float]:
    """Concurrency and request rate, wherever a configuration has them."""
    found: dict[str, float] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= settings_in(value)
        elif key in ("concurrency", "request_rate") and isinstance(value, int | float):
            found[key] = float(value)
    return found


def metric_names(line: str) -> list[str]:
    """The columns that a line names, if one of them is that of the metrics."""
    cells = [cell.strip().strip('"') for cell in re.split("[,;\t]", line)]
    return cells if "Metric" in cells else []


def metrics_in(rows: list[list[str]]) -> list[dict[str, str]]:
    """The rows of all tables in an export, each with its line; every table begins with its names, in any order."""
    names: list[str] = []
    found = []
    for line, cells in enumerate(rows, 1):
        if "Metric" in cells:
            names = cells
        elif names and any(cells):
            found.append({"Metric": "", **dict(zip(names, cells, strict=False)), "line": str(line)})
    return found


def throughput_of(row: dict[str, str]) -> list[float]:
    """Requests a second, if a row says it."""
    value = row.get("Value") or row.get("avg") or ""
    try:
        return [float(value)] if row["Metric"].lower().startswith("request throughput") else []
    except ValueError:
        return []


class MlperfLog(Reader):
    """`mlperf_log_detail.txt` and `mlperf_log_summary.txt`: the settings and results of one run."""

    name = "mlperf"
    title = "a log of MLPerf's load generator"

    def recognises(self, head: Head) -> bool:
        return head.line.startswith(":::MLLOG") or any("MLPerf Results Summary" in line for line in head.lines[:3])

    def figures(self, paths: Sequence[Path]) -> str:
        text = whole_text(paths[0])
        found = detail_values(text) if text.lstrip().startswith(":::MLLOG") else summary_values(text)
        parts = [f"{found['scenario']} scenario" if "scenario" in found else "one run"]
        if "queries" in found:
            parts.append(f"{found['queries']} queries")
        parts += [f"{float(found[name]):.4g} samples a second {name}" for name in RATES if name in found]
        parts += [f"{title} {float(found[name]) / 1e9:.4g} s" for name, title in LATENCIES.items() if name in found]
        if "seed" in found:
            target = found.get("target", "?")
            parts.append(f"its arrivals follow from schedule seed {found['seed']} at {target} a second")
        return ", ".join(parts)


RATES = ("scheduled", "completed")
LATENCIES = {"mean": "mean latency", "p50": "p50", "p90": "p90", "p99": "p99"}
DETAIL = {
    "effective_scenario": "scenario",
    "generated_query_count": "queries",
    "result_scheduled_samples_per_sec": "scheduled",
    "result_completed_samples_per_sec": "completed",
    "result_mean_latency_ns": "mean",
    "result_50.00_percentile_latency_ns": "p50",
    "result_90.00_percentile_latency_ns": "p90",
    "result_99.00_percentile_latency_ns": "p99",
    "effective_schedule_rng_seed": "seed",
    "effective_target_qps": "target",
}
SUMMARY = {
    "Scenario": "scenario",
    "Scheduled samples per second": "scheduled",
    "Completed samples per second": "completed",
    "Samples per second": "completed",
    "Mean latency (ns)": "mean",
    "50.00 percentile latency (ns)": "p50",
    "90.00 percentile latency (ns)": "p90",
    "99.00 percentile latency (ns)": "p99",
    "schedule_rng_seed": "seed",
    "target_qps": "target",
}


def detail_values(text: str) -> dict[str, Any]:
    found = {}
    for line in text.splitlines():
        if line.startswith(":::MLLOG"):
            try:
                record = json.loads(line.removeprefix(":::MLLOG"))
            except ValueError:
                continue
            if record.get("key") in DETAIL:
                found[DETAIL[record["key"]]] = record.get("value")
    return found


def summary_values(text: str) -> dict[str, Any]:
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    return {SUMMARY[name.strip()]: value.strip() for name, _, value in pairs if name.strip() in SUMMARY}
