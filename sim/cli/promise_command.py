"""The command that holds runs of a scenario to its promises, and what `--strict` adds to a single run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text
from typer import Option

import sim
from sim.cli import options
from sim.cli.console import PLAIN, Console
from sim.cli.options import a_share, scenario_of, studying
from sim.cli.places import refuse_file, write_file

if TYPE_CHECKING:
    from sim.results.run import Run
    from sim.scenario.scenario import Scenario
    from sim.studies.check import Check


def check(
    scenario: options.ScenarioArgument,
    playbook: options.Playbook = None,
    promise: Annotated[
        list[str] | None, Option("--promise", help="Check this promise instead of the scenario's own. Repeatable.")
    ] = None,
    baseline: Annotated[
        Path | None,
        Option(help="A folder written by 'compare' or 'run', for promises like 'cost no worse than baseline'."),
    ] = None,
    seeds: Annotated[int, Option(min=2, help="Runs; margins take 3 for an interval.")] = 10,
    runs: Annotated[str, Option(help="The share of runs that must keep a promise; 50% means on average.")] = "90%",
    confidence: Annotated[str, Option(help="The confidence with which that must be known.")] = "95%",
    undecided: Annotated[
        Literal["fail", "pass"], Option(help="Whether promises that these runs do not decide end with 3 or 0.")
    ] = "fail",
    override: options.Override = None,
    sets: options.Sets = None,
    junit: Annotated[Path | None, Option(help="Also write JUnit XML here: a name ending in .xml.")] = None,
    markdown: Annotated[Path | None, Option(help="Also write a table here: a name ending in .md.")] = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    shard: options.ShardOf = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
) -> None:
    """Check that a scenario keeps its promises, as a test for a build server.

    Promises stand in the scenario under 'promises', like 'alive', '99 % of plus in time', 'p95 of pro <= 30 s', 'cost
    <= $20,000', 'in time at most 1 % worse than baseline'. Ends with exit code 0 where all are kept, 1 where one is
    broken, 3 where these runs do not decide one, 2 for bad input.
    """
    from sim.export import check_files
    from sim.studies.promise_findings import UNDECIDED

    refuse_file(junit, ".xml")
    refuse_file(markdown, ".md")
    loaded = scenario_of(scenario, override, sets)
    with studying(loaded.title, cluster, processes, shard) as at_work:
        found = sim.check(
            loaded,
            playbook,
            promise or None,
            seeds=seeds,
            runs=a_share("--runs", runs),
            confidence=a_share("--confidence", confidence),
            baseline=baseline,
            store=False if no_store else store,
            **at_work,
        )
    show(found)
    if junit is not None:
        write_file(check_files.junit(found, undecided=undecided), junit)
    if markdown is not None:
        write_file(check_files.markdown(found), markdown)
    if found.code and not (found.verdict == UNDECIDED and undecided == "pass"):
        raise typer.Exit(found.code)


def end_strictly(run: "Run", scenario: "Scenario") -> None:
    """Print how a run keeps the promises of its scenario; end with exit code 1 where it breaks one."""
    from sim.studies.check import check_run

    found = check_run(run, scenario)
    show(found)
    if found.code:
        raise typer.Exit(found.code)


def show(found: "Check") -> None:
    """Print the outcome, and one row per promise."""
    from sim.export.check_files import explanation, margin_words
    from sim.studies.promise_findings import KEPT

    console = Console()
    console.print()
    console.print(Text(found.sentence, style="bold"))
    table = Table(**PLAIN)
    for title in ("promise", "verdict", "reached", "limit", "margin", "runs"):
        table.add_column(title, overflow="fold", min_width=9 if title == "verdict" else None)
    for one in found.findings:
        cells = (one.promise, one.verdict, one.reached, one.limit, margin_words(one), f"{one.held} of {one.seeds}")
        table.add_row(*map(Text, cells), style="" if one.verdict == KEPT else "bold")
    console.print(table)
    for one in found.findings:
        if one.why and one.verdict != KEPT:
            console.print(Text(f"{one.promise}: {one.why}"))
        if one.note:
            console.print(Text(f"{one.promise}: {one.note}"))
    console.print(Text(explanation(found), style="dim"))
