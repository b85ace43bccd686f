"""A sweep: the same figures at many settings of a scenario, on a grid or at points that fill the space."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from sim import units
from sim.errors import BadInput, refuse_other
from sim.scenario.document import refuse_unusable
from sim.scenario.load import load, plain_value
from sim.scenario.scenario import Scenario
from sim.studies.demand_multiple import with_demand
from sim.studies.executors import Executor, Report
from sim.studies.fleets import Fleets
from sim.studies.objectives import with_price
from sim.studies.playbook_names import name_of, names_of
from sim.studies.promise import Promise, read_promise
from sim.studies.run_record import Record
from sim.studies.runs import running
from sim.studies.store import Cell, Store
from sim.studies.sweep_file import facts_of

Design = Literal["grid", "latin", "sobol"]
DEMAND = "demand.times"  # beside the keys of the scenario: a multiple of all of its demand
MOST_POINTS = 100_000
EXPECTED = (
    "values like 1,2,5 or '30 s,1 min', or a range from low to high, like 20%..90%:8, 1..100:5:log (8, 5: how many)"
)


@dataclass(frozen=True)
class Axis:
    """One key that is varied: over some values, or between two bounds. Numbers are in `unit` where there is one."""

    key: str
    values: tuple[Any, ...] = ()  # of a grid
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    log: bool = False
    whole: bool = False  # only whole numbers fit the key

    def at(self, share: float) -> Any:
        """The value that lies so far between the bounds."""
        if math.isnan(self.low):
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        where = self.low * (self.high / self.low) ** share if self.log else self.low + share * (self.high - self.low)
        return written(where, self.unit, whole=self.whole)


def read_axis(key: str, text: str) -> Axis:
    """A key and what it goes over: 'a,b,c', 'low..high', 'low..high:n' or 'low..high:n:log'. Raises BadInput."""
    ends, *how = str(text).split(":") if ".." in str(text) else [str(text)]
    if ".." not in ends:
        values = tuple(plain_value(one.strip(), key) for one in str(text).split(",") if one.strip())
        if not values:
            raise BadInput("a key needs values", key=key, value=text, expected=EXPECTED)
        return Axis(key, tuple(dict.fromkeys(values)))
    log = bool(how) and how[-1].strip() == "log"
    counts = how[:-1] if log else how
    try:
        (low, high), unit = read_numbers(ends.split("..", 1))
        many = units.whole(counts[0].strip()) if counts else 0
        if not low < high or (log and low <= 0) or len(counts) > 1 or (counts and not 2 <= many <= MOST_POINTS):
            raise ValueError
    except ValueError:
        raise BadInput("this is not a range", key=key, value=text, expected=EXPECTED) from None
    axis = Axis(key, (), low, high, unit, log)
    if not many:
        return axis
    shares = np.linspace(0.0, 1.0, many).tolist()
    return Axis(key, tuple(axis.at(share) for share in shares), low, high, unit, log)


def read_numbers(texts: Sequence[str]) -> tuple[list[float], str]:
    """Quantities of one kind as numbers, and the unit that they are in. Raises ValueError."""
    texts = [text.strip() for text in texts]
    if texts[-1].endswith("%"):
        return [units.number(text.rstrip("% "), "a number") for text in texts], " %"
    for read, unit in ((units.count, ""), (units.seconds, " s"), (units.per_second, " per s")):
        try:
            return [read(text) for text in texts], unit
        except ValueError:
            continue
    return [units.number(text, "a number") for text in texts], ""  # below 0


def written(number: float, unit: str = "", *, whole: bool = False) -> Any:
    """A number as the scenario has it, with its unit."""
    number = float(round(number)) if whole else float(f"{number:.12g}")
    plain = int(number) if number.is_integer() else number
    return f"{plain!r}{unit}" if unit else plain


def points_of(scenario: Scenario, axes: Sequence[Axis], design: Design, points: int) -> list[dict[str, Any]]:
    """The settings at each point of a design, by key. Raises BadInput.

    latin: a Latin hypercube, in which each of `points` equal parts of every range has one point; sobol: the first
    `points` of a scrambled Sobol sequence, best a power of two. Both with a seed of their own, the same every time.
    """
    if not axes or len({axis.key for axis in axes}) < len(axes):
        expected = "like pools.fleet.gpus=8000..12000:5"
        raise BadInput("a sweep varies some keys, each once", key="vary", expected=expected)
    if design == "grid":
        for axis in axes:
            if not axis.values:
                raise BadInput("a grid needs to know how many values", key=axis.key, expected=EXPECTED)
        if math.prod(len(axis.values) for axis in axes) > MOST_POINTS:
            raise BadInput("this grid has too many points", key="vary", expected=f"at most {MOST_POINTS:,}")
        fitted = [fitting(scenario, axis) for axis in axes]
        return [
            dict(zip([a.key for a in axes], values, strict=True)) for values in product(*(a.values for a in fitted))
        ]
    if not 2 <= points <= MOST_POINTS:
        raise BadInput("this many points cannot be used", key="points", value=points, expected=f"2 to {MOST_POINTS:,}")
    for axis in axes:
        if axis.values and not math.isnan(axis.low):
            alone = f"{axis.low:g}..{axis.high:g}{axis.unit}{':log' if axis.log else ''}"
            expected = f"{alone}, and the number of points for all keys together (--points); or --design grid"
            message = f"the points of a {design} design are not those of each key"
            raise BadInput(message, key=axis.key, value=f"{len(axis.values)} values", expected=expected)
    fitted = [fitting(scenario, axis) for axis in axes]
    return [
        {a.key: a.at(share) for a, share in zip(fitted, row, strict=True)} for row in cube(design, len(axes), points)
    ]


def cube(design: Design, dimensions: int, points: int) -> list[list[float]]:
    """Points that fill the unit cube."""
    if design == "latin":
        return list(scipy.stats.qmc.LatinHypercube(dimensions, rng=1).random(points).tolist())
    exponent = math.ceil(math.log2(points))
    sequence: NDArray[np.float64] = scipy.stats.qmc.Sobol(dimensions, rng=1).random_base2(exponent)
    return list(sequence[:points].tolist())


def fitting(scenario: Scenario, axis: Axis) -> Axis:
    """The axis in whole numbers where its key takes no others. Raises BadInput for a key that takes neither."""
    if math.isnan(axis.low) or axis.unit:
        return axis
    odd = axis.low + (axis.high - axis.low) / math.pi
    try:
        changed(scenario, {axis.key: odd})
    except BadInput as wrong:
        if "whole" not in wrong.expected:
            raise
        shares = np.linspace(0.0, 1.0, max(len(axis.values), 1)).tolist()
        rounded = Axis(axis.key, (), axis.low, axis.high, "", axis.log, whole=True)
        values = tuple(dict.fromkeys(rounded.at(share) for share in shares)) if axis.values else ()
        return Axis(axis.key, values, axis.low, axis.high, "", axis.log, whole=True)
    return axis


def scenario_with(name: str, override: str | None, sets: Mapping[str, Any]) -> Scenario:
    """A scenario by name or file with settings laid over it, DEMAND perhaps among them. Raises BadInput."""
    made = load(name, override=override, sets={key: value for key, value in sets.items() if key != DEMAND})
    return changed(made, {DEMAND: sets[DEMAND]}) if DEMAND in sets else made


def changed(scenario: Scenario, settings: Mapping[str, Any]) -> Scenario:
    """The scenario with these settings; DEMAND multiplies its demand. Raises BadInput.

    GPUs of a pool of several kinds are of the kind that is taken last, unless a setting names its kinds.
    """
    keys = {key: value for key, value in settings.items() if key != DEMAND}
    for pool, of in scenario.pools.items():
        total = keys.get(f"pools.{pool}.gpus")
        if of.kinds and type(total) is int and not any(key.startswith(f"pools.{pool}.kinds") for key in keys):
            kinds = Fleets(scenario, {pool: 1.0}).kinds(pool, total)
            keys |= {f"pools.{pool}.kinds.{kind}.gpus": number for kind, number in kinds.items()}
    made = scenario.with_(**keys) if keys else scenario
    if DEMAND not in settings:
        return made
    refuse_unusable(settings[DEMAND], DEMAND)
    try:
        return with_demand(made, units.plain(settings[DEMAND]))
    except ValueError as wrong:
        expected = str(wrong).removeprefix("expected ")
        raise BadInput("this is no multiple", key=DEMAND, value=settings[DEMAND], expected=expected) from None


def sweep(
    scenario: Scenario,
    vary: Mapping[str, str | Sequence[Any]],
    playbooks: str | Sequence[str] | None = None,
    *,
    design: Design = "grid",
    points: int | None = None,
    seeds: int = 1,
    promise: str | None = None,
    metric: str | None = None,
    store: Store | Path | str | bool | None = None,
    executor: Executor | None = None,
    processes: int | None = None,
    progress: Report | None = None,
) -> pd.DataFrame:
    """The figures at many settings: one row per point, playbook and seed, with the same people at every point.

    vary: dotted keys, each with its values (a list, or as read_axis has them), or a range 'low..high'; 'demand.times'
    multiplies all demand. points: of the designs latin and sobol, 32 where None. playbooks: the first where None.
    promise: also whether and by how much each run keeps it (columns promise_kept, promise_margin). metric: a figure
    that every run must have. Columns: point, the keys,
    playbook, seed, the figures of sim.studies.figures and dollars_per_1000_images. An interrupt gives the rows that are
    done (attrs: planned, how many there would be; made_from, see sweep_file). Raises BadInput, before any run, for a
    point that cannot be simulated.
    """
    names = [name_of(scenario, name) for name in names_of(playbooks) or ()] or [name_of(scenario, None)]
    if type(seeds) is not int or not 1 <= seeds <= 10_000:
        raise BadInput("a sweep takes one seed or more", key="seeds", value=seeds, expected="1 to 10000")
    if design not in ("grid", "latin", "sobol"):
        raise BadInput("there is no such design", key="design", value=design, expected="grid, latin or sobol")
    if points is not None and design == "grid":
        expected = "the values of each key, like 1,2,5 or 1..5:3; or --design latin or sobol"
        raise BadInput("a grid has the points of its keys", key="points", value=points, expected=expected)
    kept = None if promise is None else read_promise(promise, scenario)
    refuse_other(Mapping, vary, "like {'pools.gpus.gpus': [2, 4]}")
    axes = [axis_over(key, values) for key, values in vary.items()]
    settings = points_of(scenario, axes, design, 32 if points is None else points)
    places = [(number, changed(scenario, at)) for number, at in enumerate(settings)]
    cells = [
        (number, Cell(there, name, seed)) for number, there in places for name in names for seed in range(1, seeds + 1)
    ]
    rows = {}
    try:
        with running(executor, processes, store, progress) as study:
            for place, row in study.each([cell for _, cell in cells], lambda record: row_of(record, kept, metric)):
                number, cell = cells[place]
                rows[place] = {"point": number, **settings[number], "playbook": cell.playbook, "seed": cell.seed, **row}
    except KeyboardInterrupt:
        pass
    table = pd.DataFrame([rows[place] for place in sorted(rows)])
    table.attrs |= {"planned": len(cells), "made_from": facts_of(scenario, [a.key for a in axes], design, promise)}
    return table


def axis_over(key: str, values: Any) -> Axis:
    """A key over a text, as read_axis has it, or over several values. Raises BadInput."""
    if isinstance(values, str):
        return read_axis(key, values)
    if not isinstance(values, Iterable):
        raise BadInput("a key needs values", key=key, value=values, expected=f"a list, like [{values}]; or {EXPECTED}")
    return Axis(key, tuple(values))


def row_of(record: Record, promise: Promise | None, metric: str | None) -> dict[str, Any]:
    """The figures of one run, and how it keeps a promise. Raises BadInput where the metric is none of them."""
    row = with_price(record.figures)
    if promise is not None:
        margin = promise.margin(record)
        row |= {"promise_kept": margin >= 0, "promise_margin": margin}
    if metric is not None and metric not in row:
        raise BadInput("a run has no such figure", key="metric", value=metric, expected=", ".join(row))
    return row
