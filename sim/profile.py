"""A measured latency profile: how long a GPU takes for a batch, at what power, and where that is known from."""

import hashlib
import itertools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sim.errors import BadInput
from sim.request import Spec

FORMAT = "meltpoint-profile/1"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Quantiles(Strict):
    """Latency of one batch in seconds, where raw samples were not published."""

    p50: Positive
    p10: Positive | None = None
    p90: Positive | None = None


class Point(Strict):
    """One measured cell: a spec at one batch size. See profiles/README.md for every field's unit."""

    side: int = Field(gt=0)
    steps: int = Field(gt=0)
    frames: int = Field(default=1, gt=0)
    batch: int = Field(gt=0)
    samples_us: list[Annotated[int, Field(gt=0)]] | None = Field(default=None, min_length=1)
    latency_s: Quantiles | None = None
    power_w: Positive | None = None
    memory_gib: Positive | None = None

    @model_validator(mode="after")
    def timed_one_way(self) -> Self:
        if (self.samples_us is None) == (self.latency_s is None):
            raise ValueError("a point has either samples_us (raw, integer microseconds) or latency_s (quantiles)")
        return self

    @property
    def median(self) -> float:
        """Median batch latency, seconds."""
        if self.latency_s is not None:
            return self.latency_s.p50
        return float(np.median(np.asarray(self.samples_us))) * 1e-6

    @property
    def spread(self) -> float:
        """Standard deviation of log latency; nan where only a median is known."""
        if self.samples_us is not None and len(self.samples_us) > 1:
            return float(np.std(np.log(self.samples_us), ddof=1))
        if self.latency_s is not None and self.latency_s.p10 and self.latency_s.p90:
            return math.log(self.latency_s.p90 / self.latency_s.p10) / 2.5631  # p90 - p10 of a normal, in sigmas
        return math.nan


class Hardware(Strict):
    gpu: str
    count: int = 1
    memory_gib: Positive | None = None
    power_limit_w: Positive | None = None
    idle_power_w: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    idle_power_source: str = ""


class ProfileFile(Strict):
    """The profile file, as profiles/README.md describes it."""

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
    points: list[Point] = Field(min_length=1)


Key = tuple[int, int, int]  # side, steps, frames


@dataclass(frozen=True)
class Profile:
    """A profile file, checked, with its points ready to interpolate.

    Between measured batch sizes the median latency is interpolated linearly, between measured sides in pixels, and
    between steps and frames linearly; a running maximum over batch sizes keeps noise from making more work faster.
    """

    file: ProfileFile
    sha256: str
    extrapolate: bool = False
    curves: dict[Key, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(repr=False, default_factory=dict)

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def largest_batch(self) -> int:
        return max(p.batch for p in self.file.points)

    @property
    def idle_power(self) -> float:
        """Watts of a GPU that holds the model and serves nothing; nan where the file does not say."""
        power = self.file.hardware.idle_power_w
        return math.nan if power is None else power

    def batch_seconds(self, spec: Spec, size: int) -> float:
        """Median seconds a GPU is busy with a batch of `size` images at `spec`.

        Raises BadInput outside the measured grid, unless this profile was loaded to extrapolate; then the nearest
        measured point is scaled with the work (batch x pixels x steps x frames), an assumption a run is marked with.
        """
        return self._between(spec, size, 1)

    def power(self, spec: Spec, size: int) -> float:
        """Watts drawn while serving such a batch; nan where the file has no power."""
        return self._between(spec, size, 2)

    def inside(self, spec: Spec, size: int) -> bool:
        """Whether batch_seconds needs no extrapolation."""
        return not math.isnan(self._interpolated(spec, size, 1))

    def _between(self, spec: Spec, size: int, column: int) -> float:
        if size < 1:
            raise BadInput("a batch holds at least one image", key="size", value=size)
        value = self._interpolated(spec, size, column)
        if not math.isnan(value) or (column == 2 and self.inside(spec, size)):
            return value
        if not self.extrapolate:
            raise BadInput(
                f"profile {self.name!r} was not measured there, and 'extrapolate: true' was not asked for",
                key=f"{spec.label}, batch {size}",
                expected=f"within {self.extent()}",
            )
        return self._extrapolated(spec, size, column)

    def _interpolated(self, spec: Spec, size: int, column: int) -> float:
        wanted = (spec.side**2, spec.steps, spec.frames)
        axes = [sorted({key[i] for key in self.curves}) for i in range(3)]
        brackets = [bracket([x * x for x in axes[0]] if i == 0 else axes[i], wanted[i]) for i in range(3)]
        if not all(brackets):
            return math.nan
        total = 0.0
        for corner in itertools.product(*brackets):
            weight = math.prod(w for _, w in corner)
            key = (math.isqrt(corner[0][0]), corner[1][0], corner[2][0])
            batches, *columns = self.curves.get(key, (np.array([0]), np.array([math.nan]), np.array([math.nan])))
            if not batches[0] <= size <= batches[-1]:
                return math.nan
            total += weight * float(np.interp(size, batches, columns[column - 1]))
        return total

    def _extrapolated(self, spec: Spec, size: int, column: int) -> float:
        def work(key: Key, batch: float) -> float:
            return key[0] ** 2 * key[1] * key[2] * batch

        wanted = (spec.side, spec.steps, spec.frames)
        measured = [(key, b, v) for key, c in self.curves.items() for b, v in zip(c[0], c[column], strict=True)]
        key, batch, value = min(measured, key=lambda m: abs(math.log(work(wanted, size) / work(m[0], m[1]))))
        return float(value) * (1.0 if column == 2 else work(wanted, size) / work(key, batch))

    def extent(self) -> str:
        """The measured grid in words, for messages."""
        names = ("side", "steps", "frames")
        parts = [f"{n} {low_high([k[i] for k in self.curves])}" for i, n in enumerate(names)]
        return ", ".join([*parts, f"batch {low_high([p.batch for p in self.file.points])}"])


def low_high(values: list[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def bracket(axis: list[int], x: int) -> list[tuple[int, float]]:
    """The measured neighbours of x on a sorted axis with their weights; empty where x lies outside."""
    if x in axis:
        return [(x, 1.0)]
    if not axis[0] < x < axis[-1]:
        return []
    above = int(np.searchsorted(axis, x))
    low, high = axis[above - 1], axis[above]
    return [(low, (high - x) / (high - low)), (high, (x - low) / (high - low))]


def curves_of(points: list[Point]) -> dict[Key, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per (side, steps, frames): batch sizes, median seconds (made monotone) and watts."""
    cells: dict[Key, dict[int, Point]] = {}
    for p in points:
        cell = cells.setdefault((p.side, p.steps, p.frames), {})
        if p.batch in cell:
            raise ValueError(f"two points at side {p.side}, steps {p.steps}, frames {p.frames}, batch {p.batch}")
        cell[p.batch] = p
    curves = {}
    for key, cell in cells.items():
        batches = sorted(cell)
        seconds = np.maximum.accumulate([cell[b].median for b in batches])
        watts = np.array([cell[b].power_w or math.nan for b in batches])
        curves[key] = (np.array(batches), seconds, watts)
    return curves


def profile_from(document: dict, *, extrapolate: bool = False) -> Profile:
    """A Profile from a profile file's content; raises pydantic's ValidationError or ValueError."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    checked = ProfileFile.model_validate(document)
    return Profile(checked, hashlib.sha256(canonical).hexdigest(), extrapolate, curves_of(checked.points))


def constant_profile(name: str, seconds: float, *, largest_batch: int = 1, per_image: float = 0.0) -> Profile:
    """An assumed profile for checks by hand: n images take `seconds` + n x `per_image`, at 1024 px and 28 steps."""
    points = [
        {"side": 1024, "steps": 28, "batch": n, "latency_s": {"p50": seconds + n * per_image}}
        for n in range(1, largest_batch + 1)
    ]
    return profile_from(
        {
            "format": FORMAT,
            "name": name,
            "model": name,
            "feature": "image",
            "provenance": "assumed",
            "source": "a constant, for checks by hand",
            "method": "none",
            "date": "",
            "precision": "",
            "hardware": {"gpu": "none"},
            "points": points,
        }
    )


def load_profile(path: Path, *, extrapolate: bool = False) -> Profile:
    """Read and check a profile file. Raises BadInput with file, key, value and what was expected."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse_constant)
    except FileNotFoundError:
        raise BadInput("there is no such profile", file=path) from None
    except (UnicodeDecodeError, json.JSONDecodeError, ValueError, OSError) as wrong:
        raise BadInput(f"this is not a readable JSON profile ({wrong})", file=path) from None
    if not isinstance(document, dict):
        raise BadInput("this profile is not a JSON object", file=path, value=document, expected="{...}")
    if document.get("format") != FORMAT:
        raise BadInput("unknown profile format", file=path, key="format", value=document.get("format"), expected=FORMAT)
    try:
        return profile_from(document, extrapolate=extrapolate)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            "this profile does not fit the format", file=path, key=key, value=first["input"], expected=first["msg"]
        ) from None
    except ValueError as wrong:
        raise BadInput(str(wrong), file=path, key="points") from None


def refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number a profile may hold")
