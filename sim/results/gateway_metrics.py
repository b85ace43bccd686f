"""A gateway's telemetry as metrics of Prometheus: their names and labels, and a run's as OpenMetrics text.

Every value is of the whole service. The names are those that alert rules and shadow mode read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.errors import BadInput
from sim.model.controls import Telemetry
from sim.policies.base import ROUNDING
from sim.results.metrics import recorded
from sim.results.run import Run
from sim.results.timeline import IN_TIME, INTENTS, LOST, SERVED
from sim.scenario.scenario import Scenario

Place = tuple[str, ...]  # the values of a metric's labels


@dataclass(frozen=True)
class Metric:
    """One metric: its name (a counter's samples also end in _total), its labels, and the figure of Telemetry it is."""

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    figure: str
    about: str

    @property
    def sample(self) -> str:
        return self.name + ("_total" if self.kind == "counter" else "")

    def written(self, place: Place) -> str:
        """The name of a sample with its labels."""
        pairs = ",".join(f'{label}="{escaped(value)}"' for label, value in zip(self.labels, place, strict=True))
        return self.sample + (f"{{{pairs}}}" if pairs else "")


POOL, CELL = ("pool",), ("tier", "feature")
METRICS = (
    Metric("meltpoint_pool_gpus", "gauge", POOL, "gpus", "GPUs in service."),
    Metric("meltpoint_pool_gpus_busy", "gauge", POOL, "busy", "GPUs that serve a batch."),
    Metric("meltpoint_pool_requests_queued", "gauge", POOL, "queued", "Requests waiting."),
    Metric("meltpoint_pool_requests_inside", "gauge", POOL, "inside", "Requests waiting or being served."),
    Metric(
        "meltpoint_pool_expected_wait_seconds", "gauge", POOL, "expected_wait", "Wait of a new request, served last."
    ),
    Metric("meltpoint_attempts", "counter", CELL, "arrivals", "Attempts at the gateway."),
    Metric("meltpoint_refused", "counter", CELL, "refused", "Attempts refused."),
    Metric("meltpoint_served", "counter", CELL, "served", "Requests served."),
    Metric("meltpoint_started", "counter", CELL, "started", "Requests that left the queue for a GPU."),
    Metric("meltpoint_wait_seconds", "counter", CELL, "waited", "Summed wait of the requests that started."),
    Metric("meltpoint_latency_seconds", "counter", CELL, "latency", "Summed latency of the requests served."),
    Metric("meltpoint_signups", "counter", (), "signups", "People who came to sign up."),
    Metric("meltpoint_waitlisted", "gauge", (), "waitlisted", "People on the waitlist."),
    Metric("meltpoint_active_users", "gauge", (), "active", "People in the midst of a day of use."),
)
OF = {metric.figure: metric for metric in METRICS}
# Of a run alone: a real gateway cannot know them in time. By the instant at which the image was first wanted.
HINDSIGHT = (
    (Metric("meltpoint_wanted", "counter", CELL, "", "Images wanted until then."), INTENTS),
    (Metric("meltpoint_wanted_and_served", "counter", CELL, "", "Of these, served in the end."), SERVED),
    (Metric("meltpoint_wanted_and_in_time", "counter", CELL, "", "Of these, served in time."), IN_TIME),
    (Metric("meltpoint_wanted_and_lost", "counter", CELL, "", "Of these, lost in the end."), LOST),
)


def escaped(text: str) -> str:
    """The value of a label."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def openmetrics(scenario: Scenario, run: Run, ticks: Sequence[Telemetry], every: float | None = None) -> Iterator[str]:
    """Lines of OpenMetrics text: the telemetry of a run at its control ticks, and its images bin by bin, with times.

    ticks: the telemetry at each control tick, from 0 on. every: seconds between samples, a whole number of ticks.
    Raises BadInput where it is not one.
    """
    tick = scenario.control_tick
    step = 1 if every is None else round(every / tick)
    if every is not None and (step < 1 or abs(step * tick - every) > ROUNDING):
        expected = f"a multiple of the control tick, {tick:g} s"
        raise BadInput("samples are taken at control ticks", key="--every", value=f"{every:g} s", expected=expected)
    origin = scenario.start.timestamp()
    times = [stamp(origin + seen.now) for seen in ticks[::step]]
    for metric in METRICS:
        yield from head(metric)
        for place, values in series(metric, scenario, ticks).items():
            name = metric.written(place)
            yield from (f"{name} {number(v)} {at}\n" for v, at in zip(values[::step], times, strict=True))
    line = recorded(run)
    edges = [stamp(origin + edge) for edge in line.edges[1:]]
    for metric, count in HINDSIGHT:
        yield from head(metric)
        for t, tier in enumerate(scenario.tiers):
            for f, feature in enumerate(scenario.features):
                name, totals = metric.written((tier, feature)), line.counts[:, t, f, count].cumsum() / scenario.scale
                yield from (f"{name} {number(v)} {at}\n" for v, at in zip(totals.tolist(), edges, strict=True))
    yield "# EOF\n"


def head(metric: Metric) -> Iterator[str]:
    yield f"# TYPE {metric.name} {metric.kind}\n"
    if metric.name.endswith("_seconds"):
        yield f"# UNIT {metric.name} seconds\n"
    yield f"# HELP {metric.name} {metric.about}\n"


def series(metric: Metric, scenario: Scenario, ticks: Sequence[Telemetry]) -> dict[Place, list[float]]:
    """The values of a metric at every tick, of the whole service, by the values of its labels."""
    whole = 1.0 if metric.figure == "expected_wait" else scenario.scale
    if metric.labels == POOL:
        return {
            (pool,): [getattr(seen.pools[pool], metric.figure) / whole for seen in ticks] for pool in scenario.pools
        }
    values = np.array([getattr(seen, metric.figure) for seen in ticks], dtype=float)
    values = (values.cumsum(axis=0) if metric.kind == "counter" else values) / whole
    if metric.labels == CELL:
        return {
            (tier, feature): values[:, t, f].tolist()
            for t, tier in enumerate(scenario.tiers)
            for f, feature in enumerate(scenario.features)
        }
    return {(): values.tolist()}


def number(value: float) -> str:
    """A value so that it reads back to the same bits."""
    return "+Inf" if value == np.inf else repr(float(value)).removesuffix(".0")


def stamp(seconds: float) -> str:
    """Seconds since 1970, to milliseconds."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")
