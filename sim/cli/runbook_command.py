"""The commands that lead to a service in production: a runbook, a run's metrics for a dashboard, shadow mode."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

import sim
from sim.cli.console import Console, progress_bar, ready, runs_bar, say_where, write_out
from sim.cli.options import (
    Override,
    Playbook,
    ScenarioArgument,
    Sets,
    is_saved_run,
    option,
    parsed,
    refuse_changes,
    scenario_of,
)
from sim.cli.places import begins_as_report, refuse_file, refuse_unwritable, save_table, write_file
from sim.errors import BadInput
from sim.units import seconds

RUNBOOK = "runbook.md"
export_app = typer.Typer(help="Write a run for other programs.", no_args_is_help=True, rich_markup_mode=None)


def runbook(
    scenario: ScenarioArgument,
    playbook: Annotated[str, Option(help="The playbook that was chosen.")],
    override: Override = None,
    sets: Sets = None,
    seed: Annotated[int, Option(min=0, help="Selects the random numbers.")] = 1,
    rescue_seeds: Annotated[
        int, Option(min=0, help="Runs at each instant looked at for 'act before'; 0 leaves it out.")
    ] = 1,
    out: Annotated[Path | None, Option(help="The folder to write; the runbook is printed if not given.")] = None,
    replace: Annotated[bool, Option("--replace", help="Write over an earlier runbook.")] = False,
) -> None:
    """Write a playbook as a runbook for the people on call.

    Its switches in order with thresholds, the last instant at which it still saves the run, what to expect after each
    switch, and the ways back, from one run. With --out also alert rules for Prometheus, and those switches that Envoy,
    Kubernetes, KEDA or a feature flag can express.
    """
    from sim.engine.simulate import chosen
    from sim.export.operations import FILES, operations
    from sim.report.runbook import runbook as render
    from sim.studies.unlimited import simulate_with_demand

    loaded = scenario_of(scenario, override, sets)
    name, steps = chosen(loaded, playbook)
    if not [*loaded.always, *steps]:
        raise BadInput("this playbook has no switches", key="--playbook", value=name, expected="one with steps")
    if out is not None:
        check_folder(out, FILES, replace=replace)
    ready()
    with progress_bar(f"{loaded.title}: {name}, and its demand with an unlimited fleet") as report:
        run = simulate_with_demand(loaded, name, seed=seed, progress=report)
    asked = [scenario, "--playbook", name, *(["--override", override] if override else [])]
    asked += [word for one in sets or [] for word in ("--set", one)]
    before = act_before(loaded, f"meltpoint rescue {shlex.join(asked)}", name, rescue_seeds)
    files = operations(run, loaded, name)
    text = render(run, files.has, files.remarks, before)
    if out is None:
        write_out(text)
        return
    out.mkdir(parents=True, exist_ok=True)
    for old in FILES:
        (out / old).unlink(missing_ok=True)
    for file, content in {RUNBOOK: text, **files.texts}.items():
        write_file(content, out / file)
    say_where(", ".join([RUNBOOK, *files.texts]), out)


def check_folder(out: Path, files: Iterable[str], *, replace: bool) -> None:
    """Raise BadInput where something other than an earlier runbook would be lost."""
    refuse_unwritable(out)
    if not out.exists():
        return
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else [out.name]
    ours = RUNBOOK in there and begins_as_report(out / RUNBOOK) and set(there) <= {RUNBOOK, *files}
    if there and not (ours and replace):
        expected = "a new folder, or --replace where it holds nothing but an earlier runbook"
        raise BadInput("this folder is there already", file=out, expected=expected)


def act_before(scenario: Any, command: str, playbook: str, seeds: int) -> list[str]:
    """Sentences on the last instant at which the playbook still saves the run; command: what looks for it."""
    from sim.studies.rescue import is_fault

    if seeds == 0 or all(is_fault(step, scenario) for step in scenario.playbooks[playbook]):
        return [f"Not looked for. `{command}` finds the last instant at which the playbook still saves the run."]
    by = max(60.0, scenario.horizon / 200)
    with runs_bar(f"{scenario.title}: the point of no return") as report:
        found = sim.rescue(scenario, playbook, seeds=seeds, by=by, progress=report)
    runs = f"From runs at {len(found.shares)} instants, {seeds} at each; `{command}` makes more."
    return [*sim.sentences(found), runs]


@export_app.command("metrics")
def export_metrics(
    source: Annotated[str, Argument(metavar="SCENARIO|RUN", help="A scenario, or a folder with a saved run.")],
    out: Annotated[Path, Option(help="The file to write.")],
    playbook: Playbook = None,
    override: Override = None,
    sets: Sets = None,
    seed: Annotated[int | None, Option(min=0, help="Selects the random numbers; 1 if not given.")] = None,
    every: Annotated[str | None, Option(help="Time between samples, like 5min; the control tick if not given.")] = None,
) -> None:
    """Write a run as OpenMetrics text, for a dashboard that shows a simulated launch.

    The file has what a gateway sees at every control tick, with times, of the whole service. A saved run is made once
    more, since it does not hold its ticks; it is the same run. `promtool tsdb create-blocks-from openmetrics` takes it.
    """
    from sim.results.gateway_metrics import openmetrics
    from sim.studies.configurations import scenario_at
    from sim.studies.shadow import with_telemetry

    refuse_file(out)
    step = option("--every", every, seconds)
    if is_saved_run(source):
        refuse_changes(playbook=playbook, override=override, set=sets, seed=seed)
        facts = sim.load_run(Path(source)).manifest
        playbook, seed = facts["playbook"], facts["seed"]
    loaded = scenario_at(source, override=override, sets=parsed(sets))
    ready()
    with progress_bar(loaded.title) as report:
        run, ticks = with_telemetry(loaded, playbook, seed=1 if seed is None else seed, progress=report)
    with out.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(openmetrics(loaded, run, ticks, step))
    say_where("Metrics", out)


def shadow(
    scenario: ScenarioArgument,
    metrics: Annotated[str, Option(help="A file with metrics, or - for standard input.")],
    playbook: Playbook = None,
    override: Override = None,
    sets: Sets = None,
    out: Annotated[Path | None, Option(help="Also write the decisions here as CSV.")] = None,
) -> None:
    """Say what a playbook would do, and why, on the metrics of a real service.

    The metrics are the answer to a range query of Prometheus, OpenMetrics text with times, or JSON lines, which are
    answered as they come. Nothing is sent anywhere. The playbook's dates are those of the scenario: --set start=...
    """
    from sim.engine.simulate import chosen
    from sim.report.shadow_words import caveat, instant, lines
    from sim.results.gateway_readings import readings_in
    from sim.results.log_tables import decision_table
    from sim.studies.shadow import shadow as look

    refuse_file(out)
    loaded = scenario_of(scenario, override, sets)
    steps = loaded.in_force(chosen(loaded, playbook)[0])
    console, rows, ticks = Console(), [], []
    for looked in look(loaded, playbook, readings_in(metrics)):
        ticks.append(looked.seen.now)
        rows += looked.rows
        for line in lines(loaded, steps, looked):
            console.print_line(line)
    if not ticks:
        message = "all metrics are from before the start of the scenario"
        raise BadInput(message, file=metrics, key="start", value=instant(loaded, 0.0), expected="--set start=...")
    if out is not None:
        save_table(decision_table(rows), out, "Decisions")
    for line in caveat(loaded, steps, ticks, len(rows)):
        console.print_line(line)
