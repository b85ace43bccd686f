"""The command that chooses a fleet and a playbook where inputs are uncertain."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

import sim
from sim.cli import options
from sim.cli.console import INTERRUPTED, NO_ANSWER, print_table, say
from sim.cli.options import a_share, named, option, parsed, studying
from sim.cli.places import result_folder
from sim.cli.reports import save_answer
from sim.errors import BadInput
from sim.units import dollars, whole


def decide(
    scenario: options.ScenarioArgument,
    fleets: Annotated[
        str | None, Option(help="GPUs to choose from, like 8000,9000,10000; the scenario's own if not given.")
    ] = None,
    playbooks: Annotated[
        str | None, Option("--playbooks", "--playbook", help="Names, with commas between them; all if not given.")
    ] = None,
    futures: Annotated[int, Option(min=2, help="How many futures each option is simulated in.")] = 50,
    seeds: Annotated[int, Option(min=1, help="Runs of each option in each future.")] = 1,
    pool: Annotated[str | None, Option(help="The pool whose fleet is chosen, where there are several.")] = None,
    kind: Annotated[
        str | None,
        Option(
            help="In a pool of several kinds of GPU, the kind whose number is chosen; by default the last one taken."
        ),
    ] = None,
    alive: Annotated[str, Option(help="Share of runs in which an option must stay alive to be chosen.")] = "0%",
    image_worth: Annotated[
        str | None, Option(help="What an image in time is worth in dollars, where tiers have no prices.")
    ] = None,
    what_changes: Annotated[
        bool, Option("--what-changes", help="Also find the values of inputs at which another option wins.")
    ] = False,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    shard: options.ShardOf = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    out: Annotated[
        Path | None, Option(help="Folder for the tables, a run of the choice and the report; none if not given.")
    ] = None,
    replace: options.Replace = False,
) -> None:
    """Choose a fleet and a playbook by what each loses in many futures.

    An uncertain input has a law in place of its number, in the file or like --set 'demand.times=~ lognormal(0.5, 2)':
    lognormal (its 10 % and 90 % points), uniform, triangular (least, most likely, largest) or choice. Every option
    meets the same people in the same futures. Losses are dollars where tiers have prices. Where no option stays alive
    as often as --alive asks, it says so and ends with exit code 1.
    """
    from sim.report.ranking import options_table

    if what_changes and shard is not None:
        expected = "the shards without it; then the same command with it and without --shard, on the runs they kept"
        raise BadInput("what to vary is known once the choice is", key="--what-changes", value=shard, expected=expected)
    folder = None if out is None else result_folder(out, "", replace=replace)
    inputs = sim.load_uncertain(scenario, override=override, sets=parsed(sets))
    how: dict[str, Any] = {
        "futures": futures,
        "seeds": seeds,
        "pool": pool,
        "kind": kind,
        "alive": a_share("--alive", alive),
        "image_worth": option("--image-worth", image_worth, dollars),
        "store": False if no_store else store,
    }
    with studying(inputs.scenario.title, cluster, processes, shard) as at_work:
        found = sim.decide(inputs, read_fleets(fleets), named(playbooks) or None, **how, **at_work)
    say(sim.sentences(found))
    if found.futures:
        print_table(options_table(found))
    if what_changes and found.futures == found.planned and found.best is not None:
        from sim.studies.switch_points import switch_sentences, what_would_change

        same = {key: how[key] for key in ("pool", "kind", "image_worth", "store")} | {"among": found.eligible}
        with studying("what would change the choice", cluster, processes) as at_work:
            switches = what_would_change(inputs, read_fleets(fleets), named(playbooks) or None, **same, **at_work)
        found = dataclasses.replace(found, changes=switch_sentences(switches, str(found.options["label"][found.best])))
        say(found.changes)
    if folder is not None and found.futures:
        save(found, inputs, folder)
    if found.futures < found.planned:
        raise typer.Exit(INTERRUPTED)
    if found.best is None:
        raise typer.Exit(NO_ANSWER)


def save(found: Any, inputs: Any, folder: Path) -> None:
    """Save a decision with a run of its choice, every input at its median, and the report. Raises BadInput."""
    from sim.studies.answer_folder import save_decision
    from sim.studies.switch_points import sized

    place = found.options["alive"].idxmax() if found.best is None else found.best
    gpus, playbook = int(found.options["gpus"][place]), str(found.options["playbook"][place])
    chosen = inputs.with_values({}, sized(inputs, found.pool, gpus, found.kind or None))
    save_answer(found, chosen, playbook, 1, folder, lambda run: save_decision(found, run, folder))


def read_fleets(text: str | None) -> list[int] | None:
    """GPUs from words, like '8000,9k'. Raises BadInput."""

    found = [option("--fleets", part, whole) for part in named(text)]
    if 0 in found:
        raise BadInput("these are not fleets", key="--fleets", value=text, expected="1 GPU or more")
    return found or None
