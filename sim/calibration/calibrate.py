"""A scenario of one's own from logs, counts and load tests: every value fitted, with where it came from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy import stats

from sim.calibration.asks import Asks, asks_of, asks_of_run, figures_of
from sim.calibration.estimates import Findings
from sim.calibration.fitted_features import POOL, feature, features_of, profile_of, with_features
from sim.calibration.fitted_people import patience, retries, visits, wishes_of
from sim.calibration.fitted_wave import DAY, wave, wave_of_counts
from sim.calibration.servers import Servers, gaps, servers_of
from sim.calibration.throttling import throttling
from sim.demand.recordings.findings import refuse_open_problems
from sim.demand.recordings.importing import ImportOptions, examine_recording
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.file import laid_out
from sim.profile.perf_tables import import_profile
from sim.profile.profile import Profile, profile_from
from sim.results.intervals import says_nothing, t_interval
from sim.scenario.document import with_setting
from sim.scenario.scenario import Scenario
from sim.tables.formats import load_test
from sim.tables.formats.reader import CountSeries

HELD = ["figure", "seen", "run", "low", "high", "fits"]
AGREES, MISSES, NOT_HELD = "agrees", "MISSES", "too wide: says nothing"
BESIDE = 0.85  # of the other servers are busy where a log holds all that these do
SEEDS, WITHIN = 8, 0.1  # WITHIN: of the seen value, the difference that is none
FITTED = "# Made by 'meltpoint calibrate'.\n"  # how each scenario begins
AS_IT_WAS = "as it was"


@dataclass(frozen=True)
class Calibration:
    """A fitted scenario, its profiles, what was found, and the figures of the log beside those of runs of it.

    held: one row per figure: seen, run (mean over seeds), low, high, fits (AGREES, MISSES or NOT_HELD).
    """

    scenario: Scenario
    profiles: dict[str, dict[str, Any]]
    findings: Findings
    held: pd.DataFrame

    def files(self, out: Path) -> dict[Path, str]:
        """The scenario and its profiles beside it; the header of the scenario says where each value is from."""
        places = {name: out.with_name(f"{out.stem}.{name}.profile.json") for name in self.profiles}
        document = {**self.scenario.document, "profiles": {name: path.name for name, path in places.items()}}
        head = FITTED + "".join(f"# {line}\n" for line in self.findings.lines())
        text = head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
        return {out: text, **{path: laid_out(self.profiles[name]) for name, path in places.items()}}


def calibrate(
    files: Sequence[Path],
    *,
    options: ImportOptions | None = None,
    repairs: Sequence[str] = (),
    seeds: int = SEEDS,
    progress: Callable[[float], None] = lambda _: None,
) -> Calibration:
    """Fit a scenario to files: logs (parts of one, the oldest first) or counts, and load tests for the service times.

    Raises BadInput for a file that is neither, and where there is no demand in them. seeds: of the runs that are held
    against the log.
    """
    logs, tests = sorted_files(files)
    options = replace(options or ImportOptions(), attempts=True)
    found = Findings(", ".join(path.name for path in logs))
    profiles = profile_of_test(tests[0], found) if tests else {}
    done = examine_recording(logs, options, repairs)
    refuse_open_problems(done.found, tuple(path.name for path in logs))
    if done.counts is not None:
        document, profiles = from_counts(done.counts, profiles, found)
        scenario = scenario_of(document, profiles)
        return Calibration(scenario, profiles, found, pd.DataFrame(columns=HELD))
    assert done.trace is not None
    found.notes += done.trace.notes
    asks = asks_of(done.trace)
    start = done.trace.start
    monday = math.nan if start is None else (start - start.replace(hour=0, minute=0, second=0)).total_seconds()
    monday += 0 if start is None else start.weekday() * DAY
    document, profiles = from_log(asks, monday, profiles, found)
    if start is not None:
        document["start"] = start.isoformat()
    scenario = scenario_of(document, profiles)
    return Calibration(scenario, profiles, found, held_against(scenario, asks, seeds, progress))


def sorted_files(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Recordings of demand, and load tests. Raises BadInput where there is no recording, or more than one test."""
    logs: list[Path] = []
    tests: list[Path] = []
    for path in files:
        test = load_test(path)
        (tests if test and test[1] else logs).append(path)
    if not logs:
        expected = "also a log or counts; 'meltpoint profile import' reads a load test alone"
        raise BadInput("no file says who came and when", file=", ".join(map(str, files)), expected=expected)
    if len(tests) > 1:
        raise BadInput(
            "there is more than one load test", file=tests[1], expected="one; choose the machine that served"
        )
    return logs, tests


def profile_of_test(path: Path, found: Findings) -> dict[str, dict[str, Any]]:
    facts = {
        "name": "service",
        "model": "service",
        "feature": "image",
        "provenance": "measured",
        "source": path.name,
        "method": "a load test",
        "date": "",
        "precision": "",
        "hardware": {"gpu": "as tested"},
    }
    document = import_profile(path, facts, side=1024, steps=28, batch=1)
    for point in document["points"]:
        middle = point["latency_s"]["p50"]
        found.add(f"service time, batch {point['batch']}", (middle, math.nan, math.nan), "s", 0, document["method"])
        found.estimates[-1] = replace(found.estimates[-1], file=path.name)
    return {"service": document}


def scenario_of(document: dict[str, Any], profiles: dict[str, dict[str, Any]]) -> Scenario:
    made: dict[str, Profile] = {name: profile_from(one) for name, one in profiles.items()}
    return Scenario.from_dict(document, profiles=made)


def base(title: str, horizon: float, demand: dict[str, Any], features: dict[str, Any], gpus: int) -> dict[str, Any]:
    tick = next(t for t in (60, 30, 10, 5, 1) if horizon >= 100 * t or t == 1)
    return {
        "title": title,
        "horizon": f"{horizon:.10g} s",
        "control_tick": f"{tick} s",
        "tiers": {"all": {"share": 1}},
        "features": features,
        "pools": {POOL: {"gpus": gpus}},
        "demand": demand,
        "playbooks": {"none": []},
    }


def from_counts(
    counts: CountSeries, profiles: dict[str, dict[str, Any]], found: Findings
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Counts say who came; all else stays a default."""
    demand, horizon = wave_of_counts(counts, found)
    found.notes += counts.notes
    if not profiles:
        profiles = {"service": profile_of("service", {1: 2.0}, "assumed: counts do not say")}
        found.unknown["the service time"] = "2 s, which nobody measured: counts do not say"
    for key in ("pools.gpus.gpus", "behaviour.patience", "behaviour.retry", "behaviour.requests"):
        found.unknown[key] = "counts do not say"
    rates = [float(rate.split()[0]) for _, rate in demand["waves"][0]["points"]]
    each = profiles["service"]["points"][0]["latency_s"]["p50"]
    features = {"image": feature("service", 1.0, {1: 1.0}, 10 * each)}
    document = base(f"Fitted to {found.file}", horizon, demand, features, max(math.ceil(max(rates) * each), 1))
    document["behaviour"] = {
        "requests": {"kind": "fixed", "requests": 1},
        "returns": {"kind": "power law", "at_one_day": 0},
    }
    document["record"] = "timeline"
    return document, profiles


def from_log(
    asks: Asks, monday: float, profiles: dict[str, dict[str, Any]], found: Findings
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    wishes = wishes_of(asks)
    first = wishes.first if wishes is not None else np.ones(len(asks), dtype=bool)
    visit = visits(asks, first, found)
    demand = wave(asks.arrived[visit], asks.length, np.array([monday]), found)
    retries(asks, found)
    patience(asks, found)
    sized = with_features(asks)
    servers = servers_of(sized)
    service = None if servers is None else servers.service
    if service is not None and asks.tick and not np.isfinite(asks.waited).any():
        short = "; services shorter than a tick do not show how many servers there are"
        found.notes.append(
            f"stamps are multiples of {asks.tick:g} s and no waits are logged: a mean service time is known to half of "
            f"that, which its interval holds{short if np.nanmean(service) < asks.tick else ''}"
        )
    if service is not None:
        turnaround(asks, service, found)
    features, made = features_of(sized, first, service, profiles, found)
    gpus = fleet(servers, found)
    document = base(f"Fitted to {asks.file}", asks.length, demand, features, gpus)
    if any("length" in one for one in features.values()):
        document["pools"][POOL] |= {"runs": "steps", "max_batch": 1}
    steps = throttling(asks, found)
    if steps:
        document["playbooks"] = {AS_IT_WAS: steps, "none": []}
    for key, value in found.keys.items():
        document = with_setting(document, key, value)
    for key, why in (
        ("features.slo", "ten service times: a log does not say what counts as in time"),
        ("behaviour.churn", "a log of this length does not show who stays away for good"),
        ("pools.gpus.dollars_per_gpu_hour", "a log has no prices"),
    ):
        found.unknown[key] = why
    return document, made


def fleet(servers: Servers | None, found: Findings) -> int:
    if servers is None:
        found.unknown["pools.gpus.gpus"] = "the log has no durations"
        return 1
    ends = (float(servers.count), float(servers.low), servers.high)
    found.add("pools.gpus.gpus", ends, "", len(servers.service), servers.method)
    if math.isinf(servers.high):
        found.notes.append(f"servers: no more than {servers.count} were ever needed at once, so there may be more")
    if servers.beside < BESIDE:
        found.notes.append(
            f"warning: as those who waited began, {servers.beside:.0%} of the other servers were seen to be busy: rows "
            "are missing (a sample?), servers did work that has no row, fewer were on duty, or they take batches; then "
            "neither the demand nor the servers are as fitted"
        )
    if servers.taken_out is None:
        found.unknown["serving.notices_leaving"] = "nobody left, or the log does not say"
    else:
        found.keys["serving.notices_leaving"] = servers.taken_out
    return servers.count


def turnaround(asks: Asks, service: NDArray[np.float64], found: Findings) -> None:
    """Work between two requests, which is in no column: it keeps a server, so it is part of the service time."""
    start, end = asks.arrived + asks.waited, asks.arrived + asks.waited + service
    lasts = np.round(gaps(asks.arrived, start, end, asks.server), 6)  # less is the rounding of sums
    if len(lasts) < 10:
        if not np.isfinite(asks.server).any():
            found.unknown["turnaround after service"] = "the log does not say who served"
        return
    found.add("turnaround after service", (float(lasts.mean()), *t_interval(lasts)), "s", len(lasts),
              "gap from a server's end to its next start, where the next one had waited")  # fmt: skip
    if lasts.mean() > 0.02 * float(np.nanmean(service)):
        service += float(lasts.mean())
        found.notes.append(
            f"service times hold {lasts.mean():.4g} s of turnaround: a server is busy for that time too, so "
            "latencies of runs are longer by it"
        )


def held_against(scenario: Scenario, asks: Asks, seeds: int, progress: Callable[[float], None]) -> pd.DataFrame:
    """Figures of the log beside those of runs of the scenario: within 10 % or the 99 % interval of one more run.

    An interval that is wider to each side than half its value says nothing, and is not counted.
    """
    seen, rows = figures_of(asks), []
    for seed in range(1, seeds + 1):
        rows.append(figures_of(asks_of_run(simulate(scenario, seed=seed))))
        progress(seed / seeds)
    runs = pd.DataFrame(rows)
    table = []
    for name, value in seen.items():
        mean, n = float(runs[name].mean()), len(runs)
        spread = float(runs[name].std(ddof=1)) if n > 1 else 0.0
        half = float(stats.t.ppf(0.995, max(n - 1, 1))) * spread * math.sqrt(1 + 1 / n)
        least = 0.01 if name.startswith("share") else 0.0
        off = max(half, WITHIN * abs(mean), least)
        if math.isfinite(value):
            fits = NOT_HELD if says_nothing(off, mean, least) else AGREES if abs(value - mean) <= off else MISSES
            table.append((name, value, mean, mean - off, mean + off, fits))
    return pd.DataFrame(table, columns=HELD)
