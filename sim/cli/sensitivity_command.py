"""The command that says which uncertain inputs a figure depends on."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.table import Table
from typer import Option

from sim.cli import options
from sim.cli.console import Console, name_column
from sim.cli.options import parsed, studying
from sim.cli.places import refuse_file, save_figure, save_table
from sim.errors import BadInput


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
    from sim.studies.uncertain import load_uncertain

    refuse_file(figure, ".png", ".svg")
    refuse_file(out)
    if figure is not None and method != "tornado":
        raise BadInput("only a tornado is drawn", key="--figure", value=figure, expected="--method tornado")
    inputs = load_uncertain(scenario, override=override, sets=parsed(sets))
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
        from sim.plots.tornado import tornado_figure

        save_figure(tornado_figure(table, metric), figure)


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
    if endless:
        every = names_in_words(endless)
        notes.append(f"ENDLESS: at every setting of {every}, so it says nothing about them; try attainment.")
    found.caption = "\n".join(notes) or None
    return found
