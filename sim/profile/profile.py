"""A latency profile: the time and power of a batch on a GPU, and their source."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from sim import shipped
from sim.errors import BadInput
from sim.model.request import Spec
from sim.profile.file import EACH_STEP, FORMAT, ProfileFile, digest
from sim.profile.service_time import Times, between_visits, times_of
from sim.schema import in_plain_words, read_json

LARGEST_FILE = 50_000_000  # bytes


class Steps(NamedTuple):
    """What a request takes where many run at once: an opening, then passes that all share."""

    opening: dict[int, float]  # seconds, by images that begin at once
    each: dict[int, float]  # seconds of a pass, by images in it
    passes: float  # after the opening
    first: int  # tokens that the opening yields


@dataclass(frozen=True)
class Profile:
    """A profile file, checked, with its points ready to interpolate."""

    file: ProfileFile
    sha256: str
    times: Times
    extrapolate: bool = False

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def idle_power(self) -> float:
        """Watts of a GPU that holds the model and serves nothing; nan where the file does not say."""
        power = self.file.hardware.idle_power_w
        return math.nan if power is None else power

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm of a batch's time, as measured; nan where it is not known."""
        return between_visits(self.file)

    def factors(self) -> list[float]:
        """Raw samples of a batch's time as factors of mean 1, ascending. Raises BadInput where the file has none.

        Each is divided by the mean of its point, so the points' sizes do not matter. Of a pipeline measured by
        components they are samples of its steps, which take most of the time.
        """
        main = ("pipeline", *EACH_STEP)
        raw = [samples for p in self.file.points if p.component in main and len(samples := p.samples()) > 1]
        if not raw:
            message = f"profile {self.name!r} holds no raw samples for noise to draw from"
            raise BadInput(message, key="serving.noise.kind", value="empirical", expected="another kind of noise")
        return sorted(np.concatenate([samples / samples.mean() for samples in raw]).tolist())

    def batch_seconds(self, spec: Spec, size: int) -> float:
        """Median seconds a GPU is busy with a batch of `size` images at `spec`.

        Raises BadInput outside what was measured, unless this profile was loaded to extrapolate; then a pipeline's
        nearest point is scaled with the work, or a component's fitted form is used: an assumption that marks the run.
        """
        if size < 1:
            raise BadInput("a batch holds at least one image", key="size", value=size)
        seconds = self.times.seconds(spec, size)
        if not math.isnan(seconds):
            return seconds
        if not self.extrapolate:
            raise BadInput(
                f"profile {self.name!r} was not measured there, and 'extrapolate: true' is not set",
                key=f"{spec.label}, batch {size}",
                expected=f"within {self.extent()}",
            )
        return self.times.extrapolated(spec, size)

    def steps(self, spec: Spec, sizes: Sequence[int]) -> "Steps":
        """The work of one request as continuous batching runs it; sizes: images that may run together, ascending.

        A pipeline that was measured whole has no opening. Of chat the opening is the pass over the prompts, which
        yields each answer's first token; text encoders and the decoders of images count as the opening too. Where
        more begin at once than were measured, they do so in several passes. Raises BadInput as batch_seconds does.
        """
        passes, first = self.times.passes(spec), self.times.first()
        opening: dict[int, float] = {}
        each: dict[int, float] = {}
        measured = 0
        for size in sizes:
            begins, lasts = self.times.opening(spec, size), self.times.each(spec, size)
            if math.isnan(lasts) or (math.isnan(begins) and not measured):
                whole = self.batch_seconds(spec, size)  # extrapolated, or refused
                begins, lasts = 0.0, whole / passes
            elif math.isnan(begins):
                begins = opening[measured] + opening.get(size - measured, 0.0)
            else:
                measured = size
            opening[size], each[size] = begins, lasts
        return Steps(opening, each, passes - first, first)

    def power(self, spec: Spec, size: int) -> float:
        """Watts drawn while serving such a batch; nan where the file has no power there."""
        return self.times.watts(spec, size)

    def inside(self, spec: Spec, size: int) -> bool:
        """Whether batch_seconds needs no extrapolation."""
        return not math.isnan(self.times.seconds(spec, size))

    def extent(self) -> str:
        """The measured range, in words."""
        return self.times.extent()


def profile_from(document: dict[str, Any], *, extrapolate: bool = False) -> Profile:
    """A Profile from a profile file's content; raises pydantic's ValidationError or ValueError."""
    file = ProfileFile.model_validate(document)
    return Profile(file, digest(document), times_of(file), extrapolate)


def constant_profile(name: str, seconds: float, *, largest_batch: int = 1, per_image: float = 0.0) -> Profile:
    """An assumed profile for checks by hand: n images take `seconds` + n x `per_image`, at 1024 px and 28 steps."""
    return profile_of_sizes(name, [seconds + n * per_image for n in range(1, largest_batch + 1)])


def profile_of_sizes(name: str, seconds: Sequence[float], *, steps: int = 28) -> Profile:
    """An assumed profile for checks by hand: the seconds of a batch of 1, 2, ..., at 1024 px and these steps."""
    points = [
        {"side": 1024, "steps": steps, "batch": n, "latency_s": {"p50": took}}
        for n, took in enumerate(seconds, start=1)
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
    document = read_profile(path)
    try:
        profile = profile_from(document, extrapolate=extrapolate)
    except ValueError as wrong:
        raise misfit(wrong, path) from None
    if profile.file.sha256 not in (None, profile.sha256):
        raise BadInput(
            "this profile was edited after it was measured: its content does not have its hash",
            file=path,
            key="sha256",
            value=profile.file.sha256,
            expected=f"{profile.sha256}, or no 'sha256' and a 'provenance' that says what was done to it",
        )
    return profile


def misfit(wrong: ValueError, path: Path) -> BadInput:
    """The first thing for which a document makes no profile."""
    if not isinstance(wrong, ValidationError):
        return BadInput(str(wrong), file=path, key="points")
    first = wrong.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "points"  # what does not fit together are points
    value = None if isinstance(first["input"], dict) else first["input"]
    said = in_plain_words(first)
    if first["type"] == "value_error":
        return BadInput(f"this profile does not fit the format: {said}", file=path, key=key, value=value)
    return BadInput("this profile does not fit the format", file=path, key=key, value=value, expected=said)


def profile_called(name: str, *, extrapolate: bool = False) -> Profile:
    """A shipped profile by name, or one of your own by path. Raises BadInput."""
    return load_profile(shipped.find("profiles", name, ".json"), extrapolate=extrapolate)


def read_profile(path: Path) -> dict[str, Any]:
    """A profile file's content, of a format this version knows."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadInput("this file is too large for a profile", file=path, expected=f"at most {LARGEST_FILE} bytes")
        document = read_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput("there is no such profile", file=path) from None
    except (OSError, ValueError, RecursionError) as wrong:
        raise BadInput(f"this is not a readable JSON profile: {wrong}", file=path) from None
    if not isinstance(document, dict):
        raise BadInput("this profile is not a JSON object", file=path, value=document, expected="{...}")
    found = document.get("format")
    if found != FORMAT:
        newer = isinstance(found, str) and found.startswith("meltpoint-profile/")
        what = "this profile is of a newer format than this version knows" if newer else "unknown profile format"
        raise BadInput(what, file=path, key="format", value=found, expected=FORMAT)
    return document
