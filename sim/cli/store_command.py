"""The command that lists and prunes the runs that studies keep."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.filesize import decimal
from rich.table import Table
from typer import Option

from sim.cli.console import Console, name_column, text_table
from sim.cli.options import StoreFolder, option
from sim.errors import BadInput
from sim.units import seconds

if TYPE_CHECKING:
    from sim.studies.store import Store


def store(
    folder: StoreFolder = None,
    merge: Annotated[
        list[Path] | None, Option("--merge", help="Copy the runs of this folder here, as of a shard. Repeatable.")
    ] = None,
    prune: Annotated[
        bool, Option("--prune", help="Delete runs of other versions, damaged ones and unfinished files.")
    ] = False,
    older: Annotated[str | None, Option(help="With --prune: also runs older than this, like '30 days'.")] = None,
    everything: Annotated[bool, Option("--all", help="With --prune: all of them.")] = False,
    most: Annotated[int, Option(min=0, help="How many of the newest runs to list.")] = 20,
) -> None:
    """List, join or delete the runs that studies keep.

    Studies keep the figures of each run they make, so that none is made twice. The folder is that of --store or of the
    variable MELTPOINT_STORE, else one in your cache. After an array of shards, each with a folder of its own:

    meltpoint store --store all --merge shard-1 --merge shard-2
    """
    from sim.studies.store import opened

    kept = opened(folder)
    assert kept is not None
    if (older is not None or everything) and not prune:
        raise BadInput("this deletes runs, so it goes with --prune", key="--all" if everything else "--older")
    for other in merge or []:
        if not other.is_dir():
            raise BadInput("there is no such folder", file=other, key="--merge", expected="one with runs of a study")
    if not merge and folder is not None and not kept.folder.is_dir():
        raise BadInput("there is no such folder", file=folder, expected="one that a study wrote runs into")
    if merge:
        copied = sum(kept.merge(other) for other in merge)
        Console().print_line(f"Copied {copied:,} runs to {kept.folder}")
    elif prune:
        age = seconds("never") if older is None else option("--older", older, seconds)
        files, size = kept.prune(older=age, everything=everything)
        Console().print_line(f"Deleted {files:,} files, {decimal(size)}, of {kept.folder}")
    else:
        print_runs(kept, most)


def print_runs(kept: "Store", most: int) -> None:
    """Print how many runs are kept, and the newest of them."""
    console, rows = Console(), kept.listed()
    total = decimal(sum(row["bytes"] for row in rows))
    current = sum(row["current"] for row in rows)
    console.print_line(f"{len(rows):,} runs in {kept.folder}, {total}; {current:,} are of this version.")
    if rows and most:
        console.print(runs_table(rows[-most:]))


def runs_table(rows: list[dict[str, object]]) -> Table:
    """The newest runs last."""

    cells = []
    for row in rows:
        when = f"{datetime.fromtimestamp(float(str(row['written'])), UTC):%Y-%m-%d %H:%M}"
        gpus, scale = row.get("gpus"), float(str(row.get("scale", 1)))
        fleets = ", ".join(str(n) for n in gpus.values()) if isinstance(gpus, dict) else ""
        part = "" if scale == 1 else f"1/{1 / scale:g}"
        about = (str(row["title"]), str(row.get("playbook", "")), str(row.get("seed", "")), fleets, part)
        cells.append((when, *about, str(row["key"])[:8], "" if row["current"] else "of another version"))
    heads = ("written (UTC)", "scenario", name_column("playbook"), "seed", "GPUs", "slice", "key", "")
    return text_table(*heads, rows=cells)
