"""A digest of every table of every shipped scenario and playbook, at a small scale, from both engines.

Code that is moved must change none of them: `make digest` says whether one has changed. Where a change is meant,
`python -m tests.digest --write` writes the committed file again. Two minutes on two cores; `--engine compiled` alone
takes half of one. A digest depends on the names of the columns and on their
values to the last bit, but not on the order of the columns, on their integer width, or on how pandas stores names.
"""

import argparse
import csv
import hashlib
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import sim
from tests.test_scenarios import CASES

FILE = Path(__file__).with_name("digest.csv")
ENGINES = ("compiled", "simpy")
TABLES = ("requests", "batches", "users", "decisions", "fleet")
HEADS = ["scenario", "playbook", "engine", "table", "rows", "digest"]

SLICES: dict[str, dict[str, str]] = {  # larger ones than those of the tests
    "viral-image-launch": {"scale": "1/6000", "horizon": "2 days"},
    "million-signup-hour": {"scale": "1/1000"},
    "chatgpt-images-week": {"scale": "1/12500", "record": "rows"},
    "chat-beside-images": {"scale": "1/500", "record": "rows", "start": "2025-03-31 17:10", "horizon": "20 min"},
    "launch-2022": {"scale": "1/100", "horizon": "2 days"},
    "creative-studio": {"horizon": "3 days"},
    "steady": {},
    "retry-storm": {"record": "rows"},
    "surge": {"record": "rows"},
}


def packed(values: Any) -> bytes:
    """The values of a column as bytes. Every nan is the same nan, and nothing is like 'nothing'."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        numbers = values.astype(np.float64)
        return np.where(np.isnan(numbers), np.nan, numbers).tobytes()
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub":
        return values.astype(np.int64).tobytes()
    column = pd.Series(values)
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype):
        empty = column.isna().to_numpy()
        return empty.tobytes() + column.fillna(0).to_numpy(dtype=np.int64).tobytes()
    if pd.api.types.is_float_dtype(column.dtype):
        return packed(column.to_numpy(dtype=np.float64))
    codes, kinds = pd.factorize(column.astype(object))  # in the order in which they are first met
    return repr([str(kind) for kind in kinds]).encode() + codes.astype(np.int64).tobytes()


def digest(columns: dict[str, Any]) -> str:
    """Sixteen hexadecimal digits that stand for named columns."""
    found = hashlib.sha256()
    for name in sorted(columns):
        content = packed(columns[name])
        found.update(f"{name} {len(content)} ".encode() + content)
    return found.hexdigest()[:16]


def table_digests(run: sim.Run) -> Iterator[tuple[str, int, str]]:
    """The tables of a run, how long each is, and its digest; and the timeline, where the engine keeps one."""
    for name in TABLES:
        table = getattr(run, name)
        yield name, len(table), digest({str(column): table[column] for column in table})
    if run.timeline is not None:
        people = {f"people {name}": np.array([count]) for name, count in run.timeline.people.items()}
        arrays = {name: np.ascontiguousarray(values) for name, values in run.timeline.arrays().items()}
        width = {"width": np.array([run.timeline.width])}
        yield "timeline", len(run.timeline.counts), digest({**arrays, **people, **width})


def digests_of(task: tuple[str, str, str]) -> list[list[str]]:
    """One row per table of one run: HEADS."""
    engine, name, playbook = task
    run = sim.simulate(sim.load(name, sets=SLICES[name]), playbook, engine=engine)
    return [[name, playbook, engine, table, str(rows), found] for table, rows, found in table_digests(run)]


def digests(engine: str) -> list[list[str]]:
    """One row per table of every run."""
    tasks = [(engine, *case) for case in CASES]
    first = digests_of(tasks[0])  # compiles the engine where that has not been done: once, not in every process
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as executor:
        return sum(executor.map(digests_of, tasks[1:]), first)


def committed(engine: str) -> list[list[str]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return [row for row in list(csv.reader(file))[1:] if row[2] == engine]


def differences(engine: str) -> list[str]:
    """The differences from the committed file, one per line."""
    before = {tuple(row[:4]): row[4:] for row in committed(engine)}
    now = {tuple(row[:4]): row[4:] for row in digests(engine)}
    return [
        f"{' / '.join(key)}: {before.get(key, 'not there')} is now {now.get(key, 'not there')}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]


def main() -> None:
    asked = argparse.ArgumentParser(description="Compare the tables of every shipped run with the committed digests.")
    asked.add_argument("--engine", choices=ENGINES, help="one engine; both if not given")
    asked.add_argument("--write", action="store_true", help="write the committed file again")
    given = asked.parse_args()
    engines = (given.engine,) if given.engine else ENGINES
    if given.write:
        rows = [row for engine in ENGINES for row in (digests(engine) if engine in engines else committed(engine))]
        with FILE.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADS, *rows])
        return
    changed = [line for engine in engines for line in differences(engine)]
    sys.stdout.write("\n".join(changed or ["Every table is as committed."]) + "\n")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
