"""The commands that simulate a scenario, compare its playbooks, and write the report of a saved run."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sim.cli.console import name_column, progress_bar, ready
from sim.cli.options import Override, ScenarioArgument, Sets, parsed
from sim.errors import BadInput

Out = Annotated[Path | None, typer.Option(help="Folder for the results; a new one under runs/ if not given.")]
Engine = Annotated[
    Literal["compiled", "simpy"],
    typer.Option(help="The compiled engine, or the readable one that defines the model; both give the same tables."),
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace the folder if an earlier result is in it.")]


def run(
    scenario: ScenarioArgument,
    playbook: Annotated[str | None, typer.Option(help="The playbook; the scenario's first one if not given.")] = None,
    override: Override = None,
    sets: Sets = None,
    seed: Annotated[int, typer.Option(min=0, help="Selects the random numbers; the same seed gives the same run.")] = 1,
    engine: Engine = "compiled",
    processes: Annotated[
        int | None, typer.Option(min=1, help="Cells to run at once; one per core if not given.")
    ] = None,
    out: Out = None,
    replace: Replace = False,
) -> None:
    """Simulate one scenario under one playbook.

    Prints the verdict: whether the service stays alive, when its GPUs saturate, what it costs. Saves the tables and an
    HTML report.
    """
    from sim.engine.simulate import chosen, simulate
    from sim.results.storms import rule_sentences
    from sim.results.verdict import sentences, verdict
    from sim.scenario.load import load

    loaded = load(scenario, override=override, sets=parsed(sets))
    name, _ = chosen(loaded, playbook)
    folder = target(out, f"{Path(scenario).stem}-{name}-{seed}", replace)
    ready(engine)
    with progress_bar(f"{loaded.title}: {name}") as report:
        result = simulate(loaded, name, seed=seed, engine=engine, processes=processes, progress=report)
    say([*sentences(verdict(result)), *rule_sentences(result)])
    with replacing(folder, replace):
        result.save(folder)
        page = write_report([result], None, folder)
    Console().print(f"\nTables in {folder}\nReport in {page}", soft_wrap=True, highlight=False, markup=False)


def compare(
    scenario: ScenarioArgument,
    playbooks: Annotated[str | None, typer.Option(help="Names, separated by commas; all if not given.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each playbook; intervals need at least 2.")] = 5,
    override: Override = None,
    sets: Sets = None,
    engine: Engine = "compiled",
    processes: Annotated[int | None, typer.Option(min=1, help="Runs at once; one per core if not given.")] = None,
    out: Out = None,
    replace: Replace = False,
) -> None:
    """Compare playbooks: the same people under each of them.

    Prints a ranking with differences from the first playbook and their 95 % confidence intervals. Saves the tables, the
    runs of the first seed and an HTML report.
    """
    from sim.results.storms import rule_sentences
    from sim.results.verdict import sentences, verdict
    from sim.scenario.load import load
    from sim.studies.compare import compare as compare_all

    loaded = load(scenario, override=override, sets=parsed(sets))
    names = [name.strip() for name in playbooks.split(",")] if playbooks else None
    folder = target(out, f"{Path(scenario).stem}-compared", replace)
    ready(engine)
    with progress_bar(loaded.title) as report:
        comparison, runs = compare_all(loaded, names, seeds=seeds, engine=engine, processes=processes, progress=report)
    for result in runs if len(runs) <= 2 else []:
        say([*sentences(verdict(result)), *rule_sentences(result)])
    Console().print(ranking_table(comparison))
    with replacing(folder, replace):
        folder.mkdir(parents=True)
        comparison.table.to_csv(folder / "runs.csv", index=False)
        comparison.differences.to_csv(folder / "differences.csv", index=False)
        for result in runs:
            result.save(folder / result.manifest["playbook"])
        page = write_report(runs, comparison, folder)
    Console().print(f"\nTables in {folder}\nReport in {page}", soft_wrap=True, highlight=False, markup=False)


def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A folder written by 'meltpoint run'.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; RUN/report.html if not given.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Also write each figure here, as PNG and SVG.")] = None,
) -> None:
    """Write the HTML report of a saved run again.

    With --figures, each figure is also written as a PNG and an SVG file.
    """
    from sim.plots import save_figures
    from sim.report import render, write
    from sim.results.run import load_run

    loaded = load_run(run_folder)
    page = write(render([loaded], None), out or run_folder / "report.html")
    Console().print(f"Report in {page}", soft_wrap=True, highlight=False, markup=False)
    if figures is not None:
        for path in save_figures(loaded, figures):
            Console().print(f"Figure in {path}", soft_wrap=True, highlight=False, markup=False)


def target(out: Path | None, name: str, replace: bool) -> Path:
    """The folder for results: the one asked for, which must be new unless replaced, or the first free one in runs/."""
    if out is not None:
        if out.exists() and not (replace and is_result(out)):
            raise BadInput(
                "this folder is there already", file=out, expected="a new folder, or --replace where it holds a result"
            )
        return out
    number = 1
    while (folder := Path("runs") / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def is_result(folder: Path) -> bool:
    """Whether a folder holds what run, compare or size wrote, so that --replace may delete it."""
    return any((folder / name).is_file() for name in ("manifest.json", "differences.csv", "looks.csv"))


@contextmanager
def replacing(folder: Path, replace: bool) -> Iterator[None]:
    """Write everything into the folder or nothing: if writing fails, an earlier result is put back."""
    aside = folder.with_name(f".{folder.name}-before")
    if replace and folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if aside.exists():
            aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def write_report(runs: list[Any], comparison: Any, folder: Path) -> Path:
    from sim.report import render, write

    return write(render(runs, comparison), folder / "report.html")


def say(lines: list[str]) -> None:
    """Print sentences, the first one in bold."""
    console = Console(highlight=False)
    console.print()
    for number, line in enumerate(lines):
        console.print(Text(line, style="bold" if number == 0 else ""))


def ranking_table(comparison: Any) -> Table:
    """Playbooks, the best first, with intervals if there are several seeds."""
    from sim.wording import amount

    against = f"against {comparison.baseline}"
    table = Table("", name_column("playbook"), "alive", "in time", against, "images lost", "GPU-h wasted", "cost")
    grows = "growth_lost" in comparison.table.columns
    if grows:
        table.add_column("growth lost")
    rows = comparison.differences.set_index(["playbook", "metric"])
    for place, name in enumerate(comparison.ranking, 1):
        runs = comparison.table[comparison.table["playbook"] == name]
        share, lost, wasted, cost = (rows.loc[(name, m)] for m in ("attainment", "lost", "wasted_gpu_hours", "dollars"))
        table.add_row(
            str(place),
            Text(name),
            f"{int(runs['alive'].sum())} of {len(runs)}",
            with_interval(share["mean"], share["mean_low"], share["mean_high"]),
            with_interval(share["difference"], share["low"], share["high"]) if name != comparison.baseline else "",
            amount(lost["mean"]),
            amount(wasted["mean"]),
            f"${amount(cost['mean'])}",
            *([amount(rows.loc[(name, "growth_lost")]["mean"])] if grows else []),
        )
    return table


def with_interval(mean: float, low: float, high: float) -> str:
    """A share in per cent with its 95 % interval, where it has one."""
    bounds = f" [{100 * low:.1f}, {100 * high:.1f}]" if low == low else ""
    return f"{100 * mean:.1f}{bounds} %"
