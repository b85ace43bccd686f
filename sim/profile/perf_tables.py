"""Profiles from other people's tables: NVIDIA perf_analyzer and GenAI-Perf CSV exports, and a plain CSV."""

import csv
import io
from pathlib import Path
from typing import Any

from sim.errors import BadInput
from sim.profile.file import FORMAT

KINDS = ("plain", "perf_analyzer", "genai_perf")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
PLAIN = ("side", "steps", "frames", "batch", "power_w", "memory_gib")
COMPUTE = ("Server Compute Input", "Server Compute Infer", "Server Compute Output")


def import_profile(
    path: Path, kind: str, facts: dict[str, Any], *, side: int, steps: int, batch: int
) -> dict[str, Any]:
    """A profile document from one table.

    facts: the profile's other fields (name, model, feature, provenance, source, ...). side, steps, batch: of rows that
    do not say. Raises BadInput with the row and column that is wrong.
    """
    rows = read_rows(path)
    if kind == "plain":
        points = [plain_point(row, number, path, side, steps, batch) for number, row in enumerate(rows, 2)]
    elif kind == "perf_analyzer":
        points = [perf_analyzer_point(path, rows, side, steps, batch)]
    elif kind == "genai_perf":
        points = genai_perf_points(path, rows, side, batch)
    else:
        raise BadInput("unknown kind of table", key="--kind", value=kind, expected=", ".join(KINDS))
    return {"format": FORMAT, **facts, "points": points}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV by column; GenAI-Perf writes several tables, the first is the one of latencies."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("this file is not UTF-8 text", file=path) from None
    except OSError as wrong:
        raise BadInput(f"this file cannot be read ({wrong.strerror})", file=path) from None
    table = text.strip().split("\n\n")[0].split("\r\n\r\n")[0]
    rows = list(csv.DictReader(io.StringIO(table), skipinitialspace=True))
    if not rows:
        raise BadInput("this table has no rows", file=path, expected="a header and at least one row")
    return rows


def value(row: dict[str, str], column: str, number: int, path: Path, default: float | None = None) -> float:
    """A positive number in a row."""
    text = (row.get(column) or "").replace(",", "").strip()
    if not text and default is not None:
        return default
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found < float("inf"):
        raise BadInput(
            "not a number above 0", file=f"{path}:{number}", key=column, value=row.get(column), expected="1.5"
        )
    return found


def latency_column(row: dict[str, str], path: Path) -> tuple[str, float]:
    """The column of median latency, and its unit in seconds: the unit is part of the name, never guessed."""
    for name in ("latency", "p50", "median"):
        for unit, size in UNITS.items():
            if f"{name}_{unit}" in row:
                return f"{name}_{unit}", size
    raise BadInput(
        "no column of latencies with its unit",
        file=path,
        value=list(row),
        expected="latency_s, latency_ms or latency_us",
    )


def plain_point(row: dict[str, str], number: int, path: Path, side: int, steps: int, batch: int) -> dict[str, Any]:
    """A row with latency_s (or _ms, _us), and side, steps, frames, batch, power_w, memory_gib where they differ."""
    column, unit = latency_column(row, path)
    size = column.rpartition("_")[2]
    unknown = [c for c in row if c not in (*PLAIN, column, f"p10_{size}", f"p90_{size}")]
    if unknown:
        raise BadInput("unknown column", file=path, key=str(unknown[0]), expected=", ".join((*PLAIN, column)))
    latency = {"p50": value(row, column, number, path) * unit}
    for name in ("p10", "p90"):
        if row.get(f"{name}_{size}"):
            latency[name] = value(row, f"{name}_{size}", number, path) * unit
    defaults = {"side": side, "steps": steps, "frames": 1, "batch": batch}
    whole = {name: value(row, name, number, path, default) for name, default in defaults.items()}
    for name, found in whole.items():
        if found != int(found):
            raise BadInput("not a whole number", file=f"{path}:{number}", key=name, value=found, expected="8")
    extra = {name: value(row, name, number, path) for name in ("power_w", "memory_gib") if row.get(name)}
    return {**{name: int(found) for name, found in whole.items()}, "latency_s": latency, **extra}


def perf_analyzer_point(path: Path, rows: list[dict[str, str]], side: int, steps: int, batch: int) -> dict[str, Any]:
    """The row of concurrency 1 of a perf_analyzer export, times in microseconds.

    Where the server reports its compute time that is taken, since the client's percentiles hold queue and network.
    """
    row = next((r for r in rows if (r.get("Concurrency") or "").strip() == "1"), None)
    if row is None:
        raise BadInput("no row of concurrency 1", file=path, expected="a perf_analyzer CSV export (-f)")
    if all((row.get(column) or "").strip() for column in COMPUTE):
        # Input and output may take no time at all, the inference itself not.
        total = value(row, COMPUTE[1], 2, path) + sum(float(row[c]) for c in (COMPUTE[0], COMPUTE[2]))
        latency = {"p50": total * 1e-6}
    else:
        latency = {"p50": value(row, "p50 latency", 2, path) * 1e-6, "p90": value(row, "p90 latency", 2, path) * 1e-6}
    return {"side": side, "steps": steps, "frames": 1, "batch": batch, "latency_s": latency}


def genai_perf_points(path: Path, rows: list[dict[str, str]], side: int, batch: int) -> list[dict[str, Any]]:
    """Prefill from time to first token, decode from inter-token latency; `batch` is the concurrency it ran at."""
    metrics = {(row.get("Metric") or "").strip(): row for row in rows}
    points = []
    for component, metric in (("prefill", "Time To First Token"), ("decode", "Inter Token Latency")):
        name = next((m for m in metrics if m.lower().startswith(metric.lower()) and "(" in m), None)
        if name is None:
            raise BadInput(f"no row {metric!r} with its unit", file=path, expected="a GenAI-Perf CSV export, streaming")
        unit = name.rpartition("(")[2].rstrip(") ")
        if unit not in UNITS:
            raise BadInput("unknown unit", file=path, key=name, value=unit, expected=", ".join(UNITS))
        latency = {q: value(metrics[name], q, 2, path) * UNITS[unit] for q in ("p50", "p90")}
        points.append({"component": component, "side": side, "frames": 1, "batch": batch, "latency_s": latency})
    return points
