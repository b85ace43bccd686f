"""The commands that run a scenario at many settings: of a design (sweep), of a search (tune), of what is uncertain."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from typer import Option

import sim
from sim.cli import options
from sim.cli.console import INTERRUPTED, Console, name_column, say
from sim.cli.options import key_and_text, named, parsed, scenario_of, studying
from sim.cli.places import refuse_file, save_figure, save_table
from sim.errors import BadInput
from sim.wording import setting

SHOWN = 40  # rows in the terminal; the file has all


def sweep(
    scenario: options.ScenarioArgument,
    vary: Annotated[
        list[str], Option(metavar="KEY=VALUES", help="A dotted key, like pools.fleet.gpus=8000..12000:5. Repeatable.")
    ],
    design: Annotated[
        Literal["grid", "latin", "sobol"],
        Option(help="Every combination, a Latin hypercube, or a Sobol sequence between the bounds."),
    ] = "grid",
    points: Annotated[
        int | None, Option(min=2, help="Points of a Latin hypercube or a Sobol sequence, 32 if not given.")
    ] = None,
    playbooks: Annotated[
        str | None, Option("--playbooks", "--playbook", help="Names, with commas between them; the first if none.")
    ] = None,
    seeds: Annotated[int, Option(min=1, help="Runs at each point; intervals need at least 3.")] = 1,
    promise: Annotated[
        str | None, Option(help="Also record whether each run keeps this promise, as in 'meltpoint size'.")
    ] = None,
    metric: Annotated[
        str, Option(help="The figure that is shown and drawn, like attainment or dollars_per_1000_images.")
    ] = "attainment",
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    shard: options.ShardOf = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    figure: Annotated[Path | None, Option(help="Draw it against one key or two: a PNG or SVG.")] = None,
    out: Annotated[Path | None, Option(help="Write the table here: .csv or .parquet.")] = None,
) -> None:
    """Run a scenario at many settings.

    The values of a key are a list, like 1,2,5, or a range, like 20%..90%:8 or 1..100:5:log. The key demand.times
    multiplies all demand. Runs are kept, so that an interrupted sweep costs only what is missing.
    """
    from sim.plots.sweep_map import sweep_figure

    refuse_file(figure, ".png", ".svg")
    refuse_file(out, ".csv", ".parquet")
    keys = pairs(vary)
    if figure is not None and len(keys) > 2:
        raise BadInput("a figure shows one key or two", key="--figure", value=len(keys), expected="--out for more keys")
    loaded = scenario_of(scenario, override, sets)
    with studying(loaded.title, cluster, processes, shard) as at_work:
        table = sim.sweep(
            loaded,
            keys,
            named(playbooks) or None,
            design=design,
            points=points,
            seeds=seeds,
            promise=promise,
            metric=metric,
            store=False if no_store else store,
            **at_work,
        )
    if len(table):
        Console().print(sweep_table(table, list(keys), metric))
    save_table(table, out)
    if figure is not None and len(table):
        save_figure(sweep_figure(table, list(keys), metric), figure)
    if len(table) < (planned := table.attrs["planned"]):
        Console().print(f"INTERRUPTED: {len(table):,} of {planned:,} runs are done; the same command makes the others.")
        raise typer.Exit(INTERRUPTED)


def pairs(vary: list[str]) -> dict[str, str]:
    """The keys that are varied, with the texts of their values. Raises BadInput."""
    found: dict[str, str] = {}
    takes = "--vary takes a key and its values"
    expected = "KEY=VALUES, like pools.fleet.gpus=8000..12000:5, each key once"
    for given in vary:
        key, text = key_and_text(takes, given, expected)
        if key in found:
            raise BadInput(takes, value=given, expected=expected)
        found[key] = text
    return found


def sweep_table(table: Any, keys: list[str], metric: str) -> Table:
    """The mean of a figure at each point and under each playbook with its 95 % interval, as far as they fit."""
    from sim.report import words
    from sim.studies.differences import interval_of, mean_of

    groups = table.groupby(["point", "playbook"], sort=False)
    promised = "promise_kept" in table
    shown = Table(
        *map(name_column, keys), "playbook", metric.replace("_", " "), *(["promise kept"] if promised else []), "runs"
    )
    for (_, playbook), rows in list(groups)[:SHOWN]:
        value, bounds = words.figure(metric, mean_of(rows, metric)), interval_of(rows, metric)
        low, high = (words.figure(metric, bound) for bound in bounds)
        known = bounds[0] < bounds[1] and low != high and rows[metric].dtype != bool  # those alive are counted
        value += f" ({low} to {high})" if known else ""
        kept = [f"{int(rows['promise_kept'].sum())} of {len(rows)}"] if promised else []
        shown.add_row(*[setting(rows[key].iloc[0]) for key in keys], playbook, value, *kept, str(len(rows)))
    if len(groups) > SHOWN:
        shown.caption = f"{SHOWN} of {len(groups):,} rows; --out writes all"
    return shown


def tune(
    scenario: options.ScenarioArgument,
    playbook: Annotated[str, Option(help="The playbook whose parameters are tuned.")],
    vary: Annotated[
        list[str],
        Option(
            metavar="STEP.PARAMETER=LOW..HIGH",
            help="A parameter of a step (0, 1, ...), like 0.share=20%..90%. Repeatable.",
        ),
    ],
    by: Annotated[str, Option(help="What to improve: images, people, attainment, cost or money.")] = "images",
    promise: Annotated[
        str | None, Option(help="What the answer must keep; the scenario's promises, or 'alive', if not given.")
    ] = None,
    trials: Annotated[int, Option(min=2, help="Settings tried, the untuned one first.")] = 30,
    seeds: Annotated[int, Option(min=1, help="Runs of each trial.")] = 5,
    fresh: Annotated[int, Option(min=3, help="Runs that score the answer, with seeds the search never saw.")] = 10,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    out: Annotated[Path | None, Option(help="Write the trials here as CSV.")] = None,
) -> None:
    """Tune the parameters of a playbook.

    Optuna's TPE proposes settings within the bounds; the best that keeps the promise is run again with seeds that the
    search never saw, against the untuned playbook:

    meltpoint tune retry-storm --playbook shed --vary 0.share=20%..90%
    """

    refuse_file(out)
    loaded = scenario_of(scenario, override, sets)
    with studying(f"{loaded.title}: {playbook}", cluster, processes) as at_work:
        found = sim.tune(
            loaded,
            playbook,
            pairs(vary),
            by=by,
            promise=promise,
            trials=trials,
            seeds=seeds,
            fresh=fresh,
            store=False if no_store else store,
            **at_work,
        )
    say(found.sentences())
    save_table(found.table, out, "Trials")
    if len(found.table) < trials:
        raise typer.Exit(INTERRUPTED)


def sensitivity(
    scenario: options.ScenarioArgument,
    metric: Annotated[
        str, Option(help="The figure, like attainment, p95_latency or dollars_per_1000_images.")
    ] = "attainment",
    playbook: options.Playbook = None,
    method: Annotated[
        Literal["tornado", "morris", "sobol"],
        Option(help="One input at a time; Morris's screening; Sobol's indices (the last two need SALib)."),
    ] = "tornado",
    size: Annotated[
        int | None, Option(min=2, help="Trajectories of Morris (10), or points of Sobol, a power of two (64).")
    ] = None,
    assumed: Annotated[
        bool, Option("--assumed", help="Also all numbers marked assumed, from half to twice of each.")
    ] = False,
    seeds: Annotated[int, Option(min=1, help="Runs at each setting, the same seeds everywhere.")] = 3,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
    shard: options.ShardOf = None,
    store: options.StoreFolder = None,
    no_store: options.NoStore = False,
    figure: Annotated[Path | None, Option(help="Draw the tornado: a PNG or SVG.")] = None,
    out: Annotated[Path | None, Option(help="Write the table here as CSV.")] = None,
) -> None:
    """Find the uncertain inputs that a figure depends on.

    Inputs have laws in place of numbers, as for 'meltpoint decide'; without any, those marked assumed are varied. What
    would change a decision, rather than a figure, is said by 'meltpoint decide --what-changes'.
    """
    from sim.studies.assumed import with_assumed
    from sim.studies.sensitivity import sensitivity as find

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    if figure is not None and method != "tornado":
        raise BadInput("only a tornado is drawn", key="--figure", value=figure, expected="--method tornado")
    inputs = sim.load_uncertain(scenario, override=override, sets=parsed(sets))
    if assumed or not inputs.laws:
        inputs = with_assumed(inputs)
    with studying(inputs.scenario.title, cluster, processes, shard) as at_work:
        table = find(
            inputs,
            metric,
            playbook,
            method=method,
            size=size,
            seeds=seeds,
            store=False if no_store else store,
            **at_work,
        )
    Console().print(sensitivity_table(table, metric))
    save_table(table, out)
    if figure is not None:
        from sim.plots.sweep_map import tornado_figure

        save_figure(tornado_figure(table, metric), figure)


WIDE = 0.1  # of an interval of Sobol's index, to each side: then ranks may be chance


def sensitivity_table(table: Any, metric: str) -> Table:
    """One row per input that matters, the most important first; those that do not in the caption."""
    from sim.report import words
    from sim.wording import names_in_words, setting

    of_figure = {"at_low": words.figure, "at_high": words.figure}
    of_figure |= dict.fromkeys(("swing", "mu", "mu_star", "sigma", "mu_star_conf"), words.swing)
    names = {"at_low": "at low", "at_high": "at high", "mu_star": "mu*", "mu_star_conf": "mu* ±", "S1_conf": "S1 ±"}
    columns = [name for name in table if name not in ("key", "monotone", "low", "high", "base")]
    base = f", {words.figure(metric, table['base'].iloc[0])} at the medians" if "base" in table else ""
    title = f"Sensitivity of {metric.replace('_', ' ')}{base}"
    ranges = ["range"] if "low" in table else []
    titles = [names.get(name, name.replace("ST_conf", "ST ±")) for name in columns]
    found, nothing, endless = Table(name_column("input"), *ranges, *titles, title=title, caption_justify="left"), [], []
    for row in table.to_dict("records"):
        if "base" in row and all(math.isinf(row[name]) for name in ("at_low", "base", "at_high")):
            endless.append(row["key"])
            continue
        if not any(row.get(name) for name in ("swing", "mu_star", "ST")):
            nothing.append(row["key"])
            continue
        mark = "" if row.get("monotone", True) else " *"
        between = [f"{setting(row['low'])} to {setting(row['high'])}"] if ranges else []
        cells = [of_figure[name](metric, row[name]) if name in of_figure else setting(row[name]) for name in columns]
        found.add_row(row["key"] + mark, *between, *cells)
    notes = ["* not monotone: the base lies outside both ends."] if " *" in str([*found.columns[0].cells]) else []
    notes += [f"Nothing changes with: {', '.join(nothing)}."] if nothing else []
    if "mu_star" in table:
        notes.append(
            "mu*: the mean size of the effects of an input, by which they are ranked; mu: with their sign; sigma: how "
            "much they differ. An effect is scaled up to the input's whole range, so it can exceed what the figure can."
        )
    if "ST" in table:
        notes.append("S1: the part of the variance that an input explains by itself; ST: together with the others.")
        if table[["S1_conf", "ST_conf"]].max().max() > WIDE:
            notes.append("TOO FEW POINTS: these intervals are wide; a larger --size, a power of two, narrows them.")
    if endless:
        every = names_in_words(endless)
        notes.append(f"ENDLESS: at every setting of {every}, so it says nothing about them; try attainment.")
    found.caption = "\n".join(notes) or None
    return found
