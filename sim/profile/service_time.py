"""The service time of a batch between measured points, and the error of that interpolation at points left out.

A pipeline measured whole is interpolated linearly (PipelineTimes). One measured by components is put together from them
(ComponentTimes): T = overhead + text(B) + vae_encode(B, side) + S denoise(B, side, frames) + vae_decode(B, side,
frames), with S the steps that run (ceil(steps x strength) for an edit) and every denoise measured at guidance x B.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from sim.model.request import Spec
from sim.profile.file import EACH_STEP, HeldOut, Point, ProfileFile

Floats = NDArray[np.float64]
Size = tuple[int, int]  # side, frames


@dataclass(frozen=True)
class BatchTimes:
    """One size at its measured batches: ascending, with median seconds (made monotone) and watts (nan: unknown)."""

    batches: Floats
    seconds: Floats
    watts: Floats

    def at(self, batch: float, values: Floats) -> float:
        """Linear between measured batches, nan outside them."""
        if not self.batches[0] <= batch <= self.batches[-1]:
            return math.nan
        return float(np.interp(batch, self.batches, values))

    def without(self, place: int) -> "BatchTimes":
        return BatchTimes(*(np.delete(values, place) for values in (self.batches, self.seconds, self.watts)))


def batch_times(points: Iterable[Point]) -> BatchTimes:
    ordered = sorted(points, key=lambda p: p.batch)
    seconds = np.maximum.accumulate([p.median for p in ordered])  # noise must not make more work faster
    watts = np.array([p.power_w or math.nan for p in ordered])
    return BatchTimes(np.array([p.batch for p in ordered], dtype=float), seconds, watts)


@dataclass(frozen=True)
class PipelineTimes:
    """Whole pipelines: linear in batch, pixels, steps and frames between measured points."""

    rows: dict[tuple[int, int, int], BatchTimes]  # by side, steps, frames

    def seconds(self, spec: Spec, size: int) -> float:
        """Median seconds; nan outside the measured grid."""
        return self._between(spec, size, lambda row: row.seconds)

    def watts(self, spec: Spec, size: int) -> float:
        return self._between(spec, size, lambda row: row.watts)

    def _between(self, spec: Spec, size: int, column: Callable[[BatchTimes], Floats]) -> float:
        wanted = (spec.side**2, spec.steps, spec.frames)
        axes = [sorted({key[i] ** (2 if i == 0 else 1) for key in self.rows}) for i in range(3)]
        total = 0.0
        for corner in itertools.product(*[bracket(axis, x) for axis, x in zip(axes, wanted, strict=True)]):
            row = self.rows.get((math.isqrt(corner[0][0]), corner[1][0], corner[2][0]))
            value = math.nan if row is None else row.at(size, column(row))
            total += math.prod(weight for _, weight in corner) * value
        return total or math.nan  # no corner at all: outside

    def passes(self, spec: Spec) -> int:
        """Steps that run."""
        return spec.steps

    def first(self) -> int:
        """Tokens that come with the opening."""
        return 0

    def opening(self, spec: Spec, size: int) -> float:
        """Seconds before the steps."""
        return 0.0

    def each(self, spec: Spec, size: int) -> float:
        """Seconds of one step; nan outside the measured grid."""
        return self.seconds(spec, size) / spec.steps

    def extrapolated(self, spec: Spec, size: int) -> float:
        """The nearest measured point scaled with the work: batch x pixels x steps x frames."""
        wanted = work(spec.side, spec.steps, spec.frames, size)
        measured = [
            (work(*key, batch), float(seconds))
            for key, row in self.rows.items()
            for batch, seconds in zip(row.batches, row.seconds, strict=True)
        ]
        near, seconds = min(measured, key=lambda m: abs(math.log(wanted / m[0])))
        return seconds * wanted / near

    def extent(self) -> str:
        columns = list(zip(*self.rows, strict=True))
        parts = [
            f"{name} {low_high(column)}" for name, column in zip(("side", "steps", "frames"), columns, strict=True)
        ]
        return ", ".join([*parts, f"batch {low_high(b for row in self.rows.values() for b in row.batches)}"])


def work(side: int, steps: int, frames: int, batch: float) -> float:
    return float(side) ** 2 * steps * frames * batch


def bracket(axis: list[int], x: int) -> list[tuple[int, float]]:
    """The measured neighbours of x on a sorted axis with their weights; empty where x lies outside."""
    if x in axis:
        return [(x, 1.0)]
    if not axis[0] < x < axis[-1]:
        return []
    above = int(np.searchsorted(axis, x))
    low, high = axis[above - 1], axis[above]
    return [(low, (high - x) / (high - low)), (high, (x - low) / (high - low))]


def low_high(values: Iterable[float]) -> str:
    known = sorted(set(values))
    return f"{known[0]:g}" if len(known) == 1 else f"{known[0]:g} to {known[-1]:g}"


@dataclass(frozen=True)
class Surface:
    """One component over batch and size. Between sizes: a fitted form times the interpolated residual ("hybrid").

    The form is a + b B + c B N + d B N^2 with N the pixels (tokens, up to a factor) of a request and no coefficient
    negative: constant, per-request, linear and attention's quadratic share. Its relative residuals are interpolated
    over log N by PCHIP, so that it passes through every measured point.
    """

    rows: dict[Size, BatchTimes]
    chat: bool = False

    def tokens(self, size: Size) -> float:
        """N: pixels x frames, in units of 1024 x 1024; for chat tokens, in thousands."""
        return size[0] / 1000.0 if self.chat else size[0] ** 2 * size[1] / 1024.0**2

    @cached_property
    def coefficients(self) -> Floats:
        """a, b, c, d by non-negative least squares on relative errors."""
        cells = [
            (b, self.tokens(s), t) for s, r in self.rows.items() for b, t in zip(r.batches, r.seconds, strict=True)
        ]
        batch, n, seconds = (np.array(column) for column in zip(*cells, strict=True))
        return scipy.optimize.nnls(terms(batch, n) / seconds[:, None], np.ones(len(seconds)))[0]

    def fitted(self, batch: float, size: Size) -> float:
        """The form alone, without residual."""
        return float((terms(np.array([batch]), np.array([self.tokens(size)])) @ self.coefficients)[0])

    def seconds(self, batch: float, size: Size) -> float:
        """Median seconds; nan outside the measured hull."""
        if size in self.rows:
            return self.rows[size].at(batch, self.rows[size].seconds)
        known = {self.tokens(s): (r.at(batch, r.seconds), self.fitted(batch, s)) for s, r in self.rows.items()}
        x = np.array(sorted(n for n, (seconds, _) in known.items() if not math.isnan(seconds)))
        n = self.tokens(size)
        if len(x) < 2 or not x[0] <= n <= x[-1]:
            return math.nan
        residual = np.log([known[v][0] / known[v][1] for v in x])
        return self.fitted(batch, size) * math.exp(
            float(scipy.interpolate.PchipInterpolator(np.log(x), residual)(math.log(n)))
        )

    def watts(self, batch: float, size: Size) -> float:
        """Power at the nearest measured size."""
        near = min(self.rows, key=lambda s: abs(math.log(self.tokens(s) / self.tokens(size))))
        row = self.rows[near]
        return float(np.interp(batch, row.batches, row.watts))

    def left_out(self) -> dict[str, list[float]]:
        """Relative errors at inner points predicted without them: one batch at a time, one size at a time."""
        errors: dict[str, list[float]] = {"batch": [], "side": []}
        for row in self.rows.values():
            for place in range(1, len(row.batches) - 1):
                rest = row.without(place)
                errors["batch"].append(rest.at(row.batches[place], rest.seconds) / row.seconds[place] - 1.0)
        for size in sorted(self.rows, key=self.tokens)[1:-1]:
            rest_of = Surface({s: r for s, r in self.rows.items() if s != size}, self.chat)
            for batch, seconds in zip(self.rows[size].batches, self.rows[size].seconds, strict=True):
                predicted = rest_of.seconds(float(batch), size)
                if not math.isnan(predicted):
                    errors["side"].append(predicted / seconds - 1.0)
        return errors


def terms(batch: Floats, n: Floats) -> Floats:
    """The columns 1, B, B N, B N^2."""
    return np.stack([np.ones_like(batch), batch, batch * n, batch * n**2], axis=1)


@dataclass(frozen=True)
class ComponentTimes:
    """A pipeline put together from its components."""

    surfaces: dict[str, Surface]
    overhead: float  # seconds of the host per batch
    strength: float  # of an edit: the share of steps that runs

    def parts(self, spec: Spec, size: int, *, fitted: bool = False) -> dict[str, float]:
        """Seconds by component, each for all its calls; nan outside the measured hull unless fitted."""
        found = {}
        for name, surface in self.surfaces.items():
            # The text encoders do not see the picture: they were measured at one size.
            where = next(iter(surface.rows)) if name == "text" else (spec.side, spec.frames)
            seconds = surface.seconds(size, where)
            if fitted and math.isnan(seconds):
                seconds = surface.fitted(size, where)
            found[name] = seconds * (self.passes(spec) if name in EACH_STEP else 1)
        return found

    def passes(self, spec: Spec) -> int:
        """Steps that run."""
        return max(1, math.ceil(spec.steps * self.strength - 1e-9))

    def first(self) -> int:
        """Tokens that come with the opening: of chat one."""
        return int("prefill" in self.surfaces)

    def opening(self, spec: Spec, size: int) -> float:
        """Seconds of all that runs once; nan outside the measured hull."""
        return self.overhead + sum(s for name, s in self.parts(spec, size).items() if name not in EACH_STEP)

    def each(self, spec: Spec, size: int) -> float:
        """Seconds of one step; nan outside the measured hull."""
        return sum(s for n, s in self.parts(spec, size).items() if n in EACH_STEP) / self.passes(spec)

    def seconds(self, spec: Spec, size: int) -> float:
        return self.overhead + sum(self.parts(spec, size).values())

    def extrapolated(self, spec: Spec, size: int) -> float:
        """The fitted forms where a component was not measured."""
        return self.overhead + sum(self.parts(spec, size, fitted=True).values())

    def watts(self, spec: Spec, size: int) -> float:
        """Mean power over the batch: of each component, weighted by its time."""
        parts = self.parts(spec, size, fitted=True)
        joules = sum(seconds * self.surfaces[n].watts(size, (spec.side, spec.frames)) for n, seconds in parts.items())
        return joules / sum(parts.values())

    def extent(self) -> str:
        main = next((self.surfaces[n] for n in EACH_STEP if n in self.surfaces), next(iter(self.surfaces.values())))
        sides, frames = zip(*main.rows, strict=True)
        batches = low_high(b for row in main.rows.values() for b in row.batches)
        return f"side {low_high(sides)}, any steps, frames {low_high(frames)}, batch {batches}"


Times = PipelineTimes | ComponentTimes


def times_of(file: ProfileFile) -> Times:
    """The interpolation that fits a profile file. Raises ValueError where every point ran out of memory."""
    points = [p for p in file.points if p.status != "oom"]
    if not points:
        raise ValueError("no point of this profile was timed")
    if points[0].component == "pipeline":
        cells = groups(points, lambda p: (p.side, p.steps, p.frames))
        return PipelineTimes({key: batch_times(cell) for key, cell in cells.items()})
    return ComponentTimes(surfaces_of(file), file.overhead_s, file.strength)


def surfaces_of(file: ProfileFile) -> dict[str, Surface]:
    """A surface for each measured component, in the order of the pipeline."""
    by_component = groups([p for p in file.points if p.status != "oom"], lambda p: p.component)
    return {
        name: Surface(
            {size: batch_times(cell) for size, cell in groups(points, lambda p: (p.side, p.frames)).items()},
            file.feature == "chat",
        )
        for name, points in by_component.items()
    }


def groups(points: Iterable[Point], key: Callable[[Point], Any]) -> dict[Any, list[Point]]:
    """Points by a key, in order of first appearance."""
    found: dict[Any, list[Point]] = {}
    for point in points:
        found.setdefault(key(point), []).append(point)
    return found


def held_out(file: ProfileFile) -> dict[str, HeldOut]:
    """Leave-one-batch-out and leave-one-side-out errors of the components; empty where nothing can be left out."""
    errors: dict[str, list[float]] = {"batch": [], "side": []}
    if any(p.component != "pipeline" for p in file.points):
        for surface in surfaces_of(file).values():
            for kind, found in surface.left_out().items():
                errors[kind] += found
    return {
        kind: HeldOut(points=len(e), median=float(np.median(np.abs(e))), largest=float(np.max(np.abs(e))))
        for kind, e in errors.items()
        if e
    }


def between_visits(file: ProfileFile) -> float:
    """Spread of a batch's time: the root mean square over points of their spread of log latency; nan if unknown."""
    spreads = np.array([p.spread for p in file.points])
    known = spreads[~np.isnan(spreads)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else math.nan
