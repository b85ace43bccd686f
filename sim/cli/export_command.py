"""The command that writes the requests of a scenario or a run as a schedule for load-test tools."""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

import sim
from sim.cli.console import progress_bar, ready, say, say_where
from sim.cli.options import Override, Sets, is_saved_run, option, refuse_changes, scenario_of
from sim.errors import BadInput
from sim.units import instant, seconds

PART = r"[\d.,_]+\s*[a-zA-Z]+"  # of a duration: a number with its unit


def demand_export(
    source: Annotated[str, Argument(metavar="SCENARIO|RUN", help="A scenario, or a folder with a saved run.")],
    out: Annotated[Path, Option(help="The folder to write.")],
    override: Override = None,
    sets: Sets = None,
    seed: Annotated[int | None, Option(min=0, help="Selects the random numbers; 1 if not given.")] = None,
    begin: Annotated[str, Option("--from", help="Where the window begins: '5 days', or a date (UTC).")] = "0",
    end: Annotated[str | None, Option("--until", help="Where it ends; the horizon if not given.")] = None,
    to: Annotated[str, Option(help="csv, k6, locust, with commas.")] = "csv,k6,locust",
    speed: Annotated[float, Option(help="Compress time: 10 replays ten minutes in one.")] = 1.0,
    times: Annotated[float, Option(help="The share of the people to keep, like 0.01.")] = 1.0,
    url: Annotated[str, Option(help="Where to post the requests.")] = "http://localhost:8000/v1/images",
    retries: Annotated[bool, Option("--retries", help="Of a saved run: retries too, as they happened.")] = False,
    replace: Annotated[bool, Option("--replace", help="Replace an earlier export.")] = False,
) -> None:
    """Write a schedule of requests for load-test tools.

    Writes schedule.csv, and scripts that send its requests with k6 and Locust. From a scenario these are the requests
    that an unlimited fleet would get; from a saved run, those that were made in it.
    """
    from sim.export.export_folder import check_folder, check_url, targets_of, write_export
    from sim.export.schedule import check, schedule_of, sentences
    from sim.scenario.parts import Recording

    targets, address = targets_of(to), check_url(url)
    check_folder(out, replace=replace)
    is_run = is_saved_run(source)
    if retries and not is_run:
        expected = "a folder with a saved run"
        raise BadInput("on an unlimited fleet nobody retries", key="--retries", expected=expected)
    if is_run:
        refuse_changes(override=override, set=sets, seed=seed)
        run = sim.load_run(Path(source))
        start, horizon = run.start, run.horizon
    else:
        scenario = scenario_of(source, override, sets)
        start, horizon = scenario.start, scenario.horizon
    first = seconds_of("--from", begin, start)
    last = horizon if end is None else seconds_of("--until", end, start)
    check(horizon, first, last, speed, times)  # before minutes of simulation
    if not is_run:
        ready()
        with progress_bar(scenario.title) as report:
            number = 1 if seed is None else seed
            run = sim.simulate(scenario, seed=number, unlimited=True, recording=Recording(), progress=report)
    schedule = schedule_of(run, begin=first, end=last, speed=speed, times=times, retries=retries)
    files = write_export(schedule, out, targets, url=address, replace=replace)
    say(sentences(schedule))
    say_where(f"\n{', '.join(file.name for file in files)}", out)


def seconds_of(name: str, text: str, start: datetime) -> float:
    """Seconds from the start of a run to an instant as people write it: '5 days', '5 days 1 h', or a date."""
    from sim.demand.sources import seconds_after

    if re.fullmatch(rf"(\s*{PART})+\s*", text):
        return float(sum(option(name, part, seconds) for part in re.findall(PART, text)))
    return seconds_after(start, option(name, text, instant))
