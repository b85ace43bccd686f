"""Profiles from other people's tables: exports of NVIDIA perf_analyzer and GenAI-Perf, or any table of latencies."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from sim.errors import BadInput
from sim.profile.file import FORMAT
from sim.tables.columns import Column, read_columns, require
from sim.tables.files import without_comments
from sim.tables.times import Floats, floats

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
SIZES = ("side", "steps", "frames", "batch")
PLAIN = (*SIZES, "power_w", "memory_gib")
COMPUTE = ("Server Compute Input", "Server Compute Infer", "Server Compute Output")

Columns = dict[str, Column]


def import_profile(path: Path, facts: dict[str, Any], *, side: int, steps: int, batch: int) -> dict[str, Any]:
    """A profile document from one table; its columns say which of the three kinds it is.

    facts: the profile's other fields (name, model, feature, provenance, source, ...). side, steps, batch: of rows that
    do not say. Raises BadInput with the row and column that is wrong.
    """
    columns = read_columns(path, tidy=first_table)
    if "Concurrency" in columns:
        points = [perf_analyzer_point(columns, side, steps, batch)]
    elif "Metric" in columns:
        points = genai_perf_points(columns, side, batch)
    else:
        points = plain_points(columns, {"side": side, "steps": steps, "frames": 1, "batch": batch})
    return {"format": FORMAT, **facts, "points": points}


def first_table(data: bytes) -> bytes:
    """The rows up to the first empty line: GenAI-Perf writes several tables, that of latencies first."""
    return without_comments(data).replace(b"\r\n", b"\n").strip().split(b"\n\n")[0] + b"\n"


def above_zero(column: Column, missing: float | None = None) -> Floats:
    """Numbers above 0, perhaps with separators of thousands. missing: the value of empty cells, where they may be."""
    whole = pc.match_substring_regex(column.texts, r"^\+?[1-9]\d{0,2}(,\d{3})+(\.\d*)?$")  # "1,5" is no 15
    found = floats(pc.if_else(whole, pc.replace_substring(column.texts, ",", ""), column.texts))
    good = np.isfinite(found) & (found > 0)
    if missing is None:
        column.refuse(~good, "1.5 or 1,500.5", "not a number above 0")
        return found
    column.refuse(~good & column.given, "1.5", "not a number above 0")
    return np.where(good, found, missing)


def latency_column(columns: Columns) -> tuple[str, float]:
    """The column of median latency, and its unit in seconds: the unit is part of the name, never guessed."""
    for name in ("latency", "p50", "median"):
        for unit, size in UNITS.items():
            if f"{name}_{unit}" in columns:
                return f"{name}_{unit}", size
    expected = "latency_s, latency_ms or latency_us; or an export of perf_analyzer or GenAI-Perf"
    file = next(iter(columns.values())).file
    raise BadInput("no column of latencies with its unit", file=file, value=list(columns), expected=expected)


def plain_points(columns: Columns, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """A point per row with latency_s (or _ms, _us), and the columns of PLAIN, p10 and p90 where they are given."""
    middle, unit = latency_column(columns)
    spread = {name: f"{name}_{middle.rpartition('_')[2]}" for name in ("p10", "p90")}
    for name, column in columns.items():
        if name not in (*PLAIN, middle, *spread.values()):
            expected = ", ".join((*PLAIN, middle, *spread.values()))
            raise BadInput("unknown column", file=column.file, key=name, expected=expected)
    rows = [dict[str, Any](sizes) for _ in range(len(columns[middle]))]
    for name in sizes.keys() & columns.keys():
        values = above_zero(columns[name], missing=sizes[name])
        columns[name].refuse(values % 1 != 0, "8", "not a whole number")
        for row, value in zip(rows, values.tolist(), strict=True):
            row[name] = int(value)
    for row, value in zip(rows, above_zero(columns[middle]).tolist(), strict=True):
        row["latency_s"] = {"p50": value * unit}
    for quantile, name in spread.items():
        for row, value in given_values(columns, name, rows):
            row["latency_s"][quantile] = value * unit
    for name in ("power_w", "memory_gib"):
        for row, value in given_values(columns, name, rows):
            row[name] = value
    return rows


def given_values(columns: Columns, name: str, rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """The rows in which an optional column has a value, with the value."""
    if name not in columns:
        return []
    values = above_zero(columns[name], missing=np.nan).tolist()
    return [(row, value) for row, value in zip(rows, values, strict=True) if value == value]


def perf_analyzer_point(columns: Columns, side: int, steps: int, batch: int) -> dict[str, Any]:
    """The row of concurrency 1 of a perf_analyzer export, times in microseconds.

    Where the server reports its compute time that is taken, since the client's percentiles hold queue and network.
    """
    alone = columns["Concurrency"].match("^1$")
    if not alone.any():
        expected = "a perf_analyzer CSV export (-f)"
        raise BadInput("no row of concurrency 1", file=columns["Concurrency"].file, expected=expected)
    row = {name: column.keep(alone) for name, column in columns.items()}
    if all(name in row and row[name].given[0] for name in COMPUTE):
        # Input and output may take no time at all, the inference itself not.
        total = above_zero(row[COMPUTE[1]])[0] + sum(row[name].numbers(low=0)[0] for name in (COMPUTE[0], COMPUTE[2]))
        latency = {"p50": float(total) * 1e-6}
    else:
        require(["p50 latency", "p90 latency"], list(row), columns["Concurrency"].file)
        latency = {q: float(above_zero(row[f"{q} latency"])[0]) * 1e-6 for q in ("p50", "p90")}
    return {"side": side, "steps": steps, "frames": 1, "batch": batch, "latency_s": latency}


def genai_perf_points(columns: Columns, side: int, batch: int) -> list[dict[str, Any]]:
    """Prefill from time to first token, decode from inter-token latency; `batch` is the concurrency it ran at."""
    metric, points = columns["Metric"], []
    require(["p50", "p90"], list(columns), metric.file)
    for component, title in (("prefill", "Time To First Token"), ("decode", "Inter Token Latency")):
        rows = metric.match(rf"(?i)^{title}.*\(")
        if not rows.any():
            expected = "a GenAI-Perf CSV export, streaming"
            raise BadInput(f"no row {title!r} with its unit", file=metric.file, expected=expected)
        row = int(np.argmax(rows))
        unit = metric.texts[row].as_py().rpartition("(")[2].rstrip(") ")
        if unit not in UNITS:
            raise metric.wrong(row, ", ".join(UNITS), "unknown unit")
        latency = {q: float(above_zero(columns[q].keep(rows))[0]) * UNITS[unit] for q in ("p50", "p90")}
        points.append({"component": component, "side": side, "frames": 1, "batch": batch, "latency_s": latency})
    return points
