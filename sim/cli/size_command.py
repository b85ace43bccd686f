"""The command that finds the smallest fleet with which a promise holds, or the largest demand that a fleet carries."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sim.cli.console import Console, name_column, ready, runs_bar
from sim.cli.options import NoStore, Override, Processes, ScenarioArgument, Sets, StoreFolder, a_share, named, parsed
from sim.cli.places import replacing, result_folder
from sim.errors import BadInput

INTERRUPTED = 130
FORMAT = "meltpoint-size/1"


def size(
    scenario: ScenarioArgument,
    promise: Annotated[
        str, typer.Option(help="What must hold, like '95 % in time in every window', 'alive', 'p95 <= 30 s'.")
    ] = "alive",
    playbooks: Annotated[
        str | None,
        typer.Option("--playbooks", "--playbook", help="Names, separated by commas; the first if not given."),
    ] = None,
    pool: Annotated[
        str | None, typer.Option(help="The pool to size, others as they are; all of them if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=2, help="Runs of each fleet; the answer gets as many of its own.")] = 10,
    runs: Annotated[str, typer.Option(help="The share of runs that must keep the promise; 50% is on average.")] = "90%",
    confidence: Annotated[str, typer.Option(help="The confidence with which that is to be known.")] = "95%",
    step: Annotated[
        int | None, typer.Option(min=1, help="GPUs by which the answer may be off; a hundredth if none.")
    ] = None,
    demand: Annotated[
        bool, typer.Option("--demand", help="Instead, find how many times its demand the fleet as it is carries.")
    ] = False,
    override: Override = None,
    sets: Sets = None,
    processes: Processes = None,
    store: StoreFolder = None,
    no_store: NoStore = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the table and the figure; none if not given.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the folder if an earlier result is in it.")
    ] = False,
) -> None:
    """Find the smallest fleet with which a promise holds.

    The search starts from theory, bisects on the same people and proves the answer, and a step fewer, with runs that it
    had not seen. Runs are kept, so that the same question, or an interrupted one, costs only what is missing.
    """
    from sim.scenario.load import load

    loaded = load(scenario, override=override, sets=parsed(sets))
    names = named(playbooks) or [next(iter(loaded.playbooks))]
    folder = None if out is None else result_folder(out, "", replace=replace)
    how = {
        "seeds": seeds,
        "runs": a_share("runs", runs),
        "confidence": a_share("confidence", confidence),
        "processes": processes,
        "store": False if no_store else store,
    }
    if demand and (pool is not None or step is not None):
        raise BadInput("the fleet stays as it is with --demand", key="--pool" if pool else "--step", value=pool or step)
    if demand:
        answer_demand(loaded, promise, names, how, folder)
    else:
        answer_fleet(loaded, promise, names, {**how, "pool": pool, "step": step}, folder)


def answer_fleet(loaded: Any, promise: str, names: list[str], how: dict[str, Any], folder: Path | None) -> None:
    """Size the fleet under each playbook, print the answers, and save what they rest on."""
    from sim.engine.simulate import chosen
    from sim.studies.promise import read_promise
    from sim.studies.size import size as find
    from sim.studies.size_words import savings, sentences

    read_promise(promise, loaded)
    for name in names:
        chosen(loaded, name)
    ready()
    found = []
    for name in names:
        with runs_bar(f"{loaded.title}: {name}") as report:
            found.append(find(loaded, promise, name, **how, progress=report))
        say(sentences(found[-1]))
        Console().print(looks_table(found[-1].table, share=found[-1].target > 0))
        if found[-1].verdict == "interrupted":
            break
    if len(found) > 1:
        Console().print(savings_table(savings(found), names[0]))
    if folder is not None:
        from sim.plots.saving import write_figure
        from sim.plots.size_curve import curves, size_figure

        with replacing(folder):
            begin_folder(folder, promise)
            curves(found).to_csv(folder / "looks.csv", index=False)
            savings(found).to_csv(folder / "answers.csv", index=False)
            if any(len(one.table) for one in found):
                write_figure(size_figure(found if len(found) > 1 else found[0]), folder / "curve.png")
        Console().print(f"\nTables and figure in {folder}", soft_wrap=True, highlight=False, markup=False)
    if found[-1].verdict == "interrupted":
        raise typer.Exit(INTERRUPTED)


def begin_folder(folder: Path, promise: str) -> None:
    """A new folder for answers, which --replace knows again."""
    folder.mkdir(parents=True)
    text = json.dumps({"format": FORMAT, "promise": promise}, indent=2)
    (folder / "size.json").write_text(text, encoding="utf-8")


def answer_demand(loaded: Any, promise: str, names: list[str], how: dict[str, Any], folder: Path | None) -> None:
    """Find the largest multiple of the demand under each playbook."""
    from sim.studies.demand_multiple import demand_multiple
    from sim.studies.size_words import multiple_sentences

    ready()
    tables, interrupted = [], False
    for name in names:
        with runs_bar(f"{loaded.title}: {name}") as report:
            found = demand_multiple(loaded, promise, name, **how, progress=report)
        say(multiple_sentences(found))
        Console().print(looks_table(found.table, share=found.target > 0))
        tables.append(found.table.assign(playbook=name))
        if interrupted := found.interrupted:
            break
    if folder is not None:
        import pandas as pd

        with replacing(folder):
            begin_folder(folder, promise)
            pd.concat(tables, ignore_index=True).to_csv(folder / "looks.csv", index=False)
        Console().print(f"\nTable in {folder}", soft_wrap=True, highlight=False, markup=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def say(lines: list[str]) -> None:
    """Print sentences, the first one in bold."""
    console = Console(highlight=False)
    console.print()
    for number, line in enumerate(lines):
        console.print(Text(line, style="bold" if number == 0 else ""))


def looks_table(table: Any, *, share: bool) -> Table:
    """Every fleet, or multiple of demand, that was looked at; not the runs behind the headroom, which the file has.

    share: whether the promise is about one share, which is shown; else the margin is.
    """
    from sim.wording import amount, percent

    table = table[table["stage"] != "headroom"]
    of_demand, sliced = (table["demand"] != 1).any(), (table["scale"] != 1).any()
    shown = Table(
        "stage",
        "demand" if of_demand else "GPUs",
        "kept",
        "reached" if share else "margin",
        "95 % interval",
        "verdict",
        "cost",
    )
    if sliced:
        shown.add_column("slice")
    for row in table.itertuples():
        known = row.measure_low == row.measure_low
        cells = (
            row.stage,
            f"{row.demand:.2f} times" if of_demand else f"{row.gpus:,}",
            f"{row.kept} of {row.seeds}",
            percent(row.measure),
            f"{100 * row.measure_low:.1f} to {100 * row.measure_high:.1f}" if known else "",
            row.verdict,
            f"${amount(row.dollars)}",
            *([f"1/{1 / row.scale:g}"] if sliced else []),
        )
        shown.add_row(*cells, style="bold" if row.stage == "verify" else None)
    return shown


def savings_table(table: Any, first: str) -> Table:
    """GPUs saved by each playbook."""
    from sim.wording import amount

    shown = Table(
        name_column("playbook"), "GPUs", f"saved against {first}", "holds up to", "cost", "", title="Playbooks"
    )
    for row in table.itertuples():
        known = row.gpus == row.gpus
        shown.add_row(
            row.playbook,
            f"{row.gpus:,.0f}" if known else "none",
            f"{row.saved:,.0f}" if row.saved == row.saved else "",
            f"{row.carries:.2f} times" if row.carries == row.carries else "",
            f"${amount(row.dollars)}" if known else "",
            row.verdict,
        )
    return shown
