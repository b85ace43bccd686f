"""The command that finds the smallest fleet with which a promise holds, or the largest demand that a fleet carries."""

from itertools import product
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

import sim
from sim.cli import options
from sim.cli.console import INTERRUPTED, NO_ANSWER, print_table, ready, runs_bar, say
from sim.cli.options import a_share, beginning, machines, named, parsed
from sim.cli.places import result_folder
from sim.cli.reports import save_answer
from sim.errors import BadInput
from sim.wording import percent


def size(
    scenario: options.ScenarioArgument,
    promise: Annotated[
        str | None,
        Option(help="What must hold, like 'p95 <= 30 s'; the scenario's promises, or 'alive', if not given."),
    ] = None,
    playbooks: Annotated[
        str | None, Option("--playbooks", "--playbook", help="Names, separated by commas; the first if not given.")
    ] = None,
    pool: Annotated[
        str | None, Option(help="The pool to size, with the others as they are; all pools if not given.")
    ] = None,
    kind: Annotated[
        str | None, Option(help="In a pool of several kinds of GPU, the kind to size; by default the last one taken.")
    ] = None,
    beside: Annotated[
        str | None,
        Option(help="In a pool of two kinds of GPU, numbers of the other kind, like 0,8,16: find the cheapest mix."),
    ] = None,
    seeds: Annotated[
        int | None,
        Option(min=2, help="Runs of each fleet, 10 if not given; the answer is checked with as many new ones."),
    ] = None,
    futures: Annotated[
        int | None, Option(min=2, help="In place of --seeds where inputs are uncertain: each run is of another, 50.")
    ] = None,
    runs: Annotated[
        str | None, Option(help="Share of runs that must keep the promise: 90%; where inputs are uncertain 50%,90%.")
    ] = None,
    confidence: Annotated[str, Option(help="The confidence with which that is to be known.")] = "95%",
    until_precise: options.UntilPrecise = None,
    most_seeds: options.MostSeeds = None,
    step: Annotated[
        int | None, Option(min=1, help="How many GPUs the answer may be off; by default a hundredth of it.")
    ] = None,
    demand: Annotated[
        bool, Option("--demand", help="Instead, find how many times its demand the fleet as it is carries.")
    ] = False,
    begin: options.Begin = None,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    out: Annotated[Path | None, Option(help="Folder for the table and the figure; none if not given.")] = None,
    replace: options.Replace = False,
) -> None:
    """Find the smallest fleet with which a promise holds.

    The search starts from theory, bisects on the same people and proves the answer, and a step fewer, with runs that it
    had not seen. Runs are kept, so that the same question, or an interrupted one, costs only what is missing. Where no
    fleet keeps the promise, it says why and ends with exit code 1.

    Where inputs are uncertain, like --set 'demand.times=~ lognormal(0.5, 2)', it finds the fleets that are enough in
    half of all futures (P50) and in nine tenths (P90), or in the shares of --runs.

    With --begin it is the fleet with which the promise holds from now on, given the queue and the people of now; GPUs
    of the state are left out, since they are what is sought.
    """
    from sim.studies.uncertain import Uncertain

    inputs = sim.load_uncertain(scenario, override=override, sets=parsed(sets))
    if begin is not None:
        if demand or inputs.laws:
            what = "--demand" if demand else next(iter(inputs.laws))
            raise BadInput("a run that begins with a state has one demand", key=what, expected="no --begin beside it")
        inputs = Uncertain(beginning(inputs.scenario, begin, fleets=False))
    loaded = inputs.scenario
    shares = [a_share("--runs", text) for text in named(runs or ("50%,90%" if inputs.laws else "90%"))]
    names = named(playbooks) or [next(iter(loaded.playbooks))]
    folder = None if out is None else result_folder(out, "", replace=replace)
    how: dict[str, Any] = {
        "seeds": runs_of_each(seeds, futures, next(iter(inputs.laws), "")),
        "confidence": a_share("--confidence", confidence),
        "store": False if no_store else store,
    }
    most = options.most_of(most_seeds, until_precise)
    more = {"until": a_share("--until-precise", until_precise), "most": most} if until_precise else {}
    if demand and more:
        raise BadInput("only the answer for a fleet gets further seeds", key="--until-precise", value=until_precise)
    of_fleet = {"pool": pool, "kind": kind, "step": step}
    if demand and (given := [name for name, value in of_fleet.items() if value is not None]):
        raise BadInput("the fleet stays as it is with --demand", key=f"--{given[0]}", value=of_fleet[given[0]])
    if len(shares) > 1 and (demand or not inputs.laws):
        expected = "several only where inputs are uncertain and a fleet is sought"
        raise BadInput("one share of runs at a time", key="--runs", value=runs, expected=expected)
    if demand and inputs.laws:
        expected = "numbers in place of laws"
        raise BadInput("--demand takes no uncertain inputs", key=next(iter(inputs.laws)), expected=expected)
    against = "--demand" if demand else next(iter(inputs.laws), "")
    if beside is not None and against:
        raise BadInput("a mix is of a scenario without uncertain inputs", key=against, expected="no --beside")
    with machines(cluster, processes) as executor:
        how["executor"] = executor
        if beside is not None:
            answer_mixes(inputs, beside, promise, names, {**how, **of_fleet, **more, "runs": shares[0]}, folder)
        elif demand:
            answer_demand(loaded, promise, names, {**how, "runs": shares[0]}, folder)
        else:
            answer_fleet(inputs, promise, names, shares, {**how, **of_fleet, **more}, folder)


def runs_of_each(seeds: int | None, futures: int | None, law: str) -> int:
    """The runs of each fleet; law: an input that is uncertain, so that each is of another future. Raises BadInput."""
    if law and seeds is not None:
        expected = "--futures, as each run is of another future"
        raise BadInput(f"{law} is uncertain, so seeds are not chosen", key="--seeds", value=seeds, expected=expected)
    if not law and futures is not None:
        expected = "--seeds; or a law, like --set 'demand.times=~ lognormal(0.5, 2)'"
        raise BadInput(
            "no input is uncertain, so there is one future", key="--futures", value=futures, expected=expected
        )
    return (futures or 50) if law else (seeds or 10)


def answer_mixes(
    inputs: Any, beside: str, promise: str | None, names: list[str], how: dict[str, Any], folder: Path | None
) -> None:
    """Size one kind of GPU beside several numbers of the other, and say which mix is the cheapest."""
    from sim.studies.mixes import mix_sentences, mixes

    numbers = named(beside)
    if not numbers or not all(n.isdecimal() for n in numbers):
        raise BadInput("these are not numbers of GPUs", key="--beside", value=beside, expected="like 0,8,16")
    ready()
    found = []
    for name in names:
        with runs_bar(f"{inputs.scenario.title}: {name}") as report:
            of_name = mixes(inputs.scenario, [int(n) for n in numbers], promise, name, **how, progress=report)
        say(mix_sentences(of_name))
        found += of_name
    keep(found, inputs, [how["runs"]], folder)


def answer_fleet(
    inputs: Any, promise: str | None, names: list[str], shares: list[float], how: dict[str, Any], folder: Path | None
) -> None:
    """Size the fleet under each playbook, print the answers, and save what they rest on."""
    from sim.engine.simulate import chosen
    from sim.report.ranking import looks_table, savings_table
    from sim.studies.promise import read_promise
    from sim.studies.size_words import savings

    loaded = inputs.scenario
    read_promise(promise, loaded)
    for name in names:
        chosen(loaded, name)
    ready()
    found = []
    for name, share in product(names, shares):
        with runs_bar(f"{loaded.title}: {name}") as report:
            found.append(sim.size(inputs, promise, name, runs=share, **how, progress=report))
        say(sim.sentences(found[-1]))
        if len(found[-1].table):
            print_table(looks_table(found[-1].table, share=found[-1].target > 0))
        if found[-1].verdict == "interrupted":
            break
    for share in shares:
        answers = [one for one in found if one.runs == share]
        if len(answers) > 1:
            print_table(savings_table(savings(answers), names[0], f"Playbooks, in {percent(share)} of runs"))
    keep(found, inputs, shares, folder)


def keep(found: list[Any], inputs: Any, shares: list[float], folder: Path | None) -> None:
    """Save the answers about fleets, where there is a folder, and end as they say."""
    from sim.studies.fleets import as_fields
    from sim.studies.size_words import best_of, savings

    if folder is not None:
        import pandas as pd

        by_share = [savings([one for one in found if one.runs == share]).assign(runs=share) for share in shares]
        best = best_of(found)
        number = best.answer.seeds[0] if best.answer else 1
        world = inputs.future(number) if inputs.laws else inputs.scenario
        fleet = {pool: as_fields(gpus, best.kinds.get(pool, {})) for pool, gpus in best.gpus.items()}
        save(found, pd.concat(by_share), folder, world, fleet, best.playbook, number)
    if found[-1].verdict == "interrupted":
        raise typer.Exit(INTERRUPTED)
    if all(one.verdict == "impossible" for one in found):
        raise typer.Exit(NO_ANSWER)


def save(
    found: list[Any], answers: Any, folder: Path, scenario: Any, fleet: dict[str, Any], playbook: str, seed: int
) -> None:
    """Save the answers with a run of this fleet, and the figure and the report beside them. Raises BadInput."""
    from sim.plots.fleet_choices import size_figure
    from sim.plots.saving import write_figure
    from sim.studies.answer_folder import save_sizes
    from sim.studies.size import Size

    def save_all(run: Any) -> None:
        save_sizes(found, answers, run, folder)
        if isinstance(found[0], Size) and any(len(one.table) for one in found):
            write_figure(size_figure(found if len(found) > 1 else found[0]), folder / "curve.png")

    save_answer(found, scenario.with_(pools=fleet), playbook, seed, folder, save_all)


def answer_demand(loaded: Any, promise: str | None, names: list[str], how: dict[str, Any], folder: Path | None) -> None:
    """Find the largest multiple of the demand under each playbook."""
    from sim.report.ranking import looks_table
    from sim.studies.size_words import multiple_sentences

    ready()
    every, interrupted = [], False
    for name in names:
        with runs_bar(f"{loaded.title}: {name}") as report:
            found = sim.demand_multiple(loaded, promise, name, **how, progress=report)
        say(multiple_sentences(found))
        if len(found.table):
            print_table(looks_table(found.table, share=found.target > 0))
        every.append(found)
        if interrupted := found.interrupted:
            break
    if folder is not None:
        import pandas as pd

        answers = pd.DataFrame([{"playbook": one.playbook, "holds": one.holds} for one in every])
        save(every, answers, folder, loaded, {}, names[0], 1)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if all(one.answer is None for one in every):
        raise typer.Exit(NO_ANSWER)
