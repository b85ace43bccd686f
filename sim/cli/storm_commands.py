"""The commands about retry storms: how late a playbook still saves a run, and where a service recovers at all."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from sim.cli.console import Console, ready, runs_bar
from sim.cli.options import (
    Begin,
    ClusterAddress,
    Override,
    Processes,
    ScenarioArgument,
    Sets,
    beginning,
    machines,
    parsed,
    refuse_places,
)
from sim.cli.places import write_file
from sim.errors import BadInput

Figure = Annotated[Path | None, typer.Option(help="Draw it: a PNG or SVG.")]
Out = Annotated[Path | None, typer.Option(help="Write the table here as CSV.")]
MOST_PLACES = 200  # on one axis of a map


def rescue(
    scenario: ScenarioArgument,
    playbook: Annotated[str, typer.Option(help="The playbook that begins late.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each instant; most of them must be saved.")] = 5,
    by: Annotated[str, typer.Option(help="How precisely to find the instant, like 1min.")] = "1 min",
    keep: Annotated[str | None, typer.Option(help="The share of images in time to be kept, like 95%.")] = None,
    override: Override = None,
    sets: Sets = None,
    begin: Begin = None,
    processes: Processes = None,
    cluster: ClusterAddress = None,
    figure: Figure = None,
    out: Out = None,
) -> None:
    """Find the latest instant at which a playbook still saves a run.

    Each step of the playbook comes into force at that instant or later. A run is saved if, while there is trouble, it
    keeps nine tenths (--keep) of the images that are in time without the trigger: without faults, and without the
    spike. A scenario without a trigger is judged by its definition of alive. The ends and the quarters of the run are
    tried first; then the instant at which the answer changes is found by bisection.
    """
    from sim.plots.saving import write_figure
    from sim.plots.storms import rescue_figure
    from sim.scenario.load import load
    from sim.studies.rescue import rescue as find
    from sim.studies.rescue_sentences import sentences

    refuse_places(figure, out)
    loaded = beginning(load(scenario, override=override, sets=parsed(sets)), begin)
    step, least = read_step(by), read_share(keep)
    ready()
    with machines(cluster, processes) as executor, runs_bar(f"{loaded.title}: {playbook}") as report:
        found = find(loaded, playbook, seeds=seeds, by=step, keep=least, executor=executor, progress=report)
    console = Console(highlight=False)
    console.print()
    for number, line in enumerate(sentences(found)):
        console.print(Text(line, style="bold" if number == 0 else ""))
    console.print(rescue_table(found))
    if out is not None:
        write_file(found.shares, out)
    if figure is not None:
        write_figure(rescue_figure(found), figure)
        console.print(f"Figure in {figure}", soft_wrap=True, markup=False)


def map_storms(
    scenario: ScenarioArgument = "retry-storm",
    loads: Annotated[str, typer.Option(help="Everyday load over capacity: 20%..90%:8 (8 values), or 25%,50%.")] = (
        "20%..90%:8"
    ),
    spikes: Annotated[str, typer.Option(help="The rate in the spike over the everyday rate: 1,2,3,5.")] = "1,2,3,5",
    retries: Annotated[str, typer.Option(help="The most retries per request: 0,1,3,5.")] = "0,1,3,5",
    seeds: Annotated[int, typer.Option(min=1, help="Runs at each place on the map.")] = 3,
    playbook: Annotated[str | None, typer.Option(help="The playbook; the scenario's first one if not given.")] = None,
    override: Override = None,
    sets: Sets = None,
    processes: Processes = None,
    cluster: ClusterAddress = None,
    figure: Figure = None,
    out: Out = None,
) -> None:
    """Map where a service recovers after a spike in demand.

    The map varies the everyday load, the height of the spike and the number of retries. The scenario has one steady
    wave and one spike, like retry-storm. A run recovers if at its end nine of ten first requests are served. In theory
    it always does below a load of C / (1 + r): capacity C, r retries.
    """
    from sim.plots.saving import write_figure
    from sim.plots.storms import map_figure
    from sim.scenario.load import load
    from sim.studies.storm_map import storm_map

    refuse_places(figure, out)
    loaded = load(scenario, override=override, sets=parsed(sets))
    places = (axis("loads", loads, share=True), axis("spikes", spikes), whole(axis("retries", retries)))
    ready()
    with machines(cluster, processes) as executor, runs_bar(loaded.title) as report:
        table = storm_map(loaded, *places, playbook=playbook, seeds=seeds, executor=executor, progress=report)
    if table.empty:
        raise KeyboardInterrupt
    console = Console(highlight=False)
    console.print(map_table(table))
    if out is not None:
        write_file(table, out)
    if figure is not None:
        write_figure(map_figure(table), figure)
        console.print(f"Figure in {figure}", soft_wrap=True, markup=False)


def axis(name: str, text: str, *, share: bool = False) -> list[float]:
    """The values on one axis: 'a,b,c', or 'a..b:n', which is n values evenly from a to b. Raises BadInput."""
    import numpy as np

    expected = "like 20%..90%:8 or 20%,50%" if share else "like 1,2,5 or 1..5:3"
    ends, colon, many = text.partition(":")
    low, dots, high = ends.partition("..")
    try:
        if not dots:
            numbers = [place(one, share=share) for one in text.split(",")]
        else:
            count = int(many) if colon else 0
            if not 2 <= count <= MOST_PLACES:
                raise ValueError
            numbers = np.linspace(place(low, share=share), place(high, share=share), count).tolist()
    except ValueError:
        raise BadInput("these are not values on a map", key=name, value=text, expected=expected) from None
    return sorted({round(number, 9) for number in numbers})


def place(text: str, *, share: bool) -> float:
    """One number, or a share that may exceed 100 %. Raises ValueError."""
    from sim.units import number

    text = text.strip()
    if share and text.endswith("%"):
        return number(text[:-1], "a share") / 100
    return number(text, "a number")


def whole(numbers: list[float]) -> list[int]:
    """Numbers of retries. Raises BadInput."""
    if not all(float(number).is_integer() for number in numbers):
        raise BadInput("retries are whole numbers", key="retries", value=numbers, expected="like 0,1,3")
    return [int(number) for number in numbers]


def read_step(text: str) -> float:
    """A duration above 0. Raises BadInput."""
    from sim.units import seconds

    try:
        step = seconds(text)
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this is not a duration", key="by", value=text, expected=expected) from None
    if not 0 < step < float("inf"):
        raise BadInput("this is not a duration", key="by", value=text, expected="a time above 0, like 1min")
    return step


def read_share(text: str | None) -> float | None:
    """A share between 0 and 1, like 95%. Raises BadInput."""
    if text is None:
        return None
    try:
        return place(text, share=True)
    except ValueError:
        raise BadInput("this is not a share", key="keep", value=text, expected="like 95%") from None


def rescue_table(found: Any) -> Table:
    """The seeds saved, and the images lost, by the instant at which the playbook began."""
    from sim.results.dates import date_of
    from sim.wording import amount, duration

    titles = ("begins (UTC)", "after the start", "saved", "images lost", "recovered at the end")
    table = Table(*titles, title="Saved, by when the playbook begins")
    for begins, saved, lost, recovered in found.shares.itertuples(index=False):
        last = begins >= found.run.horizon
        style = "bold" if begins == found.latest else None
        when = "never" if last else date_of(found.run, begins)
        seeds = [f"{round(share * found.seeds)} of {found.seeds}" for share in (saved, recovered)]
        table.add_row(when, "" if last else duration(begins), seeds[0], amount(max(0.0, lost)), seeds[1], style=style)
    return table


def map_table(table: Any) -> Table:
    """How many seeds recovered: one row per number of retries and spike, one column per load."""
    loads = list(dict.fromkeys(table["load"]))
    shown = Table("retries", "spike", *[f"{100 * load:.3g}%" for load in loads], title="Seeds that recover, by load")
    for retries, some in table.groupby("retries", sort=True):
        for row, (spike, cells) in enumerate(some.groupby("spike", sort=True)):
            by = cells.set_index("load")["recovered"]
            counts = [f"{by[load]}/{cells['seeds'].iloc[0]}" for load in loads]
            shown.add_row("" if row else str(retries), f"{spike:g}", *counts)
        shown.add_section()
    return shown
