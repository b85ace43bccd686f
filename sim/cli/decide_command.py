"""The command that chooses a fleet and a playbook where inputs are uncertain."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Table

from sim.cli.console import INTERRUPTED, Console, name_column, ready, runs_bar, say
from sim.cli.options import (
    ClusterAddress,
    NoStore,
    Override,
    Processes,
    ScenarioArgument,
    Sets,
    ShardOf,
    StoreFolder,
    a_share,
    machines,
    named,
    parsed,
    refuse_places,
)
from sim.cli.places import write_file
from sim.errors import BadInput


def decide(
    scenario: ScenarioArgument,
    fleets: Annotated[
        str | None, typer.Option(help="GPUs to choose from, like 8000,9000,10000; the scenario's own if not given.")
    ] = None,
    playbooks: Annotated[
        str | None, typer.Option("--playbooks", "--playbook", help="Names, with commas between them; all if not given.")
    ] = None,
    futures: Annotated[int, typer.Option(min=2, help="Futures that every option is played in.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each option in each future.")] = 1,
    pool: Annotated[str | None, typer.Option(help="The pool whose fleet is chosen, where there are several.")] = None,
    alive: Annotated[str, typer.Option(help="Share of runs in which an option must stay alive to be chosen.")] = "0%",
    image_worth: Annotated[
        str | None, typer.Option(help="Dollars that an image in time is worth, where tiers have no prices.")
    ] = None,
    what_changes: Annotated[
        bool, typer.Option("--what-changes", help="Also find the values of inputs at which another option wins.")
    ] = False,
    override: Override = None,
    sets: Sets = None,
    processes: Processes = None,
    cluster: ClusterAddress = None,
    shard: ShardOf = None,
    store: StoreFolder = None,
    no_store: NoStore = False,
    out: Annotated[Path | None, typer.Option(help="Write every run here as CSV.")] = None,
) -> None:
    """Choose a fleet and a playbook by what each loses in many futures.

    An uncertain input has a law in place of its number, in the file or like --set 'demand.times=~ lognormal(0.5, 2)':
    lognormal (its 10 % and 90 % points), uniform, triangular (least, most likely, largest) or choice. Every option
    meets the same people in the same futures. Losses are dollars where tiers have prices.
    """
    from sim.studies.decide import decide as find
    from sim.studies.decide_words import sentences
    from sim.studies.uncertain import load_uncertain

    refuse_places(None, out)
    inputs = load_uncertain(scenario, override=override, sets=parsed(sets))
    how: dict[str, Any] = {
        "futures": futures,
        "seeds": seeds,
        "pool": pool,
        "alive": a_share("alive", alive),
        "image_worth": worth(image_worth),
        "store": False if no_store else store,
    }
    ready()
    with machines(cluster, processes, shard) as executor, runs_bar(inputs.scenario.title) as report:
        found = find(inputs, read_fleets(fleets), named(playbooks) or None, **how, executor=executor, progress=report)
    say(sentences(found))
    if found.futures:
        Console().print(options_table(found))
    if what_changes and found.futures == found.planned:
        from sim.studies.switch_points import switch_sentences, what_would_change

        same = {key: how[key] for key in ("pool", "image_worth", "store")}
        with machines(cluster, processes, shard) as executor, runs_bar("what would change the choice") as report:
            switches = what_would_change(
                inputs, read_fleets(fleets), named(playbooks) or None, **same, executor=executor, progress=report
            )
        say(switch_sentences(switches))
    if out is not None:
        write_file(found.runs, out)
        Console().print(f"Runs in {out}", soft_wrap=True, highlight=False, markup=False)
    if found.futures < found.planned:
        raise typer.Exit(INTERRUPTED)


def read_fleets(text: str | None) -> list[int] | None:
    """GPUs from words, like '8000,9k'. Raises BadInput."""
    from sim.units import whole

    try:
        found = [whole(part) for part in named(text)]
        if any(gpus < 1 for gpus in found):
            raise ValueError("expected 1 GPU or more")
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("these are not fleets", key="--fleets", value=text, expected=expected) from None
    return found or None


def worth(text: str | None) -> float | None:
    """What an image is worth. Raises BadInput."""
    from sim.units import dollars

    try:
        return None if text is None else dollars(text)
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this is no amount", key="--image-worth", value=text, expected=expected) from None


def options_table(found: Any) -> Table:
    """The menu: one row per option."""
    from sim.studies.decide_words import written
    from sim.wording import amount, percent

    titles = ("regret", "worst", "best in", "alive in", "GPUs cost")
    shown = Table("GPUs", name_column("playbook"), *titles, box=SIMPLE, title=f"Regret over {found.futures} futures")
    for place, row in found.options.iterrows():
        shown.add_row(
            f"{row['gpus']:,}",
            row["playbook"],
            written(found, row["regret"]),
            written(found, row["worst_regret"]),
            percent(row["best"]),
            percent(row["alive"]),
            f"${amount(row['dollars'])}",
            style="bold" if place == found.best else None,
        )
    return shown
