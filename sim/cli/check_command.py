"""The command that compares generated demand with a recording."""

from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from typer import Argument, Option

from sim.cli.console import Console, name_column, ready, runs_bar
from sim.cli.options import Override, ScenarioArgument, Sets, scenario_of
from sim.cli.places import refuse_file, save_figure, save_table
from sim.errors import BadInput
from sim.wording import three_figures


def demand_check(
    scenario: ScenarioArgument,
    recording: Annotated[Path, Argument(metavar="TRACE", help="A file written by 'meltpoint demand import'.")],
    override: Override = None,
    sets: Sets = None,
    seeds: Annotated[int, Option(min=2, help="Runs to generate and compare with.")] = 5,
    figure: Annotated[Path | None, Option(help="Draw both: a PNG or SVG.")] = None,
    out: Annotated[Path | None, Option(help="Write the table here as CSV.")] = None,
) -> None:
    """Compare the demand of a scenario with a recording.

    Compares how much is asked for, when, how much users differ and how long they pause. Demand is generated as if the
    fleet were unlimited. z is the difference in standard errors: beyond 3.5 it is not chance, unless the calendar or a
    few users dominate the figure. Scenario and recording should cover about the same time.
    """
    from sim.demand.recordings.trace import load_trace
    from sim.scenario.parts import Recording
    from sim.studies.demand_comparison import agreement, cautions, compared, generated_arrivals, recorded_arrivals
    from sim.studies.executors import Local, asked
    from sim.studies.store import Cell

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    loaded, recorded = scenario_of(scenario, override, sets), recorded_arrivals(load_trace(recording))
    ready()
    with runs_bar(loaded.title) as report:
        cells = [Cell(loaded, None, seed, unlimited=True, recording=Recording()) for seed in range(1, seeds + 1)]
        generated = asked(Local(1), generated_arrivals, cells, report)
    if len(generated) < 2:
        raise KeyboardInterrupt
    if any(len(one.times) < 100 for one in generated):
        raise BadInput("this scenario generates too little to compare", key="demand", expected="100 requests or more")
    table = compared(recorded, generated)
    Console().print(check_table(table))
    for line in [agreement(table), *cautions(recorded, generated[0], loaded.scale)]:
        Console().print(line)
    save_table(table, out)
    if figure is not None:
        from sim.plots.demand_check import check_figure

        save_figure(check_figure(recorded, generated), figure)


def check_table(rows: Any) -> Table:
    """The comparison for the terminal, standard errors and deviations beside their figures."""
    from sim.studies.demand_comparison import BEYOND

    table = Table(name_column("statistic"), "recorded", "±", "generated", "±", "z")
    for row in rows.itertuples():
        figures = [
            "unknown" if value != value else three_figures(value)
            for value in (row.recorded, row.error, row.generated, row.deviation)
        ]
        z = f"{row.z:+.1f}" if row.z == row.z else ""
        table.add_row(str(row.statistic), *figures, z, style="bold" if abs(row.z) >= BEYOND else None)
    return table
