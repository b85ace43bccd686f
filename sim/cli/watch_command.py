"""The command that watches a service: when its GPUs will be full, until when to act, and what to do."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from typer import Option

from sim.cli import options
from sim.cli.console import Console, ready
from sim.cli.options import Override, ScenarioArgument, Sets, a_time, named, scenario_of
from sim.errors import BadInput


def watch(
    scenario: ScenarioArgument,
    metrics: Annotated[str | None, Option(help="A file with metrics, or - for standard input.")] = None,
    log: Annotated[Path | None, Option(help="A log of requests, in place of metrics.")] = None,
    stamped: options.Stamped = None,
    zone: options.Zone = None,
    repair: options.Repair = "",
    in_force: Annotated[
        str | None, Option("--in-force", help="The playbook in force; the scenario's first one if not given.")
    ] = None,
    playbooks: Annotated[
        str | None, Option("--playbooks", "--playbook", help="Those to choose from, separated by commas; all if none.")
    ] = None,
    ahead: Annotated[str, Option(help="How far to look ahead.")] = "1 hour",
    every: Annotated[str, Option(help="Time between two looks.")] = "1 min",
    follow: Annotated[bool, Option("--follow", help="Wait for further lines of a file that grows.")] = False,
    once: Annotated[bool, Option("--once", help="Look at the last reading only.")] = False,
    scored: Annotated[
        bool, Option("--score", help="At the end, score the forecasts, for an incident that is over.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Lines of JSON.")] = False,
    override: Override = None,
    sets: Sets = None,
) -> None:
    """Say every minute when the GPUs will be full, and until when to do what.

    The metrics are those of 'meltpoint shadow': OpenMetrics text with times, a range query, or JSON lines, answered as
    they come. A log of requests, in any format that 'demand import' reads, serves too: each minute is counted once most
    of its requests are answered. The scenario says how the service works and how people behave; who comes is taken from
    the metrics or the log. Give it their date: --set start=...
    """
    from sim.calibration.log_readings import LogReadings
    from sim.demand.recordings.importing import ImportOptions
    from sim.results.gateway_readings import readings_in
    from sim.studies.watch import Watcher, is_full
    from sim.studies.watch import watch as look
    from sim.studies.watch_words import in_json, in_words, sentence

    loaded = scenario_of(scenario, override, sets)
    refuse_mixed(metrics, log, {"--stamped": stamped, "--zone": zone, "--repair": repair}, follow=follow, once=once)
    watcher = Watcher(loaded, in_force, named(playbooks) or None, ahead=a_span("--ahead", ahead))
    watcher.by_signups = watcher.by_signups and log is None
    readings, how_read = readings_in(str(metrics), follow=follow), None
    if log is not None:
        how_read = LogReadings(loaded, ImportOptions(stamped=stamped, zone=zone), tuple(named(repair)))
        readings = how_read.following(log) if follow else how_read.readings(log)
    ready()
    console, forecasts, full, now = Console(), [], math.inf, 0.0
    for seen, found in look(watcher, readings, a_span("--every", every), once=once):
        if now == 0.0 and how_read is not None:  # before the first look: a log that is followed has no end
            say_aside(how_read.notes)
        now = seen.now
        full = min(full, now) if is_full(loaded, seen) else full
        if found is not None:
            forecasts.append(found)
        console.print_line(in_json(loaded, found, now) if as_json else sentence(loaded, found, now))
    if not forecasts:
        expected = f"readings at four instants or more, after the scenario's start, {loaded.start.isoformat()}"
        raise BadInput("no forecast could be made", file=log or metrics, expected=expected)
    if scored:
        from sim.studies.watch_score import score

        scores = score(forecasts, full, now)
        as_facts = json.dumps(scores._asdict() | {"lead": scores.lead})
        console.print_line(as_facts if as_json else in_words(loaded, scores))
    say_aside(note for one in forecasts for note in one.notes)


def say_aside(notes: Iterable[str]) -> None:
    for note in dict.fromkeys(notes):
        Console(stderr=True).print_line(f"meltpoint: {note}")


def a_span(key: str, text: str) -> float:
    """A time to look ahead or between looks. Raises BadInput."""
    found = a_time(key, text)
    if not 60.0 <= found <= 86400.0:
        raise BadInput("this time cannot be used", key=key, value=text, expected="from 1 min to 1 day")
    return found


def refuse_mixed(
    metrics: str | None, log: Path | None, of_logs: dict[str, str | None], *, follow: bool, once: bool
) -> None:
    """Raises BadInput for options that do not go together."""
    if (metrics is None) == (log is None):
        expected = "one of the two, with a file"
        raise BadInput("there must be one thing to watch", key="--metrics, --log", expected=expected)
    given = next((key for key, value in of_logs.items() if value), None)
    if given and log is None:
        raise BadInput("this is an option of logs", key=given, value=of_logs[given], expected="with --log only")
    if log is not None and not log.is_file():
        raise BadInput("there is no such file", file=log, key="--log", expected="a log of requests")
    if follow and once:
        raise BadInput("a file that is followed has no last reading", key="--once", expected="without --follow")
