"""The command that watches a service: when its GPUs will be full, until when to act, and what to do."""

import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from sim.cli import options
from sim.cli.console import Console, ready
from sim.cli.options import Override, ScenarioArgument, Sets, a_time, named, scenario_of
from sim.cli.runbook_command import opened
from sim.errors import BadInput

HEADER_DIGITS = 4  # a line with fewer of them has no time: it names the columns


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
    from sim.studies.watch import Watcher, is_full
    from sim.studies.watch import watch as look
    from sim.studies.watch_words import in_json, in_words, sentence

    loaded = scenario_of(scenario, override, sets)
    refuse_mixed(metrics, log, {"--stamped": stamped, "--zone": zone, "--repair": repair}, follow=follow, once=once)
    watcher = Watcher(loaded, in_force, named(playbooks) or None, ahead=a_span("--ahead", ahead))
    ready()
    console, forecasts, full, now = Console(), [], math.inf, 0.0
    read = of_log(loaded, log, stamped, zone, named(repair), follow) if log else of_metrics(str(metrics), follow)
    watcher.by_signups = watcher.by_signups and log is None
    with read as (readings, notes):
        for seen, found in look(watcher, readings, a_span("--every", every), once=once):
            if now == 0.0:  # before the first look: a log that is followed has no end
                say_aside(notes())
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
    if follow and log is not None and not is_text(log):
        raise BadInput("a packed file cannot be followed", file=log, key="--follow", expected="a log as text")


def is_text(path: Path) -> bool:
    from sim.tables.headers import is_parquet
    from sim.tables.opening import opened as unpacked

    stream, raw = unpacked(path)
    with raw:
        return stream is raw and not is_parquet(path)


@contextmanager
def of_metrics(name: str, follow: bool) -> Iterator[tuple[Iterable[Any], Callable[[], Iterable[str]]]]:
    """The readings of a file, and, with follow, those that are added to it until the command is interrupted."""
    from sim.results.gateway_readings import readings

    with opened(name) as file:
        yield readings(added(file) if follow and name != "-" else file, name), tuple


@contextmanager
def of_log(
    scenario: Any, log: Path, stamped: Any, zone: str | None, repairs: Iterable[str], follow: bool
) -> Iterator[tuple[Iterable[Any], Callable[[], Iterable[str]]]]:
    """The same of a log of requests; and what is to be known of how it was read."""
    from sim.calibration.log_readings import LogReadings
    from sim.demand.recordings.importing import ImportOptions

    found = LogReadings(scenario, ImportOptions(stamped=stamped, zone=zone), tuple(repairs))
    with tempfile.TemporaryDirectory() as folder:
        yield found.readings(log, pieces(log, Path(folder) / log.name) if follow else None), lambda: found.notes


def pieces(path: Path, piece: Path, wait: Callable[[float], None] = time.sleep) -> Iterator[Path]:
    """The lines of a log that grows, once a minute, in a file with its header; a rotated log is opened anew."""
    while True:
        head: list[bytes] | None = None
        with path.open("rb") as file:
            rest, goes_on = b"", True
            while goes_on:
                goes_on = not rotated(path, file)
                text = rest + file.read()
                cut = text.rfind(b"\n") + 1
                lines, rest = text[:cut].splitlines(keepends=True), text[cut:]
                if head is None and lines:
                    head = list(takewhile(names_columns, lines))
                    lines = lines[len(head) :]
                if not all(map(names_columns, lines)):
                    piece.write_bytes(b"".join([*(head or []), *lines]))
                    yield piece
                head = head and [*head, *(line for line in lines if line.startswith(b"#"))]  # IIS begins anew
                if goes_on:
                    wait(60.0)


def rotated(path: Path, file: Any) -> bool:
    """Whether another file has taken the place of the one that is open, or it was emptied."""
    try:
        there = path.stat()
    except FileNotFoundError:  # for a moment
        return False
    return there.st_ino != os.fstat(file.fileno()).st_ino or there.st_size < file.tell()


def names_columns(line: bytes) -> bool:
    return line.startswith(b"#") or sum(chr(one).isdigit() for one in line) < HEADER_DIGITS


def added(file: Any) -> Iterator[str]:
    part = ""
    while True:
        part += file.readline()
        if part.endswith("\n"):
            yield part
            part = ""
        else:
            time.sleep(0.5)
