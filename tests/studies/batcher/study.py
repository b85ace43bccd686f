"""The study `batcher`: an independent batching server in real time, against the simulator on the same arrivals."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from sim.demand.recordings.trace import recording
from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.profile.profile import constant_profile
from sim.results.run import Run
from sim.scenario.scenario import Scenario
from sim.validation.study import Row, Study
from tests.studies.batcher.load import Floats, Seen, play_together, poisson
from tests.studies.batcher.server import Settings
from tests.studies.faults import Change, unchanged

SERVER = Settings(instances=4, max_batch_size=4, base=0.2, each=0.1, max_queue_delay=0.1)
FULL = 4 * SERVER.max_batch_size / (SERVER.base + SERVER.each * SERVER.max_batch_size)  # requests a second
LATE = 0.006  # seconds: 99 % of requests are sent within this of when they are due, or the run does not count
WITHIN = {"mean latency": 0.02, "latency p50": 0.02, "latency p95": 0.05, "latency p99": 0.08, "mean batch": 0.02}
SEEDS, TRIES, FEW = range(1, 4), 3, 30


@dataclass(frozen=True)
class Case:
    """A load on a server. rates: per second, each with how long it lasts."""

    name: str
    rates: tuple[tuple[float, float], ...]
    settings: Settings = field(default=SERVER)


CASES = (
    *[Case(f"load {load}", ((load * FULL, 60.0),)) for load in (0.5, 0.7, 0.9, 0.95)],
    Case("a spike of 5 times", ((0.4 * FULL, 15.0), (2.0 * FULL, 8.0), (0.4 * FULL, 37.0))),
    Case("1.5 times capacity, a queue of 40", ((1.5 * FULL, 40.0),), replace(SERVER, max_queue_size=40)),
)


def batcher_study(progress: Progress | None = None) -> Study:
    """Play every case with every seed in real time (three minutes), and simulate it."""
    found: dict[str, list[tuple[Seen, Seen]]] = {case.name: [] for case in CASES}
    discarded = []
    for place, seed in enumerate(SEEDS):
        left = list(CASES)
        for _ in range(TRIES):
            loads = [(case.settings, poisson(case.rates, seed)) for case in left]
            seen = dict(zip(left, play_together(loads), strict=True))
            for case, one in seen.items():
                if one.lateness <= LATE:
                    found[case.name].append((one, simulated(case, one.due)))
                else:
                    discarded.append(f"{case.name}, seed {seed} ({one.lateness * 1e3:.0f} ms late)")
            left = [case for case in left if seen[case].lateness > LATE]
            if not left:
                break
        if progress is not None:
            progress((place + 1) / len(SEEDS))
    return Study(
        "batcher",
        "An independent batching server",
        "Does a server written from another program's manual, without a line of the simulator, do what it predicts?",
        "an asyncio server with the dynamic batcher of NVIDIA Triton's user guide, on this machine",
        [row for case in CASES for row in compared(case.name, found[case.name])],
        [
            "Server and client import nothing of the simulator, which is given the arrivals, the seconds "
            "of a batch and the batcher's settings.",
            f"A run counts if 99 % of requests were sent within {LATE * 1e3:.0f} ms of when they were due; discarded: "
            f"{'; '.join(discarded) or 'none'}.",
        ],
    )


def simulated(case: Case, due: Floats, change: Change = unchanged) -> Seen:
    """The same arrivals in the simulator; change: made to its scenario."""
    return seen_in(simulate(change(scenario_of(case, due))), due)


def scenario_of(case: Case, due: Floats) -> Scenario:
    """The server and its arrivals as a scenario."""
    how, limits = case.settings, []
    if math.isfinite(how.max_queue_size):
        limits = [{"policy": {"kind": "queue bound", "requests": int(how.max_queue_size)}}]
    document = {
        "title": case.name,
        "horizon": f"{sum(lasting for _, lasting in case.rates) + 60} s",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "1 h", "spec": {"model": "model"}}},
        "pools": {
            "gpus": {"gpus": how.instances, "max_batch": how.max_batch_size, "linger": f"{how.max_queue_delay} s"}
        },
        "demand": {"kind": "trace", "file": "arrivals"},
        "behaviour": {"patience": {"kind": "never"}, "retry": {"at_most": 0}},
        "serving": {"noise": {"kind": "none"}},
        "always": limits,
    }
    profiles = {"model": constant_profile("model", how.base, largest_batch=how.max_batch_size, per_image=how.each)}
    traces = {"arrivals": recording(due, case.name)}
    return Scenario.from_dict(document, profiles=profiles, traces=traces)


def seen_in(run: Run, due: Floats) -> Seen:
    rows = run.requests.sort_values("arrived", kind="stable")
    sizes = run.batches.set_index("batch")["size"]
    batch = rows["batch"].map(sizes).to_numpy(float, na_value=math.nan)
    latency = (rows["finished"] - rows["arrived"]).to_numpy(float)
    return Seen(due, latency, batch, (rows["outcome"] == "served").to_numpy(), 0.0)


def compared(case: str, found: list[tuple[Seen, Seen]]) -> list[Row]:
    """One row per figure: means over the seeds."""
    if not found:
        return [Row(case, "every figure", "", math.nan, math.nan, note="no run counts: the machine was busy")]
    there, here = ([figures(pair[side]) for pair in found] for side in (0, 1))
    rows = []
    for name, within in WITHIN.items():
        actual, predicted = (float(np.mean([one[name] for one in side])) for side in (there, here))
        unit = "requests" if name == "mean batch" else "s"
        note = f"{predicted / actual - 1:+.1%}"
        rows.append(Row(case, name, unit, actual, predicted, actual * (1 - within), actual * (1 + within), note))
    actual, predicted = (float(np.mean([one["refused"] for one in side])) for side in (there, here))
    if actual >= FEW:
        note = f"{predicted / actual - 1:+.1%}"
        rows.append(Row(case, "refused", "requests", actual, predicted, actual * 0.95, actual * 1.05, note))
    return rows


def figures(seen: Seen) -> dict[str, float]:
    """Latencies in seconds of those served, the mean batch over batches, and how many were refused."""
    latency, batch = seen.latency[seen.served], seen.batch[seen.served]
    p50, p95, p99 = np.quantile(latency, [0.5, 0.95, 0.99])
    return {
        "mean latency": float(latency.mean()),
        "latency p50": float(p50),
        "latency p95": float(p95),
        "latency p99": float(p99),
        "mean batch": float(len(batch) / np.sum(1.0 / batch)),
        "refused": float((~seen.served).sum()),
    }
