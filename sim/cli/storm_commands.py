"""The commands about how late help may come: a playbook, an order of GPUs; and where a service recovers at all."""

from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from typer import Exit, Option

import sim
from sim.cli import options
from sim.cli.console import NO_ANSWER, Console, say
from sim.cli.options import a_share, a_time, axis, beginning, option, scenario_of, studying
from sim.cli.places import refuse_file, save_figure, save_table
from sim.errors import BadInput
from sim.units import moment, seconds
from sim.wording import amount, duration, in_gpus


def rescue(
    scenario: options.ScenarioArgument,
    playbook: Annotated[str, Option(help="The playbook that begins late.")],
    seeds: Annotated[int, Option(min=1, help="Runs at each instant; most of them must be saved.")] = 5,
    by: Annotated[str, Option(help="How precisely to find the instant, like 1min.")] = "1 min",
    keep: Annotated[str | None, Option(help="The share of images in time to be kept, like 95%.")] = None,
    override: options.Override = None,
    sets: options.Sets = None,
    begin: options.Begin = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    figure: options.FigureFile = None,
    out: options.TableFile = None,
) -> None:
    """Find the latest instant at which a playbook still saves a run.

    Each step of the playbook comes into force at that instant or later, and ends when it would have. A run is saved if
    it loses so few images in time, against one without the trigger (faults, spikes), that the playbook saves half of
    what it can; or, with --keep, if it keeps that share of the images at stake. A scenario without a trigger is judged
    by its definition of alive. The ends and the quarters of the run are tried first; then the instant at which the
    answer changes is found by bisection. Where the playbook saves the run at no instant, it says so and ends with exit
    code 1.
    """
    from sim.plots.storms import rescue_figure
    from sim.studies.rescue_sentences import nothing_decided

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    loaded = beginning(scenario_of(scenario, override, sets), begin)
    step, least = a_time("--by", by), None if keep is None else a_share("--keep", keep)
    with studying(f"{loaded.title}: {playbook}", cluster, processes) as at_work:
        found = sim.rescue(loaded, playbook, seeds=seeds, by=step, keep=least, **at_work)
    say(sim.sentences(found))
    Console().print(rescue_table(found))
    save_table(found.shares, out)
    if figure is not None:
        save_figure(rescue_figure(found), figure)
    if found.hopeless and not nothing_decided(found):
        raise Exit(NO_ANSWER)


def map_storms(
    scenario: options.ScenarioArgument = "retry-storm",
    loads: Annotated[str, Option(help="Everyday load over capacity: 20%..90%:8 (8 values), or 25%,50%.")] = (
        "20%..90%:8"
    ),
    spikes: Annotated[str, Option(help="The rate in the spike over the everyday rate: 1,2,3,5.")] = "1,2,3,5",
    retries: Annotated[str, Option(help="The most retries per request: 0,1,3,5.")] = "0,1,3,5",
    seeds: Annotated[int, Option(min=1, help="Runs at each place on the map.")] = 3,
    playbook: options.Playbook = None,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    figure: options.FigureFile = None,
    out: options.TableFile = None,
) -> None:
    """Map where a service recovers after a spike in demand.

    The map varies the everyday load, the height of the spike and the number of retries. The scenario has one steady
    wave and one spike, like retry-storm. A run recovers if at its end nine of ten first requests are served. In theory
    it always does below a load of C / (1 + r): capacity C, r retries.
    """
    from sim.plots.storms import map_figure

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    loaded = scenario_of(scenario, override, sets)
    places = (axis("loads", loads), axis("spikes", spikes), whole(axis("retries", retries)))
    with studying(loaded.title, cluster, processes) as at_work:
        table = sim.storm_map(loaded, *places, playbook=playbook, seeds=seeds, **at_work)
    if table.empty:
        raise KeyboardInterrupt
    Console().print(map_table(table))
    save_table(table, out)
    if figure is not None:
        save_figure(map_figure(table), figure)


def whole(numbers: list[float]) -> list[int]:
    """Numbers of retries. Raises BadInput."""
    if not all(float(number).is_integer() for number in numbers):
        raise BadInput("retries are whole numbers", key="retries", value=numbers, expected="like 0,1,3")
    return [int(number) for number in numbers]


def rescue_table(found: Any) -> Table:
    """The seeds saved, and the images lost, by the instant at which the playbook began."""

    titles = ("begins (UTC)", "after the start", "saved", "images lost", "recovered at the end")
    table = Table(*titles, title="Saved, by when the playbook begins")
    for begins, saved, lost, recovered in found.shares.itertuples(index=False):
        last = begins >= found.run.horizon
        style = "bold" if begins == found.latest else None
        when = "never" if last else found.run.date(begins)
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


def order_by(
    scenario: options.ScenarioArgument,
    gpus: Annotated[int, Option(min=1, help="GPUs to be ordered.")],
    lead: Annotated[str, Option(help="How long an order takes: '30 days', or '~ lognormal(30 days, 90 days)'.")],
    playbook: Annotated[str | None, Option(help="The playbook in force meanwhile; the first one if not given.")] = None,
    pool: Annotated[str | None, Option(help="The pool that they are for, where there are several.")] = None,
    confidence: Annotated[str, Option(help="How likely the order must be there in time.")] = "95%",
    burn_in: Annotated[str, Option(help="Time from arrival to service, like '7 days'.")] = "0 s",
    today: Annotated[str | None, Option(help="When you can order, like 2027-01-15 (UTC).")] = None,
    lots: Annotated[int, Option(min=1, help="How many lots the order comes in, independent of each other.")] = 1,
    needed: Annotated[int | None, Option(min=1, help="How many lots are enough; all if not given.")] = None,
    seeds: Annotated[int, Option(min=1, help="Runs at each instant; most of them must be saved.")] = 5,
    by: Annotated[str, Option(help="How precisely to find the instant, like 1min.")] = "1 min",
    keep: Annotated[str | None, Option(help="The share of images in time to be kept, like 95%.")] = None,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    out: Annotated[Path | None, Option(help="Write the losses by arrival here as CSV.")] = None,
) -> None:
    """Find the last date at which an order of GPUs still saves a launch.

    Like 'meltpoint rescue', with the arrival of the GPUs in place of a playbook; the lead time of the order and its
    burn-in go before it. It also says what it costs if they come an hour or a day later, or never. Where no date is
    early enough, it says so and ends with exit code 1.
    """
    from sim.studies.lead_time_words import sentences
    from sim.studies.rescue_sentences import nothing_decided

    refuse_file(out)
    if needed is not None and needed > lots:
        raise BadInput("more lots are needed than come", key="--needed", value=needed, expected=f"1 to {lots}")
    loaded, day = scenario_of(scenario, override, sets), option("--today", today, moment)
    with studying(f"{loaded.title}: {in_gpus(gpus)}", cluster, processes) as at_work:
        found = sim.order_by(
            loaded,
            gpus,
            lead,
            playbook,
            pool=pool,
            confidence=a_share("--confidence", confidence),
            burn_in=option("--burn-in", burn_in, seconds),
            seeds=seeds,
            by=a_time("--by", by),
            keep=None if keep is None else a_share("--keep", keep),
            lots=lots,
            enough=needed,
            **at_work,
        )
    say(sentences(found, day))
    save_table(found.rescue.shares, out)
    if found.needed and found.latest is None and not nothing_decided(found.rescue):
        raise Exit(NO_ANSWER)
