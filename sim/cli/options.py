"""Options that several commands share: the scenario and its settings, files of recordings, and where runs are made."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option

import sim
from sim.cli.console import ready, runs_bar
from sim.errors import BadInput
from sim.units import fraction, number, seconds

if TYPE_CHECKING:
    from sim.scenario.scenario import Scenario
    from sim.studies.executors import Executor

ScenarioArgument = Annotated[str, Argument(help="A shipped scenario (see: meltpoint scenarios) or a file.")]
Playbook = Annotated[str | None, Option(help="The playbook; the scenario's first one if not given.")]
Override = Annotated[str | None, Option(help="Apply one of the scenario's named overrides.")]
Sets = Annotated[
    list[str] | None,
    Option("--set", metavar="KEY=VALUE", help="Set one dotted key, e.g. pools.fleet.gpus=9000. Repeatable."),
]
Processes = Annotated[int | None, Option(min=1, help="How many runs at once; one per core if not given.")]
StoreFolder = Annotated[
    Path | None, Option("--store", help="Where runs are kept; a folder in your cache if not given.")
]
ClusterAddress = Annotated[
    str | None,
    Option(
        "--cluster", metavar="ADDRESS", help="Make the runs on the workers of this Dask scheduler: tcp://10.0.0.1:8786."
    ),
]
ShardOf = Annotated[
    str | None, Option("--shard", metavar="I/N", help="Make and keep only the I-th of N parts of the runs, like 3/10.")
]
Begin = Annotated[
    Path | None,
    Option(
        "--begin",
        metavar="STATE",
        help="Begin with the state of the service: a YAML file, a page of metrics, or a saved run (its end).",
    ),
]
UntilPrecise = Annotated[
    str | None,
    Option(
        metavar="SHARE",
        help="Add seeds until the 95 % interval is within this to each side: '2 %', in points for a share.",
    ),
]
MostSeeds = Annotated[int | None, Option("--most-seeds", min=1, help="How many seeds at most, 100 if not given.")]
NoStore = Annotated[bool, Option("--no-store", help="Keep no runs, and use none that are kept.")]
Replace = Annotated[bool, Option("--replace", help="Replace the folder if an earlier result is in it.")]
TableFile = Annotated[Path | None, Option("--out", help="Write the table here as CSV.")]
FigureFile = Annotated[Path | None, Option("--figure", help="Draw it: a PNG or SVG.")]

# Of files of recordings and logs.
Repair = Annotated[str, Option(help="Repairs of a log, with commas; see 'demand import'.")]
Zone = Annotated[str | None, Option(help="The zone of times that name none, like UTC or Europe/Paris.")]
TimeUnit = Annotated[
    Literal["s", "ms", "us", "ns"] | None,
    Option(help="The unit of times that are numbers, or of whole durations at the ends of lines."),
]
Stamped = Annotated[
    Literal["start", "end"] | None,
    Option(help="Whether a log's times are those of requests or of answers; needed where the log does not show it."),
]
Dates = Annotated[
    Literal["day-first", "month-first"] | None, Option(help="How to read 03/04/2025, where the file does not show it.")
]
CountValues = Annotated[
    Literal["per-second", "per-minute", "per-interval", "counter"] | None,
    Option(help="What values over time are, where the file does not say."),
]
Refused = Annotated[
    Literal["inside", "beside"] | None, Option(help="Whether counts of requests hold the refused ones.")
]

MOST_PLACES = 200  # on one axis


def scenario_of(name: str, override: str | None, sets: list[str] | None) -> "Scenario":
    """The scenario of this name or file, with an override and settings laid over it. Raises BadInput."""

    settings = parsed(sets)
    if "demand.times" in settings:
        from sim.studies.sweep import scenario_with

        return scenario_with(name, override, settings)
    return sim.load(name, override=override, sets=settings)


@contextmanager
def machines(
    cluster: str | None, processes: int | None, shard: str | None = None, meanwhile: Callable[[], object] | None = None
) -> "Iterator[Executor]":
    """Where a study makes its runs: on this machine, on a cluster, or here and only one shard of them.

    meanwhile: what this process does while others of this machine begin. A shard ends with one sentence, in place of
    what the study would say. Raises BadInput.
    """
    from sim.studies.executors import Local, Shard, ShardDone

    if cluster is not None and (processes is not None or shard is not None):
        key = "--processes" if processes is not None else "--shard"
        raise BadInput("the workers of a cluster share the runs among them", key=key, expected="--cluster alone")
    if cluster is not None:
        from sim.studies.cluster import Cluster

        with Cluster(cluster) as there:
            yield there
        return
    part, parts = (1, 1) if shard is None else read_shard(shard)
    with Local(processes, meanwhile) as here:
        try:
            yield here if shard is None else Shard(here, part, parts)
        except ShardDone as done:
            typer.echo(
                f"Shard {part} of {parts}: {done.made:,} of {done.runs:,} missing runs are made and kept. When "
                "all shards are done, the same command without --shard has the answer."
            )
            raise typer.Exit from None


@contextmanager
def studying(
    title: str, cluster: str | None, processes: int | None, shard: str | None = None
) -> "Iterator[dict[str, Any]]":
    """Where a study makes its runs, and the bar that counts them: what it takes as `executor` and `progress`."""
    ready()
    with machines(cluster, processes, shard) as executor, runs_bar(title) as report:
        yield {"executor": executor, "progress": report}


def read_shard(text: str) -> tuple[int, int]:
    """Which part of how many, from words like '3/10'. Raises BadInput."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise BadInput("this is not a shard", key="--shard", value=text, expected="I/N, like 3/10, from 1/N to N/N")
    return int(part), int(parts)


def beginning(scenario: "Scenario", state: Path | None, *, fleets: bool = True) -> "Scenario":
    """The scenario, begun from the state in a file where there is one. Raises BadInput.

    fleets: with the state's GPUs, and not the scenario's.
    """
    if state is None:
        return scenario
    from sim.results.service_state import state_from
    from sim.scenario.begin import begun

    found = state_from(state, scenario)
    for note in found.notes:
        typer.echo(f"meltpoint: {state}: {note}", err=True)
    return begun(scenario, found if fleets else found.model_copy(update={"pools": {}}))


def parsed(sets: list[str] | None) -> dict[str, Any]:
    """--set arguments as keys and values, values read as YAML reads them. Raises BadInput."""
    from sim.scenario.load import plain_value

    expected = "KEY=VALUE, like pools.fleet.gpus=9000"
    pairs = [key_and_text("--set takes a key and a value", one, expected) for one in sets or []]
    return {key: plain_value(text, key) for key, text in pairs}


def key_and_text(takes: str, setting: str, expected: str) -> tuple[str, str]:
    """The two sides of KEY=TEXT. takes: what the option takes, as a message. Raises BadInput."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise BadInput(takes, value=setting, expected=expected)
    return key.strip(), text


def is_saved_run(source: str) -> bool:
    """Whether a scenario or a run was named, as a folder with a saved run."""
    return (Path(source) / "manifest.json").is_file()


def refuse_changes(**given: Any) -> None:
    """Raise BadInput where options that change a scenario are given for a saved run."""
    for name, value in given.items():
        if value is not None and value != []:
            raise BadInput("a saved run cannot be changed", key=f"--{name}", value=value, expected="a scenario instead")


def named(texts: str | None) -> list[str]:
    """Names that were given with commas between them, each once."""
    return list(dict.fromkeys(name.strip() for name in (texts or "").split(",") if name.strip()))


def option(key: str, text: str | None, read: Callable[[str], Any]) -> Any:
    """The value of an option by a reader that raises ValueError; None if it was not given. Raises BadInput."""
    try:
        return None if text is None else read(text)
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this option cannot be read", key=key, value=text, expected=expected) from None


def a_share(key: str, text: str) -> float:
    """A share of an option, like '90%'. Raises BadInput."""

    return float(option(key, text, fraction))


def a_time(key: str, text: str) -> float:
    """A duration above 0 that ends. Raises BadInput."""

    found = float(option(key, text, seconds))
    if not 0 < found < math.inf:
        raise BadInput("this is not a duration", key=key, value=text, expected="a time above 0, like 1min")
    return found


def axis(name: str, text: str) -> list[float]:
    """The values on one axis: 'a,b,c', or 'a..b:n', which is n values evenly from a to b. Raises BadInput."""
    from sim.studies.sweep import read_axis

    try:
        found = {round(place(str(one)), 9) for one in read_axis(name, text).values}
    except (BadInput, ValueError):
        found = set()
    if not 1 <= len(found) <= MOST_PLACES:
        expected = "like 1,2,5 or 20%..90%:8"
        raise BadInput("these are not values on an axis", key=f"--{name}", value=text, expected=expected)
    return sorted(found)


def place(text: str) -> float:
    """One number, or a share that may exceed 100 %. Raises ValueError."""

    return number(text[:-1], "a share") / 100 if text.endswith("%") else number(text, "a number")


def most_of(most_seeds: int | None, *adding: str | None) -> int:
    """How many seeds at most; adding: the options that add seeds. Raises BadInput where none is given."""
    if most_seeds is not None and not any(adding):
        expected = "an option that adds seeds beside it, like --until-precise '2 %'"
        raise BadInput("no seeds are added", key="--most-seeds", value=most_seeds, expected=expected)
    return 100 if most_seeds is None else most_seeds
