"""The state of a service at one instant, from a run or from its metrics: what another run can begin with."""

import math
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import BadInput
from sim.model.controls import PoolTelemetry, Telemetry
from sim.results.gateway_readings import Readings, readings
from sim.results.intents import every_row, was_granted
from sim.results.run import Run, load_run
from sim.scenario.begin import Fleet, State, Waiting, read_state
from sim.scenario.scenario import Scenario
from sim.tables.formats.prometheus import samples_of_lines

AGES = 4  # groups of waits of one feature and tier
# Gauges of servers of language models and images: requests on GPUs, and requests that wait.
RUNNING = ("vllm:num_requests_running", "sglang:num_running_reqs", "tgi_batch_current_size")
QUEUED = ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "tgi_queue_size", "nv_inference_pending_request_count")
HINTS = ("# HELP", "# TYPE")  # of pages of metrics; other comments may stand above them
WAITS = "vllm:request_queue_time_seconds", "sglang:queue_time_seconds", "tgi_request_queue_duration"


def state_from(path: Path, scenario: Scenario) -> State:
    """A state from a YAML file, a saved run (its end), or a page of metrics. Raises BadInput."""
    if path.is_dir():
        return state_of_run(load_run(path))
    try:
        head = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as wrong:
        why = getattr(wrong, "strerror", None) or "it is no text"
        raise BadInput(f"this state cannot be read ({why})", file=path, expected="YAML, metrics or a run") from None
    said = [line.strip() for line in head.splitlines()]
    first = next((line for line in said if line and (line.startswith(HINTS) or not line.startswith("#"))), "")
    if not first.startswith((*HINTS, "{", "meltpoint_", *RUNNING, *QUEUED)):
        return read_state(path)
    lines = head.splitlines(keepends=True)
    if any("meltpoint_" in line for line in lines):
        return state_of_readings(scenario, lines, str(path))
    return state_of_gauges(scenario, lines, str(path))


def state_of_run(run: Run) -> State:
    """What a run was doing at its end. Raises BadInput where rows were not recorded.

    Requests are those that the gateway sees: also of people who have left, where the service does not notice. It is
    not known who would have asked again: `thinking` is empty.
    """
    now, rows = run.horizon, every_row(run)
    on_gpu = (rows["started"] <= now) & ~(rows["finished"] <= now)
    there = rows.assign(on_gpu=on_gpu)[on_gpu | was_granted(rows) & ~(rows["dequeued"] <= now)]
    found = []
    for (feature, tier), some in there.groupby(["feature", "tier"], observed=True):
        who = {"feature": str(feature), "tier": str(tier)}
        if on := int(some["on_gpu"].sum()):
            found.append(Waiting(**who, in_service=on / run.scale))
        ages = np.sort(now - some.loc[~some["on_gpu"], "arrived"].to_numpy())
        found += [
            Waiting(**who, queued=len(part) / run.scale, waited=in_seconds(part[0], part[-1]))
            for part in np.array_split(ages, min(AGES, len(ages)) or 1)
            if len(part)
        ]
    fleet = run.fleet.groupby("pool", sort=False)["change"].sum()
    return State(
        at=pd.Timestamp(run.manifest["start"]).to_pydatetime() + timedelta(seconds=now),
        requests=found,
        pools={str(pool): Fleet(gpus=max(round(gpus / run.scale), 1)) for pool, gpus in fleet.items()},
    )


def in_seconds(*ages: float) -> Any:
    return tuple(f"{float(age)!r} s" for age in ages)


def state_of_readings(scenario: Scenario, lines: Iterable[str], file: str) -> State:
    """The state at the last of the readings that shadow mode takes (docs/runbook.md)."""
    known, last = Readings(scenario), None
    for reading in readings(lines, file):
        known.take(reading)
        last = known.telemetry(reading.time - known.origin)
    if last is None:
        raise BadInput("there are no readings in it", file=file)
    return state_of_telemetry(scenario, last)


def state_of_telemetry(scenario: Scenario, seen: Telemetry) -> State:
    """What a gateway's telemetry says of the state; counts are those since the look before.

    Requests of a pool are split over tiers and features as its last attempts were. The longest wait is that of the
    requests which left the queue last, on average; else the expected wait of a new one.
    """
    requests, notes, inside, pools = [], [], 0.0, {}
    tiers, features = list(scenario.tiers), list(scenario.features)
    for name in scenario.pools:
        pool = seen.pools[name]
        mine = np.array([scenario.features[feature].pool == name for feature in features])
        shares, wait = shares_asked(scenario, seen, mine), wait_so_far(seen, pool, mine)
        if not math.isfinite(wait):
            wait = 0.0
            notes.append(f"{name}: how long its requests have waited is not known, 0 s is taken")
        on_gpu = max(float(pool.inside - pool.queued), 0.0)
        inside += float(pool.inside)
        pools[name] = Fleet(gpus=max(int(pool.gpus), 1))
        requests += [
            Waiting(
                feature=feature,
                tier=tier,
                queued=float(pool.queued * shares[t, f]),
                waited=in_seconds(0.0, wait),
                in_service=float(on_gpu * shares[t, f]),
            )
            for t, tier in enumerate(tiers)
            for f, feature in enumerate(features)
            if shares[t, f] * pool.inside > 0
        ]
    active = known(seen, "active")
    pausing = max(float(active) - inside, 0.0) if active is not None else 0.0
    return State(
        at=scenario.start + timedelta(seconds=seen.now),
        requests=requests,
        thinking={name: pausing * tier.share for name, tier in scenario.tiers.items() if pausing * tier.share > 0},
        pools=pools,
        notes=notes,
    )


def shares_asked(scenario: Scenario, seen: Telemetry, mine: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of a pool's requests, those of each tier and feature: as its last attempts, else as the scenario has shares.

    mine: the features that the pool serves.
    """
    shares = np.outer([t.share for t in scenario.tiers.values()], [f.share for f in scenario.features.values()])
    came = known(seen, "arrivals")
    if came is not None and (came * mine).sum() > 0:
        shares = came
    return np.asarray(shares * mine / max((shares * mine).sum(), 1e-300))


def wait_so_far(seen: Telemetry, pool: PoolTelemetry, mine: NDArray[np.bool_]) -> float:
    """The mean wait of the requests that left the queue last, else the expected wait of a new one; nan if unknown."""
    started, waited = known(seen, "started"), known(seen, "waited")
    if started is not None and waited is not None and (started * mine).sum() > 0:
        return float((waited * mine).sum() / (started * mine).sum())
    wait = known(pool, "expected_wait")
    return math.nan if wait is None else float(wait)


def known(seen: Any, figure: str) -> Any:
    """A figure of telemetry; None where the metrics lack it."""
    try:
        return getattr(seen, figure)
    except BadInput:
        return None


def latest(lines: list[str], file: str) -> dict[str, float]:
    """The latest value of each series, summed by name. Raises BadInput for a gauge of the queue that has no value."""
    found: dict[tuple[str, Any], tuple[float, float]] = {}
    for name, labels, value, at in samples_of_lines(lines):
        if name in (*RUNNING, *QUEUED) and not (math.isfinite(value) and value >= 0):
            expected = "a number of requests; a series without a value may be left out, if its server is gone"
            raise BadInput("this gauge has no value", file=file, key=name, value=value, expected=expected)
        if (at or 0.0) >= found.get((name, labels), (0.0, 0.0))[0]:
            found[name, labels] = at or 0.0, value
    total: dict[str, float] = {}
    for (name, _), (_, value) in found.items():
        total[name] = total.get(name, 0.0) + value
    return total


def state_of_gauges(scenario: Scenario, lines: list[str], file: str) -> State:
    """The state by the gauges of a server: one scrape of vLLM, SGLang, TGI or Triton. All its models are one pool."""
    total = latest(lines, file)
    if len(scenario.pools) > 1:
        expected = f"a scenario with one pool, or metrics named meltpoint_pool_... for {', '.join(scenario.pools)}"
        raise BadInput("a server's gauges do not say which pool they are of", file=file, expected=expected)
    running, queued = (sum(total[name] for name in names if name in total) for names in (RUNNING, QUEUED))
    if not any(name in total for name in (*RUNNING, *QUEUED)):
        raise BadInput("there are no gauges of a queue in it", file=file, expected=", ".join((*RUNNING, *QUEUED)))
    wait = next((total[f"{w}_sum"] / total[f"{w}_count"] for w in WAITS if total.get(f"{w}_count", 0) > 0), 0.0)
    notes = ["one scrape does not say how long the present queue has waited: twice the mean wait since its start"]
    shares = {name: feature.share for name, feature in scenario.features.items() if feature.share > 0}
    return State(
        requests=[
            Waiting(feature=name, queued=queued * share, in_service=running * share, waited=in_seconds(0.0, 2.0 * wait))
            for name, share in shares.items()
        ],
        notes=notes if queued else [],
    )
