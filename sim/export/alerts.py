"""Alert rules for Prometheus: the triggers of a playbook, and demand or queues beyond what its run had."""

from typing import Any

import numpy as np

from sim.policies.playbook import Step
from sim.policies.trigger import NAMES, Trigger
from sim.results.gateway_metrics import OF, escaped, number
from sim.results.metrics import features_of, peak_queue, recorded
from sim.results.run import Run
from sim.results.timeline import ATTEMPTS
from sim.wording import amount, duration

WINDOW = "5m"  # that rates are taken over: Prometheus advises four scrapes or more, which come every 15 to 60 s


def alert_rules(numbered: list[tuple[int, Step]], run: Run) -> dict[str, Any]:
    """A file of rules: one alert for each step with a trigger, and one for each figure beyond those of the run."""
    return {
        "groups": [
            {"name": "meltpoint playbook", "rules": [rule(n, step) for n, step in numbered if step.when is not None]},
            {"name": "meltpoint beyond the run", "rules": beyond(run)},
        ]
    }


def rule(place: int, step: Step) -> dict[str, Any]:
    """The alert that begins a step and, resolved, ends it.

    Between its two bounds an alert that fires goes on firing, by the series ALERTS; `keep_firing_for` holds it for as
    long after the lower bound as `for` does before the upper one.
    """
    assert step.when is not None
    when, name = step.when, f"MeltpointStep{place}"
    figure, bounds = expression(when), when.bounds
    lasting = prometheus_time(when.for_)
    what = NAMES[when.watched].format(pool=when.pool)
    react = f" {duration(when.reaction)} after this alert fires, and" if when.reaction else " now, and"
    pause = f" Not again within {duration(when.cool_down)} of its end." if when.cool_down else ""
    return {
        "alert": name,
        "expr": f"{figure} > {number(bounds.above)} or ({figure} >= {number(bounds.below)} and on() "
        f'ALERTS{{alertname="{name}",alertstate="firing"}})',
        "for": lasting,
        "keep_firing_for": lasting,
        "labels": {"step": str(place), "policy": step.policy.kind},
        "annotations": {
            "summary": f"Throw switch {place} ({step.policy.kind}): {what} above {when.written(bounds.above)}",
            "description": f"Throw it{react} end it as long after the alert is resolved.{pause}",
        },
    }


def expression(when: Trigger) -> str:
    """The figure that a trigger watches, in PromQL."""
    if when.watched in ("refused", "attempts"):
        attempts, refused = (f"sum(rate({OF[name].sample}[{WINDOW}]))" for name in ("arrivals", "refused"))
        return attempts if when.watched == "attempts" else f"({refused} / {attempts})"
    pool = f'{{pool="{escaped(when.pool or "")}"}}'
    if when.watched == "utilisation":
        return f"({OF['busy'].name}{pool} / {OF['gpus'].name}{pool})"
    return f"{OF[when.watched].name}{pool}"


def prometheus_time(seconds: float) -> str:
    """A duration as Prometheus reads it."""
    return f"{round(seconds)}s" if float(seconds).is_integer() else f"{round(1000 * seconds)}ms"


def beyond(run: Run) -> list[dict[str, Any]]:
    """Alerts for what the run did not have, more attempts or a longer queue: its figures do not hold then."""
    attempts = f"sum(rate({OF['arrivals'].sample}[{WINDOW}]))"
    rules = [beyond_one("MeltpointMoreAttempts", attempts, most_attempts(run), "attempts")]
    for pool in run.manifest["pools"]:
        if features_of(run, pool):
            figure = f'{OF["queued"].name}{{pool="{escaped(pool)}"}}'
            most = peak_queue(run, pool)["peak"] / run.scale
            rules.append(beyond_one("MeltpointLongerQueue", figure, most, f"requests queued in {pool}"))
    return rules


def most_attempts(run: Run) -> float:
    """The highest rate of attempts in a bin of the run, per second of the whole service."""
    line = recorded(run)
    counts = line.counts[..., ATTEMPTS].sum(axis=(1, 2))
    return float(np.max(counts / np.diff(line.edges)) / run.scale)


def beyond_one(name: str, figure: str, most: float, what: str) -> dict[str, Any]:
    most_ever = f"{amount(most)}{' a second' if what == 'attempts' else ''}"
    return {
        "alert": name,
        "expr": f"{figure} > {number(float(f'{most:.6g}'))}",
        "for": WINDOW,
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": f"More {what} than ever in the simulated run",
            "description": f"The runbook was made from a run with at most {most_ever}: simulate what happens now.",
        },
    }
