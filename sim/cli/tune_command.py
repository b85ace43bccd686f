"""The command that tunes the parameters of a playbook."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from sim.cli import options
from sim.cli.console import INTERRUPTED, say
from sim.cli.options import scenario_of, studying
from sim.cli.places import refuse_file, save_table
from sim.cli.sweep_command import pairs


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
    promise: Annotated[str | None, Option(help="A promise that the answer must keep, as in 'meltpoint size'.")] = None,
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

    meltpoint tune retry-storm --playbook shed --vary 0.share=20%..90% --promise alive
    """
    from sim.studies.tune import tune as find

    refuse_file(out)
    loaded = scenario_of(scenario, override, sets)
    with studying(f"{loaded.title}: {playbook}", cluster, processes) as at_work:
        found = find(
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
