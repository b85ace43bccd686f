"""Ten million rows of a CSV, and of an nginx log, through `meltpoint demand import`: seconds and memory it takes."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

BEGINS = np.datetime64("2025-03-31T00:00:00.000")
FEATURES = np.array(["image", "edit", "video"])
BLOCK = 500_000  # rows written at a time


def seconds(n: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """Arrivals of a day, a hundred and more a second."""
    return np.sort(draws.uniform(0.0, 86400.0, n))


def write_csv(path: Path, rows: int) -> None:
    draws = np.random.default_rng(1)
    at = seconds(rows, draws)
    with path.open("w") as file:
        file.write("time,user,feature\n")
        for first in range(0, rows, BLOCK):
            part = at[first : first + BLOCK]
            stamps = np.datetime_as_string(BEGINS + (part * 1e3).astype("timedelta64[ms]")).tolist()
            users = draws.integers(0, rows // 5, len(part)).tolist()
            kinds = FEATURES[draws.integers(0, 3, len(part))].tolist()
            file.writelines(f"{t}Z,u{u},{k}\n" for t, u, k in zip(stamps, users, kinds, strict=True))


def write_log(path: Path, rows: int) -> None:
    draws = np.random.default_rng(1)
    at = seconds(rows, draws)
    with path.open("w") as file:
        for first in range(0, rows, BLOCK):
            part = at[first : first + BLOCK]
            clock = np.datetime_as_string(BEGINS + part.astype("timedelta64[s]"), unit="s")
            clocks = [text[11:] for text in clock.tolist()]
            users = draws.integers(0, rows // 5, len(part)).tolist()
            took = draws.gamma(4.0, 0.5, len(part)).round(3).tolist()
            kinds = FEATURES[draws.integers(0, 3, len(part))].tolist()
            file.writelines(
                f'203.0.113.{u % 250} - u{u} [31/Mar/2025:{c} +0000] "POST /v1/{k} HTTP/1.1" 200 {18000 + u % 900} "-" '
                f'"app/1.0 (phone; build {u % 40})" rt={s:.3f}\n'
                for u, c, k, s in zip(users, clocks, kinds, took, strict=True)
            )


WRITERS = {"CSV: time, user, feature": ("rows.csv", write_csv), "nginx log with seconds": ("rows.log", write_log)}


def measured(path: Path) -> tuple[float, float, float]:
    """Wall time and CPU time in seconds, and GB at most, of importing one file."""
    meltpoint = str(Path(sys.executable).with_name("meltpoint"))
    command = [meltpoint, "demand", "import", str(path), "--out", str(path.with_suffix(".parquet")), "--replace"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit(f"{path.name} was not imported")
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="keep the files here, and use them again")
    asked = parser.parse_args()
    table = Table("file", "size", "wall", "CPU", "memory")
    with tempfile.TemporaryDirectory() as made:
        for title, (name, write) in WRITERS.items():
            path = (asked.folder or Path(made)) / name
            if not path.exists():
                write(path, asked.rows)
            wall, cpu, memory = measured(path)
            table.add_row(
                title, f"{path.stat().st_size / 1e6:,.0f} MB", f"{wall:.1f} s", f"{cpu:.1f} s", f"{memory:.2f} GB"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
