"""The command that holds the simulator against theory, published servers and recordings."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sim.console import progress_bar, ready
from sim.errors import BadInput
from sim.parallel import Progress

if TYPE_CHECKING:
    from sim.validation import Study
    from sim.validation.study import Row

MAP = (
    "trace: what a column of the log is, as NAME=COLUMN; again for each. Names: arrived; waited (seconds), or started "
    "and left (hung up); served (seconds), or ended; date, where the others are times of day; server (who served); "
    "abandoned and ignored, as NAME=COLUMN:VALUE|VALUE. A column of such a name need not be told."
)
SERVERS = "trace: how many there were: a number, or a CSV with the columns from, servers; else told by who served."


def validate(
    study: Annotated[str, typer.Argument(help="Which study; all: theory, mlperf, overload and live.")] = "all",
    file: Annotated[
        Path | None, typer.Argument(help="Figures or a recording of your own, for a study that takes them.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page here, or a table, a .csv file.")] = None,
    misses: Annotated[bool, typer.Option("--misses", help="Print only figures that do not agree.")] = False,
    map: Annotated[list[str] | None, typer.Option(help=MAP)] = None,
    servers: Annotated[str | None, typer.Option(help=SERVERS)] = None,
    test_days: Annotated[
        int | None,
        typer.Option(help="trace: how many days at the end are foretold; by default a third, rounded up."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="torch: what computes, cpu (the default) or cuda.")] = None,
) -> None:
    """Hold the simulator against what is known otherwise: a table of predicted and actual, misses included.

    Studies: theory (textbook queues; 2 minutes), overload (retry storms; 6 minutes), mlperf (published servers, or a
    FILE of yours; a second), live (a real server; 8 minutes), torch (the same with a model that computes; 25 minutes,
    needs torch), traces FOLDER (the recorded fleet GenTD26; half a minute), trace FILE (the log of any queue):

    meltpoint validate trace calls.csv --map arrived=call_time --map abandoned=outcome:HANG --servers 12
    """
    if out is not None and (out.suffix not in WRITERS or out.is_dir() or not os.access(out.parent, os.W_OK)):
        expected = f"a file name{' or name'.join(WRITERS)} in a folder that can be written to"
        raise BadInput("the studies cannot be written there", key="--out", value=str(out), expected=expected)
    told = {"map": map or None, "servers": servers, "test_days": test_days, "device": device}
    makers = chosen(study, file, {name: value for name, value in told.items() if value is not None})
    ready()
    made = []
    for name, maker in makers.items():
        with progress_bar(name) as report:
            made.append(maker(report))
        Console(highlight=False).print(shown(made[-1], only_misses=misses))
    for one in made:
        Console(highlight=False).print(Text(one.sentence, style="bold"))
    if out is not None:
        try:
            WRITERS[out.suffix](made, out)
        except OSError as wrong:
            raise BadInput(f"the studies cannot be written there ({wrong})", key="--out", value=str(out)) from None
        Console().print(f"Written to {out}", soft_wrap=True, highlight=False, markup=False)


def write_page(studies: list["Study"], path: Path) -> None:
    from sim.validation.page import page

    path.write_text(page(studies), encoding="utf-8")


def write_table(studies: list["Study"], path: Path) -> None:
    from sim.validation.results import write_results

    write_results(studies, path)


WRITERS = {".html": write_page, ".csv": write_table}


def chosen(study: str, file: Path | None, told: Mapping[str, object]) -> dict[str, Callable[[Progress], "Study"]]:
    """By name, what makes each study that is wanted. Raises BadInput where there is none, or a file lacks.

    told: what else the study is told, by the name of its argument.
    """
    from sim.validation import ALL, OF_A_FILE, STUDIES, TOLD

    known = [*dict.fromkeys([*STUDIES, *OF_A_FILE]), "all"]
    if study not in known:
        raise BadInput("there is no such study", key="study", value=study, expected=", ".join(known))
    if file is not None and study not in OF_A_FILE:
        expected = f"a study that does: {', '.join(OF_A_FILE)}"
        raise BadInput("this study takes no file", key="study", value=study, expected=expected)
    if file is None and study not in [*STUDIES, "all"]:
        raise BadInput("this study is of a recording of your own", key="file", expected=f"validate {study} FILE")
    for name in told:
        if name not in TOLD.get(study, ()):
            expected = f"a study that does: {', '.join(one for one in TOLD if name in TOLD[one])}"
            raise BadInput(
                f"this study takes no --{name.replace('_', '-')}", key="study", value=study, expected=expected
            )
    if study == "all":
        return {name: STUDIES[name] for name in ALL}
    return {study: partial(STUDIES[study], **told) if file is None else partial(OF_A_FILE[study], file=file, **told)}


def shown(study: "Study", *, only_misses: bool) -> Group:
    """A study's rows: a heading a case, and under it a row a figure."""
    rows = study.misses if only_misses else study.rows
    parts: list[RenderableType] = [Text(f"\n{study.title}", style="bold underline")]
    for number, (case, found) in enumerate(groupby(rows, key=lambda row: row.case)):
        parts += [] if number else [table([], heads=True)]
        parts += [Text(case, style="bold"), table(list(found), heads=False)]
    said = [f"Actual: {study.source}.", *study.notes]
    return Group(*parts, *[Text(line, style="dim") for line in said])


def table(rows: Sequence["Row"], *, heads: bool) -> Table:
    """Rows of one case. Numbers are never cut, however narrow the terminal; words fold."""
    from sim.validation.page import number
    from sim.validation.study import MISSES, NOT_HELD

    made = Table(box=None, show_header=heads, expand=True, padding=(0, 1, 0, 1))
    made.add_column("figure", ratio=3, overflow="fold")
    for title, width in (("actual", 9), ("predicted", 9), ("must lie in", 19)):
        made.add_column(title, justify="right", no_wrap=True, min_width=width)
    made.add_column("", no_wrap=True, min_width=6)
    made.add_column("note", ratio=4, overflow="fold")
    for row in rows:
        between = f"{number(row.low)} to {number(row.high)}" if row.low == row.low else ""
        figure = f"{row.figure} ({row.unit})" if row.unit else row.figure
        verdict = "" if row.fits == NOT_HELD else row.fits
        cells = (figure, number(row.actual), number(row.predicted), between, verdict, row.note)
        made.add_row(*(Text(cell) for cell in cells), style="red" if row.fits == MISSES else "")
    return made
