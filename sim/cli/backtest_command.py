"""The command that asks what a playbook would have saved in an incident, had it begun earlier."""

from typing import Annotated

from rich.text import Text
from typer import Option

from sim.cli import options
from sim.cli.console import Console, say
from sim.cli.options import a_time, named, scenario_of, studying


def backtest(
    scenario: options.ScenarioArgument,
    playbook: Annotated[str, Option(help="The playbook to begin earlier; it has a step with a date.")],
    earlier: Annotated[str, Option(help="By how much, like 20min; several with commas.")] = "20 min",
    was: Annotated[str | None, Option(help="The playbook of the incident; the scenario's first if absent.")] = None,
    seeds: Annotated[int, Option(min=1, help="Runs of each; three or more give intervals.")] = 8,
    override: options.Override = None,
    sets: options.Sets = None,
    processes: options.Processes = None,
    cluster: options.ClusterAddress = None,
) -> None:
    """Run an incident again with a playbook begun earlier.

    The scenario is one that 'calibrate' made of the incident's log: its demand is the one behind the throttling, and
    its first playbook is the throttling that was in force. All runs have the same people, so differences are paired.

    meltpoint calibrate incident.log --out mine.yaml

    meltpoint backtest mine.yaml --playbook 'as it was' --earlier '20 min'
    """
    from sim.studies.backtest import backtest as run_again

    by = [a_time("--earlier", text) for text in named(earlier)]
    loaded = scenario_of(scenario, override, sets)
    with studying(f"{loaded.title}: {playbook}", cluster, processes) as at_work:
        found = run_again(loaded, playbook, by, was=was, seeds=seeds, **at_work)
    say(found.sentences())
    Console().print(Text(found.caution, style="dim"))
