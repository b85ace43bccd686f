"""The command that finds the smallest fleet with which a promise holds, or the largest demand that a fleet carries."""

import json
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sim.cli.console import INTERRUPTED, Console, name_column, ready, runs_bar, say
from sim.cli.options import (
    ClusterAddress,
    MostSeeds,
    NoStore,
    Override,
    Processes,
    ScenarioArgument,
    Sets,
    StoreFolder,
    UntilPrecise,
    a_share,
    machines,
    named,
    parsed,
)
from sim.cli.places import replacing, result_folder, write_file
from sim.errors import BadInput

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
    futures: Annotated[
        int, typer.Option(min=2, help="The same where inputs are uncertain: each run is one of another future.")
    ] = 50,
    runs: Annotated[
        str | None,
        typer.Option(help="Share of runs that must keep the promise: 90%; where inputs are uncertain 50%,90%."),
    ] = None,
    confidence: Annotated[str, typer.Option(help="The confidence with which that is to be known.")] = "95%",
    until_precise: UntilPrecise = None,
    most_seeds: MostSeeds = 100,
    step: Annotated[
        int | None, typer.Option(min=1, help="GPUs by which the answer may be off; a hundredth if none.")
    ] = None,
    demand: Annotated[
        bool, typer.Option("--demand", help="Instead, find how many times its demand the fleet as it is carries.")
    ] = False,
    override: Override = None,
    sets: Sets = None,
    processes: Processes = None,
    cluster: ClusterAddress = None,
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

    Where inputs are uncertain, like --set 'demand.times=~ lognormal(0.5, 2)', it finds the fleets that are enough in
    half of all futures (P50) and in nine tenths (P90), or in the shares of --runs.
    """
    from sim.studies.uncertain import load_uncertain

    inputs = load_uncertain(scenario, override=override, sets=parsed(sets))
    loaded = inputs.scenario
    shares = [a_share("runs", text) for text in named(runs or ("50%,90%" if inputs.laws else "90%"))]
    names = named(playbooks) or [next(iter(loaded.playbooks))]
    folder = None if out is None else result_folder(out, "", replace=replace)
    how: dict[str, Any] = {
        "seeds": futures if inputs.laws else seeds,
        "confidence": a_share("confidence", confidence),
        "store": False if no_store else store,
    }
    more = {"until": a_share("until-precise", until_precise), "most": most_seeds} if until_precise else {}
    if demand and more:
        raise BadInput("only the answer for a fleet gets further seeds", key="--until-precise", value=until_precise)
    if demand and (pool is not None or step is not None):
        raise BadInput("the fleet stays as it is with --demand", key="--pool" if pool else "--step", value=pool or step)
    if len(shares) > 1 and (demand or not inputs.laws):
        expected = "several only where inputs are uncertain and a fleet is sought"
        raise BadInput("one share of runs at a time", key="--runs", value=runs, expected=expected)
    if demand and inputs.laws:
        expected = "numbers in place of laws"
        raise BadInput("--demand takes no uncertain inputs", key=next(iter(inputs.laws)), expected=expected)
    with machines(cluster, processes) as executor:
        how["executor"] = executor
        if demand:
            answer_demand(loaded, promise, names, {**how, "runs": shares[0]}, folder)
        else:
            answer_fleet(inputs, promise, names, shares, {**how, "pool": pool, "step": step, **more}, folder)


def answer_fleet(
    inputs: Any, promise: str, names: list[str], shares: list[float], how: dict[str, Any], folder: Path | None
) -> None:
    """Size the fleet under each playbook, print the answers, and save what they rest on."""
    from sim.engine.simulate import chosen
    from sim.studies.promise import read_promise
    from sim.studies.size import size as find
    from sim.studies.size_words import savings, sentences
    from sim.wording import percent

    loaded = inputs.scenario
    read_promise(promise, loaded)
    for name in names:
        chosen(loaded, name)
    ready()
    found = []
    for name, share in product(names, shares):
        with runs_bar(f"{loaded.title}: {name}") as report:
            found.append(find(inputs, promise, name, runs=share, **how, progress=report))
        say(sentences(found[-1]))
        Console().print(looks_table(found[-1].table, share=found[-1].target > 0))
        if found[-1].verdict == "interrupted":
            break
    for share in shares:
        answers = [one for one in found if one.runs == share]
        if len(answers) > 1:
            Console().print(savings_table(savings(answers), names[0], f"Playbooks, in {percent(share)} of runs"))
    if folder is not None:
        import pandas as pd

        from sim.plots.saving import write_figure
        from sim.plots.size_curve import curves, size_figure
        from sim.results.folder import new_folder

        with replacing(folder), new_folder(folder) as unfinished:
            write_promise(unfinished, promise)
            write_file(curves(found), unfinished / "looks.csv")
            by_share = [savings([one for one in found if one.runs == share]).assign(runs=share) for share in shares]
            write_file(pd.concat(by_share), unfinished / "answers.csv")
            if any(len(one.table) for one in found):
                write_figure(size_figure(found if len(found) > 1 else found[0]), unfinished / "curve.png")
        Console().print(f"\nTables and figure in {folder}", soft_wrap=True, highlight=False, markup=False)
    if found[-1].verdict == "interrupted":
        raise typer.Exit(INTERRUPTED)


def write_promise(folder: Path, promise: str) -> None:
    """Write the promise that was sized for; by its format --replace knows the folder again."""
    text = json.dumps({"format": FORMAT, "promise": promise}, indent=2)
    write_file(text, folder / "size.json")


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

        from sim.results.folder import new_folder

        with replacing(folder), new_folder(folder) as unfinished:
            write_promise(unfinished, promise)
            write_file(pd.concat(tables, ignore_index=True), unfinished / "looks.csv")
        Console().print(f"\nTable in {folder}", soft_wrap=True, highlight=False, markup=False)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


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


def savings_table(table: Any, first: str, title: str = "Playbooks") -> Table:
    """GPUs saved by each playbook."""
    from sim.wording import amount

    shown = Table(name_column("playbook"), "GPUs", f"saved against {first}", "holds up to", "cost", "", title=title)
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
