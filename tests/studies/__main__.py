"""`python -m tests.studies STUDY`: compare the simulator with what is known independently, misses included."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.main import messages_for_wrong_input
from sim.cli.validate_command import Misses, Out, carry_out, chosen
from tests.studies import ALL, STUDIES

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def studies(
    study: Annotated[str, typer.Argument(help=f"Which study; all: {', '.join(ALL)}.")] = "all",
    file: Annotated[
        Path | None, typer.Argument(help="traces: the folder of the recorded fleet. theory: a table of your own (CSV).")
    ] = None,
    out: Out = None,
    misses: Misses = False,
    device: Annotated[
        str | None, typer.Option(help="torch: the device that computes, cpu (the default) or cuda.")
    ] = None,
    cases: Annotated[
        list[str] | None, typer.Option(help="live: the case of this name; sight: the study. Repeatable.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="live: runs of each case, 5 if not given.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="live: four cases with two seeds, in two minutes.")] = False,
) -> None:
    """Compare the simulator with what is known independently: a table of predicted and actual, misses included.

    Ends with exit code 1 where a figure misses for no known reason (tests/studies/known.py).

    Studies: theory (textbook queues; 5 minutes), sight (small faults put into the others; 5
    minutes), peers (Ciw and plain SimPy;
    4 minutes), overload (retry storms; 6 minutes), live (a server in real time; 8 minutes), batcher (an independent
    server in real time; 3 minutes), calibrate (a service found again in its log; 2 minutes), foresight (launches
    watched and scored; 4 minutes), torch (live with a model
    that computes; 25 minutes, needs torch), traces FOLDER (the recorded fleet GenTD26; half a minute).
    """
    given = {"device": device, "cases": cases or None, "seeds": seeds, "quick": quick or None}
    further = {name: value for name, value in given.items() if value is not None}
    if study == "all" and file is None and not further:
        makers = {name: STUDIES[name].make for name in ALL}
    else:
        makers = chosen(STUDIES, study, file, further)
    carry_out(makers, out, only_misses=misses)


def main() -> None:
    with messages_for_wrong_input():
        app()


if __name__ == "__main__":
    main()
