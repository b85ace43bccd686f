"""Published MLPerf Server runs, replayed: the same arrivals through these GPUs, against the published latencies."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from sim.demand.recordings.trace import recording
from sim.engine.parallel import Progress
from sim.engine.simulate import simulate
from sim.errors import BadInput
from sim.profile.profile import profile_of_sizes
from sim.results.run import Run
from sim.scenario.document import explained
from sim.scenario.load import in_file
from sim.scenario.scenario import Scenario
from sim.scenario.serving_options import AHEAD, WHEN_FREE
from sim.schema import Strict, read_json
from sim.validation.study import Row, Study

CHUNK = 65_536  # gaps drawn at a time
FORMAT = "meltpoint-mlperf/1"
SHIPPED = Path(__file__).with_name("mlperf_sdxl_server.json")
MOST, LONGEST = 1e6, 1e7  # queries of one run, and seconds
UNSURE = 0.03  # of a service time from Offline: a batch of the same model took up to 2.7 % longer under Server
LONGER = 1.01  # factor on the service time that shows how sensitive latencies are to it
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p97": 0.97, "p99": 0.99, "p99_9": 0.999}

Number = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, le=1_000_000, strict=True)]


def loadgen_arrivals(seed: int, qps: float, min_duration_ns: int, min_queries: int) -> tuple[NDArray[np.int64], int]:
    """The instant of each query, int64 (n,), nanoseconds from the first; and that of one more.

    After loadgen/loadgen.cc of mlcommons/inference: the first query at 0, then exponential gaps of rate `qps`, each cut
    to whole nanoseconds, until a query at or after `min_duration_ns` that is at least the `min_queries`-th. The second
    number is what the generator's log calls generated_query_duration.
    """
    twister = loadgen_generator(seed)
    instants = np.zeros(1, dtype=np.int64)
    while True:
        over = (instants[:-1] >= min_duration_ns) & (np.arange(1, len(instants)) >= min_queries)
        if over.any():
            last = int(np.argmax(over))
            return instants[: last + 1], int(instants[last + 1])
        later = instants[-1] + np.cumsum(gaps_ns(twister, qps, CHUNK))
        instants = np.concatenate([instants, later])


def loadgen_generator(seed: int) -> np.random.RandomState:
    """std::mt19937 of a seed of 64 bits: it takes the seed modulo 2^32."""
    return np.random.RandomState(seed % 2**32)  # newer generators seed the twister otherwise


def words_of_32_bits(twister: np.random.RandomState, n: int) -> NDArray[np.uint32]:
    """The next n numbers of 32 bits, as they come."""
    return twister.randint(0, 2**32, size=n, dtype=np.uint32)


def gaps_ns(twister: np.random.RandomState, qps: float, n: int) -> NDArray[np.int64]:
    """The next n exponential gaps as libstdc++ has them: a uniform u of two words, the lower first, and -log(1-u)."""
    low, high = words_of_32_bits(twister, 2 * n).reshape(n, 2).T.astype(np.float64)
    uniform = np.minimum((low + high * 2.0**32) / 2.0**64, np.nextafter(1.0, 0.0))
    return np.asarray(-np.log(1.0 - uniform) / qps * 1e9).astype(np.int64)


class Latencies(Strict):
    """Latencies of a run in seconds, as its mlperf_log_summary.txt has them in nanoseconds."""

    min: Number
    mean: Number
    p50: Number
    p90: Number
    p95: Number
    p97: Number
    p99: Number
    p99_9: Number
    max: Number


class Published(Strict):
    """The results in the run's logs."""

    queries: Count | None = Field(default=None, description="generated_query_count")
    duration_ns: Annotated[int, Field(ge=1, lt=2**62, strict=True)] | None = Field(
        default=None, description="generated_query_duration"
    )
    scheduled_samples_per_s: Number = Field(description="result_scheduled_samples_per_sec, to six digits")
    latency_s: Latencies


class ServerRun(Strict):
    """One Server run: the settings of the generator, the servers, and the published results."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    seed: Annotated[int, Field(ge=0, lt=2**64, strict=True)] = Field(description="schedule_rng_seed")
    target_qps: Annotated[float, Field(ge=1e-4, le=1e6, allow_inf_nan=False, strict=True)]
    min_query_count: Count
    min_duration_s: Number
    gpus: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    max_batch: Annotated[int, Field(ge=1, le=1024, strict=True)]
    batch_timeout_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False, strict=True)]
    offline_samples_per_s: Number | None = Field(default=None, description="of the same GPUs and batch, in Offline")
    fitted_service_s: Number | None = Field(default=None, description="of a full batch")
    service_s_by_batch: list[Number] | None = Field(
        default=None, max_length=1024, description="of batches of 1, 2, ... max_batch"
    )
    closes: Literal["when a GPU is free", "when full or timed out"] = "when a GPU is free"
    timer: Literal["from the oldest", "from the last close", "from the last close, as polled"] = "from the oldest"
    within: Annotated[float, Field(gt=0, lt=1, strict=True)] | None = Field(
        default=None, description="largest relative error of the latencies that still agrees; not held to one if absent"
    )
    published: Published
    note: str = ""

    @model_validator(mode="after")
    def can_be_replayed(self) -> Self:
        ways = ("offline_samples_per_s", "fitted_service_s", "service_s_by_batch")
        if sum(getattr(self, name) is not None for name in ways) != 1:
            raise ValueError(f"exactly one of {', '.join(ways)} is needed")
        if self.service_s_by_batch is not None and len(self.service_s_by_batch) != self.max_batch:
            raise ValueError(f"service_s_by_batch: expected {self.max_batch} times, one for each size up to max_batch")
        if self.closes == WHEN_FREE and self.timer != "from the oldest":
            raise ValueError(f"timer: {self.timer!r} needs 'closes: {AHEAD}'")
        if not 1e-6 <= self.service_s <= 86_400:
            raise ValueError(f"the service time is {self.service_s:.2g} s, expected a microsecond to a day")
        queries = max(self.target_qps * self.min_duration_s, self.min_query_count)
        if not queries <= MOST:
            raise ValueError(f"target_qps x min_duration_s: expected at most {MOST:g} queries")
        lasts = queries / self.target_qps + self.slowest_s * queries / self.gpus
        if not lasts <= LONGEST:
            raise ValueError(f"this run would last {lasts:.2g} s, expected at most {LONGEST:g}")
        return self

    @property
    def service_s(self) -> float:
        """Seconds of a batch: fitted, or from the throughput of Offline, where all GPUs are busy with full batches."""
        if self.fitted_service_s is not None:
            return self.fitted_service_s
        if self.service_s_by_batch is not None:
            return self.service_s_by_batch[-1]
        assert self.offline_samples_per_s is not None
        return self.gpus * self.max_batch / self.offline_samples_per_s

    @property
    def slowest_s(self) -> float:
        """Seconds of a GPU for one query at most, when many wait: batches that close by themselves may be small."""
        times = self.service_s_by_batch or [self.service_s] * self.max_batch
        return (
            max(seconds / n for n, seconds in enumerate(times, 1))
            if self.closes == AHEAD
            else self.service_s / self.max_batch
        )


class ServerRuns(Strict):
    """A file of published runs."""

    format: Literal["meltpoint-mlperf/1"]
    source: Annotated[str, Field(min_length=1)]
    runs: Annotated[list[ServerRun], Field(min_length=1, max_length=100)]


def mlperf_study(progress: Progress | None = None, file: Path = SHIPPED) -> Study:
    """The study of a file of published runs. Raises BadInput for any other file."""
    published = read_runs(file)
    rows: list[Row] = []
    for number, run in enumerate(published.runs):
        rows += rows_of_run(run)
        if progress is not None:
            progress((number + 1) / len(published.runs))
    return Study(
        name="mlperf",
        title="MLPerf Server runs, replayed",
        question="Do the published arrivals, GPUs and batching give the published latencies?",
        source=published.source,
        rows=rows,
        notes=[
            "The arrivals are those of the published run, made again from its seed.",
            "Without times by size a batch takes one constant time; the smallest latency depends on a single batch "
            "and is not held to a bound. This close to capacity, 1 % of service time changes latencies by many per "
            "cent: see the rows that say so.",
            *(f"{run.name}: {run.note}." for run in published.runs if run.note),
        ],
    )


def read_runs(file: Path) -> ServerRuns:
    """The published runs in a file. Raises BadInput with the key, the value and what was expected."""
    try:
        document = read_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        raise BadInput(f"this is not a readable JSON file of MLPerf runs ({wrong})", file=file) from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else document
        raise BadInput("this is not a file of MLPerf runs", file=file, key="format", value=found, expected=FORMAT)
    try:
        return ServerRuns.model_validate(document)
    except ValidationError as wrong:
        raise in_file(explained(wrong, document, ServerRuns), file) from None


def rows_of_run(run: ServerRun) -> list[Row]:
    """The rows of one published run: its schedule, its latencies, and these with a slightly longer service time."""
    arrivals, duration = arrivals_of(run)
    published, actual = run.published, run.published.latency_s.model_dump()
    rate = six_digits((len(arrivals) - 1) / (arrivals[-1] / 1e9)) if arrivals[-1] > 0 else math.nan
    rows = [
        Row(run.name, figure, unit, known, got, low=known, high=known, note=f"it is {got}, and must be exactly {known}")
        for figure, unit, known, got in (
            ("queries", "", published.queries, len(arrivals)),
            ("length of the schedule", "ns", published.duration_ns, duration),
            ("scheduled rate", "1/s", six_digits(published.scheduled_samples_per_s), rate),
        )
        if known is not None
    ]
    predicted, longer = (reported_latencies(replay_run(run, arrivals, run.service_s * more)) for more in (1.0, LONGER))
    for name, got in predicted.items():
        known = actual[name]
        within = math.nan if run.within is None or name == "min" else run.within
        bounds = {"low": known * (1 - within), "high": known * (1 + within)}
        rows.append(Row(run.name, f"latency {name}", "s", known, got, **bounds, note=f"{got / known - 1:+.1%}"))
    for name in ("mean", "p50", "p99"):
        note = f"{longer[name] / predicted[name] - 1:+.1%} by 1 % of service time"
        rows.append(Row(run.name, f"latency {name}, service 1 % longer", "s", actual[name], longer[name], note=note))
    return rows + (rows_of_uncertainty(run, arrivals) if run.fitted_service_s is None else [])


def rows_of_uncertainty(run: ServerRun, arrivals: NDArray[np.int64]) -> list[Row]:
    """Whether published latencies lie in the range that the uncertainty of a predicted service time leads to.

    A row's prediction is the value of the range that is closest to the published one.
    """
    shorter, longer = (
        reported_latencies(replay_run(run, arrivals, run.service_s * (1 + u))) for u in (-UNSURE, UNSURE)
    )
    rows = []
    for name in ("mean", "p50", "p99"):
        known, low, high = run.published.latency_s.model_dump()[name], shorter[name], longer[name]
        closest = min(max(known, low), high)
        note = f"predicted from {low:.3g} to {high:.3g} s"
        figure = f"latency {name}, service {100 * UNSURE:g} % shorter to {100 * UNSURE:g} % longer"
        rows.append(Row(run.name, figure, "s", known, closest, known, known, note))
    return rows


def six_digits(value: float) -> float:
    """As the load generator prints a rate."""
    return float(f"{value:.6g}")


def arrivals_of(run: ServerRun) -> tuple[NDArray[np.int64], int]:
    """The run's arrivals in nanoseconds, and the length of its schedule."""
    return loadgen_arrivals(run.seed, run.target_qps, round(run.min_duration_s * 1e9), run.min_query_count)


def replay_run(run: ServerRun, arrivals: NDArray[np.int64], service: float, *, engine: str = "compiled") -> Run:
    """The arrivals served by the simulator; a full batch takes `service` seconds."""
    return simulate(mlperf_scenario(run, arrivals, service), engine=engine)


def mlperf_scenario(run: ServerRun, arrivals: NDArray[np.int64], service: float) -> Scenario:
    """The published run as a scenario: a recording of exact arrivals, one pool, and nobody who leaves or retries."""
    n = len(arrivals)
    came = arrivals / 1e9
    # Queries still waiting when the last has come are served once the last timeout is over.
    drained = float(came[-1]) + run.batch_timeout_s + 2 * service + run.slowest_s * n / run.gpus * LONGER
    document: dict[str, Any] = {
        "title": run.name,
        "horizon": f"{drained + 1!r} s",
        "tiers": {"all": {"share": 1}},
        "features": {"image": {"share": 1, "pool": "gpus", "slo": "20 s", "spec": {"model": "measured"}}},
        "pools": {
            "gpus": {
                "gpus": run.gpus,
                "max_batch": run.max_batch,
                "linger": f"{run.batch_timeout_s!r} s",
                "closes": run.closes,
                "timer": run.timer,
            }
        },
        "demand": {"kind": "trace", "file": "arrivals"},
        "behaviour": {"patience": {"kind": "never"}},
        "serving": {"noise": {"kind": "none"}},
    }
    times = [seconds * service / run.service_s for seconds in run.service_s_by_batch or []]
    profile = profile_of_sizes("measured", times or [service] * run.max_batch)
    return Scenario.from_dict(document, profiles={"measured": profile}, traces={"arrivals": recording(came, run.name)})


def reported_latencies(run: Run) -> dict[str, float]:
    """Latencies in seconds as the load generator reports them: quantile q of n is the floor(n q)-th, from 0, sorted."""
    served = run.requests
    assert (served["outcome"] == "served").all(), "the horizon is after the last image"
    sorted_ = np.sort((served["finished"] - served["arrived"]).to_numpy(dtype=np.float64))
    found = {name: float(sorted_[int(len(sorted_) * q)]) for name, q in QUANTILES.items()}
    return {"min": float(sorted_[0]), "mean": float(sorted_.mean()), **found, "max": float(sorted_[-1])}
