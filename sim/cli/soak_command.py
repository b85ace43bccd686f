"""The command that loads a GPU fully for minutes and records what heat and power do to it."""

import csv
from pathlib import Path
from typing import Annotated, Literal

from typer import Option

from sim.cli.console import Console, progress_bar, say_where
from sim.errors import BadInput

Dtype = Literal["bfloat16", "float16", "float32"]


def profile_soak(
    out: Annotated[Path, Option(help="The CSV file to write, one row per second.")] = Path("soak.csv"),
    seconds: Annotated[float, Option(min=10, help="Seconds of full load.")] = 600.0,
    rest: Annotated[float, Option(min=1, help="Idle seconds before the load, and again after it.")] = 20.0,
    dtype: Annotated[Dtype, Option(help="Of the numbers in the products.")] = "bfloat16",
) -> None:
    """Load this machine's GPU fully for minutes; record power, clock and temperature every second.

    The load is matrix products, back to back. At the end the command prints the clock that the card sustains and the
    resistance and time constant that describe its temperature, as the policy 'thermal throttling' takes them.
    """
    if out.exists():
        raise BadInput("this file exists already", key="--out", file=out, expected="the name of a new file")
    try:
        from sim.profile.measure.machine import Machine
        from sim.profile.measure.soak import COLUMNS, soak, summary
    except ModuleNotFoundError as missing:
        raise BadInput(f"this command needs {missing.name}", expected="pip install 'meltpoint[bench]'") from None
    machine, total = Machine("cuda"), seconds + 2 * rest
    try:
        with out.open("x", encoding="utf-8", newline="") as stream, progress_bar("soaking", "done") as report:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            rows = []
            for row in soak(machine, seconds=seconds, rest=rest, dtype=dtype):
                rows.append(row)
                writer.writerow(row.as_dict())
                stream.flush()
                report(min(1.0, row.second / total))
    except OSError as wrong:
        raise BadInput(f"the record cannot be written ({wrong.strerror})", key="--out", file=out) from None
    for line in summary(rows):
        Console().print_line(line)
    say_where("Record", out)
