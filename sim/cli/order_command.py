"""The command that says by when further GPUs must be ordered, and what each delay costs."""

from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from sim.cli import options
from sim.cli.console import NO_ANSWER, say
from sim.cli.options import a_share, a_time, option, scenario_of, studying
from sim.cli.places import refuse_file, save_table
from sim.errors import BadInput
from sim.units import moment, seconds
from sim.wording import in_gpus


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
    from sim.studies.lead_time import order_by as find
    from sim.studies.lead_time_words import sentences
    from sim.studies.rescue_sentences import nothing_decided

    refuse_file(out)
    if needed is not None and needed > lots:
        raise BadInput("more lots are needed than come", key="--needed", value=needed, expected=f"1 to {lots}")
    loaded, day = scenario_of(scenario, override, sets), option("--today", today, moment)
    with studying(f"{loaded.title}: {in_gpus(gpus)}", cluster, processes) as at_work:
        found = find(
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
