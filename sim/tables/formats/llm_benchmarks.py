"""Results of benchmarks of LLM servers: vLLM's `bench serve`, SGLang's `bench_serving`, others' records."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import BadInput
from sim.tables.files import Broken, Progress, RowBlock
from sim.tables.formats.reader import (
    Head,
    LoadPoint,
    Reader,
    Requests,
    holds,
    in_chunks,
    json_document,
    json_lines,
    json_records,
    records_block,
    timed,
)

RUNS = ("benchmarks", "experiments")  # of GuideLLM, of GenAI-Perf
PER_SECOND = {"benchmarks": 1.0, "experiments": 1e9}
OPEN = 1.1  # in flight on average: requests that overlap below it are sent at a rate, whatever was answered
ENDED = {"successful": 200, "errored": 500, "incomplete": 0}  # of GuideLLM, as statuses
COMPONENTS = {"prefill": "ttft", "decode": "itl", "pipeline": "e2el"}


class VllmBenchmark(Reader):
    """`vllm bench serve --save-result`: one JSON object of rates and milliseconds; with --save-detailed lists too."""

    name = "vllm-bench"
    title = "the result of vLLM's bench serve (JSON)"

    def recognises(self, head: Head) -> bool:
        return {"request_throughput", "completed", "num_prompts"} <= set(head.record or head.document or head.listed)

    def requests(self, head: Head) -> Requests | None:
        if not isinstance(head.document.get("start_times"), list):
            return None
        queued = isinstance(head.document.get("queue_times"), list)
        waited = np.array(head.document["queue_times"], dtype=float) if queued else np.zeros(0)
        notes = ["times are seconds of a clock without a date"]
        if waited.any():
            most = head.document.get("max_concurrency")
            notes.append(
                f"the client sent {most or 'only some'} at a time: {(waited > 1e-3).sum()} requests waited in it, "
                f"{waited.mean():.3g} s on average over all; arrivals are the starts less that wait"
            )
        return Requests(
            blocks=detailed_blocks,
            stamped="start",
            extra={"duration_s": ("duration", 1.0), "client_wait_s": ("wait", 1.0), "status": ("status", 1.0)},
            unit="s",
            user=None,
            kind=None,
            notes=tuple(notes),
        )

    def load_points(self, path: Path) -> list[LoadPoint]:
        runs = runs_in(path)
        points = [(number, point) for number, run in enumerate(runs, 1) for point in benchmark_points(run)]
        return [replace(one, row=f"run {number}, {one.row}") if len(runs) > 1 else one for number, one in points]

    def figures(self, paths: Sequence[Path]) -> str:
        return "; ".join(map(benchmark_figures, runs_in(paths[0])))


def runs_in(path: Path) -> list[dict[str, Any]]:
    """The results in a file: one object over one or more lines, a list of them, or one a line, as runs are appended."""
    one = json_document(path)
    return [one] if one else json_records(path)


def detailed_blocks(path: Path, broken: list[Broken], progress: Progress) -> Iterator[RowBlock]:
    """A row per prompt, in order of its arrival at the client. A failure has no latency."""
    found = json_document(path)
    starts = np.array(found["start_times"], dtype=float)
    n = len(starts)
    waits = np.array(found.get("queue_times") or np.zeros(n), dtype=float)
    lasts, errors = found.get("latencies") or [None] * n, found.get("errors") or [""] * n
    if not len(waits) == len(lasts) == len(errors) == n or not n:
        expected = "start_times, latencies, queue_times and errors of one length"
        raise BadInput("the lists of this result differ in length", file=path, expected=expected)
    came = starts - waits
    order = np.argsort(came, kind="stable")
    rows = [
        {
            "time": float(came[place] - came.min()),
            "duration": None if errors[place] else lasts[place],
            "wait": float(waits[place]),
            "status": status_in(str(errors[place])) if errors[place] else 200,
        }
        for place in order.tolist()
    ]
    yield records_block(rows, (order + 1).tolist(), ("time", "duration", "wait", "status"))


def status_in(error: str) -> int:
    """The status that an error's text names; 500 where it names none."""
    return next((code for code in (429, 503, 504, 502) if str(code) in error), 500)


def benchmark_points(found: dict[str, Any]) -> list[LoadPoint]:
    """What a result says of latency, at its concurrency: the limit that was set, else the mean by Little's law."""
    most = found.get("max_concurrency")
    return [
        LoadPoint(
            component=component,
            concurrency=float(most) if most else None,
            rate=rate_of(found),
            latency=latency,
            throughput=found.get("request_throughput"),
            errors=share_failed(found),
            row=name,
        )
        for component, name in COMPONENTS.items()
        if (latency := latency_of(found, name))
    ]


def rate_of(found: dict[str, Any]) -> float | None:
    """The rate at which requests were sent; None where it was unlimited ("inf") or is missing."""
    rate = found.get("request_rate")
    return float(rate) if isinstance(rate, int | float) and np.isfinite(rate) else None


def latency_of(found: dict[str, Any], name: str) -> dict[str, float]:
    """The figures of a latency that a result has, in seconds: p50, mean and p90."""
    keys = {"p50": f"median_{name}_ms", "mean": f"mean_{name}_ms", "p90": f"p90_{name}_ms"}
    return {q: found[key] / 1000 for q, key in keys.items() if isinstance(found.get(key), int | float)}


def share_failed(found: dict[str, Any]) -> float | None:
    failed, done = found.get("failed"), found.get("completed")
    if isinstance(failed, int) and isinstance(done, int) and failed + done > 0:
        return failed / (failed + done)
    return None


def benchmark_figures(found: dict[str, Any]) -> str:
    done, failed = found.get("completed", 0), found.get("failed", 0)
    parts = [f"{done} requests answered, {failed} failed" if failed else f"{done} requests answered"]
    if isinstance(found.get("request_throughput"), int | float):
        parts.append(f"{found['request_throughput']:.4g} a second")
    means = ("mean_e2el_ms", "mean_e2e_latency_ms", "mean_ttft_ms", "mean_tpot_ms")
    parts += [
        f"{key.removesuffix('_ms').replace('_', ' ')} {found[key] / 1000:.4g} s"
        for key in means
        if isinstance(found.get(key), int | float)
    ]
    if found.get("max_concurrency"):
        parts.append(f"at most {found['max_concurrency']} in flight")
    if isinstance(found.get("concurrency"), int | float):
        parts.append(f"{found['concurrency']:.4g} in flight on average")
    return ", ".join(parts)


class SglangBenchmark(Reader):
    """SGLang's `bench_serving`: one JSON object per run, one run a line."""

    name = "sglang-bench"
    title = "the results of SGLang's bench_serving (JSON lines)"

    def recognises(self, head: Head) -> bool:
        return {"request_throughput", "completed", "mean_e2e_latency_ms"} <= set(
            head.record or head.document or head.listed
        )

    def load_points(self, path: Path) -> list[LoadPoint]:
        return [sglang_point(run, number) for number, run in enumerate(runs_in(path), 1)]

    def figures(self, paths: Sequence[Path]) -> str:
        return "; ".join(map(benchmark_figures, runs_in(paths[0])))


def sglang_point(run: dict[str, Any], number: int) -> LoadPoint:
    """`concurrency` of a run is the sum of latencies over the duration: the mean in flight."""
    return LoadPoint(
        concurrency=run.get("max_concurrency") or run.get("concurrency"),
        rate=rate_of(run),
        latency=latency_of(run, "e2e_latency"),
        throughput=run.get("request_throughput"),
        row=f"run {number}",
    )


class AiperfRecords(Reader):
    """AIPerf's `profile_export.jsonl`: one record per request, epoch nanoseconds, warm-up and profiling phases."""

    name = "aiperf-records"
    title = "AIPerf's records of requests (JSON lines)"

    def recognises(self, head: Head) -> bool:
        about = head.record.get("metadata")
        return isinstance(about, dict) and "request_start_ns" in about

    def requests(self, head: Head) -> Requests:
        return requests_in(aiperf_rows, "ns", 1e9)

    def load_points(self, path: Path) -> list[LoadPoint]:
        return [point_of([row for _, row in aiperf_rows(path, [], lambda _: None)], 1e9, path)]


class BenchmarkRequests(Reader):
    """Results with a list of requests for each run: GuideLLM's JSON, and `profile_export.json` of GenAI-Perf."""

    name = "benchmark-requests"
    title = "the requests of GuideLLM or GenAI-Perf (JSON)"

    def recognises(self, head: Head) -> bool:
        return any(holds(head.document.get(key), "requests") for key in RUNS)

    def requests(self, head: Head) -> Requests:
        per = PER_SECOND[run_key(head.document)]
        runs = len(head.document[run_key(head.document)])
        notes = (f"the requests of {runs} runs, one after another",) * (runs > 1)
        return replace(requests_in(run_rows, "ns" if per > 1 else "s", per), notes=notes)

    def load_points(self, path: Path) -> list[LoadPoint]:
        rows = [row for _, row in run_rows(path, [], lambda _: None)]
        per = PER_SECOND[run_key(json_document(path))]
        runs = [[row for row in rows if row["run"] == run] for run in dict.fromkeys(row["run"] for row in rows)]
        return [point_of(one, per, path) for one in runs]


def run_key(document: dict[str, Any]) -> str:
    return next(key for key in RUNS if key in document)


def run_rows(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    """A row per request, in order of its start; seconds of GuideLLM, nanoseconds of GenAI-Perf."""
    document, rows = json_document(path), []
    for run, one in enumerate(document[run_key(document)]):
        sent = one["requests"]
        if isinstance(sent, dict):  # GuideLLM: those cut off at the end have no duration
            found = [
                (r["start_time"], r["end_time"], code) for name, code in ENDED.items() for r in sent.get(name) or []
            ]
        else:
            found = [(r["timestamp"], max(r["response_timestamps"], default=None), 200) for r in sent]
        rows += [(start, end, code, run) for start, end, code in found if start is not None]
    for number, (start, end, code, run) in enumerate(sorted(rows, key=lambda row: row[0]), 1):
        lasted = end - start if code == 200 and end is not None else None
        status = 500 if code == 200 and end is None else code or ""
        yield number, {"time": start, "ended": end or start, "duration": lasted, "status": status, "run": run}


def requests_in(rows: Any, unit: str, per: float) -> Requests:
    """How to read records of requests with their instants and durations in one unit."""
    return Requests(
        blocks=lambda *how: in_chunks(rows(*how), ("time", "duration", "status", "phase")),
        stamped="start",
        extra=timed("duration", per=per),
        unit=unit,
        leave_out={"phase": ("^warmup$", "requests of the warm-up")},
        user=None,
        kind=None,
    )


def point_of(rows: list[dict[str, Any]], per: float, path: Path) -> LoadPoint:
    """One row of a load test from the requests of a run, without those of its warm-up; per: units in a second."""
    rows = [row for row in rows if row.get("phase") != "warmup"]
    good = [row for row in rows if row["status"] == 200 and row["duration"]]
    if not good:
        raise BadInput("no request of this benchmark was answered", file=path)
    begins, ends = (np.array([float(row[name]) for row in rows]) for name in ("time", "ended"))
    order = np.argsort(begins)
    alone = bool((begins[order][1:] >= ends[order][:-1]).all())
    span = (ends.max() - begins.min()) / per
    seconds = np.array([row["duration"] for row in good]) / per
    flying = float((ends - begins).sum() / per / span)
    latency = {"mean": seconds.mean(), "p50": np.median(seconds), "p90": np.quantile(seconds, 0.9)}
    return LoadPoint(
        concurrency=1.0 if alone else flying if flying > OPEN else None,
        rate=len(rows) / span if not alone and flying <= OPEN else None,
        latency={name: float(value) for name, value in latency.items()},
        throughput=float(len(good) / span),
        row=f"{len(good)} of {len(rows)} requests answered, the warm-up left out",
    )


def aiperf_rows(path: Path, broken: list[Broken], progress: Progress) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, record in json_lines(path, broken, progress):
        about, error = record.get("metadata") or {}, record.get("error") or {}
        start, end = about.get("request_start_ns"), about.get("request_end_ns")
        cancelled = bool(about.get("was_cancelled"))
        failed = bool(error) or cancelled
        yield (
            number,
            {
                "time": start,
                "ended": end,
                "duration": None if failed or end is None or start is None else end - start,
                "status": 499 if cancelled else (error.get("code") or 500) if error else 200,
                "phase": about.get("benchmark_phase", ""),
            },
        )
