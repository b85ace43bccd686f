"""The commands that simulate a scenario, compare its playbooks, and write the report of a saved run."""

from collections.abc import Callable
from dataclasses import replace as replace_field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Argument, Option

import sim
from sim.cli import options
from sim.cli.console import INTERRUPTED, announce_size, print_table, progress_bar, ready, runs_bar, say, say_where
from sim.cli.options import a_share, beginning, machines, named, option, parsed, scenario_of, studying
from sim.cli.places import file_name, folder_names, refuse_other_file, result_folder
from sim.cli.reports import load_report, report_beside, write_report
from sim.errors import BadInput
from sim.units import dollars, fraction
from sim.writing import replacing

Out = Annotated[Path | None, Option(help="Folder for the results; a new one under runs/ if not given.")]
Engine = Annotated[
    Literal["compiled", "simpy"],
    Option(help="The compiled engine, or the readable one that defines the model; both give the same tables."),
]
Against = Annotated[
    Path | None, Option(help="A comparison saved earlier: print what differs since then, over the same seeds.")
]
Yes = Annotated[bool, Option("--yes", help="Go on even if it is estimated to need more than there is.")]
Strict = Annotated[bool, Option("--strict", help="End with exit code 1 if this run breaks a promise of the scenario.")]


def run(
    scenario: options.ScenarioArgument,
    playbook: options.Playbook = None,
    override: options.Override = None,
    sets: options.Sets = None,
    begin: options.Begin = None,
    seed: Annotated[int, Option(min=0, help="Selects the random numbers; the same seed gives the same run.")] = 1,
    engine: Engine = "compiled",
    processes: Annotated[int | None, Option(min=1, help="Cells to run at once; one per core if not given.")] = None,
    out: Out = None,
    replace: options.Replace = False,
    yes: Yes = False,
    strict: Strict = False,
) -> None:
    """Simulate one scenario under one playbook.

    Prints the verdict: whether the service stays alive, when its GPUs saturate, what it costs. Saves the tables and an
    HTML report. With --strict, a run that breaks a promise of the scenario ('alive' if it has none) ends with exit code
    1, as in 'meltpoint check', which judges several runs.
    """
    from sim.engine.simulate import chosen
    from sim.report.promise_tables import promises_of_run
    from sim.results.retry_rules import rule_sentences
    from sim.studies.promise_findings import own_promises
    from sim.studies.unlimited import simulate_with_demand

    loaded = beginning(scenario_of(scenario, override, sets), begin)
    name, _ = chosen(loaded, playbook)
    own_promises(loaded)  # refused now if one cannot be read
    if strict:
        from sim.cli.promise_command import end_strictly
        from sim.studies.check import promised

        promised(loaded, None, against=False)
    own = name if out is not None else file_name(name, f"playbooks.{name}", scenario)
    folder = result_folder(out, f"{Path(scenario).stem}-{own}-{seed}", replace=replace)
    ready(engine)
    if engine == "compiled":
        announce_size(loaded, name, processes=processes, yes=yes)
    with progress_bar(f"{loaded.title}: {name}, and its demand with an unlimited fleet") as report:
        result = simulate_with_demand(loaded, name, seed=seed, engine=engine, processes=processes, progress=report)
    judged = sim.verdict(result)
    lines = [*sim.sentences(judged), *rule_sentences(result)]
    with report_beside([result], None, folder, [judged]):
        try:
            with replacing(folder):
                result.save(folder)
        except BadInput:
            say(lines)  # the disk is full, say: what was found out is at least shown
            raise
        say(lines)
        if not strict:
            print_promises(promises_of_run(result))
        say_where("\nTables", folder)
    if strict:
        end_strictly(result, loaded)


def compare(
    scenarios: Annotated[
        list[str],
        Argument(metavar="SCENARIO...", help="Shipped scenarios, files, or folders of saved runs; one or several."),
    ],
    playbooks: Annotated[
        str | None,
        Option(
            "--playbooks",
            "--playbook",
            help="Names, separated by commas. Not given: all of one scenario; of several, or with --config, the first.",
        ),
    ] = None,
    config: Annotated[
        list[str] | None,
        Option(
            "--config",
            metavar="'NAME: KEY=VALUE ...'",
            help="Also compare the scenario with these changes: keys as in --set, and scenario=, override=, playbook=.",
        ),
    ] = None,
    seeds: Annotated[int, Option(min=1, help="Runs of each; intervals need at least 3.")] = 5,
    until_precise: options.UntilPrecise = None,
    pick_best: Annotated[
        str | None,
        Option(
            metavar="DIFFERENCE", help="First add seeds until the best is known, if it leads by this much, like '1 %'."
        ),
    ] = None,
    most_seeds: options.MostSeeds = None,
    by: Annotated[str, Option(help="What ranks them: images, people, attainment, cost or money.")] = "images",
    override: options.Override = None,
    sets: options.Sets = None,
    begin: options.Begin = None,
    engine: Engine = "compiled",
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    shard: options.ShardOf = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    against: Against = None,
    out: Out = None,
    replace: options.Replace = False,
    yes: Yes = False,
) -> None:
    """Compare playbooks, scenarios and fleets: the same people under each of them.

    Says which one to choose and why, what it costs in people and money, and what the seeds do not establish. Prints a
    ranking with differences from the first and their 95 % confidence intervals. Saves the tables, the runs of the first
    seed and an HTML report. Any configurations can be compared, the scenario as it is first:

    meltpoint compare surge --config "double: pools.gpus.gpus=128" --config "patient: override=study"
    """
    from sim.studies.answer_folder import load_comparison, save_comparison
    from sim.studies.choice import imprecise
    from sim.studies.earlier import in_common
    from sim.studies.selection import PILOT

    earlier = None if against is None else load_comparison(against)
    at_most = options.most_of(most_seeds, until_precise, pick_best)
    precision = None if until_precise is None else a_share("--until-precise", until_precise)
    apart = None if pick_best is None else difference_of(pick_best, by)
    given, names = compared(scenarios, config or [], playbooks, override, parsed(sets))
    given = [replace_field(one, scenario=beginning(one.scenario, begin)) for one in given]
    labelled = len(scenarios) > 1 or bool(config)
    folder_names(names, scenarios[0])
    if earlier is not None and shard is None:
        in_common(names, range(1, seeds + 1), earlier[0])
    folder = result_folder(out, f"{Path(scenarios[0]).stem}-compared", replace=replace)
    ready(engine)
    if engine == "compiled":
        largest = max(given, key=lambda one: sum(map(one.scenario.gpus, one.scenario.pools)))
        announce_size(largest.scenario, largest.playbook, runs=seeds * len(given), processes=processes, yes=yes)
    kept = False if no_store else store
    picked = None
    if apart is not None:
        with studying(f"{given[0].scenario.title}: the best", cluster, processes, shard) as at_work:
            picked = sim.pick_best(given, apart=apart, by=by, most=max(at_most, PILOT), store=kept, **at_work)
    with machines(cluster, processes, shard, load_report) as executor, runs_bar(given[0].scenario.title) as report:
        comparison, runs = sim.compare(
            given if labelled else given[0].scenario,
            None if labelled else names,
            seeds=seeds,
            by=by,
            until=precision,
            most=at_most,
            engine=engine,
            store=kept,
            executor=executor,
            progress=report,
        )
    with report_beside(runs, comparison, folder):
        try:
            with replacing(folder):
                save_comparison(comparison, runs, folder)
        finally:  # if the disk is full, what was found out is at least shown
            print_comparison(comparison, runs)
            if wide := imprecise(comparison, precision):
                say(wide)
            if picked is not None:
                say([*picked.sentences(), *not_alive(picked.best, comparison)])
            if earlier is not None:
                print_since((comparison, runs), earlier)
        say_where("\nTables", folder)
    if len(comparison.seeds) < seeds:
        say([f"INTERRUPTED: {len(comparison.seeds)} of {seeds} seeds are done; the same command makes the others."])
        raise typer.Exit(INTERRUPTED)


def print_comparison(comparison: Any, runs: list[Any]) -> None:
    """Print the verdicts of one or two runs, the tables of the comparison, and which playbook to choose."""
    from sim.report.promise_tables import promises_compared
    from sim.report.ranking import configurations_table, gives_and_costs, ranking
    from sim.results.retry_rules import rule_sentences
    from sim.studies.choice import choice

    for result in runs if len(runs) <= 2 else []:
        say([*sim.sentences(sim.verdict(result)), *rule_sentences(result)])
    if comparison.configurations:
        print_table(configurations_table(comparison, runs))
    print_table(ranking(comparison))
    print_promises(promises_compared(comparison))
    print_table(gives_and_costs(comparison), intervals=False)
    say(choice(comparison))


def print_promises(tables: list[Any]) -> None:
    """Print how the promises of a scenario are kept, where it makes any, with what that passes over."""
    for table in tables:
        print_table(table)
        say([table.note])


def difference_of(text: str, by: str) -> float:
    """A difference worth detecting, in an objective's unit: '1 %' of a share, or '$1000'. Raises BadInput."""
    from sim.studies.objectives import objective_called

    return float(option("--pick-best", text, fraction if objective_called(by).kind == "share" else dollars))


def compared(
    scenarios: list[str], config: list[str], playbooks: str | None, override: str | None, sets: dict[str, Any]
) -> tuple[list[Any], list[str]]:
    """The configurations that the command names, and their labels, which can be names of folders. Raises BadInput."""
    from sim.studies.configurations import Configuration, of_saved, read_configuration, scenario_at

    wanted, found = named(playbooks), []
    several = len(scenarios) > 1 or bool(config)
    for name in scenarios:
        scenario = scenario_at(name, override=override, sets=sets)
        first = of_saved(name) or next(iter(scenario.playbooks))
        every = wanted or ([first] if several or of_saved(name) else list(scenario.playbooks))
        stem = Path(name).stem
        labels = [f"{stem}, {playbook}" for playbook in every] if several else every
        if several and len(every) == 1:
            labels = [stem]
        found += [Configuration(label, scenario, playbook) for label, playbook in zip(labels, every, strict=True)]
    for text in config:
        first_wanted = wanted[0] if wanted else None
        one = read_configuration(text, scenarios[0], override=override, sets=sets, playbook=first_wanted)
        file_name(one.label, "--config", "the command line")
        found.append(one)
    return found, [one.label for one in found]


def report(
    folder: Annotated[
        Path, Argument(metavar="FOLDER", help="As 'run', 'compare', 'size --out' or 'decide --out' wrote it.")
    ],
    out: Annotated[Path | None, Option(help="The file; FOLDER/report.html (or .md) if not given.")] = None,
    form: Annotated[
        Literal["html", "md"], Option("--format", help="A page with figures, or Markdown without them.")
    ] = "html",
    against: Against = None,
    figures: Annotated[Path | None, Option(help="Also write each figure here, as PNG and SVG.")] = None,
) -> None:
    """Write the report of a saved run, comparison, size or decision.

    A page that a browser shows and prints, or Markdown. The first screen says which playbook or fleet to choose, why,
    by when, and what it costs. With --figures, each figure of a run is also written as a PNG and an SVG file.

    With --against, what differs from an earlier comparison of the same playbooks and seeds is also printed.
    """
    from sim.plots import save_figures
    from sim.studies.answer_folder import COMPARISON, DECISION, SIZE, load_comparison, load_decision, load_size

    page = out or folder / f"report.{form}"
    refuse_other_file(page, *((".md",) if form == "md" else (".html", ".htm")))
    loaders: dict[str, Callable[[Path], tuple[Any, list[Any]]]] = {
        COMPARISON: load_comparison,
        SIZE: load_size,
        DECISION: load_decision,
    }
    load = next((loader for name, loader in loaders.items() if (folder / name).is_file()), None)
    about, runs = load(folder) if load else (None, [sim.load_run(folder)])
    if not runs:
        message = "this study was interrupted before it had an answer"
        raise BadInput(message, file=folder, expected="the same command again, which goes on where it stopped")
    comparison = about if load is load_comparison else None
    if figures is not None and about is not None:
        expected = f"a run, like {folder / (comparison.playbooks[0] if comparison else 'run')}"
        raise BadInput("these are the figures of one run", key="--figures", file=folder, expected=expected)
    if against is not None:
        if comparison is None:
            expected = "a folder written by 'meltpoint compare'"
            raise BadInput("only comparisons are held against each other", key="FOLDER", file=folder, expected=expected)
        print_since((comparison, runs), load_comparison(against))
    write_report(runs, about, folder, page)
    if figures is not None:
        for path in save_figures(runs[0], figures):
            say_where("Figure", path)


def not_alive(best: str, comparison: Any) -> list[str]:
    """A word of warning about a best by the measure alone, which the comparison would not choose."""
    if best in comparison.alive:
        return []
    return [
        f"But '{best}' does not stay alive with every seed above: it is the best by this measure, not to be chosen."
    ]


def print_since(now: tuple[Any, list[Any]], then: tuple[Any, list[Any]]) -> None:
    """Print a comparison held against an earlier one, and what was changed in between."""
    from sim.report.ranking import since_table
    from sim.studies.earlier import changed_since, since

    print_table(since_table(now[0], since(now[0], then[0])))
    say(["Changed since the earlier comparison:", *changed_since(now[1], then[1], now[0].playbooks, then[0].playbooks)])
