"""Profiles from other people's files: load tests that a reader recognises, or any table of latencies."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sim.errors import BadInput
from sim.profile.file import FORMAT
from sim.profile.load_tests import service_points
from sim.tables.columns import Column, read_columns
from sim.tables.formats import load_test
from sim.tables.formats.guess import looks_like
from sim.tables.formats.reader import Head
from sim.tables.headers import table_head
from sim.tables.names import plain_name
from sim.tables.opening import first_lines, without_comments
from sim.tables.small_tables import comma_in, with_point
from sim.tables.times import Floats, floats, sides

UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
SIZES = ("side", "steps", "frames", "batch")
PLAIN = (*SIZES, "power_w", "memory_gib")
ALIASES = {
    "batch_size": "batch",
    "num_inference_steps": "steps",
    "inference_steps": "steps",
    "num_frames": "frames",
    **dict.fromkeys(("resolution", "image_size", "size"), "side"),
}
# Further figures of a latency, which a profile does not hold.
NOT_HELD = re.compile(r"^(latency_)?(min|max|mean|avg|std|stddev|p25|p75|p95|p99|p99_9)(_latency)?_(s|ms|us)$")

Columns = dict[str, Column]


def import_profile(
    path: Path, facts: dict[str, Any], *, side: int, steps: int, batch: int, concurrency: float | None = None
) -> dict[str, Any]:
    """A profile document from a file, or a folder with files of load tests; its `method` says what each row gave.

    facts: the profile's other fields (name, model, feature, provenance, source, ...). side, steps, batch and
    concurrency: of rows that do not say. Raises BadInput with the row and column that is wrong, and for a file that
    holds no service times.
    """
    test = load_test(path)
    if test is None:
        refuse_documents(path)
        columns = {plain_name(name): one for name, one in read_columns(path, tidy=without_comments).items()}
        columns = with_points(columns, table_head(first_lines(path)).mark)
        columns, left = usual_columns(columns)
        points = plain_points(columns, {"side": side, "steps": steps, "frames": 1, "batch": batch})
        method = "; ".join([*([facts["method"]] if facts.get("method") else []), *left, *faster_when_larger(points)])
        return {"format": FORMAT, **facts, "method": method, "points": points}
    title, rows, figures = test
    if rows is None:
        what = f"this file holds {title}, not a measurement of service times"
        expected = "an export of a load test at concurrency 1, or a table with latency_s"
        raise BadInput(what, file=path, expected=expected + (f". It says: {figures}" if figures else ""))
    rows = [replace(one, concurrency=concurrency) if one.concurrency is None else one for one in rows]
    points, notes = service_points(rows, path, title, figures, side=side, steps=steps, batch=batch)
    method = "; ".join([f"{facts.get('method', '')} ({title})", *notes, *faster_when_larger(points)])
    return {"format": FORMAT, **facts, "method": method, "points": points}


def faster_when_larger(points: list[dict[str, Any]]) -> list[str]:
    """A warning for each batch that takes less time than a smaller one of the same size, which no GPU does."""
    notes = []
    for point in points:
        same = [one for one in points if all(one.get(k) == point.get(k) for k in ("side", "steps", "frames"))]
        smaller = [one for one in same if one["batch"] < point["batch"]]
        slowest = max(smaller, key=lambda one: float(one["latency_s"]["p50"]), default=point)
        if slowest["latency_s"]["p50"] > point["latency_s"]["p50"]:
            notes.append(f"warning: a batch of {point['batch']} takes less time than one of {slowest['batch']}")
    return notes


def refuse_documents(path: Path) -> None:
    """Raise BadInput for what is no table, and would be read as a broken one."""
    if path.is_dir():
        raise BadInput(
            "this is a folder", file=path, expected="a file, or a folder with results of one kind of load test"
        )
    if Head(path).line.lstrip().startswith(("{", "[")):
        what = "this file looks like JSON, and is cut off or holds no load test that is known"
        raise BadInput(what, file=path, expected="a table with latency_s, or an export of a load test")


def with_points(columns: Columns, mark: str) -> Columns:
    """Columns whose numbers have points, where it is certain what a comma in them is."""
    comma = comma_in((cell for one in columns.values() for cell in one.texts.to_pylist()), mark)
    if not comma:
        return columns
    return {
        name: replace(one, texts=pa.array([with_point(cell, comma) for cell in one.texts.to_pylist()], pa.string()))
        for name, one in columns.items()
    }


def usual_columns(columns: Columns) -> tuple[Columns, list[str]]:
    """Columns under the names that profiles have, and a note on those that they do not hold."""
    left = [name for name in columns if NOT_HELD.match(name)]
    found: Columns = {}
    for name, one in columns.items():
        usual = ALIASES.get(name, name)
        if name not in left:
            found[usual if usual not in columns else name] = squares(one) if usual == "side" else one
    return found, [f"{', '.join(left)}: left out"] if left else []


def squares(column: Column) -> Column:
    """Sides of pictures like 1024x768, of a square as large; numbers as they are."""
    sides_of = sides(column.texts)
    texts = [
        text if side != side else f"{side:.0f}" for text, side in zip(column.texts.to_pylist(), sides_of, strict=True)
    ]
    return replace(column, texts=pa.array(texts, pa.string()))


def above_zero(column: Column, missing: float | None = None) -> Floats:
    """Numbers above 0. missing: the value of empty cells, where they may be."""
    found = floats(column.texts)
    good = np.isfinite(found) & (found > 0)
    either = column.match(r"^\+?\d{1,3}(,\d{3})+$")
    unclear = "the comma in this number is between thousands or before decimals, and no number of the file shows which"
    column.refuse(either, "a number like 5.919 or 5919", unclear)
    if missing is None:
        column.refuse(~good, "a number like 1.5 or 1,500.5", "not a number above 0")
        return found
    column.refuse(~good & column.given, "a number like 1.5", "not a number above 0")
    return np.where(good, found, missing)


def latency_column(columns: Columns) -> tuple[str, float]:
    """The column of median latency, and its unit in seconds: the unit is part of the name, never guessed."""
    for name in ("latency", "p50", "median"):
        for unit, size in UNITS.items():
            if f"{name}_{unit}" in columns:
                return f"{name}_{unit}", size
    expected = "latency_s, latency_ms or latency_us; or an export of perf_analyzer or GenAI-Perf"
    file = next(iter(columns.values())).file
    what = f"no column of latencies with its unit; the file looks like {looks_like(Head(file))}"
    raise BadInput(what, file=file, value=list(columns), expected=expected)


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
        columns[name].refuse(values % 1 != 0, "a whole number like 8", "not a whole number")
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
