"""The profile file: its schema, field by field as profiles/README.md describes it, and its hash."""

import hashlib
import json
import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import ConfigDict, Field, model_validator

from sim.schema import Strict

FORMAT = "meltpoint-profile/1"

LARGEST = 1e12  # of any figure, in its unit: sums and products of such figures are still numbers
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
NotNegative = Annotated[float, Field(ge=0, le=LARGEST)]
Microseconds = Annotated[int, Field(gt=0, le=10**15)]
Size = Annotated[int, Field(gt=0, le=10_000_000)]

# Components that run once a step; the others run once a batch, and "pipeline" is the whole batch at once.
EACH_STEP = ("denoise", "decode")
P10_TO_P90 = 2.5631  # of a normal, in standard deviations


class Exact(Strict):
    """A part of a profile: JSON has types of its own, so `true` is not 1 and "5" is not 5."""

    model_config = ConfigDict(strict=True)


class Quantiles(Exact):
    """Latency of one batch in seconds, where raw samples were not published."""

    p50: Positive
    p10: Positive | None = None
    p90: Positive | None = None

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if not (self.p10 or self.p50) <= self.p50 <= (self.p90 or self.p50):
            raise ValueError("quantiles ascend: p10 <= p50 <= p90")
        return self


class Point(Exact):
    """One measured cell: a component (or the whole pipeline) for one batch at one size."""

    component: Literal["pipeline", "text", "vae_encode", "denoise", "vae_decode", "prefill", "decode"] = "pipeline"
    side: Size
    steps: Size = 1
    frames: Size = 1
    batch: Size
    status: Literal["ok", "unsettled", "oom"] = "ok"
    samples_us: list[Microseconds] | None = Field(default=None, min_length=1)
    visits_us: list[Annotated[list[Microseconds], Field(min_length=1)]] | None = Field(default=None, min_length=1)
    latency_s: Quantiles | None = None
    host_us: list[Microseconds] | None = None
    first_s: Positive | None = None
    teraflop: NotNegative | None = None
    power_w: Positive | None = None
    memory_gib: Positive | None = None
    clock_mhz: Positive | None = None
    temperature_c: Annotated[float, Field(ge=-100, le=300)] | None = None
    throttled: list[str] = []

    @model_validator(mode="after")
    def timed_one_way(self) -> Self:
        given = sum(timing is not None for timing in (self.samples_us, self.visits_us, self.latency_s))
        if given != (0 if self.status == "oom" else 1):
            raise ValueError(
                "a point is timed in one way: samples_us or visits_us (raw, integer microseconds) or latency_s "
                "(quantiles, seconds); with status 'oom' in none"
            )
        return self

    def samples(self) -> np.ndarray:
        """Raw batch latencies in seconds, all visits together; empty where only quantiles were published."""
        raw = [s for visit in self.visits_us for s in visit] if self.visits_us else self.samples_us or []
        return np.asarray(raw, dtype=float) * 1e-6

    @property
    def median(self) -> float:
        """Median batch latency, seconds; with visits the median of theirs, so that a long one does not count twice."""
        if self.latency_s is not None:
            return self.latency_s.p50
        if self.visits_us:
            return float(np.median([np.median(visit) for visit in self.visits_us])) * 1e-6
        return float(np.median(self.samples())) if self.samples_us else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of log latency between visits (else between samples); nan where only a median is known."""
        if self.visits_us and len(self.visits_us) > 1:
            return float(np.std(np.log([np.median(visit) for visit in self.visits_us]), ddof=1))
        if self.samples_us and len(self.samples_us) > 1:
            return float(np.std(np.log(self.samples_us), ddof=1))
        if self.latency_s is not None and self.latency_s.p10 and self.latency_s.p90:
            return math.log(self.latency_s.p90 / self.latency_s.p10) / P10_TO_P90
        return math.nan


class Hardware(Exact):
    """The GPU (or processor) that was measured."""

    gpu: str
    count: Annotated[int, Field(ge=1)] = 1
    memory_gib: Positive | None = None
    power_limit_w: Positive | None = None
    idle_power_w: NotNegative | None = None
    idle_power_source: str = ""


class Ceiling(Exact):
    """The rates of plain matrix products and copies on this card, measured just before the profile."""

    matmul_tflops: Positive
    copy_gb_per_s: Positive


class Loading(Exact):
    """Seconds to read the weights into the device's memory, as a replica does when it starts."""

    gib: Positive
    from_disk_s: Positive
    from_page_cache_s: Positive


class Anchor(Exact):
    """One workload measured again beside every point: it shows a machine that drifts."""

    work: str
    visits_us: list[Microseconds] = Field(min_length=1)

    @property
    def moved(self) -> float:
        """Largest departure of a visit's median from the median of all, as a share."""
        middle = float(np.median(self.visits_us))
        return max(abs(visit / middle - 1.0) for visit in self.visits_us)


class Check(Exact):
    """A whole pipeline, measured end to end, beside what its components add up to. Seconds."""

    side: Size
    steps: Size
    frames: Size
    batch: Size
    measured_s: Positive
    predicted_s: Positive


class HeldOut(Exact):
    """Error of the interpolation at points it was not given: absolute relative errors, median and largest."""

    points: Size
    median: NotNegative
    largest: NotNegative

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.median > self.largest:
            raise ValueError("the median of errors is at most the largest of them")
        return self


class ProfileFile(Exact):
    """A whole profile file."""

    format: Literal["meltpoint-profile/1"]
    name: str = Field(min_length=1)
    model: str
    feature: Literal["image", "edit", "video", "chat"]
    provenance: Literal["measured", "published", "assumed"]
    source: str = Field(min_length=1)
    method: str = Field(min_length=1)
    date: str
    precision: str
    hardware: Hardware
    software: dict[str, str] = {}
    environment: dict[str, Any] = {}
    architecture: dict[str, Any] = {}
    parameters: dict[str, Annotated[int, Field(gt=0, le=LARGEST)]] = {}
    guidance: Annotated[int, Field(ge=1, le=2)] = 1
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    overhead_s: NotNegative = 0.0
    load_s: list[Positive] = []
    loading: Loading | None = None
    ceiling: Ceiling | None = None
    anchor: Anchor | None = None
    checks: list[Check] = []
    held_out: dict[Literal["batch", "side"], HeldOut] = {}
    marks: list[str] = []
    points: list[Point] = Field(min_length=1)
    sha256: str | None = None

    @model_validator(mode="after")
    def points_are_distinct_and_of_one_sort(self) -> Self:
        seen = set()
        for p in self.points:
            key = (p.component, p.side, p.steps, p.frames, p.batch)
            if key in seen:
                raise ValueError(f"two points for {p.component} at side {p.side}, frames {p.frames}, batch {p.batch}")
            seen.add(key)
        if len({p.component == "pipeline" for p in self.points}) > 1:
            raise ValueError("points are of whole pipelines or of components, not of both")
        return self


def digest(document: dict[str, Any]) -> str:
    """SHA-256 of a profile's content, however it is laid out; its own 'sha256' left aside."""
    content = {key: value for key, value in document.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def laid_out(document: dict[str, Any]) -> str:
    """A profile as text, one point a line, with its hash: small, and plain to read and to compare."""
    body = {key: value for key, value in document.items() if key not in ("points", "sha256")}
    head = json.dumps(body, indent=1, allow_nan=False).removesuffix("\n}")
    points = ",\n".join("  " + json.dumps(point, allow_nan=False) for point in document["points"])
    return f'{head},\n "points": [\n{points}\n ],\n "sha256": "{digest(document)}"\n}}\n'
