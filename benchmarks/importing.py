"""Ten million rows of a CSV, and of five kinds of log, through `meltpoint demand import`: seconds and memory."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
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


def write_lines(path: Path, rows: int, line: str, head: str = "") -> None:
    """Requests that took two seconds on average, as lines of a form with fields for what is known of each."""
    draws = np.random.default_rng(1)
    at = seconds(rows, draws)
    with path.open("w") as file:
        file.write(head)
        for first in range(0, rows, BLOCK):
            part = at[first : first + BLOCK]
            took = draws.gamma(4.0, 0.5, len(part)).round(3)
            ends, starts = (
                np.datetime_as_string(BEGINS + (when * 1e3).astype("timedelta64[ms]")).tolist()
                for when in (part, part - took)
            )
            users = draws.integers(0, rows // 5, len(part)).tolist()
            kinds = FEATURES[draws.integers(0, 3, len(part))].tolist()
            file.writelines(
                line.format(
                    u=u, ip=f"203.0.113.{u % 250}", end=e, day=e[:10], clock=e[11:19], start=s, k=k, s=t, ms=t * 1000
                )
                for u, e, s, k, t in zip(users, ends, starts, kinds, took.tolist(), strict=True)
            )


NGINX = """\
{ip} - u{u} [31/Mar/2025:{clock} +0000] "POST /v1/{k} HTTP/1.1" 200 18000 "-" "app/1.0 (phone)" rt={s:.3f}
"""
ALB = """\
https {end}000Z app/web/50dc {ip}:40000 10.0.0.1:80 0.001 {s:.3f} 0.001 200 200 100 18000 \
"POST https://example.com:443/v1/{k} HTTP/1.1" "app/1.0 (phone)" ECDHE-RSA TLSv1.2 arn:aws:x "Root=1-{u}" \
"example.com" "arn:cert" 0 {start}000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_{u}
"""
FIELDS = "#Version: 1.0\n#Fields: date time {}\n"
VIEWER = "x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent) x-edge-result-type"
VIEWER += " time-taken"
EDGE = "{day}\t{clock}\tFRA56-P1\t18000\t{ip}\tPOST\texample.com\t/v1/{k}\t200\tapp/1.0\tMiss\t{s:.3f}\n"
SERVER = (
    "s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) sc-status sc-substatus time-taken"
)
IIS = "{day} {clock} 10.0.0.1 POST /v1/{k} - 443 u{u} {ip} app/1.0 200 0 {ms:.0f}\n"
JSON = """\
{{"time_iso8601": "{end}Z", "remote_addr": "{ip}", "remote_user": "u{u}", "request": "POST /v1/{k} HTTP/1.1", \
"status": 200, "request_time": {s:.3f}}}
"""
WRITERS: dict[str, tuple[str, Callable[..., None]]] = {
    "CSV: time, user, feature": ("rows.csv", write_csv),
    "nginx log with seconds": ("rows.log", partial(write_lines, line=NGINX)),
    "AWS ALB": ("alb.log", partial(write_lines, line=ALB)),
    "CloudFront": ("edge.log", partial(write_lines, line=EDGE, head=FIELDS.format(VIEWER))),
    "IIS": ("iis.log", partial(write_lines, line=IIS, head=FIELDS.format(SERVER))),
    "JSON lines": ("rows.jsonl", partial(write_lines, line=JSON)),
}


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
    parser.add_argument("--only", help="the kinds with this in their title")
    asked = parser.parse_args()
    table = Table("file", "size", "wall", "CPU", "memory")
    with tempfile.TemporaryDirectory() as made:
        for title, (name, write) in WRITERS.items():
            if asked.only and asked.only not in title:
                continue
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
