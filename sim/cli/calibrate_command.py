"""The commands that make a scenario of one's own from logs, and run its incident again with help that came earlier."""

import glob
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from typer import Argument, Option

from sim.cli import options
from sim.cli.console import Console, progress_bar, ready, say, text_table
from sim.cli.options import a_time, named, scenario_of, studying
from sim.cli.places import begins_with, manifest_of, refuse_file, refuse_taken, save_table, write_file
from sim.errors import BadInput


def calibrate(
    files: Annotated[list[Path], Argument(metavar="FILE...", help="Parts of one log, or counts; a load test.")],
    out: Annotated[Path, Option(help="The scenario, a .yaml file; its profiles are written beside it.")],
    zone: options.Zone = None,
    time_unit: options.TimeUnit = None,
    stamped: options.Stamped = None,
    format: Annotated[str | None, Option(help="The format of the log; recognised by its content if not given.")] = None,
    values: options.CountValues = None,
    refused: options.Refused = None,
    dates: options.Dates = None,
    repair: options.Repair = "",
    seeds: Annotated[int, Option(min=2, help="Runs of the fitted scenario that are compared with the log.")] = 8,
    table: Annotated[Path | None, Option(help="Also write the estimates here as CSV.")] = None,
    replace: Annotated[bool, Option("--replace", help="Write over files that are there.")] = False,
) -> None:
    """Make a scenario of your own from logs, counts and a load test.

    Fits who comes and when, what they ask for, how long they wait, whether they ask again, how many servers there were
    and how long they took, and the throttling that was in force; each value with its interval and method. What the
    files cannot tell stays a default and is listed. Then the scenario is run, and its figures are shown beside those of
    the log; exit code 1 says that one of them does not agree.

    meltpoint calibrate access.log --out mine.yaml
    """
    from sim.calibration.calibrate import FITTED, MISSES
    from sim.calibration.calibrate import calibrate as fit
    from sim.calibration.estimates import COLUMNS
    from sim.demand.recordings.importing import ImportOptions

    refuse_file(table)
    if out.suffix not in (".yaml", ".yml") or not out.parent.is_dir():
        raise BadInput("a scenario cannot be written there", key="--out", value=str(out), expected="a .yaml file")
    refuse_taken(out, begins_with(FITTED), replace=replace)
    for profile in out.parent.glob(f"{glob.escape(out.stem)}.*.profile.json"):
        refuse_taken(profile, is_profile, replace=replace)
    if table is not None:
        refuse_taken(table, begins_with(f"{','.join(COLUMNS)}\n"), replace=replace)
    how = ImportOptions(
        format=format, unit=time_unit, zone=zone, stamped=stamped, values=values, refused=refused, dates=dates
    )
    ready()
    with progress_bar("fitted scenario") as report:
        found = fit(files, options=how, repairs=named(repair), seeds=seeds, progress=report)
    print_findings(found.findings)
    written = found.files(out)
    for path, text in written.items():
        write_file(text, path)
    save_table(found.findings.table, table)
    console = Console()
    if len(found.held):
        console.print(Text("\nThe log beside runs of the fitted scenario:", style="bold"))
        console.print(held_table(found.held))
    console.print_line(f"\nScenario in {', '.join(map(str, written))}")
    if misses := int((found.held["fits"] == MISSES).sum()):
        console.print(
            f"\n{misses} of {len(found.held)} figures of the runs do not agree with the log: do not plan with this "
            "scenario before you know why. GPUs that serve several requests at once need a load test beside the log; "
            "a part of the log with one regime fits better than all of it. In a sample of requests, servers and queues "
            "cannot be found.",
            style="bold red",
        )
        raise typer.Exit(1)


def print_findings(findings: Any) -> None:
    """Print the values that were fitted, what stays a default, and notes."""
    console = Console()
    rows = [(one.key, one.words, f"{one.n:,}" if one.n else "", one.method) for one in findings.estimates]
    console.print(text_table("fitted", "value (95 %)", "n", "method", rows=rows, box=None, pad_edge=False))
    for title, lines in (
        ("Stays a default, since the files cannot tell:", [f"{k}: {w}" for k, w in findings.unknown.items()]),
        ("Notes:", findings.notes),
    ):
        if lines:
            console.print(Text(f"\n{title}", style="bold"))
            for line in lines:
                console.print(Text(f"  {line}", style="dim"))


def held_table(held: Any) -> Table:
    """Figures of the log beside those of runs of the fitted scenario."""
    from sim.calibration.calibrate import MISSES

    table = Table("figure", "log", "runs", "one more run within", "", box=None, pad_edge=False)
    for name, seen, run, low, high, fits in held.itertuples(index=False):
        words = (f"{seen:.4g}", f"{run:.4g}", f"{max(low, 0):.4g} to {high:.4g}", fits)
        table.add_row(Text(name), *map(Text, words), style="red" if fits == MISSES else "")
    return table


def is_profile(path: Path) -> bool:
    """Whether a file says that it is a profile."""
    return str(manifest_of(path).get("format")).startswith("meltpoint-profile/")


def backtest(
    scenario: options.ScenarioArgument,
    playbook: Annotated[str, Option(help="The playbook to begin earlier; it has a step with a date.")],
    earlier: Annotated[str, Option(help="By how much, like 20min; several with commas.")] = "20 min",
    was: Annotated[str | None, Option(help="The playbook of the incident; the scenario's first if absent.")] = None,
    seeds: Annotated[int, Option(min=1, help="Runs of each; three or more give intervals.")] = 8,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
) -> None:
    """Run an incident again with a playbook begun earlier.

    The scenario is one that 'calibrate' made of the incident's log: its demand is the one behind the throttling, and
    its first playbook is the throttling that was in force. All runs have the same people, so differences are paired.

    meltpoint calibrate incident.log --out mine.yaml

    meltpoint backtest mine.yaml --playbook 'as it was' --earlier '20 min'
    """
    from sim.studies.backtest import backtest as run_again

    by = [a_time("--earlier", text) for text in named(earlier)]
    loaded = scenario_of(scenario, override, sets)
    with studying(f"{loaded.title}: {playbook}", cluster, processes) as at_work:
        found = run_again(loaded, playbook, by, was=was, seeds=seeds, **at_work)
    say(found.sentences())
    Console().print(Text(found.caution, style="dim"))
