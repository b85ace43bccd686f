"""The command that holds the simulator against theory, published servers and recordings."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.console import name_column, progress_bar, ready
from sim.errors import BadInput


def validate(
    study: Annotated[str, typer.Argument(help="Which study, or 'all' of them.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Also write an HTML page here.")] = None,
    misses: Annotated[bool, typer.Option("--misses", help="Print only figures that do not agree.")] = False,
    file: Annotated[
        Path | None, typer.Option(help="Published figures of your own, for a study that takes them.")
    ] = None,
) -> None:
    """Hold the simulator against what is known otherwise: a table of predicted and actual, misses included."""
    from sim.validation import OF_A_FILE, STUDIES
    from sim.validation.page import page

    if study != "all" and study not in STUDIES:
        raise BadInput("there is no such study", key="study", value=study, expected=", ".join([*STUDIES, "all"]))
    if file is not None and study not in OF_A_FILE:
        expected = f"a study that does: {', '.join(OF_A_FILE)}"
        raise BadInput("this study takes no file", key="--file", value=study, expected=expected)
    if out is not None and (out.suffix != ".html" or not out.parent.is_dir()):
        raise BadInput("the page cannot be written there", key="--out", value=out, expected="a file name.html")
    ready()
    made = []
    for name in STUDIES if study == "all" else [study]:
        with progress_bar(name) as report:
            made.append(STUDIES[name](report) if file is None else OF_A_FILE[name](report, file))
        Console().print(table(made[-1], only_misses=misses))
    for one in made:
        Console(highlight=False).print(Text(one.sentence, style="bold"))
    if out is not None:
        out.write_text(page(made), encoding="utf-8")
        Console().print(f"Page in {out}", soft_wrap=True, highlight=False, markup=False)


def table(study: object, *, only_misses: bool) -> Table:
    """A study's rows."""
    from sim.validation.page import number
    from sim.validation.study import Study

    assert isinstance(study, Study)
    shown = Table(name_column("case"), "figure", "actual", "predicted", "must lie in", "", "note", title=study.title)
    for row in study.misses if only_misses else study.rows:
        between = f"{number(row.low)} to {number(row.high)}" if row.low == row.low else ""
        figure = f"{row.figure} ({row.unit})" if row.unit else row.figure
        cells = (row.case, figure, number(row.actual), number(row.predicted), between, row.fits, row.note)
        shown.add_row(*(Text(cell) for cell in cells), style="red" if row.fits == "MISSES" else "")
    shown.caption = " ".join([f"Actual: {study.source}.", *study.notes])
    return shown
