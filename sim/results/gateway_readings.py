"""Readings of a gateway's metrics, from Prometheus or a stream, as the telemetry that policies see."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.model.controls import PoolTelemetry, Telemetry, read_only
from sim.results.gateway_metrics import CELL, METRICS, OF, POOL, Metric, Place
from sim.scenario.scenario import Scenario
from sim.schema import with_keys_once
from sim.tables.formats.prometheus import LABEL, SAMPLE, samples_of, samples_of_lines
from sim.tables.growing import added_lines
from sim.units import moment

Values = dict[tuple[str, Place], float]  # by the name of a sample and the values of its labels
STALE = 300.0  # seconds for which a value counts that has no newer one, as in Prometheus (its lookback delta)
NAMES = {metric.sample: metric for metric in METRICS}
FORMS = (
    'OpenMetrics text with times, the answer to a range query, or JSON lines {"time": ..., "metrics": {"name": value}}'
)


@dataclass(frozen=True)
class Reading:
    """What is known at one instant, seconds since 1970."""

    time: float
    values: Values


def readings_in(name: str, *, follow: bool = False) -> Iterator[Reading]:
    """The readings of a file, with `follow` also those that are added later; '-' is standard input. Raises BadInput."""
    if name == "-":
        yield from readings(sys.stdin, name)
        return
    try:
        with open(name, encoding="utf-8") as file:
            yield from readings(added_lines(file) if follow else file, name)
    except FileNotFoundError:
        raise BadInput("there is no such file", file=name, expected="a file with metrics, or -") from None
    except UnicodeDecodeError:
        raise BadInput("this is no text", file=name, expected="metrics as UTF-8") from None


def readings(lines: Iterable[str], file: str) -> Iterator[Reading]:
    """Readings in the order of time, from any of FORMS; of JSON lines, each as soon as its line is there.

    Metrics of other names are left out. Raises BadInput where nothing is left, or a line cannot be read.
    """
    rest = iter(lines)
    first = next((line for line in rest if line.strip()), "")
    if first.lstrip().startswith("{") and '"metrics"' in first:
        return of_stream(chain([first], rest), file)
    return of_whole([first, *rest], file)


def of_stream(lines: Iterable[str], file: str) -> Iterator[Reading]:
    before = -np.inf
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            facts = json.loads(line, object_pairs_hook=with_keys_once)
            time = facts["time"]
            at = moment(time).timestamp() if isinstance(time, str) else float(time)
            pairs = [(SAMPLE.match(f"{name} 0"), float(value)) for name, value in facts["metrics"].items()]
            if not np.isfinite(at) or not all(match for match, _ in pairs):
                raise ValueError
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadInput(f"line {place} cannot be read", file=file, value=line.strip(), expected=FORMS) from None
        if at <= before:
            raise BadInput(f"line {place} is no later than the one before it", file=file, value=facts["time"])
        before = at
        values: Values = {}
        for match, value in pairs:
            assert match is not None
            add(values, match[1], dict(LABEL.findall(match[2] or "")), value, file)
        yield Reading(at, values)


def of_whole(lines: list[str], file: str) -> Iterator[Reading]:
    """Readings from a text that must be read whole, since it holds one metric after the other."""
    found: dict[float, Values] = {}
    for name, labels, value, at in samples(lines, file):
        if name in NAMES:
            if at is None:
                raise BadInput("these samples have no time", file=file, value=name, expected=FORMS)
            add(found.setdefault(at, {}), name, labels, value, file)
    if not found:
        wanted = f"{FORMS}, with metrics like {', '.join(list(NAMES)[:3])} (docs/runbook.md)"
        raise BadInput("there are no metrics of a gateway in it", file=file, expected=wanted)
    return (Reading(at, found[at]) for at in sorted(found))


def samples(lines: list[str], file: str) -> Iterator[tuple[str, dict[str, str], float, float | None]]:
    """Name, labels, value and time of each sample of a range query or of a page of metrics."""
    if not lines[0].lstrip().startswith("{"):
        yield from ((name, dict(labels), value, at) for name, labels, value, at in samples_of_lines(lines))
        return
    try:
        data = json.loads("".join(lines), object_pairs_hook=with_keys_once)["data"]
        series = data["result"] if data["resultType"] == "matrix" else None
        for one in series or []:
            metric = dict(one["metric"])
            name = metric.pop("__name__", "")
            yield from ((name, metric, value, at) for at, value in zip(*samples_of(one), strict=True))
    except (ValueError, TypeError, KeyError, AttributeError):
        series = None
    if series is None:
        raise BadInput("this is no answer to a range query", file=file, expected=FORMS)


def add(values: Values, name: str, labels: dict[str, str], value: float, file: str) -> None:
    """Take in one sample, unless it is of another metric or has no value."""
    metric = NAMES.get(name)
    if metric is None or np.isnan(value):
        return
    if lacking := [label for label in metric.labels if label not in labels]:
        raise BadInput("a sample has no such label", file=file, key=name, value=lacking[0], expected=str(metric.labels))
    if value < 0:
        raise BadInput("a figure of a gateway is not negative", file=file, key=name, value=value)
    key = name, tuple(labels[label] for label in metric.labels)
    if values.setdefault(key, value) != value:
        expected = f"one series for each {' and '.join(metric.labels) or 'metric'}: add them up in a recording rule"
        raise BadInput("two samples of one instant differ", file=file, key=metric.written(key[1]), expected=expected)


def missing(figure: str, *place: str) -> BadInput:
    metric = OF[figure]
    name = metric.written(place) if place else metric.sample
    return BadInput("the metrics lack a figure that is needed", key=name, expected=metric.about)


class SeenPool(PoolTelemetry):
    """A pool of which only some figures are known; asking for another raises BadInput."""

    def __init__(self, pool: str, found: dict[str, float]):
        counts = {name: value if name == "expected_wait" else round(value) for name, value in found.items()}
        vars(self).update(counts, of=pool)

    def __getattr__(self, name: str) -> Any:
        if name in {field.name for field in fields(PoolTelemetry)}:
            raise missing(name, vars(self)["of"])
        raise AttributeError(name)


class Seen(Telemetry):
    """Telemetry of which only some figures are known; asking for another raises BadInput."""

    def __init__(self, now: float, pools: dict[str, PoolTelemetry], found: dict[str, Any]):
        vars(self).update(found, now=now, pools=pools)

    @property
    def active(self) -> int:  # in place of a default, which nobody has measured
        if "active" not in vars(self):
            raise missing("active")
        return int(vars(self)["active"])

    def __getattr__(self, name: str) -> Any:
        if name in OF:
            raise missing(name)
        raise AttributeError(name)


class Readings:
    """The latest values of all metrics, and the counters as they were when telemetry was last made of them."""

    def __init__(self, scenario: Scenario):
        self.scenario, self.origin = scenario, scenario.start.timestamp()
        self.names: dict[str, Mapping[str, Any]] = {
            "pool": scenario.pools,
            "tier": scenario.tiers,
            "feature": scenario.features,
        }
        self.latest: dict[tuple[str, Place], tuple[float, float]] = {}  # when, and the value
        self.before: Values = {}

    def take(self, reading: Reading) -> None:
        """Take in a reading. Raises BadInput for a pool, tier or feature that the scenario does not have."""
        for (name, place), value in reading.values.items():
            if (name, place) not in self.latest:
                for label, given in zip(NAMES[name].labels, place, strict=True):
                    if given not in self.names[label]:
                        known = ", ".join(self.names[label])
                        raise BadInput(f"the scenario has no such {label}", key=name, value=given, expected=known)
            self.latest[name, place] = reading.time, value

    def telemetry(self, now: float) -> Telemetry:
        """The telemetry at an instant, seconds after the scenario's start; counts are since the last call."""
        fresh = {key: value for key, (at, value) in self.latest.items() if self.origin + now - at <= STALE}
        pools: dict[str, PoolTelemetry] = {}
        for pool in self.scenario.pools:
            known = {m.figure: fresh[m.sample, (pool,)] for m in METRICS if (m.sample, (pool,)) in fresh}
            pools[pool] = SeenPool(pool, known)
        found = {m.figure: self.figure(m, fresh) for m in METRICS if m.labels != POOL and has(m, fresh)}
        self.before.update({key: value for key, value in fresh.items() if NAMES[key[0]].kind == "counter"})
        return Seen(now, pools, found)

    def figure(self, metric: Metric, fresh: Values) -> Any:
        if metric.labels != CELL:
            return round(self.grown(metric, (), fresh) if metric.kind == "counter" else fresh[metric.sample, ()])
        rows = [[self.grown(metric, (t, f), fresh) for f in self.scenario.features] for t in self.scenario.tiers]
        return read_only(rows)

    def grown(self, metric: Metric, place: Place, fresh: Values) -> float:
        """What a counter counted since the last telemetry; one that fell began anew. A new one counts from now on."""
        value = fresh.get((metric.sample, place), 0.0)
        before = self.before.get((metric.sample, place), value)
        return value - before if value >= before else value


def has(metric: Metric, fresh: Values) -> bool:
    """Whether a metric has a value anywhere; a tier or feature without one has counted nothing."""
    return any(name == metric.sample for name, _ in fresh)
