"""The command that checks the simulator against published servers and a user's own queue."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from sim.cli.console import Console, progress_bar, ready
from sim.cli.places import refuse_file, write_file
from sim.errors import BadInput

if TYPE_CHECKING:
    from sim.engine.parallel import Progress
    from sim.validation.study import Offer, Row, Study

MAP = (
    "trace: what a column of the log is, as NAME=COLUMN; again for each. Names: arrived; waited (seconds), or started "
    "and left (hung up); served (seconds), or ended; date, where the others are times of day; server (who served); "
    "abandoned and ignored, as NAME=COLUMN:VALUE|VALUE, also several. A column that has such a name need not be given."
)
SERVERS = "trace: how many there were: a number, or a CSV with the columns from, servers; else counted from who served."


Out = Annotated[Path | None, Option(help="Also write an HTML page here, or a table, a .csv file.")]
Misses = Annotated[bool, Option("--misses", help="Print only figures that do not agree.")]


def validate(
    study: Annotated[str, Argument(help="Which study: mlperf, trace or loadtest.")],
    file: Annotated[Path | None, Argument(help="Your figures or your recording; mlperf has published ones.")] = None,
    test: Annotated[Path | None, Argument(metavar="[TEST]", help="loadtest: the results, after the scenario.")] = None,
    out: Out = None,
    misses: Misses = False,
    map: Annotated[list[str] | None, Option(help=MAP)] = None,
    drop: Annotated[
        list[str] | None, Option(help="trace: rows to leave out, as COLUMN:VALUE|VALUE; again for each column.")
    ] = None,
    servers: Annotated[str | None, Option(help=SERVERS)] = None,
    split: Annotated[
        str | None, Option(help="trace: last (days to forecast) or odd-even (every other day is tested).")
    ] = None,
    test_days: Annotated[
        int | None, Option(help="trace: how many final days to forecast; by default a third, rounded up.")
    ] = None,
    strict: Annotated[
        bool, Option("--strict", help="End with 1 on any miss, known ones too, and with 3 if none was bounded.")
    ] = False,
) -> None:
    """Check the simulator against your own servers or queue.

    Prints a table of predicted and actual figures, misses included, and ends with exit code 1 where one misses for no
    known reason (--strict: for any reason), 2 for bad input. Studies: mlperf (published MLPerf servers, or a FILE of
    your own), trace FILE (the log of any queue), loadtest SCENARIO TEST (predicted beside measured at each concurrency
    or rate):

    meltpoint validate trace calls.csv --map arrived=call_time --map abandoned=outcome:HANG --servers 12

    meltpoint validate loadtest mine.yaml perf_analyzer.csv
    """
    from sim.validation import STUDIES

    options = {"map": map or None, "drop": drop or None, "servers": servers, "test_days": test_days, "split": split}
    if study == "loadtest":
        if file is None or test is None:
            expected = "loadtest SCENARIO TEST, like loadtest mine.yaml perf_analyzer.csv"
            raise BadInput("a load test is held against a scenario", key="file", value=file, expected=expected)
        options["scenario"], file = str(file), test
    elif test is not None:
        raise BadInput("this study takes one file", key="test", value=str(test), expected="study loadtest")
    given = {name: value for name, value in options.items() if value is not None}
    carry_out(chosen(STUDIES, study, file, given), out, only_misses=misses, strict=strict)


def carry_out(
    makers: Mapping[str, "Callable[[Progress], Study]"], out: Path | None, *, only_misses: bool, strict: bool = False
) -> None:
    """Make each study, print its rows, and write all of them where that is wanted.

    The command ends with exit code 1 where a figure misses for no known reason. strict: where any misses; and with 3
    where a study held no figure to a bound, so that nothing is decided.
    """
    refuse_file(out, ".html", ".csv")
    ready()
    made = []
    for name, maker in makers.items():
        with progress_bar(name) as report:
            made.append(maker(report))
        Console().print(shown(made[-1], only_misses=only_misses))
    for one in made:
        Console().print(Text(one.sentence, style="bold"))
    if out is not None:
        from sim.validation.study_file import page, results_csv

        write_file(results_csv(made) if out.suffix == ".csv" else page(made), out)
        Console().print_line(f"Written to {out}")
    if any(one.misses if strict else one.unexpected for one in made):
        raise typer.Exit(1)
    if strict and not all(one.held for one in made):
        raise typer.Exit(3)


def chosen(
    studies: Mapping[str, "Offer"], study: str, file: Path | None, options: Mapping[str, object]
) -> dict[str, "Callable[[Progress], Study]"]:
    """The function that makes the study of this name. Raises BadInput where there is none, or a file is missing.

    options: further arguments of the study, by name.
    """
    if study not in studies:
        raise BadInput("there is no such study", key="study", value=study, expected=", ".join(studies))
    offer = studies[study]
    if file is not None and offer.file == "no":
        expected = f"a study that does: {', '.join(name for name, one in studies.items() if one.file != 'no')}"
        raise BadInput("this study takes no file", key="study", value=study, expected=expected)
    if file is None and offer.file == "must":
        raise BadInput("this study is of a recording of your own", key="file", expected=f"{study} FILE")
    for name in options:
        if name not in offer.options:
            expected = f"a study that does: {', '.join(other for other, one in studies.items() if name in one.options)}"
            raise BadInput(
                f"this study takes no --{name.replace('_', '-')}", key="study", value=study, expected=expected
            )
    return {study: partial(offer.make, **options) if file is None else partial(offer.make, file=file, **options)}


def shown(study: "Study", *, only_misses: bool) -> Group:
    """A study's rows: one heading per case, and under it one row per figure."""
    rows = study.misses if only_misses else study.rows
    parts: list[RenderableType] = [Text(f"\n{study.title}", style="bold underline")]
    for number, (case, found) in enumerate(groupby(rows, key=lambda row: row.case)):
        parts += [] if number else [table([], heads=True)]
        parts += [Text(case, style="bold"), table(list(found), heads=False)]
    said = [f"Actual: {study.source}.", *study.notes]
    return Group(*parts, *[Text(line, style="dim") for line in said])


def table(rows: Sequence["Row"], *, heads: bool) -> Table:
    """Rows of one case. Numbers are never cut, however narrow the terminal; words fold."""
    from sim.validation.study import MISSES, NOT_HELD
    from sim.validation.study_file import number

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
